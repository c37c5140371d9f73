//! `Server::shutdown`: connections are ended, what is queued goes out, and after the grace the rest is destroyed.

mod common;

use std::cell::{Cell, RefCell};
use std::io::Read;
use std::rc::Rc;
use std::time::{Duration, Instant};

use common::{each_case, Script, World};
use tidewheel::net::{EventKind, Server, ServerOptions, Socket};

const HOUR: Duration = Duration::from_secs(3600);

type Counts = Rc<RefCell<Vec<usize>>>;

/// Shuts the server down once `count` clients are connected.
fn shutdown_at(server: &Server, count: usize, grace: Duration, counts: &Counts) {
    let left = Cell::new(count);
    let counts = Rc::clone(counts);
    server.on_connection(move |socket| {
        left.set(left.get() - 1);
        if left.get() == 0 {
            let counts = Rc::clone(&counts);
            let server = socket.server().unwrap();
            server.shutdown(grace, move |server, destroyed| {
                assert!(!server.listening());
                assert_eq!(server.connections(), 0);
                counts.borrow_mut().push(destroyed);
            });
            assert!(!server.listening() && server.address().is_none());
        }
    });
}

fn watched(world: &World, options: ServerOptions) -> Server {
    let watcher = world.watcher();
    world.server_with(options, move |socket| {
        watcher.watch(socket, Script::new("S"));
    })
}

#[test]
fn sockets_are_ended_and_nobody_waits_for_the_grace() {
    each_case(|world| {
        let counts = Counts::default();
        let server = watched(world, ServerOptions::default());
        shutdown_at(&server, 3, HOUR, &counts);
        let start = Instant::now();
        for name in ["C1", "C2", "C3"] {
            world.client(&server, Script::new(name));
        }
        world.run();
        assert!(start.elapsed() < HOUR, "its timer kept the loop alive");
        assert_eq!(*counts.borrow(), [0]);
        for name in ["C1", "C2", "C3"] {
            world.assert_trace(name, "connect ready end finish close(false)");
        }
        let stats = world.event_loop.stats();
        assert_eq!(stats.timers, 0);
    });
}

#[test]
fn queued_bytes_go_out_before_the_end() {
    const BULK: usize = 16 << 20;
    each_case(|world| {
        let counts = Counts::default();
        let watcher = world.watcher();
        let server = world.server(move |socket| {
            watcher.watch(socket, Script::new("S"));
            socket.write(vec![5; BULK]);
            assert!(socket.buffer_size() > 0);
        });
        shutdown_at(&server, 1, HOUR, &counts);
        world.client(&server, Script::new("C"));
        world.run();
        world.assert_trace(
            "C",
            &format!("connect ready data({BULK}) end finish close(false)"),
        );
        assert_eq!(*counts.borrow(), [0]);
    });
}

#[test]
fn those_still_open_after_the_grace_are_destroyed_and_counted() {
    each_case(|world| {
        let counts = Counts::default();
        let server = watched(world, ServerOptions::default());
        const GRACE: Duration = Duration::from_millis(20);
        let began = Rc::new(Cell::new(None));
        let start = Rc::clone(&began);
        server.on_connection(move |_| start.set(Some(Instant::now())));
        shutdown_at(&server, 3, GRACE, &counts);
        // Two that never answer the end, and one that does.
        let mut stubborn: Vec<_> = (0..2).map(|_| world.peer(&server)).collect();
        world.client(&server, Script::new("C"));
        world.run();
        assert_eq!(*counts.borrow(), [2]);
        assert!(began.get().unwrap().elapsed() >= GRACE, "too early");
        world.assert_trace("C", "connect ready end finish close(false)");
        for peer in &mut stubborn {
            assert_eq!(peer.read(&mut [0]).unwrap(), 0);
        }
        let closes = world
            .events("S")
            .iter()
            .filter(|e| *e == "close(false)")
            .count();
        assert_eq!(closes, 3, "no error is told");
    });
}

#[test]
fn a_client_that_is_half_open_has_the_grace_to_finish() {
    each_case(|world| {
        let counts = Counts::default();
        let server = watched(world, ServerOptions::default().allow_half_open(true));
        shutdown_at(&server, 1, HOUR, &counts);
        let client = world.client(
            &server,
            Script::new("C").on(EventKind::End, |socket, _| {
                socket.write("the rest of what I have to say");
                let socket = socket.clone();
                let handle = socket.event_loop().clone();
                handle.set_timeout(Duration::from_millis(3), move |_| socket.end());
            }),
        );
        client.set_allow_half_open(true);
        world.run();
        world.assert_trace("S", "finish data(30) end close(false)");
        assert_eq!(*counts.borrow(), [0]);
    });
}

#[test]
fn a_grace_of_zero_destroys_at_once() {
    each_case(|world| {
        let counts = Counts::default();
        let server = watched(world, ServerOptions::default());
        shutdown_at(&server, 2, Duration::ZERO, &counts);
        let turns = Rc::new(RefCell::new(Vec::new()));
        let (of_last, of_close) = (Rc::clone(&turns), Rc::clone(&turns));
        server.on_connection(move |socket| {
            of_last.borrow_mut().push(socket.event_loop().stats().turns);
        });
        server.on_close(move |server| {
            of_close
                .borrow_mut()
                .push(server.event_loop().stats().turns);
        });
        let mut peers: Vec<_> = (0..2).map(|_| world.peer(&server)).collect();
        world.run();
        assert_eq!(*counts.borrow(), [2]);
        let turns = turns.borrow();
        assert_eq!(turns[1], turns[2], "all in the turn of the call");
        for peer in &mut peers {
            assert_eq!(peer.read(&mut [0]).unwrap(), 0);
        }
        world.assert_trace("S", "close(false) close(false)");
    });
}

