//! One end of a byte stream: a TCP socket, a UNIX socket, or, in a simulation, memory.

use super::addr::RawAddress;
use super::fd::{self, retry};
#[cfg(any(test, feature = "sim"))]
use super::mem;
use super::sockopt::{self, StreamKind};
use crate::address::Address;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::os::unix::net::UnixStream;
use std::ptr;
use std::time::Duration;

/// What a read brought. One word, so that a read and its result are quick to tell apart.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Read(usize);

impl Read {
    /// No buffer is that large.
    const STOPPED_EARLY: usize = 1 << (usize::BITS - 1);

    pub(crate) fn new(len: usize, stopped_early: bool) -> Read {
        let flag = if stopped_early {
            Read::STOPPED_EARLY
        } else {
            0
        };
        Read(len | flag)
    }

    /// Bytes read; 0 is the end of the stream.
    #[inline]
    pub(crate) fn len(self) -> usize {
        self.0 & !Read::STOPPED_EARLY
    }

    /// The kernel may have stopped before the end of what is there, so that a short read does not
    /// mean "drained": on a UNIX socket it stops behind a message that carried descriptors.
    #[inline]
    pub(crate) fn stopped_early(self) -> bool {
        self.0 & Read::STOPPED_EARLY != 0
    }

    /// Into a buffer of `room` bytes: the kernel has no more.
    #[inline]
    pub(crate) fn is_all(self, room: usize) -> bool {
        self.0 < room
    }

    /// The same, and it was not nothing: how much it was.
    #[inline]
    pub(crate) fn some_and_all(self, room: usize) -> Option<usize> {
        (self.0 > 0 && self.is_all(room)).then_some(self.0)
    }
}

impl fmt::Debug for Read {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Read")
            .field("len", &self.len())
            .field("stopped_early", &self.stopped_early())
            .finish()
    }
}

/// How far a connect came.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Connect {
    /// The stream is open.
    Done,
    /// Writability, or an error, will tell; then ask [`Stream::take_error`].
    InProgress,
}

/// One end of a byte stream; dropping it closes it.
#[derive(Debug)]
pub(crate) enum Stream {
    Tcp(OwnedFd),
    Unix(OwnedFd),
    #[cfg(any(test, feature = "sim"))]
    Mem(mem::Mem),
}

impl Stream {
    /// A socket of the family of `target`, not connected yet.
    pub(crate) fn socket_for(target: &Address) -> io::Result<Stream> {
        match target {
            Address::Ip(SocketAddr::V4(_)) => Ok(Stream::Tcp(fd::socket(libc::AF_INET)?)),
            Address::Ip(SocketAddr::V6(_)) => Ok(Stream::Tcp(fd::socket(libc::AF_INET6)?)),
            Address::Path(_) | Address::Abstract(_) => Ok(Stream::Unix(fd::socket(libc::AF_UNIX)?)),
            Address::Unnamed => Err(invalid("an unnamed address names nobody")),
        }
    }

    /// Adopts a descriptor: a stream socket of a known family that does not listen, else
    /// `InvalidInput`.
    pub(crate) fn from_fd(fd: OwnedFd) -> io::Result<Stream> {
        if sockopt::stream_kind(&fd)? != Some(StreamKind::Plain) {
            return Err(invalid("the descriptor is not a stream socket"));
        }
        let family = local_name(&fd)?.family();
        fd::prepare(&fd)?;
        match family {
            libc::AF_INET | libc::AF_INET6 => Ok(Stream::Tcp(fd)),
            libc::AF_UNIX => Ok(Stream::Unix(fd)),
            _ => Err(invalid("the descriptor is neither a TCP nor a UNIX socket")),
        }
    }

    /// Two UNIX sockets connected to each other.
    pub(crate) fn pair() -> io::Result<(Stream, Stream)> {
        let (one, other) = UnixStream::pair()?;
        let (one, other) = (OwnedFd::from(one), OwnedFd::from(other));
        fd::prepare(&one)?;
        fd::prepare(&other)?;
        Ok((Stream::Unix(one), Stream::Unix(other)))
    }

