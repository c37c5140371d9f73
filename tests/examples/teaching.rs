//! `socket_server` and `socket_client`: line for line what they print, alone and with each other.

use std::io::Write;
use std::net::{Ipv4Addr, TcpListener};

use super::programs::teaching::{check_client, check_server, is_time_out, listening, next_line};
use super::programs::{refusing, run_example, Peer, Program};

const RESET: &str = r#"Socket Error:  {"errno":-104,"code":"ECONNRESET","syscall":"read"}"#;

#[test]
fn with_each_other() {
    let Some(server) = run_example("socket_server", ["0"]) else {
        return;
    };
    let port = listening(&server);
    let Some(client) = run_example("socket_client", [port.to_string()]) else {
        return;
    };
    let ended = client.ended();
    assert_eq!((ended.status, ended.stderr.as_str()), (Some(0), ""));
    check_client(&ended.stdout, port);
    check_server(&server, port);
}

#[test]
fn the_server_line_for_line() {
    let Some(server) = run_example("socket_server", ["0"]) else {
        return;
    };
    let port = listening(&server);
    let mut peer = connect(&server, port);
    let name = peer.local_port();
    peer.say("More Axes");
    peer.hear("Sending: More Axes");
    for line in [
        &format!("Received data from client on port {name}: More Axes"),
        "  Bytes received: 9",
        "  Bytes sent: 18",
    ] {
        assert_eq!(next_line(&server), line);
    }
    // Not UTF-8, and what it makes of it is longer: both counts are bytes.
    peer.write_all(b"\xff").unwrap();
    peer.hear("Sending: \u{fffd}");
    for line in [
        &format!("Received data from client on port {name}: \u{fffd}"),
        "  Bytes received: 10",
        "  Bytes sent: 30",
    ] {
        assert_eq!(next_line(&server), line);
    }
    assert_eq!(server.line(), "Socket Timed out");
    peer.end();
    assert_eq!(next_line(&server), "Client disconnected");
    assert_eq!(next_line(&server), "Remaining Connections: 1");
    assert_eq!(peer.rest(), "");

    let mut peer = connect(&server, port);
    peer.say("More Axes");
    peer.hear("Sending: ");
    peer.reset();
    for _ in 0..3 {
        next_line(&server);
    }
    assert_eq!(next_line(&server), RESET);
}

/// Connects, and reads what the server says of it.
fn connect(server: &Program, port: u16) -> Peer {
    let peer = Peer::to(&format!("127.0.0.1:{port}"));
    let name = peer.local_port();
    for line in [
        "Client connection: ",
        &format!("   local = ::ffff:127.0.0.1:{port}"),
        &format!("   remote = ::ffff:127.0.0.1:{name}"),
    ] {
        assert_eq!(next_line(server), line);
    }
    peer
}

/// One is answered, one is let wait, one is cut off.
#[test]
fn the_client_line_for_line() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    let Some(client) = run_example("socket_client", [port.to_string()]) else {
        return;
    };
    let mut peers: Vec<Peer> = (0..3)
        .map(|_| Peer::from(listener.accept().unwrap().0))
        .collect();
    let [dwarves, elves, hobbits] = ["More Axes", "More Arro", "More Pipe"].map(|words| {
        let at = peers.iter_mut().position(|peer| peer.is_next(words));
        peers.remove(at.unwrap_or_else(|| panic!("nobody says {words:?}")))
    });
    hobbits.reset();
    let mut dwarves = dwarves;
    dwarves.say("Some Axes");
    assert_eq!(dwarves.rest(), "More Axes");
    drop(dwarves);
    let mut lines = Vec::new();
    while !lines.iter().any(|line: &String| is_time_out(line)) {
        lines.push(client.line());
    }
    elves.end();
    let ended = client.ended();
    assert_eq!((ended.status, ended.stderr.as_str()), (Some(0), ""));
    lines.extend(ended.stdout);

    lines.sort();
    lines.dedup_by(|a, b| a == b && is_time_out(a));
    let remote = format!("   remote = 127.0.0.1:{port}");
    lines.retain(|line| !line.starts_with("   local = 127.0.0.1:"));
    let mut wanted = [
        "Dwarves Connected: ",
        &remote,
        "Dwarves From Server: Some Axes",
        "Dwarves Client disconnected",
        "Socket Closed",
        "Elves Connected: ",
        &remote,
        "Socket Timed Out",
        "Elves Client disconnected",
        "Socket Closed",
        "Hobbits Connected: ",
        &remote,
        RESET,
        "Socket Closed",
    ];
    wanted.sort_unstable();
    assert_eq!(lines, wanted);
}

#[test]
fn a_port_that_is_taken_meets_no_listener() {
    let Some(first) = run_example("socket_server", ["0"]) else {
        return;
    };
    let port = listening(&first);
    let second = run_example("socket_server", [port.to_string()]).unwrap();
    let ended = second.ended();
    let error = format!("Error: listen EADDRINUSE: address already in use :::{port}");
    assert_eq!((ended.status, ended.stderr), (Some(1), error));
    assert!(ended.stdout.is_empty());
}

#[test]
fn a_refused_connect_meets_no_listener() {
    let (address, _held) = refusing();
    let Some(client) = run_example("socket_client", [address.port().to_string()]) else {
        return;
    };
    let ended = client.ended();
    assert_eq!(ended.status, Some(1));
    let error = format!("Error: connect ECONNREFUSED {address}");
    assert!(ended.stderr.starts_with(&error), "{}", ended.stderr);
    assert!(ended.stdout.is_empty());
}
