//! What rustls finds wrong, in the words of Node and OpenSSL.

use rustls::{AlertDescription, CertRevocationListError, CertificateError, PeerIncompatible};

use super::certificate::Certificate;
use crate::error::{Code, Error};

/// What went wrong on a connection. `began`: a record of the peer was understood before.
pub(crate) fn of_connection(error: &rustls::Error, began: bool) -> Error {
    use rustls::Error as Tls;
    let code = match error {
        Tls::AlertReceived(alert) => of_alert(*alert),
        Tls::InvalidMessage(_) | Tls::PeerSentOversizedRecord if !began => {
            Code::TlsWrongVersionNumber
        }
        Tls::InvalidMessage(_) | Tls::PeerSentOversizedRecord => Code::TlsDecodeError,
        Tls::InappropriateMessage { .. } | Tls::InappropriateHandshakeMessage { .. } => {
            Code::TlsUnexpectedMessage
        }
        Tls::NoCertificatesPresented => Code::TlsNoPeerCertificate,
        Tls::DecryptError => Code::TlsBadRecord,
        Tls::NoApplicationProtocol => Code::TlsNoApplicationProtocol,
        Tls::PeerIncompatible(what) => of_incompatible(what),
        Tls::InvalidCertificate(what) => of_certificate(what),
        Tls::InvalidCertRevocationList(CertRevocationListError::IssuerInvalidForCrl) => {
            Code::CertNoRevocationList
        }
        Tls::InvalidCertRevocationList(_) => Code::CertRevocationListSignature,
        _ => Code::TlsProtocolError,
    };
    let message = match (error, code) {
        (_, Code::TlsWrongVersionNumber) => {
            "wrong version number: the peer does not speak TLS".into()
        }
        (_, Code::CertRevocationListSignature) => "CRL signature failure".into(),
        (_, Code::CertNoRevocationList) => {
            "unable to get certificate CRL: its issuer may not sign such lists".into()
        }
        (Tls::AlertReceived(alert), _) => format!("the peer reports: {alert:?}"),
        _ => error.to_string(),
    };
    Error::new(code, message)
}

fn of_incompatible(what: &PeerIncompatible) -> Code {
    match what {
        PeerIncompatible::ServerDoesNotSupportTls12Or13
        | PeerIncompatible::ServerTlsVersionIsDisabledByOurConfig
        | PeerIncompatible::SupportedVersionsExtensionRequired
        | PeerIncompatible::Tls12NotOffered
        | PeerIncompatible::Tls12NotOfferedOrEnabled => Code::TlsUnsupportedProtocol,
        _ => Code::TlsNoSharedCipher,
    }
}

fn of_alert(alert: AlertDescription) -> Code {
    match alert {
        AlertDescription::HandshakeFailure => Code::TlsAlertHandshakeFailure,
        AlertDescription::ProtocolVersion => Code::TlsAlertProtocolVersion,
        AlertDescription::UnknownCA => Code::TlsAlertUnknownCa,
        AlertDescription::BadCertificate => Code::TlsAlertBadCertificate,
        AlertDescription::UnsupportedCertificate => Code::TlsAlertUnsupportedCertificate,
        AlertDescription::CertificateRevoked => Code::TlsAlertCertificateRevoked,
        AlertDescription::CertificateExpired => Code::TlsAlertCertificateExpired,
        AlertDescription::CertificateUnknown => Code::TlsAlertCertificateUnknown,
        AlertDescription::CertificateRequired => Code::TlsAlertCertificateRequired,
        AlertDescription::AccessDenied => Code::TlsAlertAccessDenied,
        AlertDescription::DecryptError => Code::TlsAlertDecryptError,
        AlertDescription::BadRecordMac => Code::TlsAlertBadRecord,
        AlertDescription::InternalError => Code::TlsAlertInternalError,
        AlertDescription::UnrecognisedName => Code::TlsAlertUnrecognizedName,
        AlertDescription::NoApplicationProtocol => Code::TlsAlertNoApplicationProtocol,
        _ => Code::TlsAlert,
    }
}

/// What is wrong with the certificates `chain`, of which the first is the peer's own.
pub(crate) fn of_chain(what: &CertificateError, chain: &[Certificate]) -> Error {
    let mut code = of_certificate(what);
    let (leaf, last) = (chain.first(), chain.last());
    if matches!(code, Code::CertIssuerUnknown | Code::CertRejected) {
        code = match (leaf, last) {
            (Some(leaf), _) if leaf.is_self_issued() => Code::CertSelfSigned,
            (_, Some(last)) if last.is_self_issued() => Code::CertSelfSignedInChain,
            _ if code == Code::CertRejected => code,
            _ if chain.len() == 1 => Code::CertLeafUnverified,
            _ => code,
        };
    }
    let mut message = match code {
        Code::CertHasExpired => "certificate has expired".into(),
        Code::CertNotYetValid => "certificate is not yet valid".into(),
        Code::CertSelfSigned => "self-signed certificate".into(),
        Code::CertSelfSignedInChain => "self-signed certificate in certificate chain".into(),
        Code::CertIssuerUnknown => "unable to get local issuer certificate".into(),
        Code::CertLeafUnverified => "unable to verify the first certificate".into(),
        Code::CertInvalidPurpose => "unsuitable certificate purpose".into(),
        Code::CertRevoked => "certificate revoked".into(),
        Code::CertNoRevocationList => "unable to get certificate CRL".into(),
        Code::CertRevocationListExpired => "CRL has expired".into(),
        Code::CertRejected if leaf.is_some_and(Certificate::is_version_1) => {
            "unsupported certificate version".into()
        }
        _ => what.to_string(),
    };
    if leaf.is_some_and(Certificate::is_version_1) {
        message.push_str(
            " (it is of X.509 version 1, and so is trusted only if it is in `ca` itself)",
        );
    }
    Error::new(code, message)
}

fn of_certificate(what: &CertificateError) -> Code {
    use CertificateError as Bad;
    match what {
        Bad::Expired | Bad::ExpiredContext { .. } => Code::CertHasExpired,
        Bad::NotValidYet | Bad::NotValidYetContext { .. } => Code::CertNotYetValid,
        Bad::Revoked => Code::CertRevoked,
        Bad::UnknownIssuer => Code::CertIssuerUnknown,
        Bad::UnknownRevocationStatus => Code::CertNoRevocationList,
        Bad::ExpiredRevocationList | Bad::ExpiredRevocationListContext { .. } => {
            Code::CertRevocationListExpired
        }
        Bad::BadSignature => Code::CertSignatureFailure,
        Bad::NotValidForName | Bad::NotValidForNameContext { .. } => Code::CertAltnameInvalid,
        Bad::InvalidPurpose | Bad::InvalidPurposeContext { .. } => Code::CertInvalidPurpose,
        _ => Code::CertRejected,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_of_version_1_that_somebody_has_issued_is_refused_in_plain_words() {
        let issued = include_str!("fixtures/v1-issued.crt").into();
        let chain = crate::tls::certificate::load(&issued).unwrap();
        let what = CertificateError::Other(rustls::OtherError(std::sync::Arc::new(
            std::fmt::Error, // stands for the cause, which `webpki` gives
        )));
        let error = of_chain(&what, &chain);
        assert_eq!(error.code(), Code::CertRejected);
        assert_eq!(
            error.to_string(),
            "unsupported certificate version (it is of X.509 version 1, and so is trusted only if it is in `ca` itself)"
        );
    }
}
