//! Sessions that are taken up again, as the program sees them: its own store for a server, and the keys of tickets.

use std::cell::Cell;
use std::collections::VecDeque;
use std::fmt;
use std::rc::Rc;

use super::*;
use crate::net::lease::Next;
use crate::reactor::Reactor;
use crate::tls::session::Made;
use crate::tls::Session;

/// How a listener of [`on_new_session`](Server::on_new_session) says that the session is kept, now or later. Dropped
/// it says the same.
#[derive(Debug)]
pub struct NewSessionReply {
    _kept: Rc<Kept>,
}

impl NewSessionReply {
    /// The session is kept, and the connection goes on. With several listeners it waits for all of them.
    pub fn done(self) {}
}

/// Gone with the last reply.
struct Kept {
    handle: LoopHandle,
    key: Key,
}

impl Drop for Kept {
    fn drop(&mut self) {
        let inner = self.handle.inner();
        inner.reactor.borrow_mut().tls_session_kept(self.key);
    }
}

impl fmt::Debug for Kept {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Kept").finish_non_exhaustive()
    }
}

/// How a listener of [`on_resume_session`](Server::on_resume_session) answers, now or later. Dropped unanswered it has
/// not found the session. With several listeners the first one that has found it, or failed, decides.
#[derive(Debug)]
pub struct ResumeReply {
    asked: Rc<Asked>,
}

impl ResumeReply {
    /// What was given to `on_new_session` with that id, here or in another process that runs the same version of this
    /// crate. Anything else, and what is too old or of another context, is as if it was not found.
    pub fn found(self, data: &[u8]) {
        self.asked.answer(Ok(Some(data.to_vec())));
    }

    /// There is no such session: the handshake is a full one.
    pub fn not_found(self) {}

    /// Ends the handshake; `tls_client_error` gets `error`, and the client the alert `internal_error`.
    pub fn error(self, error: Error) {
        self.asked.answer(Err(error));
    }
}

/// Hands an answer on to the session that asked.
type Pass = fn(&mut Reactor, Key, Result<Option<Vec<u8>>>);

/// Answered, or gone with the last reply.
pub(super) struct Asked {
    handle: LoopHandle,
    key: Key,
    pass: Pass,
    answered: Cell<bool>,
}

impl Asked {
    /// Should nobody listen, or all of them panic, the answer is that there is nothing.
    pub(super) fn new(handle: &LoopHandle, key: Key, pass: Pass) -> Rc<Asked> {
        Rc::new(Asked {
            handle: handle.clone(),
            key,
            pass,
            answered: Cell::new(false),
        })
    }

    pub(super) fn answer(&self, answer: Result<Option<Vec<u8>>>) {
        let inner = self.handle.inner();
        let socket = Socket::at(inner, self.key);
        if self.answered.replace(true) || socket.destroyed() {
            // Its error may be the user's.
            return socket.discard(answer);
        }
        (self.pass)(&mut inner.reactor.borrow_mut(), self.key, answer);
    }
}

impl Drop for Asked {
    fn drop(&mut self) {
        if !self.answered.get() {
            self.answer(Ok(None));
        }
    }
}

impl fmt::Debug for Asked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Asked")
            .field("answered", &self.answered)
            .finish_non_exhaustive()
    }
}

