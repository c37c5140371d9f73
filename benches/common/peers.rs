//! The servers that are compared: what they are told to do, and how they are started beside each other.

use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use super::sys::{Place, ThreadClock, Transport};
use super::{machine, on_tidewheel, on_tokio, raw_epoll, raw_mio};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Peer {
    Epoll,
    /// The same with `recvmsg`: who reads only once needs it on UNIX sockets, where passed descriptors end a read early.
    EpollMessage,
    Mio,
    Tokio,
    Tidewheel(Form),
}

/// In which words our server is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    Pipe,
    OnData,
}

/// What a server does with its connections.
#[derive(Clone, Debug)]
pub enum Job {
    /// Sends back what it gets.
    Echo,
    /// The same after a microsecond of work.
    Work,
    /// Sends back what it gets in pieces of [`REPLY`] bytes, as if each were the reply to a request; corked, all that
    /// one read brought leaves in one piece.
    Replies { corked: bool },
    /// Carries bytes between each connection and one it makes to this place.
    Relay(Place),
    /// Echoes, and each connection has two closures that capture something and an armed idle timer.
    Laden,
}

/// Bytes of a request, and of the reply to it.
pub const REPLY: usize = 64;

/// Bytes that one read may bring, of every peer.
pub const READ: usize = 64 * 1024;

/// Reads of full buffers in a row before others get their turn, where a peer has such a limit.
pub const READS_A_TURN: usize = 4;

/// With what raw epoll reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Receive {
    /// `recv`.
    Bytes,
    /// `recvmsg`.
    Message,
}

/// Raw epoll comes first, because the others are compared with it.
pub const ALL: [Peer; 5] = [
    Peer::Epoll,
    Peer::Mio,
    Peer::Tokio,
    Peer::Tidewheel(Form::Pipe),
    Peer::Tidewheel(Form::OnData),
];

/// The peers where our own server has only one form, [`Form::OnData`] or, for a relay, `pipe`.
pub const ONCE_EACH: [Peer; 4] = [
    Peer::Epoll,
    Peer::Mio,
    Peer::Tokio,
    Peer::Tidewheel(Form::OnData),
];

/// A server in a thread of its own, until the process ends.
pub struct Running {
    pub peer: Peer,
    pub place: Place,
    pub clock: ThreadClock,
}

impl Peer {
    pub fn name(self) -> &'static str {
        match self {
            Peer::Epoll => "raw epoll",
            Peer::EpollMessage => "raw epoll (recvmsg)",
            Peer::Mio => "raw mio",
            Peer::Tokio => "tokio",
            Peer::Tidewheel(Form::Pipe) => "tidewheel (pipe)",
            Peer::Tidewheel(Form::OnData) => "tidewheel (on_data)",
        }
    }

    pub fn start(self, job: Job, transport: Transport) -> Running {
        let (tell, told) = mpsc::channel();
        thread::spawn(move || {
            machine::pin_server();
            let clock = ThreadClock::of_this_thread();
            self.serve(job, transport, move |place| {
                let _ = tell.send((place, clock));
            });
        });
        let (place, clock) = told.recv().expect("the server did not start");
        Running {
            peer: self,
            place,
            clock,
        }
    }

    /// Serves in the calling thread and does not return; `ready` is told where.
    pub fn serve(self, job: Job, transport: Transport, ready: impl FnOnce(Place) + 'static) {
        match self {
            Peer::Epoll => raw_epoll::serve(job, transport, Receive::Bytes, ready),
            Peer::EpollMessage => raw_epoll::serve(job, transport, Receive::Message, ready),
            Peer::Mio => raw_mio::serve(job, transport, ready),
            Peer::Tokio => on_tokio::serve(job, transport, ready),
            Peer::Tidewheel(form) => on_tidewheel::serve(form, job, transport, ready),
        }
    }
}

/// A microsecond of work.
pub fn work() {
    let start = Instant::now();
    while start.elapsed() < Duration::from_micros(1) {
        std::hint::spin_loop();
    }
}
