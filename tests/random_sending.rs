//! Random calls on a simulated network with every fault: what holds of sending holds whatever comes between.
#![cfg(feature = "sim")]

mod common;
#[path = "common/sending.rs"]
mod sending;

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use common::{counter, EventLoop};
use sending::{pattern, Received};
use tidewheel::net::{self, Socket, WriteStatus};
use tidewheel::sim::{Faults, Sim};
use tidewheel::Error;

/// What one side has seen and done.
#[derive(Default)]
struct Side {
    /// Bytes accepted, and how many of its write callbacks have run.
    accepted: Cell<usize>,
    given: Cell<usize>,
    called: Cell<usize>,
    failed: Cell<bool>,
    owed_drains: Cell<usize>,
    drains: Cell<usize>,
    errors: Cell<usize>,
    finished: Cell<bool>,
    closed: Cell<Option<bool>>,
}

/// SplitMix64, so that a seed is a run.
struct Random(Cell<u64>);

impl Random {
    fn below(&self, bound: u64) -> u64 {
        self.0.set(self.0.get().wrapping_add(0x9e37_79b9_7f4a_7c15));
        let mut mixed = self.0.get();
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % bound
    }
}

/// Watches one end and holds its rules.
fn watch(socket: &Socket, side: &Rc<Side>, peer_sent: &Received) {
    let received = peer_sent.clone();
    socket.on_data(move |_, data| received.push(data));
    let of = Rc::clone(side);
    socket.on_drain(move |socket| {
        assert!(of.owed_drains.get() > of.drains.get());
        assert_eq!(socket.buffer_size(), 0);
        of.drains.set(of.owed_drains.get());
    });
    let of = Rc::clone(side);
    socket.on_finish(move |socket| {
        assert_eq!(socket.buffer_size(), 0);
        assert_eq!(of.called.get(), of.given.get(), "finish before a callback");
        of.finished.set(true);
    });
    let of = Rc::clone(side);
    socket.on_error(move |_, _| of.errors.set(of.errors.get() + 1));
    let of = Rc::clone(side);
    socket.on_close(move |_, had_error| {
        assert_eq!(of.called.get(), of.given.get(), "close before a callback");
        assert_eq!(of.errors.get(), usize::from(had_error));
        assert!(of.closed.replace(Some(had_error)).is_none(), "close twice");
    });
}

/// One write, with a callback that checks its place in the order.
fn write(socket: &Socket, side: &Rc<Side>, len: usize) {
    let number = side.given.get();
    side.given.set(number + 1);
    let full = socket.need_drain();
    let of = Rc::clone(side);
    let data = pattern(side.accepted.get(), len);
    let status = socket.write_then(data, move |_, result: Result<(), Error>| {
        assert_eq!(of.called.get(), number, "callbacks out of order");
        of.called.set(number + 1);
        // After a failure nothing succeeds.
        assert!(!(of.failed.get() && result.is_ok()));
        of.failed.set(result.is_err());
    });
    match status {
        WriteStatus::Refused => {}
        _ => side.accepted.set(side.accepted.get() + len),
    }
    if status == WriteStatus::Queued && !full {
        side.owed_drains.set(side.owed_drains.get() + 1);
    }
    assert_eq!(
        status == WriteStatus::Flushed,
        status != WriteStatus::Refused && socket.buffer_size() == 0
    );
}

fn random_call(socket: &Socket, side: &Rc<Side>, random: &Random) {
    match random.below(40) {
        0 => socket.end(),
        1 if random.below(4) == 0 => socket.destroy(),
        2 => drop(socket.cork()),
        3..=5 => drop(socket.uncork()),
        6 => drop(socket.pause()),
        7..=9 => drop(socket.resume()),
        _ => write(socket, side, random.below(90) as usize),
    }
}

