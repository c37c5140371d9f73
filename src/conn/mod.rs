//! One connection, pure: it makes no system call, reads no clock and runs no user code.
//!
//! Four kinds of methods, called in this order by whoever drives it:
//!
//! 1. *commands* of the user (`admit` + `accept` for a write, `end`, `destroy`, `pause`, `resume`, `cork`, ..);
//! 2. *inputs* from the kernel (`handle_connected`, `handle_read`, `handle_eof`, `handle_written`, `handle_shut`,
//!    `handle_read_error`, `handle_write_error`);
//! 3. *outputs*: `wants_read`, `wants_flush`, `wants_shutdown` say what to do next, `poll_notice` which events to
//!    deliver once the running callback has returned;
//! 4. getters.
//!
//! Time is an argument.

mod event;
mod idle;
mod state;
mod write_queue;

#[cfg(test)]
mod tests;

use std::io::IoSlice;

use bytes::Bytes;

use crate::error::Error;
use state::State;
use write_queue::WriteQueue;

pub use event::WriteStatus;
pub(crate) use event::{Admission, Nanos, Notice};
pub(crate) use idle::{Idle, IdleCheck};
pub(crate) use state::{Cause, Flow, Phase, ReadSide, WriteSide};

/// A corked socket sends once it holds this much.
pub(crate) const CORK_LIMIT: usize = 64 * 1024;

/// Bytes to send: borrowed ones are copied if they must wait, owned ones are kept.
pub(crate) enum Payload<'a> {
    Borrowed(&'a [u8]),
    Owned(Bytes),
}

impl Payload<'_> {
    pub(crate) fn as_slice(&self) -> &[u8] {
        match self {
            Payload::Borrowed(bytes) => bytes,
            Payload::Owned(bytes) => bytes,
        }
    }
}

/// What the user chose for one connection.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    pub(crate) high_water_mark: usize,
    /// `usize::MAX`: none.
    pub(crate) max_queued: usize,
    pub(crate) allow_half_open: bool,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            high_water_mark: 0,
            max_queued: usize::MAX,
            allow_half_open: false,
        }
    }
}

/// Events to come, in the order [`Conn::poll_notice`] gives them out.
#[derive(Debug, Default)]
struct Pending {
    drain: bool,
    wrote: u32,
    finish: bool,
    error: bool,
    abort: bool,
    /// The error precedes the callbacks it fails (destroyed, failed read), or follows them (failed write).
    error_first: bool,
}

/// One connection.
#[derive(Debug)]
pub(crate) struct Conn {
    state: State,
    limits: Limits,
    /// Only while something waits.
    queue: Option<Box<WriteQueue>>,
    /// A failed write, reported once what the kernel still holds is read.
    write_error: Option<Error>,
    bytes_read: u64,
    bytes_written: u64,
    idle: Idle,
    /// Destinations of a pipe that must drain before more is read.
    resting: u32,
    corked: u32,
    need_drain: bool,
    ended_by_peer: bool,
    end_delivered: bool,
    finish_delivered: bool,
    pending: Pending,
}

impl Conn {
    pub(crate) fn new(limits: Limits) -> Conn {
        Conn {
            state: State::new(),
            limits,
            queue: None,
            write_error: None,
            bytes_read: 0,
            bytes_written: 0,
            idle: Idle::default(),
            resting: 0,
            corked: 0,
            need_drain: false,
            ended_by_peer: false,
            end_delivered: false,
            finish_delivered: false,
            pending: Pending::default(),
        }
    }

    /// One that came connected.
    pub(crate) fn adopted(limits: Limits) -> Conn {
        let mut conn = Conn::new(limits);
        conn.state.adopted();
        conn
    }
}

/// Commands: writing.
impl Conn {
    /// May `len` bytes be written now? A refusal has already ended the connection, where it must.
    pub(crate) fn admit(&mut self, len: usize, released: &mut Vec<Bytes>) -> Admission {
        match self.state.phase() {
            Phase::Closing | Phase::Closed => return Admission::Refused,
            Phase::Idle => return self.refuse(Error::socket_closed(), released),
            Phase::Connecting | Phase::Open => {}
        }
        if self.write_error.is_some() {
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
            return self.refuse(Error::queue_full(self.limits.max_queued), released);
        }
        let open = self.state.phase() == Phase::Open;
        if open && self.corked == 0 && waiting == 0 {
            Admission::Try
        } else {
            Admission::Queue
        }
    }

    /// Takes an admitted payload of which the kernel already has the first `sent` bytes.
    pub(crate) fn accept(
        &mut self,
        payload: Payload<'_>,
        sent: usize,
        callback: bool,
        released: &mut Vec<Bytes>,
    ) -> WriteStatus {
        let len = payload.as_slice().len();
        if self.over_limit(self.buffer_size() + len - sent) {
            keep_for_release(payload, released);
            self.refuse(Error::queue_full(self.limits.max_queued), released);
            return WriteStatus::Refused;
        }
        self.bytes_written += len as u64;
        if sent == len {
            keep_for_release(payload, released);
        } else {
            let queue = self.queue.get_or_insert_default();
            match payload {
                Payload::Borrowed(bytes) => queue.push_copy(&bytes[sent..]),
                Payload::Owned(mut bytes) => {
                    bytes::Buf::advance(&mut bytes, sent);
                    queue.push_owned(bytes);
                }
            }
        }
        if callback {
            self.mark();
        }
        self.status()
    }

