//! The servers: one that does what it is asked, one that pipes a socket into itself, and one that pipes to the first.

use std::cell::RefCell;
use std::path::Path;
use std::rc::Rc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::Sender;
use std::sync::Arc;
use std::time::Duration;

use tidewheel::net::{
    self, Address, Chunk, ConnectOptions, ListenOptions, Server, ServerOptions, Socket, WriteStatus,
};
use tidewheel::{Error, EventLoop, Result};

use crate::owed::{self, Patience, Watch};
use crate::pattern::{Pattern, Sum};
use crate::request::{Request, Task, FAREWELL, LENGTH};
use crate::system::narrow;
use crate::tally::{Held, Tally};
use crate::STUCK;

const CHUNK: u64 = 32 * 1024;
/// Chunks that are written in a row before the others have their turn.
const ROW: usize = 8;
/// TCP servers of each kind: ports of the clients last longer, where the system keeps those that were used.
const TCP_SERVERS: usize = 4;
/// Dials come in crowds, and a full queue of a UNIX listener is an error at once.
const BACKLOG: u32 = 4096;
const CLOSE_CHECK: Duration = Duration::from_millis(50);

/// Where the servers are.
#[derive(Clone, Default)]
pub struct Places {
    pub asked: Vec<Address>,
    pub echoing: Vec<Address>,
    pub piping: Vec<Address>,
}

/// Runs the servers until they are told to close and their last connection is gone.
pub fn run(directory: &Path, tally: &Arc<Tally>, tell: &Sender<Places>) -> Result<()> {
    let event_loop = EventLoop::new()?;
    let shared = Arc::clone(tally);
    event_loop.on_unhandled_error(move |_, error| shared.unexpected(&format!("server: {error}")));
    let watch = Rc::new(Watch::new(tally));
    let looks = Rc::clone(&watch).begin(&event_loop);
    let (servers, places) = listen(&event_loop, directory, &watch, tally)?;
    let _ = tell.send(places);
    let shared = Arc::clone(tally);
    event_loop.set_interval(CLOSE_CHECK, move |timer| {
        if shared.closing.load(Ordering::Acquire) {
            servers.iter().for_each(Server::close);
            timer.clear();
        }
    });
    event_loop.run()?;
    looks.clear();
    crate::check_empty(&event_loop, tally, "server", &tally.server_closures);
    Ok(())
}

fn listen(
    event_loop: &EventLoop,
    directory: &Path,
    watch: &Rc<Watch>,
    tally: &Arc<Tally>,
) -> Result<(Vec<Server>, Places)> {
    let mut servers = Vec::new();
    let mut places = Places::default();
    let mut open = |options: ListenOptions, kind: Kind| -> Result<Address> {
        let (shared, watch) = (Arc::clone(tally), Rc::clone(watch));
        let settings = ServerOptions::default()
            .allow_half_open(true)
            .no_delay(true)
            .timeout(STUCK);
        let server = net::create_server_with(event_loop, settings, move |socket| {
            kind.serve(socket, &watch, &shared)
        });
        let shared = Arc::clone(tally);
        server.on_error(move |_, error| shared.unexpected(&format!("server: {error}")));
        server.listen(options.backlog(BACKLOG), |_| {})?;
        let address = server.address().expect("it listens");
        servers.push(server);
        Ok(address)
    };
    let path = |name: &str| ListenOptions::from(directory.join(name));
    for _ in 0..TCP_SERVERS {
        places
            .asked
            .push(open(("127.0.0.1", 0).into(), Kind::Asked)?);
        places
            .echoing
            .push(open(("127.0.0.1", 0).into(), Kind::Echoing)?);
    }
    let tcp = places.asked[0].clone();
    places.asked.push(open(path("asked"), Kind::Asked)?);
    places.echoing.push(open(path("echoing"), Kind::Echoing)?);
    let unix = places.asked[TCP_SERVERS].clone();
    for _ in 0..TCP_SERVERS {
        let kind = Kind::Piping(unix.clone());
        places.piping.push(open(("127.0.0.1", 0).into(), kind)?);
    }
    places.piping.push(open(path("piping"), Kind::Piping(tcp))?);
    Ok((servers, places))
}

/// What a server does with a connection.
enum Kind {
    Asked,
    Echoing,
    Piping(Address),
}

