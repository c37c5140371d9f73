//! Whether a message also takes no more time among many idle connections: caches are not in the counts.

use std::io;

use crate::client::{raise_descriptor_limit, Child, Clients};
use crate::record::Record;
use crate::{affordable, spread_out};

const SERVERS: [(&str, &str); 2] = [("pipe", "tidewheel (pipe)"), ("bare", "raw mio")];

/// Keeps the processor time of a message among many, as a ratio to that among few: ours, and that of bare mio, which shows
/// what of it is the kernel's.
pub fn record() {
    let mut record = Record::new("many_idle", false);
    match ratios() {
        Ok(ratios) => {
            for ((_, peer), ratios) in SERVERS.iter().zip(ratios) {
                let case = "1 k active of 9 k, to 1 k all active";
                record.row(case, peer, "processor time per message", &ratios, &[]);
            }
        }
        Err(error) => return println!("processor time: not measured, {error}"),
    }
    record.write();
}

/// Round by round, all of them in each: the machine is not always equally fast.
fn ratios() -> io::Result<[Vec<f64>; 2]> {
    const ROUNDS: usize = 15;
    let (many, active) = affordable();
    // There are two with many at a time.
    let many = many.min((raise_descriptor_limit() / 2).saturating_sub(active + 50));
    let mut stands = Vec::new();
    for (server, _) in SERVERS {
        let few = Stand::new(server, active, active)?;
        stands.push((few, Stand::new(server, many, active)?));
    }
    let mut ratios = [Vec::new(), Vec::new()];
    for _ in 0..ROUNDS {
        for ((few, many), ratios) in stands.iter_mut().zip(&mut ratios) {
            ratios.push(many.nanos()? / few.nanos()?);
        }
    }
    Ok(ratios)
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
