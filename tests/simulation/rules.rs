//! The model of one socket, and the rules that its events have to keep.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use tidewheel::net::{EventKind, Handler, Socket, SocketId};
use tidewheel::{Code, Error};

use super::idle::IdleRule;
use super::user::act;
use super::world::{Value, World};

pub struct End {
    pub number: usize,
    pub id: SocketId,
    /// Users may drop theirs.
    pub handle: RefCell<Option<Socket>>,
    pub peer: Cell<Option<usize>>,
    /// Its own port, for who accepts it.
    pub port: Cell<Option<u16>>,
    /// Bytes accepted for sending, and how many the peer's have been read here.
    pub sent: RefCell<Vec<u8>>,
    pub got: Cell<usize>,
    /// As a `Handler`, or as closures.
    form: Form,
    pub paused: Cell<bool>,
    pub corks: Cell<usize>,
    /// The user, or a server that shuts down, may have cut it off.
    pub cut: Cell<bool>,
    pub winding_down: Cell<bool>,
    /// A write said that `drain` follows; one through a pipe may have.
    pub drain_owed: Cell<bool>,
    pub drain_allowed: Cell<bool>,
    /// A pipe could not write to it, so it must fail.
    pub must_fail: Cell<bool>,
    /// Turns in which a `drain` that is due has not come.
    undrained: Cell<u32>,
    /// Write callbacks.
    pub given: Cell<usize>,
    called: Cell<usize>,
    failed: Cell<bool>,
    /// Its events.
    connected: Cell<bool>,
    connect_heard: Cell<bool>,
    ended: Cell<bool>,
    finished: Cell<bool>,
    errors: Cell<usize>,
    pub closed: Cell<bool>,
    pub idle: IdleRule,
    pub pipes: RefCell<Vec<usize>>,
}

#[derive(Clone, Copy, PartialEq)]
enum Form {
    Closures,
    Handler,
}

impl End {
    pub fn new(number: usize, socket: &Socket, paused: bool) -> End {
        End {
            number,
            id: socket.id(),
            handle: RefCell::new(Some(socket.clone())),
            peer: Cell::default(),
            port: Cell::default(),
            sent: RefCell::default(),
            got: Cell::default(),
            form: if number % 2 == 0 {
                Form::Closures
            } else {
                Form::Handler
            },
            paused: Cell::new(paused),
            corks: Cell::default(),
            cut: Cell::default(),
            winding_down: Cell::default(),
            drain_owed: Cell::default(),
            drain_allowed: Cell::default(),
            must_fail: Cell::default(),
            undrained: Cell::default(),
            given: Cell::default(),
            called: Cell::default(),
            failed: Cell::default(),
            connected: Cell::new(!socket.connecting()),
            connect_heard: Cell::default(),
            ended: Cell::default(),
            finished: Cell::default(),
            errors: Cell::default(),
            closed: Cell::default(),
            idle: IdleRule::default(),
            pipes: RefCell::default(),
        }
    }

    /// A handle: the one that was kept, or another of the same socket.
    pub fn socket(&self, world: &World) -> Option<Socket> {
        let kept = self.handle.borrow().clone();
        kept.or_else(|| world.handle.socket(self.id))
    }

    pub fn watch(self: &Rc<Self>, world: &Rc<World>, socket: &Socket) {
        if self.form == Form::Handler {
            socket.set_handler(Watcher {
                world: Rc::clone(world),
                end: Rc::clone(self),
                _value: world.value(),
            });
            return;
        }
        self.watch_data(world, socket);
        self.watch_drain(world, socket);
        self.watch_timeout(world, socket);
        let plain = |rule: fn(&End, &World, &Socket)| {
            let (of, at, value) = (Rc::clone(self), Rc::clone(world), world.value());
            move |socket: &Socket| {
                drop(value);
                rule(&of, &at, socket);
                act(&at, Some(&of));
            }
        };
        socket
            .on_connect(plain(End::connect))
            .on_ready(plain(End::ready))
            .on_end(plain(End::end))
            .on_finish(plain(End::finish));
        let (of, at, value) = (Rc::clone(self), Rc::clone(world), world.value());
        socket.on_error(move |socket, error| {
            drop(value);
            of.error(&at, socket, error);
            act(&at, Some(&of));
        });
        let (of, at, value) = (Rc::clone(self), Rc::clone(world), world.value());
        socket.on_close(move |socket, had_error| {
            drop(value);
            of.close(&at, socket, had_error);
            act(&at, Some(&of));
        });
    }