    /// Binds to a local address, before `connect`.
    pub(crate) fn bind(&self, local: SocketAddr) -> io::Result<()> {
        let fd = self.kernel_fd()?;
        sockopt::set_reuse_address(fd)?;
        bind(fd, &Address::Ip(local))
    }

    /// Starts to connect. A UNIX socket whose peer's queue is full says `EAGAIN`: that is a failure
    /// as it stands, for no event would follow.
    pub(crate) fn connect(&self, target: &Address) -> io::Result<Connect> {
        #[cfg(any(test, feature = "sim"))]
        if let Stream::Mem(mem) = self {
            return mem.connect(target);
        }
        let fd = self.kernel_fd()?;
        let address = RawAddress::new(target)?;
        // SAFETY: the pointer and the length describe `address`, which lives through the call.
        if unsafe { libc::connect(fd.as_raw_fd(), address.as_ptr(), address.length()) } == 0 {
            return Ok(Connect::Done);
        }
        let error = io::Error::last_os_error();
        match error.raw_os_error() {
            // An interrupted connect goes on by itself; to call again would be EALREADY.
            Some(libc::EINPROGRESS | libc::EINTR) => Ok(Connect::InProgress),
            _ => Err(error),
        }
    }

    /// Reads what is there. Descriptors that a UNIX peer passes along are dropped by the kernel, as
    /// no room for them is offered.
    #[inline(always)]
    pub(crate) fn read(&self, buffer: &mut [u8]) -> io::Result<Read> {
        match self {
            Stream::Tcp(fd) => {
                let len = receive(fd, buffer, libc::MSG_DONTWAIT)?;
                Ok(Read::new(len, false))
            }
            Stream::Unix(fd) => receive_message(fd, buffer),
            #[cfg(any(test, feature = "sim"))]
            Stream::Mem(mem) => mem.read(buffer),
        }
    }

    /// Reads for one who goes on to the end of the stream whatever this brings: whether passed descriptors ended
    /// the read early is not asked, and not said.
    #[inline(always)]
    pub(crate) fn read_on(&self, buffer: &mut [u8]) -> io::Result<Read> {
        if let Stream::Unix(fd) = self {
            let len = receive(fd, buffer, libc::MSG_DONTWAIT)?;
            return Ok(Read::new(len, false));
        }
        self.read(buffer)
    }

    /// Looks for one byte and leaves it there; 0 is the end of the stream. An errno it returns is
    /// spent, as by a read.
    pub(crate) fn peek(&self) -> io::Result<usize> {
        match self {
            Stream::Tcp(fd) | Stream::Unix(fd) => {
                receive(fd, &mut [0], libc::MSG_PEEK | libc::MSG_DONTWAIT)
            }
            #[cfg(any(test, feature = "sim"))]
            Stream::Mem(mem) => mem.peek(),
        }
    }

