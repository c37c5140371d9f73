//! Why a write is refused, and what follows. One test for each row of the table.

mod common;
#[path = "common/sending.rs"]
mod sending;

use std::rc::Rc;

use common::{counter, each_case, Script};
use sending::{fill, serve, serve_with, Notes, TOO_MUCH};
use tidewheel::net::{EventKind, ServerOptions, Socket, SocketOptions, WriteStatus};

#[test]
fn never_connected_is_socket_closed() {
    each_case(|world| {
        let notes = Notes::of(world);
        let socket = Socket::new(&world.event_loop, SocketOptions::default());
        let script =
            Script::new("C").on_error(|_, error| assert_eq!(error.to_string(), "Socket is closed"));
        world.watch(&socket, script);
        assert_eq!(
            socket.write_then("a", notes.done("C:w1")),
            WriteStatus::Refused
        );
        assert_eq!((socket.buffer_size(), socket.bytes_written()), (0, 0));
        assert!(socket.destroyed());
        world.run();
        let code = "ERR_SOCKET_CLOSED";
        world.assert_trace("C", &format!("w1 {code} error({code}) close(true)"));
    });
}

#[test]
fn after_end_is_write_after_end_and_what_was_sent_stays_sent() {
    each_case(|world| {
        let script =
            Script::new("S").on_error(|_, error| assert_eq!(error.to_string(), "write after end"));
        let server = serve(world, script, |socket| {
            socket.write("sent ");
            socket.end_with("too");
            assert_eq!(socket.write("late"), WriteStatus::Refused);
            assert_eq!(socket.bytes_written(), 8);
        });
        let mut peer = world.peer(&server);
        world.run();
        world.assert_trace("S", "error(ERR_STREAM_WRITE_AFTER_END) close(true)");
        assert_eq!(peer.read_all(), b"sent too");
    });
}

#[test]
fn after_end_while_connecting_is_write_after_end() {
    each_case(|world| {
        let server = world.server(|_| panic!("never connected"));
        let notes = Notes::of(world);
        let client = world.client(&server, Script::new("C"));
        client.end();
        assert_eq!(
            client.write_then("late", notes.done("C:w1")),
            WriteStatus::Refused
        );
        server.close();
        world.run();
        let code = "ERR_STREAM_WRITE_AFTER_END";
        world.assert_trace("C", &format!("w1 {code} error({code}) close(true)"));
    });
}

#[test]
fn after_the_peers_fin_made_us_end_is_epipe() {
    each_case(|world| {
        let notes = Notes::of(world);
        let script = Script::new("S")
            .on(EventKind::End, move |socket, _| {
                // Nobody reads it, so our side goes on ending.
                fill(socket);
                let (notes, socket) = (notes.clone(), socket.clone());
                let event_loop = socket.event_loop().clone();
                event_loop.set_immediate(move |_| {
                    assert!(!socket.writable());
                    let status = socket.write_then("late", notes.done("S:w1"));
                    assert_eq!(status, WriteStatus::Refused);
                });
            })
            .on_error(|_, error| {
                let message = "This socket has been ended by the other party";
                assert_eq!(error.to_string(), message);
            });
        let server = serve(world, script, |_| {});
        let peer = world.peer(&server);
        peer.end();
        world.run();
        world.assert_trace("S", "end w1 EPIPE error(EPIPE) close(true)");
    });
}

#[test]
fn over_max_queued_is_queue_full() {
    each_case(|world| {
        const MAX: usize = 10_000;
        let notes = Notes::of(world);
        let options = ServerOptions::default().max_queued(MAX);
        let server = serve_with(world, options, Script::new("S"), move |socket| {
            // Until the kernel takes no more.
            while socket.write([0; 5_000]) == WriteStatus::Flushed {}
            while socket.buffer_size() + 5_000 <= MAX {
                assert_eq!(socket.write([0; 5_000]), WriteStatus::Queued);
            }
            let room = MAX - socket.buffer_size();
            assert_eq!(socket.write(vec![0; room]), WriteStatus::Queued);
            assert_eq!(socket.buffer_size(), MAX);
            let written = socket.bytes_written();
            assert_eq!(
                socket.write_then("x", notes.done("S:w1")),
                WriteStatus::Refused
            );
            assert_eq!(socket.bytes_written(), written);
        });
        let _peer = world.peer(&server);
        world.run();
        let code = "ERR_SOCKET_QUEUE_FULL";
        world.assert_trace("S", &format!("w1 {code} error({code}) close(true)"));
    });
}

