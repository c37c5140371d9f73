//! What TLS keeps of memory while nothing happens.

use std::cell::Cell;
use std::io::{BufRead, BufReader, Write};
use std::process::Stdio;
use std::rc::Rc;

use tidewheel::net::Socket;
use tidewheel::tls::{self, ContextOptions, SecureContext, TlsConnectOptions, TlsOptions};
use tidewheel::EventLoop;

use crate::certs::Authority;
use crate::child::{command_as, role};
use crate::common::{Form, Transport, World};

const IDLE: usize = 200;
const LIMIT_KIB: usize = 24;

/// The server, in a process of its own, where memory is nobody else's: for each line it is told it says how much is
/// resident.
fn serve(name: &str) {
    let ca = Authority::new("ca");
    let own = ca.issue(&["127.0.0.1"]);
    let event_loop = EventLoop::new().unwrap();
    let options = TlsOptions::default().key(&own.key).cert(&own.cert);
    let server = tls::create_server(&event_loop, options, |socket| {
        socket.pipe(socket);
        // The other side ends without goodbye.
        socket.on_error(|_, _| {});
    });
    let server = server.unwrap();
    server.listen(("127.0.0.1", 0), |_| {}).unwrap();
    // After what the harness of the tests prints, in front of it on its line.
    println!("\n{name} {}", server.address().unwrap().port().unwrap());
    println!("{}", ca.pem().lines().collect::<Vec<_>>().join("|"));
    let remote = event_loop.remote();
    let asked = std::thread::spawn(move || {
        for line in std::io::stdin().lines() {
            let _ = line.unwrap();
            let told = remote.post(|_| {
                trim();
                println!("{}", crate::faults::resident());
            });
            told.unwrap();
        }
        remote.post(|event_loop| event_loop.stop()).unwrap();
    });
    event_loop.run().unwrap();
    asked.join().unwrap();
}

/// What the allocator keeps for later is not the connections'.
fn trim() {
    #[cfg(target_env = "gnu")]
    // SAFETY: the call takes no pointers.
    unsafe {
        libc::malloc_trim(0);
    }
}

/// So many connections, each with one message there and back. They stay.
fn connect(world: &World, port: u16, ca: &str, count: usize, message: usize) -> Vec<Socket> {
    let context = SecureContext::new(ContextOptions::default().ca(ca)).unwrap();
    let left = Rc::new(Cell::new(count));
    let sockets = (0..count).map(|_| {
        let options = TlsConnectOptions::from(("127.0.0.1", port)).secure_context(&context);
        let socket = tls::connect(&world.event_loop, options, move |socket| {
            socket.write(vec![b'h'; message]);
        });
        let left = Rc::clone(&left);
        socket.on_data(move |socket, _| {
            if socket.bytes_read() < message as u64 {
                return;
            }
            left.set(left.get() - 1);
            if left.get() == 0 {
                socket.event_loop().stop();
            }
        });
        socket
    });
    let sockets = sockets.collect();
    world.event_loop.run().unwrap();
    assert_eq!(left.get(), 0);
    sockets
}

#[test]
fn an_idle_connection_of_a_server_keeps_little() {
    keeps_little("memory::an_idle_connection_of_a_server_keeps_little", 5);
}

/// Whose buffers were all full, each way.
#[test]
fn a_connection_that_has_worked_much_keeps_no_more_when_it_is_idle() {
    keeps_little(
        "memory::a_connection_that_has_worked_much_keeps_no_more_when_it_is_idle",
        300_000,
    );
}

fn keeps_little(name: &str, message: usize) {
    if role(name).is_some() {
        return serve(name);
    }
    // Other scenarios count descriptors: none of them may run meanwhile.
    let world = World::new(Form::Closures, Transport::Tcp);
    let mut child = command_as(name, "server")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut line = move || lines.next().unwrap().unwrap();
    let port = loop {
        if let Some(port) = line().strip_prefix(name) {
            if let Ok(port) = port.trim().parse() {
                break port;
            }
        }
    };
    let ca = line().replace('|', "\n");
    let mut stdin = child.stdin.take().unwrap();
    let mut resident = || -> usize {
        stdin.write_all(b"\n").unwrap();
        line().parse().unwrap()
    };
    // What the first ones make is not of each.
    let first = connect(&world, port, &ca, 20, message);
    let before = resident();
    let all = connect(&world, port, &ca, IDLE, message);
    let each = resident().saturating_sub(before) / IDLE;
    println!("{each} bytes for each idle connection");
    for socket in first.iter().chain(&all) {
        socket.destroy();
    }
    world.run();
    drop(stdin);
    assert!(child.wait().unwrap().success());
    assert!(each <= LIMIT_KIB * 1024, "{each} bytes for each");
    assert!(each > 500, "{each} bytes for each: nothing was measured");
}
