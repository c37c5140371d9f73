//! Where the sockets of a loop come from: the kernel, or a simulated network.

#[cfg(any(test, feature = "sim"))]
use super::mem::Sim;
use super::{Listener, Stream};
use crate::address::Address;
use std::io;

#[derive(Clone)]
pub(crate) enum Sockets {
    Kernel,
    #[cfg(any(test, feature = "sim"))]
    Sim(Sim),
}

impl Sockets {
    /// A socket that can be connected to `target`.
    pub(crate) fn stream_for(&self, target: &Address) -> io::Result<Stream> {
        match self {
            Sockets::Kernel => Stream::socket_for(target),
            #[cfg(any(test, feature = "sim"))]
            Sockets::Sim(sim) => sim.socket().map(Stream::Mem),
        }
    }

    /// A socket that can be bound to `address`. The two options are of TCP.
    pub(crate) fn listener_for(
        &self,
        address: &Address,
        ipv6_only: bool,
        reuse_port: bool,
    ) -> io::Result<Listener> {
        match self {
            Sockets::Kernel => Listener::socket_for(address, ipv6_only, reuse_port),
            #[cfg(any(test, feature = "sim"))]
            Sockets::Sim(sim) => sim.listener().map(Listener::simulated),
        }
    }

    /// Two streams connected to each other.
    pub(crate) fn pair(&self) -> io::Result<(Stream, Stream)> {
        match self {
            Sockets::Kernel => Stream::pair(),
            #[cfg(any(test, feature = "sim"))]
            Sockets::Sim(sim) => {
                let (one, other) = sim.pair();
                Ok((Stream::Mem(one), Stream::Mem(other)))
            }
        }
    }
}
