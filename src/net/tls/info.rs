//! What TLS tells of a socket.

use std::fmt;

use crate::error::{Code, Error, Result};
use crate::net::Socket;
use crate::tls::session::Session;
use crate::tls::{Certificate, Cipher, TlsVersion};

/// What TLS tells of a socket: the properties that Node's `TLSSocket` adds.
///
/// It is a view of the socket as it is now. Most of it is known once the handshake is done, and told also in `error`
/// and `close`, but not after that.
#[derive(Clone)]
pub struct TlsInfo {
    socket: Socket,
}

impl TlsInfo {
    pub(super) fn new(socket: Socket) -> TlsInfo {
        TlsInfo { socket }
    }

    fn ask<T>(&self, ask: impl FnOnce(&Session) -> T) -> Option<T> {
        let reactor = self.socket.inner().reactor.borrow();
        reactor.tls_session(self.socket.key()).map(ask)
    }

    /// Whether the handshake is done, and both sides may speak.
    pub fn is_secure(&self) -> bool {
        self.ask(Session::is_secure).unwrap_or(false)
    }

    /// Whether the peer has a certificate, and nothing was found wrong with it (`authorized`). A server that asks for
    /// none says false.
    pub fn authorized(&self) -> bool {
        self.ask(Session::is_authorized).unwrap_or(false)
    }

    /// What is wrong with the peer's certificate, though it was let in because `reject_unauthorized` is false
    /// (`authorizationError`). Its [`code`](Error::code) is Node's string.
    pub fn authorization_error(&self) -> Option<Error> {
        self.ask(|session| session.unauthorized().cloned())
            .flatten()
    }

    /// The peer's certificate (`getPeerCertificate`).
    pub fn peer_certificate(&self) -> Option<Certificate> {
        self.peer_certificates().into_iter().next()
    }

    /// The certificates that the peer has sent, its own first. What follows it may be anything the peer pleased.
    pub fn peer_certificates(&self) -> Vec<Certificate> {
        self.ask(Session::certificates).unwrap_or_default()
    }

    /// The cipher in use (`getCipher`).
    pub fn cipher(&self) -> Option<Cipher> {
        let suite = self.ask(|session| session.common_ref()?.negotiated_cipher_suite());
        Cipher::of(suite.flatten()?)
    }

    /// The version in use (`getProtocol`).
    pub fn protocol(&self) -> Option<TlsVersion> {
        let version = self.ask(|session| session.common_ref()?.protocol_version());
        TlsVersion::of(version.flatten()?)
    }

    /// The application protocol that was agreed on (`alpnProtocol`).
    pub fn alpn_protocol(&self) -> Option<String> {
        let name = self.ask(|session| {
            session
                .common_ref()?
                .alpn_protocol()
                .map(String::from_utf8_lossy)
                .map(Into::into)
        });
        name.flatten()
    }

    /// The name that was asked for (`servername`): on a server the client's wish, `None` without one.
    pub fn servername(&self) -> Option<String> {
        let name = self.ask(|session| {
            let name = if session.is_client() {
                session.host()
            } else {
                session.server_name()
            };
            name.map(str::to_owned)
        });
        name.flatten()
    }

    /// Whether the handshake was a short one, which took up an earlier session (`isSessionReused`). On both sides.
    pub fn is_session_reused(&self) -> bool {
        self.ask(Session::is_reused).unwrap_or(false)
    }

    /// The newest session that the server has sent, for a later connection (`getSession`). With TLS 1.3 there is none
    /// at first: servers send them after the handshake. It is the one of the last
    /// [`on_session`](Socket::on_session), and so good for one connection. `None` on a server.
    pub fn session(&self) -> Option<crate::tls::Session> {
        self.ask(|session| session.session().cloned()).flatten()
    }

    /// Whether the connection ended without the peer saying so: what came may be the head of a longer message that
    /// somebody has cut. Node does not tell.
    pub fn truncated(&self) -> bool {
        self.ask(Session::is_truncated).unwrap_or(false)
    }

    /// `length` bytes that both sides of this connection can make and nobody else, for a purpose that `label` names
    /// (`exportKeyingMaterial`, RFC 5705).
    ///
    /// # Errors
    ///
    /// `ERR_TLS_INVALID_STATE` before the handshake is done; `ERR_INVALID_ARG_VALUE` for a length of zero or one that is
    /// too large (TLS 1.2: 65535 bytes, TLS 1.3: 255 times the hash of the cipher), a label of more than 249 bytes, a
    /// context of more than 65535.
    pub fn export_keying_material(
        &self,
        length: usize,
        label: &str,
        context: Option<&[u8]>,
    ) -> Result<Vec<u8>> {
        let closed = || Err(Error::new(Code::TlsInvalidState, "the socket is closed"));
        self.ask(|session| session.export(length, label, context))
            .unwrap_or_else(closed)
    }
}

impl fmt::Debug for TlsInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsInfo")
            .field("protocol", &self.protocol())
            .field("cipher", &self.cipher())
            .field("authorized", &self.authorized())
            .finish_non_exhaustive()
    }
}