impl Kind {
    fn serve(&self, socket: &Socket, watch: &Watch, tally: &Arc<Tally>) {
        let number = tally.served.add(1);
        if number % 2 == 0 {
            if let Some(Err(error)) = socket.raw_fd().map(narrow) {
                tally.unexpected(&format!("server: {error}"));
            }
        }
        let destination = match self {
            Kind::Asked => {
                Serving::begin(socket, tally);
                None
            }
            Kind::Echoing => {
                echo(socket, tally);
                Some(socket.clone())
            }
            Kind::Piping(to) => Some(pipe(socket, to, tally)),
        };
        // Of each kind, also of those with a small buffer. Those whose number nobody saw are closed in another way.
        if number % 4 < 2 {
            watch.add(socket, destination.as_ref());
            if let (Kind::Piping(_), Some(onward)) = (self, &destination) {
                watch.add(onward, Some(socket));
            }
        }
    }
}

/// Nobody is rude to this one.
fn echo(socket: &Socket, tally: &Arc<Tally>) {
    socket.set_allow_half_open(false).pipe(socket);
    fail_on(socket, "echo", tally);
    let shared = Held::new(Arc::clone(tally), &tally.server_closures);
    socket.on_close(move |socket, _| {
        shared.served_in.add(socket.bytes_read());
        shared.served_out.add(socket.bytes_written());
    });
}

/// Nor to this one. What goes through it is counted at both ends of the way.
fn pipe(socket: &Socket, to: &Address, tally: &Arc<Tally>) -> Socket {
    let options = ConnectOptions::from(to.clone())
        .allow_half_open(true)
        .no_delay(true)
        .timeout(STUCK);
    let onward = net::connect(socket.event_loop(), options, |_| {});
    socket.pipe(&onward);
    onward.pipe(socket);
    fail_on(socket, "pipe from", tally);
    fail_on(&onward, "pipe to", tally);
    onward
}

/// For a connection on which nothing may fail.
fn fail_on(socket: &Socket, name: &'static str, tally: &Arc<Tally>) {
    let shared = Held::new(Arc::clone(tally), &tally.server_closures);
    let own = shared.clone();
    socket.on_error(move |_, error| own.unexpected(&format!("{name}: {error}")));
    let patience = Patience::default();
    socket.on_timeout(move |socket| {
        if patience.is_up_in_sending(socket) {
            give_up(socket, name, &shared);
        } else {
            socket.set_timeout(STUCK);
        }
    });
}

fn give_up(socket: &Socket, name: &str, tally: &Tally) {
    let (state, queued, lying) = (socket.ready_state(), socket.buffer_size(), owed::of(socket));
    tally.unexpected(&format!(
        "{name}: nothing moves, {state:?}, {queued} queued, {lying:?}"
    ));
    socket.destroy();
}

/// A connection of the server that is asked.
struct Serving {
    tally: Arc<Tally>,
    head: Vec<u8>,
    request: Option<Request>,
    pattern: Pattern,
    sum: Sum,
    /// Still to be sent.
    left: u64,
    ended: bool,
    patience: Patience,
}

type Shared = Held<Rc<RefCell<Serving>>>;

impl Serving {
    fn begin(socket: &Socket, tally: &Arc<Tally>) {
        tally.served_live.add(1);
        let serving = Rc::new(RefCell::new(Serving {
            tally: Arc::clone(tally),
            head: Vec::new(),
            request: None,
            pattern: Pattern::new(0),
            sum: Sum::new(),
            left: 0,
            ended: false,
            patience: Patience::default(),
        }));
        let serving = Held::new(serving, &tally.server_closures);
        let own = serving.clone();
        socket.on_data(move |socket, data| take(&own, socket, data));
        let own = serving.clone();
        socket.on_drain(move |socket| go_on(&own, socket));
        let own = serving.clone();
        socket.on_end(move |socket| own.borrow_mut().end(socket));
        let own = serving.clone();
        socket.on_timeout(move |socket| own.borrow().time_out(socket));
        let own = serving.clone();
        socket.on_error(move |_, error| own.borrow().fail(error));
        socket.on_close(move |socket, had_error| serving.borrow().close(socket, had_error));
    }

    /// Faults are this client's trade; one that left before it could say so is such a one.
    fn may_fail(&self) -> bool {
        self.request
            .is_none_or(|request| request.rude || request.task == Task::Reset)
    }

