//! What a loop owes its sockets. Bytes that wait in the kernel are read, if somebody wants them; bytes of ours are sent
//! when there is room; a `drain` comes when nothing waits. Each within a few turns: that is counted in turns and not in
//! seconds, so it holds on a crowded machine too, and no clock of the kernel has a part in it.

use std::cell::{Cell, RefCell};
use std::sync::Arc;
use std::time::Duration;

use tidewheel::net::Socket;
use tidewheel::{EventLoop, LoopHandle, Timeout};

use crate::system::{self, Lying};
use crate::tally::Tally;

/// How often it is looked.
const EVERY: Duration = Duration::from_millis(500);
/// What waits is served in the next turn; but a poll tells of no more than so many sockets, and the others come later.
const TURNS: u64 = 3;
const EVENTS: u64 = 1_024;

/// The sockets of a loop that are watched.
pub struct Watch {
    tally: Arc<Tally>,
    sockets: RefCell<Vec<Watched>>,
}

struct Watched {
    socket: Socket,
    /// Where it is piped to. While that is full nothing is to be read.
    destination: Option<Socket>,
    debts: [Debt; 3],
}

/// Something that is due, at a place in its stream since a turn; `None` while nothing is.
type Debt = Cell<Option<(u64, u64)>>;

const NAMES: [&str; 3] = ["read", "send", "tell of a drain"];

impl Watch {
    pub fn new(tally: &Arc<Tally>) -> Watch {
        Watch {
            tally: Arc::clone(tally),
            sockets: RefCell::default(),
        }
    }

    pub fn add(&self, socket: &Socket, destination: Option<&Socket>) {
        self.sockets.borrow_mut().push(Watched {
            socket: socket.clone(),
            destination: destination.cloned(),
            debts: Default::default(),
        });
    }

    /// Looks now and then, until the timer is cleared.
    pub fn begin(self: std::rc::Rc<Watch>, event_loop: &EventLoop) -> Timeout {
        let timer = event_loop.set_interval(EVERY, move |timer| self.look(timer.event_loop()));
        timer.unref();
        timer
    }

    fn look(&self, event_loop: &LoopHandle) {
        let stats = event_loop.stats();
        let (turn, patience) = (stats.turns, TURNS + stats.sockets_open as u64 / EVENTS);
        self.sockets.borrow_mut().retain(|watched| {
            let Some(owed) = watched.look(turn, patience, &self.tally) else {
                return !watched.socket.destroyed();
            };
            let (piped, lying) = (watched.destination.is_some(), of(&watched.socket));
            let state = watched.socket.ready_state();
            self.tally.unexpected(&format!(
                "a loop does not {owed}, though it could: {state:?}, piped: {piped}, {lying:?}, {} queued",
                watched.socket.buffer_size()
            ));
            false
        });
    }
}

impl Watched {
    /// What has been due for too many turns.
    fn look(&self, turn: u64, patience: u64, tally: &Tally) -> Option<&'static str> {
        let socket = &self.socket;
        let fd = socket.raw_fd().filter(|_| !socket.connecting())?;
        tally.looks.add(1);
        let queued = socket.buffer_size() as u64;
        let sent = socket.bytes_written() - queued;
        let full = |to: &Socket| to.connecting() || to.need_drain();
        let wanted = socket.readable() && !socket.is_paused();
        let wanted = wanted && !self.destination.as_ref().is_some_and(full);
        let due = [
            (wanted && system::lying(fd).unread > 0).then(|| socket.bytes_read()),
            (queued > 0 && system::has_room(fd)).then_some(sent),
            (queued == 0 && socket.need_drain()).then_some(sent),
        ];
        if due.iter().any(Option::is_some) {
            tally.due.add(1);
        }
        let mut owed = None;
        for ((due, debt), name) in due.into_iter().zip(&self.debts).zip(NAMES) {
            match (due, debt.get()) {
                (Some(at), Some((since_at, since))) if at == since_at => {
                    if turn - since > patience {
                        owed = Some(name);
                    }
                }
                (due, _) => debt.set(due.map(|at| (at, turn))),
            }
        }
        owed
    }
}

/// Whether an end of a connection hangs, asked whenever its idle timeout says that no byte went between us and the kernel.
#[derive(Default)]
pub struct Patience {
    last: Cell<Option<u64>>,
}

impl Patience {
    /// The kernel may hold megabytes of ours, which a slow reader takes for minutes: while these become fewer, it moves.
    pub fn is_up(&self, socket: &Socket) -> bool {
        let unsent = of(socket).unsent;
        let before = self.last.replace(Some(unsent));
        unsent == 0 || before == Some(unsent)
    }

    /// For the end that answers. Where it has nothing to send it waits for the one that asks, who has such a timeout, too.
    pub fn is_up_in_sending(&self, socket: &Socket) -> bool {
        let waits = socket.buffer_size() == 0 && of(socket).unsent == 0;
        self.is_up(socket) && !waits
    }
}

/// What the kernel holds of a socket.
pub fn of(socket: &Socket) -> Lying {
    let none = Lying {
        unread: 0,
        unsent: 0,
    };
    socket.raw_fd().map_or(none, system::lying)
}
