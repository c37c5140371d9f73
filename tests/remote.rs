//! `Remote`: calls into the loop from other threads.

#[path = "common/census.rs"]
mod census;

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::sync::{Arc, Barrier};
use std::thread;
use std::time::Duration;

use census::EventLoop;
use tidewheel::{Code, Error, LoopClosed, LoopHandle, Remote};

/// Waits until the thread is asleep in a system call.
fn wait_until_asleep(tid: libc::pid_t) {
    let stat = format!("/proc/self/task/{tid}/stat");
    loop {
        let line = std::fs::read_to_string(&stat).unwrap();
        // The state is the word after the name, which stands in parentheses.
        if line
            .rsplit(')')
            .next()
            .unwrap()
            .trim_start()
            .starts_with('S')
        {
            return;
        }
        thread::yield_now();
    }
}

fn own_tid() -> libc::pid_t {
    // SAFETY: it takes nothing and cannot fail.
    unsafe { libc::gettid() }
}

// What posts leave on the loop's thread, which is the test's.
thread_local! {
    static SEEN: RefCell<Vec<(usize, usize)>> = const { RefCell::new(Vec::new()) };
}

#[test]
fn posts_of_each_thread_run_in_the_order_they_were_posted() {
    const THREADS: usize = 4;
    const POSTS: usize = 5000;
    let event_loop = EventLoop::new().unwrap();
    let threads: Vec<_> = (0..THREADS)
        .map(|number| {
            let remote = event_loop.remote();
            thread::spawn(move || {
                for post in 0..POSTS {
                    remote
                        .post(move |_| SEEN.with_borrow_mut(|seen| seen.push((number, post))))
                        .unwrap();
                }
            })
        })
        .collect();
    event_loop.run().unwrap();
    for thread in threads {
        thread.join().unwrap();
    }
    let seen = SEEN.take();
    assert_eq!(seen.len(), THREADS * POSTS);
    for number in 0..THREADS {
        let of_one = seen.iter().filter(|(thread, _)| *thread == number);
        assert!(of_one.map(|(_, post)| *post).eq(0..POSTS));
    }
}

#[test]
fn a_post_wakes_a_loop_that_waits() {
    let event_loop = EventLoop::new().unwrap();
    let (remote, tid) = (event_loop.remote(), own_tid());
    let thread = thread::spawn(move || {
        wait_until_asleep(tid);
        remote.post(|handle| handle.stop()).unwrap();
        remote
    });
    event_loop.run().unwrap();
    drop(thread.join().unwrap());
}

#[test]
fn a_turn_that_may_wait_for_weeks_is_not_cut_short() {
    let event_loop = EventLoop::new().unwrap();
    let (remote, tid) = (event_loop.remote(), own_tid());
    let thread = thread::spawn(move || {
        wait_until_asleep(tid);
        let post = || SEEN.with_borrow_mut(|seen| seen.push((4, 4)));
        remote.post(move |_| post()).unwrap();
    });
    // 2^32 milliseconds: what epoll takes is an `int`.
    let weeks = Some(Duration::from_millis(1 << 32));
    event_loop.turn(weeks).unwrap();
    assert_eq!(
        SEEN.take(),
        [(4, 4)],
        "nothing else could have ended the wait"
    );
    thread.join().unwrap();
}

#[test]
fn the_last_remote_dropped_wakes_the_loop_and_ends_its_run() {
    let event_loop = EventLoop::new().unwrap();
    let (remote, tid) = (event_loop.remote(), own_tid());
    let clone = remote.clone();
    let thread = thread::spawn(move || {
        drop(clone);
        wait_until_asleep(tid);
        drop(remote);
    });
    event_loop.run().unwrap();
    thread.join().unwrap();
    assert!(!event_loop.is_alive());
}

#[test]
fn the_last_remote_that_gives_up_its_reference_ends_the_run_too() {
    let event_loop = EventLoop::new().unwrap();
    let (remote, tid) = (event_loop.remote(), own_tid());
    let thread = thread::spawn(move || {
        wait_until_asleep(tid);
        remote.unref();
        remote
    });
    event_loop.run().unwrap();
    let remote = thread.join().unwrap();
    assert!(!event_loop.is_alive());
    remote.ref_();
    assert!(event_loop.is_alive());
}

#[test]
fn each_clone_counts_by_itself_and_starts_as_its_original() {
    let event_loop = EventLoop::new().unwrap();
    let referenced = event_loop.remote();
    let clone = referenced.clone();
    referenced.unref();
    referenced.unref();
    assert!(event_loop.is_alive(), "the clone is still referenced");
    drop(clone);
    assert!(!event_loop.is_alive());
    let clone = referenced.clone();
    assert!(!event_loop.is_alive(), "it began as its original was");
    clone.ref_();
    clone.ref_();
    assert!(event_loop.is_alive());
    clone.unref();
    assert!(!event_loop.is_alive());
    clone.ref_();
    drop(referenced);
    assert!(event_loop.is_alive());
    drop(clone);
    assert!(!event_loop.is_alive());
}

