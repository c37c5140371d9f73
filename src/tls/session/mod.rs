//! One TLS connection, sans-io: ciphertext of the peer goes in, cleartext and events come out, and what is to be sent
//! waits in records until whoever drives it takes them.
//!
//! Nothing of the program's is called from in here. Where the program has to decide (which context for this name, is
//! this certificate the right one) the session stops, says so by [`Session::wants`], and goes on with the answer. It
//! sends and reads nothing meanwhile; what was fed and not used yet is held, which is one read at most.

mod alert;
mod begin;
mod facts;
mod hello;
mod records;
mod resume;
mod staple;
#[cfg(test)]
mod tests;

use std::io;
use std::rc::Rc;
use std::sync::Arc;

use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::{Accepted, Acceptor};
use rustls::{ClientConnection, CommonState, ServerConnection};

use super::certificate::Certificate;
use super::context::{ClientSide, ServerSide};
use super::failure;
use super::kept;
use super::key_log::Collector;
use super::names::Contexts;
use super::verifier::Verifier;
use crate::error::{Code, Error, Result};
use alert::Alert;
use records::Records;
use resume::{Keeping, Lookup};
pub(crate) use resume::{Made, SessionPlan};
use staple::Stapling;

/// What a client session begins with.
pub(crate) struct ClientPlan {
    pub(crate) side: ClientSide,
    /// The host whose certificate is expected.
    pub(crate) host: String,
    pub(crate) name: ServerName<'static>,
    /// The session to take up, if it fits.
    pub(crate) session: Option<kept::Session>,
    pub(crate) common: Common,
}

/// What a server session begins with; the connections of a server share it.
#[derive(Clone)]
pub(crate) struct ServerPlan {
    pub(crate) contexts: Contexts,
    /// The program chooses the context.
    pub(crate) own_choice: bool,
    pub(crate) sessions: SessionPlan,
    pub(crate) common: Common,
}

/// What both sides may wish.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Common {
    pub(crate) key_log: bool,
    /// OCSP: a server's program is asked for responses, a client's told of them.
    pub(crate) ocsp: bool,
    /// A FIN without a `close_notify` before it is an error.
    pub(crate) strict_end: bool,
}

/// What a session waits for, or has to tell, before it goes on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Wants {
    /// Lines for the program's key log. They may be taken, and then it goes on.
    KeyLog,
    /// A context for the name of [`Session::server_name`]: [`Session::answer_context`].
    Context,
    /// What the program keeps of the session [`Session::asked_id`]: [`Session::answer_session`].
    Session,
    /// An OCSP response for [`Session::asked_certificate`]: [`Session::answer_staple`].
    Staple,
    /// Client: somebody to hear of an OCSP response: [`Session::take_stapled`].
    Stapled,
    /// An opinion on [`Session::certificates`]: [`Session::answer_identity`].
    Identity,
    /// Somebody to keep the new sessions of [`Session::take_new`], each until [`Session::session_is_kept`].
    Keeper,
    /// Somebody to hear that the handshake is done: [`Session::told_secure`].
    Secure,
    /// Somebody to hear why it failed: [`Session::take_failure`].
    Failed,
    /// Client: somebody to hear of the new sessions of [`Session::take_sessions`]. They may be taken, and it goes on.
    Sessions,
}

/// What a transport took.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Written {
    /// Of ciphertext.
    pub(crate) bytes: usize,
    /// Of cleartext that is wholly with it now and was not before.
    pub(crate) plain: usize,
    /// It takes no more now.
    pub(crate) blocked: bool,
}

enum State {
    /// Not begun: the transport is not connected yet.
    Idle(Box<ClientPlan>),
    /// A server's: nothing has come yet.
    Silent,
    /// Waits for the client's first message, on which it depends how to go on.
    Accepting(Box<Acceptor>),
    /// Has it, and waits for a context.
    Hello(Box<Accepted>),
    /// Has a context too, and waits for a session that the program may have kept.
    Lookup(Box<Lookup>),
    /// Knows its certificate too, and waits for an OCSP response.
    Staple(Box<Stapling>),
    Client(Box<ClientConnection>),
    Server(Box<ServerConnection>),
    /// Ended before it was a connection, perhaps with an alert left to send.
    Refused(Option<Alert>),
}

/// How far it came with the certificates of the peer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Identity {
    /// Nobody asks, or nothing is known yet.
    Unasked,
    /// The program was asked.
    Asked,
    Answered,
}

