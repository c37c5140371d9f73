//! Keys and certificates in PKCS#12 files.

use super::keys::fixture;
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

#[test]
fn what_is_no_pfx_or_lacks_its_passphrase_is_told() {
    let pem = std::fs::read_to_string(fixture("v1-ec.pem")).unwrap();
    for (given, said) in [
        (Material::from("own.pfx"), "not enough data: the text \"own.pfx\" is no PEM: to read a file give a `Path`; a PFX (PKCS#12) is taken in DER"),
        (Material::from(pem), "PRIVATE KEY, which belongs into `key`; a PFX (PKCS#12) is taken in DER"),
        (Material::from(fixture("pfx-ca.crt")), "pfx-ca.crt is PEM of CERTIFICATE, which belongs into `cert` or `ca`;"),
        (Material::from(MODERN), "mac verify failure: the PFX is under a passphrase: set `passphrase`"),
    ] {
        let mut from = ingredients(None, None);
        from.pfx.push((given, None));
        let error = SecureContext::make(&from).unwrap_err().to_string();
        assert!(error.contains(said), "{error}");
    }
}

/// DER: `content` in one piece, under `tag`.
fn der(tag: u8, content: &[&[u8]]) -> Vec<u8> {
    let content = content.concat();
    let length = content.len();
    let lengths = [0x82, (length >> 8) as u8, length as u8];
    let lengths = match length {
        0..=0x7f => &lengths[2..],
        0x80..=0xff => &[0x81, length as u8],
        _ => &lengths[..],
    };
    [&[tag], lengths, &content].concat()
}

fn oid(bytes: &[u8]) -> Vec<u8> {
    der(6, &[bytes])
}

fn number(value: u32) -> Vec<u8> {
    let bytes = u64::from(value).to_be_bytes();
    // The first bit is a sign.
    let zeros = bytes
        .windows(2)
        .take_while(|two| two[0] == 0 && two[1] < 0x80);
    let zeros = zeros.count();
    der(2, &[&bytes[zeros..]])
}

/// A file whose parts ask for `works`, each the parameters of a way to make a key of a passphrase.
fn asking_for(works: &[Vec<u8>], mac: &[u8]) -> Vec<u8> {
    const DATA: &[u8] = b"\x2a\x86\x48\x86\xf7\x0d\x01\x07\x01";
    const ENCRYPTED: &[u8] = b"\x2a\x86\x48\x86\xf7\x0d\x01\x07\x06";
    let part = |work: &Vec<u8>| {
        let sealed = der(0x80, &[&[7; 16]]);
        let what = der(0x30, &[&oid(DATA), work, &sealed]);
        let part = der(0xa0, &[&der(0x30, &[&number(0), &what])]);
        der(0x30, &[&oid(ENCRYPTED), &part])
    };
    let parts: Vec<Vec<u8>> = works.iter().map(part).collect();
    let parts: Vec<&[u8]> = parts.iter().map(Vec::as_slice).collect();
    let safe = der(0xa0, &[&der(4, &[&der(0x30, &parts)])]);
    let safe = der(0x30, &[&oid(DATA), &safe]);
    der(0x30, &[&number(3), &safe, mac])
}

/// PBES2, with a key of PBKDF2 or of scrypt.
fn pbes2(derivation: &[u8]) -> Vec<u8> {
    let aes = oid(b"\x60\x86\x48\x01\x65\x03\x04\x01\x2a");
    let aes = der(0x30, &[&aes, &der(4, &[&[1; 16]])]);
    let pbes2 = oid(b"\x2a\x86\x48\x86\xf7\x0d\x01\x05\x0d");
    der(0x30, &[&pbes2, &der(0x30, &[derivation, &aes])])
}

fn pbkdf2(iterations: u32) -> Vec<u8> {
    let name = oid(b"\x2a\x86\x48\x86\xf7\x0d\x01\x05\x0c");
    let salted = der(0x30, &[&der(4, &[&[1; 8]]), &number(iterations)]);
    pbes2(&der(0x30, &[&name, &salted]))
}

fn scrypt(costs: [u32; 3]) -> Vec<u8> {
    let name = oid(b"\x2b\x06\x01\x04\x01\xda\x47\x04\x0b");
    let costs = costs.map(number);
    let salted = der(0x30, &[&der(4, &[&[1; 8]]), &costs.concat()]);
    pbes2(&der(0x30, &[&name, &salted]))
}

fn triple_des(iterations: u32) -> Vec<u8> {
    let name = oid(b"\x2a\x86\x48\x86\xf7\x0d\x01\x0c\x01\x03");
    let salted = der(0x30, &[&der(4, &[&[1; 8]]), &number(iterations)]);
    der(0x30, &[&name, &salted])
}

fn mac(iterations: u32) -> Vec<u8> {
    let sha1 = der(0x30, &[&oid(b"\x2b\x0e\x03\x02\x1a"), &[5, 0]]);
    let digest = der(0x30, &[&sha1, &der(4, &[&[1; 20]])]);
    der(0x30, &[&digest, &der(4, &[&[1; 8]]), &number(iterations)])
}

#[test]
fn a_file_that_asks_for_absurd_work_is_refused_at_once() {
    for absurd in [
        asking_for(&[pbkdf2(u32::MAX)], &[]),
        asking_for(&[triple_des(5_000_000)], &[]),
        asking_for(&[], &mac(5_000_000)),
        // No one of them is much.
        asking_for(&vec![pbkdf2(900_000); 5], &[]),
        // A gibibyte.
        asking_for(&[scrypt([1 << 20, 8, 1])], &[]),
        asking_for(&[scrypt([u32::MAX; 3])], &[]),
    ] {
        let error = refused(&absurd, None);
        assert_eq!(error.code(), Code::TlsUnsupported, "{error}");
        assert!(error.to_string().contains("too much work"), "{error}");
    }
    // What is asked for else is done, and shows that the passphrase is none.
    for (usual, code) in [
        (asking_for(&[pbkdf2(2048)], &[]), Code::TlsBadDecrypt),
        (asking_for(&[triple_des(2048)], &[]), Code::TlsBadDecrypt),
        (
            asking_for(&[scrypt([1024, 8, 1])], &[]),
            Code::TlsBadDecrypt,
        ),
        (asking_for(&[], &mac(2048)), Code::TlsMacVerifyFailure),
    ] {
        let error = refused(&usual, None);
        assert_eq!(error.code(), code, "{error}");
    }
}
