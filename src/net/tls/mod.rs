//! TLS as the program sees it: connecting, serving, going over to it, and what a socket then tells.

mod dispatch;
mod events;
mod info;
mod ocsp;
mod options;
mod sessions;
mod sni;

use std::rc::Rc;

use rustls::pki_types::ServerName;

use super::face::{ServerCallback, SocketCallback};
use super::listeners::EventKind;
use super::{LoopHandle, Server, Socket, SocketOptions};
use crate::arena::Key;
use crate::error::{Code, Error, Result};
use crate::reactor::{DialPlan, Target, TlsServer};
use crate::tls::context::{ClientWishes, ServerWishes};
use crate::tls::names::Contexts;
use crate::tls::session::{ClientPlan, ServerPlan, SessionPlan};
use crate::tls::tickets::TicketKeys;
use crate::tls::SecureContext;

pub use info::TlsInfo;
pub use ocsp::OcspReply;
pub use options::{ContextOptions, StartTls, TlsConnectOptions, TlsOptions};
pub use sessions::{NewSessionReply, ResumeReply};
pub use sni::SniReply;

use options::{IdentityCheck, KeyLogger, SniCallback};

/// What is kept of the program's for one socket.
#[derive(Default)]
pub(in crate::net) struct SocketTls {
    identity: Option<IdentityCheck>,
    /// Of a socket that became the server's side by itself.
    sni: Option<(SniCallback, ServerWishes)>,
}

/// What is kept of the program's for one server.
pub(in crate::net) struct ServerTls {
    sni: Option<SniCallback>,
    wishes: ServerWishes,
}

/// Makes a socket, connects it and shakes hands; `on_secure` is its first, one-shot `secure_connect` listener. Node's
/// `tls.connect`.
///
/// It always gives a socket, and reports every failure, also of wrong options, by `error` in a later turn. What is
/// written before the handshake is done leaves after it.
///
/// ```no_run
/// use tidewheel::{tls, EventLoop};
///
/// # fn main() -> Result<(), tidewheel::Error> {
/// let event_loop = EventLoop::new()?;
/// let socket = tls::connect(&event_loop, ("example.com", 443), |socket| {
///     let info = socket.tls().expect("it is under TLS");
///     println!("{} {}", info.protocol().unwrap(), info.cipher().unwrap().name);
///     socket.write("GET / HTTP/1.0\r\nHost: example.com\r\n\r\n");
/// });
/// socket.on_text(|_, text| print!("{text}"));
/// event_loop.run()
/// # }
/// ```
pub fn connect(
    event_loop: &LoopHandle,
    options: impl Into<TlsConnectOptions>,
    on_secure: impl FnOnce(&Socket) + 'static,
) -> Socket {
    let options = options.into();
    let socket = Socket::new(event_loop, SocketOptions::default());
    socket.once_secure_connect(on_secure);
    let begun = options
        .plan()
        .map(|plan| socket.tls_as_client(&options, plan, &[]));
    let plan = begun.and_then(|()| options.connect.plan());
    let plan = plan.unwrap_or_else(|error| DialPlan::to(Target::Nowhere(error)));
    socket.begin(&options.connect, plan);
    socket.discard(options);
    socket
}

