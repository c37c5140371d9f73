//! Operations on the write queue beside one flat vector of bytes. The model is that of its tests.

use super::input::Input;
use crate::pure::queue::write_queue::WriteQueue;
use flat::{Flat, Op};

#[path = "../../../src/conn/write_queue/tests/flat.rs"]
mod flat;

const MAX_OPS: usize = 200;

pub fn run(data: &[u8]) {
    let mut input = Input::new(data);
    let mut flat = Flat::default();
    for _ in 0..MAX_OPS {
        if input.is_empty() {
            break;
        }
        flat.apply(op(&mut input));
        flat.compare();
    }
}

fn op(input: &mut Input<'_>) -> Op {
    match input.byte() % 24 {
        0..=7 => Op::Copy(input.length()),
        8..=11 => Op::Owned(input.length() + 1),
        12..=14 => Op::Mark,
        15..=22 => Op::Send {
            slices: input.below(8),
            part: usize::from(input.byte()) * 1000 / 255,
        },
        _ => Op::Clear,
    }
}
