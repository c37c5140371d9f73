//! `pipe`: all bytes, in order, at the pace of the slowest destination, and then its end.

mod common;
#[path = "common/flow.rs"]
mod flow;

use std::cell::Cell;
use std::rc::Rc;

use common::{counter, each_case, each_case_on, each_form_unix, EventLoop, Script, World};
use flow::{after_turns, pattern, serve_then, talk, until, Sink};
use tidewheel::net::{self, EventKind, PipeOptions, ServerOptions, Socket, WriteStatus};

const ONE_READ: usize = 64 * 1024;

/// Writes what it is told, one piece after the other has drained, and ends.
fn feed(socket: &Socket, bytes: Vec<u8>) {
    let sent = Cell::new(0);
    let more = move |socket: &Socket| {
        while sent.get() < bytes.len() {
            let piece = &bytes[sent.get()..bytes.len().min(sent.get() + 50_000)];
            sent.set(sent.get() + piece.len());
            if !socket.write(piece).is_ok() {
                return;
            }
        }
        socket.end();
    };
    more(socket);
    socket.on_drain(more);
}

/// Puts what comes into a sink.
fn collect(socket: &Socket) -> Sink {
    let sink = Sink::default();
    let into = sink.clone();
    socket.on_data(move |_, data| into.push(data));
    sink
}

fn pair(world: &World) -> (Socket, Socket) {
    net::pair(&world.event_loop).unwrap()
}

#[test]
fn a_socket_piped_to_itself_echoes_and_closes_with_its_peer() {
    each_case(|world| {
        let server = serve_then(
            world,
            ServerOptions::default(),
            || Script::new("S").no_reader(),
            |socket| assert_eq!(socket.pipe(socket), socket),
        );
        let reader = world.peer(&server);
        let peer = talk(reader, |peer| {
            // Less than a connection holds in one direction and our side in the other, so that writing need not read.
            peer.send(&pattern(100_000));
            peer.end();
            assert!(peer.read_all() == pattern(100_000));
        });
        world.run();
        peer.join().unwrap();
        let trace = world.trace("S").replace("drain ", "");
        assert_eq!(trace, "end finish close(false)");
    });
}

#[test]
fn what_is_piped_arrives_whole_and_the_end_behind_it() {
    each_case(|world| {
        let (near, far) = pair(world);
        let got = collect(&far);
        let server = serve_then(
            world,
            ServerOptions::default(),
            || Script::new("S"),
            move |socket| {
                socket.pipe(&near);
            },
        );
        let peer = talk(world.peer(&server), |peer| {
            peer.send(&pattern(2_000_000));
            peer.end();
        });
        world.run();
        peer.join().unwrap();
        assert!(got.take() == pattern(2_000_000));
        world.assert_trace("S", "data(2000000) end finish close(false)");
    });
}

#[test]
fn a_stalled_pipe_holds_at_most_one_read() {
    each_case(|world| {
        let (near, far) = pair(world);
        far.pause();
        let got = collect(&far);
        let most = counter();
        let server = serve_then(
            world,
            ServerOptions::default(),
            || Script::new("S").no_reader(),
            {
                let (near, most) = (near.clone(), Rc::clone(&most));
                move |socket| {
                    let (near, most) = (near.clone(), Rc::clone(&most));
                    socket.pipe(&near);
                    socket.on_data(move |_, _| most.set(most.get().max(near.buffer_size())));
                }
            },
        );
        let waits = far.clone();
        let handle = world.event_loop.handle();
        let peer = talk(world.peer(&server), |peer| {
            peer.send(&pattern(8_000_000));
            peer.end();
        });
        // The destination reads only once the source has been resting for a long time.
        until(
            &handle,
            {
                let near = near.clone();
                move || near.need_drain()
            },
            move |handle| {
                after_turns(handle, 200, move |_| {
                    waits.resume();
                });
            },
        );
        world.run();
        peer.join().unwrap();
        assert!(got.take() == pattern(8_000_000));
        assert!((1..=ONE_READ).contains(&most.get()), "held {}", most.get());
    });
}