pub(crate) struct Session {
    state: State,
    /// A server's.
    plan: Option<Rc<ServerPlan>>,
    common: Common,
    verifier: Option<Arc<Verifier>>,
    collector: Option<Arc<Collector>>,
    /// Client: the host that was asked for.
    host: Option<(String, ServerName<'static>)>,
    server_name: Option<String>,
    /// Client: the session it may take up, and those it gets. Server: those that the program keeps.
    keeping: Option<Box<Keeping>>,
    identity: Identity,
    /// Client: the OCSP response that nobody has heard of yet; empty: the server has sent none.
    stapled: Option<Vec<u8>>,
    /// Server: the client would have one.
    wants_status: bool,
    /// What is wrong with the peer's certificates, though it was let in.
    unauthorized: Option<Error>,
    /// The handshake is done, and whether that was told.
    secure: bool,
    told: bool,
    failure: Option<Error>,
    failed: bool,
    /// What there is to send is not sent any more.
    mute: bool,
    /// Ciphertext that was read and cannot be used yet.
    held: Vec<u8>,
    /// A server's whose program keeps sessions: the client's first message, until it is read.
    hello: Vec<u8>,
    records: Records,
    /// Something of the peer's was understood.
    began: bool,
    /// Cleartext that rustls holds.
    plain: usize,
    /// Some of the peer's was delivered.
    heard: bool,
    /// The peer said that it ended.
    peer_closed: bool,
    /// The transport ended.
    transport_ended: bool,
}

impl Session {
    pub(crate) fn client(mut plan: ClientPlan) -> Session {
        let mut session = Session::with(State::Refused(None), plan.common);
        session.host = Some((plan.host.clone(), plan.name.clone()));
        session.keeping = Some(Box::new(Keeping::of_client(&mut plan)));
        session.verifier = Some(Arc::clone(&plan.side.verifier));
        session.state = State::Idle(Box::new(plan));
        session
    }

    pub(crate) fn server(plan: &Rc<ServerPlan>) -> Session {
        let mut session = Session::with(State::Silent, plan.common);
        session.plan = Some(Rc::clone(plan));
        session
    }

    fn with(state: State, common: Common) -> Session {
        Session {
            state,
            plan: None,
            common,
            verifier: None,
            collector: common.key_log.then(Collector::new),
            host: None,
            server_name: None,
            keeping: None,
            identity: Identity::Unasked,
            stapled: None,
            wants_status: false,
            unauthorized: None,
            secure: false,
            told: false,
            failure: None,
            failed: false,
            mute: false,
            held: Vec::new(),
            hello: Vec::new(),
            records: Records::default(),
            began: false,
            plain: 0,
            heard: false,
            peer_closed: false,
            transport_ended: false,
        }
    }
}

/// What whoever drives it does.
impl Session {
    /// Takes ciphertext in, and puts cleartext into `plain`, as much as fits; says how much. What is left of both is
    /// held: the next call, also with nothing new, goes on with it.
    pub(crate) fn feed(&mut self, wire: &[u8], plain: &mut [u8]) -> usize {
        if self.held.is_empty() {
            let (produced, used) = self.consume(wire, plain);
            self.held.extend_from_slice(&wire[used..]);
            return produced;
        }
        let mut held = std::mem::take(&mut self.held);
        held.extend_from_slice(wire);
        let (produced, used) = self.consume(&held, plain);
        if used < held.len() {
            held.drain(..used);
            self.held = held;
        }
        produced
    }

    /// The transport has ended.
    pub(crate) fn feed_end(&mut self) {
        self.transport_ended = true;
    }

    /// More could be had by feeding nothing: something is held.
    pub(crate) fn has_more(&self) -> bool {
        !self.is_stopped() && (self.plain > 0 || !self.held.is_empty())
    }

    /// Cleartext, or ciphertext, is held until somebody reads it.
    pub(crate) fn has_plain(&self) -> bool {
        self.plain > 0 || !self.held.is_empty()
    }

    /// It can use what there is to read.
    pub(crate) fn may_read(&self) -> bool {
        !self.is_stopped() && (self.has_plain() || !self.peer_closed)
    }

    /// All that the peer has sent is delivered, and there will be no more. An end that may not be is a failure.
    pub(crate) fn is_at_end(&mut self) -> bool {
        if self.failed || self.has_more() || self.is_stopped() {
            return false;
        }
        if self.peer_closed && self.secure {
            return true;
        }
        if !self.transport_ended {
            return false;
        }
        if !self.secure {
            self.fail(hung_up(self.is_client()));
            return false;
        }
        if self.common.strict_end {
            let message = "unexpected eof while reading: the peer ended without saying so";
            self.fail(Error::new(Code::TlsUnexpectedEof, message));
            return false;
        }
        true
    }

    /// What it stops for; `None`: it goes on.
    pub(crate) fn wants(&self) -> Option<Wants> {
        if self
            .collector
            .as_ref()
            .is_some_and(|lines| !lines.is_empty())
        {
            return Some(Wants::KeyLog);
        }
        if self.failed {
            return self.failure.is_some().then_some(Wants::Failed);
        }
        match self.state {
            State::Hello(_) => return Some(Wants::Context),
            State::Lookup(_) => return Some(Wants::Session),
            State::Staple(_) => return Some(Wants::Staple),
            _ => {}
        }
        if self.stapled.is_some() {
            return Some(Wants::Stapled);
        }
        if self.identity == Identity::Asked {
            return Some(Wants::Identity);
        }
        if let Some(wants) = self.wants_of_sessions() {
            return wants;
        }
        (self.secure && !self.told).then_some(Wants::Secure)
    }

    /// It failed, or waits.
    fn is_stopped(&self) -> bool {
        self.failed || self.is_waiting()
    }

