//! A teaching server for Node's `net`, line for line in what it prints; `socket_client` is its client.
//!
//! ```js
//! server.listen(8107, function () { console.log("Server listening: " + JSON.stringify(server.address())); .. });
//! ```

use std::time::Duration;

use tidewheel::net::{self, Address, Encoding, Family, Server, Socket, WriteStatus};
use tidewheel::{Error, EventLoop};

#[path = "common/node.rs"]
mod node;

use node::{json, local, remote, text};

fn main() -> Result<(), Error> {
    let port = node::port("socket_server [PORT]");

    let event_loop = EventLoop::new()?;
    let server = net::create_server(&event_loop, |client| {
        println!("Client connection: ");
        println!("   local = {}", local(client));
        println!("   remote = {}", remote(client));
        client.set_timeout(Duration::from_millis(500));
        client.set_encoding(Some(Encoding::Utf8));
        client.on_text(|client, data| {
            println!(
                "Received data from client on port {}: {data}",
                text(client.remote_port())
            );
            println!("  Bytes received: {}", client.bytes_read());
            write_data(client, &format!("Sending: {data}"));
            println!("  Bytes sent: {}", client.bytes_written());
        });
        client.on_end(|client| {
            println!("Client disconnected");
            if let Some(server) = client.server() {
                server.get_connections(|count| {
                    println!("Remaining Connections: {}", text(count.ok()));
                });
            }
        });
        client.on_error(|_, error| println!("Socket Error:  {}", json(error)));
        client.on_timeout(|_| println!("Socket Timed out"));
    });
    server.listen(port, |server| {
        println!("Server listening: {}", address_json(server));
        server.on_close(|_| println!("Server Terminated"));
        server.on_error(|_, error| println!("Server Error:  {}", json(error)));
    })?;
    event_loop.run()
}

/// The original has two faults here. It says `success = !socket.write(data)`, so that it waits for a `drain` just when
/// none will come; and on `drain` it writes the same data again, though `write` had taken it. `write` takes the data at
/// once, whatever it answers: `Queued` only asks to wait before sending *more*. As this server sends in answer to what
/// it reads, it waits by not reading.
fn write_data(socket: &Socket, data: &str) {
    if socket.write(data) == WriteStatus::Queued {
        socket.pause();
        socket.once_drain(|socket| {
            socket.resume();
        });
    }
}

/// `{"address":"::","family":"IPv6","port":8107}`
fn address_json(server: &Server) -> String {
    let address = server.address();
    let address = address.as_ref();
    format!(
        r#"{{"address":"{}","family":"{}","port":{}}}"#,
        text(address.and_then(Address::ip)),
        text(address.and_then(Address::family).map(Family::as_str)),
        text(address.and_then(Address::port)),
    )
}
