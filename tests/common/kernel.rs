//! What only the kernel knows of a socket, and what only a system call can send.
#![allow(dead_code)]

use std::fs::File;
use std::os::fd::{AsRawFd, FromRawFd, RawFd};
use std::time::{Duration, Instant};

use tidewheel::net::Socket;

use crate::common::Peer;

const STUCK: Duration = Duration::from_secs(20);

/// Waits until so many bytes can be read from a socket.
#[track_caller]
pub fn wait_unread(socket: &Socket, bytes: usize) {
    let fd = socket.raw_fd().unwrap();
    let start = Instant::now();
    while unread(fd) < bytes {
        assert!(start.elapsed() < STUCK, "{} of {bytes} came", unread(fd));
        std::thread::yield_now();
    }
}

/// Waits until the peer of a socket has ended or reset.
#[track_caller]
pub fn wait_hang_up(socket: &Socket) {
    let mut poll = libc::pollfd {
        fd: socket.raw_fd().unwrap(),
        events: libc::POLLRDHUP,
        revents: 0,
    };
    // SAFETY: one live `pollfd`.
    let count = unsafe { libc::poll(&raw mut poll, 1, STUCK.as_millis() as libc::c_int) };
    assert_eq!(count, 1, "the peer is still there");
}

fn unread(fd: RawFd) -> usize {
    let mut count: libc::c_int = 0;
    // SAFETY: FIONREAD stores one int at the pointer.
    let result = unsafe { libc::ioctl(fd, libc::FIONREAD, &raw mut count) };
    assert_eq!(result, 0);
    count as usize
}

/// Sends one byte of urgent data.
#[track_caller]
pub fn send_urgent(peer: &Peer, byte: u8) {
    // SAFETY: the pointer and the length are of one live byte.
    let sent = unsafe { libc::send(fd_of(peer), (&raw const byte).cast(), 1, libc::MSG_OOB) };
    assert_eq!(sent, 1, "{}", std::io::Error::last_os_error());
}

/// Sends bytes together with a descriptor.
#[track_caller]
pub fn send_with_descriptor(peer: &Peer, bytes: &[u8]) {
    let passed = File::open("/dev/null").unwrap();
    let mut slice = libc::iovec {
        iov_base: bytes.as_ptr().cast_mut().cast(),
        iov_len: bytes.len(),
    };
    // Of u64 because a header must be aligned.
    let mut control = [0_u64; 4];
    // SAFETY: all zeros is a valid header; the pointers set below outlive the call, and the control buffer is large
    // enough for one descriptor.
    let sent = unsafe {
        let mut message: libc::msghdr = std::mem::zeroed();
        message.msg_iov = &raw mut slice;
        message.msg_iovlen = 1;
        message.msg_control = control.as_mut_ptr().cast();
        message.msg_controllen = libc::CMSG_SPACE(size_of::<RawFd>() as u32) as _;
        let header = libc::CMSG_FIRSTHDR(&raw const message);
        (*header).cmsg_level = libc::SOL_SOCKET;
        (*header).cmsg_type = libc::SCM_RIGHTS;
        (*header).cmsg_len = libc::CMSG_LEN(size_of::<RawFd>() as u32) as _;
        libc::CMSG_DATA(header)
            .cast::<RawFd>()
            .write_unaligned(passed.as_raw_fd());
        libc::sendmsg(fd_of(peer), &raw const message, 0)
    };
    assert_eq!(
        sent,
        bytes.len() as isize,
        "{}",
        std::io::Error::last_os_error()
    );
}

fn fd_of(peer: &Peer) -> RawFd {
    match peer {
        Peer::Tcp(stream) => stream.as_raw_fd(),
        Peer::Unix(stream) => stream.as_raw_fd(),
    }
}

/// The reading and the writing end of a new pipe.
pub fn pipe() -> (File, File) {
    let mut ends = [-1; 2];
    // SAFETY: the kernel fills in two integers; the descriptors are new and owned by nobody else.
    unsafe {
        assert_eq!(libc::pipe(ends.as_mut_ptr()), 0);
        (File::from_raw_fd(ends[0]), File::from_raw_fd(ends[1]))
    }
}
