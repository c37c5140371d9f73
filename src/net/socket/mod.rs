//! The socket: its handle, what it sends, and how it ends.

mod events;
mod flow;
mod properties;
mod settings;

use std::collections::VecDeque;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::io;
use std::os::fd::OwnedFd;
use std::rc::Rc;

use super::event_loop::Inner;
use super::face::{PendingCallbacks, WriteCallback};
use super::{Chunk, ConnectOptions, LoopHandle, SocketOptions, WriteStatus};
use crate::arena::Key;
use crate::conn::{Cause, Payload, Phase};
use crate::error::{Error, Result};
use crate::reactor::{DialPlan, SocketSource, Target};
use crate::sys::Stream;
pub use properties::ReadyState;

/// Names one socket for as long as the loop lives; never used again for another. It may be sent to other threads,
/// and back in a post: [`LoopHandle::socket`] gives the socket, if it is still there.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct SocketId(pub(super) Key);

impl fmt::Display for SocketId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// One TCP or UNIX connection: Node's `net.Socket`.
///
/// The handle is a cheap clone that names the connection; dropping it closes nothing. Two handles are equal when
/// they name the same one. A socket is one connection: to connect again, dial again.
///
/// Its events are methods: `on_data`, `on_end` and so on add a listener, and all listeners of an event run in the
/// order they were added. They run inside [`EventLoop::run`](crate::EventLoop::run), never inside a call.
///
/// # Order of events
///
/// `connect`, `ready`; then `data`, `drain`; `end` (the peer's FIN) and `finish` (ours) at most once each; then
/// `error` at most once; then `close`, exactly once and last. `timeout` may come at any time before.
///
/// # After `close`
///
/// In a `close` listener every property still answers. After it the slot is free: [`destroyed`](Socket::destroyed)
/// is true, addresses are `None`, counters 0, listeners and data are dropped, and calls do nothing.
#[derive(Clone)]
pub struct Socket {
    handle: LoopHandle,
    key: Key,
}

impl Socket {
    pub(super) fn at(inner: &Rc<Inner>, key: Key) -> Socket {
        Socket {
            handle: LoopHandle::new(Rc::clone(inner)),
            key,
        }
    }

    /// A socket that is not connected. It keeps nothing alive until [`connect`](Socket::connect), and stays until it
    /// was connected and closed, or destroyed.
    ///
    /// Most programs want [`net::connect`](crate::net::connect) instead.
    pub fn new(event_loop: &LoopHandle, options: SocketOptions) -> Socket {
        let inner = event_loop.inner();
        let key = if inner.is_dead() {
            Key::DEAD
        } else {
            inner.reactor.borrow_mut().new_socket(options.limits())
        };
        Socket::at(inner, key)
    }

    /// A descriptor becomes a socket of this loop: a connected TCP or UNIX stream socket, or one that is not
    /// connected yet, perhaps bound, for [`connect`](Socket::connect). It is made non-blocking and close-on-exec. Node's
    /// `new net.Socket({ fd })`.
    ///
    /// # Errors
    ///
    /// `ERR_INVALID_FD_TYPE` for anything but a stream socket, `ERR_INVALID_ARG_VALUE` if it is to be neither readable nor
    /// writable, `ERR_LOOP_CLOSED`; the descriptor is closed then.
    ///
    /// ```
    /// use std::os::unix::net::UnixStream;
    /// use tidewheel::net::{Socket, SocketOptions};
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let event_loop = tidewheel::EventLoop::new()?;
    /// let (ours, theirs) = UnixStream::pair()?;
    /// let socket = Socket::from_fd(&event_loop, ours.into(), SocketOptions::default())?;
    /// socket.end_with("hello");
    /// # drop(theirs);
    /// # Ok(()) }
    /// ```
    pub fn from_fd(event_loop: &LoopHandle, fd: OwnedFd, options: SocketOptions) -> Result<Socket> {
        let inner = event_loop.inner();
        if inner.is_dead() {
            return Err(Error::loop_closed());
        }
        if !options.readable && !options.writable {
            return Err(Error::neither_side());
        }
        let stream = Stream::from_fd(fd).map_err(|error| match error.kind() {
            io::ErrorKind::InvalidInput => Error::invalid_fd_type(),
            _ => Error::system("open", &error),
        })?;
        let adopted = inner.reactor.borrow_mut().adopt_fd(
            options.limits(),
            stream,
            options.readable,
            options.writable,
        );
        let key = adopted.map_err(|error| Error::system("open", &error))?;
        Ok(Socket::at(inner, key))
    }

