//! A network in memory, for simulation: seeded faults, a virtual clock, no kernel.
//!
//! It does what Linux does with two TCP sockets that are connected to each other, as far as a
//! program can see it: edge-triggered readiness, half-close, resets and the order in which they are
//! told.

use super::stream::Read;
use network::{peer, Interest, Network};
use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;
use std::{fmt, io};

mod network;

/// A simulated network with its own clock; a clone is another handle to the same.
///
/// Everything that happens follows from the seed, the [`Faults`] and the calls made, so a run can
/// be repeated exactly.
///
/// - Sockets come in connected pairs and are edge-triggered, as the kernel's are.
/// - Time moves only while the loop waits (it jumps to the end of the wait) and by
///   [`advance`](Sim::advance), so timers of an hour fire at once.
/// - A loop that would wait for ever gets an error in place of a hang: nothing can happen that it
///   has not been told.
#[derive(Clone)]
pub struct Sim(Rc<RefCell<Network>>);

/// How badly a [`Sim`] treats its sockets. All probabilities are from 0 (the default) to 1.
///
/// Except for `reset` no fault breaks a promise of the kernel: bytes arrive, in order, and whoever
/// was told to wait is woken later.
///
/// ```
/// use std::time::Duration;
/// use tidewheel::sim::{Faults, Sim};
///
/// let sim = Sim::with_faults(7, Faults::default().short_read(0.3).would_block(0.1));
/// sim.advance(Duration::from_secs(3600));
/// assert_eq!(sim.now(), Duration::from_secs(3600));
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Faults {
    /// Bytes that each direction of a connection holds, at least 1: 64 KiB by default.
    pub capacity: usize,
    /// A read brings less than there is.
    pub short_read: f64,
    /// A write takes less than there is room for.
    pub short_write: f64,
    /// A read or write that could go on says `WouldBlock`; readiness follows.
    pub would_block: f64,
    /// A read or write finds that the network has reset the connection.
    pub reset: f64,
    /// A wait ends with readiness that has no cause.
    pub spurious: f64,
}

impl Default for Faults {
    fn default() -> Faults {
        Faults {
            capacity: 64 * 1024,
            short_read: 0.0,
            short_write: 0.0,
            would_block: 0.0,
            reset: 0.0,
            spurious: 0.0,
        }
    }
}

impl Faults {
    /// Sets [`capacity`](Faults#structfield.capacity).
    pub fn capacity(mut self, bytes: usize) -> Faults {
        self.capacity = bytes;
        self
    }

    /// Sets [`short_read`](Faults#structfield.short_read).
    pub fn short_read(mut self, probability: f64) -> Faults {
        self.short_read = probability;
        self
    }

    /// Sets [`short_write`](Faults#structfield.short_write).
    pub fn short_write(mut self, probability: f64) -> Faults {
        self.short_write = probability;
        self
    }

    /// Sets [`would_block`](Faults#structfield.would_block).
    pub fn would_block(mut self, probability: f64) -> Faults {
        self.would_block = probability;
        self
    }

    /// Sets [`reset`](Faults#structfield.reset).
    pub fn reset(mut self, probability: f64) -> Faults {
        self.reset = probability;
        self
    }

    /// Sets [`spurious`](Faults#structfield.spurious).
    pub fn spurious(mut self, probability: f64) -> Faults {
        self.spurious = probability;
        self
    }
}

impl Sim {
    /// A network without faults; the seed orders the events of a wait.
    pub fn new(seed: u64) -> Sim {
        Sim::with_faults(seed, Faults::default())
    }

    /// A network with faults.
    pub fn with_faults(seed: u64, faults: Faults) -> Sim {
        Sim(Rc::new(RefCell::new(Network::new(seed, faults))))
    }

    /// The virtual time since the start.
    pub fn now(&self) -> Duration {
        self.0.borrow().now()
    }

    /// Moves the virtual clock on.
    pub fn advance(&self, time: Duration) {
        self.0.borrow_mut().advance(time);
    }

    /// Two ends of a new connection.
    pub(crate) fn pair(&self) -> (Mem, Mem) {
        let one = self.0.borrow_mut().open_pair();
        let end = |id| Mem {
            sim: self.clone(),
            id,
        };
        (end(one), end(peer(one)))
    }

    /// Sets what `mem` waits for, anew or instead of before. Its present state is told by the next
    /// poll.
    pub(crate) fn register(&self, mem: &Mem, token: u64, readable: bool, writable: bool) {
        let interest = Interest {
            token,
            readable,
            writable,
        };
        self.0.borrow_mut().end(mem.id).register(interest);
    }

    pub(crate) fn deregister(&self, mem: &Mem) {
        self.0.borrow_mut().end(mem.id).deregister();
    }

    /// Appends the edges since the last poll, in a seeded order. If there are none the clock moves
    /// on by `timeout`; a wait without one would never end, which is an error.
    pub(crate) fn poll(
        &self,
        timeout: Option<Duration>,
        out: &mut Vec<MemEvent>,
    ) -> io::Result<()> {
        self.0.borrow_mut().poll(timeout, out)
    }
}

impl fmt::Debug for Sim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sim")
            .field("now", &self.now())
            .finish_non_exhaustive()
    }
}

/// Readiness of one end, as mio tells it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct MemEvent {
    pub(crate) token: u64,
    pub(crate) readable: bool,
    pub(crate) writable: bool,
    pub(crate) read_closed: bool,
    pub(crate) write_closed: bool,
    pub(crate) error: bool,
}

/// One end of a simulated connection. Dropping it closes it: with FIN, or with RST if bytes are
/// unread.
#[derive(Debug)]
pub(crate) struct Mem {
    sim: Sim,
    id: usize,
}

impl Mem {
    pub(crate) fn read(&self, buffer: &mut [u8]) -> io::Result<Read> {
        self.sim.0.borrow_mut().read(self.id, buffer)
    }

    pub(crate) fn peek(&self) -> io::Result<usize> {
        self.sim.0.borrow_mut().end(self.id).peek()
    }

    pub(crate) fn write(&self, bytes: &[u8]) -> io::Result<usize> {
        self.write_vectored(&[io::IoSlice::new(bytes)])
    }

    pub(crate) fn write_vectored(&self, slices: &[io::IoSlice<'_>]) -> io::Result<usize> {
        self.sim.0.borrow_mut().write(self.id, slices)
    }

    pub(crate) fn shutdown_write(&self) {
        self.sim.0.borrow_mut().shutdown(self.id);
    }

    pub(crate) fn take_error(&self) -> io::Result<()> {
        self.sim.0.borrow_mut().end(self.id).take_error()
    }

    /// Makes dropping it a reset.
    pub(crate) fn set_linger_zero(&self) {
        self.sim.0.borrow_mut().end(self.id).linger_zero = true;
    }
}

impl Drop for Mem {
    fn drop(&mut self) {
        self.sim.0.borrow_mut().close(self.id);
    }
}

#[cfg(test)]
mod tests;
