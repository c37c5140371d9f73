//! Options to targets.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use super::*;
use crate::address::Address;
use crate::error::Code;
use crate::net::host::Target;

fn connect(options: impl Into<ConnectOptions>) -> Target {
    options.into().target().unwrap()
}

fn listen(options: impl Into<ListenOptions>) -> ListenTarget {
    options.into().target().unwrap()
}

fn ip(text: &str) -> Address {
    Address::Ip(text.parse().unwrap())
}

fn path(text: &str) -> Address {
    Address::Path(text.into())
}

#[test]
fn what_a_connect_goes_to() {
    let host = String::from("example.com");
    let buf = PathBuf::from("/tmp/x");
    let zoned = "[fe80::1%3]:80";
    assert_eq!(connect(8124), Target::Localhost(8124));
    assert_eq!(connect(0), Target::Localhost(0));
    assert_eq!(connect(("localhost", 1)), Target::Localhost(1));
    assert_eq!(connect(("", 1)), Target::Localhost(1));
    assert_eq!(connect((&host, 80)), Target::Name(host.clone(), 80));
    assert_eq!(connect(("::1", 1)), Target::Address(ip("[::1]:1")));
    let v4 = Target::Address(ip("127.0.0.1:1"));
    assert_eq!(connect((Ipv4Addr::LOCALHOST, 1)), v4);
    let zone = zoned.parse::<SocketAddr>().unwrap();
    assert_eq!(connect(zone), Target::Address(ip(zoned)));
    assert_eq!(connect(ip(zoned)), Target::Address(ip(zoned)));
    for unix in [
        connect(Path::new("/tmp/x")),
        connect(&buf),
        connect(buf.clone()),
        connect(path("/tmp/x")),
    ] {
        assert_eq!(unix, Target::Address(path("/tmp/x")));
    }
    let name = Address::Abstract(b"x".to_vec());
    assert_eq!(connect(name.clone()), Target::Address(name.clone()));
    assert_eq!(connect(Path::new("\0x")), Target::Address(name));
}

#[test]
fn a_path_wins_in_a_connect() {
    let options = ConnectOptions::from(("127.0.0.1", 1));
    let both = options.clone().path("/tmp/x");
    assert_eq!(connect(both), Target::Address(path("/tmp/x")));
    let empty = options.path("");
    assert_eq!(connect(empty), Target::Address(ip("127.0.0.1:1")));
}

#[test]
fn a_connect_to_nothing_is_refused() {
    for options in [
        ConnectOptions::default(),
        ConnectOptions::default().host("127.0.0.1"),
        ConnectOptions::default().path(""),
        ConnectOptions::from(Address::Unnamed),
    ] {
        let error = options.target().unwrap_err();
        assert_eq!(error.code(), Code::MissingArgs);
    }
}

#[test]
fn what_a_listen_is_on() {
    let buf = PathBuf::from("/tmp/x");
    let any = ListenOptions::default();
    assert_eq!(listen(any.clone()), ListenTarget::Any(0));
    assert_eq!(listen(8124), ListenTarget::Any(8124));
    assert_eq!(listen(("", 1)), ListenTarget::Any(1));
    assert_eq!(listen(("localhost", 1)), ListenTarget::Localhost(1));
    let name = ListenTarget::Name("a.b".into(), 1);
    assert_eq!(listen((String::from("a.b"), 1)), name);
    let v4 = ListenTarget::Address(ip("127.0.0.1:0"));
    assert_eq!(listen(("127.0.0.1", 0)), v4);
    assert_eq!(listen(any.host("127.0.0.1")), v4);
    let zone = "[fe80::1%3]:80".parse::<SocketAddr>().unwrap();
    assert_eq!(listen(zone), ListenTarget::Address(zone.into()));
    for unix in [
        listen(Path::new("/tmp/x")),
        listen(&buf),
        listen(buf.clone()),
        listen(path("/tmp/x")),
    ] {
        assert_eq!(unix, ListenTarget::Address(path("/tmp/x")));
    }
    let name = Address::Abstract(b"x".to_vec());
    assert_eq!(listen(name.clone()), ListenTarget::Address(name));
}

#[test]
fn a_port_wins_in_a_listen() {
    let both = ListenOptions::from(Path::new("/tmp/x")).port(1);
    assert_eq!(listen(both), ListenTarget::Any(1));
}

#[test]
fn a_listen_on_an_empty_path_is_refused() {
    for options in [
        ListenOptions::default().path(""),
        ListenOptions::from(Address::Unnamed),
    ] {
        let error = options.target().unwrap_err();
        assert_eq!(error.code(), Code::InvalidArgValue);
    }
}

#[test]
fn defaults() {
    let connect = ConnectOptions::default();
    assert!(!connect.allow_half_open && !connect.no_delay && !connect.keep_alive);
    assert_eq!((connect.timeout, connect.max_queued), (None, None));
    assert_eq!(connect.keep_alive_initial_delay, None);
    assert_eq!(connect.high_water_mark, 0);
    let listen = ListenOptions::default();
    assert_eq!(listen.backlog, 511);
    assert!(!listen.ipv6_only && !listen.reuse_port);
    assert!(PipeOptions::default().end);
    assert!(!PipeOptions::default().end(false).end);
}

#[test]
fn each_setter_sets_its_own() {
    let second = Duration::from_secs(1);
    let all = "allow_half_open: true, no_delay: true, keep_alive: true, \
               keep_alive_initial_delay: Some(1s), timeout: Some(2s), \
               high_water_mark: 3, max_queued: Some(4) }";
    let connect = ConnectOptions::default()
        .allow_half_open(true)
        .no_delay(true)
        .keep_alive(true)
        .keep_alive_initial_delay(second)
        .timeout(second * 2)
        .high_water_mark(3)
        .max_queued(4);
    let start = "ConnectOptions { host: None, port: None, path: None, ";
    assert_eq!(format!("{connect:?}"), format!("{start}{all}"));
    let server = ServerOptions::default()
        .allow_half_open(true)
        .no_delay(true)
        .keep_alive(true)
        .keep_alive_initial_delay(second)
        .timeout(second * 2)
        .high_water_mark(3)
        .max_queued(4);
    assert_eq!(format!("{server:?}"), format!("ServerOptions {{ {all}"));
    let socket = SocketOptions::default()
        .allow_half_open(true)
        .high_water_mark(3)
        .max_queued(4);
    let socket = (
        socket.allow_half_open,
        socket.high_water_mark,
        socket.max_queued,
    );
    assert_eq!(socket, (true, 3, Some(4)));
    let listen = ListenOptions::default().backlog(9).ipv6_only(true);
    assert_eq!((listen.backlog, listen.ipv6_only), (9, true));
    assert!(!listen.reuse_port && listen.reuse_port(true).reuse_port);
}
