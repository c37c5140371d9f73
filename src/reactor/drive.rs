//! One step on one socket: connect, read, peek, or send.

use std::io::{self, IoSlice};

use super::poller::Registered;
use super::ready::Step;
use super::{Deferred, Event, Reactor};
use crate::arena::Key;
use crate::conn::Phase;
use crate::error::Error;

/// Slices given to one `sendmsg`.
const MAX_SLICES: usize = 64;

/// How often a paused socket may be woken before it gives up its read interest.
pub(super) const VAIN_WAKEUPS: u8 = 2;

impl Reactor {
    pub(super) fn step_socket(&mut self, key: Key) -> Step {
        let Some(socket) = self.socket(key) else {
            return Step::Done;
        };
        let ready = socket.ready;
        let conn = &socket.conn;
        match conn.phase() {
            Phase::Connecting if ready.writable || ready.hung_up => self.finish_dial(key),
            Phase::Open => {
                // A peer that hung up may have reset the connection, which is for the read to say: first that.
                let read_first = ready.hung_up && ready.readable && conn.wants_read();
                if ready.writable && conn.wants_flush() && !read_first {
                    self.flush(key);
                    Step::Again
                } else if conn.wants_read() && ready.readable {
                    self.read(key)
                } else if conn.has_write_error() && (conn.wants_read() || !conn.will_read()) {
                    // Nothing is left to read. It waits only while the reader rests.
                    self.settle_write_error(key)
                } else if ready.peek_due && conn.may_peek() {
                    self.peek(key)
                } else {
                    Step::Done
                }
            }
            _ => Step::Done,
        }
    }

