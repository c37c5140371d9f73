//! Leases: what is called is taken out of its place, so that nothing is borrowed while it runs, and a guard puts it
//! back, or finishes what its event owes, even when the callback panics.

use super::face::{Pipe, SocketCallback, TimerFace, UnhandledHook};
use super::handler::Handler;
use super::listeners::EventKind;
use super::{LoopHandle, Socket, Timeout};
use crate::arena::Key;
use crate::reactor::Deferred;

impl LoopHandle {
    /// The listeners of a socket and its handler, in one look. What the handler adds while it runs is first called for
    /// the next event.
    pub(super) fn audience(&self, key: Key) -> (Emission<'_>, Option<HandlerLease<'_>>) {
        let mut face = self.inner().face.borrow_mut();
        let (end, handler) = match face.socket(key) {
            Some(socket) => (socket.listeners.end(), socket.handler.take()),
            None => (0, None),
        };
        let emission = Emission {
            handle: self,
            key,
            after: 0,
            end,
        };
        let handler = handler.map(|handler| HandlerLease {
            handle: self,
            key,
            handler: Some(handler),
        });
        (emission, handler)
    }
}

/// The listeners that are there now, one by one.
pub(super) struct Emission<'a> {
    handle: &'a LoopHandle,
    key: Key,
    after: u64,
    end: u64,
}

/// What comes next in an emission.
pub(super) enum Next<'a> {
    Listener(ListenerLease<'a>),
    Pipe(u64, Pipe),
}

impl<'a> Emission<'a> {
    /// The next listener that is wanted. Pipes are none.
    pub(super) fn next(&mut self, wanted: impl Fn(EventKind) -> bool) -> Option<ListenerLease<'a>> {
        loop {
            match self.next_or_pipe(&wanted)? {
                Next::Listener(lease) => return Some(lease),
                Next::Pipe(..) => {}
            }
        }
    }

    /// The same, and the pipes in their places among the others.
    pub(super) fn next_or_pipe(&mut self, wanted: impl Fn(EventKind) -> bool) -> Option<Next<'a>> {
        if self.after + 1 >= self.end {
            return None;
        }
        let mut face = self.handle.inner().face.borrow_mut();
        let listeners = &mut face.socket(self.key)?.listeners;
        let (id, callback) = listeners.find(self.after, self.end, |kind, callback| {
            matches!(callback, SocketCallback::Pipe(_)) || wanted(kind)
        })?;
        self.after = id;
        if let SocketCallback::Pipe(pipe) = callback {
            return Some(Next::Pipe(id, *pipe));
        }
        let lease = listeners.lease(id)?;
        Some(Next::Listener(ListenerLease {
            handle: self.handle,
            key: self.key,
            id,
            once: lease.once,
            callback: Some(lease.callback),
        }))
    }
}

/// A listener that runs; put back when dropped, unless it was spent.
pub(super) struct ListenerLease<'a> {
    pub(super) handle: &'a LoopHandle,
    pub(super) key: Key,
    pub(super) id: u64,
    pub(super) once: bool,
    pub(super) callback: Option<SocketCallback>,
}

impl Drop for ListenerLease<'_> {
    fn drop(&mut self) {
        let Some(callback) = self.callback.take() else {
            return;
        };
        if self.once {
            return;
        }
        let mut face = self.handle.inner().face.borrow_mut();
        let gone = match face.socket(self.key) {
            Some(socket) => socket.listeners.restore(self.id, callback),
            None => Some(callback),
        };
        drop(face);
        drop(gone);
    }
}

/// A handler that runs; put back when dropped, unless it was replaced.
pub(super) struct HandlerLease<'a> {
    pub(super) handle: &'a LoopHandle,
    pub(super) key: Key,
    pub(super) handler: Option<Box<dyn Handler>>,
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

/// The loop's read buffer, while the user looks at it.
pub(super) struct BufferLoan<'a> {
    pub(super) handle: &'a LoopHandle,
    pub(super) buffer: Box<[u8]>,
}

impl Drop for BufferLoan<'_> {
    fn drop(&mut self) {
        let buffer = std::mem::take(&mut self.buffer);
        self.handle
            .inner()
            .reactor
            .borrow_mut()
            .restore_buffer(buffer);
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