#[test]
fn without_connections_it_is_a_close() {
    each_case(|world| {
        let counts = Counts::default();
        let server = world.server(|_| {});
        let note = world.noter();
        server.on_close(move |_| note("SRV:close"));
        let seen = Rc::clone(&counts);
        server.shutdown(HOUR, move |_, destroyed| seen.borrow_mut().push(destroyed));
        assert!(counts.borrow().is_empty(), "never inside the call");
        world.run();
        assert_eq!(
            (counts.borrow().as_slice(), world.log().len()),
            (&[0][..], 1)
        );
    });
}

#[test]
fn on_a_server_that_does_not_listen_it_answers_all_the_same() {
    each_case(|world| {
        let counts = Counts::default();
        let server = tidewheel::net::create_server(&world.event_loop, |_| {});
        let shutdown = || {
            let seen = Rc::clone(&counts);
            server.shutdown(HOUR, move |_, destroyed| seen.borrow_mut().push(destroyed));
            world.run();
        };
        shutdown();
        server.listen(world.listen_options(), |_| {}).unwrap();
        server.close();
        shutdown();
        shutdown();
        assert_eq!(*counts.borrow(), [0, 0, 0]);
        assert_eq!(world.event_loop.stats().timers, 0);
    });
}

#[test]
fn after_close_it_ends_the_connections_that_are_left() {
    each_case(|world| {
        let counts = Counts::default();
        let server = watched(world, ServerOptions::default());
        let seen = Rc::clone(&counts);
        server.on_connection(move |socket| {
            let server = socket.server().unwrap();
            server.close();
            let seen = Rc::clone(&seen);
            server.shutdown(HOUR, move |_, destroyed| seen.borrow_mut().push(destroyed));
        });
        world.client(&server, Script::new("C"));
        world.run();
        world.assert_trace("C", "connect ready end finish close(false)");
        assert_eq!(*counts.borrow(), [0]);
    });
}

#[test]
fn a_second_shutdown_may_cut_the_first_short() {
    each_case(|world| {
        let counts = Counts::default();
        let server = watched(world, ServerOptions::default());
        let seen = Rc::clone(&counts);
        server.on_connection(move |socket| {
            let server = socket.server().unwrap();
            for grace in [HOUR, Duration::ZERO] {
                let seen = Rc::clone(&seen);
                server.shutdown(grace, move |_, destroyed| seen.borrow_mut().push(destroyed));
            }
        });
        let peer = world.peer(&server);
        world.run();
        drop(peer);
        assert_eq!(*counts.borrow(), [1, 1]);
        assert_eq!(world.event_loop.stats().timers, 0);
    });
}

#[test]
fn the_next_shutdown_of_a_server_that_listened_again_counts_anew() {
    each_case(|world| {
        let counts = Counts::default();
        let server = watched(world, ServerOptions::default());
        let seen = Rc::clone(&counts);
        server.on_connection(move |socket| {
            let seen = Rc::clone(&seen);
            let server = socket.server().unwrap();
            server.shutdown(Duration::ZERO, move |_, destroyed| {
                seen.borrow_mut().push(destroyed);
            });
        });
        let first = world.peer(&server);
        let again = world.listen_options();
        let left = Cell::new(Some(again));
        server.on_close(move |server| {
            if let Some(options) = left.take() {
                server
                    .listen(options, |server| server.event_loop().stop())
                    .unwrap();
            }
        });
        world.run();
        let second = world.peer(&server);
        world.run();
        drop((first, second));
        assert_eq!(*counts.borrow(), [1, 1]);
    });
}

#[test]
fn the_deadline_spares_connections_of_a_later_listen() {
    each_case(|world| {
        let counts = Counts::default();
        let survivor: Rc<RefCell<Option<Socket>>> = Rc::default();
        let server = watched(world, ServerOptions::default());
        let (seen, kept, again) = (
            Rc::clone(&counts),
            Rc::clone(&survivor),
            Cell::new(Some(world.listen_options())),
        );
        server.on_connection(move |socket| {
            let server = socket.server().unwrap();
            if let Some(options) = again.take() {
                let (seen, kept) = (Rc::clone(&seen), Rc::clone(&kept));
                server.shutdown(Duration::from_millis(20), move |_, destroyed| {
                    seen.borrow_mut().push(destroyed);
                });
                socket.on_close(move |socket, _| {
                    let survivor = kept.borrow_mut().take().unwrap();
                    assert!(!survivor.destroyed(), "it was not told to end");
                    survivor.end();
                    socket.server().unwrap().close();
                });
                let listening = |server: &Server| server.event_loop().stop();
                server.listen(options, listening).unwrap();
            } else {
                *kept.borrow_mut() = Some(socket.clone());
            }
        });
        let stubborn = world.peer(&server);
        world.run();
        world.client(&server, Script::new("C"));
        world.run();
        drop(stubborn);
        assert_eq!(*counts.borrow(), [1]);
        world.assert_trace("C", "connect ready end finish close(false)");
    });
}
