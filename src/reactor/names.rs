//! Look-ups under way, of sockets and of servers.

use std::collections::HashMap;
use std::sync::Arc;

use super::poller::Waker;
use super::{Deferred, Reactor};
use crate::address::Family;
use crate::arena::Key;
use crate::error::{Code, Error};
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
