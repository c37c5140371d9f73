//! What a socket says of itself.

use std::fmt;
use std::net::IpAddr;
use std::os::fd::RawFd;

use super::{Socket, SocketId};
use crate::conn::Phase;
use crate::net::{Address, Family, LoopHandle, Server};

/// Which sides of a socket are open: Node's `readyState`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum ReadyState {
    /// It is connecting.
    Opening,
    /// Both sides are open.
    Open,
    /// We have ended; the peer has not.
    ReadOnly,
    /// The peer has ended; we have not.
    WriteOnly,
    /// Not connected yet, or not any more.
    Closed,
}

impl ReadyState {
    /// Node's word for it, `"readOnly"` for example.
    pub fn as_str(self) -> &'static str {
        match self {
            ReadyState::Opening => "opening",
            ReadyState::Open => "open",
            ReadyState::ReadOnly => "readOnly",
            ReadyState::WriteOnly => "writeOnly",
            ReadyState::Closed => "closed",
        }
    }
}

impl fmt::Display for ReadyState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Properties.
impl Socket {
    /// Bytes that wait to be sent, to the byte, from the first `write` on. Node's `bufferSize`.
    pub fn buffer_size(&self) -> usize {
        self.with(|socket| socket.conn.buffer_size()).unwrap_or(0)
    }

    /// Bytes read so far. Node's `bytesRead`.
    pub fn bytes_read(&self) -> u64 {
        self.with(|socket| socket.conn.bytes_read()).unwrap_or(0)
    }

    /// Bytes taken by `write` so far, sent or waiting. Node's `bytesWritten`.
    pub fn bytes_written(&self) -> u64 {
        self.with(|socket| socket.conn.bytes_written()).unwrap_or(0)
    }

    /// Our own address. `None` before connect and after `close`. Node's `socket.address`.
    pub fn address(&self) -> Option<Address> {
        self.inner().reactor.borrow().local_address(self.key)
    }

    /// The peer's address. `None` until connected and after `close`.
    pub fn remote(&self) -> Option<Address> {
        self.with(|socket| socket.addresses.remote()).flatten()
    }

    /// Our IP address; `None` for UNIX sockets. Node's `localAddress`.
    pub fn local_address(&self) -> Option<IpAddr> {
        self.address()?.ip()
    }

    /// Our port. Node's `localPort`.
    pub fn local_port(&self) -> Option<u16> {
        self.address()?.port()
    }

    /// The family of our address. Node's `localFamily`.
    pub fn local_family(&self) -> Option<Family> {
        self.address()?.family()
    }

    /// The peer's IP address; `None` for UNIX sockets. Node's `remoteAddress`.
    pub fn remote_address(&self) -> Option<IpAddr> {
        self.remote()?.ip()
    }

    /// The peer's port. Node's `remotePort`.
    pub fn remote_port(&self) -> Option<u16> {
        self.remote()?.port()
    }

    /// The family of the peer's address. Node's `remoteFamily`.
    pub fn remote_family(&self) -> Option<Family> {
        self.remote()?.family()
    }

    /// Whether it is connecting.
    pub fn connecting(&self) -> bool {
        self.with(|socket| socket.conn.phase() == Phase::Connecting)
            .unwrap_or(false)
    }

    /// Whether it is not connected: not yet, or not any more.
    pub fn pending(&self) -> bool {
        self.with(|socket| !socket.conn.is_open()).unwrap_or(true)
    }

    /// Which sides are open. Node's `readyState`.
    pub fn ready_state(&self) -> ReadyState {
        let state = self.with(|socket| match (&socket.conn, socket.conn.phase()) {
            (_, Phase::Connecting) => ReadyState::Opening,
            (conn, _) => match (conn.readable(), conn.writable()) {
                (true, true) => ReadyState::Open,
                (true, false) => ReadyState::ReadOnly,
                (false, true) => ReadyState::WriteOnly,
                (false, false) => ReadyState::Closed,
            },
        });
        state.unwrap_or(ReadyState::Closed)
    }

    /// Whether more may come: the peer has not ended.
    pub fn readable(&self) -> bool {
        self.with(|socket| socket.conn.readable()).unwrap_or(false)
    }

    /// Whether `write` may succeed: our side has not ended.
    pub fn writable(&self) -> bool {
        self.with(|socket| socket.conn.writable()).unwrap_or(false)
    }

    /// Whether it has ended for good, by `destroy`, an error, or because both sides are done.
    pub fn destroyed(&self) -> bool {
        self.with(|socket| socket.conn.destroyed()).unwrap_or(true)
    }

    /// Whether a `drain` is owed: not after `end`, for none comes then. Node's `writableNeedDrain`.
    pub fn need_drain(&self) -> bool {
        self.with(|socket| socket.conn.need_drain())
            .unwrap_or(false)
    }

    /// The server that accepted it; `None` for others.
    pub fn server(&self) -> Option<Server> {
        let key = self.with(|socket| socket.server).flatten()?;
        Some(Server::at(self.inner(), key))
    }

    /// Its id, which may be sent to other threads.
    pub fn id(&self) -> SocketId {
        SocketId(self.key)
    }

    /// The number of its descriptor, while it has one. It is good until the next call that may close the socket.
    pub fn raw_fd(&self) -> Option<RawFd> {
        self.inner().reactor.borrow_mut().show_fd(self.key)
    }

    /// The loop it belongs to.
    pub fn event_loop(&self) -> &LoopHandle {
        &self.handle
    }
}
