//! Listeners: in order of registration, the handler before them, and what happens to those that come and go while
//! their event is being delivered.

mod common;
#[path = "common/flow.rs"]
mod flow;

use std::rc::Rc;

use common::{counter, each_case, each_form_unix, Script};
use flow::{after_turns, pattern, serve_then, talk};
use tidewheel::net::{self, EventKind, Handler, ServerOptions, Socket};

#[test]
fn the_script_runs_before_listeners_added_later_and_those_in_order() {
    each_case(|world| {
        let note = world.noter();
        let server = serve_then(
            world,
            ServerOptions::default(),
            || Script::new("S"),
            move |socket| {
                for name in ["first", "second"] {
                    let (data, end, close) = (note.clone(), note.clone(), note.clone());
                    socket.on_data(move |_, _| data(&format!("S:{name} data")));
                    socket.on_end(move |_| end(&format!("S:{name} end")));
                    socket.on_close(move |_, _| close(&format!("S:{name} close")));
                }
            },
        );
        let mut peer = world.peer(&server);
        peer.send(b"x");
        peer.end();
        world.run();
        world.assert_trace(
            "S",
            "data(1) first data second data end first end second end finish \
             close(false) first close second close",
        );
    });
}

struct Late<F>(F);

impl<F: Fn(&str) + 'static> Handler for Late<F> {
    fn on_data(&mut self, _: &Socket, _: &[u8]) {
        (self.0)("S:handler data");
    }
    fn on_end(&mut self, _: &Socket) {
        (self.0)("S:handler end");
    }
    fn on_close(&mut self, _: &Socket, _: bool) {
        (self.0)("S:handler close");
    }
}

#[test]
fn a_handler_runs_before_closures_that_were_there_first() {
    each_form_unix(|world| {
        let (a, b) = net::pair(&world.event_loop).unwrap();
        let note = world.noter();
        let (data, end, close) = (note.clone(), note.clone(), note.clone());
        a.on_data(move |_, _| data("S:closure data"));
        a.on_end(move |_| end("S:closure end"));
        a.on_close(move |_, _| close("S:closure close"));
        a.set_handler(Late(note));
        b.end_with("x");
        world.run();
        assert_eq!(
            world.events("S"),
            [
                "handler data",
                "closure data",
                "handler end",
                "closure end",
                "handler close",
                "closure close"
            ]
        );
    });
}

#[test]
fn a_listener_added_during_an_emission_is_first_called_for_the_next() {
    each_case(|world| {
        let note = world.noter();
        let server = serve_then(
            world,
            ServerOptions::default(),
            || Script::new("S"),
            move |socket| {
                let note = note.clone();
                let mut added = false;
                socket.on_data(move |socket, data| {
                    note(&format!("S:old {}", data[0] as char));
                    if !std::mem::replace(&mut added, true) {
                        let note = note.clone();
                        socket.on_data(move |_, data| note(&format!("S:new {}", data[0] as char)));
                        // The peer goes on only now, so that these are two events.
                        socket.write("more");
                    }
                });
            },
        );
        let peer = talk(world.peer(&server), |peer| {
            peer.send(b"1");
            std::io::Read::read_exact(peer, &mut [0; 4]).unwrap();
            peer.send(b"2");
            peer.end();
        });
        world.run();
        peer.join().unwrap();
        let trace = world.trace("S");
        assert!(
            trace.contains("old 1 data(2) old 2 new 2 end")
                || trace.contains("old 1 data(1) old 2 new 2 end"),
            "{trace}"
        );
        assert!(!trace.contains("new 1"), "{trace}");
    });
}

#[test]
fn remove_all_listeners_stops_the_running_emission_and_the_socket_flows_on() {
    each_case(|world| {
        let note = world.noter();
        let server = serve_then(
            world,
            ServerOptions::default(),
            || Script::new("S").no_reader(),
            move |socket| {
                let (first, second) = (note.clone(), note.clone());
                socket.on_data(move |socket, _| {
                    first("S:first");
                    assert_eq!(socket.listener_count(EventKind::Data), 2);
                    socket.remove_all_listeners(EventKind::Data);
                    assert_eq!(socket.listener_count(EventKind::Data), 0);
                });
                socket.on_data(move |_, _| second("S:second"));
                socket.on_close(|socket, _| assert_eq!(socket.bytes_read(), 300_000));
            },
        );
        let peer = talk(world.peer(&server), |peer| {
            peer.send(&pattern(300_000));
            peer.end();
        });
        world.run();
        peer.join().unwrap();
        world.assert_trace("S", "first end finish close(false)");
    });
}

#[test]
fn what_a_removed_listener_captured_is_dropped_with_it() {
    each_form_unix(|world| {
        let (a, b) = net::pair(&world.event_loop).unwrap();
        let held = Rc::new(());
        let captured = Rc::clone(&held);
        a.on_data(move |socket, _| {
            let _ = &captured;
            socket.remove_all_listeners(EventKind::Data);
        });
        b.write("x");
        let (a, left) = (a.clone(), Rc::clone(&held));
        after_turns(&world.event_loop.handle(), 10, move |_| {
            assert_eq!(Rc::strong_count(&left), 2);
            a.destroy();
        });
        world.run();
        assert_eq!(Rc::strong_count(&held), 1);
    });
}

#[test]
fn remove_all_listeners_leaves_pipes_and_other_events_alone() {
    each_form_unix(|world| {
        let (a, b) = net::pair(&world.event_loop).unwrap();
        let (near, far) = net::pair(&world.event_loop).unwrap();
        world.watch(&far, Script::new("F"));
        let note = world.noter();
        a.on_data(|_, _| panic!("removed"));
        a.on_end(move |_| note("A:end"));
        a.pipe(&near);
        a.remove_all_listeners(EventKind::Data);
        b.end_with("piped");
        world.run();
        world.assert_trace("F", "data(5) end finish close(false)");
        assert_eq!(world.events("A"), ["end"]);
    });
}

#[test]
fn once_data_hears_one_chunk_and_the_socket_flows_on() {
    each_case(|world| {
        let calls = counter();
        let count = Rc::clone(&calls);
        let server = serve_then(
            world,
            ServerOptions::default(),
            || Script::new("S").no_reader(),
            move |socket| {
                let count = Rc::clone(&count);
                socket.once_data(move |socket, _| {
                    count.set(count.get() + 1);
                    assert_eq!(socket.listener_count(EventKind::Data), 0);
                    assert!(!socket.is_paused());
                });
                assert_eq!(socket.listener_count(EventKind::Data), 1);
                socket.on_close(|socket, _| assert_eq!(socket.bytes_read(), 300_000));
            },
        );
        let peer = talk(world.peer(&server), |peer| {
            peer.send(&pattern(300_000));
            peer.end();
        });
        world.run();
        peer.join().unwrap();
        assert_eq!(calls.get(), 1);
        world.assert_trace("S", "end finish close(false)");
    });
}

#[test]
fn a_pipe_has_its_place_among_the_listeners() {
    each_form_unix(|world| {
        let (a, b) = net::pair(&world.event_loop).unwrap();
        let (near, far) = net::pair(&world.event_loop).unwrap();
        far.resume();
        let note = world.noter();
        let (before, after) = (note.clone(), note);
        let (early, late) = (near.clone(), near.clone());
        a.on_data(move |_, _| before(&format!("A:before {}", early.bytes_written())));
        a.pipe(&near);
        a.on_data(move |_, _| after(&format!("A:after {}", late.bytes_written())));
        b.end_with("12345");
        world.run();
        assert_eq!(world.events("A"), ["before 0", "after 5"]);
    });
}
