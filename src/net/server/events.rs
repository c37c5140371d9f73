//! The events of a server.

use super::{Dropped, Server};
use crate::error::Error;
use crate::net::face::ServerCallback;
use crate::net::listeners::EventKind;
use crate::net::Socket;

/// Events.
impl Server {
    /// It listens: Node's `listening`. Each time, and never when `close` came first.
    pub fn on_listening(&self, call: impl FnMut(&Server) + 'static) -> &Self {
        self.add(
            EventKind::Listening,
            false,
            ServerCallback::Plain(Box::new(call)),
        )
    }

    /// A connection was accepted: Node's `connection`. No byte of it is read before the listeners return.
    pub fn on_connection(&self, call: impl FnMut(&Socket) + 'static) -> &Self {
        self.add(
            EventKind::Connection,
            false,
            ServerCallback::Connection(Box::new(call)),
        )
    }

    /// A connection over [`max_connections`](Server::max_connections) was accepted and closed at once: Node's `drop`.
    pub fn on_drop(&self, call: impl FnMut(&Server, &Dropped) + 'static) -> &Self {
        self.add(EventKind::Drop, false, ServerCallback::Drop(Box::new(call)))
    }

    /// It is closed, and so are all its connections: Node's `close`.
    pub fn on_close(&self, call: impl FnMut(&Server) + 'static) -> &Self {
        self.add(
            EventKind::Close,
            false,
            ServerCallback::Plain(Box::new(call)),
        )
    }

    /// Accepting failed: Node's `error`. Out of descriptors it comes once until accepting succeeds again; the server
    /// goes on listening and recovers by itself. What `listen` itself meets is returned by it, not told here.
    pub fn on_error(&self, call: impl FnMut(&Server, &Error) + 'static) -> &Self {
        self.add(
            EventKind::Error,
            false,
            ServerCallback::Error(Box::new(call)),
        )
    }

    /// As [`on_listening`](Server::on_listening), for the next time only.
    pub fn once_listening(&self, call: impl FnOnce(&Server) + 'static) -> &Self {
        self.add(
            EventKind::Listening,
            true,
            ServerCallback::PlainOnce(Box::new(call)),
        )
    }

    /// As [`on_connection`](Server::on_connection), for the next one only.
    pub fn once_connection(&self, call: impl FnOnce(&Socket) + 'static) -> &Self {
        let mut call = Some(call);
        let call = move |socket: &Socket| call.take().into_iter().for_each(|call| call(socket));
        self.add(
            EventKind::Connection,
            true,
            ServerCallback::Connection(Box::new(call)),
        )
    }

    /// As [`on_drop`](Server::on_drop), for the next one only.
    pub fn once_drop(&self, call: impl FnOnce(&Server, &Dropped) + 'static) -> &Self {
        let mut call = Some(call);
        let call = move |server: &Server, dropped: &Dropped| {
            call.take()
                .into_iter()
                .for_each(|call| call(server, dropped));
        };
        self.add(EventKind::Drop, true, ServerCallback::Drop(Box::new(call)))
    }

    /// As [`on_close`](Server::on_close), for the next time only.
    pub fn once_close(&self, call: impl FnOnce(&Server) + 'static) -> &Self {
        self.add(
            EventKind::Close,
            true,
            ServerCallback::PlainOnce(Box::new(call)),
        )
    }

    /// As [`on_error`](Server::on_error), for the next one only.
    pub fn once_error(&self, call: impl FnOnce(&Server, &Error) + 'static) -> &Self {
        let mut call = Some(call);
        let call = move |server: &Server, error: &Error| {
            call.take().into_iter().for_each(|call| call(server, error));
        };
        self.add(
            EventKind::Error,
            true,
            ServerCallback::Error(Box::new(call)),
        )
    }

    /// Removes all listeners of one kind, and stops the emission of that event that may be under way.
    pub fn remove_all_listeners(&self, kind: EventKind) -> &Self {
        let face = &mut *self.inner().face.borrow_mut();
        if let Some(server) = face.server(self.key) {
            let removed = server.listeners.remove_where(|k, _| k == kind);
            face.discard(removed);
        }
        self
    }

    /// How many listeners of one kind there are.
    pub fn listener_count(&self, kind: EventKind) -> usize {
        let mut face = self.inner().face.borrow_mut();
        face.server(self.key)
            .map_or(0, |server| server.listeners.count(|k, _| k == kind))
    }

    pub(in crate::net) fn add(
        &self,
        kind: EventKind,
        once: bool,
        callback: ServerCallback,
    ) -> &Self {
        let inner = self.inner();
        if inner.is_dead() {
            return self;
        }
        let face = &mut *inner.face.borrow_mut();
        let id = face.new_listener();
        match face.server(self.key) {
            Some(server) => server.listeners.add(id, kind, once, callback),
            None => face.discard(callback),
        }
        self
    }
}
