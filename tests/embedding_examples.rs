//! The examples of a loop inside another one, of worker threads and of dialling again, run as programs.

#[path = "common/census.rs"]
mod census;
mod programs;

use std::io::{ErrorKind, Read};
use std::net::{SocketAddr, TcpListener};
use std::time::Duration;

use programs::{refusing, run_example, Peer, Program};

/// A free port on loopback.
const HERE: &str = "127.0.0.1:0";

/// Both print the same and do the same, each in its own loop.
const EMBEDDED: [&str; 2] = ["embed", "embed_calloop"];

#[test]
fn an_embedded_loop_echoes() {
    for name in EMBEDDED {
        let Some(program) = run_example(name, [HERE]) else {
            return;
        };
        let address = program.address();
        let mut peers: Vec<Peer> = (0..20).map(|_| Peer::to(&address)).collect();
        for round in 0..10 {
            for (number, peer) in peers.iter_mut().enumerate() {
                peer.say(&format!("{number} {round}"));
            }
            for (number, peer) in peers.iter_mut().enumerate() {
                peer.hear(&format!("{number} {round}"));
            }
        }
        Peer::to(&address).round_trip(16 * 1024 * 1024);
        for peer in &mut peers {
            peer.end();
            assert_eq!(peer.rest(), "");
        }
        program.signal("TERM");
        let ended = program.ended();
        assert_eq!((ended.status, ended.stderr.as_str()), (Some(0), ""));
    }
}

#[test]
fn the_loop_around_it_does_its_own_work_and_sleeps_otherwise() {
    for name in EMBEDDED {
        let Some(program) = run_example(name, [HERE]) else {
            return;
        };
        let mut peer = Peer::to(&program.address());
        peer.say("here");
        peer.hear("here");
        let mut ticks = (0..).map(|_| tick(&program));
        let (_, before) = ticks.find(|(connected, _)| *connected == 1).unwrap();
        let (connected, after) = ticks.next().unwrap();
        assert_eq!(connected, 1);
        // One for each tick, and one where a timer of the other loop was early.
        assert!(after - before <= 2, "{} turns for nothing", after - before);
    }
}

/// `3 connected, 17 turns`
#[track_caller]
fn tick(program: &Program) -> (u64, u64) {
    let line = program.line();
    let numbers = line.split_once(" connected, ");
    let numbers = numbers.and_then(|(connected, rest)| {
        let turns = rest.strip_suffix(" turns")?;
        Some((connected.parse().ok()?, turns.parse().ok()?))
    });
    numbers.unwrap_or_else(|| panic!("{line}"))
}

#[test]
fn workers_answer_whatever_the_order() {
    let Some(program) = run_example("worker", [HERE]) else {
        return;
    };
    let address = program.address();
    let mut peer = Peer::to(&address);
    peer.hear("a number?\n");
    peer.say("10\n");
    peer.hear("4 primes below 10\n");
    peer.say("1000\r\nten\n\n3");
    peer.end();
    let answers = peer.rest();
    let mut answers: Vec<&str> = answers.lines().collect();
    answers.sort_unstable();
    let expected = [
        r#""": cannot parse integer from empty string"#,
        r#""ten": invalid digit found in string"#,
        "1 primes below 3",
        "168 primes below 1000",
    ];
    assert_eq!(answers, expected);

    // More than the socket takes at once, so that it pauses in the middle of what was sent.
    let mut peer = Peer::to(&address);
    peer.hear("a number?\n");
    peer.say(&"3\n".repeat(100_000));
    peer.hear(&"1 primes below 3\n".repeat(100_000));

    program.signal("TERM");
    assert_eq!(peer.rest(), "");
    drop(peer);
    let ended = program.ended();
    assert_eq!((ended.status, ended.stderr.as_str()), (Some(0), ""));
    assert!(ended.stdout.is_empty(), "{:?}", ended.stdout);
}

/// A second's work, without optimization.
const LONG_WORK: &str = "1000000";

