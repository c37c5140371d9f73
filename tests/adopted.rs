//! `Socket::from_fd` and `Socket::detach`: descriptors that come from elsewhere, and that go elsewhere.

mod common;
#[path = "common/kernel.rs"]
mod kernel;
#[path = "common/place.rs"]
mod place;
#[path = "common/sending.rs"]
mod sending;

use std::cell::RefCell;
use std::fs::File;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::rc::Rc;
use std::time::Duration;

use common::{each_case, each_form_tcp, EventLoop, Peer, Script, Transport, World};
use kernel::{pipe, wait_unread};
use place::{bound, FullQueue, Nobody};
use sending::{pattern, serve, Notes, TOO_MUCH};
use tidewheel::net::{
    Address, ConnectOptions, EventKind, ReadyState, Socket, SocketOptions, WriteStatus,
};
use tidewheel::{Code, Interest};

/// Two ends of a connection: a descriptor, and a peer for it.
fn connected(world: &World) -> (OwnedFd, Peer) {
    match world.transport {
        Transport::Tcp => {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let peer = Peer::connect(&Address::Ip(listener.local_addr().unwrap()));
            (listener.accept().unwrap().0.into(), peer)
        }
        Transport::Unix => {
            let (ours, theirs) = UnixStream::pair().unwrap();
            theirs
                .set_read_timeout(Some(Duration::from_secs(30)))
                .unwrap();
            (ours.into(), Peer::Unix(theirs))
        }
    }
}

fn adopt(world: &World, fd: OwnedFd, script: Script) -> Socket {
    adopt_with(world, fd, SocketOptions::default(), script)
}

fn adopt_with(world: &World, fd: OwnedFd, options: SocketOptions, script: Script) -> Socket {
    let socket = Socket::from_fd(&world.event_loop, fd, options).unwrap();
    world.watch(&socket, script);
    socket
}

#[test]
fn a_connected_descriptor_is_an_open_socket_without_connect() {
    each_case(|world| {
        let (fd, mut peer) = connected(world);
        let number = fd.as_raw_fd();
        let echo = Script::new("A").on_data(|socket, data| {
            socket.write(data);
        });
        let socket = adopt(world, fd, echo);
        assert_eq!(socket.ready_state(), ReadyState::Open);
        assert!(!socket.pending() && !socket.connecting());
        assert!(socket.server().is_none());
        assert_eq!(socket.raw_fd(), Some(number));
        peer.send(b"hello");
        peer.end();
        world.run();
        world.assert_trace("A", "data(5) end finish close(false)");
        assert_eq!(peer.read_all(), b"hello");
    });
}

/// Only TCP sockets always have addresses.
#[test]
fn it_knows_both_addresses() {
    each_form_tcp(|world| {
        let (fd, peer) = connected(world);
        let Peer::Tcp(stream) = &peer else { return };
        let socket = adopt(world, fd, Script::new("A"));
        let ends = (stream.peer_addr().unwrap(), stream.local_addr().unwrap());
        assert_eq!(socket.address(), Some(Address::Ip(ends.0)));
        assert_eq!(socket.remote(), Some(Address::Ip(ends.1)));
        peer.end();
        world.run();
        world.assert_trace("A", "end finish close(false)");
    });
}

#[test]
fn it_is_made_non_blocking_and_kept_from_other_programs() {
    each_case(|world| {
        let (fd, _peer) = connected(world);
        // SAFETY: these commands take and return plain integers.
        unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_SETFD, 0) };
        let socket = adopt(world, fd, Script::new("A"));
        let number = socket.raw_fd().unwrap();
        // SAFETY: as above.
        let flags = unsafe { libc::fcntl(number, libc::F_GETFL) };
        assert_ne!(flags & libc::O_NONBLOCK, 0);
        // SAFETY: as above.
        let of_fd = unsafe { libc::fcntl(number, libc::F_GETFD) };
        assert_ne!(of_fd & libc::FD_CLOEXEC, 0);
        socket.destroy();
        world.run();
        world.assert_trace("A", "close(false)");
    });
}

