//! Waiting for readiness: mio's epoll, or the simulated network.

use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::sync::Arc;
use std::time::Duration;

use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token};

use crate::arena::Key;
#[cfg(any(target_os = "linux", target_os = "android"))]
use crate::sys::epoll_readable;
use crate::sys::{Listener, Sockets, Stream};
#[cfg(any(test, feature = "sim"))]
use crate::sys::{MemEvent, Sim};

/// The token of the waker: no key ever has it, so it finds nothing.
const WAKER: Token = Token(usize::MAX);

const _: () = assert!(
    usize::BITS >= 64,
    "a token holds an index and a generation of 32 bits each"
);

/// What a descriptor is registered for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Registered {
    No,
    Read,
    ReadWrite,
    /// A paused socket that kept being woken. mio knows no empty interest.
    Write,
}

impl Registered {
    pub(crate) fn reads(self) -> bool {
        matches!(self, Registered::Read | Registered::ReadWrite)
    }

    #[cfg(any(test, feature = "sim"))]
    pub(crate) fn writes(self) -> bool {
        matches!(self, Registered::Write | Registered::ReadWrite)
    }

    fn interest(self) -> Interest {
        // Urgent data stops a read short of what is there: it must be seen to be reckoned with.
        #[cfg(any(target_os = "linux", target_os = "android"))]
        const READ: Interest = Interest::READABLE.add(Interest::PRIORITY);
        #[cfg(not(any(target_os = "linux", target_os = "android")))]
        const READ: Interest = Interest::READABLE;
        match self {
            Registered::No => unreachable!("nothing is registered for nothing"),
            Registered::Read => READ,
            Registered::ReadWrite => READ | Interest::WRITABLE,
            Registered::Write => Interest::WRITABLE,
        }
    }
}

/// When the poll tells of a listener.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Trigger {
    /// Whenever somebody comes: who is told has to accept until nobody waits.
    Edge,
    /// For as long as somebody waits.
    Level,
}

/// Why a source has its turn.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Wake(u8);

impl Wake {
    /// It has it already.
    pub(crate) const NOT: Wake = Wake(0);
    pub(crate) const READABLE: Wake = Wake(1);
    pub(crate) const WRITABLE: Wake = Wake(2);
    /// A hint, as errors are: only a system call tells.
    pub(crate) const HUNG_UP: Wake = Wake(4);
    pub(crate) const URGENT: Wake = Wake(8);
    /// It stood on the ready list; the poll has found nothing.
    pub(crate) const LISTED: Wake = Wake(16);
    /// Both directions are shut, and not by an error.
    pub(crate) const SHUT: Wake = Wake(32);

    fn of(readable: bool, writable: bool, hung_up: bool, urgent: bool, shut: bool) -> Wake {
        Wake(
            u8::from(readable)
                | u8::from(writable) << 1
                | u8::from(hung_up) << 2
                | u8::from(urgent) << 3
                | u8::from(shut) << 5,
        )
    }

    // Apart, so that it costs nothing where it is not needed.
    #[inline(never)]
    fn of_event(event: &mio::event::Event) -> Wake {
        let error = event.is_error();
        let hung_up = event.is_read_closed() || error;
        let shut = event.is_write_closed() && !error;
        let (readable, writable) = (event.is_readable(), event.is_writable());
        Wake::of(readable, writable, hung_up, event.is_priority(), shut)
    }

    #[inline]
    pub(crate) fn has(self, other: Wake) -> bool {
        self.0 & other.0 != 0
    }
}

/// One readiness event.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wakeup {
    pub(crate) key: Key,
    pub(crate) wake: Wake,
}

impl Wakeup {
    #[inline(always)]
    fn of(event: &mio::event::Event) -> Wakeup {
        let key = Key::from_token(event.token().0 as u64);
        let others = event.is_writable() | event.is_priority() | event.is_error();
        // All are asked, so that the machine asks once.
        let only_readable = event.is_readable() & !others & !event.is_read_closed();
        let wake = if only_readable {
            // Nearly always, and cheaper than to put it together.
            Wake::READABLE
        } else {
            Wake::of_event(event)
        };
        Wakeup { key, wake }
    }

    #[cfg(any(test, feature = "sim"))]
    fn simulated(event: &MemEvent) -> Wakeup {
        let hung_up = event.read_closed || event.error;
        let shut = event.write_closed && !event.error;
        Wakeup {
            key: Key::from_token(event.token),
            wake: Wake::of(event.readable, event.writable, hung_up, false, shut),
        }
    }
}

/// What a poll has found, while it is worked through.
pub(crate) struct Found {
    events: Events,
    #[cfg(any(test, feature = "sim"))]
    simulated: Vec<MemEvent>,
}

