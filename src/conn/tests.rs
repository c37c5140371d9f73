//! Tests of the pure connection: the whole state matrix, each rule by its name, and random operations against a
//! plain model.

mod clock;
mod ending;
mod matrix;
mod model;
mod pair;
mod random;
mod shell;
mod writing;

use super::*;
use shell::{broken_pipe, reset_by_peer, Shell};

impl Shell {
    fn is_shut(&self) -> bool {
        self.conn.state.write() == WriteSide::Shut
    }
}

fn limits(high_water_mark: usize, max_queued: usize) -> Limits {
    Limits::new(high_water_mark, Some(max_queued), false)
}

fn half_open() -> Limits {
    Limits {
        allow_half_open: true,
        ..Limits::default()
    }
}