#[test]
fn the_slowest_of_several_destinations_sets_the_pace() {
    each_case(|world| {
        let (fast, fast_far) = pair(world);
        let (slow, slow_far) = pair(world);
        let fast_got = collect(&fast_far);
        slow_far.pause();
        let slow_got = collect(&slow_far);
        let server = serve_then(
            world,
            ServerOptions::default(),
            || Script::new("S").no_reader(),
            {
                let (fast, slow) = (fast.clone(), slow.clone());
                move |socket| {
                    socket.pipe(&fast);
                    socket.pipe(&slow);
                }
            },
        );
        let peer = talk(world.peer(&server), |peer| {
            peer.send(&pattern(4_000_000));
            peer.end();
        });
        let at_rest = fast_got.clone();
        let ahead = slow.clone();
        until(
            &world.event_loop.handle(),
            move || ahead.need_drain(),
            move |handle| {
                let before = slow.bytes_written();
                after_turns(handle, 200, move |_| {
                    assert_eq!(slow.bytes_written(), before, "the source did not rest");
                    assert!(at_rest.len() as u64 <= before);
                    slow_far.resume();
                });
            },
        );
        world.run();
        peer.join().unwrap();
        assert!(fast_got.take() == pattern(4_000_000));
        assert!(slow_got.take() == pattern(4_000_000));
    });
}

#[test]
fn two_sources_share_one_destination() {
    each_form_unix(|world| {
        let (first, first_far) = pair(world);
        let (second, second_far) = pair(world);
        let (into, out) = pair(world);
        let total = counter();
        let count = Rc::clone(&total);
        out.on_data(move |_, data| count.set(count.get() + data.len()));
        let stays = PipeOptions::default().end(false);
        first.pipe_with(&into, stays.clone());
        second.pipe_with(&into, stays);
        let ends = Rc::new(Cell::new(0));
        for source in [&first, &second] {
            let (ends, into) = (Rc::clone(&ends), into.clone());
            source.on_end(move |_| {
                ends.set(ends.get() + 1);
                if ends.get() == 2 {
                    into.end();
                }
            });
        }
        feed(&first_far, pattern(700_000));
        feed(&second_far, pattern(900_000));
        world.watch(&into, Script::new("D"));
        world.run();
        assert_eq!(total.get(), 1_600_000);
        assert!(
            world.trace("D").ends_with("finish end close(false)"),
            "{}",
            world.trace("D")
        );
    });
}

#[test]
fn without_end_the_destination_stays_open() {
    each_case(|world| {
        let (near, far) = pair(world);
        let got = collect(&far);
        let server = serve_then(
            world,
            ServerOptions::default(),
            || Script::new("S"),
            move |socket| {
                let near = near.clone();
                socket.pipe_with(&near, PipeOptions::default().end(false));
                socket.on_close(move |_, _| {
                    assert!(near.writable());
                    near.end_with(" and more");
                });
            },
        );
        let mut peer = world.peer(&server);
        peer.send(b"piped");
        peer.end();
        world.run();
        assert_eq!(got.take(), b"piped and more");
    });
}

#[test]
fn the_users_own_pause_outlasts_a_drain_of_the_destination() {
    each_form_unix(|world| {
        let (source, source_far) = pair(world);
        let (near, far) = pair(world);
        far.pause();
        let got = collect(&far);
        source.pipe(&near);
        feed(&source_far, pattern(1_000_000));
        world.watch(&source, Script::new("S").no_reader());
        let (stalled, drained) = (near.clone(), near.clone());
        let note = world.noter();
        until(
            &world.event_loop.handle(),
            move || stalled.need_drain(),
            move |handle| {
                source.pause();
                far.resume();
                let before = source.bytes_read();
                until(
                    handle,
                    move || !drained.need_drain(),
                    move |handle| {
                        after_turns(handle, 50, move |_| {
                            assert!(source.is_paused());
                            assert_eq!(source.bytes_read(), before);
                            note("S:resume");
                            source.resume();
                        });
                    },
                );
            },
        );
        world.run();
        assert!(got.take() == pattern(1_000_000));
        world.assert_trace("S", "resume end finish close(false)");
    });
}

