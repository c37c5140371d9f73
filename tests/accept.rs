//! Accepting: what a socket is when `connection` tells of it, and what it inherits from its server.

mod common;
#[path = "common/place.rs"]
mod place;

use std::panic::{catch_unwind, AssertUnwindSafe};
use std::rc::Rc;
use std::time::Duration;

use common::{counter, each_case, each_form_tcp, Script, Transport};
use place::{option, turn_until};
use tidewheel::net::{self, EventKind, ReadyState, ServerOptions, WriteStatus};

#[test]
fn a_connection_comes_connected_and_knows_its_server() {
    each_case(|world| {
        let server = world.serve_one(|| Script::new("S"));
        let met = counter();
        let (count, accepting) = (Rc::clone(&met), server.clone());
        server.on_connection(move |socket| {
            count.set(count.get() + 1);
            assert_eq!(socket.ready_state(), ReadyState::Open);
            assert!(!socket.connecting() && !socket.pending() && !socket.destroyed());
            assert!(socket.readable() && socket.writable());
            assert_eq!((socket.bytes_read(), socket.bytes_written()), (0, 0));
            assert!(socket.address().is_some() && socket.remote().is_some());
            assert_eq!(socket.server(), Some(accepting.clone()));
        });
        let client = world.client(&server, Script::new("C"));
        assert_eq!(client.server(), None);
        client.on_connect(|socket| socket.end());
        world.run();
        assert_eq!(met.get(), 1);
        // No `connect` for those who come connected.
        world.assert_trace("S", "end finish close(false)");
    });
}

#[test]
fn what_a_connection_listener_puts_off_comes_before_the_next_connection() {
    each_case(|world| {
        let note = world.noter();
        let number = counter();
        let server = world.server(move |socket| {
            let this = number.get();
            number.set(this + 1);
            note(&format!("connection {this}"));
            let (counted, wrote) = (note.clone(), note.clone());
            let server = socket.server().unwrap();
            server.get_connections(move |_| counted(&format!("count {this}")));
            socket.write_then("!", move |_, _| wrote(&format!("wrote {this}")));
            socket.end();
            if this == 2 {
                server.close();
            }
        });
        let peers: Vec<_> = (0..3).map(|_| world.peer(&server)).collect();
        for peer in &peers {
            peer.end();
        }
        world.run();
        let expected: Vec<_> = (0..3)
            .flat_map(|n| ["connection", "count", "wrote"].map(|what| format!("{what} {n}")))
            .collect();
        assert_eq!(world.log(), expected);
    });
}

#[test]
fn what_came_before_accept_is_delivered_in_order() {
    each_case(|world| {
        let server = world.serve_one(|| Script::new("S"));
        let mut peer = world.peer(&server);
        peer.send(b"early");
        peer.end();
        world.run();
        world.assert_trace("S", "data(5) end finish close(false)");
        assert_eq!(peer.read_all(), b"");
    });
}

#[test]
fn a_reader_attached_in_a_later_turn_misses_nothing() {
    each_case(|world| {
        let server = world.server(|_| {});
        let watcher = world.watcher();
        server.on_connection(move |socket| {
            socket.server().unwrap().close();
            let (late, watcher) = (socket.clone(), watcher.clone());
            socket
                .event_loop()
                .set_timeout(Duration::from_millis(20), move |_| {
                    watcher.watch(&late, Script::new("S"));
                });
        });
        let mut peer = world.peer(&server);
        peer.send(b"early");
        peer.end();
        world.run();
        world.assert_trace("S", "data(5) end finish close(false)");
    });
}

#[test]
fn the_count_grows_before_connection_and_falls_with_destroy() {
    each_case(|world| {
        let server = world.server(|socket| {
            let server = socket.server().unwrap();
            let before = server.connections();
            assert!(server.sockets().contains(socket));
            if before == 2 {
                socket.destroy();
                socket.destroy();
                assert_eq!(server.connections(), 1);
                assert!(!server.sockets().contains(socket));
                server.get_connections(|count| assert_eq!(count.unwrap(), 1));
                server.close();
            }
        });
        let peers = [world.peer(&server), world.peer(&server)];
        turn_until(world, || !server.listening());
        assert_eq!(server.connections(), 1);
        drop(peers);
        world.run();
        assert_eq!(server.connections(), 0);
    });
}

