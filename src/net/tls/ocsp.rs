//! OCSP stapling, as the program sees it: what the issuer of a certificate says of it goes along with the certificate.

use std::rc::Rc;

use super::sessions::Asked;
use super::*;
use crate::net::lease::Next;
use crate::reactor::Reactor;

/// How a listener of [`on_ocsp_request`](Server::on_ocsp_request) answers, now or later. Dropped unanswered it has none.
/// With several listeners the first one that has a response, or fails, decides.
#[derive(Debug)]
pub struct OcspReply {
    asked: Rc<Asked>,
}

impl OcspReply {
    /// Sends this OCSP response along, in DER. Nobody looks into it here.
    pub fn staple(self, response: &[u8]) {
        self.asked.answer(Ok(Some(response.to_vec())));
    }

    /// There is none: the handshake goes on without.
    pub fn none(self) {}

    /// Ends the handshake; `tls_client_error` gets `error`, and the client the alert `internal_error`.
    pub fn error(self, error: Error) {
        self.asked.answer(Err(error));
    }
}

/// OCSP of a TLS server.
impl Server {
    /// A client would have an OCSP response along with our certificate: Node's `OCSPRequest`. Called with the
    /// certificate that the client gets and that of its issuer, both in DER; the latter if it is in the `cert` or the
    /// `ca` of its context. The handshake waits for the reply, and
    /// [`handshake_timeout`](super::TlsOptions::handshake_timeout) goes on meanwhile.
    ///
    /// It is asked about connections that come after the first listener. A client that takes up a session may have the
    /// answer for nothing. It goes before [`ocsp_response`](super::TlsOptions::ocsp_response), which is simpler where
    /// the response is known.
    ///
    /// ```
    /// # fn staple(server: &tidewheel::net::Server, response: Vec<u8>) {
    /// server.on_ocsp_request(move |_, _certificate, _issuer, reply| reply.staple(&response));
    /// # }
    /// ```
    pub fn on_ocsp_request(
        &self,
        call: impl FnMut(&Server, &[u8], Option<&[u8]>, OcspReply) + 'static,
    ) -> &Self {
        self.ask_for_staples();
        let call = ServerCallback::OcspRequest(Box::new(call));
        self.add(EventKind::OcspRequest, false, call)
    }

    /// As [`on_ocsp_request`](Server::on_ocsp_request), for the next one only; those that follow get none.
    pub fn once_ocsp_request(
        &self,
        call: impl FnOnce(&Server, &[u8], Option<&[u8]>, OcspReply) + 'static,
    ) -> &Self {
        self.ask_for_staples();
        let mut call = Some(call);
        let call = move |server: &Server, own: &[u8], issuer: Option<&[u8]>, reply: OcspReply| {
            if let Some(call) = call.take() {
                call(server, own, issuer, reply);
            }
        };
        let call = ServerCallback::OcspRequest(Box::new(call));
        self.add(EventKind::OcspRequest, true, call)
    }

    fn ask_for_staples(&self) {
        let mut reactor = self.event_loop().inner().reactor.borrow_mut();
        let server = reactor.server_mut(self.key());
        if let Some(tls) = server.and_then(|server| server.tls.as_mut()) {
            Rc::make_mut(&mut tls.plan).common.ocsp = true;
        }
    }
}

/// OCSP of a client.
impl Socket {
    /// What the server's issuer says of its certificate, an OCSP response in DER that the server has sent along, or
    /// `None`: Node's `OCSPResponse`. It comes before `secure_connect`, which destroying the socket prevents, and
    /// before anything more is sent.
    ///
    /// Only with [`request_ocsp`](super::TlsConnectOptions::request_ocsp), and not for a session that is taken up, where
    /// no certificate is sent. Nobody has looked into the response, whether it is genuine, of today and about this
    /// certificate: that is for the program, as with Node.
    pub fn on_ocsp_response(&self, call: impl FnMut(&Socket, Option<&[u8]>) + 'static) -> &Self {
        let call = SocketCallback::Ocsp(Box::new(call));
        self.listen(EventKind::OcspResponse, false, call)
    }

    /// As [`on_ocsp_response`](Socket::on_ocsp_response), for the next one only.
    pub fn once_ocsp_response(&self, call: impl FnOnce(&Socket, Option<&[u8]>) + 'static) -> &Self {
        let call = SocketCallback::OcspOnce(Box::new(call));
        self.listen(EventKind::OcspResponse, true, call)
    }
}

/// Questions and news become calls.
impl LoopHandle {
    pub(super) fn ask_staple(&self, key: Key) {
        let certificate = {
            let reactor = self.inner().reactor.borrow();
            let session = reactor.tls_session(key);
            session.and_then(|session| session.asked_certificate())
        };
        let asked = Asked::new(self, key, Reactor::tls_staple_given);
        let (Some(server), Some((own, issuer))) = (self.tls_server_of(key), certificate) else {
            return;
        };
        let handle = Server::at(self.inner(), server);
        self.emit_server(server, EventKind::OcspRequest, |callback| {
            if let ServerCallback::OcspRequest(call) = callback {
                let asked = Rc::clone(&asked);
                call(&handle, &own, issuer.as_deref(), OcspReply { asked });
            }
        });
    }

    pub(super) fn tell_stapled(&self, key: Key, response: Option<&[u8]>) {
        let socket = self.socket_handle(key);
        let mut audience = self.audience(key);
        while let Some(next) = audience.next(|kind| kind == EventKind::OcspResponse) {
            let Next::Listener(mut lease) = next else {
                continue;
            };
            match &mut lease.callback {
                Some(SocketCallback::Ocsp(call)) => call(&socket, response),
                Some(SocketCallback::OcspOnce(_)) => {
                    if let Some(SocketCallback::OcspOnce(call)) = lease.callback.take() {
                        call(&socket, response);
                    }
                }
                _ => {}
            }
        }
    }
}
