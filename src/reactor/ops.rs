//! The user's commands on one socket. Each acts at once as far as it can; what it causes waits as a notice.

use std::io;
use std::os::fd::{OwnedFd, RawFd};
use std::time::Duration;

use super::poller::Registered;
use super::source::{SocketSource, Source, Tuning};
use super::{nanos, Reactor};
use crate::address::Address;
use crate::arena::Key;
use crate::conn::{Cause, Conn, Limits, Phase};
use crate::error::Error;
use crate::sys::Stream;

impl Reactor {
    /// A socket that is not connected.
    pub(crate) fn new_socket(&mut self, limits: Limits) -> Key {
        self.insert(Source::Socket(SocketSource::new(Conn::new(limits))))
    }

    /// A connected stream becomes a socket of this loop.
    pub(crate) fn adopt(
        &mut self,
        limits: Limits,
        stream: Stream,
        remote: Address,
    ) -> io::Result<Key> {
        self.register_new(SocketSource::adopted(limits, stream, remote))
    }

    /// Gives an open socket its slot and has it watched.
    pub(super) fn register_new(&mut self, socket: SocketSource) -> io::Result<Key> {
        let key = self.insert(Source::Socket(socket));
        let Reactor {
            sources, poller, ..
        } = self;
        let Some(Source::Socket(socket)) = sources.get_mut(key) else {
            return Ok(key);
        };
        let Some(stream) = &socket.stream else {
            return Ok(key);
        };
        if let Err(error) = poller.register(stream, key, Registered::No, Registered::Read) {
            self.remove(key);
            return Err(error);
        }
        socket.registered = Registered::Read;
        Ok(key)
    }

    /// A descriptor of the user's becomes a socket of this loop; one that is not connected waits for `connect`.
    pub(crate) fn adopt_fd(
        &mut self,
        limits: Limits,
        stream: Stream,
        readable: bool,
        writable: bool,
    ) -> io::Result<Key> {
        let mut socket = match stream.peer_address() {
            Ok(remote) => {
                let mut socket = SocketSource::adopted(limits, stream, remote);
                socket.conn = Conn::adopted_sides(limits, readable, writable);
                socket
            }
            Err(error) if error.kind() == io::ErrorKind::NotConnected => {
                let mut socket = SocketSource::new(Conn::new(limits));
                socket.stream = Some(stream);
                socket
            }
            Err(error) => return Err(error),
        };
        // Whoever made it may hold it still.
        socket.shared = true;
        if !socket.conn.is_open() {
            return Ok(self.insert(Source::Socket(socket)));
        }
        self.register_new(socket)
    }

    /// Takes the descriptor out of the loop; the socket closes.
    pub(crate) fn detach(&mut self, key: Key) -> Result<OwnedFd, Error> {
        let Reactor {
            sources, poller, ..
        } = self;
        let Some(Source::Socket(socket)) = sources.get_mut(key) else {
            return Err(Error::socket_closed());
        };
        if !socket.conn.is_open() {
            return Err(Error::socket_closed());
        }
        #[cfg(feature = "tls")]
        if socket.tls.is_some() {
            let message = "a descriptor cannot leave while TLS is on it";
            return Err(Error::new(crate::error::Code::TlsInvalidState, message));
        }
        if socket.conn.buffer_size() > 0 {
            return Err(Error::bytes_queued(socket.conn.buffer_size()));
        }
        let Some(stream) = socket.stream.take() else {
            return Err(Error::socket_closed());
        };
        if socket.keep_local {
            socket.addresses.keep_local(stream.local_address().ok());
        }
        poller.deregister(&stream);
        socket.registered = Registered::No;
        self.destroy(key, Cause::Destroyed);
        stream.into_fd().ok_or_else(Error::socket_closed)
    }

    /// Two sockets connected to each other.
    pub(crate) fn pair(&mut self) -> io::Result<(Key, Key)> {
        let (a, b) = self.sockets().pair()?;
        let a = self.adopt(Limits::default(), a, Address::Unnamed)?;
        match self.adopt(Limits::default(), b, Address::Unnamed) {
            Ok(b) => Ok((a, b)),
            Err(error) => {
                self.remove(a);
                Err(error)
            }
        }
    }

    pub(crate) fn end(&mut self, key: Key) {
        self.with_conn(key, |conn, released| {
            conn.end(released);
        });
        self.flush_now(key);
    }

    pub(crate) fn cork(&mut self, key: Key) {
        self.with_conn(key, |conn, _| conn.cork());
    }

    pub(crate) fn uncork(&mut self, key: Key) {
        self.with_conn(key, |conn, _| conn.uncork());
        self.flush_now(key);
    }

    pub(crate) fn destroy(&mut self, key: Key, cause: Cause) {
        self.with_conn(key, |conn, released| {
            conn.destroy(cause, released);
        });
    }

    pub(crate) fn destroy_soon(&mut self, key: Key) {
        self.with_conn(key, |conn, released| conn.destroy_soon(released));
        self.flush_now(key);
    }

    /// Closes with a reset instead of a FIN; a connecting socket does so once connected.
    pub(crate) fn reset(&mut self, key: Key) {
        let Some(socket) = self.socket_mut(key) else {
            return;
        };
        let cause = match (socket.conn.phase(), &socket.stream) {
            (Phase::Connecting, _) => {
                socket.reset_due = true;
                return;
            }
            (Phase::Idle, _) => Cause::Failed(Error::socket_closed()),
            (_, Some(stream)) if stream.is_unix() => Cause::Failed(Error::invalid_handle_type()),
            (_, Some(stream)) => {
                // A socket that the peer has reset already needs none.
                let _ = stream.set_linger_zero();
                Cause::Destroyed
            }
            (_, None) => return,
        };
        self.destroy(key, cause);
    }

