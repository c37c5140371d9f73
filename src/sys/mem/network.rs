//! The workings of the simulated network: what the kernel keeps of each end of a connection.

use super::{Faults, MemEvent};
use crate::sys::stream::Read;
use std::collections::VecDeque;
use std::io;
use std::time::Duration;

/// All connections, the clock and the dice.
pub(super) struct Network {
    /// The ends of a connection stand side by side, so that `id ^ 1` is the peer of `id`.
    ends: Vec<End>,
    random: Random,
    faults: Faults,
    now: Duration,
}

#[derive(Default)]
pub(super) struct End {
    open: bool,
    /// Bytes that arrived and wait to be read.
    inbox: VecDeque<u8>,
    /// The peer's FIN arrived.
    fin: bool,
    /// We sent FIN.
    shut: bool,
    /// RST arrived: the connection is gone.
    reset: bool,
    /// What RST left behind, told once.
    error: Option<i32>,
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
enum Edge {
    Readable,
    Writable,
    HangUp,
}

impl End {
    pub(super) fn register(&mut self, interest: Interest) {
        self.interest = Some(interest);
        self.pending = true;
    }

    pub(super) fn deregister(&mut self) {
        self.interest = None;
        self.pending = false;
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

    fn wake(&mut self, edge: Edge) {
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
            random: Random(seed),
            faults,
            now: Duration::ZERO,
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
        Ok(Read { len, stopped_early })
    }

    pub(super) fn write(&mut self, id: usize, slices: &[io::IoSlice<'_>]) -> io::Result<usize> {
        self.maybe_reset(id);
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
        *end = End {
            shut: end.shut,
            ..End::default()
        };
        let shut = end.shut;
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
        let before = out.len();
        for id in self.take_pending() {
            out.extend(self.event(id));
        }
        if out.len() == before {
            let forever = || io::Error::other("the simulation can never wake again");
            self.advance(timeout.ok_or_else(forever)?);
        }
        if self.chance(self.faults.spurious) {
            out.extend(self.spurious_event());
        }
        Ok(())
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

    fn take_pending(&mut self) -> Vec<usize> {
        let mut ids = Vec::new();
        for (id, end) in self.ends.iter_mut().enumerate() {
            if std::mem::take(&mut end.pending) {
                ids.push(id);
            }
        }
        for last in (1..ids.len()).rev() {
            ids.swap(last, self.random.below(last + 1));
        }
        ids
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

    /// Draws nothing for what never happens, so that a fault that is off does not change the run.
    fn chance(&mut self, probability: f64) -> bool {
        probability > 0.0 && self.random.unit() < probability
    }
}

/// The other end of the connection.
pub(super) fn peer(id: usize) -> usize {
    id ^ 1
}

/// SplitMix64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `bound`, which is not 0.
    fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }

    /// A number in [0, 1).
    fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }
}
