//! A server that lacks the group of the client's key share asks for another (HelloRetryRequest), also of one that takes a
//! session up.

use rustls::crypto::ring::{default_provider, kx_group};
use rustls::crypto::CryptoProvider;
use rustls::server::NoServerSessionStorage;
use rustls::ServerConfig;

use super::sessions::{side, wishes, Met, Place, LONG};
use super::*;

/// SHA-256 of "HelloRetryRequest" begins so, and is in the place of the server's random bytes.
const RETRY: [u8; 8] = [0xcf, 0x21, 0xad, 0x74, 0xe5, 0x9a, 0x61, 0x11];

/// The same server with P-256 only, of which no client of ours sends a key share unasked.
fn picky(plan: &ServerPlan, own: &ServerSide) -> Rc<ServerPlan> {
    let provider = CryptoProvider {
        kx_groups: vec![kx_group::SECP256R1],
        ..default_provider()
    };
    let builder = ServerConfig::builder_with_provider(Arc::new(provider));
    let builder = builder.with_safe_default_protocol_versions().unwrap();
    let mut bare = builder
        .with_no_client_auth()
        .with_cert_resolver(Arc::clone(&own.keys) as _);
    bare.session_storage = Arc::new(NoServerSessionStorage {});
    let mut config = bare.clone();
    config.ticketer = Arc::clone(&own.config.ticketer);
    config.send_tls13_tickets = own.config.send_tls13_tickets;
    let mut side = own.clone();
    (side.config, side.bare) = (Arc::new(config), Arc::new(bare));
    Rc::new(ServerPlan {
        contexts: Contexts::new(side),
        ..plan.clone()
    })
}

/// One connection; whether the server asked for another key share.
fn meet(place: &mut Place, session: Option<&kept::Session>) -> (Met, bool) {
    let mut pair = place.pair(session);
    pair.client.session.start();
    pair.client.send();
    let hello = std::mem::take(&mut pair.client.wire);
    pair.server.take(&hello, pair.piece);
    let answer = &pair.server.wire;
    let asked = answer.windows(RETRY.len()).any(|bytes| bytes == RETRY);
    while pair.step() {}
    (place.end(pair), asked)
}

#[test]
fn a_session_is_taken_up_though_another_key_share_is_asked_for() {
    for (kept, piece) in [(false, 4096), (false, 1), (true, 4096), (true, 1)] {
        let mut place = Place::new(TlsVersion::V1_3, kept);
        place.piece = piece;
        let own = side(&place.own, Some(&place.ca.pem()), &wishes());
        let usual = Rc::new(super::sessions::plan(own.clone(), kept, LONG));
        let picky = picky(&usual, &own);
        place.plan = Rc::clone(&picky);
        let (first, asked) = meet(&mut place, None);
        assert!(asked && !first.reused);
        // Now the client knows what the server likes.
        let (second, asked) = meet(&mut place, Some(first.session()));
        assert!(!asked && second.reused);
        place.plan = usual;
        let (other, asked) = meet(&mut place, None);
        assert!(!asked && !other.reused);
        place.plan = picky;
        let (again, asked) = meet(&mut place, Some(other.session()));
        assert!(asked && again.reused, "kept: {kept}");
        let news = if kept {
            "found new new secure"
        } else {
            "secure"
        };
        assert_eq!(again.pair.server.news(), news);
        // And what came of that may be taken up in turn.
        let (last, asked) = meet(&mut place, Some(again.session()));
        assert!(!asked && last.reused);
    }
}
