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

#[test]
fn limits_of_four_gibibytes_and_more_are_none() {
    let most = u32::MAX as usize - 1;
    assert_eq!(limits(most, most).high_water_mark(), most);
    assert_eq!(limits(most, most).max_queued(), most);
    for none in [u32::MAX as usize, 1 << 32, usize::MAX] {
        assert_eq!(limits(none, none).high_water_mark(), usize::MAX);
        assert_eq!(limits(none, none).max_queued(), usize::MAX);
    }
    assert_eq!(Limits::default().max_queued(), usize::MAX);
}
