//! `active_handles()`: the answer to "why does my program not exit". One line for each thing the loop waits for.
#![cfg(feature = "sim")]

mod common;
#[path = "common/kernel.rs"]
mod kernel;
#[path = "common/names.rs"]
mod names;
#[path = "common/place.rs"]
mod place;
#[path = "common/sending.rs"]
mod sending;
#[path = "common/simulated.rs"]
mod simulated;

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use common::{each_case, each_form_tcp, Script, World};
use kernel::pipe;
use names::named;
use place::turn_until;
use sending::{serve, TOO_MUCH};
use simulated::{each_form_sim, ms, pair};
use tidewheel::net::{self, ConnectOptions, EventKind, LookupReply, Socket, SocketOptions};
use tidewheel::{HandleInfo, HandleKind, Interest};

/// Kind, state and whether it is referenced.
type Line = (HandleKind, &'static str, bool);

fn lines(handles: &[HandleInfo]) -> Vec<Line> {
    handles
        .iter()
        .map(|handle| (handle.kind, handle.state, handle.referenced))
        .collect()
}

#[track_caller]
fn assert_lines(world: &World, expected: &[Line]) {
    assert_eq!(lines(&world.event_loop.active_handles()), expected);
}

#[track_caller]
fn only(world: &World) -> HandleInfo {
    let handles = world.event_loop.active_handles();
    let [only] = &handles[..] else {
        panic!("{handles:?}");
    };
    only.clone()
}

#[test]
fn a_loop_that_waits_for_nothing_has_none() {
    each_case(|world| {
        assert_lines(world, &[]);
        // What was made and not begun is waited for by nobody.
        let server = net::create_server(&world.event_loop, |_| {});
        let socket = Socket::new(&world.event_loop, SocketOptions::default());
        assert_lines(world, &[]);
        assert!(!world.event_loop.is_alive() && !server.listening());
        socket.destroy();
        world.run();
        assert_lines(world, &[]);
    });
}

#[test]
fn a_server_shows_where_it_listens_and_whether_it_rests() {
    each_case(|world| {
        let server = world.server(|_| {});
        let handle = only(world);
        assert_eq!(handle.local, server.address());
        assert_eq!(handle.remote, None);
        assert_eq!((handle.queued, handle.idle), (0, Duration::ZERO));
        assert_lines(world, &[(HandleKind::Server, "listening", true)]);
        server.pause().unref();
        assert_lines(world, &[(HandleKind::Server, "paused", false)]);
        server.resume().ref_();
        assert_lines(world, &[(HandleKind::Server, "listening", true)]);
        server.close();
        world.run();
        assert_lines(world, &[]);
    });
}

#[test]
fn a_closed_server_waits_for_its_last_connection() {
    each_case(|world| {
        let server = world.serve_one(|| Script::new("S"));
        let peer = world.peer(&server);
        turn_until(world, || !server.listening());
        let mut lines = lines(&world.event_loop.active_handles());
        lines.sort_by_key(|line| line.1);
        let expected = [
            (HandleKind::Server, "closing", true),
            (HandleKind::Socket, "open", true),
        ];
        assert_eq!(lines, expected);
        peer.end();
        world.run();
        assert_lines(world, &[]);
    });
}

#[test]
fn a_socket_shows_both_ends_and_what_waits() {
    each_case(|world| {
        let own: Rc<RefCell<Option<Socket>>> = Rc::default();
        let kept = Rc::clone(&own);
        let server = serve(world, Script::new("S"), move |socket| {
            socket.write(vec![0; TOO_MUCH]);
            kept.replace(Some(socket.clone()));
        });
        let peer = world.peer(&server);
        turn_until(world, || own.borrow().is_some());
        let socket = own.take().unwrap();
        let handles = world.event_loop.active_handles();
        let handle = handles
            .iter()
            .find(|handle| handle.kind == HandleKind::Socket);
        let handle = handle.unwrap();
        assert_eq!(handle.local, socket.address());
        assert_eq!(handle.remote, socket.remote());
        assert_eq!(handle.queued, socket.buffer_size());
        assert!(handle.queued > 0);
        socket.destroy();
        world.run();
        drop(peer);
    });
}

#[test]
fn the_state_of_a_socket_says_which_sides_are_open() {
    each_form_sim(|world, _| {
        let half_open = Script::new("A").stays_open();
        let (a, b) = pair(world, half_open, Script::new("B").stays_open());
        a.set_allow_half_open(true);
        b.set_allow_half_open(true);
        let state = |socket: &Socket| {
            let handles = world.event_loop.active_handles();
            let states: Vec<_> = handles.iter().map(|handle| handle.state).collect();
            assert_eq!(states.len(), 2);
            let first = socket.id() == a.id();
            states[usize::from(!first)]
        };
        assert_eq!((state(&a), state(&b)), ("open", "open"));
        a.end();
        turn_until(world, || !b.readable());
        assert_eq!((state(&a), state(&b)), ("readOnly", "writeOnly"));
        b.end();
        world.run();
        assert_lines(world, &[]);
    });
}

#[test]
fn a_socket_tells_since_when_nothing_moved() {
    each_form_sim(|world, _| {
        let (a, b) = pair(world, Script::new("A"), Script::new("B"));
        b.unref();
        let (writer, reader) = (a.clone(), b.clone());
        world.event_loop.set_timeout(ms(300), move |event_loop| {
            let idle = |event_loop: &tidewheel::LoopHandle| {
                let handles = event_loop.active_handles();
                let sockets = handles
                    .iter()
                    .filter(|handle| handle.kind == HandleKind::Socket);
                sockets.map(|handle| handle.idle).collect::<Vec<_>>()
            };
            assert_eq!(idle(event_loop), [ms(300), ms(300)]);
            writer.write("x");
            assert_eq!(idle(event_loop), [ms(0), ms(300)]);
            assert!(reader.bytes_read() == 0);
            writer.destroy();
        });
        world.run();
        assert_eq!(world.events("A"), ["close(false)"]);
    });
}

#[test]
fn a_connecting_socket_is_opening_whether_it_is_looked_up_or_tried() {
    each_form_tcp(|world| {
        let kept: Rc<RefCell<Option<LookupReply>>> = Rc::default();
        let reply = Rc::clone(&kept);
        let options = ConnectOptions::from(("a.name", 1)).lookup(move |_, _, unanswered| {
            reply.replace(Some(unanswered));
        });
        let looked_up = world.client_with(options, Script::new("C"));
        world.event_loop.turn(Some(Duration::ZERO)).unwrap();
        assert_lines(world, &[(HandleKind::Socket, "opening", true)]);
        let handle = only(world);
        assert_eq!((handle.local, handle.remote), (None, None));
        looked_up.destroy();
        let full = place::FullQueue::new(world);
        let port = full.address.port().unwrap();
        let tried = world.client_with(named(port, &["127.0.0.1"]), Script::new("D"));
        world.event_loop.turn(Some(Duration::ZERO)).unwrap();
        world.event_loop.turn(Some(Duration::ZERO)).unwrap();
        assert_lines(world, &[(HandleKind::Socket, "opening", true)]);
        tried.destroy();
        world.run();
        kept.take();
    });
}

#[test]
fn timers_watches_and_remotes_wait() {
    each_case(|world| {
        let (reader, _writer) = pipe();
        let timer = world
            .event_loop
            .set_timeout(Duration::from_secs(3600), |_| {});
        assert_lines(world, &[(HandleKind::Timer, "waiting", true)]);
        timer.unref();
        assert_lines(world, &[(HandleKind::Timer, "waiting", false)]);
        timer.clear();
        let watch = world
            .event_loop
            .watch(reader, Interest::READABLE, |_, _| {})
            .unwrap();
        assert_lines(world, &[(HandleKind::Watch, "waiting", true)]);
        watch.close();
        let remote = world.event_loop.remote();
        let clone = remote.clone();
        assert_lines(world, &[(HandleKind::Remote, "waiting", true); 2]);
        clone.unref();
        assert_lines(
            world,
            &[
                (HandleKind::Remote, "waiting", true),
                (HandleKind::Remote, "waiting", false),
            ],
        );
        drop((remote, clone));
        assert_lines(world, &[]);
    });
}

#[test]
fn a_closed_handle_is_none_although_its_close_is_still_to_come() {
    each_case(|world| {
        let server = world.serve_one(|| {
            Script::new("S").on(EventKind::End, |socket, _| {
                socket.destroy();
                let handles = socket.event_loop().active_handles();
                assert!(handles
                    .iter()
                    .all(|handle| handle.kind != HandleKind::Socket));
            })
        });
        let peer = world.peer(&server);
        peer.end();
        world.run();
        world.assert_trace("S", "end close(false)");
    });
}

#[test]
fn what_keeps_the_loop_alive_is_there() {
    each_case(|world| {
        let timer = world
            .event_loop
            .set_timeout(Duration::from_secs(3600), |_| {});
        let server = world.server(|_| {});
        // What is still to be told keeps it alive, too.
        world.event_loop.turn(Some(Duration::ZERO)).unwrap();
        let alive = || {
            let handles = world.event_loop.active_handles();
            handles.iter().any(|handle| handle.referenced)
        };
        assert!(alive() && world.event_loop.is_alive());
        timer.unref();
        assert!(alive() && world.event_loop.is_alive());
        server.unref();
        assert!(!alive() && !world.event_loop.is_alive());
        timer.clear();
        server.ref_().close();
        world.run();
    });
}

#[test]
fn each_prints_as_a_line_of_a_table() {
    each_form_tcp(|world| {
        let server = world.server(|_| {});
        let at = server.address().unwrap().to_string();
        let remote = world.event_loop.remote();
        remote.unref();
        let timer = world
            .event_loop
            .set_timeout(Duration::from_secs(3600), |_| {});
        let handles = world.event_loop.active_handles();
        let mut printed: Vec<String> = handles.iter().map(HandleInfo::to_string).collect();
        printed.sort();
        let words = |line: &String| {
            line.split_whitespace()
                .map(String::from)
                .collect::<Vec<_>>()
        };
        let printed: Vec<_> = printed.iter().map(words).collect();
        assert_eq!(printed[0][..4], ["remote", "unref", "waiting", "-"]);
        assert_eq!(
            printed[1],
            [
                "server",
                "ref",
                "listening",
                &at,
                "-",
                "0",
                "queued",
                "idle",
                "0.0ns"
            ]
        );
        assert_eq!(printed[2][..5], ["timer", "ref", "waiting", "-", "-"]);
        timer.clear();
        server.close();
        world.run();
    });
}

#[test]
fn a_dropped_loop_has_none() {
    each_case(|_| {
        let event_loop = tidewheel::EventLoop::new().unwrap();
        let handle = event_loop.handle();
        let remote = event_loop.remote();
        event_loop.set_timeout(Duration::from_secs(3600), |_| {});
        assert_eq!(handle.active_handles().len(), 2);
        drop(event_loop);
        assert_eq!(handle.active_handles(), []);
        drop(remote);
    });
}
