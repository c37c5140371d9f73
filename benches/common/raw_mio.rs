//! The strategy of raw epoll written against mio: what the library under the loop costs by itself.

use std::io::{self, ErrorKind, Read, Write};
use std::mem;
use std::os::fd::OwnedFd;
use std::time::Duration;

use mio::event::{Event, Source};
use mio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use mio::{Events, Interest, Poll, Registry, Token};

use super::peers::{work, Job, READ, READS_A_TURN, REPLY};
use super::sys::{self, Place, Transport};

const LISTENER: Token = Token(usize::MAX);

pub fn serve(job: Job, transport: Transport, ready: impl FnOnce(Place)) {
    let (listener, place) = sys::listen(transport);
    let listener = Listener::new(listener, transport);
    let mut server = Server {
        job,
        poll: Poll::new().expect("no poll"),
        listener,
        connections: Vec::new(),
        free: Vec::new(),
        again: Vec::new(),
        buffer: vec![0; READ],
        corked: Vec::new(),
    };
    let registry = server.poll.registry();
    let registered = server
        .listener
        .register(registry, LISTENER, Interest::READABLE);
    registered.expect("no registration");
    ready(place);
    server.run();
}

struct Server {
    job: Job,
    poll: Poll,
    listener: Listener,
    /// By token.
    connections: Vec<Option<Connection>>,
    free: Vec<usize>,
    /// Connections that may have more to read than a turn allows.
    again: Vec<usize>,
    buffer: Vec<u8>,
    /// The replies of one read.
    corked: Vec<u8>,
}

struct Connection {
    stream: Stream,
    /// Where what it brings goes: to itself, or to the other end of a relay.
    to: usize,
    /// What could not be sent, and how much of that is out by now.
    queue: Vec<u8>,
    sent: usize,
    is_in_again: bool,
    hung_up: bool,
    wants_writable: bool,
}

impl Server {
    fn run(&mut self) {
        let mut events = Events::with_capacity(1024);
        let mut turn = Vec::new();
        loop {
            let wait = (!self.again.is_empty()).then_some(Duration::ZERO);
            if self.poll.poll(&mut events, wait).is_err() {
                continue;
            }
            for event in &events {
                if event.token() == LISTENER {
                    self.accept();
                } else {
                    self.event(event);
                }
            }
            mem::swap(&mut turn, &mut self.again);
            for id in turn.drain(..) {
                let connection = self.connections[id].as_mut();
                if connection.is_some_and(|it| mem::take(&mut it.is_in_again)) {
                    self.readable(id);
                }
            }
        }
    }

    fn accept(&mut self) {
        while let Some(stream) = self.listener.accept() {
            let id = self.adopt(stream);
            if let Job::Relay(place) = &self.job {
                let upstream = Stream::connect(place);
                let upstream = self.adopt(upstream);
                self.point(id, upstream);
                self.point(upstream, id);
            }
        }
    }

    /// Takes a connection in; what it brings goes back to it.
    fn adopt(&mut self, mut stream: Stream) -> usize {
        let id = self.free.pop().unwrap_or_else(|| {
            self.connections.push(None);
            self.connections.len() - 1
        });
        let registry = self.poll.registry();
        let registered = stream.register(registry, Token(id), Interest::READABLE);
        registered.expect("no registration");
        self.connections[id] = Some(Connection {
            stream,
            to: id,
            queue: Vec::new(),
            sent: 0,
            is_in_again: false,
            hung_up: false,
            wants_writable: false,
        });
        id
    }

    fn point(&mut self, from: usize, to: usize) {
        if let Some(connection) = &mut self.connections[from] {
            connection.to = to;
        }
    }

    fn event(&mut self, event: &Event) {
        let id = event.token().0;
        let Some(connection) = &mut self.connections[id] else {
            return;
        };
        if event.is_read_closed() || event.is_error() {
            connection.hung_up = true;
        }
        let source = connection.to;
        if !connection.queue.is_empty() && self.flush(id) && source != id {
            self.readable(source);
        }
        self.readable(id);
    }

    /// A turn of one connection, as in raw epoll.
    fn readable(&mut self, id: usize) {
        for _ in 0..READS_A_TURN {
            if !self.carry(id) {
                return;
            }
        }
        if let Some(connection) = &mut self.connections[id] {
            if !mem::replace(&mut connection.is_in_again, true) {
                self.again.push(id);
            }
        }
    }

