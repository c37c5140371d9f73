//! Corked writes: held together, sent together.

mod common;
#[path = "common/sending.rs"]
mod sending;

use std::cell::Cell;
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::rc::Rc;

use common::{counter, each_case, each_form_tcp, Script};
use sending::{serve, serve_with, Notes, Received};
use tidewheel::net::{EventKind, ServerOptions, Socket, WriteStatus};

const LIMIT: usize = 64 * 1024;

#[test]
fn corked_writes_wait_counted_and_leave_at_the_last_uncork() {
    each_case(|world| {
        let notes = Notes::of(world);
        let received = Received::default();
        let server = serve(world, Script::new("S"), move |socket| {
            socket.cork().cork();
            assert_eq!(
                socket.write_then("one", notes.done("S:w1")),
                WriteStatus::Buffered
            );
            assert_eq!(
                socket.write_then("two", notes.done("S:w2")),
                WriteStatus::Buffered
            );
            assert_eq!((socket.buffer_size(), socket.bytes_written()), (6, 6));
            socket.uncork();
            assert_eq!(socket.buffer_size(), 6);
            socket.uncork();
            assert_eq!((socket.buffer_size(), socket.bytes_written()), (0, 6));
            notes.add("S:returned");
            socket.uncork();
            assert_eq!(socket.write("three"), WriteStatus::Flushed);
            socket.end();
        });
        world.client(&server, received.by(Script::new("C")));
        world.run();
        world.assert_trace("S", "returned w1 ok w2 ok finish end close(false)");
        assert_eq!(received.bytes(), b"onetwothree");
    });
}

#[test]
fn a_hundred_corks_in_a_turn_never_make_a_write_wait() {
    each_case(|world| {
        let server = serve(world, Script::new("S"), |socket| {
            for _ in 0..100 {
                socket.cork();
                assert!(socket.write("a").is_ok() && socket.write("b").is_ok());
                socket.uncork();
                assert!(!socket.need_drain());
            }
            socket.end();
        });
        world.client(&server, Script::new("C"));
        world.run();
        world.assert_trace("S", "finish end close(false)");
        world.assert_trace("C", "connect ready data(200) end finish close(false)");
    });
}

#[test]
fn a_cork_before_connect_counts_each_byte_once() {
    each_case(|world| {
        let received = Received::default();
        let at_server = received.clone();
        let server = world.serve_one(move || at_server.by(Script::new("S")));
        let check = |socket: &Socket| assert_eq!(socket.bytes_written(), 7);
        let script = Script::new("C")
            .on(EventKind::Connect, move |socket, _| check(socket))
            .on(EventKind::Finish, move |socket, _| check(socket));
        let client = world.client(&server, script);
        client.cork();
        client.write("one");
        client.write("twø");
        check(&client);
        client.uncork();
        check(&client);
        client.end();
        world.run();
        assert_eq!(received.bytes(), "onetwø".as_bytes());
    });
}

#[test]
fn a_cork_that_outlasts_connect_holds_until_it_is_taken_back() {
    each_case(|world| {
        let server = world.serve_one(|| Script::new("S"));
        let script = Script::new("C").on(EventKind::Ready, |socket, _| {
            assert_eq!(socket.buffer_size(), 4);
            socket.uncork();
            assert_eq!(socket.buffer_size(), 0);
            socket.end();
        });
        let client = world.client(&server, script);
        client.cork();
        assert_eq!(client.write("late"), WriteStatus::Buffered);
        world.run();
        world.assert_trace("S", "data(4) end finish close(false)");
    });
}

#[test]
fn end_uncorks_however_often_it_was_corked() {
    each_case(|world| {
        let server = serve(world, Script::new("S"), |socket| {
            socket.cork().cork().cork();
            socket.write("held");
            socket.end_with(" and let go");
            assert_eq!(socket.buffer_size(), 0);
        });
        world.client(&server, Script::new("C"));
        world.run();
        world.assert_trace("C", "connect ready data(15) end finish close(false)");
    });
}

#[test]
fn destroy_drops_what_is_corked() {
    each_case(|world| {
        let notes = Notes::of(world);
        let server = serve(world, Script::new("S"), move |socket| {
            socket.cork();
            socket.write_then("held", notes.done("S:w1"));
            socket.destroy();
            socket.uncork();
        });
        let mut peer = world.peer(&server);
        world.run();
        world.assert_trace("S", "w1 ERR_STREAM_DESTROYED close(false)");
        assert_eq!(peer.read_all(), b"");
    });
}

