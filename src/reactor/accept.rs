//! Accepting over TCP: one connection a turn, as long as the poll says that somebody waits; after a long turn all who wait.
//!
//! To ask for one who is not there is dear: the kernel makes a socket and a file first. While accepting rests, or seems to
//! be in vain, the poll tells by edges, or it would tell for ever; then it goes on until nobody waits. Out of descriptors it
//! sheds, or rests and tries again by timer.

use std::io;

use super::clock::deadline_tick;
use super::ops::apply_tuning;
use super::poller::Trigger;
use super::ready::Step;
use super::source::{Inherited, ServerSource, SocketSource, Source, Tuning};
use super::{Event, NotAccepted, Reactor};
use crate::address::Address;
use crate::arena::Key;
use crate::conn::Nanos;
use crate::error::Error;
use crate::sys::{classify_accept, AcceptError, Stream};

/// How long accepting rests when not even shedding is possible.
const REST: Nanos = 100_000_000;

/// After a turn as long as this, many may wait to be accepted, and one accept in vain is next to nothing.
const LONG_TURN: Nanos = 100_000;

/// So many connections lost in a row, and not one in between that was not, are the listener's fault.
const MAX_LOST: u32 = 64;

impl Reactor {
    pub(super) fn step_server(&mut self, key: Key) -> Step {
        let Some(Source::Server(server)) = self.sources.get_mut(key) else {
            return Step::Done;
        };
        if !server.readable {
            return Step::Done;
        }
        if server.rests() {
            // Else those who wait would be told of again and again.
            self.tell_by(key, Trigger::Edge);
            return Step::Done;
        }
        let Some(listener) = &server.listener else {
            return Step::Done;
        };
        let error = match listener.accept() {
            Ok((stream, remote)) => {
                let inherited = server.inherited;
                let full = server.connections >= server.max_connections;
                server.lost = 0;
                server.took = true;
                // Should another one wait, the next poll says so: to ask for him in vain is the dearest of calls. But he
                // does not wait for a long turn each time.
                server.readable = server.trigger == Trigger::Edge || self.last_turn >= LONG_TURN;
                if std::mem::take(&mut server.starved) {
                    // It may have been lost while there was none to be had.
                    self.reserve.refill();
                }
                if full {
                    self.counters.connections_dropped += 1;
                    return not_accepted(NotAccepted::Dropped {
                        server: key,
                        local: stream.local_address().ok(),
                        remote,
                    });
                }
                return self.accepted(key, stream, remote, inherited);
            }
            Err(error) => error,
        };
        match classify_accept(&error) {
            AcceptError::WouldBlock => {
                server.readable = false;
                server.lost = 0;
                // Told once more in vain it would be for ever: of some listeners that are shut down the kernel says so.
                let trigger = match std::mem::take(&mut server.took) {
                    true => Trigger::Level,
                    false => Trigger::Edge,
                };
                self.tell_by(key, trigger);
                Step::Done
            }
            AcceptError::PerConnection => self.lose(key, &error),
            AcceptError::OutOfResources => self.shed(key, &error),
            AcceptError::Fatal => {
                server.readable = false;
                // What it is now it may be for ever.
                let known = std::mem::replace(&mut server.starved, true);
                self.tell_by(key, Trigger::Edge);
                if known {
                    return Step::Done;
                }
                not_accepted(NotAccepted::Failed {
                    server: key,
                    error: Error::accept(&error),
                })
            }
        }
    }

    /// From now on the poll tells of the listener so.
    fn tell_by(&mut self, key: Key, trigger: Trigger) {
        let Reactor {
            sources, poller, ..
        } = self;
        let Some(Source::Server(server)) = sources.get_mut(key) else {
            return;
        };
        let Some(listener) = server
            .listener
            .as_ref()
            .filter(|_| server.trigger != trigger)
        else {
            return;
        };
        // It fails only if somebody has closed the descriptor, and then nothing is told any more.
        let told = poller.register_listener(listener, key, Some(server.trigger), trigger);
        server.trigger = told.unwrap_or(server.trigger);
    }

    fn accepted(
        &mut self,
        server: Key,
        stream: Stream,
        remote: Address,
        inherited: Inherited,
    ) -> Step {
        // Elsewhere than on Linux a listener's options may not be inherited.
        if !cfg!(any(target_os = "linux", target_os = "android")) {
            apply_tuning(&stream, Tuning::default(), inherited.tuning);
        }
        let mut socket = SocketSource::adopted(inherited.limits, stream, remote);
        socket.tuning = inherited.tuning;
        socket.server = Some(server);
        if inherited.paused {
            socket.conn.set_flowing(false);
        }
        if inherited.timeout > 0 {
            socket.conn.idle_mut().set(inherited.timeout, self.now);
        }
        let Ok(key) = self.register_new(socket) else {
            // The kernel has no room to watch it: as good as refused.
            self.counters.connections_dropped += 1;
            return Step::Again;
        };
        if inherited.timeout > 0 {
            self.start_idle_timer(key);
        }
        if let Some(server) = self.server_mut(server) {
            server.connections += 1;
            server.open += 1;
        }
        #[cfg(feature = "tls")]
        self.tls_accepted(server, key);
        Step::Event(Event::Connection {
            server,
            socket: key,
        })
    }

    /// Out of descriptors: those who wait are turned away with the reserve descriptor. Told once, until accepting
    /// succeeds again.
    fn shed(&mut self, key: Key, error: &io::Error) -> Step {
        let Reactor {
            sources,
            reserve,
            counters,
            wheel,
            now,
            ..
        } = self;
        let Some(Source::Server(server)) = sources.get_mut(key) else {
            return Step::Done;
        };
        let Some(listener) = &server.listener else {
            return Step::Done;
        };
        match reserve.shed(listener) {
            Ok(true) => counters.connections_dropped += 1,
            Ok(false) => {
                // The kernel looks for a descriptor first, and so says this also when nobody waits.
                server.readable = false;
                return Step::Done;
            }
            Err(_) => server.retry = Some(wheel.insert(deadline_tick(*now + REST), key)),
        }
        tell_once(key, server, error)
    }

    /// A connection is lost, and the next may be well. But where all are (something else was put in the listener's
    /// place, or a filter forbids the call) there is no end of it: then accepting rests.
    fn lose(&mut self, key: Key, error: &io::Error) -> Step {
        let Reactor {
            sources,
            wheel,
            now,
            ..
        } = self;
        let Some(Source::Server(server)) = sources.get_mut(key) else {
            return Step::Done;
        };
        server.lost += 1;
        if server.lost < MAX_LOST {
            return Step::Again;
        }
        server.lost = 0;
        server.retry = Some(wheel.insert(deadline_tick(*now + REST), key));
        tell_once(key, server, error)
    }

    /// The rest is over.
    pub(super) fn accept_again(&mut self, key: Key) {
        let Some(Source::Server(server)) = self.sources.get_mut(key) else {
            return;
        };
        if let Some(timer) = server.retry.take() {
            self.wheel.cancel(timer);
        }
        server.readable = true;
        self.schedule(key);
    }
}

/// Until accepting succeeds again.
fn tell_once(key: Key, server: &mut ServerSource, error: &io::Error) -> Step {
    if std::mem::replace(&mut server.starved, true) {
        return Step::Again;
    }
    not_accepted(NotAccepted::Failed {
        server: key,
        error: Error::accept(error),
    })
}

fn not_accepted(what: NotAccepted) -> Step {
    Step::Event(Event::NotAccepted(Box::new(what)))
}
