//! What the loop keeps of the user's: closures, handlers, data. Nothing here is called or dropped while borrowed.

use std::any::Any;
use std::collections::VecDeque;
use std::rc::Rc;

use super::handler::Handler;
use super::listeners::{self, EventKind, Found, Listeners};
use super::lookup::OwnLookup;
use super::options::Configure;
#[cfg(feature = "tls")]
use super::tls::{NewSessionReply, OcspReply, ResumeReply};
use super::{
    Dropped, ListenOptions, Lookup, LoopHandle, Readiness, Server, Socket, Timeout, Watch,
};
use crate::arena::Key;
use crate::encoding::Decoder;
use crate::error::{Error, Result};
#[cfg(feature = "tls")]
use crate::tls::Session;

pub(super) type WriteCallback = Box<dyn FnOnce(&Socket, Result<()>)>;

pub(super) type DataCall = Box<dyn FnMut(&Socket, &[u8])>;

/// A listener of a socket.
pub(super) enum SocketCallback {
    Plain(Box<dyn FnMut(&Socket)>),
    PlainOnce(Box<dyn FnOnce(&Socket)>),
    /// `None` while it is leased as the only reader.
    Data(Option<DataCall>),
    DataOnce(Box<dyn FnOnce(&Socket, &[u8])>),
    Text(Box<dyn FnMut(&Socket, &str)>),
    TextOnce(Box<dyn FnOnce(&Socket, &str)>),
    Lookup(Box<dyn FnMut(&Socket, &Lookup)>),
    LookupOnce(Box<dyn FnOnce(&Socket, &Lookup)>),
    Error(Box<dyn FnOnce(&Socket, &Error)>),
    Close(Box<dyn FnOnce(&Socket, bool)>),
    #[cfg(feature = "tls")]
    Session(Box<dyn FnMut(&Socket, &Session)>),
    #[cfg(feature = "tls")]
    SessionOnce(Box<dyn FnOnce(&Socket, &Session)>),
    #[cfg(feature = "tls")]
    Ocsp(Box<dyn FnMut(&Socket, Option<&[u8]>)>),
    #[cfg(feature = "tls")]
    OcspOnce(Box<dyn FnOnce(&Socket, Option<&[u8]>)>),
    /// Not the user's, but in order with those that are.
    Pipe(Pipe),
}

/// Where the data of a socket goes.
#[derive(Clone, Copy)]
pub(super) struct Pipe {
    pub(super) destination: Key,
    /// Its `end` ends the destination.
    pub(super) end: bool,
    /// The destination has not drained yet.
    pub(super) resting: bool,
}

/// A listener of a server.
pub(super) enum ServerCallback {
    Connection(Box<dyn FnMut(&Socket)>),
    Plain(Box<dyn FnMut(&Server)>),
    PlainOnce(Box<dyn FnOnce(&Server)>),
    Error(Box<dyn FnMut(&Server, &Error)>),
    Drop(Box<dyn FnMut(&Server, &Dropped)>),
    CloseWith(Box<dyn FnOnce(&Server, Result<()>)>),
    Shutdown(Box<dyn FnOnce(&Server, usize)>),
    #[cfg(feature = "tls")]
    TlsClientError(Box<dyn FnMut(&Server, &Error, &Socket)>),
    #[cfg(feature = "tls")]
    KeyLog(Box<dyn FnMut(&Socket, &str)>),
    #[cfg(feature = "tls")]
    OcspRequest(Box<dyn FnMut(&Server, &[u8], Option<&[u8]>, OcspReply)>),
    #[cfg(feature = "tls")]
    NewSession(Box<dyn FnMut(&Server, &[u8], &[u8], NewSessionReply)>),
    #[cfg(feature = "tls")]
    ResumeSession(Box<dyn FnMut(&Server, &[u8], ResumeReply)>),
}

pub(super) struct SocketFace {
    /// Those who hear what comes: listeners of `data` and `text`, and pipes. Apart from the others, so that whether there
    /// is just one, as nearly always, is seen at a glance.
    pub(super) readers: Listeners<SocketCallback>,
    /// The listeners of all other events.
    others: Option<Box<Listeners<SocketCallback>>>,
    /// `None` while leased, too.
    /// Boxed twice, for one word is all that a socket without a handler should pay.
    pub(super) handler: Option<Box<Box<dyn Handler>>>,
    /// What most sockets do without.
    pub(super) rare: Option<Box<Rare>>,
}

#[derive(Default)]
pub(super) struct Rare {
    pub(super) data: Option<Rc<dyn Any>>,
    pub(super) callbacks: PendingCallbacks,
    /// Other sockets that are piped into this one.
    pub(super) inbound: Vec<Key>,
    /// What the user wants done while it connects.
    pub(super) lookup: Option<OwnLookup>,
    pub(super) configure: Option<Configure>,
    /// Decodes for `text`.
    pub(super) decoder: Option<Decoder>,
    /// `set_encoding` was called, so a handler gets `text`.
    pub(super) encoding_set: bool,
    #[cfg(feature = "tls")]
    pub(super) tls: Option<Box<super::tls::SocketTls>>,
}

