//! Tests of the write queue.

mod flat;

use proptest::prelude::*;

use super::*;
use flat::{Flat, Op};

fn slices_used(queue: &WriteQueue) -> usize {
    queue.fill(&mut [IoSlice::new(&[]); 256])
}

#[test]
fn small_copies_are_gathered_into_one_slice() {
    let mut queue = WriteQueue::default();
    queue.push_copy(&[1; GATHER - 1]);
    queue.push_copy(&[2]);
    assert_eq!(slices_used(&queue), 1, "up to the limit");
    queue.push_copy(&[3]);
    assert_eq!(slices_used(&queue), 2);
    queue.push_owned(Bytes::from_static(b"owned"));
    queue.push_copy(&[4]);
    queue.push_copy(&[5]);
    assert_eq!(slices_used(&queue), 4, "never across an owned one");
    assert_eq!(queue.len(), GATHER + 1 + 5 + 2);
}

#[test]
fn an_owned_chunk_is_not_copied() {
    let chunk = Bytes::from_static(b"0123456789");
    let mut queue = WriteQueue::default();
    queue.push_owned(chunk.clone());
    let mut released = Vec::new();
    queue.advance(4, &mut released);
    let mut slices = [IoSlice::new(&[])];
    assert_eq!(queue.fill(&mut slices), 1);
    assert_eq!(slices[0].as_ptr(), chunk[4..].as_ptr());
    queue.advance(6, &mut released);
    assert_eq!(released[0].as_ptr(), chunk.as_ptr());
}

#[test]
fn more_chunks_than_slices_are_left_for_later() {
    let mut queue = WriteQueue::default();
    for _ in 0..3 {
        queue.push_owned(Bytes::from_static(b"ab"));
    }
    let mut slices = [IoSlice::new(&[]); 2];
    assert_eq!(queue.fill(&mut slices), 2);
    assert_eq!(queue.fill(&mut []), 0);
    queue.advance(3, &mut Vec::new());
    let mut slices = [IoSlice::new(&[]); 2];
    assert_eq!(queue.fill(&mut slices), 2);
    assert_eq!((&*slices[0], &*slices[1]), (&b"b"[..], &b"ab"[..]));
}

#[test]
fn nothing_is_kept_of_an_empty_copy() {
    let mut queue = WriteQueue::default();
    queue.push_copy(b"");
    assert!(queue.is_idle());
    assert_eq!(slices_used(&queue), 0);
}

#[test]
fn marks_are_taken_once_and_in_order() {
    let mut queue = WriteQueue::default();
    for position in [0, 3, 3, 7] {
        queue.mark(position);
    }
    assert!(!queue.is_idle(), "somebody waits to be told");
    assert_eq!(queue.take_marks(2), 1);
    assert_eq!(queue.take_marks(2), 0);
    assert_eq!(queue.take_marks(3), 2);
    assert_eq!(queue.take_marks(100), 1);
    assert!(queue.is_idle());
}

#[test]
#[should_panic(expected = "more sent than was queued")]
fn a_kernel_cannot_take_more_than_there_is() {
    let mut queue = WriteQueue::default();
    queue.push_copy(b"abc");
    queue.advance(4, &mut Vec::new());
}

fn op() -> impl Strategy<Value = Op> {
    let len = || prop_oneof![6 => 0..50usize, 1 => 0..2 * GATHER];
    prop_oneof![
        8 => len().prop_map(Op::Copy),
        4 => len().prop_map(|len| Op::Owned(len + 1)),
        4 => Just(Op::Mark),
        8 => (0..6usize, 0..=1000usize).prop_map(|(slices, part)| Op::Send { slices, part }),
        1 => Just(Op::Clear),
    ]
}

proptest! {
    #[test]
    fn behaves_as_a_flat_vector(ops in proptest::collection::vec(op(), 1..80)) {
        let mut flat = Flat::default();
        for op in ops {
            flat.apply(op);
            flat.compare();
        }
    }
}
