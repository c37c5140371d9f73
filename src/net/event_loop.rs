//! The event loop, and one turn of it.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::ops::Deref;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use super::face::Face;
use super::remote::Mailbox;
use super::{Builder, LoopHandle};
use crate::error::{Error, Result};
use crate::reactor::{Deferred, Reactor};

/// Posts from other threads run in one turn; the rest wait for the next.
const POST_BUDGET: usize = 1024;

/// What keeps a loop from being entered twice.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Running {
    No,
    Turn,
    Run,
}

/// What all handles of one loop share.
///
/// The rule of the two cells: neither is ever borrowed while user code runs, nor while a value of the user's is
/// dropped. So whatever a callback does, it finds them free.
pub(crate) struct Inner {
    pub(super) reactor: RefCell<Reactor>,
    pub(super) face: RefCell<Face>,
    pub(super) mailbox: Arc<Mailbox>,
    /// All that is read is read into it. Empty while a batch of reads is under way.
    pub(super) buffer: Cell<Box<[u8]>>,
    running: Cell<Running>,
    stopping: Cell<bool>,
    dead: Cell<bool>,
}

impl Inner {
    /// The loop was dropped: nothing begins any more.
    pub(super) fn is_dead(&self) -> bool {
        self.dead.get()
    }

    /// Calls `call` after the running callback.
    pub(super) fn defer(&self, call: impl FnOnce(&LoopHandle) + 'static) {
        if !self.is_dead() {
            self.face.borrow_mut().calls.push_back(Box::new(call));
            self.reactor.borrow_mut().deferred.push_back(Deferred::Call);
        }
    }

    /// Drops what calls have let go of. Their destructors may call into the loop, and let go of more.
    pub(super) fn drop_trash(&self) {
        if self.reactor.borrow().has_released() {
            let released = self.reactor.borrow_mut().take_released();
            drop(released);
        }
        if self.face.borrow().has_trash() {
            let trash = self.face.borrow_mut().take_trash();
            drop(trash);
        }
    }

    /// Something is deferred, or to be dropped.
    #[inline]
    fn has_chores(&self) -> bool {
        self.reactor.borrow().has_chores() || self.face.borrow().has_trash()
    }

    pub(super) fn is_alive(&self) -> bool {
        !self.is_dead()
            && (self.reactor.borrow().is_alive()
                || !self.face.borrow().immediates.is_empty()
                || self.mailbox.is_alive())
    }

    /// Asks the run under way to end.
    pub(super) fn stop(&self) {
        if self.running.get() == Running::Run {
            self.stopping.set(true);
        }
    }

    /// Nothing waits to be done at once.
    fn is_idle(&self) -> bool {
        self.reactor.borrow().is_idle()
            && self.face.borrow().immediates.is_empty()
            && self.mailbox.waiting() == 0
    }
}

/// An event loop: it owns every socket, server and timer made on it, and runs their callbacks on this thread.
///
/// It is neither cloned nor sent to another thread. What callbacks capture is a [`LoopHandle`], or a
/// [`Socket`](super::Socket), [`Server`](super::Server) or [`Timeout`](super::Timeout), never the loop itself. It dereferences to its `LoopHandle`, so `&event_loop` serves
/// wherever a `&LoopHandle` is asked for.
///
/// Dropping it closes every descriptor and drops every closure uncalled. Handles that outlive it are dead: writes are
/// refused, nothing begins, and closures handed to them are dropped at once.
///
/// ```
/// use std::time::Duration;
/// use tidewheel::EventLoop;
///
/// # fn main() -> Result<(), tidewheel::Error> {
/// let event_loop = EventLoop::new()?;
/// event_loop.set_timeout(Duration::from_millis(5), |_| println!("later"));
/// println!("first");
/// event_loop.run()?; // returns when nothing is left to wait for
/// # Ok(()) }
/// ```
pub struct EventLoop {
    handle: LoopHandle,
}

impl EventLoop {
    /// A loop with the default settings.
    ///
    /// # Errors
    ///
    /// What the system says when it has no descriptor left for epoll and the waker.
    pub fn new() -> Result<EventLoop> {
        EventLoop::builder().build()
    }

    /// For other settings.
    pub fn builder() -> Builder {
        Builder::default()
    }

