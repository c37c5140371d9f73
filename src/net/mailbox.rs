//! What came from other threads and did not run yet, and how many of them may still send.
//!
//! It knows neither what is posted nor what wakes, so that `tests/loom` can try it in every interleaving of its threads.

#[cfg(loom)]
use loom::sync::atomic::{AtomicUsize, Ordering};
#[cfg(loom)]
use loom::sync::{Mutex, MutexGuard};
use std::collections::VecDeque;
#[cfg(not(loom))]
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::PoisonError;
#[cfg(not(loom))]
use std::sync::{Mutex, MutexGuard};

use crate::resolver::Wake;

/// First in, first out. Nothing that was posted is dropped under the lock: its destructor may post.
pub(super) struct Mailbox<P, W> {
    queue: Mutex<Queue<P, W>>,
    waiting: AtomicUsize,
    /// Live `Remote`s, and those of them that are referenced.
    remotes: AtomicUsize,
    referenced: AtomicUsize,
}

struct Queue<P, W> {
    posts: VecDeque<P>,
    /// A simulated loop never sleeps and needs none. It goes with the loop, because it holds a descriptor.
    waker: Option<W>,
    closed: bool,
}

/// What the loop asks.
impl<P, W: Wake> Mailbox<P, W> {
    pub(super) fn new(waker: Option<W>) -> Mailbox<P, W> {
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

    /// There is something to run, or may be.
    pub(super) fn is_alive(&self) -> bool {
        // In this order: whoever gives up the last reference has posted before, so that post is seen.
        self.referenced.load(Ordering::Acquire) > 0 || self.waiting() > 0
    }

    pub(super) fn pop(&self) -> Option<P> {
        let post = self.lock().posts.pop_front()?;
        self.waiting.fetch_sub(1, Ordering::AcqRel);
        Some(post)
    }

    /// Refuses further posts and gives up those that wait.
    pub(super) fn close(&self) -> VecDeque<P> {
        let mut queue = self.lock();
        queue.closed = true;
        queue.waker = None;
        self.waiting.store(0, Ordering::Release);
        std::mem::take(&mut queue.posts)
    }
}

/// What a `Remote` says.
impl<P, W: Wake> Mailbox<P, W> {
    /// Takes a post, or gives it back if the loop is gone. Whoever makes the queue non-empty wakes the loop, for the
    /// loop does not sleep while anything waits.
    pub(super) fn push(&self, post: P) -> Result<(), P> {
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

    /// There is one `Remote` more.
    pub(super) fn enter(&self, referenced: bool) {
        self.remotes.fetch_add(1, Ordering::AcqRel);
        if referenced {
            self.reference();
        }
    }

    /// There is one `Remote` less.
    pub(super) fn leave(&self, referenced: bool) {
        if referenced {
            self.release();
        }
        self.remotes.fetch_sub(1, Ordering::AcqRel);
    }

    pub(super) fn reference(&self) {
        self.referenced.fetch_add(1, Ordering::AcqRel);
    }

    /// The last reference given up wakes the loop, so that it can end.
    pub(super) fn release(&self) {
        if self.referenced.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.lock().wake();
        }
    }

    /// A post that panics does so outside the lock, so a poisoned one is as good as new.
    fn lock(&self) -> MutexGuard<'_, Queue<P, W>> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<P, W: Wake> Queue<P, W> {
    fn wake(&self) {
        if let Some(waker) = &self.waker {
            waker.wake();
        }
    }
}
