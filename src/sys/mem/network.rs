//! The workings of the simulated network: what the kernel keeps of each end of a connection.

use super::listening::{Listening, FIRST_PORT};
use super::random::Random;
use super::{Faults, MemEvent};
use crate::address::Address;
use crate::sys::stream::Read;
use std::collections::VecDeque;
use std::io;
use std::time::Duration;

/// All connections, the clock and the dice.
pub(super) struct Network {
    /// The ends of a connection stand side by side, so that `id ^ 1` is the peer of `id`.
    pub(super) ends: Vec<End>,
    pub(super) listening: Vec<Listening>,
    random: Random,
    pub(super) faults: Faults,
    now: Duration,
    pub(super) last_port: u16,
    /// Tokens of what was closed, the last few.
    past: VecDeque<u64>,
}

pub(super) struct End {
    pub(super) open: bool,
    pub(super) local: Address,
    pub(super) remote: Address,
    /// The request to connect has not arrived.
    pub(super) connecting: bool,
    /// Bytes that arrived and wait to be read.
    inbox: VecDeque<u8>,
    /// The peer's FIN arrived.
    fin: bool,
    /// We sent FIN.
    shut: bool,
    /// RST arrived: the connection is gone.
    pub(super) reset: bool,
    /// What RST left behind, told once.
    pub(super) error: Option<i32>,
    /// A write was refused or cut short, so that room is an edge.
    starved: bool,
    /// Closing is a reset.
    pub(super) linger_zero: bool,
    interest: Option<Interest>,
    /// An edge waits for the next poll.
    pending: bool,
}

#[derive(Clone, Copy)]
pub(super) struct Interest {
    pub(super) token: u64,
    pub(super) readable: bool,
    pub(super) writable: bool,
}

/// Whom an edge wakes. Of a hang-up everybody is told.
#[derive(Clone, Copy)]
pub(super) enum Edge {
    Readable,
    Writable,
    HangUp,
}

impl Default for End {
    fn default() -> End {
        End {
            open: false,
            local: Address::Unnamed,
            remote: Address::Unnamed,
            connecting: false,
            inbox: VecDeque::new(),
            fin: false,
            shut: false,
            reset: false,
            error: None,
            starved: false,
            linger_zero: false,
            interest: None,
            pending: false,
        }
    }
}

impl End {
    pub(super) fn accepted(local: Address, remote: Address) -> End {
        End {
            open: true,
            local,
            remote,
            ..End::default()
        }
    }

    pub(super) fn register(&mut self, interest: Interest) {
        self.interest = Some(interest);
        self.pending = true;
    }

    /// The token it had.
    pub(super) fn deregister(&mut self) -> Option<u64> {
        self.pending = false;
        self.interest.take().map(|interest| interest.token)
    }

    pub(super) fn peek(&mut self) -> io::Result<usize> {
        self.unread_or_end().map(|unread| unread.min(1))
    }

    /// How many bytes can be read, 0 for the end of the stream, or why there are none. After FIN a
    /// reset is not told to readers, but to writers.
    fn unread_or_end(&mut self) -> io::Result<usize> {
        if !self.inbox.is_empty() || self.fin {
            return Ok(self.inbox.len());
        }
        self.take_error()?;
        if self.reset {
            return Ok(0);
        }
        Err(io::ErrorKind::WouldBlock.into())
    }

    pub(super) fn take_error(&mut self) -> io::Result<()> {
        self.error
            .take()
            .map_or(Ok(()), |errno| Err(io::Error::from_raw_os_error(errno)))
    }

    pub(super) fn wake(&mut self, edge: Edge) {
        let heard = |interest: Interest| match edge {
            Edge::Readable => interest.readable,
            Edge::Writable => interest.writable,
            Edge::HangUp => true,
        };
        self.pending |= self.interest.is_some_and(heard);
    }

    fn receive_fin(&mut self) {
        self.fin = true;
        self.wake(if self.shut {
            Edge::HangUp
        } else {
            Edge::Readable
        });
    }

    /// A connection that both sides have ended takes no harm.
    fn receive_reset(&mut self) {
        if self.reset || (self.fin && self.shut) {
            return;
        }
        self.reset = true;
        self.error = Some(if self.fin {
            libc::EPIPE
        } else {
            libc::ECONNRESET
        });
        self.wake(Edge::HangUp);
    }
}

impl Network {
    pub(super) fn new(seed: u64, faults: Faults) -> Network {
        Network {
            ends: Vec::new(),
            listening: Vec::new(),
            random: Random::new(seed),
            faults,
            now: Duration::ZERO,
            last_port: FIRST_PORT,
            past: VecDeque::new(),
        }
    }

    pub(super) fn now(&self) -> Duration {
        self.now
    }

