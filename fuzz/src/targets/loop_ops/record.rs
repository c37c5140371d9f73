//! One socket as the script's callbacks see it: the rules that every socket keeps, and the bytes of its stream.

use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::rc::{Rc, Weak};
use std::time::{Duration, Instant};

use tidewheel::net::{EventKind, Handler, Lookup, Socket, SocketId};
use tidewheel::Error;

use super::feed::pattern;
use super::world::{Probe, World};

/// One direction each way between two descriptors, in whatever socket they are at the time.
#[derive(Default)]
pub struct Stream {
    pub sent: Cell<u64>,
    pub received: Cell<u64>,
    pub ended: Cell<bool>,
    pub finished: Cell<bool>,
    peer: RefCell<Weak<Stream>>,
}

impl Stream {
    pub fn join(a: &Rc<Stream>, b: &Rc<Stream>) {
        *a.peer.borrow_mut() = Rc::downgrade(b);
        *b.peer.borrow_mut() = Rc::downgrade(a);
    }

    /// Two sockets find each other by the address that one has and the other one sees.
    pub fn meet(self: &Rc<Stream>, world: &World, at: SocketAddr) {
        let other = world.by_address.borrow_mut().remove(&at);
        match other {
            Some(other) => Stream::join(self, &other),
            None => {
                world.by_address.borrow_mut().insert(at, Rc::clone(self));
            }
        }
    }

    /// What was read to the end is what was written up to it.
    pub fn check_whole(&self) {
        if let Some(peer) = self.peer.borrow().upgrade() {
            assert!(self.received.get() <= peer.sent.get(), "bytes from nowhere");
            if self.ended.get() && peer.finished.get() {
                assert_eq!(self.received.get(), peer.sent.get(), "bytes are lost");
            }
        }
    }
}

pub struct Tracked {
    pub id: SocketId,
    pub index: usize,
    /// Dropped by the script, it can still be found by its id.
    pub handle: RefCell<Option<Socket>>,
    pub stream: Rc<Stream>,
    /// What went through the descriptor before this socket had it.
    before: (u64, u64),
    by_handler: bool,
    pub reads: Cell<bool>,
    /// Up to where the recorder has seen the stream.
    seen: Cell<u64>,
    /// Somebody hears of the same bytes before the recorder does. Should he panic, they count as told.
    behind: Cell<bool>,
    pub corks: Cell<u32>,
    pub idle: Cell<Option<(Instant, Duration)>>,
    pub drain_owed: Cell<bool>,
    pub writes_issued: Cell<usize>,
    pub writes_told: Cell<usize>,
    pub ends_owed: Cell<usize>,
    pub rules: RefCell<Rules>,
}

#[derive(Default, Debug)]
pub struct Rules {
    pub connected: bool,
    pub ready: bool,
    pub ended: bool,
    pub finished: bool,
    pub failed: bool,
    pub closed: bool,
}

