//! The one place where events become calls of user code.
//!
//! What is called is leased first, so that nothing is borrowed while it runs. Guards finish what an event owes even
//! when a callback panics: a lease is restored, a closed slot is freed.

use super::face::{SocketCallback, TimerFace, WriteCallback};
use super::handler::Handler;
use super::lease::{
    Closed, ConnectDelivered, EndDelivered, EndDue, Finished, HookLease, Next, Reader, TimerLease,
};
use super::listeners::EventKind;
use super::text::call_text;
use super::{LoopHandle, Socket};
use crate::arena::Key;
use crate::conn::Notice;
use crate::error::Error;
use crate::reactor::{Deferred, Event};

impl LoopHandle {
    pub(super) fn dispatch(&self, event: Event) {
        match event {
            Event::End(key) => self.dispatch_end(key),
            Event::Connected(key) => self.dispatch_connected(key),
            Event::Timeout(key) => {
                self.emit(key, EventKind::Timeout, |handler, socket| {
                    handler.on_timeout(socket)
                });
            }
            Event::Watch(key) => self.dispatch_watch(key),
            #[cfg(feature = "tls")]
            Event::Tls(key, news) => self.dispatch_tls(key, *news),
            Event::Timer(key) => self.dispatch_timer(key),
            Event::Connection { server, socket } => self.dispatch_connection(server, socket),
            Event::NotAccepted(what) => self.dispatch_not_accepted(*what),
        }
    }

    fn dispatch_connected(&self, key: Key) {
        // In front of all that waits: `ready` directly follows, also when a listener of `connect` panics.
        let ready = Deferred::Ready(key);
        self.inner().reactor.borrow_mut().deferred.push_front(ready);
        self.emit(key, EventKind::Connect, |handler, socket| {
            handler.on_connect(socket)
        });
    }

    fn dispatch_ready(&self, key: Key) {
        let _delivered = ConnectDelivered { handle: self, key };
        // A `connect` listener may have destroyed it.
        if self.is_open(key) {
            self.emit(key, EventKind::Ready, |handler, socket| {
                handler.on_ready(socket)
            });
        }
    }

    /// Delivers what had waited. True: there is more of it, at the head of the queue and in the same batch.
    pub(super) fn dispatch_deferred(&self, item: Deferred) -> bool {
        let inner = self.inner();
        match item {
            Deferred::Conn(key, notice) => {
                inner.reactor.borrow_mut().notice_delivered(key);
                return self.dispatch_notice(key, notice);
            }
            Deferred::WriteFailed(key) => self.fail_pipes(key),
            Deferred::End(key) => self.dispatch_end(key),
            Deferred::Dial(key) => self.dispatch_dial(key),
            Deferred::Resolved(key) => self.dispatch_lookup(key),
            Deferred::ServerResolved(key) => self.dispatch_server_resolved(key),
            Deferred::Ready(key) => self.dispatch_ready(key),
            Deferred::EndDelivered(key) => inner.reactor.borrow_mut().end_delivered(key),
            Deferred::Listening { server, listen } => self.dispatch_listening(server, listen),
            Deferred::Call => {
                let call = inner.face.borrow_mut().calls.pop_front();
                if let Some(call) = call {
                    call(self);
                }
            }
        }
        false
    }

    fn dispatch_notice(&self, key: Key, notice: Notice) -> bool {
        match notice {
            Notice::Drain => {
                if self.inner().reactor.borrow_mut().take_drain(key) {
                    self.wake_sources(key);
                    // An echo wakes itself, and may find that it cannot be watched any more.
                    if self.is_open(key) {
                        self.emit(key, EventKind::Drain, |handler, socket| {
                            handler.on_drain(socket)
                        });
                    }
                }
            }
            Notice::Wrote => {
                let callback = self.take_callback(key, |pending| pending.writes.pop_front());
                if let Some((callback, late)) = callback {
                    callback(&self.socket_handle(key), late.map_or(Ok(()), Err));
                }
            }
            Notice::Finish => return self.dispatch_finish(key),
            Notice::Error => self.dispatch_error(key),
            Notice::Abort => return self.dispatch_abort(key),
        }
        false
    }

