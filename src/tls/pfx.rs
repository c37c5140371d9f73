//! PKCS#12 files (PFX): a key, its certificate and those of its issuers, sealed with a passphrase.

use std::sync::Arc;

use p12_keystore::error::Error as Fault;
use p12_keystore::Pkcs12Archive;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::PrivatePkcs8KeyDer;
use rustls::sign::SigningKey;
use x509_parser::asn1_rs::{Any, Class, FromDer, Tag};

use super::certificate::Certificate;
use super::instead::{instead, Wanted};
use super::keys::{is_too_large, sign};
use super::material::Material;
use crate::error::{Code, Error, Result};

/// What was in one.
pub(crate) struct Opened {
    /// Keys, each with its certificate and those of its issuers.
    pub(crate) pairs: Vec<(Arc<dyn SigningKey>, Vec<Certificate>)>,
    /// The certificates that are of no key.
    pub(crate) others: Vec<Certificate>,
}

pub(crate) fn load(
    material: &Material,
    passphrase: Option<&str>,
    provider: &CryptoProvider,
) -> Result<Opened> {
    let bytes = material.read()?;
    let outer = Outer::read(&bytes).ok_or_else(|| instead(material, &bytes, Wanted::Pfx))?;
    if outer.work > MOST_WORK {
        let message = "Unsupported PKCS12 PFX data: it asks for too much work or memory to open it";
        return Err(Error::new(Code::TlsUnsupported, message));
    }
    if passphrase.is_some() && !outer.has_mac {
        let message = "mac absent: the PFX cannot show that `passphrase` is the right one";
        return Err(Error::new(Code::TlsMacVerifyFailure, message));
    }
    let archive = Pkcs12Archive::from_pkcs12(&bytes, passphrase.unwrap_or_default())
        .map_err(|fault| explain(&fault, &outer.unsupported, passphrase.is_some()))?;
    let certs = archive.certs.iter();
    let certs = certs.map(|bag| Certificate::from_der(bag.cert.as_der()));
    let certs = certs.collect::<Result<Vec<_>>>()?;
    let mut pairs = Vec::new();
    for bag in &archive.keys {
        let key = PrivatePkcs8KeyDer::from(bag.key.as_der().to_vec());
        let key = sign(key.into(), provider)?;
        let chain = chain_of(&*key, &certs).ok_or_else(|| nothing("certificate"))?;
        pairs.push((key, chain));
    }
    if pairs.is_empty() {
        return Err(nothing("private key"));
    }
    let of_a_key = |one: &Certificate| pairs.iter().any(|(_, chain)| chain[0] == *one);
    let others = certs.iter().filter(|one| !of_a_key(one)).cloned().collect();
    Ok(Opened { pairs, others })
}

fn nothing(what: &str) -> Error {
    let message = format!("Unable to load {what} from PFX data: there is none that fits");
    Error::new(Code::TlsNoStartLine, message)
}

/// The certificate of a key, followed by those of its issuers.
fn chain_of(key: &dyn SigningKey, certs: &[Certificate]) -> Option<Vec<Certificate>> {
    let public = key.public_key()?;
    let leaf = certs.iter().find(|one| one.public_key() == public)?;
    let mut chain = vec![leaf.clone()];
    while let Some(issuer) = chain.last().and_then(|one| one.issuer_among(certs)) {
        if chain.contains(issuer) {
            break;
        }
        chain.push(issuer.clone());
    }
    Some(chain)
}

/// Why it cannot be opened.
fn explain(fault: &Fault, unsupported: &[String], has_passphrase: bool) -> Error {
    match fault {
        Fault::MacError(_) if !has_passphrase => {
            let message = "mac verify failure: the PFX is under a passphrase: set `passphrase`";
            Error::new(Code::TlsMacVerifyFailure, message)
        }
        Fault::MacError(_) => {
            let message = "mac verify failure: the passphrase does not open the PFX";
            Error::new(Code::TlsMacVerifyFailure, message)
        }
        _ if !unsupported.is_empty() => {
            let message = format!(
                "Unsupported PKCS12 PFX data: it is encrypted by {}; convert it with `openssl pkcs12 -legacy -in OLD.pfx -nodes -out KEEP-SECRET.pem` and `openssl pkcs12 -export -in KEEP-SECRET.pem -out NEW.pfx`",
                unsupported.join(" and ")
            );
            Error::new(Code::TlsUnsupported, message)
        }
        // The MAC was right, so another passphrase is not what it needs.
        Fault::Pkcs5Error(_) | Fault::UnpadError => {
            let message = "bad decrypt: what the PFX holds is not under its passphrase";
            Error::new(Code::TlsBadDecrypt, message)
        }
        Fault::UnsupportedContentType
        | Fault::UnsupportedCertificateType
        | Fault::UnsupportedEncryptionScheme
        | Fault::UnsupportedMacAlgorithm
        | Fault::InvalidParameters => {
            let message = format!("Unsupported PKCS12 PFX data: {fault}");
            Error::new(Code::TlsUnsupported, message)
        }
        _ => {
            let message = format!("the PFX cannot be read: {fault}");
            Error::new(Code::TlsBadEncoding, message)
        }
    }
}

/// What can be seen of one without its passphrase.
struct Outer {
    has_mac: bool,
    /// The encryptions it uses that cannot be undone here, each once.
    unsupported: Vec<String>,
    /// Iterations that it asks for, as far as can be seen: what is sealed may ask for more.
    work: u64,
}

