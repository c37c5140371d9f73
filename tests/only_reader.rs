//! A socket with a single reader has a shorter way from the kernel to its listener: every promise of the long way holds
//! there, too.

#[path = "common/census.rs"]
mod census;
#[path = "common/panicking.rs"]
mod panicking;

use std::cell::{Cell, RefCell};
use std::io::Write;
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::rc::Rc;
use std::time::Duration;

use census::EventLoop;
use panicking::{boom, run_through};
use tidewheel::net::{self, Encoding, EventKind, Handler, Socket, SocketOptions};

/// What was heard, in order.
#[derive(Clone, Default)]
struct Log(Rc<RefCell<Vec<String>>>);

impl Log {
    fn note(&self, who: &str, data: &[u8]) {
        let text = format!("{who} {}", String::from_utf8_lossy(data));
        self.0.borrow_mut().push(text);
    }

    #[track_caller]
    fn is(&self, expected: &[&str]) {
        assert_eq!(*self.0.borrow(), expected);
    }
}

/// A socket that is sent `chunks`, one in each turn, and then the end.
fn reader(event_loop: &EventLoop, chunks: &'static [&'static str]) -> Socket {
    let (reader, writer) = net::pair(event_loop).unwrap();
    fn send(writer: Socket, mut chunks: std::slice::Iter<'static, &'static str>) {
        let event_loop = writer.event_loop().clone();
        // Not in the same turn, for that would be one chunk.
        event_loop.set_timeout(Duration::ZERO, move |_| match chunks.next() {
            Some(chunk) => {
                writer.write(*chunk);
                send(writer, chunks);
            }
            None => writer.end(),
        });
    }
    send(writer, chunks.iter());
    reader
}

/// A socket, and its peer outside of the loop.
fn adopted(event_loop: &EventLoop) -> (Socket, UnixStream) {
    let (ours, peer) = UnixStream::pair().unwrap();
    let options = SocketOptions::default();
    let socket = Socket::from_fd(event_loop, ours.into(), options).unwrap();
    (socket, peer)
}

/// What has a new listener is looked at in any case: that is over, and from now on only the poll finds anything.
fn settle(event_loop: &EventLoop) {
    for _ in 0..2 {
        event_loop.turn(Some(Duration::ZERO)).unwrap();
    }
}

struct Each<F>(F);

impl<F: FnMut(&Socket, &[u8]) + 'static> Handler for Each<F> {
    fn on_data(&mut self, socket: &Socket, data: &[u8]) {
        (self.0)(socket, data);
    }
}

/// Both kinds of a reader that runs more than once.
const FORMS: [fn(&Socket, Box<dyn FnMut(&Socket, &[u8])>); 2] = [
    |socket, call| {
        socket.on_data(call);
    },
    |socket, call| {
        socket.set_handler(Each(call));
    },
];

#[test]
fn one_that_panics_hears_what_comes_next() {
    for listen in FORMS {
        let event_loop = EventLoop::new().unwrap();
        let log = Log::default();
        let socket = reader(&event_loop, &["a", "b", "c"]);
        let note = log.clone();
        listen(
            &socket,
            Box::new(move |_, data| {
                note.note("hears", data);
                boom();
            }),
        );
        assert_eq!(run_through(&event_loop), 3);
        log.is(&["hears a", "hears b", "hears c"]);
    }
}

#[test]
fn one_that_adds_another_is_still_the_first() {
    for panics in [false, true] {
        let event_loop = EventLoop::new().unwrap();
        let log = Log::default();
        let socket = reader(&event_loop, &["a", "b", "c"]);
        let (first, mut second) = (log.clone(), Some(log.clone()));
        socket.on_data(move |socket, data| {
            first.note("first", data);
            if let Some(second) = second.take() {
                socket.on_data(move |_, data| second.note("second", data));
                if panics {
                    boom();
                }
            }
        });
        assert_eq!(run_through(&event_loop), usize::from(panics));
        log.is(&["first a", "first b", "second b", "first c", "second c"]);
    }
}

/// Says when it is dropped.
struct Noisy(Log);

impl Drop for Noisy {
    fn drop(&mut self) {
        self.0.note("dropped", b"");
    }
}

