//! Two sessions against each other over pipes in memory, whole and byte by byte.

mod bindings;
mod endings;
mod handshakes;
mod keys;
mod ocsp;
mod peers;
#[cfg(feature = "tls-pfx")]
mod pfx;
mod retries;
mod revocation;
mod sessions;

use std::collections::HashMap;
use std::io::{self, Write};
use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, KeyPair};

use super::*;
use crate::tls::context::{ClientWishes, Ingredients, ServerWishes};
use crate::tls::{Material, SecureContext, TlsVersion};

pub(super) const VERSIONS: [TlsVersion; 2] = [TlsVersion::V1_2, TlsVersion::V1_3];

/// A key with its certificates.
pub(super) struct Identified {
    pub(super) key: String,
    pub(super) cert: String,
}

/// One who issues.
pub(super) struct Authority {
    key: KeyPair,
    cert: rcgen::Certificate,
}

impl Authority {
    pub(super) fn new(name: &str) -> Authority {
        let key = KeyPair::generate().unwrap();
        let cert = authority(name).self_signed(&key).unwrap();
        Authority { key, cert }
    }

    pub(super) fn pem(&self) -> String {
        self.cert.pem()
    }

    pub(super) fn issue(
        &self,
        names: &[&str],
        change: impl FnOnce(&mut CertificateParams),
    ) -> Identified {
        let key = KeyPair::generate().unwrap();
        let names: Vec<String> = names.iter().map(|name| (*name).into()).collect();
        let mut params = CertificateParams::new(names).unwrap();
        change(&mut params);
        let cert = params.signed_by(&key, &self.cert, &self.key).unwrap();
        Identified {
            key: key.serialize_pem(),
            cert: cert.pem(),
        }
    }

    pub(super) fn issue_client(&self) -> Identified {
        self.issue(&["client"], |params| {
            params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth]
        })
    }
}

