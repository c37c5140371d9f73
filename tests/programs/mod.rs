//! Runs programs, the built examples above all, and talks to them with `std::net`: for the tests that look at the crate
//! from outside.
//!
//! Nothing here sleeps: one waits for a line, for the end of a program, or for bytes, and never for longer than
//! [`STUCK`]. Every program is killed and reaped when its [`Program`] is dropped.
#![allow(dead_code)]

use std::ffi::OsStr;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;
use std::time::Duration;

pub mod teaching;

/// How long anything may take. Generous: the machine may be busy.
const STUCK: Duration = Duration::from_secs(30);

/// A running program. Its output is read all the time, so that it never waits for us.
pub struct Program {
    child: Child,
    stdout: Receiver<String>,
    stderr: Receiver<String>,
}

/// What a program left behind.
#[derive(Debug)]
pub struct Ended {
    /// `None` if a signal ended it.
    pub status: Option<i32>,
    /// The lines that were not asked for before.
    pub stdout: Vec<String>,
    pub stderr: String,
}

impl Program {
    /// Starts it, with nothing to read.
    pub fn start(command: &mut Command) -> Program {
        Program::fed(command, "")
    }

    /// Starts it, with a short text to read.
    pub fn fed(command: &mut Command, text: &str) -> Program {
        let (program, mut stdin) = Program::talked_to(command);
        // A program that ends without reading it is not our business.
        let _ = stdin.write_all(text.as_bytes());
        program
    }

    /// Starts it, with a pipe to read from.
    pub fn talked_to(command: &mut Command) -> (Program, ChildStdin) {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let stdin = child.stdin.take().unwrap();
        let stdout = lines(child.stdout.take().unwrap());
        let stderr = lines(child.stderr.take().unwrap());
        let program = Program {
            child,
            stdout,
            stderr,
        };
        (program, stdin)
    }

    /// The next line it prints.
    #[track_caller]
    pub fn line(&self) -> String {
        self.line_if_any()
            .unwrap_or_else(|| panic!("it ended, saying: {}", all(&self.stderr).join("\n")))
    }

    /// The next line it prints, unless it ends instead.
    #[track_caller]
    pub fn line_if_any(&self) -> Option<String> {
        match self.stdout.recv_timeout(STUCK) {
            Ok(line) => Some(line),
            Err(RecvTimeoutError::Timeout) => panic!("it prints nothing"),
            Err(RecvTimeoutError::Disconnected) => None,
        }
    }

    /// Reads `listening on ADDRESS`.
    #[track_caller]
    pub fn address(&self) -> String {
        let line = self.line();
        let address = line.strip_prefix("listening on ");
        address.unwrap_or_else(|| panic!("{line}")).to_owned()
    }

    /// Sends it a signal, by the name that `kill` knows.
    pub fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        let status = Command::new("kill").args(["-s", name, &pid]).status();
        assert!(status.unwrap().success());
    }

    /// The most memory it has had so far, in bytes.
    pub fn most_memory(&self) -> u64 {
        let status = format!("/proc/{}/status", self.child.id());
        let status = std::fs::read_to_string(status).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kib = line.and_then(|line| line.trim().strip_suffix(" kB"));
        kib.unwrap().parse::<u64>().unwrap() * 1024
    }

    /// Waits until it ends by itself.
    #[track_caller]
    pub fn ended(mut self) -> Ended {
        let stdout = all(&self.stdout);
        let stderr = all(&self.stderr).join("\n");
        let status = self.child.wait().unwrap().code();
        Ended {
            status,
            stdout,
            stderr,
        }
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // Both fail if it has ended and was waited for, which is all we want.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The lines of a pipe, as they come. The channel closes with the pipe.
fn lines(pipe: impl Read + Send + 'static) -> Receiver<String> {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        let mut pipe = BufReader::new(pipe);
        let mut line = Vec::new();
        while let Ok(1..) = pipe.read_until(b'\n', &mut line) {
            let text = String::from_utf8_lossy(&line).into_owned();
            let text = text.strip_suffix('\n').unwrap_or(&text).to_owned();
            if sender.send(text).is_err() {
                break;
            }
            line.clear();
        }
    });
    receiver
}

