//! Calls into the loop from other threads.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::Arc;

use super::{mailbox, LoopHandle};
use crate::error::{Code, Error};
use crate::reactor::Waker;

/// A call from another thread.
pub(super) type Post = Box<dyn FnOnce(&LoopHandle) + Send>;

/// Where the calls wait until the loop takes them.
pub(super) type Mailbox = mailbox::Mailbox<Post, Waker>;

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
        mailbox.enter(referenced);
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
            self.mailbox.reference();
        }
    }

    /// Lets the loop end although this `Remote` lives. Doing so twice changes nothing.
    pub fn unref(&self) {
        if self.referenced.swap(false, Ordering::AcqRel) {
            self.mailbox.release();
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
        self.mailbox.leave(*self.referenced.get_mut());
    }
}

impl fmt::Debug for Remote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Remote")
            .field("referenced", &self.referenced.load(Ordering::Acquire))
            .finish_non_exhaustive()
    }
}
