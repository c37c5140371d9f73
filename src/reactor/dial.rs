//! Connecting: a name looked up, then one address after another until one answers.
//!
//! `net` drives it, because two steps may run code of the user's: a resolver of their own, and `configure`. Each
//! [`DialStep`] says what is next; a step that ends an attempt asks for the next by `Deferred::Dial`.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::addresses::Addresses;
use super::clock::deadline_tick;
use super::ops::apply_tuning;
use super::poller::Registered;
use super::ready::Step;
use super::source::{Readiness, SocketSource, Tuning};
use super::{Deferred, Event, Reactor};
use crate::address::{Address, Family};
use crate::arena::Key;
use crate::conn::{Cause, Conn, Nanos, Phase};
use crate::connector::Connector;
use crate::error::{Code, Error, Result};
use crate::resolver::Ticket;
use crate::sys::{Connect, Stream};
use crate::timer::TimerKey;

/// What `connect` is asked to do.
#[derive(Debug)]
pub(crate) struct DialPlan {
    pub(crate) target: Target,
    /// Addresses of this family only.
    pub(crate) family: Option<Family>,
    /// Try the addresses of both families in turn, each for so long; else only the first.
    pub(crate) attempt_timeout: Option<Nanos>,
    pub(crate) local_ip: Option<IpAddr>,
    pub(crate) local_port: u16,
    /// For the whole of it.
    pub(crate) timeout: Option<Nanos>,
}

#[derive(Debug)]
pub(crate) enum Target {
    Address(Address),
    Name {
        host: String,
        port: u16,
    },
    /// Nothing: the options were wrong.
    Nowhere(Error),
}

/// A connection being made.
pub(crate) struct Dial {
    pub(super) plan: DialPlan,
    pub(super) stage: Stage,
    deadline: Option<Nanos>,
    timer: Option<TimerKey>,
}

pub(super) enum Stage {
    Begin,
    Resolving(Option<Ticket>),
    Resolved {
        answer: Result<Vec<SocketAddr>>,
        /// How many of the addresses `lookup` has told.
        told: usize,
    },
    Trying(Connector),
}

/// What has to be done next to connect.
pub(crate) enum DialStep {
    /// Nothing now, or nothing any more.
    Wait,
    /// Look this name up; [`Reactor::resolved`] takes the answer.
    Resolve {
        host: String,
        family: Option<Family>,
    },
    /// Configure this stream; [`Reactor::attempt`] connects it.
    Attempt { stream: Stream, address: Address },
}

impl Reactor {
    /// Starts to connect a new socket. Nothing is done until the caller's callback has returned.
    pub(crate) fn connect(&mut self, key: Key, plan: DialPlan) {
        let now = self.now();
        // The clock is read for what must not be early.
        let began = self.clock.read();
        let deadline = plan.timeout.map(|timeout| began.saturating_add(timeout));
        let Some(socket) = self.socket_mut(key) else {
            return;
        };
        if !socket.conn.connect_started() {
            return;
        }
        let started = socket.conn.idle_mut().touch(now);
        socket.dial = Some(Box::new(Dial {
            plan,
            stage: Stage::Begin,
            deadline,
            timer: None,
        }));
        if started {
            self.start_idle_timer(key);
        }
        self.set_active(key, true);
        self.set_dial_timer(key);
        self.deferred.push_back(Deferred::Dial(key));
    }

    pub(crate) fn dial_step(&mut self, key: Key) -> DialStep {
        loop {
            let Some((conn, dial)) = self.dialling(key) else {
                return DialStep::Wait;
            };
            let connector = match &mut dial.stage {
                Stage::Begin => match std::mem::replace(&mut dial.plan.target, Target::none()) {
                    Target::Address(address) => {
                        dial.stage = Stage::Trying(Connector::new([address]));
                        continue;
                    }
                    Target::Nowhere(error) => {
                        dial.stage = Stage::Trying(Connector::failing(error));
                        continue;
                    }
                    Target::Name { host, port } => {
                        let family = dial.plan.family;
                        dial.plan.target = Target::Name {
                            host: host.clone(),
                            port,
                        };
                        dial.stage = Stage::Resolving(None);
                        return DialStep::Resolve { host, family };
                    }
                },
                Stage::Trying(connector) => connector,
                Stage::Resolving(_) | Stage::Resolved { .. } => return DialStep::Wait,
            };
            debug_assert_eq!(conn.phase(), Phase::Connecting);
            let Some(address) = connector.next() else {
                self.dial_failed(key);
                return DialStep::Wait;
            };
            match self.prepare(key, &address) {
                Ok(stream) => return DialStep::Attempt { stream, address },
                Err(error) => self.attempt_failed(key, &error, &address),
            }
        }
    }

    /// Goes on with the next address once the running callback has returned.
    pub(crate) fn dial_later(&mut self, key: Key) {
        self.deferred.push_back(Deferred::Dial(key));
    }

    /// A stream for an attempt: one of the user's descriptor's, if there is one.
    fn prepare(&mut self, key: Key, address: &Address) -> io::Result<Stream> {
        match self.socket_mut(key).and_then(|socket| socket.stream.take()) {
            Some(stream) => Ok(stream),
            None => self.sockets().stream_for(address),
        }
    }

