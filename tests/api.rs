//! The public face: every name with its signature, the traits of every type, and lines as users write them.
//!
//! Most of it only has to compile. What runs is there to show that the line does what it looks like.

#[path = "common/census.rs"]
mod census;

use std::borrow::Cow;
use std::error::Error as StdError;
use std::fmt::{Debug, Display};
use std::hash::Hash;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use tidewheel::net::{
    self, Address, Chunk, ConnectOptions, Dropped, Encoding, EventKind, Family, Host,
    ListenOptions, Lookup, LookupReply, PipeOptions, ReadyState, Server, ServerId, ServerOptions,
    Socket, SocketId, SocketOptions, WriteStatus,
};
use tidewheel::{
    Builder, Code, Error, EventLoop, HandleInfo, HandleKind, Interest, LoopClosed, LoopHandle,
    LoopStats, Readiness, Remote, Result, Timeout, Watch,
};

/// Fails to compile unless the type is not `Send`: both implementations would apply to one that is.
macro_rules! assert_not_send {
    ($($name:ty),*) => {$(
        const _: fn() = || {
            trait NotSend<A> {
                fn check() {}
            }
            impl<T> NotSend<()> for T {}
            struct IsSend;
            impl<T: Send> NotSend<IsSend> for T {}
            <$name as NotSend<_>>::check();
        };
    )*};
}

assert_not_send!(EventLoop, LoopHandle, Timeout, Watch, Socket, Server);

#[test]
fn every_type_has_the_traits_it_should() {
    fn handle<T: Clone + Debug + 'static>() {}
    fn identity<T: Clone + Debug + Eq + Hash + 'static>() {}
    fn id<T: Copy + Debug + Eq + Ord + Hash + Send + Sync + 'static>() {}
    fn word<T: Copy + Debug + Eq + Send + Sync + 'static>() {}
    fn options<T: Clone + Debug + Default + 'static>() {}
    fn error<T: StdError + Clone + Display + Send + Sync + 'static>() {}
    fn embeddable<T: AsFd + AsRawFd + Debug + std::ops::Deref<Target = LoopHandle>>() {}

    embeddable::<EventLoop>();
    handle::<LoopHandle>();
    handle::<Timeout>();
    handle::<Watch>();
    handle::<HandleInfo>();
    handle::<Dropped>();
    handle::<Builder>();
    handle::<Remote>();
    identity::<Socket>();
    identity::<Server>();
    identity::<Address>();
    id::<SocketId>();
    id::<ServerId>();
    word::<WriteStatus>();
    word::<ReadyState>();
    word::<EventKind>();
    word::<Encoding>();
    word::<Family>();
    word::<Code>();
    word::<LoopClosed>();
    word::<LoopStats>();
    word::<HandleKind>();
    word::<Interest>();
    word::<Readiness>();
    options::<ConnectOptions>();
    options::<ListenOptions>();
    options::<ServerOptions>();
    options::<SocketOptions>();
    options::<PipeOptions>();
    handle::<Host>();
    error::<Error>();

    fn threads<T: Send + Sync + Clone>() {}
    threads::<Remote>();
    threads::<Address>();
}

#[test]
fn an_error_is_one_pointer_wide() {
    assert_eq!(size_of::<Error>(), size_of::<usize>());
    assert_eq!(size_of::<Result<()>>(), size_of::<usize>());
}

#[test]
fn what_options_are_made_from() {
    fn both<T>()
    where
        T: Clone,
        ConnectOptions: From<T>,
        ListenOptions: From<T>,
    {
    }
    fn host<T>()
    where
        Host: From<T>,
        ConnectOptions: From<(T, u16)>,
        ListenOptions: From<(T, u16)>,
    {
    }
    both::<u16>();
    both::<SocketAddr>();
    both::<Address>();
    both::<&Path>();
    both::<&PathBuf>();
    both::<PathBuf>();
    fn listening<T: Into<ListenOptions>>() {}
    listening::<OwnedFd>();
    host::<&str>();
    host::<&String>();
    host::<String>();
    host::<IpAddr>();
    host::<Ipv4Addr>();
    host::<Ipv6Addr>();
    // The one integer is u16, so a plain number needs no suffix.
    let _: ConnectOptions = 8124.into();
    let _: ListenOptions = 8124.into();
}

