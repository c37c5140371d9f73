//! A context: keys, certificates, roots, ciphers and versions, checked once and used for many connections.

use std::cell::RefCell;
use std::fmt;
use std::rc::Rc;
use std::sync::Arc;

use rustls::client::Resumption;
use rustls::crypto::{ring, CryptoProvider};
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::{ClientConfig, ServerConfig};

use super::certificate::{self, Certificate};
use super::keys::{self, Keys};
use super::material::Material;
use super::trust::Trust;
use super::verifier::Verifier;
use super::version::Versions;
use super::{ciphers, TlsVersion};
use crate::error::{Code, Error, Result};

/// What a context is made from, as it was given.
#[derive(Clone, Default)]
pub(crate) struct Ingredients {
    pub(crate) keys: Vec<(Material, Option<String>)>,
    pub(crate) certs: Vec<Material>,
    pub(crate) ca: Option<Vec<Material>>,
    pub(crate) passphrase: Option<String>,
    pub(crate) ciphers: Option<String>,
    pub(crate) secure_protocol: Option<String>,
    pub(crate) min_version: Option<TlsVersion>,
    pub(crate) max_version: Option<TlsVersion>,
}

/// Keys, certificates, roots, ciphers and versions, read and checked: Node's `tls.createSecureContext`.
///
/// Made once it serves any number of connections, and several names of one server. A clone is the same context.
///
/// ```no_run
/// use std::path::Path;
/// use tidewheel::tls::{ContextOptions, SecureContext};
///
/// # fn main() -> Result<(), tidewheel::Error> {
/// let context = SecureContext::new(
///     ContextOptions::default()
///         .key(Path::new("server.pem"))
///         .cert(Path::new("server.crt")),
/// )?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct SecureContext(Rc<Context>);

struct Context {
    provider: Arc<CryptoProvider>,
    versions: Versions,
    keys: Arc<Keys>,
    trust: Arc<Trust>,
    /// What was made for servers, each with the wishes it was made for.
    servers: RefCell<Vec<(ServerWishes, ServerSide)>>,
    clients: RefCell<Vec<(ClientWishes, ClientSide)>>,
}

/// What a server wants of its contexts.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct ServerWishes {
    pub(crate) request_cert: bool,
    pub(crate) reject: bool,
    pub(crate) honor_cipher_order: bool,
    pub(crate) alpn: Vec<Vec<u8>>,
}

/// What a client wants of its context.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct ClientWishes {
    pub(crate) reject: bool,
    pub(crate) own_identity: bool,
    pub(crate) send_name: bool,
    pub(crate) alpn: Vec<Vec<u8>>,
}

/// A context as a server uses it.
#[derive(Clone)]
pub(crate) struct ServerSide {
    pub(crate) config: Arc<ServerConfig>,
    /// Clients are asked for certificates.
    pub(crate) verifier: Option<Arc<Verifier>>,
}

/// A context as a client uses it.
#[derive(Clone)]
pub(crate) struct ClientSide {
    pub(crate) config: Arc<ClientConfig>,
    pub(crate) verifier: Arc<Verifier>,
}

impl SecureContext {
    pub(crate) fn make(from: &Ingredients) -> Result<SecureContext> {
        let versions = Versions::choose(
            from.min_version,
            from.max_version,
            from.secure_protocol.as_deref(),
        )?;
        let suites = ciphers::choose(from.ciphers.as_deref())?;
        let speaks = |suite: &rustls::SupportedCipherSuite| {
            versions
                .list()
                .iter()
                .any(|version| version.version == suite.version().version)
        };
        if !suites.iter().any(speaks) {
            let message = format!("no cipher match: none of `ciphers` is of {}", versions.min);
            return Err(Error::new(Code::TlsNoCipherMatch, message));
        }
        let provider = Arc::new(CryptoProvider {
            cipher_suites: suites,
            ..ring::default_provider()
        });
        let mut keys = Vec::new();
        for (key, passphrase) in &from.keys {
            let passphrase = passphrase.as_deref().or(from.passphrase.as_deref());
            keys.extend(keys::load(key, passphrase, &provider)?);
        }
        let chains = from
            .certs
            .iter()
            .map(certificate::load)
            .collect::<Result<_>>()?;
        let keys = Keys::pair(keys, chains)?;
        let ca = match &from.ca {
            None => None,
            Some(files) => {
                let lists = files
                    .iter()
                    .map(certificate::load)
                    .collect::<Result<Vec<_>>>()?;
                Some(lists.concat())
            }
        };
        Ok(SecureContext(Rc::new(Context {
            trust: Arc::new(Trust::new(ca.as_deref(), &provider)?),
            provider,
            versions,
            keys: Arc::new(keys),
            servers: RefCell::default(),
            clients: RefCell::default(),
        })))
    }

