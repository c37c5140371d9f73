//! UNIX sockets: the path as an address, whose file it is, and what may stand in its way.

mod common;
#[path = "common/faults.rs"]
mod faults;
#[path = "common/place.rs"]
mod place;

use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use common::{each_form_unix, Script, World};
use faults::{assert_rests, converse, echo_server};
use place::{turn_until, Nobody};
use tidewheel::net::{self, Address, ConnectOptions, EventKind, Server, ServerOptions};
use tidewheel::{Code, Error};

/// A server that ends each connection and is done after the first.
fn one_visit(world: &World) -> Server {
    let probe = world.probe();
    net::create_server(&world.event_loop, move |socket| {
        let _ = &probe;
        socket.server().unwrap().close();
        socket.end();
    })
}

/// Listens where that cannot be; the server is none the worse for it.
#[track_caller]
fn refused(world: &World, path: &Path) -> Error {
    let server = one_visit(world);
    let probe = world.probe();
    let error = server.listen(path, move |_| drop(probe)).unwrap_err();
    assert_eq!(error.syscall(), Some("listen"));
    assert_eq!(error.address(), Some(&Address::Path(path.into())));
    assert!(!server.listening());
    server.listen(world.path("elsewhere"), |_| {}).unwrap();
    let visitor = format!("visitor after {}", path.display());
    world.client(&server, Script::new(&visitor));
    world.run();
    world.assert_trace(&visitor, "connect ready end finish close(false)");
    error
}

/// Connects where that cannot be.
#[track_caller]
fn not_there(world: &World, path: &Path, said: &str) {
    let said = format!("{said} {}", path.display());
    let address = Address::Path(path.into());
    let client = Script::new("C").on_error(move |_, error| {
        assert_eq!(error.to_string(), said);
        assert_eq!(error.syscall(), Some("connect"));
        assert_eq!(error.address(), Some(&address));
    });
    world.client_with(path.into(), client);
    world.run();
    assert_eq!(world.events("C").len(), 2);
    assert_eq!(world.events("C")[1], "close(true)");
}

/// A path one byte longer than the system can take.
fn too_long(world: &World) -> PathBuf {
    let mut path = world.path("x").into_os_string();
    path.push("x".repeat(108 - path.len()));
    path.into()
}

#[test]
fn the_file_is_there_from_listen_to_close_and_the_address_is_the_path() {
    each_form_unix(|world| {
        let server = one_visit(world);
        let path = world.path("s");
        server.listen(&path, |_| {}).unwrap();
        assert!(fs::metadata(&path).unwrap().file_type().is_socket());
        assert_eq!(server.address(), Some(Address::Path(path.clone())));
        assert_eq!(
            server.address().unwrap().to_string(),
            path.to_str().unwrap()
        );
        server.close();
        assert!(!path.exists());
        assert_eq!(server.address(), None);
        world.run();
    });
}

#[test]
fn dropping_the_loop_removes_the_file_too() {
    each_form_unix(|world| {
        let path = world.path("dropped");
        let event_loop = tidewheel::EventLoop::new().unwrap();
        let server = net::create_server(&event_loop, |_| {});
        server.listen(&path, |_| {}).unwrap();
        assert!(path.exists());
        drop(event_loop);
        assert!(!path.exists());
        assert_eq!(server.address(), None);
    });
}

#[test]
fn close_removes_no_file_but_its_own() {
    each_form_unix(|world| {
        let path = world.path("s");
        let old = one_visit(world);
        old.listen(&path, |_| {}).unwrap();
        // The next generation takes the place while the old one still listens.
        fs::remove_file(&path).unwrap();
        let new = one_visit(world);
        new.listen(&path, |_| {}).unwrap();
        let inode = fs::metadata(&path).unwrap().ino();
        old.close();
        assert_eq!(fs::metadata(&path).unwrap().ino(), inode);
        world.client(&new, Script::new("C"));
        world.run();
        world.assert_trace("C", "connect ready end finish close(false)");
        assert!(!path.exists());

        let server = one_visit(world);
        server.listen(&path, |_| {}).unwrap();
        fs::remove_file(&path).unwrap();
        fs::write(&path, "not a socket").unwrap();
        server.close();
        assert_eq!(fs::read(&path).unwrap(), b"not a socket");
        world.run();
    });
}

