//! The answer to which context is for a name.

use std::fmt;

use crate::arena::Key;
use crate::error::{Code, Error, Result};
use crate::net::{LoopHandle, Socket};
use crate::tls::context::ServerWishes;
use crate::tls::SecureContext;

/// How a [`sni_callback`](super::TlsOptions::sni_callback) answers, now or later. Dropped unanswered it means the
/// context that the server has for that name anyway.
pub struct SniReply {
    handle: LoopHandle,
    key: Key,
    wishes: ServerWishes,
    answered: bool,
}

impl SniReply {
    pub(super) fn new(handle: LoopHandle, key: Key, wishes: ServerWishes) -> SniReply {
        SniReply {
            handle,
            key,
            wishes,
            answered: false,
        }
    }

    /// Goes on with `context`.
    pub fn use_context(self, context: &SecureContext) {
        let side = if context.has_keys() {
            context.server(&self.wishes).map(Some)
        } else {
            Err(Error::new(
                Code::TlsInvalidContext,
                "Invalid SNI context: it has no certificate",
            ))
        };
        self.answer(side);
    }

    /// Goes on with the context that the server has for that name, or for everybody.
    pub fn use_default(self) {
        self.answer(Ok(None));
    }

    /// Ends the handshake; `tls_client_error` gets `error`, and the client the alert `unrecognized_name`.
    pub fn fail(self, error: Error) {
        self.answer(Err(error));
    }

    fn answer(mut self, choice: Result<Option<crate::tls::context::ServerSide>>) {
        self.answered = true;
        let inner = self.handle.inner();
        let socket = Socket::at(inner, self.key);
        if socket.destroyed() {
            // Its error may be the user's.
            return socket.discard(choice);
        }
        inner
            .reactor
            .borrow_mut()
            .tls_context_chosen(self.key, choice);
    }
}

impl Drop for SniReply {
    fn drop(&mut self) {
        if !self.answered {
            let inner = self.handle.inner();
            inner
                .reactor
                .borrow_mut()
                .tls_context_chosen(self.key, Ok(None));
        }
    }
}

impl fmt::Debug for SniReply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SniReply").finish_non_exhaustive()
    }
}