impl Found {
    pub(crate) fn nothing() -> Found {
        Found {
            events: Events::with_capacity(0),
            #[cfg(any(test, feature = "sim"))]
            simulated: Vec::new(),
        }
    }

    #[inline(always)]
    pub(crate) fn wakeups(&self) -> impl Iterator<Item = Wakeup> + '_ {
        let wakeups = wakeups_of(&self.events);
        #[cfg(any(test, feature = "sim"))]
        let wakeups = wakeups.chain(self.simulated.iter().map(Wakeup::simulated));
        wakeups
    }

    /// Those behind the one of this source, or all. No two are of the same.
    pub(crate) fn behind(&self, at: Option<Key>) -> impl Iterator<Item = Wakeup> + '_ {
        let mut behind = at.is_none();
        self.wakeups().filter(move |woken| {
            let was_behind = behind;
            behind |= at == Some(woken.key);
            was_behind
        })
    }
}

/// The waker's comes along: it finds no source, as that of one that has closed.
#[inline(always)]
fn wakeups_of(events: &Events) -> impl Iterator<Item = Wakeup> + '_ {
    events.iter().map(Wakeup::of)
}

/// Ends a wait from another thread.
#[derive(Clone)]
pub(crate) struct Waker(Arc<mio::Waker>);

impl Waker {
    /// Waking costs a system call. It fails only if the loop is gone, and then nobody is there to be woken.
    pub(crate) fn wake(&self) {
        let _ = self.0.wake();
    }
}

pub(crate) enum Poller {
    Mio {
        poll: Poll,
        events: Events,
    },
    #[cfg(any(test, feature = "sim"))]
    Sim {
        sim: Sim,
        events: Vec<MemEvent>,
    },
    /// The loop is gone; handles may still be there.
    Closed,
}

impl Poller {
    pub(crate) fn new(capacity: usize) -> io::Result<(Poller, Waker)> {
        let poll = Poll::new()?;
        let waker = mio::Waker::new(poll.registry(), WAKER)?;
        let events = Events::with_capacity(capacity);
        Ok((Poller::Mio { poll, events }, Waker(Arc::new(waker))))
    }

    #[cfg(any(test, feature = "sim"))]
    pub(crate) fn simulated(sim: Sim) -> Poller {
        let events = Vec::new();
        Poller::Sim { sim, events }
    }

    /// Where the sockets come from that can be polled here.
    pub(crate) fn sockets(&self) -> Sockets {
        match self {
            #[cfg(any(test, feature = "sim"))]
            Poller::Sim { sim, .. } => Sockets::Sim(sim.clone()),
            _ => Sockets::Kernel,
        }
    }

    pub(crate) fn raw_fd(&self) -> Option<RawFd> {
        match self {
            Poller::Mio { poll, .. } => Some(poll.as_raw_fd()),
            #[cfg(any(test, feature = "sim"))]
            Poller::Sim { .. } => None,
            Poller::Closed => None,
        }
    }

    /// Waits. A signal ends the wait without an event.
    pub(crate) fn poll(&mut self, timeout: Option<Duration>) -> io::Result<()> {
        let waited = match self {
            Poller::Mio { poll, events } => poll.poll(events, timeout),
            #[cfg(any(test, feature = "sim"))]
            Poller::Sim { sim, events } => {
                events.clear();
                sim.poll(timeout, events)
            }
            Poller::Closed => Ok(()),
        };
        match waited {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {
                self.clear();
                Ok(())
            }
            other => other,
        }
    }

    fn clear(&mut self) {
        match self {
            Poller::Mio { events, .. } => events.clear(),
            #[cfg(any(test, feature = "sim"))]
            Poller::Sim { events, .. } => events.clear(),
            Poller::Closed => {}
        }
    }

    /// The events of the last poll.
    pub(crate) fn wakeups(&self, each: impl FnMut(Wakeup)) {
        match self {
            Poller::Mio { events, .. } => wakeups_of(events).for_each(each),
            #[cfg(any(test, feature = "sim"))]
            Poller::Sim { events, .. } => events.iter().map(Wakeup::simulated).for_each(each),
            Poller::Closed => {}
        }
    }

    /// Gives them away, to be worked through.
    pub(crate) fn lend(&mut self) -> Found {
        let mut lent = Found::nothing();
        match self {
            Poller::Mio { events, .. } => std::mem::swap(events, &mut lent.events),
            #[cfg(any(test, feature = "sim"))]
            Poller::Sim { events, .. } => std::mem::swap(events, &mut lent.simulated),
            Poller::Closed => {}
        }
        lent
    }

    /// Takes back what was lent, if anything was.
    pub(crate) fn take_back(&mut self, found: Found) {
        match self {
            Poller::Mio { events, .. } if found.events.capacity() > 0 => *events = found.events,
            #[cfg(any(test, feature = "sim"))]
            Poller::Sim { events, .. } => *events = found.simulated,
            _ => {}
        }
    }