    /// Connects a stream that `configure` has seen. True: the attempt is under way, or nobody wants it any more.
    pub(crate) fn attempt(
        &mut self,
        key: Key,
        stream: Stream,
        address: &Address,
        configured: io::Result<()>,
    ) -> bool {
        let now = self.clock.read();
        let Some((_, dial)) = self.dialling(key) else {
            return true;
        };
        let local = dial.plan.local(address);
        let bound = configured
            .map_err(|error| Error::connect(&error, address))
            .and_then(|()| match local {
                Some(local) => stream
                    .bind(local)
                    .map_err(|error| Error::bind(&error, &Address::Ip(local))),
                None => Ok(()),
            });
        if let Err(error) = bound {
            self.attempt_ended(key, error);
            return false;
        }
        let progress = match stream.connect(address) {
            Ok(progress) => progress,
            Err(error) => {
                self.attempt_failed(key, &error, address);
                return false;
            }
        };
        if let Err(error) = self.watch_attempt(key, stream, matches!(progress, Connect::Done)) {
            self.attempt_failed(key, &error, address);
            return false;
        }
        if let Some((_, dial)) = self.dialling(key) {
            if let Stage::Trying(connector) = &mut dial.stage {
                connector.started(now);
            }
        }
        self.set_dial_timer(key);
        true
    }

    fn watch_attempt(&mut self, key: Key, stream: Stream, done: bool) -> io::Result<()> {
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
        socket.ready.writable = done;
        socket.stream = Some(stream);
        if done {
            self.schedule(key);
        }
        Ok(())
    }

    fn attempt_failed(&mut self, key: Key, error: &io::Error, address: &Address) {
        let mut told = Error::connect(error, address);
        if let Some((_, dial)) = self.dialling(key) {
            if let Some(local) = dial.plan.local(address) {
                told = told.with_local(Address::Ip(local));
            }
        }
        self.attempt_ended(key, told);
    }

    /// The attempt under way is over.
    fn attempt_ended(&mut self, key: Key, error: Error) {
        let Reactor {
            sources, poller, ..
        } = self;
        let socket = sources
            .get_mut(key)
            .and_then(|source| source.as_socket_mut());
        if let Some(socket) = socket {
            if let (Some(stream), true) = (socket.stream.take(), socket.shared) {
                poller.deregister(&stream);
            }
            socket.registered = Registered::No;
        }
        if let Some((_, dial)) = self.dialling(key) {
            if let Stage::Trying(connector) = &mut dial.stage {
                connector.failed(error);
            }
        }
    }

    /// All addresses have failed.
    fn dial_failed(&mut self, key: Key) {
        let Some(dial) = self.socket_mut(key).and_then(|socket| socket.dial.take()) else {
            return;
        };
        if let Some(timer) = dial.timer {
            self.wheel.cancel(timer);
        }
        if let Stage::Trying(connector) = dial.stage {
            self.destroy(key, Cause::Failed(connector.into_error()));
        }
    }

    /// A connecting socket was woken: has it connected? Writable does not mean so; only the kernel's answer does.
    pub(super) fn finish_dial(&mut self, key: Key) -> Step {
        let now = self.now();
        let Some(socket) = self.socket_mut(key) else {
            return Step::Done;
        };
        let (Some(stream), Some(address)) = (&socket.stream, socket.trying().cloned()) else {
            return Step::Done;
        };
        let connected = stream.take_error().and_then(|()| stream.peer_address());
        match connected {
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotConnected => {
                socket.ready.writable = false;
                return Step::Done;
            }
            Err(error) => {
                self.attempt_failed(key, &error, &address);
                self.deferred.push_back(Deferred::Dial(key));
                return Step::Done;
            }
        }
        apply_tuning(stream, Tuning::default(), socket.tuning);
        socket.addresses = Addresses::of_peer(address);
        let timer = socket.dial.take().and_then(|dial| dial.timer);
        socket.ready.writable = true;
        socket.conn.handle_connected();
        let started = socket.conn.idle_mut().touch(now);
        if let Some(timer) = timer {
            self.wheel.cancel(timer);
        }
        if started {
            self.start_idle_timer(key);
        }
        // Before the listeners: what was written while connecting leaves first, and a write of theirs is judged
        // by what the kernel really takes.
        #[cfg(feature = "tls")]
        self.tls_connected(key);
        self.flush_now(key);
        self.settle(key);
        if self.socket(key).is_some_and(|socket| socket.conn.is_open()) {
            Step::Event(Event::Connected(key))
        } else {
            // The peer was gone again before we could say a word: that is all there is to tell.
            Step::Done
        }
    }

    /// The connection being made, while it is.
    pub(super) fn dialling(&mut self, key: Key) -> Option<(&mut Conn, &mut Dial)> {
        let socket = self.socket_mut(key)?;
        if socket.conn.phase() != Phase::Connecting {
            return None;
        }
        Some((&mut socket.conn, socket.dial.as_mut()?))
    }
}

