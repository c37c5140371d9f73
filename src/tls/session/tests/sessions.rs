//! Sessions that are taken up again, by tickets and by what a program has kept.

use super::*;
use crate::tls::tickets::TicketKeys;

const LONG: Duration = Duration::from_secs(300);

/// A server that many connections come to, and who may visit it.
struct Place {
    ca: Authority,
    own: Identified,
    plan: Rc<ServerPlan>,
    from: Ingredients,
    context: SecureContext,
    host: &'static str,
    /// What the server's program keeps.
    store: HashMap<Vec<u8>, Vec<u8>>,
    piece: usize,
}

fn wishes() -> ServerWishes {
    ServerWishes {
        request_cert: false,
        reject: true,
        honor_cipher_order: true,
        alpn: Vec::new(),
        session_timeout: LONG,
        tickets: None,
    }
}

fn plan(side: ServerSide, kept: bool, timeout: Duration) -> ServerPlan {
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
    fn new(version: TlsVersion, kept: bool) -> Place {
        Place::with(version, kept, &wishes())
    }

    fn with(version: TlsVersion, kept: bool, wishes: &ServerWishes) -> Place {
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
    fn serve(&mut self, wishes: &ServerWishes, kept: bool) {
        let side = side(&self.own, Some(&self.ca.pem()), wishes);
        self.plan = Rc::new(plan(side, kept, wishes.session_timeout));
    }

    fn pair(&self, session: Option<&kept::Session>) -> Pair {
        let wishes = ClientWishes {
            reject: true,
            own_identity: false,
            send_name: true,
            alpn: Vec::new(),
        };
        self.pair_with(session, &wishes)
    }

    fn pair_with(&self, session: Option<&kept::Session>, wishes: &ClientWishes) -> Pair {
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
    fn meet(&mut self, session: Option<&kept::Session>) -> Met {
        let mut pair = self.pair(session);
        pair.run();
        self.end(pair)
    }

    fn end(&mut self, mut pair: Pair) -> Met {
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
    fn resumes(&mut self) -> bool {
        let first = self.meet(None);
        assert!(!first.reused);
        let session = first.pair.client.sessions[0].1.clone();
        self.meet(Some(&session)).reused
    }
}

struct Met {
    pair: Pair,
    reused: bool,
}

impl Met {
    fn session(&self) -> &kept::Session {
        &self.pair.client.sessions.last().unwrap().1
    }
}

fn side(own: &Identified, ca: Option<&str>, wishes: &ServerWishes) -> ServerSide {
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
fn servers_with_the_same_keys_take_up_each_others_tickets() {
    let with = |keys: &Arc<TicketKeys>| ServerWishes {
        tickets: Some(Arc::clone(keys)),
        ..wishes()
    };
    for version in VERSIONS {
        let keys = TicketKeys::given(&[3; 48]).unwrap();
        let mut place = Place::with(version, false, &with(&keys));
        assert!(place.resumes());
        let first = place.meet(None).session().clone();
        // As another process would.
        place.serve(&with(&TicketKeys::given(&[3; 48]).unwrap()), false);
        assert!(place.meet(Some(&first)).reused);
        let second = place.meet(None).session().clone();
        place.serve(&with(&TicketKeys::given(&[4; 48]).unwrap()), false);
        assert!(!place.meet(Some(&second)).reused, "other keys");
        place.serve(&with(&keys), false);
        let third = place.meet(None).session().clone();
        keys.set(&[5; 48]).unwrap();
        assert!(!place.meet(Some(&third)).reused, "changed keys");
        assert!(place.resumes());
    }
}

#[test]
fn no_context_takes_up_a_session_of_another() {
    let keys = TicketKeys::given(&[3; 48]).unwrap();
    let base = ServerWishes {
        tickets: Some(keys),
        ..wishes()
    };
    let changed = [
        ServerWishes {
            request_cert: true,
            reject: false,
            ..base.clone()
        },
        ServerWishes {
            alpn: vec![b"a".to_vec()],
            ..base.clone()
        },
    ];
    for version in VERSIONS {
        for kept in [false, true] {
            for other in &changed {
                let mut place = Place::with(version, kept, &base);
                let session = place.meet(None).session().clone();
                place.serve(other, kept);
                assert!(!place.meet(Some(&session)).reused, "{version} {other:?}");
            }
            let mut place = Place::with(version, kept, &base);
            let session = place.meet(None).session().clone();
            place.own = place.ca.issue(&["localhost"], |_| {});
            place.serve(&base, kept);
            assert!(!place.meet(Some(&session)).reused, "another certificate");
            let session = place.meet(None).session().clone();
            let side = side(&place.own, None, &base);
            place.plan = Rc::new(plan(side, kept, LONG));
            assert!(!place.meet(Some(&session)).reused, "other roots");
            let session = place.meet(None).session().clone();
            place.serve(&base, !kept);
            assert!(!place.meet(Some(&session)).reused, "another way");
        }
    }
}

#[test]
fn a_client_takes_up_a_session_only_under_what_it_was_made_with() {
    let wishes = || ClientWishes {
        reject: true,
        own_identity: false,
        send_name: true,
        alpn: Vec::new(),
    };
    for version in VERSIONS {
        let mut place = Place::new(version, false);
        let lax = ClientWishes {
            reject: false,
            ..wishes()
        };
        let own = ClientWishes {
            own_identity: true,
            ..wishes()
        };
        let alpn = ClientWishes {
            alpn: vec![b"a".to_vec()],
            ..wishes()
        };
        for (before, after) in [
            (&lax, &wishes()),
            (&own, &wishes()),
            (&wishes(), &own),
            (&alpn, &wishes()),
        ] {
            for (after, reused) in [(after, false), (before, true)] {
                let mut pair = place.pair_with(None, before);
                pair.run();
                let session = place.end(pair).session().clone();
                let mut pair = place.pair_with(Some(&session), after);
                pair.run();
                assert_eq!(place.end(pair).reused, reused, "{before:?} {after:?}");
            }
        }
        // The same in a context made anew is the same.
        let session = place.meet(None).session().clone();
        place.context = SecureContext::make(&place.from).unwrap();
        assert!(place.meet(Some(&session)).reused);
        let session = place.meet(None).session().clone();
        let both = place.ca.pem() + &Authority::new("b").pem();
        let from = only(version, ingredients(None, Some(&both)));
        place.context = SecureContext::make(&from).unwrap();
        assert!(!place.meet(Some(&session)).reused, "another `ca`");
        place.own = place.ca.issue(&["localhost", "example.com"], |_| {});
        place.serve(&self::wishes(), false);
        let session = place.meet(None).session().clone();
        place.host = "example.com";
        assert!(!place.meet(Some(&session)).reused, "another host");
    }
}

#[test]
fn the_programs_own_opinion_is_asked_for_again() {
    let own = ClientWishes {
        reject: true,
        own_identity: true,
        send_name: true,
        alpn: Vec::new(),
    };
    for version in VERSIONS {
        let mut place = Place::new(version, false);
        let mut pair = place.pair_with(None, &own);
        pair.run();
        let session = place.end(pair).session().clone();
        let mut pair = place.pair_with(Some(&session), &own);
        pair.client.opinion = Err(Error::new(Code::CertRejected, "not any more"));
        pair.run();
        assert_eq!(pair.client.news(), "identity 1 CERT_REJECTED", "{version}");
        assert!(!pair.client.session.is_secure());
    }
}

#[test]
fn certificates_of_clients_outlive_the_first_connection_and_are_looked_at_again() {
    for version in VERSIONS {
        for (kept, reject) in [(false, true), (true, true), (false, false), (true, false)] {
            let asking = ServerWishes {
                request_cert: true,
                reject,
                ..wishes()
            };
            let mut place = Place::with(version, kept, &asking);
            let mut visit = |visitor: &Identified| {
                let from = ingredients(Some(visitor), Some(&place.ca.pem()));
                place.context = SecureContext::make(&only(version, from)).unwrap();
                let session = place.meet(None).session().clone();
                place.meet(Some(&session))
            };
            let ca = Authority::new("other");
            let foreign = ca.issue_client();
            if !reject {
                let met = visit(&foreign);
                let server = &met.pair.server.session;
                assert!(met.reused && !server.is_authorized());
                assert_eq!(
                    server.unauthorized().unwrap().code(),
                    Code::CertLeafUnverified
                );
            }
            let good = place.ca.issue_client();
            let from = ingredients(Some(&good), Some(&place.ca.pem()));
            place.context = SecureContext::make(&only(version, from)).unwrap();
            let session = place.meet(None).session().clone();
            let met = place.meet(Some(&session));
            let server = &met.pair.server.session;
            assert!(met.reused && server.is_authorized() && server.certificates().len() == 1);
        }
    }
}

#[test]
fn one_who_is_not_trusted_any_more_is_not_let_in_by_a_session() {
    for version in VERSIONS {
        let asking = ServerWishes {
            request_cert: true,
            ..wishes()
        };
        let mut place = Place::with(version, false, &asking);
        let from = ingredients(Some(&place.ca.issue_client()), Some(&place.ca.pem()));
        place.context = SecureContext::make(&only(version, from)).unwrap();
        let session = place.meet(None).session().clone();
        let other = side(&place.own, Some(&Authority::new("b").pem()), &asking);
        let plan = Rc::get_mut(&mut place.plan).unwrap();
        plan.contexts.default.verifier = other.verifier;
        let mut pair = place.pair(Some(&session));
        pair.run();
        assert_eq!(pair.server.news(), "UNABLE_TO_VERIFY_LEAF_SIGNATURE");
        assert!(!pair.server.session.is_secure() && pair.client.sessions.is_empty());
    }
}

#[test]
fn the_context_is_chosen_first_and_then_the_session() {
    for version in VERSIONS {
        let mut place = Place::new(version, true);
        let chosen = side(&place.own, Some(&place.ca.pem()), &wishes());
        Rc::get_mut(&mut place.plan).unwrap().own_choice = true;
        let first = place.meet(None);
        assert!(first.pair.server.news().starts_with("context"));
        let mut pair = place.pair(Some(first.session()));
        pair.server.mute = true;
        pair.run();
        assert_eq!(pair.server.session.wants(), Some(Wants::Context));
        pair.server.session.answer_context(Ok(Some(chosen)));
        assert_eq!(pair.server.session.wants(), Some(Wants::Session));
        let id = pair.server.session.asked_id().unwrap().to_vec();
        let data = place.store[&id].clone();
        pair.server.session.answer_session(Ok(Some(data)));
        pair.server.mute = false;
        pair.server.send();
        while pair.step() {}
        assert!(place.end(pair).reused);
        // An answer that comes twice, or to nothing, is not heard.
        let mut session = Session::server(&place.plan);
        session.answer_session(Ok(None));
        session.session_is_kept();
        assert_eq!(session.wants(), None);
    }
}
