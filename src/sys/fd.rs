//! Descriptors: how they are made and kept off other programs, how interrupted calls are tried
//! again, and the reserve that lets a listener shed connections when no descriptor is left.

use super::listener::{classify_accept, AcceptError, Listener};
use super::{addr::RawAddress, sockopt};
use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

/// The descriptor of the event loop, which owns it as long as it lives.
pub(crate) fn borrow_fd<L: AsRawFd>(event_loop: &L) -> BorrowedFd<'_> {
    // SAFETY: the loop closes its epoll only when it is dropped, and the borrow keeps it from being
    // dropped.
    unsafe { BorrowedFd::borrow_raw(event_loop.as_raw_fd()) }
}

/// A descriptor held back for the time when there is none left (`EMFILE`, `ENFILE`).
///
/// A connection that cannot be accepted stays in the queue, no new edge tells of it, and its client
/// hangs. So one descriptor is given up, the connection accepted into its place and closed at once,
/// and the descriptor taken back.
#[derive(Default)]
pub(crate) struct Reserve(Option<OwnedFd>);

impl Reserve {
    /// Takes the reserve if it can be had now; if not, the first [`shed`](Reserve::shed) tries
    /// again.
    pub(crate) fn new() -> Reserve {
        let mut reserve = Reserve(None);
        reserve.refill();
        reserve
    }

    /// Accepts one waiting connection in place of the reserve and closes it. `Ok(true)`: one was
    /// shed; `Ok(false)`: none waited; an error: nothing could be shed, and the caller should rest
    /// before it tries again.
    pub(crate) fn shed(&mut self, listener: &Listener) -> io::Result<bool> {
        self.refill();
        if self.0.take().is_none() {
            return Err(io::Error::from_raw_os_error(libc::EMFILE));
        }
        // The accepted stream is dropped here, before the reserve is taken back in its place.
        let accepted = listener.accept().map(drop);
        self.refill();
        match accepted {
            Ok(()) => Ok(true),
            Err(error) => match classify_accept(&error) {
                AcceptError::WouldBlock => Ok(false),
                AcceptError::PerConnection => Ok(true),
                AcceptError::OutOfResources | AcceptError::Fatal => Err(error),
            },
        }
    }

    /// Takes the reserve back, if it was lost and can be had now.
    pub(crate) fn refill(&mut self) {
        if self.0.is_none() {
            self.0 = File::open("/dev/null").ok().map(OwnedFd::from);
        }
    }
}

/// Runs a system call, again as long as a signal interrupts it.
#[inline(always)]
pub(super) fn retry<T: Copy + PartialEq + From<i8>>(mut call: impl FnMut() -> T) -> io::Result<T> {
    loop {
        let value = call();
        if value != T::from(-1) {
            return Ok(value);
        }
        if let Some(error) = failure() {
            return Err(error);
        }
    }
}

/// The error of the last call, unless a signal interrupted it.
#[cold]
#[inline(never)]
fn failure() -> Option<io::Error> {
    let error = io::Error::last_os_error();
    (error.kind() != io::ErrorKind::Interrupted).then_some(error)
}

/// The same of a call that gives its error itself.
#[cfg(any(test, feature = "sim"))]
pub(super) fn uninterrupted<T>(mut call: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    loop {
        match call() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}

/// A new stream socket of `family`.
pub(super) fn socket(family: libc::c_int) -> io::Result<OwnedFd> {
    // SAFETY: the call takes no pointers.
    let fd = retry(|| unsafe { libc::socket(family, libc::SOCK_STREAM | SOCK_FLAGS, 0) })?;
    // SAFETY: the kernel has just made this descriptor, and nobody else knows it.
    own(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// The next connection of a listening socket, with the peer's address.
pub(super) fn accept(listener: &OwnedFd) -> io::Result<(OwnedFd, RawAddress)> {
    let listener = listener.as_raw_fd();
    // SAFETY: `receive` passes pointers to a storage and to its length, both valid during the call.
    let (fd, peer) = RawAddress::receive(|address, length| unsafe {
        #[cfg(any(target_os = "linux", target_os = "android"))]
        let fd = libc::accept4(listener, address, length, SOCK_FLAGS);
        #[cfg(not(any(target_os = "linux", target_os = "android")))]
        let fd = libc::accept(listener, address, length);
        fd
    })?;
    // SAFETY: the kernel has just made this descriptor, and nobody else knows it.
    Ok((own(unsafe { OwnedFd::from_raw_fd(fd) })?, peer))
}

/// Has an epoll tell of `fd` that it is readable: for as long as it is (`level`), or whenever it becomes so, which is all
/// that mio knows. `is_new`: it is not told of yet.
#[cfg(any(target_os = "linux", target_os = "android"))]
pub(crate) fn epoll_readable(
    epoll: RawFd,
    fd: RawFd,
    token: u64,
    level: bool,
    is_new: bool,
) -> io::Result<()> {
    let mut events = libc::EPOLLIN as u32;
    if !level {
        events |= libc::EPOLLET as u32;
    }
    let mut event = libc::epoll_event { events, u64: token };
    let change = if is_new {
        libc::EPOLL_CTL_ADD
    } else {
        libc::EPOLL_CTL_MOD
    };
    // SAFETY: the event is valid during the call, and numbers that name nothing are an error.
    retry(|| unsafe { libc::epoll_ctl(epoll, change, fd, &mut event) }).map(drop)
}

/// Makes a descriptor that came from elsewhere non-blocking and close-on-exec.
pub(super) fn prepare(fd: &OwnedFd) -> io::Result<()> {
    let raw = fd.as_raw_fd();
    // SAFETY: these commands take and return plain integers.
    let flags = retry(|| unsafe { libc::fcntl(raw, libc::F_GETFL) })?;
    if flags & libc::O_NONBLOCK == 0 {
        // SAFETY: as above.
        retry(|| unsafe { libc::fcntl(raw, libc::F_SETFL, flags | libc::O_NONBLOCK) })?;
    }
    // SAFETY: as above.
    retry(|| unsafe { libc::fcntl(raw, libc::F_SETFD, libc::FD_CLOEXEC) })?;
    sockopt::no_sigpipe(fd)
}

/// What `socket` and `accept4` take to make a descriptor non-blocking and close-on-exec from birth.
#[cfg(any(target_os = "linux", target_os = "android"))]
const SOCK_FLAGS: libc::c_int = libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC;
#[cfg(not(any(target_os = "linux", target_os = "android")))]
const SOCK_FLAGS: libc::c_int = 0;

fn own(fd: OwnedFd) -> io::Result<OwnedFd> {
    if SOCK_FLAGS == 0 {
        prepare(&fd)?;
    }
    Ok(fd)
}
