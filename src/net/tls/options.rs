//! What a program may ask of TLS: of a context, a connection, a server, and of a socket that is to go over to it.

use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;

use super::sni::SniReply;
use crate::error::Result;
use crate::net::{
    Address, ConnectOptions, Family, Host, LookupReply, LoopHandle, ServerOptions, Socket,
};
use crate::tls::context::Ingredients;
use crate::tls::{Certificate, Material, SecureContext, TlsVersion};

/// Node's default for the time of a handshake.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(120);

/// As many handshakes a server has under way at most: enough for a burst, and less than descriptors.
const MAX_HANDSHAKES: usize = 4096;

pub(in crate::net) type IdentityCheck = Rc<dyn Fn(&str, &Certificate) -> Result<()>>;
pub(in crate::net) type KeyLogger = Rc<dyn Fn(&Socket, &str)>;
pub(in crate::net) type SniCallback = Rc<dyn Fn(&Socket, &str, SniReply)>;

/// The setters of what makes a context, for each type that may make one.
macro_rules! context_setters {
    () => {
        /// Our private key (`key`). Further calls add keys of other kinds, each with its `cert`.
        pub fn key(mut self, key: impl Into<Material>) -> Self {
            self.ingredients.keys.push((key.into(), None));
            self
        }

        /// As [`key`](Self::key), under a passphrase of its own, which goes before the common one.
        pub fn key_with_passphrase(
            mut self,
            key: impl Into<Material>,
            passphrase: impl Into<String>,
        ) -> Self {
            let key = (key.into(), Some(passphrase.into()));
            self.ingredients.keys.push(key);
            self
        }

        /// Our certificate, followed by those of its issuers (`cert`). Further calls add certificates for other keys.
        pub fn cert(mut self, cert: impl Into<Material>) -> Self {
            self.ingredients.certs.push(cert.into());
            self
        }

        /// Whom to trust, in place of the roots that come with the crate, which are Mozilla's (`ca`). Further calls add
        /// to it. A certificate given here is trusted also as the peer's own, so a self-signed one may be given, even
        /// of X.509 version 1.
        pub fn ca(mut self, ca: impl Into<Material>) -> Self {
            self.ingredients.ca.get_or_insert_default().push(ca.into());
            self
        }

        /// What opens the encrypted keys (`passphrase`).
        pub fn passphrase(mut self, passphrase: impl Into<String>) -> Self {
            self.ingredients.passphrase = Some(passphrase.into());
            self
        }

        /// Which ciphers may be used, in OpenSSL's language of lists (`ciphers`). Those of TLS 1.3 are meant by their
        /// full names only, and a list without any of them turns TLS 1.3 off. Default: all nine that there are.
        pub fn ciphers(mut self, list: impl Into<String>) -> Self {
            self.ingredients.ciphers = Some(list.into());
            self
        }

        /// The versions by the name of one of OpenSSL's functions (`secureProtocol`): `TLS_method`, `TLSv1_2_method` or
        /// `SSLv23_method`, which is TLS 1.2 too. What is older is insecure and refused.
        pub fn secure_protocol(mut self, method: impl Into<String>) -> Self {
            self.ingredients.secure_protocol = Some(method.into());
            self
        }

        /// The oldest version to speak (`minVersion`). Default: TLS 1.2.
        pub fn min_version(mut self, version: TlsVersion) -> Self {
            self.ingredients.min_version = Some(version);
            self
        }

        /// The newest version to speak (`maxVersion`). Default: TLS 1.3.
        pub fn max_version(mut self, version: TlsVersion) -> Self {
            self.ingredients.max_version = Some(version);
            self
        }
    };
}

/// The setters of what both sides of a connection may wish.
macro_rules! side_setters {
    () => {
        /// The keys, certificates, roots, ciphers and versions of a context that was made before, in place of those
        /// given here (`secureContext`).
        pub fn secure_context(mut self, context: &SecureContext) -> Self {
            self.context = Some(context.clone());
            self
        }

        /// The protocols to choose from, the preferred one first (`ALPNProtocols`). Client and server having none in
        /// common ends the handshake; a side without any does not mind.
        pub fn alpn_protocols<P: AsRef<[u8]>>(
            mut self,
            names: impl IntoIterator<Item = P>,
        ) -> Self {
            self.alpn = names
                .into_iter()
                .map(|name| name.as_ref().to_vec())
                .collect();
            self
        }

        /// Called with each line of the secrets of a connection, in the format that Wireshark reads: the first
        /// `keylog` listener. Who has them reads everything, so write them nowhere but for debugging.
        pub fn key_log(mut self, log: impl Fn(&Socket, &str) + 'static) -> Self {
            self.key_log = Some(Rc::new(log));
            self
        }

        /// Whether a peer that ends without saying so, which may be somebody in between cutting the connection, is an
        /// error. Default: false, as in Node: `end`, and [`truncated`](crate::tls::TlsInfo::truncated) tells.
        pub fn strict_end(mut self, strict: bool) -> Self {
            self.strict_end = strict;
            self
        }
    };
}