    fn read(&mut self, key: Key) -> Step {
        let now = self.now;
        let Some(socket) = self
            .sources
            .get_mut(key)
            .and_then(|source| source.as_socket_mut())
        else {
            return Step::Done;
        };
        let Some(stream) = &socket.stream else {
            return Step::Done;
        };
        let read = match stream.read(&mut self.buffer) {
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                socket.ready.readable = false;
                socket.ready.urgent = false;
                return Step::Again;
            }
            Err(error) => return self.read_failed(key, &error),
        };
        let touched = socket.conn.idle_mut().touch(now);
        if read.len == 0 {
            socket.ready.readable = false;
            socket.ready.peek_due = false;
            return self.eof(key, touched);
        }
        socket.vain_wakeups = 0;
        socket.conn.handle_read(read.len);
        let drained = read.len < self.buffer.len()
            && !socket.ready.hung_up
            && !socket.ready.urgent
            && !read.stopped_early;
        if drained {
            socket.ready.readable = false;
        }
        let done = drained && !socket.conn.wants_flush() && !socket.conn.has_write_error();
        if touched {
            self.start_idle_timer(key);
        }
        self.counters.bytes_in += read.len as u64;
        if done {
            // What its listeners leave to do puts it on the ready list again.
            self.current = None;
        } else {
            self.charge(read.len);
        }
        Step::Event(Event::Data { key, len: read.len })
    }

    fn eof(&mut self, key: Key, touched: bool) -> Step {
        if touched {
            self.start_idle_timer(key);
        }
        let Some(socket) = self.socket_mut(key) else {
            return Step::Done;
        };
        if socket.conn.has_write_error() {
            return self.settle_write_error(key);
        }
        if socket.conn.handle_eof() {
            return Step::Event(Event::End(key));
        }
        Step::Done
    }

    fn read_failed(&mut self, key: Key, error: &io::Error) -> Step {
        let error = Error::system("read", error);
        self.with_conn(key, |conn, released| {
            conn.handle_read_error(error, released)
        });
        Step::Done
    }

    fn settle_write_error(&mut self, key: Key) -> Step {
        self.with_conn(key, |conn, released| {
            conn.settle_write_error(released);
        });
        Step::Done
    }

    /// Nobody reads, and the peer may have ended or keeps waking us: is anything unread? An errno the peek returns is
    /// the socket's error, because the kernel tells it only once.
    fn peek(&mut self, key: Key) -> Step {
        let Some(socket) = self.socket_mut(key) else {
            return Step::Done;
        };
        socket.ready.peek_due = false;
        let Some(stream) = &socket.stream else {
            return Step::Done;
        };
        match stream.peek() {
            Ok(0) => {
                let now = self.now();
                let touched = self
                    .socket_mut(key)
                    .is_some_and(|socket| socket.conn.idle_mut().touch(now));
                self.eof(key, touched)
            }
            Ok(_) => {
                // Only over unread bytes: else a FIN would go unnoticed (urgent data wakes and leaves nothing to read).
                if socket.vain_wakeups >= VAIN_WAKEUPS {
                    self.give_up_read_interest(key);
                }
                Step::Again
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Step::Again,
            Err(error) => self.read_failed(key, &error),
        }
    }

    /// Sends what waits, once.
    pub(super) fn flush(&mut self, key: Key) {
        let now = self.now();
        let Some(socket) = self
            .sources
            .get_mut(key)
            .and_then(|source| source.as_socket_mut())
        else {
            return;
        };
        let Some(stream) = &socket.stream else { return };
        let mut slices = [IoSlice::new(&[]); MAX_SLICES];
        let used = socket.conn.transmit(&mut slices);
        let result = match &slices[..used] {
            [one] => stream.write(one),
            many => stream.write_vectored(many),
        };
        match result {
            Ok(sent) => {
                socket.conn.handle_written(sent, &mut self.released);
                let touched = sent > 0 && socket.conn.idle_mut().touch(now);
                self.counters.bytes_out += sent as u64;
                if touched {
                    self.start_idle_timer(key);
                }
                self.settle(key);
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.wait_writable(key),
            Err(error) => self.write_failed(key, &error),
        }
    }

    pub(super) fn write_failed(&mut self, key: Key, error: &io::Error) {
        let error = Error::system("write", error);
        self.with_conn(key, |conn, released| {
            conn.handle_write_error(error, released)
        });
        // What is piped into it has nowhere to go, and must not rest for a `drain` that never comes.
        self.deferred.push_back(Deferred::WriteFailed(key));
        // What the kernel still holds is read before the failure is told.
        if let Some(socket) = self.socket_mut(key) {
            socket.ready.readable = true;
            self.schedule(key);
        }
    }

    /// The kernel takes no more: be told when it does. The interest is registered once and left.
    pub(super) fn wait_writable(&mut self, key: Key) {
        let Some(socket) = self.socket_mut(key) else {
            return;
        };
        socket.ready.writable = false;
        let wanted = match socket.registered {
            Registered::Read => Registered::ReadWrite,
            _ => return,
        };
        self.register(key, wanted);
    }

    /// A paused socket that keeps being woken: the unread bytes stay in the kernel and say so no more.
    fn give_up_read_interest(&mut self, key: Key) {
        if self
            .socket(key)
            .is_some_and(|socket| socket.registered.reads())
        {
            self.register(key, Registered::Write);
        }
    }

    /// Reading begins (again).
    pub(super) fn restore_read_interest(&mut self, key: Key) {
        let Some(socket) = self.socket_mut(key) else {
            return;
        };
        socket.vain_wakeups = 0;
        if socket.registered == Registered::Write {
            socket.ready.readable = true;
            self.register(key, Registered::ReadWrite);
        }
        self.schedule(key);
    }

    /// Registers a socket for `wanted`. A kernel that cannot is an error of that socket.
    pub(super) fn register(&mut self, key: Key, wanted: Registered) {
        let Reactor {
            sources, poller, ..
        } = self;
        let Some(socket) = sources
            .get_mut(key)
            .and_then(|source| source.as_socket_mut())
        else {
            return;
        };
        let Some(stream) = &socket.stream else { return };
        match poller.register(stream, key, socket.registered, wanted) {
            Ok(()) => socket.registered = wanted,
            Err(error) => {
                let error = Error::system("epoll_ctl", &error);
                self.with_conn(key, |conn, released| {
                    conn.handle_read_error(error, released)
                });
            }
        }
    }
}
