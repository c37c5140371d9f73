//! The reactor: readiness in, system calls out, every input told to the pure connection.
//!
//! It runs no user code and holds no closure. What happened comes out as [`Event`]s, one at a time, and as notices
//! that wait until the running callback has returned; `net` turns both into calls.

mod accept;
mod addresses;
mod clock;
mod dial;
mod drive;
mod names;
mod ops;
mod poller;
mod ready;
mod send;
mod server;
mod settle;
mod source;
mod timers;
#[cfg(feature = "tls")]
mod tls;
mod watch;

use std::collections::VecDeque;
use std::io;
use std::os::fd::RawFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;

use crate::address::Address;
use crate::arena::{Arena, Key};
use crate::conn::{Nanos, Notice};
use crate::error::Error;
use crate::resolver::LookUp;
#[cfg(any(test, feature = "sim"))]
use crate::sys::Sim;
use crate::sys::{Reserve, Sockets};
use crate::timer::Wheel;
use clock::Clock;
pub(crate) use drive::{Plain, Unplain};
use names::Names;
use poller::Poller;
pub(crate) use poller::{Found, Wake, Waker, Wakeup};
use ready::{Current, ReadyList};

pub(crate) use clock::nanos;
use dial::Dial;
pub(crate) use dial::{DialPlan, DialStep, Target};
pub(crate) use source::{Inherited, ServerSource, SocketSource, Source, Tuning};
#[cfg(feature = "tls")]
pub(crate) use tls::{Layer, TlsNews, TlsServer};

/// Reads, writes and accepts of one source in one turn, however small.
const MAX_ROUNDS: u32 = 64;

/// What the loop was built with.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Settings {
    pub(crate) read_buffer: usize,
    pub(crate) events: usize,
    /// Bytes read from one source in one turn.
    pub(crate) read_budget: usize,
    pub(crate) resolver_threads: usize,
}

/// What `net` delivers as soon as it happens.
#[derive(Debug)]
pub(crate) enum Event {
    Connection {
        server: Key,
        socket: Key,
    },
    /// Boxed, so that the many other events are quick to move and to drop.
    NotAccepted(Box<NotAccepted>),
    Connected(Key),
    End(Key),
    Timeout(Key),
    Timer(Key),
    /// A watched descriptor is ready; for what, [`Reactor::take_watch_readiness`] says.
    Watch(Key),
    /// Boxed for the same reason.
    #[cfg(feature = "tls")]
    Tls(Key, Box<TlsNews>),
}

/// What comes next of a batch of ready sources.
pub(crate) enum Next {
    /// The first `len` bytes of the buffer that `next` was given came from this socket.
    Data {
        key: Key,
        len: usize,
    },
    Event(Event),
    /// Nothing by itself, but notices wait and come first.
    Deferred,
    /// The batch is done.
    Done,
}

/// A connection that did not come about.
#[derive(Debug)]
pub(crate) enum NotAccepted {
    Failed {
        server: Key,
        error: Error,
    },
    /// Accepted over the limit, and closed at once.
    Dropped {
        server: Key,
        local: Option<Address>,
        remote: Address,
    },
}

/// What waits until the running callback has returned.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Deferred {
    Conn(Key, Notice),
    /// Connect, now that the caller has had time to change its mind.
    Dial(Key),
    /// A socket can send no more, though it may still read.
    WriteFailed(Key),
    /// `end`, which a panic has held up.
    End(Key),
    /// The name that a socket is to connect to was looked up.
    Resolved(Key),
    /// The name that a server is to listen on was looked up.
    ServerResolved(Key),
    /// The listeners of `connect` have run: `ready`.
    Ready(Key),
    /// The listeners of `end` have run; our side may have to end too.
    EndDelivered(Key),
    Listening {
        server: Key,
        listen: u32,
    },
    /// The next call that `net` keeps.
    Call,
}

/// Counters since the loop was made.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Counters {
    pub(crate) events: u64,
    pub(crate) turns: u64,
    pub(crate) bytes_in: u64,
    pub(crate) bytes_out: u64,
    pub(crate) sockets_open: usize,
    pub(crate) connections_dropped: u64,
    pub(crate) longest_turn: Nanos,
}

pub(crate) struct Reactor {
    sources: Arena<Source>,
    poller: Poller,
    clock: Clock,
    now: Nanos,
    /// Whether `now` is of the turn under way; else the clock is read.
    in_turn: bool,
    /// How long the last turn took.
    last_turn: Nanos,
    /// The end of the last turn, if nothing but the next one has followed.
    left_at: Option<Nanos>,
    wheel: Wheel<Key>,
    /// Sources with something to do.
    ready: ReadyList,
    current: Option<Current>,
    pub(crate) deferred: VecDeque<Deferred>,
    closing_sockets: VecDeque<Key>,
    closing_servers: VecDeque<Key>,
    /// What ciphertext is read into; empty until there is some, and then kept.
    #[cfg(feature = "tls")]
    wire: Vec<u8>,
    read_budget: usize,
    /// Referenced active sources.
    alive: usize,
    reserve: Reserve,
    names: Names,
    /// Owned chunks that are done with: their owners may be the user's, so they are dropped between callbacks.
    released: Vec<Bytes>,
    /// The same for connections that were given up while being made: their errors may be the user's.
    retired: Vec<Dial>,
    pub(crate) counters: Counters,
}

