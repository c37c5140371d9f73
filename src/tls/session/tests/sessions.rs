//! Sessions that are taken up again, by tickets and by what a program has kept.

use super::*;
use crate::tls::tickets::TicketKeys;

pub(super) const LONG: Duration = Duration::from_secs(300);

/// A server that many connections come to, and who may visit it.
pub(super) struct Place {
    pub(super) ca: Authority,
    pub(super) own: Identified,
    pub(super) plan: Rc<ServerPlan>,
    pub(super) from: Ingredients,
    pub(super) context: SecureContext,
    pub(super) host: &'static str,
    /// What the server's program keeps.
    pub(super) store: HashMap<Vec<u8>, Vec<u8>>,
    pub(super) piece: usize,
}

pub(super) fn wishes() -> ServerWishes {
    ServerWishes {
        request_cert: false,
        reject: true,
        honor_cipher_order: true,
        alpn: Vec::new(),
        session_timeout: LONG,
        tickets: None,
    }
}

pub(super) fn plan(side: ServerSide, kept: bool, timeout: Duration) -> ServerPlan {
    ServerPlan {
        contexts: Contexts::new(side),
        own_choice: false,
        sessions: SessionPlan {
            asks: kept,
            tells: kept,
            timeout,
        },
        common: Common::default(),
    }
}

impl Place {
    pub(super) fn new(version: TlsVersion, kept: bool) -> Place {
        Place::with(version, kept, &wishes())
    }

    pub(super) fn with(version: TlsVersion, kept: bool, wishes: &ServerWishes) -> Place {
        let ca = Authority::new("ca");
        let own = ca.issue(&["localhost"], |_| {});
        let side = side(&own, Some(&ca.pem()), wishes);
        let from = only(version, ingredients(None, Some(&ca.pem())));
        Place {
            context: SecureContext::make(&from).unwrap(),
            plan: Rc::new(plan(side, kept, wishes.session_timeout)),
            ca,
            own,
            from,
            host: "localhost",
            store: HashMap::new(),
            piece: 4096,
        }
    }

    /// Another server in place of this one, that others may have started.
    pub(super) fn serve(&mut self, wishes: &ServerWishes, kept: bool) {
        let side = side(&self.own, Some(&self.ca.pem()), wishes);
        self.plan = Rc::new(plan(side, kept, wishes.session_timeout));
    }

    pub(super) fn pair(&self, session: Option<&kept::Session>) -> Pair {
        let wishes = ClientWishes {
            reject: true,
            own_identity: false,
            send_name: true,
            alpn: Vec::new(),
        };
        self.pair_with(session, &wishes)
    }

    pub(super) fn pair_with(&self, session: Option<&kept::Session>, wishes: &ClientWishes) -> Pair {
        let client = Session::client(ClientPlan {
            side: self.context.client(wishes).unwrap(),
            host: self.host.into(),
            name: ServerName::try_from(self.host).unwrap(),
            session: session.cloned(),
            common: Common::default(),
        });
        let mut pair = Pair::new(client, Session::server(&self.plan));
        pair.piece = self.piece;
        pair.server.store.clone_from(&self.store);
        pair
    }

    /// One connection, with a word each way.
    pub(super) fn meet(&mut self, session: Option<&kept::Session>) -> Met {
        let mut pair = self.pair(session);
        pair.run();
        self.end(pair)
    }

    pub(super) fn end(&mut self, mut pair: Pair) -> Met {
        assert!(secure(&pair), "{:?}", pair.news());
        pair.client.say(b"ping");
        pair.server.say(b"pong");
        while pair.step() {}
        assert_eq!(
            (&*pair.server.got, &*pair.client.got),
            (&b"ping"[..], &b"pong"[..])
        );
        self.store.clone_from(&pair.server.store);
        let reused = pair.client.session.is_reused();
        assert_eq!(pair.server.session.is_reused(), reused);
        Met { pair, reused }
    }

    /// Whether a session of a first connection is taken up by a second one.
    pub(super) fn resumes(&mut self) -> bool {
        let first = self.meet(None);
        assert!(!first.reused);
        let session = first.pair.client.sessions[0].1.clone();
        self.meet(Some(&session)).reused
    }
}

pub(super) struct Met {
    pub(super) pair: Pair,
    pub(super) reused: bool,
}

impl Met {
    pub(super) fn session(&self) -> &kept::Session {
        &self.pair.client.sessions.last().unwrap().1
    }
}

pub(super) fn side(own: &Identified, ca: Option<&str>, wishes: &ServerWishes) -> ServerSide {
    let context = SecureContext::make(&ingredients(Some(own), ca)).unwrap();
    context.server(wishes).unwrap()
}

