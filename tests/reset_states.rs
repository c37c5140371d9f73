//! A reset in every state a connection may be in: one `close`, no `end` that was none, nothing left, and the next
//! connection is served.

mod common;
#[path = "common/flow.rs"]
mod flow;
#[path = "common/kernel.rs"]
mod kernel;
#[path = "common/place.rs"]
mod place;
#[path = "common/sending.rs"]
mod sending;

use std::cell::RefCell;
use std::net::TcpListener;
use std::rc::Rc;
use std::time::Duration;

use common::{each_case, each_form_tcp, Peer, Script, Transport, World};
use flow::after_turns;
use kernel::{wait_hang_up, wait_unread};
use place::turn_until;
use sending::{Notes, TOO_MUCH};
use tidewheel::net::{self, EventKind, ServerOptions, Socket, WriteStatus};

/// What the peer does before it resets.
#[derive(Clone, Copy, PartialEq)]
enum Before {
    Nothing,
    Says,
    Ends,
}

struct State {
    name: &'static str,
    before: Before,
    /// Brings the accepted socket into its state.
    enter: fn(&World, &Notes, &Socket),
    /// What it is told. Whether a read or a write meets the reset first, and how the write fails, is the kernel's affair.
    told: &'static [&'static str],
}

const RESET: &str = "error(ECONNRESET) close(true)";
const PIPE: &str = "error(EPIPE) close(true)";

const STATES: &[State] = &[
    State {
        name: "flowing",
        before: Before::Nothing,
        enter: |_, _, _| {},
        told: &[RESET],
    },
    State {
        name: "flowing, with a timeout",
        before: Before::Nothing,
        enter: |_, _, socket| {
            socket.set_timeout(Duration::from_secs(60));
        },
        told: &[RESET],
    },
    State {
        name: "paused",
        before: Before::Nothing,
        enter: |_, _, socket| {
            socket.pause();
        },
        told: &[RESET],
    },
    State {
        name: "paused over unread bytes",
        before: Before::Says,
        enter: |_, _, socket| {
            socket.pause();
            let socket = socket.clone();
            after_turns(&socket.event_loop().handle(), 20, move |_| {
                socket.resume();
            });
        },
        told: &["data(6) error(ECONNRESET) close(true)"],
    },
    State {
        name: "sending",
        before: Before::Nothing,
        enter: |_, notes, socket| {
            let status = socket.write_then(vec![b'x'; TOO_MUCH], notes.done("S:write"));
            assert_eq!(status, WriteStatus::Queued);
        },
        told: &[
            "error(ECONNRESET) write ECONNRESET close(true)",
            "write ECONNRESET error(ECONNRESET) close(true)",
            "write EPIPE error(EPIPE) close(true)",
        ],
    },
    State {
        name: "sending, paused",
        before: Before::Nothing,
        enter: |_, notes, socket| {
            socket.pause();
            socket.write_then(vec![b'x'; TOO_MUCH], notes.done("S:write"));
        },
        told: &[
            "error(ECONNRESET) write ECONNRESET close(true)",
            "write ECONNRESET error(ECONNRESET) close(true)",
            "write EPIPE error(EPIPE) close(true)",
        ],
    },
    State {
        name: "corked",
        before: Before::Nothing,
        enter: |_, notes, socket| {
            socket.cork();
            socket.write_then("held together", notes.done("S:write"));
        },
        told: &["error(ECONNRESET) write ECONNRESET close(true)"],
    },
    State {
        name: "ended by us",
        before: Before::Nothing,
        enter: |_, notes, socket| socket.end_then(notes.done("S:end-cb")),
        told: &["end-cb ok finish error(ECONNRESET) close(true)"],
    },
    State {
        name: "ended by us, with bytes that wait",
        before: Before::Nothing,
        enter: |_, notes, socket| {
            socket.write(vec![b'x'; TOO_MUCH]);
            socket.end_then(notes.done("S:end-cb"));
        },
        told: &[
            "error(ECONNRESET) end-cb ECONNRESET close(true)",
            "end-cb ECONNRESET error(ECONNRESET) close(true)",
            "end-cb EPIPE error(EPIPE) close(true)",
        ],
    },
    State {
        name: "about to be destroyed when all is sent",
        before: Before::Nothing,
        enter: |_, _, socket| {
            socket.write(vec![b'x'; TOO_MUCH]);
            socket.destroy_soon();
        },
        told: &[RESET, PIPE],
    },
    State {
        name: "destroyed and not closed",
        before: Before::Nothing,
        enter: |_, _, socket| socket.destroy(),
        told: &["close(false)"],
    },
    State {
        name: "piped to itself",
        before: Before::Nothing,
        enter: |_, _, socket| {
            socket.pipe(socket);
        },
        told: &[RESET],
    },
    State {
        name: "half open, answering",
        before: Before::Ends,
        enter: |_, _, socket| {
            socket.set_allow_half_open(true);
            let socket = socket.clone();
            after_turns(&socket.event_loop().handle(), 20, move |_| {
                // That its reading side is at its end is known, so that only a write meets the reset.
                if !socket.destroyed() {
                    socket.write("an answer nobody wants");
                }
            });
        },
        told: &[
            "end error(EPIPE) close(true)",
            "end error(ECONNRESET) close(true)",
            // The FIN was not read before the reset.
            RESET,
        ],
    },
];

fn reset(peer: Peer) {
    peer.reset();
}