    pub(super) fn advance(&mut self, time: Duration) {
        self.now = self.now.saturating_add(time);
    }

    pub(super) fn end(&mut self, id: usize) -> &mut End {
        &mut self.ends[id]
    }

    pub(super) fn open_pair(&mut self) -> usize {
        let free = (0..self.ends.len())
            .step_by(2)
            .find(|&id| !self.ends[id].open && !self.ends[peer(id)].open);
        let one = free.unwrap_or_else(|| {
            self.ends.extend([End::default(), End::default()]);
            self.ends.len() - 2
        });
        for id in [one, peer(one)] {
            self.ends[id] = End {
                open: true,
                ..End::default()
            };
        }
        one
    }

    pub(super) fn read(&mut self, id: usize, buffer: &mut [u8]) -> io::Result<Read> {
        self.maybe_interrupted()?;
        self.maybe_reset(id);
        let unread = self.ends[id].unread_or_end()?;
        let mut len = unread.min(buffer.len());
        let mut stopped_early = false;
        if len > 0 && self.chance(self.faults.would_block) {
            self.ends[id].wake(Edge::Readable);
            return Err(io::ErrorKind::WouldBlock.into());
        }
        if len > 1 && self.chance(self.faults.short_read) {
            len = 1 + self.random.below(len - 1);
            // Either the kernel stopped although there was more, and says so, or more arrived just
            // after.
            stopped_early = self.random.below(2) == 0;
            if !stopped_early {
                self.ends[id].wake(Edge::Readable);
            }
        }
        for (slot, byte) in buffer.iter_mut().zip(self.ends[id].inbox.drain(..len)) {
            *slot = byte;
        }
        let writer = &mut self.ends[peer(id)];
        if len > 0 && writer.starved {
            writer.starved = false;
            writer.wake(Edge::Writable);
        }
        Ok(Read::new(len, stopped_early))
    }