    /// Calls one callback of `end()`, or emits `finish` when there is none left. One that came too late has a notice
    /// of its own.
    fn dispatch_finish(&self, key: Key) -> bool {
        if !self.is_open(key) {
            return false;
        }
        self.inner().reactor.borrow_mut().finish_begun(key);
        let first = self.take_callback(key, |pending| match pending.ends.front() {
            Some((_, None)) => pending.ends.pop_front(),
            _ => None,
        });
        if let Some((callback, _)) = first {
            // `finish` comes also if this one panics, but not if it destroys the socket.
            let mut reactor = self.inner().reactor.borrow_mut();
            reactor.notice_again(key, Notice::Finish);
            drop(reactor);
            callback(&self.socket_handle(key), Ok(()));
            return true;
        }
        let _finished = Finished { handle: self, key };
        self.emit(key, EventKind::Finish, |handler, socket| {
            handler.on_finish(socket)
        });
        false
    }

    /// Fails the first callback that still waits. One notice serves for all that waited when the socket ended; one
    /// that came too late has its own, so that callbacks that ask for the next one cannot spin.
    fn dispatch_abort(&self, key: Key) -> bool {
        let write = self.take_callback(key, |pending| pending.writes.pop_front());
        let (what, first) = match write {
            Some(write) => ("write", Some(write)),
            None => (
                "end",
                self.take_callback(key, |pending| pending.ends.pop_front()),
            ),
        };
        let Some((callback, late)) = first else {
            return false;
        };
        let waited = late.is_none();
        let error = {
            let mut reactor = self.inner().reactor.borrow_mut();
            if waited {
                // The next one comes before anything else, and also if this one panics.
                reactor.notice_again(key, Notice::Abort);
            }
            late.or_else(|| Some(reactor.socket(key)?.conn.abort_error(what)))
        };
        let error = error.unwrap_or_else(|| Error::stream_destroyed(what));
        callback(&self.socket_handle(key), Err(error));
        waited
    }

    fn take_callback(
        &self,
        key: Key,
        take: impl FnOnce(&mut super::face::PendingCallbacks) -> Option<(WriteCallback, Option<Error>)>,
    ) -> Option<(WriteCallback, Option<Error>)> {
        let mut face = self.inner().face.borrow_mut();
        let socket = face.socket(key)?;
        take(&mut socket.rare.as_mut()?.callbacks)
    }

    #[inline(always)]
    pub(super) fn dispatch_data(&self, socket: &Socket, data: &[u8]) {
        let key = socket.key();
        match self.only_reader(key) {
            Some(Reader::Pipe(pipe)) => self.pipe_data(key, None, pipe, data),
            Some(Reader::Listener(lease)) => lease.call(socket, data),
            Some(Reader::Handler(lease)) => lease.call(socket, data),
            None => self.dispatch_data_to_all(socket, data),
        }
    }

    #[inline(never)]
    fn dispatch_data_to_all(&self, socket: &Socket, data: &[u8]) {
        let key = socket.key();
        let text = self.decode(key, |decoder, text| decoder.write(data, text));
        let wanted = |kind| match kind {
            EventKind::Data => true,
            // A listener that is to run once waits for text.
            EventKind::Text => !text.is_empty(),
            _ => false,
        };
        let mut audience = self.audience(key);
        while let Some(next) = audience.next_or_pipe(wanted) {
            match next {
                Next::Pipe(id, pipe) => self.pipe_data(key, Some(id), pipe, data),
                Next::Handler(mut handler) => {
                    handler.get().on_data(socket, data);
                    if let Some(text) = text.for_handler() {
                        handler.get().on_text(socket, text);
                    }
                }
                Next::Listener(mut lease) => match &mut lease.callback {
                    Some(SocketCallback::Data(Some(call))) => call(socket, data),
                    Some(SocketCallback::DataOnce(_)) => {
                        if let Some(SocketCallback::DataOnce(call)) = lease.callback.take() {
                            call(socket, data);
                        }
                    }
                    _ => call_text(&mut lease, socket, &text),
                },
            }
        }
    }

    /// The peer's FIN: first the characters that wait for their rest in vain, then `end`.
    fn dispatch_end(&self, key: Key) {
        let tail = self.decode(key, |decoder, text| decoder.end(text));
        if !tail.is_empty() {
            let _due = EndDue { handle: self, key };
            self.emit_text(key, &tail);
        }
        // A `text` listener may have destroyed it.
        if !self.is_open(key) {
            return;
        }
        let _delivered = EndDelivered { handle: self, key };
        let socket = self.socket_handle(key);
        let mut audience = self.audience(key);
        while let Some(next) = audience.next_or_pipe(|kind| kind == EventKind::End) {
            match next {
                Next::Pipe(_, pipe) => self.pipe_end(pipe),
                Next::Handler(mut handler) => handler.get().on_end(&socket),
                Next::Listener(mut lease) => {
                    if let Some(SocketCallback::PlainOnce(call)) = lease.callback.take() {
                        call(&socket);
                    }
                }
            }
        }
    }