#[test]
fn one_not_to_be_read_counts_as_ended_by_its_peer() {
    each_case(|world| {
        let (fd, mut peer) = connected(world);
        let options = SocketOptions::default().readable(false);
        let socket = adopt_with(world, fd, options, Script::new("A"));
        assert!(!socket.readable() && socket.writable());
        assert_eq!(socket.ready_state(), ReadyState::WriteOnly);
        peer.send(b"unheard");
        let end = socket.clone();
        world.event_loop.set_immediate(move |_| {
            end.write("hello");
            end.end();
        });
        world.run();
        world.assert_trace("A", "finish close(false)");
        let mut heard = [0; 5];
        peer.read_exact(&mut heard).unwrap();
        assert_eq!(&heard, b"hello");
        assert_eq!(socket.bytes_read(), 0);
    });
}

#[test]
fn one_not_to_be_written_counts_as_ended_by_us_without_a_fin() {
    each_case(|world| {
        let (fd, mut peer) = connected(world);
        let other = fd.try_clone().unwrap();
        let options = SocketOptions::default().writable(false);
        let socket = adopt_with(world, fd, options, Script::new("A"));
        assert!(socket.readable() && !socket.writable());
        assert_eq!(socket.ready_state(), ReadyState::ReadOnly);
        peer.send(b"hello");
        peer.end();
        world.run();
        world.assert_trace("A", "data(5) end close(false)");
        // Whoever else has the descriptor may still write.
        File::from(other).write_all(b"from another").unwrap();
        assert_eq!(peer.read_all(), b"from another");
    });
}

#[test]
fn writing_to_one_not_to_be_written_is_an_error() {
    each_case(|world| {
        let (fd, _peer) = connected(world);
        let options = SocketOptions::default().writable(false);
        let socket = adopt_with(world, fd, options, Script::new("A"));
        assert_eq!(socket.write("x"), WriteStatus::Refused);
        world.run();
        let code = "ERR_STREAM_WRITE_AFTER_END";
        world.assert_trace("A", &format!("error({code}) close(true)"));
    });
}

#[test]
fn anything_but_a_stream_socket_is_refused_and_closed() {
    each_case(|world| {
        let before = std::fs::read_dir("/proc/self/fd").unwrap().count();
        let wrong: Vec<(&str, OwnedFd)> = vec![
            ("file", File::open("/proc/self/exe").unwrap().into()),
            ("device", File::open("/dev/null").unwrap().into()),
            ("pipe", pipe().0.into()),
            ("udp", UdpSocket::bind("127.0.0.1:0").unwrap().into()),
            ("datagram", UnixDatagram::unbound().unwrap().into()),
            ("listener", TcpListener::bind("127.0.0.1:0").unwrap().into()),
        ];
        for (what, fd) in wrong {
            let result = Socket::from_fd(&world.event_loop, fd, SocketOptions::default());
            let error = result.unwrap_err();
            assert_eq!(error.code(), Code::InvalidFdType, "{what}");
            assert_eq!(error.code().as_str(), "ERR_INVALID_FD_TYPE");
        }
        let after = std::fs::read_dir("/proc/self/fd").unwrap().count();
        assert_eq!(after, before);
    });
}

#[test]
fn on_a_dropped_loop_it_is_refused_and_closed() {
    each_case(|world| {
        let (fd, mut peer) = connected(world);
        let event_loop = EventLoop::new().unwrap();
        let handle = event_loop.handle();
        drop(event_loop);
        let error = Socket::from_fd(&handle, fd, SocketOptions::default()).unwrap_err();
        assert_eq!(error.code(), Code::LoopClosed);
        assert_eq!(peer.read_all(), b"");
    });
}

/// The standard library makes no UNIX socket that is not connected.
#[test]
fn a_descriptor_that_fails_to_connect_may_be_adopted_again() {
    each_form_tcp(|world| {
        let nobody = Nobody::new(world);
        let kept = bound("127.0.0.1:0".parse().unwrap()).unwrap();
        let adopted = |name: &str| {
            let fd = kept.try_clone().unwrap();
            // The first failure of a descriptor is not always the second.
            let script = Script::new(name).on_error(|_, error| {
                let codes = [Code::ConnRefused, Code::ConnAborted];
                assert!(codes.contains(&error.code()), "{error}");
            });
            let socket = adopt(world, fd, script);
            socket
                .connect(nobody.to_connect(), |_| panic!("connected"))
                .unwrap();
            world.run();
            let last = world.events(name).last().cloned();
            assert_eq!(last.as_deref(), Some("close(true)"));
        };
        adopted("A");
        adopted("B");
    });
}