    pub(super) fn write(&mut self, id: usize, slices: &[io::IoSlice<'_>]) -> io::Result<usize> {
        self.maybe_interrupted()?;
        self.maybe_reset(id);
        self.maybe_break(id);
        self.ends[id].take_error()?;
        if self.ends[id].shut || self.ends[id].reset {
            return Err(io::Error::from_raw_os_error(libc::EPIPE));
        }
        let total = slices.iter().map(|slice| slice.len()).sum::<usize>();
        if !self.ends[peer(id)].open {
            // The kernel takes the bytes, and the closed peer answers them with RST.
            self.ends[id].receive_reset();
            return Ok(total);
        }
        let room = self.room(id);
        if room == 0 {
            self.ends[id].starved = true;
            return Err(io::ErrorKind::WouldBlock.into());
        }
        if self.chance(self.faults.would_block) {
            self.ends[id].wake(Edge::Writable);
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let mut len = total.min(room);
        self.ends[id].starved |= len < total;
        if len > 1 && self.chance(self.faults.short_write) {
            len = 1 + self.random.below(len - 1);
            self.ends[id].wake(Edge::Writable);
        }
        let reader = &mut self.ends[peer(id)];
        reader
            .inbox
            .extend(slices.iter().flat_map(|slice| slice.iter()).take(len));
        reader.wake(Edge::Readable);
        Ok(len)
    }

    pub(super) fn shutdown(&mut self, id: usize) {
        let end = &mut self.ends[id];
        if end.shut || end.reset {
            return;
        }
        end.shut = true;
        // The peer acknowledges it, which the kernel tells whoever waits.
        end.wake(Edge::HangUp);
        self.ends[peer(id)].receive_fin();
    }

    pub(super) fn close(&mut self, id: usize) {
        let end = &mut self.ends[id];
        let abort = end.linger_zero || !end.inbox.is_empty();
        let gone = end.reset;
        let token = end.deregister();
        *end = End {
            shut: end.shut,
            ..End::default()
        };
        let shut = end.shut;
        self.forget(token);
        let other = &mut self.ends[peer(id)];
        if abort && !gone {
            other.receive_reset();
        } else if !shut && !gone {
            other.receive_fin();
        }
    }

    pub(super) fn poll(
        &mut self,
        timeout: Option<Duration>,
        out: &mut Vec<MemEvent>,
    ) -> io::Result<()> {
        self.maybe_interrupted()?;
        let before = out.len();
        let held = self.take_edges(out);
        if out.len() == before {
            let timeout = match timeout {
                // What is held back comes soon, if nothing else does.
                _ if held => timeout.unwrap_or(Duration::MAX).min(self.moment()),
                Some(timeout) => timeout,
                None => return Err(io::Error::other("the simulation can never wake again")),
            };
            self.advance(timeout);
        }
        if self.chance(self.faults.spurious) {
            out.extend(self.spurious_event());
        }
        if self.chance(self.faults.stale) {
            out.extend(self.stale_event());
        }
        if self.chance(self.faults.jump) {
            let jump = Duration::from_millis(self.random.below(60_000) as u64);
            self.advance(jump);
        }
        Ok(())
    }

    /// Nobody waits for `token` any more.
    pub(super) fn forget(&mut self, token: Option<u64>) {
        const PAST: usize = 8;
        self.past.extend(token);
        if self.past.len() > PAST {
            self.past.pop_front();
        }
    }

    fn maybe_reset(&mut self, id: usize) {
        if !self.ends[id].reset && self.chance(self.faults.reset) {
            self.ends[id].receive_reset();
            self.ends[peer(id)].receive_reset();
        }
    }

    fn room(&self, id: usize) -> usize {
        let capacity = self.faults.capacity.max(1);
        capacity.saturating_sub(self.ends[peer(id)].inbox.len())
    }

    /// The connection is gone, which the next write says and every read after what is there.
    fn maybe_break(&mut self, id: usize) {
        if !self.ends[id].reset && self.chance(self.faults.broken_pipe) {
            self.ends[id].receive_reset();
            self.ends[id].error = None;
            self.ends[peer(id)].receive_reset();
        }
    }

    /// Tells the edges there are, in a seeded order. True: some are held back.
    fn take_edges(&mut self, out: &mut Vec<MemEvent>) -> bool {
        let ends = self.ends.len();
        let is_pending = |at: &usize| match at.checked_sub(ends) {
            None => self.ends[*at].pending,
            Some(id) => self.listening[id].pending,
        };
        let mut sources: Vec<usize> = (0..ends + self.listening.len())
            .filter(is_pending)
            .collect();
        for last in (1..sources.len()).rev() {
            sources.swap(last, self.random.below(last + 1));
        }
        let mut held = false;
        for at in sources {
            if self.chance(self.faults.delay) {
                held = true;
                continue;
            }
            let event = match at.checked_sub(ends) {
                None => {
                    self.ends[at].pending = false;
                    self.arrive(at);
                    self.event(at)
                }
                Some(id) => self.accept_event(id),
            };
            out.extend(event);
        }
        held
    }

    fn accept_event(&mut self, id: usize) -> Option<MemEvent> {
        let listening = &mut self.listening[id];
        let readable = listening.is_readable();
        listening.pending = listening.level && readable;
        let token = listening.token?;
        readable.then_some(MemEvent {
            token,
            readable: true,
            writable: false,
            read_closed: false,
            write_closed: false,
            error: false,
        })
    }

    /// How long an edge may be held back, when there is nothing else.
    fn moment(&mut self) -> Duration {
        Duration::from_micros(1 + self.random.below(20_000) as u64)
    }

    /// The present state of an end as far as it is waited for. That there is no room is remembered,
    /// so that room will be an edge.
    fn event(&mut self, id: usize) -> Option<MemEvent> {
        let room = self.room(id) > 0;
        let end = &mut self.ends[id];
        let interest = end.interest?;
        let can_write = room || end.shut || end.reset;
        end.starved |= interest.writable && !can_write;
        let hung_up = end.reset || (end.fin && end.shut);
        let event = MemEvent {
            token: interest.token,
            readable: interest.readable && (end.fin || end.reset || !end.inbox.is_empty()),
            writable: interest.writable && can_write,
            read_closed: hung_up || (interest.readable && end.fin),
            write_closed: hung_up,
            error: end.error.is_some(),
        };
        let any = event.readable
            || event.writable
            || event.read_closed
            || event.write_closed
            || event.error;
        any.then_some(event)
    }

    fn spurious_event(&mut self) -> Option<MemEvent> {
        let interests: Vec<Interest> = self.ends.iter().filter_map(|end| end.interest).collect();
        if interests.is_empty() {
            return None;
        }
        let Interest {
            token,
            readable,
            writable,
        } = interests[self.random.below(interests.len())];
        Some(MemEvent {
            token,
            readable,
            writable,
            read_closed: false,
            write_closed: false,
            error: false,
        })
    }

    /// Everything at once, for one who is no more.
    fn stale_event(&mut self) -> Option<MemEvent> {
        if self.past.is_empty() {
            return None;
        }
        let token = self.past[self.random.below(self.past.len())];
        Some(MemEvent {
            token,
            readable: true,
            writable: true,
            read_closed: true,
            write_closed: true,
            error: true,
        })
    }

    /// Draws nothing for what never happens, so that a fault that is off does not change the run.
    pub(super) fn chance(&mut self, probability: f64) -> bool {
        probability > 0.0 && self.random.unit() < probability
    }
}

/// The other end of the connection.
pub(super) fn peer(id: usize) -> usize {
    id ^ 1
}
