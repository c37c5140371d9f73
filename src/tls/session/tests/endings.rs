//! Ends, cuts, junk and narrow transports.

use super::*;

fn met(version: TlsVersion) -> Pair {
    met_with(version, Common::default())
}

fn met_with(version: TlsVersion, common: Common) -> Pair {
    let ca = Authority::new("ca");
    let own = ca.issue(&["localhost"], |_| {});
    let from = only(version, ingredients(None, Some(&ca.pem())));
    let client = client_with(&from, "localhost", true, false, &[], common);
    let mut pair = Pair::new(
        client,
        server(&ingredients(Some(&own), None), false, true, &[]),
    );
    pair.run();
    assert_eq!(pair.news(), ("secure".into(), "secure".into()));
    pair
}

#[test]
fn one_side_ends_and_the_other_goes_on() {
    for version in VERSIONS {
        let mut pair = met(version);
        pair.client.say(b"bye");
        assert!(pair.client.session.close());
        pair.client.send();
        assert!(!pair.client.session.may_write() && pair.client.session.seal(b"more") == 0);
        pair.step();
        assert_eq!(pair.server.got, b"bye");
        assert!(pair.server.session.is_at_end() && !pair.server.session.is_truncated());
        pair.server.say(b"still here");
        pair.step();
        assert_eq!(pair.client.got, b"still here");
        assert!(!pair.client.session.is_at_end());
        pair.server.session.feed_end();
        assert!(!pair.server.session.is_truncated(), "it was told before");
    }
}

#[test]
fn a_transport_that_ends_without_a_word() {
    for version in VERSIONS {
        let mut pair = met(version);
        pair.server.say(b"half of it");
        pair.step();
        pair.client.session.feed_end();
        assert_eq!(pair.client.got, b"half of it");
        assert!(pair.client.session.is_at_end() && pair.client.session.is_truncated());
        let strict = Common {
            strict_end: true,
            ..Common::default()
        };
        let mut pair = met_with(version, strict);
        pair.client.session.feed_end();
        assert!(!pair.client.session.is_at_end());
        pair.client.listen();
        assert_eq!(
            pair.client.news(),
            "secure ERR_SSL_UNEXPECTED_EOF_WHILE_READING"
        );
    }
}

#[test]
fn a_peer_that_leaves_at_any_point_of_the_handshake() {
    let ca = Authority::new("ca");
    let own = ca.issue(&["localhost"], |_| {});
    for version in VERSIONS {
        for after in 0.. {
            let from = only(version, ingredients(None, Some(&ca.pem())));
            let client = client(&from, "localhost", true, &[]);
            let mut pair = Pair::new(
                client,
                server(&ingredients(Some(&own), None), false, true, &[]),
            );
            pair.client.session.start();
            pair.client.send();
            (0..after).for_each(|_| {
                pair.step();
            });
            let done = pair.server.session.is_secure();
            if done {
                assert!(after > 0);
                break;
            }
            assert!(!pair.server.session.is_at_end());
            pair.server.session.feed_end();
            assert!(!pair.server.session.is_at_end());
            pair.server.listen();
            assert_eq!(pair.server.news(), "ECONNRESET");
            if !pair.client.session.is_secure() {
                pair.client.session.feed_end();
                assert!(!pair.client.session.is_at_end());
                pair.client.listen();
                assert_eq!(pair.client.news(), "ECONNRESET");
            }
        }
    }
}

#[test]
fn junk_is_told_from_tls() {
    let ca = Authority::new("ca");
    let own = ca.issue(&["localhost"], |_| {});
    for junk in [
        &b"GET / HTTP/1.1\r\n\r\n"[..],
        &[0; 100],
        &[0xff; 20_000],
        b"\x16\x03\x01\x00\x05hello",
    ] {
        for piece in [1, 100_000] {
            let mut session = Side::new(server(&ingredients(Some(&own), None), false, true, &[]));
            session.take(junk, piece);
            let news = session.news();
            assert!(
                news == "ERR_SSL_WRONG_VERSION_NUMBER"
                    || news == "ERR_SSL_UNEXPECTED_MESSAGE"
                    || news.is_empty(),
                "{news}"
            );
            let mut session = Side::new(client(
                &ingredients(None, Some(&ca.pem())),
                "localhost",
                true,
                &[],
            ));
            session.session.start();
            session.take(junk, piece);
            assert!(!session.session.is_secure());
        }
    }
    let mut session = Side::new(server(&ingredients(Some(&own), None), false, true, &[]));
    session.take(b"GET / HTTP/1.1\r\n\r\n", 1);
    assert_eq!(session.news(), "ERR_SSL_WRONG_VERSION_NUMBER");
}

