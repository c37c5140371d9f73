//! Streams of the real kernel, on loopback and in pairs; the helpers serve the tests beside the
//! other modules, too.

use super::*;
use crate::address::Address;
use std::fs::File;
use std::io::{self, IoSlice};
use std::net::{Ipv4Addr, TcpListener, UdpSocket};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// Waits until the stream is ready for `events`, or broken.
#[track_caller]
pub(super) fn wait_for(stream: &Stream, events: libc::c_short) {
    wait_fd(stream.raw_fd().unwrap(), events);
}

#[track_caller]
fn wait_fd(fd: libc::c_int, events: libc::c_short) {
    let mut poll = libc::pollfd {
        fd,
        events,
        revents: 0,
    };
    // SAFETY: the pointer is to one `pollfd`, which lives through the call.
    let ready = unsafe { libc::poll(&mut poll, 1, 5000) };
    assert_eq!(ready, 1, "nothing came within 5 s");
}

pub(super) fn tcp_listener() -> Listener {
    let listener = Listener::bind_tcp((Ipv4Addr::LOCALHOST, 0).into(), false, false).unwrap();
    listener.listen(511).unwrap();
    listener
}

pub(super) fn connect(target: &Address) -> Stream {
    let stream = Stream::socket_for(target).unwrap();
    if stream.connect(target).unwrap() == Connect::InProgress {
        wait_for(&stream, libc::POLLOUT);
        stream.take_error().unwrap();
    }
    stream
}

pub(super) fn accept(listener: &Listener) -> (Stream, Address) {
    wait_fd(listener.raw_fd().unwrap(), libc::POLLIN);
    listener.accept().unwrap()
}

/// Two ends of a TCP connection: the one that connected and the one that was accepted.
pub(super) fn tcp_pair() -> (Stream, Stream) {
    let listener = tcp_listener();
    let client = connect(&listener.local_address().unwrap());
    (client, accept(&listener).0)
}

/// A path that nobody uses.
pub(super) fn temporary_path() -> PathBuf {
    static COUNT: AtomicUsize = AtomicUsize::new(0);
    loop {
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("tidewheel-{}-{count}", std::process::id());
        let path = std::env::temp_dir().join(name);
        // A process of before may have had this number, and left something.
        if !path.exists() {
            return path;
        }
    }
}

pub(super) fn kind<T>(result: io::Result<T>) -> Option<io::ErrorKind> {
    result.err().map(|error| error.kind())
}

pub(super) fn errno<T>(result: io::Result<T>) -> Option<i32> {
    result.err().and_then(|error| error.raw_os_error())
}

/// Runs a test by itself in a process of its own, for what it changes is the process's. True in
/// there.
pub(super) fn in_child(test: &str) -> bool {
    const MARK: &str = "TIDEWHEEL_TEST_CHILD";
    if std::env::var_os(MARK).is_some() {
        return true;
    }
    let mut child = Command::new(std::env::current_exe().unwrap());
    child.args(["--exact", test, "--test-threads=1"]);
    let output = child.env(MARK, "1").output().unwrap();
    let stdout = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{} {stdout}", output.status);
    assert!(stdout.contains("1 passed"), "no such test: {test}");
    false
}

#[test]
fn an_interrupted_call_is_tried_again() {
    let mut failures = vec![libc::EBADF, libc::EINTR, libc::EINTR];
    let outcome = fd::retry(|| {
        // SAFETY: the pointer is to this thread's own errno.
        unsafe { *libc::__errno_location() = failures.pop().unwrap() };
        -1
    });
    assert_eq!(errno(outcome), Some(libc::EBADF));
    assert!(failures.is_empty());
}

#[test]
fn both_ends_of_a_tcp_connection_agree_on_their_addresses() {
    let listener = tcp_listener();
    let address = listener.local_address().unwrap();
    let client = connect(&address);
    let (server, peer) = accept(&listener);
    assert_eq!(kind(listener.accept()), Some(io::ErrorKind::WouldBlock));
    assert_eq!(client.peer_address().unwrap(), address);
    assert_eq!(server.local_address().unwrap(), address);
    assert_eq!(client.local_address().unwrap(), peer);
    assert_eq!(server.peer_address().unwrap(), peer);
}

#[test]
fn a_refused_connect_tells_so_once() {
    // Bound, so that nobody else takes the port, but not listening.
    let deaf = Listener::bind_tcp((Ipv4Addr::LOCALHOST, 0).into(), false, false).unwrap();
    let target = deaf.local_address().unwrap();
    let stream = Stream::socket_for(&target).unwrap();
    assert_eq!(stream.connect(&target).unwrap(), Connect::InProgress);
    wait_for(&stream, libc::POLLOUT);
    assert_eq!(errno(stream.take_error()), Some(libc::ECONNREFUSED));
    stream.take_error().unwrap();
}

#[test]
fn a_local_address_can_be_chosen() {
    let listener = tcp_listener();
    let target = listener.local_address().unwrap();
    let local = Ipv4Addr::new(127, 0, 0, 9);
    let stream = Stream::socket_for(&target).unwrap();
    stream.bind((local, 0).into()).unwrap();
    stream.connect(&target).unwrap();
    assert_eq!(accept(&listener).1.ip(), Some(local.into()));
}

