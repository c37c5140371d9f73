//! `proxy`: both ways, half closed, at the pace of the slower, and when one side fails.

use std::io::{ErrorKind, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::UnixListener;
use std::thread;
use std::time::{Duration, Instant};

use super::programs::{refusing, run_example, Pattern, Peer, Program, SocketPath};
use super::{much, HERE};

/// A proxy in front of a listener of ours.
struct Setup {
    program: Program,
    address: String,
    upstream: TcpListener,
}

impl Setup {
    fn new() -> Option<Setup> {
        let upstream = TcpListener::bind(HERE).unwrap();
        let at = upstream.local_addr().unwrap().to_string();
        let program = run_example("proxy", [HERE, &at])?;
        let address = program.address();
        Some(Setup {
            program,
            address,
            upstream,
        })
    }

    /// Both ends of a connection through the proxy.
    fn connect(&self) -> (Peer, Peer) {
        let client = Peer::to(&self.address);
        let (upstream, _) = self.upstream.accept().unwrap();
        (client, upstream.into())
    }
}

#[test]
fn relays_both_ways_and_half_closed() {
    let Some(setup) = Setup::new() else {
        return;
    };
    let (mut client, mut upstream) = setup.connect();
    upstream.say("welcome");
    client.hear("welcome");
    client.say("question");
    client.end();
    assert_eq!(upstream.rest(), "question");
    upstream.say("a long ");
    client.hear("a long ");
    upstream.say("answer");
    upstream.end();
    assert_eq!(client.rest(), "answer");

    let (mut client, mut upstream) = setup.connect();
    upstream.end();
    assert_eq!(client.rest(), "");
    client.say("still talking");
    client.end();
    assert_eq!(upstream.rest(), "still talking");
}

#[test]
fn relays_to_a_path() {
    let (listen, upstream) = (SocketPath::new(), SocketPath::new());
    let listener = UnixListener::bind(upstream.as_str()).unwrap();
    let Some(program) = run_example("proxy", [listen.as_str(), upstream.as_str()]) else {
        return;
    };
    let mut client = Peer::to(&program.address());
    let mut upstream = Peer::from(listener.accept().unwrap().0);
    client.say("question");
    upstream.hear("question");
    upstream.say("answer");
    client.hear("answer");
}

#[test]
fn much_comes_back_from_echo() {
    let path = SocketPath::new();
    for place in [HERE, path.as_str()] {
        let Some(echo) = run_example("echo", [place]) else {
            return;
        };
        let Some(proxy) = run_example("proxy", [HERE, &echo.address()]) else {
            return;
        };
        let start = Instant::now();
        Peer::to(&proxy.address()).round_trip(much());
        println!("{place}: {:?}", start.elapsed());
    }
}

/// Client and proxy may be done with each other while the proxy still holds what was said last. It does if that fits
/// into what the kernel takes and one read, which some of these lengths do.
#[test]
fn what_was_said_last_arrives() {
    let path = SocketPath::new();
    let listener = UnixListener::bind(path.as_str()).unwrap();
    let Some(program) = run_example("proxy", [HERE, path.as_str()]) else {
        return;
    };
    let address = program.address();
    let connect = || {
        let client = Peer::to(&address);
        (client, Peer::from(listener.accept().unwrap().0))
    };
    for length in (100_000..600_000).step_by(30_000) {
        let (mut client, mut upstream) = connect();
        upstream.end();
        assert_eq!(client.rest(), "");
        let sender = thread::spawn(move || {
            Pattern::default().send(&mut client, length);
        });
        // Gives the proxy the turns it needs to take all it can.
        let (mut other, mut its_upstream) = connect();
        for _ in 0..20 {
            other.say("ping");
            its_upstream.hear("ping");
            its_upstream.say("pong");
            other.hear("pong");
        }
        Pattern::default().receive(&mut upstream, length);
        assert_eq!(upstream.rest(), "");
        sender.join().unwrap();
    }
}

/// What nobody reads stays with the sender, but for what the kernel and one read of the proxy hold.
#[test]
fn a_stalled_reader_stalls_the_sender() {
    const MOST: u64 = 256 * 1024 * 1024;
    let Some(setup) = Setup::new() else {
        return;
    };
    let (client, mut upstream) = setup.connect();
    let Peer::Tcp(mut stream) = client else {
        unreachable!()
    };
    let mut pattern = Pattern::default();
    let sent = send_until_stalled(&mut stream, &mut pattern, MOST);
    assert!(sent < MOST, "it took everything");

    stream.shutdown(std::net::Shutdown::Write).unwrap();
    Pattern::default().receive(&mut upstream, sent);
    assert_eq!(upstream.rest(), "");
    upstream.end();
    assert_eq!(Peer::from(stream).rest(), "");
}

/// How many bytes were taken before none was for a while.
fn send_until_stalled(stream: &mut TcpStream, pattern: &mut Pattern, most: u64) -> u64 {
    let a_while = Duration::from_millis(500);
    stream.set_write_timeout(Some(a_while)).unwrap();
    let mut sent = 0;
    while sent < most {
        let block = pattern.next(most - sent);
        let mut left = block;
        while !left.is_empty() {
            match stream.write(left) {
                Ok(taken) => left = &left[taken..],
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    return sent + (block.len() - left.len()) as u64;
                }
                Err(error) => panic!("{error}"),
            }
        }
        sent += block.len() as u64;
    }
    sent
}

#[test]
fn a_side_that_fails_takes_the_other_with_it() {
    let Some(setup) = Setup::new() else {
        return;
    };
    let (mut client, mut upstream) = setup.connect();
    upstream.say("unread");
    client.hear("un");
    client.reset();
    assert_eq!(upstream.rest(), "");

    let (mut client, mut upstream) = setup.connect();
    client.say("unread");
    upstream.hear("un");
    upstream.reset();
    assert_eq!(client.rest(), "");

    setup.program.signal("TERM");
    let ended = setup.program.ended();
    let errors = "read ECONNRESET\nread ECONNRESET";
    assert_eq!((ended.status, ended.stderr.as_str()), (Some(0), errors));
}

#[test]
fn nobody_upstream() {
    let (upstream, _held) = refusing();
    let Some(program) = run_example("proxy", [HERE, &upstream.to_string()]) else {
        return;
    };
    let address = program.address();
    for _ in 0..2 {
        assert_eq!(Peer::to(&address).rest(), "");
    }
    program.signal("TERM");
    let ended = program.ended();
    let refused = format!("connect ECONNREFUSED {upstream}");
    let errors = format!("{refused}\n{refused}");
    assert_eq!((ended.status, ended.stderr), (Some(0), errors));
}

#[test]
fn a_signal_ends_the_connections_in_peace() {
    let Some(setup) = Setup::new() else {
        return;
    };
    let (mut client, mut upstream) = setup.connect();
    client.say("hello");
    upstream.hear("hello");
    setup.program.signal("TERM");
    assert_eq!(client.rest(), "");
    client.end();
    assert_eq!(upstream.rest(), "");
    let ended = setup.program.ended();
    assert_eq!((ended.status, ended.stderr.as_str()), (Some(0), ""));
}
