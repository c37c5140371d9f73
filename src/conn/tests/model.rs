//! A connection in the plainest form: what must be true of one, as flags, a vector and a list.

use std::collections::VecDeque;

use super::*;

/// What must be true, in the plainest form.
#[derive(Default)]
pub(super) struct Model {
    pub(super) connecting: bool,
    /// It was connected, and may be dead since.
    pub(super) connected: bool,
    pub(super) ended: bool,
    pub(super) ended_by_peer: bool,
    pub(super) shut: bool,
    pub(super) eof: bool,
    pub(super) end_told: bool,
    pub(super) finish_told: bool,
    pub(super) destroy_soon: bool,
    /// A write has failed and that is not told yet.
    pub(super) failed: bool,
    pub(super) dead: Option<String>,
    pub(super) flow: Option<bool>,
    /// It was flowing when its last pipe went.
    pub(super) unpiped: bool,
    pub(super) read: u64,
    pub(super) resting: u32,
    pub(super) corked: u32,
    pub(super) limits: Limits,
    pub(super) drain_owed: bool,
    pub(super) accepted: Vec<u8>,
    pub(super) callbacks: VecDeque<Callback>,
    pub(super) errors_told: u32,
}

pub(super) struct Callback {
    /// How many bytes must be sent for it.
    pub(super) position: usize,
    pub(super) refused: bool,
    pub(super) resolved: bool,
}

impl Model {
    pub(super) fn alive(&self) -> bool {
        self.dead.is_none()
    }

    pub(super) fn open(&self) -> bool {
        self.connected && self.alive()
    }

    pub(super) fn reads(&self) -> bool {
        self.resting == 0 && self.will_read()
    }

    /// Now, or when nothing asks for rest any more.
    fn will_read(&self) -> bool {
        self.open() && !self.eof && self.flow.unwrap_or(self.shut)
    }

    pub(super) fn die(&mut self, cause: &str) {
        self.dead.get_or_insert(cause.into());
    }

    pub(super) fn fail_write(&mut self) {
        if self.will_read() {
            self.failed = true;
        } else {
            self.die("EPIPE");
        }
    }

    pub(super) fn end(&mut self) {
        if self.connecting || self.connected {
            self.ended |= self.alive();
        } else {
            self.die("destroyed");
        }
    }

    pub(super) fn finish_if_done(&mut self) {
        if self.destroy_soon && self.finish_told {
            self.die("destroyed");
        }
        if self.end_told && self.finish_told {
            self.die("finished");
        }
    }

    /// What a write must answer, and why when it kills.
    pub(super) fn answer(
        &self,
        waiting: usize,
        len: usize,
        room: Option<usize>,
    ) -> (WriteStatus, &'static str) {
        let high_water_mark = self.limits.high_water_mark();
        let max_queued = self.limits.max_queued();
        if !self.alive() || self.failed {
            return (WriteStatus::Refused, "");
        }
        if !self.connecting && !self.connected {
            return (WriteStatus::Refused, "ERR_SOCKET_CLOSED");
        }
        if self.ended {
            let cause = if self.ended_by_peer {
                "EPIPE"
            } else {
                "ERR_STREAM_WRITE_AFTER_END"
            };
            return (WriteStatus::Refused, cause);
        }
        let tries = self.connected && self.corked == 0 && waiting == 0;
        let sent = match room {
            None if tries && len > 0 => return (WriteStatus::Refused, "a failed write"),
            Some(room) if tries => len.min(room),
            _ => 0,
        };
        let left = waiting + len - sent;
        if left > max_queued {
            (WriteStatus::Refused, "ERR_SOCKET_QUEUE_FULL")
        } else if left == 0 {
            (WriteStatus::Flushed, "")
        } else if left < high_water_mark || (self.corked > 0 && left < CORK_LIMIT) {
            (WriteStatus::Buffered, "")
        } else {
            (WriteStatus::Queued, "")
        }
    }
}