/// Makes a server whose connections speak TLS; `on_secure_connection` is its first `secure_connection` listener. Node's
/// `tls.createServer`.
///
/// # Errors
///
/// Options that are wrong, do not fit together or are not supported; no `key` and `cert`.
///
/// ```no_run
/// use std::path::Path;
/// use tidewheel::tls::{self, TlsOptions};
/// use tidewheel::EventLoop;
///
/// # fn main() -> Result<(), tidewheel::Error> {
/// let event_loop = EventLoop::new()?;
/// let options = TlsOptions::default()
///     .key(Path::new("server.pem"))
///     .cert(Path::new("server.crt"));
/// let server = tls::create_server(&event_loop, options, |socket| {
///     socket.write("welcome!\n");
///     socket.pipe(socket);
/// })?;
/// server.listen(8000, |_| println!("server bound"))?;
/// event_loop.run()
/// # }
/// ```
pub fn create_server(
    event_loop: &LoopHandle,
    options: TlsOptions,
    on_secure_connection: impl FnMut(&Socket) + 'static,
) -> Result<Server> {
    let (plan, wishes) = match options.plan_of_server() {
        Ok(made) => made,
        Err(error) => {
            let inner = event_loop.inner();
            inner
                .face
                .borrow_mut()
                .discard((options, on_secure_connection));
            return Err(error);
        }
    };
    let server = Server::make(event_loop, &options.server);
    let inner = event_loop.inner();
    if let Some(source) = inner.reactor.borrow_mut().server_mut(server.key()) {
        source.tls = Some(Box::new(TlsServer {
            plan: Rc::new(plan),
            wishes: wishes.clone(),
            timeout: options.handshake_timeout,
            handshakes: 0,
            max_handshakes: options.max_handshakes,
        }));
    }
    if let Some(face) = inner.face.borrow_mut().server(server.key()) {
        face.tls = Some(Box::new(ServerTls {
            sni: options.sni.clone(),
            wishes,
        }));
    }
    if let Some(log) = options.side.key_log.clone() {
        server.on_keylog(move |socket, line| log(socket, line));
    }
    server.on_secure_connection(on_secure_connection);
    inner.face.borrow_mut().discard(options);
    Ok(server)
}

impl TlsOptions {
    fn wishes(&self) -> Result<ServerWishes> {
        let tickets = self.ticket_keys.as_deref().map(TicketKeys::given);
        Ok(ServerWishes {
            request_cert: self.request_cert,
            reject: self.side.reject_unauthorized,
            honor_cipher_order: self.honor_cipher_order,
            alpn: self.side.alpn.clone(),
            session_timeout: self.session_timeout,
            tickets: tickets.transpose()?,
        })
    }

    /// Everything checked, for a server, which has keys for its tickets.
    fn plan_of_server(&self) -> Result<(ServerPlan, ServerWishes)> {
        let mut wishes = self.wishes()?;
        if wishes.tickets.is_none() {
            wishes.tickets = Some(TicketKeys::own()?);
        }
        self.plan_with(wishes)
    }

    /// The same for one socket: unless it was given any, those of its context, which others may share.
    fn plan(&self) -> Result<(ServerPlan, ServerWishes)> {
        self.plan_with(self.wishes()?)
    }

    fn plan_with(&self, wishes: ServerWishes) -> Result<(ServerPlan, ServerWishes)> {
        let context = self.side.context()?;
        if !context.has_keys() && self.sni.is_none() {
            let message = "a TLS server needs a certificate: set `key` and `cert`";
            return Err(Error::new(Code::InvalidArgValue, message));
        }
        let mut contexts = Contexts::new(context.server(&wishes)?);
        for (name, context) in &self.contexts {
            contexts.add(checked_name(name)?, certified(context)?.server(&wishes)?);
        }
        let plan = ServerPlan {
            contexts,
            own_choice: self.sni.is_some(),
            sessions: SessionPlan {
                timeout: self.session_timeout,
                ..SessionPlan::default()
            },
            common: self.side.common(),
        };
        Ok((plan, wishes))
    }
}

impl TlsConnectOptions {
    /// Everything checked.
    fn plan(&self) -> Result<ClientPlan> {
        let host = self.connect.host.as_ref().map(ToString::to_string);
        let host = host.filter(|_| self.connect.path.is_none());
        let asked = self.servername.clone().filter(|name| !name.is_empty());
        let host = asked.or(host).unwrap_or_else(|| "localhost".into());
        let name =
            ServerName::try_from(host.trim_matches(['[', ']']).to_owned()).map_err(|_| {
                let message = format!("servername: {host:?} is neither a host name nor an address");
                Error::new(Code::InvalidArgValue, message)
            })?;
        let context = self.side.context()?;
        let wishes = ClientWishes {
            reject: self.side.reject_unauthorized,
            own_identity: self.identity.is_some(),
            send_name: self.servername.as_deref() != Some(""),
            alpn: self.side.alpn.clone(),
        };
        Ok(ClientPlan {
            side: context.client(&wishes)?,
            host,
            name,
            session: self.session.clone(),
            common: self.side.common(),
        })
    }
}

