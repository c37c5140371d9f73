//! System calls on stream sockets: the only layer that names libc and may say `unsafe`.
//!
//! It knows neither readiness nor connections, and it never runs code of a user. Every descriptor
//! it makes is non-blocking and close-on-exec, every call that a signal may interrupt is tried
//! again (but `connect` and `close`, which go on by themselves), and a failure is the `io::Error`
//! of its errno. Under `test` or the feature `sim`, `mem` stands beside the kernel as a network
//! in memory.
#![allow(unsafe_code)]

mod addr;
pub(crate) mod errno;
mod fd;
mod listener;
#[cfg(any(test, feature = "sim"))]
mod mem;
mod resolve;
mod sockets;
mod sockopt;
mod stream;

#[cfg(any(target_os = "linux", target_os = "android"))]
pub(crate) use fd::epoll_readable;
pub(crate) use fd::{borrow_fd, Reserve};
pub(crate) use listener::{classify_accept, AcceptError, Listener};
#[cfg(any(test, feature = "sim"))]
pub(crate) use mem::MemEvent;
#[cfg(any(test, feature = "sim"))]
pub use mem::{Faults, Sim};
pub(crate) use resolve::resolve;
pub(crate) use sockets::Sockets;
pub(crate) use stream::{Connect, Read, Stream};

#[cfg(test)]
mod tests;
