//! What the system says of the process, and what is asked of it.

use std::fs;
use std::io;
use std::os::fd::RawFd;

/// Descriptors that are open.
pub fn descriptors() -> u64 {
    // One of them is the directory itself.
    fs::read_dir("/proc/self/fd").map_or(0, |entries| entries.count() as u64 - 1)
}

/// Resident memory, in KiB.
pub fn resident() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmRSS:"));
    let words = line.and_then(|line| line.split_whitespace().nth(1));
    words.and_then(|word| word.parse().ok()).unwrap_or(0)
}

/// Raises the soft limit of descriptors as far as it goes, and says how far that is.
pub fn raise_descriptors() -> u64 {
    let mut limits = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: the pointers are to a live `rlimit`.
    unsafe {
        libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limits);
        limits.rlim_cur = limits.rlim_max;
        libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limits);
        libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limits);
    }
    limits.rlim_cur
}

/// Makes the sending buffer of a socket so small that hardly a write is taken whole. (A small receiving one would show
/// how the kernel probes windows that are shut, and take minutes for what takes seconds.)
pub fn narrow(fd: RawFd) -> io::Result<()> {
    let bytes: libc::c_int = 4096;
    // SAFETY: the pointer and the length are of one live integer.
    let result = unsafe {
        libc::setsockopt(
            fd,
            libc::SOL_SOCKET,
            libc::SO_SNDBUF,
            (&raw const bytes).cast(),
            size_of_val(&bytes) as libc::socklen_t,
        )
    };
    match result {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Bytes of a socket that lie in the kernel.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Lying {
    pub unread: u64,
    /// Sent, and not yet taken by the other end.
    pub unsent: u64,
}

pub fn lying(fd: RawFd) -> Lying {
    let ask = |request| {
        let mut bytes: libc::c_int = 0;
        // SAFETY: the pointer is to a live integer, which is what both requests fill.
        let result = unsafe { libc::ioctl(fd, request, &raw mut bytes) };
        u64::try_from(if result == 0 { bytes } else { 0 }).unwrap_or(0)
    };
    Lying {
        unread: ask(libc::FIONREAD),
        unsent: ask(libc::TIOCOUTQ),
    }
}

/// Whether there is room to send.
pub fn has_room(fd: RawFd) -> bool {
    let mut asked = libc::pollfd {
        fd,
        events: libc::POLLOUT,
        revents: 0,
    };
    // SAFETY: the pointer is to one live `pollfd`.
    unsafe { libc::poll(&raw mut asked, 1, 0) == 1 && asked.revents & libc::POLLOUT != 0 }
}
