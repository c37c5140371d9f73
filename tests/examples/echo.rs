//! `echo`: over every transport, in every way, and how it ends.

use std::net::{Ipv6Addr, TcpListener};
use std::path::Path;
use std::time::{Duration, Instant};

use super::programs::{run_example, skip, Peer, Program, SocketPath};
use super::{much, HERE};

/// All ways to run `echo` that should make no difference to who talks to it.
const WAYS: [&[&str]; 4] = [
    &[],
    &["--listener"],
    &["--half-open"],
    &["--half-open", "--listener"],
];

fn echo(place: &str, flags: &[&str]) -> Option<(Program, String)> {
    let program = run_example("echo", [&[place], flags].concat())?;
    let address = program.address();
    Some((program, address))
}

#[test]
fn sends_back_and_ends_when_the_peer_does() {
    for flags in WAYS {
        let path = SocketPath::new();
        for place in [HERE, "localhost:0", "0", path.as_str()] {
            let Some((_program, address)) = echo(place, flags) else {
                return;
            };
            let mut peer = Peer::to(&address);
            peer.say("hello");
            peer.hear("hello");
            peer.say("and more\n");
            peer.end();
            assert_eq!(peer.rest(), "and more\n", "{place} {flags:?}");
        }
    }
}

#[test]
fn over_ipv6() {
    if TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).is_err() {
        return skip("no IPv6 here");
    }
    let Some((_program, address)) = echo("[::1]:0", &[]) else {
        return;
    };
    assert!(address.starts_with("[::1]:"), "{address}");
    let mut peer = Peer::to(&address);
    peer.say("hello");
    peer.hear("hello");
}

#[test]
fn does_not_greet() {
    let Some((_program, address)) = echo(HERE, &[]) else {
        return;
    };
    let mut peer = Peer::to(&address);
    peer.end();
    assert_eq!(peer.rest(), "");
}

#[test]
fn says_who_comes_and_goes() {
    let Some((program, address)) = echo(HERE, &["-v"]) else {
        return;
    };
    let mut peer = Peer::to(&address);
    let who = format!("127.0.0.1:{}", peer.local_port());
    assert_eq!(program.line(), format!("{who} connected"));
    peer.say("hello");
    peer.hear("hello");
    peer.end();
    peer.rest();
    assert_eq!(program.line(), format!("{who} closed, 5 bytes in, 5 out"));

    let mut peer = Peer::to(&address);
    let who = format!("127.0.0.1:{}", peer.local_port());
    assert_eq!(program.line(), format!("{who} connected"));
    peer.say("never");
    peer.hear("nev");
    peer.reset();
    assert_eq!(program.line(), format!("{who}: read ECONNRESET"));
    assert_eq!(program.line(), format!("{who} closed, 5 bytes in, 5 out"));
}

#[test]
fn much_comes_back() {
    for flags in [&[][..], &["--listener"]] {
        let path = SocketPath::new();
        for place in [HERE, path.as_str()] {
            let Some((_program, address)) = echo(place, flags) else {
                return;
            };
            let start = Instant::now();
            Peer::to(&address).round_trip(much());
            println!("{place} {flags:?}: {:?}", start.elapsed());
        }
    }
}

#[test]
fn a_signal_ends_the_server_when_its_connections_are_closed() {
    for signal in ["TERM", "INT"] {
        let path = SocketPath::new();
        for place in [HERE, path.as_str()] {
            let Some((program, address)) = echo(place, &[]) else {
                return;
            };
            let mut peers = [Peer::to(&address), Peer::to(&address)];
            for peer in &mut peers {
                peer.say("here");
                peer.hear("here");
            }
            program.signal(signal);
            for mut peer in peers {
                assert_eq!(peer.rest(), "", "ended, not reset");
            }
            let ended = program.ended();
            assert_eq!((ended.status, ended.stderr.as_str()), (Some(0), ""));
            assert!(!Path::new(path.as_str()).exists());
        }
    }
}

#[test]
fn a_signal_ends_the_server_although_a_connection_stays() {
    let Some((program, address)) = echo(HERE, &[]) else {
        return;
    };
    let mut peer = Peer::to(&address);
    peer.say("here");
    peer.hear("here");
    let start = Instant::now();
    program.signal("TERM");
    let ended = program.ended();
    assert_eq!((ended.status, ended.stderr.as_str()), (Some(0), ""));
    assert!(start.elapsed() >= Duration::from_secs(5), "no grace given");
}

#[test]
fn a_second_signal_ends_the_server_at_once() {
    let Some((program, address)) = echo(HERE, &[]) else {
        return;
    };
    let mut peer = Peer::to(&address);
    peer.say("here");
    peer.hear("here");
    program.signal("TERM");
    assert_eq!(peer.rest(), "");
    program.signal("INT");
    assert_eq!(program.ended().status, Some(128 + 2));
}
