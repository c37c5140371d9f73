//! Events as a program on bare mio would hand them out: a list of boxed closures for each source.

use std::cell::Cell;
use std::collections::VecDeque;
use std::io::Read;
use std::rc::Rc;
use std::sync::mpsc;
use std::time::Duration;

use mio::net::UnixStream;
use mio::{Events, Interest, Poll, Token, Waker};

use crate::sampled::{time, Routine};
use crate::{Far, BATCH, SOCKETS};

type Listener = Box<dyn FnMut(&[u8])>;
type Call = Box<dyn FnOnce(&mut Calls)>;

#[derive(Default)]
struct Calls(VecDeque<Call>);

pub fn data(listeners: usize) -> Routine {
    let (mut far, near) = Far::pairs();
    let mut poll = Poll::new().unwrap();
    let mut events = Events::with_capacity(1024);
    let mut buffer = vec![0; 64 * 1024];
    let seen = Rc::new(Cell::new(0));
    let mut sources: Vec<(UnixStream, Vec<Listener>)> = Vec::new();
    for stream in near {
        let mut stream = UnixStream::from_std(stream);
        let token = Token(sources.len());
        poll.registry()
            .register(&mut stream, token, Interest::READABLE)
            .unwrap();
        let listener = |_| {
            let seen = Rc::clone(&seen);
            Box::new(move |data: &[u8]| seen.set(seen.get() + data.len())) as Listener
        };
        sources.push((stream, (0..listeners).map(listener).collect()));
    }
    Box::new(move || {
        seen.set(0);
        time(|| {
            far.send();
            while seen.get() < SOCKETS * listeners {
                poll.poll(&mut events, Some(Duration::ZERO)).unwrap();
                for event in &events {
                    let (stream, listeners) = &mut sources[event.token().0];
                    let read = stream.read(&mut buffer).unwrap();
                    for listener in listeners {
                        listener(&buffer[..read]);
                    }
                }
            }
        })
    })
}

pub fn immediates() -> Routine {
    let mut poll = Poll::new().unwrap();
    let mut events = Events::with_capacity(1024);
    let mut calls = Calls::default();
    let seen = Rc::new(Cell::new(0));
    Box::new(move || {
        seen.set(0);
        time(|| {
            for _ in 0..BATCH {
                let seen = Rc::clone(&seen);
                calls
                    .0
                    .push_back(Box::new(move |_| seen.set(seen.get() + 1)));
            }
            poll.poll(&mut events, Some(Duration::ZERO)).unwrap();
            calls.run();
            assert_eq!(seen.get(), BATCH);
        })
    })
}

pub fn posts() -> Routine {
    let mut poll = Poll::new().unwrap();
    let waker = Waker::new(poll.registry(), Token(0)).unwrap();
    let mut events = Events::with_capacity(1024);
    let (sender, receiver) = mpsc::channel::<Box<dyn FnOnce(&mut usize) + Send>>();
    Box::new(move || {
        let mut seen = 0;
        time(|| {
            for _ in 0..BATCH {
                sender.send(Box::new(|seen| *seen += 1)).unwrap();
            }
            // Once: who posts need not wake a loop that is to wake already.
            waker.wake().unwrap();
            poll.poll(&mut events, Some(Duration::ZERO)).unwrap();
            receiver.try_iter().for_each(|call| call(&mut seen));
            assert_eq!(seen, BATCH);
        })
    })
}

/// Calls that each ask for the next one.
pub fn turns() -> Routine {
    let mut poll = Poll::new().unwrap();
    let mut events = Events::with_capacity(1024);
    let mut calls = Calls::default();
    Box::new(move || {
        let left = Rc::new(Cell::new(BATCH));
        time(|| {
            again(&mut calls, Rc::clone(&left));
            while left.get() > 0 {
                poll.poll(&mut events, Some(Duration::ZERO)).unwrap();
                calls.run();
            }
        })
    })
}

fn again(calls: &mut Calls, left: Rc<Cell<usize>>) {
    calls.0.push_back(Box::new(move |calls| {
        left.set(left.get() - 1);
        if left.get() > 0 {
            again(calls, left);
        }
    }));
}

impl Calls {
    /// Those that were there when it began.
    fn run(&mut self) {
        for _ in 0..self.0.len() {
            if let Some(call) = self.0.pop_front() {
                call(self);
            }
        }
    }
}
