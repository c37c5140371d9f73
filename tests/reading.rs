//! What a peer sends is delivered: every byte, in order, and then its end.

mod common;
#[path = "common/flow.rs"]
mod flow;
#[path = "common/kernel.rs"]
mod kernel;

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use common::{each_case, each_case_on, EventLoop, Script};
use flow::{after_turns, pattern, serve_then, talk, Sink};
use kernel::wait_unread;
use tidewheel::net::{self, EventKind, ReadyState, ServerOptions, Socket, SocketOptions};

#[test]
fn all_bytes_come_in_order_and_no_chunk_is_empty() {
    each_case(|world| {
        let sink = Sink::default();
        let got = sink.clone();
        let server = world.serve_one(move || {
            let sink = sink.clone();
            Script::new("S").on_data(move |_, data| {
                assert!(!data.is_empty());
                sink.push(data);
            })
        });
        let peer = talk(world.peer(&server), |peer| {
            for piece in pattern(300_000).chunks(7_001) {
                peer.send(piece);
            }
            peer.end();
        });
        world.run();
        peer.join().unwrap();
        assert!(got.take() == pattern(300_000));
        world.assert_trace("S", "data(300000) end finish close(false)");
    });
}

#[test]
fn a_socket_that_nobody_reads_takes_nothing_from_the_kernel() {
    each_case(|world| {
        let peer = Rc::new(RefCell::new(None));
        let sender = Rc::clone(&peer);
        let server = serve_then(
            world,
            ServerOptions::default(),
            || Script::new("S").no_reader(),
            move |socket| {
                let socket = socket.clone();
                let mut sender = sender.borrow_mut();
                common::Peer::send(sender.as_mut().unwrap(), b"0123456789");
                wait_unread(&socket, 10);
                after_turns(&socket.event_loop().handle(), 10, move |_| {
                    assert_eq!(socket.bytes_read(), 0);
                    socket.destroy();
                });
            },
        );
        *peer.borrow_mut() = Some(world.peer(&server));
        world.run();
        peer.take();
        world.assert_trace("S", "close(false)");
    });
}

#[test]
fn what_came_before_the_first_data_listener_waits_for_it() {
    each_case(|world| {
        let sink = Sink::default();
        let got = sink.clone();
        let server = serve_then(
            world,
            ServerOptions::default(),
            || Script::new("S").no_reader(),
            move |socket| {
                wait_unread(socket, 5);
                let socket = socket.clone();
                let sink = sink.clone();
                after_turns(&socket.event_loop().handle(), 10, move |_| {
                    socket.on_data(move |_, data| sink.push(data));
                });
            },
        );
        let mut peer = world.peer(&server);
        peer.send(b"early");
        peer.end();
        world.run();
        assert_eq!(got.take(), b"early");
        world.assert_trace("S", "end finish close(false)");
    });
}

#[test]
fn resume_without_a_listener_discards_and_counts() {
    each_case(|world| {
        let server = serve_then(
            world,
            ServerOptions::default(),
            || {
                Script::new("S")
                    .no_reader()
                    .on(EventKind::End, |socket, _| {
                        assert_eq!(socket.bytes_read(), 100_000)
                    })
            },
            |socket| {
                socket.resume();
            },
        );
        let peer = talk(world.peer(&server), |peer| {
            peer.send(&pattern(100_000));
            peer.end();
        });
        world.run();
        peer.join().unwrap();
        world.assert_trace("S", "end finish close(false)");
    });
}

