//! What comes as text: whole characters in the encoding that was set, beside the raw bytes.

mod common;

use std::cell::RefCell;
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::rc::Rc;
use std::time::Duration;

use common::{counter, each_case, Peer, Script, World};
use tidewheel::net::{self, Encoding, EventKind, Handler, ServerOptions, Socket};

/// Serves a peer that sends each byte when the one before was read, then ends.
fn drip(world: &World, encoding: Encoding, bytes: &'static [u8]) {
    let peer: Rc<RefCell<Option<Peer>>> = Rc::default();
    let left = Rc::new(RefCell::new(bytes.iter().copied()));
    let (to_send, sender) = (Rc::clone(&left), Rc::clone(&peer));
    let server = world.serve_one(move || {
        let (left, peer) = (Rc::clone(&to_send), Rc::clone(&sender));
        Script::new("S").text(encoding).on_data(move |_, data| {
            assert_eq!(data.len(), 1);
            match left.borrow_mut().next() {
                Some(byte) => peer.borrow_mut().as_mut().unwrap().send(&[byte]),
                None => drop(peer.take()),
            }
        })
    });
    let mut first = world.peer(&server);
    first.send(&[left.borrow_mut().next().unwrap()]);
    peer.replace(Some(first));
    world.run();
}

/// Only what was seen as text, and `end` and `close`.
fn texts(world: &World, name: &str) -> String {
    let mut events = world.events(name);
    events.retain(|event| !event.starts_with("data("));
    events.join(" ")
}

const CLOSED: &str = "end finish close(false)";

#[test]
fn a_character_cut_in_pieces_comes_whole() {
    each_case(|world| {
        drip(world, Encoding::Utf8, "€あ😀".as_bytes());
        assert_eq!(
            texts(world, "S"),
            format!("text(€) text(あ) text(😀) {CLOSED}")
        );
        // Each with the byte that completes it: the third, the sixth and the tenth.
        let events = world.events("S");
        assert_eq!(
            [&events[3], &events[7], &events[12]],
            ["text(€)", "text(あ)", "text(😀)"]
        );
    });
}

#[test]
fn forty_thousand_characters_of_three_bytes_come_as_sent() {
    each_case(|world| {
        let sent = "あ".repeat(40_960);
        let came: Rc<RefCell<String>> = Rc::default();
        let text = Rc::clone(&came);
        let server = world.serve_one(move || {
            let text = Rc::clone(&text);
            Script::new("S")
                .text(Encoding::Utf8)
                .on(EventKind::Text, move |_, seen| {
                    if let common::Seen::Text(part) = seen {
                        assert!(!part.is_empty());
                        text.borrow_mut().push_str(part);
                    }
                })
        });
        let client = world.client(&server, Script::new("C"));
        client.end_with(sent.clone());
        world.run();
        assert!(*came.borrow() == sent);
    });
}

#[test]
fn bytes_read_counts_bytes() {
    each_case(|world| {
        let server = world.serve_one(|| {
            Script::new("S")
                .text(Encoding::Utf8)
                .on(EventKind::End, |socket, _| {
                    assert_eq!(socket.bytes_read(), 6);
                })
        });
        let mut peer = world.peer(&server);
        peer.send("äöü".as_bytes());
        peer.end();
        world.run();
        assert_eq!(texts(world, "S"), format!("text(äöü) {CLOSED}"));
    });
}

#[test]
fn what_is_incomplete_at_the_end_is_replaced_before_end() {
    each_case(|world| {
        let server = world.serve_one(|| Script::new("S").text(Encoding::Utf8));
        let mut peer = world.peer(&server);
        peer.send(b"a\xe2\x82");
        peer.end();
        world.run();
        assert_eq!(
            texts(world, "S"),
            format!("text(a) text(\u{fffd}) {CLOSED}")
        );
    });
}

#[test]
fn bytes_that_complete_nothing_are_no_text() {
    each_case(|world| {
        drip(world, Encoding::Utf16le, b"h\0i\0!");
        // An odd byte at the end is dropped.
        assert_eq!(texts(world, "S"), format!("text(h) text(i) {CLOSED}"));
    });
}

#[test]
fn each_encoding_reads_bytes_as_node_does() {
    for (encoding, bytes, text) in [
        (Encoding::Ascii, &b"\xf4ide"[..], "tide"),
        (Encoding::Latin1, b"\xe9\xff", "éÿ"),
        (Encoding::Hex, b"\x0a\xff", "0aff"),
        (Encoding::Base64, b"wheel", "d2hlZWw="),
        (Encoding::Utf16le, b"\xe9\0", "é"),
        (Encoding::Utf8, b"a\xffb", "a\u{fffd}b"),
    ] {
        each_case(|world| {
            let came: Rc<RefCell<String>> = Rc::default();
            let whole = Rc::clone(&came);
            let server = world.serve_one(move || {
                let whole = Rc::clone(&whole);
                Script::new("S")
                    .text(encoding)
                    .on(EventKind::Text, move |_, seen| {
                        if let common::Seen::Text(part) = seen {
                            whole.borrow_mut().push_str(part);
                        }
                    })
            });
            let mut peer = world.peer(&server);
            peer.send(bytes);
            peer.end();
            world.run();
            assert_eq!(*came.borrow(), text, "{encoding:?}");
        });
    }
}

