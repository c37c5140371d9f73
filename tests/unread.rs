//! The peer leaves while nobody reads: it is noticed, nothing unread is lost, nothing leaks and nothing spins.

mod common;
#[path = "common/flow.rs"]
mod flow;
#[path = "common/kernel.rs"]
mod kernel;

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use common::{counter, each_case, each_case_on, each_form_tcp, EventLoop, Peer, Script, Transport};
use flow::{after_turns, pattern, serve_then, talk, Sink};
use kernel::{send_urgent, wait_hang_up, wait_unread};
use tidewheel::net::{EventKind, ServerOptions, Socket};

#[test]
fn an_end_without_data_needs_no_listener_to_be_delivered() {
    each_case(|world| {
        let server = world.serve_one(|| Script::new("S").no_reader());
        let mut peer = world.peer(&server);
        peer.end();
        world.run();
        assert_eq!(peer.read_all(), b"");
        world.assert_trace("S", "end finish close(false)");
    });
}

#[test]
fn an_end_is_delivered_although_paused_when_nothing_is_unread() {
    each_case(|world| {
        let server = serve_then(
            world,
            ServerOptions::default(),
            || {
                Script::new("S")
                    .on_data(|socket, _| {
                        socket.pause();
                    })
                    .on(EventKind::End, |socket, _| assert!(socket.is_paused()))
            },
            |socket| wait_unread(socket, 1),
        );
        let mut peer = world.peer(&server);
        peer.send(b"x");
        peer.end();
        world.run();
        world.assert_trace("S", "data(1) end finish close(false)");
    });
}

// Urgent bytes on UNIX sockets stand in the queue of the others, so that something is unread.
#[test]
fn an_end_behind_urgent_data_is_delivered_although_paused() {
    each_form_tcp(|world| {
        let peer: Rc<RefCell<Option<Peer>>> = Rc::default();
        let sender = Rc::clone(&peer);
        let server = serve_then(
            world,
            ServerOptions::default(),
            || Script::new("S"),
            move |socket| {
                socket.pause();
                let peer = sender.take().unwrap();
                let handle = socket.event_loop().handle();
                // Each wakes a socket that does not read, and leaves nothing to be read.
                send_urgent(&peer, b'1');
                after_turns(&handle, 10, move |handle| {
                    send_urgent(&peer, b'2');
                    after_turns(handle, 10, move |handle| {
                        send_urgent(&peer, b'3');
                        after_turns(handle, 10, move |_| peer.end());
                    });
                });
            },
        );
        *peer.borrow_mut() = Some(world.peer(&server));
        world.run();
        world.assert_trace("S", "end finish close(false)");
    });
}

#[test]
fn an_end_is_noticed_although_paused_before_connect() {
    each_case(|world| {
        let server = world.serve_one(|| Script::new("S"));
        server.on_connection(|socket| socket.end());
        world.client(&server, Script::new("C")).pause();
        world.run();
        world.assert_trace("C", "connect ready end finish close(false)");
    });
}

#[test]
fn with_bytes_unread_end_and_close_wait_until_they_are_discarded() {
    each_case(|world| {
        let note = world.noter();
        let server = serve_then(
            world,
            ServerOptions::default(),
            || Script::new("S").no_reader(),
            move |socket| {
                wait_unread(socket, 6);
                wait_hang_up(socket);
                let (socket, note) = (socket.clone(), note.clone());
                after_turns(&socket.event_loop().handle(), 20, move |_| {
                    assert!(socket.readable());
                    note("S:resume");
                    socket.resume();
                });
            },
        );
        let mut peer = world.peer(&server);
        peer.send(b"unread");
        peer.end();
        world.run();
        world.assert_trace("S", "resume end finish close(false)");
    });
}

#[test]
fn our_end_does_not_discard_what_a_paused_reader_has_not_read() {
    each_case(|world| {
        let note = world.noter();
        let server = serve_then(
            world,
            ServerOptions::default(),
            || Script::new("S"),
            move |socket| {
                socket.pause().end();
                wait_unread(socket, 6);
                wait_hang_up(socket);
                let (socket, note) = (socket.clone(), note.clone());
                after_turns(&socket.event_loop().handle(), 20, move |_| {
                    assert_eq!(socket.bytes_read(), 0);
                    note("S:resume");
                    socket.resume();
                });
            },
        );
        let mut peer = world.peer(&server);
        peer.send(b"unread");
        peer.end();
        world.run();
        world.assert_trace("S", "finish resume data(6) end close(false)");
    });
}

