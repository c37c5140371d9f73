//! Sends back what it gets. Talk to it with `nc 127.0.0.1 8124`.
//!
//! `--half-open` lets a connection stay open for writing when the peer has ended. `--listener` echoes with `on_data` and
//! `write` instead of `pipe`, to show what `pipe` does. `-v` says who comes and goes.

use tidewheel::net::{self, ListenOptions, ServerOptions, Socket, WriteStatus};
use tidewheel::EventLoop;

#[path = "common/arguments.rs"]
mod arguments;
#[path = "common/signals.rs"]
mod signals;

const USAGE: &str = "echo [PORT | HOST:PORT | PATH] [--half-open] [--listener] [-v]";

fn main() -> Result<(), tidewheel::Error> {
    let arguments = Arguments::read().unwrap_or_else(|| arguments::refuse(USAGE));
    let Arguments {
        listener, verbose, ..
    } = arguments;

    let event_loop = EventLoop::new()?;
    let options = ServerOptions::default()
        .no_delay(true)
        .allow_half_open(arguments.half_open);
    let server = net::create_server_with(&event_loop, options, move |socket| {
        if verbose {
            tell(socket);
        }
        if listener {
            echo_by_hand(socket);
        } else {
            socket.pipe(socket);
        }
    });
    signals::shut_down_on_signal(&server)?;
    server.listen(arguments.place, |server| {
        println!("listening on {}", server.address().unwrap());
    })?;
    event_loop.run()
}

/// What `socket.pipe(socket)` does.
fn echo_by_hand(socket: &Socket) {
    socket.on_data(|socket, data| {
        // `Queued` means that the peer does not read as fast as it sends. The bytes are taken all the same; but before
        // it has read them there is no point in reading more from it.
        if socket.write(data) == WriteStatus::Queued {
            socket.pause();
        }
    });
    socket.on_drain(|socket| {
        socket.resume();
    });
    // Only needed with `--half-open`; otherwise the socket ends by itself.
    socket.on_end(|socket| socket.end());
}

fn tell(socket: &Socket) {
    println!("{} connected", socket.remote().unwrap());
    socket.on_error(|socket, error| println!("{}: {error}", socket.remote().unwrap()));
    socket.on_close(|socket, _| {
        let (read, written) = (socket.bytes_read(), socket.bytes_written());
        let peer = socket.remote().unwrap();
        println!("{peer} closed, {read} bytes in, {written} out");
    });
}

struct Arguments {
    place: ListenOptions,
    half_open: bool,
    listener: bool,
    verbose: bool,
}

impl Arguments {
    fn read() -> Option<Arguments> {
        let (mut half_open, mut listener, mut verbose) = (false, false, false);
        let mut place = None;
        for word in std::env::args().skip(1) {
            match word.as_str() {
                "--half-open" => half_open = true,
                "--listener" => listener = true,
                "-v" => verbose = true,
                _ if word.starts_with('-') || place.is_some() => return None,
                _ => place = Some(word),
            }
        }
        Some(Arguments {
            place: arguments::place(place.as_deref().unwrap_or("8124"))?,
            half_open,
            listener,
            verbose,
        })
    }
}