#[test]
fn a_path_that_is_removed_costs_new_visitors_and_nobody_else() {
    each_form_unix(|world| {
        let server = echo_server(world, ServerOptions::default());
        let path = server.address().unwrap().path().unwrap().to_path_buf();
        let mut connected = world.peer(&server);
        turn_until(world, || server.connections() == 1);
        let mut waiting = world.peer(&server);
        fs::remove_file(&path).unwrap();
        let refused = UnixStream::connect(&path).unwrap_err();
        assert_eq!(refused.kind(), std::io::ErrorKind::NotFound);
        // Who is connected, or has dialled in time, is served.
        let talk = std::thread::spawn(move || {
            assert!(converse(&mut connected, b"still there?"));
            assert!(converse(&mut waiting, b"and me?"));
        });
        turn_until(world, || talk.is_finished());
        talk.join().unwrap();
        assert!(server.listening());
        assert_eq!(server.address(), Some(Address::Path(path.clone())));
        assert_rests(world);
        server.close();
        server.listen(&path, |_| {}).unwrap();
        let mut next = world.peer(&server);
        let talk = std::thread::spawn(move || assert!(converse(&mut next, b"back again?")));
        turn_until(world, || talk.is_finished());
        talk.join().unwrap();
        server.close();
        assert!(!path.exists());
        world.run();
    });
}

#[test]
fn a_path_that_another_listener_takes_leaves_each_with_its_own_visitors() {
    each_form_unix(|world| {
        let old = echo_server(world, ServerOptions::default());
        let path = old.address().unwrap().path().unwrap().to_path_buf();
        let mut first = world.peer(&old);
        // Replaced in one step, as a new generation does.
        let other = world.path("other");
        let listener = UnixListener::bind(&other).unwrap();
        fs::rename(&other, &path).unwrap();
        let _second = world.peer(&old);
        let (third, _) = listener.accept().unwrap();
        let talk = std::thread::spawn(move || assert!(converse(&mut first, b"still there?")));
        turn_until(world, || talk.is_finished());
        talk.join().unwrap();
        turn_until(world, || old.connections() == 0);
        assert_rests(world);
        old.close();
        assert!(path.exists(), "the file is the other one's");
        drop(third);
        world.run();
    });
}

#[test]
fn unix_peers_have_no_ip_address_and_no_port() {
    each_form_unix(|world| {
        let path = world.path("s");
        let at = Address::Path(path.clone());
        let server = one_visit(world);
        server.listen(&path, |_| {}).unwrap();
        let own = at.clone();
        server.on_connection(move |socket| {
            assert_eq!(socket.address(), Some(own.clone()));
            assert_eq!(socket.remote(), Some(Address::Unnamed));
            for address in [socket.address(), socket.remote()].map(Option::unwrap) {
                assert_eq!((address.ip(), address.port()), (None, None));
                assert_eq!(address.family(), None);
            }
        });
        let client = Script::new("C").on(EventKind::Connect, move |socket, _| {
            assert_eq!(socket.address(), Some(Address::Unnamed));
            assert_eq!(socket.remote(), Some(at.clone()));
        });
        world.client_with(path.into(), client);
        world.run();
        world.assert_trace("C", "connect ready end finish close(false)");
    });
}

#[test]
fn the_file_of_a_dead_listener_is_in_use_for_listen_and_refuses_connect() {
    each_form_unix(|world| {
        let nobody = Nobody::new(world);
        let path = nobody.address.path().unwrap();
        let error = refused(world, path);
        assert_eq!(error.code(), Code::AddrInUse);
        assert!(path.exists());
        not_there(world, path, "connect ECONNREFUSED");
    });
}

#[test]
fn the_path_of_a_live_listener_is_in_use() {
    each_form_unix(|world| {
        let path = world.path("live");
        let live = UnixListener::bind(&path).unwrap();
        let error = refused(world, &path);
        assert_eq!(
            error.to_string(),
            format!(
                "listen EADDRINUSE: address already in use {}",
                path.display()
            )
        );
        assert_eq!(error.errno(), Some(-98));
        assert_eq!(error.address().unwrap().port(), None);
        // It lost nothing by the attempt.
        let peer = UnixStream::connect(&path).unwrap();
        live.accept().unwrap();
        drop(peer);
    });
}

