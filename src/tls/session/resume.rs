//! Sessions that are taken up again: what a server asks and tells its program of them, and what a client keeps.

use std::collections::VecDeque;
use std::time::{Duration, SystemTime};

use rustls::client::Resumption;
use rustls::{HandshakeKind, ServerConfig};

use super::*;
use crate::tls::binding::Binding;
use crate::tls::context::TICKETS;
use crate::tls::stored::{self, Stored};

/// So many sessions that a client offers are asked for; more than one or two no client has.
const MOST: usize = 4;

/// What a server does with sessions.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct SessionPlan {
    /// The program is asked for those that it may have kept.
    pub(crate) asks: bool,
    /// The program keeps those that are new.
    pub(crate) tells: bool,
    /// For how long one that it kept may be taken up again.
    pub(crate) timeout: Duration,
}

impl SessionPlan {
    /// By the program, so there are no tickets.
    pub(super) fn are_kept(&self) -> bool {
        self.asks || self.tells
    }
}

/// A new session, for the program to keep.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Made {
    pub(crate) id: Vec<u8>,
    pub(crate) data: Vec<u8>,
}

/// Shows no secret.
impl std::fmt::Debug for Made {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Made")
    }
}

/// A client's first message with its context, and what it may take up.
pub(super) struct Lookup {
    accepted: Accepted,
    side: ServerSide,
    /// Asked for first comes first.
    ids: VecDeque<Vec<u8>>,
}

pub(super) enum Keeping {
    Client(OfClient),
    Server(OfServer),
}

pub(super) struct OfClient {
    side: ClientSide,
    store: Arc<kept::Store>,
    /// Nobody has heard of these yet.
    news: VecDeque<kept::Session>,
    /// Somebody is to hear of them.
    tells: bool,
    newest: Option<kept::Session>,
}

pub(super) struct OfServer {
    store: Arc<stored::Store>,
    binding: Binding,
    /// Nobody has been told of these yet.
    made: Vec<Made>,
    /// So many are being kept.
    pending: usize,
}

impl Keeping {
    /// The session of the plan goes on with its own context, if it may be taken up.
    pub(super) fn of_client(plan: &mut ClientPlan) -> Keeping {
        let offered = plan.session.take().and_then(|session| {
            let side = session.side_for(&plan.side, &plan.host, &plan.name, SystemTime::now())?;
            Some((session, side))
        });
        let session = offered.map(|(session, side)| {
            plan.side = side;
            session
        });
        Keeping::Client(OfClient {
            side: plan.side.clone(),
            store: kept::Store::new(session),
            news: VecDeque::new(),
            tells: true,
            newest: None,
        })
    }
}

impl OfClient {
    pub(super) fn resumption(&self) -> Resumption {
        Resumption::store(Arc::clone(&self.store) as _)
    }
}

/// On the side of a server.
impl Session {
    /// Asks the program for the sessions that the client would take up, if it keeps any; else goes on.
    pub(super) fn look_up_session(&mut self, accepted: Box<Accepted>, side: ServerSide) {
        let wire = std::mem::take(&mut self.hello);
        let asks = self.plan.as_ref().is_some_and(|plan| plan.sessions.asks);
        let ids = if asks {
            let message = hello::message(&wire);
            offered_ids(&message, &side)
        } else {
            VecDeque::new()
        };
        if ids.is_empty() {
            self.keep_sessions(&side, None);
            return self.accept(*accepted, side);
        }
        let accepted = *accepted;
        self.state = State::Lookup(Box::new(Lookup {
            accepted,
            side,
            ids,
        }));
    }

    /// The id of the session that the program is asked for.
    pub(crate) fn asked_id(&self) -> Option<&[u8]> {
        match &self.state {
            State::Lookup(lookup) => lookup.ids.front().map(Vec::as_slice),
            _ => None,
        }
    }

    /// What the program has kept under the id it was asked for. What is not good is as if it had nothing.
    pub(crate) fn answer_session(&mut self, answer: Result<Option<Vec<u8>>>) {
        let state = std::mem::replace(&mut self.state, State::Refused(None));
        let State::Lookup(mut lookup) = state else {
            self.state = state;
            return;
        };
        let data = match answer {
            Ok(data) => data.unwrap_or_default(),
            Err(error) => return self.refuse(error, Alert::INTERNAL_ERROR),
        };
        let id = lookup.ids.pop_front().unwrap_or_default();
        let timeout = self
            .plan
            .as_ref()
            .map_or(Duration::ZERO, |plan| plan.sessions.timeout);
        let plain = stored::unpack(&id, &lookup.side.binding, timeout, &data);
        let found = plain.map(|plain| (id, plain.to_vec()));
        if found.is_none() && !lookup.ids.is_empty() {
            self.state = State::Lookup(lookup);
            return;
        }
        self.keep_sessions(&lookup.side, found);
        self.accept(lookup.accepted, lookup.side);
    }

    fn keep_sessions(&mut self, side: &ServerSide, found: Option<Stored>) {
        let Some(plan) = self.plan.as_ref().map(|plan| plan.sessions) else {
            return;
        };
        if plan.are_kept() {
            let keeps = plan.tells && !plan.timeout.is_zero();
            self.keeping = Some(Box::new(Keeping::Server(OfServer {
                store: Arc::new(stored::Store::new(keeps, found)),
                binding: side.binding,
                made: Vec::new(),
                pending: 0,
            })));
        }
    }