/// One accepted socket in the state, then the reset, then another visitor.
fn reset_in(world: &World, state: &State) {
    let slot: Rc<RefCell<Option<Peer>>> = Rc::default();
    let (sender, watcher, notes) = (Rc::clone(&slot), world.watcher(), Notes::of(world));
    let met: Rc<RefCell<Option<Socket>>> = Rc::default();
    let meet = Rc::clone(&met);
    let options = ServerOptions::default();
    let server = world.server_with(options, move |socket| {
        watcher.watch(socket, Script::new("S"));
        meet.replace(Some(socket.clone()));
    });
    slot.replace(Some(world.peer(&server)));
    turn_until(world, || met.borrow().is_some());
    let socket = met.take().unwrap();
    // Over UNIX sockets only a close over unread bytes is a reset.
    if world.transport == Transport::Unix {
        socket.write("not read");
    }
    let mut peer = sender.take().unwrap();
    match state.before {
        Before::Nothing => (state.enter)(world, &notes, &socket),
        Before::Says => {
            (state.enter)(world, &notes, &socket);
            peer.send(b"unread");
            wait_unread(&socket, 6);
        }
        Before::Ends => {
            (state.enter)(world, &notes, &socket);
            peer.end();
            wait_hang_up(&socket);
        }
    }
    reset(peer);
    turn_until(world, || world.trace("S").contains("close("));
    let trace = world.trace("S");
    let told = state.told.iter().any(|told| trace == *told);
    assert!(told, "{}, {:?}: {trace}", state.name, world.transport);
    server.close();
    world.run();
    let next = world.server_for(1, ServerOptions::default(), || Script::new("N"));
    world.client(&next, Script::new("C")).end_with("served");
    world.run();
    world.assert_trace("N", "data(6) end finish close(false)");
}

macro_rules! states {
    ($($test:ident: $name:literal;)*) => {
        $(#[test]
        fn $test() {
            let state = STATES.iter().find(|state| state.name == $name).unwrap();
            each_case(|world| reset_in(world, state));
        })*

        #[test]
        fn every_state_has_its_test() {
            assert_eq!(STATES.iter().map(|s| s.name).collect::<Vec<_>>(), [$($name),*]);
        }
    };
}

states! {
    flowing: "flowing";
    with_a_timeout: "flowing, with a timeout";
    paused: "paused";
    paused_over_unread_bytes: "paused over unread bytes";
    sending: "sending";
    sending_and_paused: "sending, paused";
    corked: "corked";
    ended_by_us: "ended by us";
    ended_by_us_with_bytes_that_wait: "ended by us, with bytes that wait";
    about_to_be_destroyed: "about to be destroyed when all is sent";
    destroyed_and_not_closed: "destroyed and not closed";
    piped_to_itself: "piped to itself";
    half_open: "half open, answering";
}

// Only TCP can be reset before it is accepted.
#[test]
fn before_it_is_accepted() {
    each_form_tcp(|world| {
        let watcher = world.watcher();
        let server = world.server(move |socket| watcher.watch(socket, Script::new("S")));
        let mut speaker = world.peer(&server);
        speaker.send(b"last words");
        speaker.reset();
        reset(world.peer(&server));
        turn_until(world, || world.events("S").len() >= 4);
        let mut events = world.events("S");
        events.sort();
        // What came before a reset is lost with it when nobody has read it by then: the kernel's affair.
        events.retain(|event| !event.starts_with("data("));
        let (close, error) = ("close(true)", "error(ECONNRESET)");
        assert_eq!(events, [close, close, error, error]);
        server.close();
        world.run();
    });
}

// Only TCP has an attempt that lasts.
#[test]
fn while_it_waits_to_be_accepted_by_the_other_side() {
    each_form_tcp(|world| {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let client = world.client_with(address.into(), Script::new("C"));
        client.write("early");
        turn_until(world, || !client.connecting());
        // Who waits in the queue of a listener that closes is reset.
        drop(listener);
        world.run();
        world.assert_trace("C", "connect ready drain error(ECONNRESET) close(true)");
    });
}

#[test]
fn in_the_middle_of_its_own_data() {
    each_case(|world| {
        let slot: Rc<RefCell<Option<Peer>>> = Rc::default();
        let peer = Rc::clone(&slot);
        let server = world.serve_one(move || {
            let peer = Rc::clone(&peer);
            Script::new("S").on_data(move |socket, _| {
                if let Some(peer) = peer.take() {
                    socket.write("an answer nobody reads");
                    reset(peer);
                    wait_hang_up(socket);
                }
            })
        });
        let mut sender = world.peer(&server);
        sender.send(b"a question");
        slot.replace(Some(sender));
        world.run();
        world.assert_trace("S", &format!("data(10) {RESET}"));
    });
}

#[test]
fn of_the_destination_of_a_pipe() {
    each_case(|world| {
        let (source, far) = net::pair(&world.event_loop).unwrap();
        world.watch(&source, Script::new("source"));
        let slot: Rc<RefCell<Option<Peer>>> = Rc::default();
        let (peer, piped) = (Rc::clone(&slot), source.clone());
        let server = world.serve_one(|| Script::new("S").on(EventKind::Close, |_, _| {}));
        server.on_connection(move |socket| {
            piped.pipe(socket);
            // More than the destination holds, so that the source rests for it.
            far.write(vec![b'x'; TOO_MUCH]);
            let (peer, piped, far) = (Rc::clone(&peer), piped.clone(), far.clone());
            after_turns(&socket.event_loop().handle(), 50, move |handle| {
                reset(peer.take().unwrap());
                after_turns(handle, 50, move |_| {
                    assert!(
                        !piped.destroyed() && piped.is_paused(),
                        "the source lives on"
                    );
                    piped.destroy();
                    far.destroy();
                });
            });
        });
        slot.replace(Some(world.peer(&server)));
        world.run();
        let trace = world.trace("S");
        assert!(trace == RESET || trace == PIPE, "{trace}");
        assert!(world.trace("source").ends_with("close(false)"));
    });
}
