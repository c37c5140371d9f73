//! A write queue beside one flat vector of bytes, and positions in it.

use std::io::IoSlice;

use bytes::Bytes;

use super::WriteQueue;

#[derive(Clone, Debug)]
pub(super) enum Op {
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

#[derive(Default)]
pub(super) struct Flat {
    queue: WriteQueue,
    released: Vec<Bytes>,
    accepted: Vec<u8>,
    sent: usize,
    marks: Vec<u64>,
    /// Where owned chunks end: each is handed back when all of it is sent.
    owned_ends: Vec<usize>,
    owned: Vec<Bytes>,
}

impl Flat {
    pub(super) fn apply(&mut self, op: Op) {
        let position = self.accepted.len();
        match op {
            Op::Copy(len) => {
                let data = next_bytes(position, len);
                self.queue.push_copy(&data);
                self.accepted.extend_from_slice(&data);
            }
            Op::Owned(len) => {
                let data = next_bytes(position, len);
                self.accepted.extend_from_slice(&data);
                let data = Bytes::from(data);
                self.queue.push_owned(data.clone());
                self.owned.push(data);
                self.owned_ends.push(self.accepted.len());
            }
            Op::Mark => {
                self.queue.mark(position as u64);
                self.marks.push(position as u64);
            }
            Op::Send { slices, part } => self.send(slices, part),
            Op::Clear => {
                self.queue.clear(&mut self.released);
                self.sent = position;
                self.marks.clear();
            }
        }
    }

    pub(super) fn compare(&self) {
        let unsent = &self.accepted[self.sent..];
        assert_eq!(self.queue.len(), unsent.len());
        assert_eq!(
            self.queue.is_idle(),
            unsent.is_empty() && self.marks.is_empty()
        );
        assert!(offer(&self.queue, 256) == unsent);
        let ends = self.owned_ends.iter();
        let done = ends.filter(|end| **end <= self.sent).count();
        assert!(
            self.released == self.owned[..done],
            "each handed back whole, once, in order"
        );
    }

    fn send(&mut self, slices: usize, part: usize) {
        let unsent = &self.accepted[self.sent..];
        let offered = offer(&self.queue, slices);
        assert!(unsent.starts_with(&offered));
        assert!(slices == 0 || offered.is_empty() == unsent.is_empty());
        let taken = offered.len() * part / 1000;
        self.queue.advance(taken, &mut self.released);
        self.sent += taken;
        let sent = self.sent as u64;
        let due = self.marks.iter().filter(|mark| **mark <= sent).count();
        self.marks.drain(..due);
        assert_eq!(self.queue.take_marks(sent), due as u32);
    }
}

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