#[test]
fn a_cork_over_64_kib_is_sent_by_itself_and_one_drain_follows() {
    each_case(|world| {
        let script = Script::new("S").on(EventKind::Drain, |socket, _| {
            assert_eq!(socket.buffer_size(), 0);
            // Still corked.
            assert_eq!(socket.write("x"), WriteStatus::Buffered);
            socket.end();
        });
        let server = serve(world, script, |socket| {
            socket.cork();
            assert_eq!(socket.write(vec![0; LIMIT - 1]), WriteStatus::Buffered);
            assert!(!socket.need_drain());
            assert_eq!(socket.write("0"), WriteStatus::Queued);
        });
        world.client(&server, Script::new("C"));
        world.run();
        world.assert_trace("S", "drain finish end close(false)");
        let expected = format!("connect ready data({}) end finish close(false)", LIMIT + 1);
        world.assert_trace("C", &expected);
    });
}

#[test]
fn a_cork_over_64_kib_is_sent_below_a_high_mark_too() {
    each_case(|world| {
        let options = ServerOptions::default().high_water_mark(16 * LIMIT);
        let server = serve_with(world, options, Script::new("S"), |socket| {
            socket.cork();
            assert_eq!(socket.write(vec![0; LIMIT]), WriteStatus::Buffered);
            assert!(!socket.need_drain());
        });
        let received = counter();
        let script = Script::new("C").on_data(move |socket, data| {
            received.set(received.get() + data.len());
            if received.get() == LIMIT {
                socket.end();
            }
        });
        world.client(&server, script);
        world.run();
        world.assert_trace("S", "end finish close(false)");
    });
}

#[test]
fn corked_gives_the_closures_answer_and_nests() {
    each_case(|world| {
        let server = serve(world, Script::new("S"), |socket| {
            let answer = socket.corked(|socket| {
                socket.corked(|socket| socket.write("inner"));
                assert_eq!(socket.buffer_size(), 5);
                42
            });
            assert_eq!((answer, socket.buffer_size()), (42, 0));
            socket.end();
        });
        world.client(&server, Script::new("C"));
        world.run();
        world.assert_trace("C", "connect ready data(5) end finish close(false)");
    });
}

#[test]
fn corked_uncorks_also_when_the_closure_unwinds() {
    each_case(|world| {
        let server = serve(world, Script::new("S"), |socket| {
            let unwound = catch_unwind(AssertUnwindSafe(|| {
                socket.corked(|socket| {
                    socket.write("held");
                    panic!("on purpose");
                });
            }));
            assert!(unwound.is_err());
            assert_eq!(socket.buffer_size(), 0);
            socket.end();
        });
        world.client(&server, Script::new("C"));
        world.run();
        world.assert_trace("C", "connect ready data(4) end finish close(false)");
    });
}

/// Segments with data that the kernel has sent, or `None` where it does not count them.
fn segments(socket: &Socket) -> Option<u32> {
    /// Where `tcpi_data_segs_out` stands in `struct tcp_info`.
    const AT: usize = 156;
    let mut info = [0u8; 256];
    let mut len = info.len() as libc::socklen_t;
    // SAFETY: the pointers are of one live buffer and of its length.
    let result = unsafe {
        libc::getsockopt(
            socket.raw_fd().unwrap(),
            libc::IPPROTO_TCP,
            libc::TCP_INFO,
            info.as_mut_ptr().cast(),
            &mut len,
        )
    };
    assert_eq!(result, 0);
    let count = info.get(AT..AT + 4).filter(|_| len as usize >= AT + 4)?;
    Some(u32::from_ne_bytes(count.try_into().unwrap()))
}

/// Only TCP has segments.
#[test]
fn corked_writes_are_one_segment_and_uncorked_ones_one_each() {
    each_form_tcp(|world| {
        let counts = Rc::new(Cell::new(None));
        let counted = Rc::clone(&counts);
        let server = serve(world, Script::new("S"), move |socket| {
            socket.set_no_delay(true);
            let before = segments(socket);
            socket.write("0123456789");
            socket.write("0123456789");
            let between = segments(socket);
            socket.corked(|socket| {
                socket.write("0123456789");
                socket.write(vec![b'x'; 1000]);
                socket.write("0123456789");
            });
            let after = segments(socket);
            counted.set(before.zip(between).zip(after));
            socket.end();
        });
        world.client(&server, Script::new("C"));
        world.run();
        match counts.get() {
            Some(((before, between), after)) => {
                assert_eq!((between - before, after - between), (2, 1));
            }
            None => println!("skipped: this kernel does not count segments"),
        }
    });
}
