//! Messages and fields, as Node has them.

use super::*;
use std::collections::HashSet;
use std::mem::size_of;

/// As the system would report `code`.
fn os(code: Code) -> io::Error {
    io::Error::from_raw_os_error(errno::number(code).unwrap())
}

fn ip(text: &str) -> Address {
    Address::Ip(text.parse().unwrap())
}

#[test]
fn one_pointer_wide_and_free_to_travel() {
    fn travels<T: Clone + Send + Sync + StdError + 'static>() {}
    travels::<Error>();
    assert_eq!(size_of::<Error>(), size_of::<usize>());
    assert_eq!(size_of::<Option<Error>>(), size_of::<usize>());
    assert_eq!(size_of::<Result<(), Error>>(), size_of::<usize>());
}

#[track_caller]
fn says(error: Error, message: &str) {
    assert_eq!(error.to_string(), message);
    assert_eq!(format!("{error:?}"), message);
}

#[test]
fn messages_of_reads_writes_and_accepts() {
    says(
        Error::system("read", &os(Code::ConnReset)),
        "read ECONNRESET",
    );
    says(Error::system("write", &os(Code::BrokenPipe)), "write EPIPE");
    says(Error::accept(&os(Code::TooManyOpenFiles)), "accept EMFILE");
    let unknown = io::Error::from_raw_os_error(9999);
    says(
        Error::system("read", &unknown),
        "read Unknown system error -9999",
    );
    says(
        Error::system("read", &io::Error::other("made up")),
        "read made up",
    );
}

#[test]
fn messages_of_connects() {
    let says = |code, at: &Address, message| says(Error::connect(&os(code), at), message);
    let refused = Code::ConnRefused;
    says(
        refused,
        &ip("127.0.0.1:1"),
        "connect ECONNREFUSED 127.0.0.1:1",
    );
    says(refused, &ip("[::1]:1"), "connect ECONNREFUSED ::1:1");
    says(
        refused,
        &ip("127.0.0.1:0"),
        "connect ECONNREFUSED 127.0.0.1",
    );
    let path = Address::Path("/nope/x".into());
    says(Code::NotFound, &path, "connect ENOENT /nope/x");
}

#[test]
fn message_of_a_connect_from_a_bound_socket() {
    let error = Error::connect(&os(Code::ConnRefused), &ip("127.0.0.1:1"));
    let message = "connect ECONNREFUSED 127.0.0.1:1 - Local (127.0.0.1:45671)";
    says(error.with_local(ip("127.0.0.1:45671")), message);
}

#[test]
fn messages_of_listens() {
    let listen = |code, at: &Address| Error::listen(&os(code), at);
    let message = "listen EADDRINUSE: address already in use 127.0.0.1:8124";
    says(listen(Code::AddrInUse, &ip("127.0.0.1:8124")), message);
    let message = "listen EADDRINUSE: address already in use :::8107";
    says(listen(Code::AddrInUse, &ip("[::]:8107")), message);
    let message = "listen EADDRNOTAVAIL: address not available 1.2.3.4";
    says(listen(Code::AddrNotAvail, &ip("1.2.3.4:0")), message);
    let message = "listen EACCES: permission denied /nope/x";
    says(
        listen(Code::AccessDenied, &Address::Path("/nope/x".into())),
        message,
    );

    let message = "listen EINVAL: invalid argument";
    says(Error::listen(&os(Code::InvalidArgument), None), message);
    says(listen(Code::InvalidArgument, &Address::Unnamed), message);
    let error = io::Error::other("made up");
    says(
        Error::listen(&error, &ip("127.0.0.1:1")),
        "listen made up 127.0.0.1:1",
    );
}

#[test]
fn messages_of_lookups() {
    let says = |code, message| says(Error::lookup(code, "a.b"), message);
    says(Code::HostNotFound, "getaddrinfo ENOTFOUND a.b");
    says(Code::LookupTryAgain, "getaddrinfo EAI_AGAIN a.b");
    says(Code::TooManyOpenFiles, "getaddrinfo EMFILE a.b");
}

#[track_caller]
fn is(error: Error, code: &str, message: &str) {
    assert_eq!(error.code().as_str(), code);
    assert_eq!(error.to_string(), message);
    assert_eq!((error.errno(), error.syscall()), (None, None));
}

