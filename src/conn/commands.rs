//! The user's commands on a connection.

use bytes::Bytes;

use super::state::{Cause, Phase, WriteSide};
use super::{Admission, Conn, Idle, Limits, Payload, Pending, WriteStatus, CORK_LIMIT};
use crate::error::Error;

/// Writing.
impl Conn {
    /// May `len` bytes be written now? A refusal has already ended the connection, where it must.
    #[inline]
    pub(crate) fn admit(&mut self, len: usize, released: &mut Vec<Bytes>) -> Admission {
        if self.is_clear() {
            Admission::Try
        } else {
            self.admit_behind(len, released)
        }
    }

    /// The plain case: nothing is in the way of a write.
    #[inline]
    pub(crate) fn is_clear(&self) -> bool {
        self.state.phase() == Phase::Open
            && self.state.write() == WriteSide::Open
            && self.backlog.is_none()
            && self.corked == 0
    }

    fn admit_behind(&mut self, len: usize, released: &mut Vec<Bytes>) -> Admission {
        match self.state.phase() {
            Phase::Closing | Phase::Closed => return Admission::Refused,
            Phase::Idle => return self.refuse(Error::socket_closed(), released),
            Phase::Connecting | Phase::Open => {}
        }
        if self.has_write_error() {
            return Admission::Refused;
        }
        if self.state.write() != WriteSide::Open {
            let error = if self.ended_by_peer {
                Error::ended_by_peer()
            } else {
                Error::write_after_end()
            };
            return self.refuse(error, released);
        }
        let waiting = self.buffer_size();
        if waiting > 0 && self.over_limit(waiting + len) {
            return self.refuse(Error::queue_full(self.limits.max_queued()), released);
        }
        Admission::Queue
    }

    /// Books bytes that were admitted to be tried and that the kernel has taken whole, with no callback to call.
    #[inline]
    pub(crate) fn wrote(&mut self, len: u64) {
        self.bytes_written += len;
    }

    /// Takes an admitted payload of which the kernel already has the first `sent` bytes.
    pub(crate) fn accept(
        &mut self,
        payload: Payload<'_>,
        sent: usize,
        callback: bool,
        released: &mut Vec<Bytes>,
    ) -> WriteStatus {
        self.take(payload, sent, 0, callback, released)
    }

    /// The same for one of which the next `sealed` bytes are encrypted and wait elsewhere.
    #[cfg(feature = "tls")]
    pub(crate) fn accept_sealed(
        &mut self,
        payload: Payload<'_>,
        sent: usize,
        sealed: usize,
        callback: bool,
        released: &mut Vec<Bytes>,
    ) -> WriteStatus {
        self.take(payload, sent, sealed, callback, released)
    }

    #[inline]
    fn take(
        &mut self,
        payload: Payload<'_>,
        sent: usize,
        sealed: usize,
        callback: bool,
        released: &mut Vec<Bytes>,
    ) -> WriteStatus {
        if self.destroyed() {
            // It ended between the two calls.
            keep_for_release(payload, released);
            return WriteStatus::Refused;
        }
        let len = payload.as_slice().len();
        if self.over_limit(self.buffer_size() + len - sent) {
            // What the kernel took is gone, although the rest is refused.
            self.bytes_written += sent as u64;
            keep_for_release(payload, released);
            self.refuse(Error::queue_full(self.limits.max_queued()), released);
            return WriteStatus::Refused;
        }
        self.bytes_written += len as u64;
        if sent == len {
            keep_for_release(payload, released);
        } else {
            let queue = self.queue_mut();
            #[cfg(feature = "tls")]
            queue.push_sealed(sealed);
            let gone = sent + sealed;
            match payload {
                Payload::Borrowed(bytes) => queue.push_copy(&bytes[gone..]),
                Payload::Owned(bytes) if gone == len => released.push(bytes),
                Payload::Owned(mut bytes) => {
                    bytes::Buf::advance(&mut bytes, gone);
                    queue.push_owned(bytes);
                }
            }
        }
        if callback {
            self.mark();
        }
        self.status()
    }

