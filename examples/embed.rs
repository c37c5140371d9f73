//! An echo server whose event loop lives inside another loop: a hand-written one, which waits with epoll and has a
//! descriptor of its own to look after, here a pipe on which a thread ticks.
//!
//! What the other loop has to do is little: whatever woke it, call `turn` before it waits, and wait no longer than
//! `next_timeout` says.

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::thread;
use std::time::Duration;

use tidewheel::net::{self, ListenOptions, Server, ServerOptions};
use tidewheel::{Error, EventLoop};

#[path = "common/arguments.rs"]
mod arguments;
#[path = "common/epoll.rs"]
mod epoll;
#[path = "common/signals.rs"]
mod signals;

use epoll::Epoll;

const USAGE: &str = "embed [PORT | HOST:PORT | PATH]";
const TICK: Duration = Duration::from_secs(1);

/// Which descriptor woke us.
const OURS: u64 = 1;
const TICKS: u64 = 2;

fn main() -> Result<(), Error> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let place: Option<ListenOptions> = match &words[..] {
        [] => arguments::place("8124"),
        [word] => arguments::place(word),
        _ => None,
    };
    let place = place.unwrap_or_else(|| arguments::refuse(USAGE));

    let event_loop = EventLoop::new()?;
    let options = ServerOptions::default().no_delay(true);
    let server = net::create_server_with(&event_loop, options, |socket| {
        socket.pipe(socket);
    });
    signals::shut_down_on_signal(&server)?;
    server.listen(place, |server| {
        println!("listening on {}", server.address().unwrap());
    })?;
    run(&event_loop, &server)
}

/// The other loop.
fn run(event_loop: &EventLoop, server: &Server) -> Result<(), Error> {
    let mut ticks = ticks()?;
    let epoll = Epoll::new()?;
    epoll.add(event_loop, OURS)?;
    epoll.add(&ticks, TICKS)?;
    // Before the first wait too: what was begun until now may have left work, and only a turn says that it is over.
    while event_loop.turn(Some(Duration::ZERO))? {
        for token in epoll.wait(event_loop.next_timeout())? {
            match token {
                TICKS => {
                    ticks.read_exact(&mut [0])?;
                    // Sockets and servers may be used as ever; only `turn` runs what they call back.
                    let turns = event_loop.stats().turns;
                    println!("{} connected, {turns} turns", server.connections());
                }
                // The turn is next.
                _ => assert_eq!(token, OURS),
            }
        }
    }
    Ok(())
}

/// A pipe that gets a byte now and then.
fn ticks() -> io::Result<UnixStream> {
    let (reader, mut writer) = UnixStream::pair()?;
    thread::spawn(move || {
        while writer.write_all(&[0]).is_ok() {
            thread::sleep(TICK);
        }
    });
    Ok(reader)
}