#[test]
fn a_file_or_a_directory_in_the_way_is_in_use_and_stays() {
    each_form_unix(|world| {
        let file = world.path("file");
        fs::write(&file, "text").unwrap();
        let directory = world.path("directory");
        fs::create_dir(&directory).unwrap();
        for path in [&file, &directory] {
            assert_eq!(refused(world, path).code(), Code::AddrInUse);
        }
        assert_eq!(fs::read(&file).unwrap(), b"text");
        assert!(directory.is_dir());
        not_there(world, &file, "connect ECONNREFUSED");
    });
}

#[test]
fn a_directory_refuses_a_connect() {
    each_form_unix(|world| {
        not_there(world, &world.path(""), "connect ECONNREFUSED");
    });
}

#[test]
fn a_missing_path_is_not_found_by_connect() {
    each_form_unix(|world| {
        not_there(world, &world.path("missing"), "connect ENOENT");
    });
}

#[test]
fn a_missing_directory_is_said_to_be_missing() {
    each_form_unix(|world| {
        let path = world.path("missing/s");
        let error = refused(world, &path);
        assert_eq!(
            error.to_string(),
            format!(
                "listen ENOENT: no such file or directory {}",
                path.display()
            )
        );
        assert_eq!(error.code(), Code::NotFound);
    });
}

#[test]
fn a_path_too_long_is_refused_and_not_cut_off() {
    each_form_unix(|world| {
        let path = too_long(world);
        let error = refused(world, &path);
        assert_eq!(error.code().as_str(), "ENAMETOOLONG");
        assert_eq!(error.errno(), Some(-36));
        not_there(world, &path, "connect ENAMETOOLONG");
        // One byte less is the longest there is.
        let mut longest = path.to_str().unwrap().to_string();
        longest.pop();
        let server = one_visit(world);
        server.listen(Path::new(&longest), |_| {}).unwrap();
        assert!(Path::new(&longest).exists());
        server.close();
        world.run();
    });
}

#[test]
fn a_path_with_a_nul_in_it_is_refused() {
    each_form_unix(|world| {
        let path = Path::new("a\0b");
        let server = one_visit(world);
        let error = server.listen(path, |_| {}).unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::InvalidInput);
        world.client_with(path.into(), Script::new("C"));
        world.run();
        assert_eq!(world.events("C")[1], "close(true)");
    });
}

#[test]
fn the_result_of_address_is_an_option_for_connect() {
    each_form_unix(|world| {
        let server = one_visit(world);
        server.listen(world.path("s"), |_| {}).unwrap();
        let options = ConnectOptions::from(server.address().unwrap());
        world.client_with(options, Script::new("C"));
        world.run();
        world.assert_trace("C", "connect ready end finish close(false)");
    });
}

// Linux alone has such names.
#[cfg(target_os = "linux")]
#[test]
fn a_name_after_a_nul_is_abstract_and_leaves_no_file() {
    each_form_unix(|world| {
        let name = format!("tidewheel-{}", world.path("abstract").display());
        let path = PathBuf::from(format!("\0{name}"));
        let server = one_visit(world);
        server.listen(&path, |_| {}).unwrap();
        let address = server.address().unwrap();
        assert_eq!(address, Address::Abstract(name.clone().into()));
        assert_eq!(address.to_string(), format!("@{name}"));
        let error = one_visit(world).listen(&path, |_| {}).unwrap_err();
        assert_eq!(
            error.to_string(),
            format!("listen EADDRINUSE: address already in use @{name}")
        );
        world.client_with(address.into(), Script::new("C"));
        world.run();
        world.assert_trace("C", "connect ready end finish close(false)");
        // Nobody is there any more, and nothing is left to be refused by.
        world.client_with(path.into(), Script::new("D"));
        world.run();
        world.assert_trace("D", "error(ECONNREFUSED) close(true)");
    });
}