#[test]
fn a_damaged_record_and_an_alert_after_the_handshake() {
    for version in VERSIONS {
        let mut pair = met(version);
        pair.client.say(b"hello");
        let last = pair.client.wire.len() - 1;
        pair.client.wire[last] ^= 1;
        while pair.step() {}
        assert_eq!(
            pair.server.news(),
            "secure ERR_SSL_DECRYPTION_FAILED_OR_BAD_RECORD_MAC"
        );
        assert_eq!(
            pair.client.news(),
            "secure ERR_SSL_SSLV3_ALERT_BAD_RECORD_MAC"
        );
        assert!(pair.server.got.is_empty() && !pair.server.session.may_write());
    }
}

#[test]
fn cleartext_is_counted_until_the_transport_has_the_whole_record() {
    for version in VERSIONS {
        let mut pair = met(version);
        let session = &mut pair.client.session;
        let data = vec![7; 300_000];
        let taken = session.seal(&data);
        assert!((64 * 1024..=80 * 1024).contains(&taken), "bounded: {taken}");
        assert_eq!(session.seal(&data), 0, "full");
        assert_eq!(session.in_flight(), taken);
        let mut narrow = Narrow {
            room: 16 * 1024,
            taken: Vec::new(),
        };
        assert_eq!(
            session.write_to(&mut narrow).unwrap().plain,
            0,
            "the record is longer by its frame"
        );
        assert_eq!(session.in_flight(), taken);
        narrow.room = 100;
        assert_eq!(session.write_to(&mut narrow).unwrap().plain, 16 * 1024);
        narrow.room = usize::MAX;
        assert_eq!(
            session.write_to(&mut narrow).unwrap().plain,
            taken - 16 * 1024
        );
        assert_eq!(session.in_flight(), 0);
        pair.server.take(&narrow.taken, 1000);
        assert_eq!(pair.server.got, data[..taken]);
    }
}

#[test]
fn cleartext_that_another_session_has_is_counted_until_that_has_sent_it() {
    for version in VERSIONS {
        let mut pair = met(version);
        let session = &mut pair.client.session;
        let mut below = Vec::new();
        assert_eq!(session.seal(&[1; 1000]), 1000);
        let first = session.hand_over(&mut below).unwrap();
        assert_eq!((first.plain, session.in_flight()), (0, 1000));
        // More of it before anything is sent.
        assert_eq!(session.seal(&[2; 500]), 500);
        let second = session.hand_over(&mut below).unwrap();
        assert_eq!(below.len(), first.bytes + second.bytes);
        assert_eq!(session.sent(first.bytes - 1), 0);
        assert_eq!((session.sent(1), session.in_flight()), (1000, 500));
        assert_eq!(session.sent(second.bytes - 1), 0);
        assert_eq!((session.sent(1), session.in_flight()), (500, 0));
    }
}

#[test]
fn what_does_not_fit_is_held_and_comes_later() {
    for version in VERSIONS {
        let mut pair = met(version);
        pair.client.say(&[1; 40_000]);
        let wire = std::mem::take(&mut pair.client.wire);
        let session = &mut pair.server.session;
        assert_eq!(session.feed(&wire, &mut []), 0);
        assert!(session.has_more() && !session.is_at_end());
        session.feed_end();
        assert!(!session.is_at_end(), "there is more to deliver");
        let mut got = 0;
        while session.has_more() {
            got += session.feed(&[], &mut [0; 900]);
        }
        assert_eq!(got, 40_000);
        assert!(session.is_at_end());
    }
}

