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
//!                                                      Flowing ◄── piped / unpiped ──► Unpiped
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
    /// Its last pipe is gone; the next one makes it flow again.
    Unpiped,
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

/// Four bytes in a row, to be compared as one word.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
struct Sides {
    phase: Phase,
    read: ReadSide,
    write: WriteSide,
    flow: Flow,
}

impl Sides {
    const PLAIN: Sides = Sides {
        phase: Phase::Open,
        read: ReadSide::Open,
        write: WriteSide::Open,
        flow: Flow::Flowing,
    };

    #[inline]
    const fn word(self) -> u32 {
        u32::from_ne_bytes([
            self.phase as u8,
            self.read as u8,
            self.write as u8,
            self.flow as u8,
        ])
    }
}

/// The state and its transitions.
#[derive(Debug)]
pub(crate) struct State {
    sides: Sides,
    /// It ended while it was connecting.
    ended_connecting: bool,
    /// Both sides ended in order. Nobody is told the difference, but tests know it.
    #[cfg_attr(not(test), allow(dead_code))]
    finished: bool,
    failure: Option<Error>,
}

impl State {
    pub(crate) fn new() -> State {
        State {
            sides: Sides {
                phase: Phase::Idle,
                read: ReadSide::Open,
                write: WriteSide::Open,
                flow: Flow::Initial,
            },
            ended_connecting: false,
            finished: false,
            failure: None,
        }
    }

    /// Open on both sides, and bytes are wanted.
    #[inline]
    pub(crate) fn is_plain(&self) -> bool {
        self.sides.word() == Sides::PLAIN.word()
    }

    pub(crate) fn phase(&self) -> Phase {
        self.sides.phase
    }

    pub(crate) fn read(&self) -> ReadSide {
        self.sides.read
    }

    pub(crate) fn write(&self) -> WriteSide {
        self.sides.write
    }

    pub(crate) fn flow(&self) -> Flow {
        self.sides.flow
    }

    /// It ended while it was connecting.
    pub(crate) fn ended_connecting(&self) -> bool {
        self.ended_connecting
    }

    /// The error that ended it.
    pub(crate) fn failure(&self) -> Option<&Error> {
        self.failure.as_ref()
    }

    /// Why it ended; `None` while it lives.
    #[cfg_attr(not(test), allow(dead_code))] // The fuzz targets ask it as well.
    pub(crate) fn cause(&self) -> Option<Cause> {
        let ended = matches!(self.sides.phase, Phase::Closing | Phase::Closed);
        ended.then(|| match &self.failure {
            Some(error) => Cause::Failed(error.clone()),
            None if self.finished => Cause::Finished,
            None => Cause::Destroyed,
        })
    }

    pub(crate) fn connect_started(&mut self) -> bool {
        let allowed = self.sides.phase == Phase::Idle;
        if allowed {
            self.sides.phase = Phase::Connecting;
        }
        allowed
    }

    pub(crate) fn connected(&mut self) -> bool {
        let allowed = self.sides.phase == Phase::Connecting;
        if allowed {
            self.sides.phase = Phase::Open;
        }
        allowed
    }

    /// It came connected: accepted, or one end of a pair.
    pub(crate) fn adopted(&mut self) -> bool {
        self.connect_started() && self.connected()
    }

    pub(crate) fn peer_ended(&mut self) -> bool {
        let allowed = self.sides.phase == Phase::Open && self.sides.read == ReadSide::Open;
        if allowed {
            self.sides.read = ReadSide::Ended;
        }
        allowed
    }

    pub(crate) fn end_requested(&mut self) -> bool {
        let allowed = matches!(self.sides.phase, Phase::Connecting | Phase::Open)
            && self.sides.write == WriteSide::Open;
        if allowed {
            self.sides.write = WriteSide::Ending;
        }
        allowed
    }

    pub(crate) fn shut(&mut self) -> bool {
        let allowed = self.sides.phase == Phase::Open && self.sides.write == WriteSide::Ending;
        if allowed {
            self.sides.write = WriteSide::Shut;
        }
        allowed
    }

    /// A reader was attached: bytes flow unless `pause()` was called, which wins.
    pub(crate) fn reader_attached(&mut self) -> bool {
        let allowed = self.sides.flow == Flow::Initial;
        if allowed {
            self.sides.flow = Flow::Flowing;
        }
        allowed
    }

