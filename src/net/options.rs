//! What a program may ask of a connection, a listen, a server, a socket and a
//! pipe. Each is built by setters that take and return it:
//! `ConnectOptions::default().port(8124).no_delay(true)`.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::address::Address;
use crate::error::Error;
use crate::net::host::{abstract_path, unix_address, Host, Target};

/// Where to connect to, and how.
///
/// A `path`, if given, wins over `host` and `port`. A port alone, a
/// `(host, port)`, a `SocketAddr`, an [`Address`] and a path are options too,
/// wherever options are asked for:
///
/// ```
/// use std::path::Path;
/// use tidewheel::net::ConnectOptions;
///
/// let local = ConnectOptions::from(8124);
/// let named = ConnectOptions::from(("example.com", 80)).no_delay(true);
/// let unix = ConnectOptions::from(Path::new("/tmp/echo.sock"));
/// ```
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct ConnectOptions {
    pub(crate) host: Option<Host>,
    pub(crate) port: Option<u16>,
    pub(crate) path: Option<PathBuf>,
    pub(crate) allow_half_open: bool,
    pub(crate) no_delay: bool,
    pub(crate) keep_alive: bool,
    pub(crate) keep_alive_initial_delay: Option<Duration>,
    pub(crate) timeout: Option<Duration>,
    pub(crate) high_water_mark: usize,
    pub(crate) max_queued: Option<usize>,
}

impl ConnectOptions {
    /// The name or address of the host (`host`). Default: `localhost`.
    pub fn host(mut self, host: impl Into<Host>) -> Self {
        self.host = Some(host.into());
        self
    }

    /// The port (`port`). There is no default; 0 is taken and fails later.
    pub fn port(mut self, port: u16) -> Self {
        self.port = Some(port);
        self
    }

    /// The path of a UNIX socket (`path`), or, after a leading NUL, its name in
    /// Linux's abstract namespace. Default: none.
    pub fn path(mut self, path: impl Into<PathBuf>) -> Self {
        self.path = Some(path.into());
        self
    }

    /// Whether the socket stays writable when the peer has ended
    /// (`allowHalfOpen`). Default: false, it ends by itself.
    pub fn allow_half_open(mut self, allow: bool) -> Self {
        self.allow_half_open = allow;
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

    /// What to connect to; `ERR_MISSING_ARGS` without port and path.
    pub(crate) fn target(&self) -> Result<Target, Error> {
        if let Some(address) = self.path.as_deref().and_then(unix_address) {
            return Ok(Target::Address(address));
        }
        let port = self.port.ok_or_else(Error::missing_args)?;
        Ok(match &self.host {
            Some(host) if !host.is_empty() => host.with_port(port),
            _ => Target::Localhost(port),
        })
    }
}

/// Where to listen, and how.
///
/// A `port`, if given, wins over `path`; with nothing given the system chooses
/// a port. A port alone, a `(host, port)`, a `SocketAddr`, an [`Address`] and a
/// path are options too:
///
/// ```
/// use std::path::Path;
/// use tidewheel::net::ListenOptions;
///
/// let everywhere = ListenOptions::from(8124);
/// let loopback = ListenOptions::from(("127.0.0.1", 0)).backlog(16);
/// let unix = ListenOptions::from(Path::new("/tmp/echo.sock"));
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ListenOptions {
    pub(crate) host: Option<Host>,
    pub(crate) port: Option<u16>,
    pub(crate) path: Option<PathBuf>,
    pub(crate) backlog: u32,
    pub(crate) ipv6_only: bool,
    pub(crate) reuse_port: bool,
}

impl Default for ListenOptions {
    fn default() -> Self {
        ListenOptions {
            host: None,
            port: None,
            path: None,
            backlog: 511,
            ipv6_only: false,
            reuse_port: false,
        }
    }
}

impl ListenOptions {
    /// The name or address to listen on (`host`). Default: all interfaces, `::`
    /// for IPv6 and IPv4 together, or `0.0.0.0` where there is no IPv6.
    pub fn host(mut self, host: impl Into<Host>) -> Self {
        self.host = Some(host.into());
        self
    }

    /// The port (`port`). Default: 0, the system chooses one.
    pub fn port(mut self, port: u16) -> Self {
        self.port = Some(port);
        self
    }

    /// The path of a UNIX socket (`path`), or, after a leading NUL, its name in
    /// Linux's abstract namespace. Default: none.
    pub fn path(mut self, path: impl Into<PathBuf>) -> Self {
        self.path = Some(path.into());
        self
    }