#[track_caller]
fn all(lines: &Receiver<String>) -> Vec<String> {
    let mut all = Vec::new();
    loop {
        match lines.recv_timeout(STUCK) {
            Ok(line) => all.push(line),
            Err(RecvTimeoutError::Disconnected) => return all,
            Err(RecvTimeoutError::Timeout) => panic!("it does not end; it said {all:#?}"),
        }
    }
}

/// The command for an example, if examples were built: `cargo test` does, `cargo test --test NAME` does not.
pub fn example(name: &str) -> Option<Command> {
    let test = std::env::current_exe().unwrap();
    let profile = test.parent().and_then(Path::parent).unwrap();
    let path = profile.join("examples").join(name);
    if !path.exists() {
        skip(&format!("{} is not built", path.display()));
        return None;
    }
    Some(Command::new(path))
}

/// An example, started with these arguments.
pub fn run_example<A: AsRef<OsStr>>(
    name: &str,
    arguments: impl IntoIterator<Item = A>,
) -> Option<Program> {
    Some(Program::start(example(name)?.args(arguments)))
}

/// A tool that may be missing; `None`, said aloud, if it is.
pub fn tool(name: &str) -> Option<Command> {
    let found = Command::new(name)
        .arg("--version")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    if found.is_err() {
        skip(&format!("{name} is not installed"));
        return None;
    }
    Some(Command::new(name))
}

/// Tells that something is not tested, also when the test harness captures what tests print.
pub fn skip(why: &str) {
    let test = thread::current().name().unwrap_or("?").to_owned();
    let _ = writeln!(io::stderr(), "SKIPPED {test}: {why}");
}

/// A path for a UNIX socket, free now and removed at the end.
pub struct SocketPath(PathBuf);

impl SocketPath {
    pub fn new() -> SocketPath {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        loop {
            let number = NEXT.fetch_add(1, Ordering::Relaxed);
            let name = format!("tidewheel-{}-{number}.sock", std::process::id());
            let path = std::env::temp_dir().join(name);
            // A process of before may have had this number, and left something.
            if !path.exists() {
                return SocketPath(path);
            }
        }
    }

    pub fn as_str(&self) -> &str {
        self.0.to_str().unwrap()
    }
}

impl Drop for SocketPath {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

/// An address of loopback where nobody listens nor can begin to: the near end of a connection, which
/// must be kept.
pub fn refusing() -> (SocketAddr, (TcpStream, TcpListener)) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let stream = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    (stream.local_addr().unwrap(), (stream, listener))
}

/// A blocking connection, over TCP or to a path; no call blocks for longer than [`STUCK`].
pub enum Peer {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Peer {
    /// Connects to what an example printed.
    #[track_caller]
    pub fn to(address: &str) -> Peer {
        if address.contains('/') {
            UnixStream::connect(address).unwrap().into()
        } else {
            TcpStream::connect(address).unwrap().into()
        }
    }

    pub fn try_clone(&self) -> io::Result<Peer> {
        Ok(match self {
            Peer::Tcp(stream) => Peer::Tcp(stream.try_clone()?),
            Peer::Unix(stream) => Peer::Unix(stream.try_clone()?),
        })
    }

    /// Says that no more will come.
    #[track_caller]
    pub fn end(&self) {
        let done = match self {
            Peer::Tcp(stream) => stream.shutdown(Shutdown::Write),
            Peer::Unix(stream) => stream.shutdown(Shutdown::Write),
        };
        done.unwrap();
    }

    /// The port of this side, which tells the connection from others.
    pub fn local_port(&self) -> u16 {
        match self {
            Peer::Tcp(stream) => stream.local_addr().unwrap().port(),
            Peer::Unix(_) => panic!("a path has no port"),
        }
    }

    #[track_caller]
    pub fn say(&mut self, text: &str) {
        self.write_all(text.as_bytes()).unwrap();
    }

