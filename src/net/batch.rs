//! A batch of ready sources: each has its turn, and what it brings is delivered.

use super::event_loop::Inner;
use super::{LoopHandle, Socket};
use crate::arena::Key;
use crate::reactor::{Found, Next, Plain, Unplain, Wake, Wakeup};

impl LoopHandle {
    /// Works through the sources that are ready.
    pub(super) fn run_ready(&self) {
        let loan = FoundLoan::of(self.inner());
        Batch::of(self, &loan.found).run();
    }
}

/// What the poll has found, for as long as it is worked through.
struct FoundLoan<'a> {
    inner: &'a Inner,
    found: Found,
}

impl<'a> FoundLoan<'a> {
    fn of(inner: &'a Inner) -> FoundLoan<'a> {
        let found = inner.reactor.borrow_mut().begin_batch();
        FoundLoan { inner, found }
    }
}

impl Drop for FoundLoan<'_> {
    fn drop(&mut self) {
        let found = std::mem::replace(&mut self.found, Found::nothing());
        self.inner.reactor.borrow_mut().end_batch(found);
    }
}

struct Batch<'a> {
    handle: &'a LoopHandle,
    /// They come after what stands on the ready list.
    found: &'a Found,
    /// The one of them that has had its turn last.
    at: Option<Key>,
    finished: bool,
    /// The loop's read buffer, at which the users look while the loop itself is free.
    buffer: Box<[u8]>,
    /// The handle that listeners get: one for all sockets, each in its turn.
    socket: Socket,
    /// An event was the last that was delivered. After each comes one batch of what is deferred, and what that defers
    /// comes after the next.
    delivered: bool,
}

impl<'a> Batch<'a> {
    fn of(handle: &'a LoopHandle, found: &'a Found) -> Batch<'a> {
        Batch {
            handle,
            found,
            at: None,
            finished: false,
            buffer: handle.inner().buffer.take(),
            socket: handle.socket_handle(Key::DEAD),
            delivered: false,
        }
    }

    // Apart, so that the one loop that counts has the registers to itself.
    #[inline(never)]
    fn run(mut self) {
        let inner = self.handle.inner();
        let next = inner.reactor.borrow_mut().next(&mut self.buffer, false);
        self.deliver(next);
        for woken in self.found.wakeups() {
            if woken.wake != Wake::READABLE {
                self.run_other(woken, None);
                continue;
            }
            let mut reactor = inner.reactor.borrow_mut();
            if self.delivered && reactor.has_deferred() {
                drop(reactor);
                self.handle.run_deferred();
                reactor = inner.reactor.borrow_mut();
            }
            self.at = Some(woken.key);
            match reactor.read_plain(woken.key, &mut self.buffer) {
                Plain::Read(len) => {
                    drop(reactor);
                    self.socket.set_key(woken.key);
                    self.handle.dispatch_data(&self.socket, &self.buffer[..len]);
                    self.delivered = true;
                }
                Plain::Else(result) => {
                    drop(reactor);
                    self.delivered = false;
                    self.run_other(woken, result);
                }
            }
        }
        self.finished = true;
        // After the last one, too, so that what this defers comes before an immediate, as it does by the other way.
        if self.delivered && inner.reactor.borrow().has_deferred() {
            self.handle.run_deferred();
        }
    }

    /// The turn of one that is not the plain case. `result`: what has shown that.
    #[inline(never)]
    fn run_other(&mut self, woken: Wakeup, result: Unplain) {
        let inner = self.handle.inner();
        if self.delivered && inner.reactor.borrow().has_deferred() {
            self.handle.run_deferred();
        }
        self.at = Some(woken.key);
        let mut reactor = inner.reactor.borrow_mut();
        let next = reactor.next_after(woken, result, &mut self.buffer);
        drop(reactor);
        self.delivered = false;
        self.deliver(next);
    }

    /// Delivers `next` and what follows until nothing does.
    #[inline(never)]
    fn deliver(&mut self, mut next: Next) {
        loop {
            match next {
                Next::Data { key, len } => {
                    self.socket.set_key(key);
                    self.handle.dispatch_data(&self.socket, &self.buffer[..len]);
                    self.delivered = true;
                }
                Next::Event(event) => {
                    self.handle.dispatch(event);
                    self.delivered = true;
                }
                Next::Deferred => {
                    self.handle.run_deferred();
                    self.delivered = false;
                }
                Next::Done => return,
            }
            let mut reactor = self.handle.inner().reactor.borrow_mut();
            next = reactor.next(&mut self.buffer, self.delivered);
        }
    }
}

impl Drop for Batch<'_> {
    fn drop(&mut self) {
        let inner = self.handle.inner();
        inner.buffer.set(std::mem::take(&mut self.buffer));
        if !self.finished {
            // A panic has ended it: the others come in the next turn.
            let rest = self.found.behind(self.at);
            inner.reactor.borrow_mut().wake_again(rest);
        }
    }
}
