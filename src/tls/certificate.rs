//! What a certificate says.

use std::fmt;
use std::net::IpAddr;
use std::time::{Duration, SystemTime};

use rustls::crypto::ring::cipher_suite::TLS13_AES_128_GCM_SHA256;
use rustls::pki_types::{CertificateDer, SubjectPublicKeyInfoDer};
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate, X509Version};
use x509_parser::x509::X509Name;

use super::instead::{instead, Wanted};
use super::material::{pem, Material};
use crate::error::{Code, Error, Result};

/// A certificate, with its fields read out: what Node's `getPeerCertificate` gives.
#[derive(Clone)]
pub struct Certificate {
    der: CertificateDer<'static>,
    subject: Vec<(String, String)>,
    issuer: Vec<(String, String)>,
    alt_names: Vec<AltName>,
    valid_from: SystemTime,
    valid_to: SystemTime,
    serial_number: String,
    is_ca: bool,
    version_1: bool,
    self_issued: bool,
}

/// One of the names that a certificate is for, beyond its common name.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum AltName {
    /// A host name, perhaps with a `*` for its first label.
    Dns(String),
    /// An address.
    Ip(IpAddr),
    /// A URI.
    Uri(String),
    /// A mail address.
    Email(String),
    /// A name of another kind.
    Other,
}

/// As OpenSSL prints them: `DNS:localhost`, `IP Address:127.0.0.1`.
impl fmt::Display for AltName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            AltName::Dns(name) => write!(f, "DNS:{name}"),
            AltName::Ip(address) => write!(f, "IP Address:{address}"),
            AltName::Uri(uri) => write!(f, "URI:{uri}"),
            AltName::Email(mail) => write!(f, "email:{mail}"),
            AltName::Other => f.write_str("othername:<unsupported>"),
        }
    }
}

impl Certificate {
    /// Reads a certificate in DER.
    ///
    /// # Errors
    ///
    /// `ERR_OSSL_ASN1_ENCODING`: it is none.
    pub fn from_der(der: &[u8]) -> Result<Certificate> {
        let (_, parsed) = X509Certificate::from_der(der).map_err(|error| {
            Error::new(Code::TlsBadEncoding, format!("not a certificate: {error}"))
        })?;
        let extension = parsed.subject_alternative_name().ok().flatten();
        let alt_names = extension.map_or(Vec::new(), |extension| {
            extension.value.general_names.iter().map(alt_name).collect()
        });
        Ok(Certificate {
            der: CertificateDer::from(der.to_vec()),
            subject: attributes(parsed.subject()),
            issuer: attributes(parsed.issuer()),
            alt_names,
            valid_from: time(parsed.validity().not_before.timestamp()),
            valid_to: time(parsed.validity().not_after.timestamp()),
            serial_number: hex(parsed.raw_serial(), ""),
            is_ca: parsed.is_ca(),
            version_1: parsed.version() == X509Version::V1,
            self_issued: parsed.subject().as_raw() == parsed.issuer().as_raw(),
        })
    }

    /// Whom it names: `("CN", "localhost")`, `("O", "..")` and so on, in its order.
    pub fn subject(&self) -> &[(String, String)] {
        &self.subject
    }

    /// Who issued it, in the same form.
    pub fn issuer(&self) -> &[(String, String)] {
        &self.issuer
    }

    /// The names it is for (`subjectaltname`).
    pub fn alt_names(&self) -> &[AltName] {
        &self.alt_names
    }

    /// Its common names; more than one is rare.
    pub fn common_names(&self) -> impl Iterator<Item = &str> {
        let named = self.subject.iter().filter(|(name, _)| name == "CN");
        named.map(|(_, value)| value.as_str())
    }

    /// From when on it is valid (`valid_from`).
    pub fn valid_from(&self) -> SystemTime {
        self.valid_from
    }

    /// Until when it is valid (`valid_to`).
    pub fn valid_to(&self) -> SystemTime {
        self.valid_to
    }

    /// Its number, in hexadecimal digits (`serialNumber`).
    pub fn serial_number(&self) -> &str {
        &self.serial_number
    }

    /// The SHA-256 of the whole, as `openssl x509 -fingerprint -sha256` prints it (`fingerprint256`).
    pub fn fingerprint256(&self) -> String {
        let suite = TLS13_AES_128_GCM_SHA256.tls13();
        let hash = suite.expect("it is of TLS 1.3").common.hash_provider;
        hex(hash.hash(&self.der).as_ref(), ":")
    }

    /// Whether it may issue others (`ca`).
    pub fn is_ca(&self) -> bool {
        self.is_ca
    }

    /// The certificate itself, in DER (`raw`).
    pub fn raw(&self) -> &[u8] {
        &self.der
    }