/// What a [`SecureContext`] is made from.
#[derive(Clone, Default)]
#[non_exhaustive]
pub struct ContextOptions {
    pub(crate) ingredients: Ingredients,
}

impl ContextOptions {
    context_setters!();
}

impl SecureContext {
    /// Reads and checks what is given.
    ///
    /// # Errors
    ///
    /// What cannot be read, does not fit together or is not supported, with what would be.
    pub fn new(options: ContextOptions) -> Result<SecureContext> {
        SecureContext::make(&options.ingredients)
    }
}

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
#[derive(Clone)]
#[non_exhaustive]
pub struct TlsConnectOptions {
    pub(in crate::net) connect: ConnectOptions,
    pub(in crate::net) ingredients: Ingredients,
    pub(in crate::net) context: Option<SecureContext>,
    pub(in crate::net) reject_unauthorized: bool,
    pub(in crate::net) servername: Option<String>,
    pub(in crate::net) alpn: Vec<Vec<u8>>,
    pub(in crate::net) identity: Option<IdentityCheck>,
    pub(in crate::net) key_log: Option<KeyLogger>,
    pub(in crate::net) strict_end: bool,
}

impl Default for TlsConnectOptions {
    fn default() -> Self {
        TlsConnectOptions {
            connect: ConnectOptions::default(),
            ingredients: Ingredients::default(),
            context: None,
            reject_unauthorized: true,
            servername: None,
            alpn: Vec::new(),
            identity: None,
            key_log: None,
            strict_end: false,
        }
    }
}

impl TlsConnectOptions {
    context_setters!();
    side_setters!();