/// Only TCP attempts last.
#[test]
fn a_descriptor_given_up_for_the_next_address_is_not_watched_any_more() {
    each_form_tcp(|world| {
        let full = FullQueue::new(world);
        let kept = bound("127.0.0.1:0".parse().unwrap()).unwrap();
        let socket = adopt(world, kept.try_clone().unwrap(), Script::new("A"));
        let twice = vec!["127.0.0.1".parse().unwrap(); 2];
        let options = ConnectOptions::from(("a.name", full.address.port().unwrap()))
            .lookup(move |_, _, reply| reply.found(twice.clone()))
            .auto_select_family_attempt_timeout(Duration::from_millis(10))
            .connect_timeout(Duration::from_millis(60));
        socket.connect(options, |_| panic!("connected")).unwrap();
        world.run();
        world.assert_trace("A", "error(ETIMEDOUT) close(true)");
        // The same socket under the same number: the kernel would still know it.
        let again = kept.try_clone().unwrap();
        let watched = world.event_loop.watch(again, Interest::READABLE, |_, _| {});
        watched.unwrap().close();
        world.run();
    });
}

#[test]
fn a_shared_descriptor_may_be_adopted_again_after_destroy() {
    each_case(|world| {
        let (fd, mut peer) = connected(world);
        for name in ["A", "B"] {
            let socket = adopt(world, fd.try_clone().unwrap(), Script::new(name));
            world.event_loop.turn(Some(Duration::ZERO)).unwrap();
            socket.destroy();
            world.run();
            world.assert_trace(name, "close(false)");
        }
        peer.send(b"hello");
        peer.end();
        let socket = adopt(world, fd, Script::new("C"));
        socket.end_with("bye");
        world.run();
        world.assert_trace("C", "finish data(5) end close(false)");
        assert_eq!(peer.read_all(), b"bye");
    });
}

/// Detaches in a listener, and keeps the descriptor.
type Taken = Rc<RefCell<Option<OwnedFd>>>;

fn detach_in_connection(world: &World) -> (tidewheel::net::Server, Taken) {
    let taken = Taken::default();
    let kept = Rc::clone(&taken);
    let server = serve(world, Script::new("S").no_reader(), move |socket| {
        let fd = socket.detach().unwrap();
        assert!(socket.destroyed());
        kept.replace(Some(fd));
    });
    (server, taken)
}

#[test]
fn a_detached_descriptor_is_connected_still_and_what_was_not_read_is_in_it() {
    each_case(|world| {
        let (server, taken) = detach_in_connection(world);
        let mut peer = world.peer(&server);
        peer.send(b"unread");
        world.run();
        world.assert_trace("S", "close(false)");
        let fd = taken.take().unwrap();
        let mut stream = TcpStream::from(fd);
        stream.set_nonblocking(false).unwrap();
        let mut unread = [0; 6];
        stream.read_exact(&mut unread).unwrap();
        assert_eq!(&unread, b"unread");
        stream.write_all(b"detached").unwrap();
        drop(stream);
        assert_eq!(peer.read_all(), b"detached");
    });
}

#[test]
fn a_detached_descriptor_may_be_adopted_by_another_loop() {
    each_case(|world| {
        let (server, taken) = detach_in_connection(world);
        let mut peer = world.peer(&server);
        peer.send(b"echo");
        peer.end();
        world.run();
        let other = EventLoop::new().unwrap();
        let fd = taken.take().unwrap();
        let socket = Socket::from_fd(&other, fd, SocketOptions::default()).unwrap();
        socket.pipe(&socket);
        other.run().unwrap();
        assert_eq!(peer.read_all(), b"echo");
    });
}

#[test]
fn it_may_come_back_to_the_same_loop_at_once() {
    each_case(|world| {
        let watcher = world.watcher();
        let server = serve(world, Script::new("S"), move |socket| {
            let fd = socket.detach().unwrap();
            let event_loop = socket.event_loop();
            let again = Socket::from_fd(event_loop, fd, SocketOptions::default()).unwrap();
            assert_ne!(again.id(), socket.id());
            watcher.watch(&again, Script::new("A"));
        });
        let mut peer = world.peer(&server);
        peer.send(b"hello");
        peer.end();
        world.run();
        world.assert_trace("S", "close(false)");
        world.assert_trace("A", "data(5) end finish close(false)");
    });
}

#[test]
fn it_counts_no_more_for_its_server() {
    each_case(|world| {
        let (server, taken) = detach_in_connection(world);
        let note = world.noter();
        server.on_close(move |server| note(&format!("SRV:close {}", server.connections())));
        let peer = world.peer(&server);
        world.run();
        world.assert_trace("SRV", "close 0");
        drop((peer, taken.take()));
    });
}

