//! Whom a context trusts, and what it finds wrong with the certificates of a peer.
//!
//! A certificate that is itself in `ca` is trusted by its dates and its name: it may be of version 1 of the format, as
//! `openssl x509 -req -signkey` makes them, or be allowed to issue others, as those of `openssl req -x509` are. Every
//! other must lead to one of the roots by the rules of the web.
//!
//! With lists of revoked certificates each of a chain must be one that a list of its issuer could name and does not, also
//! one that is itself in `ca`. A root is not asked about.

use std::borrow::Cow;
use std::sync::Arc;

use rustls::client::danger::ServerCertVerifier;
use rustls::client::WebPkiServerVerifier;
use rustls::crypto::{CryptoProvider, WebPkiSupportedAlgorithms};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{VerifierBuilderError, WebPkiClientVerifier};
use rustls::{CertificateError, DistinguishedName, RootCertStore};

use super::certificate::Certificate;
use super::failure;
use super::identity::{check_server_identity, mismatch};
use super::revocation::{self, Lists, Standing};
use crate::error::{Code, Error, Result};

/// Something is wrong with certificates.
#[derive(Debug)]
pub(crate) struct Fault {
    /// What to answer to the peer.
    pub(crate) answer: rustls::Error,
    /// What to tell the program.
    pub(crate) error: Error,
}

#[derive(Debug)]
pub(crate) struct Trust {
    /// Those of `ca`, each trusted as it stands, or as the lists let it stand.
    listed: Vec<(CertificateDer<'static>, Option<Standing>)>,
    /// What may lie between a certificate and a root: what came with our key and, when there are lists, those of `ca`
    /// that have their own issuer there, as they are asked about, too.
    between: Vec<CertificateDer<'static>>,
    lists: Lists,
    /// `None` without a root.
    servers: Option<Arc<WebPkiServerVerifier>>,
    clients: Option<Arc<dyn ClientCertVerifier>>,
    hints: Vec<DistinguishedName>,
    pub(crate) algorithms: WebPkiSupportedAlgorithms,
}

impl Trust {
    /// `ca`: what the program gave, in place of the roots that come with the crate. `added`: what came with its key.
    pub(crate) fn new(
        ca: Option<&[Certificate]>,
        added: &[Certificate],
        lists: Lists,
        provider: &Arc<CryptoProvider>,
    ) -> Result<Trust> {
        let algorithms = provider.signature_verification_algorithms;
        let (own_roots, others): (Vec<_>, Vec<_>) =
            added.iter().cloned().partition(Certificate::is_self_issued);
        let listed = [ca.unwrap_or_default(), &own_roots].concat();
        let standing = |one| (!lists.is_empty()).then(|| lists.standing(one, &listed, &algorithms));
        let standings: Vec<_> = listed.iter().map(standing).collect();
        let mut roots = RootCertStore::empty();
        let mut between: Vec<_> = others.iter().map(|one| one.der().clone()).collect();
        if ca.is_none() {
            roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
        }
        for (one, standing) in listed.iter().zip(&standings) {
            let der = one.der().clone();
            match standing {
                Some(_) if one.issuer_among(&listed).is_some() => between.push(der),
                Some(standing) if standing.is_revoked() => {}
                // One that cannot be a root is trusted as it stands all the same.
                _ => {
                    roots.add_parsable_certificates([der]);
                }
            }
        }
        let roots = Arc::new(roots);
        let (mut servers, mut clients) = (None, None);
        if !roots.is_empty() {
            let verifier = WebPkiServerVerifier::builder_with_provider(
                Arc::clone(&roots),
                Arc::clone(provider),
            );
            let verifier = verifier
                .with_crls(lists.owned())
                .enforce_revocation_expiration();
            servers = Some(verifier.build().map_err(|error| unusable(&error))?);
            let verifier = WebPkiClientVerifier::builder_with_provider(roots, Arc::clone(provider));
            let verifier = verifier
                .with_crls(lists.owned())
                .enforce_revocation_expiration();
            clients = Some(verifier.build().map_err(|error| unusable(&error))?);
        }
        let mut named = RootCertStore::empty();
        let all = listed.iter().chain(&others);
        named.add_parsable_certificates(all.map(|ca| ca.der().clone()));
        let ders = listed.iter().map(|ca| ca.der().clone());
        Ok(Trust {
            listed: ders.zip(standings).collect(),
            between,
            lists,
            servers,
            clients,
            hints: named.subjects(),
            algorithms,
        })
    }

    /// The issuers that a client is told of.
    pub(crate) fn hints(&self) -> &[DistinguishedName] {
        &self.hints
    }

    /// The one of `ca` that has the name of the issuer of `certificate`.
    pub(crate) fn issuer_of(&self, certificate: &Certificate) -> Option<Certificate> {
        let listed = self.listed.iter();
        let listed = listed.filter_map(|(der, _)| Certificate::from_der(der).ok());
        certificate
            .issuer_among(&listed.collect::<Vec<_>>())
            .cloned()
    }

    /// Whether a server's certificates lead to somebody trusted.
    pub(crate) fn check_server_chain(
        &self,
        chain: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<(), Fault> {
        // Any name will do: what is wrong with the name is asked for by itself.
        let name = ServerName::try_from("localhost").expect("it is a name");
        match self.check_server(chain, &name, now) {
            Err(rustls::Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            ))
            | Ok(()) => self.check_times(chain, now),
            Err(answer) => Err(fault(answer, chain)),
        }
    }