#[test]
fn what_can_be_written() {
    fn chunk<'a, T: Into<Chunk<'a>>>() {}
    chunk::<&str>();
    chunk::<&&str>();
    chunk::<&String>();
    chunk::<&[u8]>();
    chunk::<&Vec<u8>>();
    chunk::<&[u8; 4]>();
    chunk::<&Bytes>();
    chunk::<Vec<u8>>();
    chunk::<String>();
    chunk::<Bytes>();
    chunk::<[u8; 4]>();
    chunk::<Cow<'_, str>>();
    chunk::<Cow<'_, [u8]>>();
}

#[test]
fn setters_of_all_options() {
    let second = Duration::from_secs(1);
    let _: ConnectOptions = ConnectOptions::default()
        .host("localhost")
        .port(80)
        .path("/tmp/x")
        .allow_half_open(true)
        .no_delay(true)
        .keep_alive(true)
        .keep_alive_initial_delay(second)
        .timeout(second)
        .high_water_mark(16 * 1024)
        .max_queued(1 << 20)
        .local_address(Ipv4Addr::LOCALHOST)
        .local_port(0)
        .connect_timeout(second)
        .family(Family::Ipv4)
        .auto_select_family(true)
        .auto_select_family_attempt_timeout(second)
        .lookup(
            |_: &LoopHandle, host: &str, reply: LookupReply| match host {
                "here" => reply.found(vec![IpAddr::V4(Ipv4Addr::LOCALHOST)]),
                _ => reply.failed(Error::new(Code::HostNotFound, "nobody knows")),
            },
        )
        .configure(|_: BorrowedFd<'_>| -> io::Result<()> { Ok(()) });
    let _: ListenOptions = ListenOptions::default()
        .host(Ipv4Addr::LOCALHOST)
        .port(80)
        .path(PathBuf::from("/tmp/x"))
        .backlog(511)
        .ipv6_only(true)
        .reuse_port(true)
        .mode(0o600)
        .remove_stale(true)
        .configure(|_: BorrowedFd<'_>| -> io::Result<()> { Ok(()) });
    let _: ServerOptions = ServerOptions::default()
        .pause_on_connect(false)
        .allow_half_open(true)
        .no_delay(true)
        .keep_alive(true)
        .keep_alive_initial_delay(second)
        .timeout(second)
        .high_water_mark(16 * 1024)
        .max_queued(1 << 20);
    let _: SocketOptions = SocketOptions::default()
        .readable(true)
        .writable(true)
        .allow_half_open(true)
        .high_water_mark(16 * 1024)
        .max_queued(1 << 20);
    let _: PipeOptions = PipeOptions::default().end(false);
}

#[test]
fn the_loop() -> Result<()> {
    let event_loop: EventLoop = EventLoop::builder()
        .read_buffer(4096)
        .events(16)
        .read_budget(65536)
        .resolver_threads(4)
        .build()?;
    let handle: LoopHandle = event_loop.handle();
    let _: Option<Duration> = event_loop.next_timeout();
    let _: bool = event_loop.turn(Some(Duration::ZERO))?;
    let (_, _): (RawFd, _) = (event_loop.as_raw_fd(), event_loop.as_fd());
    let _: (bool, Instant) = (handle.is_alive(), handle.now());
    let stats: LoopStats = handle.stats();
    let _: (u64, u64) = (stats.turns, stats.events);
    let _: (u64, u64) = (stats.bytes_in, stats.bytes_out);
    let _: (usize, u64, u64) = (
        stats.sockets_open,
        stats.unhandled_errors,
        stats.connections_dropped,
    );

    let once: Timeout = handle.set_timeout(Duration::ZERO, |handle: &LoopHandle| handle.stop());
    let _: (bool, bool) = (once.refresh(), once.has_ref());
    once.unref().ref_();
    once.event_loop().set_immediate(|_: &LoopHandle| {});
    let every: Timeout =
        handle.set_interval(Duration::from_secs(1), |timeout: &Timeout| timeout.clear());
    every.unref();
    let _: &LoopHandle = handle.on_unhandled_error(|_: &LoopHandle, _: &Error| {});

    let remote: Remote = handle.remote();
    let posted: std::result::Result<(), LoopClosed> = remote.post(|handle: &LoopHandle| {
        handle.now();
    });
    posted?;
    remote.unref();
    remote.ref_();
    drop(remote.clone());
    let () = event_loop.run()?;
    Ok(())
}

#[test]
fn watches_and_handles() -> Result<()> {
    let event_loop = EventLoop::new()?;
    let (one, _other) = UnixStream::pair()?;
    let both = Interest::READABLE | Interest::WRITABLE;
    let watch: Watch = event_loop.watch(one, both, |watch: &Watch, readiness: Readiness| {
        let _: (bool, bool) = (readiness.readable(), readiness.writable());
        let _: bool = readiness.hung_up();
        watch.close();
    })?;
    let _: Result<()> = watch.set_interest(Interest::READABLE);
    let _: Result<()> = watch.set_interest(Interest::WRITABLE);
    let _: bool = watch.unref().ref_().has_ref();
    let _: &LoopHandle = watch.event_loop();
    let handles: Vec<HandleInfo> = event_loop.active_handles();
    assert_eq!(handles[0].kind, HandleKind::Watch);
    assert!(!handles[0].to_string().is_empty());
    event_loop.run()
}

#[test]
fn the_functions_of_net() -> Result<()> {
    let event_loop = EventLoop::new()?;
    let (a, b): (Socket, Socket) = net::pair(&event_loop)?;
    let ids: (SocketId, SocketId) = (a.id(), b.id());
    assert_eq!(event_loop.socket(ids.0), Some(a.clone()));
    a.destroy();
    b.destroy();
    let server: Server = net::create_server(&event_loop, |_: &Socket| {});
    let options = ServerOptions::default();
    let other: Server = net::create_server_with(&event_loop, options, |_: &Socket| {});
    let id: ServerId = server.id();
    assert_eq!(event_loop.server(id), Some(server.clone()));
    assert_ne!(server, other);
    let client: Socket = net::connect(&event_loop, ("127.0.0.1", 1), |_: &Socket| {});
    let second: Socket = net::create_connection(&event_loop, Path::new("/none"), |_: &Socket| {});
    client.destroy();
    second.destroy();
    let _: (u8, bool, bool) = (net::is_ip("::1"), net::is_ipv4("1"), net::is_ipv6("1"));
    event_loop.run()
}

#[test]
fn the_server() -> Result<()> {
    let event_loop = EventLoop::new()?;
    let server = net::create_server(&event_loop, |_| {});
    server
        .on_listening(|_: &Server| {})
        .on_connection(|_: &Socket| {})
        .on_close(|_: &Server| {})
        .on_error(|_: &Server, _: &Error| {})
        .on_drop(|_: &Server, dropped: &Dropped| {
            let _: (&Option<Address>, &Address) = (&dropped.local, &dropped.remote);
        });
    let () = server.listen(0, |server: &Server| {
        server.get_connections(|count: Result<usize>| assert_eq!(count.unwrap(), 0));
        server.close_with(|_: &Server, result: Result<()>| assert!(result.is_ok()));
    })?;
    let _: (Option<Address>, bool) = (server.address(), server.listening());
    let _: (usize, Vec<Socket>) = (server.connections(), server.sockets());
    let _: (Option<RawFd>, &LoopHandle) = (server.raw_fd(), server.event_loop());
    let _: bool = server.unref().ref_().has_ref();
    let _: &Server = server.set_max_connections(Some(10)).pause().resume();
    let _: Option<usize> = server.max_connections();
    let _: OwnedFd = server.try_clone_fd()?;
    let _: usize = server.listener_count(EventKind::Connection);
    server.remove_all_listeners(EventKind::Error);
    event_loop.run()?;
    server.close();
    server.shutdown(Duration::ZERO, |_: &Server, destroyed: usize| {
        assert_eq!(destroyed, 0)
    });
    event_loop.run()
}

#[test]
fn the_socket_sends_and_ends() -> Result<()> {
    let event_loop = EventLoop::new()?;
    let socket = Socket::new(&event_loop, SocketOptions::default());
    let connected: Result<()> = socket.connect(0, |_: &Socket| {});
    connected?;
    let _: WriteStatus = socket.write("a");
    let _: bool = socket.write("b").is_ok();
    let _: WriteStatus = socket.write_then("c", |_: &Socket, _: Result<()>| {});
    let _: &Socket = socket.cork().uncork();
    let length: usize = socket.corked(|socket: &Socket| socket.buffer_size());
    assert_eq!(length, 3);
    let () = socket.end_with("d");
    let () = socket.end_then(|_: &Socket, _: Result<()>| {});
    let () = socket.end();
    let () = socket.destroy();
    let () = socket.destroy_with(Error::new(Code::TimedOut, "too late"));
    event_loop.run()
}

#[test]
fn the_socket_and_its_descriptor() -> Result<()> {
    let event_loop = EventLoop::new()?;
    let (one, other) = UnixStream::pair()?;
    let options = SocketOptions::default();
    let socket: Socket = Socket::from_fd(&event_loop, one.into(), options.clone())?;
    let fd: OwnedFd = socket.detach()?;
    let socket = Socket::from_fd(&event_loop, fd, options.clone())?;
    let () = socket.destroy_soon();
    let socket = Socket::from_fd(&event_loop, other.into(), options)?;
    socket.on_error(|_, error| assert_eq!(error.code(), Code::InvalidHandleType));
    let () = socket.reset_and_destroy();
    socket.destroy();
    event_loop.run()
}

#[test]
fn the_socket_listens() -> Result<()> {
    let event_loop = EventLoop::new()?;
    let (socket, peer) = net::pair(&event_loop)?;
    let _: &Socket = socket
        .on_connect(|_: &Socket| {})
        .on_ready(|_: &Socket| {})
        .on_data(|_: &Socket, _: &[u8]| {})
        .once_data(|_: &Socket, _: &[u8]| {})
        .on_text(|_: &Socket, _: &str| {})
        .once_text(|_: &Socket, _: &str| {})
        .on_lookup(|_: &Socket, lookup: &Lookup| {
            let _: (&str, Option<IpAddr>) = (lookup.host(), lookup.address());
            let _: (Option<Family>, Option<&Error>) = (lookup.family(), lookup.error());
        })
        .once_lookup(|_: &Socket, _: &Lookup| {})
        .on_end(|_: &Socket| {})
        .on_drain(|_: &Socket| {})
        .once_drain(|_: &Socket| {})
        .on_timeout(|_: &Socket| {})
        .once_timeout(|_: &Socket| {})
        .on_finish(|_: &Socket| {})
        .on_error(|_: &Socket, _: &Error| {})
        .on_close(|_: &Socket, had_error: bool| assert!(!had_error));
    assert_eq!(socket.listener_count(EventKind::Data), 2);
    socket.remove_all_listeners(EventKind::Data);
    socket.report_unhandled(&Error::other("said"));
    let _: &Socket = socket.pause().resume();
    let _: bool = socket.is_paused();
    let destination: &Socket = socket.pipe(&peer);
    assert_eq!(destination, &peer);
    let _: &Socket = socket.pipe_with(&peer, PipeOptions::default());
    let _: &Socket = socket.unpipe(Some(&peer)).unpipe(None);
    socket.destroy();
    peer.destroy();
    event_loop.run()
}

#[test]
fn the_socket_has_settings_and_properties() -> Result<()> {
    let event_loop = EventLoop::new()?;
    let (socket, peer) = net::pair(&event_loop)?;
    socket
        .set_timeout(Duration::from_secs(1))
        .set_no_delay(true)
        .set_keep_alive(true, Some(Duration::from_secs(60)))
        .set_keep_alive(false, None)
        .set_allow_half_open(false)
        .set_high_water_mark(0)
        .set_max_queued(None)
        .set_max_queued(Some(1 << 20))
        .set_data(5_u32)
        .set_encoding(Some(Encoding::Latin1))
        .set_encoding(None)
        .ref_()
        .unref();
    let _: Option<Duration> = socket.timeout();
    let _: Option<Rc<u32>> = socket.data::<u32>();
    let _: bool = socket.has_ref();
    let _: (usize, u64, u64) = (
        socket.buffer_size(),
        socket.bytes_read(),
        socket.bytes_written(),
    );
    let _: (Option<Address>, Option<Address>) = (socket.address(), socket.remote());
    let _: (Option<IpAddr>, Option<IpAddr>) = (socket.local_address(), socket.remote_address());
    let _: (Option<u16>, Option<u16>) = (socket.local_port(), socket.remote_port());
    let _: (Option<Family>, Option<Family>) = (socket.local_family(), socket.remote_family());
    let _: (bool, bool) = (socket.connecting(), socket.pending());
    let _: (bool, bool) = (socket.readable(), socket.writable());
    let _: (bool, bool) = (socket.destroyed(), socket.need_drain());
    let state: ReadyState = socket.ready_state();
    let _: &'static str = state.as_str();
    let _: (Option<Server>, Option<RawFd>) = (socket.server(), socket.raw_fd());
    let _: &LoopHandle = socket.event_loop();
    socket.destroy();
    peer.destroy();
    event_loop.run()
}

#[test]
fn encodings() {
    let all = [
        Encoding::Utf8,
        Encoding::Ascii,
        Encoding::Latin1,
        Encoding::Utf16le,
        Encoding::Hex,
        Encoding::Base64,
    ];
    for encoding in all {
        let bytes: Vec<u8> = encoding.encode("ab");
        let _: String = encoding.decode(&bytes);
    }
    assert_eq!("binary".parse::<Encoding>().unwrap(), Encoding::Latin1);
}

#[test]
fn errors_and_addresses() {
    let error = Error::new(Code::Other(1), "said");
    let _: (Code, Option<i32>) = (error.code(), error.errno());
    let _: (io::ErrorKind, Option<&'static str>) = (error.kind(), error.syscall());
    let _: (Option<&Address>, Option<&Address>) = (error.address(), error.local());
    let _: (Option<&str>, &[Error]) = (error.hostname(), error.errors());
    let _: Option<&(dyn StdError + 'static)> = error.source();
    assert_eq!(format!("{error:?}"), format!("{error}"));
    let _: &'static str = Code::AddrInUse.as_str();
    let there: io::Error = error.into();
    let _: Error = there.into();
    let _: Error = LoopClosed.into();
    let _: Error = Error::other(io::Error::other("x"));

    let address: Address = SocketAddr::from(([127, 0, 0, 1], 80)).into();
    let _: (Option<IpAddr>, Option<u16>) = (address.ip(), address.port());
    let _: (Option<Family>, Option<&Path>) = (address.family(), address.path());
    let all = [
        address,
        Address::Path("/tmp/x".into()),
        Address::Abstract(b"x".to_vec()),
        Address::Unnamed,
    ];
    assert!(all.iter().all(|address| !address.to_string().is_empty()));
}
