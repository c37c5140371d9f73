//! Listeners and the reserve, against the real kernel.

use super::*;
use crate::sys::tests::{accept, connect, errno, in_child, tcp_listener, temporary_path};
use crate::sys::{Connect, Reserve};
use std::fs::File;
use std::io::Read as _;
use std::net::{Ipv4Addr, Ipv6Addr, TcpStream};
use std::os::unix::net::UnixListener;

#[test]
fn a_unix_server_accepts_by_path_and_by_abstract_name() {
    let path = temporary_path();
    let name = path.to_str().unwrap().as_bytes().to_vec();
    let listeners = [
        (Listener::bind_path(&path), Address::Path(path.clone())),
        (Listener::bind_abstract(&name), Address::Abstract(name)),
    ];
    for (listener, address) in listeners {
        let listener = listener.unwrap();
        listener.listen(1).unwrap();
        assert_eq!(listener.local_address().unwrap(), address);
        let client = connect(&address);
        assert_eq!(client.peer_address().unwrap(), address);
        let (server, peer) = accept(&listener);
        assert_eq!(peer, Address::Unnamed);
        assert!(server.is_unix() && client.is_unix());
        server.set_no_delay(true).unwrap();
        let delay = Some(Duration::from_secs(9));
        server.set_keep_alive(true, delay).unwrap();
        listener.set_no_delay(true).unwrap();
        listener.set_keep_alive(true, delay).unwrap();
    }
    assert!(!path.exists());
}

#[test]
fn a_full_unix_queue_fails_the_connect() {
    let listener = Listener::bind_path(&temporary_path()).unwrap();
    listener.listen(0).unwrap();
    let target = listener.local_address().unwrap();
    let mut waiting = Vec::new();
    let error = loop {
        let stream = Stream::socket_for(&target).unwrap();
        match stream.connect(&target) {
            Ok(outcome) => assert_eq!(outcome, Connect::Done),
            Err(error) => break error,
        }
        waiting.push(stream);
        assert!(waiting.len() < 10, "a queue of no length took ten");
    };
    assert_eq!(error.raw_os_error(), Some(libc::EAGAIN));
}

#[test]
fn a_path_that_is_too_long_is_refused() {
    let path = temporary_path().with_extension("x".repeat(108));
    assert_eq!(errno(Listener::bind_path(&path)), Some(libc::ENAMETOOLONG));
}

#[test]
fn only_its_own_file_is_removed() {
    let path = temporary_path();
    let ours = Listener::bind_path(&path).unwrap();
    assert_eq!(errno(Listener::bind_path(&path)), Some(libc::EADDRINUSE));
    assert!(path.exists(), "a failed bind removes nothing");
    fs::remove_file(&path).unwrap();
    let theirs = UnixListener::bind(&path).unwrap();
    ours.close();
    assert!(path.exists(), "the file of the next server is not ours");
    drop(Listener::from_fd(theirs.into()).unwrap());
    assert!(path.exists(), "an adopted path is its maker's to remove");
    fs::remove_file(&path).unwrap();
}

#[test]
fn ipv6_only_is_always_said() {
    for only in [true, false] {
        // Where there is no IPv6 there is nothing to test.
        let any = (Ipv6Addr::UNSPECIFIED, 0).into();
        let Ok(listener) = Listener::bind_tcp(any, only, false) else {
            return;
        };
        listener.listen(1).unwrap();
        let port = listener.local_address().unwrap().port().unwrap();
        let v4 = TcpStream::connect((Ipv4Addr::LOCALHOST, port));
        assert_eq!(v4.is_err(), only);
    }
}

#[test]
fn a_port_is_shared_only_on_request() {
    let first = Listener::bind_tcp((Ipv4Addr::LOCALHOST, 0).into(), false, true).unwrap();
    first.listen(1).unwrap();
    let Address::Ip(address) = first.local_address().unwrap() else {
        panic!("not an IP address");
    };
    let unasked = Listener::bind_tcp(address, false, false);
    assert_eq!(errno(unasked), Some(libc::EADDRINUSE));
    let second = Listener::bind_tcp(address, false, true).unwrap();
    second.listen(1).unwrap();
}

