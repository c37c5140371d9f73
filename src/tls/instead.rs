//! What was given in place of a key, a certificate, a list or a PKCS#12 file, told so that it can be put right.

use pkcs8::der::Decode;
use pkcs8::EncryptedPrivateKeyInfo;
use rustls::pki_types::PrivateKeyDer;
use x509_parser::asn1_rs::{Any, FromDer, Tag};
use x509_parser::prelude::X509Certificate;
use x509_parser::revocation_list::CertificateRevocationList;

use super::material::{pem, Material};
use crate::error::{Code, Error};

/// What a program should have given.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Wanted {
    Key,
    Certificate,
    List,
    Pfx,
}

impl Wanted {
    fn name(self) -> &'static str {
        match self {
            Wanted::Key => "private key",
            Wanted::Certificate => "certificate",
            Wanted::List => "revocation list (CRL)",
            Wanted::Pfx => "PFX (PKCS#12)",
        }
    }

    /// Where it belongs.
    fn option(self) -> &'static str {
        match self {
            Wanted::Key => "`key`",
            Wanted::Certificate => "`cert` or `ca`",
            Wanted::List => "`crl`",
            Wanted::Pfx if cfg!(feature = "tls-pfx") => "`pfx`",
            Wanted::Pfx => "`pfx`, of the feature `tls-pfx`",
        }
    }

    /// Node's words.
    fn in_short(self) -> &'static str {
        match self {
            Wanted::List => "Failed to parse CRL: ",
            Wanted::Pfx => "not enough data: ",
            Wanted::Key | Wanted::Certificate => "",
        }
    }

    /// What is taken.
    fn forms(self) -> &'static str {
        match self {
            Wanted::Pfx => "DER",
            _ => "PEM and DER",
        }
    }

    fn of_label(label: &str) -> Option<Wanted> {
        match label {
            "X509 CRL" => Some(Wanted::List),
            label if label.ends_with("PRIVATE KEY") => Some(Wanted::Key),
            label if label.ends_with("CERTIFICATE") => Some(Wanted::Certificate),
            _ => None,
        }
    }

    pub(crate) fn of_der(bytes: &[u8]) -> Option<Wanted> {
        if X509Certificate::from_der(bytes).is_ok() {
            Some(Wanted::Certificate)
        } else if CertificateRevocationList::from_der(bytes).is_ok() {
            Some(Wanted::List)
        } else if is_pfx(bytes) {
            Some(Wanted::Pfx)
        } else {
            // Nobody looks far into it.
            let is_key = PrivateKeyDer::try_from(bytes).is_ok()
                || EncryptedPrivateKeyInfo::from_der(bytes).is_ok();
            is_key.then_some(Wanted::Key)
        }
    }
}

/// Version 3, and then something that has a name.
fn is_pfx(bytes: &[u8]) -> bool {
    let first = |bytes| Any::from_der(bytes).ok();
    let read = || {
        let (version, rest) = first(first(bytes)?.1.data).map(|(rest, one)| (one, rest))?;
        let (_, name) = first(first(rest)?.1.data)?;
        Some(version.data == [3] && name.tag() == Tag::Oid)
    };
    read() == Some(true)
}

/// The error for `material`, in whose `bytes` there is nothing that is `wanted`.
pub(crate) fn instead(material: &Material, bytes: &[u8], wanted: Wanted) -> Error {
    let (code, found) = match pem(bytes) {
        Err(error) => return error,
        Ok(Some(sections)) => {
            let mut labels: Vec<&str> = sections.iter().map(|one| one.label.as_str()).collect();
            labels.dedup();
            let others = labels.iter().copied().find_map(Wanted::of_label);
            let found = match labels.is_empty() {
                true => "holds no whole PEM block".to_owned(),
                false => format!("is PEM of {}", labels.join(" and ")),
            };
            (Code::TlsNoStartLine, found + &belongs(others, wanted))
        }
        Ok(None) => (Code::TlsBadEncoding, without_pem(material, bytes, wanted)),
    };
    let code = match wanted {
        Wanted::Pfx => Code::TlsBadEncoding,
        _ => code,
    };
    let message = format!(
        "{}{} {found}; a {} is taken in {}",
        wanted.in_short(),
        material.named(bytes),
        wanted.name(),
        wanted.forms()
    );
    Error::new(code, message)
}

fn without_pem(material: &Material, bytes: &[u8], wanted: Wanted) -> String {
    let found = Wanted::of_der(bytes);
    if bytes.is_empty() {
        "is empty".into()
    } else if found == Some(wanted) {
        "has more in it than can be read".into()
    } else if let Some(other) = found {
        format!("is a {}{}", other.name(), belongs(found, wanted))
    } else if std::str::from_utf8(bytes).is_err() {
        "is neither PEM nor DER that can be read".into()
    } else if material.is_file() {
        "is no PEM".into()
    } else {
        "is no PEM: to read a file give a `Path`".into()
    }
}

fn belongs(found: Option<Wanted>, wanted: Wanted) -> String {
    match found.filter(|found| *found != wanted) {
        Some(found) => format!(", which belongs into {}", found.option()),
        None => String::new(),
    }
}
