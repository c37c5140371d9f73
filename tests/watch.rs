//! `LoopHandle::watch`: descriptors that are no sockets of the loop.

mod common;
#[path = "common/kernel.rs"]
mod kernel;

use std::cell::{Cell, RefCell};
use std::fs::File;
use std::io::{ErrorKind, Read, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::rc::Rc;
use std::time::Duration;

use common::{counter, each_case, EventLoop, World};
use kernel::pipe;
use tidewheel::{Code, Interest, Readiness, Watch};

/// A pipe whose reading end does not block.
fn non_blocking_pipe() -> (File, File) {
    let (reader, writer) = pipe();
    non_blocking(reader.as_fd());
    (reader, writer)
}

fn non_blocking(fd: BorrowedFd<'_>) {
    // SAFETY: the command takes and returns plain integers.
    let result = unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_SETFL, libc::O_NONBLOCK) };
    assert_eq!(result, 0);
}

/// Reads until nothing is left; true at the end.
fn drain(mut reader: impl Read, into: &mut Vec<u8>) -> bool {
    match reader.read_to_end(into) {
        Ok(_) => true,
        Err(error) => {
            assert_eq!(error.kind(), ErrorKind::WouldBlock);
            false
        }
    }
}

fn turn(world: &World) {
    world.event_loop.turn(Some(Duration::ZERO)).unwrap();
}

#[test]
fn a_pipe_is_read_as_it_fills_and_to_its_end() {
    each_case(|world| {
        let (reader, mut writer) = non_blocking_pipe();
        let reader = Rc::new(reader);
        let read = Rc::clone(&reader);
        let came: Rc<RefCell<Vec<u8>>> = Rc::default();
        let bytes = Rc::clone(&came);
        let probe = world.probe();
        let watched = world
            .event_loop
            .watch(reader, Interest::READABLE, move |watch, ready| {
                let _ = &probe;
                assert!(ready.readable() && !ready.writable());
                if drain(&*read, &mut bytes.borrow_mut()) {
                    watch.close();
                }
            });
        assert!(watched.unwrap().has_ref());
        assert!(world.event_loop.is_alive());
        writer.write_all(b"one ").unwrap();
        let mut writer = Some(writer);
        world
            .event_loop
            .set_timeout(Duration::from_millis(2), move |_| {
                writer.as_mut().unwrap().write_all(b"two").unwrap();
                writer.take();
            });
        world.run();
        assert_eq!(*came.borrow(), b"one two");
    });
}

#[cfg(target_os = "linux")]
#[test]
fn an_eventfd_wakes_the_loop() {
    each_case(|world| {
        // SAFETY: the descriptor is new and owned by nobody else.
        let fd = unsafe {
            let fd = libc::eventfd(0, libc::EFD_NONBLOCK | libc::EFD_CLOEXEC);
            assert!(fd >= 0);
            OwnedFd::from_raw_fd(fd)
        };
        let counter = Rc::new(File::from(fd));
        let (read, write) = (Rc::clone(&counter), Rc::clone(&counter));
        let sum = Rc::new(Cell::new(0));
        let total = Rc::clone(&sum);
        let call = move |watch: &Watch, _: Readiness| {
            let mut count = [0; 8];
            (&*read).read_exact(&mut count).unwrap();
            total.set(total.get() + u64::from_ne_bytes(count));
            if total.get() == 7 {
                watch.close();
            }
        };
        let watched = world.event_loop.watch(counter, Interest::READABLE, call);
        watched.unwrap();
        (&*write).write_all(&3_u64.to_ne_bytes()).unwrap();
        turn(world);
        assert_eq!(sum.get(), 3);
        (&*write).write_all(&4_u64.to_ne_bytes()).unwrap();
        world.run();
        assert_eq!(sum.get(), 7);
    });
}

#[test]
fn it_is_told_of_a_change_once_and_not_of_what_stays() {
    each_case(|world| {
        let (reader, mut writer) = non_blocking_pipe();
        let calls = counter();
        let count = Rc::clone(&calls);
        let call = move |_: &Watch, _: Readiness| count.set(count.get() + 1);
        let watch = world
            .event_loop
            .watch(reader, Interest::READABLE, call)
            .unwrap();
        writer.write_all(b"x").unwrap();
        for _ in 0..3 {
            turn(world);
        }
        assert_eq!(calls.get(), 1, "edge-triggered");
        writer.write_all(b"y").unwrap();
        turn(world);
        assert_eq!(calls.get(), 2);
        // A change of interest is an edge of its own.
        watch.set_interest(Interest::READABLE).unwrap();
        turn(world);
        assert_eq!(calls.get(), 3);
        watch.close();
        world.run();
    });
}

