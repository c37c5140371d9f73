//! Node's `net` for Rust: evented TCP and UNIX sockets and servers on an event loop of one thread, without `async`.
//!
//! ```no_run
//! use tidewheel::{net, EventLoop};
//!
//! # fn main() -> Result<(), tidewheel::Error> {
//! let event_loop = EventLoop::new()?;
//! let server = net::create_server(&event_loop, |socket| {
//!     socket.write("hello\r\n");
//!     socket.pipe(socket);
//! });
//! server.listen(8124, |server| println!("listening on {}", server.address().unwrap()))?;
//! event_loop.run()
//! # }
//! ```
//!
//! Start at [`net`], [`EventLoop`] and [`net::Socket`]. The README has a tour of small programs; [`porting`] has every name
//! of Node's `net` with ours beside it; CONFORMANCE.md says, row by row, how far the behaviour is Node's. What follows
//! are the things that surprise, whichever side you come from.
//!
//! # A write that is taken is not a write that arrived
//!
//! [`Flushed`](net::WriteStatus::Flushed), the callback of [`write_then`](net::Socket::write_then) and the event
//! `finish` say that the bytes are with the kernel. Whether the peer's machine got them, and whether the peer read
//! them, only the peer can say, by answering. The first `write` to a peer that is gone usually succeeds.
//!
//! # `Queued` is not a failure
//!
//! [`Queued`](net::WriteStatus::Queued), the `false` of Node's `write`, means that the bytes were taken and wait. Writing
//! them again sends them twice. It asks to wait for `drain` before sending *more*; who does not wait fills the memory,
//! unless [`set_max_queued`](net::Socket::set_max_queued) limits it.
//!
//! # The slice of `data` is borrowed
//!
//! `data` gets a slice of the one buffer that the whole loop reads into: it costs no allocation, and it is gone when the
//! listener returns. Who keeps bytes copies them. Nor are there messages in a stream: a slice may hold half of what the
//! peer wrote at once, or what it wrote in three calls. It may end within a character, too;
//! [`on_text`](net::Socket::on_text) minds that.
//!
//! # A socket that nobody reads is not read
//!
//! Bytes are read once there is a `data` listener, a [`Handler`](net::Handler), a [`pipe`](net::Socket::pipe) or a
//! [`resume`](net::Socket::resume). Until then they wait in the kernel, `end` waits behind them, and so does `close`: a
//! socket with unread bytes does not close by itself. [`set_timeout`](net::Socket::set_timeout) is the remedy against
//! peers that count on it. If nothing is unread the peer's end is noticed all the same; and once our side has ended and
//! nobody ever read, what comes is discarded, so that a server which only says goodbye keeps nothing.
//!
//! # Nothing calls back from inside a call
//!
//! Every call acts or is queued. Listeners run from [`run`](EventLoop::run) and [`turn`](EventLoop::turn) only, one after
//! another, never nested; what a call lets go of (a closure, a handler, bytes) is dropped by the loop later, too. So a
//! `RefCell` may stay borrowed across any call. The exceptions run what they were given at once:
//! [`corked`](net::Socket::corked) and [`listen`](net::Server::listen) with `configure`.
//!
//! Inside a listener everything is allowed but [`run`](EventLoop::run) and [`turn`](EventLoop::turn), which answer
//! `ERR_LOOP_RUNNING`.
//!
//! # A panic in a callback
//!
//! It unwinds out of [`run`](EventLoop::run). The loop is whole: the event in delivery counts as delivered, the listener
//! stays registered unless it was for one time, and the next `run` goes on with what the turn had not come to. Nothing is
//! closed by a panic; who wants that closes.
//!
//! # Half-open connections
//!
//! TCP ends each direction by itself. As in Node a socket answers the peer's end with its own, after its `end` listeners,
//! unless `allow_half_open` was set; then it stays writable, and open, until you call [`end`](net::Socket::end). Calling
//! `end` does not stop reading. A connection is over when both sides have ended.
//!
//! # Errors nobody hears
//!
//! An `error` event without a listener never ends the program, for then any peer could, by a reset. It goes to
//! [`on_unhandled_error`](LoopHandle::on_unhandled_error) if that is set. Else, if the program itself began the operation
//! (a connect, say), `run` returns the first such error when nothing is left to do. The rest are counted in
//! [`stats`](LoopHandle::stats). What can be known at once, as a port in use, is returned by the call and is no event.
//!
//! # Small writes wait for one another
//!
//! By default the kernel gathers small writes (Nagle's algorithm), which together with delayed acknowledgements can cost
//! 40 ms for each answer. [`set_no_delay`](net::Socket::set_no_delay) turns it off;
//! [`corked`](net::Socket::corked) makes several writes one. As in Node neither is the default.
//!
//! # Dropping a handle closes nothing
//!
//! [`Socket`](net::Socket), [`Server`](net::Server), [`Timeout`] and [`LoopHandle`] name what the [`EventLoop`] owns. What
//! a closure captures lives until its emitter closes, so a socket whose listener captures the socket is no leak; a program
//! that does not end is explained by [`active_handles`](LoopHandle::active_handles). Dropping the [`EventLoop`] closes
//! everything and calls nobody.
//!
//! # One thread
//!
//! Nothing but [`Remote`], ids and errors may be sent to another thread. A callback that takes long holds up every other;
//! give work to a thread of your own and let it answer by [`Remote::post`]. For more cores run more loops.
//!
//! # 64-bit only
//!
//! A socket is named by its slot and a generation, which share one token of the size of a pointer.
//!
//! # Features
//!
//! `tls`: encrypted sockets, module `tls`.
//!
//! `tls-pfx`: the same, and keys and certificates in PKCS#12 files.
//!
//! `sim`: a simulated network and clock with seeded faults, for tests that need neither kernel nor time.
#![deny(unsafe_code)]
#![warn(missing_docs)]

mod address;
mod arena;
mod conn;
mod connector;
mod encoding;
mod error;
pub mod net;
mod reactor;
mod resolver;
mod sys;
mod timer;
#[cfg(feature = "tls")]
pub mod tls;

pub use error::{Code, Error, Result};
pub use net::{
    Builder, EventLoop, HandleInfo, HandleKind, Interest, LoopClosed, LoopHandle, LoopStats,
    Readiness, Remote, Timeout, Watch,
};

/// A simulated network and clock, with seeded faults: the whole loop runs on it without the kernel.
#[cfg(any(test, feature = "sim"))]
pub mod sim {
    pub use crate::sys::{Faults, Sim};
}

#[doc = include_str!("porting.md")]
#[cfg_attr(feature = "tls", doc = include_str!("tls/porting.md"))]
pub mod porting {}

/// The programs of the README, tested with those of the docs.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
