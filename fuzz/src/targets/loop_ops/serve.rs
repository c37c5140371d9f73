//! What the script does with servers, connections to be, timers, posts and descriptors that are watched.

use std::cell::{Cell, RefCell};
use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tidewheel::net::{
    self, Address, ConnectOptions, ListenOptions, Server, ServerOptions, Socket, SocketOptions,
};
use tidewheel::{Error, Interest};

use super::record::{Stream, Tracked};
use super::world::{Timer, World};

const MAX_SOCKETS: usize = 40;
const MAX_SERVERS: usize = 4;
const MAX_OTHERS: usize = 12;

impl World {
    pub fn new_pair(self: &Rc<Self>) {
        if self.sockets.borrow().len() >= MAX_SOCKETS {
            return;
        }
        let (a, b) = self.call(|| net::pair(&self.event_loop)).unwrap();
        let (left, right) = (Rc::default(), Rc::default());
        Stream::join(&left, &right);
        let how = self.sockets.borrow().len() as u8;
        for (socket, stream, how) in [(&a, left, how >> 1), (&b, right, how >> 2)] {
            if self.small_buffers {
                shrink_buffers(socket);
            }
            Tracked::watch(self, socket, stream, how);
        }
    }

    pub fn listen(self: &Rc<Self>, how: u8) {
        if self.servers.borrow().len() >= MAX_SERVERS {
            return;
        }
        let options = ServerOptions::default()
            .allow_half_open(how & 1 == 1)
            .pause_on_connect(how & 2 == 2)
            .high_water_mark(usize::from(how & 4) * 100);
        let (world, probe) = (Rc::clone(self), self.probe());
        let on_connection = move |socket: &Socket| {
            let _probe = &probe;
            let _running = world.enter(None);
            let stream = Rc::<Stream>::default();
            if let Some(Address::Ip(at)) = socket.remote() {
                stream.meet(&world, at);
            }
            if world.sockets.borrow().len() < 2 * MAX_SOCKETS {
                Tracked::watch(&world, socket, stream, how >> 3);
            } else {
                world.call(|| socket.destroy());
            }
            world.act();
        };
        let server =
            self.call(|| net::create_server_with(&self.event_loop, options, on_connection));
        self.listen_again(&server, how);
        self.servers.borrow_mut().push(server);
    }

    /// On an abstract name or, which costs ports, at times on TCP.
    pub fn listen_again(self: &Rc<Self>, server: &Server, how: u8) {
        let options = if how >= 208 {
            ListenOptions::from((Ipv4Addr::LOCALHOST, 0))
        } else {
            ListenOptions::from(abstract_name(how))
        };
        let configured = self.probe();
        let options = options.configure(move |_| {
            let _probe = &configured;
            Ok(())
        });
        let (world, probe) = (Rc::clone(self), self.probe());
        let listening = move |_: &Server| {
            let _probe = probe;
            let _running = world.enter(None);
            world.act();
        };
        let result = self.call(|| server.listen(options, listening));
        assert!(result.is_err() || server.listening());
    }

    pub fn serve(self: &Rc<Self>, which: u8, how: u8) {
        let server = {
            let servers = self.servers.borrow();
            match servers.get(usize::from(which) % servers.len().max(1)) {
                Some(server) => server.clone(),
                None => return,
            }
        };
        match how % 10 {
            0 => self.call(|| server.close()),
            1 => {
                let done = self.promise();
                self.call(|| server.close_with(move |_, _| done()));
            }
            2 => {
                let done = self.promise();
                let grace = Duration::from_millis(u64::from(how / 100));
                self.call(|| server.shutdown(grace, move |_, _| done()));
            }
            3 => {
                self.call(|| server.pause());
            }
            4 => {
                self.call(|| server.resume());
            }
            5 => {
                let limit = (how < 128).then_some(usize::from(how / 32));
                self.call(|| server.set_max_connections(limit));
            }
            6 => {
                let done = self.promise();
                self.call(|| server.get_connections(move |_| done()));
            }
            7 => self.listen_again(&server, how),
            8 => {
                let (world, probe) = (Rc::clone(self), self.probe());
                let closed = move |_: &Server| {
                    let _probe = &probe;
                    let _running = world.enter(None);
                    let before = world.close_cut_short.replace(true);
                    world.act();
                    world.close_cut_short.set(before);
                };
                self.call(|| server.on_close(closed));
            }
            _ => {
                self.call(|| {
                    if how < 128 {
                        server.unref()
                    } else {
                        server.ref_()
                    }
                });
            }
        }
    }