/// Sessions of a TLS server.
impl Server {
    /// A client has got a session that it may take up later: Node's `newSession`. Keep `data` under `id` where every
    /// server that may be asked finds it; the client hears of the session, and both sides go on, when the reply is
    /// done, so `secure_connection` comes after it. `data` is as secret as the connection, and good for
    /// [`session_timeout`](super::TlsOptions::session_timeout).
    ///
    /// From the first listener of this or of [`on_resume_session`](Server::on_resume_session) on, for connections that
    /// come later, the server issues no tickets: sessions are only with the program. A connection of TLS 1.2 with a
    /// full handshake makes one, every connection of TLS 1.3 makes two, each for one other connection. Nobody says when
    /// one is of no more use: the store drops what is older than `session_timeout`.
    ///
    /// ```
    /// use std::cell::RefCell;
    /// use std::collections::HashMap;
    /// use std::rc::Rc;
    /// # fn keep(server: &tidewheel::net::Server) {
    /// let store: Rc<RefCell<HashMap<Vec<u8>, Vec<u8>>>> = Rc::default();
    /// let sessions = Rc::clone(&store);
    /// server.on_new_session(move |_, id, data, reply| {
    ///     sessions.borrow_mut().insert(id.to_vec(), data.to_vec());
    ///     reply.done();
    /// });
    /// server.on_resume_session(move |_, id, reply| match store.borrow().get(id) {
    ///     Some(data) => reply.found(data),
    ///     None => reply.not_found(),
    /// });
    /// # }
    /// ```
    pub fn on_new_session(
        &self,
        call: impl FnMut(&Server, &[u8], &[u8], NewSessionReply) + 'static,
    ) -> &Self {
        self.keep_sessions(|sessions| sessions.tells = true);
        let call = ServerCallback::NewSession(Box::new(call));
        self.add(EventKind::NewSession, false, call)
    }

    /// As [`on_new_session`](Server::on_new_session), for the next one only; those that follow are kept by nobody.
    pub fn once_new_session(
        &self,
        call: impl FnOnce(&Server, &[u8], &[u8], NewSessionReply) + 'static,
    ) -> &Self {
        self.keep_sessions(|sessions| sessions.tells = true);
        let mut call = Some(call);
        let call = move |server: &Server, id: &[u8], data: &[u8], reply: NewSessionReply| {
            if let Some(call) = call.take() {
                call(server, id, data, reply);
            }
        };
        let call = ServerCallback::NewSession(Box::new(call));
        self.add(EventKind::NewSession, true, call)
    }

    /// A client would take up the session `id`: Node's `resumeSession`. The handshake waits for the reply, and
    /// [`handshake_timeout`](super::TlsOptions::handshake_timeout) goes on meanwhile.
    ///
    /// Only ids that [`on_new_session`](Server::on_new_session) may have told are asked for; also one that it has not
    /// told, when a client that knows TLS 1.3 sends a random one to a server that speaks TLS 1.2 only. Node asks under
    /// TLS 1.3 for ids that name nothing, and never for those that do; here it is the other way round.
    pub fn on_resume_session(
        &self,
        call: impl FnMut(&Server, &[u8], ResumeReply) + 'static,
    ) -> &Self {
        self.keep_sessions(|sessions| sessions.asks = true);
        let call = ServerCallback::ResumeSession(Box::new(call));
        self.add(EventKind::ResumeSession, false, call)
    }

    /// As [`on_resume_session`](Server::on_resume_session), for the next one only; those that follow are not found.
    pub fn once_resume_session(
        &self,
        call: impl FnOnce(&Server, &[u8], ResumeReply) + 'static,
    ) -> &Self {
        self.keep_sessions(|sessions| sessions.asks = true);
        let mut call = Some(call);
        let call = move |server: &Server, id: &[u8], reply: ResumeReply| {
            if let Some(call) = call.take() {
                call(server, id, reply);
            }
        };
        let call = ServerCallback::ResumeSession(Box::new(call));
        self.add(EventKind::ResumeSession, true, call)
    }

    /// From now on tickets are sealed with these 48 bytes, and only such are taken: those under the keys before are
    /// good no more, so clients that have one make a full handshake. Connections that stand are not touched. Node's
    /// `server.setTicketKeys`; see [`ticket_keys`](super::TlsOptions::ticket_keys).
    ///
    /// # Errors
    ///
    /// `ERR_INVALID_ARG_VALUE`: not 48 bytes; a server that is closed or without TLS.
    pub fn set_ticket_keys(&self, keys: &[u8]) -> Result<()> {
        match self.tickets() {
            Some(tickets) => tickets.set(keys),
            None => Err(Error::new(
                Code::TlsInvalidContext,
                "the server does not speak TLS, or is closed",
            )),
        }
    }

    /// What seals its tickets, to be given to other servers; `None` without TLS. Keys that the server has made itself it
    /// does not change any more once they were asked for. Node's `server.getTicketKeys`.
    pub fn ticket_keys(&self) -> Option<[u8; 48]> {
        Some(self.tickets()?.get())
    }

