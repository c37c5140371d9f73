//! `error` and `close`: which comes, in what order, and what a socket says of itself then.

mod common;
#[path = "common/sending.rs"]
mod sending;

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use common::{counter, each_case, each_form_tcp, Script};
use sending::{fill, nobody, serve, Notes};
use tidewheel::net::{ConnectOptions, EventKind, ReadyState, Socket};
use tidewheel::{Code, Error};

fn mine() -> Error {
    Error::new(Code::TimedOut, "mine")
}

#[test]
fn between_error_and_close_run_what_the_listener_defers() {
    each_case(|world| {
        let notes = Notes::of(world);
        let script = Script::new("S").on(EventKind::Error, move |socket, _| {
            let later = notes.clone();
            socket
                .event_loop()
                .set_immediate(move |_| later.add("S:immediate"));
            socket.write_then("late", notes.done("S:w1"));
        });
        let server = serve(world, script, |socket| socket.destroy_with(mine()));
        let _peer = world.peer(&server);
        world.run();
        let expected = "error(ETIMEDOUT) w1 ERR_STREAM_DESTROYED immediate close(true)";
        world.assert_trace("S", expected);
    });
}

#[test]
fn the_argument_of_close_says_whether_an_error_was_the_cause() {
    each_case(|world| {
        let cases: [(&str, fn(&Socket), &str); 4] = [
            ("A", |socket| socket.destroy(), "close(false)"),
            (
                "B",
                |socket| socket.destroy_with(mine()),
                "error(ETIMEDOUT) close(true)",
            ),
            ("C", |socket| socket.end(), "finish end close(false)"),
            (
                "D",
                |socket| {
                    socket.end();
                    socket.write("late");
                },
                "error(ERR_STREAM_WRITE_AFTER_END) close(true)",
            ),
        ];
        for (name, act, expected) in cases {
            let server = serve(world, Script::new(name), act);
            let peer = world.peer(&server);
            peer.end();
            world.run();
            world.assert_trace(name, expected);
        }
        world.client_with(nobody(world), Script::new("E"));
        world.run();
        world.assert_trace("E", "error(ECONNREFUSED) close(true)");
    });
}

/// Only TCP has names.
#[test]
fn a_name_that_is_not_found_closes_with_true() {
    each_form_tcp(|world| {
        let options = ConnectOptions::from(("no.such.name", 80)).lookup(|_, _, reply| drop(reply));
        world.client_with(options, Script::new("C"));
        world.run();
        world.assert_trace("C", "error(ENOTFOUND) close(true)");
    });
}

#[test]
fn after_destroy_there_is_no_end_no_finish_no_data() {
    each_case(|world| {
        let server = serve(world, Script::new("S"), |socket| {
            socket.end();
            socket.destroy();
        });
        let mut peer = world.peer(&server);
        peer.send(b"never delivered");
        peer.end();
        world.run();
        world.assert_trace("S", "close(false)");
    });
}

#[test]
fn destroy_in_a_data_listener_ends_the_data() {
    each_case(|world| {
        let received = counter();
        let count = Rc::clone(&received);
        let script = Script::new("S").on_data(move |socket, data| {
            count.set(count.get() + data.len());
            socket.destroy();
        });
        let server = serve(world, script, |_| {});
        let mut peer = world.peer(&server);
        peer.send(&[0; 100_000]);
        peer.end();
        world.run();
        assert!(received.get() <= 64 * 1024);
        let expected = format!("data({}) close(false)", received.get());
        world.assert_trace("S", &expected);
    });
}

#[test]
fn in_close_every_property_still_answers() {
    each_case(|world| {
        let asked = counter();
        let count = Rc::clone(&asked);
        let script = Script::new("S")
            .on(EventKind::End, |socket, _| {
                assert_eq!((socket.bytes_read(), socket.bytes_written()), (5, 5));
            })
            .on(EventKind::Close, move |socket, _| {
                count.set(count.get() + 1);
                assert!(socket.destroyed() && socket.pending());
                assert!(!socket.readable() && !socket.writable());
                assert_eq!(socket.ready_state(), ReadyState::Closed);
                assert_eq!(socket.buffer_size(), 0);
                assert_eq!((socket.bytes_read(), socket.bytes_written()), (5, 5));
                assert!(socket.address().is_some() && socket.remote().is_some());
                assert!(socket.server().is_some());
                assert_eq!(*socket.data::<i32>().unwrap(), 7);
            });
        let server = serve(world, script, |socket| {
            socket.set_data(7);
            socket.end_with("hello");
        });
        let mut peer = world.peer(&server);
        peer.send(b"world");
        peer.end();
        world.run();
        assert_eq!(asked.get(), 1);
    });
}

#[test]
fn destroy_inside_the_error_listener_tells_nothing_twice() {
    each_case(|world| {
        let script = Script::new("S").on_error(|socket, _| {
            socket.destroy();
            socket.destroy_with(Error::other("second"));
            socket.end();
        });
        let server = serve(world, script, |socket| socket.destroy_with(mine()));
        let _peer = world.peer(&server);
        world.run();
        world.assert_trace("S", "error(ETIMEDOUT) close(true)");
    });
}

