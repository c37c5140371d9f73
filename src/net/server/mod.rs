//! The server: listening, accepting, closing.

mod events;

use std::fmt;
use std::hash::{Hash, Hasher};
use std::io;
use std::os::fd::{OwnedFd, RawFd};

use std::rc::Rc;
use std::time::Duration;

use crate::arena::Key;
use crate::error::{Error, Result};
use crate::net::bind::{bind, Bound};
use crate::net::event_loop::Inner;
use crate::net::face::{ServerCallback, ServerFace, Slot};
use crate::net::listeners::EventKind;
use crate::net::{Address, ListenOptions, LoopHandle, ServerOptions, Socket};

/// Names one server for as long as the loop lives; never used again for another. It may be sent to other threads.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct ServerId(pub(in crate::net) Key);

impl fmt::Display for ServerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A connection that was accepted and closed at once, because its server had as many as it may: what Node's `drop`
/// tells.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Dropped {
    /// Our address.
    pub local: Option<Address>,
    /// The peer's address.
    pub remote: Address,
}

/// A TCP or UNIX server: Node's `net.Server`.
///
/// The handle is a cheap clone that names the server; dropping it closes nothing. After [`close`](Server::close) was
/// delivered the server is gone, unless it was told to listen again by then.
#[derive(Clone)]
pub struct Server {
    handle: LoopHandle,
    key: Key,
}

impl Server {
    pub(in crate::net) fn at(inner: &Rc<Inner>, key: Key) -> Server {
        Server {
            handle: LoopHandle::new(Rc::clone(inner)),
            key,
        }
    }

    pub(in crate::net) fn create(
        event_loop: &LoopHandle,
        options: &ServerOptions,
        on_connection: impl FnMut(&Socket) + 'static,
    ) -> Server {
        let server = Server::make(event_loop, options);
        server.on_connection(on_connection);
        server
    }

    /// One that nobody listens to yet.
    pub(in crate::net) fn make(event_loop: &LoopHandle, options: &ServerOptions) -> Server {
        let inner = event_loop.inner();
        if inner.is_dead() {
            return Server::at(inner, Key::DEAD);
        }
        let key = inner.reactor.borrow_mut().new_server(options.inherited());
        inner
            .face
            .borrow_mut()
            .insert(key, Slot::Server(Box::new(ServerFace::new())));
        Server::at(inner, key)
    }

    #[cfg(feature = "tls")]
    pub(in crate::net) fn key(&self) -> Key {
        self.key
    }

    fn inner(&self) -> &Rc<Inner> {
        self.handle.inner()
    }

    /// Binds and listens, at once: the address is there when the call returns. `listening` follows, and
    /// `on_listening` is its first one-shot listener of this call. Node's `server.listen`.
    ///
    /// A port alone means all interfaces: `::` for IPv6 and IPv4, or `0.0.0.0` where there is no IPv6.
    /// A path, for a UNIX socket, is a `Path`: `Path::new("/run/app.sock")`. Nothing at all, Node's `listen()`, is
    /// `ListenOptions::default()`.
    ///
    /// `SO_REUSEADDR` is set, so a port can be had again at once after its server is gone.
    ///
    /// # Errors
    ///
    /// What bind and listen say (EADDRINUSE, EACCES, EADDRNOTAVAIL, ENOENT, ..) is returned and not emitted too; no
    /// `close` follows and the server may listen again. `ERR_SERVER_ALREADY_LISTEN`; `ERR_SERVER_CLOSED` once its
    /// `close` was delivered; `ERR_LOOP_CLOSED`.
    ///
    /// ```
    /// # use tidewheel::{net, EventLoop};
    /// # fn main() -> Result<(), tidewheel::Error> {
    /// let event_loop = EventLoop::new()?;
    /// let server = net::create_server(&event_loop, |socket| socket.end_with("goodbye\n"));
    /// server.listen(("127.0.0.1", 0), |server| println!("listening on {}", server.address().unwrap()))?;
    /// # server.close();
    /// # event_loop.run()
    /// # }
    /// ```
    pub fn listen(
        &self,
        options: impl Into<ListenOptions>,
        on_listening: impl FnOnce(&Server) + 'static,
    ) -> Result<()> {
        let mut options = options.into();
        let result = self.start(&options);
        let inner = self.inner();
        if inner.is_dead() {
            return result;
        }
        let face = &mut *inner.face.borrow_mut();
        face.discard(options.configure.take());
        if result.is_err() {
            face.discard(on_listening);
            return result;
        }
        let id = face.new_listener();
        if let Some(server) = face.server(self.key) {
            let callback = ServerCallback::PlainOnce(Box::new(on_listening));
            server.listen_callback = Some(id);
            server
                .listeners
                .add(id, EventKind::Listening, true, callback);
        }
        result
    }

