//! When no descriptor is left: those connected are served, the others are turned away, and it gets better by itself.

#[path = "common/child.rs"]
mod child;
mod common;
#[path = "common/place.rs"]
mod place;

use std::cell::RefCell;
use std::io::Read;
use std::rc::Rc;
use std::time::Duration;

use child::{in_child, limit_descriptors};
use common::{each_case, Peer, Script, World};
use place::{out_of_the_way, turn_until};
use tidewheel::net::{self, Server};
use tidewheel::{Code, EventLoop};

/// How many more descriptors the limit leaves.
const ROOM: usize = 20;
const CROWD: usize = 200;
const PLENTY: u64 = 4096;

fn echo_server(world: &World) -> Server {
    let watcher = world.watcher();
    world.server(move |socket| {
        let echo = Script::new("S").on_data(|socket, data| {
            socket.write(data);
        });
        watcher.watch(socket, echo);
    })
}

/// What the `error` of a server says.
fn errors_of(world: &World, server: &Server) -> Rc<RefCell<Vec<String>>> {
    let errors: Rc<RefCell<Vec<String>>> = Rc::default();
    let (heard, probe) = (Rc::clone(&errors), world.probe());
    server.on_error(move |server, error| {
        let _ = &probe;
        assert!(server.listening());
        assert_eq!(error.code(), Code::TooManyOpenFiles);
        assert_eq!(error.syscall(), Some("accept"));
        heard.borrow_mut().push(error.to_string());
    });
    errors
}

/// Peers that wait in the server's queue, and take none of the low descriptors.
fn crowd(world: &World, server: &Server, count: usize) -> Vec<Peer> {
    let connect = || match world.peer(server) {
        Peer::Tcp(stream) => Peer::Tcp(out_of_the_way(stream.into()).into()),
        Peer::Unix(stream) => Peer::Unix(out_of_the_way(stream.into()).into()),
    };
    (0..count).map(|_| connect()).collect()
}

/// Sets the limit so that this many more descriptors can be had.
fn leave_room(count: usize) {
    // SAFETY: the call takes no pointers, and only asks.
    let is_free = |fd: &i32| unsafe { libc::fcntl(*fd, libc::F_GETFD) } == -1;
    let first_beyond = (0..).filter(is_free).nth(count).unwrap();
    limit_descriptors(first_beyond as u64);
}

/// Until the whole crowd is either served or turned away.
fn settle(world: &World, server: &Server, dropped_before: u64) -> usize {
    let dropped = || (world.event_loop.stats().connections_dropped - dropped_before) as usize;
    turn_until(world, || server.connections() + dropped() == CROWD);
    dropped()
}

#[track_caller]
fn assert_served(world: &World, peers: &mut [Peer]) {
    let before = world.event_loop.stats().bytes_out;
    for peer in peers.iter_mut() {
        peer.send(b"!");
    }
    let sent = || (world.event_loop.stats().bytes_out - before) as usize;
    turn_until(world, || sent() == peers.len());
    for peer in peers {
        let mut answer = [0];
        peer.read_exact(&mut answer).unwrap();
        assert_eq!(&answer, b"!");
    }
}

fn leave(world: &World, server: &Server, peers: Vec<Peer>) {
    drop(peers);
    turn_until(world, || server.connections() == 0);
}

#[test]
fn those_connected_are_served_and_the_others_turned_away_with_one_error() {
    in_child(
        "those_connected_are_served_and_the_others_turned_away_with_one_error",
        || {
            limit_descriptors(PLENTY);
            each_case(|world| {
                let server = echo_server(world);
                let errors = errors_of(world, &server);
                let mut peers = crowd(world, &server, CROWD);
                leave_room(ROOM);
                let dropped = settle(world, &server, 0);
                assert_eq!(server.connections(), ROOM);
                assert_eq!(dropped, CROWD - ROOM);
                assert_eq!(*errors.borrow(), ["accept EMFILE"]);
                for peer in &mut peers[ROOM..] {
                    assert_eq!(peer.read_all(), b"");
                }
                assert_served(world, &mut peers[..ROOM]);
                leave(world, &server, peers);
                limit_descriptors(PLENTY);
                server.close();
                world.run();
            });
        },
    );
}

#[test]
fn it_recovers_by_itself_and_a_new_episode_is_told_anew() {
    in_child(
        "it_recovers_by_itself_and_a_new_episode_is_told_anew",
        || {
            limit_descriptors(PLENTY);
            each_case(|world| {
                let server = echo_server(world);
                let errors = errors_of(world, &server);
                let mut dropped = 0;
                for episode in 1..=2 {
                    let peers = crowd(world, &server, CROWD);
                    leave_room(ROOM);
                    dropped += settle(world, &server, dropped) as u64;
                    assert_eq!(errors.borrow().len(), episode);
                    leave(world, &server, peers);
                    // The limit still holds; there is room again.
                    let mut guest = [world.peer(&server)];
                    turn_until(world, || server.connections() == 1);
                    assert_served(world, &mut guest);
                    assert_eq!(errors.borrow().len(), episode);
                    leave(world, &server, guest.into());
                    limit_descriptors(PLENTY);
                }
                server.close();
                world.run();
            });
        },
    );
}

