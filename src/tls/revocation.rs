//! Lists of revoked certificates (CRLs). rustls asks them about what leads to a root; what it cannot ask them about is
//! asked here: a certificate that is trusted as it stands, and a list whose time has not come.

use std::time::{Duration, SystemTime};

use rustls::crypto::WebPkiSupportedAlgorithms;
use rustls::pki_types::{
    CertificateDer, CertificateRevocationListDer, SignatureVerificationAlgorithm,
    SubjectPublicKeyInfoDer, UnixTime,
};
use rustls::CertificateError;
use x509_parser::asn1_rs::{Any, BitString};
use x509_parser::oid_registry::OID_X509_EXT_ISSUER_DISTRIBUTION_POINT;
use x509_parser::prelude::{FromDer, X509Certificate, X509Version};
use x509_parser::revocation_list::CertificateRevocationList;

use super::certificate::{time, Certificate};
use super::instead::{instead, Wanted};
use super::material::{pem, Material};
use crate::error::{Code, Error, Result};

/// Those that a program has given, the newest first.
#[derive(Debug, Default)]
pub(crate) struct Lists(Vec<List>);

#[derive(Debug)]
struct List {
    issuer: Vec<u8>,
    /// From when until when it says how things are.
    from: SystemTime,
    until: SystemTime,
    der: Vec<u8>,
}

/// What the lists say of a certificate that is trusted as it stands.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Standing {
    revoked: bool,
    /// Until when a list of its issuer holds; `None`: there is none that can be checked.
    known: Option<SystemTime>,
}

impl Lists {
    /// Reads all lists of these texts and files, of which there must be one at least in each.
    pub(crate) fn load(given: &[Material]) -> Result<Lists> {
        let mut lists = Vec::new();
        for material in given {
            let bytes = material.read()?;
            let before = lists.len();
            match pem(&bytes)? {
                None if CertificateRevocationList::from_der(&bytes).is_err() => {}
                None => read_all(&bytes, &mut lists)?,
                Some(sections) => {
                    for section in sections {
                        if section.label == "X509 CRL" {
                            read_all(&section.der, &mut lists)?;
                        }
                    }
                }
            }
            if lists.len() == before {
                return Err(instead(material, &bytes, Wanted::List));
            }
        }
        // Of several that tell of the same, the first one that is found counts.
        lists.sort_by_key(|list| std::cmp::Reverse(list.from));
        Ok(Lists(lists))
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn ders(&self) -> impl Iterator<Item = &[u8]> {
        self.0.iter().map(|list| list.der.as_slice())
    }

    /// As rustls takes them.
    pub(crate) fn owned(&self) -> impl Iterator<Item = CertificateRevocationListDer<'static>> + '_ {
        self.ders().map(|der| der.to_vec().into())
    }

    /// Whether the time of a list that would tell of one of `chain` has not come.
    pub(crate) fn is_early<'a, 'd: 'a>(
        &self,
        mut chain: impl Iterator<Item = &'a CertificateDer<'d>>,
        now: UnixTime,
    ) -> bool {
        let now = moment(now);
        let is_early = |der: &CertificateDer<'_>| {
            X509Certificate::from_der(der).is_ok_and(|(_, certificate)| {
                let newest = self.of(certificate.issuer().as_raw()).next();
                newest.is_some_and(|list| now < list.from)
            })
        };
        !self.is_empty() && chain.any(is_early)
    }

    /// What they say of a certificate that is trusted as it stands, and of its issuers. `ca`: all such, by whose keys the
    /// lists must be signed.
    pub(crate) fn standing(
        &self,
        certificate: &Certificate,
        ca: &[Certificate],
        algorithms: &WebPkiSupportedAlgorithms,
    ) -> Standing {
        let mut standing = self.standing_alone(certificate, ca, algorithms);
        let mut at = certificate;
        // Names may go round in a circle.
        for _ in ca {
            let Some(issuer) = at.issuer_among(ca) else {
                break;
            };
            let above = self.standing_alone(issuer, ca, algorithms);
            standing.revoked |= above.revoked;
            standing.known = standing
                .known
                .zip(above.known)
                .map(|(one, other)| one.min(other));
            at = issuer;
        }
        standing
    }

    fn standing_alone(
        &self,
        certificate: &Certificate,
        ca: &[Certificate],
        algorithms: &WebPkiSupportedAlgorithms,
    ) -> Standing {
        let mut standing = Standing {
            revoked: false,
            known: None,
        };
        let Ok((_, certificate)) = X509Certificate::from_der(certificate.der()) else {
            return standing;
        };
        for list in self.of(certificate.issuer().as_raw()) {
            let Ok((_, read)) = CertificateRevocationList::from_der(&list.der) else {
                continue;
            };
            let mut named = read.iter_revoked_certificates();
            standing.revoked |=
                named.any(|revoked| revoked.raw_serial() == certificate.raw_serial());
            // One for a part of what its issuer has issued leaves open whether that part is meant.
            let partial = read
                .extensions()
                .iter()
                .any(|extension| extension.oid == OID_X509_EXT_ISSUER_DISTRIBUTION_POINT);
            let signed = || {
                ca.iter()
                    .any(|issuer| issuer.has_signed(list, algorithms.all))
            };
            if standing.known.is_none() && !partial && signed() {
                standing.known = Some(list.until);
            }
        }
        standing
    }

    fn of<'a>(&'a self, issuer: &'a [u8]) -> impl Iterator<Item = &'a List> {
        self.0.iter().filter(move |list| list.issuer == issuer)
    }
}

