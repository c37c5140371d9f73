//! Leases: what is called is taken out of its place, so that nothing is borrowed while it runs, and a guard puts it
//! back, or finishes what its event owes, even when the callback panics.

use super::event_loop::Inner;
use super::face::{Pipe, SocketCallback, SocketFace, TimerFace, UnhandledHook};
use super::handler::Handler;
use super::listeners::{EventKind, Place};
use super::{LoopHandle, Socket, Timeout};
use crate::arena::Key;
use crate::reactor::Deferred;

impl LoopHandle {
    /// The one who hears that data came, if there is just one: a pipe, or a listener that is not for one time.
    #[inline(always)]
    pub(super) fn only_reader(&self, key: Key) -> Option<Reader<'_>> {
        let mut face = self.inner().face.borrow_mut();
        let socket = face.socket(key)?;
        if socket.handler.is_some() || socket.decodes() {
            return None;
        }
        let reads = |kind, _: &SocketCallback| kind == EventKind::Data;
        let found = socket.listeners.find_only(reads)?;
        if let Some(SocketCallback::Pipe(pipe)) = found.callback {
            return Some(Reader::Pipe(found.place.id, *pipe));
        }
        match found.callback.take() {
            Some(SocketCallback::Data(call)) => Some(Reader::Listener(DataLease {
                handle: self,
                key,
                place: found.place,
                call: Some(call),
            })),
            other => {
                *found.callback = other;
                None
            }
        }
    }

    /// The handler of a socket, then its listeners, one by one. What they add is first called for the next event.
    pub(super) fn audience(&self, key: Key) -> Audience<'_> {
        Audience {
            handle: self,
            key,
            begun: false,
            after: 0,
            end: 0,
        }
    }
}

/// Those who hear one event.
pub(super) struct Audience<'a> {
    handle: &'a LoopHandle,
    key: Key,
    begun: bool,
    /// The listener that was the last to be leased.
    after: u64,
    /// Listeners from this id on were added later. Equal to `after`: there are no more.
    end: u64,
}

/// Who comes next.
pub(super) enum Next<'a> {
    Handler(HandlerLease<'a>),
    Listener(ListenerLease<'a>),
    Pipe(u64, Pipe),
}

impl<'a> Audience<'a> {
    /// The next one who wants to hear. Pipes do not.
    pub(super) fn next(&mut self, wanted: impl Fn(EventKind) -> bool) -> Option<Next<'a>> {
        loop {
            match self.next_or_pipe(&wanted)? {
                Next::Pipe(..) => {}
                next => return Some(next),
            }
        }
    }

    /// The same, and the pipes in their places among the listeners.
    pub(super) fn next_or_pipe(&mut self, wanted: impl Fn(EventKind) -> bool) -> Option<Next<'a>> {
        if self.begun && self.after == self.end {
            return None;
        }
        let mut face = self.handle.inner().face.borrow_mut();
        let end = face.next_listener();
        self.next_of(face.socket(self.key)?, end, wanted)
    }

    fn next_of(
        &mut self,
        socket: &mut SocketFace,
        end: u64,
        wanted: impl Fn(EventKind) -> bool,
    ) -> Option<Next<'a>> {
        if !self.begun {
            self.begun = true;
            self.end = end;
            // Looked at first: most sockets have none, and nothing is to be written for them.
            if socket.handler.is_some() {
                let handler = socket.handler.take();
                return Some(Next::Handler(HandlerLease {
                    handle: self.handle,
                    key: self.key,
                    handler,
                }));
            }
        }
        let listeners = &mut socket.listeners;
        let found = listeners.find(self.after, self.end, |kind, callback| {
            matches!(callback, SocketCallback::Pipe(_)) || wanted(kind)
        });
        let Some(found) = found else {
            self.after = self.end;
            return None;
        };
        let place = found.place;
        self.after = if found.last { self.end } else { place.id };
        if let Some(SocketCallback::Pipe(pipe)) = found.callback {
            return Some(Next::Pipe(place.id, *pipe));
        }
        let callback = found.callback.take();
        if place.once {
            listeners.spend(&place);
        }
        Some(Next::Listener(ListenerLease {
            handle: self.handle,
            key: self.key,
            place,
            callback,
        }))
    }
}

/// The only one who reads a socket.
pub(super) enum Reader<'a> {
    Pipe(u64, Pipe),
    Listener(DataLease<'a>),
}

/// A `data` listener that runs; put back when dropped.
pub(super) struct DataLease<'a> {
    handle: &'a LoopHandle,
    key: Key,
    place: Place,
    call: Option<Box<dyn FnMut(&Socket, &[u8])>>,
}

impl DataLease<'_> {
    #[inline(always)]
    pub(super) fn call(mut self, data: &[u8]) {
        let socket = self.handle.socket_handle(self.key);
        if let Some(call) = &mut self.call {
            call(&socket, data);
        }
        drop(socket);
        self.put_back();
        if self.call.is_none() {
            // Nothing is left to do for `drop`, which is out of line.
            std::mem::forget(self);
        }
    }

    #[inline(always)]
    fn put_back(&mut self) {
        let mut face = self.handle.inner().face.borrow_mut();
        if let Some(socket) = face.socket(self.key) {
            if let Some(vacancy) = socket.listeners.vacancy(&self.place) {
                if let Some(call) = self.call.take() {
                    *vacancy = Some(SocketCallback::Data(call));
                }
            }
        }
    }
}

impl Drop for DataLease<'_> {
    fn drop(&mut self) {
        self.put_back();
        // One that was removed meanwhile is dropped with the lease, when nothing is borrowed.
    }
}

