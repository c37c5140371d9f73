//! Look-ups under way, of sockets and of servers.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use super::dial::{Stage, Target};
use super::poller::Waker;
use super::{Deferred, Reactor};
use crate::address::Family;
use crate::arena::Key;
use crate::connector::Connector;
use crate::error::{Code, Error, Result};
use crate::resolver::{LookUp, Resolver, Ticket, Wake};

/// The pool of resolver threads, started when the first name is looked up.
pub(crate) struct Names {
    threads: usize,
    look_up: Arc<dyn LookUp>,
    waker: Option<Waker>,
    resolver: Option<Resolver>,
    waiting: HashMap<Ticket, (Key, String)>,
}

impl Names {
    pub(crate) fn new(threads: usize, look_up: Arc<dyn LookUp>, waker: Option<Waker>) -> Names {
        Names {
            threads,
            look_up,
            waker,
            resolver: None,
            waiting: HashMap::new(),
        }
    }
}

impl Names {
    /// Nobody waits any more. Threads that hang in a look-up are left to themselves.
    pub(super) fn abandon(&mut self) {
        self.waiting.clear();
        self.resolver = None;
        // It holds a descriptor, and handles may live on.
        self.waker = None;
    }
}

impl Wake for Waker {
    fn wake(&self) {
        Waker::wake(self);
    }
}

impl Reactor {
    /// Asks the pool. `None`: a simulated loop has none.
    pub(super) fn ask(&mut self, host: &str, family: Option<Family>, key: Key) -> Option<Ticket> {
        let names = &mut self.names;
        let waker = names.waker.clone()?;
        let resolver = names.resolver.get_or_insert_with(|| {
            Resolver::new(names.threads, Arc::clone(&names.look_up), Arc::new(waker))
        });
        let ticket = resolver.ask(host, family);
        names.waiting.insert(ticket, (key, host.to_string()));
        Some(ticket)
    }

    pub(super) fn forget(&mut self, ticket: Ticket) {
        self.names.waiting.remove(&ticket);
        if let Some(resolver) = &self.names.resolver {
            resolver.cancel(ticket);
        }
    }

    /// Hands the answers that have come to those who wait for them.
    pub(super) fn take_answers(&mut self) {
        if self.names.waiting.is_empty() {
            return;
        }
        let Some(resolver) = &self.names.resolver else {
            return;
        };
        for (ticket, answer) in resolver.take_completions() {
            let Some((key, host)) = self.names.waiting.remove(&ticket) else {
                continue;
            };
            let answer = answer
                .map(|addresses| addresses.to_vec())
                .map_err(|code: Code| Error::lookup(code, &host));
            if self.server(key).is_some() {
                self.deferred.push_back(Deferred::ServerResolved(key));
                if let Some(server) = self.server_mut(key) {
                    server.lookup = None;
                    server.resolved = Some(answer);
                }
            } else {
                self.resolved(key, answer);
            }
        }
    }
}

/// Names.
impl Reactor {
    /// Has the pool look the name up that a dial waits for.
    pub(crate) fn ask_for_dial(&mut self, key: Key, host: &str, family: Option<Family>) {
        let ticket = self.ask(host, family, key);
        if let Some((_, dial)) = self.dialling(key) {
            dial.stage = Stage::Resolving(ticket);
        }
        if ticket.is_none() {
            self.resolved(key, Err(Error::lookup(Code::HostNotFound, host)));
        }
    }

    /// The answer of a look-up, the pool's or the user's. It is told as `lookup` before it is acted upon. One that
    /// comes too late is ignored.
    pub(crate) fn resolved(&mut self, key: Key, answer: Result<Vec<SocketAddr>>) {
        let now = self.now();
        let Some((conn, dial)) = self.dialling(key) else {
            return;
        };
        if !matches!(dial.stage, Stage::Resolving(_)) {
            return;
        }
        let started = conn.idle_mut().touch(now);
        dial.stage = Stage::Resolved { answer, told: 0 };
        if started {
            self.start_idle_timer(key);
        }
        self.deferred.push_back(Deferred::Resolved(key));
    }

    /// The name and the next address of it, or the error, that `lookup` has not told yet.
    pub(crate) fn next_to_tell(&mut self, key: Key) -> Option<(String, Result<IpAddr>)> {
        let (_, dial) = self.dialling(key)?;
        let (Target::Name { host, .. }, Stage::Resolved { answer, told }) =
            (&dial.plan.target, &mut dial.stage)
        else {
            return None;
        };
        let result = match answer {
            Ok(addresses) => Ok(addresses.get(*told)?.ip()),
            Err(error) if *told == 0 => Err(error.clone()),
            Err(_) => return None,
        };
        *told += 1;
        Some((host.clone(), result))
    }

    /// All of the answer was told: its addresses are tried.
    pub(crate) fn begin_attempts(&mut self, key: Key) {
        let Some((_, dial)) = self.dialling(key) else {
            return;
        };
        let Stage::Resolved { answer, .. } = std::mem::replace(&mut dial.stage, Stage::Begin)
        else {
            return;
        };
        let Target::Name { host, port } = &dial.plan.target else {
            return;
        };
        dial.stage = Stage::Trying(match answer {
            Ok(addresses) => dial.plan.connector(host, *port, &addresses),
            Err(error) => Connector::failing(error),
        });
        self.deferred.push_back(Deferred::Dial(key));
    }
}