/// Callbacks of writes and ends under way, in order.
#[derive(Default)]
pub(super) struct PendingCallbacks {
    /// With an error: one that came too late to succeed.
    pub(super) writes: VecDeque<(WriteCallback, Option<Error>)>,
    pub(super) ends: VecDeque<(WriteCallback, Option<Error>)>,
}

impl SocketFace {
    fn new() -> SocketFace {
        SocketFace {
            readers: Listeners::new(),
            others: None,
            handler: None,
            rare: None,
        }
    }

    fn add_listener(&mut self, id: u64, kind: EventKind, once: bool, callback: SocketCallback) {
        let listeners = if matches!(kind, EventKind::Data | EventKind::Text) {
            &mut self.readers
        } else {
            let new = || Box::new(Listeners::new());
            self.others.get_or_insert_with(new)
        };
        listeners.add(id, kind, once, callback);
    }

    /// The first listener after `after` and before `end` that is `wanted`, or a pipe if these are; and whether it is
    /// among the readers.
    pub(super) fn find(
        &mut self,
        after: u64,
        end: u64,
        pipes: bool,
        wanted: impl Fn(EventKind) -> bool,
    ) -> Option<(bool, Found<'_, SocketCallback>)> {
        let reader = self.readers.find(after, end, |kind, callback| {
            wanted(kind) || (pipes && is_pipe(callback))
        });
        let other = match &mut self.others {
            Some(others) => others.find(after, end, |kind, _| wanted(kind)),
            None => None,
        };
        match (reader, other) {
            (Some(reader), Some(other)) => {
                let reads = reader.place.id < other.place.id;
                let mut found = if reads { reader } else { other };
                found.last = false;
                Some((reads, found))
            }
            (Some(reader), None) => Some((true, reader)),
            (None, other) => other.map(|other| (false, other)),
        }
    }

    /// The list that a listener was found in.
    pub(super) fn list(&mut self, reads: bool) -> Option<&mut Listeners<SocketCallback>> {
        if reads {
            Some(&mut self.readers)
        } else {
            self.others.as_deref_mut()
        }
    }

    /// Removes listeners of one kind, but no pipes.
    pub(super) fn remove_listeners(&mut self, kind: EventKind) -> Vec<SocketCallback> {
        let doomed =
            |k, callback: Option<&SocketCallback>| k == kind && !callback.is_some_and(is_pipe);
        let mut removed = self.readers.remove_where(doomed);
        if let Some(others) = &mut self.others {
            removed.append(&mut others.remove_where(doomed));
        }
        removed
    }

    /// How many listeners of one kind there are, pipes not counted.
    pub(super) fn count_listeners(&self, kind: EventKind) -> usize {
        let counted =
            |k, callback: Option<&SocketCallback>| k == kind && !callback.is_some_and(is_pipe);
        let others = self.others.as_ref();
        self.readers.count(counted) + others.map_or(0, |others| others.count(counted))
    }

    /// The rare parts, made on first use.
    pub(super) fn rare_mut(&mut self) -> &mut Rare {
        self.rare.get_or_insert_default()
    }

    /// Other sockets that are piped into this one.
    pub(super) fn inbound(&self) -> &[Key] {
        self.rare.as_ref().map_or(&[], |rare| &rare.inbound)
    }
}

/// What comes is decoded for `text`.
#[inline]
pub(super) fn decodes(rare: &Option<Box<Rare>>) -> bool {
    matches!(rare, Some(rare) if rare.decoder.is_some())
}

fn is_pipe(callback: &SocketCallback) -> bool {
    matches!(callback, SocketCallback::Pipe(_))
}

pub(super) struct ServerFace {
    pub(super) listeners: Listeners<ServerCallback>,
    /// What a `listen` asks for whose name is being looked up.
    pub(super) listen_options: Option<ListenOptions>,
    /// The listener given to the `listen` under way, dropped with it.
    pub(super) listen_callback: Option<u64>,
    /// What `shutdown` has destroyed at its deadline.
    pub(super) destroyed: usize,
    /// The deadline of a `shutdown`.
    pub(super) deadline: Option<Timeout>,
    #[cfg(feature = "tls")]
    pub(super) tls: Option<Box<super::tls::ServerTls>>,
}

/// What a timer calls. `None` while it runs.
pub(super) enum TimerFace {
    Once(Option<Box<dyn FnOnce(&LoopHandle)>>),
    Every(Option<Box<dyn FnMut(&Timeout)>>),
}

// Sockets are the many and the hot ones, so they are the ones that lie in the slots themselves.
#[allow(clippy::large_enum_variant)]
pub(super) enum Slot {
    Vacant,
    Socket(SocketFace),
    Server(Box<ServerFace>),
    Timer(TimerFace),
    Watch(Box<WatchFace>),
}

pub(super) struct WatchFace {
    /// `None` while it runs.
    pub(super) call: Option<Box<dyn FnMut(&Watch, Readiness)>>,
    /// Keeps the descriptor open.
    pub(super) _owner: Box<dyn Any>,
}

/// One per slot of the reactor's arena, for the source that has it now.
struct Place {
    owner: Key,
    slot: Slot,
}