#[test]
fn bytes_read_grows_with_every_chunk_and_answers_until_close() {
    each_case(|world| {
        let last = Rc::new(Cell::new(0));
        let handle: Rc<RefCell<Option<Socket>>> = Rc::default();
        let kept = Rc::clone(&handle);
        let server = serve_then(
            world,
            ServerOptions::default(),
            move || {
                let at_data = Rc::clone(&last);
                at_data.set(0);
                Script::new("S")
                    .on_data(move |socket, data| {
                        let now = socket.bytes_read();
                        assert_eq!(now, at_data.get() + data.len() as u64);
                        at_data.set(now);
                    })
                    .on(EventKind::End, |socket, _| {
                        assert_eq!(socket.bytes_read(), 200_000)
                    })
                    .on(EventKind::Close, |socket, _| {
                        assert_eq!(socket.bytes_read(), 200_000)
                    })
            },
            move |socket| *kept.borrow_mut() = Some(socket.clone()),
        );
        let peer = talk(world.peer(&server), |peer| {
            peer.send(&pattern(200_000));
            peer.end();
        });
        world.run();
        peer.join().unwrap();
        assert_eq!(handle.take().unwrap().bytes_read(), 0);
        world.assert_trace("S", "data(200000) end finish close(false)");
    });
}

#[test]
fn destroy_in_a_data_listener_lets_no_more_data_and_no_end_through() {
    let small = EventLoop::builder().read_buffer(16 * 1024);
    each_case_on(&small, |world| {
        let server = serve_then(
            world,
            ServerOptions::default(),
            || Script::new("S").on_data(|socket, _| socket.destroy()),
            |socket| wait_unread(socket, 60_000),
        );
        let peer = talk(world.peer(&server), |peer| {
            // The reset that our destroy makes of unread bytes may find it still sending.
            let _ = std::io::Write::write_all(peer, &pattern(150_000));
        });
        world.run();
        peer.join().unwrap();
        let events = world.events("S");
        assert_eq!(events.len(), 2, "{events:?}");
        assert!(events[0].starts_with("data("));
        assert_eq!(events[1], "close(false)");
    });
}

#[test]
fn the_states_are_told_in_nodes_words() {
    each_case(|world| {
        let fresh = Socket::new(&world.event_loop, SocketOptions::default());
        assert_eq!(fresh.ready_state(), ReadyState::Closed);
        fresh.destroy();
        let server = world.server_for(1, ServerOptions::default().allow_half_open(true), || {
            Script::new("S").on(EventKind::End, |socket, _| {
                assert_eq!(socket.ready_state().as_str(), "writeOnly");
                assert!(!socket.readable() && socket.writable() && !socket.destroyed());
                socket.end();
            })
        });
        let client = net::connect(
            &world.event_loop,
            world.connect_options(&server),
            |socket| {
                assert_eq!(socket.ready_state().as_str(), "open");
                socket.end();
                assert_eq!(socket.ready_state().as_str(), "readOnly");
                assert!(socket.readable() && !socket.writable());
            },
        );
        assert_eq!(client.ready_state().as_str(), "opening");
        world.watch(
            &client,
            Script::new("C").on(EventKind::Close, |socket, _| {
                assert_eq!(socket.ready_state().as_str(), "closed")
            }),
        );
        world.run();
        world.assert_trace("C", "connect ready finish end close(false)");
    });
}

#[test]
fn our_end_does_not_stop_what_comes() {
    each_case(|world| {
        let server = world.server_for(1, ServerOptions::default(), || {
            Script::new("S").on_data(|socket, _| {
                socket.write(pattern(100_000));
            })
        });
        let client = world.client(&server, Script::new("C"));
        client.write("go");
        // Only after the answer was begun, so that our FIN is out long before its end.
        client.once_data(|socket, _| {
            assert_eq!(socket.ready_state(), ReadyState::Open);
            socket.end();
            assert_eq!(socket.ready_state(), ReadyState::ReadOnly);
        });
        world.run();
        let events = world.events("C");
        let data: usize = events
            .iter()
            .filter_map(|event| {
                event
                    .strip_prefix("data(")?
                    .trim_end_matches(')')
                    .parse::<usize>()
                    .ok()
            })
            .sum();
        assert_eq!(data, 100_000, "{events:?}");
        assert_eq!(events.iter().filter(|event| *event == "end").count(), 1);
    });
}
