//! Lines as users write them: they compile without a hint, and do what they look like.

#[path = "common/census.rs"]
mod census;

use std::collections::{HashMap, HashSet};

use census::EventLoop;
use tidewheel::net::{self, Handler, Lookup, Socket};
use tidewheel::{Code, Error, Result};

// A needless reference is what people write.
#[allow(clippy::needless_borrows_for_generic_args)]
#[test]
fn lines_as_users_write_them() -> Result<()> {
    let event_loop = EventLoop::new()?;
    let server = net::create_server(&event_loop, |socket| {
        let name = String::from("tidewheel");
        socket.write(&name);
        socket.write(&format!("{} says ", socket.remote_port().unwrap()));
        socket.write(format!("hello to {name}\n"));
        socket.write(b"bytes\n");
        socket.end_with(vec![b'.']);
    });
    server.listen(("127.0.0.1", 0), |server| {
        let client = net::connect(server.event_loop(), server.address().unwrap(), |_| {});
        let server = server.clone();
        let mut received = Vec::new();
        client.on_data(move |_, data| received.extend_from_slice(data));
        client.on_close(move |_, _| server.close());
    })?;
    event_loop.run()
}

#[test]
fn a_port_by_its_bare_number() -> Result<()> {
    let event_loop = EventLoop::new()?;
    let server = net::create_server(&event_loop, |_| {});
    match server.listen(8124, |server| server.close()) {
        // Somebody else may have it: then the line is told so, as a user would be.
        Err(error) if error.code() == Code::AddrInUse => Ok(()),
        Err(error) => Err(error),
        Ok(()) => event_loop.run(),
    }
}

// Equality and hash are those of the identity, which never changes.
#[allow(clippy::mutable_key_type)]
#[test]
fn sockets_in_a_set_and_in_a_map() -> Result<()> {
    let event_loop = EventLoop::new()?;
    let (a, b) = net::pair(&event_loop)?;
    let mut set = HashSet::from([a.clone(), b.clone()]);
    assert!(!set.insert(a.clone()));
    assert!(set.remove(&b));
    let names = HashMap::from([(a.id(), "a"), (b.id(), "b")]);
    assert_eq!(names[&b.id()], "b");
    Ok(())
}

#[test]
fn handlers_in_a_box() -> Result<()> {
    let event_loop = EventLoop::new()?;
    let (a, b) = net::pair(&event_loop)?;
    let handlers: Vec<Box<dyn Handler>> = vec![
        Box::new(Recorder(Vec::new())),
        Box::new(Recorder(Vec::new())),
    ];
    for (socket, handler) in [&a, &b].into_iter().zip(handlers) {
        socket.set_handler(handler).end_with("x");
    }
    event_loop.run()
}

#[test]
fn a_capture_moved_out_of_on_close() -> Result<()> {
    let event_loop = EventLoop::new()?;
    let (sender, receiver) = std::sync::mpsc::channel();
    let (a, b) = net::pair(&event_loop)?;
    let owned = vec![String::from("moved")];
    a.on_close(move |_, _| sender.send(owned).unwrap());
    a.destroy();
    b.destroy();
    event_loop.run()?;
    assert_eq!(receiver.recv().unwrap(), ["moved"]);
    Ok(())
}

/// A handler in its full length.
struct Recorder(Vec<&'static str>);

impl Handler for Recorder {
    fn on_lookup(&mut self, _: &Socket, _: &Lookup) {
        self.0.push("lookup");
    }
    fn on_connect(&mut self, _: &Socket) {
        self.0.push("connect");
    }
    fn on_ready(&mut self, _: &Socket) {
        self.0.push("ready");
    }
    fn on_data(&mut self, _: &Socket, _: &[u8]) {
        self.0.push("data");
    }
    /// Only after `set_encoding`.
    fn on_text(&mut self, _: &Socket, _: &str) {
        self.0.push("text");
    }
    fn on_end(&mut self, _: &Socket) {
        self.0.push("end");
    }
    fn on_drain(&mut self, _: &Socket) {
        self.0.push("drain");
    }
    fn on_timeout(&mut self, _: &Socket) {
        self.0.push("timeout");
    }
    fn on_finish(&mut self, _: &Socket) {
        self.0.push("finish");
    }
    fn on_error(&mut self, _: &Socket, _: &Error) {
        self.0.push("error");
    }
    fn on_close(&mut self, _: &Socket, _: bool) {
        assert_eq!(self.0, ["finish", "data", "end"]);
    }
}