pub(super) type Call = Box<dyn FnOnce(&LoopHandle)>;
pub(super) type UnhandledHook = Box<dyn FnMut(&LoopHandle, &Error)>;

pub(super) struct Face {
    places: Vec<Place>,
    /// The id of the next listener, whoever's it is. It never wraps: a `once_drain` for each write would have used up 32
    /// bits within days.
    next_listener: u64,
    /// One for each `Deferred::Call`.
    pub(super) calls: VecDeque<Call>,
    pub(super) immediates: VecDeque<Call>,
    pub(super) unhandled_hook: Option<UnhandledHook>,
    /// A hook is set, though it may be running.
    pub(super) has_unhandled_hook: bool,
    pub(super) unhandled_count: u64,
    /// What `run` returns in the end.
    pub(super) first_error: Option<Error>,
    /// Values of the user's that a call let go of: dropped between callbacks.
    trash: Vec<Box<dyn Any>>,
}

impl Face {
    pub(super) fn new() -> Face {
        Face {
            places: Vec::new(),
            next_listener: 1,
            calls: VecDeque::new(),
            immediates: VecDeque::new(),
            unhandled_hook: None,
            has_unhandled_hook: false,
            unhandled_count: 0,
            first_error: None,
            trash: Vec::new(),
        }
    }

    /// Gives up everything of the user's. The caller drops it when no borrow is left.
    pub(super) fn dismantle(&mut self) -> Face {
        std::mem::replace(self, Face::new())
    }

    /// Keeps `value` until it can be dropped safely.
    pub(super) fn discard<T: 'static>(&mut self, value: T) {
        self.trash.push(Box::new(value));
    }

    pub(super) fn take_trash(&mut self) -> Vec<Box<dyn Any>> {
        std::mem::take(&mut self.trash)
    }

    pub(super) fn has_trash(&self) -> bool {
        !self.trash.is_empty()
    }

    pub(super) fn free(&mut self, key: Key) -> Slot {
        match self.place(key) {
            Some(slot) => std::mem::replace(slot, Slot::Vacant),
            None => Slot::Vacant,
        }
    }

    pub(super) fn insert(&mut self, key: Key, slot: Slot) {
        let index = key.index();
        if index >= self.places.len() {
            let vacant = || Place {
                owner: key,
                slot: Slot::Vacant,
            };
            self.places.resize_with(index + 1, vacant);
        }
        self.places[index] = Place { owner: key, slot };
    }

    /// Listeners added from now on have this id or a higher one.
    #[inline]
    pub(super) fn next_listener(&self) -> u64 {
        self.next_listener
    }

    pub(super) fn new_listener(&mut self) -> u64 {
        self.next_listener += 1;
        self.next_listener - 1
    }

    /// Adds a listener to a live socket.
    pub(super) fn add_listener(
        &mut self,
        key: Key,
        kind: EventKind,
        once: bool,
        callback: SocketCallback,
    ) {
        let id = self.new_listener();
        self.socket_mut(key).add_listener(id, kind, once, callback);
    }

    /// The face of a live socket, made on first use.
    pub(super) fn socket_mut(&mut self, key: Key) -> &mut SocketFace {
        if self.socket(key).is_none() {
            self.insert(key, Slot::Socket(SocketFace::new()));
        }
        self.socket(key).expect("just made")
    }

    #[inline]
    pub(super) fn socket(&mut self, key: Key) -> Option<&mut SocketFace> {
        match self.place(key) {
            Some(Slot::Socket(socket)) => Some(socket),
            _ => None,
        }
    }

    pub(super) fn server(&mut self, key: Key) -> Option<&mut ServerFace> {
        match self.place(key) {
            Some(Slot::Server(server)) => Some(server),
            _ => None,
        }
    }

    pub(super) fn timer(&mut self, key: Key) -> Option<&mut TimerFace> {
        match self.place(key) {
            Some(Slot::Timer(timer)) => Some(timer),
            _ => None,
        }
    }

    pub(super) fn watch(&mut self, key: Key) -> Option<&mut WatchFace> {
        match self.place(key) {
            Some(Slot::Watch(watch)) => Some(watch),
            _ => None,
        }
    }

    #[inline]
    fn place(&mut self, key: Key) -> Option<&mut Slot> {
        match self.places.get_mut(key.index()) {
            Some(place) if place.owner == key => Some(&mut place.slot),
            _ => None,
        }
    }
}

impl ServerFace {
    /// The next listener of one kind, taken out to be called.
    pub(super) fn lease_listener(
        &mut self,
        after: u64,
        end: u64,
        kind: EventKind,
    ) -> Option<(ServerCallback, listeners::Place)> {
        let found = self.listeners.find(after, end, |k, _| k == kind)?;
        let (callback, place) = (found.callback.take()?, found.place);
        if place.once {
            self.listeners.spend(&place);
        }
        Some((callback, place))
    }

    pub(super) fn new() -> ServerFace {
        ServerFace {
            listeners: Listeners::new(),
            listen_options: None,
            listen_callback: None,
            destroyed: 0,
            deadline: None,
            #[cfg(feature = "tls")]
            tls: None,
        }
    }
}