#[test]
fn one_that_puts_another_in_its_place_is_dropped_when_it_has_returned() {
    for (listen, panics) in FORMS
        .into_iter()
        .flat_map(|form| [(form, false), (form, true)])
    {
        let event_loop = EventLoop::new().unwrap();
        let log = Log::default();
        let socket = reader(&event_loop, &["a", "b"]);
        let noisy = Noisy(log.clone());
        listen(
            &socket,
            Box::new(move |socket, data| {
                noisy.0.note("first", data);
                socket.remove_all_listeners(EventKind::Data);
                let next = noisy.0.clone();
                listen(socket, Box::new(move |_, data| next.note("second", data)));
                noisy.0.note("goes", b"");
                if panics {
                    boom();
                }
            }),
        );
        assert_eq!(run_through(&event_loop), usize::from(panics));
        log.is(&["first a", "goes ", "dropped ", "second b"]);
    }
}

#[test]
fn one_that_destroys_its_socket_hears_no_more() {
    for listen in FORMS {
        let event_loop = EventLoop::new().unwrap();
        let log = Log::default();
        let socket = reader(&event_loop, &["a", "b"]);
        let note = log.clone();
        listen(
            &socket,
            Box::new(move |socket, data| {
                note.note("hears", data);
                socket.destroy();
            }),
        );
        assert_eq!(run_through(&event_loop), 0);
        log.is(&["hears a"]);
    }
}

#[test]
fn one_that_is_left_alone_goes_on_hearing() {
    let event_loop = EventLoop::new().unwrap();
    let log = Log::default();
    let socket = reader(&event_loop, &["a", "b", "c"]);
    let (once, always) = (log.clone(), log.clone());
    socket.once_data(move |_, data| once.note("once", data));
    socket.on_data(move |_, data| always.note("always", data));
    assert_eq!(run_through(&event_loop), 0);
    log.is(&["once a", "always a", "always b", "always c"]);
}

/// Nobody asks for text yet, and the first half of a character has come: the decoder is there, so it has it.
#[test]
fn a_decoder_hears_what_comes_beside_the_only_reader() {
    type Listen = fn(&Socket, Box<dyn FnMut(&Socket)>);
    let listener: Listen = |socket, mut then| {
        socket.on_data(move |socket, _| then(socket));
    };
    let handler: Listen = |socket, mut then| {
        socket.set_handler(Each(move |socket: &Socket, _: &[u8]| then(socket)));
    };
    let pipe: Listen = |socket, mut then| {
        let (to, peer) = net::pair(socket.event_loop()).unwrap();
        socket.pipe(&to);
        let socket = socket.clone();
        peer.on_data(move |_, _| then(&socket));
    };
    for listen in [listener, handler, pipe] {
        let event_loop = EventLoop::new().unwrap();
        let log = Log::default();
        let (socket, writer) = net::pair(&event_loop).unwrap();
        socket.set_encoding(Some(Encoding::Utf16le));
        writer.write("a");
        let mut rest = Some((log.clone(), writer));
        listen(
            &socket,
            Box::new(move |socket| {
                if let Some((note, writer)) = rest.take() {
                    socket.on_text(move |_, text| note.note("hears", text.as_bytes()));
                    writer.end_with("\0");
                }
            }),
        );
        assert_eq!(run_through(&event_loop), 0);
        log.is(&["hears a"]);
    }
}

/// The end of a pipe and the listeners of `end` are kept in different places, and in one order.
#[test]
fn a_pipe_ends_its_destination_in_its_place_among_the_listeners_of_end() {
    let event_loop = EventLoop::new().unwrap();
    let log = Log::default();
    let (to, peer) = net::pair(&event_loop).unwrap();
    peer.on_data(|_, _| {});
    let socket = reader(&event_loop, &["a"]);
    for who in ["before", "after"] {
        let (note, destination) = (log.clone(), to.clone());
        socket.on_end(move |_| {
            let writable = destination.writable().to_string();
            note.note(who, writable.as_bytes());
        });
        if who == "before" {
            socket.pipe(&to);
        }
    }
    assert_eq!(run_through(&event_loop), 0);
    log.is(&["before true", "after false"]);
}

/// What was found by the poll alone takes the short way; with a new listener it is looked at in any case.
#[test]
fn what_is_deferred_twice_comes_before_an_immediate_by_either_way() {
    for found_alone in [false, true] {
        let event_loop = EventLoop::new().unwrap();
        let (socket, mut peer) = adopted(&event_loop);
        let log = Log::default();
        let note = log.clone();
        socket.on_data(move |socket, data| {
            let (first, second, immediate) = (note.clone(), note.clone(), note.clone());
            let note_immediate = move |_: &_| immediate.note("immediate", b"");
            socket.event_loop().set_immediate(note_immediate);
            note.note("hears", data);
            socket.write_then("x", move |socket, _| {
                first.note("wrote", b"");
                socket.write_then("y", move |socket, _| {
                    second.note("wrote again", b"");
                    socket.destroy();
                });
            });
        });
        if found_alone {
            settle(&event_loop);
        }
        peer.write_all(b"a").unwrap();
        assert_eq!(run_through(&event_loop), 0);
        log.is(&["hears a", "wrote ", "wrote again ", "immediate "]);
    }
}