    /// Queues our FIN behind what waits; no cork holds that back. False when there is nothing to end.
    pub(crate) fn end(&mut self, released: &mut Vec<Bytes>) -> bool {
        if self.state.phase() == Phase::Idle {
            return self.destroy(Cause::Destroyed, released);
        }
        self.state.end_requested()
    }

    /// Ends, and destroys once that is done: what the peer still sends is not waited for.
    pub(crate) fn destroy_soon(&mut self, released: &mut Vec<Bytes>) {
        self.destroy_soon = true;
        self.end(released);
        if self.finish_delivered {
            self.destroy(Cause::Destroyed, released);
        }
    }

    pub(crate) fn cork(&mut self) {
        self.corked = self.corked.saturating_add(1);
    }

    pub(crate) fn uncork(&mut self) {
        self.corked = self.corked.saturating_sub(1);
    }

    fn over_limit(&self, waiting: usize) -> bool {
        waiting > self.limits.max_queued()
    }

    fn refuse(&mut self, error: Error, released: &mut Vec<Bytes>) -> Admission {
        self.destroy(Cause::Failed(error), released);
        // The refused write is the one that failed: its callback first.
        self.pending.error_first = false;
        Admission::Refused
    }

    fn mark(&mut self) {
        let position = self.bytes_written;
        if self.state.phase() == Phase::Open && self.backlog.is_none() {
            self.wrote += 1;
        } else {
            self.queue_mut().mark(position);
        }
    }

    fn status(&mut self) -> WriteStatus {
        let waiting = self.buffer_size();
        if waiting == 0 {
            WriteStatus::Flushed
        } else if waiting < self.limits.high_water_mark()
            || (self.corked > 0 && waiting < CORK_LIMIT)
        {
            WriteStatus::Buffered
        } else {
            self.need_drain = true;
            WriteStatus::Queued
        }
    }
}

/// The rest.
impl Conn {
    pub(crate) fn connect_started(&mut self) -> bool {
        self.state.connect_started()
    }

    /// Ends the connection now. False when it has ended already. What waits is given up.
    pub(crate) fn destroy(&mut self, cause: Cause, released: &mut Vec<Bytes>) -> bool {
        let failed = matches!(cause, Cause::Failed(_));
        if !self.state.destroyed(cause) {
            return false;
        }
        self.give_up_queue(released);
        self.pending = Pending {
            error: failed,
            abort: true,
            error_first: true,
            ..Pending::default()
        };
        true
    }

    /// A callback came too late to succeed: ask for it to be called.
    pub(crate) fn abort_late_callback(&mut self) {
        self.pending.abort = true;
    }

    pub(crate) fn reader_attached(&mut self) {
        self.state.reader_attached();
    }

    pub(crate) fn piped(&mut self) {
        self.state.piped();
    }

    pub(crate) fn unpiped(&mut self) {
        self.state.unpiped();
    }

    pub(crate) fn set_flowing(&mut self, flowing: bool) {
        self.state.set_flowing(flowing);
    }

    /// A destination of a pipe asks for rest.
    pub(crate) fn rest(&mut self) {
        self.resting = self.resting.saturating_add(1);
    }

    /// That destination can take more, or is gone.
    pub(crate) fn wake(&mut self) {
        self.resting = self.resting.saturating_sub(1);
    }

    pub(crate) fn limits_mut(&mut self) -> &mut Limits {
        &mut self.limits
    }

    pub(crate) fn idle_mut(&mut self) -> &mut Idle {
        &mut self.idle
    }
}

/// Owned bytes may have an owner with a destructor of the user's; the loop drops them when no call is under way.
fn keep_for_release(payload: Payload<'_>, released: &mut Vec<Bytes>) {
    if let Payload::Owned(bytes) = payload {
        released.push(bytes);
    }
}
