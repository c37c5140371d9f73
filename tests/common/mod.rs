//! The harness of the socket tests.
//!
//! A scenario runs once for each case: its listeners as closures and as one `Handler`, over TCP and over UNIX sockets.
//! [`World::watch`] records every event of a socket and holds the rules that always hold: `close` once and last,
//! `connect` before `data`, nothing after `destroy` but `error` and `close`. When a scenario is over, no descriptor,
//! no slot, no timer and no closure may be left.
#![allow(dead_code, clippy::type_complexity)]

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tidewheel::net::{
    self, Address, ConnectOptions, EventKind, Handler, ListenOptions, Server, ServerOptions, Socket,
};
use tidewheel::{Error, EventLoop};

/// How long a scenario may take before it is called stuck. Generous: the machine may be busy.
const STUCK: Duration = Duration::from_secs(30);

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Form {
    Closures,
    Handler,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Transport {
    Tcp,
    Unix,
}

/// Runs a scenario in all four cases.
#[track_caller]
pub fn each_case(scenario: impl Fn(&World)) {
    for transport in [Transport::Tcp, Transport::Unix] {
        for form in [Form::Closures, Form::Handler] {
            run_case(form, transport, &scenario);
        }
    }
}

/// Runs a scenario in both forms over TCP, for what only TCP has.
#[track_caller]
pub fn each_form_tcp(scenario: impl Fn(&World)) {
    for form in [Form::Closures, Form::Handler] {
        run_case(form, Transport::Tcp, &scenario);
    }
}

/// Runs a scenario in both forms over UNIX sockets.
#[track_caller]
pub fn each_form_unix(scenario: impl Fn(&World)) {
    for form in [Form::Closures, Form::Handler] {
        run_case(form, Transport::Unix, &scenario);
    }
}

/// Runs a scenario in all four cases, on loops with settings of its own.
#[track_caller]
pub fn each_case_on(builder: &tidewheel::Builder, scenario: impl Fn(&World)) {
    for transport in [Transport::Tcp, Transport::Unix] {
        for form in [Form::Closures, Form::Handler] {
            run_on(builder.clone(), form, transport, &scenario);
        }
    }
}

#[track_caller]
fn run_case(form: Form, transport: Transport, scenario: &impl Fn(&World)) {
    run_on(EventLoop::builder(), form, transport, scenario);
}

/// Runs a scenario in one case, on a loop with settings of its own.
#[track_caller]
pub fn run_on(
    builder: tidewheel::Builder,
    form: Form,
    transport: Transport,
    scenario: &impl Fn(&World),
) {
    let world = World::with(form, transport, builder);
    scenario(&world);
    world.finish();
}

/// What a watched socket was told.
#[derive(Clone, Copy, Debug)]
pub enum Seen<'a> {
    Connect,
    Ready,
    Data(&'a [u8]),
    End,
    Drain,
    Timeout,
    Finish,
    Error(&'a Error),
    Close(bool),
}

impl Seen<'_> {
    fn kind(&self) -> EventKind {
        match self {
            Seen::Connect => EventKind::Connect,
            Seen::Ready => EventKind::Ready,
            Seen::Data(_) => EventKind::Data,
            Seen::End => EventKind::End,
            Seen::Drain => EventKind::Drain,
            Seen::Timeout => EventKind::Timeout,
            Seen::Finish => EventKind::Finish,
            Seen::Error(_) => EventKind::Error,
            Seen::Close(_) => EventKind::Close,
        }
    }

    fn label(&self) -> String {
        match self {
            Seen::Connect => "connect".into(),
            Seen::Ready => "ready".into(),
            Seen::Data(data) => format!("data({})", data.len()),
            Seen::End => "end".into(),
            Seen::Drain => "drain".into(),
            Seen::Timeout => "timeout".into(),
            Seen::Finish => "finish".into(),
            Seen::Error(error) => format!("error({})", error.code()),
            Seen::Close(had_error) => format!("close({had_error})"),
        }
    }
}

/// What a test does on the events of one socket. Events without an action are only recorded.
pub struct Script {
    name: String,
    reads: bool,
    closes: bool,
    actions: HashMap<EventKind, Box<dyn FnMut(&Socket, Seen<'_>)>>,
}

impl Script {
    pub fn new(name: &str) -> Script {
        Script {
            name: name.into(),
            reads: true,
            closes: true,
            actions: HashMap::new(),
        }
    }

    pub fn on(
        mut self,
        kind: EventKind,
        action: impl FnMut(&Socket, Seen<'_>) + 'static,
    ) -> Script {
        self.actions.insert(kind, Box::new(action));
        self
    }

    pub fn on_data(self, mut action: impl FnMut(&Socket, &[u8]) + 'static) -> Script {
        self.on(EventKind::Data, move |socket, seen| {
            if let Seen::Data(data) = seen {
                action(socket, data);
            }
        })
    }

    pub fn on_error(self, mut action: impl FnMut(&Socket, &Error) + 'static) -> Script {
        self.on(EventKind::Error, move |socket, seen| {
            if let Seen::Error(error) = seen {
                action(socket, error);
            }
        })
    }

    /// Nobody reads: no `data` listener. A handler would be a reader, so closures are used in both forms.
    pub fn no_reader(mut self) -> Script {
        self.reads = false;
        self
    }

    /// The scenario ends with this socket still open.
    pub fn stays_open(mut self) -> Script {
        self.closes = false;
        self
    }
}

/// One run of one scenario: a loop, and a log of all that was seen.
pub struct World {
    pub event_loop: EventLoop,
    pub form: Form,
    pub transport: Transport,
    log: Rc<RefCell<Vec<String>>>,
    watched: RefCell<Vec<Rc<Watched>>>,
    /// Held by every closure of the harness: how many are left can be counted.
    probe: Rc<()>,
    own_fds: usize,
    stuck: Rc<Cell<bool>>,
    directory: PathBuf,
    /// One scenario at a time in this process: descriptors are counted.
    _alone: MutexGuard<'static, ()>,
}

static ALONE: Mutex<()> = Mutex::new(());
static DIRECTORIES: AtomicUsize = AtomicUsize::new(0);

impl World {
    pub fn new(form: Form, transport: Transport) -> World {
        World::with(form, transport, EventLoop::builder())
    }

    pub fn with(form: Form, transport: Transport, builder: tidewheel::Builder) -> World {
        let alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
        let event_loop = builder.build().unwrap();
        let number = DIRECTORIES.fetch_add(1, Ordering::Relaxed);
        let directory =
            std::env::temp_dir().join(format!("tidewheel-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();
        World {
            own_fds: open_fds(),
            event_loop,
            form,
            transport,
            log: Rc::default(),
            watched: RefCell::default(),
            probe: Rc::new(()),
            stuck: Rc::default(),
            directory,
            _alone: alone,
        }
    }

    /// Something for a closure of the test's own to hold, if it is to be counted too.
    pub fn probe(&self) -> Rc<()> {
        Rc::clone(&self.probe)
    }

    /// A path in a directory of this scenario's own.
    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    /// Where a server of this transport listens: any port of 127.0.0.1, or a fresh path.
    pub fn listen_options(&self) -> ListenOptions {
        match self.transport {
            Transport::Tcp => ("127.0.0.1", 0).into(),
            Transport::Unix => self
                .path(&format!("s{}", DIRECTORIES.fetch_add(1, Ordering::Relaxed)))
                .into(),
        }
    }

    /// A listening server.
    #[track_caller]
    pub fn server(&self, on_connection: impl FnMut(&Socket) + 'static) -> Server {
        self.server_with(ServerOptions::default(), on_connection)
    }

    #[track_caller]
    pub fn server_with(
        &self,
        options: ServerOptions,
        mut on_connection: impl FnMut(&Socket) + 'static,
    ) -> Server {
        let probe = self.probe();
        let server = net::create_server_with(&self.event_loop, options, move |socket| {
            let _ = &probe;
            on_connection(socket);
        });
        server.listen(self.listen_options(), |_| {}).unwrap();
        server
    }

    /// A server that watches each connection with a script and accepts only `count`, then closes.
    #[track_caller]
    pub fn server_for(
        &self,
        count: usize,
        options: ServerOptions,
        script: impl Fn() -> Script + 'static,
    ) -> Server {
        let left = Cell::new(count);
        let watcher = self.watcher();
        self.server_with(options, move |socket| {
            watcher.watch(socket, script());
            left.set(left.get() - 1);
            if left.get() == 0 {
                socket.server().unwrap().close();
            }
        })
    }

    /// A server for one connection.
    #[track_caller]
    pub fn serve_one(&self, script: impl Fn() -> Script + 'static) -> Server {
        self.server_for(1, ServerOptions::default(), script)
    }

    pub fn connect_options(&self, server: &Server) -> ConnectOptions {
        server.address().unwrap().into()
    }

    /// A client of ours, watched.
    pub fn client(&self, server: &Server, script: Script) -> Socket {
        self.client_with(self.connect_options(server), script)
    }

    pub fn client_with(&self, options: ConnectOptions, script: Script) -> Socket {
        let socket = net::connect(&self.event_loop, options, |_| {});
        self.watch(&socket, script);
        socket
    }

    /// A client of the standard library's, blocking. The kernel completes its connect without the loop.
    #[track_caller]
    pub fn peer(&self, server: &Server) -> Peer {
        Peer::connect(&server.address().unwrap())
    }

    /// Records the events of a socket and acts on them.
    pub fn watch(&self, socket: &Socket, script: Script) {
        self.watcher().watch(socket, script);
    }

    /// The same for use inside callbacks.
    pub fn watcher(&self) -> Watcher {
        Watcher {
            form: self.form,
            log: Rc::clone(&self.log),
            probe: Rc::clone(&self.probe),
            watched: Rc::new(RefCell::default()),
        }
        .registered(self)
    }

    /// Adds a line of the test's own to the log, in order with the events.
    pub fn noter(&self) -> impl Fn(&str) + Clone + 'static {
        let log = Rc::clone(&self.log);
        move |line: &str| log.borrow_mut().push(line.to_string())
    }

    /// Runs the loop until nothing is alive.
    #[track_caller]
    pub fn run(&self) {
        self.try_run()
            .unwrap_or_else(|error| panic!("{error}\n{}", self.dump()));
    }

    #[track_caller]
    pub fn try_run(&self) -> tidewheel::Result<()> {
        let stuck = Rc::clone(&self.stuck);
        let timer = self.event_loop.set_timeout(STUCK, move |handle| {
            stuck.set(true);
            handle.stop();
        });
        timer.unref();
        let result = self.event_loop.run();
        timer.clear();
        assert!(
            !self.stuck.get(),
            "stuck in {:?} over {:?}:\n{}",
            self.form,
            self.transport,
            self.dump()
        );
        result
    }

    /// What was seen, in order, as `NAME:event`.
    pub fn log(&self) -> Vec<String> {
        self.log.borrow().clone()
    }

    /// What one socket was told, in order.
    pub fn events(&self, name: &str) -> Vec<String> {
        let prefix = format!("{name}:");
        self.log
            .borrow()
            .iter()
            .filter_map(|line| line.strip_prefix(&prefix))
            .map(String::from)
            .collect()
    }

    /// The same with all `data` in a row as one, because where chunks end means nothing.
    pub fn trace(&self, name: &str) -> String {
        let mut trace: Vec<String> = Vec::new();
        let mut bytes = 0;
        for event in self.events(name) {
            if let Some(len) = event.strip_prefix("data(") {
                bytes += len.trim_end_matches(')').parse::<usize>().unwrap();
                if trace.last().is_some_and(|last| last.starts_with("data(")) {
                    trace.pop();
                }
                trace.push(format!("data({bytes})"));
            } else {
                bytes = 0;
                trace.push(event);
            }
        }
        trace.join(" ")
    }

    #[track_caller]
    pub fn assert_trace(&self, name: &str, expected: &str) {
        let trace = self.trace(name);
        assert_eq!(
            trace,
            expected,
            "in {:?} over {:?}:\n{}",
            self.form,
            self.transport,
            self.dump()
        );
    }

    fn dump(&self) -> String {
        self.log.borrow().join("\n")
    }

    /// Everything is gone that should be gone.
    #[track_caller]
    pub fn finish(self) {
        let case = format!("{:?} over {:?}", self.form, self.transport);
        let dump = self.dump();
        let watched = self.watched.take();
        for watched in &watched {
            for socket in watched.borrow().iter() {
                assert!(
                    !socket.closes || socket.closed.get(),
                    "{} never closed ({case}):\n{dump}",
                    socket.name
                );
            }
        }
        let all_closed = watched
            .iter()
            .all(|w| w.borrow().iter().all(|socket| socket.closes));
        drop(watched);
        if all_closed && !self.event_loop.is_alive() {
            // One turn drops what the last calls let go of.
            self.event_loop.turn(Some(Duration::ZERO)).unwrap();
            let stats = self.event_loop.stats();
            assert_eq!(stats.sockets_open, 0, "slots are left ({case}):\n{dump}");
            assert_eq!(stats.timers, 0, "timers are left ({case})");
            assert_eq!(
                open_fds(),
                self.own_fds,
                "descriptors are left ({case}):\n{}",
                list_fds()
            );
        }
        let probe = Rc::clone(&self.probe);
        // While no other scenario counts descriptors: to remove a directory is to open it.
        let _ = std::fs::remove_dir_all(&self.directory);
        drop(self);
        assert_eq!(Rc::strong_count(&probe), 1, "closures are left ({case})");
    }
}

struct WatchedSocket {
    name: String,
    closes: bool,
    closed: Rc<Cell<bool>>,
}

type Watched = RefCell<Vec<WatchedSocket>>;

/// Watches sockets from inside callbacks.
#[derive(Clone)]
pub struct Watcher {
    form: Form,
    log: Rc<RefCell<Vec<String>>>,
    probe: Rc<()>,
    watched: Rc<Watched>,
}

impl Watcher {
    fn registered(self, world: &World) -> Watcher {
        world.watched.borrow_mut().push(Rc::clone(&self.watched));
        self
    }

    pub fn watch(&self, socket: &Socket, script: Script) {
        let closed = Rc::new(Cell::new(false));
        self.watched.borrow_mut().push(WatchedSocket {
            name: script.name.clone(),
            closes: script.closes,
            closed: Rc::clone(&closed),
        });
        let reads = script.reads;
        let recorder = Recorder {
            name: script.name,
            actions: script.actions,
            log: Rc::clone(&self.log),
            closed,
            destroyed: false,
            seen: Vec::new(),
            _probe: Rc::clone(&self.probe),
        };
        if self.form == Form::Handler && reads {
            socket.set_handler(recorder);
        } else {
            attach(socket, recorder, reads);
        }
    }
}

/// One recorder behind a closure for each event.
fn attach(socket: &Socket, recorder: Recorder, reads: bool) {
    let recorder = Rc::new(RefCell::new(recorder));
    macro_rules! listen {
        ($($on:ident $seen:expr;)*) => {$(
            let r = Rc::clone(&recorder);
            socket.$on(move |socket| r.borrow_mut().record(socket, $seen));
        )*};
    }
    listen! {
        on_connect Seen::Connect;
        on_ready Seen::Ready;
        on_end Seen::End;
        on_drain Seen::Drain;
        on_timeout Seen::Timeout;
        on_finish Seen::Finish;
    }
    if reads {
        let r = Rc::clone(&recorder);
        socket.on_data(move |socket, data| r.borrow_mut().record(socket, Seen::Data(data)));
    }
    let r = Rc::clone(&recorder);
    socket.on_error(move |socket, error| r.borrow_mut().record(socket, Seen::Error(error)));
    socket.on_close(move |socket, had_error| {
        recorder.borrow_mut().record(socket, Seen::Close(had_error))
    });
}

struct Recorder {
    name: String,
    actions: HashMap<EventKind, Box<dyn FnMut(&Socket, Seen<'_>)>>,
    log: Rc<RefCell<Vec<String>>>,
    closed: Rc<Cell<bool>>,
    destroyed: bool,
    seen: Vec<EventKind>,
    _probe: Rc<()>,
}

impl Recorder {
    fn record(&mut self, socket: &Socket, seen: Seen<'_>) {
        let kind = seen.kind();
        self.log
            .borrow_mut()
            .push(format!("{}:{}", self.name, seen.label()));
        self.check(socket, kind);
        self.seen.push(kind);
        if kind == EventKind::Close {
            self.closed.set(true);
        }
        if let Some(action) = self.actions.get_mut(&kind) {
            action(socket, seen);
        }
        self.destroyed = socket.destroyed();
    }

    /// The rules every socket obeys, whatever the scenario.
    fn check(&self, socket: &Socket, kind: EventKind) {
        let name = &self.name;
        assert!(!self.closed.get(), "{name}: {kind:?} after close");
        let had = |kind| self.seen.contains(&kind);
        match kind {
            EventKind::Data | EventKind::Drain => {
                assert!(!had(EventKind::Error), "{name}: {kind:?} after error");
                assert!(!self.destroyed, "{name}: {kind:?} after destroy");
                assert!(
                    !had(EventKind::End) || kind != EventKind::Data,
                    "{name}: data after end"
                );
            }
            EventKind::End | EventKind::Finish => {
                assert!(!had(kind), "{name}: {kind:?} twice");
                assert!(!self.destroyed, "{name}: {kind:?} after destroy");
            }
            EventKind::Connect | EventKind::Ready => {
                assert!(!had(kind), "{name}: {kind:?} twice");
                assert!(!had(EventKind::Data), "{name}: {kind:?} after data");
            }
            EventKind::Error => {
                assert!(!had(kind), "{name}: error twice");
                assert!(socket.destroyed(), "{name}: error before destroy");
            }
            EventKind::Close => assert!(socket.destroyed(), "{name}: close before destroy"),
            _ => {}
        }
    }
}

impl Handler for Recorder {
    fn on_connect(&mut self, socket: &Socket) {
        self.record(socket, Seen::Connect);
    }
    fn on_ready(&mut self, socket: &Socket) {
        self.record(socket, Seen::Ready);
    }
    fn on_data(&mut self, socket: &Socket, data: &[u8]) {
        self.record(socket, Seen::Data(data));
    }
    fn on_end(&mut self, socket: &Socket) {
        self.record(socket, Seen::End);
    }
    fn on_drain(&mut self, socket: &Socket) {
        self.record(socket, Seen::Drain);
    }
    fn on_timeout(&mut self, socket: &Socket) {
        self.record(socket, Seen::Timeout);
    }
    fn on_finish(&mut self, socket: &Socket) {
        self.record(socket, Seen::Finish);
    }
    fn on_error(&mut self, socket: &Socket, error: &Error) {
        self.record(socket, Seen::Error(error));
    }
    fn on_close(&mut self, socket: &Socket, had_error: bool) {
        self.record(socket, Seen::Close(had_error));
    }
}

/// A blocking socket of the standard library's, as the other side of a connection.
pub enum Peer {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Peer {
    #[track_caller]
    pub fn connect(address: &Address) -> Peer {
        let peer = match address {
            Address::Ip(address) => Peer::Tcp(TcpStream::connect(address).unwrap()),
            Address::Path(path) => Peer::Unix(UnixStream::connect(path).unwrap()),
            other => panic!("no peer for {other}"),
        };
        match &peer {
            Peer::Tcp(stream) => stream.set_read_timeout(Some(STUCK)).unwrap(),
            Peer::Unix(stream) => stream.set_read_timeout(Some(STUCK)).unwrap(),
        }
        peer
    }

    #[track_caller]
    pub fn send(&mut self, bytes: &[u8]) {
        self.write_all(bytes).unwrap();
    }

    /// Its FIN.
    #[track_caller]
    pub fn end(&self) {
        match self {
            Peer::Tcp(stream) => stream.shutdown(Shutdown::Write).unwrap(),
            Peer::Unix(stream) => stream.shutdown(Shutdown::Write).unwrap(),
        }
    }

    /// Reads to the end.
    #[track_caller]
    pub fn read_all(&mut self) -> Vec<u8> {
        let mut bytes = Vec::new();
        self.read_to_end(&mut bytes).unwrap();
        bytes
    }

    /// Closes with a reset. Over UNIX sockets only unread data makes one; then `false` is returned.
    pub fn reset(self) -> bool {
        match self {
            Peer::Tcp(stream) => {
                let linger = libc::linger {
                    l_onoff: 1,
                    l_linger: 0,
                };
                // SAFETY: the pointer and the length are of one live `linger`.
                let result = unsafe {
                    libc::setsockopt(
                        stream.as_raw_fd(),
                        libc::SOL_SOCKET,
                        libc::SO_LINGER,
                        (&raw const linger).cast(),
                        size_of_val(&linger) as libc::socklen_t,
                    )
                };
                assert_eq!(result, 0);
                true
            }
            Peer::Unix(_) => false,
        }
    }
}

impl Read for Peer {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Peer::Tcp(stream) => stream.read(buffer),
            Peer::Unix(stream) => stream.read(buffer),
        }
    }
}

impl Write for Peer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Peer::Tcp(stream) => stream.write(bytes),
            Peer::Unix(stream) => stream.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A counter shared with closures.
pub fn counter() -> Rc<Cell<usize>> {
    Rc::default()
}

fn open_fds() -> usize {
    std::fs::read_dir("/proc/self/fd").map_or(0, |entries| entries.count())
}

fn list_fds() -> String {
    let entries = std::fs::read_dir("/proc/self/fd")
        .into_iter()
        .flatten()
        .flatten();
    entries
        .filter_map(|entry| {
            Some(format!(
                "{:?} -> {:?}",
                entry.file_name(),
                std::fs::read_link(entry.path()).ok()?
            ))
        })
        .collect::<Vec<_>>()
        .join("\n")
}
