//! Parsers of addresses, and what the options of `connect` and `listen` make of hosts, ports, paths and durations of
//! any kind. Whatever they are, there is one outcome, told once, and nothing is left.
//!
//! Traffic stays on this machine: texts that are addresses are used only if they are of the loopback interface, names
//! are answered by a look-up of our own, and paths lie in a directory of our own.

use std::cell::RefCell;
use std::ffi::OsString;
use std::fmt::Debug;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;
use std::rc::Rc;
use std::time::Duration;

use tidewheel::net::{
    self, Address, ConnectOptions, Encoding, Family, ListenOptions, Server, ServerOptions, Socket,
};
use tidewheel::{Code, Error, EventLoop};

use super::input::Input;

mod reference;

/// Turns after which an attempt is called stuck. The first do not wait, later ones ever longer, in all half a minute.
const TURNS: u64 = 480;

pub fn run(data: &[u8]) {
    let mut input = Input::new(data);
    match input.byte() % 8 {
        0..=2 => texts(&String::from_utf8_lossy(input.rest())),
        3 => addresses(&mut input),
        4 | 5 => connect(&mut input),
        _ => listen(&mut input),
    }
}

fn texts(text: &str) {
    let version = reference::version(text);
    assert_eq!(net::is_ip(text), version, "{text:?}");
    assert_eq!(net::is_ipv4(text), version == 4, "{text:?}");
    assert_eq!(net::is_ipv6(text), version == 6, "{text:?}");
    if let Err(error) = text.parse::<Encoding>() {
        assert_eq!(error.code(), Code::InvalidArgValue);
        assert!(error.to_string().contains(text));
    }
    shown(&ConnectOptions::from((text, 80)));
    shown(&ListenOptions::from((text, 80)));
}

/// The parts and the text of an address say what it was made of.
fn addresses(input: &mut Input<'_>) {
    let (port, zone) = (input.number(2) as u16, input.number(4) as u32);
    let at: SocketAddr = if input.flag() {
        SocketAddr::new(Ipv4Addr::from(input.number(4) as u32).into(), port)
    } else {
        let bits = u128::from(input.number(8)) << 64 | u128::from(input.number(8));
        SocketAddrV6::new(Ipv6Addr::from(bits), port, 0, zone).into()
    };
    let address = Address::from(at);
    assert_eq!(address.to_string().parse(), Ok(at));
    assert_eq!((address.ip(), address.port()), (Some(at.ip()), Some(port)));
    assert_eq!(address.family(), Some(Family::from(at.ip())));
    assert_eq!(address.path(), None);
    let version = net::is_ip(&at.ip().to_string());
    assert_eq!(version, if at.is_ipv4() { 4 } else { 6 });
    shown(&ConnectOptions::from(&ConnectOptions::from(
        address.clone(),
    )));
    shown(&ListenOptions::from(&ListenOptions::from(address)));

    let name = input.take(300).to_vec();
    let path = PathBuf::from(OsString::from_vec(name.clone()));
    let unix = [
        Address::Path(path.clone()),
        Address::Abstract(name),
        Address::Unnamed,
    ];
    for address in unix {
        assert_eq!(
            (address.ip(), address.port(), address.family()),
            (None, None, None)
        );
        assert_eq!(
            address.path().is_some(),
            matches!(address, Address::Path(_))
        );
        shown(&address.to_string());
        shown(&ConnectOptions::from(address.clone()));
        shown(&ListenOptions::from(address));
    }
    shown(&ConnectOptions::from(&path));
    shown(&ListenOptions::from(path));
}

/// What happened on a loop, in order.
type Log = Rc<RefCell<Vec<&'static str>>>;

/// Connects with whatever options to a server that listens, or to a port where none does.
fn connect(input: &mut Input<'_>) {
    let event_loop = new_loop();
    let log = Log::default();
    let server = net::create_server(&event_loop, Socket::destroy);
    server.listen(("127.0.0.1", 0), |_| {}).unwrap();
    let port = server.address().and_then(|address| address.port());
    let port = port.filter(|_| input.flag()).unwrap_or(1);
    let options = connect_options(input, port);
    shown(&options);
    if input.flag() {
        let socket = net::connect(&event_loop, &options, |_| {});
        assert!(!socket.destroyed(), "what is wrong is told later");
        watch(&socket, &log);
    } else {
        let socket = Socket::new(&event_loop, net::SocketOptions::default());
        match socket.connect(&options, |_| {}) {
            Ok(()) => watch(&socket, &log),
            Err(error) => {
                told(&error);
                assert!(socket.pending() && !socket.destroyed());
                watch(&socket, &log);
                socket.destroy();
            }
        }
    }
    settle(&event_loop, || log.borrow().contains(&"close"));
    let log = log.borrow();
    let outcomes = log.iter().filter(|event| **event != "close").count();
    assert!(outcomes <= 1 && log.last() == Some(&"close"), "{log:?}");
    server.close();
    settle(&event_loop, || false);
}