    /// Queues our FIN behind what waits. False when there is nothing to end.
    pub(crate) fn end(&mut self, released: &mut Vec<Bytes>) -> bool {
        self.corked = 0;
        if self.state.phase() == Phase::Idle {
            return self.destroy(Cause::Destroyed, released);
        }
        self.state.end_requested()
    }

    pub(crate) fn cork(&mut self) {
        self.corked = self.corked.saturating_add(1);
    }

    pub(crate) fn uncork(&mut self) {
        self.corked = self.corked.saturating_sub(1);
    }

    fn over_limit(&self, waiting: usize) -> bool {
        waiting > self.limits.max_queued
    }

    fn refuse(&mut self, error: Error, released: &mut Vec<Bytes>) -> Admission {
        self.destroy(Cause::Failed(error), released);
        // The refused write is the one that failed: its callback first.
        self.pending.error_first = false;
        Admission::Refused
    }

    fn mark(&mut self) {
        let position = self.bytes_written;
        if self.state.phase() == Phase::Open && self.queue.is_none() {
            self.pending.wrote += 1;
        } else {
            self.queue.get_or_insert_default().mark(position);
        }
    }

    fn status(&mut self) -> WriteStatus {
        let waiting = self.buffer_size();
        if waiting == 0 {
            WriteStatus::Flushed
        } else if waiting < self.limits.high_water_mark || (self.corked > 0 && waiting < CORK_LIMIT)
        {
            WriteStatus::Buffered
        } else {
            self.need_drain = true;
            WriteStatus::Queued
        }
    }
}