#[test]
fn errors_of_sockets() {
    is(
        Error::write_after_end(),
        "ERR_STREAM_WRITE_AFTER_END",
        "write after end",
    );
    let message = "This socket has been ended by the other party";
    is(Error::ended_by_peer(), "EPIPE", message);
    is(
        Error::socket_closed(),
        "ERR_SOCKET_CLOSED",
        "Socket is closed",
    );
    let message = "Socket closed before the connection was established";
    is(
        Error::closed_before_connection(),
        "ERR_SOCKET_CLOSED_BEFORE_CONNECTION",
        message,
    );
    let message = "Cannot call write after a stream was destroyed";
    is(
        Error::stream_destroyed("write"),
        "ERR_STREAM_DESTROYED",
        message,
    );
    let message = "Cannot call end after a stream was finished";
    is(
        Error::already_finished("end"),
        "ERR_STREAM_ALREADY_FINISHED",
        message,
    );
    let message = "The \"options\" or \"port\" or \"path\" argument must be specified";
    is(Error::missing_args(), "ERR_MISSING_ARGS", message);
    let message = "This handle type cannot be sent";
    is(
        Error::invalid_handle_type(),
        "ERR_INVALID_HANDLE_TYPE",
        message,
    );
    let message = "More than 16 bytes would wait to be sent";
    is(Error::queue_full(16), "ERR_SOCKET_QUEUE_FULL", message);
    let message = "Connect has been called on a socket that is not new";
    is(
        Error::already_connected(),
        "ERR_SOCKET_ALREADY_CONNECTED",
        message,
    );
}

#[test]
fn errors_of_servers_and_loops() {
    let message = "Listen method has been called more than once without closing.";
    is(
        Error::already_listening(),
        "ERR_SERVER_ALREADY_LISTEN",
        message,
    );
    is(
        Error::not_running(),
        "ERR_SERVER_NOT_RUNNING",
        "Server is not running.",
    );
    is(
        Error::server_closed(),
        "ERR_SERVER_CLOSED",
        "Server was closed",
    );
    let message = "The argument 'options' must have the property \"port\" or \"path\"";
    is(
        Error::nothing_to_listen_on(),
        "ERR_INVALID_ARG_VALUE",
        message,
    );
    is(
        Error::loop_running(),
        "ERR_LOOP_RUNNING",
        "The event loop is running already",
    );
    is(
        Error::loop_closed(),
        "ERR_LOOP_CLOSED",
        "The event loop is closed",
    );
}

#[test]
fn fields_of_a_failed_connect() {
    let address = ip("127.0.0.1:8107");
    let local = ip("127.0.0.1:9");
    let error = Error::connect(&os(Code::ConnRefused), &address);
    assert_eq!(error.local(), None);
    let error = error.with_local(local.clone());
    assert_eq!(error.code(), Code::ConnRefused);
    assert_eq!(
        error.errno(),
        os(Code::ConnRefused).raw_os_error().map(|n| -n)
    );
    assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
    assert_eq!(error.syscall(), Some("connect"));
    assert_eq!(error.address(), Some(&address));
    assert_eq!(error.local(), Some(&local));
    assert_eq!(error.hostname(), None);
    assert!(error.errors().is_empty() && error.source().is_none());
}

#[test]
fn fields_of_a_failed_lookup() {
    let error = Error::lookup(Code::HostNotFound, "nope.invalid");
    assert_eq!(error.code().as_str(), "ENOTFOUND");
    assert_eq!(error.errno(), Some(-3008));
    assert_eq!(error.syscall(), Some("getaddrinfo"));
    assert_eq!(error.hostname(), Some("nope.invalid"));
    assert_eq!(error.address(), None);
    let errno = Error::lookup(Code::OutOfMemory, "x").errno();
    assert_eq!(errno, errno::number(Code::OutOfMemory).map(|n| -n));
}

#[test]
fn fields_of_an_accept_and_a_listen() {
    let error = Error::accept(&os(Code::TooManyOpenFiles));
    assert_eq!(error.syscall(), Some("accept"));
    assert_eq!(error.address(), None);
    let path = Address::Path("/x".into());
    let error = Error::listen(&os(Code::AddrInUse), &path);
    assert_eq!(error.syscall(), Some("listen"));
    assert_eq!(error.address(), Some(&path));
    let error = Error::listen(&os(Code::AddrInUse), &Address::Unnamed);
    assert_eq!(error.address(), None);
}

