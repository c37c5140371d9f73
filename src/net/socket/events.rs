//! The events of a socket: `on_x` adds a listener, `once_x` one for a single time.

use super::Socket;
use crate::error::Error;
use crate::net::face::{DataCall, SocketCallback};
use crate::net::handler::Handler;
use crate::net::listeners::EventKind;
use crate::net::Lookup;

/// Events.
///
/// Listeners add up and run in the order they were added; one added while its event is being delivered is first
/// called for the next. After `close` they are dropped. Events that come at most once take a `FnOnce`, so what they
/// captured can be moved out.
impl Socket {
    /// The host's name was looked up: Node's `lookup`. Once for each address, or once with the error; never for
    /// addresses and paths.
    pub fn on_lookup(&self, call: impl FnMut(&Socket, &Lookup) + 'static) -> &Self {
        self.listen(
            EventKind::Lookup,
            false,
            SocketCallback::Lookup(Box::new(call)),
        )
    }

    /// As [`on_lookup`](Socket::on_lookup), for the first address only.
    pub fn once_lookup(&self, call: impl FnOnce(&Socket, &Lookup) + 'static) -> &Self {
        self.listen(
            EventKind::Lookup,
            true,
            SocketCallback::LookupOnce(Box::new(call)),
        )
    }

    /// The connection is established: Node's `connect`. Never for accepted sockets, which come connected.
    pub fn on_connect(&self, call: impl FnOnce(&Socket) + 'static) -> &Self {
        self.listen(
            EventKind::Connect,
            true,
            SocketCallback::PlainOnce(Box::new(call)),
        )
    }

    /// Directly after `connect`: Node's `ready`.
    pub fn on_ready(&self, call: impl FnOnce(&Socket) + 'static) -> &Self {
        self.listen(
            EventKind::Ready,
            true,
            SocketCallback::PlainOnce(Box::new(call)),
        )
    }

    /// Bytes came: Node's `data`. It makes the socket flow, unless it is paused.
    ///
    /// The slice is the loop's one read buffer: who wants to keep bytes copies them. It is never empty, and where it
    /// begins and ends means nothing.
    pub fn on_data(&self, call: impl FnMut(&Socket, &[u8]) + 'static) -> &Self {
        let call: DataCall = Box::new(call);
        self.listen(EventKind::Data, false, SocketCallback::Data(Some(call)))
    }

    /// As [`on_data`](Socket::on_data), for the next bytes only. The socket goes on flowing afterwards.
    pub fn once_data(&self, call: impl FnOnce(&Socket, &[u8]) + 'static) -> &Self {
        self.listen(
            EventKind::Data,
            true,
            SocketCallback::DataOnce(Box::new(call)),
        )
    }

    /// The peer has sent its FIN, and all its bytes are delivered: Node's `end`. Never after `destroy` or an error.
    ///
    /// Unless half-open is allowed our side ends by itself after the listeners; what they write is still sent.
    pub fn on_end(&self, call: impl FnOnce(&Socket) + 'static) -> &Self {
        self.listen(
            EventKind::End,
            true,
            SocketCallback::PlainOnce(Box::new(call)),
        )
    }

    /// After `end()`, all bytes and our FIN are with the kernel: Node's `finish`. It does not say that the peer has
    /// them.
    pub fn on_finish(&self, call: impl FnOnce(&Socket) + 'static) -> &Self {
        self.listen(
            EventKind::Finish,
            true,
            SocketCallback::PlainOnce(Box::new(call)),
        )
    }

    /// The queue is empty again: Node's `drain`. Exactly once after writes that were
    /// [`Queued`](crate::net::WriteStatus::Queued), but not after `end()`.
    pub fn on_drain(&self, call: impl FnMut(&Socket) + 'static) -> &Self {
        self.listen(
            EventKind::Drain,
            false,
            SocketCallback::Plain(Box::new(call)),
        )
    }

    /// As [`on_drain`](Socket::on_drain), for the next time only.
    pub fn once_drain(&self, call: impl FnOnce(&Socket) + 'static) -> &Self {
        self.listen(
            EventKind::Drain,
            true,
            SocketCallback::PlainOnce(Box::new(call)),
        )
    }