fn watch(socket: &Socket, log: &Log) {
    let (connected, failed, closed) = (log.clone(), log.clone(), log.clone());
    socket.on_connect(move |socket| {
        connected.borrow_mut().push("connect");
        assert!(socket.remote().is_some() && socket.address().is_some());
        socket.end();
        socket.resume();
    });
    socket.on_error(move |_, error| {
        told(error);
        let mut log = failed.borrow_mut();
        // One that was connected may be reset by its peer, which destroys every connection.
        log.retain(|event| *event != "connect");
        log.push("error");
    });
    socket.on_close(move |_, _| closed.borrow_mut().push("close"));
}

/// Listens wherever it is told, and connects to what the server says its address is.
fn listen(input: &mut Input<'_>) {
    let event_loop = new_loop();
    let server = net::create_server_with(&event_loop, server_options(input), Socket::destroy);
    let log = Log::default();
    let failed = log.clone();
    server.on_error(move |_, error| {
        told(error);
        failed.borrow_mut().push("error");
    });
    let (options, path) = listen_options(input);
    shown(&options);
    let listening = log.clone();
    let on_listening = move |_: &Server| listening.borrow_mut().push("listening");
    match server.listen(&options, on_listening) {
        Err(error) => {
            told(&error);
            assert!(!server.listening() && server.address().is_none());
        }
        Ok(()) => {
            settle(&event_loop, || !log.borrow().is_empty());
            assert_eq!(log.borrow().len(), 1, "{log:?}");
            if let Some(address) = server.address() {
                let wanted = path.map(|path| match path.into_os_string().into_vec() {
                    name if name[0] == 0 => Address::Abstract(name[1..].to_vec()),
                    name => Address::Path(OsString::from_vec(name).into()),
                });
                assert!(wanted.is_none_or(|wanted| wanted == address), "{address}");
                let calls = Log::default();
                watch(&net::connect(&event_loop, address, |_| {}), &calls);
                settle(&event_loop, || calls.borrow().contains(&"close"));
            }
            let again = server.listen(("127.0.0.1", 0), |_| {});
            assert_eq!(
                again.is_err(),
                server.listening() && log.borrow()[0] == "listening"
            );
        }
    }
    server.close();
    assert!(!server.listening() && server.address().is_none());
    settle(&event_loop, || false);
    // Only what nobody listened on any more can be left, of a path whose server could not start.
    let _ = std::fs::remove_dir_all(directory());
}

fn connect_options(input: &mut Input<'_>, port: u16) -> ConnectOptions {
    let mut options = match input.byte() % 6 {
        0 => ConnectOptions::from((Ipv4Addr::new(127, 0, 0, input.byte()), port)),
        1 => ConnectOptions::from((Ipv6Addr::LOCALHOST, port)),
        2 => ConnectOptions::from(path(input)),
        3 => ConnectOptions::from(port),
        4 => ConnectOptions::default(),
        _ => ConnectOptions::from((&*host(input), port)),
    };
    let answer = input.byte();
    options = options.lookup(move |event_loop, _, reply| match answer % 6 {
        0 => reply.found(vec![Ipv4Addr::LOCALHOST.into()]),
        1 => reply.found(vec![Ipv6Addr::LOCALHOST.into(), Ipv4Addr::LOCALHOST.into()]),
        2 => reply.found(Vec::new()),
        3 => reply.failed(Error::other("no names today")),
        4 => drop(reply),
        _ => event_loop.set_immediate(move |_| reply.found(vec![Ipv4Addr::LOCALHOST.into()])),
    });
    for _ in 0..input.below(8) {
        options = match input.byte() % 14 {
            0 => options.host(&*host(input)),
            1 => options.port(port),
            2 => options.path(path(input)),
            3 => options.local_address(&*String::from_utf8_lossy(input.take(12))),
            4 => options.local_address(Ipv4Addr::LOCALHOST).local_port(port),
            5 => options.family(if input.flag() {
                Family::Ipv4
            } else {
                Family::Ipv6
            }),
            6 => options.auto_select_family(input.flag()),
            7 => options.auto_select_family_attempt_timeout(duration(input)),
            8 => options.connect_timeout(duration(input)),
            9 => options
                .keep_alive(true)
                .keep_alive_initial_delay(duration(input)),
            10 => options.timeout(duration(input)),
            11 => options.no_delay(input.flag()).allow_half_open(input.flag()),
            12 => options.high_water_mark(input.number(8) as usize),
            _ => options.max_queued(input.number(8) as usize),
        };
    }
    options
}

