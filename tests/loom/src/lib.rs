//! The crate's own mailbox, in every interleaving of the threads that post and the loop that takes.
//!
//! The loop is played by [`Waiting::run`], which sleeps as the real one does: only while nothing waits, until it is woken.
//! A wake-up that is missing is a deadlock, and loom reports it.
#![cfg(test)]

#[path = "../../../src/net/mailbox.rs"]
mod mailbox;

/// What the mailbox imports from the crate.
mod resolver {
    pub(crate) trait Wake: Send + Sync {
        fn wake(&self);
    }
}

use loom::sync::atomic::{AtomicUsize, Ordering};
use loom::sync::{Arc, Condvar, Mutex};
use loom::thread::{self, JoinHandle};

use mailbox::Mailbox;
use resolver::Wake;

/// Stands in for an eventfd: what it was told before the wait ends the wait.
#[derive(Clone, Default)]
struct Bell(Arc<(Mutex<usize>, Condvar)>);

impl Bell {
    fn rung(&self) -> usize {
        *self.0 .0.lock().unwrap()
    }

    /// Returns once there are more than `seen`, and how many.
    fn wait(&self, seen: usize) -> usize {
        let mut rung = self.0 .0.lock().unwrap();
        while *rung == seen {
            rung = self.0 .1.wait(rung).unwrap();
        }
        *rung
    }
}

impl Wake for Bell {
    fn wake(&self) {
        *self.0 .0.lock().unwrap() += 1;
        self.0 .1.notify_one();
    }
}

/// A loop with nothing to do but what is posted.
struct Waiting<P> {
    mailbox: Arc<Mailbox<P, Bell>>,
    bell: Bell,
}

impl<P: Send + 'static> Waiting<P> {
    fn new() -> Waiting<P> {
        let bell = Bell::default();
        Waiting {
            mailbox: Arc::new(Mailbox::new(Some(bell.clone()))),
            bell,
        }
    }

    /// A thread with a referenced `Remote`, which it drops at its end.
    fn thread(&self, body: impl FnOnce(&Mailbox<P, Bell>) + Send + 'static) -> JoinHandle<()> {
        let mailbox = Arc::clone(&self.mailbox);
        mailbox.enter(true);
        thread::spawn(move || {
            body(&mailbox);
            mailbox.leave(true);
        })
    }

    /// As `EventLoop::run`: until nothing is alive. What it took, in order.
    fn run(&self) -> Vec<P> {
        let mut taken = Vec::new();
        let mut seen = 0;
        while self.mailbox.is_alive() {
            if self.mailbox.waiting() == 0 {
                seen = self.bell.wait(seen);
            }
            for _ in 0..self.mailbox.waiting() {
                taken.extend(self.mailbox.pop());
            }
        }
        taken
    }
}

fn of_thread(taken: &[(usize, usize)], thread: usize) -> Vec<usize> {
    let of_it = taken.iter().filter(|(from, _)| *from == thread);
    of_it.map(|(_, number)| *number).collect()
}

/// With at most so many switches away from a thread that could go on: three threads have too many ways else. More of
/// them can be asked for by `LOOM_MAX_PREEMPTIONS`.
fn model(preemptions: usize, body: impl Fn() + Send + Sync + 'static) {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = model.preemption_bound.or(Some(preemptions));
    model.check(body);
}

#[test]
fn no_post_is_lost_and_those_of_a_thread_stay_in_order() {
    model(2, || {
        let waiting = Waiting::new();
        let threads = [(1, 2), (2, 1)].map(|(thread, posts)| {
            waiting.thread(move |mailbox| {
                for number in 0..posts {
                    mailbox.push((thread, number)).unwrap();
                }
            })
        });
        let taken = waiting.run();
        assert_eq!(of_thread(&taken, 1), [0, 1]);
        assert_eq!(of_thread(&taken, 2), [0]);
        assert_eq!(waiting.mailbox.references().0, 0);
        for thread in threads {
            thread.join().unwrap();
        }
        assert_eq!(waiting.mailbox.references(), (0, 0));
    });
}

