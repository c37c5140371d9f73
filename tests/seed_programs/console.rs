//! What the programs print, and who they talk to.

use std::collections::VecDeque;
use std::net::{Ipv4Addr, TcpListener};
use std::panic::resume_unwind;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use tidewheel::net::{Address, Family, Server, ServerId};
use tidewheel::Remote;

use super::node::text;
use super::programs::Peer;
use crate::census::EventLoop;

/// How long anything may take. Generous: the machine may be busy.
const STUCK: Duration = Duration::from_secs(30);

/// Node's `console`. The peer sees what is printed while the program runs, and may wait for it.
#[derive(Clone, Default)]
pub struct Console(Arc<(Mutex<VecDeque<String>>, Condvar)>);

impl Console {
    /// `console.log(text)`: one entry, whatever line ends the text has itself.
    pub fn log(&self, text: impl Into<String>) {
        let (lines, added) = &*self.0;
        lines.lock().unwrap().push_back(text.into());
        added.notify_all();
    }

    /// The next entry. Waits for it.
    #[track_caller]
    pub fn line(&self) -> String {
        let (lines, added) = &*self.0;
        let lines = lines.lock().unwrap();
        let waited = added.wait_timeout_while(lines, STUCK, |lines| lines.is_empty());
        let line = waited.unwrap().0.pop_front();
        line.expect("nothing is printed")
    }

    /// Checks the next entries.
    #[track_caller]
    pub fn says<T: Into<String>>(&self, wanted: impl IntoIterator<Item = T>) {
        for wanted in wanted {
            assert_eq!(self.line(), wanted.into());
        }
    }

    /// The entries that were not asked for, without waiting.
    pub fn rest(&self) -> Vec<String> {
        self.0 .0.lock().unwrap().drain(..).collect()
    }
}

/// Runs a server until `peer` is through with it, closes it, and waits until it and its connections are gone.
#[track_caller]
pub fn serve(event_loop: &EventLoop, server: &Server, peer: impl FnOnce() + Send + 'static) {
    let close = Close {
        remote: event_loop.remote(),
        server: server.id(),
    };
    let peer = Talk::start(move || {
        let _close = close;
        peer();
    });
    run(event_loop);
    peer.join();
}

/// A peer that is connected to: the port, and the thread that talks to whoever dials it.
pub fn answer(peer: impl FnOnce(&TcpListener) + Send + 'static) -> (u16, Talk) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    (port, Talk::start(move || peer(&listener)))
}

/// Runs a loop to its end.
#[track_caller]
pub fn run(event_loop: &EventLoop) {
    event_loop
        .set_timeout(2 * STUCK, |_| panic!("the program does not end"))
        .unref();
    event_loop.run().unwrap();
}

/// The next connection of a listener.
pub fn accept(listener: &TcpListener) -> Peer {
    listener.accept().unwrap().0.into()
}

/// What a peer dials to reach a server: all interfaces are reached on loopback.
pub fn here(server: &Server) -> String {
    match server.address().unwrap() {
        Address::Ip(at) => format!("127.0.0.1:{}", at.port()),
        address => address.to_string(),
    }
}

/// How a server for all interfaces names a peer on 127.0.0.1.
pub fn seen(server: &Server) -> &'static str {
    match server.address().unwrap().family() {
        Some(Family::Ipv6) => "::ffff:127.0.0.1",
        _ => "127.0.0.1",
    }
}

/// `JSON.stringify(server.address())`
pub fn address_json(server: &Server) -> String {
    let address = server.address();
    let address = address.as_ref();
    format!(
        r#"{{"address":"{}","family":"{}","port":{}}}"#,
        text(address.and_then(Address::ip)),
        text(address.and_then(Address::family)),
        text(address.and_then(Address::port)),
    )
}

/// A peer at work on a thread of its own.
pub struct Talk {
    thread: JoinHandle<()>,
    done: mpsc::Receiver<()>,
}

impl Talk {
    pub fn start(talk: impl FnOnce() + Send + 'static) -> Talk {
        let (at_end, done) = mpsc::channel();
        let thread = thread::spawn(move || {
            // Dropped at the end, also of a panic.
            let _at_end: mpsc::Sender<()> = at_end;
            talk();
        });
        Talk { thread, done }
    }

    /// Waits until it is through; what it found wrong is passed on.
    #[track_caller]
    pub fn join(self) {
        if self.done.recv_timeout(STUCK) == Err(RecvTimeoutError::Timeout) {
            panic!("the peer waits for something");
        }
        if let Err(panic) = self.thread.join() {
            resume_unwind(panic);
        }
    }
}

/// Closes the server when the peer is through. When the peer found something wrong the loop has nothing more to do.
struct Close {
    remote: Remote,
    server: ServerId,
}

impl Drop for Close {
    fn drop(&mut self) {
        let (server, give_up) = (self.server, thread::panicking());
        // It fails when the loop is gone, which is what is wanted.
        let _ = self.remote.post(move |event_loop| {
            if give_up {
                return event_loop.stop();
            }
            if let Some(server) = event_loop.server(server) {
                server.close();
            }
        });
    }
}