    /// It waits for an answer, or for somebody to hear that it is secure, or what came before the data.
    fn is_waiting(&self) -> bool {
        matches!(
            self.state,
            State::Hello(_) | State::Lookup(_) | State::Staple(_)
        ) || self.stapled.is_some()
            || self.identity == Identity::Asked
            || self.awaits_keeper()
            || self.has_sessions()
            || (self.secure && !self.told)
    }

    /// There is something to send.
    pub(crate) fn wants_write(&self) -> bool {
        let holds = self.identity == Identity::Asked || self.stapled.is_some();
        // Why it failed the peer may hear at once.
        if self.mute || holds && !self.failed || self.awaits_keeper() {
            return false;
        }
        match &self.state {
            State::Client(connection) => connection.wants_write(),
            State::Server(connection) => connection.wants_write(),
            State::Refused(alert) => alert.is_some(),
            _ => false,
        }
    }

    /// Gives records to `transport`, as many as it takes.
    pub(crate) fn write_to(&mut self, transport: &mut dyn io::Write) -> io::Result<Written> {
        let mut written = self.hand_over(transport)?;
        written.plain = self.sent(written.bytes);
        Ok(written)
    }

    /// The same for a transport that keeps them for a while: how much it has sent, [`Session::sent`] is to be told.
    pub(crate) fn hand_over(&mut self, transport: &mut dyn io::Write) -> io::Result<Written> {
        let mut written = Written::default();
        while self.wants_write() {
            let result = match &mut self.state {
                State::Client(connection) => connection.write_tls(transport),
                State::Server(connection) => connection.write_tls(transport),
                State::Refused(Some(alert)) => alert.write(transport),
                _ => Ok(0),
            };
            match result {
                Ok(0) if matches!(self.state, State::Refused(_)) => {
                    self.state = State::Refused(None)
                }
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(bytes) => {
                    written.bytes += bytes;
                    self.records.handed_over(bytes);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    written.blocked = true;
                    break;
                }
                Err(error) => return Err(error),
            }
        }
        Ok(written)
    }

    /// So much more ciphertext is sent, of what was handed over; says how much cleartext is wholly sent with it.
    pub(crate) fn sent(&mut self, bytes: usize) -> usize {
        self.records.sent(bytes)
    }

    /// Makes records of cleartext, of as much as may wait in them; says how much.
    pub(crate) fn seal(&mut self, data: &[u8]) -> usize {
        if !self.may_write() {
            return 0;
        }
        match &mut self.state {
            State::Client(connection) => self.records.seal(connection, data),
            State::Server(connection) => self.records.seal(connection, data),
            _ => 0,
        }
    }

    /// Cleartext may be sent: the handshake is done, and known to be.
    pub(crate) fn may_write(&self) -> bool {
        self.told && !self.failed && !self.records.closed
    }

    /// Cleartext in records that the transport does not have wholly.
    pub(crate) fn in_flight(&self) -> usize {
        self.records.in_flight
    }

    /// Tells the peer that nothing more will come. False: not yet, the handshake is under way.
    pub(crate) fn close(&mut self) -> bool {
        if !self.told && !self.failed {
            return false;
        }
        if !std::mem::replace(&mut self.records.closed, true) {
            if let Some(common) = self.common_state() {
                common.send_close_notify();
            }
        }
        true
    }
}

/// Answers and news.
impl Session {
    pub(crate) fn take_key_lines(&mut self) -> String {
        self.collector
            .as_ref()
            .map_or(String::new(), |lines| lines.take())
    }

    /// The name that the client asks for.
    pub(crate) fn server_name(&self) -> Option<&str> {
        match &self.state {
            State::Server(connection) => connection.server_name(),
            _ => self.server_name.as_deref(),
        }
    }

    /// What the program thinks of the peer's certificate.
    pub(crate) fn answer_identity(&mut self, answer: Result<()>) {
        if self.identity != Identity::Asked {
            return;
        }
        self.identity = Identity::Answered;
        match answer {
            Err(error) if self.rejects() => {
                // Not even that the handshake succeeded.
                self.mute = true;
                self.fail(error);
            }
            Err(error) => self.unauthorized = Some(error),
            Ok(()) => {}
        }
        self.look();
    }

    /// The program was told that the handshake is done.
    pub(crate) fn told_secure(&mut self) {
        self.told = true;
    }

    /// The transport takes nothing any more.
    pub(crate) fn give_up_sending(&mut self) {
        self.mute = true;
    }

    pub(crate) fn take_failure(&mut self) -> Option<Error> {
        self.failure.take()
    }

    pub(crate) fn fail(&mut self, error: Error) {
        if !std::mem::replace(&mut self.failed, true) {
            self.failure = Some(error);
            self.held = Vec::new();
        }
    }

    fn rejects(&self) -> bool {
        self.verifier
            .as_ref()
            .is_some_and(|verifier| verifier.reject)
    }
}

fn hung_up(is_client: bool) -> Error {
    let message = if is_client {
        "Client network socket disconnected before secure TLS connection was established"
    } else {
        "socket hang up"
    };
    Error::new(Code::ConnReset, message)
}
