//! A slab whose keys name one incarnation of a slot.
//!
//! A [`Key`] is a slot index plus a generation. Once its value is removed a key finds nothing, for ever: no two
//! values of an arena ever have the same key. A freed index rests until [`Arena::recycle`], which the event loop
//! calls between two batches of events, so within a batch no index names two sources.

use std::fmt;
use std::num::{NonZeroU32, NonZeroU64};

use slab::Slab;

/// Names one value of an arena: in the low half the index of its slot, in the high half the generation. One word, so that
/// a lookup compares once and nothing is packed or unpacked on the way to the kernel and back.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Key(NonZeroU64);

impl Key {
    /// A key that finds nothing: no arena grows that far.
    pub(crate) const DEAD: Key = Key::new(u32::MAX, NonZeroU32::MIN);

    const fn new(index: u32, generation: NonZeroU32) -> Key {
        // Not zero, for the generation is not.
        match NonZeroU64::new(((generation.get() as u64) << 32) | index as u64) {
            Some(word) => Key(word),
            None => unreachable!(),
        }
    }

    #[inline]
    pub(crate) const fn index(self) -> usize {
        self.0.get() as u32 as usize
    }

    const fn generation(self) -> u32 {
        (self.0.get() >> 32) as u32
    }

    /// The key as one word. Never `u64::MAX`, which stays free to mean something else.
    #[inline]
    pub(crate) const fn to_token(self) -> u64 {
        self.0.get()
    }

    /// The key with this token. Any word is allowed: one that is no key's token finds nothing.
    #[inline]
    pub(crate) const fn from_token(token: u64) -> Key {
        match NonZeroU64::new(token) {
            Some(word) => Key(word),
            None => Key::DEAD,
        }
    }
}

/// Slot and generation, as in `7.1`.
impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.index(), self.generation())
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({self})")
    }
}

/// The generation of a slot that is used up. No key has it, hence no token is `u64::MAX`.
const RETIRED: NonZeroU32 = NonZeroU32::MAX;

/// Values found by [`Key`].
pub(crate) struct Arena<T> {
    slots: Slab<Slot<T>>,
    /// For each slot the generation its next (or present) value has.
    generations: Vec<NonZeroU32>,
    /// The slots emptied since the last `recycle`.
    emptied: Vec<u32>,
    live: usize,
}

struct Slot<T> {
    /// Whose slot it is, kept beside the value so that a lookup touches one place in memory.
    key: Key,
    /// `None`: it was taken out.
    value: Option<T>,
}

impl<T> Arena<T> {
    pub(crate) fn new() -> Arena<T> {
        Arena {
            slots: Slab::new(),
            generations: Vec::new(),
            emptied: Vec::new(),
            live: 0,
        }
    }

