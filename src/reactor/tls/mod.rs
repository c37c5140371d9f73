//! Sockets under TLS: what the rest of the reactor does between stream and connection goes through a session here.
//!
//! The connection counts cleartext. What waits in its queue is not encrypted yet; a bounded part of it is in records,
//! and counts as waiting until the stream has the whole record. While nobody reads, one read of ciphertext at most is
//! taken in, so that the end of the peer, and its complaints, are noticed.

mod answers;
mod ending;
mod layer;

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::rc::Rc;
use std::time::Duration;

use super::clock::deadline_tick;
use super::drive::MAX_SLICES;
use super::drive::VAIN_WAKEUPS;
use super::ready::Step;
use super::source::Source;
use super::{nanos, Event, Reactor};
use crate::arena::Key;
use crate::conn::{Conn, Payload, Phase, WriteStatus};
use crate::error::{Code, Error, Result};
use crate::tls::context::ServerWishes;
use crate::tls::names::Contexts;
use crate::tls::session::{ClientPlan, Made, ServerPlan, Session, Wants};
pub(crate) use layer::Layer;
use layer::Pulled;

/// What a session has to tell the program.
#[derive(Debug)]
pub(crate) enum TlsNews {
    /// Lines of secrets.
    KeyLog(String),
    /// Which context is for the name that the client asks for?
    Context,
    /// Is it the right server?
    Identity,
    /// The handshake is done.
    Secure,
    /// Has the program kept the session that the client would take up?
    Session,
    /// Is there an OCSP response for the server's certificate?
    Staple,
    /// The server has sent an OCSP response, or none.
    Stapled(Option<Vec<u8>>),
    /// Sessions for the program to keep.
    NewSessions(Vec<Made>),
    /// Sessions that the server has sent.
    Sessions(VecDeque<crate::tls::Session>),
}

/// What the sessions of a server have in common.
pub(crate) struct TlsServer {
    pub(crate) plan: Rc<ServerPlan>,
    pub(crate) wishes: ServerWishes,
    pub(crate) timeout: Duration,
    /// Handshakes under way, and how many there may be.
    pub(crate) handshakes: usize,
    pub(crate) max_handshakes: usize,
}

impl TlsServer {
    /// No further handshake may begin.
    pub(super) fn is_full(&self) -> bool {
        self.handshakes >= self.max_handshakes
    }

    pub(crate) fn contexts_mut(&mut self) -> &mut Contexts {
        &mut Rc::make_mut(&mut self.plan).contexts
    }
}

/// Setting up.
impl Reactor {
    /// A socket that connects, or is connected, speaks TLS from now on, as a client.
    pub(crate) fn tls_client(&mut self, key: Key, plan: ClientPlan, leftover: &[u8]) {
        self.tls_begin(key, Session::client(plan), leftover);
    }

    /// The same as a server.
    pub(crate) fn tls_server_side(
        &mut self,
        key: Key,
        plan: &Rc<ServerPlan>,
        timeout: Duration,
        leftover: &[u8],
    ) {
        self.tls_begin(key, Session::server(plan), leftover);
        self.tls_set_timer(key, timeout);
    }

    fn tls_begin(&mut self, key: Key, mut session: Session, leftover: &[u8]) {
        let Some(socket) = self.socket_mut(key) else {
            return;
        };
        let open = socket.conn.is_open();
        if open {
            session.start();
        }
        session.feed(leftover, &mut []);
        let lower = socket.tls.take();
        socket.tls = Some(Box::new(Layer::new(session, lower)));
        if open {
            self.restore_read_interest(key);
        }
    }

    /// Whether a socket may go over to TLS now.
    pub(crate) fn tls_may_begin(&self, key: Key) -> Result<()> {
        let socket = self.socket(key).ok_or_else(Error::socket_closed)?;
        let waiting = socket.conn.buffer_size();
        match socket.conn.phase() {
            Phase::Connecting | Phase::Open if waiting > 0 => {
                let message = format!("start_tls EAGAIN: {waiting} bytes wait to be sent in clear");
                Err(Error::new(Code::WouldBlock, message))
            }
            Phase::Connecting | Phase::Open
                if !socket.conn.writable() || !socket.conn.readable() =>
            {
                Err(Error::new(
                    Code::TlsInvalidState,
                    "a side of the socket has ended",
                ))
            }
            Phase::Connecting if socket.tls.is_some() => Err(Error::new(
                Code::TlsInvalidState,
                "TLS is not established yet",
            )),
            Phase::Connecting => Ok(()),
            Phase::Open
                if socket
                    .tls
                    .as_ref()
                    .is_some_and(|layer| !layer.session.is_secure()) =>
            {
                Err(Error::new(
                    Code::TlsInvalidState,
                    "TLS is not established yet",
                ))
            }
            Phase::Open => Ok(()),
            _ => Err(Error::socket_closed()),
        }
    }

