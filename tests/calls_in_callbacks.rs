//! Ending and writing inside every kind of callback, of the socket itself and of another one.
//!
//! The harness holds what always holds; here the callbacks given with the calls are counted, too.

mod common;
#[path = "common/sending.rs"]
mod sending;

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use common::{each_case, Script, World};
use sending::{serve, Notes, EVERY_KIND};
use tidewheel::net::{EventKind, Socket, WriteStatus};
use tidewheel::{Code, Error};

/// What a client is told when nothing is called.
const TOLD: &str = "connect ready drain timeout data(5) end finish close(false)";

type Call = fn(&Socket, &Calls);

/// Callbacks given and callbacks called.
#[derive(Clone, Default)]
struct Calls {
    given: Rc<Cell<usize>>,
    called: Rc<Cell<usize>>,
}

impl Calls {
    fn one(&self) -> impl FnOnce(&Socket, Result<(), Error>) + 'static {
        self.given.set(self.given.get() + 1);
        let called = Rc::clone(&self.called);
        move |_, _| called.set(called.get() + 1)
    }
}

/// A client that is told everything there is to tell, with `call` made in the event of `kind` of the client (`own`) or
/// of the server's socket. The server answers once the client has timed out.
fn conversation(world: &World, kind: EventKind, own: bool, call: Call) -> Calls {
    let calls = Calls::default();
    let client: Rc<RefCell<Option<Socket>>> = Rc::default();
    let accepted: Rc<RefCell<Option<Socket>>> = Rc::default();
    let fired = Rc::new(Cell::new(false));
    let act = {
        let (client, calls, fired) = (Rc::clone(&client), calls.clone(), Rc::clone(&fired));
        move || {
            if !fired.replace(true) {
                let client = client.borrow().clone();
                call(&client.unwrap(), &calls);
            }
        }
    };
    let mut theirs = Script::new("S").on(EventKind::Data, |_, _| {});
    if !own {
        let act = act.clone();
        theirs = theirs.on(kind, move |_, _| act());
    }
    let keep = Rc::clone(&accepted);
    let server = serve(world, theirs, move |socket| {
        *keep.borrow_mut() = Some(socket.clone());
    });
    let mut ours = Script::new("C");
    for event in EVERY_KIND {
        let (act, accepted) = (act.clone(), Rc::clone(&accepted));
        ours = ours.on(event, move |socket, _| {
            if event == EventKind::Drain {
                socket.set_timeout(Duration::from_millis(1));
            } else if event == EventKind::Timeout {
                socket.set_timeout(Duration::ZERO);
                if kind == EventKind::Error {
                    socket.destroy_with(Error::new(Code::TimedOut, "mine"));
                } else if let Some(accepted) = &*accepted.borrow() {
                    accepted.end_with("reply");
                }
            }
            if own && event == kind {
                act();
            }
        });
    }
    let socket = world.client(&server, ours);
    assert_eq!(socket.write("x"), WriteStatus::Queued);
    *client.borrow_mut() = Some(socket);
    world.run();
    assert!(fired.get(), "{kind:?} never came");
    assert_eq!(
        calls.given.get(),
        calls.called.get(),
        "callbacks at {kind:?}"
    );
    calls
}

/// What the client is told up to the event of `kind`.
fn told_until(kind: EventKind) -> String {
    let name = match kind {
        EventKind::Error => return "connect ready drain timeout error(ETIMEDOUT)".into(),
        EventKind::Data => "data(5)".into(),
        EventKind::Close => "close(false)".into(),
        _ => format!("{kind:?}").to_lowercase(),
    };
    TOLD[..TOLD.find(&name).unwrap() + name.len()].into()
}

fn bytes_told(world: &World, name: &str) -> usize {
    let events = world.events(name);
    let data = events
        .iter()
        .filter_map(|event| event.strip_prefix("data("));
    data.map(|rest| rest.trim_end_matches(')').parse::<usize>().unwrap())
        .sum()
}

fn last_event(world: &World, name: &str) -> String {
    world.events(name).last().unwrap().clone()
}

