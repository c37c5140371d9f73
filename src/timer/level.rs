//! One level of the wheel: 64 lists of timers and a bitmap of those that are not empty.

use crate::arena::{Arena, Key};

pub(super) const SLOT_BITS: u32 = 6;
const SLOTS: usize = 1 << SLOT_BITS;

/// The end of a list: the one token that is never a key's, so looking it up finds nothing.
const NIL: Key = Key::from_token(u64::MAX);

/// A timer and its place in a list.
pub(super) struct Node<T> {
    pub(super) deadline: u64,
    prev: Key,
    next: Key,
    pub(super) place: Place,
    pub(super) value: T,
}

/// The list a timer is in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Place {
    Unarmed,
    Slot {
        level: u8,
        slot: u8,
    },
    /// Beyond the horizon of the levels.
    Far,
    /// Armed when its deadline was already past: due at the next advance.
    Late,
    Due,
}

impl<T> Node<T> {
    pub(super) fn new(deadline: u64, value: T) -> Node<T> {
        Node {
            deadline,
            prev: NIL,
            next: NIL,
            place: Place::Unarmed,
            value,
        }
    }
}

pub(super) type Nodes<T> = Arena<Node<T>>;

pub(super) struct Level {
    occupied: u64,
    slots: [List; SLOTS],
}

impl Level {
    pub(super) const EMPTY: Level = Level {
        occupied: 0,
        slots: [List::EMPTY; SLOTS],
    };

    pub(super) fn push_back<T>(&mut self, slot: u8, nodes: &mut Nodes<T>, key: Key) {
        self.occupied |= 1 << slot;
        self.slots[usize::from(slot)].push_back(nodes, key);
    }

    pub(super) fn unlink<T>(&mut self, slot: u8, nodes: &mut Nodes<T>, key: Key) {
        let list = &mut self.slots[usize::from(slot)];
        list.unlink(nodes, key);
        if list.is_empty() {
            self.occupied &= !(1 << slot);
        }
    }

    /// The first slot in use.
    pub(super) fn first(&self) -> Option<u8> {
        (self.occupied != 0).then(|| self.occupied.trailing_zeros() as u8)
    }

    pub(super) fn list(&self, slot: u8) -> &List {
        &self.slots[usize::from(slot)]
    }

    /// Empties a slot.
    pub(super) fn take(&mut self, slot: u8) -> List {
        self.occupied &= !(1 << slot);
        std::mem::replace(&mut self.slots[usize::from(slot)], List::EMPTY)
    }
}

/// A doubly linked list threaded through the nodes.
pub(super) struct List {
    head: Key,
    tail: Key,
    /// No deadline is earlier than the one before it. Timers of equal delay are armed in that order, and then the
    /// earliest of thousands is found at once.
    ascending: bool,
}

impl List {
    pub(super) const EMPTY: List = List {
        head: NIL,
        tail: NIL,
        ascending: true,
    };

    pub(super) fn is_empty(&self) -> bool {
        self.head == NIL
    }

    pub(super) fn first(&self) -> Option<Key> {
        (!self.is_empty()).then_some(self.head)
    }

    pub(super) fn push_back<T>(&mut self, nodes: &mut Nodes<T>, key: Key) {
        let Some(node) = nodes.get_mut(key) else {
            return;
        };
        let prev = std::mem::replace(&mut self.tail, key);
        node.prev = prev;
        node.next = NIL;
        let deadline = node.deadline;
        match nodes.get_mut(prev) {
            Some(last) => {
                last.next = key;
                self.ascending &= last.deadline <= deadline;
            }
            None => {
                self.head = key;
                self.ascending = true;
            }
        }
    }

    pub(super) fn unlink<T>(&mut self, nodes: &mut Nodes<T>, key: Key) {
        let Some(&Node { prev, next, .. }) = nodes.get(key) else {
            return;
        };
        match nodes.get_mut(prev) {
            Some(node) => node.next = next,
            None => self.head = next,
        }
        match nodes.get_mut(next) {
            Some(node) => node.prev = prev,
            None => self.tail = prev,
        }
    }

    /// Takes the first key without mending the links of the rest: for a list on its way to being emptied, whose nodes
    /// are linked anew one by one.
    pub(super) fn drain_first<T>(&mut self, nodes: &Nodes<T>) -> Option<Key> {
        let key = self.first()?;
        self.head = nodes.get(key).map_or(NIL, |node| node.next);
        Some(key)
    }

    pub(super) fn earliest<T>(&self, nodes: &Nodes<T>) -> Option<u64> {
        let first = nodes.get(self.head)?;
        if self.ascending {
            return Some(first.deadline);
        }
        std::iter::successors(Some(first), |node| nodes.get(node.next))
            .map(|node| node.deadline)
            .min()
    }
}