#[test]
fn one_write_of_which_too_much_would_wait_is_queue_full_too() {
    each_case(|world| {
        let notes = Notes::of(world);
        let options = ServerOptions::default().max_queued(1000);
        let server = serve_with(world, options, Script::new("S"), move |socket| {
            let status = socket.write_then(vec![0; TOO_MUCH], notes.done("S:w1"));
            assert_eq!(status, WriteStatus::Refused);
            assert_eq!(socket.buffer_size(), 0);
        });
        let _peer = world.peer(&server);
        world.run();
        let code = "ERR_SOCKET_QUEUE_FULL";
        world.assert_trace("S", &format!("w1 {code} error({code}) close(true)"));
    });
}

#[test]
fn max_queued_also_holds_before_connect_and_while_corked() {
    each_case(|world| {
        let server = serve(world, Script::new("S"), |socket| {
            socket.set_max_queued(Some(4)).cork();
            assert_eq!(socket.write("1234"), WriteStatus::Buffered);
            assert_eq!(socket.write("5"), WriteStatus::Refused);
        });
        let options = world.connect_options(&server).max_queued(4);
        let early = world.client_with(options, Script::new("C"));
        assert_eq!(early.write("1234"), WriteStatus::Queued);
        assert_eq!(early.write("5"), WriteStatus::Refused);
        let _peer = world.peer(&server);
        world.run();
        for name in ["S", "C"] {
            world.assert_trace(name, "error(ERR_SOCKET_QUEUE_FULL) close(true)");
        }
    });
}

#[test]
fn what_the_kernel_takes_does_not_count_against_max_queued() {
    each_case(|world| {
        let options = ServerOptions::default().max_queued(0);
        let server = serve_with(world, options, Script::new("S"), |socket| {
            assert_eq!(socket.write(vec![0; 20_000]), WriteStatus::Flushed);
            socket.set_max_queued(None);
            fill(socket);
            socket.end();
        });
        world.client(&server, Script::new("C"));
        world.run();
        world.assert_trace("S", "finish end close(false)");
    });
}

#[test]
fn destroyed_or_closed_is_stream_destroyed_and_no_event() {
    each_case(|world| {
        let notes = Notes::of(world);
        let at_close = notes.clone();
        let script = Script::new("S").on(EventKind::Close, move |socket, _| {
            let status = socket.write_then("late", at_close.done("CB:closing"));
            assert_eq!(status, WriteStatus::Refused);
        });
        let server = serve(world, script, move |socket| {
            socket.destroy();
            let status = socket.write_then("late", notes.done("S:w1"));
            assert_eq!(status, WriteStatus::Refused);
            assert!(!status.is_ok() && !socket.need_drain());
        });
        let _peer = world.peer(&server);
        world.run();
        world.assert_trace("S", "w1 ERR_STREAM_DESTROYED close(false)");
        world.assert_trace("CB", "closing ERR_STREAM_DESTROYED");
    });
}

#[test]
fn a_loop_that_writes_while_it_is_ok_ends_when_it_is_refused() {
    each_case(|world| {
        let writes = counter();
        let count = Rc::clone(&writes);
        let options = ServerOptions::default()
            .max_queued(100_000)
            .high_water_mark(usize::MAX);
        let server = serve_with(world, options, Script::new("S"), move |socket| {
            while socket.write([0; 1000]).is_ok() {
                count.set(count.get() + 1);
                assert!(socket.buffer_size() <= 100_000);
            }
        });
        let _peer = world.peer(&server);
        world.run();
        assert!(writes.get() > 100);
        world.assert_trace("S", "error(ERR_SOCKET_QUEUE_FULL) close(true)");
    });
}

#[test]
fn a_writer_that_honours_queued_holds_one_chunk_against_a_slow_reader() {
    each_case(|world| {
        const CHUNK: usize = 100_000;
        const TOTAL: usize = 32 * 1024 * 1024;
        fn pump(socket: &Socket) {
            while socket.bytes_written() < TOTAL as u64 {
                let status = socket.write([7; CHUNK]);
                assert!(socket.buffer_size() <= CHUNK);
                if !status.is_ok() {
                    return;
                }
            }
            socket.end();
        }
        let script = Script::new("S").on(EventKind::Drain, |socket, _| pump(socket));
        let server = serve(world, script, pump);
        // It rests after every chunk, so that the writer always waits for it.
        let slow = Script::new("C").on_data(|socket, _| {
            let event_loop = socket.event_loop().clone();
            let socket = socket.pause().clone();
            event_loop.set_immediate(move |_| {
                socket.resume();
            });
        });
        let before = resident();
        world.client(&server, slow);
        world.run();
        let grown = resident().saturating_sub(before);
        assert!(grown < 16 * 1024 * 1024, "{grown} bytes more are resident");
        let trace = world.trace("S");
        assert!(trace.starts_with("drain") && trace.ends_with("finish end close(false)"));
    });
}

/// Resident memory of this process in bytes.
fn resident() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    let pages: usize = statm.split(' ').nth(1).unwrap().parse().unwrap();
    pages * 4096
}