#[test]
fn accepted_sockets_inherit_how_the_server_treats_streams() {
    each_case(|world| {
        let options = ServerOptions::default()
            .allow_half_open(true)
            .high_water_mark(1 << 20)
            .max_queued(3 << 20)
            .timeout(Duration::from_secs(25));
        let server = world.server_for(1, options, || {
            Script::new("S").on(EventKind::End, |socket, _| {
                // Half-open: we may still say something.
                assert!(socket.writable());
                let socket = socket.clone();
                let event_loop = socket.event_loop().clone();
                event_loop.set_immediate(move |_| socket.end_with("late"));
            })
        });
        let met = counter();
        let count = Rc::clone(&met);
        server.on_connection(move |socket| {
            count.set(1);
            assert_eq!(socket.timeout(), Some(Duration::from_secs(25)));
            socket.cork();
            assert_eq!(socket.write(&[0; 100][..]), WriteStatus::Buffered);
            socket.uncork();
        });
        let mut peer = world.peer(&server);
        peer.end();
        world.run();
        assert_eq!(peer.read_all().len(), 104);
        assert_eq!(met.get(), 1);
        world.assert_trace("S", "end finish close(false)");
    });
}

// The options are of TCP.
#[test]
fn accepted_sockets_inherit_options_before_connection_is_told() {
    each_form_tcp(|world| {
        for on in [false, true] {
            let options = ServerOptions::default()
                .no_delay(on)
                .keep_alive(on)
                .keep_alive_initial_delay(Duration::from_secs(61));
            let server = world.server_for(1, options, || Script::new("S"));
            let met = counter();
            let count = Rc::clone(&met);
            server.on_connection(move |socket| {
                count.set(1);
                let fd = socket.raw_fd().unwrap();
                let tcp = |name| option(fd, libc::IPPROTO_TCP, name);
                assert_eq!(tcp(libc::TCP_NODELAY), i32::from(on));
                let keep_alive = option(fd, libc::SOL_SOCKET, libc::SO_KEEPALIVE);
                assert_eq!(keep_alive, i32::from(on));
                assert_eq!(tcp(libc::TCP_KEEPIDLE) == 61, on);
                // Another delay than the inherited one is applied.
                socket.set_no_delay(on);
                socket.set_keep_alive(true, Some(Duration::from_secs(62)));
                assert_eq!(tcp(libc::TCP_KEEPIDLE), 62);
                socket.end();
            });
            drop(world.peer(&server));
            world.run();
            assert_eq!(met.get(), 1);
        }
    });
}

#[test]
fn those_who_wait_when_the_server_closes_are_turned_away() {
    each_case(|world| {
        let server = world.server(|_| panic!("accepted"));
        let mut peers = [world.peer(&server), world.peer(&server)];
        server.close();
        world.run();
        for peer in &mut peers {
            let mut byte = [0];
            let read = std::io::Read::read(peer, &mut byte);
            match (world.transport, read) {
                (Transport::Tcp, Err(error)) => {
                    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
                }
                (Transport::Unix, Ok(0)) => {}
                (Transport::Unix, Err(error)) => {
                    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
                }
                (_, read) => panic!("{read:?}"),
            }
        }
    });
}

#[test]
fn a_panic_in_a_connection_listener_leaves_the_server_alive() {
    each_case(|world| {
        let number = counter();
        let count = Rc::clone(&number);
        let server = world.server(move |socket| {
            count.set(count.get() + 1);
            match count.get() {
                1 => panic!("the first is too much"),
                3 => {
                    let server = socket.server().unwrap();
                    server.close();
                    for socket in server.sockets() {
                        socket.destroy();
                    }
                }
                _ => {}
            }
        });
        let _peers = [(); 3].map(|()| world.peer(&server));
        let hook = std::panic::take_hook();
        std::panic::set_hook(Box::new(|_| {}));
        let unwound = catch_unwind(AssertUnwindSafe(|| world.event_loop.run()));
        std::panic::set_hook(hook);
        assert!(unwound.is_err());
        assert!(server.listening());
        world.run();
        assert_eq!(number.get(), 3);
    });
}

#[test]
fn accepting_many_leaves_room_for_the_others_in_a_turn() {
    each_case(|world| {
        let (a, b) = net::pair(&world.event_loop).unwrap();
        world.watch(&b, Script::new("B"));
        // With the first of many, something comes to be read elsewhere.
        let server = world.server(move |_| a.end());
        let peers: Vec<_> = (0..500).map(|_| world.peer(&server)).collect();
        let early = counter();
        let (met, accepting) = (Rc::clone(&early), server.clone());
        b.on_end(move |_| met.set(accepting.connections()));
        turn_until(world, || server.connections() == 500);
        let before = early.get();
        assert!((1..250).contains(&before), "{before} came before");
        drop(peers);
        server.close();
        for socket in server.sockets() {
            socket.destroy();
        }
        world.run();
    });
}

#[test]
fn every_waiting_connection_is_accepted_though_the_kernel_tells_once() {
    each_case(|world| {
        let server = world.server(|_| {});
        let peers: Vec<_> = (0..500).map(|_| world.peer(&server)).collect();
        // No other event comes after these turns have begun.
        turn_until(world, || server.connections() == 500);
        let served = server.sockets();
        assert_eq!(served.len(), 500);
        server.close();
        drop(peers);
        for socket in served {
            socket.destroy();
        }
        world.run();
    });
}
