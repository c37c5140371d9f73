//! Where to connect to by TLS, and how.

use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;

use super::context::context_setters;
use super::side::{side_setters, Side};
use super::{pass_on, pass_on_socket};
use crate::error::Result;
use crate::net::{Address, ConnectOptions, Family, Host, LookupReply, LoopHandle, Socket};
use crate::tls::{Certificate, Material, SecureContext, Session, TlsVersion};

pub(in crate::net) type IdentityCheck = Rc<dyn Fn(&str, &Certificate) -> Result<()>>;

/// Where to connect to by TLS, and how: all of [`ConnectOptions`], and what TLS adds.
///
/// What may stand for `ConnectOptions` may stand for these:
///
/// ```
/// use std::path::Path;
/// use tidewheel::tls::TlsConnectOptions;
///
/// let public = TlsConnectOptions::from(("example.com", 443)).alpn_protocols(["http/1.1"]);
/// let own = TlsConnectOptions::from(8000).ca(Path::new("server.crt"));
/// ```
#[derive(Clone, Default)]
#[non_exhaustive]
pub struct TlsConnectOptions {
    pub(in crate::net) connect: ConnectOptions,
    pub(in crate::net) side: Side,
    pub(in crate::net) servername: Option<String>,
    pub(in crate::net) identity: Option<IdentityCheck>,
    pub(in crate::net) session: Option<Session>,
}

impl TlsConnectOptions {
    context_setters!(side.ingredients);
    side_setters!();

    /// Whether a server whose certificate does not verify is refused (`rejectUnauthorized`). False makes the connection
    /// insecure: anybody may be at the other end, and [`authorized`](crate::tls::TlsInfo::authorized) says so. Default:
    /// true.
    pub fn reject_unauthorized(mut self, reject: bool) -> Self {
        self.side.reject_unauthorized = reject;
        self
    }

    /// The name to ask the server for, and that its certificate must be for (`servername`). Default: the host, or
    /// `localhost` for a path. Empty: none is asked for, and the host counts.
    pub fn servername(mut self, name: impl Into<String>) -> Self {
        self.servername = Some(name.into());
        self
    }

    /// Looks at the server's certificate once it is known to lead to somebody trusted, in place of
    /// [`check_server_identity`](crate::tls::check_server_identity); nothing is sent before (`checkServerIdentity`).
    pub fn check_server_identity(
        mut self,
        check: impl Fn(&str, &Certificate) -> Result<()> + 'static,
    ) -> Self {
        self.identity = Some(Rc::new(check));
        self
    }

    /// Whether [`on_ocsp_response`](crate::net::Socket::on_ocsp_response) is told what the server's issuer says of its
    /// certificate (`requestOCSP`). Default: false.
    pub fn request_ocsp(mut self, request: bool) -> Self {
        self.side.ocsp = request;
        self
    }

    /// A session to take up, of an earlier connection to the same host under the same options (`session`); see
    /// [`Session`]. Without one the handshake is a full one. The certificates of then are checked again, by the dates and
    /// lists of now, and the program's own check of the identity runs again; Node does neither.
    pub fn session(mut self, session: &Session) -> Self {
        self.session = Some(session.clone());
        self
    }
}

/// The options of the connection below.
impl TlsConnectOptions {
    pass_on_socket!(connect: ConnectOptions);
    pass_on! {
        connect: ConnectOptions,
        host(host: impl Into<Host>),
        port(port: u16),
        path(path: impl Into<PathBuf>),
        local_address(address: impl Into<Host>),
        local_port(port: u16),
        lookup(lookup: impl Fn(&LoopHandle, &str, LookupReply) + 'static),
        family(family: Family),
        auto_select_family(on: bool),
        auto_select_family_attempt_timeout(limit: Duration),
        connect_timeout(limit: Duration),
        configure(configure: impl Fn(std::os::fd::BorrowedFd<'_>) -> std::io::Result<()> + 'static),
    }
}

macro_rules! as_connect_options {
    ($($kind:ty),*) => {$(
        impl From<$kind> for TlsConnectOptions {
            fn from(at: $kind) -> Self {
                ConnectOptions::from(at).into()
            }
        }
    )*};
}

as_connect_options!(u16, SocketAddr, Address, &Path, &PathBuf, PathBuf);

impl<H: Into<Host>> From<(H, u16)> for TlsConnectOptions {
    fn from(at: (H, u16)) -> Self {
        ConnectOptions::from(at).into()
    }
}

impl From<ConnectOptions> for TlsConnectOptions {
    fn from(connect: ConnectOptions) -> Self {
        TlsConnectOptions {
            connect,
            ..Self::default()
        }
    }
}

impl From<&TlsConnectOptions> for TlsConnectOptions {
    fn from(options: &TlsConnectOptions) -> Self {
        options.clone()
    }
}

/// Shows neither keys nor passphrases.
impl fmt::Debug for TlsConnectOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsConnectOptions")
            .field("connect", &self.connect)
            .field("reject_unauthorized", &self.side.reject_unauthorized)
            .field("servername", &self.servername)
            .finish_non_exhaustive()
    }
}
