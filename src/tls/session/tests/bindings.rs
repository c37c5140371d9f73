//! What a session is bound to, and what is looked at again when it is taken up.

use super::sessions::{plan, side, wishes, Place, LONG};
use super::*;
use crate::tls::tickets::TicketKeys;

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
fn a_session_is_not_offered_longer_than_the_certificate_is_good() {
    for version in VERSIONS {
        let mut place = Place::new(version, false);
        let met = place.meet(None);
        let until = met.pair.client.session.certificates()[0].valid_to();
        let name = ServerName::try_from("localhost").unwrap();
        for (now, offered) in [(until, true), (until + Duration::from_secs(1), false)] {
            let wishes = ClientWishes {
                reject: true,
                own_identity: false,
                send_name: true,
                alpn: Vec::new(),
            };
            let side = place.context.client(&wishes).unwrap();
            let found = met.session().side_for(&side, "localhost", &name, now);
            assert_eq!(found.is_some(), offered, "{version}");
        }
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

#[test]
fn a_server_that_is_not_trusted_any_more_is_not_by_a_session() {
    for version in VERSIONS {
        for own_identity in [false, true] {
            let wishes = ClientWishes {
                reject: true,
                own_identity,
                send_name: true,
                alpn: Vec::new(),
            };
            let mut place = Place::new(version, false);
            let mut pair = place.pair_with(None, &wishes);
            pair.run();
            let session = place.end(pair).session().clone();
            let from = ingredients(None, Some(&Authority::new("b").pem()));
            let other = SecureContext::make(&from).unwrap().client(&wishes).unwrap();
            let mut pair = place.pair_with(Some(&session), &wishes);
            pair.client.session.verifier = Some(other.verifier);
            pair.run();
            let news = pair.client.news();
            assert!(
                news.ends_with("UNABLE_TO_VERIFY_LEAF_SIGNATURE"),
                "{version}: {news}"
            );
            assert!(!pair.client.session.is_secure());
            assert!(!pair.server.session.is_secure(), "it has heard nothing");
        }
    }
}
