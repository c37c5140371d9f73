//! The clients: what each does is rolled, and what it must see follows from that.

use std::cell::{Cell, RefCell};
use std::os::fd::AsRawFd;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tidewheel::net::{self, Address, ConnectOptions, Socket, WriteStatus};
use tidewheel::{Code, Error, EventLoop, LoopHandle, Result};

use crate::owed::{self, Patience, Watch};
use crate::pattern::{Dice, Pattern, Sum};
use crate::request::{Request, Task, FAREWELL};
use crate::server::Places;
use crate::system::narrow;
use crate::tally::{Held, Tally};
use crate::STUCK;

/// How often it is looked whether there are as many as there should be, and how many are begun at once.
const TOP_UP: Duration = Duration::from_millis(20);
const AT_ONCE: u64 = 250;
/// The most bytes of one write.
const CHUNK: u64 = 16 * 1024;
/// The longest a client thinks before it begins, and between two writes.
const WAIT: u64 = 4_000;
const THINK: u64 = 400;
/// Who moves more than that thinks less often, so as to come to an end.
const MUCH: u64 = 32 * 1024;

/// Runs clients, `count` at a time, until it is told to stop and the last of them is done.
pub fn run(places: Places, nobody: Vec<Address>, count: u64, tally: &Arc<Tally>) -> Result<()> {
    let event_loop = EventLoop::new()?;
    let shared = Arc::clone(tally);
    event_loop.on_unhandled_error(move |_, error| shared.unexpected(&format!("client: {error}")));
    let watch = Rc::new(Watch::new(tally));
    let looks = Rc::clone(&watch).begin(&event_loop);
    let (shared, dice) = (Arc::clone(tally), RefCell::new(Dice::new(1)));
    event_loop.set_interval(TOP_UP, move |timer| {
        if shared.is_stopping() {
            return timer.clear();
        }
        let missing = count.saturating_sub(shared.live.get());
        for _ in 0..missing.min(AT_ONCE) {
            begin(
                timer.event_loop(),
                &places,
                &nobody,
                &mut dice.borrow_mut(),
                &watch,
                &shared,
            );
        }
    });
    event_loop.run()?;
    looks.clear();
    crate::check_empty(&event_loop, tally, "client", &tally.client_closures);
    Ok(())
}

/// What a client is to meet.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Role {
    /// It asks and gets.
    Polite(Task),
    /// It leaves in the middle, with a reset or without.
    Rude { reset: bool },
    /// The server resets.
    Victim,
    /// Nobody is there.
    Refused,
}

struct Client {
    tally: Arc<Tally>,
    dice: Dice,
    role: Role,
    request: Request,
    /// The request counts as sent bytes where there is one.
    head: u64,
    to_send: Pattern,
    left: u64,
    sum: Sum,
    to_receive: Pattern,
    /// Kept of answers that are no pattern.
    answer: Vec<u8>,
    /// Where a rude one leaves.
    leaves_at: u64,
    connected: bool,
    ended: bool,
    error: Option<Error>,
    callbacks: Rc<Cell<usize>>,
    patience: Patience,
}

type Shared = Held<Rc<RefCell<Client>>>;

impl Drop for Client {
    fn drop(&mut self) {
        self.tally.live.remove_one();
    }
}

fn begin(
    handle: &LoopHandle,
    places: &Places,
    nobody: &[Address],
    dice: &mut Dice,
    watch: &Watch,
    tally: &Arc<Tally>,
) {
    let role = match dice.below(100) {
        0..40 => Role::Polite(Task::Echo),
        40..55 => Role::Polite(Task::Upload),
        55..70 => Role::Polite(Task::Download),
        70..78 => Role::Polite(Task::Silence),
        78..85 => Role::Rude { reset: true },
        85..91 => Role::Rude { reset: false },
        91..95 => Role::Victim,
        _ => Role::Refused,
    };
    // Those that count no faults take polite clients only.
    let (among, asks) = match (role, dice.below(4)) {
        (Role::Refused, _) => (nobody, false),
        (Role::Polite(Task::Echo), 0) => (&places.echoing[..], false),
        (Role::Polite(_), 1) => (&places.piping[..], true),
        _ => (&places.asked[..], true),
    };
    let place = among[dice.below(among.len() as u64) as usize].clone();
    let role = match role {
        // Only TCP knows resets.
        Role::Rude { .. } if place.path().is_some() => Role::Rude { reset: false },
        role => role,
    };
    let client = Rc::new(RefCell::new(Client::new(role, asks, dice.roll(), tally)));
    let client = Held::new(client, &tally.client_closures);
    let options = ConnectOptions::from(place)
        .allow_half_open(role == Role::Polite(Task::Upload))
        .no_delay(dice.one_in(2))
        .timeout(STUCK);
    let options = match dice.one_in(2) {
        true => options.configure(|fd| narrow(fd.as_raw_fd())),
        false => options,
    };
    let socket = net::connect(handle, options, |_| {});
    listen(&client, &socket);
    if dice.one_in(2) {
        watch.add(&socket, None);
    }
    if asks {
        let head = client.borrow().request.encode();
        socket.write(head.to_vec());
    }
}

