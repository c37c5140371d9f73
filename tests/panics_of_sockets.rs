//! A panic in a callback of a socket unwinds out of `run`, and the loop goes on as if the callback had returned.

mod common;
#[path = "common/panicking.rs"]
mod panicking;

use std::cell::{Cell, RefCell};
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::rc::Rc;
use std::time::Duration;

use common::{each_case, Script, World};
use panicking::{boom, run_through};
use tidewheel::net::{EventKind, ServerOptions, Socket, SocketOptions};
use tidewheel::{Code, Error};

/// Acts on each event of a script, and panics after those of `kind`.
fn panicking(script: Script, kind: Option<EventKind>, act: Act) -> Script {
    let mut script = script;
    for of in KINDS {
        script = script.on(of, move |socket, _| {
            act(socket, of);
            if kind == Some(of) {
                boom();
            }
        });
    }
    script
}

type Act = fn(&Socket, EventKind);

const KINDS: [EventKind; 9] = [
    EventKind::Connect,
    EventKind::Ready,
    EventKind::Data,
    EventKind::Drain,
    EventKind::Timeout,
    EventKind::End,
    EventKind::Finish,
    EventKind::Error,
    EventKind::Close,
];

const BULK: usize = 16 << 20;

/// What the client does: it sends much, waits for `drain`, for the answer, for the timeout, and ends.
fn client(socket: &Socket, kind: EventKind) {
    match kind {
        EventKind::Connect => {
            socket.write(vec![1; BULK]);
        }
        EventKind::Data => {
            socket.set_timeout(Duration::from_millis(5));
        }
        EventKind::Timeout => socket.end(),
        _ => {}
    }
}

/// What the server does: it answers once it has all.
fn server(socket: &Socket, kind: EventKind) {
    if kind == EventKind::Data && socket.bytes_read() == BULK as u64 {
        socket.write("thanks");
    }
}

/// The traces of both sides of a conversation with every event but `error`, with panics on the way.
#[track_caller]
fn talk(world: &World, of_client: Option<EventKind>, of_server: Option<EventKind>) -> [String; 2] {
    let listener = world.serve_one(move || panicking(Script::new("S"), of_server, server));
    world.client(&listener, panicking(Script::new("C"), of_client, client));
    let panics = run_through(&world.event_loop);
    let expected = |name: &str, kind: Option<EventKind>| {
        let kind = kind.map(|kind| format!("{kind:?}").to_lowercase());
        let of_kind = |event: &&String| kind.as_ref().is_some_and(|kind| event.starts_with(kind));
        world.events(name).iter().filter(of_kind).count()
    };
    assert_eq!(panics, expected("C", of_client) + expected("S", of_server));
    if of_client.or(of_server).is_some() {
        assert!(panics > 0, "there was no {of_client:?} {of_server:?}");
    }
    [world.trace("C"), world.trace("S")]
}

const CLIENT: &str = "connect ready drain data(6) timeout finish end close(false)";
const SERVER: &str = "data(16777216) end finish close(false)";

#[test]
fn the_conversation_is_the_one_expected() {
    each_case(|world| {
        assert_eq!(talk(world, None, None), [CLIENT, SERVER]);
    });
}

#[test]
fn a_panic_in_any_event_of_a_client_changes_nothing_that_follows() {
    for kind in KINDS.into_iter().filter(|kind| *kind != EventKind::Error) {
        each_case(|world| {
            assert_eq!(talk(world, Some(kind), None), [CLIENT, SERVER], "{kind:?}");
        });
    }
}

#[test]
fn a_panic_in_any_event_of_an_accepted_socket_changes_nothing_that_follows() {
    for kind in [
        EventKind::Data,
        EventKind::End,
        EventKind::Finish,
        EventKind::Close,
    ] {
        each_case(|world| {
            assert_eq!(talk(world, None, Some(kind)), [CLIENT, SERVER], "{kind:?}");
        });
    }
}

#[test]
fn a_panic_in_error_is_followed_by_close_all_the_same() {
    each_case(|world| {
        let server = world.serve_one(|| Script::new("S"));
        world.client(
            &server,
            Script::new("C")
                .on(EventKind::Connect, |socket, _| {
                    socket.write_then("lost", |_, _| {});
                    socket.destroy_with(Error::other("on purpose"));
                })
                .on_error(|_, _| boom()),
        );
        assert_eq!(run_through(&world.event_loop), 1);
        let trace = world.trace("C");
        assert!(trace.ends_with("close(true)"), "{trace}");
    });
}

