//! The server's process, told when to take a turn, and the connections to it.

use std::fs;
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::process::{ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

use crate::counted::FUNCTIONS;
use crate::server::{COUNTED, PLAIN};

const MESSAGE: usize = 64;

/// This program once more, as the server.
pub struct Child {
    process: std::process::Child,
    input: Option<ChildStdin>,
    output: ChildStdout,
    port: Option<u16>,
}

impl Child {
    /// Under callgrind.
    pub fn counted(words: &[&str]) -> io::Result<Child> {
        let mut valgrind = Command::new("valgrind");
        valgrind
            .arg("--tool=callgrind")
            .arg("--callgrind-out-file=/dev/null")
            .arg(format!("--toggle-collect={FUNCTIONS}"))
            .arg(std::env::current_exe()?);
        Child::start(valgrind, words)
    }

    /// As it is.
    pub fn plain(words: &[&str]) -> io::Result<Child> {
        Child::start(Command::new(std::env::current_exe()?), words)
    }

    fn start(mut command: Command, words: &[&str]) -> io::Result<Child> {
        let mut process = command
            .arg("serve")
            .args(words)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        let mut output = process.stdout.take().expect("it was piped");
        let input = process.stdin.take();
        let mut port = [0; 2];
        // A part without a server ends without a word.
        let told = output.read_exact(&mut port).is_ok();
        let port = told.then(|| u16::from_be_bytes(port));
        Ok(Child {
            process,
            input,
            output,
            port,
        })
    }

    /// Nanoseconds of processor time it has used; exact, for it waits now.
    pub fn busy(&self) -> io::Result<f64> {
        let text = fs::read_to_string(format!("/proc/{}/schedstat", self.process.id()))?;
        let first = text.split(' ').next().and_then(|word| word.parse().ok());
        first.ok_or(io::ErrorKind::InvalidData.into())
    }

    /// Turns that are not counted.
    pub fn turns(&mut self, turns: usize) -> io::Result<()> {
        self.tell(PLAIN, turns)
    }

    pub fn counted_turns(&mut self, turns: usize) -> io::Result<()> {
        self.tell(COUNTED, turns)
    }

    /// Lets the server go and says how many instructions were counted.
    pub fn finish(mut self) -> io::Result<u64> {
        drop(self.input.take());
        let finished = self.process.wait_with_output()?;
        let log = String::from_utf8_lossy(&finished.stderr);
        let collected = log
            .lines()
            .find_map(|line| line.split("Collected : ").nth(1));
        let count = collected.and_then(|count| count.trim().parse().ok());
        match count {
            Some(count) if count > 0 && finished.status.success() => Ok(count),
            _ => Err(io::Error::other(format!("nothing was counted:\n{log}"))),
        }
    }

    fn tell(&mut self, command: u8, times: usize) -> io::Result<()> {
        for _ in 0..times {
            let input = self.input.as_mut().expect("the server still runs");
            input.write_all(&[command])?;
            self.output.read_exact(&mut [0])?;
        }
        Ok(())
    }
}

/// Connections to the server.
#[derive(Default)]
pub struct Clients(Vec<TcpStream>);

impl Clients {
    /// Connects, and sees that the server has taken each connection and answered on it.
    pub fn connect(&mut self, child: &mut Child, connections: usize) -> io::Result<()> {
        // Fewer than the backlog at a time, and more turns than it takes to accept them.
        const AT_ONCE: usize = 100;
        const TURNS: usize = 10;
        while self.0.len() < connections {
            let first = self.0.len();
            self.open(child, AT_ONCE.min(connections - first))?;
            child.turns(TURNS)?;
            let fresh: Vec<usize> = (first..self.0.len()).collect();
            self.talk(child, &fresh, PLAIN)?;
        }
        Ok(())
    }

    /// Connects as far as the kernel takes connections without the server.
    pub fn open(&mut self, child: &Child, connections: usize) -> io::Result<()> {
        let port = child.port.ok_or(io::ErrorKind::NotConnected)?;
        for _ in 0..connections {
            let stream = TcpStream::connect(("127.0.0.1", port))?;
            stream.set_nodelay(true)?;
            stream.set_read_timeout(Some(Duration::from_secs(1)))?;
            self.0.push(stream);
        }
        Ok(())
    }

    /// One message on each of the chosen connections, echoed in turns that are counted.
    pub fn exchange(&mut self, child: &mut Child, chosen: &[usize]) -> io::Result<()> {
        self.talk(child, chosen, COUNTED)
    }

    fn talk(&mut self, child: &mut Child, chosen: &[usize], turn: u8) -> io::Result<()> {
        for &n in chosen {
            self.0[n].write_all(&[n as u8; MESSAGE])?;
        }
        child.tell(turn, 1)?;
        for &n in chosen {
            self.hear(child, n, turn)?;
        }
        Ok(())
    }

    /// Reads one echo. The kernel may have been late with the message: then it takes another turn.
    fn hear(&mut self, child: &mut Child, n: usize, turn: u8) -> io::Result<()> {
        const PATIENCE: usize = 30;
        let mut message = [0; MESSAGE];
        let mut got = 0;
        for _ in 0..PATIENCE {
            match self.0[n].read(&mut message[got..]) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(read) => got += read,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => child.tell(turn, 1)?,
                Err(error) => return Err(error),
            }
            if got == MESSAGE {
                assert_eq!(message, [n as u8; MESSAGE], "not what was sent");
                return Ok(());
            }
        }
        Err(io::ErrorKind::TimedOut.into())
    }
}

/// As many descriptors as may be; a child inherits the limit.
pub fn raise_descriptor_limit() -> usize {
    let mut limit = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: the pointer is to a live `rlimit`.
    if unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) } != 0 {
        return 0;
    }
    let before = limit.rlim_cur;
    limit.rlim_cur = limit.rlim_max;
    // SAFETY: the pointer is to a live `rlimit`.
    let raised = unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) } == 0;
    usize::try_from(if raised { limit.rlim_cur } else { before }).unwrap_or(usize::MAX)
}