    #[inline(always)]
    pub(crate) fn write(&self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Stream::Tcp(fd) | Stream::Unix(fd) => {
                let fd = fd.as_raw_fd();
                // SAFETY: the pointer and the length describe `bytes`.
                let sent = retry(move || unsafe {
                    libc::send(fd, bytes.as_ptr().cast(), bytes.len(), SEND_FLAGS)
                })?;
                Ok(sent as usize)
            }
            #[cfg(any(test, feature = "sim"))]
            Stream::Mem(mem) => mem.write(bytes),
        }
    }

    /// Writes from several slices, of which the kernel takes the first 1024 at most.
    pub(crate) fn write_vectored(&self, slices: &[io::IoSlice<'_>]) -> io::Result<usize> {
        match self {
            Stream::Tcp(fd) | Stream::Unix(fd) => send_message(fd, slices),
            #[cfg(any(test, feature = "sim"))]
            Stream::Mem(mem) => mem.write_vectored(slices),
        }
    }

    /// Sends FIN. Where the connection is gone already there is nothing to end; the read side will
    /// say why.
    pub(crate) fn shutdown_write(&self) -> io::Result<()> {
        match self {
            Stream::Tcp(fd) | Stream::Unix(fd) => {
                // SAFETY: the call takes no pointers.
                match retry(|| unsafe { libc::shutdown(fd.as_raw_fd(), libc::SHUT_WR) }) {
                    Err(error) if error.raw_os_error() != Some(libc::ENOTCONN) => Err(error),
                    _ => Ok(()),
                }
            }
            #[cfg(any(test, feature = "sim"))]
            Stream::Mem(mem) => {
                mem.shutdown_write();
                Ok(())
            }
        }
    }

    /// Takes the stored error of the socket. Only while connecting: later it would rob the read of
    /// its errno.
    pub(crate) fn take_error(&self) -> io::Result<()> {
        match self {
            Stream::Tcp(fd) | Stream::Unix(fd) => sockopt::take_error(fd),
            #[cfg(any(test, feature = "sim"))]
            Stream::Mem(mem) => mem.take_error(),
        }
    }

    pub(crate) fn local_address(&self) -> io::Result<Address> {
        match self {
            Stream::Tcp(fd) | Stream::Unix(fd) => Ok(local_name(fd)?.to_address()),
            #[cfg(any(test, feature = "sim"))]
            Stream::Mem(mem) => Ok(mem.local_address()),
        }
    }

    pub(crate) fn peer_address(&self) -> io::Result<Address> {
        let fd = match self {
            Stream::Tcp(fd) | Stream::Unix(fd) => fd,
            #[cfg(any(test, feature = "sim"))]
            Stream::Mem(mem) => return mem.peer_address(),
        };
        // SAFETY: `receive` passes pointers to a storage and to its length, both valid during the
        // call.
        let (_, raw) = RawAddress::receive(|address, length| unsafe {
            libc::getpeername(fd.as_raw_fd(), address, length)
        })?;
        Ok(raw.to_address())
    }

    /// Nothing but TCP delays, so elsewhere this does nothing.
    pub(crate) fn set_no_delay(&self, on: bool) -> io::Result<()> {
        match self {
            Stream::Tcp(fd) => sockopt::set_no_delay(fd, on),
            _ => Ok(()),
        }
    }

    /// As [`Listener::set_keep_alive`](super::Listener::set_keep_alive); nothing but TCP probes.
    pub(crate) fn set_keep_alive(&self, on: bool, delay: Option<Duration>) -> io::Result<()> {
        match self {
            Stream::Tcp(fd) => sockopt::set_keep_alive(fd, on, delay),
            _ => Ok(()),
        }
    }

    /// Makes the close that follows a reset (on a UNIX socket the kernel ignores it).
    pub(crate) fn set_linger_zero(&self) -> io::Result<()> {
        match self {
            Stream::Tcp(fd) | Stream::Unix(fd) => sockopt::set_linger_zero(fd),
            #[cfg(any(test, feature = "sim"))]
            Stream::Mem(mem) => {
                mem.set_linger_zero();
                Ok(())
            }
        }
    }

    /// The descriptor's number; none in a simulation.
    pub(crate) fn raw_fd(&self) -> Option<RawFd> {
        self.fd().map(AsRawFd::as_raw_fd)
    }

    /// The descriptor on loan; none in a simulation.
    pub(crate) fn borrow_fd(&self) -> Option<BorrowedFd<'_>> {
        self.fd().map(AsFd::as_fd)
    }

    pub(crate) fn into_fd(self) -> Option<OwnedFd> {
        match self {
            Stream::Tcp(fd) | Stream::Unix(fd) => Some(fd),
            #[cfg(any(test, feature = "sim"))]
            Stream::Mem(_) => None,
        }
    }

    pub(crate) fn is_unix(&self) -> bool {
        matches!(self, Stream::Unix(_))
    }

    fn fd(&self) -> Option<&OwnedFd> {
        match self {
            Stream::Tcp(fd) | Stream::Unix(fd) => Some(fd),
            #[cfg(any(test, feature = "sim"))]
            Stream::Mem(_) => None,
        }
    }

    fn kernel_fd(&self) -> io::Result<&OwnedFd> {
        self.fd()
            .ok_or_else(|| invalid("a simulated stream has no descriptor"))
    }
}