#[test]
fn work_holds_up_nobody_else() {
    let Some(program) = run_example("worker", [HERE]) else {
        return;
    };
    let address = program.address();
    let mut slow = Peer::to(&address);
    slow.hear("a number?\n");
    slow.say(&format!("{LONG_WORK}\n"));
    let mut quick = Peer::to(&address);
    quick.say("10\n");
    quick.hear("a number?\n4 primes below 10\n");
    let Peer::Tcp(stream) = &mut slow else {
        unreachable!()
    };
    stream.set_nonblocking(true).unwrap();
    let early = stream.read(&mut [0]).unwrap_err();
    assert_eq!(early.kind(), ErrorKind::WouldBlock);
    stream.set_nonblocking(false).unwrap();
    slow.hear(&format!("78498 primes below {LONG_WORK}\n"));
}

#[test]
fn an_answer_for_a_client_that_has_left_is_dropped() {
    let Some(program) = run_example("worker", [HERE]) else {
        return;
    };
    let address = program.address();
    let mut peer = Peer::to(&address);
    peer.hear("a number?\n");
    peer.say(&format!("{LONG_WORK}\n2\n"));
    assert!(peer.is_next("0 primes below 2\n"));
    peer.reset();
    let line = program.line();
    assert_eq!(line, format!("too late: 78498 primes below {LONG_WORK}"));

    let mut peer = Peer::to(&address);
    peer.say("10\n");
    peer.hear("a number?\n4 primes below 10\n");
}

/// The lines are `connected to ..`, what the server says, the errors, and `dialling again in .. ms`.
#[test]
fn reconnect_comes_back_when_the_server_does() {
    let listener = TcpListener::bind(HERE).unwrap();
    let address = listener.local_addr().unwrap();
    let Some(program) = run_example("reconnect", [address.to_string()]) else {
        return;
    };
    let connected = format!("connected to {address}");
    assert_eq!(program.line(), connected);
    let mut peer = Peer::from(listener.accept().unwrap().0);
    peer.say("hello\n");
    assert_eq!(program.line(), "hello");
    drop((peer, listener));
    check_wait(&program, 100);
    assert_eq!(program.line(), refused(address));
    check_wait(&program, 200);

    let listener = TcpListener::bind(address).unwrap();
    let mut lines = (0..).map(|_| program.line());
    lines.find(|line| *line == connected).unwrap();
    let mut peer = Peer::from(listener.accept().unwrap().0);
    peer.say("again\n");
    assert_eq!(program.line(), "again");
    drop(peer);
    check_wait(&program, 100);
    // Whoever takes the call and hangs up without a word gets no credit for it.
    for wait in [200, 400] {
        assert_eq!(program.line(), connected);
        drop(listener.accept().unwrap());
        check_wait(&program, wait);
    }
}

#[test]
fn reconnect_waits_longer_each_time_but_not_for_ever() {
    let (address, _keep) = refusing();
    let Some(program) = run_example("reconnect", [address.to_string()]) else {
        return;
    };
    for wait in [100, 200, 400, 800, 1600, 3200, 5000, 5000] {
        assert_eq!(program.line(), refused(address));
        check_wait(&program, wait);
    }
}

fn refused(address: SocketAddr) -> String {
    format!("connect ECONNREFUSED {address}")
}

/// The next line says that it will dial again, after something between the half and the whole of `most`.
#[track_caller]
fn check_wait(program: &Program, most: u64) {
    let line = program.line();
    let wait = line
        .strip_prefix("dialling again in ")
        .and_then(|rest| rest.strip_suffix(" ms")?.parse().ok());
    let wait = Duration::from_millis(wait.unwrap_or_else(|| panic!("{line}")));
    let most = Duration::from_millis(most);
    assert!(wait >= most / 2 && wait <= most, "{wait:?} of {most:?}");
}

#[test]
fn wrong_arguments() {
    for (name, arguments) in [
        ("reconnect", &[][..]),
        ("reconnect", &["eight"]),
        ("worker", &["eight"]),
        ("embed", &["0", "0"]),
        ("embed_calloop", &["eight"]),
    ] {
        let Some(program) = run_example(name, arguments) else {
            return;
        };
        let ended = program.ended();
        assert_eq!(ended.status, Some(2), "{name} {arguments:?}");
        let usage = format!("usage: {name} ");
        assert!(ended.stderr.starts_with(&usage), "{}", ended.stderr);
    }
}