    /// Takes the descriptor out of the loop, still connected; `close(false)` follows. What the kernel has received
    /// and nobody read stays with it. Node has no such call.
    ///
    /// # Errors
    ///
    /// `EAGAIN` while bytes wait to be sent, `ERR_SOCKET_CLOSED` when it is not open. Nothing happens then.
    pub fn detach(&self) -> Result<OwnedFd> {
        let fd = self.inner().reactor.borrow_mut().detach(self.key)?;
        self.handle.finish_pipes(self.key);
        Ok(fd)
    }

    /// Starts to connect; `on_connect` becomes the first one-shot `connect` listener of this call. Failures of the
    /// attempt come as `error`, in a later turn.
    ///
    /// # Errors
    ///
    /// At once, and then nothing has happened: the socket is not new, the options name no target, or the loop is
    /// gone.
    pub fn connect(
        &self,
        options: impl Into<ConnectOptions>,
        on_connect: impl FnOnce(&Socket) + 'static,
    ) -> Result<()> {
        let options = options.into();
        let result = self.start(&options);
        match result {
            Ok(()) => {
                self.on_connect(on_connect);
            }
            // The options, too, may own closures of the user's.
            Err(_) => self.discard((on_connect, options)),
        }
        result
    }

    fn start(&self, options: &ConnectOptions) -> Result<()> {
        if self.inner().is_dead() {
            return Err(Error::loop_closed());
        }
        let plan = options.plan()?;
        if self.with(|socket| socket.conn.phase()) != Some(Phase::Idle) {
            return Err(Error::already_connected());
        }
        self.begin(options, plan);
        Ok(())
    }

    /// [`net::connect`](crate::net::connect): a wrong option, too, is reported by `error`.
    pub(super) fn dial(
        event_loop: &LoopHandle,
        options: &ConnectOptions,
        on_connect: impl FnOnce(&Socket) + 'static,
    ) -> Socket {
        let socket = Socket::new(event_loop, SocketOptions::default());
        socket.on_connect(on_connect);
        let plan = options
            .plan()
            .unwrap_or_else(|error| DialPlan::to(Target::Nowhere(error)));
        socket.begin(options, plan);
        socket
    }

    pub(super) fn begin(&self, options: &ConnectOptions, plan: DialPlan) {
        if !self.exists() {
            return;
        }
        if options.lookup.is_some() || options.configure.is_some() {
            let face = &mut *self.inner().face.borrow_mut();
            let rare = face.socket_mut(self.key).rare_mut();
            rare.lookup = options.lookup.clone();
            rare.configure = options.configure.clone();
        }
        let mut reactor = self.inner().reactor.borrow_mut();
        if options.configure.is_some() {
            // What is configured may be duplicated.
            reactor.share(self.key);
        }
        reactor.change_limits(self.key, |limits| options.add_limits(limits));
        reactor.tune(self.key, |tuning| options.add_tuning(tuning));
        if let Some(period) = options.timeout {
            reactor.set_timeout(self.key, period);
        }
        reactor.connect(self.key, plan);
    }

    pub(super) fn inner(&self) -> &Rc<Inner> {
        self.handle.inner()
    }

    pub(super) fn key(&self) -> Key {
        self.key
    }

    /// From now on it is the handle of another socket.
    pub(super) fn set_key(&mut self, key: Key) {
        self.key = key;
    }

    fn with<R>(&self, get: impl FnOnce(&SocketSource) -> R) -> Option<R> {
        self.inner().reactor.borrow().socket(self.key).map(get)
    }

    pub(super) fn exists(&self) -> bool {
        self.inner().reactor.borrow().socket(self.key).is_some()
    }

    /// Keeps a value of the user's until it can be dropped outside the call.
    pub(super) fn discard<T: 'static>(&self, value: T) {
        if !self.inner().is_dead() {
            self.inner().face.borrow_mut().discard(value);
        }
    }
}

