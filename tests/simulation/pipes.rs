//! What pipes write: each chunk that a source has read, whole and in its place, or the destination fails.

use super::rules::End;
use super::world::World;

/// A chunk that a pipe is to write to `to` after the rules of `from` have seen it.
pub struct PipeWrite {
    from: usize,
    to: usize,
    chunk: Vec<u8>,
    /// What `to` had been given to send by then, and the calls made by then.
    before: u64,
    calls: u64,
    was_writable: bool,
}

impl World {
    /// A callback begins.
    pub fn enter(&self) {
        self.settle_pipes(None);
        self.tally.borrow_mut().events += 1;
    }

    pub fn expect_pipe_write(&self, from: usize, to: usize, chunk: &[u8]) {
        let Some(socket) = self.end(to).socket(self) else {
            return;
        };
        self.pipe_writes.borrow_mut().push(PipeWrite {
            from,
            to,
            chunk: chunk.to_vec(),
            before: socket.bytes_written(),
            calls: self.calls.get(),
            was_writable: socket.writable(),
        });
    }

    /// Looks what pipes have written since. Those of `under_way` may still have it before them.
    pub fn settle_pipes(&self, under_way: Option<usize>) {
        self.pipe_writes.borrow_mut().retain(|write| {
            let end = self.end(write.to);
            let written = self.written_by(write, &end);
            if written == 0 && under_way == Some(write.from) {
                return true;
            }
            assert!(written <= write.chunk.len(), "a pipe wrote too much");
            self.piped(write, &end, written);
            // Unless somebody has interfered, all of it was written or could not be.
            if write.was_writable && write.calls == self.calls.get() && written < write.chunk.len()
            {
                end.must_fail.set(true);
            }
            false
        });
    }

    /// Somebody else is about to write to `to`.
    pub fn settle_pipes_to(&self, to: usize) {
        self.pipe_writes.borrow_mut().retain(|write| {
            let end = self.end(to);
            let written = self.written_by(write, &end);
            if write.to != to || written == 0 {
                return true;
            }
            self.piped(write, &end, written);
            false
        });
    }

    /// Somebody else has written to `to`.
    pub fn rebase_pipes_to(&self, to: usize, written: u64) {
        let mut writes = self.pipe_writes.borrow_mut();
        for write in writes.iter_mut().filter(|write| write.to == to) {
            write.before = written;
        }
    }

    fn piped(&self, write: &PipeWrite, end: &End, written: usize) {
        if written > 0 {
            end.sent.borrow_mut().extend(&write.chunk[..written]);
            end.drain_allowed.set(true);
            end.idle.stir(self);
            self.tally.borrow_mut().piped += 1;
        }
    }

    fn written_by(&self, write: &PipeWrite, end: &End) -> usize {
        let now = end.socket(self).map_or(0, |socket| socket.bytes_written());
        now.saturating_sub(write.before) as usize
    }
}
