//! What lists of revoked certificates do to those that they name, and to those of whom no list tells.

use rcgen::{
    date_time_ymd, CertificateRevocationListParams, KeyIdMethod, KeyUsagePurpose, RevokedCertParams,
};

use super::*;

impl Authority {
    /// One below this one.
    fn below(&self, name: &str, serial: u64) -> Authority {
        let key = KeyPair::generate().unwrap();
        let mut params = authority(name);
        params.serial_number = Some(serial.into());
        let cert = params.signed_by(&key, &self.cert, &self.key).unwrap();
        Authority { key, cert }
    }

    fn issue_number(&self, serial: u64) -> Identified {
        self.issue(&["localhost"], |params| {
            params.serial_number = Some(serial.into())
        })
    }

    /// A list of these numbers that holds between two years.
    fn revoke(&self, years: [i32; 2], serials: &[u64]) -> String {
        self.revoke_by(years, serials, &self.key)
    }

    fn revoke_by(&self, years: [i32; 2], serials: &[u64], key: &KeyPair) -> String {
        let named = |serial: &u64| RevokedCertParams {
            serial_number: (*serial).into(),
            revocation_time: date_time_ymd(2020, 1, 1),
            reason_code: None,
            invalidity_date: None,
        };
        let [this_update, next_update] = years.map(|year| date_time_ymd(year, 1, 1));
        let params = CertificateRevocationListParams {
            this_update,
            next_update,
            crl_number: 1.into(),
            issuing_distribution_point: None,
            revoked_certs: serials.iter().map(named).collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        params.signed_by(&self.cert, key).unwrap().pem().unwrap()
    }
}

const NOW: [i32; 2] = [2020, 3000];

/// What is said of `own` by either side, when it rejects and when it reports.
#[track_caller]
fn check(own: &Identified, ca: &[&str], crl: &[&str], code: Option<&str>) {
    let mut judge = ingredients(None, None);
    judge.ca = Some(ca.iter().copied().map(Material::from).collect());
    judge.crl = crl.iter().copied().map(Material::from).collect();
    let server_of_judge = Authority::new("elsewhere").issue(&["localhost"], |_| {});
    let mut judge_of_clients = ingredients(Some(&server_of_judge), None);
    judge_of_clients.ca.clone_from(&judge.ca);
    judge_of_clients.crl.clone_from(&judge.crl);
    for version in VERSIONS {
        for reject in [true, false] {
            let clients = Pair::new(
                client(&only(version, judge.clone()), "localhost", reject, &[]),
                server(&ingredients(Some(own), None), false, true, &[]),
            );
            let judged = only(version, ingredients(Some(own), Some(&server_of_judge.cert)));
            let servers = Pair::new(
                client(&judged, "localhost", true, &[]),
                server(&judge_of_clients, true, reject, &[]),
            );
            for (mut pair, by_client) in [(clients, true), (servers, false)] {
                pair.run();
                let judge = if by_client {
                    &pair.client
                } else {
                    &pair.server
                };
                let what = format!("{version} reject {reject} by_client {by_client}");
                if reject {
                    assert_eq!(judge.news(), code.unwrap_or("secure"), "{what}");
                } else {
                    assert_eq!(judge.news(), "secure", "{what}");
                    let found = judge.session.unauthorized();
                    let found = found.map(|error| error.code().to_string());
                    assert_eq!(found.as_deref(), code, "{what}");
                    assert_eq!(judge.session.is_authorized(), code.is_none(), "{what}");
                }
            }
        }
    }
}

#[test]
fn lists_of_the_one_issuer() {
    let ca = Authority::new("ca");
    let pem = ca.pem();
    let own = ca.issue_number(7);
    check(&own, &[&pem], &[&ca.revoke(NOW, &[])], None);
    check(&own, &[&pem], &[&ca.revoke(NOW, &[6, 8])], None);
    let revoked = Some("CERT_REVOKED");
    check(&own, &[&pem], &[&ca.revoke(NOW, &[6, 7])], revoked);
    let old = ca.revoke([2020, 2021], &[]);
    check(&own, &[&pem], &[&old], Some("CRL_HAS_EXPIRED"));
    let early = ca.revoke([3000, 3001], &[]);
    check(&own, &[&pem], &[&early], Some("CRL_NOT_YET_VALID"));
    let other = Authority::new("other").revoke(NOW, &[]);
    let unknown = Some("UNABLE_TO_GET_CRL");
    check(&own, &[&pem], &[&other], unknown);
    check(&own, &[&pem], &[&other, &ca.revoke(NOW, &[])], None);
    let forged = ca.revoke_by(NOW, &[], &KeyPair::generate().unwrap());
    check(&own, &[&pem], &[&forged], Some("CRL_SIGNATURE_FAILURE"));
    // The newest counts, in whatever order they are given.
    let newer = ca.revoke([2022, 3000], &[7]);
    for lists in [[&old, &newer], [&newer, &old]] {
        check(
            &own,
            &[&pem],
            &[&lists.map(String::as_str).concat()],
            revoked,
        );
    }
}

#[test]
fn the_whole_chain_is_asked_about() {
    let root = Authority::new("root");
    let between = root.below("between", 3);
    let (pem, middle) = (root.pem(), between.pem());
    let mut own = between.issue_number(7);
    let bare = own.cert.clone();
    let good = [root.revoke(NOW, &[]), between.revoke(NOW, &[])];
    let [by_root, by_between] = good.each_ref().map(String::as_str);
    let no_middle = root.revoke(NOW, &[3]);
    let unknown = Some("UNABLE_TO_GET_CRL");
    let revoked = Some("CERT_REVOKED");
    for sent in [true, false] {
        own.cert = if sent {
            format!("{bare}{middle}")
        } else {
            bare.clone()
        };
        // One between that the peer does not send is known if it is in `ca`.
        let mut trusted = vec![vec![pem.as_str(), middle.as_str()]];
        if sent {
            trusted.push(vec![pem.as_str()]);
        }
        for ca in trusted {
            check(&own, &ca, &[by_root, by_between], None);
            check(&own, &ca, &[by_root], unknown);
            check(&own, &ca, &[by_between], unknown);
            check(&own, &ca, &[&no_middle, by_between], revoked);
            check(&own, &ca, &[by_root, &between.revoke(NOW, &[7])], revoked);
        }
        // Nobody above the only one in `ca` could tell of it.
        check(&own, &[&middle], &[by_between], None);
        check(
            &own,
            &[&middle],
            &[&no_middle],
            if sent {
                Some("UNABLE_TO_GET_ISSUER_CERT_LOCALLY")
            } else {
                Some("UNABLE_TO_VERIFY_LEAF_SIGNATURE")
            },
        );
    }
}

#[test]
fn one_that_is_itself_trusted_is_asked_about_too() {
    let ca = Authority::new("ca");
    let own = ca.issue_number(7);
    let (pem, cert) = (ca.pem(), own.cert.as_str());
    let good = ca.revoke(NOW, &[]);
    let bad = ca.revoke(NOW, &[7]);
    let unknown = Some("UNABLE_TO_GET_CRL");
    let revoked = Some("CERT_REVOKED");
    check(&own, &[cert], &[], None);
    check(&own, &[cert, &pem], &[&good], None);
    check(&own, &[cert, &pem], &[&bad], revoked);
    check(&own, &[cert], &[&bad], revoked);
    // Nobody can say whether the list is its issuer's.
    check(&own, &[cert], &[&good], unknown);
    check(
        &own,
        &[cert, &pem],
        &[&ca.revoke_by(NOW, &[], &KeyPair::generate().unwrap())],
        unknown,
    );
    let other = Authority::new("other").revoke(NOW, &[]);
    check(&own, &[cert, &pem], &[&other], unknown);
    let old = ca.revoke([2020, 2021], &[]);
    check(&own, &[cert, &pem], &[&old], Some("CRL_HAS_EXPIRED"));
    let early = ca.revoke([3000, 3001], &[]);
    check(&own, &[cert, &pem], &[&early], Some("CRL_NOT_YET_VALID"));
    let below = ca.below("between", 3);
    let own = below.issue_number(9);
    let all = [own.cert.as_str(), &below.pem(), &pem];
    let by_below = below.revoke(NOW, &[]);
    check(&own, &all, &[&good, &by_below], None);
    check(&own, &all, &[&ca.revoke(NOW, &[3]), &by_below], revoked);
}

#[test]
fn a_self_signed_one_needs_a_list_of_its_own() {
    let mut own = Authority::new("own");
    let mut params = CertificateParams::new(vec!["localhost".into()]).unwrap();
    params.serial_number = Some(7.into());
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    let usages = [vec![], vec![KeyUsagePurpose::DigitalSignature]];
    for (usages, code) in usages.into_iter().zip([None, Some("UNABLE_TO_GET_CRL")]) {
        params.key_usages = Vec::new();
        own.cert = params.clone().self_signed(&own.key).unwrap();
        let (good, bad) = (own.revoke(NOW, &[]), own.revoke(NOW, &[7]));
        params.key_usages = usages;
        let cert = params.clone().self_signed(&own.key).unwrap().pem();
        let identified = Identified {
            key: own.key.serialize_pem(),
            cert: cert.clone(),
        };
        check(&identified, &[&cert], &[&good], code);
        check(&identified, &[&cert], &[&bad], Some("CERT_REVOKED"));
        let other = Authority::new("other").revoke(NOW, &[]);
        check(&identified, &[&cert], &[&other], Some("UNABLE_TO_GET_CRL"));
    }
}

/// A root is not asked about, and so not about its rights either.
#[test]
fn an_issuer_below_a_root_that_may_not_sign_lists() {
    let root = Authority::new("root");
    let mut between = root.below("between", 3);
    let lists = [root.revoke(NOW, &[]), between.revoke(NOW, &[])];
    let mut params = between.cert.params().clone();
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    between.cert = params
        .signed_by(&between.key, &root.cert, &root.key)
        .unwrap();
    let mut own = between.issue_number(7);
    own.cert += &between.pem();
    let lists = lists.each_ref().map(String::as_str);
    check(&own, &[&root.pem()], &lists, Some("UNABLE_TO_GET_CRL"));
}

#[test]
fn lists_that_cannot_be_used_are_refused_when_given() {
    let refused = |crl: Material| {
        let mut from = ingredients(None, Some(&Authority::new("ca").pem()));
        from.crl = vec![crl];
        SecureContext::make(&from).unwrap_err()
    };
    let ca = Authority::new("ca");
    for (junk, code) in [
        (&b"junk"[..], Code::TlsBadEncoding),
        (b"", Code::TlsBadEncoding),
        (ca.pem().as_bytes(), Code::TlsNoStartLine),
        (ca.cert.der(), Code::TlsBadEncoding),
        (
            b"-----BEGIN X509 CRL-----\nAAEC\n-----END X509 CRL-----\n",
            Code::TlsBadEncoding,
        ),
        (b"-----BEGIN X509 CRL-----\nAAEC\n", Code::TlsBadEncoding),
    ] {
        let error = refused(junk.into());
        assert_eq!(error.code(), code, "{error}");
    }
    let sections = crate::tls::material::pem(ca.revoke(NOW, &[1, 2]).as_bytes())
        .unwrap()
        .unwrap();
    let der = &sections[0].der;
    for at in 0..der.len() {
        refused(der[..at].into());
    }
    let trailing = [&der[..], b"junk"].concat();
    assert_eq!(refused(trailing.into()).code(), Code::TlsBadEncoding);
    let old = refused(include_str!("../../fixtures/v1-list.crl").into());
    assert_eq!(old.code(), Code::TlsUnsupported);
    assert!(old.to_string().contains("crlnumber"), "{old}");
}

#[test]
fn a_list_in_der() {
    let ca = Authority::new("ca");
    let own = ca.issue_number(7);
    let sections = crate::tls::material::pem(ca.revoke(NOW, &[7]).as_bytes())
        .unwrap()
        .unwrap();
    let mut from = ingredients(None, Some(&ca.pem()));
    from.crl = vec![sections[0].der.as_slice().into()];
    let mut pair = Pair::new(
        client(&from, "localhost", true, &[]),
        server(&ingredients(Some(&own), None), false, true, &[]),
    );
    pair.run();
    assert_eq!(
        pair.news(),
        (
            "CERT_REVOKED".into(),
            "ERR_SSL_SSLV3_ALERT_CERTIFICATE_REVOKED".into()
        )
    );
}
