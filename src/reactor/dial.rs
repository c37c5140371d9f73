//! Connecting: one address after another until one answers.

use std::io;

use super::ops::apply_tuning;
use super::poller::Registered;
use super::ready::Step;
use super::source::{Readiness, Tuning};
use super::{Deferred, Event, Reactor};
use crate::address::Address;
use crate::arena::Key;
use crate::conn::{Cause, Phase};
use crate::connector::Connector;
use crate::error::Error;
use crate::sys::{Connect, Stream};

impl Reactor {
    /// Starts to connect a new socket. The system call waits until the caller's callback has returned. False: the
    /// socket is not new.
    pub(crate) fn connect(&mut self, key: Key, connector: Connector) -> bool {
        let now = self.now();
        let Some(socket) = self.socket_mut(key) else {
            return false;
        };
        if !socket.conn.connect_started() {
            return false;
        }
        let started = socket.conn.idle_mut().touch(now);
        socket.connector = Some(Box::new(connector));
        if started {
            self.start_idle_timer(key);
        }
        self.set_active(key, true);
        self.deferred.push_back(Deferred::Dial(key));
        true
    }

    /// Tries the next address, until an attempt is under way or none is left.
    pub(crate) fn dial(&mut self, key: Key) {
        loop {
            let Some(socket) = self.socket_mut(key) else {
                return;
            };
            if socket.conn.phase() != Phase::Connecting {
                return;
            }
            let Some(connector) = &mut socket.connector else {
                return;
            };
            let Some(address) = connector.next() else {
                return self.dial_failed(key);
            };
            match self.attempt(key, &address) {
                Ok(()) => return,
                Err(error) => self.attempt_failed(key, &error, &address),
            }
        }
    }

    fn attempt(&mut self, key: Key, address: &Address) -> io::Result<()> {
        let stream = Stream::socket_for(address)?;
        let progress = stream.connect(address)?;
        let Reactor {
            sources, poller, ..
        } = self;
        let Some(socket) = sources
            .get_mut(key)
            .and_then(|source| source.as_socket_mut())
        else {
            return Ok(());
        };
        poller.register(&stream, key, Registered::No, Registered::ReadWrite)?;
        socket.registered = Registered::ReadWrite;
        socket.ready = Readiness::default();
        socket.stream = Some(stream);
        if matches!(progress, Connect::Done) {
            socket.ready.writable = true;
            self.schedule(key);
        }
        Ok(())
    }

    fn attempt_failed(&mut self, key: Key, error: &io::Error, address: &Address) {
        let Some(socket) = self.socket_mut(key) else {
            return;
        };
        socket.stream = None;
        socket.registered = Registered::No;
        if let Some(connector) = &mut socket.connector {
            connector.failed(Error::connect(error, address));
        }
    }

    fn dial_failed(&mut self, key: Key) {
        let Some(connector) = self
            .socket_mut(key)
            .and_then(|socket| socket.connector.take())
        else {
            return;
        };
        let error = connector.into_error();
        self.with_conn(key, |conn, released| {
            conn.destroy(Cause::Failed(error), released);
        });
    }

    /// A connecting socket was woken: has it connected? Writable does not mean so; only the kernel's answer does.
    pub(super) fn finish_dial(&mut self, key: Key) -> Step {
        let now = self.now();
        let Some(socket) = self.socket_mut(key) else {
            return Step::Done;
        };
        let (Some(stream), Some(connector)) = (&socket.stream, &socket.connector) else {
            return Step::Done;
        };
        let Some(address) = connector.trying().cloned() else {
            return Step::Done;
        };
        if let Err(error) = stream.take_error() {
            self.attempt_failed(key, &error, &address);
            self.dial(key);
            return Step::Done;
        }
        match stream.peer_address() {
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotConnected => {
                socket.ready.writable = false;
                return Step::Done;
            }
            Err(error) => {
                self.attempt_failed(key, &error, &address);
                self.dial(key);
                return Step::Done;
            }
        }
        apply_tuning(stream, Tuning::default(), socket.tuning);
        socket.remote = Some(address);
        socket.connector = None;
        socket.ready.writable = true;
        socket.conn.handle_connected();
        if socket.conn.idle_mut().touch(now) {
            self.start_idle_timer(key);
        }
        // Before the listeners: what was written while connecting leaves first, and a write of theirs is judged
        // by what the kernel really takes.
        self.flush_now(key);
        self.settle(key);
        Step::Event(Event::Connected(key))
    }
}
