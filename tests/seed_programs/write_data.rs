//! The lesson's client and server with time-outs, text, and a function that is to write no faster than the peer reads.

use std::cell::Cell;
use std::io::Write;
use std::iter;
use std::rc::Rc;
use std::time::Duration;

use tidewheel::net::{self, Encoding, Server, Socket, WriteStatus};
use tidewheel::LoopHandle;

use super::console::{accept, answer, here, run, serve, Console};
use super::programs::{Pattern, Peer};
use crate::census::EventLoop;

/// Much more than the kernel holds for a connection.
const MUCH: u64 = 32 << 20;

/// In the original the test is inverted, and after `drain` it writes again what `write` had taken all the same. What is
/// to wait for `drain` is what comes after.
fn write_data(socket: &Socket, mut data: impl Iterator<Item = Vec<u8>> + 'static) {
    while let Some(piece) = data.next() {
        if socket.write(piece) == WriteStatus::Queued {
            socket.once_drain(move |socket| write_data(socket, data));
            return;
        }
    }
}

/// The client. The original calls `this.encoding`, which is no function: it means `setEncoding`.
fn timeout_client(event_loop: &LoopHandle, console: &Console, port: u16) -> Socket {
    let log = console.clone();
    net::connect(event_loop, ("localhost", port), move |this| {
        this.set_timeout(Duration::from_millis(500));
        this.set_encoding(Some(Encoding::Utf8));
        this.on_text(move |this, data| {
            log.log(format!("Read from server: {data}"));
            this.end();
        });
    })
}

/// It gives `write_data` much, to a peer that does not read until the client has timed out: nothing happens to it.
#[test]
fn s000_l206_client_timeout() {
    let (event_loop, console) = (EventLoop::new().unwrap(), Console::default());
    let log = console.clone();
    let (port, server) = answer(move |listener| {
        let mut peer = accept(listener);
        log.says(["(timed out)"]);
        Pattern::default().receive(&mut peer, MUCH);
        // Half of a character waits for the other half, also when this side has ended meanwhile.
        peer.write_all(b"caf\xc3").unwrap();
        log.says(["Read from server: caf"]);
        assert_eq!(peer.rest(), "");
        peer.write_all(b"\xa9").unwrap();
        log.says(["Read from server: \u{e9}"]);
    });
    let client = timeout_client(&event_loop, &console, port);
    let log = console.clone();
    client.once_timeout(move |_| log.log("(timed out)"));
    let made = Rc::new(Cell::new(0));
    write_data(&client, pattern(&client, made.clone()));
    // Nothing is connected yet, so that the second piece has to wait.
    assert!((1..MUCH).contains(&made.get()));
    run(&event_loop);
    server.join();
    assert_eq!(made.get(), MUCH);
    assert!(console.rest().is_empty());
}

/// `MUCH` in pieces. None may be asked for while another waits.
fn pattern(socket: &Socket, made: Rc<Cell<u64>>) -> impl Iterator<Item = Vec<u8>> {
    let socket = socket.clone();
    let mut pattern = Pattern::default();
    iter::from_fn(move || {
        assert_eq!(socket.buffer_size(), 0);
        let next = pattern.next(MUCH - made.get()).to_vec();
        made.set(made.get() + next.len() as u64);
        (!next.is_empty()).then_some(next)
    })
}

/// The server. The original says `net.createSever`, and prints NaN for what it received by a `+` too many.
fn timeout_server(
    event_loop: &LoopHandle,
    console: &Console,
    process: impl Fn(&Socket, &str) + 'static,
) -> Server {
    let log = console.clone();
    let process = Rc::new(process);
    let server = net::create_server(event_loop, move |client| {
        client.set_timeout(Duration::from_millis(500));
        client.set_encoding(Some(Encoding::Utf8));
        let (log, process) = (log.clone(), process.clone());
        client.on_text(move |client, data| {
            log.log(format!("Received from client:  {data}"));
            process(client, data);
        });
    });
    let log = console.clone();
    server
        .listen(0, move |server| {
            server.on_close(move |_| log.log("Server Terminated"));
            server.on_error(|_, _| {});
        })
        .unwrap();
    server
}

#[test]
fn s000_l253_server() {
    let (event_loop, console) = (EventLoop::new().unwrap(), Console::default());
    let log = console.clone();
    let server = timeout_server(&event_loop, &console, move |client, _| {
        let log = log.clone();
        client.once_timeout(move |_| log.log("(timed out)"));
        write_data(client, pattern(client, Rc::default()));
    });
    let (address, log) = (here(&server), console.clone());
    serve(&event_loop, &server, move || {
        let mut peer = Peer::to(&address);
        peer.say("much, please");
        log.says(["Received from client:  much, please", "(timed out)"]);
        Pattern::default().receive(&mut peer, MUCH);
        peer.end();
        assert_eq!(peer.rest(), "");
        assert!(log.rest().is_empty());
    });
    assert_eq!(console.rest(), ["Server Terminated"]);
}
