//! The part that runs under valgrind: an echo server that takes a turn when it is told to, and parts without a server.

use std::io::{Read, Write};
use std::process::ExitCode;
use std::time::Duration;

use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token};
use slab::Slab;
use tidewheel::net::{self, Handler, ServerOptions, Socket, WriteStatus};
use tidewheel::EventLoop;

use crate::counted;

/// On standard input: take a turn that counts, or one that does not. Each is answered by a byte.
pub const COUNTED: u8 = b'c';
pub const PLAIN: u8 = b'p';

pub fn serve(role: &str, rest: &[String]) -> ExitCode {
    let size = rest.first().and_then(|word| word.parse().ok());
    match (role, size) {
        ("touch", Some(size)) => counted::touch(size),
        ("rearm", Some(size)) => counted::rearm(size),
        ("insert", Some(size)) => counted::insert(size),
        ("pipe", None) => echo(|socket| {
            socket.pipe(socket);
        }),
        ("timeout", None) => echo(|socket| {
            socket.set_timeout(Duration::from_secs(120));
            socket.pipe(socket);
        }),
        ("listener", None) => echo(echo_by_hand),
        ("handler", None) => echo(|socket| {
            socket.set_handler(Echo);
        }),
        ("bare", None) => bare(),
        _ => return ExitCode::FAILURE,
    }
    ExitCode::SUCCESS
}

/// As the example `echo` does with `--listener`.
fn echo_by_hand(socket: &Socket) {
    socket.on_data(|socket, data| {
        if socket.write(data) == WriteStatus::Queued {
            socket.pause();
        }
    });
    socket.on_drain(|socket| {
        socket.resume();
    });
    socket.on_end(|socket| socket.end());
}

struct Echo;

impl Handler for Echo {
    fn on_data(&mut self, socket: &Socket, data: &[u8]) {
        if socket.write(data) == WriteStatus::Queued {
            socket.pause();
        }
    }

    fn on_drain(&mut self, socket: &Socket) {
        socket.resume();
    }
}

fn echo(on_connection: impl FnMut(&Socket) + 'static) {
    let event_loop = EventLoop::new().unwrap();
    let options = ServerOptions::default().no_delay(true);
    let server = net::create_server_with(&event_loop, options, on_connection);
    server.listen(("127.0.0.1", 0), |_| {}).unwrap();
    event_loop.turn(Some(Duration::ZERO)).unwrap();
    let port = server.address().unwrap().port().unwrap();
    obey(port, |command| {
        if command == COUNTED {
            counted::turn(&event_loop);
        } else {
            event_loop.turn(Some(Duration::ZERO)).unwrap();
        }
    });
}

/// The same on mio alone.
fn bare() {
    let mut listener = TcpListener::bind(([127, 0, 0, 1], 0).into()).unwrap();
    let port = listener.local_addr().unwrap().port();
    let mut poll = Poll::new().unwrap();
    let mut events = Events::with_capacity(1024);
    let mut buffer = vec![0; 64 * 1024];
    let mut streams: Slab<TcpStream> = Slab::new();
    let registry = poll.registry();
    let of_listener = Token(usize::MAX);
    registry
        .register(&mut listener, of_listener, Interest::READABLE)
        .unwrap();
    let mut turn = || {
        poll.poll(&mut events, Some(Duration::ZERO)).unwrap();
        for event in &events {
            if event.token() == of_listener {
                while let Ok((mut stream, _)) = listener.accept() {
                    let token = Token(streams.vacant_key());
                    poll.registry()
                        .register(&mut stream, token, Interest::READABLE)
                        .unwrap();
                    streams.insert(stream);
                }
                continue;
            }
            let stream = &mut streams[event.token().0];
            match stream.read(&mut buffer) {
                Ok(read @ 1..) => stream.write_all(&buffer[..read]).unwrap(),
                _ => drop(streams.remove(event.token().0)),
            }
        }
    };
    obey(port, |command| {
        if command == COUNTED {
            counted::call(&mut turn);
        } else {
            turn();
        }
    });
}

/// Says where it listens, and takes turns as it is told to.
fn obey(port: u16, mut turn: impl FnMut(u8)) {
    let mut output = std::io::stdout();
    output.write_all(&port.to_be_bytes()).unwrap();
    output.flush().unwrap();
    let mut command = [0];
    while std::io::stdin().read_exact(&mut command).is_ok() {
        turn(command[0]);
        output.write_all(&command).unwrap();
        output.flush().unwrap();
    }
}
