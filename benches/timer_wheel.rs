//! What does a timer cost, among a thousand others and among a million: to set, to clear, to set again, to expire?
//!
//! The wheel against a binary heap with lazy deletion, as it is usually written, and against tokio's `Sleep`. Apart from
//! that: what one activity costs on a socket with an idle timeout, which here sets no timer but stores a time.

use std::time::Duration;

#[path = "common/mode.rs"]
mod mode;
#[path = "common/record.rs"]
mod record;
#[path = "common/sampled.rs"]
mod sampled;
#[path = "common/timers.rs"]
mod timers;

// Parts of the crate that the outside does not see. Their tests come along, of which without a harness only the imports
// are left.
#[path = "../src/arena.rs"]
#[allow(dead_code, unused_imports)]
mod arena;
#[path = "../src/conn"]
#[allow(dead_code, unused_imports)]
mod conn {
    mod event;
    pub mod idle;
}
#[path = "../src/timer/mod.rs"]
#[allow(dead_code, unused_imports)]
mod timer;

use conn::idle::Idle;
use sampled::{time, Routine, Sampled};
use timer::Wheel;
use timers::{random, Heap, Timers, Tokio};

/// Timers set, cleared or set again in one call of a routine.
const BATCH: usize = 1000;
/// Deadlines are this far ahead at most, in ticks.
const SPAN: u64 = 60_000;

/// The same routine over each kind of timers.
macro_rules! peers {
    ($routine:ident, $size:expr) => {{
        let size = $size;
        let peers: Vec<(&str, Box<dyn Fn() -> Routine>)> = vec![
            ("tidewheel", Box::new(move || $routine::<Wheel<u32>>(size))),
            ("binary heap", Box::new(move || $routine::<Heap>(size))),
            ("tokio", Box::new(move || $routine::<Tokio>(size))),
        ];
        peers
    }};
}
fn main() {
    let mut bench = Sampled::new("timer_wheel");
    for (size, name) in [(1_000, "1 k"), (100_000, "100 k"), (1_000_000, "1 M")] {
        let size = bench.size(size);
        let batch = BATCH as u64;
        bench.case(&format!("insert {name}"), batch, peers!(insert, size));
        bench.case(&format!("cancel {name}"), batch, peers!(cancel, size));
        bench.case(&format!("re-arm {name}"), batch, peers!(rearm, size));
        bench.case(&format!("expire {name}"), size as u64, peers!(expire, size));
    }
    for (size, name) in [(10_000, "10 k"), (1_000_000, "1 M")] {
        let size = bench.size(size);
        let mut peers = peers!(rearm, size);
        peers[0] = ("tidewheel", Box::new(move || touch(size)));
        bench.case(&format!("idle activity {name}"), BATCH as u64, peers);
    }
    bench.finish();
}

fn insert<T: Timers + 'static>(size: usize) -> Routine {
    let mut timers = T::empty();
    timers.insert_all(&deadlines(size));
    let batch = deadlines(BATCH);
    Box::new(move || {
        let mut keys = Vec::new();
        let time = time(|| keys = timers.insert_all(&batch));
        timers.cancel_all(&keys);
        time
    })
}

fn cancel<T: Timers + 'static>(size: usize) -> Routine {
    let mut timers = T::empty();
    timers.insert_all(&deadlines(size));
    let batch = deadlines(BATCH);
    Box::new(move || {
        let keys = timers.insert_all(&batch);
        time(|| timers.cancel_all(&keys))
    })
}

/// Timers in no order, each set to the whole period again.
fn rearm<T: Timers + 'static>(size: usize) -> Routine {
    let mut timers = T::empty();
    let keys = timers.insert_all(&deadlines(size));
    let mut numbers = random();
    let mut deadline = SPAN;
    Box::new(move || {
        let chosen: Vec<T::Key> = (0..BATCH)
            .map(|_| keys[numbers() as usize % size])
            .collect();
        deadline += 1;
        time(|| timers.rearm_all(&chosen, deadline))
    })
}

/// All of them, in a hundred steps.
fn expire<T: Timers + 'static>(size: usize) -> Routine {
    const STEPS: u64 = 100;
    let batch = deadlines(size);
    Box::new(move || {
        let mut timers = T::empty();
        timers.insert_all(&batch);
        time(|| {
            let expired = (1..=STEPS).map(|step| timers.expire(step * SPAN / STEPS));
            assert_eq!(expired.sum::<usize>(), size);
        })
    })
}

/// Activity on sockets in no order.
fn touch(size: usize) -> Routine {
    let mut sockets: Vec<Idle> = (0..size).map(|_| Idle::default()).collect();
    for idle in &mut sockets {
        idle.set(Duration::from_secs(120).as_nanos() as u64, 0);
    }
    let mut numbers = random();
    let mut now = 0;
    Box::new(move || {
        let chosen: Vec<usize> = (0..BATCH).map(|_| numbers() as usize % size).collect();
        now += 1;
        time(|| {
            chosen
                .iter()
                .filter(|&&socket| sockets[socket].touch(now))
                .count()
        })
    })
}

/// Spread over the span, in no order.
fn deadlines(count: usize) -> Vec<u64> {
    let mut numbers = random();
    (0..count).map(|_| 1 + numbers() % SPAN).collect()
}

impl Timers for Wheel<u32> {
    type Key = timer::TimerKey;

    fn empty() -> Self {
        Wheel::new()
    }

    fn insert_all(&mut self, deadlines: &[u64]) -> Vec<Self::Key> {
        let insert = |&deadline| self.insert(deadline, 0);
        deadlines.iter().map(insert).collect()
    }

    fn cancel_all(&mut self, keys: &[Self::Key]) {
        for &key in keys {
            self.cancel(key);
        }
    }

    fn rearm_all(&mut self, keys: &[Self::Key], deadline: u64) {
        for &key in keys {
            self.rearm(key, deadline);
        }
    }

    fn expire(&mut self, now: u64) -> usize {
        self.advance(now);
        let mut expired = 0;
        while let Some(key) = self.pop_due_key() {
            self.cancel(key);
            expired += 1;
        }
        expired
    }
}