fn server_options(input: &mut Input<'_>) -> ServerOptions {
    let options = ServerOptions::default();
    match input.byte() % 6 {
        0 => options.allow_half_open(true).pause_on_connect(true),
        1 => options.no_delay(true).timeout(duration(input)),
        2 => options
            .keep_alive(true)
            .keep_alive_initial_delay(duration(input)),
        3 => options.high_water_mark(input.number(8) as usize),
        4 => options.max_queued(input.number(8) as usize),
        _ => options,
    }
}

/// The options, and their path if they have one.
fn listen_options(input: &mut Input<'_>) -> (ListenOptions, Option<PathBuf>) {
    let loopback = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let mut named = None;
    let mut options = match input.byte() % 6 {
        0 => ListenOptions::from(Address::Ip(loopback)),
        1 => ListenOptions::from((Ipv6Addr::LOCALHOST, 0)),
        2 | 3 => ListenOptions::from(named.insert(path(input)).clone()),
        4 => ListenOptions::default()
            .path(PathBuf::new())
            .host("127.0.0.1"),
        _ => ListenOptions::from((&*host(input), 0)),
    };
    for _ in 0..input.below(6) {
        options = match input.byte() % 6 {
            0 => options.backlog(input.number(4) as u32),
            1 => options.ipv6_only(input.flag()),
            2 => options.reuse_port(input.flag()),
            3 => options.mode(input.number(4) as u32),
            4 => options.remove_stale(input.flag()),
            _ => options.host("127.0.0.1"),
        };
    }
    (options, named)
}

/// A name, or an address of the loopback interface.
fn host(input: &mut Input<'_>) -> String {
    let count = input.below(24);
    let text = String::from_utf8_lossy(input.take(count)).into_owned();
    let literal = text.split('%').next().unwrap_or("").parse::<IpAddr>();
    match literal {
        Ok(ip) if !ip.is_loopback() => "127.0.0.1".into(),
        // The manual's default is all interfaces.
        _ if text.is_empty() => "localhost".into(),
        _ => text,
    }
}

/// A path in our directory or an abstract name that begins as no other program's does; of any bytes and any length.
fn path(input: &mut Input<'_>) -> PathBuf {
    let (is_abstract, pad, count) = (input.flag(), input.byte(), input.below(32));
    let mut name = input.take(count).to_vec();
    if pad > 190 {
        // Around the length that a socket's address has room for, which is 108.
        name.resize(usize::from(pad) - 130, b'x');
    }
    if is_abstract {
        let prefix = format!("\0tidewheel-fuzz-{}-", std::process::id());
        return OsString::from_vec([prefix.as_bytes(), &name].concat()).into();
    }
    for byte in &mut name {
        if *byte == b'/' {
            *byte = b'_';
        }
    }
    std::fs::create_dir_all(directory()).unwrap();
    directory().join(OsString::from_vec([b"socket-", &*name].concat()))
}

fn directory() -> PathBuf {
    std::env::temp_dir().join(format!("tidewheel-fuzz-{}", std::process::id()))
}

/// Often short, at times beyond all clocks.
fn duration(input: &mut Input<'_>) -> Duration {
    match input.byte() % 4 {
        0 => Duration::from_millis(input.number(1)),
        1 => Duration::from_secs(input.number(4)),
        2 => Duration::new(input.number(8), input.number(4) as u32 % 1_000_000_000),
        _ => Duration::MAX,
    }
}

/// A loop that knows no name, and asks nobody.
fn new_loop() -> EventLoop {
    let unknown = |_: &str, _| Err(std::io::Error::other("no names here"));
    let builder = EventLoop::builder().read_buffer(512).resolver_threads(1);
    builder.resolver(unknown).build().unwrap()
}

fn settle(event_loop: &EventLoop, done: impl Fn() -> bool) {
    for turn in 0..TURNS {
        if done() {
            return;
        }
        match event_loop.turn(Some(Duration::from_millis(turn / 4))) {
            Ok(true) => {}
            Ok(false) => return,
            Err(error) => told(&error),
        }
    }
    panic!("stuck: {:?}", event_loop.active_handles());
}

/// Whatever it is about, it can be shown and has a code.
fn told(error: &Error) {
    shown(error);
    assert!(!error.to_string().is_empty() && !error.code().as_str().is_empty());
    shown(&(
        error.kind(),
        error.errno(),
        error.syscall(),
        error.address(),
    ));
}

fn shown(value: &impl Debug) {
    assert!(!format!("{value:?}").is_empty());
}