#[test]
fn a_panic_in_a_write_callback_loses_none_of_the_others() {
    each_case(|world| {
        let server = world.serve_one(|| Script::new("S"));
        let note = world.noter();
        let client = world.client(&server, Script::new("C"));
        for number in 0..4 {
            let note = note.clone();
            client.write_then("x", move |_, result| {
                note(&format!("C:wrote {number} {}", result.is_ok()));
                boom();
            });
        }
        for number in 0..3 {
            let note = note.clone();
            client.end_then(move |_, result| {
                note(&format!("C:ended {number} {}", result.is_ok()));
                boom();
            });
        }
        assert_eq!(run_through(&world.event_loop), 7);
        world.assert_trace(
            "C",
            "connect ready wrote 0 true wrote 1 true wrote 2 true wrote 3 true \
             ended 0 true ended 1 true ended 2 true finish end close(false)",
        );
    });
}

#[test]
fn a_panic_in_a_failing_write_callback_loses_none_of_the_others() {
    each_case(|world| {
        let client = Socket::new(&world.event_loop, SocketOptions::default());
        world.watch(&client, Script::new("C"));
        let note = world.noter();
        for number in 0..3 {
            let note = note.clone();
            client.write_then("x", move |_, result| {
                note(&format!("C:wrote {number} {}", result.unwrap_err().code()));
                boom();
            });
        }
        assert_eq!(run_through(&world.event_loop), 3);
        let trace = world.trace("C");
        assert_eq!(trace.matches("wrote").count(), 3, "{trace}");
        assert!(trace.ends_with("close(true)"), "{trace}");
    });
}

#[test]
fn a_panic_in_the_callback_of_a_write_given_up_loses_none_of_the_others() {
    each_case(|world| {
        let server = world.server(|_| {});
        let client = world.client(&server, Script::new("C"));
        let note = world.noter();
        for number in 0..4 {
            let note = note.clone();
            client.write_then("x", move |_, result| {
                note(&format!("C:wrote {number} {}", result.is_ok()));
                boom();
            });
        }
        client.destroy();
        server.close();
        assert_eq!(run_through(&world.event_loop), 4);
        world.assert_trace(
            "C",
            "wrote 0 false wrote 1 false wrote 2 false wrote 3 false close(false)",
        );
    });
}

#[test]
fn a_panic_in_an_end_callback_does_not_take_finish_away() {
    each_case(|world| {
        let server = world.serve_one(|| Script::new("S"));
        let client = world.client(&server, Script::new("C"));
        client.end_then(|_, _| boom());
        assert_eq!(run_through(&world.event_loop), 1);
        world.assert_trace("C", "connect ready finish end close(false)");
    });
}

#[test]
fn a_listener_that_panicked_is_put_back_and_hears_the_next_event() {
    each_case(|world| {
        let heard = Rc::new(Cell::new(0));
        let count = Rc::clone(&heard);
        let server = world.serve_one(move || {
            let count = Rc::clone(&count);
            Script::new("S").on_data(move |socket, _| {
                count.set(count.get() + 1);
                socket.write("more");
                boom();
            })
        });
        let mut left = 5;
        world.client(
            &server,
            Script::new("C")
                .on(EventKind::Connect, |socket, _| {
                    socket.write("x");
                })
                .on_data(move |socket, _| {
                    left -= 1;
                    if left == 0 {
                        socket.end();
                    } else {
                        socket.write("x");
                    }
                }),
        );
        assert_eq!(run_through(&world.event_loop), 5);
        assert_eq!(heard.get(), 5);
    });
}

#[test]
fn a_one_shot_listener_that_panicked_is_spent() {
    each_case(|world| {
        let server = world.serve_one(|| {
            Script::new("S").on_data(|socket, data| {
                socket.write(data);
            })
        });
        let mut left = 3;
        let client = world.client(
            &server,
            Script::new("C").on_data(move |socket, _| {
                left -= 1;
                if left == 0 {
                    socket.end();
                } else {
                    socket.write("x");
                }
            }),
        );
        client.once_data(|_, _| boom());
        client.write("x");
        assert_eq!(run_through(&world.event_loop), 1);
    });
}

