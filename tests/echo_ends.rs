//! An echo, `socket.pipe(socket)`, that cannot or may not go on.

mod common;

use std::io::{Read, Write};
use std::time::Duration;

use common::{each_case, Peer, Script};

/// The rest that a full queue asks for would never end: `drain` does not come after a failed write.
#[test]
fn an_echo_whose_peer_stops_reading_and_leaves_fails_and_closes() {
    each_case(|world| {
        let server = world.serve_one(|| Script::new("S"));
        let peer = world.peer(&server);
        let flooder = std::thread::spawn(move || {
            let mut peer = peer;
            let limit = Some(Duration::from_millis(200));
            match &peer {
                Peer::Tcp(stream) => stream.set_write_timeout(limit).unwrap(),
                Peer::Unix(stream) => stream.set_write_timeout(limit).unwrap(),
            }
            // Until nothing moves: both kernels and the echo's queue are full.
            while peer.write_all(&[7; 65536]).is_ok() {}
        });
        server.on_connection(|socket| {
            socket.pipe(socket);
        });
        world.run();
        flooder.join().unwrap();
        assert!(
            world.trace("S").ends_with("close(true)"),
            "{}",
            world.trace("S")
        );
    });
}

/// `shutdown` ends its sockets; what a talkative peer still sends must not turn that into an error.
#[test]
fn an_echo_that_was_told_to_end_discards_what_still_comes() {
    each_case(|world| {
        let server = world.serve_one(|| Script::new("S").on_data(|socket, _| socket.end()));
        server.on_connection(|socket| {
            socket.pipe(socket);
        });
        let mut peer = world.peer(&server);
        peer.send(&[1; 1000]);
        let talker = std::thread::spawn(move || {
            let mut peer = peer;
            let mut first = [0; 1000];
            let _ = peer.read(&mut first);
            peer.send(&[2; 5000]);
            peer.end();
            peer.read_all()
        });
        world.run();
        assert_eq!(talker.join().unwrap(), []);
        world.assert_trace("S", "data(1000) finish data(5000) end close(false)");
    });
}