    /// Whether a server whose certificate does not verify is refused (`rejectUnauthorized`). False makes the connection
    /// insecure: anybody may be at the other end, and [`authorized`](crate::tls::TlsInfo::authorized) says so. Default:
    /// true.
    pub fn reject_unauthorized(mut self, reject: bool) -> Self {
        self.reject_unauthorized = reject;
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
}

/// Hands a setter on to the options that have it.
macro_rules! pass_on {
    ($field:ident: $of:ident, $($name:ident($($argument:ident: $kind:ty),*),)*) => {
        $(
            #[doc = concat!("As [`", stringify!($of), "::", stringify!($name), "`].")]
            pub fn $name(mut self, $($argument: $kind),*) -> Self {
                self.$field = self.$field.$name($($argument),*);
                self
            }
        )*
    };
}

/// The options of the connection below.
impl TlsConnectOptions {
    pass_on! {
        connect: ConnectOptions,
        host(host: impl Into<Host>),
        port(port: u16),
        path(path: impl Into<PathBuf>),
        allow_half_open(allow: bool),
        no_delay(on: bool),
        keep_alive(on: bool),
        keep_alive_initial_delay(delay: Duration),
        timeout(idle: Duration),
        high_water_mark(bytes: usize),
        max_queued(bytes: usize),
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

/// How a TLS server treats its connections: all of [`ServerOptions`], and what TLS adds.
///
/// ```
/// use std::path::Path;
/// use tidewheel::tls::TlsOptions;
///
/// let options = TlsOptions::default()
///     .key(Path::new("server.pem"))
///     .cert(Path::new("server.crt"));
/// ```
#[derive(Clone)]
#[non_exhaustive]
pub struct TlsOptions {
    pub(in crate::net) server: ServerOptions,
    pub(in crate::net) ingredients: Ingredients,
    pub(in crate::net) context: Option<SecureContext>,
    pub(in crate::net) contexts: Vec<(String, SecureContext)>,
    pub(in crate::net) request_cert: bool,
    pub(in crate::net) reject_unauthorized: bool,
    pub(in crate::net) handshake_timeout: Duration,
    pub(in crate::net) max_handshakes: usize,
    pub(in crate::net) honor_cipher_order: bool,
    pub(in crate::net) alpn: Vec<Vec<u8>>,
    pub(in crate::net) sni: Option<SniCallback>,
    pub(in crate::net) key_log: Option<KeyLogger>,
    pub(in crate::net) strict_end: bool,
}

impl Default for TlsOptions {
    fn default() -> Self {
        TlsOptions {
            server: ServerOptions::default(),
            ingredients: Ingredients::default(),
            context: None,
            contexts: Vec::new(),
            request_cert: false,
            reject_unauthorized: true,
            handshake_timeout: HANDSHAKE_TIMEOUT,
            max_handshakes: MAX_HANDSHAKES,
            honor_cipher_order: true,
            alpn: Vec::new(),
            sni: None,
            key_log: None,
            strict_end: false,
        }
    }
}

impl TlsOptions {
    context_setters!();
    side_setters!();

    /// Whether clients are asked for a certificate (`requestCert`). Default: false.
    pub fn request_cert(mut self, request: bool) -> Self {
        self.request_cert = request;
        self
    }

    /// With [`request_cert`](Self::request_cert): whether a client without a certificate that verifies is refused
    /// (`rejectUnauthorized`). Default: true.
    pub fn reject_unauthorized(mut self, reject: bool) -> Self {
        self.reject_unauthorized = reject;
        self
    }

    /// How long a handshake may take before the connection is closed with `tls_client_error` (`handshakeTimeout`).
    /// Zero: as long as it likes. Default: 120 seconds.
    pub fn handshake_timeout(mut self, limit: Duration) -> Self {
        self.handshake_timeout = limit;
        self
    }

    /// How many handshakes may be under way; who connects beyond waits in the kernel's backlog until one is done.
    /// Node has no such limit. Default: 4096.
    pub fn max_handshakes(mut self, limit: usize) -> Self {
        self.max_handshakes = limit.max(1);
        self
    }

    /// Whether the server's order of ciphers decides and not the client's (`honorCipherOrder`). Default: true.
    pub fn honor_cipher_order(mut self, honor: bool) -> Self {
        self.honor_cipher_order = honor;
        self
    }

    /// Chooses the context for the name a client asks for, now or later (`SNICallback`). Clients that ask for none get
    /// the context of these options. It goes before [`add_context`](Self::add_context).
    pub fn sni_callback(mut self, choose: impl Fn(&Socket, &str, SniReply) + 'static) -> Self {
        self.sni = Some(Rc::new(choose));
        self
    }

    /// A context for clients that ask for `name`, which may have a `*` in its first label; see
    /// [`Server::add_context`](crate::net::Server::add_context).
    pub fn add_context(mut self, name: impl Into<String>, context: &SecureContext) -> Self {
        self.contexts.push((name.into(), context.clone()));
        self
    }
}

/// The options of the sockets below.
impl TlsOptions {
    pass_on! {
        server: ServerOptions,
        allow_half_open(allow: bool),
        pause_on_connect(pause: bool),
        no_delay(on: bool),
        keep_alive(on: bool),
        keep_alive_initial_delay(delay: Duration),
        timeout(idle: Duration),
        high_water_mark(bytes: usize),
        max_queued(bytes: usize),
    }
}

/// On which side of TLS a socket is that goes over to it: see [`Socket::start_tls`].
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum StartTls {
    /// The one that speaks first. Of the options where to connect to, only the host counts, as the name of the server.
    Client(Box<TlsConnectOptions>),
    /// The one that has a certificate. Of the options those of accepted sockets do not count.
    Server(Box<TlsOptions>),
}

impl From<TlsConnectOptions> for StartTls {
    fn from(options: TlsConnectOptions) -> Self {
        StartTls::Client(Box::new(options))
    }
}

impl From<TlsOptions> for StartTls {
    fn from(options: TlsOptions) -> Self {
        StartTls::Server(Box::new(options))
    }
}

impl From<&TlsConnectOptions> for StartTls {
    fn from(options: &TlsConnectOptions) -> Self {
        options.clone().into()
    }
}

impl From<&TlsOptions> for StartTls {
    fn from(options: &TlsOptions) -> Self {
        options.clone().into()
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
impl fmt::Debug for ContextOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ContextOptions").finish_non_exhaustive()
    }
}

/// Shows neither keys nor passphrases.
impl fmt::Debug for TlsConnectOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsConnectOptions")
            .field("connect", &self.connect)
            .field("reject_unauthorized", &self.reject_unauthorized)
            .field("servername", &self.servername)
            .finish_non_exhaustive()
    }
}

/// Shows neither keys nor passphrases.
impl fmt::Debug for TlsOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsOptions")
            .field("server", &self.server)
            .field("request_cert", &self.request_cert)
            .field("reject_unauthorized", &self.reject_unauthorized)
            .finish_non_exhaustive()
    }
}
