//! A connection and what stands around it: the loop that drives it, and the kernel that takes its bytes.
//!
//! This file, the model and the pair of both are fuzzed as well, so they see of a connection only what the loop sees.

use std::io::IoSlice;

use bytes::Bytes;

use super::*;
use crate::error::{Code, Error};

/// Does what the loop does with a connection, with a kernel that takes as much as the test says.
pub(super) struct Shell {
    pub(super) conn: Conn,
    /// What the kernel has taken.
    pub(super) wire: Vec<u8>,
    pub(super) released: Vec<Bytes>,
}

impl Shell {
    pub(super) fn idle(limits: Limits) -> Shell {
        Shell {
            conn: Conn::new(limits),
            wire: Vec::new(),
            released: Vec::new(),
        }
    }

    pub(super) fn connecting(limits: Limits) -> Shell {
        let mut shell = Shell::idle(limits);
        assert!(shell.conn.connect_started());
        shell
    }

    pub(super) fn open(limits: Limits) -> Shell {
        let mut shell = Shell::idle(limits);
        shell.conn = Conn::adopted(limits);
        shell
    }

    /// A write with a callback; the kernel has room for `room` bytes.
    pub(super) fn write(&mut self, data: &[u8], room: usize) -> WriteStatus {
        self.send(Payload::Borrowed(data), room, true)
    }

    pub(super) fn send(
        &mut self,
        payload: Payload<'_>,
        room: usize,
        callback: bool,
    ) -> WriteStatus {
        let data = payload.as_slice();
        let sent = match self.conn.admit(data.len(), &mut self.released) {
            Admission::Refused => {
                if let Payload::Owned(bytes) = payload {
                    self.released.push(bytes);
                }
                return WriteStatus::Refused;
            }
            Admission::Queue => 0,
            Admission::Try => room.min(data.len()),
        };
        let taken = data[..sent].to_vec();
        let status = self
            .conn
            .accept(payload, sent, callback, &mut self.released);
        self.wire.extend_from_slice(&taken);
        status
    }

    /// Sends what waits and may go, as far as the kernel takes it.
    pub(super) fn flush(&mut self, room: usize) -> usize {
        if !self.conn.wants_flush() {
            return 0;
        }
        let mut slices = [IoSlice::new(&[]); 3];
        let used = self.conn.transmit(&mut slices);
        let mut taken = Vec::new();
        for slice in &slices[..used] {
            taken.extend_from_slice(&slice[..slice.len().min(room - taken.len())]);
        }
        self.conn.handle_written(taken.len(), &mut self.released);
        self.wire.extend_from_slice(&taken);
        taken.len()
    }

    /// Our FIN, if it is due.
    pub(super) fn shut(&mut self) {
        if self.conn.wants_shutdown() {
            self.conn.handle_shut();
        }
    }

    pub(super) fn end(&mut self) -> bool {
        self.conn.end(&mut self.released)
    }

    pub(super) fn destroy(&mut self, cause: Cause) -> bool {
        self.conn.destroy(cause, &mut self.released)
    }

    pub(super) fn write_error(&mut self, error: Error) {
        self.conn.handle_write_error(error, &mut self.released);
    }

    pub(super) fn read_error(&mut self, error: Error) {
        self.conn.handle_read_error(error, &mut self.released);
    }

    pub(super) fn end_delivered(&mut self) {
        self.conn.handle_end_delivered(&mut self.released);
    }

    pub(super) fn finish_delivered(&mut self) {
        self.conn.handle_finish_delivered(&mut self.released);
    }

    /// The events to come, all of them.
    pub(super) fn notices(&mut self) -> String {
        let notices: Vec<_> = std::iter::from_fn(|| self.conn.poll_notice()).collect();
        let names = notices.iter().map(|notice| match notice {
            Notice::Drain => "drain",
            Notice::Wrote => "wrote",
            Notice::Finish => "finish",
            Notice::Error => "error",
            Notice::Abort => "abort",
        });
        names.collect::<Vec<_>>().join(" ")
    }

    /// Why it ended, in a word: a code for an error.
    pub(super) fn cause(&self) -> String {
        match self.conn.cause() {
            None => "none".into(),
            Some(Cause::Finished) => "finished".into(),
            Some(Cause::Destroyed) => "destroyed".into(),
            Some(Cause::Failed(error)) => error.code().to_string(),
        }
    }
}

pub(super) fn broken_pipe() -> Error {
    Error::new(Code::BrokenPipe, "write EPIPE")
}

pub(super) fn reset_by_peer() -> Error {
    Error::new(Code::ConnReset, "read ECONNRESET")
}
