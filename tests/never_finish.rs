//! Peers that leave a connection half open and never finish it: they cost a server nothing for long, and nobody else
//! anything.

mod common;
#[path = "common/faults.rs"]
mod faults;
#[path = "common/place.rs"]
mod place;

use std::time::Duration;

use common::{counter, each_case, Peer, World};
use faults::{assert_rests, converse, echo_server};
use place::turn_until;
use tidewheel::net::{Server, ServerOptions};

const MANY: usize = 200;
const PERIOD: Duration = Duration::from_millis(50);

fn crowd(world: &World, server: &Server, prepare: impl Fn(&mut Peer)) -> Vec<Peer> {
    let mut peers = Vec::new();
    for _ in 0..MANY {
        let mut peer = world.peer(server);
        prepare(&mut peer);
        peers.push(peer);
    }
    turn_until(world, || world.event_loop.stats().events >= MANY as u64);
    peers
}

/// Somebody who behaves is answered by the server as it is.
fn assert_serves(world: &World, server: &Server) {
    let mut peer = world.peer(server);
    let honest = std::thread::spawn(move || assert!(converse(&mut peer, b"and me?")));
    turn_until(world, || honest.is_finished());
    honest.join().unwrap();
}

/// Nothing is left, although every peer is there still.
fn assert_over(world: &World, server: &Server, peers: Vec<Peer>) {
    turn_until(world, || server.connections() == 0);
    server.close();
    world.run();
    assert_eq!(world.event_loop.stats().sockets_open, 0);
    drop(peers);
}

#[test]
fn one_who_has_ended_and_stays_is_ended_by_us_and_gone() {
    each_case(|world| {
        let server = echo_server(world, ServerOptions::default());
        let peers = crowd(world, &server, |peer| {
            peer.send(b"and nothing more");
            peer.end();
        });
        assert_serves(world, &server);
        assert_over(world, &server, peers);
    });
}

#[test]
fn where_half_open_is_allowed_the_idle_timeout_ends_them() {
    each_case(|world| {
        let options = ServerOptions::default()
            .allow_half_open(true)
            .timeout(PERIOD);
        let server = echo_server(world, options);
        server.on_connection(|socket| {
            socket.on_timeout(|socket| socket.destroy());
        });
        let peers = crowd(world, &server, |peer| {
            peer.send(b"and nothing more");
            peer.end();
        });
        assert_serves(world, &server);
        assert_over(world, &server, peers);
    });
}

#[test]
fn one_who_never_answers_our_end_is_gone_with_the_idle_timeout() {
    each_case(|world| {
        let server = echo_server(world, ServerOptions::default().timeout(PERIOD));
        let come = counter();
        server.on_connection(move |socket| {
            socket.on_timeout(|socket| socket.destroy());
            come.set(come.get() + 1);
            if come.get() <= MANY {
                socket.end_with("goodbye\n");
            }
        });
        let peers = crowd(world, &server, |_| {});
        turn_until(world, || server.connections() < MANY);
        assert_serves(world, &server);
        assert_over(world, &server, peers);
    });
}

#[test]
fn without_a_timeout_they_cost_no_turns_and_shutdown_ends_them() {
    each_case(|world| {
        let server = echo_server(world, ServerOptions::default().allow_half_open(true));
        let peers = crowd(world, &server, |peer| peer.end());
        turn_until(world, || server.connections() == MANY);
        assert_rests(world);
        let note = world.noter();
        server.shutdown(Duration::from_secs(20), move |_, destroyed| {
            note(&format!("SRV:{destroyed} destroyed"));
        });
        world.run();
        // They had ended already, so our end was the last.
        world.assert_trace("SRV", "0 destroyed");
        drop(peers);
        let server = echo_server(world, ServerOptions::default());
        let peers = crowd(world, &server, |_| {});
        turn_until(world, || server.connections() == MANY);
        let note = world.noter();
        server.shutdown(PERIOD, move |_, destroyed| {
            note(&format!("SRV:{destroyed} destroyed"))
        });
        world.run();
        world.assert_trace("SRV", &format!("0 destroyed {MANY} destroyed"));
        drop(peers);
    });
}
