//! The write queue of one connection: chunks the kernel has not taken yet, in order, to the exact byte.
//!
//! Borrowed bytes are copied, and small ones are gathered into one buffer so that a burst of little writes leaves
//! in one slice. Owned chunks are kept as they are and never copied. What the queue lets go of goes to a list the
//! caller passes in, because the owner of a `Bytes` may be user code and must not be dropped just anywhere.

use std::collections::VecDeque;
use std::io::IoSlice;

use bytes::Bytes;

/// A gathering buffer takes further small chunks while it is shorter than this.
const GATHER: usize = 16 * 1024;

#[derive(Debug)]
enum Chunk {
    Copied(Vec<u8>),
    Owned(Bytes),
}

impl Chunk {
    fn as_slice(&self) -> &[u8] {
        match self {
            Chunk::Copied(bytes) => bytes,
            Chunk::Owned(bytes) => bytes,
        }
    }
}

/// Bytes on their way to the kernel, and the positions at which someone wants to be told.
#[derive(Debug, Default)]
pub(crate) struct WriteQueue {
    chunks: VecDeque<Chunk>,
    /// How much of the first chunk is sent.
    head: usize,
    bytes: usize,
    /// How many of them are encrypted: not in the chunks any more, and not sent yet.
    #[cfg(feature = "tls")]
    sealed: usize,
    /// Stream positions (counted in bytes accepted) with a write callback.
    marks: VecDeque<u64>,
}

impl WriteQueue {
    /// Bytes that wait.
    pub(crate) fn len(&self) -> usize {
        self.bytes
    }

    pub(crate) fn is_idle(&self) -> bool {
        self.bytes == 0 && self.marks.is_empty()
    }

    pub(crate) fn push_copy(&mut self, data: &[u8]) {
        if data.is_empty() {
            return;
        }
        self.bytes += data.len();
        if let Some(Chunk::Copied(last)) = self.chunks.back_mut() {
            if last.len() + data.len() <= GATHER {
                last.extend_from_slice(data);
                return;
            }
        }
        self.chunks.push_back(Chunk::Copied(data.to_vec()));
    }

    pub(crate) fn push_owned(&mut self, data: Bytes) {
        debug_assert!(!data.is_empty());
        self.bytes += data.len();
        self.chunks.push_back(Chunk::Owned(data));
    }

    #[cfg(feature = "tls")]
    pub(crate) fn sealed(&self) -> usize {
        self.sealed
    }

    /// `sealed` bytes that were encrypted before they came here.
    #[cfg(feature = "tls")]
    pub(crate) fn push_sealed(&mut self, sealed: usize) {
        self.bytes += sealed;
        self.sealed += sealed;
    }

    /// The first `sealed` bytes were encrypted.
    #[cfg(feature = "tls")]
    pub(crate) fn seal(&mut self, sealed: usize, released: &mut Vec<Bytes>) {
        self.advance(sealed, released);
        self.push_sealed(sealed);
    }

    /// `sent` encrypted bytes are with the kernel.
    #[cfg(feature = "tls")]
    pub(crate) fn advance_sealed(&mut self, sent: usize) {
        assert!(sent <= self.sealed, "more sent than was encrypted");
        self.bytes -= sent;
        self.sealed -= sent;
    }

    /// Wants to be told when everything up to `position` is sent.
    pub(crate) fn mark(&mut self, position: u64) {
        debug_assert!(self.marks.back().is_none_or(|last| *last <= position));
        self.marks.push_back(position);
    }

    /// Takes the marks at or before `position`; says how many there were.
    pub(crate) fn take_marks(&mut self, position: u64) -> u32 {
        let mut taken = 0;
        while self.marks.front().is_some_and(|mark| *mark <= position) {
            self.marks.pop_front();
            taken += 1;
        }
        taken
    }

    /// Fills `slices` with what waits, oldest first; says how many it used.
    pub(crate) fn fill<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> usize {
        let mut used = 0;
        let mut skip = self.head;
        for (slot, chunk) in slices.iter_mut().zip(&self.chunks) {
            *slot = IoSlice::new(&chunk.as_slice()[skip..]);
            skip = 0;
            used += 1;
        }
        used
    }

    /// The kernel took `sent` bytes.
    pub(crate) fn advance(&mut self, mut sent: usize, released: &mut Vec<Bytes>) {
        assert!(sent <= self.bytes, "more sent than was queued");
        self.bytes -= sent;
        while sent > 0 {
            let left = self.chunks[0].as_slice().len() - self.head;
            if sent < left {
                self.head += sent;
                return;
            }
            sent -= left;
            self.head = 0;
            if let Some(Chunk::Owned(bytes)) = self.chunks.pop_front() {
                released.push(bytes);
            }
        }
    }

    /// Gives up what waits.
    pub(crate) fn clear(&mut self, released: &mut Vec<Bytes>) {
        for chunk in self.chunks.drain(..) {
            if let Chunk::Owned(bytes) = chunk {
                released.push(bytes);
            }
        }
        self.marks.clear();
        self.head = 0;
        self.bytes = 0;
        #[cfg(feature = "tls")]
        {
            self.sealed = 0;
        }
    }
}

#[cfg(test)]
mod tests;
