//! What a socket is told once and remembers.

use std::any::Any;
use std::rc::Rc;
use std::time::Duration;

use super::Socket;
use crate::reactor::Tuning;

/// Settings. Each is remembered when it comes before the connection.
impl Socket {
    /// Emits `timeout` when no byte moved for `period` (zero: never; the default). The connection is not touched.
    /// Node's `socket.setTimeout`, with [`once_timeout`](Socket::once_timeout) for its callback.
    ///
    /// Activity is this call; connect started and done; a read that returned bytes or FIN; a send that moved a byte.
    /// A write that was only queued is not, except that it starts a timer anew that has fired. It fires once per
    /// idle period, never early, and keeps no loop alive.
    pub fn set_timeout(&self, period: Duration) -> &Self {
        self.inner()
            .reactor
            .borrow_mut()
            .set_timeout(self.key, period);
        self
    }

    /// The idle timeout; `None` when there is none.
    pub fn timeout(&self) -> Option<Duration> {
        let period = self.with(|socket| socket.conn.idle().period())?;
        (period > 0).then(|| Duration::from_nanos(period))
    }

    /// Sends small writes at once instead of gathering them (TCP_NODELAY). Node's `socket.setNoDelay`; off unless
    /// set. Nothing on UNIX sockets.
    pub fn set_no_delay(&self, on: bool) -> &Self {
        self.tune(|tuning| tuning.no_delay = on)
    }

    /// Lets the system probe an idle connection, after `delay` (whole seconds; `None` or less than one: the
    /// system's). Node's `socket.setKeepAlive`; off unless set. Nothing on UNIX sockets. Probes are no activity.
    pub fn set_keep_alive(&self, on: bool, delay: Option<Duration>) -> &Self {
        self.tune(|tuning| tuning.set_keep_alive(on, delay))
    }

    fn tune(&self, change: impl FnOnce(&mut Tuning)) -> &Self {
        self.inner().reactor.borrow_mut().tune(self.key, change);
        self
    }

    /// Keeps our side open when the peer has ended, until `end()` is called. Node's `socket.allowHalfOpen`.
    pub fn set_allow_half_open(&self, allow: bool) -> &Self {
        self.inner()
            .reactor
            .borrow_mut()
            .change_limits(self.key, |limits| limits.allow_half_open = allow);
        self
    }

    /// From how many waiting bytes on `write` answers `Queued` (0 unless set: from the first).
    pub fn set_high_water_mark(&self, bytes: usize) -> &Self {
        self.inner()
            .reactor
            .borrow_mut()
            .change_limits(self.key, |limits| limits.set_high_water_mark(bytes));
        self
    }

    /// How many bytes may wait at most; a write beyond is refused and ends the socket. `None`, and 4 GiB or more: no limit.
    pub fn set_max_queued(&self, bytes: Option<usize>) -> &Self {
        self.inner()
            .reactor
            .borrow_mut()
            .change_limits(self.key, |limits| limits.set_max_queued(bytes));
        self
    }

    /// Lets the socket keep the loop alive; the default.
    pub fn ref_(&self) -> &Self {
        self.inner()
            .reactor
            .borrow_mut()
            .set_referenced(self.key, true);
        self
    }

    /// Lets the loop end although the socket is open.
    pub fn unref(&self) -> &Self {
        self.inner()
            .reactor
            .borrow_mut()
            .set_referenced(self.key, false);
        self
    }

    /// Whether the socket keeps the loop alive while it is open.
    pub fn has_ref(&self) -> bool {
        self.inner().reactor.borrow().is_referenced(self.key)
    }

    /// Attaches a value of the user's, in place of the one before. It is dropped after `close`.
    pub fn set_data<T: 'static>(&self, data: T) -> &Self {
        if !self.exists() {
            self.discard(data);
            return self;
        }
        let data: Rc<dyn Any> = Rc::new(data);
        let face = &mut *self.inner().face.borrow_mut();
        if let Some(old) = face.socket_mut(self.key).rare_mut().data.replace(data) {
            face.discard(old);
        }
        self
    }

    /// The value attached, if it is a `T`.
    pub fn data<T: 'static>(&self) -> Option<Rc<T>> {
        let mut face = self.inner().face.borrow_mut();
        face.socket(self.key)?
            .rare
            .as_ref()?
            .data
            .clone()?
            .downcast()
            .ok()
    }
}
