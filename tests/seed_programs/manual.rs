//! The programs of the v0.10 manual's page on `net`, and the book example that is its echo server with more to say.

use std::net::{Ipv4Addr, TcpListener};
use std::path::Path;
use std::time::Duration;

use tidewheel::net::{self, Address, ConnectOptions, ListenOptions, Server, Socket};
use tidewheel::{Code, Error, LoopHandle};

use super::console::{accept, address_json, answer, here, run, seen, serve, Console};
use super::node::text;
use super::programs::{Peer, SocketPath};
use crate::census::EventLoop;

/// The echo server, on a port or a path.
fn echo(event_loop: &LoopHandle, console: &Console, at: impl Into<ListenOptions>) -> Server {
    let log = console.clone();
    let server = net::create_server(event_loop, move |c| {
        log.log("client connected");
        let log = log.clone();
        c.on_end(move |_| log.log("client disconnected"));
        c.write("hello\r\n");
        c.pipe(c);
    });
    let log = console.clone();
    server.listen(at, move |_| log.log("server bound")).unwrap();
    server
}

/// What anybody may expect of it.
fn is_echo(address: &str, console: &Console) {
    console.says(["server bound"]);
    let mut peer = Peer::to(address);
    peer.hear("hello\r\n");
    console.says(["client connected"]);
    peer.say("world!\r\n");
    peer.hear("world!\r\n");
    assert!(console.rest().is_empty());
    peer.round_trip(3 << 20);
    console.says(["client disconnected"]);
}

#[test]
fn s003_l025_echo() {
    let (event_loop, console) = (EventLoop::new().unwrap(), Console::default());
    let server = echo(&event_loop, &console, 0);
    let (address, log) = (here(&server), console.clone());
    serve(&event_loop, &server, move || is_echo(&address, &log));
    assert!(console.rest().is_empty());
}

#[test]
fn s003_l045_echo_unix() {
    let (event_loop, console) = (EventLoop::new().unwrap(), Console::default());
    let path = SocketPath::new();
    let server = echo(&event_loop, &console, Path::new(path.as_str()));
    let (address, log) = (path.as_str().to_owned(), console.clone());
    serve(&event_loop, &server, move || is_echo(&address, &log));
    assert!(console.rest().is_empty());
    assert!(!Path::new(path.as_str()).exists());
}

/// The client of the echo server.
fn client(event_loop: &LoopHandle, console: &Console, options: ConnectOptions) -> Socket {
    let log = console.clone();
    let client = net::connect(event_loop, options, move |client| {
        log.log("connected to server!");
        client.write("world!\r\n");
    });
    let log = console.clone();
    client.on_data(move |client, data| {
        log.log(String::from_utf8_lossy(data));
        client.end();
    });
    let log = console.clone();
    client.on_end(move |_| log.log("disconnected from server"));
    client
}

/// The server's side of it. The echo is held back until the client has ended: to end is not to stop reading.
fn answers_client(mut peer: Peer, console: &Console) {
    peer.say("hello\r\n");
    assert_eq!(peer.rest(), "world!\r\n");
    console.says(["connected to server!", "hello\r\n"]);
    peer.say("world!\r\n");
    console.says(["world!\r\n"]);
}

#[test]
fn s003_l084_client() {
    let (event_loop, console) = (EventLoop::new().unwrap(), Console::default());
    let log = console.clone();
    let (port, server) = answer(move |listener| answers_client(accept(listener), &log));
    client(&event_loop, &console, ConnectOptions::default().port(port));
    run(&event_loop);
    server.join();
    assert_eq!(console.rest(), ["disconnected from server"]);
}

/// The original's line has a `;` for its `)`. Both ends are the manual's here.
#[test]
fn s003_l100_client_unix() {
    let event_loop = EventLoop::new().unwrap();
    let (here, there) = (Console::default(), Console::default());
    let path = SocketPath::new();
    let path = Path::new(path.as_str());
    let server = echo(&event_loop, &there, path);
    let client = client(&event_loop, &here, ConnectOptions::default().path(path));
    client.on_close(move |_, had_error| {
        assert!(!had_error);
        server.close();
    });
    run(&event_loop);
    let lines = here.rest();
    let [first, heard @ .., last] = &lines[..] else {
        panic!("{lines:?}");
    };
    assert_eq!(first, "connected to server!");
    // The echo may have come together with the greeting.
    assert_eq!(heard.concat(), "hello\r\nworld!\r\n");
    assert_eq!(last, "disconnected from server");
    there.says(["server bound", "client connected", "client disconnected"]);
    assert!(there.rest().is_empty());
}