#[test]
fn nothing_called_is_the_whole_conversation() {
    each_case(|world| {
        conversation(world, EventKind::Close, true, |_, _| {});
        world.assert_trace("C", TOLD);
    });
}

#[test]
fn destroy_in_every_event_leaves_only_close() {
    for kind in EVERY_KIND {
        each_case(|world| {
            conversation(world, kind, true, |socket, _| {
                socket.destroy();
                socket.destroy();
            });
            let mut expected = told_until(kind);
            match kind {
                EventKind::Close => {}
                EventKind::Error => expected += " close(true)",
                _ => expected += " close(false)",
            }
            world.assert_trace("C", &expected);
        });
    }
}

#[test]
fn destroy_with_an_error_in_every_event_leaves_only_error_and_close() {
    for kind in EVERY_KIND {
        each_case(|world| {
            conversation(world, kind, true, |socket, _| {
                socket.destroy_with(Error::new(Code::HostUnreachable, "theirs"));
            });
            let mut expected = told_until(kind);
            match kind {
                EventKind::Close => {}
                EventKind::Error => expected += " close(true)",
                _ => expected += " error(EHOSTUNREACH) close(true)",
            }
            world.assert_trace("C", &expected);
        });
    }
}

#[test]
fn end_in_every_event_ends_in_order() {
    for kind in EVERY_KIND {
        each_case(|world| {
            conversation(world, kind, true, |socket, calls| {
                socket.end_then(calls.one());
                socket.end();
                socket.end_then(calls.one());
            });
            let trace = world.trace("C");
            let had_error = kind == EventKind::Error;
            assert!(trace.starts_with(&told_until(kind)), "{kind:?}: {trace}");
            assert_eq!(
                last_event(world, "C"),
                format!("close({had_error})"),
                "{kind:?}"
            );
            assert!(had_error || trace.contains("finish"), "{kind:?}: {trace}");
        });
    }
}

#[test]
fn write_in_every_event_is_sent_or_refused_and_its_callback_runs() {
    for kind in EVERY_KIND {
        each_case(|world| {
            let calls = conversation(world, kind, true, |socket, calls| {
                socket.write_then("more", calls.one());
                socket.write_then("", calls.one());
            });
            assert_eq!(calls.given.get(), 2);
            // The `x` of before connect, and the four bytes unless it was too late for them.
            let received = bytes_told(world, "S");
            match kind {
                EventKind::Error | EventKind::Close => assert_eq!(received, 1),
                EventKind::Finish => {
                    // The peer's FIN has made us end.
                    let ended = told_until(EventKind::Finish);
                    world.assert_trace("C", &format!("{ended} error(EPIPE) close(true)"));
                    assert_eq!(received, 1);
                }
                _ => {
                    world.assert_trace("C", TOLD);
                    assert_eq!(received, 5, "{kind:?}");
                }
            }
        });
    }
}

#[test]
fn everything_at_once_in_every_event_still_ends_in_one_close() {
    for kind in EVERY_KIND {
        each_case(|world| {
            conversation(world, kind, true, |socket, calls| {
                socket.cork();
                socket.write_then("a", calls.one());
                socket.end_then(calls.one());
                socket.write_then("late", calls.one());
                socket.end_then(calls.one());
                socket.destroy();
                socket.write_then("later", calls.one());
                socket.uncork().pause().resume();
            });
            assert!(last_event(world, "C").starts_with("close("), "{kind:?}");
        });
    }
}

#[test]
fn every_call_in_the_events_of_another_socket_is_as_good() {
    let calls: [Call; 4] = [
        |socket, _| socket.destroy(),
        |socket, _| socket.destroy_with(Error::new(Code::HostUnreachable, "theirs")),
        |socket, calls| socket.end_then(calls.one()),
        |socket, calls| {
            socket.write_then("more", calls.one());
        },
    ];
    for kind in [
        EventKind::Data,
        EventKind::End,
        EventKind::Finish,
        EventKind::Close,
    ] {
        for call in calls {
            each_case(|world| {
                conversation(world, kind, false, call);
                assert!(last_event(world, "C").starts_with("close("), "{kind:?}");
            });
        }
    }
}

