//! What is counted: callgrind collects while one of the functions `counted_*` runs, and only then.

use std::hint::black_box;
use std::time::Duration;

use tidewheel::EventLoop;

use crate::conn::idle::Idle;
use crate::timer::{TimerKey, Wheel};

/// The functions as callgrind is told of them, however their names are mangled.
pub const FUNCTIONS: &str = "*counted_*";

/// How often the counted functions without a server do what they do.
pub const OPERATIONS: u64 = 100_000;

pub fn turn(event_loop: &EventLoop) {
    counted_turn(event_loop);
}

/// A turn of a loop that is not ours.
pub fn call(turn: &mut dyn FnMut()) {
    counted_call(turn);
}

/// Activity on sockets with an idle timer.
pub fn touch(sockets: usize) {
    let mut sockets: Vec<Idle> = (0..sockets).map(|_| Idle::default()).collect();
    for idle in &mut sockets {
        idle.set(120_000_000_000, 0);
    }
    counted_touches(&mut sockets);
}

/// Timers that are set again before they are due.
pub fn rearm(timers: usize) {
    let (mut wheel, keys) = wheel(timers);
    counted_rearms(&mut wheel, &keys);
}

/// Timers that are set and cleared while others wait.
pub fn insert(timers: usize) {
    let (mut wheel, _keys) = wheel(timers);
    counted_inserts(&mut wheel);
}

#[inline(never)]
fn counted_turn(event_loop: &EventLoop) {
    event_loop.turn(Some(Duration::ZERO)).unwrap();
}

#[inline(never)]
fn counted_call(turn: &mut dyn FnMut()) {
    turn();
    // As the last thing it would be a jump, and this function left before it.
    black_box(());
}

#[inline(never)]
fn counted_touches(sockets: &mut [Idle]) {
    for now in 0..OPERATIONS / sockets.len() as u64 {
        for idle in &mut *sockets {
            black_box(idle.touch(now));
        }
    }
}

#[inline(never)]
fn counted_rearms(wheel: &mut Wheel<u32>, keys: &[TimerKey]) {
    let mut random = 1;
    for now in 0..OPERATIONS {
        let key = keys[step(&mut random) as usize % keys.len()];
        black_box(wheel.rearm(key, 120_000 + now));
    }
}

#[inline(never)]
fn counted_inserts(wheel: &mut Wheel<u32>) {
    for now in 0..OPERATIONS {
        let key = wheel.insert(120_000 + now, 0);
        black_box(wheel.cancel(key));
    }
}

/// A wheel with timers over two minutes.
fn wheel(timers: usize) -> (Wheel<u32>, Vec<TimerKey>) {
    let mut wheel = Wheel::new();
    let mut random = 1;
    let mut insert = |n| wheel.insert(1 + step(&mut random) % 120_000, n as u32);
    let keys = (0..timers).map(&mut insert).collect();
    (wheel, keys)
}

/// The next number of a simple random sequence.
fn step(state: &mut u64) -> u64 {
    *state = state
        .wrapping_mul(6_364_136_223_846_793_005)
        .wrapping_add(1_442_695_040_888_963_407);
    *state >> 33
}