fn listen(client: &Shared, socket: &Socket) {
    let own = client.clone();
    socket.on_connect(move |socket| {
        let wait = {
            let mut client = own.borrow_mut();
            client.connected = true;
            client.dice.below(WAIT)
        };
        if own.borrow().left > 0 {
            later(&own, socket, wait, send);
        } else {
            // A reader that takes its time from the start.
            socket.pause();
            later(&own, socket, wait, |_, socket| {
                socket.resume();
            });
        }
    });
    let own = client.clone();
    socket.on_data(move |socket, data| receive(&own, socket, data));
    let own = client.clone();
    socket.on_drain(move |socket| think(&own, socket));
    let own = client.clone();
    socket.on_end(move |_| own.borrow_mut().ended = true);
    let own = client.clone();
    socket.on_timeout(move |socket| {
        let client = own.borrow();
        if !client.patience.is_up(socket) {
            socket.set_timeout(STUCK);
            return;
        }
        let (role, left, at) = (client.role, client.left, client.to_receive.at());
        let state = socket.ready_state();
        let (queued, lying) = (socket.buffer_size(), owed::of(socket));
        let what = format!(
            "{role:?}: nothing moves, {state:?}, {left} left to send, {at} came, {queued} queued, {lying:?}"
        );
        client.tally.unexpected(&what);
        socket.destroy();
    });
    let own = client.clone();
    socket.on_error(move |_, error| own.borrow_mut().error = Some(error.clone()));
    let own = client.clone();
    socket.on_close(move |socket, had_error| own.borrow().judge(socket, had_error));
}

impl Client {
    fn new(role: Role, asks: bool, seed: u64, tally: &Arc<Tally>) -> Client {
        tally.live.add(1);
        tally.begun.add(1);
        let mut dice = Dice::new(seed);
        let length = match dice.below(100) {
            0..60 => 1 + dice.below(4 << 10),
            60..90 => 1 + dice.below(64 << 10),
            90..99 => 1 + dice.below(512 << 10),
            _ => 1 + dice.below(4 << 20),
        };
        let (task, length) = match role {
            Role::Polite(Task::Silence) => (Task::Silence, 50 + dice.below(500)),
            Role::Polite(task) => (task, length),
            Role::Rude { .. } if dice.one_in(2) => (Task::Download, length),
            Role::Rude { .. } | Role::Refused => (Task::Echo, length),
            Role::Victim => (Task::Reset, length),
        };
        let sends = matches!(task, Task::Echo | Task::Upload);
        Client {
            tally: Arc::clone(tally),
            role,
            request: Request {
                task,
                rude: matches!(role, Role::Rude { .. }),
                length,
                seed,
            },
            head: if asks {
                crate::request::LENGTH as u64
            } else {
                0
            },
            to_send: Pattern::new(seed),
            left: if sends { length } else { 0 },
            sum: Sum::new(),
            to_receive: Pattern::new(seed),
            answer: Vec::new(),
            leaves_at: dice.below(length),
            connected: false,
            ended: false,
            error: None,
            callbacks: Rc::default(),
            patience: Patience::default(),
            dice,
        }
    }

    /// All is as it should be for one who was to meet this.
    fn judge(&self, socket: &Socket, had_error: bool) {
        let code = self.error.as_ref().map(Error::code);
        let is_in = |codes: &[Code]| code.is_none_or(|code| codes.contains(&code));
        if self.callbacks.get() > 0 {
            let what = format!("{} callbacks of writes never came", self.callbacks.get());
            self.tally.unexpected(&what);
        }
        if code == Some(Code::WouldBlock) && !self.connected {
            // As the queue of a UNIX listener that is full says it.
            self.tally.busy.add(1);
            return;
        }
        let right = match self.role {
            Role::Polite(_) => !had_error && self.is_complete(socket),
            Role::Rude { .. } | Role::Victim => is_in(&[Code::ConnReset, Code::BrokenPipe]),
            Role::Refused => code.is_some() && is_in(&[Code::ConnRefused, Code::NotFound]),
        };
        match (right, self.role) {
            (true, Role::Polite(_)) => {
                self.tally.complete.add(1);
                self.tally.sent.add(socket.bytes_written());
                self.tally.received.add(socket.bytes_read());
            }
            (true, _) => {
                self.tally.faults.add(1);
            }
            (false, role) => {
                let Request { task, length, .. } = self.request;
                let (left, at, ended) = (self.left, self.to_receive.at(), self.ended);
                self.tally.unexpected(&format!(
                    "{role:?}: {task:?} of {length} closed with {left} left to send, {at} received, ended: {ended}, \
                     error: {:?}",
                    self.error
                ));
            }
        }
    }