    pub(crate) fn der(&self) -> &CertificateDer<'static> {
        &self.der
    }

    /// Of the first version of the format, which has no extensions.
    pub(crate) fn is_version_1(&self) -> bool {
        self.version_1
    }

    /// It names itself as its issuer.
    pub(crate) fn is_self_issued(&self) -> bool {
        self.self_issued
    }

    pub(crate) fn public_key(&self) -> SubjectPublicKeyInfoDer<'static> {
        let (_, parsed) = X509Certificate::from_der(&self.der).expect("it was read before");
        SubjectPublicKeyInfoDer::from(parsed.public_key().raw.to_vec())
    }
}

impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Certificate")
            .field("subject", &self.subject)
            .field("alt_names", &self.alt_names)
            .field("issuer", &self.issuer)
            .finish_non_exhaustive()
    }
}

impl PartialEq for Certificate {
    fn eq(&self, other: &Certificate) -> bool {
        self.der == other.der
    }
}

impl Eq for Certificate {}

/// All certificates of a text or file, of which there must be one at least.
pub(crate) fn load(material: &Material) -> Result<Vec<Certificate>> {
    let bytes = material.read()?;
    let Some(sections) = pem(&bytes)? else {
        return load_der(&bytes).map_err(|_| instead(material, &bytes, Wanted::Certificate));
    };
    let mut certificates = Vec::new();
    for section in sections {
        if matches!(
            section.label.as_str(),
            "CERTIFICATE" | "X509 CERTIFICATE" | "TRUSTED CERTIFICATE"
        ) {
            // A "trusted" one is followed by what OpenSSL trusts it for.
            certificates.push(first(&section.der)?.0);
        }
    }
    if certificates.is_empty() {
        return Err(instead(material, &bytes, Wanted::Certificate));
    }
    Ok(certificates)
}

fn load_der(mut bytes: &[u8]) -> Result<Vec<Certificate>> {
    let mut certificates = Vec::new();
    loop {
        let (certificate, rest) = first(bytes)?;
        certificates.push(certificate);
        if rest.is_empty() {
            return Ok(certificates);
        }
        bytes = rest;
    }
}

/// The certificate at the head of `bytes`, and what follows it.
fn first(bytes: &[u8]) -> Result<(Certificate, &[u8])> {
    let rest = X509Certificate::from_der(bytes).map_or(&[][..], |(rest, _)| rest);
    let certificate = Certificate::from_der(&bytes[..bytes.len() - rest.len()])?;
    Ok((certificate, rest))
}

fn attributes(name: &X509Name<'_>) -> Vec<(String, String)> {
    let attribute = |attribute: &x509_parser::x509::AttributeTypeAndValue<'_>| {
        let oid = attribute.attr_type();
        let registry = x509_parser::objects::oid_registry();
        let short = registry.get(oid).map(|entry| entry.sn());
        let label = match short {
            Some("commonName") => "CN".into(),
            Some("countryName") => "C".into(),
            Some("stateOrProvinceName") => "ST".into(),
            Some("localityName") => "L".into(),
            Some("organizationName") => "O".into(),
            Some("organizationalUnitName") => "OU".into(),
            Some(other) => other.into(),
            None => oid.to_id_string(),
        };
        let value = attribute.as_str().map(str::to_owned);
        (
            label,
            value.unwrap_or_else(|_| format!("#{}", hex(attribute.as_slice(), ""))),
        )
    };
    name.iter_attributes().map(attribute).collect()
}

fn alt_name(name: &GeneralName<'_>) -> AltName {
    match name {
        GeneralName::DNSName(name) => AltName::Dns((*name).into()),
        GeneralName::URI(uri) => AltName::Uri((*uri).into()),
        GeneralName::RFC822Name(mail) => AltName::Email((*mail).into()),
        GeneralName::IPAddress(bytes) => {
            match (<[u8; 4]>::try_from(*bytes), <[u8; 16]>::try_from(*bytes)) {
                (Ok(v4), _) => AltName::Ip(v4.into()),
                (_, Ok(v6)) => AltName::Ip(v6.into()),
                _ => AltName::Other,
            }
        }
        _ => AltName::Other,
    }
}

pub(super) fn time(seconds: i64) -> SystemTime {
    let distance = Duration::from_secs(seconds.unsigned_abs());
    let moved = if seconds < 0 {
        SystemTime::UNIX_EPOCH.checked_sub(distance)
    } else {
        SystemTime::UNIX_EPOCH.checked_add(distance)
    };
    moved.unwrap_or(SystemTime::UNIX_EPOCH)
}

fn hex(bytes: &[u8], separator: &str) -> String {
    let digits: Vec<_> = bytes.iter().map(|byte| format!("{byte:02X}")).collect();
    digits.join(separator)
}