    pub(super) fn with(reactor: Reactor, mailbox: Mailbox, read_buffer: usize) -> EventLoop {
        EventLoop {
            handle: LoopHandle::new(Rc::new(Inner {
                reactor: RefCell::new(reactor),
                face: RefCell::new(Face::new()),
                mailbox: Arc::new(mailbox),
                buffer: Cell::new(vec![0; read_buffer].into()),
                running: Cell::new(Running::No),
                stopping: Cell::new(false),
                dead: Cell::new(false),
            })),
        }
    }

    /// Turns until nothing is alive, or until [`stop`](LoopHandle::stop) was called.
    ///
    /// A panic in a callback unwinds out of `run`. The loop stays consistent, loses none of the work of the turn it
    /// left, and may be run again.
    ///
    /// # Errors
    ///
    /// `ERR_LOOP_RUNNING` inside a callback. What the system says when it cannot wait. And, once nothing is left to
    /// do, the first error that nobody listened to of an operation this program began (a connect, say), if no
    /// [`on_unhandled_error`](LoopHandle::on_unhandled_error) is set: so a client that cannot connect does not end
    /// in silence.
    pub fn run(&self) -> Result<()> {
        let _guard = self.enter(Running::Run)?;
        while self.inner().is_alive() {
            self.turn_once(None)?;
            if self.inner().stopping.take() {
                return Ok(());
            }
        }
        self.take_first_error()
    }

    /// One turn: timers that are due, then readiness, then all that follows. It waits for readiness at most
    /// `max_wait` (`None`: until something happens), and not at all when nothing is alive. True: something is alive.
    ///
    /// With [`next_timeout`](EventLoop::next_timeout) and [`AsFd`] it lets this loop live inside another one.
    ///
    /// # Errors
    ///
    /// As [`run`](EventLoop::run): the unheard error is returned by the turn after which nothing is alive.
    pub fn turn(&self, max_wait: Option<Duration>) -> Result<bool> {
        let _guard = self.enter(Running::Turn)?;
        self.turn_once(max_wait)?;
        let alive = self.inner().is_alive();
        if !alive {
            self.take_first_error()?;
        }
        Ok(alive)
    }

    /// How long another loop may wait for this loop's descriptor before it calls [`turn`](EventLoop::turn): zero
    /// while work waits, `None` when no timer is set.
    ///
    /// The other loop calls `turn(Some(Duration::ZERO))` until it is `Ok(false)`, each time asks for this time, waits
    /// until the descriptor is readable or the time is over, and does its own work. The time is to be asked for last,
    /// for whatever uses our sockets between the turns may leave work; and a wait that counts in milliseconds is to
    /// be rounded up, or the last one goes round in circles. The examples `embed` and `embed_calloop` do just that.
    pub fn next_timeout(&self) -> Option<Duration> {
        if self.inner().is_idle() {
            self.inner().reactor.borrow().next_timeout()
        } else {
            Some(Duration::ZERO)
        }
    }

    fn take_first_error(&self) -> Result<()> {
        match self.inner().face.borrow_mut().first_error.take() {
            Some(error) => Err(error),
            None => Ok(()),
        }
    }