    fn start(&self, options: &ListenOptions) -> Result<()> {
        if self.inner().is_dead() {
            return Err(Error::loop_closed());
        }
        self.may_listen()?;
        let sockets = self.inner().reactor.borrow().sockets();
        match bind(options, &sockets)? {
            Bound::Listening(listener) => {
                // `configure` may have told it to listen elsewhere.
                self.may_listen()?;
                let mut reactor = self.inner().reactor.borrow_mut();
                let served = reactor.serve(self.key, listener);
                served.map_err(|error| Error::system("epoll_ctl", &error))
            }
            Bound::Name(name) => {
                let face = &mut *self.inner().face.borrow_mut();
                if let Some(server) = face.server(self.key) {
                    server.listen_options = Some(options.clone());
                }
                self.inner()
                    .reactor
                    .borrow_mut()
                    .ask_for_listen(self.key, &name);
                Ok(())
            }
        }
    }

    pub(in crate::net) fn may_listen(&self) -> Result<()> {
        match self.inner().reactor.borrow().server(self.key) {
            None => Err(Error::server_closed()),
            Some(server) if server.is_told_to_listen() => Err(Error::already_listening()),
            Some(_) => Ok(()),
        }
    }

    /// Stops accepting, at once: the address is free. Connections live on; `close` comes after the `close` of the
    /// last one. Node's `server.close`. On a server that does not listen it does nothing.
    pub fn close(&self) {
        let stopped = {
            let mut reactor = self.inner().reactor.borrow_mut();
            reactor.close_server(self.key) || reactor.cancel_listen(self.key)
        };
        if stopped {
            // A `listening` that was not delivered yet never will be.
            self.drop_listen_callback();
        }
    }

    pub(in crate::net) fn drop_listen_callback(&self) {
        let face = &mut *self.inner().face.borrow_mut();
        if let Some(server) = face.server(self.key) {
            let id = server.listen_callback.take();
            let removed = id.and_then(|id| server.listeners.remove(id));
            let options = server.listen_options.take();
            face.discard((removed, options));
        }
    }

    /// As [`close`](Server::close); `done` runs with `close`, or later in this turn with `ERR_SERVER_NOT_RUNNING`
    /// when the server does not listen.
    pub fn close_with(&self, done: impl FnOnce(&Server, Result<()>) + 'static) {
        if self.listening() {
            self.close();
            self.add(
                EventKind::Close,
                true,
                ServerCallback::CloseWith(Box::new(done)),
            );
        } else {
            // A name may still be being looked up.
            self.close();
            let server = self.clone();
            self.inner()
                .defer(move |_| done(&server, Err(Error::not_running())));
        }
    }

    /// Closes the server and ends each of its sockets with [`Socket::end`], so that what is queued still goes out.
    /// Those still open after `grace` (zero: at once) are destroyed. `done` runs with the server's `close` and says
    /// how many had to be.
    ///
    /// Node has no such call; its `http.Server` comes near.
    pub fn shutdown(&self, grace: Duration, done: impl FnOnce(&Server, usize) + 'static) {
        self.close();
        let owed = self
            .inner()
            .reactor
            .borrow()
            .server(self.key)
            .is_some_and(|server| server.close_owed);
        if !owed {
            let server = self.clone();
            return self.inner().defer(move |_| done(&server, 0));
        }
        self.add(
            EventKind::Close,
            true,
            ServerCallback::Shutdown(Box::new(done)),
        );
        let sockets = self.sockets();
        for socket in &sockets {
            socket.end();
        }
        if grace.is_zero() {
            return self.destroy_sockets(&sockets);
        }
        // Not those of a later `listen`: they were not told to end.
        let server = self.clone();
        let timer = self
            .handle
            .set_timeout(grace, move |_| server.destroy_sockets(&sockets));
        let old = match self.inner().face.borrow_mut().server(self.key) {
            Some(server) => server.deadline.replace(timer),
            None => None,
        };
        if let Some(old) = old {
            old.clear();
        }
    }

    fn destroy_sockets(&self, sockets: &[Socket]) {
        let open = sockets.iter().filter(|socket| !socket.destroyed());
        let count = open.map(Socket::destroy).count();
        if let Some(server) = self.inner().face.borrow_mut().server(self.key) {
            server.destroyed += count;
        }
    }

    /// Where it listens; `None` when it does not.
    pub fn address(&self) -> Option<Address> {
        self.inner().reactor.borrow().server_address(self.key)
    }

