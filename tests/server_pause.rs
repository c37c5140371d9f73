//! Servers that rest, and connections that do: `Server::pause` and `pause_on_connect`. And the listener's descriptor,
//! shown and shared.

mod common;
#[path = "common/faults.rs"]
mod faults;
#[path = "common/kernel.rs"]
mod kernel;

use std::cell::Cell;
use std::os::fd::AsRawFd;
use std::rc::Rc;
use std::time::Duration;

use common::{counter, each_case, Peer, Script, World};
use faults::assert_rests;
use kernel::wait_unread;
use tidewheel::net::{self, EventKind, ListenOptions, Server, ServerOptions};
use tidewheel::Code;

const SERVED: &str = "data(1) end finish close(false)";

/// A server that watches its connections as `S` and closes after so many.
fn server_of(world: &World, count: usize) -> Server {
    world.server_for(count, ServerOptions::default(), || Script::new("S"))
}

/// A client that says a byte and goodbye.
fn visitor(server: &Server) -> Peer {
    let mut peer = Peer::connect(&server.address().unwrap());
    peer.send(b"x");
    peer.end();
    peer
}

/// Turns without waiting, a few times: enough for all that is there already.
fn turn_a_little(world: &World) {
    for _ in 0..5 {
        world.event_loop.turn(Some(Duration::ZERO)).unwrap();
    }
}

#[test]
fn who_comes_while_accepting_rests_is_served_when_it_goes_on() {
    each_case(|world| {
        let server = server_of(world, 3);
        server.pause();
        let peers = [visitor(&server), visitor(&server), visitor(&server)];
        turn_a_little(world);
        assert_eq!(world.events("S").len(), 0);
        assert!(server.listening() && world.event_loop.is_alive());
        server.resume();
        world.run();
        assert_eq!(world.events("S").len(), 3 * 4);
        drop(peers);
    });
}

#[test]
fn a_pause_in_a_connection_listener_holds_the_next_one_back() {
    each_case(|world| {
        let server = server_of(world, 2);
        server.on_connection(|socket| {
            socket.server().unwrap().pause();
        });
        let peers = [visitor(&server), visitor(&server)];
        turn_a_little(world);
        assert_eq!(server.connections() + world.events("S").len(), 4);
        let before = world.events("S").len();
        turn_a_little(world);
        assert_eq!(world.events("S").len(), before);
        server.resume();
        world.run();
        assert_eq!(world.events("S").len(), 2 * 4);
        drop(peers);
    });
}

#[test]
fn who_waits_for_a_paused_server_does_not_wake_it_again_and_again() {
    each_case(|world| {
        let server = server_of(world, 3);
        let first = visitor(&server);
        turn_a_little(world);
        server.pause();
        let others = [visitor(&server), visitor(&server)];
        assert_rests(world);
        server.resume();
        world.run();
        assert_eq!(world.events("S").len(), 3 * 4);
        drop((first, others));
    });
}

#[test]
fn a_quick_pair_of_both_loses_nobody() {
    each_case(|world| {
        let server = server_of(world, 2);
        let first = visitor(&server);
        server.pause().resume();
        let note = world.noter();
        server.once_connection(move |socket| {
            note("SRV:first");
            socket.server().unwrap().pause().resume();
        });
        let second = visitor(&server);
        world.run();
        assert_eq!(world.events("S").len(), 2 * 4);
        drop((first, second));
    });
}

#[test]
fn a_paused_server_may_close() {
    each_case(|world| {
        let server = server_of(world, 1);
        let note = world.noter();
        server.on_close(move |_| note("SRV:close"));
        server.pause();
        let _peer = world.peer(&server);
        turn_a_little(world);
        server.close();
        world.run();
        world.assert_trace("SRV", "close");
        assert_eq!(world.events("S").len(), 0);
        // On a server that is gone both do nothing.
        server.pause().resume();
    });
}

#[test]
fn accepted_sockets_are_paused_if_the_server_says_so() {
    each_case(|world| {
        let options = ServerOptions::default().pause_on_connect(true);
        let resumed = Rc::new(Cell::new(false));
        let started = Rc::clone(&resumed);
        let server = world.server_for(1, options, move || {
            let started = Rc::clone(&started);
            Script::new("S").on_data(move |_, _| assert!(started.get(), "data while paused"))
        });
        server.on_connection(move |socket| {
            assert!(socket.is_paused());
            let socket = socket.clone();
            let resumed = Rc::clone(&resumed);
            let event_loop = socket.event_loop().clone();
            event_loop.set_timeout(Duration::from_millis(5), move |_| {
                wait_unread(&socket, 1);
                assert_eq!(socket.bytes_read(), 0);
                resumed.set(true);
                socket.resume();
            });
        });
        let peer = visitor(&server);
        world.run();
        world.assert_trace("S", SERVED);
        drop(peer);
    });
}