#[test]
fn an_aggregate_is_the_first_with_all_in_it() {
    let refused = |at| Error::connect(&os(Code::ConnRefused), &ip(at));
    let plain = Error::aggregate(vec![refused("[::1]:1")]);
    assert_eq!(plain.to_string(), "connect ECONNREFUSED ::1:1");
    assert!(plain.errors().is_empty());

    let unreachable = Error::connect(&os(Code::NetUnreachable), &ip("[::1]:1"));
    let both = Error::aggregate(vec![unreachable.clone(), refused("127.0.0.1:1")]);
    let message = "connect ENETUNREACH ::1:1 (and 1 more address failed)";
    assert_eq!(both.to_string(), message);
    assert_eq!(both.code(), Code::NetUnreachable);
    assert_eq!(both.address(), Some(&ip("[::1]:1")));
    let each: Vec<_> = both.errors().iter().map(Error::to_string).collect();
    assert_eq!(
        each,
        [
            "connect ENETUNREACH ::1:1",
            "connect ECONNREFUSED 127.0.0.1:1"
        ]
    );
    assert_eq!(unreachable.to_string(), "connect ENETUNREACH ::1:1");

    let three = vec![unreachable.clone(), unreachable.clone(), unreachable];
    let message = Error::aggregate(three).to_string();
    assert!(message.ends_with("(and 2 more addresses failed)"));
}

#[test]
fn to_and_from_an_io_error() {
    let error = Error::from(os(Code::AddrInUse));
    assert_eq!(error.code(), Code::AddrInUse);
    assert_eq!(error.to_string(), "EADDRINUSE: address already in use");
    assert_eq!(
        error.errno(),
        os(Code::AddrInUse).raw_os_error().map(|n| -n)
    );
    assert_eq!(error.kind(), io::ErrorKind::AddrInUse);

    let error = Error::from(io::Error::from_raw_os_error(9999));
    assert_eq!(error.code(), Code::Other(9999));
    assert_eq!(
        (error.code().as_str(), error.errno()),
        ("UNKNOWN", Some(-9999))
    );
    assert_eq!(error.to_string(), "Unknown system error -9999");

    let error = Error::from(io::Error::new(io::ErrorKind::InvalidData, "bad frame"));
    assert_eq!(error.code(), Code::Custom);
    assert_eq!(error.kind(), io::ErrorKind::InvalidData);
    assert_eq!(error.to_string(), "bad frame");

    let error = Error::from(io::Error::from(io::ErrorKind::UnexpectedEof));
    assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
    assert_eq!(error.to_string(), "unexpected end of file");

    let there = io::Error::from(Error::lookup(Code::HostNotFound, "x"));
    assert_eq!(there.kind(), io::ErrorKind::NotFound);
    assert_eq!(there.to_string(), "getaddrinfo ENOTFOUND x");
    let back = Error::from(there);
    assert_eq!(back.hostname(), Some("x"));
    assert_eq!(back.code(), Code::HostNotFound);
}

#[test]
fn another_error_is_the_source() {
    let number = "x".parse::<u8>().unwrap_err();
    let error = Error::other(number.clone());
    assert_eq!(error.code(), Code::Custom);
    assert_eq!(error.kind(), io::ErrorKind::Other);
    assert_eq!(error.to_string(), number.to_string());
    let source = error.source().unwrap();
    assert_eq!(source.downcast_ref(), Some(&number));

    let inner = Error::other(Error::not_running());
    assert_eq!(inner.code(), Code::ServerNotRunning);
}

#[test]
fn kinds_of_errors_without_a_number() {
    let cases = [
        (Code::HostNotFound, io::ErrorKind::NotFound),
        (Code::SocketClosed, io::ErrorKind::NotConnected),
        (Code::WriteAfterEnd, io::ErrorKind::BrokenPipe),
        (Code::MissingArgs, io::ErrorKind::InvalidInput),
        (Code::LoopClosed, io::ErrorKind::Other),
        (Code::ConnReset, io::ErrorKind::ConnectionReset),
    ];
    for (code, kind) in cases {
        assert_eq!(Error::new(code, "x").kind(), kind, "{code}");
    }
}

#[test]
fn every_code_has_a_name_of_its_own_and_known_origin() {
    let names: HashSet<_> = Code::NAMED.iter().map(|code| code.as_str()).collect();
    assert_eq!(names.len(), Code::NAMED.len());
    for code in Code::NAMED {
        let name = code.as_str();
        let number = errno::number(*code).or(code.lookup_number());
        let is_ours = name.starts_with("ERR_") || code.is_of_tls();
        assert_eq!(number.is_none(), is_ours, "{name}");
    }
}