    /// Nothing moved for the idle timeout: Node's `timeout`. The connection is not touched.
    ///
    /// A peer that does not answer an `end` keeps the socket open, and `timeout` comes again:
    ///
    /// ```
    /// # fn serve(socket: &tidewheel::net::Socket) {
    /// socket.on_timeout(|socket| {
    ///     if socket.writable() {
    ///         socket.end_with("too slow\n");
    ///     } else {
    ///         socket.destroy(); // it was told before
    ///     }
    /// });
    /// # }
    /// ```
    pub fn on_timeout(&self, call: impl FnMut(&Socket) + 'static) -> &Self {
        self.listen(
            EventKind::Timeout,
            false,
            SocketCallback::Plain(Box::new(call)),
        )
    }

    /// As [`on_timeout`](Socket::on_timeout), for the next time only: the callback of Node's `setTimeout`.
    pub fn once_timeout(&self, call: impl FnOnce(&Socket) + 'static) -> &Self {
        self.listen(
            EventKind::Timeout,
            true,
            SocketCallback::PlainOnce(Box::new(call)),
        )
    }

    /// It failed: Node's `error`. At most once; `close(true)` follows. Unheard it stops nothing: see
    /// [`on_unhandled_error`](crate::LoopHandle::on_unhandled_error).
    ///
    /// [`remote`](Socket::remote) tells the two kinds of failure apart: here it is `None` if the socket never was
    /// connected.
    pub fn on_error(&self, call: impl FnOnce(&Socket, &Error) + 'static) -> &Self {
        self.listen(
            EventKind::Error,
            true,
            SocketCallback::Error(Box::new(call)),
        )
    }

    /// The last event, exactly once: Node's `close`. The argument says whether an error was the cause.
    pub fn on_close(&self, call: impl FnOnce(&Socket, bool) + 'static) -> &Self {
        self.listen(
            EventKind::Close,
            true,
            SocketCallback::Close(Box::new(call)),
        )
    }

    /// Sends all events to `handler`, before the closures of the same event, in place of the handler before. It makes
    /// the socket flow, unless it is paused. A handler may put another in its own place, when the protocol changes; to
    /// hand the connection on to a [`pipe`](Socket::pipe) use closures, which can be
    /// [removed](Socket::remove_all_listeners).
    pub fn set_handler(&self, handler: impl Handler) -> &Self {
        if !self.exists() {
            self.discard(handler);
            return self;
        }
        {
            let face = &mut *self.inner().face.borrow_mut();
            let socket = face.socket_mut(self.key());
            if let Some(old) = socket.handler.replace(Box::new(Box::new(handler))) {
                face.discard(old);
            }
        }
        let mut reactor = self.inner().reactor.borrow_mut();
        reactor.keep_local_address(self.key());
        reactor.reader_attached(self.key());
        self
    }

    /// Removes all listeners of one kind, and stops the emission of that event that may be under way. Pipes stay: for
    /// them there is [`unpipe`](Socket::unpipe). So does a handler.
    ///
    /// The socket goes on flowing: what comes before somebody listens again is discarded. Who listens or pipes again in
    /// the same callback misses nothing; who does so later calls [`pause`](Socket::pause) now.
    pub fn remove_all_listeners(&self, kind: EventKind) -> &Self {
        let face = &mut *self.inner().face.borrow_mut();
        if let Some(socket) = face.socket(self.key()) {
            let removed = socket.remove_listeners(kind);
            face.discard(removed);
        }
        self
    }

    /// How many listeners of one kind there are, a handler not counted.
    pub fn listener_count(&self, kind: EventKind) -> usize {
        match self.inner().face.borrow_mut().socket(self.key()) {
            Some(socket) => socket.count_listeners(kind),
            None => 0,
        }
    }

    /// Treats `error` as one that nobody listened to, unless an `error` closure is registered: what
    /// [`Handler::on_error`] does by default.
    pub fn report_unhandled(&self, error: &Error) {
        if self.listener_count(EventKind::Error) == 0 {
            let ours = self.inner().reactor.borrow().failed_to_connect(self.key());
            let error = error.clone();
            self.inner()
                .defer(move |handle| handle.unhandled(&error, ours));
        }
    }

    pub(in crate::net) fn listen(
        &self,
        kind: EventKind,
        once: bool,
        callback: SocketCallback,
    ) -> &Self {
        if !self.exists() {
            self.discard(callback);
            return self;
        }
        self.inner()
            .face
            .borrow_mut()
            .add_listener(self.key(), kind, once, callback);
        match kind {
            EventKind::Data | EventKind::Text => self
                .inner()
                .reactor
                .borrow_mut()
                .reader_attached(self.key()),
            EventKind::Error | EventKind::Close => {
                self.inner()
                    .reactor
                    .borrow_mut()
                    .keep_local_address(self.key());
            }
            _ => {}
        }
        self
    }
}
