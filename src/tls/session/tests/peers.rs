//! Certificates of clients, and what the program itself thinks of a server.

use super::*;

#[test]
fn client_certificates() {
    let ca = Authority::new("ca");
    let own = ca.issue(&["localhost"], |_| {});
    let good = ca.issue_client();
    let foreign = Authority::new("other").issue_client();
    let purpose = ca.issue(&["x"], |params| {
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth]
    });
    let none = "ERR_SSL_PEER_DID_NOT_RETURN_A_CERTIFICATE";
    for version in VERSIONS {
        for (visitor, code) in [
            (Some(&good), None),
            (None, Some(none)),
            (Some(&foreign), Some("UNABLE_TO_VERIFY_LEAF_SIGNATURE")),
            (Some(&purpose), Some("INVALID_PURPOSE")),
        ] {
            for reject in [true, false] {
                let client = client(
                    &only(version, ingredients(visitor, Some(&ca.pem()))),
                    "localhost",
                    true,
                    &[],
                );
                let server = server(&ingredients(Some(&own), Some(&ca.pem())), true, reject, &[]);
                let mut pair = Pair::new(client, server);
                pair.run();
                let (told, server) = pair.news();
                if let (true, Some(code)) = (reject, code) {
                    assert_eq!(server, code);
                    assert!(told.contains("ALERT"), "{told}");
                    assert_eq!(
                        told.starts_with("secure"),
                        version == TlsVersion::V1_3,
                        "{told}"
                    );
                } else {
                    assert_eq!((told.as_str(), server.as_str()), ("secure", "secure"));
                    assert_eq!(pair.server.session.is_authorized(), code.is_none());
                    let found = pair
                        .server
                        .session
                        .unauthorized()
                        .map(|error| error.code().to_string());
                    assert_eq!(found.as_deref(), code);
                }
            }
        }
    }
}

#[test]
fn an_opinion_on_who_the_server_is() {
    let ca = Authority::new("ca");
    let own = ca.issue(&["localhost"], |_| {});
    let cases = [
        (
            "example.com",
            true,
            Some(ca.pem()),
            Ok(()),
            "identity 1 secure",
        ),
        (
            "localhost",
            true,
            Some(ca.pem()),
            Err(Error::new(Code::CertRejected, "no")),
            "identity 1 CERT_REJECTED",
        ),
        (
            "localhost",
            true,
            None,
            Ok(()),
            "UNABLE_TO_VERIFY_LEAF_SIGNATURE",
        ),
        ("localhost", false, None, Ok(()), "secure"),
        (
            "localhost",
            false,
            Some(ca.pem()),
            Err(Error::new(Code::CertRejected, "no")),
            "identity 1 secure",
        ),
    ];
    for version in VERSIONS {
        for (host, reject, ca, opinion, told) in &cases {
            let from = only(version, ingredients(None, ca.as_deref()));
            let client = client_with(&from, host, *reject, true, &[], Common::default());
            let mut pair = Pair::new(
                client,
                server(&ingredients(Some(&own), None), false, true, &[]),
            );
            pair.client.opinion.clone_from(opinion);
            pair.run();
            assert_eq!(pair.client.news(), *told, "{version} {host}");
            let good = *reject && opinion.is_ok() && ca.is_some();
            assert_eq!(pair.client.session.is_authorized(), good);
        }
    }
}

#[test]
fn nothing_is_sent_before_the_opinion_is_known() {
    let ca = Authority::new("ca");
    let own = ca.issue(&["localhost"], |_| {});
    for version in VERSIONS {
        let from = only(version, ingredients(None, Some(&ca.pem())));
        let client = client_with(&from, "localhost", true, true, &[], Common::default());
        let mut pair = Pair::new(
            client,
            server(&ingredients(Some(&own), None), false, true, &[]),
        );
        pair.client.mute = true;
        pair.run();
        assert_eq!(pair.client.session.wants(), Some(Wants::Identity));
        assert!(!pair.server.session.is_secure() && !pair.client.session.wants_write());
        pair.client.mute = false;
        while pair.client.listen() {}
        pair.client.send();
        while pair.step() {}
        assert!(secure(&pair), "{version}: {:?}", pair.news());
    }
}