#[test]
fn an_error_of_the_system_after_destroy_is_not_told() {
    each_case(|world| {
        let hang_up = Rc::new(RefCell::new(None));
        let peer = Rc::clone(&hang_up);
        let server = serve(world, Script::new("S"), move |socket| {
            fill(socket);
            // A reset is on its way when it is destroyed.
            drop(peer.take());
            socket.destroy();
        });
        *hang_up.borrow_mut() = Some(world.peer(&server));
        world.run();
        world.assert_trace("S", "close(false)");
    });
}

#[test]
fn an_error_nobody_hears_stops_nothing_and_close_still_says_true() {
    each_case(|world| {
        let unhandled = Rc::new(Cell::new(None));
        let hook = Rc::clone(&unhandled);
        world
            .event_loop
            .on_unhandled_error(move |_, error| hook.set(Some(error.code())));
        let closed = Rc::new(Cell::new(None));
        let at_close = Rc::clone(&closed);
        let server = world.server(move |socket| {
            let closed = Rc::clone(&at_close);
            socket.on_close(move |_, had_error| closed.set(Some(had_error)));
            socket.server().unwrap().close();
            socket.destroy_with(mine());
        });
        let _peer = world.peer(&server);
        world.run();
        assert_eq!(
            (unhandled.get(), closed.get()),
            (Some(Code::TimedOut), Some(true))
        );
        assert_eq!(world.event_loop.stats().unhandled_errors, 1);
    });
}

#[test]
fn an_unheard_error_of_an_accepted_socket_is_not_what_run_returns() {
    each_case(|world| {
        let server = world.server(|socket| {
            socket.server().unwrap().close();
            socket.destroy_with(mine());
        });
        let _peer = world.peer(&server);
        world.try_run().unwrap();
        assert_eq!(world.event_loop.stats().unhandled_errors, 1);
    });
}

#[test]
fn an_error_of_a_socket_is_none_of_its_servers() {
    each_case(|world| {
        let server = serve(world, Script::new("S"), |socket| {
            socket.destroy_with(mine())
        });
        let note = world.noter();
        server.on_error(move |_, error| note(&format!("SRV:error({error})")));
        let _peer = world.peer(&server);
        world.run();
        assert_eq!(world.log(), ["S:error(ETIMEDOUT)", "S:close(true)"]);
    });
}

#[test]
fn a_peer_that_leaves_with_everything_read_is_an_end() {
    each_case(|world| {
        let server = serve(world, Script::new("S"), |_| {});
        let mut peer = world.peer(&server);
        peer.send(b"bye");
        drop(peer);
        world.run();
        let trace = world.trace("S");
        assert_eq!(trace, "data(3) end finish close(false)");
    });
}

#[test]
fn a_peer_that_leaves_with_bytes_unread_is_a_reset() {
    each_case(|world| {
        let hang_up = Rc::new(RefCell::new(None));
        let peer = Rc::clone(&hang_up);
        let server = serve(world, Script::new("S"), move |socket| {
            socket.write("never read");
            drop(peer.take());
        });
        *hang_up.borrow_mut() = Some(world.peer(&server));
        world.run();
        world.assert_trace("S", "error(ECONNRESET) close(true)");
    });
}

#[test]
fn the_listeners_of_close_run_in_order_and_each_once() {
    each_case(|world| {
        let notes = Notes::of(world);
        let server = serve(world, Script::new("S"), move |socket| {
            for number in 1..=3 {
                let notes = notes.clone();
                socket.on_close(move |socket, had_error| {
                    assert!(!had_error);
                    notes.add(&format!("S:listener {number}"));
                    // Too late for this emission, and there is no other.
                    socket.on_close(|_, _| panic!("close twice"));
                });
            }
            socket.destroy();
        });
        let _peer = world.peer(&server);
        world.run();
        world.assert_trace("S", "close(false) listener 1 listener 2 listener 3");
    });
}

#[test]
fn a_close_listener_may_open_what_comes_next() {
    each_case(|world| {
        let server = world.server_for(2, Default::default(), || {
            Script::new("S").on(EventKind::Data, |socket, _| socket.end())
        });
        let options = world.connect_options(&server);
        let watcher = world.watcher();
        let script = Script::new("C1")
            .on(EventKind::Ready, |socket, _| socket.end_with("first"))
            .on(EventKind::Close, move |socket, _| {
                let next = tidewheel::net::connect(socket.event_loop(), options.clone(), |_| {});
                assert_ne!(&next, socket);
                watcher.watch(&next, Script::new("C2"));
                next.end_with("second");
            });
        world.client(&server, script);
        world.run();
        world.assert_trace("C1", "connect ready finish end close(false)");
        world.assert_trace("C2", "connect ready finish end close(false)");
    });
}

#[test]
fn destroy_outside_the_loop_closes_in_the_next_turn() {
    each_case(|world| {
        let server = world.server(|_| {});
        let client = world.client(&server, Script::new("C"));
        client.set_timeout(Duration::from_millis(1));
        client.destroy_with(mine());
        assert!(world.log().is_empty());
        server.close();
        world.event_loop.turn(Some(Duration::ZERO)).unwrap();
        world.assert_trace("C", "error(ETIMEDOUT) close(true)");
        world.run();
    });
}