    /// A pipe was attached: as a reader, and it takes up again what the last pipe has left.
    pub(crate) fn piped(&mut self) {
        if matches!(self.sides.flow, Flow::Initial | Flow::Unpiped) {
            self.sides.flow = Flow::Flowing;
        }
    }

    /// The last pipe is gone: what comes waits.
    pub(crate) fn unpiped(&mut self) {
        if self.sides.flow != Flow::Paused {
            self.sides.flow = Flow::Unpiped;
        }
    }

    pub(crate) fn set_flowing(&mut self, flowing: bool) {
        self.sides.flow = if flowing { Flow::Flowing } else { Flow::Paused };
    }

    pub(crate) fn destroyed(&mut self, cause: Cause) -> bool {
        let allowed = !matches!(self.sides.phase, Phase::Closing | Phase::Closed);
        if allowed {
            self.ended_connecting = self.sides.phase == Phase::Connecting;
            self.sides.phase = Phase::Closing;
            match cause {
                Cause::Finished => self.finished = true,
                Cause::Destroyed => {}
                Cause::Failed(error) => self.failure = Some(error),
            }
        }
        allowed
    }

    pub(crate) fn close_delivered(&mut self) -> bool {
        let allowed = self.sides.phase == Phase::Closing;
        if allowed {
            self.sides.phase = Phase::Closed;
        }
        allowed
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Code;

    fn connecting() -> State {
        let mut state = State::new();
        assert!(state.connect_started());
        state
    }

    fn open() -> State {
        let mut state = State::new();
        assert!(state.adopted());
        state
    }

    fn closing() -> State {
        let mut state = open();
        assert!(state.destroyed(Cause::Destroyed));
        state
    }

    fn closed() -> State {
        let mut state = closing();
        assert!(state.close_delivered());
        state
    }

    /// In which phases, in the order of a life, each transition is allowed.
    #[test]
    fn allowed_transitions() {
        let failed = || Cause::Failed(Error::new(Code::ConnReset, "reset"));
        let allowed = |transition: &dyn Fn(&mut State) -> bool| {
            let states = [State::new(), connecting(), open(), closing(), closed()];
            states.map(|mut state| u8::from(transition(&mut state)))
        };
        assert_eq!(allowed(&State::connect_started), [1, 0, 0, 0, 0]);
        assert_eq!(allowed(&State::adopted), [1, 0, 0, 0, 0]);
        assert_eq!(allowed(&State::connected), [0, 1, 0, 0, 0]);
        assert_eq!(allowed(&State::peer_ended), [0, 0, 1, 0, 0]);
        assert_eq!(allowed(&State::end_requested), [0, 1, 1, 0, 0]);
        assert_eq!(allowed(&State::shut), [0, 0, 0, 0, 0], "`end` comes first");
        assert_eq!(allowed(&|s| s.end_requested() && s.shut()), [0, 0, 1, 0, 0]);
        assert_eq!(allowed(&|s| s.destroyed(failed())), [1, 1, 1, 0, 0]);
        assert_eq!(allowed(&State::close_delivered), [0, 0, 0, 1, 0]);
    }

    #[test]
    fn each_side_goes_forward_once() {
        let mut state = open();
        assert!(state.peer_ended() && !state.peer_ended());
        assert!(state.end_requested() && !state.end_requested());
        assert!(state.shut() && !state.shut());
        assert!(!state.end_requested());
        assert_eq!(
            (state.read(), state.write()),
            (ReadSide::Ended, WriteSide::Shut)
        );
    }

    #[test]
    fn the_cause_is_known_from_the_end_on() {
        assert!(open().cause().is_none());
        assert!(matches!(closing().cause(), Some(Cause::Destroyed)));
        assert!(matches!(closed().cause(), Some(Cause::Destroyed)));
    }

    #[test]
    fn it_remembers_that_it_ended_while_connecting() {
        let ended = |mut state: State| {
            assert!(!state.ended_connecting());
            state.destroyed(Cause::Destroyed);
            state.ended_connecting()
        };
        assert!(ended(connecting()));
        assert!(!ended(State::new()));
        assert!(!ended(open()));
    }

    #[test]
    fn a_reader_makes_it_flow_unless_somebody_chose_before() {
        let mut state = State::new();
        assert!(state.reader_attached());
        assert_eq!(state.flow(), Flow::Flowing);
        for chosen in [true, false] {
            state.set_flowing(chosen);
            let flow = state.flow();
            assert!(!state.reader_attached());
            assert_eq!(state.flow(), flow);
        }
    }
}
