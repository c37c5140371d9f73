//! A bound socket that accepts connections, and what the errors of accepting mean.

#[cfg(any(test, feature = "sim"))]
use super::mem::MemListener;
use super::stream::{self, Stream};
use super::{fd, sockopt};
use crate::address::Address;
use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::Duration;
use std::{fs, io};

/// A socket to listen on. Closing or dropping it removes the path it was bound to, if the file
/// there is still the one it made: by then another server may own the name.
#[derive(Debug)]
pub(crate) struct Listener {
    socket: Socket,
    shared: bool,
    file: Option<SocketFile>,
}

#[derive(Debug)]
enum Socket {
    Tcp(OwnedFd),
    Unix(OwnedFd),
    #[cfg(any(test, feature = "sim"))]
    Mem(MemListener),
}

impl Listener {
    /// The socket alone, for those who have to configure it before [`bind`](Listener::bind). The
    /// two options are of TCP.
    pub(crate) fn socket_for(
        address: &Address,
        ipv6_only: bool,
        reuse_port: bool,
    ) -> io::Result<Listener> {
        let socket = match Stream::socket_for(address)? {
            Stream::Tcp(fd) => Socket::Tcp(fd),
            Stream::Unix(fd) => Socket::Unix(fd),
            #[cfg(any(test, feature = "sim"))]
            Stream::Mem(_) => return Err(stream::invalid("a stream of the kernel was asked for")),
        };
        if let Socket::Tcp(fd) = &socket {
            sockopt::set_reuse_address(fd)?;
            if matches!(address, Address::Ip(SocketAddr::V6(_))) {
                // Always said, because the default is an administrator's.
                sockopt::set_ipv6_only(fd, ipv6_only)?;
            }
            if reuse_port {
                sockopt::set_reuse_port(fd)?;
            }
        }
        Ok(Listener {
            socket,
            shared: false,
            file: None,
        })
    }

    #[cfg(any(test, feature = "sim"))]
    pub(crate) fn simulated(listener: MemListener) -> Listener {
        Listener {
            socket: Socket::Mem(listener),
            shared: false,
            file: None,
        }
    }

    /// Binds. `remove_stale`: a path where nobody answers is taken over.
    pub(crate) fn bind(mut self, address: &Address, remove_stale: bool) -> io::Result<Listener> {
        let fd = match &self.socket {
            Socket::Tcp(fd) | Socket::Unix(fd) => fd,
            #[cfg(any(test, feature = "sim"))]
            Socket::Mem(mem) => {
                mem.bind(address)?;
                return Ok(self);
            }
        };
        match stream::bind(fd, address) {
            Err(error) if remove_stale && error.raw_os_error() == Some(libc::EADDRINUSE) => {
                remove_if_stale(address, error)?;
                stream::bind(fd, address)?;
            }
            other => other?,
        }
        if let Address::Path(path) = address {
            self.file = SocketFile::at(path);
        }
        Ok(self)
    }

    /// Adopts a bound stream socket, TCP or UNIX; anything else is `EINVAL`. Its path, if it has
    /// one, is its maker's to remove.
    pub(crate) fn from_fd(fd: OwnedFd) -> io::Result<Listener> {
        let invalid = || io::Error::from_raw_os_error(libc::EINVAL);
        if sockopt::stream_kind(&fd)?.is_none() {
            return Err(invalid());
        }
        let name = stream::local_name(&fd)?;
        let is_tcp = match (name.family(), name.to_address()) {
            (libc::AF_INET | libc::AF_INET6, Address::Ip(address)) if address.port() != 0 => true,
            (libc::AF_UNIX, Address::Path(_) | Address::Abstract(_)) => false,
            _ => return Err(invalid()),
        };
        fd::prepare(&fd)?;
        Ok(Listener {
            socket: if is_tcp {
                Socket::Tcp(fd)
            } else {
                Socket::Unix(fd)
            },
            shared: true,
            file: None,
        })
    }

    /// Starts to listen, or changes the backlog, which reaches the kernel as it is.
    pub(crate) fn listen(&self, backlog: i32) -> io::Result<()> {
        let fd = match &self.socket {
            Socket::Tcp(fd) | Socket::Unix(fd) => fd,
            #[cfg(any(test, feature = "sim"))]
            Socket::Mem(mem) => {
                mem.listen();
                return Ok(());
            }
        };
        // SAFETY: the call takes no pointers.
        fd::retry(|| unsafe { libc::listen(fd.as_raw_fd(), backlog) })?;
        Ok(())
    }

    /// The next waiting connection and its peer's address.
    pub(crate) fn accept(&self) -> io::Result<(Stream, Address)> {
        let (stream, peer) = match &self.socket {
            Socket::Tcp(fd) => {
                let (fd, peer) = fd::accept(fd)?;
                (Stream::Tcp(fd), peer)
            }
            Socket::Unix(fd) => {
                let (fd, peer) = fd::accept(fd)?;
                (Stream::Unix(fd), peer)
            }
            #[cfg(any(test, feature = "sim"))]
            Socket::Mem(mem) => {
                let (mem, peer) = mem.accept()?;
                return Ok((Stream::Mem(mem), peer));
            }
        };
        Ok((stream, peer.to_address()))
    }

    /// Set once here, it is inherited by accepted sockets (on Linux).
    pub(crate) fn set_no_delay(&self, on: bool) -> io::Result<()> {
        if let Socket::Tcp(fd) = &self.socket {
            sockopt::set_no_delay(fd, on)?;
        }
        Ok(())
    }

