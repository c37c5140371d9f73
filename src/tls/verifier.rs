//! What rustls asks while it shakes hands: are these certificates good, and is this signature theirs?
//!
//! One verifier serves all connections of a context, and those of other threads that take up a session of it. What it
//! finds is kept, for each thread, for the session at work to take at once, because rustls hands on only what it has a
//! word for.

use std::cell::RefCell;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{
    verify_tls12_signature, verify_tls13_signature, verify_tls13_signature_with_raw_key,
    WebPkiSupportedAlgorithms,
};
use rustls::pki_types::{CertificateDer, ServerName, SubjectPublicKeyInfoDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{CertificateError, DigitallySignedStruct, DistinguishedName, SignatureScheme};

use super::certificate::Certificate;
use super::revocation::is_signature;
use super::trust::{Fault, Trust};
use crate::error::Error;

/// Checks the certificates of the other side.
#[derive(Debug)]
pub(crate) struct Verifier {
    trust: Arc<Trust>,
    /// What is wrong ends the handshake. Else it is asked about afterwards.
    pub(crate) reject: bool,
    /// The program looks at the name itself.
    pub(crate) own_identity: bool,
}

thread_local! {
    static FOUND: RefCell<Option<Error>> = const { RefCell::new(None) };
    static STAPLED: RefCell<Option<Vec<u8>>> = const { RefCell::new(None) };
}

type Checked<T> = std::result::Result<T, rustls::Error>;

impl Verifier {
    pub(crate) fn new(trust: Arc<Trust>, reject: bool, own_identity: bool) -> Verifier {
        Verifier {
            trust,
            reject,
            own_identity,
        }
    }

    pub(crate) fn trust(&self) -> &Trust {
        &self.trust
    }

    /// What was found wrong in the call to rustls that has just returned.
    pub(crate) fn take_found() -> Option<Error> {
        FOUND.take()
    }

    /// The OCSP response, or an empty one, if the call to rustls that has just returned came to a server's certificate.
    pub(crate) fn take_stapled() -> Option<Vec<u8>> {
        STAPLED.take()
    }

    fn told(&self, result: std::result::Result<(), Fault>) -> Checked<()> {
        match result {
            Err(fault) if self.reject => {
                FOUND.set(Some(fault.error));
                Err(fault.answer)
            }
            _ => Ok(()),
        }
    }

    fn algorithms(&self) -> &WebPkiSupportedAlgorithms {
        &self.trust.algorithms
    }
}

/// What rustls asks of signatures, of those of servers by one trait and of those of clients by another.
macro_rules! check_signatures {
    () => {
        check_signatures!(
            verify_tls12_signature: verify_raw,
            verify_tls13_signature: verify_tls13_signature_with_raw_key
        );

        fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
            self.algorithms().supported_schemes()
        }
    };
    ($($check:ident: $by_key:ident),*) => {$(
        fn $check(
            &self,
            message: &[u8],
            cert: &CertificateDer<'_>,
            dss: &DigitallySignedStruct,
        ) -> Checked<HandshakeSignatureValid> {
            match version_1_key(cert) {
                Some(key) => $by_key(message, &key, dss, self.algorithms()),
                None => $check(message, cert, dss, self.algorithms()),
            }
        }
    )*};
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Checked<ServerCertVerified> {
        STAPLED.set(Some(ocsp.to_vec()));
        let chain = chain(leaf, others);
        let mut result = self.trust.check_server_chain(&chain, now);
        if result.is_ok() && !self.own_identity {
            result = self.trust.check_name(&chain, &name.to_str(), name, now);
        }
        self.told(result)?;
        Ok(ServerCertVerified::assertion())
    }

    check_signatures!();
}

impl ClientCertVerifier for Verifier {
    fn client_auth_mandatory(&self) -> bool {
        self.reject
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.trust.hints()
    }

    fn verify_client_cert(
        &self,
        leaf: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Checked<ClientCertVerified> {
        self.told(self.trust.check_client(&chain(leaf, others), now))?;
        Ok(ClientCertVerified::assertion())
    }

    check_signatures!();
}

fn chain<'a>(leaf: &CertificateDer<'a>, others: &[CertificateDer<'a>]) -> Vec<CertificateDer<'a>> {
    std::iter::once(leaf).chain(others).cloned().collect()
}

/// The key of a certificate of version 1, which rustls does not read.
fn version_1_key(cert: &CertificateDer<'_>) -> Option<SubjectPublicKeyInfoDer<'static>> {
    let certificate = Certificate::from_der(cert).ok()?;
    certificate.is_version_1().then(|| certificate.public_key())
}

/// TLS 1.2 does not say which curve goes with a signature, so there may be several algorithms; that of the key decides.
fn verify_raw(
    message: &[u8],
    key: &SubjectPublicKeyInfoDer<'_>,
    dss: &DigitallySignedStruct,
    supported: &WebPkiSupportedAlgorithms,
) -> Checked<HandshakeSignatureValid> {
    let scheme = supported
        .mapping
        .iter()
        .find(|(scheme, _)| *scheme == dss.scheme);
    let candidates = scheme.map_or(&[][..], |(_, algorithms)| algorithms);
    let verified = is_signature(key, message, dss.signature(), candidates.iter().copied())
        .ok_or(CertificateError::BadEncoding)?;
    if verified {
        Ok(HandshakeSignatureValid::assertion())
    } else {
        Err(CertificateError::BadSignature.into())
    }
}
