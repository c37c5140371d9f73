//! What the operations work on, and the rules of every callback: none runs inside a call or inside another one, and
//! no closure is dropped inside a call.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::panic::resume_unwind;
use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::Arc;
use std::time::Instant;

use tidewheel::net::{LookupReply, Server};
use tidewheel::{LoopHandle, Remote, Timeout, Watch};

use super::ops::Op;
use super::record::{Stream, Tracked};
use crate::targets::input::Input;

/// What callbacks panic with.
pub struct Panicked;

/// Operations of one run, those of callbacks among them.
const MAX_OPS: usize = 400;
/// Bytes written in one run, and reads that they take.
const MAX_BYTES: usize = 4 << 20;
const MAX_READS: usize = 4096;

pub struct World {
    pub event_loop: LoopHandle,
    /// Without pipes every byte of a stream is known by its place.
    pub pipes: bool,
    /// Kernel buffers as small as they get, so that little is much.
    pub small_buffers: bool,
    pub sockets: RefCell<Vec<Rc<Tracked>>>,
    pub servers: RefCell<Vec<Server>>,
    pub timers: RefCell<Vec<Rc<Timer>>>,
    pub watches: RefCell<Vec<(Watch, UnixStream)>>,
    pub remotes: RefCell<Vec<Remote>>,
    pub replies: RefCell<Vec<LookupReply>>,
    /// Descriptors taken out of the loop, and what went through them.
    pub detached: RefCell<Vec<(OwnedFd, Rc<Stream>)>>,
    /// Who has connected from where, or was accepted from there.
    pub by_address: RefCell<HashMap<SocketAddr, Rc<Stream>>>,
    /// Promises to call back once: given, and kept.
    pub owed: Cell<usize>,
    pub paid: Cell<usize>,
    /// A listener of a server's `close` panicked: the event counts as told to those behind it, `close_with` among them.
    pub close_cut_short: Cell<bool>,
    /// The same for posts, which other threads could make.
    pub posts_paid: Arc<AtomicUsize>,
    pub posts_owed: Cell<usize>,
    /// Whose callback runs.
    pub current: Cell<Option<usize>>,
    pub acting: Cell<bool>,
    script: Vec<u8>,
    at: Cell<usize>,
    ops: Cell<usize>,
    bytes: Cell<usize>,
    state: Rc<State>,
}

pub struct Timer {
    pub timeout: RefCell<Option<Timeout>>,
    pub deadline: Cell<Instant>,
    pub period: Cell<std::time::Duration>,
    pub repeats: bool,
    pub over: Cell<bool>,
}

#[derive(Default)]
struct State {
    calling: Cell<bool>,
    in_callback: Cell<bool>,
    closures: Cell<usize>,
}

/// Captured by every closure: tells when it is dropped, and where.
pub struct Probe(Rc<State>);

impl Drop for Probe {
    fn drop(&mut self) {
        self.0.closures.set(self.0.closures.get() - 1);
        assert!(!self.0.calling.get(), "a closure is dropped inside a call");
    }
}

/// A callback is running.
pub struct Running(Rc<World>, Option<usize>);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.state.in_callback.set(false);
        self.0.current.set(self.1);
    }
}

impl World {
    pub fn new(
        event_loop: &LoopHandle,
        script: &[u8],
        settings: u8,
        read_buffer: usize,
    ) -> Rc<World> {
        Rc::new(World {
            event_loop: event_loop.handle(),
            pipes: settings & 1 == 1,
            small_buffers: settings & 2 == 2,
            sockets: RefCell::default(),
            servers: RefCell::default(),
            timers: RefCell::default(),
            watches: RefCell::default(),
            remotes: RefCell::default(),
            replies: RefCell::default(),
            detached: RefCell::default(),
            by_address: RefCell::default(),
            owed: Cell::new(0),
            paid: Cell::new(0),
            close_cut_short: Cell::default(),
            posts_paid: Arc::default(),
            posts_owed: Cell::new(0),
            current: Cell::new(None),
            acting: Cell::new(true),
            script: script.to_vec(),
            at: Cell::new(0),
            ops: Cell::new(MAX_OPS),
            bytes: Cell::new(MAX_BYTES.min(MAX_READS * read_buffer)),
            state: Rc::default(),
        })
    }

    pub fn has_script(&self) -> bool {
        self.acting.get() && self.ops.get() > 0 && self.at.get() < self.script.len()
    }

    /// Does what the script says next.
    pub fn next_operations(self: &Rc<Self>, count: usize) {
        for _ in 0..count {
            if !self.has_script() {
                return;
            }
            self.ops.set(self.ops.get() - 1);
            let mut input = Input::new(&self.script[self.at.get()..]);
            let op = Op::read(&mut input);
            self.at.set(self.script.len() - input.len());
            op.run(self);
        }
    }

    /// A callback begins, of a socket if `who` says which; it ends with the guard.
    #[must_use]
    pub fn enter(self: &Rc<Self>, who: Option<usize>) -> Running {
        assert!(!self.state.calling.get(), "a call calls back");
        let nested = self.state.in_callback.replace(true);
        assert!(!nested, "a callback inside a callback");
        Running(Rc::clone(self), self.current.replace(who))
    }

    pub fn in_callback(&self) -> bool {
        self.state.in_callback.get()
    }

    /// A callback does some operations, often none.
    pub fn act(self: &Rc<Self>) {
        if self.has_script() {
            let byte = self.script[self.at.get()];
            self.at.set(self.at.get() + 1);
            self.next_operations([0, 0, 1, 1, 2][usize::from(byte) % 5]);
        }
    }

    /// Calls the crate, which may not call back.
    pub fn call<R>(&self, call: impl FnOnce() -> R) -> R {
        let before = self.state.calling.replace(true);
        let result = call();
        self.state.calling.set(before);
        result
    }

    /// What the crate calls and drops only between calls, like `configure`, may be dropped by ourselves as well.
    pub fn probe(&self) -> Probe {
        self.state.closures.set(self.state.closures.get() + 1);
        Probe(Rc::clone(&self.state))
    }

    pub fn closures(&self) -> usize {
        self.state.closures.get()
    }

    /// Unwinds out of the running callback.
    pub fn panic(&self) {
        if self.in_callback() {
            resume_unwind(Box::new(Panicked));
        }
    }

    pub fn after_panic(&self) {
        assert!(!self.in_callback() && !self.state.calling.get());
    }

    /// Lets go of every handle.
    pub fn forget(&self) {
        self.sockets.borrow_mut().clear();
        self.servers.borrow_mut().clear();
        self.timers.borrow_mut().clear();
        self.watches.borrow_mut().clear();
        self.remotes.borrow_mut().clear();
        self.replies.borrow_mut().clear();
        self.detached.borrow_mut().clear();
        self.by_address.borrow_mut().clear();
    }

    /// As many of the bytes as this run may still write.
    pub fn allowance(&self, bytes: usize) -> usize {
        let allowed = bytes.min(self.bytes.get());
        self.bytes.set(self.bytes.get() - allowed);
        allowed
    }

    /// The socket a byte of the script means: that of the running callback, or any.
    pub fn pick(&self, which: u8) -> Option<Rc<Tracked>> {
        let sockets = self.sockets.borrow();
        let index = match self.current.get() {
            Some(current) if which >= 128 => current,
            _ => usize::from(which) % sockets.len().max(1),
        };
        sockets.get(index).cloned()
    }

    pub fn posts_paid(&self) -> usize {
        self.posts_paid.load(Ordering::Relaxed)
    }
}
