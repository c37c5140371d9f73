//! Helpers of the tests about sending and ending: labelled callbacks, a server with one connection, amounts that no
//! kernel takes at once.
#![allow(dead_code)]

use std::cell::RefCell;
use std::rc::Rc;

use tidewheel::net::{ConnectOptions, EventKind, Server, ServerOptions, Socket, WriteStatus};
use tidewheel::Error;

use crate::common::{Peer, Script, Transport, World};

/// More than the buffers of a connection hold, so that some of it must wait.
pub const TOO_MUCH: usize = 24 * 1024 * 1024;

/// Lines for the log of the scenario, from inside callbacks.
#[derive(Clone)]
pub struct Notes {
    add: Rc<dyn Fn(&str)>,
    probe: Rc<()>,
}

impl Notes {
    pub fn of(world: &World) -> Notes {
        Notes {
            add: Rc::new(world.noter()),
            probe: world.probe(),
        }
    }

    pub fn add(&self, line: &str) {
        (self.add)(line);
    }

    /// A callback for `write_then` and `end_then` that notes `LABEL ok` or `LABEL CODE`. Dropped uncalled, it is missed
    /// in the log; kept for ever, the harness misses its probe.
    pub fn done(&self, label: &str) -> impl FnOnce(&Socket, Result<(), Error>) + 'static {
        let notes = self.clone();
        let label = label.to_string();
        move |_, result| {
            let _ = &notes.probe;
            match result {
                Ok(()) => notes.add(&format!("{label} ok")),
                Err(error) => notes.add(&format!("{label} {}", error.code())),
            }
        }
    }
}

/// A server for one connection, which is watched and then given to `act` inside the `connection` event.
#[track_caller]
pub fn serve(world: &World, script: Script, act: impl FnOnce(&Socket) + 'static) -> Server {
    serve_with(world, ServerOptions::default(), script, act)
}

#[track_caller]
pub fn serve_with(
    world: &World,
    options: ServerOptions,
    script: Script,
    act: impl FnOnce(&Socket) + 'static,
) -> Server {
    let watcher = world.watcher();
    let mut first = Some((script, act));
    world.server_with(options, move |socket| {
        let (script, act) = first.take().expect("one connection only");
        watcher.watch(socket, script);
        socket.server().unwrap().close();
        act(socket);
    })
}

/// Where nobody listens, but somebody did.
pub fn nobody(world: &World) -> ConnectOptions {
    match world.transport {
        Transport::Tcp => {
            let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
            listener.local_addr().unwrap().into()
        }
        Transport::Unix => {
            let path = world.path("nobody");
            std::os::unix::net::UnixListener::bind(&path).unwrap();
            path.into()
        }
    }
}

/// What a socket received, for a script's `on_data`.
#[derive(Clone, Default)]
pub struct Received(Rc<RefCell<Vec<u8>>>);

impl Received {
    pub fn bytes(&self) -> Vec<u8> {
        self.0.borrow().clone()
    }

    pub fn len(&self) -> usize {
        self.0.borrow().len()
    }

    pub fn push(&self, data: &[u8]) {
        self.0.borrow_mut().extend_from_slice(data);
    }

    pub fn by(&self, script: Script) -> Script {
        let received = self.clone();
        script.on_data(move |_, data| received.push(data))
    }
}

/// Bytes that differ by position, so that a lost, doubled or moved one shows.
pub fn pattern(from: usize, len: usize) -> Vec<u8> {
    (from..from + len)
        .map(|at| (at ^ (at >> 8) ^ (at >> 16)) as u8)
        .collect()
}

/// Writes until some of it waits.
#[track_caller]
pub fn fill(socket: &Socket) {
    assert_eq!(socket.write(vec![b'f'; TOO_MUCH]), WriteStatus::Queued);
    assert!(socket.buffer_size() > 0);
}

/// Makes the next send fail with EPIPE, behind the library's back.
pub fn break_sending(socket: &Socket) {
    // SAFETY: the call takes no pointers.
    let result = unsafe { libc::shutdown(socket.raw_fd().unwrap(), libc::SHUT_WR) };
    assert_eq!(result, 0);
}

/// Asks the kernel for a send buffer as small as it grants.
pub fn shrink_send_buffer(socket: &Socket) {
    let size: libc::c_int = 1;
    // SAFETY: the pointer and the length are of one live `c_int`.
    let result = unsafe {
        libc::setsockopt(
            socket.raw_fd().unwrap(),
            libc::SOL_SOCKET,
            libc::SO_SNDBUF,
            (&raw const size).cast(),
            size_of_val(&size) as libc::socklen_t,
        )
    };
    assert_eq!(result, 0);
}

/// The events a socket can be told, except those that only some meet.
pub const EVERY_KIND: [EventKind; 9] = [
    EventKind::Connect,
    EventKind::Ready,
    EventKind::Data,
    EventKind::End,
    EventKind::Drain,
    EventKind::Timeout,
    EventKind::Finish,
    EventKind::Error,
    EventKind::Close,
];

/// Another handle to the same peer, for a second thread.
pub fn twin(peer: &Peer) -> Peer {
    match peer {
        Peer::Tcp(stream) => Peer::Tcp(stream.try_clone().unwrap()),
        Peer::Unix(stream) => Peer::Unix(stream.try_clone().unwrap()),
    }
}