#[test]
fn the_other_sockets_of_the_same_turn_lose_nothing() {
    each_case(|world| {
        let server = world.server_for(20, ServerOptions::default(), || {
            Script::new("S")
                .on_data(|socket, _| {
                    socket.end();
                    boom();
                })
                .on(EventKind::Close, |_, _| boom())
        });
        let mut peers: Vec<_> = (0..20).map(|_| world.peer(&server)).collect();
        for peer in &mut peers {
            peer.send(b"x");
            peer.end();
        }
        assert_eq!(run_through(&world.event_loop), 40);
        let events = world.events("S");
        for event in ["data(1)", "end", "finish", "close(false)"] {
            let count = events.iter().filter(|seen| *seen == event).count();
            assert_eq!(count, 20, "{event}");
        }
        for peer in &mut peers {
            assert_eq!(peer.read_all(), b"");
        }
    });
}

struct Boom(Rc<Cell<usize>>);

impl Drop for Boom {
    fn drop(&mut self) {
        self.0.set(self.0.get() + 1);
        boom();
    }
}

#[test]
fn a_destructor_that_panics_at_close_does_not_take_write_callbacks_away() {
    each_case(|world| {
        let called = Rc::new(Cell::new(0));
        let (server, flag) = (world.serve_one(|| Script::new("S")), Rc::clone(&called));
        let client = world.client(
            &server,
            Script::new("C").on(EventKind::Close, move |socket, _| {
                let flag = Rc::clone(&flag);
                socket.write_then("late", move |_, _| flag.set(flag.get() + 1));
            }),
        );
        let bomb = Boom(Rc::default());
        client.on_drain(move |_| {
            let _ = &bomb;
        });
        client.end();
        assert_eq!(run_through(&world.event_loop), 1);
        assert_eq!(called.get(), 1);
    });
}

#[test]
fn a_panic_in_the_destructor_of_what_a_listener_captured_is_one_in_a_callback() {
    each_case(|world| {
        let dropped = Rc::new(Cell::new(0));
        let server = world.serve_one(|| Script::new("S"));
        let client = world.client(&server, Script::new("C"));
        let (unheard, removed) = (Boom(Rc::clone(&dropped)), Boom(Rc::clone(&dropped)));
        // Dropped when the slot is freed, after `close`; and in the turn after its removal.
        client.on_drain(move |_| {
            let _ = &unheard;
        });
        client.on_timeout(move |_| {
            let _ = &removed;
        });
        client.remove_all_listeners(EventKind::Timeout);
        client.end();
        assert_eq!(run_through(&world.event_loop), 2);
        assert_eq!(dropped.get(), 2);
        world.assert_trace("C", "connect ready finish end close(false)");
    });
}

#[test]
fn the_hook_for_unhandled_errors_may_panic_and_hears_the_next_one() {
    each_case(|world| {
        let codes: Rc<RefCell<Vec<Code>>> = Rc::default();
        let seen = Rc::clone(&codes);
        world.event_loop.on_unhandled_error(move |_, error| {
            seen.borrow_mut().push(error.code());
            boom();
        });
        for _ in 0..3 {
            // No listener at all.
            let socket = Socket::new(&world.event_loop, SocketOptions::default());
            socket.destroy_with(Error::other("nobody hears of it"));
        }
        assert_eq!(run_through(&world.event_loop), 3);
        assert_eq!(codes.borrow().len(), 3);
        assert_eq!(world.event_loop.stats().unhandled_errors, 3);
    });
}

#[test]
fn corked_uncorks_when_its_closure_panics() {
    each_case(|world| {
        let server = world.serve_one(|| Script::new("S"));
        world.client(
            &server,
            Script::new("C").on(EventKind::Connect, |socket, _| {
                let corked = AssertUnwindSafe(|| {
                    socket.corked(|socket| {
                        socket.write("kept back, then sent");
                        boom()
                    })
                });
                let result: Result<(), _> = catch_unwind(corked);
                assert!(result.is_err());
                assert_eq!(socket.buffer_size(), 0);
                socket.end();
            }),
        );
        world.run();
        world.assert_trace("S", "data(20) end finish close(false)");
    });
}
