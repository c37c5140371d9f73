//! Keys, certificates and lists that are refused, and what is said of them.

use std::path::PathBuf;

use super::*;

pub(super) fn fixture(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("src/tls/fixtures")
        .join(name)
}

fn with_key(key: Material, passphrase: Option<&str>) -> Error {
    let ca = Authority::new("ca").issue(&["localhost"], |_| {});
    let mut from = ingredients(None, None);
    from.keys.push((key, None));
    from.certs.push(Material::from(ca.cert));
    from.passphrase = passphrase.map(str::to_owned);
    SecureContext::make(&from).unwrap_err()
}

#[test]
fn keys_under_a_passphrase() {
    for name in ["key-pbes2.pem", "key-pbes2-3des.pem", "key-scrypt.pem"] {
        let file = || Material::from(fixture(name));
        assert_eq!(
            with_key(file(), None).code(),
            Code::TlsMissingPassphrase,
            "{name}"
        );
        let wrong = with_key(file(), Some("wrong horse"));
        assert_eq!(wrong.code(), Code::TlsBadDecrypt, "{name}");
        assert!(
            !wrong.to_string().contains("wrong horse"),
            "no secret in an error"
        );
        // Opened, it is found to belong to another certificate.
        assert_eq!(
            with_key(file(), Some("secret")).code(),
            Code::TlsKeyMismatch,
            "{name}"
        );
    }
    for name in ["key-pbes1.pem", "key-old.pem"] {
        let error = with_key(Material::from(fixture(name)), Some("secret"));
        assert_eq!(error.code(), Code::TlsUnsupported, "{name}");
        assert!(
            error.to_string().contains("openssl pkcs8 -topk8"),
            "{error}"
        );
    }
}

/// The memory for it would be asked for, and the process end.
#[test]
fn a_key_that_asks_for_absurd_work_is_refused() {
    let text = std::fs::read_to_string(fixture("key-scrypt.pem")).unwrap();
    let mut der = crate::tls::material::pem(text.as_bytes()).unwrap().unwrap();
    let der = &mut der[0].der;
    // N is 16,384; r is 8 and p is 1.
    let costs = [2, 2, 0x40, 0, 2, 1, 8, 2, 1, 1];
    let at = der.windows(costs.len()).position(|found| found == costs);
    let at = at.unwrap();
    der[at + 6] = 0x7f;
    der[at + 9] = 0x7f;
    let error = with_key(Material::from(&*der), Some("secret"));
    assert_eq!(error.code(), Code::TlsUnsupported);
    assert!(error.to_string().contains("too much"), "{error}");
}

#[test]
fn kinds_of_keys() {
    for name in ["key-rsa1024.pem", "key-p521.pem"] {
        let error = with_key(Material::from(fixture(name)), None);
        assert_eq!(error.code(), Code::TlsUnsupported, "{name}");
        assert!(error.to_string().contains("P-256"), "{error}");
    }
    for (junk, code) in [
        (Material::from("hello"), Code::TlsBadEncoding),
        (
            Material::from("-----BEGIN CERTIFICATE-----\nAAEC\n-----END CERTIFICATE-----\n"),
            Code::TlsNoStartLine,
        ),
        (
            Material::from(
                "-----BEGIN DSA PRIVATE KEY-----\nAAEC\n-----END DSA PRIVATE KEY-----\n",
            ),
            Code::TlsUnsupported,
        ),
        (Material::from(fixture("missing.pem")), Code::NotFound),
    ] {
        assert_eq!(with_key(junk.clone(), None).code(), code, "{junk:?}");
    }
}