/// Time.
impl Reactor {
    /// Whether `timer` is that of the connection being made.
    pub(super) fn is_dial_timer(&self, key: Key, timer: TimerKey) -> bool {
        self.socket(key)
            .and_then(|socket| socket.dial.as_ref())
            .is_some_and(|dial| dial.timer == Some(timer))
    }

    fn set_dial_timer(&mut self, key: Key) {
        let Some(dial) = self.socket_mut(key).and_then(|socket| socket.dial.as_mut()) else {
            return;
        };
        let attempt = match &dial.stage {
            Stage::Trying(connector) => connector.deadline(),
            _ => None,
        };
        let deadline = match (dial.deadline, attempt) {
            (Some(a), Some(b)) => a.min(b),
            (a, b) => match a.or(b) {
                Some(deadline) => deadline,
                None => return,
            },
        };
        let tick = deadline_tick(deadline);
        let timer = dial.timer;
        match timer {
            Some(timer) => {
                self.wheel.rearm(timer, tick);
            }
            None => {
                let timer = self.wheel.insert(tick, key);
                if let Some(dial) = self.socket_mut(key).and_then(|socket| socket.dial.as_mut()) {
                    dial.timer = Some(timer);
                }
            }
        }
    }

    /// The time of the attempt, or of the whole, may be up.
    pub(super) fn dial_overdue(&mut self, key: Key) {
        // Timers come before the poll: a loop that was busy must not give up what has succeeded meanwhile.
        if let Some(socket) = self.socket_mut(key).filter(|socket| socket.is_connected()) {
            socket.ready.writable = true;
            return self.schedule(key);
        }
        let now = self.clock.read();
        let address = self.socket(key).and_then(|socket| socket.trying().cloned());
        let timed_out = io::Error::from_raw_os_error(crate::sys::errno::TIMED_OUT);
        let Some((_, dial)) = self.dialling(key) else {
            return;
        };
        if dial.deadline.is_some_and(|deadline| deadline <= now) {
            let error = match &address {
                Some(address) => Error::connect(&timed_out, address),
                None => Error::system("connect", &timed_out),
            };
            return self.destroy(key, Cause::Failed(error));
        }
        let overdue = matches!(&dial.stage, Stage::Trying(connector) if connector.is_overdue(now));
        if let (true, Some(address)) = (overdue, &address) {
            self.attempt_failed(key, &timed_out, address);
            self.deferred.push_back(Deferred::Dial(key));
        }
        self.set_dial_timer(key);
    }

    /// A socket that was connecting is gone, and with it what it waited for.
    pub(super) fn abandon_dial(&mut self, dial: &Dial) {
        if let Some(timer) = dial.timer {
            self.wheel.cancel(timer);
        }
        if let Stage::Resolving(Some(ticket)) = dial.stage {
            self.forget(ticket);
        }
    }
}

impl SocketSource {
    /// Whether the kernel has made the connection, told or not. The error of a failed one is not used up by asking.
    fn is_connected(&self) -> bool {
        let stream = self.stream.as_ref();
        stream.is_some_and(|stream| stream.peer_address().is_ok())
    }

    /// The address under trial.
    fn trying(&self) -> Option<&Address> {
        match &self.dial.as_ref()?.stage {
            Stage::Trying(connector) => connector.trying(),
            _ => None,
        }
    }
}

impl Target {
    /// In place of one that was taken.
    fn none() -> Target {
        Target::Address(Address::Unnamed)
    }
}

impl DialPlan {
    /// Plainly to `target`.
    pub(crate) fn to(target: Target) -> DialPlan {
        DialPlan {
            target,
            family: None,
            attempt_timeout: None,
            local_ip: None,
            local_port: 0,
            timeout: None,
        }
    }

    /// What to bind to before connecting to `target`.
    fn local(&self, target: &Address) -> Option<SocketAddr> {
        if self.local_ip.is_none() && self.local_port == 0 {
            return None;
        }
        let Address::Ip(target) = target else {
            return None;
        };
        let any: IpAddr = match target {
            SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
            SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
        };
        Some(SocketAddr::new(
            self.local_ip.unwrap_or(any),
            self.local_port,
        ))
    }

    /// The attempts on the addresses of a name.
    pub(super) fn connector(&self, host: &str, port: u16, addresses: &[SocketAddr]) -> Connector {
        let wanted = |address: &SocketAddr| {
            let family = if address.is_ipv4() {
                Family::Ipv4
            } else {
                Family::Ipv6
            };
            let same_as_local = self
                .local_ip
                .is_none_or(|ip| ip.is_ipv4() == address.is_ipv4());
            self.family.is_none_or(|wanted| wanted == family) && same_as_local
        };
        let mut addresses = addresses.iter().copied().filter(wanted).map(|mut address| {
            address.set_port(port);
            Address::Ip(address)
        });
        let Some(first) = addresses.next() else {
            return Connector::failing(Error::lookup(Code::HostNotFound, host));
        };
        match self.attempt_timeout {
            Some(timeout) => Connector::selecting(std::iter::once(first).chain(addresses), timeout),
            None => Connector::new([first]),
        }
    }
}
