//! `timeout`: whom it puts out, and when.

use std::io::{ErrorKind, Read};
use std::time::{Duration, Instant};

use super::programs::{run_example, Peer};
use super::HERE;

#[test]
fn hangs_up_on_the_idle_only() {
    let Some(program) = run_example("timeout", [HERE]) else {
        return;
    };
    let address = program.address();
    let start = Instant::now();
    let mut idle = Peer::to(&address);
    let mut busy = Peer::to(&address);
    let Peer::Tcp(stream) = &idle else {
        unreachable!()
    };
    let now_and_then = Duration::from_millis(100);
    stream.set_read_timeout(Some(now_and_then)).unwrap();
    let mut first = [0];
    while let Err(error) = idle.read_exact(&mut first) {
        assert_eq!(error.kind(), ErrorKind::WouldBlock);
        busy.say("here");
        busy.hear("here");
    }
    assert!(start.elapsed() >= Duration::from_secs(2), "too early");
    assert_eq!(idle.rest(), "othing for two seconds, goodbye\n");
    busy.say("still here");
    busy.hear("still here");
}
