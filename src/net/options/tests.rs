//! Options to targets.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use super::*;
use crate::address::{Address, Family};
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

/// The fields that differ from the default, as `Debug` shows them.
fn changed(options: &impl std::fmt::Debug, default: &impl std::fmt::Debug) -> Vec<String> {
    let fields = |text: String| -> Vec<String> {
        let (_, fields) = text.split_once("{ ").unwrap();
        let fields = fields.trim_end_matches(" }").split(", ");
        fields.map(String::from).collect()
    };
    let default = fields(format!("{default:?}"));
    let mut changed = fields(format!("{options:?}"));
    changed.retain(|field| !default.contains(field));
    changed
}

#[test]
fn each_setter_sets_its_own() {
    let second = Duration::from_secs(1);
    let all = [
        "allow_half_open: true",
        "no_delay: true",
        "keep_alive: true",
        "keep_alive_initial_delay: Some(1s)",
        "timeout: Some(2s)",
        "high_water_mark: 3",
        "max_queued: Some(4)",
    ];
    let connect = ConnectOptions::default()
        .allow_half_open(true)
        .no_delay(true)
        .keep_alive(true)
        .keep_alive_initial_delay(second)
        .timeout(second * 2)
        .high_water_mark(3)
        .max_queued(4);
    assert_eq!(changed(&connect, &ConnectOptions::default()), all);
    let server = ServerOptions::default()
        .allow_half_open(true)
        .no_delay(true)
        .keep_alive(true)
        .keep_alive_initial_delay(second)
        .timeout(second * 2)
        .high_water_mark(3)
        .max_queued(4);
    assert_eq!(changed(&server, &ServerOptions::default()), all);
    let server = ServerOptions::default().pause_on_connect(true);
    assert_eq!(
        changed(&server, &ServerOptions::default()),
        ["pause_on_connect: true"]
    );
}

#[test]
fn each_setter_of_a_dial_sets_its_own() {
    let set = |options: ConnectOptions| changed(&options, &ConnectOptions::default()).join(" ");
    let second = Duration::from_secs(1);
    let default = ConnectOptions::default;
    assert_eq!(set(default().local_port(7)), "local_port: Some(7)");
    assert_eq!(
        set(default().connect_timeout(second)),
        "connect_timeout: Some(1s)"
    );
    assert_eq!(set(default().family(Family::Ipv6)), "family: Some(Ipv6)");
    assert_eq!(
        set(default().auto_select_family(false)),
        "auto_select_family: false"
    );
    assert_eq!(
        set(default().auto_select_family_attempt_timeout(second)),
        "auto_select_family_attempt_timeout: 1s"
    );
    assert_eq!(
        set(default().configure(|_| Ok(()))),
        "configure: Some(Configure)"
    );
    assert_eq!(
        set(default().lookup(|_, _, _| {})),
        "lookup: Some(OwnLookup)"
    );
    assert!(set(default().local_address("::1")).contains("local_address: Some("));
}

#[test]
fn each_setter_of_a_socket_and_a_listen_sets_its_own() {
    let socket = SocketOptions::default()
        .allow_half_open(true)
        .high_water_mark(3)
        .max_queued(4)
        .readable(false)
        .writable(false);
    let all = [
        "allow_half_open: true",
        "high_water_mark: 3",
        "max_queued: Some(4)",
        "readable: false",
        "writable: false",
    ];
    assert_eq!(changed(&socket, &SocketOptions::default()), all);
    let listen = ListenOptions::default()
        .backlog(9)
        .ipv6_only(true)
        .reuse_port(true)
        .mode(0o600)
        .remove_stale(true)
        .configure(|_| Ok(()));
    let all = [
        "backlog: 9",
        "ipv6_only: true",
        "reuse_port: true",
        "mode: Some(384)",
        "remove_stale: true",
        "configure: Some(Configure)",
    ];
    assert_eq!(changed(&listen, &ListenOptions::default()), all);
}
