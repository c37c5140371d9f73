//! Listening on a descriptor that is bound already, by this program or by another.

mod common;
#[path = "common/kernel.rs"]
mod kernel;
#[path = "common/place.rs"]
mod place;

use std::cell::RefCell;
use std::fs::File;
use std::net::{TcpListener, UdpSocket};
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::os::unix::net::{UnixDatagram, UnixListener, UnixStream};
use std::rc::Rc;

use common::{each_case, each_form_tcp, each_form_unix, Peer, Script, Transport, World};
use kernel::pipe;
use place::{bound, listen_backlog, option, turn_until};
use tidewheel::net::{self, Address, ListenOptions, Server};
use tidewheel::Code;

/// A listening socket of the standard library's, and where.
fn foreign(world: &World) -> (OwnedFd, Address) {
    match world.transport {
        Transport::Tcp => {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let address = Address::Ip(listener.local_addr().unwrap());
            (listener.into(), address)
        }
        Transport::Unix => {
            let path = world.path("foreign");
            // What an earlier scenario of this directory left.
            let _ = std::fs::remove_file(&path);
            let listener = UnixListener::bind(&path).unwrap();
            (listener.into(), Address::Path(path))
        }
    }
}

/// A server for one visitor.
fn one_visit(world: &World) -> Server {
    let watcher = world.watcher();
    net::create_server(&world.event_loop, move |socket| {
        watcher.watch(socket, Script::new("S"));
        socket.server().unwrap().close();
    })
}

fn visit(address: &Address) -> Peer {
    let mut peer = Peer::connect(address);
    peer.send(b"x");
    peer.end();
    peer
}

const SERVED: &str = "data(1) end finish close(false)";

#[test]
fn one_that_listens_already_is_accepted_from() {
    each_case(|world| {
        let (fd, address) = foreign(world);
        let early = visit(&address);
        let server = one_visit(world);
        let note = world.noter();
        server.listen(fd, move |_| note("SRV:listening")).unwrap();
        assert!(server.listening());
        assert_eq!(server.address(), Some(address));
        world.run();
        world.assert_trace("SRV", "listening");
        world.assert_trace("S", SERVED);
        drop(early);
    });
}

/// The standard library binds no UNIX socket without listening on it.
#[test]
fn one_that_is_only_bound_is_listened_on_with_the_backlog_of_the_options() {
    each_form_tcp(|world| {
        let fd = bound("127.0.0.1:0".parse().unwrap()).unwrap();
        let server = one_visit(world);
        let options = ListenOptions::from(fd).backlog(3);
        server.listen(options, |_| {}).unwrap();
        if cfg!(target_os = "linux") && listen_backlog_is_told() {
            assert_eq!(listen_backlog(server.raw_fd().unwrap()), 3);
        }
        let peer = visit(&server.address().unwrap());
        world.run();
        world.assert_trace("S", SERVED);
        drop(peer);
    });
}

/// Some kernels do not say.
fn listen_backlog_is_told() -> bool {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listen_backlog(listener.as_raw_fd()) != 0
}

#[test]
fn the_first_owner_may_close_its_own() {
    each_case(|world| {
        let (fd, address) = foreign(world);
        let server = one_visit(world);
        let ours = fd.try_clone().unwrap();
        server.listen(ours, |_| {}).unwrap();
        drop(fd);
        let peer = visit(&address);
        world.run();
        world.assert_trace("S", SERVED);
        drop(peer);
    });
}

#[test]
fn options_may_be_used_again_and_again() {
    each_case(|world| {
        let (fd, address) = foreign(world);
        let options = ListenOptions::from(fd);
        for round in 1..=3 {
            let server = one_visit(world);
            server.listen(options.clone(), |_| {}).unwrap();
            let peer = visit(&address);
            world.run();
            assert_eq!(world.events("S").len(), round * 4);
            drop(peer);
        }
    });
}

#[test]
fn a_server_may_close_and_listen_on_the_same_descriptor_at_once() {
    each_case(|world| {
        let (fd, address) = foreign(world);
        let options = ListenOptions::from(fd);
        let server = one_visit(world);
        server
            .listen(options.clone(), |_| panic!("listening"))
            .unwrap();
        server.close();
        server.listen(options.clone(), |_| {}).unwrap();
        let peer = visit(&address);
        world.run();
        world.assert_trace("S", SERVED);
        drop(peer);
    });
}

#[test]
fn a_closed_server_is_not_woken_for_the_visitors_of_the_others() {
    each_case(|world| {
        let (fd, address) = foreign(world);
        let server = one_visit(world);
        server.listen(fd.try_clone().unwrap(), |_| {}).unwrap();
        server.close();
        world.run();
        let peer = visit(&address);
        // The loop's descriptor is readable when it has something to be told.
        assert!(!readable(world.event_loop.as_raw_fd()));
        drop((peer, fd));
    });
}

fn readable(fd: RawFd) -> bool {
    let mut poll = libc::pollfd {
        fd,
        events: libc::POLLIN,
        revents: 0,
    };
    // SAFETY: one live `pollfd`.
    unsafe { libc::poll(&raw mut poll, 1, 0) != 0 }
}