#[test]
fn while_bytes_wait_it_cannot_be_detached() {
    each_case(|world| {
        let notes = Notes::of(world);
        let server = serve(world, Script::new("S"), move |socket| {
            socket.write_then(pattern(0, TOO_MUCH), notes.done("S:write"));
            let waiting = socket.buffer_size();
            assert!(waiting > 0);
            let error = socket.detach().unwrap_err();
            assert_eq!(error.code(), Code::WouldBlock);
            assert!(error.to_string().contains(&waiting.to_string()), "{error}");
            assert!(!socket.destroyed() && socket.buffer_size() == waiting);
            socket.destroy_soon();
        });
        let received = sending::Received::default();
        world.client(&server, received.by(Script::new("C")));
        world.run();
        world.assert_trace("S", "write ok finish close(false)");
        assert!(received.bytes() == pattern(0, TOO_MUCH));
    });
}

#[test]
fn one_that_is_not_open_cannot_be_detached() {
    each_case(|world| {
        let server = world.serve_one(|| Script::new("S"));
        let fresh = Socket::new(&world.event_loop, SocketOptions::default());
        assert_eq!(fresh.detach().unwrap_err().code(), Code::SocketClosed);
        let client = world.client(&server, Script::new("C"));
        assert_eq!(client.detach().unwrap_err().code(), Code::SocketClosed);
        client.on_connect(|socket| socket.end());
        client.on_close(|socket, _| {
            assert_eq!(socket.detach().unwrap_err().code(), Code::SocketClosed);
        });
        world.run();
        assert_eq!(client.detach().unwrap_err().code(), Code::SocketClosed);
        world.assert_trace("C", "connect ready finish end close(false)");
        fresh.destroy();
    });
}

#[test]
fn callbacks_of_what_was_sent_are_called_before_its_close() {
    each_case(|world| {
        let notes = Notes::of(world);
        let taken = Taken::default();
        let kept = Rc::clone(&taken);
        let server = serve(world, Script::new("S"), move |socket| {
            let sent = socket.write_then("hello", notes.done("S:write"));
            assert_eq!(sent, WriteStatus::Flushed);
            kept.replace(Some(socket.detach().unwrap()));
        });
        let mut peer = world.peer(&server);
        world.run();
        world.assert_trace("S", "write ok close(false)");
        drop(taken.take());
        assert_eq!(peer.read_all(), b"hello");
    });
}

#[test]
fn in_close_its_addresses_still_answer() {
    each_case(|world| {
        let taken = Taken::default();
        let kept = Rc::clone(&taken);
        let server = serve(world, Script::new("S"), move |socket| {
            let ends = (socket.address(), socket.remote());
            socket.on_close(move |socket, _| {
                assert_eq!((socket.address(), socket.remote()), ends);
                assert!(socket.address().is_some());
            });
            kept.replace(Some(socket.detach().unwrap()));
        });
        let peer = world.peer(&server);
        world.run();
        world.assert_trace("S", "close(false)");
        drop((peer, taken.take()));
    });
}

#[test]
fn a_detach_in_a_data_listener_leaves_the_rest_unread() {
    each_case(|world| {
        let taken = Taken::default();
        let kept = Rc::clone(&taken);
        let script = Script::new("S").on(EventKind::Data, move |socket, _| {
            kept.replace(Some(socket.detach().unwrap()));
        });
        let server = serve(world, script, |socket| {
            wait_unread(socket, 100_000);
        });
        let mut peer = world.peer(&server);
        let sent = pattern(0, 100_000);
        peer.send(&sent);
        world.run();
        // One read is at most as long as the loop's buffer.
        world.assert_trace("S", &format!("data({}) close(false)", 64 * 1024));
        peer.end();
        let mut rest = Vec::new();
        let mut stream = TcpStream::from(taken.take().unwrap());
        stream.set_nonblocking(false).unwrap();
        stream.read_to_end(&mut rest).unwrap();
        assert!(rest == sent[64 * 1024..]);
    });
}

#[test]
fn a_descriptor_to_do_nothing_with_is_refused() {
    each_case(|world| {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let options = SocketOptions::default().readable(false).writable(false);
        let error = Socket::from_fd(&world.event_loop, ours.into(), options).unwrap_err();
        assert_eq!(error.code(), Code::InvalidArgValue);
        assert!(!world.event_loop.is_alive());
        drop(theirs);
    });
}
