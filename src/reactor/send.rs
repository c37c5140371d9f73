//! Sending what the user writes: at once as far as the kernel takes it, and the rest waits in the connection.

use std::io;

use super::source::{SocketSource, Source};
use super::{socket_of, time, Reactor};
use crate::arena::Key;
use crate::conn::{Admission, Payload, WriteStatus};

/// What became of an attempt to send at once.
enum AtOnce {
    Sent,
    Tried(io::Result<usize>),
    NotTried,
}

impl Reactor {
    /// Writes. `None`: there is no such socket any more.
    pub(crate) fn write(
        &mut self,
        key: Key,
        payload: Payload<'_>,
        callback: bool,
    ) -> Option<WriteStatus> {
        match self.send_at_once(key, payload.as_slice(), callback) {
            AtOnce::Sent => {
                self.release_payload(payload);
                Some(WriteStatus::Flushed)
            }
            rest => self.write_rest(key, payload, callback, rest),
        }
    }

    /// The same for bytes that are lent and have no callback.
    #[inline(always)]
    pub(crate) fn write_lent(&mut self, key: Key, bytes: &[u8]) -> Option<WriteStatus> {
        match self.send_at_once(key, bytes, false) {
            AtOnce::Sent => Some(WriteStatus::Flushed),
            rest => self.write_rest(key, Payload::Borrowed(bytes), false, rest),
        }
    }

    #[inline(never)]
    fn write_rest(
        &mut self,
        key: Key,
        payload: Payload<'_>,
        callback: bool,
        at_once: AtOnce,
    ) -> Option<WriteStatus> {
        match at_once {
            AtOnce::Tried(result) => Some(self.keep_rest(key, payload, callback, result)),
            AtOnce::Sent | AtOnce::NotTried => self.queue(key, payload, callback),
        }
    }

    /// What came from `source` is written to where it is piped. `None`: nobody is there to write it, for the socket is
    /// gone, or is an echo that has ended by itself.
    #[inline(always)]
    pub(crate) fn write_piped(&mut self, source: Key, to: Key, data: &[u8]) -> Option<WriteStatus> {
        match self.send_at_once(to, data, false) {
            AtOnce::Sent => Some(WriteStatus::Flushed),
            rest => self.write_piped_rest(source, to, data, rest),
        }
    }

    #[inline(never)]
    fn write_piped_rest(
        &mut self,
        source: Key,
        to: Key,
        data: &[u8],
        at_once: AtOnce,
    ) -> Option<WriteStatus> {
        let echo = source == to && matches!(at_once, AtOnce::NotTried);
        let ended = |socket: &SocketSource| socket.conn.ended_by_us();
        if echo && self.socket(to).is_some_and(ended) {
            return None;
        }
        self.write_rest(to, Payload::Borrowed(data), false, at_once)
    }

    /// Sends if nothing is in the way. The plain case, where the kernel takes all of it and nobody waits to hear so, is
    /// booked here.
    #[inline(always)]
    fn send_at_once(&mut self, key: Key, bytes: &[u8], callback: bool) -> AtOnce {
        let Some(socket) = socket_of(&mut self.sources, key) else {
            return AtOnce::NotTried;
        };
        let Some(stream) = &socket.stream else {
            return AtOnce::NotTried;
        };
        if bytes.is_empty() || !socket.ready.writable || !socket.conn.is_clear() {
            return AtOnce::NotTried;
        }
        #[cfg(feature = "tls")]
        if socket.tls.is_some() {
            return AtOnce::NotTried;
        }
        match stream.write(bytes) {
            Ok(sent) if sent == bytes.len() && !callback => {
                socket.conn.wrote(sent as u64);
                self.counters.bytes_out += sent as u64;
                let now = time(self.in_turn, self.now, &self.clock);
                if socket.conn.idle_mut().touch(now) {
                    self.start_idle_timer(key);
                }
                AtOnce::Sent
            }
            result => AtOnce::Tried(result),
        }
    }

    /// Something is in the way: what is admitted waits.
    fn queue(&mut self, key: Key, payload: Payload<'_>, callback: bool) -> Option<WriteStatus> {
        let Some(Source::Socket(socket)) = self.sources.get_mut(key) else {
            self.release_payload(payload);
            return None;
        };
        let len = payload.as_slice().len();
        match socket.conn.admit(len, &mut self.released) {
            Admission::Refused => {
                self.release_payload(payload);
                self.settle(key);
                Some(WriteStatus::Refused)
            }
            #[cfg(feature = "tls")]
            Admission::Try if len > 0 && socket.tls.is_some() => {
                Some(self.tls_write(key, payload, callback))
            }
            Admission::Try | Admission::Queue => Some(self.keep(key, payload, 0, callback)),
        }
    }

    /// The kernel was offered a payload, and has taken `sent` of it.
    fn keep_rest(
        &mut self,
        key: Key,
        payload: Payload<'_>,
        callback: bool,
        sent: io::Result<usize>,
    ) -> WriteStatus {
        match sent {
            Ok(sent) => self.keep(key, payload, sent, callback),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                self.wait_writable(key);
                self.keep(key, payload, 0, callback)
            }
            Err(error) => {
                self.release_payload(payload);
                self.write_failed(key, &error);
                WriteStatus::Refused
            }
        }
    }

    /// Owned bytes may be the user's to drop, and not inside a call.
    #[inline]
    fn release_payload(&mut self, payload: Payload<'_>) {
        if let Payload::Owned(bytes) = payload {
            self.released.push(bytes);
        }
    }

    /// Books an admitted payload of which `sent` bytes are with the kernel.
    fn keep(&mut self, key: Key, payload: Payload<'_>, sent: usize, callback: bool) -> WriteStatus {
        let now = self.now();
        let len = payload.as_slice().len();
        let Some(Source::Socket(socket)) = self.sources.get_mut(key) else {
            return WriteStatus::Refused;
        };
        let status = socket
            .conn
            .accept(payload, sent, callback, &mut self.released);
        let idle = socket.conn.idle_mut();
        let started = if sent > 0 {
            idle.touch(now)
        } else {
            idle.wake(now)
        };
        // A short send may have hit the end of the kernel's room: only `WouldBlock` tells, so the loop tries on.
        // A cork that has grown too large is sent, too.
        if socket.conn.wants_flush() && socket.ready.writable && (sent > 0 || len > 0) {
            self.schedule(key);
        }
        self.counters.bytes_out += sent as u64;
        if started {
            self.start_idle_timer(key);
        }
        if callback || status == WriteStatus::Refused {
            self.settle(key);
        }
        status
    }
}