    /// How many connections may wait to be accepted (`backlog`); the system may
    /// have a lower limit. Default: 511.
    pub fn backlog(mut self, connections: u32) -> Self {
        self.backlog = connections;
        self
    }

    /// Whether `::` leaves IPv4 out (`ipv6Only`). Default: false.
    pub fn ipv6_only(mut self, on: bool) -> Self {
        self.ipv6_only = on;
        self
    }

    /// Whether other sockets may listen on the same port, the system spreading
    /// connections among them (`reusePort`). Default: false.
    pub fn reuse_port(mut self, on: bool) -> Self {
        self.reuse_port = on;
        self
    }

    /// What to listen on; `ERR_INVALID_ARG_VALUE` if all that was given is an
    /// empty path.
    pub(crate) fn target(&self) -> Result<ListenTarget, Error> {
        if let (None, Some(path)) = (self.port, &self.path) {
            let address = unix_address(path).ok_or_else(Error::nothing_to_listen_on)?;
            return Ok(ListenTarget::Address(address));
        }
        let port = self.port.unwrap_or(0);
        Ok(match &self.host {
            Some(host) if !host.is_empty() => match host.with_port(port) {
                Target::Address(address) => ListenTarget::Address(address),
                Target::Localhost(port) => ListenTarget::Localhost(port),
                Target::Name(name, port) => ListenTarget::Name(name, port),
            },
            _ => ListenTarget::Any(port),
        })
    }
}

/// What a listen is to be on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ListenTarget {
    /// All interfaces.
    Any(u16),
    Address(Address),
    Localhost(u16),
    Name(String, u16),
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
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct SocketOptions {
    pub(crate) allow_half_open: bool,
    pub(crate) high_water_mark: usize,
    pub(crate) max_queued: Option<usize>,
}

impl SocketOptions {
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

impl From<u16> for ConnectOptions {
    fn from(port: u16) -> Self {
        Self::default().port(port)
    }
}

impl<H: Into<Host>> From<(H, u16)> for ConnectOptions {
    fn from((host, port): (H, u16)) -> Self {
        Self::default().host(host).port(port)
    }
}

impl From<SocketAddr> for ConnectOptions {
    fn from(at: SocketAddr) -> Self {
        Self::default().host(Host::of(at)).port(at.port())
    }
}

/// There is nothing to connect to in [`Address::Unnamed`]; that is said later.
impl From<Address> for ConnectOptions {
    fn from(address: Address) -> Self {
        match address {
            Address::Ip(at) => at.into(),
            Address::Path(path) => path.into(),
            Address::Abstract(name) => abstract_path(&name).into(),
            Address::Unnamed => PathBuf::new().into(),
        }
    }
}

impl From<&Path> for ConnectOptions {
    fn from(path: &Path) -> Self {
        Self::default().path(path)
    }
}

impl From<&PathBuf> for ConnectOptions {
    fn from(path: &PathBuf) -> Self {
        Self::default().path(path)
    }
}

impl From<PathBuf> for ConnectOptions {
    fn from(path: PathBuf) -> Self {
        Self::default().path(path)
    }
}

impl From<u16> for ListenOptions {
    fn from(port: u16) -> Self {
        Self::default().port(port)
    }
}

impl<H: Into<Host>> From<(H, u16)> for ListenOptions {
    fn from((host, port): (H, u16)) -> Self {
        Self::default().host(host).port(port)
    }
}

impl From<SocketAddr> for ListenOptions {
    fn from(at: SocketAddr) -> Self {
        Self::default().host(Host::of(at)).port(at.port())
    }
}

/// There is nothing to listen on in [`Address::Unnamed`]; that is said later.
impl From<Address> for ListenOptions {
    fn from(address: Address) -> Self {
        match address {
            Address::Ip(at) => at.into(),
            Address::Path(path) => path.into(),
            Address::Abstract(name) => abstract_path(&name).into(),
            Address::Unnamed => PathBuf::new().into(),
        }
    }
}

impl From<&Path> for ListenOptions {
    fn from(path: &Path) -> Self {
        Self::default().path(path)
    }
}

impl From<&PathBuf> for ListenOptions {
    fn from(path: &PathBuf) -> Self {
        Self::default().path(path)
    }
}

impl From<PathBuf> for ListenOptions {
    fn from(path: PathBuf) -> Self {
        Self::default().path(path)
    }
}

#[cfg(test)]
mod tests;