    fn tickets(&self) -> Option<std::sync::Arc<TicketKeys>> {
        let reactor = self.event_loop().inner().reactor.borrow();
        let tls = reactor.server(self.key())?.tls.as_ref()?;
        tls.wishes.tickets.clone()
    }

    fn keep_sessions(&self, change: impl FnOnce(&mut SessionPlan)) {
        let mut reactor = self.event_loop().inner().reactor.borrow_mut();
        let server = reactor.server_mut(self.key());
        if let Some(tls) = server.and_then(|server| server.tls.as_mut()) {
            change(&mut Rc::make_mut(&mut tls.plan).sessions);
        }
    }
}

/// Sessions of a client.
impl Socket {
    /// The server has sent a session that a later connection may take up: Node's `session`. With TLS 1.2 directly after
    /// `secure_connect`, unless the connection has itself taken one up. With TLS 1.3 later, perhaps after data, and
    /// usually twice.
    pub fn on_session(&self, call: impl FnMut(&Socket, &Session) + 'static) -> &Self {
        let call = SocketCallback::Session(Box::new(call));
        self.listen(EventKind::Session, false, call)
    }

    /// As [`on_session`](Socket::on_session), for the next one only.
    pub fn once_session(&self, call: impl FnOnce(&Socket, &Session) + 'static) -> &Self {
        let call = SocketCallback::SessionOnce(Box::new(call));
        self.listen(EventKind::Session, true, call)
    }
}

/// Questions and news become calls.
impl LoopHandle {
    pub(super) fn ask_session(&self, key: Key) {
        let id = {
            let reactor = self.inner().reactor.borrow();
            let session = reactor.tls_session(key);
            session.and_then(|session| session.asked_id().map(<[u8]>::to_vec))
        };
        let asked = Asked::new(self, key, Reactor::tls_session_found);
        let (Some(server), Some(id)) = (self.tls_server_of(key), id) else {
            return;
        };
        let handle = Server::at(self.inner(), server);
        self.emit_server(server, EventKind::ResumeSession, |callback| {
            if let ServerCallback::ResumeSession(call) = callback {
                let asked = Rc::clone(&asked);
                call(&handle, &id, ResumeReply { asked });
            }
        });
    }

    /// Each is an event of its own: a panic loses none of the others.
    pub(super) fn tell_new_sessions(&self, key: Key, made: Vec<Made>) {
        let server = self.tls_server_of(key);
        for made in made {
            let kept = Rc::new(Kept {
                handle: self.clone(),
                key,
            });
            if let Some(server) = server {
                let call = move |handle: &LoopHandle| handle.tell_new_session(server, &made, &kept);
                self.inner().defer(call);
            }
        }
    }

    fn tell_new_session(&self, server: Key, made: &Made, kept: &Rc<Kept>) {
        let handle = Server::at(self.inner(), server);
        self.emit_server(server, EventKind::NewSession, |callback| {
            if let ServerCallback::NewSession(call) = callback {
                let reply = NewSessionReply {
                    _kept: Rc::clone(kept),
                };
                call(&handle, &made.id, &made.data, reply);
            }
        });
    }

    pub(super) fn tell_sessions(&self, key: Key, sessions: VecDeque<Session>) {
        for session in sessions {
            self.inner()
                .defer(move |handle| handle.tell_session(key, &session));
        }
    }

    fn tell_session(&self, key: Key, session: &Session) {
        let socket = self.socket_handle(key);
        let mut audience = self.audience(key);
        while let Some(next) = audience.next(|kind| kind == EventKind::Session) {
            let Next::Listener(mut lease) = next else {
                continue;
            };
            match &mut lease.callback {
                Some(SocketCallback::Session(call)) => call(&socket, session),
                Some(SocketCallback::SessionOnce(_)) => {
                    if let Some(SocketCallback::SessionOnce(call)) = lease.callback.take() {
                        call(&socket, session);
                    }
                }
                _ => {}
            }
        }
    }
}
