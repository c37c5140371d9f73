//! Whether a message also takes no more time among many idle connections: caches are not in the counts.

use std::io;

use crate::client::{Child, Clients};
use crate::record::Record;
use crate::{affordable, spread_out};

/// Keeps the processor time of a message among many, as a ratio to that among few, round by round: ours, and that of bare
/// mio, which shows what of it is the kernel's.
pub fn record() {
    let (many, active) = affordable();
    let mut record = Record::new("many_idle", false);
    for (server, peer) in [("pipe", "tidewheel (pipe)"), ("bare", "raw mio")] {
        match ratios(server, many, active) {
            Ok(ratios) => {
                let case = "1 k active of 9 k, to 1 k all active";
                record.row(case, peer, "processor time per message", &ratios, &[]);
            }
            Err(error) => return println!("processor time: not measured, {error}"),
        }
    }
    record.write();
}

fn ratios(server: &str, many: usize, active: usize) -> io::Result<Vec<f64>> {
    const ROUNDS: usize = 7;
    let mut few = Stand::new(server, active, active)?;
    let mut many = Stand::new(server, many, active)?;
    let mut round = |_| Ok(many.nanos()? / few.nanos()?);
    (0..ROUNDS).map(&mut round).collect()
}

struct Stand {
    child: Child,
    clients: Clients,
    chosen: Vec<usize>,
}

impl Stand {
    fn new(server: &str, connections: usize, active: usize) -> io::Result<Stand> {
        let mut child = Child::plain(&[server])?;
        let mut clients = Clients::default();
        clients.connect(&mut child, connections)?;
        let chosen = spread_out(active, connections);
        Ok(Stand {
            child,
            clients,
            chosen,
        })
    }

    /// Processor time of the server for some messages.
    fn nanos(&mut self) -> io::Result<f64> {
        const EXCHANGES: usize = 5;
        let before = self.child.busy()?;
        for _ in 0..EXCHANGES {
            self.clients.exchange(&mut self.child, &self.chosen)?;
        }
        Ok(self.child.busy()? - before)
    }
}