impl Reactor {
    pub(crate) fn new(
        settings: Settings,
        look_up: Arc<dyn LookUp>,
    ) -> io::Result<(Reactor, Waker)> {
        let (poller, waker) = Poller::new(settings.events)?;
        let names = Names::new(settings.resolver_threads, look_up, Some(waker.clone()));
        let reactor = Reactor::with(settings, poller, Clock::system(), names);
        Ok((reactor, waker))
    }

    #[cfg(any(test, feature = "sim"))]
    pub(crate) fn simulated(settings: Settings, look_up: Arc<dyn LookUp>, sim: &Sim) -> Reactor {
        let poller = Poller::simulated(sim.clone());
        let names = Names::new(0, look_up, None);
        Reactor::with(settings, poller, Clock::simulated(sim.clone()), names)
    }

    fn with(settings: Settings, poller: Poller, clock: Clock, names: Names) -> Reactor {
        Reactor {
            sources: Arena::new(),
            poller,
            now: clock.read(),
            clock,
            in_turn: false,
            last_turn: 0,
            left_at: None,
            wheel: Wheel::new(),
            ready: ReadyList::default(),
            current: None,
            deferred: VecDeque::new(),
            closing_sockets: VecDeque::new(),
            closing_servers: VecDeque::new(),
            #[cfg(feature = "tls")]
            wire: Vec::new(),
            read_budget: settings.read_budget,
            alive: 0,
            reserve: Reserve::new(),
            names,
            released: Vec::new(),
            retired: Vec::new(),
            counters: Counters::default(),
        }
    }

    /// Where its sockets come from.
    pub(crate) fn sockets(&self) -> Sockets {
        self.poller.sockets()
    }

    pub(crate) fn raw_fd(&self) -> Option<RawFd> {
        self.poller.raw_fd()
    }

    /// Gives up every source. The caller drops the result when no borrow is left.
    pub(crate) fn dismantle(&mut self) -> impl Sized + use<> {
        self.ready = ReadyList::default();
        self.deferred.clear();
        self.closing_sockets.clear();
        self.closing_servers.clear();
        self.current = None;
        self.names.abandon();
        self.alive = 0;
        self.counters.sockets_open = 0;
        #[cfg(feature = "tls")]
        drop(std::mem::take(&mut self.wire));
        let poller = std::mem::replace(&mut self.poller, Poller::Closed);
        (
            std::mem::replace(&mut self.sources, Arena::new()),
            std::mem::replace(&mut self.wheel, Wheel::new()),
            self.take_released(),
            std::mem::take(&mut self.reserve),
            poller,
        )
    }
}

/// Parts of a turn.
impl Reactor {
    /// A run, or a single turn, begins: nobody knows how late it is.
    pub(crate) fn enter(&mut self) {
        self.left_at = None;
    }

    pub(crate) fn begin_turn(&mut self) {
        self.counters.turns += 1;
        // What was deferred outside a turn comes first and may set a timer. With neither, hardly anybody asks for the
        // time before the poll, after which the clock is read anyway.
        if !self.wheel.is_empty() || !self.deferred.is_empty() {
            self.now = self.left_at.unwrap_or_else(|| self.clock.read());
            self.in_turn = true;
        }
    }

    /// The turn is over, or a panic has ended it.
    pub(crate) fn leave_turn(&mut self) {
        let began = self.now();
        let left_at = self.clock.read();
        self.last_turn = left_at - began;
        self.in_turn = false;
        self.left_at = Some(left_at);
        self.counters.longest_turn = self.counters.longest_turn.max(self.last_turn);
        self.sources.recycle();
        #[cfg(debug_assertions)]
        if !std::thread::panicking() {
            self.check();
        }
    }

    pub(crate) fn timers(&self) -> usize {
        self.wheel.len()
    }

    /// From now on this is the time of the turn.
    fn read_clock(&mut self) {
        self.now = self.clock.read();
        self.in_turn = true;
    }

    /// Waits for readiness, at most until the next timer and for `max_wait`, and not at all when work is left.
    pub(crate) fn poll(&mut self, max_wait: Option<Duration>, idle: bool) -> io::Result<()> {
        let timeout = if idle {
            // The shorter one; `None` is for ever.
            [max_wait, self.next_timeout()].into_iter().flatten().min()
        } else {
            Some(Duration::ZERO)
        };
        // Left by a panic between the last poll and its batch.
        self.take_wakeups();
        self.poller.poll(timeout)?;
        self.ready.fresh = true;
        self.read_clock();
        self.take_answers();
        Ok(())
    }

    #[inline]
    pub(crate) fn has_deferred(&self) -> bool {
        !self.deferred.is_empty()
    }

    /// Something is deferred, or to be dropped between callbacks.
    #[inline]
    pub(crate) fn has_chores(&self) -> bool {
        !self.deferred.is_empty() || self.has_released()
    }

