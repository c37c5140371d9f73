//! The callbacks of writes: each exactly once, in order, never inside the call, before `close`.

mod common;
#[path = "common/sending.rs"]
mod sending;

use std::cell::{Cell, RefCell};
use std::panic::AssertUnwindSafe;
use std::rc::Rc;
use std::time::Duration;

use common::{counter, each_case, EventLoop, Script};
use sending::{nobody, serve, Notes, TOO_MUCH};
use tidewheel::net::{self, EventKind, Socket, SocketOptions, WriteStatus};
use tidewheel::{Code, Error};

#[test]
fn thousands_of_callbacks_run_once_each_in_the_order_of_the_writes() {
    each_case(|world| {
        const WRITES: usize = 20_000;
        let called = counter();
        let at_close = Rc::clone(&called);
        let script = Script::new("S").on(EventKind::Close, move |_, _| {
            assert_eq!(at_close.get(), WRITES);
        });
        let server = serve(world, script, move |socket| {
            for number in 0..WRITES {
                let called = Rc::clone(&called);
                socket.write_then([number as u8; 700], move |_, result| {
                    result.unwrap();
                    assert_eq!(called.get(), number);
                    called.set(number + 1);
                });
            }
            socket.end();
        });
        world.client(&server, Script::new("C"));
        world.run();
        world.assert_trace("S", "finish end close(false)");
    });
}

#[test]
fn a_callback_never_runs_inside_the_call_even_if_all_is_sent() {
    each_case(|world| {
        let notes = Notes::of(world);
        let server = serve(world, Script::new("S"), move |socket| {
            let status = socket.write_then("x", notes.done("S:w1"));
            assert_eq!(status, WriteStatus::Flushed);
            notes.add("S:returned");
            socket.end();
        });
        let peer = world.peer(&server);
        peer.end();
        world.run();
        world.assert_trace("S", "returned w1 ok finish end close(false)");
    });
}

#[test]
fn callbacks_of_what_was_sent_at_once_come_before_any_other_event() {
    each_case(|world| {
        let notes = Notes::of(world);
        let server = serve(world, Script::new("S"), move |socket| {
            let later = notes.clone();
            let event_loop = socket.event_loop();
            event_loop.set_timeout(Duration::ZERO, move |_| later.add("S:timer"));
            let later = notes.clone();
            event_loop.set_immediate(move |_| later.add("S:immediate"));
            socket.write_then("x", notes.done("S:w1"));
            socket.end();
        });
        let peer = world.peer(&server);
        peer.end();
        world.run();
        assert_eq!(world.events("S")[0], "w1 ok");
    });
}

#[test]
fn callbacks_of_writes_before_connect_come_after_connect() {
    each_case(|world| {
        let notes = Notes::of(world);
        let server = world.serve_one(|| Script::new("S"));
        let client = world.client(&server, Script::new("C"));
        client.write_then("", notes.done("C:empty"));
        client.write_then("a", notes.done("C:w1"));
        client.end();
        world.run();
        let expected = "connect ready empty ok w1 ok finish end close(false)";
        world.assert_trace("C", expected);
    });
}

#[test]
fn the_callback_of_an_empty_write_waits_for_those_before_it() {
    each_case(|world| {
        let notes = Notes::of(world);
        let server = serve(world, Script::new("S"), move |socket| {
            socket.write_then(vec![0; TOO_MUCH], notes.done("S:w1"));
            socket.write_then("", notes.done("S:w2"));
            socket.write_then("x", notes.done("S:w3"));
            socket.end_then(notes.done("S:end-cb"));
        });
        world.client(&server, Script::new("C"));
        world.run();
        let expected = "w1 ok w2 ok w3 ok end-cb ok finish end close(false)";
        world.assert_trace("S", expected);
    });
}

#[test]
fn drain_comes_before_the_callback_of_the_write_that_emptied_the_queue() {
    each_case(|world| {
        let notes = Notes::of(world);
        let script = Script::new("S").on(EventKind::Drain, |socket, _| socket.end());
        let server = serve(world, script, move |socket| {
            socket.write_then(vec![0; TOO_MUCH], notes.done("S:w1"));
        });
        world.client(&server, Script::new("C"));
        world.run();
        world.assert_trace("S", "drain w1 ok finish end close(false)");
    });
}

#[test]
fn a_callback_may_write_again_with_another_callback() {
    each_case(|world| {
        fn again(socket: &Socket, left: usize) {
            socket.write_then("x", move |socket, result| {
                result.unwrap();
                match left {
                    0 => socket.end(),
                    _ => again(socket, left - 1),
                }
            });
        }
        let server = serve(world, Script::new("S"), |socket| again(socket, 999));
        world.client(&server, Script::new("C"));
        world.run();
        world.assert_trace("C", "connect ready data(1000) end finish close(false)");
    });
}

