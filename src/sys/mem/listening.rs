//! Connecting and listening on the simulated network.

use super::network::{peer, Edge, End, Network};
use super::{Mem, Sim};
use crate::address::Address;
use crate::sys::fd::uninterrupted;
use crate::sys::stream::Connect;
use std::collections::VecDeque;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};

/// A simulated socket that is bound, or listens. Dropping it closes it and resets those who wait.
#[derive(Debug)]
pub(crate) struct MemListener {
    sim: Sim,
    id: usize,
}

/// What the network keeps of one.
#[derive(Default)]
pub(super) struct Listening {
    /// Open until its owner drops it.
    open: bool,
    address: Option<Address>,
    listens: bool,
    /// Ends of connections that nobody has accepted yet.
    queue: VecDeque<usize>,
    pub(super) token: Option<u64>,
    /// An edge waits for the next poll.
    pub(super) pending: bool,
    /// The next poll tells of it for as long as somebody waits.
    pub(super) level: bool,
}

impl Listening {
    pub(super) fn is_readable(&self) -> bool {
        !self.queue.is_empty()
    }

    fn wake(&mut self) {
        self.pending |= self.token.is_some();
    }
}

impl Sim {
    /// A socket to listen with, not bound yet.
    pub(crate) fn listener(&self) -> io::Result<MemListener> {
        let id = self.0.borrow_mut().open_listening()?;
        let sim = self.clone();
        Ok(MemListener { sim, id })
    }

    /// A socket to connect with.
    pub(crate) fn socket(&self) -> io::Result<Mem> {
        let network = &mut *self.0.borrow_mut();
        network.maybe_exhausted(libc::EMFILE)?;
        let id = network.open_pair();
        network.end(peer(id)).open = false;
        let sim = self.clone();
        Ok(Mem { sim, id })
    }

    /// `level`: it is told of for as long as somebody waits.
    pub(crate) fn register_listener(
        &self,
        listener: &MemListener,
        token: u64,
        level: bool,
    ) -> io::Result<()> {
        let network = &mut *self.0.borrow_mut();
        network.maybe_exhausted(libc::ENOSPC)?;
        let listening = &mut network.listening[listener.id];
        listening.token = Some(token);
        listening.level = level;
        listening.pending = true;
        Ok(())
    }

    pub(crate) fn deregister_listener(&self, listener: &MemListener) {
        let network = &mut *self.0.borrow_mut();
        let token = network.listening[listener.id].token.take();
        network.forget(token);
    }
}

impl MemListener {
    /// Port 0 is any that is free.
    pub(crate) fn bind(&self, address: &Address) -> io::Result<()> {
        self.sim.0.borrow_mut().bind(self.id, address)
    }

    pub(crate) fn listen(&self) {
        self.sim.0.borrow_mut().listening[self.id].listens = true;
    }

    pub(crate) fn accept(&self) -> io::Result<(Mem, Address)> {
        let (id, remote) = uninterrupted(|| self.sim.0.borrow_mut().accept(self.id))?;
        let sim = self.sim.clone();
        Ok((Mem { sim, id }, remote))
    }

    pub(crate) fn local_address(&self) -> Address {
        let address = self.sim.0.borrow().listening[self.id].address.clone();
        address.unwrap_or(Address::Unnamed)
    }
}

impl Drop for MemListener {
    fn drop(&mut self) {
        self.sim.0.borrow_mut().close_listening(self.id);
    }
}

impl Network {
    fn open_listening(&mut self) -> io::Result<usize> {
        self.maybe_exhausted(libc::EMFILE)?;
        let id = match self.listening.iter().position(|listening| !listening.open) {
            Some(id) => id,
            None => {
                self.listening.push(Listening::default());
                self.listening.len() - 1
            }
        };
        self.listening[id].open = true;
        Ok(id)
    }

    fn close_listening(&mut self, id: usize) {
        let closed = std::mem::take(&mut self.listening[id]);
        self.forget(closed.token);
        for end in closed.queue {
            self.end(end).linger_zero = true;
            self.close(end);
        }
    }

