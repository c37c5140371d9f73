//! A SOCKS5 proxy (RFC 1928): CONNECT, without authentication. Try it with
//! `curl --proxy socks5h://127.0.0.1:1080 http://localhost:8000`.
//!
//! It reads a few messages by itself, and then hands the connection over to `pipe`.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use tidewheel::net::{self, ConnectOptions, EventKind, Host, ListenOptions, ServerOptions, Socket};
use tidewheel::{Code, Error, EventLoop};

#[path = "common/arguments.rs"]
mod arguments;
#[path = "common/signals.rs"]
mod signals;

const USAGE: &str = "socks [PORT | HOST:PORT | PATH]";

/// How long a client may take to say what it wants, and how long connecting may take.
const PATIENCE: Duration = Duration::from_secs(10);

// The first byte of every message, and the answers to a request.
const VERSION: u8 = 5;
const GRANTED: u8 = 0;
const FAILED: u8 = 1;
const NET_UNREACHABLE: u8 = 3;
const HOST_UNREACHABLE: u8 = 4;
const REFUSED: u8 = 5;
const TIMED_OUT: u8 = 6;
const NO_SUCH_COMMAND: u8 = 7;
const NO_SUCH_ADDRESS_TYPE: u8 = 8;

fn main() -> Result<(), Error> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let place: Option<ListenOptions> = match &words[..] {
        [] => arguments::place("1080"),
        [word] => arguments::place(word),
        _ => None,
    };
    let place = place.unwrap_or_else(|| arguments::refuse(USAGE));

    let event_loop = EventLoop::new()?;
    // Half open, so that one side may end its question and still hear the whole answer.
    let options = ServerOptions::default()
        .allow_half_open(true)
        .no_delay(true)
        .timeout(PATIENCE);
    let server = net::create_server_with(&event_loop, options, serve);
    signals::shut_down_on_signal(&server)?;
    server.listen(place, |server| {
        println!("listening on {}", server.address().unwrap());
    })?;
    event_loop.run()
}

fn serve(client: &Socket) {
    client.on_timeout(Socket::destroy);
    client.on_error(|_, error| eprintln!("client: {error}"));
    // Without a request there is nothing to say.
    client.on_end(Socket::end);
    let mut input = Vec::new();
    let mut greeted = false;
    client.on_data(move |client, data| {
        // A message may come in pieces, and several may come in one.
        input.extend_from_slice(data);
        if !greeted {
            match read_greeting(&input) {
                Read::More => return,
                Read::Wrong(answer) => return client.end_with([VERSION, answer]),
                Read::Done((), length) => {
                    input.drain(..length);
                    greeted = true;
                    client.write([VERSION, GRANTED]);
                }
            }
        }
        match read_request(&input) {
            Read::More => {}
            Read::Wrong(answer) => client.end_with(reply(answer, None)),
            Read::Done(target, length) => {
                // These have done their part.
                client.remove_all_listeners(EventKind::Data);
                client.remove_all_listeners(EventKind::End);
                open(client, target, input.split_off(length));
            }
        }
    });
}

/// Connects to what the client asked for; `early` is what it has said to the other side already.
fn open(client: &Socket, target: (Host, u16), early: Vec<u8>) {
    let options = ConnectOptions::from(target)
        .allow_half_open(true)
        .no_delay(true)
        .connect_timeout(PATIENCE);
    let asking = client.clone();
    let upstream = net::connect(client.event_loop(), options, move |upstream| {
        let local = upstream.local_address().zip(upstream.local_port());
        asking.write(reply(GRANTED, local));
        asking.set_timeout(Duration::ZERO);
        upstream.pipe(&asking);
        // `pipe` carries data and end, at the pace of the slower. What it does not carry is a failure.
        upstream.on_close(move |_, had_error| {
            if had_error || asking.readable() {
                asking.destroy();
            }
        });
    });
    // No need to wait until it is connected: what is written and piped into it until then waits.
    upstream.write(early);
    client.pipe(&upstream);
    let asking = client.clone();
    upstream.on_error(move |upstream, error| {
        eprintln!("upstream: {error}");
        let was_connected = upstream.remote().is_some();
        if !was_connected {
            asking.end_with(reply(why(error), None));
            // The pipe has left it paused. What it still says is for nobody.
            asking.resume();
        }
    });
    client.on_close(move |_, had_error| {
        if had_error || upstream.readable() {
            upstream.destroy();
        }
    });
}

/// What the bytes so far come to: not yet a whole message, a wrong one with the answer to it, or a message and its
/// length.
enum Read<T> {
    More,
    Wrong(u8),
    Done(T, usize),
}

/// Version, number of methods, methods.
fn read_greeting(bytes: &[u8]) -> Read<()> {
    const NO_AUTHENTICATION: u8 = 0;
    const NONE_OF_THEM: u8 = 0xff;
    match bytes {
        [] | [VERSION] => Read::More,
        [VERSION, count, methods @ ..] => match methods.get(..usize::from(*count)) {
            None => Read::More,
            Some(methods) if methods.contains(&NO_AUTHENTICATION) => {
                Read::Done((), 2 + methods.len())
            }
            Some(_) => Read::Wrong(NONE_OF_THEM),
        },
        _ => Read::Wrong(NONE_OF_THEM),
    }
}

/// Version, command, a zero, type of the address, address, port.
fn read_request(bytes: &[u8]) -> Read<(Host, u16)> {
    const CONNECT: u8 = 1;
    let &[version, command, _, kind, first, ..] = bytes else {
        return Read::More;
    };
    let (start, length) = match kind {
        1 => (4, 4),
        3 => (5, usize::from(first)),
        4 => (4, 16),
        _ => return Read::Wrong(NO_SUCH_ADDRESS_TYPE),
    };
    if (version, command) != (VERSION, CONNECT) {
        return Read::Wrong(NO_SUCH_COMMAND);
    }
    let end = start + length;
    let Some(&[high, low]) = bytes.get(end..end + 2) else {
        return Read::More;
    };
    let address = &bytes[start..end];
    let host: Host = match kind {
        1 => Ipv4Addr::from(<[u8; 4]>::try_from(address).expect("4 long")).into(),
        4 => Ipv6Addr::from(<[u8; 16]>::try_from(address).expect("16 long")).into(),
        _ => String::from_utf8_lossy(address).into_owned().into(),
    };
    Read::Done((host, u16::from_be_bytes([high, low])), end + 2)
}

/// Version, result, a zero, the address we have on the other side.
fn reply(result: u8, local: Option<(IpAddr, u16)>) -> Vec<u8> {
    let (ip, port) = local.unwrap_or((Ipv4Addr::UNSPECIFIED.into(), 0));
    let mut reply = vec![VERSION, result, 0];
    match ip {
        IpAddr::V4(ip) => {
            reply.push(1);
            reply.extend(ip.octets());
        }
        IpAddr::V6(ip) => {
            reply.push(4);
            reply.extend(ip.octets());
        }
    }
    reply.extend(port.to_be_bytes());
    reply
}

fn why(error: &Error) -> u8 {
    match error.code() {
        Code::NetUnreachable => NET_UNREACHABLE,
        Code::HostUnreachable | Code::HostNotFound => HOST_UNREACHABLE,
        Code::ConnRefused => REFUSED,
        Code::TimedOut => TIMED_OUT,
        _ => FAILED,
    }
}
