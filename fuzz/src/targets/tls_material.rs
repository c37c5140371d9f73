//! Keys, certificates, PKCS#12 files and lists of trusted ones that are nearly right, or anything at all: in PEM and in
//! DER, alone and together. What cannot be used is refused with an error that says so and shows neither passphrase nor
//! key; what can be used is, and a certificate tells its fields.
//!
//! A further kind of material gets a row in [`KINDS`], and files in [`FILES`].

use super::input::Input;
use crate::tls::context::{ClientWishes, Ingredients, ServerWishes};
use crate::tls::{check_server_identity, Certificate, Material, SecureContext};

/// What is begun with: keys of every kind, sealed ones (by `secret`), certificates, and PKCS#12 files. A corpus names
/// them by their place.
const FILES: &[&[u8]] = &[
    include_bytes!("../../../src/tls/fixtures/v1-ec.pem"),
    include_bytes!("../../../src/tls/fixtures/v1-server.pem"),
    include_bytes!("../../../src/tls/fixtures/key-pbes2.pem"),
    include_bytes!("../../../src/tls/fixtures/key-pbes2-3des.pem"),
    include_bytes!("../../../src/tls/fixtures/key-scrypt.pem"),
    include_bytes!("../../../src/tls/fixtures/key-pbes1.pem"),
    include_bytes!("../../../src/tls/fixtures/key-old.pem"),
    include_bytes!("../../../src/tls/fixtures/key-p521.pem"),
    include_bytes!("../../../src/tls/fixtures/key-rsa1024.pem"),
    include_bytes!("../../../src/tls/fixtures/v1-ec.crt"),
    include_bytes!("../../../src/tls/fixtures/v1-server.crt"),
    include_bytes!("../../../src/tls/fixtures/v1-client.crt"),
    b"",
    include_bytes!("../../../src/tls/fixtures/pfx-quick-modern.pfx"),
    include_bytes!("../../../src/tls/fixtures/pfx-quick-legacy.pfx"),
    include_bytes!("../../../src/tls/fixtures/pfx-quick-sealed.pfx"),
    include_bytes!("../../../src/tls/fixtures/pfx-quick-sealed-legacy.pfx"),
    include_bytes!("../../../src/tls/fixtures/pfx-no-mac.pfx"),
];

const PASSPHRASE: &str = "secret";

/// Where a context takes it.
const KINDS: &[fn(&mut Ingredients, Material)] = &[
    |to, key| to.keys.push((key, None)),
    |to, key| to.keys.push((key, Some(PASSPHRASE.into()))),
    |to, cert| to.certs.push(cert),
    |to, ca| to.ca.get_or_insert_default().push(ca),
    |to, crl| to.crl.push(crl),
    |to, response| to.ocsp.push(response),
    #[cfg(feature = "tls-pfx")]
    |to, pfx| to.pfx.push((pfx, None)),
    #[cfg(feature = "tls-pfx")]
    |to, pfx| to.pfx.push((pfx, Some(PASSPHRASE.into()))),
];

pub fn run(data: &[u8]) {
    let mut input = Input::new(data);
    let mut ingredients = Ingredients::default();
    // A key and a certificate are of use only together.
    if input.flag() {
        ingredients.keys.push((Material::from(FILES[0]), None));
    }
    if input.flag() {
        ingredients.certs.push(Material::from(FILES[9]));
    }
    for _ in 0..1 + input.below(3) {
        let kind = KINDS[input.below(KINDS.len())];
        let bytes = file(&mut input);
        if let Ok(certificate) = Certificate::from_der(&bytes) {
            tells_its_fields(&certificate);
        }
        kind(&mut ingredients, Material::from(bytes));
    }
    match SecureContext::make(&ingredients) {
        Ok(context) => is_of_use(&context),
        Err(error) => {
            let message = error.to_string();
            assert!(!message.is_empty() && !error.code().as_str().is_empty());
            assert!(!message.contains(PASSPHRASE), "{message}");
            let is_base64 = |c: char| c.is_ascii_alphanumeric() || "+/=".contains(c);
            let longest = message.split(|c| !is_base64(c)).map(str::len).max();
            assert!(longest < Some(41), "part of a key? {message}");
        }
    }
    let shown = format!(
        "{:?}",
        ingredients
            .keys
            .iter()
            .map(|key| &key.0)
            .collect::<Vec<_>>()
    );
    assert!(!shown.contains("BEGIN"), "{shown}");
}

/// One of the files, as it is or as DER, with bytes changed, taken out and put in.
fn file(input: &mut Input<'_>) -> Vec<u8> {
    let mut bytes = FILES[input.below(FILES.len())].to_vec();
    if input.flag() {
        bytes = der(&bytes);
    }
    for _ in 0..input.below(8) {
        let at = input.number(2) as usize % (bytes.len() + 1);
        match input.below(4) {
            0 if at < bytes.len() => bytes[at] = input.byte(),
            1 => {
                let end = bytes.len().min(at + input.below(16));
                bytes.drain(at..end);
            }
            2 => {
                let count = input.below(16);
                bytes.splice(at..at, input.take(count).iter().copied());
            }
            _ => bytes.extend_from_within(at..),
        }
    }
    if bytes.is_empty() {
        let count = usize::from(input.byte()) * 4;
        bytes = input.take(count).to_vec();
    }
    bytes
}

/// What is in the first block of a PEM text.
fn der(text: &[u8]) -> Vec<u8> {
    let text = String::from_utf8_lossy(text);
    let lines = text
        .lines()
        .skip(1)
        .take_while(|line| !line.starts_with('-'));
    let base64: String = lines.filter(|line| !line.contains(':')).collect();
    crate::encoding::Encoding::Base64.encode(&base64)
}

fn is_of_use(context: &SecureContext) {
    let wishes = ClientWishes {
        reject: true,
        own_identity: false,
        send_name: true,
        alpn: Vec::new(),
    };
    context.client(&wishes).unwrap();
    let wishes = ServerWishes {
        request_cert: true,
        reject: true,
        honor_cipher_order: true,
        alpn: Vec::new(),
        session_timeout: std::time::Duration::ZERO,
        tickets: None,
    };
    context.server(&wishes).unwrap();
    assert!(context.has_keys() == context.certificate().is_some());
    let _ = format!("{context:?}");
}

fn tells_its_fields(certificate: &Certificate) {
    assert_eq!(certificate.fingerprint256().len(), 95);
    for name in certificate.alt_names() {
        let _ = name.to_string();
    }
    let names: Vec<String> = certificate.common_names().map(str::to_owned).collect();
    for host in names
        .iter()
        .map(String::as_str)
        .chain(["localhost", "127.0.0.1", "a.b.c"])
    {
        if let Err(error) = check_server_identity(host, certificate) {
            assert!(!error.to_string().is_empty());
        }
    }
    let _ = (
        certificate.subject(),
        certificate.issuer(),
        certificate.serial_number(),
    );
    let _ = (
        certificate.valid_from(),
        certificate.valid_to(),
        format!("{certificate:?}"),
    );
}
