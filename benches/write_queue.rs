//! What does it cost to keep bytes that the kernel does not take yet, and to hand them over piece by piece?
//!
//! One call queues all chunks and then sends them by writes that each take less than was offered. The peers are the two
//! queues that are usually written: one of vectors, and one buffer.

use std::collections::VecDeque;
use std::hint::black_box;
use std::io::IoSlice;

use bytes::{Buf, Bytes, BytesMut};

#[path = "common/mode.rs"]
mod mode;
#[path = "common/record.rs"]
mod record;
#[path = "common/sampled.rs"]
mod sampled;

// A part of the crate that the outside does not see. Its tests come along, of which without a harness only the imports
// are left.
#[path = "../src/conn"]
#[allow(dead_code, unused_imports)]
mod conn {
    pub mod write_queue;
}

use conn::write_queue::WriteQueue;
use sampled::{time, Routine, Sampled};

/// As many slices as one write of the loop takes.
const SLICES: usize = 64;

/// Chunks, and how much the kernel takes at a time.
#[derive(Clone, Copy)]
struct Work {
    chunks: usize,
    size: usize,
    taken: usize,
}

trait Queue: Default + 'static {
    fn push_lent(&mut self, data: &[u8]);
    fn push_given(&mut self, data: Bytes);
    /// Offers what waits, and lets go of so much of it. False: nothing waited.
    fn send(&mut self, taken: usize) -> bool;
}

fn main() {
    let mut bench = Sampled::new("write_queue");
    let small = Work {
        chunks: 1000,
        size: 64,
        taken: 3000,
    };
    let large = Work {
        chunks: 32,
        size: 64 * 1024,
        taken: 100_000,
    };
    for (work, name) in [(small, "1000 x 64 B"), (large, "32 x 64 KiB")] {
        for given in [false, true] {
            let how = if given { "given" } else { "lent" };
            let peers: Vec<(&str, Box<dyn Fn() -> Routine>)> = vec![
                ("tidewheel", Box::new(move || run::<Kept>(work, given))),
                (
                    "queue of vectors",
                    Box::new(move || run::<Vectors>(work, given)),
                ),
                (
                    "one BytesMut",
                    Box::new(move || run::<BytesMut>(work, given)),
                ),
            ];
            bench.case(&format!("{how} {name}"), work.chunks as u64, peers);
        }
    }
    bench.finish();
}

fn run<Q: Queue>(work: Work, given: bool) -> Routine {
    let data = Bytes::from(vec![7; work.size]);
    let mut queue = Q::default();
    Box::new(move || {
        time(|| {
            for _ in 0..work.chunks {
                if given {
                    queue.push_given(data.clone());
                } else {
                    queue.push_lent(&data);
                }
            }
            while queue.send(work.taken) {}
        })
    })
}

/// Ours, and what it let go of.
#[derive(Default)]
struct Kept {
    queue: WriteQueue,
    released: Vec<Bytes>,
}

impl Queue for Kept {
    fn push_lent(&mut self, data: &[u8]) {
        self.queue.push_copy(data);
    }

    fn push_given(&mut self, data: Bytes) {
        self.queue.push_owned(data);
    }

    fn send(&mut self, taken: usize) -> bool {
        let mut slices = [IoSlice::new(&[]); SLICES];
        let used = self.queue.fill(&mut slices);
        let offered = offer(&slices[..used]);
        self.queue.advance(taken.min(offered), &mut self.released);
        self.released.clear();
        offered > 0
    }
}

#[derive(Default)]
struct Vectors {
    chunks: VecDeque<Vec<u8>>,
    head: usize,
}

impl Queue for Vectors {
    fn push_lent(&mut self, data: &[u8]) {
        self.chunks.push_back(data.to_vec());
    }

    fn push_given(&mut self, data: Bytes) {
        self.chunks.push_back(data.to_vec());
    }

    fn send(&mut self, taken: usize) -> bool {
        let mut slices = [IoSlice::new(&[]); SLICES];
        let mut head = self.head;
        let used = self.chunks.len().min(SLICES);
        for (slice, chunk) in slices.iter_mut().zip(&self.chunks) {
            *slice = IoSlice::new(&chunk[head..]);
            head = 0;
        }
        let offered = offer(&slices[..used]);
        let mut left = taken.min(offered);
        while left > 0 {
            let first = self.chunks[0].len() - self.head;
            if left < first {
                self.head += left;
                break;
            }
            left -= first;
            self.head = 0;
            self.chunks.pop_front();
        }
        offered > 0
    }
}

impl Queue for BytesMut {
    fn push_lent(&mut self, data: &[u8]) {
        self.extend_from_slice(data);
    }

    fn push_given(&mut self, data: Bytes) {
        self.extend_from_slice(&data);
    }

    fn send(&mut self, taken: usize) -> bool {
        let offered = offer(&[IoSlice::new(self)]);
        self.advance(taken.min(offered));
        offered > 0
    }
}

/// What the kernel would be shown.
fn offer(slices: &[IoSlice<'_>]) -> usize {
    black_box(slices).iter().map(|slice| slice.len()).sum()
}