    /// Removes all listeners of one kind, and watches again where the removed ones did.
    pub fn rewatch(self: &Rc<Self>, world: &Rc<World>, socket: &Socket) {
        let kinds = [EventKind::Data, EventKind::Drain, EventKind::Timeout];
        let kind = kinds[world.dice.below(3)];
        world.note(|| format!("{} no {kind:?} listeners, and new ones", self.number));
        if kind == EventKind::Data && !self.pipes.borrow().is_empty() {
            // The new one would come after the pipes.
            return;
        }
        socket.remove_all_listeners(kind);
        if kind == EventKind::Data {
            // They would come before the new one.
            socket.remove_all_listeners(EventKind::Text);
        }
        if self.form == Form::Closures && !self.closed.get() {
            match kind {
                EventKind::Data => self.watch_data(world, socket),
                EventKind::Drain => self.watch_drain(world, socket),
                _ => self.watch_timeout(world, socket),
            }
        }
    }

    fn watch_data(self: &Rc<Self>, world: &Rc<World>, socket: &Socket) {
        let (of, at, value) = (Rc::clone(self), Rc::clone(world), world.value());
        socket.on_data(move |socket, data| {
            let _held = &value;
            of.data(&at, socket, data);
            act(&at, Some(&of));
        });
    }

    fn watch_drain(self: &Rc<Self>, world: &Rc<World>, socket: &Socket) {
        let (of, at, value) = (Rc::clone(self), Rc::clone(world), world.value());
        socket.on_drain(move |socket| {
            let _held = &value;
            of.drain(&at, socket);
            act(&at, Some(&of));
        });
    }

    fn watch_timeout(self: &Rc<Self>, world: &Rc<World>, socket: &Socket) {
        let (of, at, value) = (Rc::clone(self), Rc::clone(world), world.value());
        socket.on_timeout(move |socket| {
            let _held = &value;
            of.timeout(&at, socket);
            act(&at, Some(&of));
        });
    }
}

/// The rules of each event.
impl End {
    fn begin(&self, world: &World, socket: &Socket, event: &str) {
        world.enter();
        world.note(|| format!("{} {event}", self.number));
        assert!(!self.closed.get(), "{event} after close");
        assert_eq!(socket.id(), self.id);
        let last = matches!(event, "error" | "close");
        assert!(last || self.errors.get() == 0, "{event} after error");
        // The first listener of `connect` is that of the call, and may have destroyed it.
        let first = event == "connect";
        assert!(
            last || first || !socket.destroyed(),
            "{event} after destroy"
        );
        assert!(last || first || event == "timeout" || self.connected.get());
    }

    fn connect(&self, world: &World, socket: &Socket) {
        self.begin(world, socket, "connect");
        assert!(!self.connect_heard.replace(true), "connect twice");
        if !socket.destroyed() {
            self.is_up(world, socket);
        }
    }

    /// It has connected, whichever listener hears of it first.
    pub fn is_up(&self, world: &World, socket: &Socket) {
        assert!(!socket.connecting());
        self.connected.set(true);
        self.port.set(socket.local_port());
        self.idle.moved(world);
    }

    fn ready(&self, world: &World, socket: &Socket) {
        self.begin(world, socket, "ready");
    }

    fn data(&self, world: &World, socket: &Socket, data: &[u8]) {
        self.begin(world, socket, "data");
        assert!(!data.is_empty() && !self.ended.get());
        world.note(|| format!("{} bytes", data.len()));
        assert!(!self.paused.get(), "data for a paused socket");
        assert_eq!(socket.is_paused(), self.paused.get());
        let peer = self.peer.get().expect("data of nobody");
        let peer = world.end(peer);
        let (at, sent) = (self.got.get(), peer.sent.borrow());
        assert!(
            at + data.len() <= sent.len() && sent[at..at + data.len()] == *data,
            "other bytes than were sent"
        );
        self.got.set(at + data.len());
        assert_eq!(socket.bytes_read(), self.got.get() as u64);
        self.idle.moved(world);
        for to in self.pipes.borrow().iter() {
            world.expect_pipe_write(self.number, *to, data);
        }
    }