#[test]
fn a_ticket_makes_the_next_handshake_short_whole_and_by_bytes() {
    for version in VERSIONS {
        for piece in [4096, 1] {
            let mut place = Place::new(version, false);
            place.piece = piece;
            let first = place.meet(None);
            assert!(!first.reused && first.pair.client.session.is_authorized());
            let count = if version == TlsVersion::V1_3 { 2 } else { 1 };
            assert_eq!(first.pair.client.sessions.len(), count);
            for (heard, session) in &first.pair.client.sessions {
                assert_eq!((*heard, session.protocol()), (1, version), "after `secure`");
            }
            let newest = first.pair.client.session.session().unwrap();
            assert!(format!("{newest:?}").contains("localhost"));
            assert!(!place.meet(None).reused, "only with a session");
            let second = place.meet(Some(first.session()));
            assert!(second.reused && second.pair.client.session.is_authorized());
            assert_eq!(second.pair.client.session.certificates().len(), 1);
            assert_eq!(second.pair.news(), ("secure".into(), "secure".into()));
            // In TLS 1.2 it is the same session, with a new ticket.
            let of_second = second.pair.client.sessions.len();
            assert_eq!(of_second, if version == TlsVersion::V1_3 { 2 } else { 0 });
            let newest = second.pair.client.session.session().unwrap();
            assert!(place.meet(Some(newest)).reused);
            // One of TLS 1.3 is good for one connection.
            let again = place.meet(Some(first.session()));
            assert_eq!(again.reused, version == TlsVersion::V1_2);
        }
    }
}

#[test]
fn a_program_keeps_the_sessions_of_a_server() {
    for version in VERSIONS {
        for piece in [4096, 1] {
            let mut place = Place::new(version, true);
            place.piece = piece;
            let first = place.meet(None);
            let (made, in_all) = match version {
                TlsVersion::V1_2 => ("new secure", 1),
                TlsVersion::V1_3 => ("new new secure", 2),
            };
            assert_eq!(first.pair.server.news(), made);
            assert_eq!(place.store.len(), in_all);
            assert!(place.store.keys().all(|id| id.len() == 32));
            let again = place.meet(Some(first.session()));
            let news = match version {
                TlsVersion::V1_2 => "found secure",
                TlsVersion::V1_3 => "found new new secure",
            };
            assert_eq!(
                (again.reused, again.pair.server.news().as_str()),
                (true, news)
            );
            let other = place.meet(None);
            assert_eq!(other.pair.server.news(), made, "no session, no question");
            place.store.clear();
            let session = other.session().clone();
            let lost = place.meet(Some(&session));
            assert!(!lost.reused && lost.pair.server.news().starts_with("unknown new"));
        }
    }
}

#[test]
fn nothing_leaves_the_server_until_the_new_session_is_kept() {
    for version in VERSIONS {
        let place = Place::new(version, true);
        let mut pair = place.pair(None);
        pair.server.mute = true;
        pair.run();
        assert_eq!(pair.server.session.wants(), Some(Wants::Keeper));
        let early = pair.client.session.is_secure();
        assert_eq!(
            early,
            version == TlsVersion::V1_3,
            "the client's part is done"
        );
        if early {
            pair.client.say(b"early");
            while pair.step() {}
        }
        let made = pair.server.session.take_new();
        assert!(pair.server.session.wants().is_none() && !pair.server.session.wants_write());
        for _ in &made {
            assert!(!pair.server.session.is_secure() && pair.server.got.is_empty());
            pair.server.session.session_is_kept();
        }
        assert_eq!(pair.server.session.wants(), Some(Wants::Secure));
        pair.server.mute = false;
        pair.server.take(&[], 1);
        while pair.server.listen() {}
        pair.server.take(b"", 1);
        pair.server.send();
        while pair.step() {}
        assert!(secure(&pair) && !pair.client.sessions.is_empty());
    }
}