    fn enter(&self, running: Running) -> Result<RunGuard<'_>> {
        let inner = self.inner();
        if inner.running.get() != Running::No {
            return Err(Error::loop_running());
        }
        inner.running.set(running);
        inner.reactor.borrow_mut().enter();
        Ok(RunGuard { inner })
    }

    fn turn_once(&self, max_wait: Option<Duration>) -> Result<()> {
        let inner = self.inner();
        let _guard = TurnGuard { inner };
        inner.reactor.borrow_mut().begin_turn();
        self.run_deferred();
        self.run_timers();
        let max_wait = if inner.is_alive() {
            max_wait
        } else {
            Some(Duration::ZERO)
        };
        let idle = inner.is_idle() && !inner.stopping.get();
        let polled = inner.reactor.borrow_mut().poll(max_wait, idle);
        polled.map_err(|error| Error::system("epoll_wait", &error))?;
        self.run_posts();
        self.run_ready();
        self.run_deferred();
        self.run_immediates();
        self.run_closes();
        inner.drop_trash();
        Ok(())
    }

    fn run_timers(&self) {
        self.inner().reactor.borrow_mut().begin_timers();
        loop {
            let event = self.inner().reactor.borrow_mut().next_timer();
            let Some(event) = event else { return };
            self.dispatch(event);
            self.run_deferred();
        }
    }

    fn run_posts(&self) {
        for _ in 0..self.inner().mailbox.waiting().min(POST_BUDGET) {
            let Some(post) = self.inner().mailbox.pop() else {
                return;
            };
            post(self);
            self.run_deferred();
        }
    }

    fn run_immediates(&self) {
        let batch = self.inner().face.borrow().immediates.len();
        for _ in 0..batch {
            let immediate = self.inner().face.borrow_mut().immediates.pop_front();
            let Some(immediate) = immediate else { return };
            immediate(self);
            self.run_deferred();
        }
    }

    fn run_closes(&self) {
        let batch = self.inner().reactor.borrow().closes_waiting();
        for _ in 0..batch {
            let key = self.inner().reactor.borrow_mut().next_close();
            if let Some(key) = key {
                self.dispatch_close(key);
                self.run_deferred();
            }
        }
        let batch = self.inner().reactor.borrow().servers_closing();
        for _ in 0..batch {
            let key = self.inner().reactor.borrow_mut().next_server_close();
            if let Some(key) = key {
                self.dispatch_server_close(key);
                self.run_deferred();
            }
        }
    }
}

impl LoopHandle {
    /// One batch of what waits for the running callback to return. What it defers belongs to the next batch.
    #[inline]
    pub(super) fn run_deferred(&self) {
        let inner = self.inner();
        if inner.has_chores() {
            self.run_chores();
        }
    }

    fn run_chores(&self) {
        let inner = self.inner();
        inner.drop_trash();
        let mut left = inner.reactor.borrow().deferred.len();
        while left > 0 {
            let item = inner.reactor.borrow_mut().deferred.pop_front();
            let Some(item) = item else { return };
            left -= 1;
            if self.dispatch_deferred(item) {
                left += 1;
            }
            inner.drop_trash();
        }
    }
}

impl Deref for EventLoop {
    type Target = LoopHandle;

    fn deref(&self) -> &LoopHandle {
        &self.handle
    }
}

/// The descriptor is readable when a [`turn`](EventLoop::turn) has something to do; but timers, and work that waits
/// already, are told by [`next_timeout`](EventLoop::next_timeout) only.
///
/// It is to be waited for level-triggered, which is what poll(2) and epoll do unless told otherwise: a turn may leave
/// some of the events for the next. Nothing is to be read from it.
impl AsFd for EventLoop {
    fn as_fd(&self) -> BorrowedFd<'_> {
        crate::sys::borrow_fd(self)
    }
}

impl AsRawFd for EventLoop {
    /// # Panics
    ///
    /// A simulated loop has no descriptor.
    fn as_raw_fd(&self) -> RawFd {
        let fd = self.inner().reactor.borrow().raw_fd();
        fd.expect("a simulated loop has no descriptor")
    }
}

impl Drop for EventLoop {
    fn drop(&mut self) {
        let inner = self.inner();
        inner.dead.set(true);
        let posts = inner.mailbox.close();
        let sources = inner.reactor.borrow_mut().dismantle();
        let face = inner.face.borrow_mut().dismantle();
        inner.buffer.take();
        // Only now, with nothing borrowed and nothing left to find: destructors may call into the dead loop.
        drop((posts, face, sources));
        inner.drop_trash();
    }
}

impl fmt::Debug for EventLoop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EventLoop")
            .field("alive", &self.is_alive())
            .finish_non_exhaustive()
    }
}

/// Leaves `run` or `turn`, also when a callback panics.
struct RunGuard<'a> {
    inner: &'a Inner,
}

impl Drop for RunGuard<'_> {
    fn drop(&mut self) {
        self.inner.running.set(Running::No);
        // A `stop` is for this run only, also when a panic ended it first.
        self.inner.stopping.set(false);
    }
}

/// Leaves the turn, also when a callback panics. Each turn of a run by itself: a run may have no end.
struct TurnGuard<'a> {
    inner: &'a Inner,
}

impl Drop for TurnGuard<'_> {
    fn drop(&mut self) {
        self.inner.reactor.borrow_mut().leave_turn();
    }
}
