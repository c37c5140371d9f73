//! What a program may ask of a connection, a listen, a server, a socket and a pipe. Each is built by setters that take
//! and return it: `ConnectOptions::default().port(8124).no_delay(true)`.

mod connect;
mod listen;

#[cfg(test)]
mod tests;

use std::fmt;
use std::io;
use std::os::fd::BorrowedFd;
use std::rc::Rc;
use std::time::Duration;

pub use connect::ConnectOptions;
pub use listen::ListenOptions;
pub(crate) use listen::ListenTarget;

/// What a user wants done to a descriptor before it is used.
#[derive(Clone)]
pub(crate) struct Configure(Rc<dyn Fn(BorrowedFd<'_>) -> io::Result<()>>);

impl Configure {
    pub(crate) fn apply(&self, fd: BorrowedFd<'_>) -> io::Result<()> {
        (self.0)(fd)
    }
}

impl fmt::Debug for Configure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Configure")
    }
}

/// How a server treats each connection that it accepts.
///
/// ```
/// use std::time::Duration;
/// use tidewheel::net::ServerOptions;
///
/// let options = ServerOptions::default()
///     .no_delay(true)
///     .timeout(Duration::from_secs(60));
/// ```
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct ServerOptions {
    pub(crate) allow_half_open: bool,
    pub(crate) pause_on_connect: bool,
    pub(crate) no_delay: bool,
    pub(crate) keep_alive: bool,
    pub(crate) keep_alive_initial_delay: Option<Duration>,
    pub(crate) timeout: Option<Duration>,
    pub(crate) high_water_mark: usize,
    pub(crate) max_queued: Option<usize>,
}

impl ServerOptions {
    /// Whether the socket stays writable when the peer has ended
    /// (`allowHalfOpen`). Default: false, it ends by itself.
    pub fn allow_half_open(mut self, allow: bool) -> Self {
        self.allow_half_open = allow;
        self
    }

    /// Whether accepted sockets are paused until `resume()`
    /// (`pauseOnConnect`). Default: false.
    pub fn pause_on_connect(mut self, pause: bool) -> Self {
        self.pause_on_connect = pause;
        self
    }

    /// Whether small writes are sent at once, without Nagle's algorithm
    /// (`noDelay`). Default: false.
    pub fn no_delay(mut self, on: bool) -> Self {
        self.no_delay = on;
        self
    }

    /// Whether the system probes an idle connection (`keepAlive`). Default:
    /// false.
    pub fn keep_alive(mut self, on: bool) -> Self {
        self.keep_alive = on;
        self
    }

    /// How long the connection is idle before the first probe, in whole seconds
    /// (`keepAliveInitialDelay`). Default: none, which like zero leaves the
    /// system's.
    pub fn keep_alive_initial_delay(mut self, delay: Duration) -> Self {
        self.keep_alive_initial_delay = Some(delay);
        self
    }

    /// After how long without activity `timeout` is emitted (`timeout`).
    /// Default: none, which is what zero means too.
    pub fn timeout(mut self, idle: Duration) -> Self {
        self.timeout = Some(idle);
        self
    }

    /// From how many waiting bytes on a write answers `Queued` and a `drain`
    /// follows (`writableHighWaterMark`). Default: 0, any byte that waits.
    pub fn high_water_mark(mut self, bytes: usize) -> Self {
        self.high_water_mark = bytes;
        self
    }

    /// How many bytes may wait at most: a write that would go beyond is refused
    /// and ends the connection with `ERR_SOCKET_QUEUE_FULL`. Node has no such
    /// limit. Default: none.
    pub fn max_queued(mut self, bytes: usize) -> Self {
        self.max_queued = Some(bytes);
        self
    }
}

/// How a socket behaves that is made before it is connected.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct SocketOptions {
    pub(crate) allow_half_open: bool,
    pub(crate) high_water_mark: usize,
    pub(crate) max_queued: Option<usize>,
    pub(crate) readable: bool,
    pub(crate) writable: bool,
}

impl Default for SocketOptions {
    fn default() -> Self {
        SocketOptions {
            allow_half_open: false,
            high_water_mark: 0,
            max_queued: None,
            readable: true,
            writable: true,
        }
    }
}

impl SocketOptions {
    /// Whether a descriptor given to [`Socket::from_fd`](crate::net::Socket::from_fd) is read (`readable`). If
    /// not, its peer counts as having ended, and that it is gone is noticed only by a write. Default: true.
    pub fn readable(mut self, readable: bool) -> Self {
        self.readable = readable;
        self
    }

    /// Whether a descriptor given to [`Socket::from_fd`](crate::net::Socket::from_fd) is written to
    /// (`writable`). If not, our side counts as ended, without a FIN. Default: true.
    pub fn writable(mut self, writable: bool) -> Self {
        self.writable = writable;
        self
    }

    /// Whether the socket stays writable when the peer has ended
    /// (`allowHalfOpen`). Default: false, it ends by itself.
    pub fn allow_half_open(mut self, allow: bool) -> Self {
        self.allow_half_open = allow;
        self
    }

    /// From how many waiting bytes on a write answers `Queued` and a `drain`
    /// follows (`writableHighWaterMark`). Default: 0, any byte that waits.
    pub fn high_water_mark(mut self, bytes: usize) -> Self {
        self.high_water_mark = bytes;
        self
    }

    /// How many bytes may wait at most: a write that would go beyond is refused
    /// and ends the connection with `ERR_SOCKET_QUEUE_FULL`. Node has no such
    /// limit. Default: none.
    pub fn max_queued(mut self, bytes: usize) -> Self {
        self.max_queued = Some(bytes);
        self
    }
}

/// How one socket is piped into another.
///
/// ```
/// use tidewheel::net::PipeOptions;
///
/// let keep_open = PipeOptions::default().end(false);
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct PipeOptions {
    pub(crate) end: bool,
}

impl Default for PipeOptions {
    fn default() -> Self {
        PipeOptions { end: true }
    }
}

impl PipeOptions {
    /// Whether the end of the source ends the destination (`end`). Default:
    /// true.
    pub fn end(mut self, end: bool) -> Self {
        self.end = end;
        self
    }
}
