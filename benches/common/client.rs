//! The load: one thread that polls busily, drives all connections of a server and checks what comes back.

use std::cmp::min;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::time::{Duration, Instant};

use libc::{EPOLLIN, EPOLLOUT};

use super::machine::{processors, Processors};
use super::sys::{self, Epoll, Moved, Place};

/// How long a run lasts.
#[derive(Clone, Copy)]
pub enum Limit {
    /// Until each connection has got back so many messages.
    Each(u64),
    For(Duration),
}

/// What a run came to.
pub struct Sample {
    pub time: Duration,
    /// What came back in this time.
    pub count: Count,
    /// This, and what was on its way then and came back later: all that the server had to do.
    pub in_all: Count,
}

#[derive(Clone, Copy, Default)]
pub struct Count {
    pub messages: u64,
    /// Bytes of the streams, which have no messages.
    pub bulk: u64,
}

/// Connections of one kind.
#[derive(Clone, Copy)]
pub struct Group {
    pub connections: usize,
    pub kind: Kind,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A message of so many bytes goes out when the one before has come back.
    Message(usize),
    /// A stream with so many bytes on their way; so many reads and writes in a row. A message of it is a [`CHUNK`].
    Bulk { window: u64, in_a_row: usize },
    /// The far end of a relay, which sends back what it gets.
    Far,
}

pub const CHUNK: usize = 64 * 1024;

/// A long stream, enough of it on its way that nobody waits for the other.
pub const STREAM: Kind = Kind::Bulk {
    window: 4 * CHUNK as u64,
    in_a_row: 1,
};

pub struct Load {
    epoll: Epoll,
    connections: Vec<Connection>,
    buffer: Vec<u8>,
    /// Byte `p` of every stream is `pattern[p % CHUNK]`; it stands here twice, so that every slice is in one piece.
    pattern: Vec<u8>,
    /// Bytes that are still to come back before the run ends.
    left: u64,
    count: Count,
    /// Microseconds from each message to its return, where they are wanted.
    pub latencies: Option<Vec<f64>>,
}

struct Connection {
    fd: OwnedFd,
    kind: Kind,
    sent: u64,
    received: u64,
    /// No more is sent than this in all.
    limit: u64,
    sent_at: Instant,
    /// Of a far end: what could not be sent back yet.
    queue: Vec<u8>,
}

/// After this without an end something is stuck.
const STUCK: Duration = Duration::from_secs(30);

impl Load {
    pub fn new(place: &Place, groups: &[Group]) -> Load {
        let mut load = Load::empty();
        for group in groups {
            for _ in 0..group.connections {
                load.adopt(sys::connect(place), group.kind);
            }
        }
        load
    }

    /// Through a relay at `place` to `far`, where the load listens itself.
    pub fn through(place: &Place, far: &OwnedFd, group: Group) -> Load {
        let mut load = Load::empty();
        for _ in 0..group.connections {
            load.adopt(sys::connect(place), group.kind);
            let start = Instant::now();
            let far = loop {
                if let Some(stream) = sys::accept(far.as_raw_fd()) {
                    break stream;
                }
                assert!(start.elapsed() < STUCK, "the relay does not connect");
                std::thread::yield_now();
            };
            load.adopt(far, Kind::Far);
        }
        load
    }

    fn empty() -> Load {
        let byte = |position| ((position % CHUNK) * 31 % 251) as u8;
        Load {
            epoll: Epoll::new(),
            connections: Vec::new(),
            buffer: vec![0; 4 * CHUNK],
            pattern: (0..2 * CHUNK).map(byte).collect(),
            left: 0,
            count: Count::default(),
            latencies: None,
        }
    }

    fn adopt(&mut self, fd: OwnedFd, kind: Kind) {
        let interest = match kind {
            // Always writable is no matter to a thread that polls busily.
            Kind::Bulk { .. } => EPOLLIN | EPOLLOUT,
            _ => EPOLLIN,
        };
        let key = self.connections.len();
        self.epoll.add(fd.as_raw_fd(), interest, key as u64);
        // Streams begin at different places, so that bytes of one cannot pass for those of another.
        let begin = (key * 7919 % CHUNK) as u64;
        self.connections.push(Connection {
            fd,
            kind,
            sent: begin,
            received: begin,
            limit: begin,
            sent_at: Instant::now(),
            queue: Vec::new(),
        });
    }

    /// Starts with nothing on its way and ends so.
    pub fn run(&mut self, limit: Limit) -> Sample {
        let start = Instant::now();
        (self.count, self.left) = (Count::default(), 0);
        for connection in &mut self.connections {
            let each = match limit {
                Limit::Each(count) => count * connection.message(),
                Limit::For(_) => u64::MAX / 2 - connection.sent,
            };
            if connection.kind != Kind::Far {
                connection.limit = connection.sent + each;
                self.left = self.left.saturating_add(each);
            }
        }
        self.begin();
        let end = match limit {
            Limit::Each(_) => None,
            Limit::For(time) => Some(start + time),
        };
        while self.left > 0 && end.is_none_or(|end| Instant::now() < end) {
            self.turn(start);
        }
        let (time, count) = (start.elapsed(), self.count);
        self.drain(start);
        Sample {
            time,
            count,
            in_all: self.count,
        }
    }

    /// One message on each connection, never two at a time. There must be no streams.
    pub fn run_one_by_one(&mut self) {
        let start = Instant::now();
        for key in 0..self.connections.len() {
            let connection = &mut self.connections[key];
            self.left = connection.message();
            connection.send_message(&self.pattern);
            while self.left > 0 {
                self.turn(start);
            }
        }
    }

