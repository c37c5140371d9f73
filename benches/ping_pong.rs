//! How many messages a second go to and fro, one at a time on each connection?

mod common;

use common::bench::{Bench, Stand, Unit};
use common::client::{Group, Kind, Load};
use common::peers::{self, Job, Peer, Running};
use common::sys::Transport;

fn main() {
    let mut bench = Bench::new("ping_pong");
    for (transport, name) in [(Transport::Tcp, "tcp"), (Transport::Unix, "unix")] {
        let mut peers = peers::ALL.to_vec();
        if transport == Transport::Unix {
            peers.push(Peer::EpollMessage);
        }
        let start = |peer: Peer| peer.start(Job::Echo, transport);
        let servers: Vec<Running> = peers.into_iter().map(start).collect();
        for count in [1, 50, 1000] {
            for (size, written) in [(64, "64 B"), (4096, "4 KiB")] {
                let group = Group {
                    connections: bench.connections(count, 2 * servers.len()),
                    kind: Kind::Message(size),
                };
                let under_load =
                    |server: &Running| Stand::under(server, Load::new(&server.place, &[group]));
                let mut stands: Vec<Stand> = servers.iter().map(under_load).collect();
                let unit = Unit::messages(group.connections);
                bench.case(&format!("{name} {count} x {written}"), &unit, &mut stands);
            }
        }
    }
    bench.finish();
}
