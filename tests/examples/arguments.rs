//! What the examples make of their arguments, and of a place that is taken.

use super::programs::{run_example, SocketPath};
use super::HERE;

#[test]
fn a_place_that_is_taken() {
    let path = SocketPath::new();
    for place in [HERE, path.as_str()] {
        let Some(program) = run_example("echo", [place]) else {
            return;
        };
        let address = program.address();
        for name in ["echo", "chat", "timeout"] {
            let Some(second) = run_example(name, [&address]) else {
                return;
            };
            let ended = second.ended();
            let error = format!("Error: listen EADDRINUSE: address already in use {address}");
            assert_eq!((ended.status, ended.stderr), (Some(1), error));
            assert!(ended.stdout.is_empty());
        }
        let Some(second) = run_example("proxy", [&address, "1"]) else {
            return;
        };
        assert_eq!(second.ended().status, Some(1));
    }
}

/// Somebody else may have the port; then the error tells it.
#[test]
fn the_places_without_arguments() {
    let cases = [
        ("echo", "127.0.0.1:8124"),
        ("chat", "127.0.0.1:8124"),
        ("timeout", "127.0.0.1:8124"),
        ("socket_server", ":8107"),
    ];
    for (name, address) in cases {
        let Some(program) = run_example(name, [""; 0]) else {
            return;
        };
        let Some(line) = program.line_if_any() else {
            let error = program.ended().stderr;
            assert!(error.ends_with(address), "{name}: {error}");
            continue;
        };
        let address = address.replace(":8107", r#""port":8107}"#);
        assert!(line.ends_with(&address), "{name}: {line}");
    }
}

#[test]
fn wrong_arguments() {
    let cases: [(&str, &[&str]); 14] = [
        ("echo", &["eight"]),
        ("echo", &["65536"]),
        ("echo", &[":1"]),
        ("echo", &["::1:1"]),
        ("echo", &["0", "0"]),
        ("echo", &["--what"]),
        ("chat", &["eight"]),
        ("chat", &["0", "0"]),
        ("proxy", &["0"]),
        ("proxy", &["0", "eight"]),
        ("timeout", &["eight"]),
        ("socket_server", &["eight"]),
        ("socket_server", &["0", "0"]),
        ("socket_client", &[HERE]),
    ];
    for (name, arguments) in cases {
        let Some(program) = run_example(name, arguments) else {
            return;
        };
        let ended = program.ended();
        assert_eq!(ended.status, Some(2), "{name} {arguments:?}");
        assert!(ended.stdout.is_empty());
        let usage = format!("usage: {name} ");
        assert!(ended.stderr.starts_with(&usage), "{}", ended.stderr);
    }
}