/// Sending.
impl Socket {
    /// Sends bytes, or queues what the kernel does not take now. It never blocks. Node's `socket.write`; its boolean
    /// is [`WriteStatus::is_ok`].
    ///
    /// Text goes as UTF-8; for another encoding write `Encoding::Latin1.encode(text)`, say.
    ///
    /// Borrowed bytes are copied only if they must wait; a `Vec`, `String` or `Bytes` is kept and never copied. On
    /// [`Queued`](WriteStatus::Queued) wait for `drain` before you send *more*: these bytes are taken. After
    /// [`Refused`](WriteStatus::Refused) nothing was:
    ///
    /// | refused because | what follows |
    /// |---|---|
    /// | it was never connected | `error(ERR_SOCKET_CLOSED)`, `close(true)` |
    /// | `end()` was called | `error(ERR_STREAM_WRITE_AFTER_END)`, `close(true)`; what the kernel has stays sent |
    /// | the peer's FIN made us end | `error(EPIPE)`, `close(true)` |
    /// | more than `max_queued` would wait | `error(ERR_SOCKET_QUEUE_FULL)`, `close(true)` |
    /// | the kernel failed | `error(EPIPE` or another`)`, `close(true)`, once what the kernel still holds is read |
    /// | it is destroyed or closed | nothing |
    ///
    /// ```
    /// # use tidewheel::{net, EventLoop};
    /// # fn main() -> Result<(), tidewheel::Error> {
    /// # let event_loop = EventLoop::new()?;
    /// let (a, b) = net::pair(&event_loop)?;
    /// assert!(a.write("hello").is_ok());
    /// a.end();
    /// b.on_data(|_, data| assert_eq!(data, b"hello"));
    /// event_loop.run()?;
    /// # Ok(()) }
    /// ```
    pub fn write<'a>(&self, data: impl Into<Chunk<'a>>) -> WriteStatus {
        match data.into().into_payload() {
            Payload::Borrowed(bytes) => self.send_lent(bytes),
            payload => self.send(payload, false),
        }
    }

    /// As [`write`](Socket::write); `done` is called when these bytes are with the kernel, or with the error that
    /// prevents it. It runs exactly once, in the order of the writes, before `close`, and never inside this call. It
    /// does not say that the peer got them.
    pub fn write_then<'a>(
        &self,
        data: impl Into<Chunk<'a>>,
        done: impl FnOnce(&Socket, Result<()>) + 'static,
    ) -> WriteStatus {
        let was_destroyed = self.destroyed();
        let status = self.send(data.into().into_payload(), true);
        let late = (status == WriteStatus::Refused && was_destroyed)
            .then(|| Error::stream_destroyed("write"));
        self.keep_callback(Box::new(done), late, |pending| &mut pending.writes);
        status
    }

    /// Bytes that are lent, and nobody waits to hear of them: by far the most frequent.
    fn send_lent(&self, bytes: &[u8]) -> WriteStatus {
        let mut reactor = self.inner().reactor.borrow_mut();
        let status = reactor.write_lent(self.key, bytes);
        status.unwrap_or(WriteStatus::Refused)
    }

    fn send(&self, payload: Payload<'_>, callback: bool) -> WriteStatus {
        if self.inner().is_dead() {
            // Nobody is left to drop the bytes later.
            return WriteStatus::Refused;
        }
        let status = self
            .inner()
            .reactor
            .borrow_mut()
            .write(self.key, payload, callback);
        status.unwrap_or(WriteStatus::Refused)
    }

    /// Keeps a callback until it is due. `late`: it is, with that error.
    fn keep_callback(
        &self,
        callback: WriteCallback,
        late: Option<Error>,
        list: impl FnOnce(&mut PendingCallbacks) -> &mut VecDeque<(WriteCallback, Option<Error>)>,
    ) {
        if !self.exists() {
            let socket = self.clone();
            let error = late.unwrap_or_else(|| Error::stream_destroyed("write"));
            return self.inner().defer(move |_| callback(&socket, Err(error)));
        }
        let is_late = late.is_some();
        let face = &mut *self.inner().face.borrow_mut();
        let pending = &mut face.socket_mut(self.key).rare_mut().callbacks;
        list(pending).push_back((callback, late));
        if is_late {
            self.inner()
                .reactor
                .borrow_mut()
                .abort_late_callback(self.key);
        }
    }

    /// Ends our side: what is queued goes out, then our FIN; `finish` follows. Node's `socket.end`.
    ///
    /// The peer may go on sending, and `data` and `end` go on being delivered. The socket closes by itself when both
    /// sides have ended. A second call changes nothing; a later `write` is an error. It uncorks. On a socket that was
    /// never connected it closes it.
    pub fn end(&self) {
        self.inner().reactor.borrow_mut().end(self.key);
    }

    /// [`write`](Socket::write), then [`end`](Socket::end): so an error when our side has ended before.
    pub fn end_with<'a>(&self, data: impl Into<Chunk<'a>>) {
        let _ = self.write(data);
        self.end();
    }

    /// As [`end`](Socket::end); `done` is called just before `finish`, or with the error that prevents it:
    /// `ERR_STREAM_ALREADY_FINISHED` once such callbacks, or `finish`, are being told.
    pub fn end_then(&self, done: impl FnOnce(&Socket, Result<()>) + 'static) {
        let late = self.with(|socket| {
            let conn = &socket.conn;
            if conn.finish_begun() {
                Some(Error::already_finished("end"))
            } else if conn.destroyed() {
                Some(
                    conn.failure()
                        .cloned()
                        .unwrap_or_else(|| Error::stream_destroyed("end")),
                )
            } else {
                None
            }
        });
        let late = late.unwrap_or_else(|| Some(Error::stream_destroyed("end")));
        self.keep_callback(Box::new(done), late, |pending| &mut pending.ends);
        self.end();
    }

    /// Holds writes back until [`uncork`](Socket::uncork) was called as often, so that they leave together. A cork
    /// that holds 64 KiB lets them go. `buffer_size()` grows meanwhile.
    pub fn cork(&self) -> &Self {
        self.inner().reactor.borrow_mut().cork(self.key);
        self
    }

    /// Takes back one [`cork`](Socket::cork); the last one sends what is held, in one system call where it fits.
    pub fn uncork(&self) -> &Self {
        self.inner().reactor.borrow_mut().uncork(self.key);
        self
    }

    /// Calls `write` at once, corked, and uncorks, also when it panics.
    ///
    /// ```
    /// # fn reply(socket: &tidewheel::net::Socket, body: &str) {
    /// socket.corked(|socket| {
    ///     socket.write(format!("length: {}\r\n\r\n", body.len()));
    ///     socket.write(body);
    /// }); // one segment
    /// # }
    /// ```
    pub fn corked<R>(&self, write: impl FnOnce(&Socket) -> R) -> R {
        struct Uncork<'a>(&'a Socket);
        impl Drop for Uncork<'_> {
            fn drop(&mut self) {
                self.0.uncork();
            }
        }
        self.cork();
        let _uncork = Uncork(self);
        write(self)
    }
}

