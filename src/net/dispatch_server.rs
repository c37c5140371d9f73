//! The events of servers, delivered as those of sockets are.

use super::bind::bind_resolved;
use super::face::ServerCallback;
use super::listeners::{EventKind, Place};
use super::{Dropped, LoopHandle, Server, Socket};
use crate::arena::Key;
use crate::error::Error;
use crate::reactor::NotAccepted;

impl LoopHandle {
    pub(super) fn dispatch_connection(&self, server: Key, socket: Key) {
        let socket = Socket::at(self.inner(), socket);
        self.emit_server(server, EventKind::Connection, |callback| {
            if let ServerCallback::Connection(call) = callback {
                call(&socket);
            }
        });
    }

    pub(super) fn dispatch_not_accepted(&self, what: NotAccepted) {
        match what {
            NotAccepted::Failed { server, error } => self.server_failed(server, &error, false),
            NotAccepted::Dropped {
                server,
                local,
                remote,
            } => self.dispatch_drop(server, &Dropped { local, remote }),
        }
    }

    fn dispatch_drop(&self, key: Key, dropped: &Dropped) {
        let server = Server::at(self.inner(), key);
        self.emit_server(key, EventKind::Drop, |callback| {
            if let ServerCallback::Drop(call) = callback {
                call(&server, dropped);
            }
        });
    }

    pub(super) fn dispatch_listening(&self, key: Key, listen: u32) {
        if !self.inner().reactor.borrow().listen_stands(key, listen) {
            return;
        }
        if let Some(server) = self.inner().face.borrow_mut().server(key) {
            server.listen_callback = None;
        }
        let server = Server::at(self.inner(), key);
        self.emit_server(key, EventKind::Listening, |callback| {
            if let ServerCallback::Plain(call) = callback {
                call(&server);
            }
        });
    }

    /// The name to listen on was looked up: listen on its first address, or say why not.
    pub(super) fn dispatch_server_resolved(&self, key: Key) {
        let inner = self.inner();
        let Some(answer) = inner.reactor.borrow_mut().take_resolved(key) else {
            return;
        };
        let options = match inner.face.borrow_mut().server(key) {
            Some(server) => server.listen_options.take(),
            None => None,
        };
        let Some(options) = options else {
            return;
        };
        // `configure` may panic.
        let failed = ListenFailed { handle: self, key };
        let listening = answer.and_then(|addresses| {
            let sockets = inner.reactor.borrow().sockets();
            let listener = bind_resolved(&options, &sockets, &addresses)?;
            Server::at(inner, key).may_listen()?;
            let served = inner.reactor.borrow_mut().serve(key, listener);
            served.map_err(|error| Error::system("epoll_ctl", &error))
        });
        match listening {
            Ok(()) => std::mem::forget(failed),
            Err(error) => {
                drop(failed);
                self.server_failed(key, &error, true);
            }
        }
    }

    /// `ours`: this program began what failed.
    fn server_failed(&self, key: Key, error: &Error, ours: bool) {
        let server = Server::at(self.inner(), key);
        let mut heard = false;
        self.emit_server(key, EventKind::Error, |callback| {
            if let ServerCallback::Error(call) = callback {
                heard = true;
                call(&server, error);
            }
        });
        if !heard {
            self.unhandled(error, ours);
        }
    }

    /// The last event of a server, unless it was told to listen again.
    pub(super) fn dispatch_server_close(&self, key: Key) {
        let _closed = ServerClosed { handle: self, key };
        let deadline = match self.inner().face.borrow_mut().server(key) {
            Some(server) => server.deadline.take(),
            None => None,
        };
        if let Some(deadline) = deadline {
            deadline.clear();
        }
        let server = Server::at(self.inner(), key);
        self.emit_server(key, EventKind::Close, |callback| {
            if let ServerCallback::Plain(call) = callback {
                call(&server);
            }
        });
    }

    /// Runs the listeners of one kind. Those that run once are called here, the others by `call`.
    pub(super) fn emit_server(
        &self,
        key: Key,
        kind: EventKind,
        mut call: impl FnMut(&mut ServerCallback),
    ) {
        let face = &self.inner().face;
        let end = face.borrow().next_listener();
        let mut after = 0;
        loop {
            let leased = match face.borrow_mut().server(key) {
                Some(server) => server.lease_listener(after, end, kind),
                None => None,
            };
            let Some((callback, place)) = leased else {
                return;
            };
            after = place.id;
            let server = Server::at(self.inner(), key);
            match callback {
                ServerCallback::PlainOnce(call) => call(&server),
                ServerCallback::CloseWith(call) => call(&server, Ok(())),
                ServerCallback::Shutdown(call) => {
                    let destroyed = face
                        .borrow_mut()
                        .server(key)
                        .map_or(0, |server| server.destroyed);
                    call(&server, destroyed);
                }
                callback => {
                    let mut lease = ServerLease {
                        handle: self,
                        key,
                        place,
                        callback: Some(callback),
                    };
                    if let Some(callback) = &mut lease.callback {
                        call(callback);
                    }
                }
            }
        }
    }
}

/// A listen by name that came to nothing: its `listening` listener goes.
struct ListenFailed<'a> {
    handle: &'a LoopHandle,
    key: Key,
}

impl Drop for ListenFailed<'_> {
    fn drop(&mut self) {
        Server::at(self.handle.inner(), self.key).drop_listen_callback();
    }
}

/// A listener that runs; put back when dropped.
struct ServerLease<'a> {
    handle: &'a LoopHandle,
    key: Key,
    place: Place,
    callback: Option<ServerCallback>,
}

impl Drop for ServerLease<'_> {
    fn drop(&mut self) {
        let mut face = self.handle.inner().face.borrow_mut();
        if let Some(server) = face.server(self.key) {
            if let Some(vacancy) = server.listeners.vacancy(&self.place) {
                *vacancy = self.callback.take();
            }
        }
    }
}

/// After the listeners of `close` the server is freed, unless it was told to listen again.
struct ServerClosed<'a> {
    handle: &'a LoopHandle,
    key: Key,
}

impl Drop for ServerClosed<'_> {
    fn drop(&mut self) {
        let inner = self.handle.inner();
        {
            let mut reactor = inner.reactor.borrow_mut();
            let lives_on = reactor
                .server(self.key)
                .is_none_or(|server| server.is_told_to_listen() || server.close_owed);
            if lives_on {
                // The next `shutdown` counts anew.
                if let Some(server) = inner.face.borrow_mut().server(self.key) {
                    server.destroyed = 0;
                }
                return;
            }
            reactor.remove(self.key);
        }
        let slot = inner.face.borrow_mut().free(self.key);
        drop(slot);
    }
}
