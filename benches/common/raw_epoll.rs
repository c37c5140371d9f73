//! The lower bound: hand-written edge-triggered epoll. One `recv` and one `send` for a message, no reading on after a
//! short read, writability asked for only once a `send` was short, four full buffers a turn.

use std::mem;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};

use libc::{EPOLLERR, EPOLLET, EPOLLHUP, EPOLLIN, EPOLLOUT, EPOLLRDHUP};

use super::peers::{work, Job, Receive, READ, READS_A_TURN, REPLY};
use super::sys::{self, Epoll, Moved, Place, Transport};

pub fn serve(job: Job, transport: Transport, receive: Receive, ready: impl FnOnce(Place)) {
    let (listener, place) = sys::listen(transport);
    let mut server = Server {
        job,
        receive,
        epoll: Epoll::new(),
        listener: listener.as_raw_fd(),
        connections: Vec::new(),
        again: Vec::new(),
        buffer: vec![0; READ],
        corked: Vec::new(),
    };
    server
        .epoll
        .add(server.listener, EPOLLIN, server.listener as u64);
    ready(place);
    server.run();
}

struct Server {
    job: Job,
    receive: Receive,
    epoll: Epoll,
    listener: RawFd,
    /// By the number of the descriptor.
    connections: Vec<Connection>,
    /// Connections that may have more to read than a turn allows.
    again: Vec<RawFd>,
    buffer: Vec<u8>,
    /// The replies of one read.
    corked: Vec<u8>,
}

#[derive(Default)]
struct Connection {
    fd: Option<OwnedFd>,
    /// Where what it brings goes: to itself, or to the other end of a relay.
    to: RawFd,
    /// What could not be sent, and how much of that is out by now.
    queue: Vec<u8>,
    sent: usize,
    is_in_again: bool,
    hung_up: bool,
    wants_writable: bool,
}

impl Server {
    fn run(&mut self) {
        let mut turn = Vec::new();
        loop {
            let count = self.epoll.wait(if self.again.is_empty() { -1 } else { 0 });
            for index in 0..count {
                let (key, bits) = self.epoll.event(index);
                if key as RawFd == self.listener {
                    self.accept();
                } else {
                    self.event(key as RawFd, bits);
                }
            }
            mem::swap(&mut turn, &mut self.again);
            for fd in turn.drain(..) {
                // A closed connection has lost its mark.
                if mem::take(&mut self.connection(fd).is_in_again) {
                    self.readable(fd);
                }
            }
        }
    }

    fn connection(&mut self, fd: RawFd) -> &mut Connection {
        &mut self.connections[fd as usize]
    }

    fn accept(&mut self) {
        while let Some(stream) = sys::accept(self.listener) {
            match &self.job {
                Job::Relay(place) => {
                    let upstream = sys::connect(place);
                    let ends = (stream.as_raw_fd(), upstream.as_raw_fd());
                    self.adopt(stream, ends.1);
                    self.adopt(upstream, ends.0);
                }
                _ => {
                    let itself = stream.as_raw_fd();
                    self.adopt(stream, itself);
                }
            }
        }
    }

    fn adopt(&mut self, stream: OwnedFd, to: RawFd) {
        let fd = stream.as_raw_fd();
        if self.connections.len() <= fd as usize {
            self.connections
                .resize_with(fd as usize + 1, Connection::default);
        }
        self.epoll
            .add(fd, EPOLLIN | EPOLLRDHUP | EPOLLET, fd as u64);
        let connection = self.connection(fd);
        connection.fd = Some(stream);
        connection.to = to;
    }

    fn event(&mut self, fd: RawFd, bits: i32) {
        let connection = self.connection(fd);
        if connection.fd.is_none() {
            return;
        }
        if bits & (EPOLLRDHUP | EPOLLHUP | EPOLLERR) != 0 {
            connection.hung_up = true;
        }
        let source = connection.to;
        if !connection.queue.is_empty() && self.flush(fd) && source != fd {
            self.readable(source);
        }
        self.readable(fd);
    }

    /// A turn of one connection: it stays while it brings full buffers, because its data is in the cache, but not for
    /// more than a few, so that others are not starved.
    fn readable(&mut self, fd: RawFd) {
        for _ in 0..READS_A_TURN {
            if !self.carry(fd) {
                return;
            }
        }
        if !mem::replace(&mut self.connection(fd).is_in_again, true) {
            self.again.push(fd);
        }
    }

    /// One read and what it leads to. Whether more may be waiting.
    fn carry(&mut self, fd: RawFd) -> bool {
        let connection = self.connection(fd);
        let to = connection.to;
        // Until the rest is out nothing more is read, and `event` comes back here.
        if connection.fd.is_none() || !self.connection(to).queue.is_empty() {
            return false;
        }
        let (moved, stopped_early) = match self.receive {
            Receive::Bytes => (sys::recv(fd, &mut self.buffer), false),
            Receive::Message => sys::recv_message(fd, &mut self.buffer),
        };
        let n = match moved {
            Moved::Bytes(n) if n > 0 => n,
            Moved::WouldBlock => return false,
            _ => {
                self.close(fd);
                return false;
            }
        };
        let buffer = mem::take(&mut self.buffer);
        let is_open = self.answer(to, &buffer[..n]);
        self.buffer = buffer;
        // A short read has emptied the socket.
        is_open
            && self.connection(to).queue.is_empty()
            && (n == READ || stopped_early || self.connection(fd).hung_up)
    }

    /// Whether the connection lives on.
    fn answer(&mut self, to: RawFd, data: &[u8]) -> bool {
        match self.job {
            Job::Replies { corked: false } => {
                data.chunks(REPLY).all(|request| self.send(to, request))
            }
            Job::Replies { corked: true } => {
                let mut corked = mem::take(&mut self.corked);
                corked.clear();
                for request in data.chunks(REPLY) {
                    corked.extend_from_slice(request);
                }
                let is_open = self.send(to, &corked);
                self.corked = corked;
                is_open
            }
            Job::Work => {
                work();
                self.send(to, data)
            }
            _ => self.send(to, data),
        }
    }

    /// Sends, or queues what cannot be sent now. Whether the connection lives on.
    fn send(&mut self, fd: RawFd, data: &[u8]) -> bool {
        let connection = &mut self.connections[fd as usize];
        let mut sent = 0;
        if connection.queue.is_empty() {
            match sys::send(fd, data) {
                Moved::Bytes(n) if n == data.len() => return true,
                Moved::Bytes(n) => sent = n,
                Moved::WouldBlock => {}
                Moved::Failed => {
                    self.close(fd);
                    return false;
                }
            }
        }
        connection.queue.extend_from_slice(&data[sent..]);
        if !mem::replace(&mut connection.wants_writable, true) {
            let both = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET;
            self.epoll.modify(fd, both, fd as u64);
        }
        true
    }

    /// Whether everything is out.
    fn flush(&mut self, fd: RawFd) -> bool {
        let connection = &mut self.connections[fd as usize];
        match sys::send(fd, &connection.queue[connection.sent..]) {
            Moved::Bytes(n) => connection.sent += n,
            Moved::WouldBlock => {}
            Moved::Failed => self.close(fd),
        }
        let connection = self.connection(fd);
        if connection.sent < connection.queue.len() {
            return false;
        }
        connection.queue = Vec::new();
        connection.sent = 0;
        true
    }

    /// Closes a connection, and with it the other end of a relay.
    fn close(&mut self, fd: RawFd) {
        let to = self.connection(fd).to;
        for end in [fd, to] {
            drop(mem::take(self.connection(end)));
        }
    }
}
