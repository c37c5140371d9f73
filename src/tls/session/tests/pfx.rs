//! Keys and certificates in PKCS#12 files.

use super::*;

const CA: &str = include_str!("../../fixtures/pfx-ca.crt");
const MODERN: &[u8] = include_bytes!("../../fixtures/pfx-modern.pfx");
const LEGACY: &[u8] = include_bytes!("../../fixtures/pfx-legacy.pfx");
const RC4: &[u8] = include_bytes!("../../fixtures/pfx-rc4.pfx");
const NO_MAC: &[u8] = include_bytes!("../../fixtures/pfx-no-mac.pfx");

fn with(pfx: &[u8], passphrase: Option<&str>) -> Ingredients {
    let mut from = ingredients(None, None);
    from.pfx = vec![(pfx.into(), passphrase.map(str::to_owned))];
    from
}

fn refused(pfx: &[u8], passphrase: Option<&str>) -> Error {
    SecureContext::make(&with(pfx, passphrase)).unwrap_err()
}

#[test]
fn new_and_old_ones_are_a_key_a_certificate_and_whom_to_trust() {
    for (pfx, passphrase) in [
        (MODERN, Some("secret")),
        (LEGACY, Some("secret")),
        (NO_MAC, None),
    ] {
        for version in VERSIONS {
            let mut own = only(version, with(pfx, passphrase));
            let judge = ingredients(None, Some(CA));
            let mut pair = Pair::new(
                client(&judge, "localhost", true, &[]),
                server(&own, false, true, &[]),
            );
            pair.run();
            assert!(secure(&pair), "{:?}", pair.news());
            let chain = pair.client.session.certificates();
            assert_eq!(chain.len(), 2, "the issuer is sent along");
            // Both have it, and trust who issued it, whom nothing else makes known to them.
            let mut pair = Pair::new(
                client(&own, "localhost", true, &[]),
                server(&own, true, true, &[]),
            );
            pair.run();
            assert!(pair.client.session.is_authorized(), "{:?}", pair.news());
            assert!(pair.server.session.is_authorized(), "{:?}", pair.news());
            // Also beside other roots.
            own.ca = Some(vec![Authority::new("other").pem().into()]);
            let mut pair = Pair::new(
                client(&own, "localhost", true, &[]),
                server(&own, true, true, &[]),
            );
            pair.run();
            assert!(secure(&pair), "{:?}", pair.news());
        }
    }
}

#[test]
fn the_common_passphrase_and_its_own() {
    let mut from = with(MODERN, None);
    from.passphrase = Some("secret".into());
    assert!(SecureContext::make(&from).unwrap().has_keys());
    from.pfx[0].1 = Some("wrong".into());
    assert!(SecureContext::make(&from).is_err(), "its own goes before");
    for pfx in [MODERN, LEGACY, RC4] {
        for wrong in [Some("wrong horse"), Some(""), None] {
            let error = refused(pfx, wrong);
            assert_eq!(error.code(), Code::TlsMacVerifyFailure);
            let said = error.to_string();
            assert!(said.contains("mac verify failure"), "{said}");
            assert!(!said.contains("horse"), "no secret in an error");
        }
    }
    let error = refused(NO_MAC, Some("secret"));
    assert!(error.to_string().contains("mac absent"), "{error}");
}

#[test]
fn it_goes_before_another_key() {
    let other = Authority::new("other").issue(&["localhost"], |_| {});
    let mut from = ingredients(Some(&other), None);
    from.pfx = with(MODERN, Some("secret")).pfx;
    let judge = ingredients(None, Some(CA));
    let mut pair = Pair::new(
        client(&judge, "localhost", true, &[]),
        server(&from, false, true, &[]),
    );
    pair.run();
    assert!(secure(&pair), "{:?}", pair.news());
}

#[test]
fn what_cannot_be_opened_is_named() {
    let error = refused(RC4, Some("secret"));
    assert_eq!(error.code(), Code::TlsUnsupported);
    let said = error.to_string();
    assert!(said.contains("encrypted by PBE-SHA1-RC4-128;"), "{said}");
    assert!(said.contains("openssl pkcs12 -legacy -in"), "{said}");
}

#[test]
fn junk_is_refused_and_does_no_harm() {
    for junk in [
        &b""[..],
        b"junk",
        b"\x30\x00",
        b"\x30\x80\x00\x00",
        CA.as_bytes(),
    ] {
        let error = refused(junk, Some("secret"));
        assert_eq!(error.code(), Code::TlsBadEncoding, "{error}");
        assert!(error.to_string().contains("not enough data"), "{error}");
    }
    for pfx in [MODERN, LEGACY, RC4, NO_MAC] {
        for at in (0..pfx.len()).step_by(5) {
            refused(&pfx[..at], Some("secret"));
        }
        for at in (0..pfx.len()).step_by(3) {
            let mut changed = pfx.to_vec();
            changed[at] ^= 1 << (at % 8);
            // A name or a date in the clear may be another.
            let _ = SecureContext::make(&with(&changed, Some("secret")));
        }
    }
}