#[test]
fn a_refused_write_fails_the_callbacks_before_it_first() {
    each_case(|world| {
        let notes = Notes::of(world);
        let server = serve(world, Script::new("S"), move |socket| {
            socket.write_then(vec![0; TOO_MUCH], notes.done("S:w1"));
            socket.end_then(notes.done("S:end-cb"));
            socket.write_then("late", notes.done("S:w2"));
        });
        let _peer = world.peer(&server);
        world.run();
        let code = "ERR_STREAM_WRITE_AFTER_END";
        let expected = format!("w1 {code} w2 {code} end-cb {code} error({code}) close(true)");
        world.assert_trace("S", &expected);
    });
}

#[test]
fn a_callback_that_is_owed_success_gets_it_although_destroy_came_between() {
    each_case(|world| {
        let notes = Notes::of(world);
        let server = serve(world, Script::new("S"), move |socket| {
            let status = socket.write_then("sent", notes.done("S:w1"));
            assert_eq!(status, WriteStatus::Flushed);
            socket.destroy();
        });
        let _peer = world.peer(&server);
        world.run();
        world.assert_trace("S", "w1 ok close(false)");
    });
}

#[test]
fn destroy_fails_the_callbacks_of_what_waits() {
    each_case(|world| {
        let notes = Notes::of(world);
        let server = serve(world, Script::new("S"), move |socket| {
            socket.write_then("sent", notes.done("S:w0"));
            socket.write_then(vec![0; TOO_MUCH], notes.done("S:w1"));
            socket.write_then("", notes.done("S:w2"));
            socket.end_then(notes.done("S:end-cb"));
            socket.destroy();
            assert_eq!(socket.buffer_size(), 0);
        });
        let _peer = world.peer(&server);
        world.run();
        let code = "ERR_STREAM_DESTROYED";
        let expected = format!("w0 ok w1 {code} w2 {code} end-cb {code} close(false)");
        world.assert_trace("S", &expected);
    });
}

#[test]
fn a_write_after_destroy_fails_its_callback_and_nothing_else() {
    each_case(|world| {
        let notes = Notes::of(world);
        let server = serve(world, Script::new("S"), move |socket| {
            socket.destroy();
            let status = socket.write_then("late", notes.done("S:w1"));
            assert_eq!(status, WriteStatus::Refused);
            assert_eq!(socket.write("late"), WriteStatus::Refused);
            notes.add("S:returned");
        });
        let _peer = world.peer(&server);
        world.run();
        world.assert_trace("S", "returned w1 ERR_STREAM_DESTROYED close(false)");
    });
}

#[test]
fn a_late_callback_is_told_its_own_reason() {
    each_case(|world| {
        let notes = Notes::of(world);
        let server = serve(world, Script::new("S"), move |socket| {
            socket.write_then(vec![0; TOO_MUCH], notes.done("S:w1"));
            socket.destroy_with(Error::new(Code::TimedOut, "mine"));
            socket.write_then("late", notes.done("S:w2"));
            socket.end_then(notes.done("S:end-cb"));
        });
        let _peer = world.peer(&server);
        world.run();
        let expected =
            "error(ETIMEDOUT) w1 ETIMEDOUT w2 ERR_STREAM_DESTROYED end-cb ETIMEDOUT close(true)";
        world.assert_trace("S", expected);
    });
}

#[test]
fn close_waits_for_callbacks_whose_turn_comes_after_it() {
    each_case(|world| {
        let notes = Notes::of(world);
        let server = serve(world, Script::new("S"), move |socket| {
            let event_loop = socket.event_loop().clone();
            let socket = socket.clone();
            // Nothing but closes comes after immediates and what they deferred.
            event_loop.set_immediate(move |_| {
                socket.write_then("x", move |socket, _| {
                    socket.write_then(vec![0; TOO_MUCH], notes.done("S:w1"));
                    socket.destroy_with(Error::new(Code::TimedOut, "mine"));
                });
            });
        });
        let _peer = world.peer(&server);
        world.run();
        world.assert_trace("S", "error(ETIMEDOUT) w1 ETIMEDOUT close(true)");
    });
}

#[test]
fn a_callback_given_in_the_close_listener_still_runs() {
    each_case(|world| {
        let notes = Notes::of(world);
        let log = notes.clone();
        let script = Script::new("S").on(EventKind::Close, move |socket, _| {
            socket.write_then("late", log.done("CB:write"));
            socket.end_then(log.done("CB:end"));
        });
        let server = serve(world, script, |socket| socket.destroy());
        let _peer = world.peer(&server);
        world.run();
        let code = "ERR_STREAM_DESTROYED";
        let expected = [
            "S:close(false)".into(),
            format!("CB:write {code}"),
            format!("CB:end {code}"),
        ];
        assert_eq!(world.log(), expected);
    });
}

