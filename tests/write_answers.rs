//! What `write` answers, and the counts of bytes beside it.

mod common;
#[path = "common/sending.rs"]
mod sending;

use std::cell::Cell;
use std::rc::Rc;

use bytes::Bytes;
use common::{each_case, Script};
use sending::{fill, pattern, serve, serve_with, Notes, Received, TOO_MUCH};
use tidewheel::net::{Encoding, EventKind, ServerOptions, WriteStatus};

#[test]
fn only_flushed_and_buffered_are_nodes_true() {
    assert!(WriteStatus::Flushed.is_ok() && WriteStatus::Buffered.is_ok());
    assert!(!WriteStatus::Queued.is_ok() && !WriteStatus::Refused.is_ok());
}

#[test]
fn a_write_the_kernel_takes_is_flushed_whatever_its_size() {
    each_case(|world| {
        let server = serve(world, Script::new("S"), |socket| {
            for len in [1, 16_383, 16_384, 20_000] {
                assert_eq!(socket.write(vec![0; len]), WriteStatus::Flushed);
                assert_eq!(socket.buffer_size(), 0);
                assert!(!socket.need_drain());
            }
            socket.end();
        });
        let mut peer = world.peer(&server);
        peer.end();
        world.run();
        world.assert_trace("S", "finish end close(false)");
        assert_eq!(peer.read_all().len(), 1 + 16_383 + 16_384 + 20_000);
    });
}

#[test]
fn a_write_of_which_some_waits_is_queued_and_one_drain_follows() {
    each_case(|world| {
        let script = Script::new("S").on(EventKind::Drain, |socket, _| {
            assert_eq!(socket.buffer_size(), 0);
            assert!(!socket.need_drain());
            socket.end();
        });
        let server = serve(world, script, |socket| {
            fill(socket);
            assert!(socket.need_drain());
            assert_eq!(socket.write("more"), WriteStatus::Queued);
        });
        world.client(&server, Script::new("C"));
        world.run();
        world.assert_trace("S", "drain finish end close(false)");
        let expected = format!(
            "connect ready data({}) end finish close(false)",
            TOO_MUCH + 4
        );
        world.assert_trace("C", &expected);
    });
}

#[test]
fn below_the_high_water_mark_a_waiting_write_is_buffered_and_no_drain_follows() {
    each_case(|world| {
        let server = world.serve_one(|| Script::new("S"));
        let options = world.connect_options(&server).high_water_mark(10);
        let script = Script::new("C").on(EventKind::Ready, |socket, _| {
            let event_loop = socket.event_loop().clone();
            let socket = socket.clone();
            event_loop.set_immediate(move |_| socket.end());
        });
        let client = world.client_with(options, script);
        assert_eq!(client.write("123456789"), WriteStatus::Buffered);
        assert!(!client.need_drain());
        world.run();
        world.assert_trace("C", "connect ready finish end close(false)");
    });
}

#[test]
fn the_high_water_mark_itself_is_queued() {
    each_case(|world| {
        let server = world.serve_one(|| Script::new("S"));
        let options = world.connect_options(&server).high_water_mark(10);
        let script = Script::new("C").on(EventKind::Drain, |socket, _| socket.end());
        let client = world.client_with(options, script);
        assert_eq!(client.write("123456789"), WriteStatus::Buffered);
        assert_eq!(client.write("0"), WriteStatus::Queued);
        assert!(client.need_drain());
        world.run();
        world.assert_trace("C", "connect ready drain finish end close(false)");
    });
}

#[test]
fn a_new_mark_and_a_servers_mark_count_from_the_next_write_on() {
    each_case(|world| {
        let options = ServerOptions::default().high_water_mark(2 * TOO_MUCH);
        let script = Script::new("S").on(EventKind::Drain, |socket, _| socket.end());
        let server = serve_with(world, options, script, |socket| {
            assert_eq!(socket.write(vec![0; TOO_MUCH]), WriteStatus::Buffered);
            assert!(socket.buffer_size() > 0);
            socket.set_high_water_mark(0);
            assert_eq!(socket.write("x"), WriteStatus::Queued);
        });
        world.client(&server, Script::new("C"));
        world.run();
        world.assert_trace("S", "drain finish end close(false)");
    });
}

