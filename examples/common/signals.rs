//! A server that goes in peace when SIGTERM or SIGINT (Ctrl-C) asks it to.

use std::io::{self, Read};
use std::os::unix::net::UnixStream;
use std::rc::Rc;
use std::sync::atomic::AtomicBool;
use std::sync::Arc;
use std::time::Duration;

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::{flag, low_level::pipe};
use tidewheel::net::Server;
use tidewheel::Interest;

/// How long connections may take to finish.
const GRACE: Duration = Duration::from_secs(5);

/// The first signal shuts the server down, so that `run` returns when the last connection is closed; a second one ends
/// the program at once.
pub fn shut_down_on_signal(server: &Server) -> io::Result<()> {
    let (wake, woken) = UnixStream::pair()?;
    woken.set_nonblocking(true)?;
    let asked = Arc::new(AtomicBool::new(false));
    for signal in [SIGTERM, SIGINT] {
        // In this order: only the second signal finds `asked` set.
        flag::register_conditional_shutdown(signal, 128 + signal, Arc::clone(&asked))?;
        flag::register(signal, Arc::clone(&asked))?;
        pipe::register(signal, wake.try_clone()?)?;
    }
    let woken = Rc::new(woken);
    let pipe = Rc::clone(&woken);
    let server = server.clone();
    let watch =
        server
            .event_loop()
            .handle()
            .watch(woken, Interest::READABLE, move |watch, _| {
                if (&*pipe).read(&mut [0; 16]).is_ok() {
                    watch.close();
                    server.shutdown(GRACE, |_, _| {});
                }
            })?;
    // Waiting for a signal is no reason to stay alive.
    watch.unref();
    Ok(())
}