impl Outer {
    /// `None`: it is none.
    fn read(bytes: &[u8]) -> Option<Outer> {
        let (_, whole) = Any::from_der(bytes).ok()?;
        let (rest, _version) = Any::from_der(whole.data).ok()?;
        let (mac, safe) = Any::from_der(rest).ok()?;
        if [whole.tag(), safe.tag()] != [Tag::Sequence; 2] {
            return None;
        }
        let mut outer = Outer {
            has_mac: !mac.is_empty(),
            unsupported: Vec::new(),
            work: 0,
        };
        outer.look(bytes, DEPTH);
        if let Ok((_, mac)) = Any::from_der(mac) {
            let parameters = Any::from_der(mac.data).map_or(&[][..], |(rest, _digest)| rest);
            outer.count(parameters, false);
        }
        Some(outer)
    }

    /// Looks for the names of encryptions, also in what is wrapped.
    fn look(&mut self, mut bytes: &[u8], depth: usize) {
        let mut named = String::new();
        while let Ok((rest, any)) = Any::from_der(bytes) {
            bytes = rest;
            if ITERATED.iter().any(|oid| named.starts_with(oid)) {
                self.count(any.data, named == SCRYPT);
            }
            named.clear();
            if any.class() == Class::Universal && any.tag() == Tag::Oid {
                if let Ok(oid) = any.oid() {
                    named = oid.to_id_string();
                    self.note(&named);
                }
            } else if depth > 0 && (any.header.constructed() || any.tag() == Tag::OctetString) {
                self.look(any.data, depth - 1);
            }
        }
    }

    /// Reads a salt, and what follows it: iterations, or what scrypt costs.
    fn count(&mut self, parameters: &[u8], is_scrypt: bool) {
        let Ok((mut rest, _salt)) = Any::from_der(parameters) else {
            return;
        };
        let mut next = || {
            let (after, number) = Any::from_der(rest).ok()?;
            rest = after;
            // What is no number that fits is too large, or refused later.
            (number.tag() == Tag::Integer).then(|| number.u64().unwrap_or(u64::MAX))
        };
        let iterations = next().unwrap_or(1);
        let costs = is_scrypt.then(|| [iterations, next().unwrap_or(1), next().unwrap_or(1)]);
        let work = match costs {
            Some([cost, block_size, parallel]) if is_too_large(cost, block_size, parallel) => {
                u64::MAX
            }
            Some(_) => 0,
            None => iterations,
        };
        self.work = self.work.saturating_add(work);
    }

    fn note(&mut self, oid: &str) {
        let known = ENCRYPTIONS.iter().find(|(known, _)| *known == oid);
        let name = match known {
            Some((_, name)) => (*name).into(),
            None if OF_ENCRYPTIONS.iter().any(|arc| oid.starts_with(arc)) => oid.into(),
            None => return,
        };
        if !OPENED.contains(&oid) && !self.unsupported.contains(&name) {
            self.unsupported.push(name);
        }
    }
}

/// How deep to look: enough for a parameter of the encryption of a key in a bag.
const DEPTH: usize = 20;

/// In one file, which has some three places for them. OpenSSL writes 2,048 in each.
const MOST_WORK: u64 = 4_000_000;

const SCRYPT: &str = "1.3.6.1.4.1.11591.4.11";

/// What takes a salt and a number of iterations, or begins with these numbers.
const ITERATED: &[&str] = &["1.2.840.113549.1.5.", "1.2.840.113549.1.12.1.", SCRYPT];

/// Those that can be undone, or are part of one that can.
const OPENED: &[&str] = &[
    "1.2.840.113549.1.5.12",
    "1.2.840.113549.1.5.13",
    "1.2.840.113549.1.12.1.3",
    "1.2.840.113549.1.12.1.6",
    "2.16.840.1.101.3.4.1.2",
    "2.16.840.1.101.3.4.1.22",
    "2.16.840.1.101.3.4.1.42",
];

/// Where the numbers of encryptions begin.
const OF_ENCRYPTIONS: &[&str] = &[
    "1.2.840.113549.1.5.",
    "1.2.840.113549.1.12.1.",
    "1.2.840.113549.3.",
    "2.16.840.1.101.3.4.1.",
    "1.2.392.200011.61.1.1.1.",
    "1.2.410.200046.1.1.",
];

/// As OpenSSL calls them.
const ENCRYPTIONS: &[(&str, &str)] = &[
    ("1.2.840.113549.1.5.1", "PBE-MD2-DES"),
    ("1.2.840.113549.1.5.3", "PBE-MD5-DES"),
    ("1.2.840.113549.1.5.4", "PBE-MD2-RC2-64"),
    ("1.2.840.113549.1.5.6", "PBE-MD5-RC2-64"),
    ("1.2.840.113549.1.5.10", "PBE-SHA1-DES"),
    ("1.2.840.113549.1.5.11", "PBE-SHA1-RC2-64"),
    ("1.2.840.113549.1.5.14", "PBMAC1"),
    ("1.2.840.113549.1.12.1.1", "PBE-SHA1-RC4-128"),
    ("1.2.840.113549.1.12.1.2", "PBE-SHA1-RC4-40"),
    ("1.2.840.113549.1.12.1.4", "PBE-SHA1-2DES"),
    ("1.2.840.113549.1.12.1.5", "PBE-SHA1-RC2-128"),
    ("1.2.840.113549.3.2", "RC2-CBC"),
    ("1.2.840.113549.3.7", "DES-EDE3-CBC"),
    ("1.3.14.3.2.7", "DES-CBC"),
    ("1.2.392.200011.61.1.1.1.2", "CAMELLIA-128-CBC"),
    ("1.2.392.200011.61.1.1.1.3", "CAMELLIA-192-CBC"),
    ("1.2.392.200011.61.1.1.1.4", "CAMELLIA-256-CBC"),
    ("1.2.410.200046.1.1.2", "ARIA-128-CBC"),
    ("1.2.410.200046.1.1.7", "ARIA-192-CBC"),
    ("1.2.410.200046.1.1.12", "ARIA-256-CBC"),
];
