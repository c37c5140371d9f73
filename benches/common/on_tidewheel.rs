//! Our own servers, written as a user would.

use std::cell::Cell;
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;
use std::rc::Rc;
use std::time::Duration;

use tidewheel::net::{self, Address, ConnectOptions, ListenOptions, ServerOptions};
use tidewheel::net::{Socket, WriteStatus};
use tidewheel::EventLoop;

use super::peers::{work, Form, Job, REPLY};
use super::sys::{self, Place, Transport};

pub fn serve(form: Form, job: Job, transport: Transport, ready: impl FnOnce(Place) + 'static) {
    let event_loop = EventLoop::new().expect("no loop");
    let options = ServerOptions::default().no_delay(true);
    let server = net::create_server_with(&event_loop, options, move |socket| match &job {
        Job::Echo if form == Form::Pipe => {
            socket.pipe(socket);
        }
        Job::Echo => echo(socket),
        Job::Work => echo_after_work(socket),
        Job::Replies { corked } => reply(socket, *corked),
        Job::Relay(place) => relay(socket, place),
        Job::Laden => laden(socket),
    });
    let listening = server.listen(to_listen(transport), |server| {
        ready(match server.address() {
            Some(Address::Ip(address)) => Place::Tcp(address),
            Some(Address::Abstract(name)) => {
                Place::Unix(String::from_utf8(name).expect("a name of ours"))
            }
            other => panic!("listening on {other:?}"),
        });
    });
    listening.expect("no listening");
    event_loop.run().expect("the loop failed");
}

fn echo(socket: &Socket) {
    socket.on_data(|socket, data| pace(socket, socket.write(data)));
    resume_on_drain(socket);
}

fn echo_after_work(socket: &Socket) {
    socket.on_data(|socket, data| {
        work();
        pace(socket, socket.write(data));
    });
    resume_on_drain(socket);
}

fn reply(socket: &Socket, corked: bool) {
    fn reply_to_each(socket: &Socket, data: &[u8]) {
        for request in data.chunks(REPLY) {
            pace(socket, socket.write(request));
        }
    }
    socket.on_data(move |socket, data| {
        if corked {
            socket.corked(|socket| reply_to_each(socket, data));
        } else {
            reply_to_each(socket, data);
        }
    });
    resume_on_drain(socket);
}

fn relay(socket: &Socket, place: &Place) {
    let options = to_connect(place).no_delay(true);
    let upstream = net::connect(socket.event_loop(), options, |_| {});
    socket.pipe(&upstream);
    upstream.pipe(socket);
    let end = upstream.clone();
    socket.on_close(move |_, _| end.destroy());
}

/// An echo as programs have it: two closures that capture something, and an idle timeout that never fires here.
fn laden(socket: &Socket) {
    let messages = Rc::new(Cell::new(0u64));
    let counted = Rc::clone(&messages);
    socket.on_data(move |socket, data| {
        counted.set(counted.get() + 1);
        pace(socket, socket.write(data));
    });
    socket.on_close(move |_, _| messages.set(0));
    socket.set_timeout(Duration::from_secs(120));
}

/// Reads no more until what waits is out.
fn pace(socket: &Socket, status: WriteStatus) {
    if status == WriteStatus::Queued {
        socket.pause();
    }
}

fn resume_on_drain(socket: &Socket) {
    socket.on_drain(|socket| {
        socket.resume();
    });
}

fn to_listen(transport: Transport) -> ListenOptions {
    match transport {
        Transport::Tcp => ("127.0.0.1", 0).into(),
        Transport::Unix => abstract_path(&sys::unused_name()).into(),
    }
}

fn to_connect(place: &Place) -> ConnectOptions {
    match place {
        Place::Tcp(address) => (*address).into(),
        Place::Unix(name) => abstract_path(name).into(),
    }
}

fn abstract_path(name: &str) -> PathBuf {
    OsString::from_vec([b"\0", name.as_bytes()].concat()).into()
}