#[test]
fn accept_errors_are_sorted() {
    use AcceptError::{Fatal, OutOfResources, PerConnection, WouldBlock};
    let table = [
        (libc::EAGAIN, WouldBlock),
        (libc::ECONNABORTED, PerConnection),
        (libc::EPROTO, PerConnection),
        (libc::EPERM, PerConnection),
        (libc::ENETDOWN, PerConnection),
        (libc::ENONET, PerConnection),
        (libc::EMFILE, OutOfResources),
        (libc::ENFILE, OutOfResources),
        (libc::ENOBUFS, OutOfResources),
        (libc::ENOMEM, OutOfResources),
        (libc::EBADF, Fatal),
        (libc::EINVAL, Fatal),
        (libc::ENOTSOCK, Fatal),
    ];
    for (errno, class) in table {
        let error = io::Error::from_raw_os_error(errno);
        assert_eq!(classify_accept(&error), class, "{error}");
    }
    let deaf = Listener::bind_tcp((Ipv4Addr::LOCALHOST, 0).into(), false, false).unwrap();
    assert_eq!(classify_accept(&deaf.accept().unwrap_err()), Fatal);
}

#[test]
fn connections_are_shed_when_descriptors_run_out() {
    if !in_child("sys::listener::tests::connections_are_shed_when_descriptors_run_out") {
        return;
    }
    let listener = tcp_listener();
    let Address::Ip(address) = listener.local_address().unwrap() else {
        panic!("not an IP address");
    };
    let mut reserve = Reserve::new();
    assert!(!reserve.shed(&listener).unwrap(), "nobody waits");
    let mut clients = [(); 3].map(|()| TcpStream::connect(address).unwrap());
    let mut hoard = hoard_descriptors();

    assert_eq!(errno(listener.accept()), Some(libc::EMFILE));
    for client in &mut clients[..2] {
        assert!(reserve.shed(&listener).unwrap());
        let patience = Some(Duration::from_secs(5));
        client.set_read_timeout(patience).unwrap();
        assert_eq!(client.read(&mut [0]).unwrap(), 0, "closed at once");
    }
    let mut empty = Reserve::new();
    let outcome = empty.shed(&listener);
    assert_eq!(errno(outcome), Some(libc::EMFILE), "nothing to give up");
    hoard.pop();
    assert!(empty.shed(&listener).unwrap(), "had as soon as it can be");
    assert!(!empty.shed(&listener).unwrap(), "nobody waits any more");
    let free = File::open("/dev/null");
    assert_eq!(
        errno(free),
        Some(libc::EMFILE),
        "both reserves were taken back"
    );
}

/// Lowers the limit of descriptors and takes all that are left.
fn hoard_descriptors() -> Vec<File> {
    let limit = libc::rlimit {
        rlim_cur: 64,
        rlim_max: 64,
    };
    // SAFETY: the pointer is to a local that lives through the call.
    let outcome = unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &limit) };
    assert_eq!(outcome, 0);
    std::iter::from_fn(|| File::open("/dev/null").ok()).collect()
}

/// The plain cases.
impl Listener {
    pub(crate) fn bind_tcp(
        address: SocketAddr,
        ipv6_only: bool,
        reuse_port: bool,
    ) -> io::Result<Listener> {
        let address = Address::Ip(address);
        Self::socket_for(&address, ipv6_only, reuse_port)?.bind(&address, false)
    }

    pub(crate) fn bind_path(path: &Path) -> io::Result<Listener> {
        let address = Address::Path(path.to_path_buf());
        Self::socket_for(&address, false, false)?.bind(&address, false)
    }

    pub(crate) fn bind_abstract(name: &[u8]) -> io::Result<Listener> {
        let address = Address::Abstract(name.to_vec());
        Self::socket_for(&address, false, false)?.bind(&address, false)
    }
}