#[test]
fn all_bytes_survive_the_way_there_and_back_in_latin1() {
    each_case(|world| {
        let all: Vec<u8> = (0..=255).collect();
        let server = world.serve_one(|| {
            Script::new("S")
                .text(Encoding::Latin1)
                .on(EventKind::Text, |socket, seen| {
                    if let common::Seen::Text(text) = seen {
                        socket.write(Encoding::Latin1.encode(text));
                    }
                })
        });
        let mut peer = world.peer(&server);
        peer.send(&all);
        peer.end();
        world.run();
        assert_eq!(peer.read_all(), all);
    });
}

#[test]
fn text_goes_out_in_every_encoding() {
    each_case(|world| {
        let server = world.server(|socket| {
            socket.server().unwrap().close();
            for (encoding, text) in [
                (Encoding::Utf8, "é"),
                (Encoding::Utf16le, "é"),
                (Encoding::Latin1, "é\u{103}"),
                (Encoding::Ascii, "é"),
                (Encoding::Hex, "0Aff"),
                (Encoding::Base64, "d2hlZWw="),
            ] {
                socket.write(encoding.encode(text));
            }
            socket.end();
        });
        let mut peer = world.peer(&server);
        peer.end();
        world.run();
        let wire = b"\xc3\xa9\xe9\0\xe9\x03\xe9\x0a\xffwheel";
        assert_eq!(peer.read_all(), wire);
    });
}

#[test]
fn names_of_encodings_are_nodes() {
    for (name, encoding) in [
        ("utf8", Encoding::Utf8),
        ("UTF-8", Encoding::Utf8),
        ("ucs2", Encoding::Utf16le),
        ("UCS-2", Encoding::Utf16le),
        ("utf16le", Encoding::Utf16le),
        ("binary", Encoding::Latin1),
        ("Latin1", Encoding::Latin1),
        ("ascii", Encoding::Ascii),
        ("HEX", Encoding::Hex),
        ("base64", Encoding::Base64),
    ] {
        assert_eq!(name.parse::<Encoding>().unwrap(), encoding, "{name}");
    }
    assert!("klingon".parse::<Encoding>().is_err());
}

/// Closures, whatever the form: it is they that need no `set_encoding`.
#[test]
fn a_text_listener_alone_reads_utf8_and_makes_the_socket_flow() {
    each_case(|world| {
        let watcher = world.watcher();
        let note = world.noter();
        let server = world.server(move |socket| {
            watcher.watch(socket, Script::new("S").no_reader());
            socket.server().unwrap().close();
            let note = note.clone();
            socket.on_text(move |_, text| note(&format!("S:text({text})")));
            assert_eq!(socket.listener_count(EventKind::Text), 1);
        });
        let mut peer = world.peer(&server);
        peer.send("héllo".as_bytes());
        peer.end();
        world.run();
        world.assert_trace("S", &format!("text(héllo) {CLOSED}"));
    });
}

#[test]
fn pause_wins_over_a_text_listener() {
    each_case(|world| {
        let server = world.serve_one(|| Script::new("S").no_reader());
        server.on_connection(|socket| {
            socket.pause();
            socket.on_text(|socket, text| {
                assert!(!socket.is_paused());
                assert_eq!(text, "late");
            });
            let socket = socket.clone();
            let event_loop = socket.event_loop().clone();
            event_loop.set_timeout(Duration::from_millis(3), move |_| {
                assert_eq!(socket.bytes_read(), 0);
                socket.resume();
            });
        });
        let mut peer = world.peer(&server);
        peer.send(b"late");
        peer.end();
        world.run();
        world.assert_trace("S", CLOSED);
    });
}

#[test]
fn once_text_waits_for_characters_and_is_called_once() {
    each_case(|world| {
        let server = world.serve_one(|| {
            Script::new("S").on_data(|socket, data| {
                if data == b"\xc3" {
                    socket.write("the rest, please");
                }
            })
        });
        let note = world.noter();
        server.on_connection(move |socket| {
            let note = note.clone();
            socket.once_text(move |_, text| note(&format!("S:text({text})")));
        });
        let script = Script::new("C").on_data(|socket, _| {
            socket.write(b"\xa9!");
            socket.end();
        });
        world.client(&server, script).write(b"\xc3");
        world.run();
        let text = texts(world, "S");
        assert_eq!(text, format!("text(é!) {CLOSED}"));
    });
}

