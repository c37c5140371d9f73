//! Timers of the loop.

use std::fmt;
use std::rc::Rc;

use super::event_loop::Inner;
use super::LoopHandle;
use crate::arena::Key;

/// A timer, from [`LoopHandle::set_timeout`] or [`LoopHandle::set_interval`]. Node's class of the same name.
///
/// A clone names the same timer; dropping the handle changes nothing. Once the timer has fired for the last time, or
/// was cleared, every method is harmless.
#[derive(Clone)]
pub struct Timeout {
    handle: LoopHandle,
    key: Key,
}

impl Timeout {
    pub(super) fn new(inner: &Rc<Inner>, key: Key) -> Timeout {
        Timeout {
            handle: LoopHandle::new(Rc::clone(inner)),
            key,
        }
    }

    fn inner(&self) -> &Rc<Inner> {
        self.handle.inner()
    }

    /// Starts the whole period again from now. False when the timer has fired for the last time or was cleared.
    pub fn refresh(&self) -> bool {
        self.inner().reactor.borrow_mut().refresh_timer(self.key)
    }

    /// Stops the timer: Node's `clearTimeout` and `clearInterval`. Its closure is dropped in the next turn.
    pub fn clear(&self) {
        if self.inner().reactor.borrow_mut().clear_timer(self.key) {
            let face = &mut *self.inner().face.borrow_mut();
            let slot = face.free(self.key);
            face.discard(slot);
        }
    }

    /// Lets the timer keep the loop alive; the default.
    pub fn ref_(&self) -> &Self {
        self.inner()
            .reactor
            .borrow_mut()
            .set_referenced(self.key, true);
        self
    }

    /// Lets the loop end although the timer is set.
    pub fn unref(&self) -> &Self {
        self.inner()
            .reactor
            .borrow_mut()
            .set_referenced(self.key, false);
        self
    }

    /// Whether the timer keeps the loop alive. False once it has fired for the last time or was cleared.
    pub fn has_ref(&self) -> bool {
        self.inner().reactor.borrow().is_referenced(self.key)
    }

    /// The loop it belongs to.
    pub fn event_loop(&self) -> &LoopHandle {
        &self.handle
    }
}

impl fmt::Debug for Timeout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Timeout")
            .field("key", &self.key)
            .finish_non_exhaustive()
    }
}
