//! What comes as text: decoded by whole characters, whatever the chunks.

use super::face::SocketCallback;
use super::lease::{ListenerLease, Next};
use super::listeners::EventKind;
use super::{LoopHandle, Socket};
use crate::arena::Key;
use crate::encoding::{Decoder, Encoding};

/// The characters that one chunk has completed; there may be none.
#[derive(Default)]
pub(super) struct Text {
    text: String,
    encoding_set: bool,
}

impl Text {
    pub(super) fn is_empty(&self) -> bool {
        self.text.is_empty()
    }

    /// A handler gets text only after `set_encoding`: nothing else tells whether it wants it.
    pub(super) fn for_handler(&self) -> Option<&str> {
        (self.encoding_set && !self.text.is_empty()).then_some(&self.text)
    }
}

impl LoopHandle {
    /// Runs the decoder of a socket, if it has one.
    pub(super) fn decode(&self, key: Key, run: impl FnOnce(&mut Decoder, &mut String)) -> Text {
        let mut face = self.inner().face.borrow_mut();
        let rare = face.socket(key).and_then(|socket| socket.rare.as_mut());
        let Some(rare) = rare else {
            return Text::default();
        };
        let Some(decoder) = &mut rare.decoder else {
            return Text::default();
        };
        let mut text = String::new();
        run(decoder, &mut text);
        Text {
            text,
            encoding_set: rare.encoding_set,
        }
    }

    pub(super) fn emit_text(&self, key: Key, text: &Text) {
        let socket = self.socket_handle(key);
        let mut audience = self.audience(key);
        while let Some(next) = audience.next(|kind| kind == EventKind::Text) {
            match next {
                Next::Handler(mut handler) => {
                    if let Some(text) = text.for_handler() {
                        handler.get().on_text(&socket, text);
                    }
                }
                Next::Listener(mut lease) => call_text(&mut lease, &socket, text),
                Next::Pipe(..) => {}
            }
        }
    }
}

/// Calls a `text` listener.
pub(super) fn call_text(lease: &mut ListenerLease<'_>, socket: &Socket, text: &Text) {
    match &mut lease.callback {
        Some(SocketCallback::Text(call)) => call(socket, &text.text),
        Some(SocketCallback::TextOnce(_)) => {
            if let Some(SocketCallback::TextOnce(call)) = lease.callback.take() {
                call(socket, &text.text);
            }
        }
        _ => {}
    }
}

impl Socket {
    /// Has what comes decoded from `encoding` for [`on_text`](Socket::on_text), which without it is UTF-8, and for the
    /// `on_text` of a handler, which without it is not called. `None` takes that back. It may be called at any time;
    /// `data` stays raw. Node's `socket.setEncoding`.
    pub fn set_encoding(&self, encoding: Option<Encoding>) -> &Self {
        if self.exists() {
            let mut face = self.inner().face.borrow_mut();
            let socket = face.socket_mut(self.key());
            let listens = socket.count_listeners(EventKind::Text) > 0;
            let rare = socket.rare_mut();
            rare.encoding_set = encoding.is_some();
            rare.decoder = match encoding {
                Some(encoding) => Some(Decoder::new(encoding)),
                None => listens.then(|| Decoder::new(Encoding::Utf8)),
            };
        }
        self
    }

    /// Characters came: Node's `data` after `setEncoding`. Whole ones only: what a chunk has cut in two waits for its
    /// other half. Invalid input becomes U+FFFD, and so does what is still incomplete before `end`. It makes the socket
    /// flow, unless it is paused.
    ///
    /// ```
    /// # use tidewheel::{net, EventLoop};
    /// # fn main() -> Result<(), tidewheel::Error> {
    /// # let event_loop = EventLoop::new()?;
    /// let (a, b) = net::pair(&event_loop)?;
    /// b.on_text(|_, text| assert_eq!(text, "héllo"));
    /// a.end_with("héllo");
    /// # b.on_end(|_| {});
    /// # event_loop.run()
    /// # }
    /// ```
    pub fn on_text(&self, call: impl FnMut(&Socket, &str) + 'static) -> &Self {
        self.ensure_decoder();
        self.listen(EventKind::Text, false, SocketCallback::Text(Box::new(call)))
    }

    /// As [`on_text`](Socket::on_text), for the next characters only.
    pub fn once_text(&self, call: impl FnOnce(&Socket, &str) + 'static) -> &Self {
        self.ensure_decoder();
        self.listen(
            EventKind::Text,
            true,
            SocketCallback::TextOnce(Box::new(call)),
        )
    }

    fn ensure_decoder(&self) {
        if self.exists() {
            let mut face = self.inner().face.borrow_mut();
            let rare = face.socket_mut(self.key()).rare_mut();
            rare.decoder
                .get_or_insert_with(|| Decoder::new(Encoding::Utf8));
        }
    }
}