    fn end(&mut self, socket: &Socket) {
        self.ended = true;
        match self.request.map(|request| request.task) {
            Some(Task::Upload) => {
                let count = self.pattern.at().to_le_bytes();
                let sum = self.sum.value().to_le_bytes();
                socket.end_with([count, sum].concat());
            }
            // These end when they have sent all.
            Some(Task::Download | Task::Reset) => {}
            _ => socket.end(),
        }
    }

    fn time_out(&self, socket: &Socket) {
        match self.request.map(|request| request.task) {
            Some(Task::Silence) if socket.writable() => {
                socket.set_timeout(STUCK).end_with(FAREWELL);
            }
            _ if self.patience.is_up_in_sending(socket) => give_up(socket, "server", &self.tally),
            _ => {
                socket.set_timeout(STUCK);
            }
        }
    }

    fn fail(&self, error: &Error) {
        if !self.may_fail() {
            let task = self.request.map(|request| request.task);
            self.tally.unexpected(&format!("server, {task:?}: {error}"));
        }
    }

    fn close(&self, socket: &Socket, had_error: bool) {
        let Some(request) = self.request.filter(|_| !self.may_fail()) else {
            return;
        };
        self.tally.served_in.add(socket.bytes_read());
        self.tally.served_out.add(socket.bytes_written());
        let moved = self.pattern.at();
        let all = request.task == Task::Silence || moved == request.length;
        if had_error || !self.ended || !all {
            let Request { task, length, .. } = request;
            let what = format!(
                "server, {task:?}: {moved} of {length}, ended: {}",
                self.ended
            );
            self.tally.unexpected(&what);
        }
    }

    fn complain_of(&self, status: WriteStatus, socket: &Socket) {
        if status == WriteStatus::Refused && !self.may_fail() && !socket.destroyed() {
            self.tally.unexpected("server: a write was refused");
        }
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        self.tally.served_live.remove_one();
    }
}

fn take(shared: &Shared, socket: &Socket, mut data: &[u8]) {
    let mut serving = shared.borrow_mut();
    if serving.request.is_none() {
        let missing = (LENGTH - serving.head.len()).min(data.len());
        serving.head.extend_from_slice(&data[..missing]);
        data = &data[missing..];
        let Ok(head) = <[u8; LENGTH]>::try_from(&serving.head[..]) else {
            return;
        };
        let Some(request) = Request::decode(&head) else {
            serving.tally.unexpected("server: no such task");
            return socket.destroy();
        };
        serving.pattern = Pattern::new(request.seed);
        serving.request = Some(request);
        serving.head = Vec::new();
        match request.task {
            Task::Download | Task::Reset => serving.left = request.length,
            Task::Silence => {
                socket.set_timeout(Duration::from_millis(request.length));
            }
            Task::Echo | Task::Upload => {}
        }
        if serving.left > 0 {
            drop(serving);
            return go_on(shared, socket);
        }
    }
    if data.is_empty() {
        return;
    }
    if !serving.pattern.check(data) {
        let what = format!(
            "server: other bytes than were sent, before {}",
            serving.pattern.at()
        );
        serving.tally.unexpected(&what);
        return socket.destroy();
    }
    serving.sum.add(data);
    if serving
        .request
        .is_some_and(|request| request.task == Task::Echo)
    {
        let status = socket.write(Chunk::from(data));
        serving.complain_of(status, socket);
        if status == WriteStatus::Queued {
            socket.pause();
        }
    }
}

/// There is room to write again.
fn go_on(shared: &Shared, socket: &Socket) {
    socket.resume();
    let mut serving = shared.borrow_mut();
    if serving.left == 0 {
        return;
    }
    for _ in 0..ROW {
        let count = serving.left.min(CHUNK);
        let bytes = serving.pattern.take(count as usize);
        serving.left -= count;
        let status = socket.write(bytes);
        serving.complain_of(status, socket);
        if serving.left == 0 {
            return finish(&serving, socket);
        }
        match status {
            WriteStatus::Flushed | WriteStatus::Buffered => {}
            _ => return,
        }
    }
    let (own, socket) = (shared.clone(), socket.clone());
    let handle = socket.event_loop().clone();
    handle.set_immediate(move |_| {
        if !socket.destroyed() {
            go_on(&own, &socket);
        }
    });
}

fn finish(serving: &Serving, socket: &Socket) {
    match serving.request.map(|request| request.task) {
        Some(Task::Reset) => socket.reset_and_destroy(),
        _ => socket.end(),
    }
}
