//! When no descriptor is left: those connected are served, the others are turned away, and it gets better by itself.

#[path = "common/child.rs"]
mod child;
mod common;
#[path = "common/faults.rs"]
mod faults;
#[path = "common/place.rs"]
mod place;

use std::cell::RefCell;
use std::io::Read;
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::rc::Rc;
use std::time::{Duration, Instant};

use child::{in_child, limit_descriptors};
use common::{each_case, EventLoop, Peer, Script, Transport, World};
use faults::process_time;
use place::{out_of_the_way, turn_until};
use tidewheel::net::{self, Address, Server};
use tidewheel::Code;

/// How many more descriptors the limit leaves.
const ROOM: usize = 20;
const CROWD: usize = 200;
const PLENTY: u64 = 4096;
/// A quarter of those who come.
const FEW: usize = 50;

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

/// Sockets that are not connected yet, made while there are descriptors.
fn visitors(world: &World, count: usize) -> Vec<OwnedFd> {
    let family = match world.transport {
        Transport::Tcp => libc::AF_INET,
        Transport::Unix => libc::AF_UNIX,
    };
    let make = || {
        // SAFETY: the call takes no pointers; the descriptor is new and owned by nobody else.
        let fd = unsafe {
            let fd = libc::socket(family, libc::SOCK_STREAM | libc::SOCK_CLOEXEC, 0);
            assert!(fd >= 0);
            OwnedFd::from_raw_fd(fd)
        };
        out_of_the_way(fd)
    };
    (0..count).map(|_| make()).collect()
}

fn dial(visitor: &OwnedFd, address: &Address) {
    let result = match address {
        Address::Ip(SocketAddr::V4(ip)) => {
            let to = libc::sockaddr_in {
                sin_family: libc::AF_INET as libc::sa_family_t,
                sin_port: ip.port().to_be(),
                sin_addr: libc::in_addr {
                    s_addr: u32::from_ne_bytes(ip.ip().octets()),
                },
                sin_zero: [0; 8],
            };
            // SAFETY: the pointer and the length are of one live address.
            unsafe {
                libc::connect(
                    visitor.as_raw_fd(),
                    (&raw const to).cast(),
                    size_of_val(&to) as libc::socklen_t,
                )
            }
        }
        Address::Path(path) => {
            // SAFETY: zero is a valid `sockaddr_un`.
            let mut to: libc::sockaddr_un = unsafe { std::mem::zeroed() };
            to.sun_family = libc::AF_UNIX as libc::sa_family_t;
            for (to, from) in to.sun_path.iter_mut().zip(path.as_os_str().as_bytes()) {
                *to = *from as libc::c_char;
            }
            // SAFETY: the pointer and the length are of one live address.
            unsafe {
                libc::connect(
                    visitor.as_raw_fd(),
                    (&raw const to).cast(),
                    size_of_val(&to) as libc::socklen_t,
                )
            }
        }
        other => panic!("nobody dials {other}"),
    };
    assert_eq!(result, 0, "{}", std::io::Error::last_os_error());
}

/// While it has no descriptor: those connected talk, others dial in vain and leave, and the process hardly works.
fn starve(world: &World, server: &Server, mut visitors: Vec<OwnedFd>, guests: &mut [Peer]) {
    let address = server.address().unwrap();
    let (start, before) = (Instant::now(), process_time());
    let handle = world.event_loop.handle();
    let dialling = handle.set_interval(Duration::from_millis(15), move |timer| {
        match visitors.pop() {
            Some(visitor) => dial(&visitor, &address),
            None => timer.event_loop().stop(),
        }
    });
    for guest in guests.iter_mut() {
        guest.send(&[b'?'; 20]);
    }
    world.run();
    let (used, passed) = (process_time() - before, start.elapsed());
    dialling.clear();
    println!("{used:?} of {passed:?}");
    assert!(used < passed / 10, "{used:?} of {passed:?}");
    for guest in guests {
        let mut answers = [0; 20];
        guest.read_exact(&mut answers).unwrap();
        assert_eq!(answers, [b'?'; 20]);
    }
}

#[test]
fn starved_it_takes_less_than_a_tenth_of_a_core_and_all_who_dial_again_are_served() {
    let test = "starved_it_takes_less_than_a_tenth_of_a_core_and_all_who_dial_again_are_served";
    in_child(test, || {
        limit_descriptors(PLENTY);
        // Once those who come can be shed, and once not even that.
        for shedding in [true, false] {
            each_case(|world| {
                let server = echo_server(world);
                let errors = errors_of(world, &server);
                let mut peers = crowd(world, &server, 4 * FEW);
                let late = visitors(world, 20);
                leave_room(FEW);
                let stats = || world.event_loop.stats();
                turn_until(world, || stats().connections_dropped == 3 * FEW as u64);
                assert_eq!(server.connections(), FEW);
                if !shedding {
                    limit_descriptors(3);
                }
                starve(world, &server, late, &mut peers[..FEW]);
                let shed = if shedding { 20 } else { 0 };
                let dropped = stats().connections_dropped as usize;
                assert_eq!(dropped, 3 * FEW + shed, "what is shed is counted");
                assert_eq!(*errors.borrow(), ["accept EMFILE"]);
                limit_descriptors(PLENTY);
                peers.truncate(FEW);
                peers.extend(crowd(world, &server, 3 * FEW));
                turn_until(world, || server.connections() >= 4 * FEW);
                assert_served(world, &mut peers);
                leave(world, &server, peers);
                server.close();
                world.run();
            });
        }
    });
}
