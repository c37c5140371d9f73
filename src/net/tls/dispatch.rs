//! What sessions ask and tell becomes calls of user code.

use super::*;
use crate::net::lease::Next;
use crate::reactor::TlsNews;

impl LoopHandle {
    pub(in crate::net) fn dispatch_tls(&self, key: Key, news: TlsNews) {
        match news {
            TlsNews::KeyLog(lines) => self.tell_keys(key, &lines),
            TlsNews::Context => self.ask_context(key),
            TlsNews::Identity => self.ask_identity(key),
            TlsNews::Secure => self.tell_secure(key),
            TlsNews::Session => self.ask_session(key),
            TlsNews::Staple => self.ask_staple(key),
            TlsNews::Stapled(response) => self.tell_stapled(key, response.as_deref()),
            TlsNews::NewSessions(made) => self.tell_new_sessions(key, made),
            TlsNews::Sessions(sessions) => self.tell_sessions(key, sessions),
        }
    }

    /// A failure before the handshake was done is told to the server that accepted the socket. False: there is none.
    pub(in crate::net) fn dispatch_tls_client_error(&self, key: Key, error: &Error) -> bool {
        let server = {
            let reactor = self.inner().reactor.borrow();
            let shaking = reactor
                .tls_session(key)
                .is_some_and(|session| !session.is_client() && !session.is_secure());
            let server = reactor.socket(key).and_then(|socket| socket.server);
            server.filter(|server| {
                shaking
                    && reactor
                        .server(*server)
                        .is_some_and(|server| server.tls.is_some())
            })
        };
        let Some(server) = server else { return false };
        let socket = self.socket_handle(key);
        let handle = Server::at(self.inner(), server);
        let mut heard = false;
        self.emit_server(server, EventKind::TlsClientError, |callback| {
            if let ServerCallback::TlsClientError(call) = callback {
                heard = true;
                call(&handle, error, &socket);
            }
        });
        if !heard {
            self.unhandled(error, false);
        }
        true
    }

    fn tell_secure(&self, key: Key) {
        let server = self.tls_server_of(key);
        // Of a socket and of its server: two events, and a panic in the one keeps nobody from the other.
        let rest = Rest {
            handle: self,
            tell: Some(move |handle: &LoopHandle| handle.tell_server_secure(server, key)),
        };
        self.emit(key, EventKind::SecureConnect, |handler, socket| {
            handler.on_secure_connect(socket);
        });
        rest.now();
    }

    fn tell_server_secure(&self, server: Option<Key>, key: Key) {
        let Some(server) = server else { return };
        let socket = self.socket_handle(key);
        self.emit_server(server, EventKind::SecureConnection, |callback| {
            if let ServerCallback::Connection(call) = callback {
                call(&socket);
            }
        });
    }

    /// Each line is an event of its own, for the socket and for its server: a panic loses none of the others.
    fn tell_keys(&self, key: Key, lines: &str) {
        let server = self.tls_server_of(key);
        for line in lines.lines() {
            let line: Rc<str> = line.into();
            let of_server = Rc::clone(&line);
            let inner = self.inner();
            inner.defer(move |handle| handle.tell_key(key, &line));
            if let Some(server) = server {
                inner.defer(move |handle| handle.tell_server_key(server, key, &of_server));
            }
        }
    }

    fn tell_key(&self, key: Key, line: &str) {
        let socket = self.socket_handle(key);
        let mut audience = self.audience(key);
        while let Some(next) = audience.next(|kind| kind == EventKind::KeyLog) {
            let Next::Listener(mut lease) = next else {
                continue;
            };
            match &mut lease.callback {
                Some(SocketCallback::Text(call)) => call(&socket, line),
                Some(SocketCallback::TextOnce(_)) => {
                    if let Some(SocketCallback::TextOnce(call)) = lease.callback.take() {
                        call(&socket, line);
                    }
                }
                _ => {}
            }
        }
    }

    fn tell_server_key(&self, server: Key, key: Key, line: &str) {
        let socket = self.socket_handle(key);
        self.emit_server(server, EventKind::KeyLog, |callback| {
            if let ServerCallback::KeyLog(call) = callback {
                call(&socket, line);
            }
        });
    }

    fn ask_context(&self, key: Key) {
        let name = {
            let reactor = self.inner().reactor.borrow();
            let session = reactor.tls_session(key);
            session.and_then(|session| session.server_name().map(str::to_owned))
        };
        let asked = name.and_then(|name| {
            let (sni, wishes) = self.sni_of(key)?;
            Some((name, sni, wishes))
        });
        match asked {
            Some((name, sni, wishes)) => {
                let reply = SniReply::new(self.clone(), key, wishes);
                sni(&self.socket_handle(key), &name, reply);
            }
            None => self
                .inner()
                .reactor
                .borrow_mut()
                .tls_context_chosen(key, Ok(None)),
        }
    }

    fn sni_of(&self, key: Key) -> Option<(SniCallback, ServerWishes)> {
        let server = self.tls_server_of(key);
        let face = &mut *self.inner().face.borrow_mut();
        let own = face
            .socket(key)
            .and_then(|socket| socket.rare.as_ref()?.tls.as_ref()?.sni.clone());
        own.or_else(|| {
            let tls = face.server(server?)?.tls.as_ref()?;
            Some((tls.sni.clone()?, tls.wishes.clone()))
        })
    }

    fn ask_identity(&self, key: Key) {
        let (host, certificate) = {
            let reactor = self.inner().reactor.borrow();
            let session = reactor.tls_session(key);
            let host = session.and_then(|session| session.host().map(str::to_owned));
            let certificate = session.and_then(|session| session.certificates().into_iter().next());
            (host, certificate)
        };
        let check = {
            let face = &mut *self.inner().face.borrow_mut();
            let socket = face.socket(key);
            socket.and_then(|socket| socket.rare.as_ref()?.tls.as_ref()?.identity.clone())
        };
        // Should it panic, the server was not found to be the right one.
        let mut judged = Judged {
            handle: self,
            key,
            opinion: Err(Error::new(
                Code::CertRejected,
                "nobody could say whose certificate it is",
            )),
        };
        if let (Some(check), Some(host), Some(certificate)) = (check, host, certificate) {
            judged.opinion = check(&host, &certificate);
        }
    }

    pub(super) fn tls_server_of(&self, key: Key) -> Option<Key> {
        let reactor = self.inner().reactor.borrow();
        let server = reactor.socket(key)?.server?;
        reactor.server(server)?.tls.as_ref().map(|_| server)
    }
}

/// An opinion that is handed over, whatever happens.
struct Judged<'a> {
    handle: &'a LoopHandle,
    key: Key,
    opinion: Result<()>,
}

impl Drop for Judged<'_> {
    fn drop(&mut self) {
        let opinion = std::mem::replace(&mut self.opinion, Ok(()));
        self.handle
            .inner()
            .reactor
            .borrow_mut()
            .tls_identity_judged(self.key, opinion);
    }
}

/// What follows an event, whatever its listeners do.
struct Rest<'a, F: FnOnce(&LoopHandle) + 'static> {
    handle: &'a LoopHandle,
    tell: Option<F>,
}

impl<F: FnOnce(&LoopHandle) + 'static> Rest<'_, F> {
    fn now(mut self) {
        if let Some(tell) = self.tell.take() {
            tell(self.handle);
        }
    }
}

impl<F: FnOnce(&LoopHandle) + 'static> Drop for Rest<'_, F> {
    /// A listener has panicked.
    fn drop(&mut self) {
        if let Some(tell) = self.tell.take() {
            self.handle.inner().defer(tell);
        }
    }
}
