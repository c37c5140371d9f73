//! A store of keys and values, one command a line: `SET key value`, `GET key`, `DEL key`. Talk to it with
//! `nc 127.0.0.1 8124`.
//!
//! A client may send many commands at once. What is answered at once leaves at once, corked; and who asks for more than
//! it reads is not heard until it has read.

use std::cell::RefCell;
use std::collections::HashMap;
use std::mem;
use std::rc::Rc;

use tidewheel::net::{self, Handler, ListenOptions, ServerOptions, Socket, WriteStatus};
use tidewheel::{Error, EventLoop};

#[path = "common/arguments.rs"]
mod arguments;
#[path = "common/signals.rs"]
mod signals;

const USAGE: &str = "kv [PORT | HOST:PORT | PATH]";
const LONGEST_LINE: usize = 1024 * 1024;

type Store = HashMap<Vec<u8>, Vec<u8>>;

fn main() -> Result<(), Error> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let place: Option<ListenOptions> = match &words[..] {
        [] => arguments::place("8124"),
        [word] => arguments::place(word),
        _ => None,
    };
    let place = place.unwrap_or_else(|| arguments::refuse(USAGE));

    let event_loop = EventLoop::new()?;
    let store = Rc::new(RefCell::new(Store::new()));
    // Half open: when a client has sent all its commands and ended, some may still wait to be answered.
    let options = ServerOptions::default()
        .allow_half_open(true)
        .no_delay(true);
    let server = net::create_server_with(&event_loop, options, move |socket| {
        socket.set_handler(Client {
            store: Rc::clone(&store),
            input: Vec::new(),
        });
    });
    signals::shut_down_on_signal(&server)?;
    server.listen(place, |server| {
        println!("listening on {}", server.address().unwrap());
    })?;
    event_loop.run()
}

struct Client {
    store: Rc<RefCell<Store>>,
    /// What came and is not answered: half a line, or more after a `pause`.
    input: Vec<u8>,
}

impl Handler for Client {
    fn on_data(&mut self, socket: &Socket, data: &[u8]) {
        self.input.extend_from_slice(data);
        self.go_on(socket);
    }

    fn on_drain(&mut self, socket: &Socket) {
        self.go_on(socket);
    }

    fn on_end(&mut self, socket: &Socket) {
        // It comes also while paused, when nothing is unread; then the rest is answered after `drain`.
        if !socket.need_drain() {
            socket.end();
        }
    }

    fn on_error(&mut self, socket: &Socket, error: &Error) {
        eprintln!("{}: {error}", socket.remote().unwrap());
    }
}

impl Client {
    fn go_on(&mut self, socket: &Socket) {
        if !socket.corked(|socket| self.answer_lines(socket)) {
            socket.pause();
        } else if self.input.len() > LONGEST_LINE {
            socket.destroy_with(Error::other("the line is too long"));
        } else if socket.readable() {
            socket.resume();
        } else {
            socket.end();
        }
    }

    /// False if the client does not read the answers as fast as it asks.
    fn answer_lines(&mut self, socket: &Socket) -> bool {
        let input = mem::take(&mut self.input);
        let mut rest = &input[..];
        let mut answered = WriteStatus::Flushed;
        while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
            if !answered.is_ok() {
                break;
            }
            answered = answer(&mut self.store.borrow_mut(), socket, &rest[..end]);
            rest = &rest[end + 1..];
        }
        self.input = rest.to_vec();
        answered.is_ok()
    }
}

fn answer(store: &mut Store, socket: &Socket, line: &[u8]) -> WriteStatus {
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let mut words = line.splitn(3, |byte| *byte == b' ');
    match (words.next(), words.next(), words.next()) {
        (Some(b"SET"), Some(key), Some(value)) => {
            store.insert(key.to_vec(), value.to_vec());
            socket.write("OK\n")
        }
        (Some(b"GET"), Some(key), None) => match store.get(key) {
            Some(value) => {
                socket.write("= ");
                socket.write(value);
                socket.write("\n")
            }
            None => socket.write("NONE\n"),
        },
        (Some(b"DEL"), Some(key), None) => match store.remove(key) {
            Some(_) => socket.write("OK\n"),
            None => socket.write("NONE\n"),
        },
        _ => socket.write("what? SET key value, GET key, DEL key\n"),
    }
}