    /// Reads exactly `text`.
    #[track_caller]
    pub fn hear(&mut self, text: &str) {
        let mut heard = vec![0; text.len()];
        self.read_exact(&mut heard).unwrap();
        assert_eq!(String::from_utf8_lossy(&heard), text);
    }

    /// Whether `text` is what comes next; it stays unread.
    #[track_caller]
    pub fn is_next(&self, text: &str) -> bool {
        let Peer::Tcp(stream) = self else {
            panic!("the standard library cannot peek here");
        };
        let mut next = vec![0; text.len()];
        stream.peek(&mut next).unwrap();
        next == text.as_bytes()
    }

    /// Goes away with bytes unread, which the kernel tells the other side by RST. They must be there already.
    pub fn reset(self) {
        drop(self);
    }

    /// Reads until the other side ends.
    #[track_caller]
    pub fn rest(&mut self) -> String {
        let mut rest = String::new();
        self.read_to_string(&mut rest).unwrap();
        rest
    }

    /// Sends `length` bytes of the [pattern](Pattern) from another thread, ends, and checks that just these come back.
    #[track_caller]
    pub fn round_trip(mut self, length: u64) {
        let mut out = self.try_clone().unwrap();
        let sender = thread::spawn(move || {
            Pattern::default().send(&mut out, length);
            out.end();
        });
        Pattern::default().receive(&mut self, length);
        assert_eq!(self.read(&mut [0]).unwrap(), 0, "more than was sent");
        sender.join().unwrap();
    }
}

impl From<TcpStream> for Peer {
    fn from(stream: TcpStream) -> Peer {
        stream.set_read_timeout(Some(STUCK)).unwrap();
        stream.set_write_timeout(Some(STUCK)).unwrap();
        Peer::Tcp(stream)
    }
}

impl From<UnixStream> for Peer {
    fn from(stream: UnixStream) -> Peer {
        stream.set_read_timeout(Some(STUCK)).unwrap();
        stream.set_write_timeout(Some(STUCK)).unwrap();
        Peer::Unix(stream)
    }
}

impl Read for Peer {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Peer::Tcp(stream) => stream.read(buffer),
            Peer::Unix(stream) => stream.read(buffer),
        }
    }
}

impl Write for Peer {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        match self {
            Peer::Tcp(stream) => stream.write(data),
            Peer::Unix(stream) => stream.write(data),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// An endless stream of bytes of which no part can be lost, doubled or moved without notice: blocks of noise, of a
/// length that fits to no buffer, each bearing its number.
pub struct Pattern {
    block: Vec<u8>,
    number: u64,
    /// How much of the block was used.
    at: usize,
}

impl Default for Pattern {
    fn default() -> Pattern {
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        let noise = std::iter::repeat_with(|| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state as u8
        });
        let mut block: Vec<u8> = noise.take(65_521).collect();
        block[..8].fill(0);
        Pattern {
            block,
            number: 0,
            at: 0,
        }
    }
}

impl Pattern {
    #[track_caller]
    pub fn send(&mut self, to: &mut impl Write, length: u64) {
        let mut left = length;
        while left > 0 {
            let next = self.next(left);
            to.write_all(next).unwrap();
            left -= next.len() as u64;
        }
    }

    #[track_caller]
    pub fn receive(&mut self, from: &mut impl Read, length: u64) {
        let mut buffer = vec![0; self.block.len()];
        let mut left = length;
        while left > 0 {
            let number = self.number;
            let next = self.next(left);
            let got = &mut buffer[..next.len()];
            from.read_exact(got).unwrap();
            assert!(got == next, "block {number} differs");
            left -= next.len() as u64;
        }
    }

    /// The rest of this block, or all that is wanted.
    pub fn next(&mut self, most: u64) -> &[u8] {
        if self.at == self.block.len() {
            self.number += 1;
            self.block[..8].copy_from_slice(&self.number.to_be_bytes());
            self.at = 0;
        }
        let from = self.at;
        let most = usize::try_from(most).unwrap_or(usize::MAX);
        self.at += most.min(self.block.len() - from);
        &self.block[from..self.at]
    }
}
