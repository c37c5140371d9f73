//! Dropping the `EventLoop` closes every descriptor and drops every closure uncalled; the handles that outlive it are
//! dead.

#[path = "common/census.rs"]
mod census;

use std::cell::Cell;
use std::io::Read;
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::rc::Rc;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use census::EventLoop;
use tidewheel::net::{
    self, EventKind, Handler, ReadyState, Server, Socket, SocketOptions, WriteStatus,
};
use tidewheel::{Code, Interest, LoopClosed, LoopHandle};

/// Names a value in a closure, so that the closure owns it.
fn held_by<T>(_: &T) {}

/// Descriptors are counted: one test at a time.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

fn open_fds() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}

/// A closure that must never be called, and counts itself as long as it is there.
macro_rules! never {
    ($probe:expr; $($argument:tt)*) => {{
        let probe = Rc::clone(&$probe);
        move |$($argument)*| {
            let _ = &probe;
            panic!("it was called")
        }
    }};
}

struct Silent(#[allow(dead_code)] Rc<()>);

impl Handler for Silent {}

/// A loop with something of every kind, all of it holding the probe.
fn busy(probe: &Rc<()>) -> (EventLoop, Handles) {
    let event_loop = EventLoop::new().unwrap();
    let server = net::create_server(&event_loop, never!(probe; _));
    server.listen(("127.0.0.1", 0), never!(probe; _)).unwrap();
    server
        .on_close(never!(probe; _))
        .on_listening(never!(probe; _));
    server.close_with(never!(probe; _, _));
    server.listen(("127.0.0.1", 0), never!(probe; _)).unwrap();
    let connecting = net::connect(&event_loop, server.address().unwrap(), never!(probe; _));
    let (a, b) = net::pair(&event_loop).unwrap();
    a.on_data(never!(probe; _, _));
    a.on_error(never!(probe; _, _))
        .on_close(never!(probe; _, _));
    a.set_handler(Silent(Rc::clone(probe)))
        .set_data(Rc::clone(probe));
    a.write_then(vec![0; 16 << 20], never!(probe; _, _));
    b.destroy();
    let timer = event_loop.set_timeout(Duration::ZERO, never!(probe; _));
    let interval = event_loop.set_interval(Duration::ZERO, never!(probe; _));
    event_loop.set_immediate(never!(probe; _));
    server.get_connections(never!(probe; _));
    event_loop.on_unhandled_error(never!(probe; _, _));
    let (watched, _peer) = UnixStream::pair().unwrap();
    let watch = event_loop
        .watch(watched, Interest::READABLE, never!(probe; _, _))
        .unwrap();
    let handles = Handles {
        handle: event_loop.handle(),
        watch,
        server,
        sockets: [connecting, a, b],
        timers: [timer, interval],
        remote: event_loop.remote(),
    };
    (event_loop, handles)
}

struct Handles {
    handle: LoopHandle,
    watch: tidewheel::Watch,
    server: Server,
    sockets: [Socket; 3],
    timers: [tidewheel::Timeout; 2],
    remote: tidewheel::Remote,
}

#[test]
fn every_closure_is_dropped_uncalled() {
    let _alone = alone();
    let probe = Rc::new(());
    let (event_loop, handles) = busy(&probe);
    assert!(Rc::strong_count(&probe) > 15);
    drop(event_loop);
    assert_eq!(Rc::strong_count(&probe), 1);
    drop(handles);
}

#[test]
fn every_descriptor_is_closed_although_handles_live_on() {
    let _alone = alone();
    let before = open_fds();
    let probe = Rc::new(());
    let (event_loop, handles) = busy(&probe);
    assert!(open_fds() > before + 3);
    drop(event_loop);
    assert_eq!(open_fds(), before);
    drop(handles);
}

#[test]
fn the_peers_of_its_sockets_see_them_go_and_its_address_is_free() {
    let _alone = alone();
    let event_loop = EventLoop::new().unwrap();
    let accepted = Rc::new(Cell::new(false));
    let flag = Rc::clone(&accepted);
    let server = net::create_server(&event_loop, move |_| flag.set(true));
    server.listen(("127.0.0.1", 0), |_| {}).unwrap();
    let address = server.address().unwrap();
    let address = (address.ip().unwrap(), address.port().unwrap());
    let mut peer = TcpStream::connect(address).unwrap();
    while !accepted.get() {
        event_loop.turn(None).unwrap();
    }
    drop(event_loop);
    assert_eq!(peer.read(&mut [0; 10]).unwrap(), 0);
    drop(peer);
    TcpStream::connect(address).unwrap_err();
    assert_eq!(server.address(), None);
}

#[test]
fn the_socket_file_of_a_server_is_removed() {
    let _alone = alone();
    let path = std::env::temp_dir().join(format!("tidewheel-drop-{}", std::process::id()));
    let event_loop = EventLoop::new().unwrap();
    let server = net::create_server(&event_loop, |_| {});
    server.listen(&path, |_| {}).unwrap();
    assert!(path.exists());
    drop(event_loop);
    assert!(!path.exists());
}

#[test]
fn dead_sockets_are_destroyed_and_refuse_everything() {
    let _alone = alone();
    let probe = Rc::new(());
    let (event_loop, handles) = busy(&probe);
    drop(event_loop);
    let never_connected = Socket::new(&handles.handle, SocketOptions::default());
    for socket in handles.sockets.iter().chain([&never_connected]) {
        assert_eq!(socket.write("x"), WriteStatus::Refused);
        assert_eq!(socket.write(vec![1, 2]), WriteStatus::Refused);
        let status = socket.write_then("x", never!(probe; _, _));
        assert_eq!(status, WriteStatus::Refused);
        socket.end_then(never!(probe; _, _));
        socket.end_with("x");
        socket.destroy();
        let error = socket.connect(1, never!(probe; _)).unwrap_err();
        assert_eq!(error.code(), Code::LoopClosed);
        assert_eq!(error.code().as_str(), "ERR_LOOP_CLOSED");
        socket.on_data(never!(probe; _, _));
        socket
            .on_drain(never!(probe; _))
            .on_connect(never!(probe; _));
        socket.set_handler(Silent(Rc::clone(&probe)));
        socket.set_data(Rc::clone(&probe));
        assert_eq!(Rc::strong_count(&probe), 1, "closures are dropped at once");
        socket.pause().resume().ref_().unref().cork().uncork();
        socket
            .set_timeout(Duration::from_secs(1))
            .set_no_delay(true);
        socket.set_keep_alive(true, None).set_allow_half_open(true);
        socket.pipe(socket);
        socket.unpipe(None).remove_all_listeners(EventKind::Data);
        assert_eq!(socket.corked(|_| 7), 7);
        assert!(socket.destroyed() && !socket.has_ref() && !socket.connecting());
        assert!(!socket.readable() && !socket.writable() && socket.pending());
        assert_eq!(socket.ready_state(), ReadyState::Closed);
        assert_eq!(
            (socket.address(), socket.remote(), socket.timeout()),
            (None, None, None)
        );
        let counters = (
            socket.buffer_size(),
            socket.bytes_read(),
            socket.bytes_written(),
        );
        assert_eq!(counters, (0, 0, 0));
        assert!(socket.server().is_none() && socket.raw_fd().is_none());
        assert!(socket.data::<Rc<()>>().is_none());
        assert!(handles.handle.socket(socket.id()).is_none());
        assert!(format!("{socket:?}").contains("Socket"));
    }
}

#[test]
fn a_dead_socket_drops_the_owner_of_refused_bytes_at_once() {
    struct Owner(#[allow(dead_code)] std::sync::Arc<()>);
    impl AsRef<[u8]> for Owner {
        fn as_ref(&self) -> &[u8] {
            b"bytes"
        }
    }
    let _alone = alone();
    let event_loop = EventLoop::new().unwrap();
    let (a, _b) = net::pair(&event_loop).unwrap();
    drop(event_loop);
    let probe = std::sync::Arc::new(());
    for _ in 0..10 {
        a.write(Bytes::from_owner(Owner(probe.clone())));
        a.end_with(Bytes::from_owner(Owner(probe.clone())));
    }
    assert_eq!(std::sync::Arc::strong_count(&probe), 1);
}

#[test]
fn dead_servers_do_not_listen() {
    let _alone = alone();
    let probe = Rc::new(());
    let (event_loop, handles) = busy(&probe);
    drop(event_loop);
    let made_later = net::create_server(&handles.handle, never!(probe; _));
    for server in [&handles.server, &made_later] {
        let error = server
            .listen(("127.0.0.1", 0), never!(probe; _))
            .unwrap_err();
        assert_eq!(error.code(), Code::LoopClosed);
        server.close();
        server.close_with(never!(probe; _, _));
        server.shutdown(Duration::from_secs(1), never!(probe; _, _));
        server.get_connections(never!(probe; _));
        server
            .on_close(never!(probe; _))
            .on_connection(never!(probe; _));
        assert_eq!(Rc::strong_count(&probe), 1, "closures are dropped at once");
        server.ref_().unref().remove_all_listeners(EventKind::Close);
        assert!(!server.listening() && !server.has_ref() && server.sockets().is_empty());
        assert_eq!(
            (server.address(), server.connections(), server.raw_fd()),
            (None, 0, None)
        );
        assert!(handles.handle.server(server.id()).is_none());
        assert!(format!("{server:?}").contains("Server"));
    }
}

#[test]
fn a_dead_loop_starts_nothing() {
    let _alone = alone();
    let probe = Rc::new(());
    let (event_loop, handles) = busy(&probe);
    drop(event_loop);
    let handle = &handles.handle;
    for timer in &handles.timers {
        assert!(!timer.refresh() && !timer.has_ref());
        timer.ref_().unref().clear();
    }
    let timer = handle.set_timeout(Duration::ZERO, never!(probe; _));
    let interval = handle.set_interval(Duration::ZERO, never!(probe; _));
    assert!(!timer.refresh() && !interval.refresh());
    handle.set_immediate(never!(probe; _));
    handle.on_unhandled_error(never!(probe; _, _));
    assert_eq!(
        handles.remote.post(|_| panic!("it was called")),
        Err(LoopClosed)
    );
    assert_eq!(
        handle.remote().post(|_| panic!("it was called")),
        Err(LoopClosed)
    );
    assert_eq!(net::pair(handle).unwrap_err().code(), Code::LoopClosed);
    assert_eq!(Rc::strong_count(&probe), 1, "closures are dropped at once");
    let (watched, _peer) = UnixStream::pair().unwrap();
    let watch = handle.watch(watched, Interest::READABLE, never!(probe; _, _));
    assert_eq!(watch.unwrap_err().code(), Code::LoopClosed);
    assert!(!handles.watch.ref_().unref().has_ref());
    let _ = handles.watch.set_interest(Interest::WRITABLE);
    handles.watch.close();
    assert_eq!(Rc::strong_count(&probe), 1, "closures are dropped at once");
    handle.stop();
    assert!(!handle.is_alive());
    assert_eq!(handle.stats().sockets_open, 0);
    assert_eq!(handle.stats().timers, 0);
    assert!(handle.now() <= std::time::Instant::now());
}

#[test]
fn connecting_on_a_dead_loop_gives_a_destroyed_socket() {
    let _alone = alone();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let probe = Rc::new(());
    let event_loop = EventLoop::new().unwrap();
    let handle = event_loop.handle();
    drop(event_loop);
    let before = open_fds();
    let socket = net::connect(&handle, listener.local_addr().unwrap(), never!(probe; _));
    assert!(socket.destroyed());
    assert_eq!(Rc::strong_count(&probe), 1);
    assert_eq!(open_fds(), before);
}

#[test]
fn destructors_that_run_with_the_loop_may_call_into_it() {
    struct Busy(LoopHandle, Socket, Server, Rc<Cell<usize>>);
    impl Drop for Busy {
        fn drop(&mut self) {
            let Busy(handle, socket, server, dropped) = self;
            dropped.set(dropped.get() + 1);
            socket.write(vec![0; 100]);
            socket.on_close(|_, _| {}).set_data(1).destroy();
            server.close();
            assert!(server.listen(("127.0.0.1", 0), |_| {}).is_err());
            assert!(net::pair(handle).is_err());
            handle.set_timeout(Duration::ZERO, |_| {});
            handle.set_immediate(|_| {});
            assert!(handle.remote().post(|_| {}).is_err());
            assert!(!handle.is_alive());
        }
    }
    let _alone = alone();
    let before = open_fds();
    let event_loop = EventLoop::new().unwrap();
    let (a, _b) = net::pair(&event_loop).unwrap();
    let server = net::create_server(&event_loop, |_| {});
    server.listen(("127.0.0.1", 0), |_| {}).unwrap();
    let dropped = Rc::new(Cell::new(0));
    let busy = || {
        Busy(
            event_loop.handle(),
            a.clone(),
            server.clone(),
            Rc::clone(&dropped),
        )
    };
    let (listener, timer, immediate, of_server, hook) = (busy(), busy(), busy(), busy(), busy());
    a.on_drain(move |_| held_by(&listener)).set_data(busy());
    event_loop.set_timeout(Duration::ZERO, move |_| drop(timer));
    event_loop.set_immediate(move |_| drop(immediate));
    server.on_close(move |_| held_by(&of_server));
    event_loop.on_unhandled_error(move |_, _| held_by(&hook));
    drop(event_loop);
    assert_eq!(dropped.get(), 6);
    assert_eq!(open_fds(), before);
}

#[test]
fn handles_of_what_is_closed_do_not_name_what_came_after() {
    let _alone = alone();
    let event_loop = EventLoop::new().unwrap();
    let mut old = Vec::new();
    for _ in 0..5 {
        let (a, b) = net::pair(&event_loop).unwrap();
        a.destroy();
        b.destroy();
        old.extend([a, b]);
        event_loop.run().unwrap();
    }
    let (a, b) = net::pair(&event_loop).unwrap();
    let heard = Rc::new(Cell::new(0));
    let count = Rc::clone(&heard);
    b.on_data(move |socket, data| {
        count.set(data.len());
        socket.end();
    });
    for socket in &old {
        assert!(socket.destroyed() && *socket != a && *socket != b);
        assert_eq!(socket.write("stale"), WriteStatus::Refused);
        socket.pause().set_timeout(Duration::ZERO).unref();
        socket.destroy();
        assert!(event_loop.socket(socket.id()).is_none());
    }
    assert_eq!(event_loop.socket(a.id()).unwrap(), a);
    a.end_with("fresh");
    event_loop.run().unwrap();
    assert_eq!(heard.get(), 5);
}