/// Has a certificate of another's.
#[derive(Debug)]
struct Thief(Arc<rustls::sign::CertifiedKey>);

impl rustls::server::ResolvesServerCert for Thief {
    fn resolve(
        &self,
        _: rustls::server::ClientHello<'_>,
    ) -> Option<Arc<rustls::sign::CertifiedKey>> {
        Some(Arc::clone(&self.0))
    }
}

fn bare(config: rustls::ServerConfig) -> ServerSide {
    let config = Arc::new(config);
    let wishes = ServerWishes {
        request_cert: false,
        reject: true,
        honor_cipher_order: true,
        alpn: Vec::new(),
        session_timeout: Duration::ZERO,
        tickets: None,
    };
    let context = SecureContext::make(&Ingredients::default()).unwrap();
    ServerSide {
        bare: Arc::clone(&config),
        config,
        ..context.server(&wishes).unwrap()
    }
}

#[test]
fn who_has_a_certificate_and_not_its_key_is_not_let_in_even_by_version_1() {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/src/tls/fixtures");
    let read = |name: &str| std::fs::read(format!("{root}/{name}")).unwrap();
    let provider = rustls::crypto::ring::default_provider();
    let other_ec = KeyPair::generate().unwrap().serialize_pem().into_bytes();
    for (cert, key) in [
        ("v1-server.crt", read("v1-client.pem")),
        ("v1-ec.crt", other_ec),
    ] {
        let cert = read(cert);
        let der = crate::tls::certificate::load(&Material::from(&cert)).unwrap();
        let key = crate::tls::keys::load(&Material::from(key), None, &provider).unwrap();
        let stolen = rustls::sign::CertifiedKey::new(vec![der[0].der().clone()], key[0].clone());
        for version in VERSIONS {
            let config = rustls::ServerConfig::builder_with_provider(Arc::new(provider.clone()))
                .with_safe_default_protocol_versions()
                .unwrap()
                .with_no_client_auth()
                .with_cert_resolver(Arc::new(Thief(Arc::new(stolen.clone()))));
            let plan = Rc::new(ServerPlan {
                contexts: Contexts::new(bare(config)),
                own_choice: false,
                sessions: SessionPlan::default(),
                common: Common::default(),
            });
            let ca = String::from_utf8(cert.clone()).unwrap();
            for reject in [true, false] {
                let from = only(version, ingredients(None, Some(&ca)));
                let mut pair = Pair::new(
                    client(&from, "localhost", reject, &[]),
                    Session::server(&plan),
                );
                pair.run();
                assert_eq!(pair.client.news(), "CERT_SIGNATURE_FAILURE", "{version}");
            }
        }
    }
}

#[test]
fn what_one_thread_finds_out_is_not_told_to_another() {
    use rustls::client::danger::ServerCertVerifier;
    let authority = Authority::new("ca");
    let stranger = Authority::new("b").issue(&["localhost"], |_| {});
    let from = ingredients(None, Some(&authority.pem()));
    // Of a session that went to other threads, all have one verifier.
    let verifier = client(&from, "localhost", true, &[]).verifier.unwrap();
    let leaf = crate::tls::certificate::load(&Material::from(&stranger.cert)).unwrap();
    let name = ServerName::try_from("localhost").unwrap();
    let now = UnixTime::now();
    let checked = verifier.verify_server_cert(leaf[0].der(), &[], &name, b"stapled", now);
    assert!(checked.is_err());
    let take = || (Verifier::take_found(), Verifier::take_stapled());
    let elsewhere = std::thread::spawn(take);
    let (found, stapled) = elsewhere.join().unwrap();
    assert!(found.is_none() && stapled.is_none());
    let (found, stapled) = take();
    assert_eq!(found.unwrap().code(), Code::CertLeafUnverified);
    assert_eq!(stapled.as_deref(), Some(&b"stapled"[..]));
}