/// By the post that finds the queue empty, and by the last reference given up; by nobody else.
#[test]
fn it_is_woken_exactly_when_it_may_sleep() {
    loom::model(|| {
        let waiting = Waiting::new();
        waiting.mailbox.enter(true);
        let threads =
            [1, 2].map(|number| waiting.thread(move |mailbox| mailbox.push(number).unwrap()));
        for thread in threads {
            thread.join().unwrap();
        }
        assert_eq!(waiting.bell.rung(), 1, "one of the two found it empty");
        assert!(waiting.mailbox.pop().is_some());
        waiting.mailbox.push(3).unwrap();
        assert_eq!(waiting.bell.rung(), 1, "the other was still there");
        waiting.mailbox.leave(true);
        assert_eq!(waiting.bell.rung(), 2, "nobody is left who may post");
        assert_eq!(waiting.run().len(), 2);
    });
}

#[test]
fn the_last_reference_given_up_ends_a_loop_that_sleeps() {
    model(3, || {
        let waiting = Waiting::<()>::new();
        let threads = [1, 2].map(|_| waiting.thread(|_| {}));
        assert!(waiting.run().is_empty());
        for thread in threads {
            thread.join().unwrap();
        }
    });
}

/// Counts itself as long as it is there.
struct Counted(Arc<AtomicUsize>);

impl Counted {
    fn new(count: &Arc<AtomicUsize>) -> Counted {
        count.fetch_add(1, Ordering::AcqRel);
        Counted(Arc::clone(count))
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

#[test]
fn a_close_gives_up_what_waits_and_gives_back_what_comes_later() {
    loom::model(|| {
        let waiting = Waiting::new();
        let (alive, refused) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let (posts, back) = (Arc::clone(&alive), Arc::clone(&refused));
        let thread = waiting.thread(move |mailbox| {
            for _ in 0..2 {
                if mailbox.push(Counted::new(&posts)).is_err() {
                    back.fetch_add(1, Ordering::AcqRel);
                }
            }
        });
        let popped = usize::from(waiting.mailbox.pop().is_some());
        let given_up = waiting.mailbox.close().len();
        assert_eq!(waiting.mailbox.waiting(), 0);
        let rung = waiting.bell.rung();
        assert!(waiting.mailbox.push(Counted::new(&alive)).is_err());
        thread.join().unwrap();
        assert_eq!(popped + given_up + refused.load(Ordering::Acquire), 2);
        assert_eq!(waiting.bell.rung(), rung, "nobody is there to be woken");
        assert_eq!(waiting.mailbox.waiting(), 0);
        assert_eq!(alive.load(Ordering::Acquire), 0, "every post was dropped");
    });
}

/// Posts again when it is dropped: under the lock that would never end.
struct Echo {
    mailbox: Arc<Mailbox<Echo, Bell>>,
    again: bool,
}

impl Drop for Echo {
    fn drop(&mut self) {
        if self.again {
            let mailbox = Arc::clone(&self.mailbox);
            let echo = Echo {
                mailbox,
                again: false,
            };
            let _ = self.mailbox.push(echo);
        }
    }
}

#[test]
fn nothing_is_dropped_under_the_lock() {
    loom::model(|| {
        let waiting = Waiting::new();
        let echo = |mailbox: &Arc<Mailbox<Echo, Bell>>| Echo {
            mailbox: Arc::clone(mailbox),
            again: true,
        };
        assert!(waiting.mailbox.push(echo(&waiting.mailbox)).is_ok());
        let late = echo(&waiting.mailbox);
        let thread = waiting.thread(move |mailbox| drop(mailbox.push(late)));
        drop(waiting.mailbox.pop());
        drop(waiting.mailbox.close());
        thread.join().unwrap();
    });
}
