//! Edge-triggered readiness loses nothing: not where the kernel stops a read early, and not however reading is paused,
//! resumed and cut into pieces.

mod common;
#[path = "common/flow.rs"]
mod flow;
#[path = "common/kernel.rs"]
mod kernel;

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use common::{each_case, each_form_unix, run_on, EventLoop, Form, Peer, Script, Transport, World};
use flow::{after_turns, pattern, serve_then, talk, Sink};
use kernel::{send_urgent, send_with_descriptor, wait_unread};
use proptest::prelude::*;
use tidewheel::net::{ServerOptions, Socket};

const HALF: usize = 1_000;

/// A stream of two halves with something between them that stops a read, all of it in the kernel before the first
/// read. The peer does not end, so that no hang-up is there to help. `interrupt` sends the last byte of the first half.
fn interrupted(
    world: &World,
    interrupt: impl Fn(&mut Peer, &[u8]) + 'static,
    then: impl Fn(&Socket) + 'static,
) {
    interrupted_by(world, interrupt, move |socket, _| then(socket));
    world.assert_trace("S", "data(2000) finish end close(false)");
}

/// The same without a look at what else happens; `then` has the peer, and may drop it.
fn interrupted_by(
    world: &World,
    interrupt: impl Fn(&mut Peer, &[u8]) + 'static,
    then: impl Fn(&Socket, &RefCell<Option<Peer>>) + 'static,
) {
    let sink = Sink::default();
    let got = sink.clone();
    let peer: Rc<RefCell<Option<Peer>>> = Rc::default();
    let sender = Rc::clone(&peer);
    let server = serve_then(
        world,
        ServerOptions::default(),
        move || {
            let sink = sink.clone();
            Script::new("S").on_data(move |socket, data| {
                sink.push(data);
                if sink.len() >= 2 * HALF {
                    socket.end();
                }
            })
        },
        move |socket| {
            {
                let mut peer = sender.borrow_mut();
                let peer = peer.as_mut().unwrap();
                let bytes = pattern(2 * HALF);
                peer.send(&bytes[..HALF - 1]);
                interrupt(peer, &bytes[HALF - 1..HALF]);
                peer.send(&bytes[HALF..]);
            }
            wait_unread(socket, HALF);
            let (socket, gone) = (socket.clone(), Rc::clone(&sender));
            socket.on_finish(move |_| drop(gone.take()));
            then(&socket, &sender);
        },
    );
    *peer.borrow_mut() = Some(world.peer(&server));
    world.run();
    assert!(got.take() == pattern(2 * HALF));
}

fn end_urgently(peer: &mut Peer, last: &[u8]) {
    peer.send(last);
    send_urgent(peer, b'!');
}

#[test]
fn urgent_data_in_mid_stream_does_not_hide_what_follows_it() {
    each_case(|world| interrupted(world, end_urgently, |_| {}));
}

#[test]
fn urgent_data_that_came_while_paused_does_not_hide_what_follows_it() {
    each_case(|world| {
        interrupted(world, end_urgently, |socket| {
            socket.pause();
            let socket = socket.clone();
            after_turns(&socket.event_loop().handle(), 10, move |_| {
                socket.resume();
            });
        })
    });
}

// TCP passes no descriptors.
#[test]
fn a_passed_descriptor_in_mid_stream_does_not_hide_what_follows_it() {
    each_form_unix(|world| {
        let open = std::fs::read_dir("/proc/self/fd").unwrap().count();
        interrupted(world, |peer, last| send_with_descriptor(peer, last), |_| {});
        assert!(std::fs::read_dir("/proc/self/fd").unwrap().count() <= open);
    });
}

// One who knows of the end reads on to it, and does not ask what stopped a read.
#[test]
fn a_passed_descriptor_does_not_hide_what_follows_it_from_one_who_knows_of_the_end() {
    each_form_unix(|world| {
        let interrupt = |peer: &mut Peer, last: &[u8]| send_with_descriptor(peer, last);
        interrupted_by(world, interrupt, |socket, peer| {
            drop(peer.take());
            socket.pause();
            let socket = socket.clone();
            after_turns(&socket.event_loop().handle(), 10, move |_| {
                socket.resume();
            });
        });
    });
}

/// What a reader does when bytes came.
#[derive(Clone, Copy, Debug)]
enum Step {
    Nothing,
    Blink,
    DoubleBlink,
    RestForTurns(usize),
    RestForATick,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        Just(Step::Nothing),
        Just(Step::Blink),
        Just(Step::DoubleBlink),
        (0..6_usize).prop_map(Step::RestForTurns),
        Just(Step::RestForATick),
    ]
}

fn take(step: Step, socket: &Socket) {
    let handle = socket.event_loop().handle();
    let later = socket.clone();
    match step {
        Step::Nothing => {}
        Step::Blink => {
            socket.pause().resume();
        }
        Step::DoubleBlink => {
            socket.resume().pause().pause().resume();
        }
        Step::RestForTurns(turns) => {
            socket.pause();
            after_turns(&handle, turns, move |_| {
                later.resume();
            });
        }
        Step::RestForATick => {
            socket.pause();
            handle.set_timeout(Duration::from_millis(1), move |_| {
                later.resume();
            });
        }
    }
}

/// One stream of `total` bytes, sent in pieces of `piece`, read with the steps taken in turn.
fn all_arrives(world: &World, total: usize, piece: usize, steps: &[Step]) {
    let sink = Sink::default();
    let got = sink.clone();
    let steps = steps.to_vec();
    let server = world.serve_one(move || {
        let (sink, steps) = (sink.clone(), steps.clone());
        let mut at = 0;
        Script::new("S").on_data(move |socket, data| {
            assert!(!socket.is_paused(), "data while paused");
            sink.push(data);
            take(steps[at % steps.len()], socket);
            at += 1;
        })
    });
    let peer = talk(world.peer(&server), move |peer| {
        for piece in pattern(total).chunks(piece) {
            peer.send(piece);
        }
        peer.end();
    });
    world.run();
    peer.join().unwrap();
    assert!(got.take() == pattern(total), "bytes are missing or mixed");
    world.assert_trace("S", &format!("data({total}) end finish close(false)"));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn however_reading_is_interrupted_all_bytes_arrive_in_order(
        steps in prop::collection::vec(step(), 1..12),
        total in 1..200_000_usize,
        piece in 1_000..70_000_usize,
        buffer in prop_oneof![Just(700_usize), Just(4_096), Just(65_536)],
        budget in prop_oneof![Just(1_usize), Just(10_000), Just(262_144)],
    ) {
        let builder = EventLoop::builder().read_buffer(buffer).read_budget(budget);
        for transport in [Transport::Tcp, Transport::Unix] {
            for form in [Form::Closures, Form::Handler] {
                run_on(builder.clone(), form, transport, &|world: &World| {
                    all_arrives(world, total, piece, &steps);
                });
            }
        }
    }
}
