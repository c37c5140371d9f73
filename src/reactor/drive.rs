//! One step on one socket: connect, read, peek, or send.

use std::io::{self, IoSlice};

use super::poller::Registered;
use super::ready::Step;
use super::source::SocketSource;
use super::{socket_of, Deferred, Event, Reactor};
use crate::arena::Key;
use crate::conn::{Nanos, Phase};
use crate::error::Error;
use crate::sys::Read;

/// Slices given to one `sendmsg`.
pub(super) const MAX_SLICES: usize = 64;

/// How often a paused socket may be woken before it gives up its read interest.
pub(super) const VAIN_WAKEUPS: u8 = 2;

/// What there is to do on a socket now, or what doing it has brought.
pub(super) enum Work {
    /// Bytes were read into the loop's buffer. `drained`: there are no more, nor is there anything else to do.
    Received {
        len: usize,
        drained: bool,
        touched: bool,
    },
    WouldBlock,
    Ended {
        touched: bool,
    },
    ReadFailed(io::Error),
    Flush,
    Dial,
    WriteError,
    Peek,
    Nothing,
}

impl SocketSource {
    /// What is to be done. A read, which is by far the most frequent, is done here and now.
    pub(super) fn work(&mut self, buffer: &mut [u8], now: Nanos) -> Work {
        let ready = self.ready;
        let conn = &self.conn;
        match conn.phase() {
            Phase::Open => {
                let reads = conn.wants_read();
                // A peer that hung up may have reset the connection, which is for the read to say: first that.
                let read_first = ready.hung_up && ready.readable && reads;
                if conn.wants_flush() && ready.writable && !read_first {
                    Work::Flush
                } else if reads && ready.readable {
                    self.receive(buffer, now)
                } else if conn.has_write_error() && (reads || !conn.will_read()) {
                    // Nothing is left to read. It waits only while the reader rests.
                    Work::WriteError
                } else if ready.peek_due && conn.may_peek() {
                    Work::Peek
                } else {
                    Work::Nothing
                }
            }
            Phase::Connecting if ready.writable || ready.hung_up => Work::Dial,
            _ => Work::Nothing,
        }
    }

    /// Something may be there for one who begins to read, and no poll need tell of it again.
    fn may_read_at_once(&self) -> bool {
        #[cfg(feature = "tls")]
        if self.tls.as_ref().is_some_and(|layer| layer.may_go_on()) {
            return true;
        }
        self.ready.readable || self.conn.has_write_error()
    }

    /// Whether a turn would find bytes to read or room to send. (Under TLS other things count.)
    #[cfg(debug_assertions)]
    pub(super) fn has_work(&self) -> bool {
        #[cfg(feature = "tls")]
        if self.tls.is_some() {
            return false;
        }
        let (ready, conn) = (&self.ready, &self.conn);
        self.stream.is_some()
            && conn.is_open()
            && (conn.wants_read() && ready.readable || conn.wants_flush() && ready.writable)
    }

    fn receive(&mut self, buffer: &mut [u8], now: Nanos) -> Work {
        let Some(stream) = &self.stream else {
            return Work::Nothing;
        };
        let result = if self.ready.hung_up {
            stream.read_on(buffer)
        } else {
            stream.read(buffer)
        };
        self.received(result, buffer.len(), now)
    }

    /// Books what a read with room for `room` bytes has brought.
    fn received(&mut self, result: io::Result<Read>, room: usize, now: Nanos) -> Work {
        let read = match result {
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                self.ready.readable = false;
                self.ready.urgent = false;
                return Work::WouldBlock;
            }
            Err(error) => return Work::ReadFailed(error),
        };
        let touched = self.conn.idle_mut().touch(now);
        if read.len() == 0 {
            self.ready.readable = false;
            self.ready.peek_due = false;
            return Work::Ended { touched };
        }
        self.vain_wakeups = 0;
        // A peek may have seen just these bytes: whoever rests behind them has to look for the FIN again.
        self.ready.peek_due |= self.ready.hung_up;
        self.conn.handle_read(read.len());
        let drained = read.is_all(room) && !self.ready.hung_up && !self.ready.urgent;
        if drained {
            self.ready.readable = false;
        }
        Work::Received {
            len: read.len(),
            drained: drained && !self.conn.wants_flush() && !self.conn.has_write_error(),
            touched,
        }
    }
}

