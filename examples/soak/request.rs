//! What a client asks of a server, in the first bytes of a connection.

/// Length of a request.
pub const LENGTH: usize = 24;
/// What is sent to who said nothing for too long.
pub const FAREWELL: &[u8] = b"nothing to say?";

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Task {
    /// Every byte comes back.
    Echo,
    /// The server takes all, up to the end, and answers with how much it was and its checksum.
    Upload,
    /// The server sends and ends.
    Download,
    /// The server sends and resets.
    Reset,
    /// The client says nothing; the server ends by its timeout.
    Silence,
}

#[derive(Clone, Copy)]
pub struct Request {
    pub task: Task,
    /// The client will leave in the middle.
    pub rude: bool,
    pub length: u64,
    pub seed: u64,
}

impl Request {
    pub fn encode(self) -> [u8; LENGTH] {
        let mut bytes = [0; LENGTH];
        bytes[0] = self.task as u8;
        bytes[1] = u8::from(self.rude);
        bytes[8..16].copy_from_slice(&self.length.to_le_bytes());
        bytes[16..].copy_from_slice(&self.seed.to_le_bytes());
        bytes
    }

    pub fn decode(bytes: &[u8; LENGTH]) -> Option<Request> {
        let tasks = [
            Task::Echo,
            Task::Upload,
            Task::Download,
            Task::Reset,
            Task::Silence,
        ];
        let task = tasks.into_iter().find(|task| *task as u8 == bytes[0])?;
        Some(Request {
            task,
            rude: bytes[1] != 0,
            length: number(&bytes[8..]),
            seed: number(&bytes[16..]),
        })
    }
}

/// The first eight bytes as a number.
fn number(bytes: &[u8]) -> u64 {
    let mut word = [0; 8];
    word.copy_from_slice(&bytes[..8]);
    u64::from_le_bytes(word)
}
