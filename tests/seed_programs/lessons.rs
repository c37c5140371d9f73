//! The first programs of two lessons on `net`: a client that says one thing, and a server that tells what it hears.

use tidewheel::net::{self, Server, Socket};
use tidewheel::LoopHandle;

use super::console::{accept, answer, here, run, serve, Console};
use super::programs::Peer;
use crate::census::EventLoop;

/// The client: it says `words`, prints the answer and hangs up.
fn client(event_loop: &LoopHandle, console: &Console, port: u16, words: &'static str) -> Socket {
    let log = console.clone();
    let client = net::connect(event_loop, ("localhost", port), move |client| {
        log.log("Client connected");
        client.write(words);
    });
    let log = console.clone();
    client.on_data(move |client, data| {
        log.log(String::from_utf8_lossy(data));
        client.end();
    });
    let log = console.clone();
    client.on_end(move |_| log.log("Client disconnected"));
    client
}

/// Runs it against a server that answers once it has heard all, and then hangs up as well.
fn check_client(words: &'static str) {
    let (event_loop, console) = (EventLoop::new().unwrap(), Console::default());
    let log = console.clone();
    let (port, server) = answer(move |listener| {
        let mut peer = accept(listener);
        peer.hear(words);
        log.says(["Client connected"]);
        assert!(log.rest().is_empty());
        peer.say("Hello");
        // It ends its own side on the answer; `end` comes with the peer's FIN, not with its own.
        assert_eq!(peer.rest(), "");
        log.says(["Hello"]);
        assert!(log.rest().is_empty());
    });
    client(&event_loop, &console, port, words);
    run(&event_loop);
    server.join();
    assert_eq!(console.rest(), ["Client disconnected"]);
}

#[test]
fn s000_l098_client() {
    check_client("Some Data\n");
}

#[test]
fn s004_l045_client() {
    check_client("some data \r\n");
}

/// The client that only says something. The original means a variable `client` that is not there; here the listener is
/// given the socket.
#[test]
fn s004_l066_client() {
    let (event_loop, console) = (EventLoop::new().unwrap(), Console::default());
    let (port, server) = answer(|listener| {
        let mut peer = accept(listener);
        peer.hear("some data \r\n");
        // Nobody listens to `data`, but there is none: so the end is noticed, and answered.
        peer.end();
        assert_eq!(peer.rest(), "");
    });
    let log = console.clone();
    net::connect(&event_loop, ("localhost", port), move |client| {
        log.log("Client connected");
        client.write("some data \r\n");
    });
    run(&event_loop);
    server.join();
    assert_eq!(console.rest(), ["Client connected"]);
}

/// The server: it greets, and tells what it hears.
fn server(
    event_loop: &LoopHandle,
    console: &Console,
    connected: &'static str,
    listening: &'static str,
) -> Server {
    let log = console.clone();
    let server = net::create_server(event_loop, move |client| {
        log.log(connected);
        let heard = log.clone();
        client.on_data(move |_, data| {
            heard.log(format!("Client sent {}", String::from_utf8_lossy(data)));
        });
        let log = log.clone();
        client.on_end(move |_| log.log("Client disconnected"));
        client.write("Hello");
    });
    let log = console.clone();
    server.listen(0, move |_| log.log(listening)).unwrap();
    server
}

fn check_server(connected: &'static str, listening: &'static str) {
    let (event_loop, console) = (EventLoop::new().unwrap(), Console::default());
    let server = server(&event_loop, &console, connected, listening);
    let (address, log) = (here(&server), console.clone());
    serve(&event_loop, &server, move || {
        log.says([listening]);
        let mut first = Peer::to(&address);
        first.hear("Hello");
        let mut second = Peer::to(&address);
        second.hear("Hello");
        log.says([connected; 2]);
        first.say("Some Data\n");
        log.says(["Client sent Some Data\n"]);
        second.say("more");
        log.says(["Client sent more"]);
        second.end();
        // It never ends by itself; who ends is ended.
        assert_eq!(second.rest(), "");
        log.says(["Client disconnected"]);
        first.say("still here");
        log.says(["Client sent still here"]);
        first.end();
        assert_eq!(first.rest(), "");
        log.says(["Client disconnected"]);
    });
    assert!(console.rest().is_empty());
}

#[test]
fn s000_l176_server() {
    check_server("Client Connected", "Server listening for connections");
}

#[test]
fn s004_l084_server() {
    check_server("Client connected", "Server listening for connection");
}
