//! Timers as others keep them: a binary heap with lazy deletion, and tokio's.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Waker};
use std::time::Duration;

use slab::Slab;
use tokio::runtime::{self, Runtime};
use tokio::time::{self, Instant, Sleep};

/// What is measured of timers. Time is in ticks, and tick 0 is when they were made.
pub trait Timers: Sized {
    type Key: Copy;
    fn empty() -> Self;
    fn insert_all(&mut self, deadlines: &[u64]) -> Vec<Self::Key>;
    fn cancel_all(&mut self, keys: &[Self::Key]);
    fn rearm_all(&mut self, keys: &[Self::Key], deadline: u64);
    /// Moves time on to `now`; says how many timers that made due, and removes them.
    fn expire(&mut self, now: u64) -> usize;
}

/// Entries stay in the heap when their timer is cleared or set again. They are dropped when they come up, and all at once
/// when they are the greater part.
#[derive(Default)]
pub struct Heap {
    entries: BinaryHeap<Reverse<(u64, Entry)>>,
    /// Which entry is the valid one of a timer.
    timers: Slab<u32>,
    serial: u32,
    stale: usize,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Entry {
    serial: u32,
    timer: u32,
}

impl Heap {
    fn push(&mut self, deadline: u64, timer: usize) {
        self.serial = self.serial.wrapping_add(1);
        let (serial, timer) = (self.serial, timer as u32);
        self.timers[timer as usize] = serial;
        self.entries
            .push(Reverse((deadline, Entry { serial, timer })));
    }

    fn forget_one(&mut self) {
        self.stale += 1;
        if self.stale * 2 > self.entries.len() {
            let timers = &self.timers;
            self.entries
                .retain(|Reverse((_, entry))| is_valid(timers, *entry));
            self.stale = 0;
        }
    }
}

fn is_valid(timers: &Slab<u32>, entry: Entry) -> bool {
    timers.get(entry.timer as usize) == Some(&entry.serial)
}

impl Timers for Heap {
    type Key = usize;

    fn empty() -> Heap {
        Heap::default()
    }

    fn insert_all(&mut self, deadlines: &[u64]) -> Vec<usize> {
        let insert = |&deadline| {
            let timer = self.timers.insert(0);
            self.push(deadline, timer);
            timer
        };
        deadlines.iter().map(insert).collect()
    }

    fn cancel_all(&mut self, keys: &[usize]) {
        for &timer in keys {
            self.timers.remove(timer);
            self.forget_one();
        }
    }

    fn rearm_all(&mut self, keys: &[usize], deadline: u64) {
        for &timer in keys {
            self.push(deadline, timer);
            self.forget_one();
        }
    }

    fn expire(&mut self, now: u64) -> usize {
        let mut expired = 0;
        while let Some(Reverse((deadline, entry))) = self.entries.peek().copied() {
            if deadline > now {
                break;
            }
            self.entries.pop();
            if is_valid(&self.timers, entry) {
                self.timers.remove(entry.timer as usize);
                expired += 1;
            } else {
                self.stale -= 1;
            }
        }
        expired
    }
}

/// Each a `Sleep` that was polled once, as a task that waits does. The clock stands still but for `expire`.
pub struct Tokio {
    runtime: Runtime,
    start: Instant,
    now: u64,
    timers: Slab<Pin<Box<Sleep>>>,
}

impl Timers for Tokio {
    type Key = usize;

    fn empty() -> Tokio {
        let mut builder = runtime::Builder::new_current_thread();
        let runtime = builder.enable_time().start_paused(true).build().unwrap();
        let start = runtime.block_on(async { Instant::now() });
        Tokio {
            runtime,
            start,
            now: 0,
            timers: Slab::new(),
        }
    }

    fn insert_all(&mut self, deadlines: &[u64]) -> Vec<usize> {
        let _guard = self.runtime.enter();
        let mut context = Context::from_waker(Waker::noop());
        let insert = |&deadline| {
            let mut sleep = Box::pin(time::sleep_until(
                self.start + Duration::from_millis(deadline),
            ));
            assert!(sleep.as_mut().poll(&mut context).is_pending());
            self.timers.insert(sleep)
        };
        deadlines.iter().map(insert).collect()
    }

    fn cancel_all(&mut self, keys: &[usize]) {
        let _guard = self.runtime.enter();
        for &timer in keys {
            drop(self.timers.remove(timer));
        }
    }

    fn rearm_all(&mut self, keys: &[usize], deadline: u64) {
        let _guard = self.runtime.enter();
        let deadline = self.start + Duration::from_millis(deadline);
        for &timer in keys {
            self.timers[timer].as_mut().reset(deadline);
        }
    }

    /// Which are due is not told: a task of its own would wait for each. They are removed together after the last.
    fn expire(&mut self, now: u64) -> usize {
        let step = Duration::from_millis(now - self.now);
        self.now = now;
        self.runtime.block_on(time::advance(step));
        let all_due = self.timers.iter().all(|(_, timer)| timer.is_elapsed());
        if !all_due {
            return 0;
        }
        let expired = self.timers.len();
        self.timers.clear();
        expired
    }
}

/// A sequence of numbers that looks random and is the same each time.
pub fn random() -> impl FnMut() -> u64 {
    let mut state: u64 = 0x9e37_79b9_7f4a_7c15;
    move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state >> 8
    }
}
