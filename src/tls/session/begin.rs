//! From the first byte to the end of the handshake, and the reading of records.

use std::panic::{catch_unwind, AssertUnwindSafe};

use super::*;
use rustls::server::ResolvesServerCert;
use rustls::{ConnectionCommon, IoState, ServerConfig, SideData};

impl Session {
    /// The transport is connected: a client speaks first.
    pub(crate) fn start(&mut self) {
        let state = std::mem::replace(&mut self.state, State::Refused(None));
        let State::Idle(plan) = state else {
            self.state = state;
            return;
        };
        let mut config = Arc::clone(&plan.side.config);
        // The secrets and sessions of one connection are told apart from those of others by a configuration of its own.
        let own = Arc::make_mut(&mut config);
        if let Some(Keeping::Client(client)) = self.keeping.as_deref() {
            own.resumption = client.resumption();
        }
        if let Some(collector) = &self.collector {
            own.key_log = Arc::clone(collector) as _;
        }
        match ClientConnection::new(config, plan.name) {
            Ok(mut connection) => {
                connection.set_buffer_limit(None);
                self.state = State::Client(Box::new(connection));
            }
            Err(error) => self.fail(failure::of_connection(&error, true)),
        }
    }

    /// The program wants `keylog` events from now on; nothing was logged before the first byte.
    pub(crate) fn collect_keys(&mut self) {
        self.collector.get_or_insert_with(Collector::new);
    }

    /// The context that the program chose; `None`: what the server has for that name.
    pub(crate) fn answer_context(&mut self, choice: Result<Option<ServerSide>>) {
        let state = std::mem::replace(&mut self.state, State::Refused(None));
        let State::Hello(accepted) = state else {
            self.state = state;
            return;
        };
        let side = match (choice, &self.plan) {
            (Ok(Some(side)), _) => side,
            (Ok(None), Some(plan)) => plan.contexts.choose(self.server_name.as_deref()).clone(),
            (Ok(None), None) => return,
            (Err(error), _) => return self.refuse(error, Alert::UNRECOGNIZED_NAME),
        };
        self.look_up_session(accepted, side);
    }

    /// Goes on with the client's first message, with another certificate than that of `side` if there is one.
    pub(super) fn accept_with(
        &mut self,
        accepted: Accepted,
        side: ServerSide,
        own: Option<Arc<dyn ResolvesServerCert>>,
    ) {
        let mut config = self.server_config(&side);
        if let Some(own) = own {
            Arc::make_mut(&mut config).cert_resolver = own;
        }
        self.verifier = side.verifier;
        match accepted.into_connection(self.with_key_log(config)) {
            Ok(connection) => {
                self.serve(connection);
                self.process();
            }
            Err((error, alert)) => {
                self.state = State::Refused(Some(alert.into()));
                self.fail_with(&error);
            }
        }
    }

    /// The client speaks. Where its first message makes no difference rustls has all of it, and else its first message first.
    fn hear(&mut self) {
        let Some(plan) = self.plan.clone() else {
            return;
        };
        let asks = plan.own_choice || plan.sessions.are_kept() || self.common.ocsp;
        if asks || !plan.contexts.is_only_default() {
            self.state = State::Accepting(Box::default());
            return;
        }
        let side = &plan.contexts.default;
        self.verifier.clone_from(&side.verifier);
        match ServerConnection::new(self.with_key_log(Arc::clone(&side.config))) {
            Ok(connection) => self.serve(connection),
            Err(error) => self.fail_with(&error),
        }
    }

    fn with_key_log(&self, mut config: Arc<ServerConfig>) -> Arc<ServerConfig> {
        if let Some(collector) = &self.collector {
            Arc::make_mut(&mut config).key_log = Arc::clone(collector) as _;
        }
        config
    }

    fn serve(&mut self, mut connection: ServerConnection) {
        connection.set_buffer_limit(None);
        self.state = State::Server(Box::new(connection));
    }

    /// Reads as much of `wire` as can be used now; says what cleartext that gave, and how much was used.
    pub(super) fn consume(&mut self, wire: &[u8], plain: &mut [u8]) -> (usize, usize) {
        let mut rest = wire;
        let mut produced = 0;
        loop {
            if !self.is_waiting() {
                produced += self.take_plain(&mut plain[produced..]);
            }
            if self.failed || self.peer_closed {
                // What comes after the end means nothing.
                return (produced, wire.len());
            }
            if self.is_stopped() || self.plain > 0 || rest.is_empty() {
                self.give_back();
                return (produced, wire.len() - rest.len());
            }
            if !self.read_records(&mut rest) {
                return (produced, wire.len() - rest.len());
            }
        }
    }

    /// rustls keeps its buffer as large as a record has made it, until it is to read the next. That may be long: so it is
    /// to read, and there is nothing.
    fn give_back(&mut self) {
        let _ = match &mut self.state {
            State::Client(connection) => connection.read_tls(&mut Nothing),
            State::Server(connection) => connection.read_tls(&mut Nothing),
            _ => return,
        };
    }

    /// False: no more can be read now.
    fn read_records(&mut self, rest: &mut &[u8]) -> bool {
        let before = *rest;
        if let State::Silent = self.state {
            self.hear();
        }
        let read = match &mut self.state {
            State::Accepting(acceptor) => acceptor.read_tls(rest),
            State::Client(connection) => connection.read_tls(rest),
            State::Server(connection) => connection.read_tls(rest),
            _ => return false,
        };
        if !matches!(read, Ok(1..)) {
            let message = "a message is too long";
            self.fail(Error::new(Code::TlsDecodeError, message));
            return false;
        }
        if let State::Accepting(acceptor) = &mut self.state {
            let asks = self.plan.as_ref().is_some_and(|plan| plan.sessions.asks);
            if asks || self.common.ocsp {
                let used = before.len() - rest.len();
                self.hello.extend_from_slice(&before[..used]);
            }
            match acceptor.accept() {
                Ok(None) => {}
                Ok(Some(accepted)) => self.said_hello(accepted),
                Err((error, alert)) => {
                    self.state = State::Refused(Some(alert.into()));
                    self.fail_with(&error);
                }
            }
        } else {
            self.process();
        }
        true
    }

