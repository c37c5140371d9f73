//! What options mean to the reactor.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use super::host::Target;
use super::{Address, ConnectOptions, ServerOptions, SocketOptions};
use crate::conn::Limits;
use crate::connector::Connector;
use crate::error::{Code, Error, Result};
use crate::reactor::{nanos, Inherited, Tuning};

impl ConnectOptions {
    /// What to try, in turn.
    ///
    /// # Errors
    ///
    /// The options name no target.
    pub(super) fn connector(&self) -> Result<Connector> {
        let ip = |ip: std::net::IpAddr, port| Address::Ip(SocketAddr::from((ip, port)));
        Ok(match self.target()? {
            Target::Address(address) => Connector::new([address]),
            Target::Localhost(port) => Connector::new([
                ip(Ipv4Addr::LOCALHOST.into(), port),
                ip(Ipv6Addr::LOCALHOST.into(), port),
            ]),
            Target::Name(name, _) => Connector::failing(Error::lookup(Code::HostNotFound, &name)),
        })
    }

    /// A socket keeps what it was made with, where these options say nothing.
    pub(super) fn add_limits(&self, limits: &mut Limits) {
        limits.allow_half_open |= self.allow_half_open;
        if self.high_water_mark > 0 {
            limits.high_water_mark = self.high_water_mark;
        }
        if let Some(bytes) = self.max_queued {
            limits.max_queued = bytes;
        }
    }

    pub(super) fn add_tuning(&self, tuning: &mut Tuning) {
        tuning.no_delay |= self.no_delay;
        if self.keep_alive {
            tuning.set_keep_alive(true, self.keep_alive_initial_delay);
        }
    }
}

impl SocketOptions {
    pub(super) fn limits(&self) -> Limits {
        limits(self.allow_half_open, self.high_water_mark, self.max_queued)
    }
}

impl ServerOptions {
    pub(super) fn inherited(&self) -> Inherited {
        let mut tuning = Tuning {
            no_delay: self.no_delay,
            ..Tuning::default()
        };
        if self.keep_alive {
            tuning.set_keep_alive(true, self.keep_alive_initial_delay);
        }
        Inherited {
            limits: limits(self.allow_half_open, self.high_water_mark, self.max_queued),
            tuning,
            timeout: self.timeout.map_or(0, nanos),
            paused: self.pause_on_connect,
        }
    }
}

fn limits(allow_half_open: bool, high_water_mark: usize, max_queued: Option<usize>) -> Limits {
    Limits {
        high_water_mark,
        max_queued: max_queued.unwrap_or(usize::MAX),
        allow_half_open,
    }
}