#[test]
fn without_a_mark_every_write_before_connect_is_queued_and_counted_to_the_byte() {
    each_case(|world| {
        let server = world.serve_one(|| Script::new("S"));
        let script = Script::new("C").on(EventKind::Finish, |socket, _| {
            assert_eq!((socket.buffer_size(), socket.bytes_written()), (0, 9));
        });
        let client = world.client(&server, script);
        for count in 1..=3 {
            assert_eq!(client.write("a"), WriteStatus::Queued);
            assert_eq!(
                (client.buffer_size(), client.bytes_written()),
                (count, count as u64)
            );
        }
        client.write("かな");
        assert_eq!((client.buffer_size(), client.bytes_written()), (9, 9));
        client.end();
        assert_eq!((client.buffer_size(), client.bytes_written()), (9, 9));
        world.run();
        world.assert_trace("C", "connect ready finish end close(false)");
        world.assert_trace("S", "data(9) end finish close(false)");
        assert_eq!((client.buffer_size(), client.bytes_written()), (0, 0));
    });
}

#[test]
fn bytes_written_counts_what_was_accepted_and_each_byte_once() {
    each_case(|world| {
        let total = TOO_MUCH as u64 + 3;
        let script = Script::new("S")
            .on(EventKind::Finish, move |socket, _| {
                assert_eq!(socket.bytes_written(), total);
            })
            .on(EventKind::Close, move |socket, _| {
                assert_eq!(socket.bytes_written(), total);
            });
        let server = serve(world, script, move |socket| {
            socket.write(vec![0; TOO_MUCH]);
            assert_eq!(socket.bytes_written(), TOO_MUCH as u64);
            assert!(socket.buffer_size() < TOO_MUCH);
            socket.end_with("end");
            assert_eq!(socket.bytes_written(), total);
        });
        world.client(&server, Script::new("C"));
        world.run();
        world.assert_trace("S", "finish end close(false)");
    });
}

#[test]
fn in_a_ping_pong_at_most_one_message_waits() {
    each_case(|world| {
        let server = world.serve_one(|| {
            Script::new("S").on_data(|socket, data| {
                socket.write(data);
                assert!(socket.buffer_size() <= data.len());
            })
        });
        let rounds = Cell::new(0);
        let script = Script::new("C")
            .on(EventKind::Connect, |socket, _| {
                socket.write("PING");
            })
            .on_data(move |socket, data| {
                assert_eq!(data, b"PING");
                rounds.set(rounds.get() + 1);
                if rounds.get() == 100 {
                    return socket.end();
                }
                socket.write("PING");
                assert!(socket.buffer_size() <= 4);
            });
        world.client(&server, script);
        world.run();
        world.assert_trace("C", "connect ready data(400) finish end close(false)");
    });
}

#[test]
fn what_was_written_before_connect_arrives_before_what_listeners_write() {
    each_case(|world| {
        let received = Received::default();
        let at_server = received.clone();
        let server = world.serve_one(move || at_server.by(Script::new("S")));
        let script = Script::new("C").on(EventKind::Connect, |socket, _| socket.end_with("after"));
        let client = world.client(&server, script);
        client.write("before");
        world.run();
        assert_eq!(received.bytes(), b"beforeafter");
    });
}

#[test]
fn queued_chunks_of_every_type_arrive_in_order() {
    each_case(|world| {
        let received = Received::default();
        let at_server = received.clone();
        let server = world.serve_one(move || at_server.by(Script::new("S")));
        let client = world.client(&server, Script::new("C"));
        let mut expected = Vec::new();
        for round in 0..300 {
            let text = format!("{round:04}");
            client.write(&text);
            client.write(text.clone());
            client.write(text.as_bytes());
            client.write(text.clone().into_bytes());
            client.write(Bytes::from(text.clone()));
            client.write([b'/'; 5]);
            expected.extend_from_slice(format!("{text}{text}{text}{text}{text}/////").as_bytes());
        }
        assert_eq!(client.buffer_size(), expected.len());
        client.end();
        world.run();
        assert_eq!(received.bytes(), expected);
    });
}

