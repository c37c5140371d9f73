//! The handle of a loop: what callbacks capture.

use std::fmt;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::event_loop::Inner;
use super::face::{Slot, TimerFace};
use super::{LoopStats, Remote, Server, ServerId, Socket, SocketId, Timeout};
use crate::arena::Key;
use crate::error::Error;

/// A handle of a loop: cheap to clone, made to be captured by callbacks. It does not keep the loop alive.
#[derive(Clone)]
pub struct LoopHandle {
    inner: Rc<Inner>,
}

impl LoopHandle {
    pub(super) fn new(inner: Rc<Inner>) -> LoopHandle {
        LoopHandle { inner }
    }

    pub(super) fn inner(&self) -> &Rc<Inner> {
        &self.inner
    }

    /// Another handle of the same loop.
    pub fn handle(&self) -> LoopHandle {
        self.clone()
    }

    /// Whether [`run`](crate::EventLoop::run) would still have something to wait for: a listening server, an open or
    /// connecting socket, a timer or a [`Remote`], each if referenced; or an event not yet delivered.
    pub fn is_alive(&self) -> bool {
        self.inner.is_alive()
    }

    /// Ends the [`run`](crate::EventLoop::run) under way when its turn is over. Nothing is closed, and it may run again.
    /// When none is under way it does nothing.
    pub fn stop(&self) {
        self.inner.stop();
    }

    /// The time of this turn, read once after the poll. Outside a turn it is the present.
    pub fn now(&self) -> Instant {
        self.inner.reactor.borrow().instant()
    }

    /// A way into this loop from other threads. While it lives it keeps the loop alive, unless unreferenced.
    pub fn remote(&self) -> Remote {
        Remote::new(Arc::clone(&self.inner.mailbox), true)
    }

    /// What this loop has done so far.
    pub fn stats(&self) -> LoopStats {
        let reactor = self.inner.reactor.borrow();
        let counters = reactor.counters;
        LoopStats {
            turns: counters.turns,
            events: counters.events,
            longest_turn: Duration::from_nanos(counters.longest_turn),
            sockets_open: counters.sockets_open,
            timers: reactor.timers(),
            bytes_in: counters.bytes_in,
            bytes_out: counters.bytes_out,
            unhandled_errors: self.inner.face.borrow().unhandled_count,
            connections_dropped: counters.connections_dropped,
        }
    }

    /// Calls `call` once, `after` from now at the earliest and with a resolution of 1 ms. Node's `setTimeout`.
    ///
    /// Timers that are due in one turn run in the order of their deadlines, equal ones in the order they were set.
    /// Zero means the next tick, within a millisecond.
    pub fn set_timeout(
        &self,
        after: Duration,
        call: impl FnOnce(&LoopHandle) + 'static,
    ) -> Timeout {
        self.start_timer(after, false, TimerFace::Once(Some(Box::new(call))))
    }

    /// Calls `call` every `period`, for the first time after one. Node's `setInterval`.
    ///
    /// It keeps to its rhythm: a late call does not delay the next, and ticks that were missed are skipped. A period
    /// of zero is 1 ms, as in Node.
    pub fn set_interval(&self, period: Duration, call: impl FnMut(&Timeout) + 'static) -> Timeout {
        self.start_timer(period, true, TimerFace::Every(Some(Box::new(call))))
    }

    fn start_timer(&self, after: Duration, repeats: bool, timer: TimerFace) -> Timeout {
        if self.inner.is_dead() {
            return Timeout::new(&self.inner, Key::DEAD);
        }
        let key = self.inner.reactor.borrow_mut().start_timer(after, repeats);
        self.inner.face.borrow_mut().insert(key, Slot::Timer(timer));
        Timeout::new(&self.inner, key)
    }

    /// Calls `call` once, later in this turn: after the events from the kernel, before `close` events. One set by an
    /// immediate runs in the next turn. Node's `setImmediate`.
    pub fn set_immediate(&self, call: impl FnOnce(&LoopHandle) + 'static) {
        if !self.inner.is_dead() {
            self.inner
                .face
                .borrow_mut()
                .immediates
                .push_back(Box::new(call));
        }
    }

    /// The socket with this id, unless it is closed.
    pub fn socket(&self, id: SocketId) -> Option<Socket> {
        let exists = self.inner.reactor.borrow().socket(id.0).is_some();
        exists.then(|| Socket::at(&self.inner, id.0))
    }

    /// The server with this id, unless it is closed.
    pub fn server(&self, id: ServerId) -> Option<Server> {
        let exists = self.inner.reactor.borrow().server(id.0).is_some();
        exists.then(|| Server::at(&self.inner, id.0))
    }

    /// Hears of every `error` that no listener heard of. Without it such errors are counted in [`stats`](Self::stats)
    /// and nothing else happens, but for those that [`run`](crate::EventLoop::run) returns. A second call replaces the first.
    pub fn on_unhandled_error(&self, call: impl FnMut(&LoopHandle, &Error) + 'static) -> &Self {
        if !self.inner.is_dead() {
            let face = &mut *self.inner.face.borrow_mut();
            face.has_unhandled_hook = true;
            if let Some(old) = face.unhandled_hook.replace(Box::new(call)) {
                face.discard(old);
            }
        }
        self
    }
}

impl fmt::Debug for LoopHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LoopHandle")
            .field("alive", &self.is_alive())
            .finish_non_exhaustive()
    }
}
