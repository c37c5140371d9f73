//! The wheel: levels, the timers beyond them, and the timers that are due.

use super::level::{Level, List, Node, Nodes, Place, SLOT_BITS};
use crate::arena::{Arena, Key};
use std::cell::Cell;

const LEVELS: usize = 6;
const HORIZON_BITS: u32 = SLOT_BITS * LEVELS as u32;

/// Names one timer of a wheel, from `insert` to `cancel`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) struct TimerKey(Key);

/// Timers by deadline, each with a value.
///
/// A timer is armed by [`insert`](Wheel::insert) and [`rearm`](Wheel::rearm), becomes due by
/// [`advance`](Wheel::advance) and unarmed by [`pop_due_key`](Wheel::pop_due_key); it stays in the wheel until
/// [`cancel`](Wheel::cancel).
pub(crate) struct Wheel<T> {
    nodes: Nodes<T>,
    elapsed: u64,
    levels: [Level; LEVELS],
    far: List,
    late: List,
    due: List,
    /// What `next_deadline` found, while it holds: asked on every turn, and a high level's slot may have a long list.
    earliest: Cell<Option<u64>>,
    /// Empty between calls; kept for its capacity.
    batch: Vec<(u64, Key)>,
}

impl<T> Wheel<T> {
    /// A wheel at tick 0.
    pub(crate) fn new() -> Wheel<T> {
        Wheel {
            nodes: Arena::new(),
            elapsed: 0,
            levels: [Level::EMPTY; LEVELS],
            far: List::EMPTY,
            late: List::EMPTY,
            due: List::EMPTY,
            earliest: Cell::new(None),
            batch: Vec::new(),
        }
    }

    /// The number of timers, armed or not.
    pub(crate) fn len(&self) -> usize {
        self.nodes.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.nodes.len() == 0
    }

    /// Adds a timer. With a deadline already past it is due at the next `advance`.
    pub(crate) fn insert(&mut self, deadline: u64, value: T) -> TimerKey {
        let key = self.nodes.insert(Node::new(deadline, value));
        self.arm(key, deadline);
        TimerKey(key)
    }

    /// Removes a timer, armed, due or unarmed.
    pub(crate) fn cancel(&mut self, TimerKey(key): TimerKey) -> Option<T> {
        self.disarm(key);
        let node = self.nodes.remove(key)?;
        // Nothing outside the wheel knows a timer by index alone, so the slot need not rest.
        self.nodes.recycle();
        Some(node.value)
    }

    /// Gives a timer another deadline and the last place among its equals. With a deadline already past it is due at
    /// the next `advance`. `false` if there is no such timer.
    pub(crate) fn rearm(&mut self, TimerKey(key): TimerKey, deadline: u64) -> bool {
        if !self.nodes.contains(key) {
            return false;
        }
        self.disarm(key);
        self.arm(key, deadline);
        true
    }

    pub(crate) fn get(&self, TimerKey(key): TimerKey) -> Option<&T> {
        self.nodes.get(key).map(|node| &node.value)
    }

    /// The deadline a timer was last armed with, also once it is unarmed.
    #[cfg(test)]
    pub(crate) fn deadline(&self, TimerKey(key): TimerKey) -> Option<u64> {
        self.nodes.get(key).map(|node| node.deadline)
    }

    /// Moves time on to `now` and appends every timer whose deadline is not later to the due list, in order of deadline
    /// and, among equals, of arming. Time never goes back: an earlier `now` counts as the present tick.
    #[inline]
    pub(crate) fn advance(&mut self, now: u64) {
        let now = now.max(self.elapsed);
        if self.is_empty() {
            self.elapsed = now;
        } else {
            self.advance_timers(now);
        }
    }

    fn advance_timers(&mut self, now: u64) {
        self.settle_late();
        self.advance_levels(now);
        let beyond_horizon = now >> HORIZON_BITS != self.elapsed >> HORIZON_BITS;
        self.elapsed = now;
        if beyond_horizon {
            let mut far = std::mem::replace(&mut self.far, List::EMPTY);
            self.cascade(&mut far, Place::Late);
            self.settle_late();
        }
    }

    /// Takes the first timer off the due list. It stays in the wheel, unarmed: `rearm` it or `cancel` it.
    pub(crate) fn pop_due_key(&mut self) -> Option<TimerKey> {
        let key = self.due.first()?;
        self.disarm(key);
        Some(TimerKey(key))
    }

    /// The earliest deadline of all timers armed or due.
    pub(crate) fn next_deadline(&self) -> Option<u64> {
        if self.earliest.get().is_none() {
            self.earliest.set(self.find_earliest());
        }
        self.earliest.get()
    }