#[test]
fn resume_does_not_end_the_rest_that_a_full_destination_asks_for() {
    each_form_unix(|world| {
        let (source, source_far) = pair(world);
        let (near, far) = pair(world);
        far.pause();
        let got = collect(&far);
        source.pipe(&near);
        feed(&source_far, pattern(1_000_000));
        let stalled = near.clone();
        until(
            &world.event_loop.handle(),
            move || stalled.need_drain(),
            move |handle| {
                source.pause().resume();
                let before = source.bytes_read();
                after_turns(handle, 50, move |_| {
                    assert_eq!(source.bytes_read(), before);
                    far.resume();
                });
            },
        );
        world.run();
        assert!(got.take() == pattern(1_000_000));
    });
}

#[test]
fn unpipe_stops_the_flow_and_pauses_the_source_with_nothing_lost() {
    each_case(|world| {
        let (first, first_far) = pair(world);
        let (second, second_far) = pair(world);
        let first_got = collect(&first_far);
        let second_got = collect(&second_far);
        let small = 10_000;
        let server = serve_then(
            world,
            ServerOptions::default(),
            || Script::new("S").no_reader(),
            move |socket| {
                socket.pipe(&first);
                let (first, second) = (first.clone(), second.clone());
                let mut done = false;
                socket.on_data(move |socket, _| {
                    if !std::mem::replace(&mut done, true) {
                        socket.unpipe(Some(&first));
                        assert!(socket.is_paused());
                        let (socket, first) = (socket.clone(), first.clone());
                        let second = second.clone();
                        after_turns(&socket.event_loop().handle(), 20, move |_| {
                            first.end();
                            socket.pipe(&second);
                            assert!(!socket.is_paused());
                        });
                    }
                });
            },
        );
        let peer = talk(world.peer(&server), move |peer| {
            for piece in pattern(500_000).chunks(small) {
                peer.send(piece);
            }
            peer.end();
        });
        world.run();
        peer.join().unwrap();
        let mut all = first_got.take();
        assert!(!all.is_empty() && all.len() <= ONE_READ);
        all.extend(second_got.take());
        assert!(all == pattern(500_000));
    });
}

#[test]
fn a_destination_that_is_still_connecting_gets_everything_once_it_is() {
    let small = EventLoop::builder().read_buffer(1024);
    each_case_on(&small, |world| {
        let sink = Sink::default();
        let got = sink.clone();
        let server = world.serve_one(move || {
            let sink = sink.clone();
            Script::new("S").on_data(move |_, data| sink.push(data))
        });
        let (source, far) = pair(world);
        let client = world.client(&server, Script::new("C"));
        assert_eq!(client.write("first "), WriteStatus::Queued);
        source.pipe(&client);
        far.end_with(pattern(20_000));
        world.run();
        let got = got.take();
        assert!(got.starts_with(b"first "));
        assert!(got[6..] == pattern(20_000));
        assert_eq!(
            world
                .events("C")
                .iter()
                .filter(|event| *event == "finish")
                .count(),
            1
        );
    });
}

#[test]
fn a_source_that_has_ended_already_ends_its_new_destination() {
    each_form_unix(|world| {
        let (source, far) = pair(world);
        let (destination, reader) = pair(world);
        source.set_allow_half_open(true);
        reader.set_allow_half_open(true);
        world.watch(
            &reader,
            Script::new("R").on(EventKind::End, |reader, _| reader.end()),
        );
        let piped = (source.clone(), destination.clone());
        source.on_end(move |source| {
            let (_, destination) = piped;
            // Later, so that the `end` is over and done with.
            let source = source.clone();
            after_turns(&source.event_loop().handle(), 3, move |_| {
                source.pipe(&destination);
                source.end();
            });
        });
        far.end();
        world.run();
        world.assert_trace("R", "end finish close(false)");
    });
}