#[test]
fn data_stays_raw_and_both_may_be_heard() {
    each_case(|world| {
        let server = world.serve_one(|| {
            Script::new("S")
                .text(Encoding::Hex)
                .on_data(|_, data| assert_eq!(data, b"\x01\x02"))
        });
        let mut peer = world.peer(&server);
        peer.send(b"\x01\x02");
        peer.end();
        world.run();
        world.assert_trace("S", &format!("data(2) text(0102) {CLOSED}"));
    });
}

struct Both(Rc<RefCell<Vec<String>>>);

impl Handler for Both {
    fn on_data(&mut self, _: &Socket, data: &[u8]) {
        self.0.borrow_mut().push(format!("data {}", data.len()));
    }
    fn on_text(&mut self, _: &Socket, text: &str) {
        self.0.borrow_mut().push(format!("text {text}"));
    }
}

#[test]
fn a_handler_gets_text_only_after_set_encoding() {
    each_case(|world| {
        let heard: Rc<RefCell<Vec<String>>> = Rc::default();
        let told = Rc::clone(&heard);
        let server = world.server(move |socket| {
            socket.server().unwrap().close();
            socket.set_handler(Both(Rc::clone(&told)));
            // A closure that hears text makes no difference to the handler.
            socket.on_text(|socket, text| match text {
                "a" => {
                    socket.set_encoding(Some(Encoding::Latin1));
                }
                "é" => {
                    socket.set_encoding(None);
                }
                _ => {
                    socket.end();
                }
            });
            socket.write("ready");
        });
        let mut peer = world.peer(&server);
        let steps: [&[u8]; 3] = [b"a", b"\xe9", b"z"];
        let mut steps = steps.into_iter();
        let heard_so_far = Rc::clone(&heard);
        let seen = counter();
        peer.send(steps.next().unwrap());
        let mut peer = Some(peer);
        world
            .event_loop
            .set_interval(Duration::from_millis(1), move |timer| {
                let events = heard_so_far.borrow().len();
                if events == seen.get() {
                    return;
                }
                seen.set(events);
                match steps.next() {
                    Some(step) => peer.as_mut().unwrap().send(step),
                    None => {
                        peer.take();
                        timer.clear();
                    }
                }
            });
        world.run();
        assert_eq!(*heard.borrow(), ["data 1", "data 1", "text é", "data 1"]);
    });
}

#[test]
fn an_encoding_may_be_set_before_connect_and_changed_at_any_time() {
    each_case(|world| {
        let server = world.serve_one(|| {
            Script::new("S").on(EventKind::Data, |socket, _| {
                socket.write("abc");
            })
        });
        let client = net::connect(&world.event_loop, world.connect_options(&server), |_| {});
        let asked = counter();
        let script = Script::new("C")
            .text(Encoding::Hex)
            .on(EventKind::Text, move |socket, _| {
                asked.set(asked.get() + 1);
                match asked.get() {
                    1 => {
                        socket.set_encoding(Some(Encoding::Base64)).write("more");
                    }
                    _ => socket.end(),
                }
            });
        world.watch(&client, script);
        client.write("first");
        world.run();
        let text = texts(world, "C");
        assert!(text.contains("text(616263) "), "{text}");
        assert!(text.contains(" text(YWJj) "), "{text}");
    });
}

#[test]
fn a_text_listener_that_destroys_is_the_end() {
    each_case(|world| {
        let server = world.server_for(2, ServerOptions::default(), || {
            Script::new("S")
                .text(Encoding::Utf8)
                .on(EventKind::Text, |socket, _| socket.destroy())
        });
        let mut whole = world.peer(&server);
        whole.send(b"a");
        let mut cut = world.peer(&server);
        cut.send(b"\xe2");
        cut.end();
        world.run();
        // The second one's text is what the end has completed: there is no `end` any more.
        let mut events = world.events("S");
        events.sort();
        let (close, data) = ("close(false)", "data(1)");
        assert_eq!(
            events,
            [close, close, data, data, "text(a)", "text(\u{fffd})"]
        );
        drop((whole, cut));
    });
}

#[test]
fn a_panic_over_the_last_text_does_not_take_end_away() {
    each_case(|world| {
        let server = world.serve_one(|| Script::new("S").no_reader());
        server.on_connection(|socket| {
            socket.on_text(|_, text| assert_ne!(text, "\u{fffd}", "out of run"));
        });
        let mut peer = world.peer(&server);
        peer.send(b"a\xe2");
        peer.end();
        assert!(catch_unwind(AssertUnwindSafe(|| world.event_loop.run())).is_err());
        world.run();
        world.assert_trace("S", CLOSED);
    });
}

#[test]
fn without_text_listeners_nothing_is_decoded() {
    each_case(|world| {
        let server = world.serve_one(|| Script::new("S"));
        server.on_connection(|socket| {
            socket.on_text(|_, _| panic!("removed"));
            socket.remove_all_listeners(EventKind::Text);
            assert_eq!(socket.listener_count(EventKind::Text), 0);
        });
        let mut peer = world.peer(&server);
        peer.send(b"\xff");
        peer.end();
        world.run();
        world.assert_trace("S", &format!("data(1) {CLOSED}"));
    });
}