    /// Segments that the kernel got for the first connection so far.
    pub fn segments(&self) -> Option<u32> {
        sys::data_segments_received(self.connections[0].fd.as_raw_fd())
    }

    fn begin(&mut self) {
        for connection in &mut self.connections {
            if let Kind::Message(_) = connection.kind {
                connection.send_message(&self.pattern);
            }
        }
    }

    fn drain(&mut self, start: Instant) {
        self.left = 0;
        for connection in &mut self.connections {
            if connection.kind != Kind::Far {
                connection.limit = connection.sent;
                self.left += connection.sent - connection.received;
            }
        }
        while self.left > 0 {
            self.turn(start);
        }
    }

    fn turn(&mut self, start: Instant) {
        let is_alone = matches!(processors(), Processors::Two { .. });
        let count = self.epoll.wait(if is_alone { 0 } else { 100 });
        for index in 0..count {
            let (key, bits) = self.epoll.event(index);
            match self.connections[key as usize].kind {
                Kind::Message(size) => self.message(key as usize, size),
                Kind::Bulk { window, in_a_row } => {
                    self.bulk(key as usize, bits, window, in_a_row);
                }
                Kind::Far => self.send_back(key as usize),
            }
        }
        if count == 0 {
            assert!(
                start.elapsed() < STUCK,
                "{} bytes do not come back",
                self.left
            );
        }
    }

    fn message(&mut self, key: usize, size: usize) {
        let connection = &mut self.connections[key];
        let n = received(connection.fd.as_raw_fd(), &mut self.buffer);
        connection.check(&self.buffer[..n], &self.pattern);
        self.left -= n as u64;
        if n == 0 || connection.received < connection.sent {
            return;
        }
        self.count.messages += 1;
        if let Some(latencies) = &mut self.latencies {
            let time = connection.sent_at.elapsed();
            latencies.push(time.as_secs_f64() * 1e6);
        }
        if connection.sent + size as u64 <= connection.limit {
            connection.send_message(&self.pattern);
        }
    }

    fn bulk(&mut self, key: usize, bits: i32, window: u64, in_a_row: usize) {
        let connection = &mut self.connections[key];
        let fd = connection.fd.as_raw_fd();
        for _ in 0..if bits & EPOLLIN != 0 { in_a_row } else { 0 } {
            let n = received(fd, &mut self.buffer);
            connection.check(&self.buffer[..n], &self.pattern);
            self.left -= n as u64;
            self.count.bulk += n as u64;
            if n == 0 {
                break;
            }
        }
        for _ in 0..if bits & EPOLLOUT != 0 { in_a_row } else { 0 } {
            let most = min(CHUNK as u64, connection.limit - connection.sent) as usize;
            if most == 0 || connection.sent - connection.received >= window {
                break;
            }
            let at = connection.sent as usize % CHUNK;
            let n = sent(fd, &self.pattern[at..at + most]);
            connection.sent += n as u64;
            if n == 0 {
                break;
            }
        }
    }

    fn send_back(&mut self, key: usize) {
        let connection = &mut self.connections[key];
        let fd = connection.fd.as_raw_fd();
        if connection.queue.is_empty() {
            let n = received(fd, &mut self.buffer);
            let out = sent(fd, &self.buffer[..n]);
            if out < n {
                connection.queue.extend_from_slice(&self.buffer[out..n]);
                self.epoll.modify(fd, EPOLLOUT, key as u64);
            }
        } else {
            let out = sent(fd, &connection.queue);
            connection.queue.drain(..out);
            if connection.queue.is_empty() {
                self.epoll.modify(fd, EPOLLIN, key as u64);
            }
        }
    }
}

impl Connection {
    /// Bytes of what counts as a message.
    fn message(&self) -> u64 {
        match self.kind {
            Kind::Message(size) => size as u64,
            Kind::Bulk { .. } => CHUNK as u64,
            Kind::Far => 0,
        }
    }

    fn send_message(&mut self, pattern: &[u8]) {
        let Kind::Message(size) = self.kind else {
            return;
        };
        let at = self.sent as usize % CHUNK;
        let mut rest = &pattern[at..at + size];
        self.sent_at = Instant::now();
        self.sent += size as u64;
        // Nothing else is on its way, so there is room.
        while !rest.is_empty() {
            rest = &rest[sent(self.fd.as_raw_fd(), rest)..];
        }
    }

    /// Counts what came back and compares it with what was sent: of a long piece the ends, because the server is to be
    /// the one that is busy.
    fn check(&mut self, data: &[u8], pattern: &[u8]) {
        let begin = self.received;
        self.received += data.len() as u64;
        assert!(self.received <= self.sent, "more came back than was sent");
        let matches = |from: usize, piece: &[u8]| {
            let at = (begin as usize + from) % CHUNK;
            pattern[at..at + piece.len()] == *piece
        };
        let is_right = if data.len() <= 4096 {
            matches(0, data)
        } else {
            let last = data.len() - 64;
            matches(0, &data[..64]) && matches(last, &data[last..])
        };
        assert!(is_right, "what came back is not what was sent");
    }
}

/// Zero: nothing there now.
fn received(fd: RawFd, buffer: &mut [u8]) -> usize {
    match sys::recv(fd, buffer) {
        Moved::Bytes(0) => panic!("the server closed a connection"),
        Moved::Bytes(n) => n,
        Moved::WouldBlock => 0,
        Moved::Failed => panic!("a connection failed"),
    }
}

/// Zero: no room now.
fn sent(fd: RawFd, data: &[u8]) -> usize {
    match sys::send(fd, data) {
        Moved::Bytes(n) => n,
        Moved::WouldBlock => 0,
        Moved::Failed => panic!("a connection failed"),
    }
}