    /// The number of values.
    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.live
    }

    /// # Panics
    /// With 2^32 slots in use.
    pub(crate) fn insert(&mut self, value: T) -> Key {
        let slot = self.slots.vacant_entry();
        let index = u32::try_from(slot.key()).expect("an arena has at most 2^32 slots");
        if slot.key() == self.generations.len() {
            self.generations.push(NonZeroU32::MIN);
        }
        let generation = self.generations[slot.key()];
        let key = Key::new(index, generation);
        let value = Some(value);
        slot.insert(Slot { key, value });
        self.live += 1;
        key
    }

    #[inline]
    pub(crate) fn get(&self, key: Key) -> Option<&T> {
        match self.slots.get(key.index()) {
            Some(slot) if slot.key == key => slot.value.as_ref(),
            _ => None,
        }
    }

    #[inline]
    pub(crate) fn get_mut(&mut self, key: Key) -> Option<&mut T> {
        match self.slots.get_mut(key.index()) {
            Some(slot) if slot.key == key => slot.value.as_mut(),
            _ => None,
        }
    }

    /// The value at the place of this key, and whose it is. Who asks compares the keys, and may look at the value first:
    /// then "there is a value, and it is of the kind that is wanted" is one question to the machine.
    #[inline(always)]
    pub(crate) fn at_mut(&mut self, key: Key) -> Option<(Key, &mut T)> {
        match self.slots.get_mut(key.index()) {
            Some(Slot {
                key,
                value: Some(value),
            }) => Some((*key, value)),
            _ => None,
        }
    }

    #[inline]
    pub(crate) fn contains(&self, key: Key) -> bool {
        self.get(key).is_some()
    }

    /// Takes the value out; its slot stays empty until [`Arena::recycle`].
    pub(crate) fn remove(&mut self, key: Key) -> Option<T> {
        let slot = self.slots.get_mut(key.index())?;
        if slot.key != key || slot.value.is_none() {
            return None;
        }
        self.live -= 1;
        let generation = &mut self.generations[key.index()];
        *generation = generation.saturating_add(1);
        if *generation != RETIRED {
            self.emptied.push(key.index() as u32);
        }
        slot.value.take()
    }

    /// Lets the slots emptied so far be used again.
    pub(crate) fn recycle(&mut self) {
        for index in self.emptied.drain(..) {
            self.slots.remove(index as usize);
        }
    }

    /// All values, by index.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (Key, &T)> {
        self.slots.iter().filter_map(|(_, slot)| {
            let value = slot.value.as_ref()?;
            Some((slot.key, value))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::{HashMap, HashSet};
    use std::mem::size_of;

    #[test]
    fn keys_are_small_and_slots_cost_one_word() {
        assert_eq!(size_of::<Key>(), 8);
        assert_eq!(size_of::<Option<Key>>(), 8);
        assert_eq!(size_of::<Slot<Box<u64>>>(), size_of::<u64>() + 8);
    }

    #[test]
    fn tokens_hold_generation_and_index() {
        let key = Key::new(7, NonZeroU32::new(3).unwrap());
        assert_eq!(key.to_token(), (3 << 32) | 7);
        assert_eq!(Key::from_token(key.to_token()), key);
        assert_eq!(key.index(), 7);
    }

    #[test]
    fn foreign_tokens_find_nothing() {
        let mut arena = Arena::new();
        let key = arena.insert('a');
        assert_eq!(key.to_token(), 1 << 32);
        for token in [0, 1, 2 << 32, (1 << 32) | 1, u64::MAX] {
            let foreign = Key::from_token(token);
            assert_eq!(arena.get(foreign), None);
            assert_eq!(arena.get_mut(foreign), None);
            assert_eq!(arena.remove(foreign), None);
        }
        assert_eq!(arena.get(key), Some(&'a'));
    }

    #[test]
    fn a_stale_key_never_finds_the_new_owner() {
        let mut arena = Arena::new();
        let old = arena.insert('a');
        assert_eq!(arena.remove(old), Some('a'));
        arena.recycle();
        let new = arena.insert('b');
        assert_eq!(new.index(), old.index());
        assert_ne!(new, old);
        assert!(!arena.contains(old));
        assert_eq!(arena.get_mut(old), None);
        assert_eq!(arena.remove(old), None);
        assert_eq!(arena.get(new), Some(&'b'));
        assert_eq!(arena.len(), 1);
    }

    #[test]
    fn an_index_rests_until_recycle() {
        let mut arena = Arena::new();
        let first = arena.insert(1);
        arena.remove(first);
        assert_eq!(arena.len(), 0);
        let second = arena.insert(2);
        assert_ne!(second.index(), first.index());
        arena.recycle();
        assert_eq!(arena.insert(3).index(), first.index());
        assert_eq!(arena.len(), 2);
    }

    #[test]
    fn a_slot_out_of_generations_is_retired() {
        let mut arena = Arena::new();
        let first = arena.insert(0);
        arena.remove(first);
        arena.recycle();
        arena.generations[0] = NonZeroU32::new(u32::MAX - 1).unwrap();
        let last = arena.insert(1);
        assert_eq!(last.to_token(), u64::from(u32::MAX - 1) << 32);
        assert_eq!(arena.remove(last), Some(1));
        for value in 2..5 {
            arena.recycle();
            assert_ne!(arena.insert(value).index(), last.index());
        }
        assert!(!arena.contains(last));
        assert_eq!(arena.iter().count(), 3);
        assert_eq!(arena.len(), 3);
    }

    #[derive(Clone, Debug)]
    enum Op {
        Insert,
        /// Of any key there ever was, so often of a stale one.
        Remove(prop::sample::Index),
        Recycle,
        Bump,
    }

    fn op() -> impl Strategy<Value = Op> {
        prop_oneof![
            4 => Just(Op::Insert),
            4 => any::<prop::sample::Index>().prop_map(Op::Remove),
            2 => Just(Op::Recycle),
            1 => Just(Op::Bump),
        ]
    }

    proptest! {
        #[test]
        fn behaves_like_a_map_with_fresh_keys(ops in prop::collection::vec(op(), 1..200)) {
            let mut arena = Arena::new();
            let mut live: HashMap<Key, usize> = HashMap::new();
            let mut ever: Vec<Key> = Vec::new();
            let mut resting = HashSet::new();
            for op in ops {
                match op {
                    Op::Insert => {
                        let key = arena.insert(ever.len());
                        prop_assert!(!ever.contains(&key));
                        prop_assert!(!resting.contains(&key.index()));
                        live.insert(key, ever.len());
                        ever.push(key);
                    }
                    Op::Remove(at) if !ever.is_empty() => {
                        let key = *at.get(&ever);
                        let removed = arena.remove(key);
                        prop_assert_eq!(removed, live.remove(&key));
                        if removed.is_some() {
                            resting.insert(key.index());
                        }
                    }
                    Op::Remove(_) => {}
                    Op::Recycle => {
                        arena.recycle();
                        resting.clear();
                    }
                    Op::Bump => {
                        for (key, value) in &mut live {
                            *arena.get_mut(*key).unwrap() += 1;
                            *value += 1;
                        }
                    }
                }
                prop_assert_eq!(arena.len(), live.len());
                let all: HashMap<Key, usize> = arena.iter().map(|(k, v)| (k, *v)).collect();
                prop_assert_eq!(&all, &live);
                for key in &ever {
                    prop_assert_eq!(arena.get(*key), live.get(key));
                    prop_assert_eq!(arena.get_mut(*key).copied(), live.get(key).copied());
                    prop_assert_eq!(arena.contains(*key), live.contains_key(key));
                    prop_assert_eq!(Key::from_token(key.to_token()), *key);
                }
            }
        }
    }
}
