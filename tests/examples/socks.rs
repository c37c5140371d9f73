//! `socks`: the messages, whole and in pieces, what is relayed after them, and the refusals.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener};

use super::programs::{refusing, run_example, Peer};
use super::{much, HERE};

const GREETING: &[u8] = &[5, 2, 2, 0];

/// A request for an IPv4 address.
fn request(to: SocketAddr) -> Vec<u8> {
    let SocketAddr::V4(to) = to else {
        unreachable!()
    };
    let mut request = vec![5, 1, 0, 1];
    request.extend(to.ip().octets());
    request.extend(to.port().to_be_bytes());
    request
}

fn request_by_name(name: &str, port: u16) -> Vec<u8> {
    let mut request = vec![5, 1, 0, 3, name.len() as u8];
    request.extend(name.as_bytes());
    request.extend(port.to_be_bytes());
    request
}

/// Reads the answer to a greeting and the one to a request, for IPv4; gives the result and the port.
#[track_caller]
fn answer(peer: &mut Peer) -> (u8, u16) {
    let mut bytes = [0; 12];
    peer.read_exact(&mut bytes).unwrap();
    assert_eq!(bytes[..3], [5, 0, 5]);
    assert_eq!(bytes[4..6], [0, 1]);
    (bytes[3], u16::from_be_bytes([bytes[10], bytes[11]]))
}

#[test]
fn relays_both_ways_and_half_closed() {
    let Some(program) = run_example("socks", [HERE]) else {
        return;
    };
    let address = program.address();
    let upstream = TcpListener::bind(HERE).unwrap();
    let at = upstream.local_addr().unwrap();
    let by_name = request_by_name("localhost", at.port());
    for (request, in_pieces) in [(request(at), false), (request(at), true), (by_name, false)] {
        let mut client = Peer::to(&address);
        let all = [GREETING, &request, b"early"].concat();
        let pieces = if in_pieces { 1 } else { all.len() };
        for piece in all.chunks(pieces) {
            client.write_all(piece).unwrap();
        }
        // Before it can know whether anybody is there.
        client.end();
        let (stream, from) = upstream.accept().unwrap();
        assert_eq!(answer(&mut client), (0, from.port()));
        let mut server = Peer::from(stream);
        assert_eq!(server.rest(), "early");
        server.say("and a late answer");
        server.end();
        assert_eq!(client.rest(), "and a late answer");
    }
}

#[test]
fn much_goes_through() {
    let Some(program) = run_example("socks", [HERE]) else {
        return;
    };
    let Some(echo) = run_example("echo", [HERE, "--half-open"]) else {
        return;
    };
    let mut client = Peer::to(&program.address());
    let at = echo.address().parse().unwrap();
    client
        .write_all(&[GREETING, &request(at)].concat())
        .unwrap();
    assert_eq!(answer(&mut client).0, 0);
    client.round_trip(much());
}

#[test]
fn says_why_not() {
    let Some(program) = run_example("socks", [HERE]) else {
        return;
    };
    let address = program.address();
    let (nobody, _keep) = refusing();
    // No part of a name is longer than 63 characters.
    let no_name = request_by_name(&"x".repeat(64), 80);
    let bind = [5, 2, 0, 1, 127, 0, 0, 1, 0, 80];
    let no_such_type = [5, 1, 0, 2, 127, 0, 0, 1, 0, 80];
    let cases = [
        (&request(nobody)[..], 5),
        (&no_name, 4),
        (&bind, 7),
        (&no_such_type, 8),
    ];
    for (request, why) in cases {
        let mut client = Peer::to(&address);
        client.write_all(&[GREETING, request].concat()).unwrap();
        assert_eq!(answer(&mut client), (why, 0));
        assert_eq!(client.rest(), "");
    }
    for greeting in [&b"GET / HTTP/1.1\r\n\r\n"[..], &[5, 1, 2], &[5, 0]] {
        let mut client = Peer::to(&address);
        client.write_all(greeting).unwrap();
        let mut heard = [0; 2];
        client.read_exact(&mut heard).unwrap();
        assert_eq!(heard, [5, 0xff]);
    }
}

#[test]
fn when_one_side_fails_the_other_goes_too() {
    let Some(program) = run_example("socks", [HERE]) else {
        return;
    };
    let address = program.address();
    let upstream = TcpListener::bind(HERE).unwrap();
    let at = upstream.local_addr().unwrap();
    for client_fails in [true, false] {
        let mut client = Peer::to(&address);
        client
            .write_all(&[GREETING, &request(at)].concat())
            .unwrap();
        let server = Peer::from(upstream.accept().unwrap().0);
        assert_eq!(answer(&mut client).0, 0);
        let (mut one, mut other) = if client_fails {
            (client, server)
        } else {
            (server, client)
        };
        other.say("never read");
        assert!(one.is_next("never read"));
        one.say("x");
        other.hear("x");
        one.reset();
        // By an end or by a reset: some end it is.
        match other.read(&mut [0]) {
            Ok(length) => assert_eq!(length, 0),
            Err(error) => assert_eq!(error.kind(), ErrorKind::ConnectionReset),
        }
    }
    program.signal("TERM");
    assert_eq!(program.ended().status, Some(0));
}