impl Standing {
    pub(crate) fn is_revoked(&self) -> bool {
        self.revoked
    }

    /// Whether it may be trusted now.
    pub(crate) fn check(&self, now: UnixTime) -> Result<(), CertificateError> {
        let now = moment(now);
        match self.known {
            _ if self.revoked => Err(CertificateError::Revoked),
            None => Err(CertificateError::UnknownRevocationStatus),
            Some(until) if now >= until => Err(CertificateError::ExpiredRevocationList),
            Some(_) => Ok(()),
        }
    }
}

impl Certificate {
    /// The one of `ca`, not itself, that has the name of its issuer.
    pub(crate) fn issuer_among<'a>(&self, ca: &'a [Certificate]) -> Option<&'a Certificate> {
        if self.is_self_issued() {
            return None;
        }
        let (_, own) = X509Certificate::from_der(self.der()).ok()?;
        ca.iter().find(|other| {
            X509Certificate::from_der(other.der())
                .is_ok_and(|(_, other)| other.subject().as_raw() == own.issuer().as_raw())
        })
    }

    /// Whether it is that of the issuer of `list`.
    fn has_signed(&self, list: &List, algorithms: &[&dyn SignatureVerificationAlgorithm]) -> bool {
        let Ok((_, parsed)) = X509Certificate::from_der(self.der()) else {
            return false;
        };
        let usage = parsed.key_usage().ok().flatten();
        let may_sign = usage.is_none_or(|usage| usage.value.crl_sign());
        may_sign
            && parsed.subject().as_raw() == list.issuer
            && signed(&list.der)
                .is_some_and(|signed| signed.is_by(&self.public_key(), algorithms) == Some(true))
    }
}

/// Something that is signed, apart.
struct Signed<'a> {
    message: &'a [u8],
    algorithm: &'a [u8],
    signature: BitString<'a>,
}

fn signed(der: &[u8]) -> Option<Signed<'_>> {
    let (_, whole) = Any::from_der(der).ok()?;
    let (rest, _) = Any::from_der(whole.data).ok()?;
    let message = &whole.data[..whole.data.len() - rest.len()];
    let (rest, algorithm) = Any::from_der(rest).ok()?;
    let (_, signature) = BitString::from_der(rest).ok()?;
    Some(Signed {
        message,
        algorithm: algorithm.data,
        signature,
    })
}

impl Signed<'_> {
    /// `None`: the key cannot be read.
    fn is_by(
        &self,
        key: &SubjectPublicKeyInfoDer<'_>,
        algorithms: &[&dyn SignatureVerificationAlgorithm],
    ) -> Option<bool> {
        let candidates = algorithms.iter().copied();
        let named = candidates.filter(|one| one.signature_alg_id().as_ref() == self.algorithm);
        is_signature(key, self.message, self.signature.as_ref(), named)
    }
}

/// Whether one of `candidates` is for the kind of this key, and finds the signature to be made with it. `None`: the key
/// cannot be read.
pub(super) fn is_signature<'a>(
    key: &SubjectPublicKeyInfoDer<'_>,
    message: &[u8],
    signature: &[u8],
    mut candidates: impl Iterator<Item = &'a dyn SignatureVerificationAlgorithm>,
) -> Option<bool> {
    let (_, whole) = Any::from_der(key).ok()?;
    let (rest, algorithm) = Any::from_der(whole.data).ok()?;
    let (_, bits) = BitString::from_der(rest).ok()?;
    let fits = candidates.find(|one| one.public_key_alg_id().as_ref() == algorithm.data);
    Some(fits.is_some_and(|fits| {
        fits.verify_signature(bits.as_ref(), message, signature)
            .is_ok()
    }))
}

/// The lists in `bytes`, one after the other.
fn read_all(mut bytes: &[u8], into: &mut Vec<List>) -> Result<()> {
    while !bytes.is_empty() {
        let (rest, read) = CertificateRevocationList::from_der(bytes).map_err(|error| {
            let message = format!("Failed to parse CRL: {error}");
            Error::new(Code::TlsBadEncoding, message)
        })?;
        if read.version() != Some(X509Version::V2) {
            return Err(unsupported(
                "it is of version 1: set `crlnumber`, or `crl_extensions`, where the configuration of `openssl ca` describes the CA, and make it anew with `openssl ca -gencrl`",
            ));
        }
        let Some(until) = read.next_update() else {
            return Err(unsupported("it does not say until when it holds"));
        };
        into.push(List {
            issuer: read.issuer().as_raw().to_vec(),
            from: time(read.last_update().timestamp()),
            until: time(until.timestamp()),
            der: bytes[..bytes.len() - rest.len()].to_vec(),
        });
        bytes = rest;
    }
    Ok(())
}

pub(super) fn unsupported(why: &str) -> Error {
    let message = format!("the revocation list cannot be used: {why}");
    Error::new(Code::TlsUnsupported, message)
}

fn moment(now: UnixTime) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(now.as_secs())
}