#[test]
fn der_is_as_good_as_pem() {
    let key = KeyPair::generate().unwrap();
    let cert = CertificateParams::new(vec!["localhost".into()])
        .unwrap()
        .self_signed(&key)
        .unwrap();
    let mut from = ingredients(None, None);
    from.keys.push((
        Material::from(key.serialize_der()),
        Some("not needed".into()),
    ));
    from.certs.push(Material::from(cert.der().to_vec()));
    from.ca = Some(vec![
        Material::from(cert.der().to_vec()),
        Material::from(cert.pem() + &cert.pem()),
    ]);
    let context = SecureContext::make(&from).unwrap();
    assert_eq!(context.certificate().unwrap().raw(), &cert.der()[..]);
    // From files, too.
    let place = std::env::temp_dir().join(format!("tidewheel-{}-der", std::process::id()));
    std::fs::create_dir_all(&place).unwrap();
    let file = |name: &str, bytes: &[u8]| {
        let path = place.join(name);
        std::fs::write(&path, bytes).unwrap();
        Material::from(path)
    };
    let mut from = ingredients(None, None);
    from.keys
        .push((file("key.der", &key.serialize_der()), None));
    from.certs.push(file("cert.der", cert.der()));
    from.ca = Some(vec![file("ca.der", cert.der())]);
    let context = SecureContext::make(&from).unwrap();
    assert_eq!(context.certificate().unwrap().raw(), &cert.der()[..]);
    std::fs::remove_dir_all(place).unwrap();
}

/// They are kept, because only `openssl` makes them; so they have to last.
#[test]
fn the_certificates_of_version_1_that_are_kept_last() {
    let years = |count: u64| std::time::Duration::from_secs(count * 365 * 24 * 3600);
    for name in ["v1-server.crt", "v1-client.crt", "v1-ec.crt"] {
        let kept = crate::tls::certificate::load(&Material::from(fixture(name))).unwrap();
        assert!(kept[0].is_version_1(), "{name}");
        let validity = kept[0].valid_to().duration_since(kept[0].valid_from());
        assert!(validity.unwrap() >= years(99), "{name}");
        assert!(kept[0].valid_to() > std::time::SystemTime::now() + years(50));
    }
}

#[test]
fn certificates_that_are_none() {
    let own = Authority::new("ca").issue(&["localhost"], |_| {});
    let mut from = ingredients(Some(&own), None);
    for (junk, code) in [
        ("", Code::TlsBadEncoding),
        ("junk", Code::TlsBadEncoding),
        (own.key.as_str(), Code::TlsNoStartLine),
    ] {
        from.ca = Some(vec![Material::from(junk)]);
        assert_eq!(
            SecureContext::make(&from).unwrap_err().code(),
            code,
            "{junk:?}"
        );
    }
    from.ca = None;
    from.certs = Vec::new();
    assert_eq!(
        SecureContext::make(&from).unwrap_err().code(),
        Code::InvalidArgValue
    );
    from.keys = Vec::new();
    assert!(SecureContext::make(&from).is_ok(), "a client needs neither");
}

