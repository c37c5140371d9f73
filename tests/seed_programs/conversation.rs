//! The pair of programs that report addresses, bytes, ends and errors: three clients, and the server that answers them.

use std::io::Write;
use std::time::Duration;

use tidewheel::net::{self, Encoding, Server, Socket, WriteStatus};
use tidewheel::{Code, Error, LoopHandle};

use super::console::{accept, address_json, answer, here, run, seen, serve, Console};
use super::node::{json, local, remote, text};
use super::programs::teaching::{check_client, is_time_out};
use super::programs::{refusing, Peer};
use crate::census::EventLoop;

const RESET: &str = r#"Socket Error:  {"errno":-104,"code":"ECONNRESET","syscall":"read"}"#;

fn clients(event_loop: &LoopHandle, console: &Console, port: u16) {
    let dwarves = get_connection(event_loop, console, port, "Dwarves");
    let elves = get_connection(event_loop, console, port, "Elves");
    let hobbits = get_connection(event_loop, console, port, "Hobbits");
    // The original's test of what `write` answers is inverted: these are taken, and nothing follows that could wait.
    dwarves.write("More Axes");
    elves.write("More Arrows");
    hobbits.write("More Pipe Weed");
}

fn get_connection(
    event_loop: &LoopHandle,
    console: &Console,
    port: u16,
    name: &'static str,
) -> Socket {
    let log = console.clone();
    net::connect(event_loop, ("localhost", port), move |this| {
        log.log(format!("{name} Connected: "));
        log.log(format!("   local = {}", local(this)));
        log.log(format!("   remote = {}", remote(this)));
        this.set_timeout(Duration::from_millis(500));
        this.set_encoding(Some(Encoding::Utf8));
        let to = log.clone();
        this.on_text(move |this, data| {
            to.log(format!("{name} From Server: {data}"));
            this.end();
        });
        let to = log.clone();
        this.on_end(move |_| to.log(format!("{name} Client disconnected")));
        let to = log.clone();
        this.on_error(move |_, err| to.log(format!("Socket Error:  {}", json(err))));
        let to = log.clone();
        this.on_timeout(move |_| to.log("Socket Timed Out"));
        this.on_close(move |_, _| log.log("Socket Closed"));
    })
}

/// All are answered.
#[test]
fn s004_l113_client() {
    let (event_loop, console) = (EventLoop::new().unwrap(), Console::default());
    let (port, server) = answer(|listener| {
        let peers = [(); 3].map(|()| accept(listener));
        for mut peer in peers {
            let words = ["More Axes", "More Arrows", "More Pipe Weed"];
            let words = words.into_iter().find(|words| peer.is_next(&words[..9]));
            let words = words.expect("one of the three");
            peer.hear(words);
            peer.say(&format!("Sending: {words}"));
            assert_eq!(peer.rest(), "");
        }
    });
    clients(&event_loop, &console, port);
    run(&event_loop);
    server.join();
    check_client(&console.rest(), port);
}

/// One hears nothing for too long, which alone changes nothing; one is cut off.
#[test]
fn s004_l113_client_in_trouble() {
    let (event_loop, console) = (EventLoop::new().unwrap(), Console::default());
    let log = console.clone();
    let (port, server) = answer(move |listener| {
        let mut waits = accept(listener);
        log.says(["Elves Connected: "]);
        log.line();
        log.line();
        assert!(waits.is_next("More Arrows"));
        log.says(["Socket Timed Out"]);
        waits.say("at last");
        says(&log, ["Elves From Server: at last"]);
        assert_eq!(waits.rest(), "More Arrows");
        drop(waits);
        says(&log, ["Elves Client disconnected", "Socket Closed"]);
    });
    let elves = get_connection(&event_loop, &console, port, "Elves");
    elves.write("More Arrows");
    run(&event_loop);
    server.join();

    let log = console.clone();
    let (port, server) = answer(move |listener| {
        let cut_off = accept(listener);
        assert!(cut_off.is_next("More Pipe Weed"));
        log.says(["Hobbits Connected: "]);
        cut_off.reset();
    });
    let hobbits = get_connection(&event_loop, &console, port, "Hobbits");
    hobbits.write("More Pipe Weed");
    run(&event_loop);
    server.join();
    let mut lines = console.rest();
    lines.retain(|line| !line.starts_with("   ") && !is_time_out(line));
    assert_eq!(lines, [RESET, "Socket Closed"]);
}

/// Its listeners are added on connect: of a refusal it prints nothing, and ends with the error.
#[test]
fn s004_l113_client_refused() {
    let (event_loop, console) = (EventLoop::new().unwrap(), Console::default());
    let (address, _held) = refusing();
    clients(&event_loop, &console, address.port());
    let error = event_loop.run().unwrap_err();
    assert_eq!(error.code(), Code::ConnRefused);
    assert!(console.rest().is_empty());
}