    /// The listeners of `connect` have run: a reset asked for meanwhile is due.
    pub(crate) fn connect_delivered(&mut self, key: Key) {
        if self.socket(key).is_some_and(|socket| socket.reset_due) {
            self.reset(key);
        }
    }

    /// Sends at once what was held back, as far as the kernel takes it; the loop does the rest.
    pub(super) fn flush_now(&mut self, key: Key) {
        let may = |reactor: &Reactor| {
            reactor
                .socket(key)
                .is_some_and(|socket| socket.ready.writable && socket.conn.wants_flush())
        };
        if may(self) {
            self.flush(key);
        }
        if may(self) {
            self.schedule(key);
        }
    }

    pub(crate) fn pause(&mut self, key: Key) {
        self.change_flow(key, |conn| conn.set_flowing(false));
    }

    pub(crate) fn resume(&mut self, key: Key) {
        self.change_flow(key, |conn| conn.set_flowing(true));
    }

    pub(crate) fn reader_attached(&mut self, key: Key) {
        self.change_flow(key, Conn::reader_attached);
    }

    pub(crate) fn piped(&mut self, key: Key) {
        self.change_flow(key, Conn::piped);
    }

    pub(crate) fn unpiped(&mut self, key: Key) {
        self.change_flow(key, Conn::unpiped);
    }

    /// A destination of this socket's pipe is full.
    pub(crate) fn rest(&mut self, key: Key) {
        self.change_flow(key, Conn::rest);
    }

    /// That destination is empty again, or gone.
    pub(crate) fn wake(&mut self, key: Key) {
        self.change_flow(key, Conn::wake);
    }

    /// Whether bytes are wanted owes nobody an event, so there is nothing to settle. Lazy: a socket that stops reading
    /// keeps its interest and only ignores readiness. No system call is made.
    fn change_flow(&mut self, key: Key, change: impl FnOnce(&mut Conn)) {
        let Some(socket) = self.socket_mut(key) else {
            return;
        };
        change(&mut socket.conn);
        if socket.conn.wants_read() {
            self.restore_read_interest(key);
        } else if socket.conn.is_open() && (socket.ready.peek_due || socket.conn.has_write_error())
        {
            self.schedule(key);
        }
    }

    pub(crate) fn set_timeout(&mut self, key: Key, period: Duration) {
        let now = self.now();
        let Some(socket) = self.socket_mut(key) else {
            return;
        };
        if socket.conn.destroyed() {
            return;
        }
        socket.conn.idle_mut().set(nanos(period), now);
        self.start_idle_timer(key);
    }

    /// Remembers options and applies what changed, if there is something to apply it to.
    pub(crate) fn tune(&mut self, key: Key, change: impl FnOnce(&mut Tuning)) {
        let Some(socket) = self.socket_mut(key) else {
            return;
        };
        let old = socket.tuning;
        change(&mut socket.tuning);
        if socket.conn.is_open() {
            if let Some(stream) = &socket.stream {
                apply_tuning(stream, old, socket.tuning);
            }
        }
    }

    pub(crate) fn change_limits(&mut self, key: Key, change: impl FnOnce(&mut Limits)) {
        if let Some(socket) = self.socket_mut(key) {
            change(socket.conn.limits_mut());
        }
    }

    /// A user is about to see the descriptor: from now on others may hold the same socket.
    pub(crate) fn share(&mut self, key: Key) {
        match self.sources.get_mut(key) {
            Some(Source::Socket(socket)) => socket.shared = true,
            Some(Source::Server(server)) => server.shared = true,
            _ => {}
        }
    }

    /// The number of the descriptor, for the user.
    pub(crate) fn show_fd(&mut self, key: Key) -> Option<RawFd> {
        self.share(key);
        match self.sources.get(key)? {
            Source::Socket(socket) => socket.stream.as_ref()?.raw_fd(),
            Source::Server(server) => server.listener.as_ref()?.raw_fd(),
            Source::Timer(_) | Source::Watch(_) => None,
        }
    }

    /// An error ended it before it was of use to the program that had it connect.
    pub(crate) fn failed_to_connect(&self, key: Key) -> bool {
        let Some(socket) = self.socket(key) else {
            return false;
        };
        #[cfg(feature = "tls")]
        if socket.tls.is_some() {
            return socket.conn.failure().is_some() && self.tls_is_connecting(key);
        }
        socket.conn.failed_to_connect()
    }

    pub(crate) fn local_address(&self, key: Key) -> Option<Address> {
        let socket = self.socket(key)?;
        match &socket.stream {
            Some(stream) => stream.local_address().ok(),
            None => socket.addresses.local(),
        }
    }

    /// Somebody will be there to ask for the local address in `error` or `close`: keep it past the descriptor.
    pub(crate) fn keep_local_address(&mut self, key: Key) {
        if let Some(socket) = self.socket_mut(key) {
            socket.keep_local = true;
        }
    }
}

/// Failures are ignored: an option that cannot be set, on a socket the peer has just reset, changes nothing.
pub(super) fn apply_tuning(stream: &Stream, old: Tuning, new: Tuning) {
    if old.no_delay != new.no_delay {
        let _ = stream.set_no_delay(new.no_delay);
    }
    if (old.keep_alive, old.keep_alive_delay) != (new.keep_alive, new.keep_alive_delay) {
        let delay = Duration::from_secs(new.keep_alive_delay.into());
        let _ = stream.set_keep_alive(new.keep_alive, Some(delay));
    }
}