    fn is_complete(&self, socket: &Socket) -> bool {
        let Request { task, length, .. } = self.request;
        let sends = matches!(task, Task::Echo | Task::Upload);
        let payload = if sends { length } else { 0 };
        let answer: Vec<u8> = match task {
            Task::Upload => [length.to_le_bytes(), self.sum.value().to_le_bytes()].concat(),
            Task::Silence => FAREWELL.to_vec(),
            _ => Vec::new(),
        };
        let stream = match task {
            Task::Echo | Task::Download => length,
            _ => 0,
        };
        self.connected
            && self.ended
            && socket.bytes_written() == self.head + payload
            && self.left == 0
            && self.answer == answer
            && self.to_receive.at() == stream
            && socket.bytes_read() == stream + answer.len() as u64
    }

    fn leaves_now(&self) -> bool {
        let moved = self.to_send.at().max(self.to_receive.at());
        matches!(self.role, Role::Rude { .. }) && moved >= self.leaves_at
    }
}

fn leave(client: &Shared, socket: &Socket) {
    match client.borrow().role {
        Role::Rude { reset: true } => socket.reset_and_destroy(),
        _ => socket.destroy(),
    }
}

/// Does it in so many milliseconds, if the socket is still there.
fn later(client: &Shared, socket: &Socket, millis: u64, act: fn(&Shared, &Socket)) {
    let (own, socket) = (client.clone(), socket.clone());
    let handle = socket.event_loop().clone();
    handle.set_timeout(Duration::from_millis(millis), move |_| {
        if !socket.destroyed() {
            act(&own, &socket);
        }
    });
}

/// Sends on, at once or some time later.
fn think(client: &Shared, socket: &Socket) {
    let wait = {
        let mut client = client.borrow_mut();
        let chances = 3 + client.request.length / MUCH;
        match client.dice.one_in(chances) {
            true => client.dice.below(THINK),
            false => 0,
        }
    };
    later(client, socket, wait, send);
}

fn send(client: &Shared, socket: &Socket) {
    if client.borrow().leaves_now() {
        return leave(client, socket);
    }
    if client.borrow().left == 0 {
        return;
    }
    let status = write(&mut client.borrow_mut(), socket);
    if status == WriteStatus::Refused && !socket.destroyed() {
        client
            .borrow()
            .tally
            .unexpected("client: a write was refused");
    }
    if client.borrow().left == 0 {
        if client.borrow().request.task == Task::Upload {
            socket.end();
        }
    } else if status != WriteStatus::Queued {
        think(client, socket);
    }
}

/// One write, of one of three kinds.
fn write(client: &mut Client, socket: &Socket) -> WriteStatus {
    let count = (1 + client.dice.below(CHUNK)).min(client.left);
    client.left -= count;
    let bytes = client.to_send.take(count as usize);
    client.sum.add(&bytes);
    match client.dice.below(3) {
        0 => socket.write(bytes),
        1 => {
            let callbacks = Held::new(Rc::clone(&client.callbacks), &client.tally.client_closures);
            callbacks.set(callbacks.get() + 1);
            socket.write_then(bytes, move |_, _| callbacks.set(callbacks.get() - 1))
        }
        _ => {
            socket.corked(|socket| {
                for part in bytes.chunks(1_000) {
                    socket.write(part);
                }
            });
            // What the parts answered was for the cork.
            match socket.need_drain() {
                true => WriteStatus::Queued,
                false => WriteStatus::Flushed,
            }
        }
    }
}

fn receive(shared: &Shared, socket: &Socket, data: &[u8]) {
    let mut client = shared.borrow_mut();
    match client.request.task {
        Task::Upload | Task::Silence => client.answer.extend_from_slice(data),
        Task::Echo | Task::Download | Task::Reset => {
            if !client.to_receive.check(data) {
                let at = client.to_receive.at();
                let what = format!(
                    "{:?}: other bytes than were asked for, before {at}",
                    client.role
                );
                client.tally.unexpected(&what);
                return socket.destroy();
            }
        }
    }
    let all = client.to_receive.at() == client.request.length;
    let chances = 4 + client.request.length / MUCH;
    let slow = client.dice.one_in(chances);
    let rest = client.dice.below(THINK);
    let leaves = client.leaves_now();
    let ends = client.request.task == Task::Echo && all && client.role != Role::Refused;
    drop(client);
    if leaves {
        leave(shared, socket);
    } else if ends {
        socket.end();
    } else if slow {
        socket.pause();
        later(shared, socket, rest, |_, socket| {
            socket.resume();
        });
    }
}

/// Addresses at which nobody is.
pub fn nobody(directory: &std::path::Path) -> Result<Vec<Address>> {
    let gone = std::net::TcpListener::bind(("127.0.0.1", 0))?.local_addr()?;
    let path: PathBuf = directory.join("nobody");
    Ok(vec![gone.into(), Address::Path(path)])
}