#[test]
fn one_socket_destroys_another_in_the_middle_of_a_batch() {
    each_case(|world| {
        // Both have bytes at the same poll; whoever is served first destroys the other.
        let sockets: Rc<RefCell<Vec<Socket>>> = Rc::default();
        let watcher = world.watcher();
        let all = Rc::clone(&sockets);
        let count = Rc::new(Cell::new(0));
        let server = world.server(move |socket| {
            let name = format!("S{}", count.get());
            count.set(count.get() + 1);
            let others = Rc::clone(&all);
            let script = Script::new(&name).on_data(move |socket, _| {
                for other in others.borrow().iter().filter(|other| *other != socket) {
                    other.destroy();
                }
                socket.end();
            });
            watcher.watch(socket, script);
            all.borrow_mut().push(socket.clone());
            if count.get() == 2 {
                socket.server().unwrap().close();
            }
        });
        let mut peers = [world.peer(&server), world.peer(&server)];
        for peer in &mut peers {
            peer.send(b"both");
            peer.end();
        }
        world.run();
        let mut traces = [world.trace("S0"), world.trace("S1")];
        traces.sort();
        assert_eq!(traces, ["close(false)", "data(4) finish end close(false)"]);
    });
}

#[test]
fn the_callback_of_a_write_may_destroy_and_the_rest_fails() {
    each_case(|world| {
        let notes = Notes::of(world);
        let server = serve(world, Script::new("S"), move |socket| {
            socket.write_then("a", |socket, _| socket.destroy());
            socket.write_then("b", notes.done("S:sent"));
            socket.end_then(notes.done("S:end-cb"));
        });
        let _peer = world.peer(&server);
        world.run();
        let expected = "sent ok end-cb ERR_STREAM_DESTROYED close(false)";
        world.assert_trace("S", expected);
    });
}

#[test]
fn the_callback_of_a_failed_write_may_call_anything() {
    each_case(|world| {
        let notes = Notes::of(world);
        let server = serve(world, Script::new("S"), move |socket| {
            socket.end();
            let inner = notes.clone();
            socket.write_then("late", move |socket, result| {
                assert_eq!(result.unwrap_err().code(), Code::WriteAfterEnd);
                socket.destroy();
                socket.end();
                socket.write_then("later", inner.done("S:inner"));
            });
        });
        let _peer = world.peer(&server);
        world.run();
        let expected = "inner ERR_STREAM_DESTROYED error(ERR_STREAM_WRITE_AFTER_END) close(true)";
        world.assert_trace("S", expected);
    });
}

#[test]
fn a_write_in_the_callback_of_end_is_after_end() {
    each_case(|world| {
        let notes = Notes::of(world);
        let server = serve(world, Script::new("S"), move |socket| {
            socket.end_then(move |socket, _| {
                let status = socket.write_then("late", notes.done("S:late"));
                assert_eq!(status, WriteStatus::Refused);
            });
        });
        let _peer = world.peer(&server);
        world.run();
        let code = "ERR_STREAM_WRITE_AFTER_END";
        world.assert_trace("S", &format!("late {code} error({code}) close(true)"));
    });
}

#[test]
fn timers_immediates_and_posts_may_destroy_and_end() {
    each_case(|world| {
        let later: [fn(&Socket); 3] = [
            |socket| {
                let event_loop = socket.event_loop().clone();
                let socket = socket.clone();
                event_loop.set_timeout(Duration::ZERO, move |_| socket.destroy());
            },
            |socket| {
                let event_loop = socket.event_loop().clone();
                let socket = socket.clone();
                event_loop.set_immediate(move |_| socket.destroy());
            },
            |socket| {
                let id = socket.id();
                let remote = socket.event_loop().remote();
                let post = move |handle: &tidewheel::LoopHandle| {
                    handle.socket(id).unwrap().destroy();
                };
                remote.post(post).unwrap();
            },
        ];
        for (number, act) in later.into_iter().enumerate() {
            let name = format!("S{number}");
            let server = serve(world, Script::new(&name), act);
            let _peer = world.peer(&server);
            world.run();
            world.assert_trace(&name, "close(false)");
        }
    });
}
