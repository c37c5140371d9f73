//! Settings of a loop.

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use super::remote::Mailbox;
use super::{EventLoop, Family};
use crate::error::{Code, Error, Result};
use crate::reactor::{Reactor, Settings};
use crate::resolver::LookUp;
use crate::sys::resolve;

/// There is room for so many from the start.
const MAX_EVENTS: usize = 65_536;

/// Settings of a loop, from [`EventLoop::builder`].
///
/// ```
/// # fn main() -> Result<(), tidewheel::Error> {
/// let event_loop = tidewheel::EventLoop::builder().read_buffer(16 * 1024).build()?;
/// # Ok(()) }
/// ```
#[derive(Clone)]
#[non_exhaustive]
pub struct Builder {
    settings: Settings,
    look_up: Arc<dyn LookUp>,
    #[cfg(any(test, feature = "sim"))]
    sim: Option<crate::sim::Sim>,
}

impl Default for Builder {
    fn default() -> Builder {
        Builder {
            settings: Settings {
                read_buffer: 64 * 1024,
                events: 1024,
                read_budget: 256 * 1024,
                resolver_threads: 4,
            },
            look_up: Arc::new(resolve),
            #[cfg(any(test, feature = "sim"))]
            sim: None,
        }
    }
}

impl Builder {
    /// Bytes read at once, and so the longest `data`: 64 KiB unless set, 1 GiB at most. One buffer serves the whole loop;
    /// TLS has a second one as large for what is encrypted, from its first use to the end of the loop.
    pub fn read_buffer(mut self, bytes: usize) -> Builder {
        self.settings.read_buffer = bytes.clamp(1, 1 << 30);
        self
    }

    /// Events taken from the kernel at once: 1,024 unless set, 65,536 at most. More only wait for the next turn.
    pub fn events(mut self, count: usize) -> Builder {
        self.settings.events = count.clamp(1, MAX_EVENTS);
        self
    }

    /// Bytes read from one socket in one turn before the others have theirs: 256 KiB unless set.
    pub fn read_budget(mut self, bytes: usize) -> Builder {
        self.settings.read_budget = bytes.max(1);
        self
    }

    /// Threads that look names up, at most: 4 unless set. They are started when they are needed, and abandoned, not
    /// waited for, when the loop is dropped. A look-up that hangs keeps one of them and delays nothing else.
    pub fn resolver_threads(mut self, count: usize) -> Builder {
        self.settings.resolver_threads = count.max(1);
        self
    }

    /// Looks names up by `look_up` instead of the system's `getaddrinfo`, on the threads of the pool, where it may
    /// block. Addresses and `localhost` never come here. An error without a system's meaning is `ENOTFOUND`. One
    /// connection alone has [`ConnectOptions::lookup`](crate::net::ConnectOptions::lookup).
    pub fn resolver(
        mut self,
        look_up: impl Fn(&str, Option<Family>) -> io::Result<Vec<IpAddr>> + Send + Sync + 'static,
    ) -> Builder {
        self.look_up =
            Arc::new(
                move |name: &str, family: Option<Family>| match look_up(name, family) {
                    Ok(addresses) => Ok(addresses
                        .into_iter()
                        .map(|ip| SocketAddr::new(ip, 0))
                        .collect()),
                    Err(error) => Err(match Error::from(error).code() {
                        Code::Custom => Code::HostNotFound,
                        code => code,
                    }),
                },
            );
        self
    }

    /// Runs the loop on a simulated network and clock instead of the kernel's.
    #[cfg(any(test, feature = "sim"))]
    pub fn sim(mut self, sim: &crate::sim::Sim) -> Builder {
        self.sim = Some(sim.clone());
        self
    }

    /// Makes the loop.
    ///
    /// # Errors
    ///
    /// What the system says when it has no descriptor left for epoll and the waker.
    pub fn build(self) -> Result<EventLoop> {
        let read_buffer = self.settings.read_buffer;
        #[cfg(any(test, feature = "sim"))]
        if let Some(sim) = &self.sim {
            let reactor = Reactor::simulated(self.settings, self.look_up, sim);
            return Ok(EventLoop::with(reactor, Mailbox::new(None), read_buffer));
        }
        let (reactor, waker) = Reactor::new(self.settings, self.look_up)?;
        let mailbox = Mailbox::new(Some(waker));
        Ok(EventLoop::with(reactor, mailbox, read_buffer))
    }
}

impl fmt::Debug for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder")
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}
