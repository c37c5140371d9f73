//! A chat: each line goes to everybody else. Join with `nc 127.0.0.1 8124`, from several terminals.
//!
//! Each connection has a state of its own (a name, and the line that is not finished yet), so it has a `Handler`
//! instead of closures.

use tidewheel::net::{self, Handler, ListenOptions, ServerOptions, Socket};
use tidewheel::{Error, EventLoop};

#[path = "common/arguments.rs"]
mod arguments;
#[path = "common/signals.rs"]
mod signals;

const USAGE: &str = "chat [PORT | HOST:PORT | PATH]";
const LONGEST_LINE: usize = 64 * 1024;

fn main() -> Result<(), Error> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let place: Option<ListenOptions> = match &words[..] {
        [] => arguments::place("8124"),
        [word] => arguments::place(word),
        _ => None,
    };
    let place = place.unwrap_or_else(|| arguments::refuse(USAGE));

    let event_loop = EventLoop::new()?;
    // Who does not read what the others say loses the connection, instead of filling the memory.
    let options = ServerOptions::default()
        .no_delay(true)
        .max_queued(1024 * 1024);
    let mut guests = 0;
    let server = net::create_server_with(&event_loop, options, move |socket| {
        guests += 1;
        let name = format!("guest {guests}");
        tell_others(socket, &format!("{name} joined\n"));
        socket.set_handler(Guest {
            name,
            line: Vec::new(),
        });
    });
    signals::shut_down_on_signal(&server)?;
    server.listen(place, |server| {
        println!("listening on {}", server.address().unwrap());
    })?;
    event_loop.run()
}

struct Guest {
    name: String,
    line: Vec<u8>,
}

impl Handler for Guest {
    /// A stream knows no lines: this may be half of one, or several.
    fn on_data(&mut self, socket: &Socket, data: &[u8]) {
        for piece in data.split_inclusive(|byte| *byte == b'\n') {
            self.line.extend_from_slice(piece);
            if piece.ends_with(b"\n") {
                self.say_line(socket);
            }
        }
        if self.line.len() > LONGEST_LINE {
            socket.destroy_with(Error::other("the line is too long"));
        }
    }

    /// What was said last need not end with a line end.
    fn on_end(&mut self, socket: &Socket) {
        if !self.line.is_empty() {
            self.line.push(b'\n');
            self.say_line(socket);
        }
    }

    fn on_error(&mut self, _: &Socket, error: &Error) {
        eprintln!("{}: {error}", self.name);
    }

    fn on_close(&mut self, socket: &Socket, _had_error: bool) {
        tell_others(socket, &format!("{} left\n", self.name));
    }
}

impl Guest {
    fn say_line(&mut self, socket: &Socket) {
        let line = String::from_utf8_lossy(&self.line);
        tell_others(socket, &format!("{}: {line}", self.name));
        self.line.clear();
    }
}

fn tell_others(socket: &Socket, text: &str) {
    let server = socket.server().expect("the server accepted it");
    for other in server.sockets() {
        // One that has ended would take the text for an error.
        if other != *socket && other.writable() {
            other.write(text);
        }
    }
}
