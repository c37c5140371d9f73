//! What the loop watches: sockets, servers and timers, each in one slot of the arena.

use std::net::SocketAddr;
use std::time::Duration;

use crate::address::Address;
use crate::arena::Key;
use crate::conn::{Conn, Limits, Nanos};
use crate::error::Result;
use crate::resolver::Ticket;
use crate::sys::{Listener, Stream};
use crate::timer::TimerKey;

use super::addresses::Addresses;
use super::dial::Dial;
use super::poller::{Registered, Trigger};
use super::watch::WatchSource;
#[cfg(feature = "tls")]
use super::{Layer, TlsServer};

/// One slot.
// Sockets are the many and the hot ones, so they are the ones that lie in the slots themselves.
#[allow(clippy::large_enum_variant)]
pub(crate) enum Source {
    Socket(SocketSource),
    Server(Box<ServerSource>),
    Timer(TimerSource),
    Watch(WatchSource),
}

impl Source {
    pub(crate) fn liveness(&self) -> &Liveness {
        match self {
            Source::Socket(socket) => &socket.liveness,
            Source::Server(server) => &server.liveness,
            Source::Timer(timer) => &timer.liveness,
            Source::Watch(watch) => &watch.liveness,
        }
    }

    pub(crate) fn liveness_mut(&mut self) -> &mut Liveness {
        match self {
            Source::Socket(socket) => &mut socket.liveness,
            Source::Server(server) => &mut server.liveness,
            Source::Timer(timer) => &mut timer.liveness,
            Source::Watch(watch) => &mut watch.liveness,
        }
    }

    pub(crate) fn as_socket(&self) -> Option<&SocketSource> {
        match self {
            Source::Socket(socket) => Some(socket),
            _ => None,
        }
    }

    #[inline]
    pub(crate) fn as_socket_mut(&mut self) -> Option<&mut SocketSource> {
        match self {
            Source::Socket(socket) => Some(socket),
            _ => None,
        }
    }

    pub(crate) fn as_server(&self) -> Option<&ServerSource> {
        match self {
            Source::Server(server) => Some(server),
            _ => None,
        }
    }

    pub(crate) fn as_server_mut(&mut self) -> Option<&mut ServerSource> {
        match self {
            Source::Server(server) => Some(server),
            _ => None,
        }
    }
}

/// Whether a source keeps the loop alive: it does when both are true.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Liveness {
    pub(crate) referenced: bool,
    pub(crate) active: bool,
}

impl Liveness {
    pub(crate) const IDLE: Liveness = Liveness {
        referenced: true,
        active: false,
    };
    pub(crate) const ACTIVE: Liveness = Liveness {
        referenced: true,
        active: true,
    };

    pub(crate) fn counts(self) -> bool {
        self.referenced && self.active
    }
}

/// Readiness that a system call has not used up yet.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Readiness {
    pub(crate) readable: bool,
    pub(crate) writable: bool,
    /// The peer may be gone: a short read does not mean that nothing is left.
    pub(crate) hung_up: bool,
    /// Urgent data may have stopped a read short.
    pub(crate) urgent: bool,
    /// A hang-up was signalled and no peek has looked yet.
    pub(crate) peek_due: bool,
    /// Our direction is shut as well as the peer's, without a call of ours: a UNIX socket whose peer has closed.
    pub(crate) shut: bool,
}

impl Readiness {
    /// A short read does not mean that nothing is left.
    #[inline]
    pub(crate) fn may_be_ending(self) -> bool {
        // Both are looked at, which is one comparison.
        self.hung_up | self.urgent
    }
}

/// Options of the descriptor, remembered until there is one.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Tuning {
    pub(crate) no_delay: bool,
    pub(crate) keep_alive: bool,
    /// In whole seconds; zero leaves the system's. No system takes more than this holds.
    pub(crate) keep_alive_delay: u16,
}

impl Tuning {
    pub(crate) fn set_keep_alive(&mut self, on: bool, delay: Option<Duration>) {
        self.keep_alive = on;
        if on {
            let seconds = delay.map_or(0, |delay| delay.as_secs());
            self.keep_alive_delay = u16::try_from(seconds).unwrap_or(u16::MAX);
        }
    }
}

pub(crate) struct SocketSource {
    pub(crate) conn: Conn,
    /// `None` before connect and once destroyed.
    pub(crate) stream: Option<Stream>,
    pub(crate) ready: Readiness,
    pub(crate) registered: Registered,
    pub(crate) liveness: Liveness,
    /// It stands in the ready list.
    pub(crate) queued: bool,
    /// Its number was shown to the user: others may hold the same socket.
    pub(crate) shared: bool,
    /// A reset was asked for before it was connected.
    pub(crate) reset_due: bool,
    /// What destroy does once has been done.
    pub(crate) released: bool,
    /// Wake-ups while nobody wanted to read.
    pub(crate) vain_wakeups: u8,
    pub(crate) tuning: Tuning,
    /// Notices not delivered yet; `close` waits for them.
    pub(crate) notices: u32,
    pub(crate) idle_timer: Option<TimerKey>,
    pub(crate) server: Option<Key>,
    /// The own one is kept from destroy on, if anybody will be there to ask.
    pub(crate) addresses: Addresses,
    /// A listener may ask for the local address after destroy.
    pub(crate) keep_local: bool,
    /// While it connects.
    pub(crate) dial: Option<Box<Dial>>,
    /// Under TLS.
    #[cfg(feature = "tls")]
    pub(crate) tls: Option<Box<Layer>>,
}