#[test]
fn where_not_even_shedding_is_possible_accepting_rests_and_is_tried_again_by_timer() {
    in_child(
        "where_not_even_shedding_is_possible_accepting_rests_and_is_tried_again_by_timer",
        || {
            limit_descriptors(PLENTY);
            each_case(|world| {
                let server = echo_server(world);
                let errors = errors_of(world, &server);
                let mut peers = crowd(world, &server, CROWD);
                // Below every descriptor, the reserve's too.
                limit_descriptors(3);
                let handle = world.event_loop.handle();
                world
                    .event_loop
                    .set_timeout(Duration::from_secs(1), move |_| handle.stop());
                let before = world.event_loop.stats().turns;
                world.run();
                let turns = world.event_loop.stats().turns - before;
                assert!(turns < 40, "it spins: {turns} turns in a second");
                assert_eq!(server.connections(), 0);
                assert_eq!(*errors.borrow(), ["accept EMFILE"]);
                // Nobody connects any more, so that no edge wakes it: the timer does.
                limit_descriptors(PLENTY);
                turn_until(world, || server.connections() == CROWD);
                assert_eq!(world.event_loop.stats().connections_dropped, 0);
                assert_served(world, &mut peers);
                assert_eq!(errors.borrow().len(), 1);
                leave(world, &server, peers);
                server.close();
                world.run();
            });
        },
    );
}

#[test]
fn it_does_not_spin_while_no_descriptor_is_left() {
    in_child("it_does_not_spin_while_no_descriptor_is_left", || {
        limit_descriptors(PLENTY);
        each_case(|world| {
            let server = echo_server(world);
            let peers = crowd(world, &server, CROWD);
            leave_room(ROOM);
            settle(world, &server, 0);
            let handle = world.event_loop.handle();
            world
                .event_loop
                .set_timeout(Duration::from_millis(500), move |_| handle.stop());
            let before = world.event_loop.stats().turns;
            world.run();
            let turns = world.event_loop.stats().turns - before;
            assert!(turns < 20, "it spins: {turns} turns in half a second");
            // Nobody listens to its `error`, and that stops nothing.
            assert_eq!(world.event_loop.stats().unhandled_errors, 1);
            leave(world, &server, peers);
            limit_descriptors(PLENTY);
            server.close();
            world.run();
        });
    });
}

#[test]
fn nothing_is_said_when_the_last_descriptor_is_taken_and_nobody_waits() {
    in_child(
        "nothing_is_said_when_the_last_descriptor_is_taken_and_nobody_waits",
        || {
            limit_descriptors(PLENTY);
            each_case(|world| {
                let server = echo_server(world);
                let errors = errors_of(world, &server);
                let mut peers = crowd(world, &server, ROOM);
                leave_room(ROOM);
                turn_until(world, || server.connections() == ROOM);
                assert_served(world, &mut peers);
                leave(world, &server, peers);
                limit_descriptors(PLENTY);
                server.close();
                world.run();
                assert_eq!(*errors.borrow(), Vec::<String>::new());
            });
        },
    );
}

#[test]
fn connect_listen_pair_and_a_new_loop_say_so() {
    in_child("connect_listen_pair_and_a_new_loop_say_so", || {
        limit_descriptors(PLENTY);
        each_case(|world| {
            let server = echo_server(world);
            let target = world.connect_options(&server);
            let address = server.address().unwrap();
            leave_room(0);
            let refused = net::pair(&world.event_loop).unwrap_err();
            assert_eq!(refused.code(), Code::TooManyOpenFiles);
            assert_eq!(EventLoop::new().unwrap_err().code(), Code::TooManyOpenFiles);
            let second = net::create_server(&world.event_loop, |_| {});
            let refused = second.listen(world.listen_options(), |_| {}).unwrap_err();
            assert_eq!(refused.code(), Code::TooManyOpenFiles);
            assert_eq!(refused.syscall(), Some("listen"));
            let said = format!("connect EMFILE {address}");
            let client = Script::new("C").on_error(move |_, error| {
                assert_eq!(error.to_string(), said);
                server.close();
            });
            world.client_with(target, client);
            second.unref();
            world.run();
            limit_descriptors(PLENTY);
            world.assert_trace("C", "error(EMFILE) close(true)");
            second.listen(world.listen_options(), |_| {}).unwrap();
            second.close();
            world.run();
        });
    });
}
