//! What a callback defers runs after it and before the next callback from I/O, a timer or an immediate.

mod common;
#[path = "common/place.rs"]
mod place;

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use common::{each_case, Script, World};
use place::long_turn;
use tidewheel::net::{self, ServerOptions, Socket, SocketOptions};
use tidewheel::{Error, LoopHandle};

/// Defers a line to the log, as a program would: by asking something.
fn tick(handle: &LoopHandle, note: &(impl Fn(&str) + Clone + 'static), line: String) {
    let note = note.clone();
    net::create_server(handle, |_| {}).get_connections(move |_| note(&line));
}

/// The log holds `do0 tick0 do1 tick1 ..`.
#[track_caller]
fn assert_alternating(world: &World, count: usize) {
    let log = world.log();
    let lines = log.iter().filter(|line| !line.contains(':'));
    let expected = (0..count).flat_map(|n| [format!("do{n}"), format!("tick{n}")]);
    assert!(lines.clone().eq(&expected.collect::<Vec<_>>()), "{log:?}");
}

/// Notes `doN` and defers `tickN`, with N counting up.
fn counted(world: &World) -> impl Fn(&LoopHandle) + Clone + 'static {
    let (note, number) = (world.noter(), Rc::new(Cell::new(0)));
    move |handle| {
        let n = number.replace(number.get() + 1);
        note(&format!("do{n}"));
        tick(handle, &note, format!("tick{n}"));
    }
}

#[test]
fn what_a_connection_listener_defers_runs_before_the_next_connection() {
    each_case(|world| {
        let act = counted(world);
        let left = Cell::new(5);
        let server = world.server(move |socket| {
            act(socket.event_loop());
            socket.end();
            left.set(left.get() - 1);
            if left.get() == 0 {
                socket.server().unwrap().close();
            }
        });
        long_turn(world);
        // All wait in one queue: one wake-up for the five of them.
        let peers: Vec<_> = (0..5).map(|_| world.peer(&server)).collect();
        world.event_loop.turn(Some(Duration::ZERO)).unwrap();
        assert_alternating(world, 5);
        drop(peers);
        world.run();
    });
}

#[test]
fn what_a_data_listener_defers_runs_before_the_data_of_the_next_socket() {
    each_case(|world| {
        let act = counted(world);
        let server = world.server_for(5, ServerOptions::default(), move || {
            let act = act.clone();
            Script::new("S").on_data(move |socket, _| {
                act(socket.event_loop());
                socket.end();
            })
        });
        let mut peers: Vec<_> = (0..5).map(|_| world.peer(&server)).collect();
        for peer in &mut peers {
            peer.send(b"x");
        }
        drop(peers);
        world.run();
        assert_alternating(world, 5);
    });
}

#[test]
fn what_a_timer_or_immediate_defers_runs_before_the_next_one() {
    each_case(|world| {
        let act = counted(world);
        let event_loop = &world.event_loop;
        for _ in 0..3 {
            let (timer, immediate) = (act.clone(), act.clone());
            event_loop.set_timeout(Duration::ZERO, move |handle| timer(handle));
            event_loop.set_immediate(move |handle| immediate(handle));
        }
        world.run();
        assert_alternating(world, 6);
    });
}

#[test]
fn what_a_post_defers_runs_before_the_next_post() {
    thread_local! {
        static LOG: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
    }
    each_case(|world| {
        let remote = world.event_loop.remote();
        for number in 0..3 {
            let post = move |handle: &LoopHandle| {
                LOG.with_borrow_mut(|log| log.push(format!("do{number}")));
                let note = |line: &str| LOG.with_borrow_mut(|log| log.push(line.to_string()));
                tick(handle, &note, format!("tick{number}"));
            };
            remote.post(post).unwrap();
        }
        drop(remote);
        world.run();
        let expected = ["do0", "tick0", "do1", "tick1", "do2", "tick2"];
        assert_eq!(LOG.take(), expected);
    });
}

