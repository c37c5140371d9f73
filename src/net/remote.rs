//! Calls into the loop from other threads.

use std::collections::VecDeque;
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::LoopHandle;
use crate::error::{Code, Error};
use crate::reactor::Waker;

/// A call from another thread.
pub(super) type Post = Box<dyn FnOnce(&LoopHandle) + Send>;

/// The loop is gone: what was posted will never run.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LoopClosed;

impl fmt::Display for LoopClosed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the event loop is closed")
    }
}

impl std::error::Error for LoopClosed {}

impl From<LoopClosed> for Error {
    fn from(closed: LoopClosed) -> Error {
        Error::new(Code::LoopClosed, closed.to_string())
    }
}

/// What came from other threads and did not run yet. First in, first out.
pub(super) struct Mailbox {
    queue: Mutex<Queue>,
    waiting: AtomicUsize,
    /// Live `Remote`s, and those of them that are referenced.
    remotes: AtomicUsize,
    referenced: AtomicUsize,
}

struct Queue {
    posts: VecDeque<Post>,
    /// A simulated loop never sleeps and needs none. It goes with the loop, because it holds a descriptor.
    waker: Option<Waker>,
    closed: bool,
}

impl Queue {
    fn wake(&self) {
        if let Some(waker) = &self.waker {
            waker.wake();
        }
    }
}

impl Mailbox {
    pub(super) fn new(waker: Option<Waker>) -> Mailbox {
        Mailbox {
            queue: Mutex::new(Queue {
                posts: VecDeque::new(),
                waker,
                closed: false,
            }),
            waiting: AtomicUsize::new(0),
            remotes: AtomicUsize::new(0),
            referenced: AtomicUsize::new(0),
        }
    }

    /// Posts not yet taken.
    pub(super) fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Acquire)
    }

    /// How many live `Remote`s are referenced, and how many are not.
    pub(super) fn references(&self) -> (usize, usize) {
        let referenced = self.referenced.load(Ordering::Acquire);
        let remotes = self.remotes.load(Ordering::Acquire);
        // They may come and go in other threads meanwhile.
        (referenced, remotes.saturating_sub(referenced))
    }

    pub(super) fn is_referenced(&self) -> bool {
        self.referenced.load(Ordering::Acquire) > 0
    }

    pub(super) fn pop(&self) -> Option<Post> {
        let post = self.lock().posts.pop_front()?;
        self.waiting.fetch_sub(1, Ordering::AcqRel);
        Some(post)
    }

    /// Refuses further posts and gives up those that wait.
    pub(super) fn close(&self) -> VecDeque<Post> {
        let mut queue = self.lock();
        queue.closed = true;
        queue.waker = None;
        self.waiting.store(0, Ordering::Release);
        std::mem::take(&mut queue.posts)
    }

    fn push(&self, post: Post) -> Result<(), Post> {
        let mut queue = self.lock();
        if queue.closed {
            return Err(post);
        }
        let first = queue.posts.is_empty();
        queue.posts.push_back(post);
        self.waiting.fetch_add(1, Ordering::AcqRel);
        if first {
            queue.wake();
        }
        Ok(())
    }

    fn wake(&self) {
        self.lock().wake();
    }

    /// A post that panics does so outside the lock, so a poisoned one is as good as new.
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A way into the loop from any thread: `Send + Sync + Clone`.
///
/// While a referenced `Remote` lives, the loop stays alive, for a call may still come. Each clone counts by itself
/// and starts as its original was; the last one dropped wakes the loop once, so that it can end.
///
/// Node has no such thing; libuv calls it `uv_async_t`. Unlike there no call is ever merged with another.
///
/// ```
/// use tidewheel::EventLoop;
///
/// # fn main() -> Result<(), tidewheel::Error> {
/// let event_loop = EventLoop::new()?;
/// let remote = event_loop.remote();
/// let worker = std::thread::spawn(move || {
///     let answer = 6 * 7;
///     remote.post(move |_| println!("the answer is {answer}"))
/// });
/// event_loop.run()?; // returns once the post has run and the remote is gone
/// worker.join().unwrap()?;
/// # Ok(()) }
/// ```
pub struct Remote {
    mailbox: Arc<Mailbox>,
    referenced: AtomicBool,
}

impl Remote {
    pub(super) fn new(mailbox: Arc<Mailbox>, referenced: bool) -> Remote {
        mailbox.remotes.fetch_add(1, Ordering::AcqRel);
        if referenced {
            mailbox.referenced.fetch_add(1, Ordering::AcqRel);
        }
        Remote {
            mailbox,
            referenced: AtomicBool::new(referenced),
        }
    }

    /// Runs `call` on the loop's thread, in a later turn, after all that was posted before. It wakes a waiting loop.
    ///
    /// # Errors
    ///
    /// [`LoopClosed`] when the loop was dropped; `call` is then dropped at once. A loop that ended its run but still
    /// exists takes posts, and runs them when it runs again.
    pub fn post(&self, call: impl FnOnce(&LoopHandle) + Send + 'static) -> Result<(), LoopClosed> {
        self.mailbox.push(Box::new(call)).map_err(|_| LoopClosed)
    }

    /// Keeps the loop alive while this `Remote` lives; the default. Doing so twice changes nothing.
    pub fn ref_(&self) {
        if !self.referenced.swap(true, Ordering::AcqRel) {
            self.mailbox.referenced.fetch_add(1, Ordering::AcqRel);
        }
    }

    /// Lets the loop end although this `Remote` lives. Doing so twice changes nothing.
    pub fn unref(&self) {
        if self.referenced.swap(false, Ordering::AcqRel) {
            self.release();
        }
    }

    fn release(&self) {
        if self.mailbox.referenced.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.mailbox.wake();
        }
    }
}

impl Clone for Remote {
    fn clone(&self) -> Remote {
        let referenced = self.referenced.load(Ordering::Acquire);
        Remote::new(Arc::clone(&self.mailbox), referenced)
    }
}

impl Drop for Remote {
    fn drop(&mut self) {
        if *self.referenced.get_mut() {
            self.release();
        }
        self.mailbox.remotes.fetch_sub(1, Ordering::AcqRel);
    }
}

impl fmt::Debug for Remote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Remote")
            .field("referenced", &self.referenced.load(Ordering::Acquire))
            .finish_non_exhaustive()
    }
}
