//! The way every change of a connection takes, and what follows from it: our FIN, notices, the end.

use bytes::Bytes;

use super::poller::Registered;
use super::source::Source;
use super::{Deferred, Reactor};
use crate::arena::Key;
use crate::conn::{Conn, Notice};
use crate::sys::Stream;

impl Reactor {
    /// Changes a connection, then draws the consequences.
    pub(crate) fn with_conn(&mut self, key: Key, change: impl FnOnce(&mut Conn, &mut Vec<Bytes>)) {
        let Some(Source::Socket(socket)) = self.sources.get_mut(key) else {
            return;
        };
        change(&mut socket.conn, &mut self.released);
        self.settle(key);
    }

    /// Draws the consequences of what happened to a connection: our FIN, its notices, its end.
    pub(super) fn settle(&mut self, key: Key) {
        if self.may_shut(key) {
            let Some(Source::Socket(socket)) = self.sources.get_mut(key) else {
                return;
            };
            let open = socket.stream.as_ref().filter(|_| !socket.ready.shut);
            match open.map_or(Ok(()), Stream::shutdown_write) {
                Ok(()) => socket.conn.handle_shut(),
                Err(error) => return self.write_failed(key, &error),
            }
            // With nobody to read what comes now, it is read and discarded.
            let discards = socket.conn.wants_read();
            if discards {
                self.restore_read_interest(key);
            }
        }
        let Some(Source::Socket(socket)) = self.sources.get_mut(key) else {
            return;
        };
        while let Some(notice) = socket.conn.poll_notice() {
            socket.notices += 1;
            self.deferred.push_back(Deferred::Conn(key, notice));
        }
        if socket.conn.destroyed() && !socket.released {
            self.release(key);
        }
    }

    /// Our FIN is next, and nothing has to be said before it.
    fn may_shut(&mut self, key: Key) -> bool {
        let wants = self
            .socket(key)
            .is_some_and(|socket| socket.conn.wants_shutdown());
        #[cfg(feature = "tls")]
        return wants && self.tls_shut(key);
        #[cfg(not(feature = "tls"))]
        wants
    }

    /// What destroy does at once: the descriptor, the timer, the counts. `close` follows.
    fn release(&mut self, key: Key) {
        #[cfg(feature = "tls")]
        self.tls_release(key);
        let Reactor {
            sources,
            poller,
            wheel,
            ..
        } = self;
        let Some(Source::Socket(socket)) = sources.get_mut(key) else {
            return;
        };
        socket.released = true;
        if let Some(stream) = socket.stream.take() {
            if socket.keep_local {
                socket.addresses.keep_local(stream.local_address().ok());
            }
            if socket.shared && socket.registered != Registered::No {
                poller.deregister(&stream);
            }
        }
        socket.registered = Registered::No;
        if let Some(timer) = socket.idle_timer.take() {
            wheel.cancel(timer);
        }
        let server = socket.server;
        if let Some(dial) = socket.dial.take() {
            self.abandon_dial(&dial);
            self.retired.push(*dial);
        }
        self.set_active(key, false);
        self.closing_sockets.push_back(key);
        if let Some(server) = server.and_then(|server| self.server_mut(server)) {
            server.connections -= 1;
        }
    }

    /// The next socket whose `close` is due. One with notices still waiting has its turn later.
    pub(crate) fn next_close(&mut self) -> Option<Key> {
        self.closing_sockets.pop_front()
    }

    pub(crate) fn closes_waiting(&self) -> usize {
        self.closing_sockets.len()
    }

    pub(crate) fn postpone_close(&mut self, key: Key) {
        self.closing_sockets.push_back(key);
    }

    /// `close` was delivered: the slot is freed, and a closed server may be done.
    /// The caller drops what is left when no borrow is: the error that ended it may be the user's.
    pub(crate) fn close_delivered(&mut self, key: Key) -> Option<Source> {
        let socket = self.socket_mut(key)?;
        socket.conn.handle_close_delivered();
        let server = socket.server;
        let source = self.remove(key);
        if let Some(key) = server {
            if let Some(server) = self.server_mut(key) {
                server.open -= 1;
            }
            self.server_maybe_done(key);
        }
        source
    }

    /// A callback was added to a connection that can only fail it.
    pub(crate) fn abort_late_callback(&mut self, key: Key) {
        self.with_conn(key, |conn, _| conn.abort_late_callback());
    }

    /// One callback of several is being called; the next comes before anything else.
    pub(crate) fn notice_again(&mut self, key: Key, notice: Notice) {
        if let Some(socket) = self.socket_mut(key) {
            socket.notices += 1;
            self.deferred.push_front(Deferred::Conn(key, notice));
        }
    }

    /// A `drain` notice is being delivered: is it still true?
    pub(crate) fn take_drain(&mut self, key: Key) -> bool {
        self.socket_mut(key)
            .is_some_and(|socket| socket.conn.take_drain())
    }

    pub(crate) fn end_delivered(&mut self, key: Key) {
        self.with_conn(key, |conn, released| conn.handle_end_delivered(released));
        // Its end takes a cork away.
        self.flush_now(key);
    }

    pub(crate) fn finish_begun(&mut self, key: Key) {
        self.with_conn(key, |conn, _| conn.handle_finish_begun());
    }

    pub(crate) fn finish_delivered(&mut self, key: Key) {
        self.with_conn(key, |conn, released| conn.handle_finish_delivered(released));
    }

    pub(crate) fn notice_delivered(&mut self, key: Key) {
        if let Some(socket) = self.socket_mut(key) {
            socket.notices -= 1;
        }
    }

    pub(crate) fn has_notices(&self, key: Key) -> bool {
        self.socket(key).is_some_and(|socket| socket.notices > 0)
    }
}