    /// Whole seconds of the delay count; none of them leaves the system's idle time. Inherited as
    /// above.
    pub(crate) fn set_keep_alive(&self, on: bool, delay: Option<Duration>) -> io::Result<()> {
        if let Socket::Tcp(fd) = &self.socket {
            sockopt::set_keep_alive(fd, on, delay)?;
        }
        Ok(())
    }

    pub(crate) fn local_address(&self) -> io::Result<Address> {
        match &self.socket {
            Socket::Tcp(fd) | Socket::Unix(fd) => Ok(stream::local_name(fd)?.to_address()),
            #[cfg(any(test, feature = "sim"))]
            Socket::Mem(mem) => Ok(mem.local_address()),
        }
    }

    /// The descriptor on loan to one who may duplicate it; none in a simulation.
    pub(crate) fn share_fd(&mut self) -> Option<BorrowedFd<'_>> {
        self.shared = true;
        self.borrow_fd()
    }

    /// Whether others may hold the same socket.
    pub(crate) fn is_shared(&self) -> bool {
        self.shared
    }

    pub(crate) fn is_unix(&self) -> bool {
        matches!(self.socket, Socket::Unix(_))
    }

    /// The descriptor's number; none in a simulation.
    pub(crate) fn raw_fd(&self) -> Option<RawFd> {
        self.borrow_fd().map(|fd| fd.as_raw_fd())
    }

    /// The descriptor on loan; none in a simulation.
    pub(crate) fn borrow_fd(&self) -> Option<BorrowedFd<'_>> {
        match &self.socket {
            Socket::Tcp(fd) | Socket::Unix(fd) => Some(fd.as_fd()),
            #[cfg(any(test, feature = "sim"))]
            Socket::Mem(_) => None,
        }
    }

    #[cfg(any(test, feature = "sim"))]
    pub(crate) fn as_simulated(&self) -> Option<&MemListener> {
        match &self.socket {
            Socket::Mem(mem) => Some(mem),
            _ => None,
        }
    }

    /// Closes the socket and removes its path; dropping does the same.
    pub(crate) fn close(self) {}
}

impl Drop for Listener {
    fn drop(&mut self) {
        // While the socket is open the kernel cannot give its inode's number to another file, so
        // look before closing.
        if let Some(file) = &self.file {
            file.remove_if_same();
        }
    }
}

/// What an error of accepting asks for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum AcceptError {
    /// No connection waits.
    WouldBlock,
    /// This connection is lost, the next may be well.
    PerConnection,
    /// No descriptor or memory: the connection still waits, and no new edge will tell of it.
    OutOfResources,
    /// The listener itself is of no use.
    Fatal,
}

/// Sorts an error of [`Listener::accept`]: Linux hands the pending network errors of the new socket
/// out here.
pub(crate) fn classify_accept(error: &io::Error) -> AcceptError {
    if error.kind() == io::ErrorKind::WouldBlock {
        return AcceptError::WouldBlock;
    }
    let Some(errno) = error.raw_os_error() else {
        return AcceptError::Fatal;
    };
    #[cfg(any(target_os = "linux", target_os = "android"))]
    if errno == libc::ENONET {
        return AcceptError::PerConnection;
    }
    match errno {
        libc::ECONNABORTED
        | libc::ECONNRESET
        | libc::EPROTO
        | libc::EPERM
        | libc::ENOPROTOOPT
        | libc::EOPNOTSUPP
        | libc::ENETDOWN
        | libc::ENETUNREACH
        | libc::EHOSTDOWN
        | libc::EHOSTUNREACH
        | libc::ETIMEDOUT => AcceptError::PerConnection,
        libc::EMFILE | libc::ENFILE | libc::ENOBUFS | libc::ENOMEM => AcceptError::OutOfResources,
        _ => AcceptError::Fatal,
    }
}

/// Removes a socket file that its maker has left behind: it refuses connections. Else the error is
/// that of the bind.
fn remove_if_stale(address: &Address, error: io::Error) -> io::Result<()> {
    let Address::Path(path) = address else {
        return Err(error);
    };
    let is_socket = fs::symlink_metadata(path).is_ok_and(|file| file.file_type().is_socket());
    let probe = Stream::socket_for(address)?.connect(address);
    let refused = matches!(&probe, Err(e) if e.raw_os_error() == Some(libc::ECONNREFUSED));
    if is_socket && refused {
        fs::remove_file(path)
    } else {
        Err(error)
    }
}

/// The file of a UNIX listener, known again by device and inode.
#[derive(Debug)]
struct SocketFile {
    path: PathBuf,
    identity: (u64, u64),
}

impl SocketFile {
    /// Absolute, because the process may change its directory before it closes.
    fn at(path: &Path) -> Option<SocketFile> {
        let path = std::path::absolute(path).ok()?;
        let identity = identity(&path)?;
        Some(SocketFile { path, identity })
    }

    fn remove_if_same(&self) {
        if identity(&self.path) == Some(self.identity) {
            // It is gone or it stays; a close has nobody to tell.
            let _ = fs::remove_file(&self.path);
        }
    }
}

fn identity(path: &Path) -> Option<(u64, u64)> {
    let file = fs::symlink_metadata(path).ok()?;
    Some((file.dev(), file.ino()))
}

#[cfg(test)]
mod tests;
