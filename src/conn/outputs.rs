//! What a connection wants done next, and the events it has to tell.

use std::io::IoSlice;

use super::state::{Flow, Phase, ReadSide, WriteSide};
use super::write_queue::WriteQueue;
use super::{Backlog, Conn, Notice, CORK_LIMIT};

impl Conn {
    /// The plain case: open on both sides, flowing, and nothing waits. There is nothing to do but to read.
    #[inline]
    pub(crate) fn is_plain(&self) -> bool {
        self.state.is_plain() && self.backlog.is_none() && self.resting == 0
    }

    /// Bytes are to be read: somebody wants them, or nobody ever will and our side has said all it had to say.
    #[inline]
    pub(crate) fn wants_read(&self) -> bool {
        self.resting == 0 && self.will_read()
    }

    /// As [`wants_read`](Self::wants_read), now or when the destinations of a pipe have drained.
    #[inline]
    pub(crate) fn will_read(&self) -> bool {
        if self.state.phase() != Phase::Open || self.state.read() != ReadSide::Open {
            return false;
        }
        match self.state.flow() {
            Flow::Flowing => true,
            Flow::Paused | Flow::Unpiped => false,
            Flow::Initial => self.fin_sent,
        }
    }

    /// The peer may still end, and nobody reads: only a peek can tell.
    pub(crate) fn may_peek(&self) -> bool {
        self.state.phase() == Phase::Open
            && self.state.read() == ReadSide::Open
            && !self.wants_read()
    }

    /// Bytes wait and may go. A cork holds them back while more may be written, unless that is much or a `drain` is
    /// owed, which comes only when all are gone.
    pub(crate) fn wants_flush(&self) -> bool {
        let held = self.corked > 0
            && self.state.write() == WriteSide::Open
            && self.buffer_size() < CORK_LIMIT
            && !self.need_drain;
        self.state.phase() == Phase::Open && self.buffer_size() > 0 && !held
    }

    /// Of the bytes that wait, those that are not encrypted.
    #[cfg(feature = "tls")]
    pub(crate) fn unsealed(&self) -> usize {
        self.queue().map_or(0, |queue| queue.len() - queue.sealed())
    }

    /// All is sent and our FIN is next.
    pub(crate) fn wants_shutdown(&self) -> bool {
        self.state.phase() == Phase::Open
            && self.state.write() == WriteSide::Ending
            && self.buffer_size() == 0
            && !self.has_write_error()
    }

    pub(crate) fn has_write_error(&self) -> bool {
        matches!(self.backlog.as_deref(), Some(Backlog::Failed(_)))
    }

    pub(super) fn queue(&self) -> Option<&WriteQueue> {
        match self.backlog.as_deref() {
            Some(Backlog::Queue(queue)) => Some(queue),
            _ => None,
        }
    }

    /// The queue, made on first use. Nothing is queued behind a failed write.
    pub(super) fn queue_mut(&mut self) -> &mut WriteQueue {
        let backlog = self
            .backlog
            .get_or_insert_with(|| Box::new(Backlog::Queue(WriteQueue::default())));
        match &mut **backlog {
            Backlog::Queue(queue) => queue,
            Backlog::Failed(_) => unreachable!("a write behind a failed one is refused"),
        }
    }

    /// What to send next, oldest first.
    pub(crate) fn transmit<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> usize {
        self.queue().map_or(0, |queue| queue.fill(slices))
    }

    /// The next event to deliver after the running callback.
    pub(crate) fn poll_notice(&mut self) -> Option<Notice> {
        let pending = &mut self.pending;
        if std::mem::take(&mut pending.drain) {
            return Some(Notice::Drain);
        }
        if self.wrote > 0 {
            self.wrote -= 1;
            return Some(Notice::Wrote);
        }
        if std::mem::take(&mut pending.finish) {
            return Some(Notice::Finish);
        }
        if pending.error && (pending.error_first || !pending.abort) {
            pending.error = false;
            return Some(Notice::Error);
        }
        std::mem::take(&mut pending.abort).then_some(Notice::Abort)
    }

    /// A `drain` notice is being delivered: is it still true? Writes since then may have filled the queue again.
    pub(crate) fn take_drain(&mut self) -> bool {
        let due = self.drain_is_due();
        if due {
            self.need_drain = false;
        }
        due
    }
}