/// Listens, and again as long as the address is in use. What the original hears by `error` is returned here.
fn listen(server: &Server, console: &Console, at: Address, wait: Duration) -> Result<(), Error> {
    match server.listen(at.clone(), |_| {}) {
        Err(e) if e.code() == Code::AddrInUse => {
            console.log("Address in use, retrying...");
            let (server, console) = (server.clone(), console.clone());
            server.clone().event_loop().set_timeout(wait, move |_| {
                server.close();
                listen(&server, &console, at, wait).unwrap();
            });
            Ok(())
        }
        result => result,
    }
}

#[test]
fn s003_l142_retry() {
    let (event_loop, console) = (EventLoop::new().unwrap(), Console::default());
    let log = console.clone();
    let server = net::create_server(&event_loop, |socket| socket.end_with("here\n"));
    server.on_listening(move |_| log.log("server bound"));
    let in_the_way = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = in_the_way.local_addr().unwrap();
    let wait = Duration::from_millis(10);
    listen(&server, &console, address.into(), wait).unwrap();
    assert!(!server.listening());
    let log = console.clone();
    serve(&event_loop, &server, move || {
        log.says(["Address in use, retrying..."; 3]);
        drop(in_the_way);
        // It may have tried once more before.
        let mut line = log.line();
        while line == "Address in use, retrying..." {
            line = log.line();
        }
        assert_eq!(line, "server bound");
        assert_eq!(Peer::to(&address.to_string()).rest(), "here\n");
    });
    assert!(console.rest().is_empty());
}

/// The server that says goodbye, on a port that the system chooses.
#[test]
fn s003_l198_goodbye() {
    let (event_loop, console) = (EventLoop::new().unwrap(), Console::default());
    let server = net::create_server(&event_loop, |socket| socket.end_with("goodbye\n"));
    // Today's Node and we listen for IPv4 and IPv6 both, v0.10 did for IPv4 alone.
    let log = console.clone();
    server
        .listen(ListenOptions::default(), move |server| {
            log.log(format!("opened server on {}", address_json(server)));
        })
        .unwrap();
    let port = server.address().unwrap().port().unwrap();
    let any = match seen(&server) {
        "127.0.0.1" => r#"{"address":"0.0.0.0","family":"IPv4""#,
        _ => r#"{"address":"::","family":"IPv6""#,
    };
    let (address, log) = (here(&server), console.clone());
    serve(&event_loop, &server, move || {
        log.says([format!(r#"opened server on {any},"port":{port}}}"#)]);
        for _ in 0..3 {
            assert_eq!(Peer::to(&address).rest(), "goodbye\n");
        }
        // What it is told it does not read, nor does that keep it open.
        let mut peer = Peer::to(&address);
        peer.hear("goodbye\n");
        peer.say("wait!");
        assert_eq!(peer.rest(), "");
    });
    assert!(console.rest().is_empty());
}

/// The book's server that repeats what it is told. That it puts nothing between address and port, and its "cliend",
/// are what it prints.
fn repeating(event_loop: &LoopHandle, console: &Console) -> Server {
    let log = console.clone();
    let server = net::create_server(event_loop, move |conn| {
        log.log("connected");
        let said = log.clone();
        conn.on_data(move |conn, data| {
            let data = String::from_utf8_lossy(data);
            let (address, port) = (conn.remote_address(), conn.remote_port());
            said.log(format!("{data} from {}{}", text(address), text(port)));
            conn.write(format!("Repeating: {data}"));
        });
        let log = log.clone();
        conn.on_close(move |_, _| log.log("cliend closed connection"));
    });
    server.listen(0, |_| {}).unwrap();
    let port = server.address().and_then(|address| address.port());
    console.log(format!("listening on port {}", text(port)));
    server
}

#[test]
fn s001_l021_repeating() {
    let (event_loop, console) = (EventLoop::new().unwrap(), Console::default());
    let server = repeating(&event_loop, &console);
    let port = server.address().unwrap().port().unwrap();
    let (seen, address, log) = (seen(&server), here(&server), console.clone());
    log.says([format!("listening on port {port}")]);
    serve(&event_loop, &server, move || {
        let mut peer = Peer::to(&address);
        let from = format!(" from {seen}{}", peer.local_port());
        log.says(["connected"]);
        for words in ["one", "two\r\n", "drei und vier"] {
            peer.say(words);
            peer.hear(&format!("Repeating: {words}"));
            log.says([format!("{words}{from}")]);
        }
        peer.end();
        assert_eq!(peer.rest(), "");
        log.says(["cliend closed connection"]);

        // A peer that breaks off is told by `close` too; the error that nobody listens to would end the original.
        let mut peer = Peer::to(&address);
        log.says(["connected"]);
        peer.say("five");
        peer.hear("Repeating:");
        peer.reset();
        assert!(log.line().starts_with("five from "));
        log.says(["cliend closed connection"]);
    });
    assert!(console.rest().is_empty());
}