/// Only paths can be removed.
#[test]
fn its_path_is_its_makers_to_remove() {
    each_form_unix(|world| {
        let (fd, address) = foreign(world);
        let server = one_visit(world);
        server.listen(fd, |server| server.close()).unwrap();
        world.run();
        let path = address.path().unwrap();
        assert!(path.exists());
        std::fs::remove_file(path).unwrap();
    });
}

#[test]
fn the_path_of_a_server_goes_with_the_server_and_not_with_a_clone() {
    each_form_unix(|world| {
        let one = one_visit(world);
        one.listen(world.path("cloned"), |_| {}).unwrap();
        let other = one_visit(world);
        other.listen(one.try_clone_fd().unwrap(), |_| {}).unwrap();
        other.close();
        assert!(world.path("cloned").exists());
        one.close();
        assert!(!world.path("cloned").exists());
        world.run();
    });
}

#[test]
fn it_is_made_non_blocking_and_kept_from_other_programs() {
    each_case(|world| {
        let (fd, _) = foreign(world);
        let server = one_visit(world);
        server.listen(fd, |_| {}).unwrap();
        let (blocking, inherited) = flags(server.raw_fd().unwrap());
        assert!(!blocking && !inherited);
        server.close();
        world.run();
    });
}

fn flags(fd: RawFd) -> (bool, bool) {
    // SAFETY: these commands take and return plain integers.
    let (status, of_fd) = unsafe {
        (
            libc::fcntl(fd, libc::F_GETFL),
            libc::fcntl(fd, libc::F_GETFD),
        )
    };
    (
        status & libc::O_NONBLOCK == 0,
        of_fd & libc::FD_CLOEXEC == 0,
    )
}

#[test]
fn anything_but_a_bound_stream_socket_is_invalid() {
    each_case(|world| {
        let wrong: Vec<(&str, OwnedFd)> = vec![
            ("file", File::open("/proc/self/exe").unwrap().into()),
            ("device", File::open("/dev/null").unwrap().into()),
            ("pipe", pipe().0.into()),
            ("udp", UdpSocket::bind("127.0.0.1:0").unwrap().into()),
            ("datagram", UnixDatagram::unbound().unwrap().into()),
            ("unbound", UnixStream::pair().unwrap().0.into()),
        ];
        for (what, fd) in wrong {
            let server = one_visit(world);
            let error = server.listen(fd, |_| panic!("listening")).unwrap_err();
            let codes = [Code::InvalidArgument, Code::NotASocket];
            assert!(codes.contains(&error.code()), "{what}: {error}");
            assert_eq!(error.syscall(), Some("listen"), "{what}");
            assert_eq!(error.address(), None, "{what}");
            let said = error.to_string();
            assert!(
                said == "listen EINVAL: invalid argument"
                    || said == "listen ENOTSOCK: socket operation on non-socket",
                "{what}: {said}"
            );
            assert!(!server.listening());
            // It may still listen elsewhere.
            server
                .listen(world.listen_options(), |server| server.close())
                .unwrap();
        }
        world.run();
    });
}

/// The other end of a connection is a stream socket with an address, and does not listen.
#[test]
fn a_connected_socket_is_invalid() {
    each_form_tcp(|world| {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let stream = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let server = one_visit(world);
        let error = server.listen(OwnedFd::from(stream), |_| {}).unwrap_err();
        assert_eq!(error.code(), Code::InvalidArgument);
    });
}

/// Only TCP has options to inherit.
#[test]
fn what_it_accepts_is_treated_as_the_server_says() {
    each_form_tcp(|world| {
        let (fd, address) = foreign(world);
        let options = net::ServerOptions::default().no_delay(true);
        let server = net::create_server_with(&world.event_loop, options, |socket| {
            let fd = socket.raw_fd().unwrap();
            assert_ne!(option(fd, libc::IPPROTO_TCP, libc::TCP_NODELAY), 0);
            socket.server().unwrap().close();
            socket.end();
        });
        server.listen(fd, |_| {}).unwrap();
        let peer = visit(&address);
        world.run();
        drop(peer);
    });
}

#[test]
fn a_port_of_the_options_does_not_matter() {
    each_case(|world| {
        let (fd, address) = foreign(world);
        let server = one_visit(world);
        let options = ListenOptions::from(fd).host("no.host").port(1);
        server.listen(options, |server| server.close()).unwrap();
        assert_eq!(server.address(), Some(address));
        world.run();
    });
}

#[test]
fn dropping_the_loop_closes_ours_and_not_theirs() {
    each_case(|world| {
        let (fd, address) = foreign(world);
        let event_loop = tidewheel::EventLoop::new().unwrap();
        let server = net::create_server(&event_loop, |_| panic!("connection"));
        server.listen(fd.try_clone().unwrap(), |_| {}).unwrap();
        drop(event_loop);
        // Theirs is still listening.
        let waiting: Rc<RefCell<Option<Peer>>> = Rc::default();
        waiting.replace(Some(visit(&address)));
        let server = one_visit(world);
        server.listen(fd, |_| {}).unwrap();
        turn_until(world, || !server.listening());
        world.run();
        world.assert_trace("S", SERVED);
    });
}
