//! A network in memory, for simulation: seeded faults, a virtual clock, no kernel.
//!
//! It does what Linux does with two TCP sockets that are connected to each other, as far as a
//! program can see it: edge-triggered readiness, half-close, resets and the order in which they are
//! told.

use super::fd::uninterrupted;
use super::stream::{Connect, Read};
use crate::address::Address;
use network::{peer, Interest, Network};
use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;
use std::{fmt, io};

mod faults;
mod listening;
mod network;
mod random;

pub use faults::Faults;
pub(crate) use listening::MemListener;

/// A simulated network with its own clock; a clone is another handle to the same.
///
/// Everything that happens follows from the seed, the [`Faults`] and the calls made, so a run can
/// be repeated exactly.
///
/// - Sockets come in connected pairs, or connect to servers of the same network by any address, and are
///   edge-triggered, as the kernel's are.
/// - Time moves only while the loop waits (it jumps to the end of the wait) and by
///   [`advance`](Sim::advance), so timers of an hour fire at once.
/// - A loop that would wait for ever gets an error in place of a hang: nothing can happen that it
///   has not been told.
#[derive(Clone)]
pub struct Sim(Rc<RefCell<Network>>);

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

    /// From now on it treats its sockets so.
    pub fn set_faults(&self, faults: Faults) {
        self.0.borrow_mut().faults = faults;
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
    pub(crate) fn register(
        &self,
        mem: &Mem,
        token: u64,
        readable: bool,
        writable: bool,
    ) -> io::Result<()> {
        let interest = Interest {
            token,
            readable,
            writable,
        };
        let network = &mut *self.0.borrow_mut();
        network.maybe_exhausted(libc::ENOSPC)?;
        network.end(mem.id).register(interest);
        Ok(())
    }

    pub(crate) fn deregister(&self, mem: &Mem) {
        let network = &mut *self.0.borrow_mut();
        let token = network.end(mem.id).deregister();
        network.forget(token);
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
    pub(crate) fn connect(&self, target: &Address) -> io::Result<Connect> {
        self.sim.0.borrow_mut().connect(self.id, target)
    }

    pub(crate) fn local_address(&self) -> Address {
        self.sim.0.borrow().ends[self.id].local.clone()
    }

    pub(crate) fn peer_address(&self) -> io::Result<Address> {
        self.sim.0.borrow().ends[self.id].peer_address()
    }

    pub(crate) fn read(&self, buffer: &mut [u8]) -> io::Result<Read> {
        uninterrupted(|| self.sim.0.borrow_mut().read(self.id, buffer))
    }

    pub(crate) fn peek(&self) -> io::Result<usize> {
        self.sim.0.borrow_mut().end(self.id).peek()
    }

    pub(crate) fn write(&self, bytes: &[u8]) -> io::Result<usize> {
        self.write_vectored(&[io::IoSlice::new(bytes)])
    }

    pub(crate) fn write_vectored(&self, slices: &[io::IoSlice<'_>]) -> io::Result<usize> {
        uninterrupted(|| self.sim.0.borrow_mut().write(self.id, slices))
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