/// What has shown that a socket is not the plain case: a read, which is still to be booked, or what it is.
pub(crate) type Unplain = Option<io::Result<Read>>;

/// What became of the attempt to treat a socket as the plain case.
pub(crate) enum Plain {
    /// That it was: so many bytes were read, which is all there is, and there is nothing else to do.
    Read(usize),
    /// That it was not.
    Else(Unplain),
}

impl Reactor {
    /// The plain case of one that was woken to read, which is nearly every case: nothing else to do, and less there than there is room.
    /// It does what [`step`](Reactor::step) would, in a fraction of the instructions.
    #[inline(always)]
    pub(crate) fn read_plain(&mut self, key: Key, buffer: &mut [u8]) -> Plain {
        let Some(socket) = socket_of(&mut self.sources, key) else {
            return Plain::Else(None);
        };
        let Some(stream) = &socket.stream else {
            return Plain::Else(None);
        };
        let plain = socket.conn.is_plain() && !socket.ready.may_be_ending();
        #[cfg(feature = "tls")]
        let plain = plain && socket.tls.is_none();
        if !plain {
            return Plain::Else(None);
        }
        let read = match stream.read(buffer) {
            Ok(read) => read,
            Err(error) => return Plain::Else(Some(Err(error))),
        };
        let Some(len) = read.some_and_all(buffer.len()) else {
            return Plain::Else(Some(Ok(read)));
        };
        socket.ready.readable = false;
        socket.conn.handle_read(len);
        self.counters.events += 1;
        self.counters.bytes_in += len as u64;
        if socket.conn.idle_mut().touch(self.now) {
            self.start_idle_timer(key);
        }
        Plain::Read(len)
    }

    /// The read of what looked like the plain case has brought something else.
    pub(super) fn step_received(
        &mut self,
        key: Key,
        result: io::Result<Read>,
        room: usize,
    ) -> Step {
        let now = self.now;
        let Some(socket) = self.socket_mut(key) else {
            return Step::Done;
        };
        socket.ready.readable = true;
        let work = socket.received(result, room, now);
        self.step_socket(key, work)
    }

    pub(super) fn step_socket(&mut self, key: Key, work: Work) -> Step {
        match work {
            Work::Received {
                len,
                drained,
                touched,
            } => {
                if touched {
                    self.start_idle_timer(key);
                }
                self.counters.bytes_in += len as u64;
                Step::Data { len, drained }
            }
            Work::WouldBlock => Step::Again,
            Work::Ended { touched } => self.eof(key, touched),
            Work::ReadFailed(error) => self.read_failed(key, &error),
            Work::Flush => {
                self.flush(key);
                Step::Again
            }
            Work::Dial => self.finish_dial(key),
            Work::WriteError => self.settle_write_error(key),
            Work::Peek => self.peek(key),
            Work::Nothing => Step::Done,
        }
    }

    pub(super) fn eof(&mut self, key: Key, touched: bool) -> Step {
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

    pub(super) fn read_failed(&mut self, key: Key, error: &io::Error) -> Step {
        let error = Error::system("read", error);
        self.with_conn(key, |conn, released| {
            conn.handle_read_error(error, released)
        });
        Step::Done
    }

    pub(super) fn settle_write_error(&mut self, key: Key) -> Step {
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
        #[cfg(feature = "tls")]
        if socket.tls.is_some() {
            return self.tls_flush(key);
        }
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
    pub(super) fn give_up_read_interest(&mut self, key: Key) {
        if self
            .socket(key)
            .is_some_and(|socket| socket.registered.reads())
        {
            self.register(key, Registered::Write);
        }
    }

    /// Reading begins (again). What the poll has not told of yet, it will.
    pub(super) fn restore_read_interest(&mut self, key: Key) {
        let Some(socket) = self.socket_mut(key) else {
            return;
        };
        socket.vain_wakeups = 0;
        if socket.registered == Registered::Write {
            socket.ready.readable = true;
            self.register(key, Registered::ReadWrite);
        } else if !socket.may_read_at_once() {
            return;
        }
        // What is at work goes on without being on the list.
        if self.current.as_ref().is_none_or(|at| at.key != key) {
            self.schedule(key);
        }
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