    /// One read and what it leads to. Whether more may be waiting.
    fn carry(&mut self, id: usize) -> bool {
        let Some(to) = self.connections[id].as_ref().map(|it| it.to) else {
            return false;
        };
        // Until the rest is out nothing more is read, and `event` comes back here.
        if self.is_queueing(to) {
            return false;
        }
        let Some(connection) = &mut self.connections[id] else {
            return false;
        };
        let n = match connection.stream.read(&mut self.buffer) {
            Ok(n) if n > 0 => n,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return false,
            _ => {
                self.close(id);
                return false;
            }
        };
        let hung_up = connection.hung_up;
        let buffer = mem::take(&mut self.buffer);
        let is_open = self.answer(to, &buffer[..n]);
        self.buffer = buffer;
        // A short read has emptied the socket.
        is_open && !self.is_queueing(to) && (n == READ || hung_up)
    }

    fn is_queueing(&self, id: usize) -> bool {
        self.connections[id]
            .as_ref()
            .is_some_and(|connection| !connection.queue.is_empty())
    }

    /// Whether the connection lives on.
    fn answer(&mut self, to: usize, data: &[u8]) -> bool {
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
    fn send(&mut self, id: usize, data: &[u8]) -> bool {
        let Some(connection) = &mut self.connections[id] else {
            return false;
        };
        let mut sent = 0;
        if connection.queue.is_empty() {
            match connection.stream.write(data) {
                Ok(n) if n == data.len() => return true,
                Ok(n) => sent = n,
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(_) => {
                    self.close(id);
                    return false;
                }
            }
        }
        connection.queue.extend_from_slice(&data[sent..]);
        if !mem::replace(&mut connection.wants_writable, true) {
            let both = Interest::READABLE | Interest::WRITABLE;
            let (stream, registry) = (&mut connection.stream, self.poll.registry());
            let registered = stream.reregister(registry, Token(id), both);
            registered.expect("no registration");
        }
        true
    }

    /// Whether everything is out.
    fn flush(&mut self, id: usize) -> bool {
        let Some(connection) = &mut self.connections[id] else {
            return false;
        };
        match connection
            .stream
            .write(&connection.queue[connection.sent..])
        {
            Ok(n) => connection.sent += n,
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(_) => {
                self.close(id);
                return false;
            }
        }
        if connection.sent < connection.queue.len() {
            return false;
        }
        connection.queue = Vec::new();
        connection.sent = 0;
        true
    }

    /// Closes a connection, and with it the other end of a relay.
    fn close(&mut self, id: usize) {
        let Some(connection) = self.connections[id].take() else {
            return;
        };
        self.free.push(id);
        self.close(connection.to);
    }
}

/// One of two kinds of a thing, which mio knows as two types.
enum Either<T, U> {
    Tcp(T),
    Unix(U),
}

type Listener = Either<TcpListener, UnixListener>;
type Stream = Either<TcpStream, UnixStream>;

impl Listener {
    fn new(listener: OwnedFd, transport: Transport) -> Listener {
        match transport {
            Transport::Tcp => Either::Tcp(TcpListener::from_std(listener.into())),
            Transport::Unix => Either::Unix(UnixListener::from_std(listener.into())),
        }
    }

    fn accept(&self) -> Option<Stream> {
        match self {
            Either::Tcp(listener) => listener.accept().ok().map(|(it, _)| Either::Tcp(it)),
            Either::Unix(listener) => listener.accept().ok().map(|(it, _)| Either::Unix(it)),
        }
    }
}

impl Stream {
    fn connect(place: &Place) -> Stream {
        let stream = sys::connect(place);
        match place {
            Place::Tcp(_) => Either::Tcp(TcpStream::from_std(stream.into())),
            Place::Unix(_) => Either::Unix(UnixStream::from_std(stream.into())),
        }
    }

    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Either::Tcp(stream) => stream.read(buffer),
            Either::Unix(stream) => stream.read(buffer),
        }
    }

    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        match self {
            Either::Tcp(stream) => stream.write(data),
            Either::Unix(stream) => stream.write(data),
        }
    }
}

impl<T: Source, U: Source> Either<T, U> {
    fn register(&mut self, registry: &Registry, token: Token, on: Interest) -> io::Result<()> {
        match self {
            Either::Tcp(source) => registry.register(source, token, on),
            Either::Unix(source) => registry.register(source, token, on),
        }
    }

    fn reregister(&mut self, registry: &Registry, token: Token, on: Interest) -> io::Result<()> {
        match self {
            Either::Tcp(source) => registry.reregister(source, token, on),
            Either::Unix(source) => registry.reregister(source, token, on),
        }
    }
}
