//! Those who are busy while others panic.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use tidewheel::{net, EventLoop, LoopHandle};

const PAIRS: usize = 3;
const ROUNDS: usize = 40;

/// Others who have something to do in every turn, for a while.
#[derive(Clone, Default)]
pub struct Bystanders(Rc<RefCell<Vec<&'static str>>>);

impl Bystanders {
    fn note(&self, what: &'static str) {
        self.0.borrow_mut().push(what);
    }

    pub fn come(&self, event_loop: &EventLoop) {
        for _ in 0..PAIRS {
            self.play(event_loop);
            self.immediate(event_loop, ROUNDS);
            self.timer(event_loop, ROUNDS);
        }
    }

    /// Ping-pong, a write callback for each stroke.
    fn play(&self, event_loop: &EventLoop) {
        let (one, other) = net::pair(event_loop).unwrap();
        for socket in [&one, &other] {
            let (heard, ended, closed) = (self.clone(), self.clone(), self.clone());
            let strokes = Cell::new(0);
            socket.on_data(move |socket, data| {
                assert_eq!(data, b"x");
                heard.note("data");
                strokes.set(strokes.get() + 1);
                let wrote = heard.clone();
                if strokes.get() == ROUNDS {
                    return socket.end();
                }
                socket.write_then("x", move |_, result| {
                    result.unwrap();
                    wrote.note("wrote");
                });
            });
            socket.on_end(move |_| ended.note("end"));
            socket.on_close(move |_, had_error| {
                assert!(!had_error);
                closed.note("close");
            });
        }
        one.write("x");
    }

    fn immediate(&self, handle: &LoopHandle, left: usize) {
        let bystanders = self.clone();
        handle.set_immediate(move |handle| {
            bystanders.note("immediate");
            if left > 1 {
                bystanders.immediate(handle, left - 1);
            }
        });
    }

    fn timer(&self, handle: &LoopHandle, left: usize) {
        let bystanders = self.clone();
        handle.set_timeout(Duration::ZERO, move |handle| {
            bystanders.note("timer");
            if left > 1 {
                bystanders.timer(handle, left - 1);
            }
        });
    }

    /// They have come so often, and each has done all it had to do.
    #[track_caller]
    pub fn check(&self, times: usize, row: &str) {
        let mut notes = self.0.borrow().clone();
        notes.sort_unstable();
        let runs = notes.chunk_by(|a, b| a == b);
        let done: Vec<_> = runs.map(|run| (run[0], run.len())).collect();
        let all = |what, each| (what, times * PAIRS * each);
        let expected = [
            all("close", 2),
            all("data", 2 * ROUNDS - 1),
            all("end", 2),
            all("immediate", ROUNDS),
            all("timer", ROUNDS),
            all("wrote", 2 * ROUNDS - 2),
        ];
        assert_eq!(done, expected, "{row}");
    }
}
