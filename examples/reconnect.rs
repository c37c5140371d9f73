//! A client that does not give up: when it is refused or cut off it dials again, first soon, then ever more seldom.
//! Try it on `chat`: `reconnect 127.0.0.1:8124`, and start, stop and start the server.
//!
//! A `Socket` is one connection. Who wants another one makes another one.

use std::cell::Cell;
use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::io::{self, Write};
use std::rc::Rc;
use std::time::Duration;

use tidewheel::net::{self, ConnectOptions};
use tidewheel::{EventLoop, LoopHandle};

#[path = "common/arguments.rs"]
mod arguments;

const USAGE: &str = "reconnect PORT | HOST:PORT | PATH";

/// How long to wait after the first failure. Each further one doubles it, up to the longest.
const FIRST_WAIT: Duration = Duration::from_millis(100);
const LONGEST_WAIT: Duration = Duration::from_secs(5);

fn main() -> Result<(), tidewheel::Error> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let place: Option<ConnectOptions> = match &words[..] {
        [word] => arguments::place(word),
        _ => None,
    };
    let place = place.unwrap_or_else(|| arguments::refuse(USAGE));

    let event_loop = EventLoop::new()?;
    let line = Line {
        // A peer whose machine has vanished says nothing; only the probes of keep-alive find that out.
        place: place
            .connect_timeout(Duration::from_secs(10))
            .keep_alive(true)
            .keep_alive_initial_delay(Duration::from_secs(30)),
        wait: Cell::new(FIRST_WAIT),
    };
    dial(&event_loop, Rc::new(line));
    event_loop.run()
}

/// What outlives the single connection.
struct Line {
    place: ConnectOptions,
    wait: Cell<Duration>,
}

fn dial(event_loop: &LoopHandle, line: Rc<Line>) {
    let socket = net::connect(event_loop, line.place.clone(), |socket| {
        println!("connected to {}", socket.remote().unwrap());
    });
    let hearing = Rc::clone(&line);
    socket.on_data(move |_, data| {
        // That somebody accepts us proves little: a server in trouble may do just that, and hang up.
        hearing.wait.set(FIRST_WAIT);
        let _ = io::stdout().write_all(data);
    });
    // Listened to, or it would be what `run` returns.
    socket.on_error(|_, error| println!("{error}"));
    // `close` comes after every failure and after every end: the one place to dial again from.
    socket.on_close(move |socket, _| {
        let wait = line.wait.get();
        line.wait.set(LONGEST_WAIT.min(wait * 2));
        let wait = spread(wait);
        println!("dialling again in {} ms", wait.as_millis());
        let again = move |event_loop: &LoopHandle| dial(event_loop, line);
        socket.event_loop().set_timeout(wait, again);
    });
}

/// By chance something between the half and the whole of it: or all clients of a server that was restarted would be
/// back in the same moment, again and again.
fn spread(wait: Duration) -> Duration {
    let chance = RandomState::new().build_hasher().finish();
    wait / 2 + wait / 2 * (chance % 1024) as u32 / 1024
}