    /// Whether it listens.
    pub fn listening(&self) -> bool {
        let reactor = self.inner().reactor.borrow();
        reactor
            .server(self.key)
            .is_some_and(|server| server.listener.is_some())
    }

    /// The number of its sockets that are not destroyed, told after this callback. Node's `server.getConnections`.
    pub fn get_connections(&self, call: impl FnOnce(Result<usize>) + 'static) {
        let count = self.connections();
        self.inner().defer(move |_| call(Ok(count)));
    }

    /// The number of its sockets that are not destroyed.
    pub fn connections(&self) -> usize {
        let reactor = self.inner().reactor.borrow();
        reactor
            .server(self.key)
            .map_or(0, |server| server.connections)
    }

    /// From how many connections on further ones are accepted and closed at once, with a `drop`. `None`, the default:
    /// no limit. Node's `server.maxConnections`, but that 0 means none at all.
    pub fn set_max_connections(&self, limit: Option<usize>) -> &Self {
        if let Some(server) = self.inner().reactor.borrow_mut().server_mut(self.key) {
            server.max_connections = limit.unwrap_or(usize::MAX);
        }
        self
    }

    /// The limit set by [`set_max_connections`](Server::set_max_connections).
    pub fn max_connections(&self) -> Option<usize> {
        let reactor = self.inner().reactor.borrow();
        let limit = reactor.server(self.key)?.max_connections;
        (limit != usize::MAX).then_some(limit)
    }

    /// Accepts no more until [`resume`](Server::resume). Who dials meanwhile waits in the kernel's backlog. Node has
    /// no such call.
    pub fn pause(&self) -> &Self {
        self.inner().reactor.borrow_mut().pause_accepting(self.key);
        self
    }

    /// Accepts again, those first who have waited.
    pub fn resume(&self) -> &Self {
        self.inner().reactor.borrow_mut().resume_accepting(self.key);
        self
    }

    /// Its sockets that are not destroyed, in no particular order. Some may have ended: who writes to all of them asks
    /// [`writable`](Socket::writable) first, or those answer with a `write after end`.
    pub fn sockets(&self) -> Vec<Socket> {
        let keys = self.inner().reactor.borrow().sockets_of(self.key);
        keys.into_iter()
            .map(|key| Socket::at(self.inner(), key))
            .collect()
    }

    /// Lets the server keep the loop alive while it listens; the default.
    pub fn ref_(&self) -> &Self {
        self.inner()
            .reactor
            .borrow_mut()
            .set_referenced(self.key, true);
        self
    }

    /// Lets the loop end although the server listens. Its connections count by themselves.
    pub fn unref(&self) -> &Self {
        self.inner()
            .reactor
            .borrow_mut()
            .set_referenced(self.key, false);
        self
    }

    /// Whether it keeps the loop alive while it listens.
    pub fn has_ref(&self) -> bool {
        self.inner().reactor.borrow().is_referenced(self.key)
    }

    /// Its id, which may be sent to other threads: [`LoopHandle::server`] gives the server back.
    pub fn id(&self) -> ServerId {
        ServerId(self.key)
    }

    /// The number of the listening descriptor, while there is one.
    pub fn raw_fd(&self) -> Option<RawFd> {
        self.inner().reactor.borrow_mut().show_fd(self.key)
    }

    /// A duplicate of the listening descriptor, for another server to `listen` on: both accept from the same queue,
    /// and either may close.
    ///
    /// # Errors
    ///
    /// `ERR_SERVER_NOT_RUNNING` when it does not listen; what the system says when no descriptor is left.
    pub fn try_clone_fd(&self) -> Result<OwnedFd> {
        // The duplicate keeps the socket alive after we close, so it has to leave the poll by name.
        self.inner().reactor.borrow_mut().share(self.key);
        let reactor = self.inner().reactor.borrow();
        let listener = reactor
            .server(self.key)
            .and_then(|server| server.listener.as_ref());
        let fd = listener.ok_or_else(Error::not_running)?.borrow_fd();
        let fd = fd.ok_or_else(|| io::Error::from(io::ErrorKind::Unsupported));
        fd.and_then(|fd| fd.try_clone_to_owned())
            .map_err(|error| Error::system("dup", &error))
    }

    /// The loop it belongs to.
    pub fn event_loop(&self) -> &LoopHandle {
        &self.handle
    }
}

impl PartialEq for Server {
    fn eq(&self, other: &Server) -> bool {
        self.key == other.key && Rc::ptr_eq(self.inner(), other.inner())
    }
}

impl Eq for Server {}

impl Hash for Server {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.key.hash(state);
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server")
            .field("id", &self.key)
            .field("address", &self.address())
            .finish_non_exhaustive()
    }
}
