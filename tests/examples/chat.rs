//! `chat`: who hears what.

use std::io::{Read, Write};

use super::programs::{run_example, Peer};
use super::HERE;

#[test]
fn tells_everybody_else() {
    let Some(program) = run_example("chat", [HERE]) else {
        return;
    };
    let address = program.address();
    let mut one = Peer::to(&address);
    let mut two = Peer::to(&address);
    one.hear("guest 2 joined\n");
    let mut three = Peer::to(&address);
    one.hear("guest 3 joined\n");
    two.hear("guest 3 joined\n");

    two.say("hal");
    three.say("first\n");
    one.hear("guest 3: first\n");
    two.hear("guest 3: first\n");
    two.say("f\nsecond\nno end");
    for other in [&mut one, &mut three] {
        other.hear("guest 2: half\nguest 2: second\n");
    }

    two.end();
    assert_eq!(two.rest(), "");
    for other in [&mut one, &mut three] {
        other.hear("guest 2: no end\nguest 2 left\n");
    }
    program.signal("TERM");
    assert_eq!(one.rest(), "");
    // That it leaves is no news for the one that was told to leave too, and takes its time.
    drop(one);
    assert_eq!(three.rest(), "");
    let ended = program.ended();
    assert_eq!((ended.status, ended.stderr.as_str()), (Some(0), ""));
}

#[test]
fn puts_out_who_does_not_stop_or_does_not_listen() {
    let Some(program) = run_example("chat", [HERE]) else {
        return;
    };
    let address = program.address();
    let mut listener = Peer::to(&address);
    let mut endless = Peer::to(&address);
    // It may be put out before it has said all.
    let _ = endless.write_all(&[b'x'; 128 * 1024]);
    listener.hear("guest 2 joined\nguest 2 left\n");

    let _deaf = Peer::to(&address);
    let mut loud = Peer::to(&address);
    listener.hear("guest 3 joined\nguest 4 joined\n");
    // The kernel takes some MiB for the deaf one, then the queue one more.
    let line = format!("guest 4: {}\n", "y".repeat(60_000));
    let farewell = "guest 3 left\n";
    let mut start = vec![0; farewell.len()];
    for _ in 0..1000 {
        loud.say(&line["guest 4: ".len()..]);
        listener.read_exact(&mut start).unwrap();
        if start == farewell.as_bytes() {
            return;
        }
        listener.hear(&line[farewell.len()..]);
    }
    panic!("the deaf one is still there");
}
