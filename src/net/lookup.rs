//! Names: the `lookup` event, resolvers of the user's own, and the steps of connecting that run code of theirs.

use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::rc::Rc;

use super::face::SocketCallback;
use super::lease::Next;
use super::listeners::EventKind;
use super::{Address, Family, LoopHandle, Socket};
use crate::arena::Key;
use crate::error::{Code, Error, Result};
use crate::reactor::{Deferred, DialStep};
use crate::sys::Stream;

/// What a name came to: the argument of Node's `lookup` event, which comes once for each address, or once with the
/// error.
#[derive(Clone, Debug)]
pub struct Lookup {
    host: String,
    result: Result<IpAddr>,
}

impl Lookup {
    /// The name that was looked up.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// An address of it; `None` when the look-up failed.
    pub fn address(&self) -> Option<IpAddr> {
        self.result.as_ref().ok().copied()
    }

    /// The family of the address.
    pub fn family(&self) -> Option<Family> {
        self.address().map(|ip| {
            if ip.is_ipv4() {
                Family::Ipv4
            } else {
                Family::Ipv6
            }
        })
    }

    /// Why the look-up failed.
    pub fn error(&self) -> Option<&Error> {
        self.result.as_ref().err()
    }
}

/// How a resolver of the user's own answers, now or later: see
/// [`ConnectOptions::lookup`](super::ConnectOptions::lookup). Dropped unanswered it means that there is no such host.
pub struct LookupReply {
    handle: LoopHandle,
    key: Key,
    host: String,
    family: Option<Family>,
    answered: bool,
}

impl LookupReply {
    /// The family asked for; addresses of the other one are not tried.
    pub fn family(&self) -> Option<Family> {
        self.family
    }

    /// The addresses of the host, the preferred one first. None at all means that there is no such host.
    pub fn found(self, addresses: Vec<IpAddr>) {
        if addresses.is_empty() {
            return;
        }
        let addresses = addresses
            .into_iter()
            .map(|ip| SocketAddr::new(ip, 0))
            .collect();
        self.answer(Ok(addresses));
    }

    /// The look-up failed.
    pub fn failed(self, error: Error) {
        self.answer(Err(error));
    }

    fn answer(mut self, answer: Result<Vec<SocketAddr>>) {
        self.answered = true;
        let inner = self.handle.inner();
        let socket = Socket::at(inner, self.key);
        if !socket.connecting() {
            // Its error may be the user's.
            return socket.discard(answer);
        }
        inner.reactor.borrow_mut().resolved(self.key, answer);
    }
}

impl Drop for LookupReply {
    fn drop(&mut self) {
        if !self.answered {
            let error = Error::lookup(Code::HostNotFound, &self.host);
            self.handle
                .inner()
                .reactor
                .borrow_mut()
                .resolved(self.key, Err(error));
        }
    }
}

impl fmt::Debug for LookupReply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LookupReply")
            .field("host", &self.host)
            .finish_non_exhaustive()
    }
}

/// A resolver of the user's own.
#[derive(Clone)]
pub(crate) struct OwnLookup(pub(super) Rc<dyn Fn(&LoopHandle, &str, LookupReply)>);

impl fmt::Debug for OwnLookup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OwnLookup")
    }
}

impl LoopHandle {
    /// Goes on with a connection being made, until it has to wait.
    pub(super) fn dispatch_dial(&self, key: Key) {
        loop {
            let step = self.inner().reactor.borrow_mut().dial_step(key);
            match step {
                DialStep::Wait => return,
                DialStep::Resolve { host, family } => return self.resolve(key, host, family),
                DialStep::Attempt { stream, address } => {
                    if self.attempt(key, stream, address) {
                        return;
                    }
                }
            }
        }
    }

