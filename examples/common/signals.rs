//! A server that goes in peace when SIGTERM or SIGINT (Ctrl-C) asks it to.

use std::time::Duration;
use std::{io, process, thread};

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use tidewheel::net::Server;

/// How long connections may take to finish.
const GRACE: Duration = Duration::from_secs(5);

/// The first signal shuts the server down, so that `run` returns when the last connection is closed; a second one ends
/// the program at once.
pub fn shut_down_on_signal(server: &Server) -> io::Result<()> {
    let mut signals = Signals::new([SIGTERM, SIGINT])?;
    let id = server.id();
    // The thread cannot touch the server, but it can send a call to the loop. Unreferenced, for waiting for a signal is
    // no reason to stay alive.
    let remote = server.event_loop().remote();
    remote.unref();
    thread::spawn(move || {
        let mut signals = signals.forever();
        signals.next();
        let posted = remote.post(move |event_loop| {
            if let Some(server) = event_loop.server(id) {
                server.shutdown(GRACE, |_, _| {});
            }
        });
        if posted.is_ok() {
            let second = signals.next().unwrap_or(SIGTERM);
            process::exit(128 + second);
        }
    });
    Ok(())
}
