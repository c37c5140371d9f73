//! Settings of a loop.

use super::remote::Mailbox;
use super::EventLoop;
use crate::error::Result;
use crate::reactor::{Reactor, Settings};

/// Settings of a loop, from [`EventLoop::builder`].
///
/// ```
/// # fn main() -> Result<(), tidewheel::Error> {
/// let event_loop = tidewheel::EventLoop::builder().read_buffer(16 * 1024).build()?;
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Builder {
    settings: Settings,
    #[cfg(feature = "sim")]
    sim: Option<crate::sim::Sim>,
}

impl Default for Builder {
    fn default() -> Builder {
        Builder {
            settings: Settings {
                read_buffer: 64 * 1024,
                events: 1024,
                read_budget: 256 * 1024,
            },
            #[cfg(feature = "sim")]
            sim: None,
        }
    }
}

impl Builder {
    /// Bytes read at once, and so the longest `data`: 64 KiB unless set. One buffer serves the whole loop.
    pub fn read_buffer(mut self, bytes: usize) -> Builder {
        self.settings.read_buffer = bytes.max(1);
        self
    }

    /// Events taken from the kernel at once: 1,024 unless set. More only wait for the next turn.
    pub fn events(mut self, count: usize) -> Builder {
        self.settings.events = count.max(1);
        self
    }

    /// Bytes read from one socket in one turn before the others have theirs: 256 KiB unless set.
    pub fn read_budget(mut self, bytes: usize) -> Builder {
        self.settings.read_budget = bytes.max(1);
        self
    }

    /// Runs the loop on a simulated network and clock instead of the kernel's.
    #[cfg(feature = "sim")]
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
        #[cfg(feature = "sim")]
        if let Some(sim) = &self.sim {
            let reactor = Reactor::simulated(self.settings, sim);
            return Ok(EventLoop::with(reactor, Mailbox::new(None)));
        }
        let (reactor, waker) = Reactor::new(self.settings)?;
        Ok(EventLoop::with(reactor, Mailbox::new(Some(waker))))
    }
}
