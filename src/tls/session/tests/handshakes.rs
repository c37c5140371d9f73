//! Who is let in, by whom, and what each is told.

use rcgen::date_time_ymd;

use super::*;

#[test]
fn a_good_certificate_and_data_both_ways_whole_and_by_bytes() {
    let ca = Authority::new("ca");
    let own = ca.issue(&["localhost"], |_| {});
    for version in VERSIONS {
        for piece in [1, 7, 1000, 100_000] {
            let client = client(
                &only(version, ingredients(None, Some(&ca.pem()))),
                "localhost",
                true,
                &["x", "h2"],
            );
            let server = server(&ingredients(Some(&own), None), false, true, &["h2", "x"]);
            let mut pair = Pair::new(client, server);
            pair.piece = piece;
            pair.run();
            assert_eq!(
                pair.news(),
                ("secure".into(), "secure".into()),
                "{version} {piece}"
            );
            let sessions = [&pair.client.session, &pair.server.session];
            for common in sessions.map(|session| session.common_ref().unwrap()) {
                assert_eq!(
                    common.alpn_protocol(),
                    Some(&b"h2"[..]),
                    "the server's order decides"
                );
                assert_eq!(
                    TlsVersion::of(common.protocol_version().unwrap()),
                    Some(version)
                );
            }
            assert!(pair.client.session.is_authorized() && !pair.server.session.is_authorized());
            assert_eq!(pair.server.session.server_name(), Some("localhost"));
            let data: Vec<u8> = (0..50_000_u32).map(|n| n as u8).collect();
            pair.client.say(&data);
            pair.server.say(&data[..777]);
            while pair.step() {}
            assert_eq!(pair.server.got, data);
            assert_eq!(pair.client.got, data[..777]);
        }
    }
}

/// What a client says of a server's certificate, and by rejecting or by reporting.
fn check_server(own: &Identified, ca: Option<&str>, host: &str, code: Option<&str>) {
    for version in VERSIONS {
        let from = only(version, ingredients(None, ca));
        let rejects = client(&from, host, true, &[]);
        let mut pair = Pair::new(
            rejects,
            server(&ingredients(Some(own), None), false, true, &[]),
        );
        pair.run();
        let told = pair.client.news();
        assert_eq!(told, code.unwrap_or("secure"), "{version} {host}");
        if code.is_some() {
            assert!(
                pair.server.news().contains("ALERT"),
                "the server hears why: {}",
                pair.server.news()
            );
        }
        let reports = client(&from, host, false, &[]);
        let mut pair = Pair::new(
            reports,
            server(&ingredients(Some(own), None), false, true, &[]),
        );
        pair.run();
        assert!(secure(&pair), "{:?}", pair.news());
        let found = pair
            .client
            .session
            .unauthorized()
            .map(|error| error.code().to_string());
        assert_eq!(found.as_deref(), code, "{version} {host}");
        assert_eq!(pair.client.session.is_authorized(), code.is_none());
    }
}

#[test]
fn what_a_client_says_of_a_server() {
    let ca = Authority::new("ca");
    let pem = ca.pem();
    let ca_pem = Some(pem.as_str());
    let good = ca.issue(&["localhost", "127.0.0.1", "*.example.com"], |_| {});
    check_server(&good, ca_pem, "localhost", None);
    check_server(&good, ca_pem, "127.0.0.1", None);
    check_server(&good, ca_pem, "a.example.com", None);
    check_server(
        &good,
        ca_pem,
        "b.a.example.com",
        Some("ERR_TLS_CERT_ALTNAME_INVALID"),
    );
    check_server(
        &good,
        ca_pem,
        "127.0.0.2",
        Some("ERR_TLS_CERT_ALTNAME_INVALID"),
    );
    check_server(
        &good,
        None,
        "localhost",
        Some("UNABLE_TO_VERIFY_LEAF_SIGNATURE"),
    );
    let other = Authority::new("other").pem();
    check_server(
        &good,
        Some(&other),
        "localhost",
        Some("UNABLE_TO_VERIFY_LEAF_SIGNATURE"),
    );
    let expired = ca.issue(&["localhost"], |params| {
        params.not_after = date_time_ymd(2020, 1, 1)
    });
    check_server(&expired, ca_pem, "localhost", Some("CERT_HAS_EXPIRED"));
    let early = ca.issue(&["localhost"], |params| {
        params.not_before = date_time_ymd(3000, 1, 1)
    });
    check_server(&early, ca_pem, "localhost", Some("CERT_NOT_YET_VALID"));
    let purpose = ca.issue_client();
    check_server(&purpose, ca_pem, "client", Some("INVALID_PURPOSE"));
    let mut chained = good;
    chained.cert += &pem;
    check_server(
        &chained,
        Some(&other),
        "localhost",
        Some("SELF_SIGNED_CERT_IN_CHAIN"),
    );
}

