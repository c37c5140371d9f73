//! How many bytes a second can be echoed in long streams?

mod common;

use common::bench::{Bench, Stand, Unit};
use common::client::{Group, Load, STREAM};
use common::peers::{self, Job, Running};
use common::sys::Transport;

fn main() {
    let mut bench = Bench::new("throughput");
    for (transport, name) in [(Transport::Tcp, "tcp"), (Transport::Unix, "unix")] {
        let servers = peers::ALL.map(|peer| peer.start(Job::Echo, transport));
        for count in [1, 8] {
            let group = Group {
                connections: bench.connections(count, 2 * servers.len()),
                kind: STREAM,
            };
            let under_load =
                |server: &Running| Stand::under(server, Load::new(&server.place, &[group]));
            let mut stands: Vec<Stand> = servers.iter().map(under_load).collect();
            let unit = Unit::megabytes(group.connections);
            bench.case(&format!("{name} x {count}"), &unit, &mut stands);
        }
    }
    bench.finish();
}
