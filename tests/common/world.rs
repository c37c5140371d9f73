//! One run of one scenario, and the checks at its end.

use std::cell::{Cell, RefCell};
use std::io::ErrorKind;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tidewheel::net::{self, ConnectOptions, ListenOptions, Server, ServerOptions, Socket};

use super::watcher::Watched;
use super::{EventLoop, Form, Peer, Script, Transport, Watcher, STUCK};

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

/// One that did not exist: a process of before may have had the number of this one, and left something.
fn fresh_directory() -> PathBuf {
    loop {
        let number = DIRECTORIES.fetch_add(1, Ordering::Relaxed);
        let name = format!("tidewheel-{}-{number}", std::process::id());
        let directory = std::env::temp_dir().join(name);
        match std::fs::create_dir(&directory) {
            Ok(()) => return directory,
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            Err(error) => panic!("{}: {error}", directory.display()),
        }
    }
}

impl World {
    pub fn new(form: Form, transport: Transport) -> World {
        World::with(form, transport, EventLoop::builder())
    }

    pub fn with(form: Form, transport: Transport, builder: tidewheel::Builder) -> World {
        let alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
        let event_loop = EventLoop::of(builder).unwrap();
        World {
            own_fds: open_fds(),
            event_loop,
            form,
            transport,
            log: Rc::default(),
            watched: RefCell::default(),
            probe: Rc::new(()),
            stuck: Rc::default(),
            directory: fresh_directory(),
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
        let watched = Rc::new(RefCell::default());
        self.watched.borrow_mut().push(Rc::clone(&watched));
        Watcher {
            form: self.form,
            log: Rc::clone(&self.log),
            probe: Rc::clone(&self.probe),
            watched,
        }
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

/// A count that stands: the allocator may open a file for a moment in another thread, once in a process.
fn open_fds() -> usize {
    let count = || std::fs::read_dir("/proc/self/fd").map_or(0, |entries| entries.count());
    loop {
        let counts = [(); 3].map(|()| {
            std::thread::yield_now();
            count()
        });
        if counts == [counts[0]; 3] {
            return counts[0];
        }
    }
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