    /// The server accepted a socket.
    pub(super) fn tls_accepted(&mut self, server: Key, key: Key) {
        let Some(tls) = self
            .server_mut(server)
            .and_then(|server| server.tls.as_mut())
        else {
            return;
        };
        tls.handshakes += 1;
        let session = Session::server(&tls.plan);
        let timeout = tls.timeout;
        let mut layer = Layer::new(session, None);
        layer.server = Some(server);
        if let Some(socket) = self.socket_mut(key) {
            socket.tls = Some(Box::new(layer));
        }
        self.tls_set_timer(key, timeout);
    }

    /// The transport of a socket is connected.
    pub(super) fn tls_connected(&mut self, key: Key) {
        if let Some(layer) = self.socket_mut(key).and_then(|socket| socket.tls.as_mut()) {
            layer.session.start();
        }
    }

    fn tls_set_timer(&mut self, key: Key, timeout: Duration) {
        if timeout.is_zero() {
            return;
        }
        let deadline = self.clock.read().saturating_add(nanos(timeout));
        let timer = self.wheel.insert(deadline_tick(deadline), key);
        if let Some(layer) = self.socket_mut(key).and_then(|socket| socket.tls.as_mut()) {
            layer.timer = Some(timer);
        }
    }
}

/// Driving.
impl Reactor {
    /// One step on an open socket.
    pub(super) fn tls_step(&mut self, key: Key, buffer: &mut [u8]) -> Step {
        if let Some(step) = self.tls_news(key) {
            return step;
        }
        let Some(socket) = self.socket_mut(key) else {
            return Step::Done;
        };
        let Some(layer) = &mut socket.tls else {
            return Step::Done;
        };
        let ready = socket.ready;
        let conn = &socket.conn;
        let reads = conn.wants_read();
        let fetches = layer.session.has_more() || layer.lower_has_more();
        let at_end = conn.readable() && layer.session.is_at_end();
        if layer.session.wants() == Some(Wants::Failed) {
            // By an end that may not be.
            return Step::Again;
        }
        let writes = ready.writable && !conn.has_write_error();
        let may_read = conn.readable()
            && layer.session.may_read()
            && (reads || !layer.session.has_plain())
            && (ready.readable || fetches);
        let waits = has_to_seal(conn, layer)
            || layer.wants_write()
                && !(may_wait(conn, layer) && (may_read || at_end || layer.session.has_heard()));
        if writes && waits {
            self.flush(key);
            Step::Again
        } else if at_end {
            self.tls_at_end(key)
        } else if may_read {
            self.tls_read(key, reads, buffer)
        } else if conn.has_write_error() && (reads || !conn.will_read()) {
            self.settle_write_error(key)
        } else if ready.peek_due {
            // Only over unread bytes, which are held here already.
            let vain = socket.vain_wakeups >= VAIN_WAKEUPS;
            socket.ready.peek_due = false;
            if vain && !reads && conn_is_open_for_reading(&socket.conn) {
                self.give_up_read_interest(key);
            }
            Step::Again
        } else {
            Step::Done
        }
    }

