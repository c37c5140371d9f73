//! Descriptors that somebody shuts down or replaces under us: what cannot go on says so once, and nothing else suffers.

mod common;
#[path = "common/faults.rs"]
mod faults;
#[path = "common/place.rs"]
mod place;

use std::cell::Cell;
use std::fs::File;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::os::unix::net::{UnixDatagram, UnixListener, UnixStream};
use std::rc::Rc;

use common::{each_case, Peer, Script, Transport, World};
use faults::{assert_rests, converse, echo_server, errors_of};
use place::{long_turn, turn_until};
use tidewheel::net::{Server, ServerOptions, WriteStatus};

/// What takes the place of one of our descriptors. All are non-blocking, as is what they replace.
fn thieves(world: &World) -> Vec<(&'static str, OwnedFd)> {
    let (stream, _) = UnixStream::pair().unwrap();
    stream.set_nonblocking(true).unwrap();
    let datagram = UnixDatagram::unbound().unwrap();
    datagram.set_nonblocking(true).unwrap();
    let path = world.path("thief");
    let listener = UnixListener::bind(&path).unwrap();
    std::fs::remove_file(path).unwrap();
    listener.set_nonblocking(true).unwrap();
    vec![
        ("a file", File::open("/dev/null").unwrap().into()),
        ("a stream", stream.into()),
        ("a datagram socket", datagram.into()),
        ("another listener", listener.into()),
    ]
}

/// Makes `victim` another name of what `thief` is.
fn replace(victim: RawFd, thief: &OwnedFd) {
    // SAFETY: both numbers are of open descriptors; that the old one is replaced is what is tested.
    let result = unsafe { libc::dup2(thief.as_raw_fd(), victim) };
    assert_eq!(result, victim);
}

fn shut_down(fd: RawFd) {
    // SAFETY: the call takes no pointers.
    assert_eq!(unsafe { libc::shutdown(fd, libc::SHUT_RDWR) }, 0);
}

/// A guest of a server that is connected, and has been answered.
fn guest(world: &World, server: &Server) -> Peer {
    let before = server.connections();
    let peer = world.peer(server);
    turn_until(world, || server.connections() == before + 1);
    peer
}

/// Those who were connected before are served as ever.
fn assert_served(world: &World, peer: &mut Peer) {
    let before = world.event_loop.stats().bytes_out;
    peer.send(b"still there?");
    turn_until(world, || world.event_loop.stats().bytes_out == before + 12);
    let mut answer = [0; 12];
    std::io::Read::read_exact(peer, &mut answer).unwrap();
    assert_eq!(&answer, b"still there?");
}

/// The server can be closed, and listen anew.
fn assert_listens_again(world: &World, server: &Server, guest: Peer) {
    server.close();
    server.listen(world.listen_options(), |_| {}).unwrap();
    let mut next = self::guest(world, server);
    assert_served(world, &mut next);
    drop((next, guest));
    turn_until(world, || server.connections() == 0);
    server.close();
    world.run();
}

#[test]
fn a_listener_that_is_shut_down_rests_and_its_connections_are_served() {
    each_case(|world| {
        let server = echo_server(world, ServerOptions::default());
        let errors = errors_of(world, &server);
        let mut guest = guest(world, &server);
        shut_down(server.raw_fd().unwrap());
        assert_rests(world);
        assert_served(world, &mut guest);
        assert_listens_again(world, &server, guest);
        // Of a UNIX listener the kernel goes on to say that nobody waits.
        let told: &[&str] = match world.transport {
            Transport::Tcp => &["accept EINVAL"],
            Transport::Unix => &[],
        };
        assert_eq!(*errors.borrow(), told);
    });
}

#[test]
fn a_listener_that_is_replaced_while_others_wait_fails_once_and_does_not_spin() {
    each_case(|world| {
        for (name, thief) in thieves(world) {
            let server = echo_server(world, ServerOptions::default());
            let errors = errors_of(world, &server);
            let mut guest = guest(world, &server);
            let number = server.raw_fd().unwrap();
            long_turn(world);
            // It is replaced when the first of two is accepted: the loop believes that more wait, and they are gone.
            server.once_connection(move |_| replace(number, &thief));
            let gone = [world.peer(&server), world.peer(&server)];
            turn_until(world, || server.connections() == 2);
            assert_rests(world);
            let told = usize::from(name != "another listener");
            assert_eq!(errors.borrow().len(), told, "{name}: {errors:?}");
            assert_served(world, &mut guest);
            drop(gone);
            turn_until(world, || server.connections() == 1);
            assert_listens_again(world, &server, guest);
            assert_eq!(errors.borrow().len(), told, "{name}: {errors:?}");
        }
    });
}

#[test]
fn a_listener_that_is_replaced_while_nobody_waits_is_deaf_until_it_listens_again() {
    each_case(|world| {
        for (_, thief) in thieves(world) {
            let server = echo_server(world, ServerOptions::default());
            let errors = errors_of(world, &server);
            let mut guest = guest(world, &server);
            replace(server.raw_fd().unwrap(), &thief);
            drop(thief);
            assert_rests(world);
            assert_served(world, &mut guest);
            assert_listens_again(world, &server, guest);
            assert!(errors.borrow().is_empty());
        }
    });
}

#[test]
fn a_connection_whose_descriptor_is_replaced_fails_alone() {
    each_case(|world| {
        let server = echo_server(world, ServerOptions::default());
        let mut guest = guest(world, &server);
        let victim = world.client(&server, Script::new("V"));
        turn_until(world, || server.connections() == 2);
        replace(
            victim.raw_fd().unwrap(),
            &File::open("/dev/null").unwrap().into(),
        );
        assert_rests(world);
        assert_eq!(victim.write("into the void"), WriteStatus::Refused);
        turn_until(world, || victim.destroyed() && server.connections() == 1);
        assert_served(world, &mut guest);
        drop(guest);
        server.close();
        world.run();
        world.assert_trace("V", "connect ready error(ENOTSOCK) close(true)");
    });
}

#[test]
fn a_connection_that_is_shut_down_by_its_number_ends_and_closes() {
    each_case(|world| {
        let number = Rc::new(Cell::new(-1));
        let shown = Rc::clone(&number);
        let server = world.serve_one(|| Script::new("S"));
        server.on_connection(move |socket| shown.set(socket.raw_fd().unwrap()));
        let mut peer = world.peer(&server);
        turn_until(world, || number.get() >= 0);
        shut_down(number.get());
        world.run();
        // Its own FIN is out already, so that it cannot be sent again; what matters is that all is told and closed.
        world.assert_trace("S", "end finish close(false)");
        assert!(!converse(&mut peer, b"anybody there?"));
    });
}
