//! A descriptor that others may hold too leaves the poll by name: closing ours alone would leave it there.
#![cfg(target_os = "linux")]

mod common;

use std::cell::RefCell;
use std::fs;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::rc::Rc;

use common::{each_form_unix, Script, World};
use tidewheel::net::{self, Socket, SocketOptions};

/// How many descriptors the loop's epoll watches.
fn watched(world: &World) -> usize {
    let info = format!("/proc/self/fdinfo/{}", world.event_loop.as_raw_fd());
    let info = fs::read_to_string(info).unwrap();
    info.lines().filter(|line| line.starts_with("tfd:")).count()
}

/// What a user may do with a number they were shown.
fn duplicate(fd: i32) -> OwnedFd {
    // SAFETY: the socket or server that has shown the number is open.
    let fd = unsafe { BorrowedFd::borrow_raw(fd) };
    fd.try_clone_to_owned().unwrap()
}

#[test]
fn a_socket_whose_number_was_shown() {
    each_form_unix(|world| {
        let before = watched(world);
        let (a, b) = net::pair(&world.event_loop).unwrap();
        world.watch(&a, Script::new("A"));
        world.watch(&b, Script::new("B"));
        let copy = duplicate(a.raw_fd().unwrap());
        assert_eq!(watched(world), before + 2);
        a.destroy();
        assert_eq!(watched(world), before + 1);
        drop(copy);
        world.run();
        assert_eq!(watched(world), before);
    });
}

#[test]
fn a_descriptor_that_was_adopted_or_is_given_back() {
    each_form_unix(|world| {
        let before = watched(world);
        let (ours, theirs) = UnixStream::pair().unwrap();
        let copy = ours.try_clone().unwrap();
        let options = SocketOptions::default();
        let socket = Socket::from_fd(&world.event_loop, ours.into(), options.clone()).unwrap();
        world.watch(&socket, Script::new("adopted"));
        assert_eq!(watched(world), before + 1);
        socket.destroy();
        assert_eq!(watched(world), before);
        let socket = Socket::from_fd(&world.event_loop, theirs.into(), options).unwrap();
        world.watch(&socket, Script::new("detached"));
        let given_back = socket.detach().unwrap();
        assert_eq!(watched(world), before);
        drop((given_back, copy));
        world.run();
    });
}

#[test]
fn a_listener_that_was_duplicated() {
    each_form_unix(|world| {
        let before = watched(world);
        let server = world.server(|_| {});
        let copy = server.try_clone_fd().unwrap();
        assert_eq!(watched(world), before + 1);
        server.close();
        assert_eq!(watched(world), before);
        drop(copy);
        world.run();
    });
}

#[test]
fn what_was_duplicated_by_configure() {
    each_form_unix(|world| {
        let before = watched(world);
        let copies: Rc<RefCell<Vec<OwnedFd>>> = Rc::default();
        let keep = || {
            let copies = Rc::clone(&copies);
            move |fd: BorrowedFd<'_>| {
                copies.borrow_mut().push(fd.try_clone_to_owned()?);
                Ok(())
            }
        };
        let server = net::create_server(&world.event_loop, |_| {});
        let options = world.listen_options().configure(keep());
        server.listen(options, |_| {}).unwrap();
        let options = world.connect_options(&server).configure(keep());
        let client = world.client_with(options, Script::new("C"));
        let event_loop = world.event_loop.handle();
        client.on_connect(move |socket| {
            socket.destroy();
            server.close();
            for socket in server.sockets() {
                socket.destroy();
            }
            event_loop.stop();
        });
        world.run();
        assert_eq!(copies.borrow().len(), 2);
        assert_eq!(watched(world), before);
        copies.borrow_mut().clear();
        world.run();
    });
}