/// Commands: the rest.
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
        if let Some(mut queue) = self.queue.take() {
            queue.clear(released);
        }
        self.pending = Pending {
            wrote: self.pending.wrote,
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

    pub(crate) fn set_flowing(&mut self, flowing: bool) {
        self.state.set_flowing(flowing);
    }

    /// A destination of a pipe asks for rest.
    pub(crate) fn rest(&mut self) {
        self.resting += 1;
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

/// Inputs from the kernel.
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
        self.write_error.is_none() && self.state.peer_ended()
    }

    pub(crate) fn handle_written(&mut self, sent: usize, released: &mut Vec<Bytes>) {
        if let Some(queue) = &mut self.queue {
            queue.advance(sent, released);
        }
        self.settle_queue();
    }

    /// Our FIN is with the kernel.
    pub(crate) fn handle_shut(&mut self) {
        if self.state.shut() {
            self.pending.finish = true;
        }
    }

    pub(crate) fn handle_read_error(&mut self, error: Error, released: &mut Vec<Bytes>) {
        match self.write_error.take() {
            Some(stored) => self.fail_write(stored, released),
            None => {
                self.destroy(Cause::Failed(error), released);
            }
        }
    }

    /// The kernel refused bytes. What it still holds for us is read before that is told, if anybody reads.
    pub(crate) fn handle_write_error(&mut self, error: Error, released: &mut Vec<Bytes>) {
        let drainable = self.wants_read();
        if let Some(queue) = &mut self.queue {
            // The marks stay: their callbacks fail together with the rest, in order.
            queue.clear(released);
        }
        self.queue = None;
        if drainable {
            self.write_error.get_or_insert(error);
        } else {
            self.fail_write(error, released);
        }
    }

    /// Nothing more can be read although a write has failed: report that.
    pub(crate) fn settle_write_error(&mut self, released: &mut Vec<Bytes>) -> bool {
        match self.write_error.take() {
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

    /// The listeners of `finish` have run.
    pub(crate) fn handle_finish_delivered(&mut self, released: &mut Vec<Bytes>) {
        self.finish_delivered = true;
        self.finish_if_done(released);
    }

    pub(crate) fn handle_close_delivered(&mut self) {
        self.state.close_delivered();
    }

    fn finish_if_done(&mut self, released: &mut Vec<Bytes>) {
        if self.end_delivered && self.finish_delivered && self.destroy(Cause::Finished, released) {
            self.pending.abort = false;
        }
    }

    fn fail_write(&mut self, error: Error, released: &mut Vec<Bytes>) {
        if self.destroy(Cause::Failed(error), released) {
            self.pending.error_first = false;
        }
    }

    /// Books what the queue has finished, and gives it up once nothing waits.
    fn settle_queue(&mut self) {
        let Some(queue) = &mut self.queue else { return };
        let sent = self.bytes_written - queue.len() as u64;
        self.pending.wrote += queue.take_marks(sent);
        if queue.is_idle() {
            self.queue = None;
        }
        if self.buffer_size() == 0 && self.drain_is_due() {
            self.pending.drain = true;
        }
    }

    fn drain_is_due(&self) -> bool {
        self.need_drain
            && self.buffer_size() == 0
            && self.state.phase() == Phase::Open
            && self.state.write() == WriteSide::Open
    }
}

/// Outputs.
impl Conn {
    /// Bytes are to be read: somebody wants them, or nobody ever will and our side has said all it had to say.
    #[inline]
    pub(crate) fn wants_read(&self) -> bool {
        if self.state.phase() != Phase::Open || self.state.read() != ReadSide::Open {
            return false;
        }
        match self.state.flow() {
            Flow::Flowing => self.resting == 0,
            Flow::Paused => false,
            Flow::Initial => self.state.write() == WriteSide::Shut,
        }
    }

    /// The peer may still end, and nobody reads: only a peek can tell.
    pub(crate) fn may_peek(&self) -> bool {
        self.state.phase() == Phase::Open
            && self.state.read() == ReadSide::Open
            && !self.wants_read()
    }

    /// Bytes wait and may go.
    pub(crate) fn wants_flush(&self) -> bool {
        self.state.phase() == Phase::Open
            && (self.corked == 0 || self.buffer_size() >= CORK_LIMIT)
            && self.buffer_size() > 0
    }

    /// All is sent and our FIN is next.
    pub(crate) fn wants_shutdown(&self) -> bool {
        self.state.phase() == Phase::Open
            && self.state.write() == WriteSide::Ending
            && self.buffer_size() == 0
            && self.write_error.is_none()
    }

    pub(crate) fn has_write_error(&self) -> bool {
        self.write_error.is_some()
    }

    /// What to send next, oldest first.
    pub(crate) fn transmit<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> usize {
        self.queue.as_ref().map_or(0, |queue| queue.fill(slices))
    }

    /// The next event to deliver after the running callback.
    pub(crate) fn poll_notice(&mut self) -> Option<Notice> {
        let pending = &mut self.pending;
        if std::mem::take(&mut pending.drain) {
            return Some(Notice::Drain);
        }
        if pending.wrote > 0 {
            pending.wrote -= 1;
            return Some(Notice::Wrote);
        }
        if std::mem::take(&mut pending.finish) {
            return Some(Notice::Finish);
        }
        let order = if pending.error_first {
            [Notice::Error, Notice::Abort]
        } else {
            [Notice::Abort, Notice::Error]
        };
        for notice in order {
            let flag = match notice {
                Notice::Error => &mut pending.error,
                _ => &mut pending.abort,
            };
            if std::mem::take(flag) {
                return Some(notice);
            }
        }
        None
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

/// Getters.
impl Conn {
    pub(crate) fn phase(&self) -> Phase {
        self.state.phase()
    }

    pub(crate) fn is_open(&self) -> bool {
        self.state.phase() == Phase::Open
    }

    pub(crate) fn is_ending(&self) -> bool {
        self.state.write() != WriteSide::Open
    }

    pub(crate) fn is_shut(&self) -> bool {
        self.state.write() == WriteSide::Shut
    }

    pub(crate) fn finish_delivered(&self) -> bool {
        self.finish_delivered
    }

    pub(crate) fn flow(&self) -> Flow {
        self.state.flow()
    }

    pub(crate) fn cause(&self) -> Option<&Cause> {
        self.state.cause()
    }

    /// The error that ended it.
    pub(crate) fn failure(&self) -> Option<&Error> {
        match self.cause() {
            Some(Cause::Failed(error)) => Some(error),
            _ => None,
        }
    }

    pub(crate) fn failed_to_connect(&self) -> bool {
        self.state.failed_to_connect()
    }

    /// What a write callback is told when its bytes can no longer be sent.
    pub(crate) fn abort_error(&self) -> Error {
        match self.failure() {
            Some(error) => error.clone(),
            None if self.state.was_open() => Error::stream_destroyed("write"),
            None => Error::closed_before_connection(),
        }
    }

    pub(crate) fn readable(&self) -> bool {
        matches!(self.phase(), Phase::Connecting | Phase::Open)
            && self.state.read() == ReadSide::Open
    }

    pub(crate) fn writable(&self) -> bool {
        matches!(self.phase(), Phase::Connecting | Phase::Open)
            && self.state.write() == WriteSide::Open
            && self.write_error.is_none()
    }

    pub(crate) fn destroyed(&self) -> bool {
        matches!(self.phase(), Phase::Closing | Phase::Closed)
    }

    pub(crate) fn need_drain(&self) -> bool {
        self.need_drain && !self.destroyed()
    }

    pub(crate) fn buffer_size(&self) -> usize {
        self.queue.as_ref().map_or(0, |queue| queue.len())
    }

    pub(crate) fn bytes_read(&self) -> u64 {
        self.bytes_read
    }

    pub(crate) fn bytes_written(&self) -> u64 {
        self.bytes_written
    }

    pub(crate) fn limits(&self) -> &Limits {
        &self.limits
    }

    pub(crate) fn idle(&self) -> &Idle {
        &self.idle
    }
}

/// Owned bytes may have an owner with a destructor of the user's; the loop drops them when no call is under way.
fn keep_for_release(payload: Payload<'_>, released: &mut Vec<Bytes>) {
    if let Payload::Owned(bytes) = payload {
        released.push(bytes);
    }
}