#[test]
fn a_callback_given_to_a_dead_handle_runs_with_an_error_and_not_inside_the_call() {
    each_case(|world| {
        let notes = Notes::of(world);
        let server = serve(world, Script::new("S"), |socket| socket.destroy());
        let kept = Rc::new(RefCell::new(None));
        let keep = Rc::clone(&kept);
        server.on_connection(move |socket| *keep.borrow_mut() = Some(socket.clone()));
        let _peer = world.peer(&server);
        world.run();
        let socket = kept.take().unwrap();
        let status = socket.write_then("late", notes.done("CB:write"));
        assert_eq!(status, WriteStatus::Refused);
        socket.end_then(notes.done("CB:end"));
        assert_eq!(world.log(), ["S:close(false)"]);
        world.run();
        let code = "ERR_STREAM_DESTROYED";
        assert_eq!(
            world.log()[1..],
            [format!("CB:write {code}"), format!("CB:end {code}")]
        );
    });
}

#[test]
fn on_a_dead_loop_a_write_is_refused_and_its_callback_dropped_at_once() {
    // In a scenario, because those beside it count descriptors.
    each_case(|_| {
        let event_loop = EventLoop::new().unwrap();
        let (socket, _other) = net::pair(&event_loop).unwrap();
        drop(event_loop);
        let probe = Rc::new(());
        let held = Rc::clone(&probe);
        let status = socket.write_then("late", move |_, _| drop(held));
        assert_eq!(status, WriteStatus::Refused);
        assert_eq!(Rc::strong_count(&probe), 1);
        let held = Rc::clone(&probe);
        socket.end_then(move |_, _| drop(held));
        assert_eq!(Rc::strong_count(&probe), 1);
    });
}

#[test]
fn dropping_the_loop_drops_waiting_callbacks_uncalled() {
    // In a scenario, because those beside it count descriptors.
    each_case(|_| {
        let event_loop = EventLoop::new().unwrap();
        let (socket, _other) = net::pair(&event_loop).unwrap();
        let (probe, called) = (Rc::new(()), counter());
        for _ in 0..2 {
            let (held, called) = (Rc::clone(&probe), Rc::clone(&called));
            socket.write_then(vec![0; TOO_MUCH], move |_, _| {
                called.set(called.get() + 1);
                drop(held);
            });
        }
        drop(event_loop);
        assert_eq!((Rc::strong_count(&probe), called.get()), (1, 0));
    });
}

#[test]
fn a_failed_connect_fails_what_was_queued_with_its_own_error() {
    each_case(|world| {
        let notes = Notes::of(world);
        let client = world.client_with(nobody(world), Script::new("C"));
        client.write_then("a", notes.done("C:w1"));
        client.write_then("b", notes.done("C:w2"));
        client.end_then(notes.done("C:end-cb"));
        world.run();
        let code = "ECONNREFUSED";
        let expected = format!("error({code}) w1 {code} w2 {code} end-cb {code} close(true)");
        world.assert_trace("C", &expected);
    });
}

#[test]
fn an_error_only_a_callback_saw_is_still_unhandled() {
    each_case(|world| {
        let unhandled = Rc::new(Cell::new(None));
        let hook = Rc::clone(&unhandled);
        world
            .event_loop
            .on_unhandled_error(move |_, error| hook.set(Some(error.code())));
        let socket = Socket::new(&world.event_loop, SocketOptions::default());
        let notes = Notes::of(world);
        socket.write_then("a", notes.done("C:w1"));
        world.run();
        assert_eq!(world.log(), ["C:w1 ERR_SOCKET_CLOSED"]);
        assert_eq!(unhandled.get(), Some(Code::SocketClosed));
    });
}

#[test]
fn a_panic_in_one_callback_leaves_the_others_their_turn() {
    each_case(|world| {
        let notes = Notes::of(world);
        let server = serve(world, Script::new("S"), move |socket| {
            socket.write_then("a", |_, _| panic!("on purpose"));
            socket.write_then("b", notes.done("S:w2"));
            socket.end_then(notes.done("S:end-cb"));
        });
        let peer = world.peer(&server);
        peer.end();
        let event_loop = &world.event_loop;
        let panicked = std::panic::catch_unwind(AssertUnwindSafe(|| event_loop.run()));
        assert!(panicked.is_err());
        world.run();
        world.assert_trace("S", "w2 ok end-cb ok finish end close(false)");
    });
}

#[test]
fn late_callbacks_that_write_again_do_not_spin() {
    fn again(socket: &Socket, calls: Rc<Cell<usize>>) {
        calls.set(calls.get() + 1);
        if calls.get() < 1000 {
            socket.write_then("late", move |socket, _| again(socket, calls));
        }
    }
    each_case(|world| {
        let calls = counter();
        let begun = Rc::clone(&calls);
        let server = serve(world, Script::new("S"), move |socket| {
            socket.destroy();
            again(socket, Rc::clone(&begun));
            let calls = Rc::clone(&begun);
            let event_loop = socket.event_loop();
            event_loop.set_immediate(move |_| assert!(calls.get() < 10));
        });
        let _peer = world.peer(&server);
        world.run();
        assert_eq!(calls.get(), 1000);
        world.assert_trace("S", "close(false)");
    });
}
