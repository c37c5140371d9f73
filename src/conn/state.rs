//! The state of one connection, in one place. No other file sets it.
//!
//! ```text
//!            connect_started            connected
//!   Idle ───────────────────► Connecting ─────────► Open ──┐
//!    │  └──────────── adopted (accepted, paired) ────▲ │    │ both sides done: finished
//!    │                        │                        │    │ destroy, error:  destroyed
//!    └────────────────────────┴────────────────────────┴────┴──► Closing ──────► Closed
//!                        destroyed(cause)                              close delivered
//!
//!   read side:   Open ── peer_ended ──► Ended
//!   write side:  Open ── end_requested ──► Ending ── shut ──► Shut
//!                (Ending: `end()` was called, bytes may still be queued; Shut: our FIN is with the kernel)
//!   flow:        Initial ── reader attached, resume ──► Flowing ◄── resume / pause ──► Paused
//! ```
//!
//! The two sides and the flow exist before the connection is open, because `end()`, `pause()` and `resume()` are
//! remembered from the start. A transition is a method named after its cause; what a state does not allow is
//! refused by returning `false`.

use crate::error::Error;

/// Where the connection is in its life.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Phase {
    Idle,
    Connecting,
    Open,
    /// Destroyed or done; `close` is not delivered yet.
    Closing,
    Closed,
}

/// What still comes from the peer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum ReadSide {
    Open,
    Ended,
}

/// What we may still send.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum WriteSide {
    Open,
    Ending,
    Shut,
}

/// Whether bytes are wanted: Node's `readableFlowing` (null, true, false).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Flow {
    Initial,
    Flowing,
    Paused,
}

/// Why the connection ended.
#[derive(Clone, Debug)]
pub(crate) enum Cause {
    /// Both sides ended in order.
    Finished,
    /// The user destroyed it without an error.
    Destroyed,
    /// An error, reported once by `error` and by `close(true)`.
    Failed(Error),
}

/// The state and its transitions.
#[derive(Debug)]
pub(crate) struct State {
    phase: Phase,
    read: ReadSide,
    write: WriteSide,
    flow: Flow,
    /// It ended while it was connecting.
    ended_connecting: bool,
    cause: Cause,
}

impl State {
    pub(crate) fn new() -> State {
        State {
            phase: Phase::Idle,
            read: ReadSide::Open,
            write: WriteSide::Open,
            flow: Flow::Initial,
            ended_connecting: false,
            cause: Cause::Destroyed,
        }
    }

    pub(crate) fn phase(&self) -> Phase {
        self.phase
    }

    pub(crate) fn read(&self) -> ReadSide {
        self.read
    }

    pub(crate) fn write(&self) -> WriteSide {
        self.write
    }

    pub(crate) fn flow(&self) -> Flow {
        self.flow
    }

    /// It ended while it was connecting.
    pub(crate) fn ended_connecting(&self) -> bool {
        self.ended_connecting
    }

    /// Why it ended; `None` while it lives.
    pub(crate) fn cause(&self) -> Option<&Cause> {
        matches!(self.phase, Phase::Closing | Phase::Closed).then_some(&self.cause)
    }

    pub(crate) fn connect_started(&mut self) -> bool {
        let allowed = self.phase == Phase::Idle;
        if allowed {
            self.phase = Phase::Connecting;
        }
        allowed
    }

    pub(crate) fn connected(&mut self) -> bool {
        let allowed = self.phase == Phase::Connecting;
        if allowed {
            self.phase = Phase::Open;
        }
        allowed
    }

    /// It came connected: accepted, or one end of a pair.
    pub(crate) fn adopted(&mut self) -> bool {
        self.connect_started() && self.connected()
    }

    pub(crate) fn peer_ended(&mut self) -> bool {
        let allowed = self.phase == Phase::Open && self.read == ReadSide::Open;
        if allowed {
            self.read = ReadSide::Ended;
        }
        allowed
    }

    pub(crate) fn end_requested(&mut self) -> bool {
        let allowed =
            matches!(self.phase, Phase::Connecting | Phase::Open) && self.write == WriteSide::Open;
        if allowed {
            self.write = WriteSide::Ending;
        }
        allowed
    }

    pub(crate) fn shut(&mut self) -> bool {
        let allowed = self.phase == Phase::Open && self.write == WriteSide::Ending;
        if allowed {
            self.write = WriteSide::Shut;
        }
        allowed
    }

    /// A reader was attached: bytes flow unless `pause()` was called, which wins.
    pub(crate) fn reader_attached(&mut self) -> bool {
        let allowed = self.flow == Flow::Initial;
        if allowed {
            self.flow = Flow::Flowing;
        }
        allowed
    }

    pub(crate) fn set_flowing(&mut self, flowing: bool) {
        self.flow = if flowing { Flow::Flowing } else { Flow::Paused };
    }

    pub(crate) fn destroyed(&mut self, cause: Cause) -> bool {
        let allowed = !matches!(self.phase, Phase::Closing | Phase::Closed);
        if allowed {
            self.ended_connecting = self.phase == Phase::Connecting;
            self.phase = Phase::Closing;
            self.cause = cause;
        }
        allowed
    }

    pub(crate) fn close_delivered(&mut self) -> bool {
        let allowed = self.phase == Phase::Closing;
        if allowed {
            self.phase = Phase::Closed;
        }
        allowed
    }
}