#[test]
fn an_empty_write_is_taken_and_sends_nothing() {
    each_case(|world| {
        let notes = Notes::of(world);
        let server = serve(world, Script::new("S"), move |socket| {
            assert_eq!(
                socket.write_then("", notes.done("S:empty")),
                WriteStatus::Flushed
            );
            assert_eq!(socket.write(Vec::new()), WriteStatus::Flushed);
            assert_eq!((socket.buffer_size(), socket.bytes_written()), (0, 0));
            assert!(!socket.need_drain());
            socket.end_with("");
        });
        let client = world.client(&server, Script::new("C"));
        assert_eq!(client.write(""), WriteStatus::Flushed);
        assert!(!client.need_drain());
        world.run();
        world.assert_trace("S", "empty ok finish end close(false)");
        world.assert_trace("C", "connect ready end finish close(false)");
    });
}

#[test]
fn last_words_reach_the_peer_although_destroy_follows() {
    each_case(|world| {
        let server = serve(world, Script::new("S"), |socket| {
            assert_eq!(socket.write("last words"), WriteStatus::Flushed);
            socket.destroy();
        });
        let mut peer = world.peer(&server);
        world.run();
        world.assert_trace("S", "close(false)");
        assert_eq!(peer.read_all(), b"last words");
    });
}

#[test]
fn a_borrowed_buffer_may_be_reused_at_once() {
    each_case(|world| {
        let received = Received::default();
        let server = serve(world, Script::new("S"), |socket| {
            fill(socket);
            let mut buffer = [0; 1000];
            for round in 0..50 {
                buffer.fill(round);
                assert_eq!(socket.write(&buffer[..]), WriteStatus::Queued);
            }
            buffer.fill(99);
            socket.end();
        });
        world.client(&server, received.by(Script::new("C")));
        world.run();
        let expected: Vec<u8> = (0..50).flat_map(|round| [round; 1000]).collect();
        assert_eq!(received.bytes()[TOO_MUCH..], expected);
    });
}

#[test]
fn no_byte_is_lost_when_more_is_written_to_a_stalled_peer() {
    each_case(|world| {
        const CHUNK: usize = 300_000;
        let received = Received::default();
        let client = Rc::new(Cell::new(None::<tidewheel::net::Socket>));
        let stalled = Rc::clone(&client);
        let server = serve(world, Script::new("S"), move |socket| {
            let mut before = 0;
            for round in 0..80 {
                socket.write(pattern(round * CHUNK, CHUNK));
                let waiting = socket.buffer_size();
                assert!(waiting >= before && waiting as u64 <= socket.bytes_written());
                before = waiting;
            }
            assert!(before > 0 && socket.need_drain());
            socket.end();
            stalled.take().unwrap().resume();
        });
        let socket = world.client(&server, received.by(Script::new("C")));
        socket.pause();
        client.set(Some(socket));
        world.run();
        assert_eq!(received.len(), 80 * CHUNK);
        assert!(received.bytes() == pattern(0, 80 * CHUNK));
        world.assert_trace("S", "finish end close(false)");
    });
}

#[test]
fn text_in_every_encoding_is_written_as_bytes_and_read_back() {
    each_case(|world| {
        let latin: String = (0..=255).map(char::from).collect();
        let texts = [
            (Encoding::Utf8, "かな ø"),
            (Encoding::Utf16le, "かな ø"),
            (Encoding::Latin1, &latin),
            (Encoding::Ascii, "plain"),
            (Encoding::Hex, "00ff10"),
            (Encoding::Base64, "aGVsbG8="),
        ];
        for (encoding, text) in texts {
            let name = format!("{encoding:?}");
            let bytes = encoding.encode(text);
            let server = serve(world, Script::new(&name), move |socket| {
                socket.end_with(bytes);
            });
            let client = world.client(&server, Script::new("C"));
            let read = Rc::new(std::cell::RefCell::new(String::new()));
            let collected = Rc::clone(&read);
            client.set_encoding(Some(encoding));
            client.on_text(move |_, text| collected.borrow_mut().push_str(text));
            world.run();
            assert_eq!(*read.borrow(), text, "{name}");
        }
    });
}