#[test]
fn what_is_read_and_written_counts_by_either_way() {
    for found_alone in [false, true] {
        let event_loop = EventLoop::new().unwrap();
        let (socket, mut peer) = adopted(&event_loop);
        socket.on_data(|socket, _| {
            socket.write("12345");
        });
        if found_alone {
            settle(&event_loop);
        }
        peer.write_all(b"abc").unwrap();
        let before = event_loop.stats();
        event_loop.turn(None).unwrap();
        let after = event_loop.stats();
        assert_eq!(after.events - before.events, 1);
        assert_eq!(after.bytes_in - before.bytes_in, 3);
        assert_eq!(after.bytes_out - before.bytes_out, 5);
        socket.destroy();
        assert_eq!(run_through(&event_loop), 0);
    }
}

/// Sockets that one poll finds ready; of three, the one at `other` is not the plain case. What each defers calls `deferred`.
fn found_together(
    event_loop: &EventLoop,
    log: &Log,
    other: usize,
    deferred: fn(),
) -> Vec<UnixStream> {
    let mut peers = Vec::new();
    for _ in 0..30 {
        let (socket, peer) = adopted(event_loop);
        let note = log.clone();
        socket.on_data(move |socket, data| {
            note.note("hears", data);
            let note = note.clone();
            socket.write_then("x", move |socket, _| {
                note.note("wrote", b"");
                socket.destroy();
                deferred();
            });
        });
        peers.push(peer);
    }
    settle(event_loop);
    for (number, peer) in peers.iter_mut().enumerate() {
        peer.write_all(b"x").unwrap();
        if number % 3 == other {
            peer.shutdown(Shutdown::Write).unwrap();
        }
    }
    peers
}

#[test]
fn what_one_defers_comes_before_the_turn_of_the_next() {
    let event_loop = EventLoop::new().unwrap();
    let log = Log::default();
    let peers = found_together(&event_loop, &log, 2, || {});
    assert_eq!(run_through(&event_loop), 0);
    log.is(&["hears x", "wrote "].repeat(peers.len()));
}

/// What is deferred between two turns panics. The first panic counts most: after it there are no two turns of one poll.
#[test]
fn what_panics_between_two_turns_takes_neither_from_the_others() {
    for other in [1, 2] {
        let event_loop = EventLoop::new().unwrap();
        let log = Log::default();
        let peers = found_together(&event_loop, &log, other, || boom());
        assert_eq!(run_through(&event_loop), peers.len());
        log.is(&["hears x", "wrote "].repeat(peers.len()));
    }
}

/// A post runs between the poll, which tells of each readiness once, and the turns of those that it has found.
#[test]
fn a_post_that_panics_loses_no_readiness() {
    let event_loop = EventLoop::new().unwrap();
    let remote = event_loop.remote();
    let heard = Rc::new(Cell::new(false));
    let (socket, writer) = net::pair(&event_loop).unwrap();
    let told = Rc::clone(&heard);
    socket.on_data(move |_, _| told.set(true));
    writer.end_with("x");
    remote.post(|_| boom()).unwrap();
    drop(remote);
    assert_eq!(run_through(&event_loop), 1);
    assert!(heard.get());
}

/// What such a post has left with the poll is work: nobody waits before it is done, not even another loop.
#[test]
fn what_a_post_that_panics_has_left_is_not_waited_for() {
    let event_loop = EventLoop::new().unwrap();
    let (socket, mut peer) = adopted(&event_loop);
    let log = Log::default();
    let note = log.clone();
    socket.on_data(move |socket, data| {
        note.note("hears", data);
        socket.destroy();
    });
    settle(&event_loop);
    assert_eq!(event_loop.next_timeout(), None);
    peer.write_all(b"a").unwrap();
    let remote = event_loop.remote();
    remote.post(|_| boom()).unwrap();
    drop(remote);
    catch_unwind(AssertUnwindSafe(|| event_loop.turn(None))).unwrap_err();
    log.is(&[]);
    assert_eq!(event_loop.next_timeout(), Some(Duration::ZERO));
    assert!(!event_loop.turn(None).unwrap());
    log.is(&["hears a"]);
}
