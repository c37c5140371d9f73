//! What a test does on the events of one socket.

use std::collections::HashMap;

use tidewheel::net::{Encoding, EventKind, Lookup, Socket};
use tidewheel::Error;

/// What a watched socket was told.
#[derive(Clone, Copy, Debug)]
pub enum Seen<'a> {
    Lookup(&'a Lookup),
    Connect,
    Ready,
    #[cfg(feature = "tls")]
    Secure,
    Data(&'a [u8]),
    Text(&'a str),
    End,
    Drain,
    Timeout,
    Finish,
    Error(&'a Error),
    Close(bool),
}

impl Seen<'_> {
    pub(super) fn kind(&self) -> EventKind {
        match self {
            Seen::Lookup(_) => EventKind::Lookup,
            Seen::Connect => EventKind::Connect,
            Seen::Ready => EventKind::Ready,
            #[cfg(feature = "tls")]
            Seen::Secure => EventKind::SecureConnect,
            Seen::Data(_) => EventKind::Data,
            Seen::Text(_) => EventKind::Text,
            Seen::End => EventKind::End,
            Seen::Drain => EventKind::Drain,
            Seen::Timeout => EventKind::Timeout,
            Seen::Finish => EventKind::Finish,
            Seen::Error(_) => EventKind::Error,
            Seen::Close(_) => EventKind::Close,
        }
    }

    pub(super) fn label(&self) -> String {
        match self {
            Seen::Lookup(lookup) => match lookup.error() {
                Some(error) => format!("lookup({})", error.code()),
                None => format!("lookup({})", lookup.address().unwrap()),
            },
            Seen::Connect => "connect".into(),
            Seen::Ready => "ready".into(),
            #[cfg(feature = "tls")]
            Seen::Secure => "secure".into(),
            Seen::Data(data) => format!("data({})", data.len()),
            Seen::Text(text) => format!("text({text})"),
            Seen::End => "end".into(),
            Seen::Drain => "drain".into(),
            Seen::Timeout => "timeout".into(),
            Seen::Finish => "finish".into(),
            Seen::Error(error) => format!("error({})", error.code()),
            Seen::Close(had_error) => format!("close({had_error})"),
        }
    }
}

/// What a test does on the events of one socket. Events without an action are only recorded.
pub struct Script {
    pub(super) name: String,
    pub(super) reads: bool,
    pub(super) closes: bool,
    pub(super) lookups: bool,
    pub(super) encoding: Option<Encoding>,
    pub(super) actions: HashMap<EventKind, Box<dyn FnMut(&Socket, Seen<'_>)>>,
}

impl Script {
    pub fn new(name: &str) -> Script {
        Script {
            name: name.into(),
            reads: true,
            closes: true,
            lookups: false,
            encoding: None,
            actions: HashMap::new(),
        }
    }

    pub fn on(
        mut self,
        kind: EventKind,
        action: impl FnMut(&Socket, Seen<'_>) + 'static,
    ) -> Script {
        self.actions.insert(kind, Box::new(action));
        self
    }

    pub fn on_data(self, mut action: impl FnMut(&Socket, &[u8]) + 'static) -> Script {
        self.on(EventKind::Data, move |socket, seen| {
            if let Seen::Data(data) = seen {
                action(socket, data);
            }
        })
    }

    pub fn on_error(self, mut action: impl FnMut(&Socket, &Error) + 'static) -> Script {
        self.on(EventKind::Error, move |socket, seen| {
            if let Seen::Error(error) = seen {
                action(socket, error);
            }
        })
    }

    /// Nobody reads: no `data` listener. A handler would be a reader, so closures are used in both forms.
    pub fn no_reader(mut self) -> Script {
        self.reads = false;
        self
    }

    /// What comes is seen as text, too.
    pub fn text(mut self, encoding: Encoding) -> Script {
        self.encoding = Some(encoding);
        self
    }

    /// Each `lookup` is seen, too.
    pub fn lookups(mut self) -> Script {
        self.lookups = true;
        self
    }

    /// The scenario ends with this socket still open.
    pub fn stays_open(mut self) -> Script {
        self.closes = false;
        self
    }
}