#[test]
fn a_post_of_an_unreferenced_remote_is_run_before_the_loop_ends() {
    let event_loop = EventLoop::new().unwrap();
    let remote = event_loop.remote();
    remote.unref();
    remote
        .post(|_| SEEN.with_borrow_mut(|seen| seen.push((9, 9))))
        .unwrap();
    assert!(event_loop.is_alive());
    drop(remote);
    event_loop.run().unwrap();
    assert_eq!(SEEN.take(), [(9, 9)]);
}

#[test]
fn what_is_posted_while_nobody_runs_waits_for_the_next_run() {
    let event_loop = EventLoop::new().unwrap();
    let remote = event_loop.remote();
    remote.unref();
    event_loop.run().unwrap();
    let poster = remote.clone();
    thread::spawn(move || poster.post(|_| SEEN.with_borrow_mut(|seen| seen.push((1, 1)))))
        .join()
        .unwrap()
        .unwrap();
    assert_eq!(SEEN.take(), []);
    event_loop.run().unwrap();
    assert_eq!(SEEN.take(), [(1, 1)]);
}

#[test]
fn a_post_may_post_and_that_waits_for_its_turn() {
    let event_loop = EventLoop::new().unwrap();
    fn again(remote: Remote, handle: &LoopHandle, left: usize) {
        let turn = handle.stats().turns as usize;
        SEEN.with_borrow_mut(|seen| seen.push((left, turn)));
        if left > 0 {
            let next = remote.clone();
            remote
                .post(move |handle| again(next, handle, left - 1))
                .unwrap();
        }
    }
    let remote = event_loop.remote();
    let next = remote.clone();
    remote.post(move |handle| again(next, handle, 3)).unwrap();
    drop(remote);
    event_loop.run().unwrap();
    let turns: Vec<usize> = SEEN.take().into_iter().map(|(_, turn)| turn).collect();
    assert_eq!(turns.len(), 4);
    assert!(turns.windows(2).all(|two| two[0] < two[1]), "{turns:?}");
}

#[test]
fn a_flood_of_posts_does_not_starve_the_rest() {
    let event_loop = EventLoop::new().unwrap();
    let remote = event_loop.remote();
    for _ in 0..10_000 {
        remote
            .post(|_| SEEN.with_borrow_mut(|seen| seen.push((0, 0))))
            .unwrap();
    }
    drop(remote);
    let at_immediate = Rc::new(Cell::new(0));
    let count = Rc::clone(&at_immediate);
    event_loop.set_immediate(move |_| count.set(SEEN.with_borrow(Vec::len)));
    event_loop.run().unwrap();
    assert_eq!(SEEN.take().len(), 10_000);
    assert!(
        at_immediate.get() < 10_000,
        "an immediate had to wait for all of them"
    );
}

#[test]
fn a_dropped_loop_refuses_posts_and_drops_those_that_wait_uncalled() {
    struct Counted(Arc<AtomicUsize>);
    impl Drop for Counted {
        fn drop(&mut self) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }
    let dropped = Arc::new(AtomicUsize::new(0));
    let event_loop = EventLoop::new().unwrap();
    let remote = event_loop.remote();
    let waiting = Counted(Arc::clone(&dropped));
    remote
        .post(move |_| {
            drop(waiting);
            unreachable!("the loop never ran");
        })
        .unwrap();
    drop(event_loop);
    assert_eq!(dropped.load(Ordering::Relaxed), 1);
    let late = Counted(Arc::clone(&dropped));
    assert_eq!(remote.post(move |_| drop(late)), Err(LoopClosed));
    assert_eq!(dropped.load(Ordering::Relaxed), 2);
    let error = Error::from(LoopClosed);
    assert_eq!(error.code(), Code::LoopClosed);
    assert_eq!(error.code().as_str(), "ERR_LOOP_CLOSED");
    remote.ref_();
    remote.unref();
    drop(remote.clone());
}

#[test]
fn posting_while_the_loop_is_dropped_either_counts_or_is_refused() {
    for _ in 0..50 {
        let event_loop = EventLoop::new().unwrap();
        let gate = Arc::new(Barrier::new(2));
        let (remote, ready) = (event_loop.remote(), Arc::clone(&gate));
        let thread = thread::spawn(move || {
            ready.wait();
            let held = Arc::new(());
            let mut sent = 0;
            loop {
                let probe = Arc::clone(&held);
                sent += 1;
                if remote.post(move |_| drop(probe)).is_err() {
                    break;
                }
            }
            (held, sent)
        });
        gate.wait();
        event_loop.turn(Some(Duration::ZERO)).unwrap();
        drop(event_loop);
        let (held, sent) = thread.join().unwrap();
        assert_eq!(Arc::strong_count(&held), 1, "of {sent} posts none is left");
    }
}

#[test]
fn a_remote_may_be_shared_by_threads() {
    fn shared<T: Send + Sync + Clone>(_: &T) {}
    let event_loop = EventLoop::new().unwrap();
    let remote = event_loop.remote();
    shared(&remote);
    let (sender, receiver) = mpsc::channel();
    thread::scope(|scope| {
        for number in 0..8 {
            let (remote, sender) = (&remote, sender.clone());
            scope.spawn(move || remote.post(move |_| sender.send(number).unwrap()));
        }
    });
    drop((sender, remote));
    event_loop.run().unwrap();
    let mut numbers: Vec<i32> = receiver.iter().collect();
    numbers.sort();
    assert!(numbers.into_iter().eq(0..8));
}