impl Socket {
    /// Goes over to TLS on a live socket, as `STARTTLS` of mail and databases does, or goes into TLS once more, under
    /// that which is there. `on_secure` is a one-shot `secure_connect` listener. Both sides have to be at the same
    /// point of their conversation.
    ///
    /// `leftover` are bytes that belong to TLS already and that the program has read: what followed the last line of
    /// the conversation in the same `data`, if anything. Who expects none refuses a peer that
    /// sends some, as a server that has yet to say that it may: they may be clear text of somebody in between.
    ///
    /// Listeners stay: those of `data` get cleartext of TLS from now on, and [`tls`](Self::tls) tells it from what came
    /// before. Failures of the handshake come as `error`. A server gives a
    /// [`secure_context`](crate::tls::TlsOptions::secure_context) that was made once, for `key` and `cert` are read for
    /// each socket. The README has both sides of a conversation.
    ///
    /// ```no_run
    /// use tidewheel::net;
    /// use tidewheel::tls::TlsConnectOptions;
    ///
    /// # fn main() -> Result<(), tidewheel::Error> {
    /// # let event_loop = tidewheel::EventLoop::new()?;
    /// let socket = net::connect(&event_loop, ("localhost", 8000), |socket| {
    ///     socket.write("STARTTLS\r\n");
    /// });
    /// let mut answer = Vec::new(); // it may come in pieces
    /// socket.on_data(move |socket, data| {
    ///     if socket.tls().is_some() {
    ///         println!("encrypted: {}", String::from_utf8_lossy(data));
    ///         return;
    ///     }
    ///     answer.extend_from_slice(data);
    ///     if answer == b"go\r\n" {
    ///         let options = TlsConnectOptions::from(("localhost", 8000));
    ///         let begun = socket.start_tls(options, &[], |socket| {
    ///             socket.write("hello");
    ///         });
    ///         begun.expect("the options are good");
    ///     } else if !b"go\r\n".starts_with(&answer) {
    ///         socket.destroy(); // something else, or something after it
    ///     }
    /// });
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    ///
    /// Wrong options; `EAGAIN` while bytes wait to be sent in clear (the callback of
    /// [`write_then`](Self::write_then) comes when they do not); `ERR_SOCKET_CLOSED` when it is neither connecting
    /// nor open, `ERR_TLS_INVALID_STATE` when a side of it has ended or TLS is being established. Nothing happens then.
    pub fn start_tls(
        &self,
        options: impl Into<StartTls>,
        leftover: &[u8],
        on_secure: impl FnOnce(&Socket) + 'static,
    ) -> Result<()> {
        let options = options.into();
        let may = self.inner().reactor.borrow().tls_may_begin(self.key());
        let begun = may.and_then(|()| {
            match &options {
                StartTls::Client(options) => self.tls_as_client(options, options.plan()?, leftover),
                StartTls::Server(options) => self.tls_as_server(options, options.plan()?, leftover),
            }
            Ok(())
        });
        self.discard(options);
        match begun {
            Ok(()) => {
                self.once_secure_connect(on_secure);
            }
            Err(_) => self.discard(on_secure),
        }
        begun
    }

    /// What TLS tells of this socket; `None` without TLS.
    pub fn tls(&self) -> Option<TlsInfo> {
        let reactor = self.inner().reactor.borrow();
        reactor.tls_session(self.key())?;
        Some(TlsInfo::new(self.clone()))
    }

