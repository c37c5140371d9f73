//! Alerts of a server that goes no further than the client's first message.

use rustls::server::AcceptedAlert;

use super::*;

/// Why the handshake ends, for the client.
pub(super) enum Alert {
    OfRustls(AcceptedAlert),
    /// What is left of a record. Nothing is encrypted yet.
    Ours(&'static [u8]),
}

impl Alert {
    pub(super) const INTERNAL_ERROR: Alert = Alert::Ours(&[21, 3, 3, 0, 2, 2, 80]);
    pub(super) const UNRECOGNIZED_NAME: Alert = Alert::Ours(&[21, 3, 3, 0, 2, 2, 112]);

    /// To be called until it gives 0 bytes.
    pub(super) fn write(&mut self, transport: &mut dyn io::Write) -> io::Result<usize> {
        match self {
            Alert::OfRustls(alert) => alert.write(transport),
            Alert::Ours([]) => Ok(0),
            Alert::Ours(rest) => {
                let written = transport.write(rest)?;
                *rest = &rest[written..];
                Ok(written)
            }
        }
    }
}

impl From<AcceptedAlert> for Alert {
    fn from(alert: AcceptedAlert) -> Alert {
        Alert::OfRustls(alert)
    }
}

impl Session {
    /// The program ends the handshake, and the client hears that it is ended.
    pub(super) fn refuse(&mut self, error: Error, alert: Alert) {
        self.state = State::Refused(Some(alert));
        self.fail(error);
    }
}
