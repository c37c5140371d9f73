//! Sessions that a client keeps.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use rustls::client::{ClientSessionStore, Tls12ClientSessionValue, Tls13ClientSessionValue};
use rustls::pki_types::ServerName;
use rustls::NamedGroup;

use super::context::ClientSide;
use super::TlsVersion;

/// So many sessions nobody has asked for are kept of a connection: servers send one or two.
const MOST: usize = 8;

/// A session with a server: what a client needs to connect again with a short handshake.
///
/// [`Socket::on_session`](crate::net::Socket::on_session) and [`TlsInfo::session`](crate::tls::TlsInfo::session) give it,
/// [`TlsConnectOptions::session`](crate::tls::TlsConnectOptions::session) takes it. A clone is the same session.
///
/// It is good for the same host under the same options: the same names, keys, `ca` and versions, the same
/// `reject_unauthorized`, and a check of the identity or none as before. Under any others, when the server does not know
/// it any more, and when the server's certificate has expired since, the handshake is a full one, which is no error.
///
/// One of TLS 1.3 is good for one connection, as the protocol advises: the first that uses it. Each connection brings
/// new ones. One of TLS 1.2 is good for any number, for as long as the server likes.
///
/// It lives in this process. Node's is a `Buffer`; this one cannot be made into bytes, because rustls 0.23 cannot do
/// that. It may go to other loops and threads.
///
/// ```
/// use std::cell::RefCell;
/// use std::rc::Rc;
/// use tidewheel::tls::{self, Session, TlsConnectOptions, TlsOptions};
/// use tidewheel::EventLoop;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let made = rcgen::generate_simple_self_signed(["localhost".to_owned()])?;
/// # let (cert, key) = (made.cert.pem(), made.key_pair.serialize_pem());
/// let event_loop = EventLoop::new()?;
/// let options = TlsOptions::default().key(&key).cert(&cert);
/// let server = tls::create_server(&event_loop, options, |socket| {
///     socket.end_with("hello\n");
/// })?;
/// server.listen(("127.0.0.1", 0), |_| {})?;
///
/// let port = server.address().unwrap().port().unwrap();
/// let options = TlsConnectOptions::from(("localhost", port)).ca(&cert);
/// let kept: Rc<RefCell<Option<Session>>> = Rc::default();
/// let keep = Rc::clone(&kept);
/// let first = tls::connect(&event_loop, &options, |_| {});
/// first.on_data(|_, data| assert_eq!(data, b"hello\n"));
/// first.on_session(move |_, session| {
///     keep.borrow_mut().replace(session.clone());
/// });
/// first.on_close(move |socket, _| {
///     let session = kept.borrow_mut().take().expect("the server sends some");
///     let again = tls::connect(socket.event_loop(), options.session(&session), |socket| {
///         assert!(socket.tls().unwrap().is_session_reused());
///     });
///     again.on_data(|_, data| assert_eq!(data, b"hello\n"));
///     again.on_close(move |_, _| server.close());
/// });
/// event_loop.run()?;
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct Session(Arc<Kept>);

struct Kept {
    value: Value,
    /// The context it was made with: rustls goes on with no other.
    side: ClientSide,
    host: String,
    name: ServerName<'static>,
    group: Option<NamedGroup>,
    /// Until when the server's certificate is good.
    until: Option<SystemTime>,
}

enum Value {
    Tls12(Tls12ClientSessionValue),
    /// Until it is used.
    Tls13(Mutex<Option<Tls13ClientSessionValue>>),
}

impl Session {
    /// The version of the protocol it is of.
    pub fn protocol(&self) -> TlsVersion {
        match &self.0.value {
            Value::Tls12(_) => TlsVersion::V1_2,
            Value::Tls13(_) => TlsVersion::V1_3,
        }
    }

    /// The context to go on with, if a connection to `host` that would have `side` may take the session up at `now`.
    pub(crate) fn side_for(
        &self,
        side: &ClientSide,
        host: &str,
        name: &ServerName<'_>,
        now: SystemTime,
    ) -> Option<ClientSide> {
        let kept = &*self.0;
        let fits = kept.side.binding == side.binding
            && (kept.host == host && kept.name == *name)
            && kept.until.is_none_or(|until| now <= until);
        fits.then(|| kept.side.clone())
    }
}

/// Shows no secret.
impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session")
            .field("host", &self.0.host)
            .field("protocol", &self.protocol())
            .finish_non_exhaustive()
    }
}

/// The sessions of one connection, as rustls sees them: the one that it may take up, and those that are new.
pub(crate) struct Store {
    offer: Option<Session>,
    made: Mutex<Made>,
}

#[derive(Default)]
struct Made {
    values: VecDeque<Value>,
    group: Option<NamedGroup>,
}

impl Store {
    pub(crate) fn new(offer: Option<Session>) -> Arc<Store> {
        Arc::new(Store {
            offer,
            made: Mutex::default(),
        })
    }

    /// Something is.
    pub(crate) fn has_made(&self) -> bool {
        !self.made().values.is_empty()
    }

    /// What is new since the last call, of a connection to `host` with `side`, whose certificate is good until `until`.
    pub(crate) fn take_made(
        &self,
        side: &ClientSide,
        host: &(String, ServerName<'static>),
        until: Option<SystemTime>,
    ) -> Vec<Session> {
        let mut made = self.made();
        let group = made.group;
        let sessions = made.values.drain(..).map(|value| {
            Session(Arc::new(Kept {
                value,
                side: side.clone(),
                host: host.0.clone(),
                name: host.1.clone(),
                group,
                until,
            }))
        });
        sessions.collect()
    }

    fn keep(&self, value: Value) {
        let mut made = self.made();
        if made.values.len() == MOST {
            made.values.pop_front();
        }
        made.values.push_back(value);
    }

    fn made(&self) -> MutexGuard<'_, Made> {
        self.made.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ClientSessionStore for Store {
    fn set_kx_hint(&self, _: ServerName<'static>, group: NamedGroup) {
        self.made().group = Some(group);
    }

    fn kx_hint(&self, _: &ServerName<'_>) -> Option<NamedGroup> {
        self.offer.as_ref()?.0.group
    }

    fn set_tls12_session(&self, _: ServerName<'static>, value: Tls12ClientSessionValue) {
        self.keep(Value::Tls12(value));
    }

    fn tls12_session(&self, _: &ServerName<'_>) -> Option<Tls12ClientSessionValue> {
        match &self.offer.as_ref()?.0.value {
            Value::Tls12(value) => Some(value.clone()),
            Value::Tls13(_) => None,
        }
    }

    fn remove_tls12_session(&self, _: &ServerName<'static>) {}

    fn insert_tls13_ticket(&self, _: ServerName<'static>, value: Tls13ClientSessionValue) {
        self.keep(Value::Tls13(Mutex::new(Some(value))));
    }

    fn take_tls13_ticket(&self, _: &ServerName<'static>) -> Option<Tls13ClientSessionValue> {
        match &self.offer.as_ref()?.0.value {
            Value::Tls13(value) => value.lock().unwrap_or_else(PoisonError::into_inner).take(),
            Value::Tls12(_) => None,
        }
    }
}

/// Shows no secret.
impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Store")
    }
}