    /// Our own certificate, if there is one.
    pub fn certificate(&self) -> Option<Certificate> {
        Certificate::from_der(self.0.keys.first()?).ok()
    }

    pub(crate) fn has_keys(&self) -> bool {
        !self.0.keys.is_empty()
    }

    /// For a server. Those who wish the same share it.
    pub(crate) fn server(&self, wishes: &ServerWishes) -> Result<ServerSide> {
        let context = &*self.0;
        let known = find(&context.servers.borrow(), wishes);
        if let Some(side) = known {
            return Ok(side);
        }
        check_alpn(&wishes.alpn)?;
        let verifier = wishes.request_cert.then(|| {
            Arc::new(Verifier::new(
                Arc::clone(&context.trust),
                wishes.reject,
                false,
            ))
        });
        let clients = match &verifier {
            Some(verifier) => Arc::clone(verifier) as _,
            None => WebPkiClientVerifier::no_client_auth(),
        };
        let builder = ServerConfig::builder_with_provider(Arc::clone(&context.provider))
            .with_protocol_versions(context.versions.list())
            .map_err(|error| unusable(&error))?;
        let mut config = builder
            .with_client_cert_verifier(clients)
            .with_cert_resolver(Arc::clone(&context.keys) as _);
        config.alpn_protocols.clone_from(&wishes.alpn);
        config.ignore_client_order = wishes.honor_cipher_order;
        // Nothing is kept of a connection, so no other can take it up again.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        let side = ServerSide {
            config: Arc::new(config),
            verifier,
        };
        context
            .servers
            .borrow_mut()
            .push((wishes.clone(), side.clone()));
        Ok(side)
    }

    /// For a client. Those who wish the same share it.
    pub(crate) fn client(&self, wishes: &ClientWishes) -> Result<ClientSide> {
        let context = &*self.0;
        let known = find(&context.clients.borrow(), wishes);
        if let Some(side) = known {
            return Ok(side);
        }
        check_alpn(&wishes.alpn)?;
        let verifier = Verifier::new(
            Arc::clone(&context.trust),
            wishes.reject,
            wishes.own_identity,
        );
        let verifier = Arc::new(verifier);
        let builder = ClientConfig::builder_with_provider(Arc::clone(&context.provider))
            .with_protocol_versions(context.versions.list())
            .map_err(|error| unusable(&error))?;
        let mut config = builder
            .dangerous()
            .with_custom_certificate_verifier(Arc::clone(&verifier) as _)
            .with_client_cert_resolver(Arc::clone(&context.keys) as _);
        config.alpn_protocols.clone_from(&wishes.alpn);
        config.enable_sni = wishes.send_name;
        config.resumption = Resumption::disabled();
        let side = ClientSide {
            config: Arc::new(config),
            verifier,
        };
        context
            .clients
            .borrow_mut()
            .push((wishes.clone(), side.clone()));
        Ok(side)
    }
}

impl fmt::Debug for SecureContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SecureContext")
            .field("certificate", &self.certificate())
            .finish_non_exhaustive()
    }
}

fn find<W: PartialEq, S: Clone>(made: &[(W, S)], wishes: &W) -> Option<S> {
    let found = made.iter().find(|(of, _)| of == wishes);
    found.map(|(_, side)| side.clone())
}

fn check_alpn(protocols: &[Vec<u8>]) -> Result<()> {
    match protocols
        .iter()
        .find(|name| name.is_empty() || name.len() > 255)
    {
        Some(name) => {
            let message = format!(
                "alpn_protocols: a name has 1 to 255 bytes, not {}",
                name.len()
            );
            Err(Error::new(Code::InvalidArgValue, message))
        }
        None => Ok(()),
    }
}

fn unusable(error: &rustls::Error) -> Error {
    Error::new(Code::TlsInvalidContext, error.to_string())
}
