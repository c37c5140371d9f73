//! What does a relay carry between a client and the server behind it?
//!
//! Each message passes it twice, there and back. Both of its neighbours are the client's thread.

mod common;

use common::bench::{Bench, Stand, Unit};
use common::client::{Group, Kind, Load, STREAM};
use common::peers::{Form, Job, Peer};
use common::sys::{self, Transport};

/// Ours has only `pipe` here, because that is what it is for.
const PEERS: [Peer; 4] = [
    Peer::Epoll,
    Peer::Mio,
    Peer::Tokio,
    Peer::Tidewheel(Form::Pipe),
];

fn main() {
    let mut bench = Bench::new("relay");
    for (transport, name) in [(Transport::Tcp, "tcp"), (Transport::Unix, "unix")] {
        let relays = PEERS.map(|peer| {
            let (far, place) = sys::listen(transport);
            (peer.start(Job::Relay(place), transport), far)
        });
        let cases = [
            (50, Kind::Message(64), "50 x 64 B"),
            (1, STREAM, "1 stream"),
        ];
        for (count, kind, written) in cases {
            let group = Group {
                connections: bench.connections(count, 4 * relays.len()),
                kind,
            };
            let mut stands = Vec::new();
            for (relay, far) in &relays {
                stands.push(Stand::under(relay, Load::through(&relay.place, far, group)));
            }
            let unit = match kind {
                Kind::Message(_) => Unit::messages(group.connections),
                _ => Unit::megabytes(group.connections),
            };
            bench.case(&format!("{name} {written}"), &unit, &mut stands);
        }
    }
    bench.finish();
}