#[test]
fn a_certificate_that_is_itself_trusted() {
    let key = KeyPair::generate().unwrap();
    for is_ca in [IsCa::NoCa, IsCa::Ca(BasicConstraints::Unconstrained)] {
        let mut params = CertificateParams::new(vec!["localhost".into()]).unwrap();
        params.is_ca = is_ca;
        let own = Identified {
            key: key.serialize_pem(),
            cert: params.clone().self_signed(&key).unwrap().pem(),
        };
        check_server(&own, Some(&own.cert), "localhost", None);
        check_server(
            &own,
            Some(&own.cert),
            "example.com",
            Some("ERR_TLS_CERT_ALTNAME_INVALID"),
        );
        check_server(&own, None, "localhost", Some("DEPTH_ZERO_SELF_SIGNED_CERT"));
        params.not_after = date_time_ymd(2020, 1, 1);
        let expired = Identified {
            key: key.serialize_pem(),
            cert: params.self_signed(&key).unwrap().pem(),
        };
        check_server(
            &expired,
            Some(&expired.cert),
            "localhost",
            Some("CERT_HAS_EXPIRED"),
        );
    }
}

fn fixture(name: &str) -> Identified {
    let read = |end: &str| {
        let root = env!("CARGO_MANIFEST_DIR");
        std::fs::read_to_string(format!("{root}/src/tls/fixtures/{name}.{end}")).unwrap()
    };
    Identified {
        key: read("pem"),
        cert: read("crt"),
    }
}

#[test]
fn certificates_of_version_1_on_both_sides() {
    for name in ["v1-server", "v1-ec"] {
        let own = fixture(name);
        check_server(&own, Some(&own.cert), "localhost", None);
        check_server(
            &own,
            Some(&own.cert),
            "example.com",
            Some("ERR_TLS_CERT_ALTNAME_INVALID"),
        );
        check_server(&own, None, "localhost", Some("DEPTH_ZERO_SELF_SIGNED_CERT"));
        // The signature of the handshake is checked: who has the certificate, but another key, is not let in.
        let mut thief = fixture(name);
        thief.key = KeyPair::generate().unwrap().serialize_pem();
        let error = SecureContext::make(&ingredients(Some(&thief), None)).unwrap_err();
        assert_eq!(error.code(), Code::TlsKeyMismatch);
    }
    let (own, visitor) = (fixture("v1-server"), fixture("v1-client"));
    for version in VERSIONS {
        let client = client(
            &only(version, ingredients(Some(&visitor), Some(&own.cert))),
            "localhost",
            true,
            &[],
        );
        let server = server(
            &ingredients(Some(&own), Some(&visitor.cert)),
            true,
            true,
            &[],
        );
        let mut pair = Pair::new(client, server).by_bytes();
        pair.run();
        assert_eq!(pair.news(), ("secure".into(), "secure".into()));
        assert!(pair.server.session.is_authorized());
        let names: Vec<_> = pair.server.session.certificates()[0]
            .common_names()
            .map(str::to_owned)
            .collect();
        assert_eq!(names, ["client"]);
    }
}

#[test]
fn a_context_for_each_name_now_or_later() {
    let ca = Authority::new("ca");
    let side = |name: &str| {
        let own = ca.issue(&[name], |_| {});
        let wishes = ServerWishes {
            request_cert: false,
            reject: true,
            honor_cipher_order: true,
            alpn: Vec::new(),
            session_timeout: Duration::from_secs(300),
            tickets: None,
        };
        SecureContext::make(&ingredients(Some(&own), None))
            .unwrap()
            .server(&wishes)
            .unwrap()
    };
    let mut contexts = Contexts::new(side("localhost"));
    contexts.add("*.example.com", side("*.example.com"));
    contexts.add("b.example.com", side("b.example.com"));
    let plan = |own_choice| {
        Rc::new(ServerPlan {
            contexts: contexts.clone(),
            own_choice,
            sessions: SessionPlan::default(),
            common: Common::default(),
        })
    };
    for version in VERSIONS {
        let connect = |host: &str| {
            client(
                &only(version, ingredients(None, Some(&ca.pem()))),
                host,
                true,
                &[],
            )
        };
        for host in ["localhost", "a.example.com", "b.example.com"] {
            let mut pair = Pair::new(connect(host), Session::server(&plan(false))).by_bytes();
            pair.run();
            assert!(secure(&pair), "{host} {:?}", pair.news());
        }
        let mut pair = Pair::new(connect("elsewhere"), Session::server(&plan(true)));
        pair.server.mute = true;
        pair.run();
        assert_eq!(pair.server.session.wants(), Some(Wants::Context));
        assert_eq!(pair.server.session.server_name(), Some("elsewhere"));
        pair.server
            .session
            .answer_context(Ok(Some(side("elsewhere"))));
        pair.server.mute = false;
        pair.server.send();
        while pair.step() {}
        assert!(secure(&pair), "{:?}", pair.news());
        let mut pair = Pair::new(connect("elsewhere"), Session::server(&plan(true)));
        pair.server.mute = true;
        pair.run();
        let refused = Error::new(Code::TlsInvalidContext, "Invalid SNI context");
        pair.server.session.answer_context(Err(refused));
        pair.server.mute = false;
        pair.server.listen();
        assert_eq!(pair.server.news(), "ERR_TLS_INVALID_CONTEXT");
    }
}