    fn said_hello(&mut self, accepted: Accepted) {
        self.began = true;
        self.server_name = accepted.client_hello().server_name().map(str::to_owned);
        if self.common.ocsp {
            let message = hello::message(&self.hello);
            self.wants_status = hello::parse(&message).is_some_and(|hello| hello.wants_status);
        }
        self.state = State::Hello(Box::new(accepted));
        if self.plan.as_ref().is_some_and(|plan| !plan.own_choice) {
            self.answer_context(Ok(None));
        }
    }

    /// Has rustls understand what it has read.
    fn process(&mut self) {
        let closed = self.records.closed;
        let result = match &mut self.state {
            State::Client(connection) => understand(connection, closed),
            State::Server(connection) => understand(connection, closed),
            _ => return,
        };
        if !self.secure {
            self.keep_stapled();
        }
        match result {
            Ok(state) => self.processed(&state),
            Err(error) => self.fail_with(&error),
        }
    }

    fn processed(&mut self, state: &IoState) {
        // A server that has not the whole of the first message has understood nothing.
        let version = self.common_ref().and_then(CommonState::protocol_version);
        self.began |= self.is_client() || version.is_some();
        self.plain = state.plaintext_bytes_to_read();
        self.peer_closed |= state.peer_has_closed();
        self.collect_sessions();
        self.look();
    }

    /// How far did the handshake come?
    pub(super) fn look(&mut self) {
        if self.secure || self.failed || self.identity == Identity::Asked {
            return;
        }
        let Some(common) = self.common_ref() else {
            return;
        };
        let done = !common.is_handshaking();
        let knows_peer = common.peer_certificates().is_some();
        let asks = self
            .verifier
            .as_ref()
            .is_some_and(|verifier| verifier.own_identity);
        if asks && knows_peer && self.identity == Identity::Unasked {
            if !self.rejects() {
                self.unauthorized = self.chain_fault();
            }
            if self.unauthorized.is_none() {
                self.identity = Identity::Asked;
                return;
            }
            self.identity = Identity::Answered;
        }
        if done {
            self.secure = true;
            if !asks && !self.rejects() {
                self.unauthorized = self.chain_fault().or_else(|| self.name_fault());
            } else if self.rejects() && self.is_reused() {
                // It was trusted before, and nobody has looked since.
                if let Some(error) = self.chain_fault() {
                    self.mute = true;
                    self.fail(error);
                }
            }
        }
    }

    /// What is wrong with the peer's certificates, should it be let in all the same.
    fn chain_fault(&self) -> Option<Error> {
        let verifier = self.verifier.as_ref()?;
        let chain = self.chain();
        let now = UnixTime::now();
        let checked = if self.is_client() {
            verifier.trust().check_server_chain(&chain, now)
        } else {
            verifier.trust().check_client(&chain, now)
        };
        checked.err().map(|fault| fault.error)
    }

    fn name_fault(&self) -> Option<Error> {
        let (host, name) = self.host.as_ref()?;
        let verifier = self.verifier.as_ref()?;
        let checked = verifier
            .trust()
            .check_name(&self.chain(), host, name, UnixTime::now());
        checked.err().map(|fault| fault.error)
    }

    fn chain(&self) -> Vec<CertificateDer<'static>> {
        let chain = self
            .common_ref()
            .and_then(|common| common.peer_certificates());
        chain.map_or(Vec::new(), |chain| {
            chain.iter().map(|der| der.clone().into_owned()).collect()
        })
    }

    /// Moves cleartext out of rustls.
    fn take_plain(&mut self, into: &mut [u8]) -> usize {
        let mut taken = 0;
        while self.plain > 0 && taken < into.len() {
            let read = match &mut self.state {
                State::Client(connection) => read_plain(connection, &mut into[taken..]),
                State::Server(connection) => read_plain(connection, &mut into[taken..]),
                _ => 0,
            };
            if read == 0 {
                self.plain = 0;
                break;
            }
            taken += read;
            self.plain -= read;
        }
        self.heard |= taken > 0;
        taken
    }

    fn fail_with(&mut self, error: &rustls::Error) {
        let error =
            Verifier::take_found().unwrap_or_else(|| failure::of_connection(error, self.began));
        if self.told {
            // What came before it is good; how much that is rustls did not say.
            self.plain = usize::MAX;
        }
        self.fail(error);
    }
}

fn read_plain<S: SideData>(connection: &mut ConnectionCommon<S>, into: &mut [u8]) -> usize {
    io::Read::read(&mut connection.reader(), into).unwrap_or(0)
}

/// A transport on which nothing has come.
struct Nothing;

impl io::Read for Nothing {
    fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        Err(io::ErrorKind::WouldBlock.into())
    }
}

/// Has rustls understand what it has read. Its debug builds assert that who has said goodbye sends no fatal alert, which
/// any damaged record behind it would have it do; a peer may not end the program by that.
fn understand<S: SideData>(
    connection: &mut ConnectionCommon<S>,
    closed: bool,
) -> std::result::Result<IoState, rustls::Error> {
    if !(closed && cfg!(debug_assertions)) {
        return connection.process_new_packets();
    }
    catch_unwind(AssertUnwindSafe(|| connection.process_new_packets()))
        .unwrap_or_else(|_| Err(rustls::Error::General("after our end".into())))
}