    fn drain(&self, world: &World, socket: &Socket) {
        self.begin(world, socket, "drain");
        assert!(
            self.drain_owed.get() || self.drain_allowed.get(),
            "a drain for nothing"
        );
        assert_eq!(socket.buffer_size(), 0);
        assert!(socket.writable() && !socket.need_drain());
        self.drain_owed.set(false);
        self.drain_allowed.set(false);
        world.tally.borrow_mut().drains += 1;
    }

    fn timeout(&self, world: &World, socket: &Socket) {
        self.begin(world, socket, "timeout");
        self.idle.fire(world, socket);
        world.tally.borrow_mut().timeouts += 1;
    }

    fn end(&self, world: &World, socket: &Socket) {
        self.begin(world, socket, "end");
        assert!(!self.ended.replace(true), "end twice");
        self.idle.moved(world);
        // A connection that was given up before it was accepted, or an accept that was, has nobody.
        let Some(peer) = self.peer.get().map(|peer| world.end(peer)) else {
            return;
        };
        let ending = |socket: Socket| socket.destroyed() || !socket.writable();
        assert!(
            peer.closed.get() || peer.socket(world).is_none_or(ending),
            "an end of nobody's"
        );
    }

    fn finish(&self, world: &World, socket: &Socket) {
        self.begin(world, socket, "finish");
        assert!(!self.finished.replace(true), "finish twice");
        assert_eq!(socket.buffer_size(), 0);
        assert!(!socket.writable());
        assert_eq!(
            self.called.get(),
            self.given.get(),
            "finish before a callback"
        );
    }

    fn error(&self, world: &World, socket: &Socket, error: &Error) {
        self.begin(world, socket, "error");
        world.note(|| format!("{} {error}", self.number));
        self.errors.set(self.errors.get() + 1);
        assert_eq!(self.errors.get(), 1, "two errors");
        assert!(socket.destroyed());
        let code = error.code();
        assert!(!matches!(code, Code::Interrupted | Code::WouldBlock));
        // A connection is broken by the network, or by the other end.
        let broken = matches!(code, Code::ConnReset | Code::BrokenPipe)
            && matches!(error.syscall(), Some("read" | "write"));
        let peer = self.peer.get().map(|peer| world.end(peer));
        let gone = |peer: Rc<End>| peer.socket(world).is_none_or(|peer| peer.destroyed());
        // Who was accepted too late for the other end to be known has only its port.
        let gone = peer.map_or(self.port.get().is_none(), gone);
        assert!(
            !broken || world.faulty.get() || gone,
            "{error} without a cause"
        );
    }

    fn close(&self, world: &World, socket: &Socket, had_error: bool) {
        self.begin(world, socket, "close");
        assert!(socket.destroyed());
        assert_eq!(self.errors.get(), usize::from(had_error));
        assert_eq!(
            self.called.get(),
            self.given.get(),
            "close before a callback"
        );
        assert!(had_error || self.cut.get() || (self.ended.get() && self.finished.get()));
        self.closed.set(true);
        let mut tally = world.tally.borrow_mut();
        tally.failed += u64::from(had_error);
        tally.clean += u64::from(!had_error);
    }

    /// The callback of write number `number` is called.
    pub fn wrote(&self, world: &World, number: usize, result: Result<(), Error>) {
        world.enter();
        world.note(|| format!("{} wrote {number} {result:?}", self.number));
        assert_eq!(self.called.get(), number, "write callbacks out of order");
        self.called.set(number + 1);
        assert!(
            !self.failed.get() || result.is_err(),
            "success after failure"
        );
        self.failed.set(result.is_err());
    }

    /// `after` says what its counters are: closed sockets have none.
    pub fn check_turn(&self, world: &World, began: Duration) {
        let Some(socket) = self.socket(world) else {
            panic!("a socket that is not closed is gone");
        };
        let due = self.drain_owed.get() && socket.writable() && !socket.connecting();
        let undrained = due && socket.buffer_size() == 0;
        self.undrained.set(if undrained {
            self.undrained.get() + 1
        } else {
            0
        });
        assert!(self.undrained.get() < 4, "a drain is lost");
        assert!(self.got.get() as u64 <= socket.bytes_read());
        if !socket.destroyed() {
            self.idle.check_turn(world, &socket, began);
        }
    }

