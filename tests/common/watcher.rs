//! Records the events of sockets, and holds the rules that always hold.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;

use tidewheel::net::{EventKind, Handler, Lookup, Socket};
use tidewheel::Error;

use super::{Form, Script, Seen};

pub(super) struct WatchedSocket {
    pub(super) name: String,
    pub(super) closes: bool,
    pub(super) closed: Rc<Cell<bool>>,
}

pub(super) type Watched = RefCell<Vec<WatchedSocket>>;

/// Watches sockets from inside callbacks.
#[derive(Clone)]
pub struct Watcher {
    pub(super) form: Form,
    pub(super) log: Rc<RefCell<Vec<String>>>,
    pub(super) probe: Rc<()>,
    pub(super) watched: Rc<Watched>,
}

impl Watcher {
    pub fn watch(&self, socket: &Socket, script: Script) {
        let closed = Rc::new(Cell::new(false));
        self.watched.borrow_mut().push(WatchedSocket {
            name: script.name.clone(),
            closes: script.closes,
            closed: Rc::clone(&closed),
        });
        if let Some(encoding) = script.encoding {
            socket.set_encoding(Some(encoding));
        }
        let reads = script.reads;
        let recorder = Recorder {
            name: script.name,
            lookups: script.lookups,
            text: script.encoding.is_some(),
            actions: script.actions,
            log: Rc::clone(&self.log),
            closed,
            destroyed: false,
            seen: Vec::new(),
            _probe: Rc::clone(&self.probe),
        };
        if self.form == Form::Handler && reads {
            socket.set_handler(recorder);
        } else {
            attach(socket, recorder, reads);
        }
    }
}

/// One recorder behind a closure for each event.
fn attach(socket: &Socket, recorder: Recorder, reads: bool) {
    let (lookups, text) = (recorder.lookups, recorder.text);
    let recorder = Rc::new(RefCell::new(recorder));
    macro_rules! listen {
        ($($on:ident $seen:expr;)*) => {$(
            let r = Rc::clone(&recorder);
            socket.$on(move |socket| r.borrow_mut().record(socket, $seen));
        )*};
    }
    listen! {
        on_connect Seen::Connect;
        on_ready Seen::Ready;
        on_end Seen::End;
        on_drain Seen::Drain;
        on_timeout Seen::Timeout;
        on_finish Seen::Finish;
    }
    #[cfg(feature = "tls")]
    {
        let r = Rc::clone(&recorder);
        socket.on_secure_connect(move |socket| r.borrow_mut().record(socket, Seen::Secure));
    }
    if reads {
        let r = Rc::clone(&recorder);
        socket.on_data(move |socket, data| r.borrow_mut().record(socket, Seen::Data(data)));
    }
    if lookups {
        let r = Rc::clone(&recorder);
        socket.on_lookup(move |socket, lookup| r.borrow_mut().record(socket, Seen::Lookup(lookup)));
    }
    if text {
        let r = Rc::clone(&recorder);
        socket.on_text(move |socket, text| r.borrow_mut().record(socket, Seen::Text(text)));
    }
    let r = Rc::clone(&recorder);
    socket.on_error(move |socket, error| r.borrow_mut().record(socket, Seen::Error(error)));
    socket.on_close(move |socket, had_error| {
        recorder.borrow_mut().record(socket, Seen::Close(had_error))
    });
}

struct Recorder {
    name: String,
    lookups: bool,
    text: bool,
    actions: HashMap<EventKind, Box<dyn FnMut(&Socket, Seen<'_>)>>,
    log: Rc<RefCell<Vec<String>>>,
    closed: Rc<Cell<bool>>,
    destroyed: bool,
    seen: Vec<EventKind>,
    _probe: Rc<()>,
}

impl Recorder {
    fn record(&mut self, socket: &Socket, seen: Seen<'_>) {
        let kind = seen.kind();
        self.log
            .borrow_mut()
            .push(format!("{}:{}", self.name, seen.label()));
        self.check(socket, kind);
        self.seen.push(kind);
        if kind == EventKind::Close {
            self.closed.set(true);
        }
        if let Some(action) = self.actions.get_mut(&kind) {
            action(socket, seen);
        }
        self.destroyed = socket.destroyed();
    }

    /// The rules every socket obeys, whatever the scenario.
    fn check(&self, socket: &Socket, kind: EventKind) {
        let name = &self.name;
        assert!(!self.closed.get(), "{name}: {kind:?} after close");
        let had = |kind| self.seen.contains(&kind);
        match kind {
            EventKind::Lookup => {
                assert!(!had(EventKind::Connect), "{name}: lookup after connect");
                assert!(!self.destroyed, "{name}: lookup after destroy");
            }
            EventKind::Data | EventKind::Text | EventKind::Drain => {
                assert!(!had(EventKind::Error), "{name}: {kind:?} after error");
                assert!(!self.destroyed, "{name}: {kind:?} after destroy");
                assert!(
                    !had(EventKind::End) || kind == EventKind::Drain,
                    "{name}: {kind:?} after end"
                );
            }
            EventKind::End | EventKind::Finish => {
                assert!(!had(kind), "{name}: {kind:?} twice");
                assert!(!self.destroyed, "{name}: {kind:?} after destroy");
            }
            EventKind::Connect | EventKind::Ready => {
                assert!(!had(kind), "{name}: {kind:?} twice");
                assert!(!had(EventKind::Data), "{name}: {kind:?} after data");
            }
            EventKind::Error => {
                assert!(!had(kind), "{name}: error twice");
                assert!(socket.destroyed(), "{name}: error before destroy");
            }
            EventKind::Close => assert!(socket.destroyed(), "{name}: close before destroy"),
            _ => {}
        }
    }
}

impl Handler for Recorder {
    fn on_lookup(&mut self, socket: &Socket, lookup: &Lookup) {
        if self.lookups {
            self.record(socket, Seen::Lookup(lookup));
        }
    }
    fn on_connect(&mut self, socket: &Socket) {
        self.record(socket, Seen::Connect);
    }
    #[cfg(feature = "tls")]
    fn on_secure_connect(&mut self, socket: &Socket) {
        self.record(socket, Seen::Secure);
    }
    fn on_ready(&mut self, socket: &Socket) {
        self.record(socket, Seen::Ready);
    }
    fn on_data(&mut self, socket: &Socket, data: &[u8]) {
        self.record(socket, Seen::Data(data));
    }
    fn on_text(&mut self, socket: &Socket, text: &str) {
        self.record(socket, Seen::Text(text));
    }
    fn on_end(&mut self, socket: &Socket) {
        self.record(socket, Seen::End);
    }
    fn on_drain(&mut self, socket: &Socket) {
        self.record(socket, Seen::Drain);
    }
    fn on_timeout(&mut self, socket: &Socket) {
        self.record(socket, Seen::Timeout);
    }
    fn on_finish(&mut self, socket: &Socket) {
        self.record(socket, Seen::Finish);
    }
    fn on_error(&mut self, socket: &Socket, error: &Error) {
        self.record(socket, Seen::Error(error));
    }
    fn on_close(&mut self, socket: &Socket, had_error: bool) {
        self.record(socket, Seen::Close(had_error));
    }
}
