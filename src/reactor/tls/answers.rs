//! What a session asks and tells, and what the program answers.

use super::*;
use crate::tls::context::ServerSide;

impl Reactor {
    /// What the session has to tell before it goes on; `None`: nothing.
    pub(super) fn tls_news(&mut self, key: Key) -> Option<Step> {
        let layer = self.socket_mut(key)?.tls.as_mut()?;
        let news = match layer.session.wants()? {
            Wants::KeyLog => TlsNews::KeyLog(layer.session.take_key_lines()),
            Wants::Context | Wants::Identity | Wants::Session | Wants::Staple
                if std::mem::replace(&mut layer.asked, true) =>
            {
                return Some(Step::Done);
            }
            Wants::Context => TlsNews::Context,
            Wants::Identity => TlsNews::Identity,
            Wants::Session => TlsNews::Session,
            Wants::Staple => TlsNews::Staple,
            Wants::Stapled => TlsNews::Stapled(layer.session.take_stapled()),
            Wants::Keeper => TlsNews::NewSessions(layer.session.take_new()),
            Wants::Sessions => TlsNews::Sessions(layer.session.take_sessions()),
            Wants::Secure => {
                layer.session.told_secure();
                self.tls_release(key);
                // An end that waited for this is due.
                self.settle(key);
                TlsNews::Secure
            }
            Wants::Failed => return Some(self.tls_failed(key)),
        };
        Some(Step::Event(Event::Tls(key, Box::new(news))))
    }

    /// The peer is told why, as far as that can be done at once.
    fn tls_failed(&mut self, key: Key) -> Step {
        if let Some(Source::Socket(socket)) = self.sources.get_mut(key) {
            if let (Some(stream), Some(layer)) = (&socket.stream, &mut socket.tls) {
                // It is over either way.
                let _ = layer.push(stream);
                if let Some(error) = layer.session.take_failure() {
                    self.with_conn(key, |conn, released| {
                        conn.handle_read_error(error, released)
                    });
                }
            }
        }
        Step::Done
    }

    /// The context that the program chose.
    pub(crate) fn tls_context_chosen(&mut self, key: Key, choice: Result<Option<ServerSide>>) {
        if let Some(layer) = self.socket_mut(key).and_then(|socket| socket.tls.as_mut()) {
            layer.asked = false;
            layer.session.answer_context(choice);
            self.schedule(key);
        }
    }

    /// What the program thinks of the server.
    pub(crate) fn tls_identity_judged(&mut self, key: Key, opinion: Result<()>) {
        if let Some(layer) = self.socket_mut(key).and_then(|socket| socket.tls.as_mut()) {
            layer.asked = false;
            layer.session.answer_identity(opinion);
            self.schedule(key);
        }
    }

    /// What the program has kept of the session that a client would take up.
    pub(crate) fn tls_session_found(&mut self, key: Key, answer: Result<Option<Vec<u8>>>) {
        if let Some(layer) = self.socket_mut(key).and_then(|socket| socket.tls.as_mut()) {
            layer.asked = false;
            layer.session.answer_session(answer);
            self.schedule(key);
        }
    }

    /// The OCSP response that the program has for the server's certificate.
    pub(crate) fn tls_staple_given(&mut self, key: Key, answer: Result<Option<Vec<u8>>>) {
        if let Some(layer) = self.socket_mut(key).and_then(|socket| socket.tls.as_mut()) {
            layer.asked = false;
            layer.session.answer_staple(answer);
            self.schedule(key);
        }
    }

    /// The program has kept a new session.
    pub(crate) fn tls_session_kept(&mut self, key: Key) {
        if let Some(layer) = self.socket_mut(key).and_then(|socket| socket.tls.as_mut()) {
            layer.session.session_is_kept();
            self.schedule(key);
        }
    }

    pub(crate) fn tls_session(&self, key: Key) -> Option<&Session> {
        Some(&self.socket(key)?.tls.as_ref()?.session)
    }

    /// As a client it has not come to the end of the handshake.
    pub(crate) fn tls_is_connecting(&self, key: Key) -> bool {
        self.tls_session(key)
            .is_some_and(|session| session.is_client() && !session.is_secure())
    }

    /// Somebody wants to hear of secrets, before there are any.
    pub(crate) fn tls_collect_keys(&mut self, key: Key) {
        if let Some(layer) = self.socket_mut(key).and_then(|socket| socket.tls.as_mut()) {
            layer.session.collect_keys();
        }
    }
}
