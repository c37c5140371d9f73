//! What options mean to the reactor.

use super::host;
use super::{ConnectOptions, ServerOptions, SocketOptions};
use crate::conn::Limits;
use crate::error::{Error, Result};
use crate::reactor::{nanos, DialPlan, Inherited, Target, Tuning};

impl ConnectOptions {
    /// What connecting is to do.
    ///
    /// # Errors
    ///
    /// The options name no target, or a local address that is none.
    pub(super) fn plan(&self) -> Result<DialPlan> {
        let target = match self.target()? {
            host::Target::Address(address) => Target::Address(address),
            host::Target::Localhost(port) => Target::Name {
                host: "localhost".into(),
                port,
            },
            host::Target::Name(host, port) => Target::Name { host, port },
        };
        let local_ip = match &self.local_address {
            Some(local) => Some(local.ip().ok_or_else(|| Error::invalid_ip_address(local))?),
            None => None,
        };
        let select = self.auto_select_family && self.family.is_none() && local_ip.is_none();
        Ok(DialPlan {
            family: self.family,
            attempt_timeout: select.then(|| nanos(self.auto_select_family_attempt_timeout)),
            local_ip,
            local_port: self.local_port.unwrap_or(0),
            timeout: self
                .connect_timeout
                .filter(|limit| !limit.is_zero())
                .map(nanos),
            ..DialPlan::to(target)
        })
    }

    /// A socket keeps what it was made with, where these options say nothing.
    pub(super) fn add_limits(&self, limits: &mut Limits) {
        limits.allow_half_open |= self.allow_half_open;
        if self.high_water_mark > 0 {
            limits.set_high_water_mark(self.high_water_mark);
        }
        if self.max_queued.is_some() {
            limits.set_max_queued(self.max_queued);
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
        Limits::new(self.high_water_mark, self.max_queued, self.allow_half_open)
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
            limits: Limits::new(self.high_water_mark, self.max_queued, self.allow_half_open),
            tuning,
            timeout: self.timeout.map_or(0, nanos),
            paused: self.pause_on_connect,
        }
    }
}