/// The certificate of one who issues.
pub(super) fn authority(name: &str) -> CertificateParams {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params
        .distinguished_name
        .push(rcgen::DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params
}

/// What one side is made of, with everything else by default.
pub(super) fn ingredients(own: Option<&Identified>, ca: Option<&str>) -> Ingredients {
    let mut ingredients = Ingredients::default();
    if let Some(own) = own {
        ingredients.keys.push((Material::from(&own.key), None));
        ingredients.certs.push(Material::from(&own.cert));
    }
    ingredients.ca = ca.map(|ca| vec![Material::from(ca)]);
    ingredients
}

pub(super) fn only(version: TlsVersion, mut ingredients: Ingredients) -> Ingredients {
    ingredients.min_version = Some(version);
    ingredients.max_version = Some(version);
    ingredients
}

pub(super) fn server(
    ingredients: &Ingredients,
    request_cert: bool,
    reject: bool,
    alpn: &[&str],
) -> Session {
    let wishes = ServerWishes {
        request_cert,
        reject,
        honor_cipher_order: true,
        alpn: alpn.iter().map(|name| name.as_bytes().to_vec()).collect(),
        session_timeout: Duration::from_secs(300),
        tickets: None,
    };
    let side = SecureContext::make(ingredients)
        .unwrap()
        .server(&wishes)
        .unwrap();
    Session::server(&Rc::new(ServerPlan {
        contexts: Contexts::new(side),
        own_choice: false,
        sessions: SessionPlan::default(),
        common: Common::default(),
    }))
}

pub(super) fn client(
    ingredients: &Ingredients,
    host: &str,
    reject: bool,
    alpn: &[&str],
) -> Session {
    client_with(ingredients, host, reject, false, alpn, Common::default())
}

pub(super) fn client_with(
    ingredients: &Ingredients,
    host: &str,
    reject: bool,
    own_identity: bool,
    alpn: &[&str],
    common: Common,
) -> Session {
    let wishes = ClientWishes {
        reject,
        own_identity,
        send_name: true,
        alpn: alpn.iter().map(|name| name.as_bytes().to_vec()).collect(),
    };
    Session::client(ClientPlan {
        side: SecureContext::make(ingredients)
            .unwrap()
            .client(&wishes)
            .unwrap(),
        host: host.into(),
        name: ServerName::try_from(host.to_owned()).unwrap(),
        session: None,
        common,
    })
}

/// Both know that the handshake is done.
pub(super) fn secure(pair: &Pair) -> bool {
    pair.client.session.is_secure() && pair.server.session.is_secure()
}

/// A side, with what it sent and got.
pub(super) struct Side {
    pub(super) session: Session,
    pub(super) wire: Vec<u8>,
    pub(super) got: Vec<u8>,
    /// What it had to tell, in order.
    pub(super) news: Vec<String>,
    /// What it is told if it asks who the peer is.
    pub(super) opinion: Result<()>,
    /// It was told before what it asks now.
    pub(super) mute: bool,
    /// Server: what it says when it is asked for an OCSP response.
    pub(super) staple: Result<Option<Vec<u8>>>,
    /// Client: the sessions it got, each with how much other news there was before.
    pub(super) sessions: Vec<(usize, kept::Session)>,
    /// Server: the sessions that its program keeps.
    pub(super) store: HashMap<Vec<u8>, Vec<u8>>,
}

impl Side {
    fn new(session: Session) -> Side {
        Side {
            session,
            wire: Vec::new(),
            got: Vec::new(),
            news: Vec::new(),
            opinion: Ok(()),
            mute: false,
            staple: Ok(None),
            sessions: Vec::new(),
            store: HashMap::new(),
        }
    }

    /// Gives it `wire`, in pieces of `piece` bytes, and collects what comes out.
    pub(super) fn take(&mut self, wire: &[u8], piece: usize) {
        for bytes in wire.chunks(piece) {
            let mut bytes = bytes;
            loop {
                let mut plain = [0; 1000];
                let produced = self.session.feed(bytes, &mut plain);
                bytes = &[];
                self.got.extend_from_slice(&plain[..produced]);
                let more = self.listen();
                if produced == 0 && !more && !self.session.has_more() {
                    break;
                }
            }
        }
        self.send();
    }

    /// Hears what the session wants. False: nothing.
    pub(super) fn listen(&mut self) -> bool {
        match self.session.wants() {
            None => return false,
            Some(Wants::KeyLog) => {
                let lines = self.session.take_key_lines();
                self.news.extend(
                    lines
                        .lines()
                        .map(|line| format!("key {}", line.split(' ').next().unwrap())),
                );
            }
            Some(_) if self.mute => return false,
            Some(Wants::Context) => {
                self.news
                    .push(format!("context {:?}", self.session.server_name()));
                self.session.answer_context(Ok(None));
            }
            Some(Wants::Session) => {
                let id = self.session.asked_id().unwrap().to_vec();
                let found = self.store.get(&id).cloned();
                let word = if found.is_some() { "found" } else { "unknown" };
                self.news.push(word.into());
                self.session.answer_session(Ok(found));
            }
            Some(Wants::Staple) => {
                self.news.push("asked".into());
                self.session.answer_staple(self.staple.clone());
            }
            Some(Wants::Stapled) => self.hear_stapled(),
            Some(Wants::Keeper) => {
                for made in self.session.take_new() {
                    assert!(!self.session.wants_write() && !self.session.is_secure());
                    self.news.push("new".into());
                    self.store.insert(made.id, made.data);
                    self.session.session_is_kept();
                }
            }
            Some(Wants::Sessions) => {
                let heard = self.news.len();
                let sessions = self.session.take_sessions().into_iter();
                self.sessions
                    .extend(sessions.map(|session| (heard, session)));
            }
            Some(Wants::Identity) => {
                assert!(
                    !self.session.wants_write(),
                    "nothing is sent before the answer"
                );
                self.news
                    .push(format!("identity {}", self.session.certificates().len()));
                self.session.answer_identity(self.opinion.clone());
            }
            Some(Wants::Secure) => {
                self.news.push("secure".into());
                self.session.told_secure();
            }
            Some(Wants::Failed) => {
                let error = self.session.take_failure().unwrap();
                self.news.push(error.code().to_string());
            }
        }
        true
    }

    fn hear_stapled(&mut self) {
        assert!(
            !self.session.wants_write() && !self.session.is_secure(),
            "nothing is sent before it is heard"
        );
        let stapled = self.session.take_stapled();
        let stapled = stapled.map(|bytes| String::from_utf8(bytes).unwrap());
        self.news.push(stapled.unwrap_or("nothing".into()));
    }

    pub(super) fn send(&mut self) {
        self.session.write_to(&mut self.wire).unwrap();
    }

    pub(super) fn say(&mut self, data: &[u8]) {
        let mut rest = data;
        while !rest.is_empty() {
            let taken = self.session.seal(rest);
            rest = &rest[taken..];
            self.send();
        }
    }

    pub(super) fn news(&self) -> String {
        self.news.join(" ")
    }
}

/// Two sides with a wire between.
pub(super) struct Pair {
    pub(super) client: Side,
    pub(super) server: Side,
    pub(super) piece: usize,
}

impl Pair {
    pub(super) fn new(client: Session, server: Session) -> Pair {
        Pair {
            client: Side::new(client),
            server: Side::new(server),
            piece: 4096,
        }
    }

    pub(super) fn by_bytes(mut self) -> Pair {
        self.piece = 1;
        self
    }

    /// Carries bytes until nothing moves.
    pub(super) fn run(&mut self) -> &mut Pair {
        self.client.session.start();
        self.client.send();
        while self.step() {}
        self
    }

    /// One exchange; false: nothing moved.
    pub(super) fn step(&mut self) -> bool {
        let to_server = std::mem::take(&mut self.client.wire);
        let to_client = std::mem::take(&mut self.server.wire);
        self.server.take(&to_server, self.piece);
        self.client.take(&to_client, self.piece);
        !(to_server.is_empty()
            && to_client.is_empty()
            && self.client.wire.is_empty()
            && self.server.wire.is_empty())
    }

    pub(super) fn news(&self) -> (String, String) {
        (self.client.news(), self.server.news())
    }
}

/// Takes `room` bytes and then no more.
pub(super) struct Narrow {
    pub(super) room: usize,
    pub(super) taken: Vec<u8>,
}

impl Write for Narrow {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let taken = bytes.len().min(self.room);
        if taken == 0 {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        self.room -= taken;
        self.taken.extend_from_slice(&bytes[..taken]);
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
