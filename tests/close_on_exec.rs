//! Fork and exec: no descriptor of a loop reaches another program, and copies in a forked process disturb nobody.
#![cfg(target_os = "linux")]

#[path = "common/child.rs"]
mod child;
mod common;
#[path = "common/faults.rs"]
mod faults;
#[path = "common/place.rs"]
mod place;

use std::fs;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use child::{command_as, in_child, role};
use common::{each_case, Script, World};
use faults::{assert_rests, converse, echo_server};
use place::turn_until;
use tidewheel::net::{self, ServerOptions, Socket, SocketOptions};
use tidewheel::Interest;

/// What another program finds open, as `NUMBER -> WHAT`, without what it needs to tell.
fn list_descriptors() -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc/self/fd").unwrap() {
        let entry = entry.unwrap();
        let number = entry.file_name().into_string().unwrap();
        // It may be that of the directory that is being read.
        if let Ok(target) = fs::read_link(entry.path()) {
            if !target.starts_with("/proc") && number != "1" {
                found.push(format!("{number} -> {}", target.display()));
            }
        }
    }
    found.sort();
    found
}

/// The same in a program that is started now.
fn inherited(test: &str) -> Vec<String> {
    let output = command_as(test, "lists").output().unwrap();
    assert!(output.status.success());
    let said = String::from_utf8(output.stdout).unwrap();
    let lines = said.lines().filter_map(|line| line.strip_prefix("found "));
    // The pipes of the command have other numbers each time.
    lines
        .map(|line| line.split("pipe:").next().unwrap().to_string())
        .collect()
}

/// Every kind of descriptor that a loop may have, in use.
fn occupy(world: &World) -> (net::Server, Vec<Socket>, tidewheel::Watch) {
    let server = echo_server(world, ServerOptions::default());
    let client = world.client(&server, Script::new("C").stays_open());
    let (near, far) = net::pair(&world.event_loop).unwrap();
    let (ours, theirs) = UnixStream::pair().unwrap();
    let adopted = [ours, theirs].map(|end| {
        // As one that comes from elsewhere may be.
        // SAFETY: the call takes no pointers.
        let flags = unsafe { libc::fcntl(std::os::fd::AsRawFd::as_raw_fd(&end), libc::F_SETFD, 0) };
        assert_eq!(flags, 0);
        Socket::from_fd(&world.event_loop, end.into(), SocketOptions::default()).unwrap()
    });
    let (watched, _) = UnixStream::pair().unwrap();
    let watch = world
        .event_loop
        .watch(watched, Interest::READABLE, |_, _| {})
        .unwrap();
    let hung = net::connect(&world.event_loop, ("127.0.0.1", 1), |_| {});
    hung.on_error(|_, _| {});
    turn_until(world, || server.connections() == 1 && hung.destroyed());
    let [a, b] = adopted;
    (server, vec![client, near, far, a, b], watch)
}

#[test]
fn no_descriptor_of_a_loop_reaches_another_program() {
    let test = "no_descriptor_of_a_loop_reaches_another_program";
    if role(test).is_some() {
        for line in list_descriptors() {
            println!("\nfound {line}");
        }
        return;
    }
    in_child(test, || {
        let before = inherited(test);
        assert!(!before.is_empty());
        each_case(|world| {
            let (server, sockets, watch) = occupy(world);
            // Loop, waker, reserve, listener, both ends of a connection, the pair, the adopted ones, the watch.
            assert!(list_descriptors().len() >= before.len() + 11);
            assert_eq!(inherited(test), before);
            // Copies that are given away are kept from others, too.
            let copy = server.try_clone_fd().unwrap();
            let back = sockets[1].detach().unwrap();
            assert_eq!(inherited(test), before);
            drop((copy, back));
            sockets.iter().for_each(Socket::destroy);
            watch.close();
            server.close();
            world.run();
        });
    });
}

/// A process that holds a copy of every descriptor of this one, and sleeps until it is killed.
struct Fork(libc::pid_t);

impl Fork {
    fn new() -> Fork {
        // SAFETY: the child makes only calls that are allowed after a fork in a program with threads.
        let pid = unsafe { libc::fork() };
        if pid == 0 {
            loop {
                // SAFETY: the call takes no pointers; the alarm ends a child that nobody kills.
                unsafe {
                    libc::alarm(60);
                    libc::pause();
                }
            }
        }
        assert!(pid > 0);
        Fork(pid)
    }
}

impl Drop for Fork {
    fn drop(&mut self) {
        // SAFETY: the process is a child that nobody has waited for, so the number is its own.
        unsafe {
            libc::kill(self.0, libc::SIGKILL);
            libc::waitpid(self.0, std::ptr::null_mut(), 0);
        }
    }
}

#[test]
fn copies_in_a_forked_process_disturb_nobody() {
    let test = "copies_in_a_forked_process_disturb_nobody";
    in_child(test, || {
        each_case(|world| {
            let server = echo_server(world, ServerOptions::default());
            let mut old = world.peer(&server);
            turn_until(world, || server.connections() == 1);
            let fork = Fork::new();
            // Closed here, it stays open there, and in the poll, which both share.
            server.sockets()[0].destroy();
            turn_until(world, || server.connections() == 0);
            let mut new = world.peer(&server);
            turn_until(world, || server.connections() == 1);
            let before = world.event_loop.stats().bytes_in;
            for _ in 0..10 {
                old.send(b"for nobody");
                world.event_loop.turn(Some(Duration::ZERO)).unwrap();
            }
            assert_rests(world);
            assert_eq!(world.event_loop.stats().bytes_in, before);
            let asks = std::thread::spawn(move || assert!(converse(&mut new, b"and me?")));
            turn_until(world, || asks.is_finished());
            asks.join().unwrap();
            turn_until(world, || server.connections() == 0);
            drop(fork);
            drop(old);
            server.close();
            world.run();
        });
    });
}