#[test]
fn what_cannot_be_agreed_on() {
    let ca = Authority::new("ca");
    let own = ca.issue(&["localhost"], |_| {});
    let meet = |from: Ingredients, to: Ingredients, alpn: [&[&str]; 2]| {
        let mut pair = Pair::new(
            client(&from, "localhost", true, alpn[0]),
            server(&to, false, true, alpn[1]),
        );
        pair.run();
        pair.news()
    };
    let (to, from) = (
        ingredients(Some(&own), None),
        ingredients(None, Some(&ca.pem())),
    );
    let [old, new] = VERSIONS.map(|version| only(version, from.clone()));
    let [old_only, new_only] = VERSIONS.map(|version| only(version, to.clone()));
    let told = (
        "ERR_SSL_TLSV1_ALERT_PROTOCOL_VERSION".into(),
        "ERR_SSL_UNSUPPORTED_PROTOCOL".into(),
    );
    assert_eq!(meet(old.clone(), new_only, [&[], &[]]), told);
    assert_eq!(meet(new, old_only, [&[], &[]]), told);
    let told = (
        "ERR_SSL_TLSV1_ALERT_NO_APPLICATION_PROTOCOL".into(),
        "ERR_SSL_NO_APPLICATION_PROTOCOL".into(),
    );
    assert_eq!(meet(from.clone(), to.clone(), [&["a"], &["b"]]), told);
    let fine = ("secure".into(), "secure".into());
    assert_eq!(meet(from.clone(), to.clone(), [&[], &["b"]]), fine);
    assert_eq!(meet(from.clone(), to.clone(), [&["a"], &[]]), fine);
    let mut narrow = old;
    narrow.ciphers = Some("ECDHE-RSA-AES128-GCM-SHA256".into());
    let told = (
        "ERR_SSL_SSLV3_ALERT_HANDSHAKE_FAILURE".into(),
        "ERR_SSL_NO_SHARED_CIPHER".into(),
    );
    assert_eq!(meet(narrow, to, [&[], &[]]), told);
}

#[test]
fn the_secrets_of_a_connection_are_logged_when_asked_for() {
    let ca = Authority::new("ca");
    let own = ca.issue(&["localhost"], |_| {});
    for (version, lines) in [(TlsVersion::V1_2, 1), (TlsVersion::V1_3, 5)] {
        let mut client = client(
            &only(version, ingredients(None, Some(&ca.pem()))),
            "localhost",
            true,
            &[],
        );
        client.collect_keys();
        let mut pair = Pair::new(
            client,
            server(&ingredients(Some(&own), None), false, true, &[]),
        );
        pair.server.session.collect_keys();
        pair.run();
        for side in [&pair.client, &pair.server] {
            let keys = side
                .news
                .iter()
                .filter(|news| news.starts_with("key "))
                .count();
            assert_eq!(keys, lines, "{:?}", side.news);
            assert!(side.news.contains(&"secure".to_owned()));
        }
    }
}

#[test]
fn whose_order_of_ciphers_decides() {
    let ca = Authority::new("ca");
    let own = ca.issue(&["localhost"], |_| {});
    let [small, large] = [
        "ECDHE-ECDSA-AES128-GCM-SHA256",
        "ECDHE-ECDSA-AES256-GCM-SHA384",
    ];
    for (honor_cipher_order, expected) in [(true, small), (false, large)] {
        let mut to = ingredients(Some(&own), None);
        to.ciphers = Some(format!("{small}:{large}"));
        let wishes = ServerWishes {
            request_cert: false,
            reject: true,
            honor_cipher_order,
            alpn: Vec::new(),
            session_timeout: Duration::from_secs(300),
            tickets: None,
        };
        let side = SecureContext::make(&to).unwrap().server(&wishes).unwrap();
        let server = Session::server(&Rc::new(ServerPlan {
            contexts: Contexts::new(side),
            own_choice: false,
            sessions: SessionPlan::default(),
            common: Common::default(),
        }));
        let mut from = ingredients(None, Some(&ca.pem()));
        from.ciphers = Some(format!("{large}:{small}"));
        let mut pair = Pair::new(client(&from, "localhost", true, &[]), server);
        pair.run();
        let suite = pair
            .client
            .session
            .common_ref()
            .unwrap()
            .negotiated_cipher_suite();
        assert_eq!(
            crate::tls::Cipher::of(suite.unwrap()).unwrap().name,
            expected
        );
    }
}
