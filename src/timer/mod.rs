//! A hierarchical timer wheel: insert, cancel and re-arm in constant time, whatever the number of timers.
//!
//! Time is a count of ticks given by the caller; the wheel reads no clock. It has six levels of 64 slots, each slot a
//! list of timers, each level a bitmap of the slots in use:
//!
//! ```text
//! level   a slot spans    the level spans         (a tick being 1 ms)
//!   0     1 tick          64                      64 ms
//!   1     64              4 096                   4 s
//!   2     4 096           262 144                 4 min
//!   3     262 144         16 777 216              4.7 h
//!   4     16 777 216      1 073 741 824           12 d
//!   5     1 073 741 824   68 719 476 736 = 2^36   2.2 years
//!  far    one list of the timers beyond
//! ```
//!
//! Read the elapsed time and a deadline as numbers in base 64, digit `n` belonging to level `n`: a timer is on the
//! level of the highest digit in which the two differ, in the slot its own digit there names. When time enters a slot
//! of a higher level its timers cascade: each goes to the lower level that is now right for it.
//!
//! ```text
//!           digit 2    1    0
//! elapsed       0  .  3  . 17
//! deadline      0  .  3  . 40    level 0, slot 40: due on entering it
//! deadline      0  .  5  . 40    level 1, slot  5: cascades to level 0 at 0.5.0
//! deadline      2  .  5  . 40    level 2, slot  2: cascades to level 1 at 2.0.0
//! ```
//!
//! So the place of a timer depends on nothing but elapsed time and deadline, from which follows:
//!
//! - Equal deadlines are always in one list, in the order they were armed, and a cascade keeps that order.
//! - Slots in use are ahead of elapsed time and lower levels come before higher ones: the first slot in use of the
//!   first level in use holds the earliest deadline, and no step of `advance` visits an empty slot.

mod level;
mod wheel;

#[cfg(test)]
mod tests;

pub(crate) use wheel::{TimerKey, Wheel};
