//! Servers: listening, closing, and what accepted sockets inherit.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use super::poller::Trigger;
use super::source::{Inherited, ServerSource, Source, Tuning};
use super::{Deferred, Reactor};
use crate::address::Address;
use crate::arena::Key;
use crate::error::{Code, Error, Result};
use crate::sys::Listener;

impl Reactor {
    pub(crate) fn new_server(&mut self, inherited: Inherited) -> Key {
        self.insert(Source::Server(Box::new(ServerSource::new(inherited))))
    }

    /// Starts accepting on a listener that is bound and listens. `listening` follows.
    pub(crate) fn serve(&mut self, key: Key, listener: Listener) -> io::Result<()> {
        let Reactor {
            sources,
            poller,
            deferred,
            ..
        } = self;
        let Some(Source::Server(server)) = sources.get_mut(key) else {
            return Ok(());
        };
        inherit(&listener, server.inherited.tuning)?;
        server.trigger = poller.register_listener(&listener, key, None, Trigger::Level)?;
        server.shared = listener.is_shared();
        server.listener = Some(listener);
        server.readable = false;
        server.starved = false;
        server.lost = 0;
        server.listens = server.listens.wrapping_add(1);
        let listen = server.listens;
        deferred.push_back(Deferred::Listening {
            server: key,
            listen,
        });
        self.set_active(key, true);
        Ok(())
    }

    /// Has the pool look up the name to listen on; the server keeps the loop alive meanwhile.
    pub(crate) fn ask_for_listen(&mut self, key: Key, host: &str) {
        let ticket = self.ask(host, None, key);
        let Some(server) = self.server_mut(key) else {
            return;
        };
        server.lookup = ticket;
        if ticket.is_none() {
            server.resolved = Some(Err(Error::lookup(Code::HostNotFound, host)));
            self.deferred.push_back(Deferred::ServerResolved(key));
        }
        self.set_active(key, true);
    }

    /// The answer, unless the listen was called off.
    pub(crate) fn take_resolved(&mut self, key: Key) -> Option<Result<Vec<SocketAddr>>> {
        let resolved = self.server_mut(key)?.resolved.take()?;
        self.set_active(key, false);
        Some(resolved)
    }

    /// Calls off a listen whose name is still being looked up.
    pub(crate) fn cancel_listen(&mut self, key: Key) -> bool {
        let resolving = self.server(key).is_some_and(ServerSource::is_resolving);
        if resolving {
            if let Some(ticket) = self.server_mut(key).and_then(|server| server.lookup.take()) {
                self.forget(ticket);
            }
            self.take_resolved(key);
            self.set_active(key, false);
        }
        resolving
    }

    /// Stops accepting at once. `close` follows the `close` of the last connection. False: it does not listen.
    pub(crate) fn close_server(&mut self, key: Key) -> bool {
        let Reactor {
            sources,
            poller,
            wheel,
            ..
        } = self;
        let Some(Source::Server(server)) = sources.get_mut(key) else {
            return false;
        };
        let Some(listener) = server.listener.take() else {
            return false;
        };
        if server.shared {
            poller.deregister_listener(&listener);
            server.shared = false;
        }
        listener.close();
        if let Some(timer) = server.retry.take() {
            wheel.cancel(timer);
        }
        server.close_owed = true;
        self.set_active(key, false);
        self.server_maybe_done(key);
        true
    }

    pub(crate) fn pause_accepting(&mut self, key: Key) {
        if let Some(server) = self.server_mut(key) {
            server.paused = true;
        }
    }

    pub(crate) fn resume_accepting(&mut self, key: Key) {
        if let Some(server) = self.server_mut(key) {
            server.paused = false;
            self.schedule(key);
        }
    }

    /// Puts a server whose last connection is gone among those whose `close` is due.
    pub(super) fn server_maybe_done(&mut self, key: Key) {
        let done = self
            .server(key)
            .is_some_and(|server| server.close_owed && server.open == 0);
        if done && !self.closing_servers.contains(&key) {
            self.closing_servers.push_back(key);
        }
    }

    pub(crate) fn servers_closing(&self) -> usize {
        self.closing_servers.len()
    }

    /// The next server whose `close` is to be delivered now.
    pub(crate) fn next_server_close(&mut self) -> Option<Key> {
        while let Some(key) = self.closing_servers.pop_front() {
            if let Some(Source::Server(server)) = self.sources.get_mut(key) {
                // While it listens again it may have new connections: they are not waited for. Closed once more it
                // waits for them, and has its place here again after the last.
                if server.open > 0 && !server.is_told_to_listen() {
                    continue;
                }
                if std::mem::take(&mut server.close_owed) {
                    return Some(key);
                }
            }
        }
        None
    }

    /// Whether `listen` number `listen` is still in force, so that its `listening` may be told.
    pub(crate) fn listen_stands(&self, key: Key, listen: u32) -> bool {
        self.server(key)
            .is_some_and(|server| server.listener.is_some() && server.listens == listen)
    }

    pub(crate) fn server_address(&self, key: Key) -> Option<Address> {
        self.server(key)?.listener.as_ref()?.local_address().ok()
    }

    /// The sockets of a server that are not destroyed.
    pub(crate) fn sockets_of(&self, server: Key) -> Vec<Key> {
        self.sources()
            .filter(|(_, source)| {
                source
                    .as_socket()
                    .is_some_and(|socket| socket.server == Some(server) && !socket.conn.destroyed())
            })
            .map(|(key, _)| key)
            .collect()
    }
}

/// Options set on a listener are those of the sockets it accepts: one system call instead of one for each.
fn inherit(listener: &Listener, tuning: Tuning) -> io::Result<()> {
    if tuning.no_delay {
        listener.set_no_delay(true)?;
    }
    if tuning.keep_alive {
        let delay = Duration::from_secs(tuning.keep_alive_delay.into());
        listener.set_keep_alive(true, Some(delay))?;
    }
    Ok(())
}
