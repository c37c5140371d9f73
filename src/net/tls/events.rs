//! The events that TLS adds.

use super::*;

/// Events of TLS.
impl Socket {
    /// The handshake is done, and the peer is who it should be: Node's `secureConnect`. Data comes only after it.
    ///
    /// With TLS 1.3 a client may get here before the server has made up its mind about the client's certificate: its
    /// refusal comes as an `error` afterwards.
    pub fn on_secure_connect(&self, call: impl FnMut(&Socket) + 'static) -> &Self {
        let call = SocketCallback::Plain(Box::new(call));
        self.listen(EventKind::SecureConnect, false, call)
    }

    /// As [`on_secure_connect`](Socket::on_secure_connect), for the next time only.
    pub fn once_secure_connect(&self, call: impl FnOnce(&Socket) + 'static) -> &Self {
        let call = SocketCallback::PlainOnce(Box::new(call));
        self.listen(EventKind::SecureConnect, true, call)
    }

    /// A line of the secrets of the connection, in the format that Wireshark reads: Node's `keylog`. Only for those
    /// who listen before the handshake begins.
    /// On a server's side it has to be there before the client's first byte is read; in `connection` it is in time.
    pub fn on_keylog(&self, call: impl FnMut(&Socket, &str) + 'static) -> &Self {
        self.inner()
            .reactor
            .borrow_mut()
            .tls_collect_keys(self.key());
        let call = SocketCallback::Text(Box::new(call));
        self.listen(EventKind::KeyLog, false, call)
    }

    /// As [`on_keylog`](Socket::on_keylog), for the next line only.
    pub fn once_keylog(&self, call: impl FnOnce(&Socket, &str) + 'static) -> &Self {
        self.inner()
            .reactor
            .borrow_mut()
            .tls_collect_keys(self.key());
        let call = SocketCallback::TextOnce(Box::new(call));
        self.listen(EventKind::KeyLog, true, call)
    }
}

/// Events of a TLS server.
impl Server {
    /// A connection was accepted and its handshake is done: Node's `secureConnection`.
    pub fn on_secure_connection(&self, call: impl FnMut(&Socket) + 'static) -> &Self {
        let call = ServerCallback::Connection(Box::new(call));
        self.add(EventKind::SecureConnection, false, call)
    }

    /// As [`on_secure_connection`](Server::on_secure_connection), for the next one only.
    pub fn once_secure_connection(&self, call: impl FnOnce(&Socket) + 'static) -> &Self {
        let mut call = Some(call);
        let call = move |socket: &Socket| call.take().into_iter().for_each(|call| call(socket));
        let call = ServerCallback::Connection(Box::new(call));
        self.add(EventKind::SecureConnection, true, call)
    }

    /// A connection failed before its handshake was done: Node's `tlsClientError`, once known as `clientError`. The
    /// socket is destroyed, but still tells whom it was with; the server goes on.
    pub fn on_tls_client_error(
        &self,
        call: impl FnMut(&Server, &Error, &Socket) + 'static,
    ) -> &Self {
        let call = ServerCallback::TlsClientError(Box::new(call));
        self.add(EventKind::TlsClientError, false, call)
    }

    /// As [`on_tls_client_error`](Server::on_tls_client_error), for the next one only.
    pub fn once_tls_client_error(
        &self,
        call: impl FnOnce(&Server, &Error, &Socket) + 'static,
    ) -> &Self {
        let mut call = Some(call);
        let call = move |server: &Server, error: &Error, socket: &Socket| {
            call.take()
                .into_iter()
                .for_each(|call| call(server, error, socket));
        };
        let call = ServerCallback::TlsClientError(Box::new(call));
        self.add(EventKind::TlsClientError, true, call)
    }

    /// A line of the secrets of one of its connections: see [`Socket::on_keylog`]. Node's `keylog`.
    pub fn on_keylog(&self, call: impl FnMut(&Socket, &str) + 'static) -> &Self {
        let mut reactor = self.event_loop().inner().reactor.borrow_mut();
        if let Some(tls) = reactor
            .server_mut(self.key())
            .and_then(|server| server.tls.as_mut())
        {
            Rc::make_mut(&mut tls.plan).common.key_log = true;
        }
        drop(reactor);
        let call = ServerCallback::KeyLog(Box::new(call));
        self.add(EventKind::KeyLog, false, call)
    }
}
