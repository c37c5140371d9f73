//! A teaching client for Node's `net`, line for line in what it prints; `socket_server` is its server.

use std::time::Duration;

use tidewheel::net::{self, Encoding, Socket};
use tidewheel::{Error, EventLoop, LoopHandle};

#[path = "common/node.rs"]
mod node;

use node::{json, local, remote};

fn main() -> Result<(), Error> {
    let port = node::port("socket_client [PORT]");

    let event_loop = EventLoop::new()?;
    let dwarves = get_connection(&event_loop, port, "Dwarves");
    let elves = get_connection(&event_loop, port, "Elves");
    let hobbits = get_connection(&event_loop, port, "Hobbits");
    write_data(&dwarves, "More Axes");
    write_data(&elves, "More Arrows");
    write_data(&hobbits, "More Pipe Weed");
    event_loop.run()
}

fn get_connection(event_loop: &LoopHandle, port: u16, name: &'static str) -> Socket {
    net::connect(event_loop, ("localhost", port), move |client| {
        println!("{name} Connected: ");
        println!("   local = {}", local(client));
        println!("   remote = {}", remote(client));
        client.set_timeout(Duration::from_millis(500));
        client.set_encoding(Some(Encoding::Utf8));
        client.on_text(move |client, text| {
            println!("{name} From Server: {text}");
            client.end();
        });
        client.on_end(move |_| println!("{name} Client disconnected"));
        // Only from here on somebody listens to `error`: a connect that is refused ends the program with it.
        client.on_error(|_, error| println!("Socket Error:  {}", json(error)));
        client.on_timeout(|_| println!("Socket Timed Out"));
        client.on_close(|_, _| println!("Socket Closed"));
    })
}

/// The original has two faults here. It says `success = !socket.write(data)`, so that it waits for a `drain` just when
/// none will come; and on `drain` it writes the same data again, though `write` had taken it. `write` takes the data at
/// once, whatever it answers: `Queued`, as here, where nothing is connected yet, only asks to wait before sending
/// *more*, and this is all.
fn write_data(socket: &Socket, data: &str) {
    socket.write(data);
}