impl SocketSource {
    pub(crate) fn new(conn: Conn) -> SocketSource {
        SocketSource {
            conn,
            stream: None,
            ready: Readiness::default(),
            registered: Registered::No,
            liveness: Liveness::IDLE,
            queued: false,
            shared: false,
            released: false,
            reset_due: false,
            vain_wakeups: 0,
            tuning: Tuning::default(),
            notices: 0,
            idle_timer: None,
            server: None,
            addresses: Addresses::NONE,
            keep_local: false,
            dial: None,
            #[cfg(feature = "tls")]
            tls: None,
        }
    }

    /// One that came connected.
    pub(crate) fn adopted(limits: Limits, stream: Stream, remote: Address) -> SocketSource {
        SocketSource {
            stream: Some(stream),
            ready: Readiness {
                writable: true,
                ..Readiness::default()
            },
            liveness: Liveness::ACTIVE,
            addresses: Addresses::of_peer(remote),
            ..SocketSource::new(Conn::adopted(limits))
        }
    }
}

/// What accepted sockets inherit.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Inherited {
    pub(crate) limits: Limits,
    pub(crate) tuning: Tuning,
    pub(crate) timeout: Nanos,
    /// It does not flow until `resume()`.
    pub(crate) paused: bool,
}

pub(crate) struct ServerSource {
    /// `None` when not listening.
    pub(crate) listener: Option<Listener>,
    pub(crate) liveness: Liveness,
    pub(crate) inherited: Inherited,
    /// The name it is to listen on is being looked up.
    pub(crate) lookup: Option<Ticket>,
    /// The answer, until it is acted upon.
    pub(crate) resolved: Option<Result<Vec<SocketAddr>>>,
    pub(crate) readable: bool,
    /// When the poll tells of the listener.
    pub(crate) trigger: Trigger,
    /// Accepting rests because the user said so.
    pub(crate) paused: bool,
    /// With as many connections open, further ones are dropped.
    pub(crate) max_connections: usize,
    pub(crate) queued: bool,
    pub(crate) shared: bool,
    /// One has succeeded since the last that found nobody.
    pub(crate) took: bool,
    /// An `accept` failed for want of resources or for good, or too many in a row did, and none has succeeded since:
    /// reported once.
    pub(crate) starved: bool,
    /// How many accepts in a row have lost their connection.
    pub(crate) lost: u32,
    /// Set while accepting rests.
    pub(crate) retry: Option<TimerKey>,
    /// Not yet destroyed: Node's count.
    pub(crate) connections: usize,
    /// `close` not yet delivered.
    pub(crate) open: usize,
    /// Counts listens: a `listening` that was closed before its delivery is void.
    pub(crate) listens: u32,
    /// `close()` was called and `close` is not delivered yet.
    pub(crate) close_owed: bool,
    /// Its connections speak TLS.
    #[cfg(feature = "tls")]
    pub(crate) tls: Option<Box<TlsServer>>,
}

impl ServerSource {
    pub(crate) fn new(inherited: Inherited) -> ServerSource {
        ServerSource {
            listener: None,
            liveness: Liveness::IDLE,
            inherited,
            lookup: None,
            resolved: None,
            readable: false,
            trigger: Trigger::Edge,
            paused: false,
            max_connections: usize::MAX,
            queued: false,
            shared: false,
            took: false,
            starved: false,
            lost: 0,
            retry: None,
            connections: 0,
            open: 0,
            listens: 0,
            close_owed: false,
            #[cfg(feature = "tls")]
            tls: None,
        }
    }
}

impl ServerSource {
    /// Whether it listens, or will once the name is looked up.
    pub(crate) fn is_told_to_listen(&self) -> bool {
        self.listener.is_some() || self.is_resolving()
    }

    /// Whether it accepts nobody for now, though somebody may wait.
    pub(crate) fn rests(&self) -> bool {
        #[cfg(feature = "tls")]
        if self.tls.as_ref().is_some_and(|tls| tls.is_full()) {
            return true;
        }
        self.paused || self.retry.is_some()
    }

    /// Whether it waits for the name to listen on.
    pub(crate) fn is_resolving(&self) -> bool {
        self.lookup.is_some() || self.resolved.is_some()
    }
}

pub(crate) struct TimerSource {
    pub(crate) timer: Option<TimerKey>,
    pub(crate) liveness: Liveness,
    pub(crate) period: Nanos,
    pub(crate) deadline: Nanos,
    pub(crate) repeats: bool,
}
