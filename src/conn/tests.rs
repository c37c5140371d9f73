//! Tests of the pure connection: the whole state matrix, each rule by its name, and random operations against a
//! plain model.

mod ending;
mod matrix;
mod model;
mod random;
mod writing;

use std::io::IoSlice;

use bytes::Bytes;

use super::*;
use crate::error::Code;

/// Does what the loop does with a connection, with a kernel that takes as much as the test says.
struct Shell {
    conn: Conn,
    /// What the kernel has taken.
    wire: Vec<u8>,
    released: Vec<Bytes>,
}

impl Shell {
    fn idle(limits: Limits) -> Shell {
        Shell {
            conn: Conn::new(limits),
            wire: Vec::new(),
            released: Vec::new(),
        }
    }

    fn connecting(limits: Limits) -> Shell {
        let mut shell = Shell::idle(limits);
        assert!(shell.conn.connect_started());
        shell
    }

    fn open(limits: Limits) -> Shell {
        let mut shell = Shell::idle(limits);
        shell.conn = Conn::adopted(limits);
        shell
    }

    /// A write with a callback; the kernel has room for `room` bytes.
    fn write(&mut self, data: &[u8], room: usize) -> WriteStatus {
        self.send(Payload::Borrowed(data), room, true)
    }

    fn send(&mut self, payload: Payload<'_>, room: usize, callback: bool) -> WriteStatus {
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
    fn flush(&mut self, room: usize) -> usize {
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
    fn shut(&mut self) {
        if self.conn.wants_shutdown() {
            self.conn.handle_shut();
        }
    }

    fn is_shut(&self) -> bool {
        self.conn.state.write() == WriteSide::Shut
    }

    fn end(&mut self) -> bool {
        self.conn.end(&mut self.released)
    }

    fn destroy(&mut self, cause: Cause) -> bool {
        self.conn.destroy(cause, &mut self.released)
    }

    fn write_error(&mut self, error: Error) {
        self.conn.handle_write_error(error, &mut self.released);
    }

    fn read_error(&mut self, error: Error) {
        self.conn.handle_read_error(error, &mut self.released);
    }

    fn end_delivered(&mut self) {
        self.conn.handle_end_delivered(&mut self.released);
    }

    fn finish_delivered(&mut self) {
        self.conn.handle_finish_delivered(&mut self.released);
    }

    /// The events to come, all of them.
    fn notices(&mut self) -> String {
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
    fn cause(&self) -> String {
        match self.conn.cause() {
            None => "none".into(),
            Some(Cause::Finished) => "finished".into(),
            Some(Cause::Destroyed) => "destroyed".into(),
            Some(Cause::Failed(error)) => error.code().to_string(),
        }
    }
}

fn broken_pipe() -> Error {
    Error::new(Code::BrokenPipe, "write EPIPE")
}

fn reset_by_peer() -> Error {
    Error::new(Code::ConnReset, "read ECONNRESET")
}

fn limits(high_water_mark: usize, max_queued: usize) -> Limits {
    Limits {
        high_water_mark,
        max_queued,
        ..Limits::default()
    }
}

fn half_open() -> Limits {
    Limits {
        allow_half_open: true,
        ..Limits::default()
    }
}
