//! How many connections a server keeps: `max_connections`, and `drop` for those over it.

mod common;
#[path = "common/place.rs"]
mod place;

use std::cell::RefCell;
use std::io::Read;
use std::rc::Rc;

use common::{counter, each_case, each_form_tcp, each_form_unix, Peer, Script, World};
use place::turn_until;
use tidewheel::net::{Address, EventKind, Server};

/// A server that watches its connections as `S` and notes each `drop`.
fn limited(world: &World, limit: Option<usize>) -> Server {
    let watcher = world.watcher();
    let server = world.server(move |socket| watcher.watch(socket, Script::new("S")));
    server.set_max_connections(limit);
    let note = world.noter();
    server.on_drop(move |_, _| note("SRV:drop"));
    server
}

/// Closes the server once it has seen so many come, dropped or not.
fn close_after(server: &Server, count: usize) {
    let left = counter();
    left.set(count);
    let one_less = move |server: &Server| {
        left.set(left.get() - 1);
        if left.get() == 0 {
            server.close();
        }
    };
    let dropped = one_less.clone();
    server.on_connection(move |socket| one_less(&socket.server().unwrap()));
    server.on_drop(move |server, _| dropped(server));
}

#[test]
fn there_is_no_limit_unless_one_is_set() {
    each_case(|world| {
        let server = limited(world, None);
        assert_eq!(server.max_connections(), None);
        server.set_max_connections(Some(7));
        assert_eq!(server.max_connections(), Some(7));
        server.set_max_connections(None);
        assert_eq!(server.max_connections(), None);
        close_after(&server, 20);
        let peers: Vec<Peer> = (0..20).map(|_| world.peer(&server)).collect();
        peers.iter().for_each(Peer::end);
        world.run();
        assert_eq!(world.events("S").len(), 20 * 3);
    });
}

#[test]
fn those_over_the_limit_are_closed_at_once_and_the_others_served() {
    each_case(|world| {
        let watcher = world.watcher();
        let server = world.server(move |socket| {
            let echo = Script::new("S").on_data(|socket, data| {
                socket.write(data);
            });
            watcher.watch(socket, echo);
        });
        server.set_max_connections(Some(3));
        let note = world.noter();
        server.on_drop(move |_, _| note("SRV:drop"));
        close_after(&server, 6);
        let mut peers: Vec<Peer> = (0..6).map(|_| world.peer(&server)).collect();
        for peer in &mut peers[..3] {
            peer.send(b"x");
        }
        // They stay until the last is turned away.
        turn_until(world, || world.events("SRV").len() == 3);
        peers[..3].iter().for_each(Peer::end);
        world.run();
        let answers: Vec<usize> = peers.iter_mut().map(|p| p.read_all().len()).collect();
        assert_eq!(answers, [1, 1, 1, 0, 0, 0]);
        assert_eq!(world.events("S").len(), 3 * 4);
    });
}

#[test]
fn a_dropped_connection_is_no_connection_and_does_not_count() {
    each_case(|world| {
        let server = limited(world, Some(1));
        close_after(&server, 3);
        let peers: Vec<Peer> = (0..3).map(|_| world.peer(&server)).collect();
        let note = world.noter();
        server.on_drop(move |server, _| {
            note(&format!(
                "SRV:{} of {}",
                server.connections(),
                server.sockets().len()
            ));
        });
        server.on_drop(|_, _| ());
        let ends = peers;
        server.once_close(move |_| drop(ends));
        let stop = server.clone();
        let left = counter();
        left.set(2);
        server.on_drop(move |_, _| {
            left.set(left.get() - 1);
            if left.get() > 0 {
                return;
            }
            let stop = stop.clone();
            let event_loop = stop.event_loop().clone();
            event_loop.set_immediate(move |_| {
                for socket in stop.sockets() {
                    socket.destroy();
                }
            });
        });
        world.run();
        world.assert_trace("SRV", "drop 1 of 1 drop 1 of 1");
        world.assert_trace("S", "close(false)");
        assert_eq!(world.event_loop.stats().sockets_open, 0);
    });
}

#[test]
fn a_connection_that_closes_makes_room_for_the_next() {
    each_case(|world| {
        let server = limited(world, Some(1));
        let first = world.peer(&server);
        let second: Rc<RefCell<Option<Peer>>> = Rc::default();
        let dialled = Rc::clone(&second);
        server.once_connection(move |socket| {
            first.end();
            socket.on_close(move |socket, _| {
                let server = socket.server().unwrap();
                let peer = Peer::connect(&server.address().unwrap());
                peer.end();
                dialled.replace(Some(peer));
                server.once_connection(|socket| socket.server().unwrap().close());
            });
        });
        world.run();
        world.assert_trace("SRV", "");
        assert_eq!(world.events("S").len(), 2 * 3);
        assert!(second.take().is_some());
    });
}

