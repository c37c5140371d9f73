//! Leases: what is called is taken out of its place, so that nothing is borrowed while it runs, and a guard puts it
//! back, or finishes what its event owes, even when the callback panics.

use super::face::{decodes, DataCall, Pipe, SocketCallback, TimerFace, UnhandledHook};
use super::handler::Handler;
use super::listeners::{EventKind, Place};
use super::{LoopHandle, Socket, Timeout};
use crate::arena::Key;
use crate::reactor::Deferred;

impl LoopHandle {
    /// The one who hears that data came, if there is just one: a pipe, a listener that is not for one time, or a
    /// handler. Leased.
    #[inline(always)]
    pub(super) fn only_reader(&self, key: Key) -> Option<Reader<'_>> {
        let mut face = self.inner().face.borrow_mut();
        let socket = face.socket(key)?;
        if let Some(SocketCallback::Data(call)) = socket.readers.only() {
            if socket.handler.is_some() || decodes(&socket.rare) {
                return None;
            }
            return Some(Reader::Listener(DataLease {
                handle: self,
                key,
                call: call.take(),
            }));
        }
        if let Some(SocketCallback::Pipe(pipe)) = socket.readers.only() {
            let pipe = *pipe;
            let alone = socket.handler.is_none() && !decodes(&socket.rare);
            return alone.then_some(Reader::Pipe(pipe));
        }
        if !socket.readers.is_empty() || decodes(&socket.rare) {
            return None;
        }
        Some(Reader::Handler(HandlerLease {
            handle: self,
            key,
            handler: Some(socket.handler.take()?),
        }))
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
    /// The next one who wants to hear.
    pub(super) fn next(&mut self, wanted: impl Fn(EventKind) -> bool) -> Option<Next<'a>> {
        self.next_of_all(false, wanted)
    }

    /// The same, and the pipes in their places among the listeners.
    pub(super) fn next_or_pipe(&mut self, wanted: impl Fn(EventKind) -> bool) -> Option<Next<'a>> {
        self.next_of_all(true, wanted)
    }

    fn next_of_all(&mut self, pipes: bool, wanted: impl Fn(EventKind) -> bool) -> Option<Next<'a>> {
        if self.begun && self.after == self.end {
            return None;
        }
        let mut face = self.handle.inner().face.borrow_mut();
        let end = face.next_listener();
        let socket = face.socket(self.key)?;
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
        let Some((reads, found)) = socket.find(self.after, self.end, pipes, wanted) else {
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
            if let Some(listeners) = socket.list(reads) {
                listeners.spend(&place);
            }
        }
        Some(Next::Listener(ListenerLease {
            handle: self.handle,
            key: self.key,
            reads,
            place,
            callback,
        }))
    }
}

/// The only one who reads a socket.
pub(super) enum Reader<'a> {
    Pipe(Pipe),
    Listener(DataLease<'a>),
    Handler(HandlerLease<'a>),
}

/// The only reader of a socket, a listener, while it runs; put back when dropped.
pub(super) struct DataLease<'a> {
    handle: &'a LoopHandle,
    key: Key,
    call: Option<DataCall>,
}

impl DataLease<'_> {
    #[inline(always)]
    pub(super) fn call(mut self, socket: &Socket, data: &[u8]) {
        if let Some(call) = &mut self.call {
            call(socket, data);
        }
        // The short way back: it is as alone as it was. All else is left to `drop`.
        let mut face = self.handle.inner().face.borrow_mut();
        let Some(socket) = face.socket(self.key) else {
            return;
        };
        if let Some(SocketCallback::Data(vacancy @ None)) = socket.readers.only() {
            *vacancy = self.call.take();
        }
    }
}

impl Drop for DataLease<'_> {
    #[inline(always)]
    fn drop(&mut self) {
        if let Some(call) = self.call.take() {
            self.handle.put_back(self.key, call);
        }
    }
}

impl LoopHandle {
    /// Puts the listener back that was the only reader. One that was removed meanwhile is dropped, when nothing is
    /// borrowed.
    #[inline(never)]
    fn put_back(&self, key: Key, call: DataCall) {
        let mut face = self.inner().face.borrow_mut();
        let vacancy = face.socket(key).and_then(|socket| {
            // No two are leased at a time.
            let mut readers = socket.readers.iter_mut();
            readers.find_map(|reader| match reader {
                SocketCallback::Data(vacancy @ None) => Some(vacancy),
                _ => None,
            })
        });
        let removed = match vacancy {
            Some(vacancy) => {
                *vacancy = Some(call);
                None
            }
            None => Some(call),
        };
        drop(face);
        drop(removed);
    }
}

/// A listener that runs; put back when dropped, unless it was spent.
pub(super) struct ListenerLease<'a> {
    handle: &'a LoopHandle,
    key: Key,
    /// It is among the readers.
    reads: bool,
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
            let listeners = socket.list(self.reads);
            if let Some(vacancy) = listeners.and_then(|list| list.vacancy(&self.place)) {
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
    /// As the only reader.
    #[inline(always)]
    pub(super) fn call(mut self, socket: &Socket, data: &[u8]) {
        self.get().on_data(socket, data);
        self.put_back();
    }

    pub(super) fn get(&mut self) -> &mut dyn Handler {
        self.handler.as_deref_mut().expect("leased until dropped")
    }

    #[inline(always)]
    fn put_back(&mut self) {
        let mut face = self.handle.inner().face.borrow_mut();
        if let Some(socket) = face.socket(self.key) {
            if socket.handler.is_none() {
                socket.handler = self.handler.take();
            }
        }
    }
}

impl Drop for HandlerLease<'_> {
    #[inline(always)]
    fn drop(&mut self) {
        if self.handler.is_some() {
            self.put_back();
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
