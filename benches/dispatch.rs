//! What does it cost to get from an event to the callback that was set for it?
//!
//! One byte arrives on each of fifty sockets, by a plain write to the other end of a pair, which all peers pay alike; then
//! the loop turns until each byte was seen. And work without a socket: calls for the next turn, calls from elsewhere,
//! timers that never fire, and turns one after the other.
//!
//! The peers are mio with boxed closures, a channel and a waker, as a program would have them; and tokio with a task for
//! each socket and call, its `Sleep` and its `yield_now`.

#[path = "dispatch/on_mio.rs"]
mod on_mio;
#[path = "dispatch/on_tidewheel.rs"]
mod on_tidewheel;
#[path = "dispatch/on_tokio.rs"]
mod on_tokio;

#[path = "common/mode.rs"]
mod mode;
#[path = "common/record.rs"]
mod record;
#[path = "common/sampled.rs"]
mod sampled;

use std::io::Write;
use std::os::unix::net::UnixStream;

use on_tidewheel::Form;
use sampled::{Routine, Sampled};

const SOCKETS: usize = 50;
/// Calls, timers or turns in one call of a routine.
const BATCH: usize = 1000;

type Peers<'a> = Vec<(&'a str, Box<dyn Fn() -> Routine>)>;

fn main() {
    let mut bench = Sampled::new("dispatch");
    for listeners in [1, 2, 8] {
        let mut peers: Peers = vec![
            (
                "tidewheel",
                Box::new(move || on_tidewheel::data(Form::Closures(listeners))),
            ),
            ("mio", Box::new(move || on_mio::data(listeners))),
        ];
        if listeners == 1 {
            peers.push((
                "tidewheel, Handler",
                Box::new(|| on_tidewheel::data(Form::Handler)),
            ));
            peers.push(("tokio", Box::new(on_tokio::data)));
        }
        bench.case(
            &format!("data, {listeners} listeners"),
            SOCKETS as u64,
            peers,
        );
    }
    let cases: [(&str, Peers); 4] = [
        (
            "call in the next turn",
            vec![
                ("tidewheel", Box::new(on_tidewheel::immediates)),
                ("mio", Box::new(on_mio::immediates)),
                ("tokio", Box::new(on_tokio::spawns)),
            ],
        ),
        (
            "call from elsewhere",
            vec![
                ("tidewheel", Box::new(on_tidewheel::posts)),
                ("mio", Box::new(on_mio::posts)),
            ],
        ),
        (
            "timer set and cleared",
            vec![
                ("tidewheel", Box::new(on_tidewheel::timers)),
                ("tokio", Box::new(on_tokio::timers)),
            ],
        ),
        (
            "a turn",
            vec![
                ("tidewheel", Box::new(on_tidewheel::turns)),
                ("mio", Box::new(on_mio::turns)),
                ("tokio", Box::new(on_tokio::turns)),
            ],
        ),
    ];
    for (case, peers) in cases {
        bench.case(case, BATCH as u64, peers);
    }
    bench.finish();
}

/// The far ends of the sockets.
struct Far(Vec<UnixStream>);

impl Far {
    /// So many pairs, of which the near ends are for the loop and do not block.
    fn pairs() -> (Far, Vec<UnixStream>) {
        let pair = |_| {
            let (far, near) = UnixStream::pair().unwrap();
            near.set_nonblocking(true).unwrap();
            (far, near)
        };
        let (far, near) = (0..SOCKETS).map(pair).unzip();
        (Far(far), near)
    }

    fn send(&mut self) {
        for stream in &mut self.0 {
            stream.write_all(b"x").unwrap();
        }
    }
}