fn run(seed: u64, reset: f64) -> (Rc<Side>, Rc<Side>) {
    let random = Rc::new(Random(Cell::new(seed)));
    let faults = Faults::default().capacity(1 + random.below(60) as usize);
    let faults = faults.short_read(0.3).short_write(0.3).would_block(0.2);
    let sim = Sim::with_faults(seed, faults.spurious(0.1).reset(reset));
    let event_loop = EventLoop::of(EventLoop::builder().sim(&sim)).unwrap();
    let (a, b) = net::pair(&event_loop).unwrap();
    let sides: [Rc<Side>; 2] = Default::default();
    let wires = [Received::default(), Received::default()];
    for (socket, at) in [(&a, 0), (&b, 1)] {
        if random.below(2) == 0 {
            socket.set_high_water_mark(random.below(100) as usize);
        }
        watch(socket, &sides[at], &wires[1 - at]);
    }
    let left = RefCell::new(200);
    let calls = sides.clone();
    event_loop.set_interval(Duration::from_millis(1), move |timer| {
        for (socket, side) in [(&a, &calls[0]), (&b, &calls[1])] {
            random_call(socket, side, &random);
        }
        let left = &mut *left.borrow_mut();
        *left -= 1;
        if *left == 0 {
            for socket in [&a, &b] {
                socket.resume().end();
            }
            timer.clear();
        }
    });
    event_loop.run().unwrap();
    for at in [0, 1] {
        let (side, received) = (&sides[at], wires[at].bytes());
        assert!(received.len() <= side.accepted.get());
        assert!(
            received == pattern(0, received.len()),
            "seed {seed}: bytes changed on the way"
        );
        let clean = sides
            .iter()
            .all(|side| side.closed.get() == Some(false) && side.finished.get());
        assert!(
            !clean || received.len() == side.accepted.get(),
            "seed {seed}: bytes lost"
        );
        assert_eq!(side.called.get(), side.given.get());
        assert!(side.closed.get().is_some());
    }
    let [a, b] = sides;
    (a, b)
}

#[test]
fn random_calls_keep_the_order_of_callbacks_and_lose_no_byte() {
    let mut clean = 0;
    for seed in 0..500 {
        let (a, b) = run(seed, 0.0);
        clean += usize::from(a.finished.get() && b.finished.get());
    }
    assert!(clean > 50, "too few runs ended in order: {clean}");
}

#[test]
fn resets_at_any_moment_are_told_once_and_fail_what_waits() {
    let mut failed = 0;
    for seed in 0..500 {
        let (a, b) = run(seed, 0.01);
        failed += usize::from(a.closed.get() == Some(true) || b.closed.get() == Some(true));
    }
    assert!(failed > 50, "too few runs were reset: {failed}");
}

/// Every socket writes on as Node's manual says to: until false, and again at `drain`.
fn pump(socket: &Socket, chunk: usize, total: usize, owed: &Cell<usize>) {
    while (socket.bytes_written() as usize) < total {
        let at = socket.bytes_written() as usize;
        let status = socket.write(pattern(at, chunk.min(total - at)));
        assert_eq!(socket.need_drain(), status == WriteStatus::Queued);
        if !status.is_ok() {
            return owed.set(owed.get() + 1);
        }
    }
    socket.end();
}

#[test]
fn no_fault_of_the_kernel_loses_a_drain() {
    const TOTAL: usize = 3000;
    for seed in 0..200 {
        let faults = Faults::default().capacity(1 + (seed as usize % 40));
        let faults = faults.short_read(0.3).short_write(0.3);
        let sim = Sim::with_faults(seed, faults.would_block(0.2).spurious(0.2));
        let event_loop = EventLoop::of(EventLoop::builder().sim(&sim)).unwrap();
        let (a, b) = net::pair(&event_loop).unwrap();
        let received = Received::default();
        let bytes = received.clone();
        b.on_data(move |_, data| bytes.push(data));
        let (owed, got) = (counter(), counter());
        let (count, seen) = (Rc::clone(&owed), Rc::clone(&got));
        a.on_drain(move |socket| {
            seen.set(seen.get() + 1);
            assert_eq!(seen.get(), count.get(), "seed {seed}");
            pump(socket, 50, TOTAL, &count);
        });
        pump(&a, 50, TOTAL, &owed);
        event_loop.run().unwrap();
        assert_eq!(received.bytes(), pattern(0, TOTAL), "seed {seed}");
        assert!(owed.get() - got.get() <= 1 && got.get() > 0, "seed {seed}");
    }
}
