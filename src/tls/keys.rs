//! Private keys, and the certificates that belong to them.

use std::sync::Arc;

use pkcs8::der::Decode;
use pkcs8::pkcs5::pbes2::Kdf;
use pkcs8::EncryptedPrivateKeyInfo;
use rustls::client::ResolvesClientCert;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs1KeyDer, PrivatePkcs8KeyDer, PrivateSec1KeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::{CertifiedKey, SigningKey};
use rustls::SignatureScheme;

use super::certificate::Certificate;
use super::instead::{instead, Wanted};
use super::material::{pem, Material};
use crate::error::{Code, Error, Result};

/// The keys of a context with their certificates; the first that the peer can check is used.
#[derive(Debug)]
pub(crate) struct Keys(Vec<Arc<CertifiedKey>>);

impl Keys {
    /// Finds for each chain of certificates the key that belongs to it.
    pub(crate) fn pair(
        keys: Vec<Arc<dyn SigningKey>>,
        chains: Vec<Vec<Certificate>>,
    ) -> Result<Keys> {
        if keys.is_empty() && chains.is_empty() {
            return Ok(Keys(Vec::new()));
        }
        if keys.is_empty() || chains.is_empty() {
            let (given, missing) = if keys.is_empty() {
                ("cert", "key")
            } else {
                ("key", "cert")
            };
            let message = format!("`{given}` was given without `{missing}`");
            return Err(Error::new(Code::InvalidArgValue, message));
        }
        let mut used = vec![false; keys.len()];
        let mut pairs = Vec::new();
        for chain in &chains {
            let leaf = chain[0].public_key();
            let found = keys
                .iter()
                .position(|key| key.public_key().is_some_and(|public| public == leaf));
            let Some(at) = found else {
                return Err(mismatch());
            };
            used[at] = true;
            pairs.push(certified(Arc::clone(&keys[at]), chain));
        }
        if used.contains(&false) {
            return Err(mismatch());
        }
        Ok(Keys(pairs))
    }

    /// Adds a key whose certificates are known, to be used before the others.
    #[cfg(feature = "tls-pfx")]
    pub(crate) fn prefer(&mut self, key: Arc<dyn SigningKey>, chain: &[Certificate]) {
        self.0.insert(0, certified(key, chain));
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Our certificate, were the first one used.
    pub(crate) fn first(&self) -> Option<&[u8]> {
        Some(self.0.first()?.cert.first()?)
    }

    /// All certificates, those of one key after those of another.
    pub(crate) fn chains(&self) -> Vec<&[u8]> {
        let certificates = self.0.iter().flat_map(|pair| &pair.cert);
        certificates
            .map(|certificate| certificate.as_ref())
            .collect()
    }

    /// Sends an OCSP response along with each of the first certificates.
    pub(crate) fn staple(&mut self, responses: &[Material]) -> Result<()> {
        if responses.len() > self.0.len() {
            let message = "`ocsp_response` was given more often than there are certificates";
            return Err(Error::new(Code::InvalidArgValue, message));
        }
        for (pair, response) in self.0.iter_mut().zip(responses) {
            let response = response.read()?;
            if response.is_empty() {
                let message = "`ocsp_response` is empty";
                return Err(Error::new(Code::InvalidArgValue, message));
            }
            Arc::make_mut(pair).ocsp = Some(response.into_owned());
        }
        Ok(())
    }

    /// The one that a client who can check these signatures gets.
    pub(crate) fn for_client(&self, schemes: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        // With a key that does not fit rustls finds out itself, and tells the client the right thing.
        self.choose(schemes).or_else(|| self.0.first().cloned())
    }

    fn choose(&self, schemes: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        let fits = |pair: &&Arc<CertifiedKey>| pair.key.choose_scheme(schemes).is_some();
        self.0.iter().find(fits).cloned()
    }
}

impl ResolvesServerCert for Keys {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.for_client(hello.signature_schemes())
    }
}

impl ResolvesClientCert for Keys {
    fn resolve(&self, _hints: &[&[u8]], schemes: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        self.choose(schemes)
    }

    fn has_certs(&self) -> bool {
        !self.is_empty()
    }
}

fn certified(key: Arc<dyn SigningKey>, chain: &[Certificate]) -> Arc<CertifiedKey> {
    let ders = chain.iter().map(|certificate| certificate.der().clone());
    Arc::new(CertifiedKey::new(ders.collect(), key))
}

fn mismatch() -> Error {
    let message = "key values mismatch: a `key` and a `cert` do not belong together";
    Error::new(Code::TlsKeyMismatch, message)
}