    /// What rustls works with: tickets, or the sessions of the program.
    pub(super) fn server_config(&self, side: &ServerSide) -> Arc<ServerConfig> {
        let Some(Keeping::Server(server)) = self.keeping.as_deref() else {
            return Arc::clone(&side.config);
        };
        let mut config = Arc::clone(&side.bare);
        let own = Arc::make_mut(&mut config);
        own.session_storage = Arc::clone(&server.store) as _;
        own.send_tls13_tickets = TICKETS;
        config
    }

    /// The sessions that the program is to keep; each is waited for.
    pub(crate) fn take_new(&mut self) -> Vec<Made> {
        let Some(Keeping::Server(server)) = self.keeping.as_deref_mut() else {
            return Vec::new();
        };
        let made = std::mem::take(&mut server.made);
        server.pending += made.len();
        made
    }

    /// The program has kept one of them.
    pub(crate) fn session_is_kept(&mut self) {
        if let Some(Keeping::Server(server)) = self.keeping.as_deref_mut() {
            server.pending = server.pending.saturating_sub(1);
        }
    }

    /// New sessions are not kept yet, and so the client must not hear of them.
    pub(super) fn awaits_keeper(&self) -> bool {
        match self.keeping.as_deref() {
            Some(Keeping::Server(server)) => {
                !self.failed && (server.pending > 0 || !server.made.is_empty())
            }
            _ => false,
        }
    }
}

/// On the side of a client.
impl Session {
    /// The sessions that came since the last call.
    pub(crate) fn take_sessions(&mut self) -> VecDeque<kept::Session> {
        match self.keeping.as_deref_mut() {
            Some(Keeping::Client(client)) => std::mem::take(&mut client.news),
            _ => VecDeque::new(),
        }
    }

    /// Nobody has heard of some that came.
    pub(super) fn has_sessions(&self) -> bool {
        match self.keeping.as_deref() {
            Some(Keeping::Client(client)) => self.told && !client.news.is_empty(),
            _ => false,
        }
    }

    /// Nobody will hear of sessions: another TLS is above this one.
    pub(crate) fn tell_no_sessions(&mut self) {
        if let Some(Keeping::Client(client)) = self.keeping.as_deref_mut() {
            client.tells = false;
            client.news.clear();
        }
    }

    /// The newest session.
    pub(crate) fn session(&self) -> Option<&kept::Session> {
        match self.keeping.as_deref()? {
            Keeping::Client(client) => client.newest.as_ref(),
            Keeping::Server(_) => None,
        }
    }
}

/// On both sides.
impl Session {
    /// The handshake was a short one.
    pub(crate) fn is_reused(&self) -> bool {
        let kind = self.common_ref().and_then(|common| common.handshake_kind());
        self.secure && kind == Some(HandshakeKind::Resumed)
    }

    /// `Some(None)`: it has to wait.
    pub(super) fn wants_of_sessions(&self) -> Option<Option<Wants>> {
        match self.keeping.as_deref()? {
            Keeping::Server(server) if !server.made.is_empty() => Some(Some(Wants::Keeper)),
            Keeping::Server(server) => (server.pending > 0).then_some(None),
            Keeping::Client(_) => self.has_sessions().then_some(Some(Wants::Sessions)),
        }
    }

    /// What rustls has made since it was last asked.
    pub(super) fn collect_sessions(&mut self) {
        let is_short = self
            .common_ref()
            .is_some_and(|common| common.handshake_kind() == Some(HandshakeKind::Resumed));
        let until = match self.keeping.as_deref() {
            Some(Keeping::Client(client)) if client.store.has_made() => {
                self.certificates().first().map(Certificate::valid_to)
            }
            _ => None,
        };
        match (self.keeping.as_deref_mut(), &self.host) {
            (Some(Keeping::Server(server)), _) => {
                let made = server
                    .store
                    .take_made()
                    .into_iter()
                    .map(|(id, plain)| Made {
                        data: stored::pack(&id, &server.binding, &plain),
                        id,
                    });
                server.made.extend(made);
            }
            (Some(Keeping::Client(client)), Some(host)) => {
                for session in client.store.take_made(&client.side, host, until) {
                    client.newest = Some(session.clone());
                    // In TLS 1.2 it is the old one, perhaps with a new ticket.
                    let is_new = !is_short || session.protocol() == crate::tls::TlsVersion::V1_3;
                    if is_new && client.tells {
                        client.news.push_back(session);
                    }
                    if client.news.len() > MOST {
                        client.news.pop_front();
                    }
                }
            }
            _ => {}
        }
    }
}

/// What the client would take up of what a server may have kept.
fn offered_ids(message: &[u8], side: &ServerSide) -> VecDeque<Vec<u8>> {
    let Some(hello) = hello::parse(message) else {
        return VecDeque::new();
    };
    let ids = if hello.speaks_13 && side.speaks_13 {
        hello.identities
    } else if hello.has_ticket {
        Vec::new()
    } else {
        vec![hello.session_id]
    };
    let ours = ids.into_iter().filter(|id| id.len() == stored::ID);
    ours.take(MOST).map(<[u8]>::to_vec).collect()
}
