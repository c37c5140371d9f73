//! Watching descriptors that are not sockets of this loop.

use std::fmt;
use std::ops::BitOr;
use std::os::fd::{AsFd, AsRawFd};
use std::rc::Rc;

use super::event_loop::Inner;
use super::face::{Slot, WatchFace};
use super::LoopHandle;
use crate::arena::Key;
use crate::error::{Error, Result};

/// What a [`Watch`] waits for.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Interest {
    read: bool,
    write: bool,
}

impl Interest {
    /// There is something to read, or the other side has ended.
    pub const READABLE: Interest = Interest {
        read: true,
        write: false,
    };
    /// There is room to write.
    pub const WRITABLE: Interest = Interest {
        read: false,
        write: true,
    };
}

impl BitOr for Interest {
    type Output = Interest;

    fn bitor(self, other: Interest) -> Interest {
        Interest {
            read: self.read || other.read,
            write: self.write || other.write,
        }
    }
}

/// What a watched descriptor is ready for. A hint: only a read or a write tells.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Readiness {
    readable: bool,
    writable: bool,
    hung_up: bool,
}

impl Readiness {
    /// A read will not block.
    pub fn readable(self) -> bool {
        self.readable
    }

    /// A write will not block.
    pub fn writable(self) -> bool {
        self.writable
    }

    /// The other side has hung up, or the descriptor failed.
    pub fn hung_up(self) -> bool {
        self.hung_up
    }
}

/// A descriptor that the loop watches for another: from [`LoopHandle::watch`]. What libuv calls `uv_poll_t`.
///
/// It owns what it was given and keeps the loop alive until [`close`](Watch::close); dropping the handle closes
/// nothing. It is *edge-triggered*: read (or write) until `WouldBlock`, or you are not called again.
#[derive(Clone)]
pub struct Watch {
    handle: LoopHandle,
    key: Key,
}

impl Watch {
    pub(super) fn at(inner: &Rc<Inner>, key: Key) -> Watch {
        Watch {
            handle: LoopHandle::new(Rc::clone(inner)),
            key,
        }
    }

    fn inner(&self) -> &Rc<Inner> {
        self.handle.inner()
    }

    /// Stops watching. The descriptor, if this watch was its only owner, is closed in the next turn.
    pub fn close(&self) {
        if self.inner().reactor.borrow_mut().unwatch(self.key) {
            let face = &mut *self.inner().face.borrow_mut();
            let slot = face.free(self.key);
            face.discard(slot);
        }
    }

    /// Waits for something else from now on.
    ///
    /// # Errors
    ///
    /// What the system says. On a closed watch it does nothing.
    pub fn set_interest(&self, interest: Interest) -> Result<()> {
        let mut reactor = self.inner().reactor.borrow_mut();
        let changed = reactor.set_watch_interest(self.key, interest.read, interest.write);
        changed.map_err(|error| Error::system("epoll_ctl", &error))
    }

    /// Lets the watch keep the loop alive; the default.
    pub fn ref_(&self) -> &Self {
        self.inner()
            .reactor
            .borrow_mut()
            .set_referenced(self.key, true);
        self
    }

    /// Lets the loop end although the watch is open.
    pub fn unref(&self) -> &Self {
        self.inner()
            .reactor
            .borrow_mut()
            .set_referenced(self.key, false);
        self
    }

    /// Whether it keeps the loop alive.
    pub fn has_ref(&self) -> bool {
        self.inner().reactor.borrow().is_referenced(self.key)
    }

    /// The loop it belongs to.
    pub fn event_loop(&self) -> &LoopHandle {
        &self.handle
    }
}

impl fmt::Debug for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watch")
            .field("key", &self.key)
            .finish_non_exhaustive()
    }
}

impl LoopHandle {
    /// Calls `call` whenever `source` becomes ready. The watch owns `source`: pass an `Rc` of it to share it. It should
    /// be non-blocking.
    ///
    /// ```
    /// use std::io::Read;
    /// use std::os::unix::net::UnixStream;
    /// use std::rc::Rc;
    /// use tidewheel::{EventLoop, Interest};
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let event_loop = EventLoop::new()?;
    /// let (a, b) = UnixStream::pair()?;
    /// a.set_nonblocking(true)?;
    /// let a = Rc::new(a);
    /// let reader = Rc::clone(&a);
    /// event_loop.watch(a, Interest::READABLE, move |watch, _| {
    ///     let mut buffer = [0; 16];
    ///     // Until `WouldBlock`: the watch is edge-triggered.
    ///     while let Ok(n) = (&*reader).read(&mut buffer) {
    ///         if n == 0 {
    ///             return watch.close();
    ///         }
    ///     }
    /// })?;
    /// drop(b);
    /// event_loop.run()?;
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    ///
    /// `EPERM` for what cannot be watched, a regular file say; `ERR_LOOP_CLOSED`.
    pub fn watch(
        &self,
        source: impl AsFd + 'static,
        interest: Interest,
        call: impl FnMut(&Watch, Readiness) + 'static,
    ) -> Result<Watch> {
        let inner = self.inner();
        if inner.is_dead() {
            return Err(Error::loop_closed());
        }
        let fd = source.as_fd().as_raw_fd();
        let watched = inner
            .reactor
            .borrow_mut()
            .watch(fd, interest.read, interest.write);
        match watched {
            Ok(key) => {
                let face = WatchFace {
                    call: Some(Box::new(call)),
                    _owner: Box::new(source),
                };
                inner
                    .face
                    .borrow_mut()
                    .insert(key, Slot::Watch(Box::new(face)));
                Ok(Watch::at(inner, key))
            }
            Err(error) => {
                inner.face.borrow_mut().discard((source, call));
                Err(Error::system("epoll_ctl", &error))
            }
        }
    }

    pub(super) fn dispatch_watch(&self, key: Key) {
        let readiness = self.inner().reactor.borrow_mut().take_watch_readiness(key);
        let call = match self.inner().face.borrow_mut().watch(key) {
            Some(watch) => watch.call.take(),
            None => None,
        };
        let mut lease = WatchLease {
            handle: self,
            key,
            call,
        };
        let watch = Watch::at(self.inner(), key);
        if let Some(call) = &mut lease.call {
            let readiness = Readiness {
                readable: readiness.readable,
                writable: readiness.writable,
                hung_up: readiness.hung_up,
            };
            call(&watch, readiness);
        }
    }
}

/// The closure while it runs; put back unless the watch was closed.
struct WatchLease<'a> {
    handle: &'a LoopHandle,
    key: Key,
    call: Option<Box<dyn FnMut(&Watch, Readiness)>>,
}

impl Drop for WatchLease<'_> {
    fn drop(&mut self) {
        if let Some(watch) = self.handle.inner().face.borrow_mut().watch(self.key) {
            watch.call = self.call.take();
        }
    }
}
