//! TLS: the same sockets, encrypted. Node's `tls`, by rustls. Feature `tls`.
//!
//! TLS is a layer of a [`Socket`](crate::net::Socket) and not another type: every method and every event of a socket
//! works under it, and counts cleartext. [`connect`] and [`create_server`] are those of `net` with certificates;
//! [`Socket::start_tls`](crate::net::Socket::start_tls) goes over to it on a live socket, over UNIX sockets too, and
//! under another TLS.
//!
//! ```
//! use tidewheel::tls::{self, TlsConnectOptions, TlsOptions};
//! use tidewheel::EventLoop;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let made = rcgen::generate_simple_self_signed(["localhost".to_owned()])?;
//! # let (cert, key) = (made.cert.pem(), made.key_pair.serialize_pem());
//! let event_loop = EventLoop::new()?;
//! let options = TlsOptions::default().key(&key).cert(&cert);
//! let server = tls::create_server(&event_loop, options, |socket| {
//!     socket.end_with("hello\n");
//!     socket.server().unwrap().close();
//! })?;
//! server.listen(("127.0.0.1", 0), |_| {})?;
//!
//! let port = server.address().unwrap().port().unwrap();
//! let options = TlsConnectOptions::from(("localhost", port)).ca(&cert);
//! let client = tls::connect(&event_loop, options, |socket| {
//!     assert!(socket.tls().unwrap().authorized());
//! });
//! client.on_data(|_, data| assert_eq!(data, b"hello\n"));
//! event_loop.run()?;
//! # Ok(()) }
//! ```
//!
//! # Options
//!
//! | of Node | here | of |
//! |---|---|---|
//! | `key`, `cert`, `ca`, `passphrase` | the same, each [`Material`]: PEM or DER, in memory or a file | context |
//! | `crl` | [`crl`](TlsOptions::crl), lists of version 2 | context |
//! | `pfx` | the same, with the feature `tls-pfx` | context |
//! | - | [`ocsp_response`](TlsOptions::ocsp_response) | context |
//! | `ciphers`, `secureProtocol`, `minVersion`, `maxVersion` | the same | context |
//! | `secureContext` | [`secure_context`](TlsOptions::secure_context) with a [`SecureContext`] made before | both |
//! | `ALPNProtocols` | [`alpn_protocols`](TlsOptions::alpn_protocols) | both |
//! | `rejectUnauthorized` | [`reject_unauthorized`](TlsConnectOptions::reject_unauthorized), true on both sides | both |
//! | `servername`, `checkServerIdentity`, `requestOCSP` | the same | client |
//! | `session` | [`session`](TlsConnectOptions::session), a [`Session`] of this process | client |
//! | `requestCert`, `honorCipherOrder`, `handshakeTimeout`, `SNICallback` | the same | server |
//! | `sessionTimeout`, `ticketKeys` | the same | server |
//! | - | [`key_log`](TlsOptions::key_log), [`strict_end`](TlsOptions::strict_end) | both |
//! | - | [`max_handshakes`](TlsOptions::max_handshakes) | server |
//!
//! Those of a context make a [`ContextOptions`] as well. [`TlsConnectOptions`] has all of
//! [`ConnectOptions`](crate::net::ConnectOptions) besides, [`TlsOptions`] all of
//! [`ServerOptions`](crate::net::ServerOptions). A wrong value is refused when it is given: by the `Result` of
//! [`create_server`], [`SecureContext::new`] and `start_tls`, and by the `error` of [`connect`].
//!
//! # Several names, and certificates that change
//!
//! A context for each name, and another one while the server runs; who is connected already is not touched.
//! [`sni_callback`](TlsOptions::sni_callback) chooses at the time, and may take some.
//!
//! ```no_run
//! use std::path::Path;
//! use tidewheel::tls::{self, ContextOptions, SecureContext, TlsOptions};
//!
//! # fn main() -> Result<(), tidewheel::Error> {
//! # let event_loop = tidewheel::EventLoop::new()?;
//! fn context(name: &str) -> Result<SecureContext, tidewheel::Error> {
//!     let key = Path::new(name).with_extension("pem");
//!     let cert = Path::new(name).with_extension("crt");
//!     SecureContext::new(ContextOptions::default().key(key).cert(cert))
//! }
//! let options = TlsOptions::default()
//!     .secure_context(&context("main")?)
//!     .add_context("shop.example", &context("shop")?)
//!     .add_context("*.users.example", &context("users")?);
//! let server = tls::create_server(&event_loop, options, |socket| {
//!     println!("{:?} was asked for", socket.tls().unwrap().servername());
//! })?;
//! // Later, when there are new ones:
//! server.set_secure_context(&context("main")?)?;
//! server.add_context("shop.example", &context("shop")?)?;
//! # Ok(()) }
//! ```
//!
//! # Events
//!
//! | of Node | here | of |
//! |---|---|---|
//! | `secureConnect` | [`on_secure_connect`](crate::net::Socket::on_secure_connect), after `connect` and `ready`, before `data` | socket |
//! | `secureConnection` | [`on_secure_connection`](crate::net::Server::on_secure_connection), after `connection` | server |
//! | `tlsClientError`, `clientError` | [`on_tls_client_error`](crate::net::Server::on_tls_client_error); the socket has no `error` then | server |
//! | `session` | [`on_session`](crate::net::Socket::on_session), after `secure_connect` | socket |
//! | `newSession`, `resumeSession` | [`on_new_session`](crate::net::Server::on_new_session), [`on_resume_session`](crate::net::Server::on_resume_session) | server |
//! | `OCSPRequest` | [`on_ocsp_request`](crate::net::Server::on_ocsp_request) with an [`OcspReply`] | server |
//! | `OCSPResponse` | [`on_ocsp_response`](crate::net::Socket::on_ocsp_response), before `secure_connect` | socket |
//! | `keylog` | [`on_keylog`](crate::net::Socket::on_keylog) | both |
//!
//! What a socket knows is in [`Socket::tls`](crate::net::Socket::tls), a [`TlsInfo`].
//!
//! # Sessions
//!
//! A client that was here before need not be shown the certificate again: it takes up its session, and the handshake is
//! a short one. On a client that is a [`Session`], which [`on_session`](crate::net::Socket::on_session) gives and
//! [`session`](TlsConnectOptions::session) takes; without that every handshake is a full one.
//!
//! A server keeps nothing: it seals what it would have to keep and gives it to the client, as a ticket. Servers that
//! share [`ticket_keys`](TlsOptions::ticket_keys) take up each other's. With a listener of
//! [`on_new_session`](crate::net::Server::on_new_session) or
//! [`on_resume_session`](crate::net::Server::on_resume_session) there are no tickets, and the sessions are in a store of
//! the program's, which any number of processes may share. Sockets that become a server's side by `start_tls` have
//! tickets only: under `ticket_keys`, or those of a `secure_context` that they share.
//!
//! Either way a session ends with [`session_timeout`](TlsOptions::session_timeout), and is taken up only under the same
//! certificate, `ca`, versions, ciphers, protocols and wishes for certificates of clients, so by no other context. The
//! certificate of a client is looked at again by those who let it in.
//!
//! Under TLS 1.3 tickets come after the handshake. A server of ours sends them at once to a client that is silent, and
//! with its answer to one that speaks: a client that says all it has to say and is gone would answer them by a reset.
//!
//! # What is safe without being asked for
//!
//! TLS 1.2 and 1.3 and nothing older; nine ciphers, all of them with forward secrecy; certificates are verified, for
//! the host that was asked for, against Mozilla's roots; a server closes who does not finish the handshake within two
//! minutes. No error and no `Debug` shows a key or a passphrase. Verification is turned off by
//! `reject_unauthorized(false)` only.
//!
//! # What goes by other names than expected
//!
//! A certificate that is itself in `ca` is trusted by its dates and its name alone. So self-signed ones work, also
//! those of X.509 version 1, which `openssl x509 -req -signkey` makes, and those that may issue others, which
//! `openssl req -x509` makes. For all others the rules of the web hold: their alternative names count, and a common name
//! does not.
//!
//! With [`crl`](TlsOptions::crl) such a certificate must be told of by a list, too, as every other of a chain but its root:
//! for a self-signed one that is a list of its own. A list counts if its issuer, in `ca` as well, has signed it.
//!
//! An OCSP response that a server sends is handed to the program and not looked into.
//!
//! An end of the transport without the `close_notify` of TLS is `end`, as in Node, and
//! [`truncated`](TlsInfo::truncated) tells; [`strict_end`](TlsOptions::strict_end) makes it an error. After any other
//! error the socket is destroyed.
//!
//! With TLS 1.3 a client may hear that the connection is secure, and only then that the server refuses its certificate.
//! That is an `error` of a connection that was established, so [`run`](crate::EventLoop::run) does not return it: listen.
//!
//! Not offered, for what they are: SSL, TLS 1.0 and 1.1, renegotiation, ciphers without forward secrecy or
//! authentication of data, PSK, RSA keys below 2048 bits.
mod binding;
mod certificate;
mod ciphers;
pub(crate) mod context;
mod failure;
mod identity;
mod instead;
mod kept;
mod key_log;
mod keys;
mod material;
pub(crate) mod names;
#[cfg(feature = "tls-pfx")]
mod pfx;
mod revocation;
pub(crate) mod session;
mod stored;
pub(crate) mod tickets;
mod trust;
mod verifier;
mod version;

pub use crate::net::tls::{
    connect, create_server, ContextOptions, NewSessionReply, OcspReply, ResumeReply, SniReply,
    StartTls, TlsConnectOptions, TlsInfo, TlsOptions,
};
pub use certificate::{AltName, Certificate};
pub use ciphers::Cipher;
pub use context::SecureContext;
pub use identity::check_server_identity;
pub use kept::Session;
pub use material::Material;
pub use version::TlsVersion;
