//! The ready list: sources with something to do, worked through in batches, each within its budget.

use super::drive::VAIN_WAKEUPS;
use super::{Current, Event, Reactor, MAX_ROUNDS};
use crate::arena::Key;
use crate::reactor::source::Source;

/// What one step on a source did.
pub(super) enum Step {
    /// Something `net` must deliver.
    Event(Event),
    /// Something nobody needs to hear of; there may be more to do.
    Again,
    /// There is nothing more to do now.
    Done,
}

impl Reactor {
    /// Puts a source on the ready list.
    pub(super) fn schedule(&mut self, key: Key) {
        let queued = match self.sources.get_mut(key) {
            Some(Source::Socket(socket)) => &mut socket.queued,
            Some(Source::Server(server)) => &mut server.queued,
            Some(Source::Watch(watch)) => &mut watch.queued,
            _ => return,
        };
        if !std::mem::replace(queued, true) {
            self.ready.push_back(key);
        }
    }

    /// What is on the ready list now is the batch; what comes later belongs to the next.
    pub(crate) fn begin_batch(&mut self) {
        self.batch = self.ready.len();
    }

    /// Works on until there is something to deliver. `None`: the batch is done.
    pub(crate) fn next_event(&mut self) -> Option<Event> {
        loop {
            let key = match &mut self.current {
                Some(current) if current.rounds > 0 && current.bytes > 0 => {
                    current.rounds -= 1;
                    current.key
                }
                Some(_) => {
                    self.yield_current();
                    continue;
                }
                None => {
                    self.start_next()?;
                    continue;
                }
            };
            match self.step(key) {
                Step::Event(event) => {
                    self.counters.events += 1;
                    return Some(event);
                }
                Step::Again => {}
                Step::Done => self.current = None,
            }
            if !self.deferred.is_empty() {
                return Some(Event::Nothing);
            }
        }
    }

    fn start_next(&mut self) -> Option<()> {
        if self.batch == 0 {
            return None;
        }
        self.batch -= 1;
        let key = self.ready.pop_front()?;
        match self.sources.get_mut(key) {
            Some(Source::Socket(socket)) => socket.queued = false,
            Some(Source::Server(server)) => server.queued = false,
            Some(Source::Watch(watch)) => watch.queued = false,
            _ => return Some(()),
        }
        self.current = Some(Current {
            key,
            bytes: self.read_budget,
            rounds: MAX_ROUNDS,
        });
        Some(())
    }

    /// The budget is spent: others first.
    fn yield_current(&mut self) {
        if let Some(current) = self.current.take() {
            self.schedule(current.key);
        }
    }

    fn step(&mut self, key: Key) -> Step {
        match self.sources.get(key) {
            Some(Source::Socket(_)) => self.step_socket(key),
            Some(Source::Server(_)) => self.step_server(key),
            Some(Source::Watch(_)) => self.step_watch(key),
            _ => Step::Done,
        }
    }

    pub(super) fn charge(&mut self, bytes: usize) {
        if let Some(current) = &mut self.current {
            current.bytes = current.bytes.saturating_sub(bytes);
        }
    }

    /// Notes what the poll has found.
    pub(super) fn take_wakeups(&mut self) {
        let Reactor {
            poller,
            sources,
            ready,
            ..
        } = self;
        poller.wakeups(|wakeup| {
            let queued = match sources.get_mut(wakeup.key) {
                Some(Source::Socket(socket)) => {
                    let bits = &mut socket.ready;
                    bits.readable |= wakeup.readable || wakeup.hung_up;
                    bits.writable |= wakeup.writable;
                    bits.hung_up |= wakeup.hung_up;
                    bits.peek_due |= wakeup.hung_up;
                    bits.urgent |= wakeup.urgent;
                    if wakeup.readable && socket.conn.may_peek() {
                        socket.vain_wakeups = socket.vain_wakeups.saturating_add(1);
                        bits.peek_due |= socket.vain_wakeups >= VAIN_WAKEUPS;
                    }
                    &mut socket.queued
                }
                Some(Source::Server(server)) => {
                    server.readable = true;
                    &mut server.queued
                }
                Some(Source::Watch(watch)) => {
                    watch.ready.readable |= wakeup.readable;
                    watch.ready.writable |= wakeup.writable;
                    watch.ready.hung_up |= wakeup.hung_up;
                    &mut watch.queued
                }
                // The source closed after the kernel reported it.
                _ => return,
            };
            if !std::mem::replace(queued, true) {
                ready.push_back(wakeup.key);
            }
        });
    }
}