#[test]
fn once_our_fin_is_out_and_nobody_ever_read_what_comes_is_discarded() {
    each_case(|world| {
        let server = serve_then(
            world,
            ServerOptions::default(),
            || {
                Script::new("S")
                    .no_reader()
                    .on(EventKind::Close, |socket, _| {
                        assert_eq!(socket.bytes_read(), 100_000)
                    })
            },
            |socket| socket.end_with("goodbye\n"),
        );
        let peer = talk(world.peer(&server), |peer| {
            peer.send(&pattern(100_000));
            peer.end();
            assert_eq!(peer.read_all(), b"goodbye\n");
        });
        world.run();
        peer.join().unwrap();
        world.assert_trace("S", "finish end close(false)");
    });
}

#[test]
fn a_burst_with_its_fin_survives_a_pause_after_the_first_chunk() {
    each_case(|world| {
        let sink = Sink::default();
        let got = sink.clone();
        let server = world.serve_one(move || {
            let sink = sink.clone();
            let mut first = true;
            Script::new("S").on_data(move |socket, data| {
                sink.push(data);
                if std::mem::take(&mut first) {
                    socket.pause();
                    let socket = socket.clone();
                    after_turns(&socket.event_loop().handle(), 50, move |_| {
                        socket.resume();
                    });
                }
            })
        });
        let peer = talk(world.peer(&server), |peer| {
            peer.send(&pattern(1 << 20));
            peer.end();
        });
        world.run();
        peer.join().unwrap();
        assert!(got.take() == pattern(1 << 20));
        world.assert_trace("S", "data(1048576) end finish close(false)");
    });
}

#[test]
fn a_thousand_silent_and_a_thousand_hasty_clients_leave_nothing_behind() {
    each_case(|world| {
        let (left, come) = (counter(), counter());
        let gone = left.clone();
        let server = world.server(move |socket| {
            let left = left.clone();
            socket.on_close(move |_, _| left.set(left.get() + 1));
            socket.end_with("goodbye\n");
            come.set(come.get() + 1);
            if come.get() == 2_000 {
                socket.server().unwrap().close();
            }
        });
        // Their resets are nobody's concern.
        world.event_loop.on_unhandled_error(|_, _| {});
        let address = server.address().unwrap();
        let note = world.noter();
        server.on_close(move |_| note("closed"));
        let clients = std::thread::spawn(move || {
            for hasty in [false, true] {
                for _ in 0..1_000 {
                    let mut peer = Peer::connect(&address);
                    if hasty {
                        peer.send(b"x");
                    } else {
                        peer.end();
                    }
                }
            }
        });
        world.run();
        clients.join().unwrap();
        assert_eq!(gone.get(), 2_000);
        assert_eq!(world.log(), ["closed"]);
    });
}

#[test]
fn a_server_that_ignores_its_clients_is_left_with_none_of_them() {
    each_case(|world| {
        let come = counter();
        let server = world.server(move |socket| {
            come.set(come.get() + 1);
            if come.get() == 300 {
                socket.server().unwrap().close();
            }
        });
        let address = server.address().unwrap();
        let clients = std::thread::spawn(move || {
            for _ in 0..300 {
                let mut peer = Peer::connect(&address);
                peer.end();
                assert_eq!(peer.read_all(), b"");
            }
        });
        world.run();
        clients.join().unwrap();
        assert_eq!(world.event_loop.stats().sockets_open, 0);
    });
}

/// The loop is watched for a while that is long for a loop that spins and has nothing to do.
const A_WHILE: Duration = Duration::from_millis(30);