    fn tls_as_client(&self, options: &TlsConnectOptions, plan: ClientPlan, leftover: &[u8]) {
        let mut reactor = self.inner().reactor.borrow_mut();
        reactor.tls_client(self.key(), plan, leftover);
        drop(reactor);
        self.keep_tls(
            |tls| tls.identity.clone_from(&options.identity),
            options.identity.is_some(),
        );
        self.log_keys(options.side.key_log.clone());
    }

    fn tls_as_server(
        &self,
        options: &TlsOptions,
        made: (ServerPlan, ServerWishes),
        leftover: &[u8],
    ) {
        let (plan, wishes) = made;
        let mut reactor = self.inner().reactor.borrow_mut();
        reactor.tls_server_side(
            self.key(),
            &Rc::new(plan),
            options.handshake_timeout,
            leftover,
        );
        drop(reactor);
        let sni = options.sni.clone().map(|sni| (sni, wishes));
        let needed = sni.is_some();
        self.keep_tls(|tls| tls.sni = sni, needed);
        self.log_keys(options.side.key_log.clone());
    }

    fn keep_tls(&self, change: impl FnOnce(&mut SocketTls), needed: bool) {
        let face = &mut *self.inner().face.borrow_mut();
        let old = face
            .socket(self.key())
            .and_then(|socket| socket.rare.as_mut()?.tls.take());
        face.discard(old);
        if needed && self.exists() {
            let rare = face.socket_mut(self.key()).rare_mut();
            change(rare.tls.get_or_insert_default());
        }
    }

    fn log_keys(&self, log: Option<KeyLogger>) {
        if let Some(log) = log {
            self.on_keylog(move |socket, line| log(socket, line));
        }
    }
}

impl Server {
    /// From now on clients that ask for `name` get `context`, and no longer what was added for the same name. The
    /// first label of `name` may be or hold a `*`, for anything within one label; of several that fit the newest
    /// counts. Connections that stand are not touched. Node's `server.addContext`.
    ///
    /// # Errors
    ///
    /// A context without a certificate, an empty name, a server without TLS.
    pub fn add_context(&self, name: &str, context: &SecureContext) -> Result<()> {
        let context = certified(context)?;
        let name = checked_name(name)?;
        self.change_contexts(|contexts, wishes| {
            contexts.add(name, context.server(wishes)?);
            Ok(())
        })
    }

    /// From now on clients get `context`, unless they ask for a name that has its own. Connections that stand are not
    /// touched. Node's `server.setSecureContext`.
    ///
    /// # Errors
    ///
    /// A context without a certificate, a server without TLS.
    pub fn set_secure_context(&self, context: &SecureContext) -> Result<()> {
        let context = certified(context)?;
        self.change_contexts(|contexts, wishes| {
            contexts.default = context.server(wishes)?;
            Ok(())
        })
    }

    fn change_contexts(
        &self,
        change: impl FnOnce(&mut Contexts, &ServerWishes) -> Result<()>,
    ) -> Result<()> {
        let mut reactor = self.event_loop().inner().reactor.borrow_mut();
        let server = reactor
            .server_mut(self.key())
            .ok_or_else(Error::server_closed)?;
        let Some(tls) = server.tls.as_mut() else {
            return Err(Error::new(
                Code::TlsInvalidContext,
                "the server does not speak TLS",
            ));
        };
        let wishes = tls.wishes.clone();
        change(tls.contexts_mut(), &wishes)
    }
}

fn certified(context: &SecureContext) -> Result<&SecureContext> {
    if context.has_keys() {
        return Ok(context);
    }
    Err(Error::new(
        Code::TlsInvalidContext,
        "the context has no certificate",
    ))
}

fn checked_name(name: &str) -> Result<&str> {
    match name.is_empty() {
        true => Err(Error::new(Code::InvalidArgValue, "Servername is required")),
        false => Ok(name),
    }
}