#[test]
fn data_that_comes_with_the_end_of_the_handshake_waits_for_it_to_be_told() {
    for version in VERSIONS {
        let ca = Authority::new("ca");
        let own = ca.issue(&["localhost"], |_| {});
        let from = only(version, ingredients(None, Some(&ca.pem())));
        let client = client(&from, "localhost", true, &[]);
        let mut pair = Pair::new(
            client,
            server(&ingredients(Some(&own), None), false, true, &[]),
        );
        pair.client.session.start();
        pair.client.send();
        while !pair.server.session.secure {
            if pair.client.session.is_secure() {
                pair.client.say(b"early");
            }
            let wire = std::mem::take(&mut pair.client.wire);
            let mut plain = [0; 100];
            assert_eq!(pair.server.session.feed(&wire, &mut plain), 0, "{version}");
            pair.server.send();
            let wire = std::mem::take(&mut pair.server.wire);
            pair.client.take(&wire, 4096);
        }
        pair.server.session.told_secure();
        let mut plain = [0; 100];
        let early = pair.server.session.feed(&[], &mut plain);
        let expected: &[u8] = if version == TlsVersion::V1_3 {
            b"early"
        } else {
            b""
        };
        assert_eq!(&plain[..early], expected);
    }
}

/// In clear, as it comes while nothing is encrypted yet; later it is a record that cannot be decrypted.
#[test]
fn an_alert_at_any_point_of_the_handshake() {
    const HANDSHAKE_FAILURE: &[u8] = b"\x15\x03\x03\x00\x02\x02\x28";
    let ca = Authority::new("ca");
    let own = ca.issue(&["localhost"], |_| {});
    for version in VERSIONS {
        for to_client in [true, false] {
            for after in 0.. {
                let from = only(version, ingredients(None, Some(&ca.pem())));
                let mut pair = Pair::new(
                    client(&from, "localhost", true, &[]),
                    server(&ingredients(Some(&own), None), false, true, &[]),
                );
                pair.client.session.start();
                pair.client.send();
                (0..after).for_each(|_| {
                    pair.step();
                });
                let side = if to_client {
                    &mut pair.client
                } else {
                    &mut pair.server
                };
                let was_secure = side.session.is_secure();
                side.take(HANDSHAKE_FAILURE, 100);
                let told = side.news().replace("secure ", "");
                let known = [
                    "ERR_SSL_SSLV3_ALERT_HANDSHAKE_FAILURE",
                    "ERR_SSL_DECRYPTION_FAILED_OR_BAD_RECORD_MAC",
                    "ERR_SSL_UNEXPECTED_MESSAGE",
                ];
                assert!(known.contains(&told.as_str()), "{version} {after}: {told}");
                assert_eq!(side.session.is_secure(), was_secure);
                side.take(HANDSHAKE_FAILURE, 1);
                assert!(side.news().ends_with(&told) && side.session.wants().is_none());
                if was_secure {
                    break;
                }
            }
        }
    }
}

#[test]
fn a_damaged_record_after_our_side_has_ended() {
    for version in VERSIONS {
        let mut pair = met(version);
        assert!(pair.client.session.close());
        pair.client.send();
        pair.step();
        pair.server.say(b"good");
        let good = pair.server.wire.len();
        pair.server.say(b"bad");
        pair.server.wire[good + 8] ^= 1;
        pair.step();
        assert_eq!(pair.client.got, b"good");
        let told = pair.client.news();
        assert!(told.starts_with("secure ERR_SSL_"), "{told}");
        assert!(pair.client.session.wants().is_none());
    }
}

#[test]
fn what_came_before_a_damaged_record_is_delivered() {
    for version in VERSIONS {
        let mut pair = met(version);
        pair.client.say(b"good");
        let good = pair.client.wire.len();
        pair.client.say(b"bad");
        pair.client.wire[good + 8] ^= 1;
        while pair.step() {}
        assert_eq!(pair.server.got, b"good");
        assert_eq!(
            pair.server.news(),
            "secure ERR_SSL_DECRYPTION_FAILED_OR_BAD_RECORD_MAC"
        );
    }
}
