//! The servers of a run, and those who connect to them.

use std::cell::Cell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use tidewheel::net::{self, ConnectOptions, Server, ServerOptions, Socket};

use super::user::{act, calls};
use super::world::{Value, World};

/// Where servers listen, if they do.
const PORTS: [u16; 2] = [80, 443];

/// A server that listens, if there is a port and a descriptor for it.
pub fn serve(world: &Rc<World>) {
    let dice = &world.dice;
    let paused = dice.one_in(4);
    let options = ServerOptions::default()
        .allow_half_open(dice.one_in(2))
        .high_water_mark(dice.size(2_000))
        .pause_on_connect(paused);
    let (at, value) = (Rc::clone(world), Value::new(&world.server_values));
    let server = net::create_server_with(&world.handle, options, move |socket| {
        let _held = &value;
        accepted(&at, socket, paused);
    });
    let (at, value) = (Rc::clone(world), Value::new(&world.server_values));
    server.on_error(move |_, error| {
        let _held = &value;
        at.enter();
        assert!(matches!(error.syscall(), Some("accept")), "{error}");
        act(&at, None);
    });
    let (at, value) = (Rc::clone(world), Value::new(&world.server_values));
    let drops = Cell::new(0);
    server.on_drop(move |server, _| {
        let _held = &value;
        at.enter();
        drops.set(drops.get() + 1);
        assert!(server.max_connections().is_some());
        act(&at, None);
    });
    let (at, value) = (Rc::clone(world), Value::new(&world.server_values));
    server.on_close(move |server| {
        let _held = &value;
        at.enter();
        at.note(|| "server closed".into());
        assert!(server.listening() || server.connections() == 0);
        // No panic: it would end the emission, of which the answers to `close_with` and `shutdown` are a part.
        calls(&at, None);
    });
    world.servers.borrow_mut().push(server.clone());
    listen(world, &server);
}

fn listen(world: &Rc<World>, server: &Server) {
    let port = PORTS[world.dice.below(PORTS.len())];
    let any = world.dice.one_in(2);
    let address = SocketAddr::from((if any { [0, 0, 0, 0] } else { [10, 0, 0, 1] }, port));
    let (at, value) = (Rc::clone(world), Value::new(&world.server_values));
    let listening = server.listen(address, move |server| {
        drop(value);
        at.enter();
        assert!(server.listening() && server.address().is_some());
        act(&at, None);
    });
    world.note(|| format!("listen {address}: {listening:?}"));
}

fn accepted(world: &Rc<World>, socket: &Socket, paused: bool) {
    world.enter();
    world.tally.borrow_mut().accepted += 1;
    let end = world.adopt(socket, paused);
    assert!(socket.server().is_some() && !socket.connecting());
    let port = socket.remote_port();
    let ends = world.ends.borrow().clone();
    let client = ends.iter().find(|client| {
        let now = client.socket(world).filter(|s| s.server().is_none());
        port.is_some() && port == client.port.get().or(now.and_then(|s| s.local_port()))
    });
    world.note(|| format!("accepted {} of {:?}", end.number, client.map(|c| c.number)));
    if let Some(client) = client {
        end.peer.set(Some(client.number));
        client.peer.set(Some(end.number));
    }
    act(world, Some(&end));
}

pub fn connect(world: &Rc<World>) {
    let dice = &world.dice;
    let port = PORTS[dice.below(PORTS.len())];
    let mut options = ConnectOptions::from(SocketAddr::from(([10, 0, 0, 1], port)))
        .allow_half_open(dice.one_in(2))
        .high_water_mark(dice.size(2_000));
    if dice.one_in(4) {
        options = options.connect_timeout(Duration::from_millis(1 + dice.size(50) as u64));
    }
    let (at, value) = (Rc::clone(world), world.value());
    let number = world.ends.borrow().len();
    let socket = net::connect(&world.handle, options, move |socket| {
        drop(value);
        at.enter();
        let end = at.end(number);
        // An earlier listener may have ended it.
        if !socket.destroyed() {
            end.is_up(&at, socket);
        }
        act(&at, Some(&end));
    });
    let end = world.adopt(&socket, false);
    world.note(|| format!("{} connects to {port}", end.number));
}

/// Something with one of the servers.
pub fn change(world: &Rc<World>) {
    let dice = &world.dice;
    let servers = world.servers.borrow().clone();
    if servers.is_empty() || (servers.len() < 3 && dice.one_in(6)) {
        return serve(world);
    }
    let server = &servers[dice.below(servers.len())];
    let (at, answer) = (Rc::clone(world), world.owe());
    let answered = move || {
        answer();
        at.enter();
        calls(&at, None);
    };
    let choice = dice.below(9);
    world.note(|| format!("server change {choice}"));
    if !matches!(choice, 0 | 1 | 6 | 7) {
        world.faulty.set(true);
    }
    match choice {
        0 | 1 => server.get_connections(move |count| {
            count.unwrap();
            answered();
        }),
        2 if dice.one_in(3) => server.close_with(move |_, _| answered()),
        3 if dice.one_in(3) && server.listening() => {
            for end in world.ends.borrow().iter() {
                let socket = end.socket(world).filter(|socket| !socket.destroyed());
                if socket.and_then(|socket| socket.server()).as_ref() == Some(server) {
                    end.cut.set(true);
                }
            }
            server.shutdown(dice.millis(50), move |_, _| answered());
        }
        other => {
            // Nothing is asked, so nothing is answered.
            world.handle.set_immediate(move |_| answered());
            match other {
                2..=5 if !server.listening() => listen(world, server),
                6 => drop(server.pause()),
                7 => drop(server.resume()),
                _ => drop(server.set_max_connections(dice.one_in(2).then(|| dice.below(4)))),
            }
        }
    }
}

/// Whoever waits is accepted.
pub fn accept_all(world: &World) {
    for server in world.servers.borrow().iter() {
        server.resume();
        server.set_max_connections(None);
    }
}

pub fn close_all(world: &World) {
    for server in world.servers.borrow().iter() {
        server.ref_().close();
    }
}
