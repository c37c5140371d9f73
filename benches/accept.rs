//! How many connections a second can come, say one thing, and go?
//!
//! The server is not always busy here, so its processor time for a connection says more than the rate.

mod common;

use common::bench::{Bench, Stand, Unit};
use common::churn::Churn;
use common::peers::{self, Job, Running};
use common::sys::Transport;

/// Connections at a time.
const AT_ONCE: usize = 32;

fn main() {
    let mut bench = Bench::new("accept");
    for (transport, name) in [(Transport::Tcp, "tcp"), (Transport::Unix, "unix")] {
        let servers = peers::ALL.map(|peer| peer.start(Job::Echo, transport));
        let at_once = bench.connections(AT_ONCE, 2 * servers.len());
        let under_load = |server: &Running| {
            let mut churn = Churn::new(&server.place, at_once);
            Stand::new(server, move |limit| churn.run(limit))
        };
        let mut stands: Vec<Stand> = servers.iter().map(under_load).collect();
        let case = format!("{name}, {AT_ONCE} at a time");
        bench.case(&case, &Unit::connections(), &mut stands);
    }
    bench.finish();
}