    fn tls_read(&mut self, key: Key, reads: bool, buffer: &mut [u8]) -> Step {
        let now = self.now;
        let Some(Source::Socket(socket)) = self.sources.get_mut(key) else {
            return Step::Done;
        };
        let (Some(stream), Some(layer)) = (&socket.stream, &mut socket.tls) else {
            return Step::Done;
        };
        if self.wire.is_empty() {
            self.wire = vec![0; buffer.len()];
        }
        let plain = if reads { buffer } else { &mut [] };
        let result = layer.pull(stream, &mut self.wire, plain);
        let pulled = match result {
            Ok(pulled) => pulled,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                socket.ready.readable = false;
                socket.ready.urgent = false;
                return Step::Again;
            }
            Err(error) => return self.read_failed(key, &error),
        };
        self.tls_pulled(key, now, pulled);
        if pulled.plain == 0 {
            return Step::Again;
        }
        if let Some(socket) = self.socket_mut(key) {
            socket.conn.handle_read(pulled.plain);
        }
        Step::Data {
            len: pulled.plain,
            drained: false,
        }
    }

    /// Books what a reading has brought.
    fn tls_pulled(&mut self, key: Key, now: u64, pulled: Pulled) {
        self.counters.bytes_in += pulled.wire as u64;
        let Some(socket) = self.socket_mut(key) else {
            return;
        };
        if pulled.end {
            socket.ready.readable = false;
            socket.ready.peek_due = false;
        }
        if pulled.wire > 0 {
            socket.vain_wakeups = 0;
            if !pulled.more && !socket.ready.hung_up && !socket.ready.urgent {
                socket.ready.readable = false;
            }
        }
        let moved = pulled.end || pulled.wire > 0;
        if moved && socket.conn.idle_mut().touch(now) {
            self.start_idle_timer(key);
        }
    }

    /// Sends records, encrypts what waits, and sends that, once.
    pub(super) fn tls_flush(&mut self, key: Key) {
        let now = self.now();
        let Some(Source::Socket(socket)) = self.sources.get_mut(key) else {
            return;
        };
        let (Some(stream), Some(layer)) = (&socket.stream, &mut socket.tls) else {
            return;
        };
        let mut result = match layer.broken.take() {
            Some(error) => Err(error),
            None => layer.push(stream),
        };
        if let Ok(first) = &result {
            socket.conn.handle_sealed_sent(first.plain);
            if !first.blocked && has_to_seal(&socket.conn, layer) {
                let bytes = first.bytes;
                seal(&mut socket.conn, layer, &mut self.released);
                result = layer.push(stream).map(|mut second| {
                    socket.conn.handle_sealed_sent(second.plain);
                    second.bytes += bytes;
                    second
                });
            }
        }
        let written = match result {
            Ok(written) => written,
            // A peer that is gone needs no goodbye and no ticket; what it had to say is for the read to tell.
            Err(error) if socket.conn.buffer_size() == 0 => {
                layer.give_up_sending();
                layer.broken = Some(error);
                return self.settle(key);
            }
            Err(error) => return self.write_failed(key, &error),
        };
        let touched = written.bytes > 0 && socket.conn.idle_mut().touch(now);
        self.counters.bytes_out += written.bytes as u64;
        if touched {
            self.start_idle_timer(key);
        }
        if written.blocked {
            self.wait_writable(key);
        }
        self.settle(key);
    }

    /// A write that nothing is in front of.
    pub(super) fn tls_write(
        &mut self,
        key: Key,
        payload: Payload<'_>,
        callback: bool,
    ) -> WriteStatus {
        let now = self.now();
        let Some(Source::Socket(socket)) = self.sources.get_mut(key) else {
            return WriteStatus::Refused;
        };
        let (Some(stream), Some(layer)) = (&socket.stream, &mut socket.tls) else {
            return WriteStatus::Refused;
        };
        let sealed = if socket.ready.writable {
            layer.session.seal(payload.as_slice())
        } else {
            0
        };
        let mut written = Default::default();
        if sealed > 0 {
            let pushed = match layer.broken.take() {
                Some(error) => Err(error),
                None => layer.push(stream),
            };
            written = match pushed {
                Ok(written) => written,
                Err(error) => {
                    if let Payload::Owned(bytes) = payload {
                        self.released.push(bytes);
                    }
                    self.write_failed(key, &error);
                    return WriteStatus::Refused;
                }
            };
        }
        let waiting = layer.session.in_flight();
        let status = socket.conn.accept_sealed(
            payload,
            sealed - waiting.min(sealed),
            waiting,
            callback,
            &mut self.released,
        );
        self.counters.bytes_out += written.bytes as u64;
        let idle = socket.conn.idle_mut();
        let started = if written.bytes > 0 {
            idle.touch(now)
        } else {
            idle.wake(now)
        };
        if started {
            self.start_idle_timer(key);
        }
        if written.blocked {
            self.wait_writable(key);
        }
        if status != WriteStatus::Flushed {
            self.schedule(key);
        }
        if callback || status == WriteStatus::Refused {
            self.settle(key);
        }
        status
    }
}

/// What a server has to send is of TLS alone, tickets mostly. A client that has said something already may have said all
/// it had to say, and be gone: the answer of its kernel would be a reset, and what it said and is still on its way
/// lost. So it goes with the first answer, or our end; and to one that is silent at once. The end of a handshake of
/// TLS 1.2 does not wait: its client may speak before it hears it, but need not go on.
fn may_wait(conn: &Conn, layer: &Layer) -> bool {
    let is_server = !layer.session.is_client();
    let may = is_server && layer.session.is_secure() && layer.session.speaks_13();
    may && conn.writable() && conn.buffer_size() == 0
}

/// Cleartext waits that may be encrypted now.
fn has_to_seal(conn: &Conn, layer: &Layer) -> bool {
    conn.wants_flush() && conn.unsealed() > 0 && layer.session.may_write()
}

/// Encrypts what waits, as much as may be in records.
fn seal(conn: &mut Conn, layer: &mut Layer, released: &mut Vec<bytes::Bytes>) {
    let mut slices = [IoSlice::new(&[]); MAX_SLICES];
    let used = conn.transmit(&mut slices);
    let mut total = 0;
    for slice in &slices[..used] {
        let sealed = layer.session.seal(slice);
        total += sealed;
        if sealed < slice.len() {
            break;
        }
    }
    conn.handle_sealed(total, released);
}

fn conn_is_open_for_reading(conn: &Conn) -> bool {
    conn.is_open() && conn.readable()
}
