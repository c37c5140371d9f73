//! Answers each line, a number, with how many primes are below it, computed by a few threads: what takes long must not
//! hold up the loop. Talk to it with `nc 127.0.0.1 8124`.
//!
//! A thread cannot touch a socket. It gets the socket's id, and posts the answer to the loop, which looks whether the
//! client is still there.

use std::cell::Cell;
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex};
use std::thread;

use tidewheel::net::{self, Handler, ListenOptions, ServerOptions, Socket, SocketId};
use tidewheel::{EventLoop, Remote};

#[path = "common/arguments.rs"]
mod arguments;
#[path = "common/signals.rs"]
mod signals;

const USAGE: &str = "worker [PORT | HOST:PORT | PATH]";
const THREADS: usize = 4;
const LONGEST_LINE: usize = 64 * 1024;

fn main() -> Result<(), tidewheel::Error> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let place: Option<ListenOptions> = match &words[..] {
        [] => arguments::place("8124"),
        [word] => arguments::place(word),
        _ => None,
    };
    let place = place.unwrap_or_else(|| arguments::refuse(USAGE));

    let event_loop = EventLoop::new()?;
    let jobs = start_pool(&event_loop.remote());
    // Half open: who says no more still waits for answers, and without it our side would end at once.
    let options = ServerOptions::default()
        .allow_half_open(true)
        .no_delay(true);
    let server = net::create_server_with(&event_loop, options, move |socket| {
        socket.write("a number?\n");
        socket.set_data(Waiting::default());
        socket.set_handler(Client {
            jobs: jobs.clone(),
            line: Vec::new(),
        });
    });
    signals::shut_down_on_signal(&server)?;
    server.listen(place, |server| {
        println!("listening on {}", server.address().unwrap());
    })?;
    event_loop.run()
}

/// What the threads are given: who asks, and what.
struct Job {
    client: SocketId,
    question: String,
}

/// How many answers a client waits for. With the socket, where both its handler and what is posted find it.
#[derive(Default)]
struct Waiting(Cell<usize>);

struct Client {
    jobs: Sender<Job>,
    line: Vec<u8>,
}

impl Handler for Client {
    fn on_data(&mut self, socket: &Socket, data: &[u8]) {
        for piece in data.split_inclusive(|byte| *byte == b'\n') {
            self.line.extend_from_slice(piece);
            if piece.ends_with(b"\n") {
                self.ask(socket);
            }
        }
        if self.line.len() > LONGEST_LINE {
            socket.destroy();
        }
    }

    fn on_end(&mut self, socket: &Socket) {
        if !self.line.is_empty() {
            self.ask(socket);
        }
        go_on(socket);
    }
}

impl Client {
    fn ask(&mut self, socket: &Socket) {
        let question = String::from_utf8_lossy(&self.line).trim().to_owned();
        self.line.clear();
        let waiting = socket.data::<Waiting>().expect("set when it came");
        waiting.0.set(waiting.0.get() + 1);
        // No more from this client until it has its answers: so it cannot fill the memory with questions.
        socket.pause();
        let client = socket.id();
        let job = Job { client, question };
        self.jobs.send(job).expect("the pool never ends");
    }
}

/// Runs in the loop.
fn answer(socket: &Socket, answer: String) {
    socket.write(answer);
    let waiting = socket.data::<Waiting>().expect("set when it came");
    waiting.0.set(waiting.0.get() - 1);
    go_on(socket);
}

/// Once all is answered: hears more, or ends if there is no more.
fn go_on(socket: &Socket) {
    let waiting = socket.data::<Waiting>().expect("set when it came");
    if waiting.0.get() > 0 {
        return;
    }
    if socket.readable() {
        socket.resume();
    } else {
        socket.end();
    }
}

fn start_pool(remote: &Remote) -> Sender<Job> {
    let (sender, jobs) = mpsc::channel();
    let jobs = Arc::new(Mutex::new(jobs));
    for _ in 0..THREADS {
        let (jobs, remote) = (Arc::clone(&jobs), remote.clone());
        // Idle threads are no reason to stay alive. Who waits for an answer has an open socket, which is one.
        remote.unref();
        thread::spawn(move || work(&jobs, &remote));
    }
    sender
}

fn work(jobs: &Mutex<Receiver<Job>>, remote: &Remote) {
    let next = || jobs.lock().ok()?.recv().ok();
    while let Some(Job { client, question }) = next() {
        let text = match question.parse() {
            Ok(number) => format!("{} primes below {number}\n", primes_below(number)),
            Err(error) => format!("{question:?}: {error}\n"),
        };
        let posted = remote.post(move |event_loop| match event_loop.socket(client) {
            Some(socket) if socket.writable() => answer(&socket, text),
            _ => println!("too late: {}", text.trim_end()),
        });
        if posted.is_err() {
            return;
        }
    }
}

/// Slowly, to have something to do.
fn primes_below(number: u32) -> usize {
    let is_prime = |n: &u32| (2..*n).take_while(|d| d * d <= *n).all(|d| n % d > 0);
    (2..number).filter(is_prime).count()
}