/// A listener that runs; put back when dropped, unless it was spent.
pub(super) struct ListenerLease<'a> {
    handle: &'a LoopHandle,
    key: Key,
    place: Place,
    pub(super) callback: Option<SocketCallback>,
}

impl Drop for ListenerLease<'_> {
    fn drop(&mut self) {
        if self.callback.is_none() || self.place.once {
            return;
        }
        let mut face = self.handle.inner().face.borrow_mut();
        if let Some(socket) = face.socket(self.key) {
            if let Some(vacancy) = socket.listeners.vacancy(&self.place) {
                *vacancy = self.callback.take();
            }
        }
    }
}

/// A handler that runs; put back when dropped, unless it was replaced.
pub(super) struct HandlerLease<'a> {
    pub(super) handle: &'a LoopHandle,
    pub(super) key: Key,
    pub(super) handler: Option<Box<Box<dyn Handler>>>,
}

impl HandlerLease<'_> {
    pub(super) fn get(&mut self) -> &mut dyn Handler {
        self.handler.as_deref_mut().expect("leased until dropped")
    }
}

impl Drop for HandlerLease<'_> {
    fn drop(&mut self) {
        if let Some(socket) = self.handle.inner().face.borrow_mut().socket(self.key) {
            if socket.handler.is_none() {
                socket.handler = self.handler.take();
            }
        }
    }
}

pub(super) struct TimerLease<'a> {
    pub(super) handle: &'a LoopHandle,
    pub(super) key: Key,
    pub(super) call: Option<Box<dyn FnMut(&Timeout)>>,
}

impl TimerLease<'_> {
    pub(super) fn call(mut self) {
        let timeout = Timeout::new(self.handle.inner(), self.key);
        if let Some(call) = &mut self.call {
            call(&timeout);
        }
    }
}

impl Drop for TimerLease<'_> {
    fn drop(&mut self) {
        let mut face = self.handle.inner().face.borrow_mut();
        if let Some(TimerFace::Every(slot)) = face.timer(self.key) {
            *slot = self.call.take();
        }
    }
}

pub(super) struct HookLease<'a> {
    pub(super) handle: &'a LoopHandle,
    pub(super) hook: Option<UnhandledHook>,
}

impl Drop for HookLease<'_> {
    fn drop(&mut self) {
        let face = &mut *self.handle.inner().face.borrow_mut();
        if face.unhandled_hook.is_none() {
            face.unhandled_hook = self.hook.take();
        }
    }
}

/// The loop's read buffer, for one batch of reads: the users look at it while the loop itself is free.
pub(super) struct BufferLoan<'a> {
    inner: &'a Inner,
    pub(super) buffer: Box<[u8]>,
}

impl<'a> BufferLoan<'a> {
    pub(super) fn of(inner: &'a Inner) -> BufferLoan<'a> {
        let buffer = inner.buffer.take();
        BufferLoan { inner, buffer }
    }
}

impl Drop for BufferLoan<'_> {
    fn drop(&mut self) {
        self.inner.buffer.set(std::mem::take(&mut self.buffer));
    }
}

/// After the listeners of `connect` and `ready` a reset that was asked for before is due.
pub(super) struct ConnectDelivered<'a> {
    pub(super) handle: &'a LoopHandle,
    pub(super) key: Key,
}

impl Drop for ConnectDelivered<'_> {
    fn drop(&mut self) {
        self.handle
            .inner()
            .reactor
            .borrow_mut()
            .connect_delivered(self.key);
    }
}

/// A `text` listener runs before `end`: should it panic, `end` still comes.
pub(super) struct EndDue<'a> {
    pub(super) handle: &'a LoopHandle,
    pub(super) key: Key,
}

impl Drop for EndDue<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let mut reactor = self.handle.inner().reactor.borrow_mut();
            reactor.deferred.push_front(Deferred::End(self.key));
        }
    }
}

/// After the listeners of `end`, and what they deferred, our side ends too.
pub(super) struct EndDelivered<'a> {
    pub(super) handle: &'a LoopHandle,
    pub(super) key: Key,
}

impl Drop for EndDelivered<'_> {
    fn drop(&mut self) {
        let item = Deferred::EndDelivered(self.key);
        self.handle
            .inner()
            .reactor
            .borrow_mut()
            .deferred
            .push_back(item);
    }
}

/// After the listeners of `finish` the socket may be done.
pub(super) struct Finished<'a> {
    pub(super) handle: &'a LoopHandle,
    pub(super) key: Key,
}

impl Drop for Finished<'_> {
    fn drop(&mut self) {
        self.handle.finish_pipes(self.key);
        self.handle
            .inner()
            .reactor
            .borrow_mut()
            .finish_delivered(self.key);
    }
}

/// After the listeners of `close` the slot is free. Callbacks of the writes and ends they tried follow.
pub(super) struct Closed<'a> {
    pub(super) handle: &'a LoopHandle,
    pub(super) key: Key,
}

impl Drop for Closed<'_> {
    fn drop(&mut self) {
        let inner = self.handle.inner();
        let _source = inner.reactor.borrow_mut().close_delivered(self.key);
        let callbacks = inner
            .face
            .borrow_mut()
            .socket(self.key)
            .and_then(|socket| Some(std::mem::take(&mut socket.rare.as_mut()?.callbacks)));
        // Dropped last: a destructor of the user's may panic.
        let _slot = inner.face.borrow_mut().free(self.key);
        let Some(callbacks) = callbacks else { return };
        for (callback, error) in callbacks.writes.into_iter().chain(callbacks.ends) {
            let socket = Socket::at(inner, self.key);
            let result = error.map_or(Ok(()), Err);
            inner.defer(move |_| callback(&socket, result));
        }
    }
}