#[test]
fn write_callbacks_and_errors_come_before_the_data_of_the_next_socket() {
    each_case(|world| {
        let note = world.noter();
        let server = world.server_for(3, ServerOptions::default(), move || {
            let note = note.clone();
            Script::new("S").on_data(move |socket, _| {
                let note = note.clone();
                socket.write_then("y", move |_, _| note("S:wrote"));
                socket.destroy_with(Error::other("on purpose"));
            })
        });
        let mut peers: Vec<_> = (0..3).map(|_| world.peer(&server)).collect();
        for peer in &mut peers {
            peer.send(b"x");
        }
        world.run();
        let events = world.events("S");
        let ticks: Vec<_> = events.iter().filter(|e| !e.starts_with("close")).collect();
        for group in ticks.chunks(3) {
            assert!(group[0].starts_with("data"), "{events:?}");
            assert!(!group[1].starts_with("data") && !group[2].starts_with("data"));
        }
        assert_eq!(ticks.len(), 9);
    });
}

#[test]
fn listening_comes_before_the_first_connection() {
    each_case(|world| {
        let note = world.noter();
        let of_connection = note.clone();
        let server = net::create_server(&world.event_loop, move |socket| {
            of_connection("connection");
            socket.destroy();
            socket.server().unwrap().close();
        });
        server
            .listen(world.listen_options(), move |_| note("listening"))
            .unwrap();
        let peer = world.peer(&server);
        world.run();
        drop(peer);
        assert_eq!(world.log(), ["listening", "connection"]);
    });
}

#[test]
fn deferred_events_run_in_the_order_they_were_deferred() {
    each_case(|world| {
        let note = world.noter();
        let socket = Socket::new(&world.event_loop, SocketOptions::default());
        world.watch(&socket, Script::new("C"));
        tick(&world.event_loop, &note, "first".into());
        socket.destroy_with(Error::other("second"));
        tick(&world.event_loop, &note, "third".into());
        world.run();
        let log = world.log();
        assert_eq!(log[0], "first");
        assert!(log[1].starts_with("C:error"));
        assert_eq!(&log[2..], ["third", "C:close(true)"]);
    });
}

#[test]
fn what_a_deferred_call_defers_waits_so_that_nobody_starves() {
    fn again(server: &net::Server, rounds: Rc<Cell<u32>>) {
        let next = server.clone();
        server.get_connections(move |_| {
            rounds.set(rounds.get() + 1);
            again(&next, rounds);
        });
    }
    each_case(|world| {
        let rounds = Rc::new(Cell::new(0));
        let server = world.serve_one(|| Script::new("S"));
        again(&server, Rc::clone(&rounds));
        let count = Rc::clone(&rounds);
        world.client(
            &server,
            Script::new("C").on(net::EventKind::Ready, move |socket, _| {
                assert!(count.get() > 0);
                socket.end();
                socket.event_loop().stop();
            }),
        );
        world.run();
        let handle = world.event_loop.handle();
        let timer = world
            .event_loop
            .set_timeout(Duration::from_millis(2), move |_| {
                handle.stop();
            });
        world.run();
        assert!(!timer.refresh(), "the timer had its turn");
        // It would go on for ever: the loop is dropped with it.
        while world.event_loop.stats().sockets_open > 0 {
            world.event_loop.turn(Some(Duration::ZERO)).unwrap();
        }
    });
}

#[test]
fn what_was_called_outside_a_run_is_served_first() {
    each_case(|world| {
        let note = world.noter();
        let (timer, immediate) = (note.clone(), note.clone());
        world
            .event_loop
            .set_immediate(move |_| immediate("immediate"));
        world
            .event_loop
            .set_timeout(Duration::ZERO, move |_| timer("timer"));
        tick(&world.event_loop, &note, "deferred".into());
        assert!(world.log().is_empty());
        world.run();
        assert_eq!(world.log()[0], "deferred");
        assert_eq!(world.log().len(), 3);
    });
}