#[test]
fn it_waits_for_what_it_was_told_to() {
    each_case(|world| {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        ours.set_nonblocking(true).unwrap();
        let seen: Rc<RefCell<Vec<(bool, bool)>>> = Rc::default();
        let note = Rc::clone(&seen);
        let call = move |_: &Watch, ready: Readiness| {
            note.borrow_mut().push((ready.readable(), ready.writable()));
        };
        let watch = world
            .event_loop
            .watch(ours, Interest::WRITABLE, call)
            .unwrap();
        turn(world);
        assert_eq!(seen.take(), [(false, true)]);
        theirs.write_all(b"x").unwrap();
        watch.set_interest(Interest::READABLE).unwrap();
        turn(world);
        assert_eq!(seen.take(), [(true, false)]);
        watch
            .set_interest(Interest::READABLE | Interest::WRITABLE)
            .unwrap();
        turn(world);
        assert_eq!(seen.take(), [(true, true)]);
        watch.close();
        world.run();
    });
}

#[test]
fn a_hang_up_is_told() {
    each_case(|world| {
        let (reader, writer) = non_blocking_pipe();
        let watched = world
            .event_loop
            .watch(reader, Interest::READABLE, |watch, ready| {
                assert!(ready.hung_up());
                watch.close();
            });
        watched.unwrap();
        drop(writer);
        world.run();
    });
}

#[test]
fn a_regular_file_cannot_be_watched() {
    each_case(|world| {
        let dropped = counter();
        let held = Noisy(Rc::clone(&dropped));
        let file = File::open("/proc/self/exe").unwrap();
        let watched = world
            .event_loop
            .watch(file, Interest::READABLE, move |_, _| {
                let _ = &held;
            });
        let error = watched.unwrap_err();
        assert_eq!(error.code(), Code::NotPermitted);
        assert_eq!(error.to_string(), "epoll_ctl EPERM");
        assert_eq!(dropped.get(), 0, "no call runs a destructor");
        world.run();
        turn(world);
        assert_eq!(dropped.get(), 1);
        assert!(!world.event_loop.is_alive());
    });
}

/// Counts its end.
struct Noisy(Rc<Cell<usize>>);

impl Drop for Noisy {
    fn drop(&mut self) {
        self.0.set(self.0.get() + 1);
    }
}