    /// Nothing here needs another turn at once.
    pub(crate) fn is_idle(&self) -> bool {
        self.ready.is_empty()
            && self.current.is_none()
            && self.deferred.is_empty()
            && self.closing_sockets.is_empty()
            && self.closing_servers.is_empty()
    }

    /// Something referenced is active, or an event is still to be delivered.
    pub(crate) fn is_alive(&self) -> bool {
        self.alive > 0
            || !self.deferred.is_empty()
            || !self.closing_sockets.is_empty()
            || !self.closing_servers.is_empty()
    }

    /// Time until the next timer, user's or idle.
    pub(crate) fn next_timeout(&self) -> Option<Duration> {
        let tick = self.wheel.next_deadline()?;
        Some(clock::until(tick, self.clock.read()))
    }

    /// The time of the turn under way; outside a turn the clock is read.
    pub(crate) fn now(&self) -> Nanos {
        time(self.in_turn, self.now, &self.clock)
    }

    pub(crate) fn instant(&self) -> Instant {
        self.clock.instant(self.now())
    }

    /// Owned chunks to drop once no borrow is left.
    pub(crate) fn take_released(&mut self) -> impl Sized + use<> {
        (
            std::mem::take(&mut self.released),
            std::mem::take(&mut self.retired),
        )
    }

    #[inline]
    pub(crate) fn has_released(&self) -> bool {
        !self.released.is_empty() || !self.retired.is_empty()
    }
}

/// Sources.
impl Reactor {
    pub(crate) fn insert(&mut self, source: Source) -> Key {
        if source.liveness().counts() {
            self.alive += 1;
        }
        if matches!(source, Source::Socket(_)) {
            self.counters.sockets_open += 1;
        }
        self.sources.insert(source)
    }

    /// The one place that frees a slot.
    pub(crate) fn remove(&mut self, key: Key) -> Option<Source> {
        // Looked at where it lies, so that it is moved but once.
        let source = self.sources.get(key)?;
        if source.liveness().counts() {
            self.alive -= 1;
        }
        if matches!(source, Source::Socket(_)) {
            self.counters.sockets_open -= 1;
        }
        self.sources.remove(key)
    }

    pub(crate) fn socket(&self, key: Key) -> Option<&SocketSource> {
        self.sources.get(key)?.as_socket()
    }

    fn socket_mut(&mut self, key: Key) -> Option<&mut SocketSource> {
        socket_of(&mut self.sources, key)
    }

    pub(crate) fn server(&self, key: Key) -> Option<&ServerSource> {
        self.sources.get(key)?.as_server()
    }

    pub(crate) fn server_mut(&mut self, key: Key) -> Option<&mut ServerSource> {
        self.sources.get_mut(key)?.as_server_mut()
    }

    pub(crate) fn sources(&self) -> impl Iterator<Item = (Key, &Source)> {
        self.sources.iter()
    }

    pub(crate) fn is_referenced(&self, key: Key) -> bool {
        self.sources
            .get(key)
            .is_some_and(|source| source.liveness().referenced)
    }

    pub(crate) fn set_referenced(&mut self, key: Key, referenced: bool) {
        self.change_liveness(key, |liveness| liveness.referenced = referenced);
    }

    fn set_active(&mut self, key: Key, active: bool) {
        self.change_liveness(key, |liveness| liveness.active = active);
    }

    fn change_liveness(&mut self, key: Key, change: impl FnOnce(&mut source::Liveness)) {
        let Some(source) = self.sources.get_mut(key) else {
            return;
        };
        let liveness = source.liveness_mut();
        let before = liveness.counts();
        change(liveness);
        let after = liveness.counts();
        self.alive = self.alive + usize::from(after) - usize::from(before);
    }

    /// The count of referenced active sources is right, and no socket that has something to do is forgotten. Costly, so
    /// large loops are checked now and then.
    #[cfg(debug_assertions)]
    fn check(&self) {
        if self.sources.len() > 256 && self.counters.turns % 64 != 0 {
            return;
        }
        let alive = self
            .sources
            .iter()
            .filter(|(_, source)| source.liveness().counts())
            .count();
        assert_eq!(self.alive, alive, "the reference count is wrong");
        let forgotten = self.sources.iter().find(|(key, source)| {
            let at_work = self.current.as_ref().is_some_and(|at| at.key == *key);
            source
                .as_socket()
                .is_some_and(|socket| !socket.queued && !at_work && socket.has_work())
        });
        assert!(
            forgotten.is_none(),
            "a socket has something to do, and no turn: {:?}",
            forgotten.map(|(key, _)| key)
        );
    }
}

/// The time of the turn under way, `now`; outside a turn the clock is read.
#[inline]
fn time(in_turn: bool, now: Nanos, clock: &Clock) -> Nanos {
    if in_turn {
        now
    } else {
        clock.read()
    }
}

/// A socket, looked up as quickly as may be.
#[inline(always)]
fn socket_of(sources: &mut Arena<Source>, key: Key) -> Option<&mut SocketSource> {
    match sources.at_mut(key) {
        Some((own, Source::Socket(socket))) if own == key => Some(socket),
        _ => None,
    }
}
