//! Tests of the write queue.

use proptest::prelude::*;

use super::*;

/// What a call with so many slices would offer the kernel.
fn offer(queue: &WriteQueue, slices: usize) -> Vec<u8> {
    let mut slices = vec![IoSlice::new(&[]); slices];
    let used = queue.fill(&mut slices);
    let slices: Vec<&[u8]> = slices[..used].iter().map(|slice| &**slice).collect();
    slices.concat()
}

fn next_bytes(from: usize, len: usize) -> Vec<u8> {
    (from..from + len).map(|i| (i % 251) as u8).collect()
}

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

#[derive(Clone, Debug)]
enum Op {
    Copy(usize),
    Owned(usize),
    /// Asks to be told about everything so far.
    Mark,
    /// The kernel takes this part of what a call with so many slices offers, in thousandths.
    Send {
        slices: usize,
        part: usize,
    },
    Clear,
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
    /// Against one flat vector of bytes, and positions in it.
    #[test]
    fn behaves_as_a_flat_vector(ops in proptest::collection::vec(op(), 1..80)) {
        let mut queue = WriteQueue::default();
        let mut released: Vec<Bytes> = Vec::new();
        let mut accepted: Vec<u8> = Vec::new();
        let mut sent = 0;
        let mut marks: Vec<u64> = Vec::new();
        // Where owned chunks end: each is handed back when all of it is sent.
        let mut owned_ends: Vec<usize> = Vec::new();
        let mut owned: Vec<Bytes> = Vec::new();
        for op in ops {
            match op {
                Op::Copy(len) => {
                    let data = next_bytes(accepted.len(), len);
                    queue.push_copy(&data);
                    accepted.extend_from_slice(&data);
                }
                Op::Owned(len) => {
                    let data = next_bytes(accepted.len(), len);
                    accepted.extend_from_slice(&data);
                    let data = Bytes::from(data);
                    queue.push_owned(data.clone());
                    owned.push(data);
                    owned_ends.push(accepted.len());
                }
                Op::Mark => {
                    queue.mark(accepted.len() as u64);
                    marks.push(accepted.len() as u64);
                }
                Op::Send { slices, part } => {
                    let offered = offer(&queue, slices);
                    prop_assert!(accepted[sent..].starts_with(&offered));
                    prop_assert!(slices == 0 || offered.is_empty() == (sent == accepted.len()));
                    let taken = offered.len() * part / 1000;
                    queue.advance(taken, &mut released);
                    sent += taken;
                    let due = marks.iter().filter(|mark| **mark <= sent as u64).count();
                    marks.drain(..due);
                    prop_assert_eq!(queue.take_marks(sent as u64), due as u32);
                }
                Op::Clear => {
                    queue.clear(&mut released);
                    sent = accepted.len();
                    marks.clear();
                }
            }
            prop_assert_eq!(queue.len(), accepted.len() - sent);
            prop_assert_eq!(queue.is_idle(), sent == accepted.len() && marks.is_empty());
            prop_assert!(offer(&queue, 256) == accepted[sent..]);
            let done = owned_ends.iter().filter(|end| **end <= sent).count();
            prop_assert!(released == owned[..done], "each handed back whole, once, in order");
        }
    }
}
