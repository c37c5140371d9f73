//! Operations on the timer wheel beside a sorted list: no timer is early, lost or out of order, over cascades, jumps
//! and the wrap-around of every level. The model is that of the tests of `timer`.

use super::input::Input;
use crate::timer::{TimerKey, Wheel};
use pair::{Op, Pair, Time};

#[path = "../../../src/timer/tests/pair.rs"]
mod pair;

const MAX_OPS: usize = 300;

pub fn run(data: &[u8]) {
    let mut input = Input::new(data);
    // Not asking on every step leaves the remembered next deadline unknown for a while.
    let ask_on_every_step = input.flag();
    let mut pair = Pair::default();
    for _ in 0..MAX_OPS {
        if input.is_empty() {
            break;
        }
        pair.apply(op(&mut input));
        if ask_on_every_step {
            pair.check();
        }
    }
    pair.run_to_the_end();
}

fn op(input: &mut Input<'_>) -> Op {
    match input.byte() % 20 {
        0..=5 => Op::Insert(time(input)),
        6 | 7 => Op::Cancel(input.number(1) as usize),
        8..=10 => Op::Rearm(input.number(1) as usize, time(input)),
        11..=14 => Op::Advance(time(input)),
        pop => Op::Pop(pop % 2 == 0),
    }
}

fn time(input: &mut Input<'_>) -> Time {
    match input.byte() % 16 {
        near @ 0..=4 => Time::In(u64::from(near)),
        5 | 6 => Time::In(input.number(1)),
        7 | 8 => Time::In(input.number(2)),
        9 => Time::In(input.number(5)),
        // The last level that a boundary can belong to is that of the horizon.
        10..=13 => {
            let bits = 6 * input.below(7) as u32;
            let what = input.byte();
            Time::Boundary(bits, u64::from(what % 70), i64::from(what / 70) - 1)
        }
        14 => Time::At(input.number(8)),
        _ => Time::At(u64::MAX - input.number(1) % 4),
    }
}