/// Binds a socket to `address`.
pub(super) fn bind(fd: &OwnedFd, address: &Address) -> io::Result<()> {
    let address = RawAddress::new(address)?;
    // SAFETY: the pointer and the length describe `address`, which lives through the call.
    retry(|| unsafe { libc::bind(fd.as_raw_fd(), address.as_ptr(), address.length()) })?;
    Ok(())
}

/// The address a socket is bound to.
pub(super) fn local_name(fd: &OwnedFd) -> io::Result<RawAddress> {
    // SAFETY: `receive` passes pointers to a storage and to its length, both valid during the call.
    let (_, raw) = RawAddress::receive(|address, length| unsafe {
        libc::getsockname(fd.as_raw_fd(), address, length)
    })?;
    Ok(raw)
}

pub(super) fn invalid(message: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, message)
}

/// `MSG_DONTWAIT` beside the descriptor's own flag, because that flag is shared with whoever holds
/// a duplicate, and one who clears it must not stop the loop.
#[cfg(not(target_vendor = "apple"))]
const SEND_FLAGS: libc::c_int = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL;
#[cfg(target_vendor = "apple")]
const SEND_FLAGS: libc::c_int = libc::MSG_DONTWAIT;

/// What `sendmsg` takes on every system; more is `EMSGSIZE`.
const MAX_SLICES: usize = 1024;

#[inline(always)]
fn receive(fd: &OwnedFd, buffer: &mut [u8], flags: libc::c_int) -> io::Result<usize> {
    let (fd, start, length) = (fd.as_raw_fd(), buffer.as_mut_ptr(), buffer.len());
    // SAFETY: the pointer and the length describe `buffer`, borrowed mutably through the call.
    let received = retry(move || unsafe { libc::recv(fd, start.cast(), length, flags) })?;
    Ok(received as usize)
}

fn receive_message(fd: &OwnedFd, buffer: &mut [u8]) -> io::Result<Read> {
    let mut slice = libc::iovec {
        iov_base: buffer.as_mut_ptr().cast(),
        iov_len: buffer.len(),
    };
    let mut message = empty_message();
    message.msg_iov = &mut slice;
    message.msg_iovlen = 1;
    let message = ptr::from_mut(&mut message);
    // SAFETY: `message` names one slice, which describes `buffer`, and no room for an address or
    // control data.
    let received = retry(|| unsafe { libc::recvmsg(fd.as_raw_fd(), message, libc::MSG_DONTWAIT) })?;
    // SAFETY: `message` points to a live local that nothing else uses.
    let flags = unsafe { (*message).msg_flags };
    let stopped_early = flags & libc::MSG_CTRUNC != 0;
    Ok(Read::new(received as usize, stopped_early))
}

fn send_message(fd: &OwnedFd, slices: &[io::IoSlice<'_>]) -> io::Result<usize> {
    let mut message = empty_message();
    // `IoSlice` has the layout of `iovec`, which the kernel only reads here.
    message.msg_iov = slices.as_ptr().cast_mut().cast();
    message.msg_iovlen = slices.len().min(MAX_SLICES) as _;
    // SAFETY: `message` names the slices and how many there are, all borrowed through the call, and
    // nothing else.
    let sent = retry(|| unsafe { libc::sendmsg(fd.as_raw_fd(), &message, SEND_FLAGS) })?;
    Ok(sent as usize)
}

fn empty_message() -> libc::msghdr {
    // SAFETY: `msghdr` is integers and pointers, for which zero is valid.
    unsafe { std::mem::zeroed() }
}
