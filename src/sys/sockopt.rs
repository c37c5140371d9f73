//! Socket options, as functions of a descriptor.

use super::fd::retry;
use std::os::fd::{AsRawFd, OwnedFd};
use std::time::Duration;
use std::{io, mem, ptr};

/// Node's spacing and number of keep-alive probes, set together with a delay of one's own.
const KEEP_ALIVE_INTERVAL_SECS: libc::c_int = 1;
const KEEP_ALIVE_PROBES: libc::c_int = 10;
/// Linux refuses a longer idle time: nine hours.
const KEEP_ALIVE_LONGEST_SECS: libc::c_int = 32_767;

pub(super) fn set_no_delay(fd: &OwnedFd, on: bool) -> io::Result<()> {
    set(
        fd,
        libc::IPPROTO_TCP,
        libc::TCP_NODELAY,
        libc::c_int::from(on),
    )
}

/// Turns keep-alive on or off. A delay of less than a second, or none, leaves the system's idle
/// time.
pub(super) fn set_keep_alive(fd: &OwnedFd, on: bool, delay: Option<Duration>) -> io::Result<()> {
    set(
        fd,
        libc::SOL_SOCKET,
        libc::SO_KEEPALIVE,
        libc::c_int::from(on),
    )?;
    let idle_secs = delay.map_or(0, |delay| delay.as_secs());
    if !on || idle_secs == 0 {
        return Ok(());
    }
    let idle_secs = libc::c_int::try_from(idle_secs).map_or(KEEP_ALIVE_LONGEST_SECS, |secs| {
        secs.min(KEEP_ALIVE_LONGEST_SECS)
    });
    set(fd, libc::IPPROTO_TCP, KEEP_ALIVE_IDLE, idle_secs)?;
    set(
        fd,
        libc::IPPROTO_TCP,
        libc::TCP_KEEPINTVL,
        KEEP_ALIVE_INTERVAL_SECS,
    )?;
    set(fd, libc::IPPROTO_TCP, libc::TCP_KEEPCNT, KEEP_ALIVE_PROBES)
}

/// Makes the next close a reset.
pub(super) fn set_linger_zero(fd: &OwnedFd) -> io::Result<()> {
    let linger = libc::linger {
        l_onoff: 1,
        l_linger: 0,
    };
    set(fd, libc::SOL_SOCKET, libc::SO_LINGER, linger)
}

pub(super) fn set_reuse_address(fd: &OwnedFd) -> io::Result<()> {
    set(fd, libc::SOL_SOCKET, libc::SO_REUSEADDR, 1)
}

pub(super) fn set_reuse_port(fd: &OwnedFd) -> io::Result<()> {
    set(fd, libc::SOL_SOCKET, libc::SO_REUSEPORT, 1)
}

pub(super) fn set_ipv6_only(fd: &OwnedFd, on: bool) -> io::Result<()> {
    set(
        fd,
        libc::IPPROTO_IPV6,
        libc::IPV6_V6ONLY,
        libc::c_int::from(on),
    )
}

/// The stored error of the socket, which this call takes away.
pub(super) fn take_error(fd: &OwnedFd) -> io::Result<()> {
    match get(fd, libc::SO_ERROR)? {
        0 => Ok(()),
        errno => Err(io::Error::from_raw_os_error(errno)),
    }
}

/// Whether the descriptor is a stream socket at all, and whether `listen` was called on it. A
/// descriptor that is no socket is not a stream either.
pub(super) fn stream_kind(fd: &OwnedFd) -> io::Result<Option<StreamKind>> {
    match get(fd, libc::SO_TYPE) {
        Ok(libc::SOCK_STREAM) => {}
        Ok(_) => return Ok(None),
        Err(error) if error.raw_os_error() == Some(libc::ENOTSOCK) => return Ok(None),
        Err(error) => return Err(error),
    }
    Ok(Some(match get(fd, libc::SO_ACCEPTCONN)? {
        0 => StreamKind::Plain,
        _ => StreamKind::Listening,
    }))
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum StreamKind {
    Plain,
    Listening,
}

/// Keeps a write to a closed peer from raising `SIGPIPE`, where that is a property of the socket
/// and not of the call.
#[cfg(target_vendor = "apple")]
pub(super) fn no_sigpipe(fd: &OwnedFd) -> io::Result<()> {
    set(fd, libc::SOL_SOCKET, libc::SO_NOSIGPIPE, 1)
}

#[cfg(not(target_vendor = "apple"))]
pub(super) fn no_sigpipe(_fd: &OwnedFd) -> io::Result<()> {
    Ok(())
}

#[cfg(target_vendor = "apple")]
const KEEP_ALIVE_IDLE: libc::c_int = libc::TCP_KEEPALIVE;
#[cfg(not(target_vendor = "apple"))]
const KEEP_ALIVE_IDLE: libc::c_int = libc::TCP_KEEPIDLE;

fn set<T>(fd: &OwnedFd, level: libc::c_int, name: libc::c_int, value: T) -> io::Result<()> {
    let length = mem::size_of::<T>() as libc::socklen_t;
    // SAFETY: the pointer and the length describe `value`, which lives through the call.
    retry(|| unsafe {
        libc::setsockopt(
            fd.as_raw_fd(),
            level,
            name,
            ptr::from_ref(&value).cast(),
            length,
        )
    })?;
    Ok(())
}

fn get(fd: &OwnedFd, name: libc::c_int) -> io::Result<libc::c_int> {
    let mut value: libc::c_int = 0;
    let mut length = mem::size_of::<libc::c_int>() as libc::socklen_t;
    // SAFETY: the pointers are to `value` and to its length, both of which live through the call.
    retry(|| unsafe {
        let value = ptr::from_mut(&mut value).cast();
        libc::getsockopt(fd.as_raw_fd(), libc::SOL_SOCKET, name, value, &mut length)
    })?;
    Ok(value)
}
