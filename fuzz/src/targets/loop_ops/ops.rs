//! One operation of the script, as its bytes say it.

use std::rc::Rc;
use std::time::{Duration, Instant};

use tidewheel::net::{Encoding, EventKind, PipeOptions, Socket};
use tidewheel::{Code, Error};

use super::feed;
use super::record::Tracked;
use super::world::World;
use crate::targets::input::Input;

/// What to do, with which socket, and how.
pub struct Op {
    what: u8,
    which: u8,
    how: u8,
    length: usize,
}

const KINDS: [EventKind; 10] = [
    EventKind::Connect,
    EventKind::Ready,
    EventKind::Data,
    EventKind::Text,
    EventKind::End,
    EventKind::Drain,
    EventKind::Timeout,
    EventKind::Finish,
    EventKind::Error,
    EventKind::Close,
];

impl Op {
    pub fn read(input: &mut Input<'_>) -> Op {
        let what = input.byte() % 64;
        let which = input.byte();
        let how = input.byte();
        let length = if what < WRITES { input.length() } else { 0 };
        Op {
            what,
            which,
            how,
            length,
        }
    }

    pub fn run(&self, world: &Rc<World>) {
        let Op {
            what, which, how, ..
        } = *self;
        match what {
            52 => world.new_pair(),
            53 => world.connect(which, how),
            54 => world.new_socket(how),
            55 => world.listen(how),
            56 => world.serve(which, how),
            57 if how < 200 => world.new_timer(which, how < 40),
            57 => world.change_timer(which, how),
            58 => world.immediate(),
            59 => world.remote(how),
            60 => world.watch(how),
            61 => world.adopt(how),
            62 => the_loop(world, how),
            63 => world.panic(),
            _ => {
                let Some(tracked) = world.pick(which) else {
                    return;
                };
                let Some(socket) = tracked.socket(world) else {
                    return;
                };
                self.on_socket(world, &tracked, &socket);
            }
        }
    }

    fn on_socket(&self, world: &Rc<World>, tracked: &Rc<Tracked>, socket: &Socket) {
        let how = self.how;
        match self.what {
            0..WRITES => {
                // Large ones fill the buffers of the kernel.
                let times = if how >= 224 { 16 } else { 1 };
                feed::write(world, tracked, socket, self.length * times, how);
            }
            12..=23 => self.ending(world, tracked, socket),
            24..=35 => self.flow(world, tracked, socket),
            36 | 37 => add_listener(world, socket, KINDS[usize::from(how) % KINDS.len()]),
            38 | 39 => {
                tracked.listen_anew(world, socket, KINDS[usize::from(how) % KINDS.len()]);
            }
            40 | 41 => tracked.read(world, socket),
            42 => {
                let encodings = [None, Some(Encoding::Utf8), Some(Encoding::Base64)];
                world.call(|| socket.set_encoding(encodings[usize::from(how) % 3]));
            }
            43 | 44 => {
                let period = Duration::from_millis(u64::from(how % 4));
                // Inside a callback it bears the time of the turn.
                let now = match world.in_callback() {
                    true => world.event_loop.now(),
                    false => Instant::now(),
                };
                tracked.idle.set(Some((now, period)));
                world.call(|| socket.set_timeout(period));
            }
            45 => {
                world.call(|| socket.set_high_water_mark(usize::from(how) * 64));
            }
            46 => {
                let limit = (how < 128).then_some(usize::from(how) * 128);
                world.call(|| socket.set_max_queued(limit));
            }
            47 => {
                world.call(|| socket.set_allow_half_open(how & 1 == 1));
            }
            48 => {
                world.call(|| {
                    if how & 1 == 1 {
                        socket.unref()
                    } else {
                        socket.ref_()
                    }
                });
            }
            49 => drop(tracked.handle.borrow_mut().take()),
            50 => world.detach(tracked, socket),
            _ => world.connect_later(socket, self.which, how),
        }
    }

    fn ending(&self, world: &Rc<World>, tracked: &Rc<Tracked>, socket: &Socket) {
        match self.what {
            12 | 13 => world.call(|| socket.end()),
            14 | 15 => {
                let start = tracked.position(socket);
                let data: Vec<u8> = (start..).map(feed::pattern).take(self.how.into()).collect();
                world.call(|| socket.end_with(data));
            }
            16 | 17 => feed::end_then(world, tracked, socket),
            18 | 19 => world.call(|| socket.destroy()),
            20 => world.call(|| socket.destroy_with(Error::other("destroyed by the script"))),
            21 | 22 => world.call(|| socket.destroy_soon()),
            _ => world.call(|| socket.reset_and_destroy()),
        }
    }

    fn flow(&self, world: &Rc<World>, tracked: &Rc<Tracked>, socket: &Socket) {
        match self.what {
            24 | 25 => {
                world.call(|| socket.pause());
            }
            26..=28 => {
                world.call(|| socket.resume());
            }
            29 | 30 => {
                tracked.corks.set(tracked.corks.get() + 1);
                world.call(|| socket.cork());
            }
            31 | 32 => {
                tracked.corks.set(tracked.corks.get().saturating_sub(1));
                world.call(|| socket.uncork());
            }
            33 | 34 if world.pipes => {
                let other = world
                    .pick(self.how % 128)
                    .and_then(|other| other.socket(world));
                if let Some(other) = other {
                    let options = PipeOptions::default().end(self.how < 128);
                    world.call(|| {
                        socket.pipe_with(&other, options);
                    });
                }
            }
            _ => {
                let other = world
                    .pick(self.how % 128)
                    .and_then(|other| other.socket(world));
                let other = other.filter(|_| self.how < 128);
                world.call(|| socket.unpipe(other.as_ref()));
            }
        }
    }
}

/// What is below is a write, which has a length.
const WRITES: u8 = 12;

/// One more listener, which only acts.
fn add_listener(world: &Rc<World>, socket: &Socket, kind: EventKind) {
    let (inner, probe) = (Rc::clone(world), world.probe());
    let act = move || {
        let _probe = &probe;
        let _running = inner.enter(None);
        inner.act();
    };
    world.call(|| {
        match kind {
            EventKind::Connect => socket.on_connect(move |_| act()),
            EventKind::Ready => socket.on_ready(move |_| act()),
            EventKind::Data => socket.once_data(move |_, _| act()),
            EventKind::Text => socket.on_text(move |_, _| act()),
            EventKind::End => socket.on_end(move |_| act()),
            EventKind::Drain => socket.once_drain(move |_| act()),
            EventKind::Timeout => socket.on_timeout(move |_| act()),
            EventKind::Finish => socket.on_finish(move |_| act()),
            EventKind::Error => socket.on_error(move |_, _| act()),
            _ => socket.on_close(move |_, _| act()),
        };
    });
}

fn the_loop(world: &Rc<World>, how: u8) {
    match how % 6 {
        0 => world.call(|| world.event_loop.stop()),
        1 => world.answer_lookup(how),
        2 => {
            let (inner, probe) = (Rc::clone(world), world.probe());
            let heard = move |_: &tidewheel::LoopHandle, error: &Error| {
                let _probe = &probe;
                let _running = inner.enter(None);
                assert_ne!(error.code(), Code::LoopClosed);
                inner.act();
            };
            world.call(|| world.event_loop.on_unhandled_error(heard));
        }
        3 => {
            let handles = world.call(|| world.event_loop.active_handles());
            assert!(handles.iter().all(|handle| !handle.to_string().is_empty()));
        }
        4 => assert!(world.call(|| world.event_loop.stats()).turns < u64::MAX),
        _ => assert!(world.event_loop.now() <= Instant::now()),
    }
}