    fn resolve(&self, key: Key, host: String, family: Option<Family>) {
        let inner = self.inner();
        let own = match inner.face.borrow_mut().socket(key) {
            Some(socket) => socket.rare.as_ref().and_then(|rare| rare.lookup.clone()),
            None => None,
        };
        if let Some(OwnLookup(lookup)) = own {
            let reply = LookupReply {
                handle: self.clone(),
                key,
                host: host.clone(),
                family,
                answered: false,
            };
            return lookup(self, &host, reply);
        }
        let mut reactor = inner.reactor.borrow_mut();
        if host.eq_ignore_ascii_case("localhost") {
            let both = [
                IpAddr::from(Ipv4Addr::LOCALHOST),
                Ipv6Addr::LOCALHOST.into(),
            ];
            let wanted = both.into_iter().filter(|ip| match family {
                Some(Family::Ipv4) => ip.is_ipv4(),
                Some(Family::Ipv6) => ip.is_ipv6(),
                None => true,
            });
            reactor.resolved(key, Ok(wanted.map(|ip| SocketAddr::new(ip, 0)).collect()));
        } else {
            reactor.ask_for_dial(key, &host, family);
        }
    }

    /// One attempt, configured by the user. True: there is nothing more to do now.
    fn attempt(&self, key: Key, stream: Stream, address: Address) -> bool {
        let inner = self.inner();
        let configure = match inner.face.borrow_mut().socket(key) {
            Some(socket) => socket.rare.as_ref().and_then(|rare| rare.configure.clone()),
            None => None,
        };
        let mut attempt = Attempt {
            handle: self,
            key,
            parts: Some((stream, address)),
            configured: Err(io::Error::other("configure panicked")),
        };
        attempt.configured = match (configure, &attempt.parts) {
            (Some(configure), Some((stream, _))) => match stream.borrow_fd() {
                Some(fd) => configure.apply(fd),
                None => Ok(()),
            },
            _ => Ok(()),
        };
        attempt.launch()
    }

    /// A name was looked up: it is told, then its addresses are tried.
    pub(super) fn dispatch_lookup(&self, key: Key) {
        loop {
            let next = self.inner().reactor.borrow_mut().next_to_tell(key);
            let Some((host, result)) = next else {
                return self.inner().reactor.borrow_mut().begin_attempts(key);
            };
            let _rest = LookupRest { handle: self, key };
            self.tell_lookup(key, &Lookup { host, result });
        }
    }

    fn tell_lookup(&self, key: Key, lookup: &Lookup) {
        if !Socket::at(self.inner(), key).connecting() {
            return;
        }
        let socket = Socket::at(self.inner(), key);
        let mut audience = self.audience(key);
        while let Some(next) = audience.next(|kind| kind == EventKind::Lookup) {
            match next {
                Next::Handler(mut handler) => handler.get().on_lookup(&socket, lookup),
                Next::Listener(mut lease) => match &mut lease.callback {
                    Some(SocketCallback::Lookup(call)) => call(&socket, lookup),
                    Some(SocketCallback::LookupOnce(_)) => {
                        if let Some(SocketCallback::LookupOnce(call)) = lease.callback.take() {
                            call(&socket, lookup);
                        }
                    }
                    _ => {}
                },
                Next::Pipe(..) => {}
            }
        }
    }
}

/// An attempt that `configure` is looking at; if that panics, the attempt has failed.
struct Attempt<'a> {
    handle: &'a LoopHandle,
    key: Key,
    parts: Option<(Stream, Address)>,
    configured: io::Result<()>,
}

impl Attempt<'_> {
    fn launch(&mut self) -> bool {
        let Some((stream, address)) = self.parts.take() else {
            return true;
        };
        let configured = std::mem::replace(&mut self.configured, Ok(()));
        let mut reactor = self.handle.inner().reactor.borrow_mut();
        reactor.attempt(self.key, stream, &address, configured)
    }
}

impl Drop for Attempt<'_> {
    fn drop(&mut self) {
        if self.parts.is_some() && !self.launch() {
            self.handle
                .inner()
                .reactor
                .borrow_mut()
                .dial_later(self.key);
        }
    }
}

/// Should a listener of `lookup` panic, the rest is told and tried all the same.
struct LookupRest<'a> {
    handle: &'a LoopHandle,
    key: Key,
}

impl Drop for LookupRest<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let mut reactor = self.handle.inner().reactor.borrow_mut();
            reactor.deferred.push_front(Deferred::Resolved(self.key));
        }
    }
}