    /// On a network without breaks nobody has done anything for a while: nothing is left to move.
    pub fn check_rest(&self, world: &World) {
        if self.closed.get() {
            return;
        }
        let socket = self.socket(world).expect("an open socket");
        assert!(!socket.connecting(), "it connects for ever");
        let Some(peer) = self.peer.get().map(|peer| world.end(peer)) else {
            // Whoever is dropped sees an end.
            let dropped = self.ended.get();
            return assert!(
                self.port.get().is_none() || dropped,
                "nobody has accepted it"
            );
        };
        let ends = world.ends.borrow();
        let is_empty = |to: &usize| {
            let destination = ends[*to].socket(world);
            destination.is_none_or(|to| !to.destroyed() && to.buffer_size() == 0)
        };
        let flows = !socket.is_paused() && self.pipes.borrow().iter().all(is_empty);
        let all = self.got.get() == peer.sent.borrow().len();
        if let Some(peer_socket) = peer.socket(world).filter(|socket| !socket.destroyed()) {
            let held = peer.corks.get() > 0 && peer_socket.writable();
            let waits = peer_socket.buffer_size();
            assert!(!flows || held || waits == 0, "bytes wait for nothing");
            assert!(!flows || held || all, "bytes are not read");
        }
        let all_over = peer.finished.get() && all && !self.ended.get();
        assert!(!all_over, "{} has not seen a FIN", self.number);
    }

    /// Everything is over.
    pub fn check_end(&self, world: &World, ends: &[Rc<End>]) {
        assert!(self.closed.get(), "socket {} is not closed", self.number);
        assert_eq!(
            self.called.get(),
            self.given.get(),
            "write callbacks are owed"
        );
        assert!(world.handle.socket(self.id).is_none());
        if let Some(socket) = self.handle.borrow().as_ref() {
            assert!(socket.destroyed() && socket.buffer_size() == 0);
        }
        assert!(
            !self.must_fail.get() || self.errors.get() == 1 || self.cut.get(),
            "a pipe has lost a chunk"
        );
        let Some(peer) = self.peer.get().map(|peer| &ends[peer]) else {
            return;
        };
        let sent = peer.sent.borrow().len();
        assert!(self.got.get() <= sent);
        let complete = self.ended.get() && peer.errors.get() == 0 && !peer.cut.get();
        assert!(!complete || self.got.get() == sent, "bytes are lost");
    }

    /// Ends in order, whatever it was doing.
    pub fn wind_down(&self, world: &World) {
        let Some(socket) = self.socket(world) else {
            return;
        };
        if socket.destroyed() || self.winding_down.replace(true) {
            return;
        }
        while self.corks.get() > 0 {
            socket.uncork();
            self.corks.set(self.corks.get() - 1);
        }
        self.pipes.borrow_mut().clear();
        self.paused.set(false);
        self.idle.set(Duration::ZERO, world);
        socket.set_timeout(Duration::ZERO);
        socket.ref_().unpipe(None).resume().end();
    }
}

/// The same rules in the form of a handler.
struct Watcher {
    world: Rc<World>,
    end: Rc<End>,
    _value: Value,
}

impl Watcher {
    fn act(&self) {
        act(&self.world, Some(&self.end));
    }
}

impl Handler for Watcher {
    fn on_connect(&mut self, socket: &Socket) {
        self.end.connect(&self.world, socket);
        self.act();
    }
    fn on_ready(&mut self, socket: &Socket) {
        self.end.ready(&self.world, socket);
        self.act();
    }
    fn on_data(&mut self, socket: &Socket, data: &[u8]) {
        self.end.data(&self.world, socket, data);
        self.act();
    }
    fn on_drain(&mut self, socket: &Socket) {
        self.end.drain(&self.world, socket);
        self.act();
    }
    fn on_timeout(&mut self, socket: &Socket) {
        self.end.timeout(&self.world, socket);
        self.act();
    }
    fn on_end(&mut self, socket: &Socket) {
        self.end.end(&self.world, socket);
        self.act();
    }
    fn on_finish(&mut self, socket: &Socket) {
        self.end.finish(&self.world, socket);
        self.act();
    }
    fn on_error(&mut self, socket: &Socket, error: &Error) {
        self.end.error(&self.world, socket, error);
        self.act();
    }
    fn on_close(&mut self, socket: &Socket, had_error: bool) {
        self.end.close(&self.world, socket, had_error);
        self.act();
    }
}
