//! Events on our loop.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use tidewheel::net::{Handler, Socket, SocketOptions};
use tidewheel::{EventLoop, LoopHandle};

use crate::sampled::{time, Routine};
use crate::{Far, BATCH, SOCKETS};

#[derive(Clone, Copy)]
pub enum Form {
    Closures(usize),
    Handler,
}

pub fn data(form: Form) -> Routine {
    let event_loop = EventLoop::new().unwrap();
    let (mut far, near) = Far::pairs();
    let seen = Rc::new(Cell::new(0));
    for stream in near {
        let socket = Socket::from_fd(&event_loop, stream.into(), SocketOptions::default()).unwrap();
        listen(&socket, form, &seen);
    }
    let each = match form {
        Form::Closures(listeners) => listeners,
        Form::Handler => 1,
    };
    Box::new(move || {
        seen.set(0);
        time(|| {
            far.send();
            turn_until(&event_loop, || seen.get() == SOCKETS * each);
        })
    })
}

pub fn immediates() -> Routine {
    let event_loop = EventLoop::new().unwrap();
    let seen = Rc::new(Cell::new(0));
    Box::new(move || {
        seen.set(0);
        time(|| {
            for _ in 0..BATCH {
                let seen = Rc::clone(&seen);
                event_loop.set_immediate(move |_| seen.set(seen.get() + 1));
            }
            turn_until(&event_loop, || seen.get() == BATCH);
        })
    })
}

pub fn posts() -> Routine {
    thread_local!(static SEEN: Cell<usize> = const { Cell::new(0) });
    let event_loop = EventLoop::new().unwrap();
    let remote = event_loop.remote();
    Box::new(move || {
        SEEN.set(0);
        time(|| {
            for _ in 0..BATCH {
                remote.post(|_| SEEN.set(SEEN.get() + 1)).unwrap();
            }
            turn_until(&event_loop, || SEEN.get() == BATCH);
        })
    })
}

pub fn timers() -> Routine {
    let event_loop = EventLoop::new().unwrap();
    Box::new(move || {
        time(|| {
            for _ in 0..BATCH {
                event_loop
                    .set_timeout(Duration::from_secs(120), |_| {})
                    .clear();
            }
            event_loop.turn(Some(Duration::ZERO)).unwrap();
        })
    })
}

/// Calls that each ask for the next one.
pub fn turns() -> Routine {
    let event_loop = EventLoop::new().unwrap();
    Box::new(move || {
        let left = Rc::new(Cell::new(BATCH));
        time(|| {
            again(&event_loop, Rc::clone(&left));
            turn_until(&event_loop, || left.get() == 0);
        })
    })
}

fn again(event_loop: &LoopHandle, left: Rc<Cell<usize>>) {
    event_loop.set_immediate(move |event_loop| {
        left.set(left.get() - 1);
        if left.get() > 0 {
            again(event_loop, left);
        }
    });
}

fn listen(socket: &Socket, form: Form, seen: &Rc<Cell<usize>>) {
    let Form::Closures(listeners) = form else {
        socket.set_handler(Count(Rc::clone(seen)));
        return;
    };
    for _ in 0..listeners {
        let seen = Rc::clone(seen);
        socket.on_data(move |_, data| seen.set(seen.get() + data.len()));
    }
}

struct Count(Rc<Cell<usize>>);

impl Handler for Count {
    fn on_data(&mut self, _: &Socket, data: &[u8]) {
        self.0.set(self.0.get() + data.len());
    }
}

fn turn_until(event_loop: &EventLoop, done: impl Fn() -> bool) {
    while !done() {
        event_loop.turn(Some(Duration::ZERO)).unwrap();
    }
}