pub enum Seen<'a> {
    Connect,
    Ready,
    Lookup,
    Data(&'a [u8]),
    Text,
    End,
    Drain,
    Timeout,
    Finish,
    Error(&'a Error),
    Close(bool),
}

/// What is told to a recorder of closures; data and text come with their own calls.
const KINDS: [EventKind; 9] = [
    EventKind::Connect,
    EventKind::Ready,
    EventKind::Lookup,
    EventKind::End,
    EventKind::Drain,
    EventKind::Timeout,
    EventKind::Finish,
    EventKind::Error,
    EventKind::Close,
];

impl Tracked {
    /// Watches a socket from now on.
    pub fn watch(world: &Rc<World>, socket: &Socket, stream: Rc<Stream>, how: u8) -> Rc<Tracked> {
        let index = world.sockets.borrow().len();
        let connected = !socket.pending() && !socket.connecting();
        let me = Rc::new(Tracked {
            id: socket.id(),
            index,
            handle: RefCell::new(Some(socket.clone())),
            before: (stream.received.get(), stream.sent.get()),
            seen: Cell::new(stream.received.get()),
            behind: Cell::default(),
            stream,
            by_handler: how & 1 == 1,
            reads: Cell::new(how & 1 == 1),
            corks: Cell::new(0),
            idle: Cell::default(),
            drain_owed: Cell::default(),
            writes_issued: Cell::default(),
            writes_told: Cell::default(),
            ends_owed: Cell::default(),
            rules: RefCell::new(Rules {
                connected,
                ready: connected,
                ..Rules::default()
            }),
        });
        if me.by_handler {
            let recorder = Recorder {
                world: Rc::clone(world),
                me: Rc::clone(&me),
                _probe: world.probe(),
            };
            world.call(|| socket.set_handler(recorder));
        } else {
            for kind in KINDS {
                me.listen(world, socket, kind);
            }
            if how & 2 == 0 {
                me.read(world, socket);
            }
        }
        world.sockets.borrow_mut().push(Rc::clone(&me));
        me
    }

    pub fn socket(&self, world: &World) -> Option<Socket> {
        let handle = self.handle.borrow().clone();
        handle.or_else(|| world.event_loop.socket(self.id))
    }

    /// Starts to listen to data.
    pub fn read(self: &Rc<Self>, world: &Rc<World>, socket: &Socket) {
        if !self.reads.replace(true) {
            self.behind.set(socket.listener_count(EventKind::Text) > 0);
            self.seen.set(self.before.0 + socket.bytes_read());
            self.listen(world, socket, EventKind::Data);
        }
    }

    /// Removes all listeners of a kind, and puts the recorder's back: as the only one it is the first, but that those of
    /// `text` hear of what is data as well.
    pub fn listen_anew(self: &Rc<Self>, world: &Rc<World>, socket: &Socket, kind: EventKind) {
        world.call(|| socket.remove_all_listeners(kind));
        let recorded = KINDS.contains(&kind) || (kind == EventKind::Data && self.reads.get());
        if !self.by_handler && recorded {
            if kind == EventKind::Data && socket.listener_count(EventKind::Text) > 0 {
                self.behind.set(true);
            }
            self.listen(world, socket, kind);
        }
    }

    fn listen(self: &Rc<Self>, world: &Rc<World>, socket: &Socket, kind: EventKind) {
        let recorder = Recorder {
            world: Rc::clone(world),
            me: Rc::clone(self),
            _probe: world.probe(),
        };
        world.call(|| {
            match kind {
                EventKind::Connect => socket.on_connect(move |s| recorder.saw(s, Seen::Connect)),
                EventKind::Ready => socket.on_ready(move |s| recorder.saw(s, Seen::Ready)),
                EventKind::Lookup => socket.on_lookup(move |s, _| recorder.saw(s, Seen::Lookup)),
                EventKind::Data => socket.on_data(move |s, data| recorder.saw(s, Seen::Data(data))),
                EventKind::End => socket.on_end(move |s| recorder.saw(s, Seen::End)),
                EventKind::Drain => socket.on_drain(move |s| recorder.saw(s, Seen::Drain)),
                EventKind::Timeout => socket.on_timeout(move |s| recorder.saw(s, Seen::Timeout)),
                EventKind::Finish => socket.on_finish(move |s| recorder.saw(s, Seen::Finish)),
                EventKind::Error => socket.on_error(move |s, e| recorder.saw(s, Seen::Error(e))),
                EventKind::Close => socket.on_close(move |s, e| recorder.saw(s, Seen::Close(e))),
                _ => socket,
            };
        });
    }

    /// An event came. What this socket still has to tell follows from what it has told.
    fn saw(&self, world: &World, socket: &Socket, seen: &Seen<'_>) {
        let rules = &mut *self.rules.borrow_mut();
        assert_eq!(socket.id(), self.id);
        assert!(!rules.closed, "something after `close`");
        let last = matches!(seen, Seen::Error(_) | Seen::Close(_));
        // Who is called before this one, for the same bytes, may have ended it: a pipe, or `data` before `text`.
        let may_be_late = world.pipes || matches!(seen, Seen::Text);
        assert!(
            last == socket.destroyed() || (may_be_late && !last),
            "{rules:?}"
        );
        assert!(!rules.failed || matches!(seen, Seen::Close(_)), "{rules:?}");
        match seen {
            Seen::Connect => {
                assert!(!std::mem::replace(&mut rules.connected, true), "{rules:?}");
                if let Some(tidewheel::net::Address::Ip(at)) = socket.address() {
                    self.stream.meet(world, at);
                }
            }
            Seen::Ready => {
                assert!(rules.connected, "{rules:?}");
                assert!(!std::mem::replace(&mut rules.ready, true), "{rules:?}");
            }
            Seen::Lookup => assert!(!rules.connected, "{rules:?}"),
            Seen::Data(data) => {
                assert!(rules.connected && !rules.ended, "{rules:?}");
                assert!(!data.is_empty());
                self.check_data(world, socket, data);
            }
            Seen::Text => assert!(rules.connected, "{rules:?}"),
            Seen::End => {
                assert!(rules.connected, "{rules:?}");
                assert!(!std::mem::replace(&mut rules.ended, true), "{rules:?}");
                self.count(socket);
                let all_seen = self.seen.get() == self.stream.received.get();
                let may_miss = self.behind.get() || !self.reads.get();
                assert!(all_seen || may_miss, "bytes nobody was told of");
                self.stream.ended.set(true);
            }
            Seen::Drain => {
                let owed = self.drain_owed.replace(false);
                assert!(rules.connected, "{rules:?}");
                // A pipe's writes are not ours.
                assert!(world.pipes || owed, "a `drain` for nothing");
                assert!(world.pipes || socket.buffer_size() == 0);
            }
            Seen::Timeout => {
                let (since, period) = self.idle.get().expect("a timeout that was not set");
                assert!(since.elapsed() >= period, "a timeout too early");
            }
            Seen::Finish => {
                assert!(!std::mem::replace(&mut rules.finished, true), "{rules:?}");
                assert_eq!(socket.buffer_size(), 0);
                self.count(socket);
                self.stream.finished.set(true);
            }
            Seen::Error(error) => {
                assert!(!error.to_string().is_empty());
                rules.failed = true;
            }
            Seen::Close(had_error) => {
                assert_eq!(*had_error, rules.failed, "{rules:?}");
                rules.closed = true;
                self.closed(socket);
            }
        }
    }

    /// No callback may come after `close`.
    fn closed(&self, socket: &Socket) {
        let issued = self.writes_issued.get();
        assert_eq!(self.writes_told.get(), issued, "writes untold");
        assert_eq!(self.ends_owed.get(), 0, "ends untold");
        self.count(socket);
    }

    /// Keeps what the socket knows of its stream, for it forgets with `close`.
    pub fn count(&self, socket: &Socket) {
        self.stream
            .received
            .set(self.before.0 + socket.bytes_read());
        self.stream.sent.set(self.before.1 + socket.bytes_written());
    }

    /// How many bytes were written to the stream.
    pub fn position(&self, socket: &Socket) -> u64 {
        self.before.1 + socket.bytes_written()
    }

    fn check_data(&self, world: &World, socket: &Socket, data: &[u8]) {
        let end = self.before.0 + socket.bytes_read();
        let from = end - data.len() as u64;
        let seen = self.seen.replace(end);
        assert!(
            seen == from || self.behind.get(),
            "bytes nobody was told of: {seen}..{from}"
        );
        if !world.pipes {
            let wrong = (from..).zip(data).find(|(at, byte)| pattern(*at) != **byte);
            assert_eq!(wrong, None, "wrong bytes in {from}..{end}");
        }
    }
}

/// Sees the events of one socket, and does what the script says next.
struct Recorder {
    world: Rc<World>,
    me: Rc<Tracked>,
    _probe: Probe,
}

impl Recorder {
    fn saw(&self, socket: &Socket, seen: Seen<'_>) {
        let _running = self.world.enter(Some(self.me.index));
        self.me.saw(&self.world, socket, &seen);
        self.world.act();
    }
}

impl Handler for Recorder {
    fn on_lookup(&mut self, socket: &Socket, _: &Lookup) {
        self.saw(socket, Seen::Lookup);
    }
    fn on_connect(&mut self, socket: &Socket) {
        self.saw(socket, Seen::Connect);
    }
    fn on_ready(&mut self, socket: &Socket) {
        self.saw(socket, Seen::Ready);
    }
    fn on_data(&mut self, socket: &Socket, data: &[u8]) {
        self.saw(socket, Seen::Data(data));
    }
    fn on_text(&mut self, socket: &Socket, _: &str) {
        self.saw(socket, Seen::Text);
    }
    fn on_end(&mut self, socket: &Socket) {
        self.saw(socket, Seen::End);
    }
    fn on_drain(&mut self, socket: &Socket) {
        self.saw(socket, Seen::Drain);
    }
    fn on_timeout(&mut self, socket: &Socket) {
        self.saw(socket, Seen::Timeout);
    }
    fn on_finish(&mut self, socket: &Socket) {
        self.saw(socket, Seen::Finish);
    }
    fn on_error(&mut self, socket: &Socket, error: &Error) {
        self.saw(socket, Seen::Error(error));
    }
    fn on_close(&mut self, socket: &Socket, had_error: bool) {
        self.saw(socket, Seen::Close(had_error));
    }
}