fn server(event_loop: &LoopHandle, console: &Console, port: u16) -> Result<Server, Error> {
    let log = console.clone();
    let server = net::create_server(event_loop, move |client| {
        log.log("Client connection: ");
        log.log(format!("   local = {}", local(client)));
        log.log(format!("   remote = {}", remote(client)));
        client.set_timeout(Duration::from_millis(500));
        client.set_encoding(Some(Encoding::Utf8));
        let to = log.clone();
        client.on_text(move |client, data| {
            let port = text(client.remote_port());
            to.log(format!("Received data from client on port {port}: {data}"));
            to.log(format!("  Bytes received: {}", client.bytes_read()));
            write_data(client, &format!("Sending: {data}"));
            to.log(format!("  Bytes sent: {}", client.bytes_written()));
        });
        let to = log.clone();
        client.on_end(move |client| {
            to.log("Client disconnected");
            client.server().unwrap().get_connections(move |count| {
                to.log(format!("Remaining Connections: {}", text(count.ok())));
            });
        });
        let to = log.clone();
        client.on_error(move |_, err| to.log(format!("Socket Error:  {}", json(err))));
        let to = log.clone();
        client.on_timeout(move |_| to.log("Socket Timed out"));
    });
    let log = console.clone();
    server.listen(port, move |server| {
        log.log(format!("Server listening: {}", address_json(server)));
        let to = log.clone();
        server.on_close(move |_| to.log("Server Terminated"));
        server.on_error(move |_, err| log.log(format!("Server Error:  {}", json(err))));
    })?;
    Ok(server)
}

/// In the original the test is inverted, and after `drain` it writes again what `write` had taken all the same. A server
/// that answers what it reads waits by not reading.
fn write_data(socket: &Socket, data: &str) {
    if socket.write(data) == WriteStatus::Queued {
        socket.pause();
        socket.once_drain(|socket| {
            socket.resume();
        });
    }
}

#[test]
fn s004_l167_server() {
    let (event_loop, console) = (EventLoop::new().unwrap(), Console::default());
    let server = server(&event_loop, &console, 0).unwrap();
    let (address, seen) = (here(&server), seen(&server));
    let (json, log) = (address_json(&server), console.clone());
    serve(&event_loop, &server, move || {
        says(&log, [format!("Server listening: {json}")]);
        let mut peer = connect(&address, seen, &log);
        says_and_hears(&mut peer, &log, "More Axes", (9, 18));
        says_and_hears(&mut peer, &log, "More Arrows", (20, 38));
        // Bytes are counted when they come, characters told when they are whole.
        peer.write_all(b"A\xc3").unwrap();
        peer.hear("Sending: A");
        peer.write_all(b"\xa9").unwrap();
        peer.hear("Sending: \u{e9}");
        let name = peer.local_port();
        says(
            &log,
            [
                &format!("Received data from client on port {name}: A"),
                "  Bytes received: 22",
                "  Bytes sent: 48",
                &format!("Received data from client on port {name}: \u{e9}"),
                "  Bytes received: 23",
                "  Bytes sent: 59",
            ],
        );
        log.says(["Socket Timed out"]);
        let mut other = connect(&address, seen, &log);
        peer.end();
        assert_eq!(peer.rest(), "");
        // Who is ending still counts.
        says(&log, ["Client disconnected", "Remaining Connections: 2"]);

        other.say("More Pipe Weed");
        other.hear("Sending: ");
        let name = other.local_port();
        other.reset();
        says(
            &log,
            [
                &format!("Received data from client on port {name}: More Pipe Weed"),
                "  Bytes received: 14",
                "  Bytes sent: 23",
                RESET,
            ],
        );
    });
    says(&console, ["Server Terminated"]);
    assert!(console.rest().is_empty());
}

/// Checks the next lines. A busy machine may add time-outs.
#[track_caller]
fn says<T: Into<String>>(console: &Console, wanted: impl IntoIterator<Item = T>) {
    for wanted in wanted {
        let mut line = console.line();
        while is_time_out(&line) {
            line = console.line();
        }
        assert_eq!(line, wanted.into());
    }
}

/// Connects, and reads what the server prints of it.
fn connect(address: &str, seen: &str, console: &Console) -> Peer {
    let peer = Peer::to(address);
    let port = address.rsplit(':').next().unwrap();
    says(
        console,
        [
            "Client connection: ",
            &format!("   local = {seen}:{port}"),
            &format!("   remote = {seen}:{}", peer.local_port()),
        ],
    );
    peer
}

fn says_and_hears(peer: &mut Peer, console: &Console, words: &str, bytes: (u64, u64)) {
    peer.say(words);
    peer.hear(&format!("Sending: {words}"));
    let port = peer.local_port();
    says(
        console,
        [
            format!("Received data from client on port {port}: {words}"),
            format!("  Bytes received: {}", bytes.0),
            format!("  Bytes sent: {}", bytes.1),
        ],
    );
}

/// Its listener of `error` is added on listening: a port that is taken is what `listen` returns.
#[test]
fn s004_l167_server_on_a_port_that_is_taken() {
    let (event_loop, console) = (EventLoop::new().unwrap(), Console::default());
    let first = server(&event_loop, &console, 0).unwrap();
    let port = first.address().unwrap().port().unwrap();
    let error = server(&event_loop, &console, port).unwrap_err();
    assert_eq!(error.code(), Code::AddrInUse);
    first.close();
    run(&event_loop);
    assert!(console.rest().is_empty());
}
