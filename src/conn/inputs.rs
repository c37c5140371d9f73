//! What the kernel and the loop tell a connection.

use bytes::Bytes;

use super::state::{Cause, Phase, WriteSide};
use super::{Backlog, Conn};
use crate::error::Error;

impl Conn {
    pub(crate) fn handle_connected(&mut self) -> bool {
        let connected = self.state.connected();
        self.settle_queue();
        connected
    }

    #[inline]
    pub(crate) fn handle_read(&mut self, len: usize) {
        self.bytes_read += len as u64;
    }

    /// The peer's FIN, after all its bytes. True: deliver `end`.
    pub(crate) fn handle_eof(&mut self) -> bool {
        !self.has_write_error() && self.state.peer_ended()
    }

    pub(crate) fn handle_written(&mut self, sent: usize, released: &mut Vec<Bytes>) {
        if let Some(Backlog::Queue(queue)) = self.backlog.as_deref_mut() {
            queue.advance(sent, released);
        }
        self.settle_queue();
    }

    /// The first `sealed` bytes of those that wait were encrypted.
    #[cfg(feature = "tls")]
    pub(crate) fn handle_sealed(&mut self, sealed: usize, released: &mut Vec<Bytes>) {
        if let Some(Backlog::Queue(queue)) = self.backlog.as_deref_mut() {
            queue.seal(sealed, released);
        }
    }

    /// `sent` bytes that had been encrypted are with the kernel.
    #[cfg(feature = "tls")]
    pub(crate) fn handle_sealed_sent(&mut self, sent: usize) {
        if let Some(Backlog::Queue(queue)) = self.backlog.as_deref_mut() {
            queue.advance_sealed(sent);
        }
        self.settle_queue();
    }

    /// Our FIN is with the kernel.
    pub(crate) fn handle_shut(&mut self) {
        if self.wants_shutdown() && self.state.shut() {
            self.fin_sent = true;
            self.pending.finish = true;
        }
    }

    pub(crate) fn handle_read_error(&mut self, error: Error, released: &mut Vec<Bytes>) {
        match self.take_write_error() {
            Some(stored) => self.fail_write(stored, released),
            None => {
                self.destroy(Cause::Failed(error), released);
            }
        }
    }

    /// The kernel refused bytes. What it still holds for us is read before that is told, if anybody reads.
    pub(crate) fn handle_write_error(&mut self, error: Error, released: &mut Vec<Bytes>) {
        let drainable = self.will_read();
        // The first is the one that is told.
        let error = self.take_write_error().unwrap_or(error);
        // The marks go with the queue: their callbacks fail together with the rest, in order.
        self.give_up_queue(released);
        if drainable {
            self.backlog = Some(Box::new(Backlog::Failed(error)));
        } else {
            self.fail_write(error, released);
        }
    }

    /// Nothing more can be read although a write has failed: report that.
    pub(crate) fn settle_write_error(&mut self, released: &mut Vec<Bytes>) -> bool {
        match self.take_write_error() {
            Some(error) => {
                self.fail_write(error, released);
                true
            }
            None => false,
        }
    }

    /// The listeners of `end` have run: our side ends too, or was the last to.
    pub(crate) fn handle_end_delivered(&mut self, released: &mut Vec<Bytes>) {
        self.end_delivered = true;
        if !self.limits.allow_half_open && self.end(released) {
            self.ended_by_peer = true;
        }
        self.finish_if_done(released);
    }

    /// `finish` is being told: a callback given to `end` from here on is too late.
    pub(crate) fn handle_finish_begun(&mut self) {
        self.finish_begun = true;
    }

    /// The listeners of `finish` have run.
    pub(crate) fn handle_finish_delivered(&mut self, released: &mut Vec<Bytes>) {
        self.finish_delivered = true;
        if self.destroy_soon {
            self.destroy(Cause::Destroyed, released);
        }
        self.finish_if_done(released);
    }

    pub(crate) fn handle_close_delivered(&mut self) {
        self.state.close_delivered();
    }

    fn finish_if_done(&mut self, released: &mut Vec<Bytes>) {
        if self.end_delivered && self.finish_delivered {
            self.destroy(Cause::Finished, released);
        }
    }

    fn fail_write(&mut self, error: Error, released: &mut Vec<Bytes>) {
        if self.destroy(Cause::Failed(error), released) {
            self.pending.error_first = false;
        }
    }

    /// Books what the queue has finished, and gives it up once nothing waits.
    fn settle_queue(&mut self) {
        let Some(Backlog::Queue(queue)) = self.backlog.as_deref_mut() else {
            return;
        };
        let sent = self.bytes_written - queue.len() as u64;
        self.wrote += queue.take_marks(sent);
        if queue.is_idle() {
            self.backlog = None;
        }
        if self.drain_is_due() {
            self.pending.drain = true;
        }
    }

    pub(super) fn drain_is_due(&self) -> bool {
        self.need_drain
            && self.buffer_size() == 0
            && self.state.phase() == Phase::Open
            && self.state.write() == WriteSide::Open
            && !self.has_write_error()
    }

    fn take_write_error(&mut self) -> Option<Error> {
        if !self.has_write_error() {
            return None;
        }
        match *self.backlog.take()? {
            Backlog::Failed(error) => Some(error),
            Backlog::Queue(_) => None,
        }
    }

    /// What waits is not sent.
    pub(super) fn give_up_queue(&mut self, released: &mut Vec<Bytes>) {
        if let Some(Backlog::Queue(queue)) = self.backlog.as_deref_mut() {
            queue.clear(released);
        }
        self.backlog = None;
    }
}