    fn bind(&mut self, id: usize, address: &Address) -> io::Result<()> {
        let address = match address {
            Address::Ip(ip) if ip.port() == 0 => Address::Ip(self.free_port(*ip)),
            other => other.clone(),
        };
        if self.listening_on(&address).is_some() {
            return Err(io::Error::from_raw_os_error(libc::EADDRINUSE));
        }
        self.listening[id].address = Some(address);
        Ok(())
    }

    fn accept(&mut self, id: usize) -> io::Result<(usize, Address)> {
        self.maybe_interrupted()?;
        self.maybe_exhausted(libc::EMFILE)?;
        if self.chance(self.faults.would_block) {
            self.listening[id].wake();
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let next = self.listening[id].queue.pop_front();
        let end = next.ok_or_else(|| io::Error::from(io::ErrorKind::WouldBlock))?;
        Ok((end, self.end(end).remote.clone()))
    }

    /// As a kernel connects over a loopback: at once, unless the connect is under way for a while.
    pub(super) fn connect(&mut self, id: usize, target: &Address) -> io::Result<Connect> {
        self.end(id).remote = target.clone();
        if let Address::Ip(target) = *target {
            let any = SocketAddr::new(target.ip(), 0);
            self.ends[id].local = Address::Ip(self.free_port(any));
        }
        self.end(id).connecting = true;
        if self.chance(self.faults.would_block) {
            return Ok(Connect::InProgress);
        }
        self.arrive(id);
        self.end(id).take_error()?;
        Ok(Connect::Done)
    }

    /// The request to connect has come to where it is accepted, or refused.
    pub(super) fn arrive(&mut self, id: usize) {
        let end = self.end(id);
        if !std::mem::take(&mut end.connecting) {
            return;
        }
        let (target, local) = (end.remote.clone(), end.local.clone());
        let listening = self.listening_on(&target);
        match listening.filter(|at| self.listening[*at].listens) {
            Some(at) => {
                self.ends[peer(id)] = End::accepted(target, local);
                self.listening[at].queue.push_back(peer(id));
                self.listening[at].wake();
            }
            None => self.end(id).refuse(),
        }
    }

    /// Who has bound an address, or all addresses with its port.
    fn listening_on(&self, target: &Address) -> Option<usize> {
        let serves = |bound: &Address| match (bound, target) {
            (Address::Ip(bound), Address::Ip(target)) if bound.ip().is_unspecified() => {
                bound.port() == target.port()
            }
            _ => bound == target,
        };
        let bound = |listening: &Listening| listening.address.as_ref().is_some_and(serves);
        self.listening.iter().position(bound)
    }

    fn free_port(&mut self, mut address: SocketAddr) -> SocketAddr {
        loop {
            self.last_port = self.last_port.checked_add(1).unwrap_or(FIRST_PORT);
            address.set_port(self.last_port);
            let anywhere = SocketAddr::from((Ipv4Addr::UNSPECIFIED, self.last_port));
            let taken = [address, anywhere].map(|address| self.listening_on(&Address::Ip(address)));
            if taken == [None, None] {
                return address;
            }
        }
    }

    pub(super) fn maybe_interrupted(&mut self) -> io::Result<()> {
        if self.chance(self.faults.interrupt) {
            return Err(io::ErrorKind::Interrupted.into());
        }
        Ok(())
    }

    pub(super) fn maybe_exhausted(&mut self, errno: i32) -> io::Result<()> {
        if self.chance(self.faults.exhausted) {
            return Err(io::Error::from_raw_os_error(errno));
        }
        Ok(())
    }
}

impl End {
    fn refuse(&mut self) {
        self.reset = true;
        self.error = Some(libc::ECONNREFUSED);
        self.wake(Edge::HangUp);
    }

    pub(super) fn peer_address(&self) -> io::Result<Address> {
        if self.connecting || (self.reset && self.error == Some(libc::ECONNREFUSED)) {
            return Err(io::ErrorKind::NotConnected.into());
        }
        Ok(self.remote.clone())
    }
}

/// Below it are ports that programs ask for.
pub(super) const FIRST_PORT: u16 = 49_152;

#[cfg(test)]
mod tests;
