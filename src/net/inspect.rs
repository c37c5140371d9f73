//! What keeps the loop alive: the answer to "why does my program not exit".

use std::fmt;
use std::time::Duration;

use super::{Address, LoopHandle};
use crate::conn::Phase;
use crate::reactor::{ServerSource, SocketSource, Source};

/// One thing the loop waits for, from [`LoopHandle::active_handles`]. Its `Display` is one line of a table.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct HandleInfo {
    /// What it is.
    pub kind: HandleKind,
    /// Its own address.
    pub local: Option<Address>,
    /// The peer's address.
    pub remote: Option<Address>,
    /// Whether it keeps the loop alive.
    pub referenced: bool,
    /// What it is doing, in a word: `listening`, `open`, `readOnly`, `waiting`, ..
    pub state: &'static str,
    /// Bytes that wait to be sent.
    pub queued: usize,
    /// Since when nothing moved; zero for what is no socket.
    pub idle: Duration,
}

/// The kinds of things a loop waits for.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum HandleKind {
    /// A listening server, or one that waits for its last connections.
    Server,
    /// A socket, connecting or open.
    Socket,
    /// A timer.
    Timer,
    /// A watched descriptor.
    Watch,
    /// A [`Remote`](crate::Remote), through which calls may still come.
    Remote,
}

impl fmt::Display for HandleKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            HandleKind::Server => "server",
            HandleKind::Socket => "socket",
            HandleKind::Timer => "timer",
            HandleKind::Watch => "watch",
            HandleKind::Remote => "remote",
        })
    }
}

impl fmt::Display for HandleInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = |address: &Option<Address>| match address {
            Some(address) => address.to_string(),
            None => "-".into(),
        };
        write!(
            f,
            "{:<6}  {:<5}  {:<9}  {:<22}  {:<22}  {:>8} queued  idle {:.1?}",
            self.kind,
            if self.referenced { "ref" } else { "unref" },
            self.state,
            text(&self.local),
            text(&self.remote),
            self.queued,
            self.idle,
        )
    }
}

impl LoopHandle {
    /// Everything the loop waits for now, whether it keeps the loop alive or not. Node's
    /// `process.getActiveResourcesInfo`, and more.
    ///
    /// ```
    /// # fn main() -> Result<(), tidewheel::Error> {
    /// # let event_loop = tidewheel::EventLoop::new()?;
    /// for handle in event_loop.active_handles() {
    ///     println!("{handle}");
    /// }
    /// # Ok(()) }
    /// ```
    pub fn active_handles(&self) -> Vec<HandleInfo> {
        if self.inner().is_dead() {
            // A `Remote` may outlive it, but it waits for none.
            return Vec::new();
        }
        let reactor = self.inner().reactor.borrow();
        let now = reactor.now();
        let mut handles: Vec<HandleInfo> = reactor
            .sources()
            .filter(|(_, source)| source.liveness().active || is_closing(source))
            .map(|(key, source)| HandleInfo {
                local: reactor
                    .local_address(key)
                    .or_else(|| reactor.server_address(key)),
                ..describe(source, now)
            })
            .collect();
        let (referenced, others) = self.inner().mailbox.references();
        let remote = |referenced| HandleInfo::of(HandleKind::Remote, referenced);
        handles.extend(std::iter::repeat_n(remote(true), referenced));
        handles.extend(std::iter::repeat_n(remote(false), others));
        handles
    }
}

impl HandleInfo {
    fn of(kind: HandleKind, referenced: bool) -> HandleInfo {
        HandleInfo {
            kind,
            local: None,
            remote: None,
            referenced,
            state: "waiting",
            queued: 0,
            idle: Duration::ZERO,
        }
    }
}

fn is_closing(source: &Source) -> bool {
    source.as_server().is_some_and(|server| server.close_owed)
}

fn describe(source: &Source, now: u64) -> HandleInfo {
    let referenced = source.liveness().referenced;
    match source {
        Source::Socket(socket) => describe_socket(socket, now),
        Source::Server(server) => HandleInfo {
            state: server_state(server),
            ..HandleInfo::of(HandleKind::Server, referenced)
        },
        Source::Timer(_) => HandleInfo::of(HandleKind::Timer, referenced),
        Source::Watch(_) => HandleInfo::of(HandleKind::Watch, referenced),
    }
}

fn describe_socket(socket: &SocketSource, now: u64) -> HandleInfo {
    let conn = &socket.conn;
    let state = match (conn.phase(), conn.readable(), conn.writable()) {
        (Phase::Connecting, ..) => "opening",
        (_, true, true) => "open",
        (_, true, false) => "readOnly",
        (_, false, true) => "writeOnly",
        (_, false, false) => "closing",
    };
    HandleInfo {
        remote: socket.addresses.remote(),
        state,
        queued: conn.buffer_size(),
        idle: Duration::from_nanos(now.saturating_sub(conn.idle().last())),
        ..HandleInfo::of(HandleKind::Socket, socket.liveness.referenced)
    }
}

fn server_state(server: &ServerSource) -> &'static str {
    match (&server.listener, server.paused) {
        (Some(_), true) => "paused",
        (Some(_), false) => "listening",
        (None, _) if server.is_resolving() => "opening",
        (None, _) => "closing",
    }
}