/// A descriptor that counts its end.
struct Owner(File, #[allow(dead_code)] Noisy);

impl AsFd for Owner {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

#[test]
fn what_it_owns_is_dropped_in_the_turn_after_close() {
    each_case(|world| {
        let (reader, _writer) = non_blocking_pipe();
        let dropped = counter();
        let owner = Owner(reader, Noisy(Rc::clone(&dropped)));
        let watch = world
            .event_loop
            .watch(owner, Interest::READABLE, |_, _| {})
            .unwrap();
        drop(watch.clone());
        assert!(world.event_loop.is_alive(), "a handle owns nothing");
        watch.close();
        assert_eq!(dropped.get(), 0, "no call runs a destructor");
        assert!(!world.event_loop.is_alive() && !watch.has_ref());
        turn(world);
        assert_eq!(dropped.get(), 1);
        // On a closed watch all this does nothing.
        watch.close();
        watch.ref_().unref();
        watch.set_interest(Interest::WRITABLE).unwrap();
    });
}

#[test]
fn closed_in_its_own_callback_it_is_called_no_more() {
    each_case(|world| {
        let (reader, mut writer) = non_blocking_pipe();
        let dropped = counter();
        let owner = Owner(reader, Noisy(Rc::clone(&dropped)));
        let still = Rc::clone(&dropped);
        let calls = counter();
        let count = Rc::clone(&calls);
        let watched = world
            .event_loop
            .watch(owner, Interest::READABLE, move |watch, _| {
                count.set(count.get() + 1);
                watch.close();
                assert_eq!(still.get(), 0, "closed inside the call");
            });
        watched.unwrap();
        writer.write_all(b"x").unwrap();
        world.run();
        assert_eq!((calls.get(), dropped.get()), (1, 1));
    });
}

#[test]
fn closed_by_another_in_the_same_turn_it_is_not_called() {
    each_case(|world| {
        let watches: Rc<RefCell<Vec<Watch>>> = Rc::default();
        let calls = counter();
        for _ in 0..2 {
            let (reader, mut writer) = non_blocking_pipe();
            writer.write_all(b"x").unwrap();
            let (all, count) = (Rc::clone(&watches), Rc::clone(&calls));
            let call = move |_: &Watch, _: Readiness| {
                count.set(count.get() + 1);
                for watch in all.borrow().iter() {
                    watch.close();
                }
            };
            let watch = world.event_loop.watch(reader, Interest::READABLE, call);
            watches.borrow_mut().push(watch.unwrap());
        }
        world.run();
        assert_eq!(calls.get(), 1);
        watches.take();
    });
}

#[test]
fn a_panic_in_its_callback_leaves_it_watching() {
    each_case(|world| {
        let (reader, mut writer) = non_blocking_pipe();
        let calls = counter();
        let count = Rc::clone(&calls);
        let watched = world
            .event_loop
            .watch(reader, Interest::READABLE, move |watch, _| {
                count.set(count.get() + 1);
                assert_ne!(count.get(), 1, "out of run");
                watch.close();
            });
        watched.unwrap();
        writer.write_all(b"x").unwrap();
        assert!(catch_unwind(AssertUnwindSafe(|| world.event_loop.run())).is_err());
        writer.write_all(b"y").unwrap();
        world.run();
        assert_eq!(calls.get(), 2);
    });
}

#[test]
fn unreferenced_it_lets_the_loop_end_and_is_served_while_it_runs() {
    each_case(|world| {
        let (reader, mut writer) = non_blocking_pipe();
        let calls = counter();
        let count = Rc::clone(&calls);
        let call = move |_: &Watch, _: Readiness| count.set(count.get() + 1);
        let watch = world
            .event_loop
            .watch(reader, Interest::READABLE, call)
            .unwrap();
        watch.unref().unref();
        assert!(!watch.has_ref() && !world.event_loop.is_alive());
        writer.write_all(b"x").unwrap();
        world.event_loop.set_immediate(|_| {});
        world.run();
        assert_eq!(calls.get(), 1);
        watch.ref_();
        assert!(watch.has_ref() && world.event_loop.is_alive());
        assert!(watch.event_loop().is_alive());
        watch.close();
        world.run();
    });
}

#[test]
fn a_descriptor_shared_with_others_may_be_watched_again() {
    each_case(|world| {
        let (reader, mut writer) = non_blocking_pipe();
        let reader = Rc::new(reader);
        let calls = counter();
        for round in 1..=3 {
            writer.write_all(b"x").unwrap();
            let count = Rc::clone(&calls);
            let source = Rc::clone(&reader);
            let watched = world
                .event_loop
                .watch(source, Interest::READABLE, move |watch, _| {
                    count.set(count.get() + 1);
                    watch.close();
                });
            watched.unwrap();
            world.run();
            assert_eq!(calls.get(), round);
        }
    });
}

#[test]
fn one_descriptor_is_watched_once() {
    each_case(|world| {
        let (reader, _writer) = non_blocking_pipe();
        let reader = Rc::new(reader);
        let first = Rc::clone(&reader);
        let first = world.event_loop.watch(first, Interest::READABLE, |_, _| {});
        let again = world
            .event_loop
            .watch(reader, Interest::READABLE, |_, _| {});
        assert_eq!(again.unwrap_err().to_string(), "epoll_ctl EEXIST");
        first.unwrap().close();
        world.run();
    });
}

#[test]
fn a_dropped_loop_closes_what_its_watches_own_and_takes_no_more() {
    each_case(|_| {
        let dropped = counter();
        let event_loop = EventLoop::new().unwrap();
        let handle = event_loop.handle();
        let (reader, mut writer) = non_blocking_pipe();
        let owner = Owner(reader, Noisy(Rc::clone(&dropped)));
        let watch = event_loop
            .watch(owner, Interest::READABLE, |_, _| panic!("called"))
            .unwrap();
        writer.write_all(b"x").unwrap();
        drop(event_loop);
        assert_eq!(dropped.get(), 1);
        watch.close();
        let (reader, _writer) = non_blocking_pipe();
        let owner = Owner(reader, Noisy(Rc::clone(&dropped)));
        let error = handle
            .watch(owner, Interest::READABLE, |_, _| {})
            .unwrap_err();
        assert_eq!(error.code(), Code::LoopClosed);
        assert_eq!(dropped.get(), 2, "dropped at once");
    });
}