    fn dispatch_error(&self, key: Key) {
        let (error, ours) = {
            let reactor = self.inner().reactor.borrow();
            let Some(socket) = reactor.socket(key) else {
                return;
            };
            let Some(error) = socket.conn.failure() else {
                return;
            };
            (error.clone(), reactor.failed_to_connect(key))
        };
        self.finish_pipes(key);
        #[cfg(feature = "tls")]
        if self.dispatch_tls_client_error(key, &error) {
            return;
        }
        let socket = self.socket_handle(key);
        let mut heard = false;
        let mut audience = self.audience(key);
        while let Some(next) = audience.next(|kind| kind == EventKind::Error) {
            match next {
                Next::Handler(mut handler) => {
                    heard = true;
                    handler.get().on_error(&socket, &error);
                }
                Next::Listener(mut lease) => {
                    if let Some(SocketCallback::Error(call)) = lease.callback.take() {
                        heard = true;
                        call(&socket, &error);
                    }
                }
                Next::Pipe(..) => {}
            }
        }
        if !heard {
            self.unhandled(&error, ours);
        }
    }

    /// The last event of a socket. Afterwards its slot is free and its closures are gone.
    pub(super) fn dispatch_close(&self, key: Key) {
        let had_error = {
            let mut reactor = self.inner().reactor.borrow_mut();
            if reactor.has_notices(key) {
                return reactor.postpone_close(key);
            }
            let Some(socket) = reactor.socket(key) else {
                return;
            };
            socket.conn.failure().is_some()
        };
        let _closed = Closed { handle: self, key };
        self.detach_pipes(key);
        let socket = self.socket_handle(key);
        let mut audience = self.audience(key);
        while let Some(next) = audience.next(|kind| kind == EventKind::Close) {
            match next {
                Next::Handler(mut handler) => handler.get().on_close(&socket, had_error),
                Next::Listener(mut lease) => {
                    if let Some(SocketCallback::Close(call)) = lease.callback.take() {
                        call(&socket, had_error);
                    }
                }
                Next::Pipe(..) => {}
            }
        }
    }

    /// An event that carries nothing.
    pub(super) fn emit(
        &self,
        key: Key,
        kind: EventKind,
        handle: impl Fn(&mut dyn Handler, &Socket),
    ) {
        let socket = self.socket_handle(key);
        let mut audience = self.audience(key);
        while let Some(next) = audience.next(|k| k == kind) {
            match next {
                Next::Handler(mut handler) => handle(handler.get(), &socket),
                Next::Listener(mut lease) => match &mut lease.callback {
                    Some(SocketCallback::Plain(call)) => call(&socket),
                    Some(SocketCallback::PlainOnce(_)) => {
                        if let Some(SocketCallback::PlainOnce(call)) = lease.callback.take() {
                            call(&socket);
                        }
                    }
                    _ => {}
                },
                Next::Pipe(..) => {}
            }
        }
    }

    fn dispatch_timer(&self, key: Key) {
        let mut face = self.inner().face.borrow_mut();
        match face.timer(key) {
            Some(TimerFace::Once(call)) => {
                let call = call.take();
                let slot = face.free(key);
                drop(face);
                drop(slot);
                if let Some(call) = call {
                    call(self);
                }
            }
            Some(TimerFace::Every(call)) => {
                let lease = TimerLease {
                    handle: self,
                    key,
                    call: call.take(),
                };
                drop(face);
                lease.call();
            }
            None => {}
        }
    }

    /// An error nobody listened to. `ours`: this program began the operation that failed.
    pub(super) fn unhandled(&self, error: &Error, ours: bool) {
        let hook = {
            let face = &mut *self.inner().face.borrow_mut();
            face.unhandled_count += 1;
            if !face.has_unhandled_hook && ours {
                face.first_error.get_or_insert_with(|| error.clone());
            }
            face.unhandled_hook.take()
        };
        if let Some(hook) = hook {
            let mut lease = HookLease {
                handle: self,
                hook: Some(hook),
            };
            if let Some(hook) = &mut lease.hook {
                hook(self, error);
            }
        }
    }

    pub(super) fn is_open(&self, key: Key) -> bool {
        self.inner()
            .reactor
            .borrow()
            .socket(key)
            .is_some_and(|socket| socket.conn.is_open())
    }

    pub(super) fn socket_handle(&self, key: Key) -> Socket {
        Socket::at(self.inner(), key)
    }
}
