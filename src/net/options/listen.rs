//! Where to listen, and how.

use std::io;
use std::net::SocketAddr;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;

use super::Configure;
use crate::address::Address;
use crate::error::Error;
use crate::net::host::{abstract_path, unix_address, Host, Target};

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
    pub(crate) mode: Option<u32>,
    pub(crate) remove_stale: bool,
    pub(crate) configure: Option<Configure>,
    pub(crate) fd: Option<Arc<OwnedFd>>,
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
            mode: None,
            remove_stale: false,
            configure: None,
            fd: None,
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

    /// The permissions of the path, `0o660` say; they decide who may connect. They are in force before anybody
    /// can (Node's `readableAll` and `writableAll`). Default: what the process's umask leaves.
    pub fn mode(mut self, mode: u32) -> Self {
        self.mode = Some(mode);
        self
    }

    /// Whether a path that a dead process has left behind is taken over: nobody answers there and it is a
    /// socket. Default: false, it is `EADDRINUSE`, as in Node.
    pub fn remove_stale(mut self, remove: bool) -> Self {
        self.remove_stale = remove;
        self
    }

    /// Sees the descriptor before it is bound, to set what this crate has no word for. It runs inside
    /// `listen`; an error it returns is that of `listen`. Node has no such option.
    pub fn configure(
        mut self,
        configure: impl Fn(BorrowedFd<'_>) -> io::Result<()> + 'static,
    ) -> Self {
        self.configure = Some(Configure(Rc::new(configure)));
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

impl From<&ListenOptions> for ListenOptions {
    fn from(options: &ListenOptions) -> Self {
        options.clone()
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

/// Listens on a descriptor that is bound already, TCP or UNIX (`fd`, `handle`). `listen(2)` is called on it, other
/// options do not matter. Clones of the options share it, and each `listen` works on a duplicate. Its path is never
/// removed.
impl From<OwnedFd> for ListenOptions {
    fn from(fd: OwnedFd) -> Self {
        ListenOptions {
            fd: Some(Arc::new(fd)),
            ..Self::default()
        }
    }
}
