//! A context: keys, certificates, roots, ciphers and versions, checked once and used for many connections.

use std::cell::RefCell;
use std::fmt;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use rustls::client::Resumption;
use rustls::crypto::{ring, CryptoProvider};
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::{ClientConfig, ServerConfig};

use super::binding::{Binding, Parts};
use super::certificate::{self, Certificate};
use super::keys::{self, Keys};
use super::material::Material;
use super::revocation::Lists;
use super::tickets::{TicketKeys, Ticketer, LONGEST};
use super::trust::Trust;
use super::verifier::Verifier;
use super::version::Versions;
use super::{ciphers, TlsVersion};
use crate::error::{Code, Error, Result};

/// So many tickets of TLS 1.3 a connection gets, as from OpenSSL: each is good for one other.
pub(crate) const TICKETS: usize = 2;

/// What a context is made from, as it was given.
#[derive(Clone, Default)]
pub(crate) struct Ingredients {
    pub(crate) keys: Vec<(Material, Option<String>)>,
    pub(crate) certs: Vec<Material>,
    pub(crate) ca: Option<Vec<Material>>,
    pub(crate) crl: Vec<Material>,
    pub(crate) ocsp: Vec<Material>,
    #[cfg(feature = "tls-pfx")]
    pub(crate) pfx: Vec<(Material, Option<String>)>,
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
    /// What sessions of this context are bound to, with the wishes.
    binding: Binding,
    /// For servers that have no keys for tickets of their own.
    tickets: Arc<TicketKeys>,
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
    /// For how long a session may be taken up again.
    pub(crate) session_timeout: Duration,
    /// What seals its tickets; `None`: the context has keys for those who have none.
    pub(crate) tickets: Option<Arc<TicketKeys>>,
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
    /// With tickets, if sessions live at all.
    pub(crate) config: Arc<ServerConfig>,
    /// Without.
    pub(crate) bare: Arc<ServerConfig>,
    /// Clients are asked for certificates.
    pub(crate) verifier: Option<Arc<Verifier>>,
    /// What its sessions are bound to.
    pub(crate) binding: Binding,
    pub(crate) speaks_13: bool,
    pub(crate) keys: Arc<Keys>,
    pub(crate) trust: Arc<Trust>,
}

/// A context as a client uses it.
#[derive(Clone)]
pub(crate) struct ClientSide {
    pub(crate) config: Arc<ClientConfig>,
    pub(crate) verifier: Arc<Verifier>,
    /// What its sessions are bound to.
    pub(crate) binding: Binding,
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
        let parts = Parts::of("context")
            .add(format!("{versions:?}").as_bytes())
            .add(format!("{suites:?}").as_bytes());
        let provider = Arc::new(CryptoProvider {
            cipher_suites: suites,
            ..ring::default_provider()
        });
        let (mut keys, added) = load_keys(from, &provider)?;
        keys.staple(&from.ocsp)?;
        let ca = from.ca.as_deref().map(load_all).transpose()?;
        let lists = Lists::load(&from.crl)?;
        let chains = keys.chains();
        let mut parts = parts.add_all(chains.len(), chains);
        if let Some(ca) = &ca {
            parts = parts
                .add(b"ca")
                .add_all(ca.len(), ca.iter().map(Certificate::raw));
        }
        parts = parts.add_all(added.len(), added.iter().map(Certificate::raw));
        parts = parts.add_all(lists.len(), lists.ders());
        Ok(SecureContext(Rc::new(Context {
            binding: Binding::of(parts),
            tickets: TicketKeys::own()?,
            trust: Arc::new(Trust::new(ca.as_deref(), &added, lists, &provider)?),
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

    /// For a server. Those who wish the same share it, but for tickets under keys of their own.
    pub(crate) fn server(&self, wishes: &ServerWishes) -> Result<ServerSide> {
        let mut common = wishes.clone();
        let keys = common.tickets.take();
        let mut side = self.common_server(&common)?;
        if let Some(keys) = keys {
            side.issue_tickets(&keys, wishes.session_timeout);
        }
        Ok(side)
    }

    fn common_server(&self, wishes: &ServerWishes) -> Result<ServerSide> {
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
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        let bare = Arc::new(config);
        let parts = Parts::of("server")
            .add(context.binding.bytes())
            .add(&[wishes.request_cert.into(), wishes.reject.into()])
            .add_all(wishes.alpn.len(), wishes.alpn.iter().map(Vec::as_slice));
        let mut side = ServerSide {
            config: Arc::clone(&bare),
            bare,
            verifier,
            binding: Binding::of(parts),
            speaks_13: context.versions.max == TlsVersion::V1_3,
            keys: Arc::clone(&context.keys),
            trust: Arc::clone(&context.trust),
        };
        side.issue_tickets(&context.tickets, wishes.session_timeout);
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
        let parts = Parts::of("client")
            .add(context.binding.bytes())
            .add(&[wishes.reject, wishes.own_identity, wishes.send_name].map(u8::from))
            .add_all(wishes.alpn.len(), wishes.alpn.iter().map(Vec::as_slice));
        let side = ClientSide {
            config: Arc::new(config),
            verifier,
            binding: Binding::of(parts),
        };
        context
            .clients
            .borrow_mut()
            .push((wishes.clone(), side.clone()));
        Ok(side)
    }
}

impl ServerSide {
    /// Clients get tickets under `keys`, each good for `lifetime`; for no time at all none.
    fn issue_tickets(&mut self, keys: &Arc<TicketKeys>, lifetime: Duration) {
        if lifetime.is_zero() {
            return;
        }
        let mut config = ServerConfig::clone(&self.bare);
        config.ticketer = Arc::new(Ticketer::new(keys, self.binding, lifetime.min(LONGEST)));
        config.send_tls13_tickets = TICKETS;
        self.config = Arc::new(config);
    }
}

impl fmt::Debug for SecureContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SecureContext")
            .field("certificate", &self.certificate())
            .finish_non_exhaustive()
    }
}

/// The keys with their certificates, and the certificates that came along with them.
fn load_keys(from: &Ingredients, provider: &CryptoProvider) -> Result<(Keys, Vec<Certificate>)> {
    let mut keys = Vec::new();
    for (key, passphrase) in &from.keys {
        let passphrase = passphrase.as_deref().or(from.passphrase.as_deref());
        keys.extend(keys::load(key, passphrase, provider)?);
    }
    let chains = from.certs.iter().map(certificate::load);
    let keys = Keys::pair(keys, chains.collect::<Result<_>>()?)?;
    #[cfg(feature = "tls-pfx")]
    return with_pfx(keys, from, provider);
    #[cfg(not(feature = "tls-pfx"))]
    Ok((keys, Vec::new()))
}

#[cfg(feature = "tls-pfx")]
fn with_pfx(
    mut keys: Keys,
    from: &Ingredients,
    provider: &CryptoProvider,
) -> Result<(Keys, Vec<Certificate>)> {
    let mut added = Vec::new();
    // Each goes before what is there, and the first that was given is to be the first.
    for (pfx, passphrase) in from.pfx.iter().rev() {
        let passphrase = passphrase.as_deref().or(from.passphrase.as_deref());
        let opened = super::pfx::load(pfx, passphrase, provider)?;
        for (key, chain) in opened.pairs.into_iter().rev() {
            keys.prefer(key, &chain);
        }
        added.extend(opened.others);
    }
    Ok((keys, added))
}

fn load_all(materials: &[Material]) -> Result<Vec<Certificate>> {
    let lists = materials.iter().map(certificate::load);
    Ok(lists.collect::<Result<Vec<_>>>()?.concat())
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
