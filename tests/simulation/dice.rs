//! The dice of a run: all that it does follows from one number.

use std::cell::Cell;
use std::time::Duration;

/// SplitMix64.
pub struct Dice(Cell<u64>);

impl Dice {
    pub fn new(seed: u64) -> Dice {
        Dice(Cell::new(seed))
    }

    pub fn next(&self) -> u64 {
        self.0.set(self.0.get().wrapping_add(0x9e37_79b9_7f4a_7c15));
        let mut mixed = self.0.get();
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub fn below(&self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }

    /// Once in `times`.
    pub fn one_in(&self, times: usize) -> bool {
        self.below(times) == 0
    }

    pub fn millis(&self, bound: usize) -> Duration {
        Duration::from_millis(self.below(bound) as u64)
    }

    /// Up to `bound`, small ones more often.
    pub fn size(&self, bound: usize) -> usize {
        let bits = usize::BITS - bound.leading_zeros();
        self.below(1 << self.below(bits as usize + 1)).min(bound)
    }
}