#[test]
fn a_socket_paused_over_unread_bytes_and_a_fin_does_not_spin() {
    each_case(|world| {
        let script = || Script::new("S");
        let server = serve_then(world, ServerOptions::default(), script, move |socket| {
            socket.pause();
            wait_unread(socket, 6);
            wait_hang_up(socket);
            rests_for_a_while(socket, |socket| {
                socket.resume();
            });
        });
        let mut peer = world.peer(&server);
        peer.send(b"unread");
        peer.end();
        world.run();
        world.assert_trace("S", "data(6) end finish close(false)");
    });
}

#[test]
fn a_socket_that_has_read_everything_does_not_spin() {
    // The reads are full, so that only `WouldBlock` tells that nothing is left.
    let builder = EventLoop::builder().read_buffer(1_000);
    each_case_on(&builder, |world| {
        let peer: Rc<RefCell<Option<Peer>>> = Rc::default();
        let kept = Rc::clone(&peer);
        let server = world.serve_one(move || {
            let gone = Rc::clone(&kept);
            Script::new("S").on_data(move |socket, _| {
                if socket.bytes_read() == 4_000 {
                    let gone = Rc::clone(&gone);
                    rests_for_a_while(socket, move |_| drop(gone.take()));
                }
            })
        });
        let mut sender = world.peer(&server);
        sender.send(&pattern(4_000));
        *peer.borrow_mut() = Some(sender);
        world.run();
        world.assert_trace("S", "data(4000) end finish close(false)");
    });
}

#[test]
fn a_half_open_socket_between_the_two_ends_does_not_spin() {
    each_case(|world| {
        let half_open = ServerOptions::default().allow_half_open(true);
        let server = serve_then(
            world,
            half_open,
            || {
                Script::new("S").on(EventKind::End, |socket, _| {
                    rests_for_a_while(socket, |socket| socket.end())
                })
            },
            |_| {},
        );
        world.peer(&server).end();
        world.run();
        world.assert_trace("S", "end finish close(false)");
    });
}

#[test]
fn a_socket_that_has_ended_and_is_paused_does_not_spin_when_the_peer_is_gone() {
    each_case(|world| {
        let script = || Script::new("S");
        let server = serve_then(world, ServerOptions::default(), script, move |socket| {
            wait_unread(socket, 6);
            wait_hang_up(socket);
            // Both FINs are out: from here on the kernel says hang-up, whatever one waits for.
            socket.pause().end();
            rests_for_a_while(socket, |socket| {
                socket.resume();
            });
        });
        let mut peer = world.peer(&server);
        peer.send(b"unread");
        peer.end();
        world.run();
        world.assert_trace("S", "finish data(6) end close(false)");
    });
}

#[test]
fn a_paused_socket_stops_being_woken_by_a_talkative_peer() {
    each_case(|world| {
        let script = || Script::new("S").stays_open();
        let watcher = world.watcher();
        let server = world.server(move |socket| {
            if socket.server().unwrap().connections() == 1 {
                watcher.watch(socket, script());
                socket.pause();
                return;
            }
            // The second one says that the first has said it all.
            socket.on_data(|socket, _| socket.event_loop().stop());
        });
        let address = server.address().unwrap();
        // A UNIX socket holds few writes, however small.
        let writes = match world.transport {
            Transport::Tcp => 2_000,
            Transport::Unix => 200,
        };
        let peers = std::thread::spawn(move || {
            let mut talkative = Peer::connect(&address);
            for _ in 0..writes {
                talkative.send(b"x");
                std::thread::yield_now();
            }
            let mut done = Peer::connect(&address);
            done.send(b"x");
            (talkative, done)
        });
        world.run();
        let turns = world.event_loop.stats().turns;
        assert!(turns < 40, "{turns} turns");
        drop(peers.join().unwrap());
        assert!(world.events("S").is_empty());
    });
}

/// Calls `then` after a while in which the loop must hardly have turned.
fn rests_for_a_while(socket: &Socket, then: impl FnOnce(&Socket) + 'static) {
    let before = socket.event_loop().stats().turns;
    let socket = socket.clone();
    socket
        .event_loop()
        .handle()
        .set_timeout(A_WHILE, move |handle| {
            let turns = handle.stats().turns - before;
            assert!(turns < 20, "{turns} turns");
            then(&socket);
        });
}