/// Ending.
impl Socket {
    /// Ends the connection now. What is queued is dropped, what the kernel has is still sent; `close(false)` follows,
    /// and no other event but write callbacks, which fail. Node's `socket.destroy`. A second call does nothing.
    pub fn destroy(&self) {
        self.destroy_because(Cause::Destroyed);
    }

    /// As [`destroy`](Socket::destroy), with `error(error)` and `close(true)`. After an earlier destroy it does
    /// nothing: the first cause counts.
    pub fn destroy_with(&self, error: Error) {
        self.destroy_because(Cause::Failed(error));
    }

    /// Ends, and destroys as soon as all is sent, without waiting for the peer: what it still sends is lost. Node's
    /// `socket.destroySoon`. To be sure that the peer can read the answer, use [`end`](Socket::end).
    pub fn destroy_soon(&self) {
        self.inner().reactor.borrow_mut().destroy_soon(self.key);
    }

    /// Closes at once with a reset (RST) instead of a FIN; TCP only. Node's `socket.resetAndDestroy`. Here
    /// `close(false)` follows; the peer gets `ECONNRESET`.
    ///
    /// While connecting it waits for `connect` and `ready`. On a socket that was never connected it is
    /// `error(ERR_SOCKET_CLOSED)`, on a UNIX socket `error(ERR_INVALID_HANDLE_TYPE)`, and `close(true)`.
    pub fn reset_and_destroy(&self) {
        self.inner().reactor.borrow_mut().reset(self.key);
        if self.destroyed() {
            self.handle.finish_pipes(self.key);
        }
    }

    fn destroy_because(&self, cause: Cause) {
        if self.destroyed() {
            // Its error may be the user's.
            return self.discard(cause);
        }
        self.inner().reactor.borrow_mut().destroy(self.key, cause);
        self.handle.finish_pipes(self.key);
    }
}

impl PartialEq for Socket {
    fn eq(&self, other: &Socket) -> bool {
        self.key == other.key && Rc::ptr_eq(self.inner(), other.inner())
    }
}

impl Eq for Socket {}

impl Hash for Socket {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.key.hash(state);
    }
}

impl fmt::Debug for Socket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Socket")
            .field("id", &self.key)
            .field("state", &self.ready_state())
            .finish_non_exhaustive()
    }
}
