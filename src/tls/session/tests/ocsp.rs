//! OCSP responses that go along with certificates.

use super::*;

/// A server of `own`, and a client that trusts its issuer; whether each takes part in OCSP.
struct Place {
    ca: Authority,
    own: Ingredients,
    context: SecureContext,
}

impl Place {
    fn new(version: TlsVersion) -> Place {
        let ca = Authority::new("ca");
        let own = ingredients(Some(&ca.issue(&["localhost"], |_| {})), None);
        let from = only(version, ingredients(None, Some(&ca.pem())));
        Place {
            context: SecureContext::make(&from).unwrap(),
            ca,
            own,
        }
    }

    /// All clients are of one context, and so have one verifier.
    fn pair(&self, client_asks: bool, server_asks: bool, own_identity: bool) -> Pair {
        let wishes = ClientWishes {
            reject: true,
            own_identity,
            send_name: true,
            alpn: Vec::new(),
        };
        let mut client = Session::client(ClientPlan {
            side: self.context.client(&wishes).unwrap(),
            host: "localhost".into(),
            name: ServerName::try_from("localhost").unwrap(),
            session: None,
            common: Common::default(),
        });
        client.common.ocsp = client_asks;
        let mut server = server(&self.own, false, true, &[]);
        server.common.ocsp = server_asks;
        Pair::new(client, server)
    }
}

#[test]
fn a_response_of_the_program_goes_to_the_client_before_all_else() {
    for version in VERSIONS {
        let place = Place::new(version);
        for piece in [1, 4096] {
            for (staple, heard) in [
                (Ok(Some(b"good".to_vec())), "good"),
                (Ok(Some(Vec::new())), "nothing"),
                (Ok(None), "nothing"),
            ] {
                let mut pair = place.pair(true, true, false);
                pair.piece = piece;
                pair.server.staple = staple;
                pair.run();
                let told = (format!("{heard} secure"), "asked secure".to_owned());
                assert_eq!(pair.news(), told, "{version} {piece}");
                pair.client.say(b"hello");
                while pair.step() {}
                assert_eq!(pair.server.got, b"hello");
            }
        }
        let mut pair = place.pair(true, true, true);
        pair.server.staple = Ok(Some(b"good".to_vec()));
        pair.run();
        assert_eq!(pair.client.news(), "good identity 1 secure", "{version}");
    }
}

#[test]
fn a_response_that_is_known_goes_without_asking() {
    for version in VERSIONS {
        let mut place = Place::new(version);
        place.own.ocsp = vec![b"known".into()];
        let mut pair = place.pair(true, false, false);
        pair.run();
        let told = ("known secure".to_owned(), "secure".to_owned());
        assert_eq!(pair.news(), told, "{version}");
        // The program goes before it, whatever it says.
        for (staple, heard) in [(Some(b"fresh".to_vec()), "fresh"), (None, "nothing")] {
            let mut pair = place.pair(true, true, false);
            pair.server.staple = Ok(staple);
            pair.run();
            assert_eq!(pair.client.news(), format!("{heard} secure"), "{version}");
        }
        place.own.ocsp.push(b"another".into());
        let error = SecureContext::make(&place.own).unwrap_err();
        assert_eq!(error.code(), Code::InvalidArgValue);
        place.own.ocsp = vec![b"".into()];
        let error = SecureContext::make(&place.own).unwrap_err();
        assert_eq!(error.code(), Code::InvalidArgValue);
    }
}

#[test]
fn who_did_not_ask_hears_nothing_and_nobody_hears_of_another() {
    for version in VERSIONS {
        let place = Place::new(version);
        let mut first = place.pair(false, true, false);
        first.server.staple = Ok(Some(b"of the first".to_vec()));
        // It goes on before it has come to its certificate, when the first one has.
        let mut second = place.pair(true, true, false).by_bytes();
        first.run();
        second.run();
        let told = ("secure".to_owned(), "asked secure".to_owned());
        assert_eq!(first.news(), told, "{version}");
        assert_eq!(second.client.news(), "nothing secure", "{version}");
    }
}

#[test]
fn the_handshake_waits_for_the_answer_and_can_end_by_it() {
    for version in VERSIONS {
        let place = Place::new(version);
        let mut pair = place.pair(true, true, false);
        pair.server.mute = true;
        pair.run();
        assert_eq!(pair.server.session.wants(), Some(Wants::Staple));
        assert!(!pair.server.session.may_read());
        let (own, issuer) = pair.server.session.asked_certificate().unwrap();
        assert!(Certificate::from_der(&own).is_ok());
        assert_eq!(issuer, None, "it is not known");
        pair.server
            .session
            .answer_staple(Ok(Some(b"late".to_vec())));
        pair.server.mute = false;
        pair.server.send();
        while pair.step() {}
        assert_eq!(pair.client.news(), "late secure", "{version}");
        let mut pair = place.pair(true, true, false);
        pair.server.staple = Err(Error::new(Code::Custom, "the issuer is away"));
        pair.run();
        assert_eq!(pair.server.news(), "asked ERR_CUSTOM");
        assert!(!pair.client.session.is_secure());
    }
}

#[test]
fn the_issuer_is_told_if_it_is_known() {
    let issuer_told = |change: &dyn Fn(&mut Ingredients, &Authority)| {
        let mut place = Place::new(TlsVersion::V1_3);
        change(&mut place.own, &place.ca);
        let mut pair = place.pair(true, true, false);
        pair.server.mute = true;
        pair.run();
        let issuer = pair.server.session.asked_certificate().unwrap().1;
        assert_eq!(issuer.as_deref(), Some(&place.ca.cert.der()[..]));
    };
    issuer_told(&|own, ca| own.ca = Some(vec![ca.pem().into()]));
    issuer_told(&|own, ca| {
        let chained = ca.issue(&["localhost"], |_| {});
        own.keys = vec![((&chained.key).into(), None)];
        own.certs = vec![(chained.cert + &ca.pem()).into()];
    });
}

#[test]
fn a_server_that_is_not_trusted_hears_so_whatever_it_has_stapled() {
    for version in VERSIONS {
        let mut place = Place::new(version);
        let from = ingredients(None, Some(&Authority::new("b").pem()));
        place.context = SecureContext::make(&only(version, from)).unwrap();
        for client_asks in [false, true] {
            let mut pair = place.pair(client_asks, false, false);
            pair.run();
            let told = (
                "UNABLE_TO_VERIFY_LEAF_SIGNATURE".to_owned(),
                Code::TlsAlertUnknownCa.to_string(),
            );
            assert_eq!(pair.news(), told, "{version} {client_asks}");
        }
    }
}
