//! Operations on one connection beside a plain model of it: bytes in are bytes out and in order, there is one end,
//! no `drain` is lost, and every callback is told once. The model is that of the tests of `conn`.

use super::input::Input;
use crate::conn::*;
use clock::Tick;
use pair::{Op, Pair};

#[path = "../../../src/conn/tests/clock.rs"]
mod clock;
#[path = "../../../src/conn/tests/model.rs"]
mod model;
#[path = "../../../src/conn/tests/pair.rs"]
mod pair;
#[path = "../../../src/conn/tests/shell.rs"]
#[allow(dead_code)]
mod shell;

const MAX_OPS: usize = 300;

pub fn run(data: &[u8]) {
    let mut input = Input::new(data);
    let adopted = input.flag();
    let max_queued = match input.byte() {
        0..=199 => None,
        tight => Some(usize::from(tight - 199) * 40),
    };
    let limits = Limits::new(0, max_queued, false);
    let mut pair = Pair::new(adopted, limits);
    for _ in 0..MAX_OPS {
        if input.is_empty() {
            break;
        }
        pair.apply(op(&mut input));
        pair.compare();
    }
    pair.run_to_the_end();
}

/// Writes, sends and deliveries are what most of a life is made of, so most bytes mean one of them.
fn op(input: &mut Input<'_>) -> Op {
    let byte = input.byte();
    match byte % 72 {
        0..=15 => Op::Write {
            len: input.length(),
            room: match input.byte() {
                0..=7 => None,
                room => Some(usize::from(room) * usize::from(room) / 8),
            },
            owned: input.flag(),
        },
        16..=25 => Op::Flush(input.length()),
        26..=37 => Op::Deliver,
        38 | 39 => Op::Connect,
        40..=42 => Op::Connected,
        43 => Op::FlushFails,
        44 => Op::End,
        45 => Op::EndFails,
        46 | 47 => Op::Cork,
        48 | 49 => Op::Uncork,
        50 => Op::Destroy(input.flag()),
        51 => Op::DestroySoon,
        52..=54 => Op::Flow(input.flag()),
        55 => Op::Attach,
        56 | 57 => Op::Rest,
        58 | 59 => Op::Wake,
        60 => Op::Eof,
        61 => Op::ReadError,
        62 => Op::HighWaterMark(input.length()),
        63 => Op::HalfOpen(input.flag()),
        64 => Op::Piped,
        65 => Op::Unpiped,
        66 => Op::Read(input.length()),
        67 => Op::Clock(Tick::Period(time(input))),
        68 => Op::Clock(Tick::Touch),
        69 => Op::Clock(Tick::Wake),
        _ => Op::Clock(Tick::Look(time(input))),
    }
}

/// Mostly a few nanoseconds, at times all there are.
fn time(input: &mut Input<'_>) -> Nanos {
    match input.byte() {
        255 => Nanos::MAX,
        nanos => u64::from(nanos),
    }
}