    /// A closure that must be called once.
    fn promise(self: &Rc<Self>) -> impl FnOnce() + 'static {
        self.owed.set(self.owed.get() + 1);
        let (world, probe) = (Rc::clone(self), self.probe());
        move || {
            let _probe = probe;
            let _running = world.enter(None);
            world.paid.set(world.paid.get() + 1);
            world.act();
        }
    }

    pub fn connect(self: &Rc<Self>, which: u8, how: u8) {
        if self.sockets.borrow().len() >= MAX_SOCKETS {
            return;
        }
        let options = self.connect_options(which, how);
        let probe = self.probe();
        // The first listener: what it did could hide the event from the recorder.
        let connected = move |_: &Socket| drop(probe);
        let socket = self.call(|| net::connect(&self.event_loop, options, connected));
        Tracked::watch(self, &socket, Rc::default(), how >> 4);
    }

    pub fn new_socket(self: &Rc<Self>, how: u8) {
        if self.sockets.borrow().len() < MAX_SOCKETS {
            let options = SocketOptions::default().allow_half_open(how & 1 == 1);
            let socket = self.call(|| Socket::new(&self.event_loop, options));
            Tracked::watch(self, &socket, Rc::default(), how >> 1);
        }
    }

    pub fn connect_later(self: &Rc<Self>, socket: &Socket, which: u8, how: u8) {
        let options = self.connect_options(which, how);
        let is_new = socket.pending() && !socket.connecting() && !socket.destroyed();
        let (world, probe) = (Rc::clone(self), self.probe());
        let connected = move |_: &Socket| {
            let _probe = probe;
            let _running = world.enter(None);
            world.act();
        };
        let result = self.call(|| socket.connect(options, connected));
        assert!(result.is_err() || is_new);
    }

    /// To a server of ours, to nobody, or by a name that is answered in any way or not at all.
    fn connect_options(self: &Rc<Self>, which: u8, how: u8) -> ConnectOptions {
        let servers = self.servers.borrow();
        let server = servers.get(usize::from(which) % (servers.len() + 1));
        let address = server.and_then(Server::address);
        let options = match (how % 8, address) {
            (0..=3, Some(address)) => ConnectOptions::from(address),
            (4, Some(Address::Ip(at))) => ConnectOptions::from(("a.name", at.port())),
            (5, _) => ConnectOptions::default(),
            (4 | 6, _) => ConnectOptions::from(("a.name", 1)),
            _ => ConnectOptions::from(abstract_name(0)),
        };
        let (world, probe) = (Rc::clone(self), self.probe());
        let options = options.lookup(move |_, _, reply| {
            let _probe = &probe;
            let _running = world.enter(None);
            match which / 16 % 5 {
                0 => world.call(|| reply.found(vec![IpAddr::from(Ipv4Addr::LOCALHOST)])),
                1 => world.call(|| reply.failed(Error::other("no names today"))),
                2 => world.call(|| drop(reply)),
                3 => world.panic(),
                _ if world.acting.get() => world.replies.borrow_mut().push(reply),
                // Nobody would answer it any more.
                _ => world.call(|| drop(reply)),
            }
            world.act();
        });
        match how / 64 {
            0 => options.allow_half_open(true),
            1 => options.connect_timeout(Duration::from_millis(1)),
            2 => options.max_queued(5000).high_water_mark(64),
            _ => options,
        }
    }

    pub fn answer_lookup(&self, how: u8) {
        let reply = self.replies.borrow_mut().pop();
        if let Some(reply) = reply {
            match how % 3 {
                0 => self.call(|| reply.found(vec![IpAddr::from(Ipv4Addr::LOCALHOST)])),
                1 => self.call(|| reply.failed(Error::other("no name after all"))),
                _ => self.call(|| drop(reply)),
            }
        }
    }

    pub fn new_timer(self: &Rc<Self>, millis: u8, repeats: bool) {
        if self.timers.borrow().len() >= MAX_OTHERS {
            return;
        }
        let period = Duration::from_millis(u64::from(millis % 4));
        let timer = Rc::new(Timer {
            timeout: RefCell::default(),
            deadline: Cell::new(Instant::now() + period),
            period: Cell::new(period),
            repeats,
            over: Cell::default(),
        });
        let (world, probe, me) = (Rc::clone(self), self.probe(), Rc::clone(&timer));
        let due = move || {
            let _probe = &probe;
            let _running = world.enter(None);
            assert!(Instant::now() >= me.deadline.get(), "a timer is early");
            assert!(!me.over.get(), "a timer that is over");
            me.over.set(!me.repeats);
            world.act();
        };
        let timeout = self.call(|| {
            if repeats {
                self.event_loop.set_interval(period, move |_| due())
            } else {
                self.event_loop.set_timeout(period, move |_| due())
            }
        });
        *timer.timeout.borrow_mut() = Some(timeout);
        self.timers.borrow_mut().push(timer);
    }

    pub fn change_timer(&self, which: u8, how: u8) {
        let timer = {
            let timers = self.timers.borrow();
            match timers.get(usize::from(which) % timers.len().max(1)) {
                Some(timer) => Rc::clone(timer),
                None => return,
            }
        };
        let timeout = timer.timeout.borrow().clone().expect("it was set");
        match how % 4 {
            0 => {
                timer.over.set(true);
                self.call(|| timeout.clear());
            }
            1 => {
                let deadline = Instant::now() + timer.period.get();
                if self.call(|| timeout.refresh()) {
                    timer.deadline.set(deadline);
                    timer.over.set(false);
                }
            }
            2 => {
                self.call(|| timeout.unref());
            }
            _ => {
                self.call(|| timeout.ref_());
            }
        }
    }

    pub fn immediate(self: &Rc<Self>) {
        let done = self.promise();
        self.call(|| self.event_loop.set_immediate(move |_| done()));
    }

    pub fn remote(self: &Rc<Self>, how: u8) {
        let mut remotes = self.remotes.borrow_mut();
        match how % 5 {
            0 if remotes.len() < MAX_OTHERS => remotes.push(self.event_loop.remote()),
            1 => drop(remotes.pop()),
            2 if remotes.len() < MAX_OTHERS => {
                let clone = remotes.last().cloned();
                remotes.extend(clone);
            }
            3 => remotes.iter().for_each(if how < 128 {
                tidewheel::Remote::unref
            } else {
                tidewheel::Remote::ref_
            }),
            _ => {
                let paid = Arc::clone(&self.posts_paid);
                let remote = self.event_loop.remote();
                self.posts_owed.set(self.posts_owed.get() + 1);
                let post = move |_: &tidewheel::LoopHandle| {
                    paid.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                };
                self.call(|| remote.post(post)).unwrap();
            }
        }
    }

    pub fn watch(self: &Rc<Self>, how: u8) {
        let mut watches = self.watches.borrow_mut();
        match how % 4 {
            0 if watches.len() < MAX_OTHERS => {
                let (ours, theirs) = UnixStream::pair().unwrap();
                ours.set_nonblocking(true).unwrap();
                let mut reader = ours.try_clone().unwrap();
                let (world, probe) = (Rc::clone(self), self.probe());
                let ready = move |_: &tidewheel::Watch, _| {
                    let _probe = &probe;
                    let _running = world.enter(None);
                    let _ = reader.read(&mut [0; 16]);
                    world.act();
                };
                let interest = Interest::READABLE;
                let watch = self
                    .call(|| self.event_loop.watch(ours, interest, ready))
                    .unwrap();
                watches.push((watch, theirs));
            }
            1 => {
                if let Some((watch, _theirs)) = watches.pop() {
                    self.call(|| watch.close());
                }
            }
            2 => {
                if let Some((_, theirs)) = watches.last_mut() {
                    theirs.write_all(b"x").unwrap();
                }
            }
            _ => {
                if let Some((watch, _)) = watches.last() {
                    let interest = Interest::READABLE | Interest::WRITABLE;
                    self.call(|| watch.set_interest(interest)).unwrap();
                }
            }
        }
    }

    /// Takes the descriptor out of the loop; it comes back as another socket, or is closed.
    pub fn detach(self: &Rc<Self>, tracked: &Rc<Tracked>, socket: &Socket) {
        if let Ok(fd) = self.call(|| socket.detach()) {
            assert!(socket.destroyed());
            tracked.count(socket);
            self.detached
                .borrow_mut()
                .push((fd, Rc::clone(&tracked.stream)));
        }
    }

    pub fn adopt(self: &Rc<Self>, how: u8) {
        let Some((fd, stream)) = self.detached.borrow_mut().pop() else {
            return;
        };
        if self.sockets.borrow().len() < MAX_SOCKETS && how >= 32 {
            let options = SocketOptions::default();
            let socket = self
                .call(|| Socket::from_fd(&self.event_loop, fd, options))
                .unwrap();
            Tracked::watch(self, &socket, stream, how);
        }
    }
}

fn abstract_name(how: u8) -> PathBuf {
    format!("\0tidewheel-fuzz-{}-{}", std::process::id(), how % 4).into()
}

fn shrink_buffers(socket: &Socket) {
    let Some(fd) = socket.raw_fd() else { return };
    let bytes: libc::c_int = 1;
    // SAFETY: `fd` is open, and the option's value is one live int.
    let result = unsafe {
        let value = (&raw const bytes).cast();
        let len = size_of::<libc::c_int>() as libc::socklen_t;
        libc::setsockopt(
            fd.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_SNDBUF,
            value,
            len,
        )
    };
    assert_eq!(result, 0);
}