/// Reads all keys of a text or file, of which there must be one at least.
pub(crate) fn load(
    material: &Material,
    passphrase: Option<&str>,
    provider: &CryptoProvider,
) -> Result<Vec<Arc<dyn SigningKey>>> {
    let bytes = material.read()?;
    let Some(sections) = pem(&bytes)? else {
        if Wanted::of_der(&bytes) != Some(Wanted::Key) {
            return Err(instead(material, &bytes, Wanted::Key));
        }
        return Ok(vec![sign(read_der(&bytes, passphrase)?, provider)?]);
    };
    let mut keys = Vec::new();
    for section in sections {
        let der = section.der;
        if section.encrypted_headers {
            return Err(unsupported_encryption("the old PEM format"));
        }
        let key: PrivateKeyDer<'static> = match section.label.as_str() {
            "PRIVATE KEY" => PrivatePkcs8KeyDer::from(der).into(),
            "RSA PRIVATE KEY" => PrivatePkcs1KeyDer::from(der).into(),
            "EC PRIVATE KEY" => PrivateSec1KeyDer::from(der).into(),
            "ENCRYPTED PRIVATE KEY" => decrypt(&der, passphrase)?,
            label if label.ends_with("PRIVATE KEY") => return Err(unsupported_key(label)),
            // Parameters of a curve, or the certificate in the same file.
            _ => continue,
        };
        keys.push(sign(key, provider)?);
    }
    if keys.is_empty() {
        return Err(instead(material, &bytes, Wanted::Key));
    }
    Ok(keys)
}

fn read_der(bytes: &[u8], passphrase: Option<&str>) -> Result<PrivateKeyDer<'static>> {
    match PrivateKeyDer::try_from(bytes) {
        Ok(key) => Ok(key.clone_key()),
        Err(_) => decrypt(bytes, passphrase),
    }
}

/// Opens a key of PKCS#8 that is under a passphrase.
fn decrypt(der: &[u8], passphrase: Option<&str>) -> Result<PrivateKeyDer<'static>> {
    let sealed = EncryptedPrivateKeyInfo::from_der(der)
        .map_err(|_| unsupported_encryption("an encryption that is not PBES2"))?;
    if sealed.encryption_algorithm.pbes2().is_none() {
        return Err(unsupported_encryption("PBES1"));
    }
    let kdf = sealed.encryption_algorithm.pbes2().map(|pbes2| &pbes2.kdf);
    if kdf.is_some_and(is_too_costly) {
        let message = "the private key asks for too much work or memory to open it";
        return Err(Error::new(Code::TlsUnsupported, message));
    }
    let Some(passphrase) = passphrase else {
        let message = "Passphrase required for encrypted key: set `passphrase`";
        return Err(Error::new(Code::TlsMissingPassphrase, message));
    };
    let bad = || {
        Error::new(
            Code::TlsBadDecrypt,
            "bad decrypt: the passphrase does not open the key",
        )
    };
    let opened = match sealed.decrypt(passphrase) {
        Ok(opened) => opened,
        Err(pkcs8::Error::EncryptedPrivateKey(pkcs8::pkcs5::Error::UnsupportedAlgorithm {
            ..
        })) => {
            return Err(unsupported_encryption("an algorithm that is not supported"));
        }
        // A wrong passphrase shows as padding that is wrong, or as something that is no key.
        Err(_) => return Err(bad()),
    };
    pkcs8::PrivateKeyInfo::from_der(opened.as_bytes()).map_err(|_| bad())?;
    Ok(PrivatePkcs8KeyDer::from(opened.as_bytes().to_vec()).into())
}

/// Far more than any key in use asks for: memory that cannot be had would end the process.
fn is_too_costly(kdf: &Kdf<'_>) -> bool {
    match kdf {
        Kdf::Pbkdf2(params) => params.iteration_count > 10_000_000,
        Kdf::Scrypt(params) => is_too_large(
            params.cost_parameter,
            params.block_size.into(),
            params.parallelization.into(),
        ),
        _ => false,
    }
}

/// What scrypt takes: more than 512 MiB.
pub(super) fn is_too_large(cost: u64, block_size: u64, parallel: u64) -> bool {
    let factors = [cost, block_size, parallel].map(u128::from);
    let memory = factors.into_iter().try_fold(128_u128, u128::checked_mul);
    memory.is_none_or(|memory| memory > 512 * 1024 * 1024)
}

pub(super) fn sign(
    key: PrivateKeyDer<'static>,
    provider: &CryptoProvider,
) -> Result<Arc<dyn SigningKey>> {
    let loaded = provider.key_provider.load_private_key(key);
    loaded.map_err(|_| unsupported_key("this one"))
}

fn unsupported_key(what: &str) -> Error {
    let message = format!(
        "the private key cannot be used ({what}): supported are RSA from 2048 bits, ECDSA on P-256 and P-384, and Ed25519"
    );
    Error::new(Code::TlsUnsupported, message)
}

fn unsupported_encryption(what: &str) -> Error {
    let message = format!(
        "the private key is encrypted by {what}: convert it with `openssl pkcs8 -topk8 -v2 aes-256-cbc -in OLD.pem -out NEW.pem`"
    );
    Error::new(Code::TlsUnsupported, message)
}
