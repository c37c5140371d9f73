//! The secrets of a connection, for those who want to read a capture of it: lines of the format of NSS.

use std::fmt::Write;
use std::sync::{Arc, Mutex, PoisonError};

use rustls::KeyLog;

/// Collects the lines of one connection until they are handed to the program.
#[derive(Default)]
pub(crate) struct Collector(Mutex<String>);

impl Collector {
    pub(crate) fn new() -> Arc<Collector> {
        Arc::new(Collector::default())
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .is_empty()
    }

    /// The lines since the last call.
    pub(crate) fn take(&self) -> String {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl KeyLog for Collector {
    fn log(&self, label: &str, client_random: &[u8], secret: &[u8]) {
        let mut lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        lines.push_str(label);
        for bytes in [client_random, secret] {
            lines.push(' ');
            for byte in bytes {
                let _ = write!(lines, "{byte:02x}");
            }
        }
        lines.push('\n');
    }
}

/// Shows no secret.
impl std::fmt::Debug for Collector {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Collector")
    }
}
