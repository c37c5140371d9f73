//! Certificates made for a test.

use rcgen::{
    date_time_ymd, BasicConstraints, CertificateParams, CertificateRevocationListParams, DnType,
    ExtendedKeyUsagePurpose, IsCa, KeyIdMethod, KeyPair, RevokedCertParams, PKCS_ED25519,
};

/// A key with its certificates, in PEM.
#[derive(Clone)]
pub struct Identity {
    pub key: String,
    pub cert: String,
}

/// One who issues.
pub struct Authority {
    key: KeyPair,
    cert: rcgen::Certificate,
}

impl Authority {
    pub fn new(name: &str) -> Authority {
        let key = KeyPair::generate().unwrap();
        let cert = authority(name).self_signed(&key).unwrap();
        Authority { key, cert }
    }

    /// One below this one, whose certificate has to be sent along.
    pub fn intermediate(&self, name: &str) -> Authority {
        let key = KeyPair::generate().unwrap();
        let cert = authority(name);
        let cert = cert.signed_by(&key, &self.cert, &self.key).unwrap();
        Authority { key, cert }
    }

    pub fn pem(&self) -> String {
        self.cert.pem()
    }

    pub fn der(&self) -> Vec<u8> {
        self.cert.der().to_vec()
    }

    pub fn issue_with(
        &self,
        names: &[&str],
        change: impl FnOnce(&mut CertificateParams),
    ) -> Identity {
        self.sign(&KeyPair::generate().unwrap(), names, change)
    }

    /// One whose signatures are all of one length, so that its handshakes are, too.
    pub fn issue_even(&self, names: &[&str], usage: ExtendedKeyUsagePurpose) -> Identity {
        let key = KeyPair::generate_for(&PKCS_ED25519).unwrap();
        self.sign(&key, names, |params| {
            params.extended_key_usages = vec![usage];
        })
    }

    fn sign(
        &self,
        key: &KeyPair,
        names: &[&str],
        change: impl FnOnce(&mut CertificateParams),
    ) -> Identity {
        let names: Vec<String> = names.iter().map(|name| (*name).into()).collect();
        let mut params = CertificateParams::new(names).unwrap();
        change(&mut params);
        Identity {
            key: key.serialize_pem(),
            cert: params.signed_by(key, &self.cert, &self.key).unwrap().pem(),
        }
    }

    pub fn issue_number(&self, serial: u64, names: &[&str]) -> Identity {
        self.issue_with(names, |params| params.serial_number = Some(serial.into()))
    }

    /// A list of revoked certificates that holds until a year.
    pub fn revoke(&self, until: i32, serials: &[u64]) -> String {
        let named = |serial: &u64| RevokedCertParams {
            serial_number: (*serial).into(),
            revocation_time: date_time_ymd(2020, 1, 1),
            reason_code: None,
            invalidity_date: None,
        };
        let params = CertificateRevocationListParams {
            this_update: date_time_ymd(2020, 1, 1),
            next_update: date_time_ymd(until, 1, 1),
            crl_number: 1.into(),
            issuing_distribution_point: None,
            revoked_certs: serials.iter().map(named).collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        params
            .signed_by(&self.cert, &self.key)
            .unwrap()
            .pem()
            .unwrap()
    }

    pub fn issue(&self, names: &[&str]) -> Identity {
        self.issue_with(names, |_| {})
    }

    pub fn issue_client(&self, name: &str) -> Identity {
        self.issue_with(&[name], |params| {
            params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
            params.distinguished_name.push(DnType::CommonName, name);
        })
    }
}

fn authority(name: &str) -> CertificateParams {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params
}

/// A self-signed certificate that may issue others, as `openssl req -x509` makes them.
pub fn ca_true(names: &[&str]) -> Identity {
    let key = KeyPair::generate().unwrap();
    let names: Vec<String> = names.iter().map(|name| (*name).into()).collect();
    let mut params = CertificateParams::new(names).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    Identity {
        key: key.serialize_pem(),
        cert: params.self_signed(&key).unwrap().pem(),
    }
}

/// The one that is kept with the crate, because only `openssl` makes such: of version 1. No file is opened for it, as
/// other scenarios count descriptors.
pub fn version_1() -> Identity {
    Identity {
        key: include_str!("../../src/tls/fixtures/v1-server.pem").into(),
        cert: include_str!("../../src/tls/fixtures/v1-server.crt").into(),
    }
}
