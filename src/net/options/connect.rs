//! Where to connect to, and how.

use std::io;
use std::net::SocketAddr;
use std::os::fd::BorrowedFd;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;

use super::Configure;
use crate::address::{Address, Family};
use crate::error::Error;
use crate::net::host::{abstract_path, unix_address, Host, Target};
use crate::net::lookup::OwnLookup;
use crate::net::{LookupReply, LoopHandle};

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
#[derive(Clone, Debug)]
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
    pub(crate) local_address: Option<Host>,
    pub(crate) local_port: Option<u16>,
    pub(crate) connect_timeout: Option<Duration>,
    pub(crate) configure: Option<Configure>,
    pub(crate) lookup: Option<OwnLookup>,
    pub(crate) family: Option<Family>,
    pub(crate) auto_select_family: bool,
    pub(crate) auto_select_family_attempt_timeout: Duration,
}

impl Default for ConnectOptions {
    fn default() -> Self {
        ConnectOptions {
            host: None,
            port: None,
            path: None,
            allow_half_open: false,
            no_delay: false,
            keep_alive: false,
            keep_alive_initial_delay: None,
            timeout: None,
            high_water_mark: 0,
            max_queued: None,
            local_address: None,
            local_port: None,
            connect_timeout: None,
            configure: None,
            lookup: None,
            family: None,
            auto_select_family: true,
            auto_select_family_attempt_timeout: Duration::from_millis(250),
        }
    }
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

    /// The local address to connect from, an IP literal (`localAddress`); anything else fails with
    /// `ERR_INVALID_IP_ADDRESS`. Default: the system chooses.
    pub fn local_address(mut self, address: impl Into<Host>) -> Self {
        self.local_address = Some(address.into());
        self
    }

    /// The local port to connect from (`localPort`). Default: the system chooses.
    pub fn local_port(mut self, port: u16) -> Self {
        self.local_port = Some(port);
        self
    }

    /// Looks the host's name up by a resolver of your own instead of the system's (`lookup`). It is called in the loop
    /// and answers at once or later, by [`LookupReply::found`] or [`LookupReply::failed`]; dropped unanswered it is
    /// `ENOTFOUND`. Not called for addresses and paths.
    ///
    /// ```
    /// use tidewheel::net::ConnectOptions;
    ///
    /// let options = ConnectOptions::from(("db.internal", 5432))
    ///     .lookup(|_, _host, reply| reply.found(vec!["127.0.0.1".parse().unwrap()]));
    /// ```
    pub fn lookup(mut self, lookup: impl Fn(&LoopHandle, &str, LookupReply) + 'static) -> Self {
        self.lookup = Some(OwnLookup(Rc::new(lookup)));
        self
    }

    /// Takes addresses of this family only, and of these the first (`family`). Default: both.
    pub fn family(mut self, family: Family) -> Self {
        self.family = Some(family);
        self
    }

    /// Whether all addresses of a name are tried in turn, IPv6 and IPv4 alternating, until one answers
    /// (`autoSelectFamily`); if not, only the first. With a `family` or a `local_address` it is only the first. Default:
    /// true.
    pub fn auto_select_family(mut self, on: bool) -> Self {
        self.auto_select_family = on;
        self
    }

    /// How long one address is tried while another waits, at least 10 ms (`autoSelectFamilyAttemptTimeout`). The last
    /// one has no limit of its own. Default: 250 ms.
    pub fn auto_select_family_attempt_timeout(mut self, limit: Duration) -> Self {
        self.auto_select_family_attempt_timeout = limit;
        self
    }

    /// How long connecting may take, from the call to `connect`, looking the name up and all addresses
    /// included; then it fails with `ETIMEDOUT`. Node has no such option. Default: as long as the system
    /// tries.
    pub fn connect_timeout(mut self, limit: Duration) -> Self {
        self.connect_timeout = Some(limit);
        self
    }

    /// Sees the descriptor of each attempt before it is bound and connected, to set what this crate has no
    /// word for. It runs in the loop; an error it returns is that of the attempt. Node has no such option.
    ///
    /// ```
    /// use std::os::fd::AsRawFd;
    /// use tidewheel::net::ConnectOptions;
    ///
    /// let options = ConnectOptions::from(8124).configure(|fd| {
    ///     println!("descriptor {}", fd.as_raw_fd());
    ///     Ok(())
    /// });
    /// ```
    pub fn configure(
        mut self,
        configure: impl Fn(BorrowedFd<'_>) -> io::Result<()> + 'static,
    ) -> Self {
        self.configure = Some(Configure(Rc::new(configure)));
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

impl From<&ConnectOptions> for ConnectOptions {
    fn from(options: &ConnectOptions) -> Self {
        options.clone()
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
