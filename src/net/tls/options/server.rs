//! How a TLS server treats its connections.

use std::fmt;
use std::rc::Rc;
use std::time::Duration;

use super::context::context_setters;
use super::side::{side_setters, Side};
use super::{pass_on, pass_on_socket};
use crate::net::tls::SniReply;
use crate::net::{ServerOptions, Socket};
use crate::tls::{Material, SecureContext, TlsVersion};

/// Node's default for the time of a handshake.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(120);

/// As many handshakes a server has under way at most: enough for a burst, and less than descriptors.
const MAX_HANDSHAKES: usize = 4096;

/// Node's default for the life of a session.
const SESSION_TIMEOUT: Duration = Duration::from_secs(300);

pub(in crate::net) type SniCallback = Rc<dyn Fn(&Socket, &str, SniReply)>;

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
    pub(in crate::net) side: Side,
    pub(in crate::net) contexts: Vec<(String, SecureContext)>,
    pub(in crate::net) request_cert: bool,
    pub(in crate::net) handshake_timeout: Duration,
    pub(in crate::net) max_handshakes: usize,
    pub(in crate::net) honor_cipher_order: bool,
    pub(in crate::net) sni: Option<SniCallback>,
    pub(in crate::net) session_timeout: Duration,
    pub(in crate::net) ticket_keys: Option<Vec<u8>>,
}

impl Default for TlsOptions {
    fn default() -> Self {
        TlsOptions {
            server: ServerOptions::default(),
            side: Side::default(),
            contexts: Vec::new(),
            request_cert: false,
            handshake_timeout: HANDSHAKE_TIMEOUT,
            max_handshakes: MAX_HANDSHAKES,
            honor_cipher_order: true,
            sni: None,
            session_timeout: SESSION_TIMEOUT,
            ticket_keys: None,
        }
    }
}

impl TlsOptions {
    context_setters!(side.ingredients);
    side_setters!();

    /// Whether clients are asked for a certificate (`requestCert`). Give the [`ca`](Self::ca) that may issue them, too:
    /// without it those of the web may, which is anybody. Default: false.
    pub fn request_cert(mut self, request: bool) -> Self {
        self.request_cert = request;
        self
    }

    /// With [`request_cert`](Self::request_cert): whether a client without a certificate that verifies is refused
    /// (`rejectUnauthorized`). Default: true.
    pub fn reject_unauthorized(mut self, reject: bool) -> Self {
        self.side.reject_unauthorized = reject;
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

    /// For how long a session may be taken up again after the connection that made it (`sessionTimeout`), be it in a
    /// ticket or kept by the program; seven days at most for tickets. Under TLS 1.3 a connection that takes one up gets
    /// new ones, with secrets and a time of their own; under TLS 1.2 it goes on with the same one, which has the time
    /// it had. Zero: no session may be taken up. Default: 300 seconds.
    pub fn session_timeout(mut self, timeout: Duration) -> Self {
        self.session_timeout = timeout;
        self
    }

    /// The keys that seal tickets, 48 bytes as random as can be (`ticketKeys`): servers that have the same ones, under
    /// the same certificate and options, take up each other's sessions, in other processes and on other machines. Who
    /// has them can read what was said under TLS 1.2 and pass for clients, so they are as secret as the private key,
    /// and should be changed from time to time: [`Server::set_ticket_keys`](crate::net::Server::set_ticket_keys).
    /// They mean nothing to a Node process. Default: keys of this server alone, which it changes by itself.
    pub fn ticket_keys(mut self, keys: impl AsRef<[u8]>) -> Self {
        self.ticket_keys = Some(keys.as_ref().to_vec());
        self
    }

    /// Whether the server's order of ciphers decides and not the client's (`honorCipherOrder`). Default: true.
    pub fn honor_cipher_order(mut self, honor: bool) -> Self {
        self.honor_cipher_order = honor;
        self
    }

    /// Chooses the context for the name a client asks for, now or later (`SNICallback`). Clients that ask for none get
    /// the context of these options. It goes before [`add_context`](Self::add_context).
    ///
    /// ```no_run
    /// # use std::time::Duration;
    /// # use tidewheel::tls::{SecureContext, TlsOptions};
    /// # fn f(options: TlsOptions, shop: SecureContext) -> TlsOptions {
    /// options.sni_callback(move |socket, name, reply| match name {
    ///     "shop.example" => {
    ///         let shop = shop.clone();
    ///         let later = Duration::from_millis(20); // when it is found, say
    ///         let event_loop = socket.event_loop();
    ///         event_loop.set_timeout(later, move |_| reply.use_context(&shop));
    ///     }
    ///     _ => reply.use_default(),
    /// })
    /// # }
    /// ```
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
    pass_on_socket!(server: ServerOptions);
    pass_on! {
        server: ServerOptions,
        pause_on_connect(pause: bool),
    }
}

/// Shows neither keys nor passphrases.
impl fmt::Debug for TlsOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsOptions")
            .field("server", &self.server)
            .field("request_cert", &self.request_cert)
            .field("reject_unauthorized", &self.side.reject_unauthorized)
            .finish_non_exhaustive()
    }
}