    fn find_earliest(&self) -> Option<u64> {
        let due = self.due.earliest(&self.nodes);
        let late = self.late.earliest(&self.nodes);
        if let Some(past) = due.into_iter().chain(late).min() {
            return Some(past);
        }
        match self.first_slot() {
            Some((0, _, start)) => Some(start),
            Some((level, slot, _)) => self.levels[level].list(slot).earliest(&self.nodes),
            None => self.far.earliest(&self.nodes),
        }
    }

    /// Makes due what the levels hold up to `now`, jumping from one slot in use to the next.
    fn advance_levels(&mut self, now: u64) {
        while let Some((level, slot, start)) = self.first_slot() {
            if start > now {
                break;
            }
            self.elapsed = start;
            let mut list = self.levels[level].take(slot);
            self.cascade(&mut list, Place::Due);
        }
    }

    /// The first slot in use: its level, its number, and the tick on which it begins.
    fn first_slot(&self) -> Option<(usize, u8, u64)> {
        self.levels.iter().enumerate().find_map(|(level, slots)| {
            let slot = slots.first()?;
            let shift = SLOT_BITS * level as u32;
            let span = shift + SLOT_BITS;
            let start = (self.elapsed >> span << span) | u64::from(slot) << shift;
            Some((level, slot, start))
        })
    }

    /// Gives each timer of a list that was taken out the place that is now right for it.
    fn cascade(&mut self, list: &mut List, overdue: Place) {
        while let Some(key) = list.drain_first(&self.nodes) {
            self.link(key, overdue);
        }
    }

    /// Appends the late timers to the due list, sorted: they were armed in any order.
    fn settle_late(&mut self) {
        if self.late.is_empty() {
            return;
        }
        let mut batch = std::mem::take(&mut self.batch);
        while let Some(key) = self.late.drain_first(&self.nodes) {
            let deadline = self.nodes.get(key).map_or(0, |node| node.deadline);
            batch.push((deadline, key));
        }
        self.late = List::EMPTY;
        batch.sort_by_key(|&(deadline, _)| deadline);
        for (_, key) in batch.drain(..) {
            self.link(key, Place::Due);
        }
        self.batch = batch;
    }

    fn arm(&mut self, key: Key, deadline: u64) {
        if let Some(node) = self.nodes.get_mut(key) {
            node.deadline = deadline;
        }
        let earliest = self.earliest.get();
        self.earliest.set(earliest.map(|known| known.min(deadline)));
        self.link(key, Place::Late);
    }

    fn disarm(&mut self, key: Key) {
        let Some(node) = self.nodes.get_mut(key) else {
            return;
        };
        let place = std::mem::replace(&mut node.place, Place::Unarmed);
        // The unarmed may have this deadline too: forgetting needlessly only costs a search.
        if self.earliest.get() == Some(node.deadline) {
            self.earliest.set(None);
        }
        match place {
            Place::Unarmed => {}
            Place::Slot { level, slot } => {
                self.levels[usize::from(level)].unlink(slot, &mut self.nodes, key);
            }
            Place::Far => self.far.unlink(&mut self.nodes, key),
            Place::Late => self.late.unlink(&mut self.nodes, key),
            Place::Due => self.due.unlink(&mut self.nodes, key),
        }
    }

    /// Puts a timer that is in no list where its deadline belongs, or into `overdue` if that is past.
    fn link(&mut self, key: Key, overdue: Place) {
        let Some(node) = self.nodes.get_mut(key) else {
            return;
        };
        node.place = if node.deadline <= self.elapsed {
            overdue
        } else {
            place_ahead(self.elapsed, node.deadline)
        };
        match node.place {
            Place::Unarmed => {}
            Place::Slot { level, slot } => {
                self.levels[usize::from(level)].push_back(slot, &mut self.nodes, key);
            }
            Place::Far => self.far.push_back(&mut self.nodes, key),
            Place::Late => self.late.push_back(&mut self.nodes, key),
            Place::Due => self.due.push_back(&mut self.nodes, key),
        }
    }
}

/// Where a deadline later than `elapsed` belongs.
fn place_ahead(elapsed: u64, deadline: u64) -> Place {
    let level = (elapsed ^ deadline).ilog2() / SLOT_BITS;
    if level as usize >= LEVELS {
        return Place::Far;
    }
    let slot = (deadline >> (level * SLOT_BITS)) & ((1 << SLOT_BITS) - 1);
    Place::Slot {
        level: level as u8,
        slot: slot as u8,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_slot_of_a_cancelled_timer_is_used_again() {
        let mut wheel = Wheel::new();
        for deadline in 0..100 {
            let key = wheel.insert(deadline, ());
            assert_eq!(key.0.index(), 0);
            wheel.cancel(key);
        }
    }
}