    /// Whether a server's certificate, which leads to somebody trusted, is for the host that was asked for.
    pub(crate) fn check_name(
        &self,
        chain: &[CertificateDer<'_>],
        host: &str,
        name: &ServerName<'_>,
        now: UnixTime,
    ) -> Result<(), Fault> {
        let leaf = chain.first().ok_or_else(none_sent)?;
        let certificate = Certificate::from_der(leaf).map_err(|error| Fault {
            answer: CertificateError::BadEncoding.into(),
            error,
        })?;
        let by_name = if self.listed(leaf).is_some() {
            check_server_identity(host, &certificate)
        } else if self.check_server(chain, name, now).is_ok() {
            Ok(())
        } else {
            // The rules of the web have no common names and no half wildcards.
            Err(check_server_identity(host, &certificate).err().unwrap_or_else(|| {
                mismatch(&format!("Host: {host}. is only the cert's CN or matches half a label; its altnames must have it"))
            }))
        };
        by_name.map_err(|error| Fault {
            answer: CertificateError::NotValidForName.into(),
            error,
        })
    }

    /// Whether a client's certificates lead to somebody trusted.
    pub(crate) fn check_client(
        &self,
        chain: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<(), Fault> {
        let leaf = chain.first().ok_or_else(none_sent)?;
        let result = match (self.listed(leaf), &self.clients) {
            (Some(standing), _) => check_listed(leaf, standing, now),
            (None, Some(roots)) => roots
                .verify_client_cert(leaf, &self.issuers(chain), now)
                .map(|_| ()),
            (None, None) => Err(CertificateError::UnknownIssuer.into()),
        };
        result.map_err(|answer| fault(answer, chain))?;
        self.check_times(chain, now)
    }

    fn check_server(
        &self,
        chain: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        now: UnixTime,
    ) -> Result<(), rustls::Error> {
        let leaf = chain
            .first()
            .ok_or(rustls::Error::NoCertificatesPresented)?;
        match (self.listed(leaf), &self.servers) {
            (Some(standing), _) => check_listed(leaf, standing, now),
            (None, Some(roots)) => roots
                .verify_server_cert(leaf, &self.issuers(chain), name, &[], now)
                .map(|_| ()),
            (None, None) => Err(CertificateError::UnknownIssuer.into()),
        }
    }

    /// If a certificate is in `ca` itself: how it stands there.
    fn listed(&self, leaf: &CertificateDer<'_>) -> Option<Option<Standing>> {
        let mut listed = self.listed.iter();
        let found = listed.find(|(listed, _)| listed == leaf);
        found.map(|(_, standing)| *standing)
    }

    /// What may stand between the first of a chain and a root.
    fn issuers<'a>(&'a self, chain: &'a [CertificateDer<'a>]) -> Cow<'a, [CertificateDer<'a>]> {
        match self.between.is_empty() {
            true => Cow::Borrowed(&chain[1..]),
            false => Cow::Owned([&chain[1..], &self.between].concat()),
        }
    }

    /// Whether the lists are not of a time to come.
    fn check_times(&self, chain: &[CertificateDer<'_>], now: UnixTime) -> Result<(), Fault> {
        if !self.lists.is_early(chain.iter().chain(&self.between), now) {
            return Ok(());
        }
        Err(Fault {
            answer: CertificateError::UnknownRevocationStatus.into(),
            error: Error::new(Code::CertRevocationListNotYetValid, "CRL is not yet valid"),
        })
    }
}

fn check_listed(
    leaf: &CertificateDer<'_>,
    standing: Option<Standing>,
    now: UnixTime,
) -> Result<(), rustls::Error> {
    check_dates(leaf, now)?;
    standing.map_or(Ok(()), |standing| standing.check(now).map_err(Into::into))
}

fn check_dates(leaf: &CertificateDer<'_>, now: UnixTime) -> Result<(), rustls::Error> {
    let certificate = Certificate::from_der(leaf).map_err(|_| CertificateError::BadEncoding)?;
    let now = std::time::SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(now.as_secs());
    if now < certificate.valid_from() {
        return Err(CertificateError::NotValidYet.into());
    }
    if now > certificate.valid_to() {
        return Err(CertificateError::Expired.into());
    }
    Ok(())
}

fn fault(answer: rustls::Error, chain: &[CertificateDer<'_>]) -> Fault {
    let rustls::Error::InvalidCertificate(what) = &answer else {
        let error = failure::of_connection(&answer, true);
        return Fault { answer, error };
    };
    let chain: Vec<_> = chain
        .iter()
        .filter_map(|der| Certificate::from_der(der).ok())
        .collect();
    let error = failure::of_chain(what, &chain);
    // What rustls has no word for is, to the peer, an issuer that is not known.
    let answer = match (&answer, error.code()) {
        (_, Code::CertSelfSigned | Code::CertSelfSignedInChain) => {
            CertificateError::UnknownIssuer.into()
        }
        _ => answer,
    };
    Fault { answer, error }
}

fn none_sent() -> Fault {
    let answer = rustls::Error::NoCertificatesPresented;
    let error = failure::of_connection(&answer, true);
    Fault { answer, error }
}

fn unusable(error: &VerifierBuilderError) -> Error {
    match error {
        VerifierBuilderError::InvalidCrl(why) => revocation::unsupported(&format!("{why:?}")),
        _ => Error::new(
            Code::TlsBadEncoding,
            format!("`ca` cannot be used: {error}"),
        ),
    }
}