#[test]
fn bytes_and_fin_pass_in_both_kinds() {
    for (one, other) in [tcp_pair(), Stream::pair().unwrap()] {
        let mut buffer = [0; 16];
        assert_eq!(
            kind(other.read(&mut buffer)),
            Some(io::ErrorKind::WouldBlock)
        );
        assert_eq!(kind(other.peek()), Some(io::ErrorKind::WouldBlock));
        let slices = [IoSlice::new(b"he"), IoSlice::new(b""), IoSlice::new(b"llo")];
        assert_eq!(one.write_vectored(&slices).unwrap(), 5);
        assert_eq!(one.write(b"!").unwrap(), 1);
        one.shutdown_write().unwrap();
        let mut received: Vec<u8> = Vec::new();
        loop {
            wait_for(&other, libc::POLLIN);
            let peeked = other.peek().unwrap();
            let read = other.read(&mut buffer).unwrap();
            assert_eq!((peeked, false), (read.len().min(1), read.stopped_early()));
            received.extend(&buffer[..read.len()]);
            if read.len() == 0 {
                break;
            }
        }
        assert_eq!(received, b"hello!");
        assert_eq!(other.write(b"ok").unwrap(), 2, "the other half is open");
        assert_eq!(kind(one.write(b"late")), Some(io::ErrorKind::BrokenPipe));
    }
}

#[test]
fn more_slices_than_the_kernel_takes_are_a_short_write() {
    let (one, _other) = Stream::pair().unwrap();
    assert_eq!(
        one.write_vectored(&[IoSlice::new(b"x"); 1500]).unwrap(),
        1024
    );
}

#[test]
fn a_reset_is_told_once() {
    let consumers: [fn(&Stream) -> io::Result<()>; 4] = [
        |stream| stream.read(&mut [0]).map(drop),
        |stream| stream.peek().map(drop),
        |stream| stream.write(b"x").map(drop),
        Stream::take_error,
    ];
    for consume in consumers {
        let (client, server) = tcp_pair();
        server.set_linger_zero().unwrap();
        drop(server);
        wait_for(&client, libc::POLLIN);
        assert_eq!(errno(consume(&client)), Some(libc::ECONNRESET));
        assert_eq!(client.read(&mut [0]).unwrap().len(), 0);
        client.take_error().unwrap();
        client.shutdown_write().expect("nothing is left to end");
    }
}

#[test]
fn a_read_behind_passed_descriptors_is_not_taken_for_drained() {
    let (one, other) = Stream::pair().unwrap();
    one.write(b"before").unwrap();
    send_descriptor(&one, b"with");
    one.write(b"after").unwrap();
    let (mut reads, mut buffer) = (Vec::new(), [0; 64]);
    while let Ok(read) = other.read(&mut buffer) {
        let text = String::from_utf8_lossy(&buffer[..read.len()]).into_owned();
        reads.push((text, read.stopped_early()));
    }
    // The buffer is never full, so a read that does not say so would be taken for the last.
    let text: String = reads.iter().map(|(text, _)| text.as_str()).collect();
    assert_eq!(text, "beforewithafter");
    let (last, stopped) = reads.split_last().unwrap();
    assert!(
        !stopped.is_empty() && stopped.iter().all(|(_, early)| *early),
        "{reads:?}"
    );
    assert!(!last.1);
}

/// Sends `text` together with a descriptor, which a [`Stream`] cannot.
fn send_descriptor(stream: &Stream, text: &[u8]) {
    let file = File::open("/dev/null").unwrap();
    let mut control = [0u64; 4];
    let mut slice = libc::iovec {
        iov_base: text.as_ptr().cast_mut().cast(),
        iov_len: text.len(),
    };
    // SAFETY: all pointers are to locals that live through the calls; the control buffer is aligned
    // for a header and has room for it and for one descriptor.
    unsafe {
        let mut message: libc::msghdr = std::mem::zeroed();
        message.msg_iov = &mut slice;
        message.msg_iovlen = 1;
        message.msg_control = control.as_mut_ptr().cast();
        message.msg_controllen = libc::CMSG_SPACE(4) as _;
        let header = libc::CMSG_FIRSTHDR(&message);
        (*header).cmsg_level = libc::SOL_SOCKET;
        (*header).cmsg_type = libc::SCM_RIGHTS;
        (*header).cmsg_len = libc::CMSG_LEN(4) as _;
        let data = libc::CMSG_DATA(header).cast::<libc::c_int>();
        data.write_unaligned(file.as_raw_fd());
        let sent = libc::sendmsg(stream.raw_fd().unwrap(), &message, 0);
        assert_eq!(sent, text.len() as isize);
    }
}

fn option(fd: Option<libc::c_int>, level: libc::c_int, name: libc::c_int) -> libc::c_int {
    let mut value: libc::c_int = -1;
    let mut length = 4;
    let pointer = std::ptr::from_mut(&mut value).cast();
    // SAFETY: the pointers are to an integer and to its length.
    let outcome = unsafe { libc::getsockopt(fd.unwrap(), level, name, pointer, &mut length) };
    assert_eq!(outcome, 0);
    value
}

