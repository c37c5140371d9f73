//! `kv`: what it answers, and to whom it listens no more for a while.

use std::io::{ErrorKind, Write};
use std::time::Duration;

use super::programs::{run_example, Peer};
use super::HERE;

const WHAT: &str = "what? SET key value, GET key, DEL key\n";

#[test]
fn answers_in_order_whatever_comes_at_once() {
    let Some(program) = run_example("kv", [HERE]) else {
        return;
    };
    let address = program.address();
    let mut one = Peer::to(&address);
    one.say("GET a\nSET a 1 and 2\r\nGET a\nSET a 3\nGET a\nDEL a\nDEL a\nGET\nget a\n\nGE");
    let rest = ["NONE\nOK\n= 1 and 2\nOK\n= 3\nOK\nNONE\n", WHAT, WHAT, WHAT].concat();
    one.hear(&rest);
    Peer::to(&address).say("SET b x\n");
    let mut other = Peer::to(&address);
    other.say("SET b y\n");
    other.hear("OK\n");
    one.say("T b\nGET b");
    one.hear("= y\n");
    one.end();
    assert_eq!(one.rest(), "", "the last command was not a line");
}

/// It asks for 200 MB in one go, ends, and only then reads.
#[test]
fn keeps_no_answers_for_who_does_not_read() {
    const VALUE: usize = 100_000;
    const TIMES: usize = 2000;
    let Some(program) = run_example("kv", [HERE]) else {
        return;
    };
    let address = program.address();
    let mut greedy = Peer::to(&address);
    let value = "v".repeat(VALUE);
    greedy.say(&format!("SET v {value}\n"));
    greedy.hear("OK\n");
    greedy.say(&"GET v\n".repeat(TIMES));
    greedy.end();
    let mut other = Peer::to(&address);
    other.say("SET a b\n");
    other.hear("OK\n");
    let answer = format!("= {value}\n");
    for _ in 0..TIMES {
        greedy.hear(&answer);
    }
    assert_eq!(greedy.rest(), "");
    let most = program.most_memory();
    assert!(most < 16_000_000, "it took {most} bytes");
}

#[test]
fn does_not_hear_who_does_not_read() {
    let Some(program) = run_example("kv", [HERE]) else {
        return;
    };
    let mut greedy = Peer::to(&program.address());
    greedy.say(&format!("SET v {}\n", "v".repeat(1000)));
    greedy.hear("OK\n");
    let Peer::Tcp(stream) = &greedy else {
        unreachable!()
    };
    let long_enough = Duration::from_millis(300);
    stream.set_write_timeout(Some(long_enough)).unwrap();
    // The kernel takes some MiB.
    let error = greedy.write_all(&b"GET v\n".repeat(10_000_000));
    assert_eq!(error.unwrap_err().kind(), ErrorKind::WouldBlock);
    let most = program.most_memory();
    assert!(most < 16_000_000, "it took {most} bytes");
}

#[test]
fn puts_out_who_never_ends_a_line() {
    let Some(program) = run_example("kv", [HERE]) else {
        return;
    };
    let address = program.address();
    let mut peer = Peer::to(&address);
    let key = "x".repeat(1_000_000);
    peer.say(&format!("DEL {key}\n"));
    peer.hear("NONE\n");
    // It may be put out before it has said all.
    let _ = peer.write_all(&[b'x'; 2 * 1024 * 1024]);
    drop(peer);
    let mut peer = Peer::to(&address);
    peer.say("GET x\n");
    peer.hear("NONE\n");
    program.signal("TERM");
    drop(peer);
    let errors = program.ended().stderr;
    assert!(errors.ends_with(": the line is too long"), "{errors}");
}