#[test]
fn destroy_makes_room_before_its_close_is_told() {
    each_case(|world| {
        let server = limited(world, Some(1));
        let peers = [world.peer(&server), world.peer(&server)];
        server.on_connection(|socket| {
            socket.destroy();
            assert_eq!(socket.server().unwrap().connections(), 0);
        });
        close_after(&server, 2);
        world.run();
        assert_eq!(world.events("S").len(), 2);
        world.assert_trace("SRV", "");
        drop(peers);
    });
}

#[test]
fn a_limit_of_zero_drops_all_and_may_be_lifted_at_any_time() {
    each_case(|world| {
        let server = limited(world, Some(0));
        server.once_drop(|server, _| {
            server.set_max_connections(Some(1));
            server.close_with(|_, result| result.unwrap());
        });
        let mut dropped = world.peer(&server);
        world.run();
        assert_eq!(dropped.read(&mut [0]).unwrap(), 0);
        world.assert_trace("SRV", "drop");
        assert_eq!(world.events("S").len(), 0);
    });
}

#[test]
fn a_limit_below_the_number_of_connections_closes_none_of_them() {
    each_case(|world| {
        let server = limited(world, None);
        let peers = [world.peer(&server), world.peer(&server)];
        let late: Rc<RefCell<Option<Peer>>> = Rc::default();
        let dialled = Rc::clone(&late);
        let seen = counter();
        server.on_connection(move |socket| {
            seen.set(seen.get() + 1);
            if seen.get() == 2 {
                let server = socket.server().unwrap();
                server.set_max_connections(Some(1));
                dialled.replace(Some(Peer::connect(&server.address().unwrap())));
            }
        });
        server.once_drop(move |server, _| {
            assert_eq!(server.connections(), 2);
            server.close();
            peers.iter().for_each(Peer::end);
            // Kept until they have been answered.
            server.once_close(|_| drop(peers));
        });
        world.run();
        world.assert_trace("SRV", "drop");
        assert_eq!(world.events("S").len(), 2 * 3);
        assert!(late.take().is_some());
    });
}

#[test]
fn drop_tells_both_ends_of_a_tcp_connection() {
    each_form_tcp(|world| {
        let server = limited(world, Some(0));
        let own = server.address();
        let remote: Rc<RefCell<Option<Address>>> = Rc::default();
        let told = Rc::clone(&remote);
        server.once_drop(move |server, dropped| {
            assert_eq!(dropped.local, own);
            told.replace(Some(dropped.remote.clone()));
            server.close();
        });
        let peer = world.peer(&server);
        let Peer::Tcp(stream) = &peer else { return };
        let here = Address::Ip(stream.local_addr().unwrap());
        world.run();
        assert_eq!(remote.take(), Some(here));
    });
}

/// Only UNIX clients have no address.
#[test]
fn drop_tells_the_path_alone_of_a_unix_connection() {
    each_form_unix(|world| {
        let server = limited(world, Some(0));
        let own = server.address();
        server.once_drop(move |server, dropped| {
            assert_eq!(dropped.local, own);
            assert_eq!(dropped.remote, Address::Unnamed);
            server.close();
        });
        let _peer = world.peer(&server);
        world.run();
        world.assert_trace("SRV", "drop");
    });
}

#[test]
fn once_drop_and_once_connection_are_for_the_next_one_only() {
    each_case(|world| {
        let server = limited(world, Some(1));
        let note = world.noter();
        server.once_drop(move |_, _| note("SRV:once"));
        let note = world.noter();
        server.once_connection(move |_| note("SRV:first"));
        let peers: Vec<Peer> = (0..3).map(|_| world.peer(&server)).collect();
        close_after(&server, 3);
        let ended = counter();
        server.on_drop(move |server, _| {
            ended.set(ended.get() + 1);
            if ended.get() == 2 {
                server.sockets().iter().for_each(|socket| socket.destroy());
            }
        });
        assert_eq!(server.listener_count(EventKind::Drop), 4);
        world.run();
        world.assert_trace("SRV", "first drop once drop");
        drop(peers);
    });
}

#[test]
fn connections_over_the_limit_are_counted_in_stats() {
    each_case(|world| {
        let server = limited(world, Some(0));
        let peers = [world.peer(&server), world.peer(&server)];
        close_after(&server, 2);
        world.run();
        assert_eq!(world.event_loop.stats().connections_dropped, 2);
        drop(peers);
    });
}
