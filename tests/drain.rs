//! `drain`: owed once for each time the queue was full, and never lost or doubled.

mod common;
#[path = "common/sending.rs"]
mod sending;

use std::cell::Cell;
use std::rc::Rc;

use common::{counter, each_case, Script};
use sending::{fill, pattern, serve, shrink_send_buffer, Received, TOO_MUCH};
use tidewheel::net::{EventKind, Socket, WriteStatus};

#[test]
fn a_listener_attached_after_queued_is_in_time() {
    each_case(|world| {
        let server = serve(world, Script::new("S"), |socket| {
            fill(socket);
            socket.once_drain(|socket| socket.end());
        });
        world.client(&server, Script::new("C"));
        world.run();
        world.assert_trace("S", "drain finish end close(false)");
    });
}

#[test]
fn many_queued_writes_are_owed_one_drain() {
    each_case(|world| {
        let script = Script::new("S").on(EventKind::Drain, |socket, _| {
            let event_loop = socket.event_loop().clone();
            let socket = socket.clone();
            event_loop.set_immediate(move |_| socket.end());
        });
        let server = serve(world, script, |socket| {
            fill(socket);
            for _ in 0..1000 {
                assert_eq!(socket.write("more"), WriteStatus::Queued);
            }
        });
        world.client(&server, Script::new("C"));
        world.run();
        world.assert_trace("S", "drain finish end close(false)");
    });
}

#[test]
fn there_is_no_drain_after_end() {
    each_case(|world| {
        let server = serve(world, Script::new("S"), |socket| {
            fill(socket);
            socket.end();
            assert!(socket.buffer_size() > 0);
        });
        world.client(&server, Script::new("C"));
        world.run();
        world.assert_trace("S", "finish end close(false)");
    });
}

#[test]
fn none_is_owed_any_more_after_end() {
    each_case(|world| {
        let server = serve(world, Script::new("S"), |socket| {
            fill(socket);
            assert!(socket.need_drain());
            socket.end();
            assert!(!socket.need_drain());
        });
        world.client(&server, Script::new("C"));
        world.run();
        world.assert_trace("S", "finish end close(false)");
    });
}

#[test]
fn there_is_no_drain_after_destroy() {
    each_case(|world| {
        let server = serve(world, Script::new("S"), |socket| {
            fill(socket);
            socket.destroy();
            assert!(!socket.need_drain());
        });
        world.client(&server, Script::new("C"));
        world.run();
        world.assert_trace("S", "close(false)");
    });
}

#[test]
fn there_is_no_drain_where_nothing_had_to_wait() {
    each_case(|world| {
        let server = serve(world, Script::new("S"), |socket| {
            assert!(socket.write("a").is_ok() && socket.write("b").is_ok());
            let event_loop = socket.event_loop().clone();
            let socket = socket.clone();
            event_loop.set_immediate(move |_| socket.end());
        });
        world.client(&server, Script::new("C"));
        world.run();
        world.assert_trace("S", "finish end close(false)");
    });
}

#[test]
fn a_write_inside_drain_that_must_wait_is_owed_another() {
    each_case(|world| {
        const ROUNDS: usize = 5;
        let rounds = Cell::new(1);
        let script = Script::new("S").on(EventKind::Drain, move |socket, _| {
            assert!(!socket.need_drain());
            if rounds.get() == ROUNDS {
                return socket.end();
            }
            rounds.set(rounds.get() + 1);
            fill(socket);
            assert!(socket.need_drain());
        });
        let server = serve(world, script, fill);
        world.client(&server, Script::new("C"));
        world.run();
        let expected = format!("{}finish end close(false)", "drain ".repeat(ROUNDS));
        world.assert_trace("S", &expected);
        let bytes = ROUNDS * TOO_MUCH;
        let expected = format!("connect ready data({bytes}) end finish close(false)");
        world.assert_trace("C", &expected);
    });
}

/// Every socket writes on as Node's manual says to: until false, and again at `drain`.
fn pump(socket: &Socket, chunk: usize, total: usize, owed: &Cell<usize>) {
    while (socket.bytes_written() as usize) < total {
        let at = socket.bytes_written() as usize;
        let status = socket.write(pattern(at, chunk.min(total - at)));
        assert_eq!(socket.need_drain(), status == WriteStatus::Queued);
        if !status.is_ok() {
            return owed.set(owed.get() + 1);
        }
    }
    socket.end();
}

#[test]
fn a_tiny_send_buffer_loses_and_doubles_no_drain() {
    each_case(|world| {
        const TOTAL: usize = 2_000_000;
        let owed = counter();
        let got = counter();
        let (count, seen) = (Rc::clone(&owed), Rc::clone(&got));
        let script = Script::new("S").on(EventKind::Drain, move |socket, _| {
            seen.set(seen.get() + 1);
            assert_eq!(seen.get(), count.get());
            pump(socket, 20_000, TOTAL, &count);
        });
        let count = Rc::clone(&owed);
        let server = serve(world, script, move |socket| {
            shrink_send_buffer(socket);
            pump(socket, 20_000, TOTAL, &count);
        });
        let received = Received::default();
        world.client(&server, received.by(Script::new("C")));
        world.run();
        assert!(got.get() > 10 && owed.get() - got.get() <= 1);
        assert!(received.bytes() == pattern(0, TOTAL));
    });
}

#[test]
fn every_listener_hears_a_drain_although_the_first_fills_the_queue_again() {
    each_case(|world| {
        // One listener writes again, and a second still sees the drain that was owed.
        let (first, second) = (counter(), counter());
        let (one, two) = (Rc::clone(&first), Rc::clone(&second));
        let server = serve(world, Script::new("S"), move |socket| {
            socket.on_drain(move |socket| {
                one.set(one.get() + 1);
                if one.get() < 3 {
                    fill(socket);
                }
            });
            socket.on_drain(move |socket| {
                two.set(two.get() + 1);
                if two.get() == 3 {
                    socket.end();
                }
            });
            fill(socket);
        });
        world.client(&server, Script::new("C"));
        world.run();
        assert_eq!((first.get(), second.get()), (3, 3));
    });
}
