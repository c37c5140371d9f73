//! A peer in another process that is killed: what it had sent is delivered, and then its end or the error.

#[path = "common/child.rs"]
mod child;
mod common;
#[path = "common/place.rs"]
mod place;

use std::cell::{Cell, RefCell};
use std::io::Read;
use std::process::Child;
use std::rc::Rc;

use child::{in_child, role, start_as};
use common::{each_case, Peer, Script, World};
use place::turn_until;
use tidewheel::net::{Address, Socket, WriteStatus};

const SAID: usize = 30_000;
const TOO_MUCH: usize = 24 * 1024 * 1024;

/// What the other process does until it is killed.
fn be_the_peer(role: &str) -> ! {
    let address = match role.parse() {
        Ok(address) => Address::Ip(address),
        Err(_) => Address::Path(role.into()),
    };
    let mut peer = Peer::connect(&address);
    peer.send(&[b'x'; SAID]);
    // It waits for the death of the process that tests, should it be first.
    let _ = std::io::stdin().read(&mut [0]);
    std::process::exit(0);
}

fn start(test: &str, world: &World, server: &tidewheel::net::Server) -> Child {
    let address = server.address().unwrap().to_string();
    let child = start_as(test, &address);
    turn_until(world, || world.event_loop.stats().bytes_in == SAID as u64);
    child
}

fn kill(mut child: Child) {
    child.kill().unwrap();
    child.wait().unwrap();
}

/// Kills a peer that has said all, after `act` was done to the socket. Gives the trace of the socket.
fn kill_peer(
    test: &str,
    expected: &'static [&'static str],
    act: impl Fn(&Socket) + Clone + 'static,
) {
    if let Some(role) = role(test) {
        be_the_peer(&role);
    }
    in_child(test, || {
        each_case(|world| {
            let met: Rc<RefCell<Option<Socket>>> = Rc::default();
            let (meet, watcher) = (Rc::clone(&met), world.watcher());
            let server = world.server(move |socket| {
                watcher.watch(socket, Script::new("S"));
                meet.replace(Some(socket.clone()));
            });
            let child = start(test, world, &server);
            act(&met.take().unwrap());
            server.close();
            kill(child);
            world.run();
            let trace = world.trace("S");
            assert!(expected.contains(&trace.as_str()), "{trace}");
        });
    });
}

#[test]
fn a_peer_that_is_killed_with_everything_read_has_ended() {
    kill_peer(
        "a_peer_that_is_killed_with_everything_read_has_ended",
        &["data(30000) end finish close(false)"],
        |_| {},
    );
}

#[test]
fn a_peer_that_is_killed_over_unread_bytes_has_reset() {
    kill_peer(
        "a_peer_that_is_killed_over_unread_bytes_has_reset",
        &["data(30000) error(ECONNRESET) close(true)"],
        |socket| {
            socket.write("never read");
        },
    );
}

#[test]
fn a_peer_that_is_killed_in_the_middle_of_an_answer_fails_what_waits() {
    kill_peer(
        "a_peer_that_is_killed_in_the_middle_of_an_answer_fails_what_waits",
        &[
            "data(30000) error(ECONNRESET) close(true)",
            "data(30000) error(EPIPE) close(true)",
        ],
        |socket| {
            let called = Rc::new(Cell::new(false));
            let told = Rc::clone(&called);
            let status = socket.write_then(vec![b'y'; TOO_MUCH], move |_, result| {
                assert!(result.is_err());
                told.set(true);
            });
            assert_eq!(status, WriteStatus::Queued);
            socket.on_close(move |_, _| assert!(called.get()));
        },
    );
}

#[test]
fn a_peer_that_is_killed_is_noticed_by_one_who_does_not_read() {
    kill_peer(
        "a_peer_that_is_killed_is_noticed_by_one_who_does_not_read",
        &["data(30000) end finish close(false)"],
        |socket| {
            socket.pause();
        },
    );
}
