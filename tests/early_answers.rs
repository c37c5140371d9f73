//! An answer to a request that is still coming reaches its sender: who ends goes on reading until the peer ends, too,
//! because to close over unread bytes would reset the connection and destroy the answer.

mod common;
#[path = "common/flow.rs"]
mod flow;
#[path = "common/sending.rs"]
mod sending;

use common::{each_case, Script, World};
use flow::talk;
use sending::{Received, TOO_MUCH};
use tidewheel::net::{EventKind, Socket};

const ANSWER: &[u8] = b"413 Payload Too Large\r\n";

/// More than the buffers between two sockets hold, so that its sender has to wait for its reader.
fn request() -> Vec<u8> {
    vec![b'x'; TOO_MUCH]
}

/// A client that says all before it listens. `answer` is called with the first bytes that come.
fn ask_too_much(world: &World, answer: fn(&Socket)) {
    let server = world.serve_one(move || {
        let mut first = true;
        Script::new("S").on_data(move |socket, _| {
            if std::mem::take(&mut first) {
                answer(socket);
            }
        })
    });
    let client = talk(world.peer(&server), |peer| {
        peer.send(&request());
        peer.end();
        assert_eq!(peer.read_all(), ANSWER);
    });
    world.run();
    client.join().unwrap();
    let trace = world.trace("S");
    assert!(trace.ends_with("end close(false)"), "{trace}");
}

#[test]
fn an_early_answer_reaches_a_peer_that_is_still_sending() {
    each_case(|world| ask_too_much(world, |socket| socket.end_with(ANSWER)));
}

#[test]
fn it_does_so_when_nobody_listens_to_the_rest() {
    each_case(|world| {
        ask_too_much(world, |socket| {
            socket.end_with(ANSWER);
            socket.remove_all_listeners(EventKind::Data);
            socket.resume();
        });
    });
}

#[test]
fn between_two_of_our_own_it_is_the_same() {
    each_case(|world| {
        let server = world.serve_one(|| {
            Script::new("S").on_data(|socket, _| {
                if socket.writable() {
                    socket.end_with(ANSWER);
                }
            })
        });
        let received = Received::default();
        let script = received.by(Script::new("C"));
        // It goes on sending after the answer has come.
        let options = world.connect_options(&server).allow_half_open(true);
        let client = world.client_with(options, script);
        client.end_with(request());
        world.run();
        assert_eq!(received.bytes(), ANSWER);
        assert!(world.trace("C").ends_with("close(false)"));
    });
}