/// What is given to `key` (0), `cert` (1) or `crl` (2), and what is said of it.
#[test]
fn what_is_given_instead_is_named_and_what_to_do_about_it() {
    let own = Authority::new("ca").issue(&["localhost"], |_| {});
    let der = |pem: &str| {
        crate::tls::material::pem(pem.as_bytes()).unwrap().unwrap()[0]
            .der
            .clone()
    };
    let one_line = own.key.replace('\n', "");
    let escaped = own.key.replace('\n', "\\n");
    let base64: String = own
        .key
        .lines()
        .filter(|line| !line.starts_with('-'))
        .collect();
    let missing = "is no PEM: to read a file give a `Path`";
    let lost = "the text has lost its line breaks";
    let pfx = if cfg!(feature = "tls-pfx") {
        "`pfx`"
    } else {
        "`pfx`, of the feature `tls-pfx`"
    };
    for (wanted, given, said) in [
        (0, Material::from("server.pem"), format!("the text \"server.pem\" {missing}; a private key is taken in PEM and DER")),
        (1, Material::from("./a b/server.crt"), format!("the text \"./a b/server.crt\" {missing}; a certificate is taken in PEM and DER")),
        (2, Material::from("a.crl"), format!("Failed to parse CRL: the text \"a.crl\" {missing}; a revocation list (CRL) is taken in PEM and DER")),
        (0, Material::from(&base64), format!("the text of {} bytes {missing};", base64.len())),
        (1, Material::from("a.b\nc.d"), format!("the text of 7 bytes {missing};")),
        (0, Material::from(&one_line), lost.into()),
        (0, Material::from(&escaped), lost.into()),
        (1, Material::from(&one_line), lost.into()),
        (1, Material::from(&own.key), "PEM of PRIVATE KEY, which belongs into `key`;".into()),
        (1, Material::from(der(&own.key)), "is a private key, which belongs into `key`;".into()),
        (0, Material::from(own.cert.repeat(3)), "PEM of CERTIFICATE, which belongs into `cert` or `ca`;".into()),
        (2, Material::from(der(&own.cert)), "bytes) is a certificate, which belongs into `cert` or `ca`;".into()),
        (0, Material::from(fixture("v1-list.crl")), "v1-list.crl is PEM of X509 CRL, which belongs into `crl`;".into()),
        (0, Material::from(fixture("pfx-modern.pfx")), format!("the file {} is a PFX (PKCS#12), which belongs into {pfx};", fixture("pfx-modern.pfx").display())),
        (1, Material::from(fixture("pfx-legacy.pfx")), "is a PFX (PKCS#12), which belongs into".into()),
        (1, Material::from(fixture("README")), "README is no PEM;".into()),
        (1, Material::from(""), "what was given (0 bytes) is empty;".into()),
        (2, Material::from(""), "what was given (0 bytes) is empty;".into()),
        (0, Material::from(&[0xff; 9]), "what was given (9 bytes) is neither PEM nor DER that can be read;".into()),
        (1, Material::from("x -----BEGIN CERTIFICATE-----"), "holds no whole PEM block;".into()),
    ] {
        let mut from = ingredients(None, None);
        match wanted {
            0 => from.keys.push((given.clone(), None)),
            1 => from.ca = Some(vec![given.clone()]),
            _ => from.crl.push(given.clone()),
        }
        let error = SecureContext::make(&from).unwrap_err().to_string();
        assert!(error.contains(&said), "{given:?}: {error}");
        assert!(!error.contains(&base64[..16]), "a secret is shown");
        assert!(!error.contains("Material("), "{error}");
    }
}

#[test]
fn ciphers_and_versions_that_do_not_meet() {
    let mut from = only(TlsVersion::V1_3, ingredients(None, None));
    from.ciphers = Some("ECDHE-RSA-AES128-GCM-SHA256".into());
    assert_eq!(
        SecureContext::make(&from).unwrap_err().code(),
        Code::TlsNoCipherMatch
    );
}

#[test]
fn several_keys_serve_whom_they_can() {
    let ca = Authority::new("ca");
    let own = ca.issue(&["localhost"], |_| {});
    let rsa = std::fs::read_to_string(fixture("v1-server.pem")).unwrap();
    let rsa_cert = std::fs::read_to_string(fixture("v1-server.crt")).unwrap();
    let mut both = ingredients(Some(&own), None);
    both.keys.push((Material::from(rsa), None));
    both.certs.push(Material::from(&rsa_cert));
    let mut from = only(
        TlsVersion::V1_2,
        ingredients(None, Some(&(ca.pem() + &rsa_cert))),
    );
    for (cipher, names) in [
        ("ECDHE-ECDSA-AES128-GCM-SHA256", 1),
        ("ECDHE-RSA-AES128-GCM-SHA256", 0),
    ] {
        from.ciphers = Some(cipher.into());
        let mut pair = Pair::new(
            client(&from, "localhost", true, &[]),
            server(&both, false, true, &[]),
        );
        pair.run();
        assert_eq!(pair.client.news(), "secure", "{cipher}");
        assert_eq!(
            pair.client.session.certificates()[0].alt_names().len(),
            names
        );
    }
}