#[test]
fn what_was_kept_badly_is_as_if_it_was_not_found() {
    for version in VERSIONS {
        let mut place = Place::new(version, true);
        let damages: [fn(&mut Vec<u8>); 6] = [
            |data| data.truncate(40),
            |data| data.clear(),
            |data| *data = vec![7; 300],
            |data| *data.last_mut().unwrap() ^= 1,
            |data| data.push(0),
            |data| data[0] ^= 1,
        ];
        for damage in damages {
            let session = place.meet(None).session().clone();
            place.store.values_mut().for_each(damage);
            let again = place.meet(Some(&session));
            assert!(!again.reused, "{:?}", again.pair.server.news());
        }
        // What was kept under another id.
        let session = place.meet(None).session().clone();
        let other = Place::new(version, true).meet(None).pair.server.store;
        let foreign = other.into_values().next().unwrap();
        place
            .store
            .values_mut()
            .for_each(|data| data.clone_from(&foreign));
        assert!(!place.meet(Some(&session)).reused);
        let session = place.meet(None).session().clone();
        let mut pair = place.pair(Some(&session));
        pair.server.mute = true;
        pair.run();
        let error = Error::new(Code::TlsInvalidState, "the store is gone");
        pair.server.session.answer_session(Err(error));
        pair.server.mute = false;
        pair.server.listen();
        assert_eq!(pair.server.news(), Code::TlsInvalidState.to_string());
    }
}

#[test]
fn sessions_live_for_their_time() {
    for version in VERSIONS {
        for kept in [false, true] {
            let short = ServerWishes {
                session_timeout: Duration::from_millis(30),
                ..wishes()
            };
            let mut place = Place::with(version, kept, &short);
            let session = place.meet(None).session().clone();
            std::thread::sleep(Duration::from_millis(31));
            assert!(!place.meet(Some(&session)).reused, "{version} {kept}");
            let none = ServerWishes {
                session_timeout: Duration::ZERO,
                ..wishes()
            };
            let met = Place::with(version, kept, &none).meet(None);
            assert!(met.pair.client.sessions.is_empty());
            assert!(met.pair.client.session.session().is_none());
        }
    }
}

#[test]
fn a_ticket_of_tls_1_2_is_renewed_with_the_time_it_has() {
    let mut place = Place::new(TlsVersion::V1_2, false);
    let lifetime = Duration::from_millis(400);
    let short = ServerWishes {
        session_timeout: lifetime,
        tickets: Some(TicketKeys::given(&[3; 48]).unwrap()),
        ..wishes()
    };
    place.serve(&short, false);
    let begun = std::time::Instant::now();
    let mut newest = place.meet(None).session().clone();
    let mut renewed = 0;
    loop {
        // Others come between.
        place.meet(None);
        let met = place.meet(Some(&newest));
        if !met.reused {
            break;
        }
        assert!(begun.elapsed() < 3 * lifetime, "it goes on for ever");
        newest = met.pair.client.session.session().unwrap().clone();
        renewed += 1;
    }
    assert!(begun.elapsed() >= lifetime && renewed > 0);
}

/// Whether a client of rustls alone, which is not bound as ours are, took up a session.
fn visit(plan: &Rc<ServerPlan>, config: &Arc<rustls::ClientConfig>) -> bool {
    let name = ServerName::try_from("localhost").unwrap();
    let mut client = ClientConnection::new(Arc::clone(config), name).unwrap();
    let mut server = Side::new(Session::server(plan));
    while client.is_handshaking() || client.wants_write() {
        let mut wire = Vec::new();
        client.write_tls(&mut wire).unwrap();
        server.take(&wire, 4096);
        let mut wire = &std::mem::take(&mut server.wire)[..];
        while !wire.is_empty() {
            client.read_tls(&mut wire).unwrap();
            client.process_new_packets().unwrap();
        }
    }
    assert_eq!(server.news(), "secure");
    client.handshake_kind() == Some(rustls::HandshakeKind::Resumed)
}

#[test]
fn a_client_that_agrees_on_something_else_each_time_gains_no_time() {
    let mut place = Place::new(TlsVersion::V1_2, false);
    let lifetime = Duration::from_millis(400);
    let names = [b"a".to_vec(), b"b".to_vec()];
    let short = ServerWishes {
        session_timeout: lifetime,
        alpn: names.to_vec(),
        ..wishes()
    };
    place.serve(&short, false);
    let wishes = ClientWishes {
        reject: true,
        own_identity: false,
        send_name: true,
        alpn: Vec::new(),
    };
    let mut config = rustls::ClientConfig::clone(&place.context.client(&wishes).unwrap().config);
    config.resumption = rustls::client::Resumption::in_memory_sessions(4);
    let configs = names.map(|name| {
        let mut config = config.clone();
        config.alpn_protocols = vec![name];
        Arc::new(config)
    });
    let begun = std::time::Instant::now();
    assert!(!visit(&place.plan, &configs[0]));
    let mut renewed = 0;
    while visit(&place.plan, &configs[(renewed + 1) % 2]) {
        assert!(begun.elapsed() < 3 * lifetime, "it goes on for ever");
        renewed += 1;
    }
    assert!(begun.elapsed() >= lifetime && renewed > 1);
}
