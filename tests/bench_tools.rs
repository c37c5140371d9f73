//! What the benches rely on without showing it: their arguments, the figures they keep, and that the client notices when
//! a server sends back something else.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::thread;

#[path = "../benches/common/mod.rs"]
mod common;

use common::client::{Group, Kind, Limit, Load};
use common::mode::{self, Mode};
use common::record::{Record, Spread};
use common::sys::Place;

#[test]
fn arguments_are_understood_as_criterion_does() {
    let parse = |line: &str| {
        let words: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
        mode::parse(&words)
    };
    assert_eq!(parse("--bench"), (Mode::Full, None));
    assert_eq!(parse("--quick --bench"), (Mode::Quick, None));
    assert_eq!(parse(""), (Mode::Test, None));
    assert_eq!(parse("--test --bench"), (Mode::Test, None));
    assert_eq!(parse("--list --bench"), (Mode::List, None));
    assert_eq!(parse("tcp --bench"), (Mode::Full, Some("tcp".into())));
    let with_value = "--save-baseline before --quick unix --bench";
    assert_eq!(parse(with_value), (Mode::Quick, Some("unix".into())));
}

#[test]
fn a_spread_is_the_median_and_the_ends() {
    let spread = Spread::of(&[3.0, 1.0, 10.0]);
    assert_eq!((spread.median, spread.min, spread.max), (3.0, 1.0, 10.0));
    let spread = Spread::of(&[4.0, 1.0, 10.0, 2.0]);
    assert_eq!((spread.median, spread.min, spread.max), (3.0, 1.0, 10.0));
}

#[test]
fn a_record_is_json() {
    let mut record = Record::new("ping_pong", true);
    record.row(
        "tcp \"50\"",
        "tokio",
        "msgs/s",
        &[1.0, 2.0, 3.0],
        &[0.5, 1.0],
    );
    record.row("tcp", "tokio", "bytes", &[54.5], &[]);
    let expected = concat!(
        "{\"bench\": \"ping_pong\", \"quick\": true, \"reference\": \"raw epoll\", \"rows\": [\n",
        "  {\"case\": \"tcp \\\"50\\\"\", \"peer\": \"tokio\", \"metric\": \"msgs/s\", ",
        "\"median\": 2, \"min\": 1, \"max\": 3, ",
        "\"ratio\": 0.75, \"ratio_min\": 0.5, \"ratio_max\": 1},\n",
        "  {\"case\": \"tcp\", \"peer\": \"tokio\", \"metric\": \"bytes\", ",
        "\"median\": 54.5, \"min\": 54.5, \"max\": 54.5}\n]}\n",
    );
    assert_eq!(record.to_json(), expected);
}

#[test]
fn the_client_takes_an_echo() {
    let sample = load(Kind::Message(64), |_| ());
    assert_eq!(sample.count.messages, 5);
    let bulk = Kind::Bulk {
        window: 1 << 18,
        in_a_row: 1,
    };
    assert_eq!(load(bulk, |_| ()).count.bulk, 5 * 65536);
}

#[test]
#[should_panic(expected = "what came back is not what was sent")]
fn the_client_notices_a_wrong_byte() {
    load(Kind::Message(64), |data| data[0] ^= 1);
}

#[test]
#[should_panic(expected = "more came back than was sent")]
fn the_client_notices_too_much() {
    load(Kind::Message(64), |data| data.push(0));
}

/// Five messages, through a server that does something to what it sends back.
fn load(kind: Kind, spoil: fn(&mut Vec<u8>)) -> common::client::Sample {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let place = Place::Tcp(listener.local_addr().unwrap());
    let server = thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut buffer = [0; 65536];
        // The client resets the connection when it is done.
        while let Ok(n @ 1..) = stream.read(&mut buffer) {
            let mut data = buffer[..n].to_vec();
            spoil(&mut data);
            if stream.write_all(&data).is_err() {
                return;
            }
        }
    });
    let group = Group {
        connections: 1,
        kind,
    };
    let mut load = Load::new(&place, &[group]);
    let sample = load.run(Limit::Each(5));
    drop(load);
    server.join().unwrap();
    sample
}