#[test]
fn options_reach_the_kernel_and_are_inherited() {
    let tcp = |fd, name| option(fd, libc::IPPROTO_TCP, name);
    let keep_alive = |fd| option(fd, libc::SOL_SOCKET, libc::SO_KEEPALIVE);
    let listener = tcp_listener();
    let idle = tcp(listener.raw_fd(), libc::TCP_KEEPIDLE);
    listener.set_no_delay(true).unwrap();
    let delay = Duration::from_millis(7900);
    listener.set_keep_alive(true, Some(delay)).unwrap();
    let client = connect(&listener.local_address().unwrap());
    let server = accept(&listener).0;
    let fd = server.raw_fd();
    let probes = [libc::TCP_KEEPIDLE, libc::TCP_KEEPINTVL, libc::TCP_KEEPCNT];
    assert_eq!(probes.map(|name| tcp(fd, name)), [7, 1, 10]);
    assert_eq!((tcp(fd, libc::TCP_NODELAY), keep_alive(fd)), (1, 1));

    let fd = client.raw_fd();
    let delay = Duration::from_millis(999);
    client.set_keep_alive(true, Some(delay)).unwrap();
    assert_eq!(keep_alive(fd), 1);
    let left = tcp(fd, libc::TCP_KEEPIDLE);
    assert_eq!(left, idle, "less than a second leaves the system's");
    client.set_keep_alive(false, None).unwrap();
    client.set_no_delay(true).unwrap();
    assert_eq!((tcp(fd, libc::TCP_NODELAY), keep_alive(fd)), (1, 0));
}

/// Whether a descriptor is non-blocking, and whether it is close-on-exec.
fn flags(fd: libc::c_int) -> (bool, bool) {
    // SAFETY: these commands take and return plain integers.
    let (status, own) = unsafe {
        (
            libc::fcntl(fd, libc::F_GETFL),
            libc::fcntl(fd, libc::F_GETFD),
        )
    };
    (status & libc::O_NONBLOCK != 0, own & libc::FD_CLOEXEC != 0)
}

#[test]
fn every_descriptor_is_non_blocking_and_close_on_exec() {
    let listener = tcp_listener();
    let client = connect(&listener.local_address().unwrap());
    let (one, other) = Stream::pair().unwrap();
    for stream in [&client, &accept(&listener).0, &one, &other] {
        assert_eq!(flags(stream.raw_fd().unwrap()), (true, true));
    }
    assert_eq!(flags(listener.raw_fd().unwrap()), (true, true));

    let foreign = OwnedFd::from(UnixStream::pair().unwrap().0);
    // SAFETY: the command takes and returns plain integers.
    unsafe { libc::fcntl(foreign.as_raw_fd(), libc::F_SETFD, 0) };
    assert_eq!(flags(foreign.as_raw_fd()), (false, false));
    let adopted = Stream::from_fd(foreign).unwrap();
    assert!(adopted.is_unix());
    assert_eq!(flags(adopted.into_fd().unwrap().as_raw_fd()), (true, true));
}

#[test]
fn only_stream_sockets_are_adopted() {
    let foreign: [OwnedFd; 3] = [
        File::open("/dev/null").unwrap().into(),
        UdpSocket::bind("127.0.0.1:0").unwrap().into(),
        UnixDatagram::unbound().unwrap().into(),
    ];
    for fd in foreign {
        let copy = fd.try_clone().unwrap();
        assert_eq!(
            kind(Stream::from_fd(copy)),
            Some(io::ErrorKind::InvalidInput)
        );
        assert_eq!(
            kind(Listener::from_fd(fd)),
            Some(io::ErrorKind::InvalidInput)
        );
    }
    let listening = OwnedFd::from(TcpListener::bind("127.0.0.1:0").unwrap());
    let copy = listening.try_clone().unwrap();
    assert_eq!(
        kind(Stream::from_fd(copy)),
        Some(io::ErrorKind::InvalidInput)
    );
    let listener = Listener::from_fd(listening).unwrap();
    let client = connect(&listener.local_address().unwrap());
    for stream in [client, accept(&listener).0] {
        let again = Stream::from_fd(stream.into_fd().unwrap()).unwrap();
        assert!(matches!(again, Stream::Tcp(_)));
    }
}

#[test]
fn a_write_to_a_closed_peer_raises_no_signal() {
    if !in_child("sys::tests::a_write_to_a_closed_peer_raises_no_signal") {
        return;
    }
    // SAFETY: the default action takes the place of what Rust has set; no handler is involved.
    unsafe { libc::signal(libc::SIGPIPE, libc::SIG_DFL) };
    let (one, other) = Stream::pair().unwrap();
    drop(other);
    assert_eq!(kind(one.write(b"x")), Some(io::ErrorKind::BrokenPipe));
    let slices = [IoSlice::new(b"x")];
    assert_eq!(
        kind(one.write_vectored(&slices)),
        Some(io::ErrorKind::BrokenPipe)
    );
}