#[test]
fn paused_from_the_start_nothing_is_read_and_the_end_is_noticed() {
    each_case(|world| {
        let options = ServerOptions::default().pause_on_connect(true);
        let server = world.server_for(1, options, || Script::new("S"));
        let peer = world.peer(&server);
        peer.end();
        world.run();
        world.assert_trace("S", "end finish close(false)");
    });
}

#[test]
fn other_servers_sockets_flow_all_the_same() {
    each_case(|world| {
        let paused = net::create_server_with(
            &world.event_loop,
            ServerOptions::default().pause_on_connect(true),
            |_| {},
        );
        drop(paused);
        let server = server_of(world, 1);
        server.on_connection(|socket| assert!(!socket.is_paused()));
        let peer = visitor(&server);
        world.run();
        world.assert_trace("S", SERVED);
        drop(peer);
    });
}

#[test]
fn a_clone_of_the_descriptor_is_accepted_from_by_another_server() {
    each_case(|world| {
        let one = world.server(|_| panic!("closed before anybody came"));
        let address = one.address();
        let fd = one.try_clone_fd().unwrap();
        assert_ne!(Some(fd.as_raw_fd()), one.raw_fd());
        let watcher = world.watcher();
        let other = net::create_server(&world.event_loop, move |socket| {
            watcher.watch(socket, Script::new("S"));
            socket.server().unwrap().close();
        });
        other.listen(ListenOptions::from(fd), |_| {}).unwrap();
        assert_eq!(other.address(), address);
        let peer = Peer::connect(&address.unwrap());
        let mut peer = Some(peer);
        one.close();
        assert!(other.listening());
        other.once_listening(move |_| {
            let mut peer = peer.take().unwrap();
            peer.send(b"x");
            peer.end();
        });
        world.run();
        world.assert_trace("S", SERVED);
    });
}

#[test]
fn both_servers_of_one_descriptor_accept_each_visitor_once() {
    each_case(|world| {
        let total = 20;
        let seen = counter();
        let watcher = world.watcher();
        let accept = {
            let seen = Rc::clone(&seen);
            move |socket: &net::Socket| {
                seen.set(seen.get() + 1);
                watcher.watch(socket, Script::new("S"));
            }
        };
        let one = world.server(accept.clone());
        let other = net::create_server(&world.event_loop, accept);
        let fd = one.try_clone_fd().unwrap();
        other.listen(ListenOptions::from(fd), |_| {}).unwrap();
        let peers: Vec<Peer> = (0..total).map(|_| visitor(&one)).collect();
        let both = [one, other];
        world
            .event_loop
            .set_interval(Duration::from_millis(1), move |timer| {
                if seen.get() == total {
                    both.iter().for_each(Server::close);
                    timer.clear();
                }
            });
        world.run();
        assert_eq!(world.events("S").len(), total * 4);
        drop(peers);
    });
}

#[test]
fn a_server_that_does_not_listen_has_no_descriptor_to_show() {
    each_case(|world| {
        let server = net::create_server(&world.event_loop, |_| {});
        assert_eq!(server.raw_fd(), None);
        let error = server.try_clone_fd().unwrap_err();
        assert_eq!(error.code(), Code::ServerNotRunning);
        server.listen(world.listen_options(), |_| {}).unwrap();
        assert!(server.raw_fd().is_some());
        server.close();
        assert_eq!(server.raw_fd(), None);
        world.run();
    });
}

#[test]
fn listeners_for_one_time_run_once() {
    each_case(|world| {
        let server = net::create_server(&world.event_loop, |_| {});
        let note = world.noter();
        server.once_listening(move |_| note("SRV:listening"));
        let note = world.noter();
        server.once_close(move |server| {
            note("SRV:close");
            server
                .listen(
                    std::path::Path::new("\0tidewheel-once-listening"),
                    |server| server.close(),
                )
                .unwrap();
        });
        let note = world.noter();
        server.once_error(move |_, _| note("SRV:error"));
        assert_eq!(server.listener_count(EventKind::Listening), 1);
        assert_eq!(server.listener_count(EventKind::Error), 1);
        server
            .listen(world.listen_options(), |server| server.close())
            .unwrap();
        world.run();
        world.assert_trace("SRV", "listening close");
        assert_eq!(server.listener_count(EventKind::Close), 0);
    });
}