    /// Changes what `stream` is registered for from `old` to `new`.
    pub(crate) fn register(
        &self,
        stream: &Stream,
        key: Key,
        old: Registered,
        new: Registered,
    ) -> io::Result<()> {
        match self {
            Poller::Mio { poll, .. } => match stream.raw_fd() {
                Some(fd) => register_fd(poll, fd, key, old, new),
                None => Err(io::ErrorKind::Unsupported.into()),
            },
            #[cfg(any(test, feature = "sim"))]
            Poller::Sim { sim, .. } => match stream {
                Stream::Mem(mem) => sim.register(mem, key.to_token(), new.reads(), new.writes()),
                _ => Err(io::ErrorKind::Unsupported.into()),
            },
            Poller::Closed => Err(io::ErrorKind::Unsupported.into()),
        }
    }

    /// Changes when a listener is told of; `old`: `None` for a new one. Gives what it is now: not everywhere it can be
    /// otherwise than by edges, and a UNIX listener never is, for its clients connect in no time, so that many wait at once.
    pub(crate) fn register_listener(
        &self,
        listener: &Listener,
        key: Key,
        old: Option<Trigger>,
        new: Trigger,
    ) -> io::Result<Trigger> {
        #[cfg(any(test, feature = "sim"))]
        if let (Poller::Sim { sim, .. }, Some(listener)) = (self, listener.as_simulated()) {
            sim.register_listener(listener, key.to_token(), new == Trigger::Level)?;
            return Ok(new);
        }
        let (Poller::Mio { poll, .. }, Some(fd)) = (self, listener.raw_fd()) else {
            return Err(io::ErrorKind::Unsupported.into());
        };
        let new = if listener.is_unix() {
            Trigger::Edge
        } else {
            new
        };
        if old == Some(new) {
            return Ok(new);
        }
        listen_fd(poll, fd, key, old, new)
    }

    pub(crate) fn deregister_listener(&self, listener: &Listener) {
        #[cfg(any(test, feature = "sim"))]
        if let (Poller::Sim { sim, .. }, Some(listener)) = (self, listener.as_simulated()) {
            return sim.deregister_listener(listener);
        }
        if let Some(fd) = listener.raw_fd() {
            self.deregister_fd(fd);
        }
    }

    /// The same for a descriptor that is no stream of ours: a listener's, or the user's.
    pub(crate) fn register_fd(
        &self,
        fd: RawFd,
        key: Key,
        old: Registered,
        new: Registered,
    ) -> io::Result<()> {
        match self {
            Poller::Mio { poll, .. } => register_fd(poll, fd, key, old, new),
            _ => Err(io::ErrorKind::Unsupported.into()),
        }
    }

    /// For a descriptor that may outlive its close here: another may name the same socket.
    pub(crate) fn deregister(&self, stream: &Stream) {
        match self {
            Poller::Mio { poll, .. } => {
                if let Some(fd) = stream.raw_fd() {
                    // Whoever saw the number may have closed it already; then there is nothing to undo.
                    let _ = poll.registry().deregister(&mut SourceFd(&fd));
                }
            }
            #[cfg(any(test, feature = "sim"))]
            Poller::Sim { sim, .. } => {
                if let Stream::Mem(mem) = stream {
                    sim.deregister(mem);
                }
            }
            Poller::Closed => {}
        }
    }

    pub(crate) fn deregister_fd(&self, fd: RawFd) {
        if let Poller::Mio { poll, .. } = self {
            let _ = poll.registry().deregister(&mut SourceFd(&fd));
        }
    }
}

#[cfg(any(target_os = "linux", target_os = "android"))]
fn listen_fd(
    poll: &Poll,
    fd: RawFd,
    key: Key,
    old: Option<Trigger>,
    new: Trigger,
) -> io::Result<Trigger> {
    let level = new == Trigger::Level;
    epoll_readable(poll.as_raw_fd(), fd, key.to_token(), level, old.is_none())?;
    Ok(new)
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn listen_fd(
    poll: &Poll,
    fd: RawFd,
    key: Key,
    old: Option<Trigger>,
    _: Trigger,
) -> io::Result<Trigger> {
    if old.is_none() {
        register_fd(poll, fd, key, Registered::No, Registered::Read)?;
    }
    Ok(Trigger::Edge)
}

fn register_fd(
    poll: &Poll,
    fd: RawFd,
    key: Key,
    old: Registered,
    new: Registered,
) -> io::Result<()> {
    let token = Token(key.to_token() as usize);
    let registry = poll.registry();
    match old {
        Registered::No => registry.register(&mut SourceFd(&fd), token, new.interest()),
        _ => registry.reregister(&mut SourceFd(&fd), token, new.interest()),
    }
}
