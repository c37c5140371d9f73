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

mod commands;
mod event;
mod idle;
mod inputs;
mod outputs;
mod state;
mod write_queue;

#[cfg(test)]
mod tests;

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

/// What the user chose for one connection. Every connection has them, so they are kept small: 4 GiB and more is no limit,
/// for which `u32::MAX` stands.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    high_water_mark: u32,
    max_queued: u32,
    pub(crate) allow_half_open: bool,
}

impl Limits {
    /// `max_queued`: `None` is none.
    pub(crate) fn new(
        high_water_mark: usize,
        max_queued: Option<usize>,
        allow_half_open: bool,
    ) -> Limits {
        let mut limits = Limits {
            allow_half_open,
            ..Limits::default()
        };
        limits.set_high_water_mark(high_water_mark);
        limits.set_max_queued(max_queued);
        limits
    }

    pub(crate) fn set_high_water_mark(&mut self, bytes: usize) {
        self.high_water_mark = u32::try_from(bytes).unwrap_or(u32::MAX);
    }

    pub(crate) fn set_max_queued(&mut self, bytes: Option<usize>) {
        let bytes = bytes.and_then(|bytes| u32::try_from(bytes).ok());
        self.max_queued = bytes.unwrap_or(u32::MAX);
    }

    pub(crate) fn high_water_mark(&self) -> usize {
        unpacked(self.high_water_mark)
    }

    pub(crate) fn max_queued(&self) -> usize {
        unpacked(self.max_queued)
    }
}

fn unpacked(limit: u32) -> usize {
    match limit {
        u32::MAX => usize::MAX,
        bytes => bytes as usize,
    }
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            high_water_mark: 0,
            max_queued: u32::MAX,
            allow_half_open: false,
        }
    }
}

/// Events to come, in the order [`Conn::poll_notice`] gives them out.
#[derive(Debug, Default)]
struct Pending {
    drain: bool,
    finish: bool,
    error: bool,
    abort: bool,
    /// The error precedes the callbacks it fails (destroyed, failed read), or follows them (failed write).
    error_first: bool,
}

/// What is in front of the next write.
#[derive(Debug)]
enum Backlog {
    Queue(WriteQueue),
    /// A write has failed, which is reported once what the kernel still holds is read.
    Failed(Error),
}

/// One connection.
#[derive(Debug)]
pub(crate) struct Conn {
    state: State,
    limits: Limits,
    /// Only while a write cannot go straight to the kernel.
    backlog: Option<Box<Backlog>>,
    bytes_read: u64,
    bytes_written: u64,
    idle: Idle,
    /// Destinations of a pipe that must drain before more is read.
    resting: u16,
    corked: u16,
    /// Write callbacks whose bytes are with the kernel, to be told in their place among what is pending.
    wrote: u32,
    need_drain: bool,
    /// Destroy it once `finish` was delivered.
    destroy_soon: bool,
    /// Our FIN went out, so what comes without a reader need not be kept.
    fin_sent: bool,
    ended_by_peer: bool,
    end_delivered: bool,
    finish_begun: bool,
    finish_delivered: bool,
    pending: Pending,
}

impl Conn {
    pub(crate) fn new(limits: Limits) -> Conn {
        Conn {
            state: State::new(),
            limits,
            backlog: None,
            bytes_read: 0,
            bytes_written: 0,
            idle: Idle::default(),
            resting: 0,
            corked: 0,
            wrote: 0,
            need_drain: false,
            destroy_soon: false,
            fin_sent: false,
            ended_by_peer: false,
            end_delivered: false,
            finish_begun: false,
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

    /// One that came connected, of which the user wants only one side: the other counts as done.
    pub(crate) fn adopted_sides(limits: Limits, readable: bool, writable: bool) -> Conn {
        let mut conn = Conn::adopted(limits);
        if !readable {
            conn.state.peer_ended();
            conn.end_delivered = true;
        }
        if !writable {
            conn.state.end_requested();
            conn.state.shut();
            conn.finish_begun = true;
            conn.finish_delivered = true;
        }
        conn
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

    pub(crate) fn finish_begun(&self) -> bool {
        self.finish_begun
    }

    pub(crate) fn flow(&self) -> Flow {
        self.state.flow()
    }

    #[cfg_attr(not(test), allow(dead_code))] // The fuzz targets ask it as well.
    pub(crate) fn cause(&self) -> Option<Cause> {
        self.state.cause()
    }

    /// The error that ended it.
    pub(crate) fn failure(&self) -> Option<&Error> {
        self.state.failure()
    }

    /// The peer has ended, while our side goes on.
    pub(crate) fn peer_ended(&self) -> bool {
        self.state.read() == ReadSide::Ended && !self.destroyed()
    }

    /// Our side has ended, and not because the peer's did.
    pub(crate) fn ended_by_us(&self) -> bool {
        self.state.write() != WriteSide::Open && !self.ended_by_peer
    }

    /// An error ended it before it was connected.
    pub(crate) fn failed_to_connect(&self) -> bool {
        self.state.ended_connecting() && self.failure().is_some()
    }

    /// What the callback of a `write` or an `end` (`what` says which) is told when it can no longer succeed.
    pub(crate) fn abort_error(&self, what: &str) -> Error {
        match self.failure() {
            Some(error) => error.clone(),
            None if self.state.ended_connecting() => Error::closed_before_connection(),
            None => Error::stream_destroyed(what),
        }
    }

    pub(crate) fn readable(&self) -> bool {
        matches!(self.phase(), Phase::Connecting | Phase::Open)
            && self.state.read() == ReadSide::Open
    }

    pub(crate) fn writable(&self) -> bool {
        matches!(self.phase(), Phase::Connecting | Phase::Open)
            && self.state.write() == WriteSide::Open
            && !self.has_write_error()
    }

    pub(crate) fn destroyed(&self) -> bool {
        matches!(self.phase(), Phase::Closing | Phase::Closed)
    }

    /// None comes after `end`, nor after a failed write.
    pub(crate) fn need_drain(&self) -> bool {
        self.need_drain && self.writable()
    }

    pub(crate) fn buffer_size(&self) -> usize {
        self.queue().map_or(0, WriteQueue::len)
    }

    pub(crate) fn bytes_read(&self) -> u64 {
        self.bytes_read
    }

    pub(crate) fn bytes_written(&self) -> u64 {
        self.bytes_written
    }

    pub(crate) fn idle(&self) -> &Idle {
        &self.idle
    }
}
