//! What `listen` may be told of a path: its permissions, and that a dead one is taken over. And names without a path.
//! Only UNIX sockets have them.

mod common;

use std::fs;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use common::{each_form_unix, Peer, Script, World};
use tidewheel::net::{self, Address, ListenOptions, Server};
use tidewheel::Code;

const SERVED: &str = "connect ready finish end close(false)";

/// A server for one visitor.
fn one_visit(world: &World) -> Server {
    let watcher = world.watcher();
    net::create_server(&world.event_loop, move |socket| {
        watcher.watch(socket, Script::new("S"));
        socket.server().unwrap().close();
    })
}

/// The socket file of a listener that is gone.
fn dead(world: &World) -> PathBuf {
    let path = world.path("dead");
    let _ = fs::remove_file(&path);
    drop(UnixListener::bind(&path).unwrap());
    assert!(path.exists());
    path
}

fn stale(path: &Path) -> ListenOptions {
    ListenOptions::from(path).remove_stale(true)
}

fn mode_of(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[track_caller]
fn visit(world: &World, path: &Path) {
    world.client_with(path.into(), Script::new("C")).end();
    world.run();
    world.assert_trace("C", SERVED);
    world.assert_trace("S", "end finish close(false)");
}

#[test]
fn a_path_has_the_permissions_that_were_asked_for() {
    each_form_unix(|world| {
        for mode in [0o600, 0o660, 0o777, 0o000] {
            let path = world.path(&format!("mode-{mode:o}"));
            let server = one_visit(world);
            let options = ListenOptions::from(&path).mode(mode);
            server.listen(options, |server| server.close()).unwrap();
            assert_eq!(mode_of(&path), mode);
        }
        world.run();
    });
}

#[test]
fn without_a_mode_the_umask_decides() {
    each_form_unix(|world| {
        let reference = world.path("reference");
        let _kept = UnixListener::bind(&reference).unwrap();
        let path = world.path("default");
        let server = one_visit(world);
        server.listen(&path, |server| server.close()).unwrap();
        assert_eq!(mode_of(&path), mode_of(&reference));
        world.run();
    });
}

/// The thread is somebody else while this lives, if it may be.
struct Unprivileged;

impl Unprivileged {
    fn new() -> Option<Unprivileged> {
        // By system call, because the C library would change the whole process.
        become_user(65_534).then_some(Unprivileged)
    }
}

impl Drop for Unprivileged {
    fn drop(&mut self) {
        assert!(become_user(0));
    }
}

fn become_user(user: libc::uid_t) -> bool {
    let keep = libc::uid_t::MAX;
    // SAFETY: the call takes and returns plain integers.
    unsafe { libc::syscall(libc::SYS_setresuid, keep, user, keep) == 0 }
}

#[test]
fn who_has_no_permission_is_refused_with_eacces() {
    each_form_unix(|world| {
        let path = world.path("closed");
        let server = net::create_server(&world.event_loop, |_| panic!("connected"));
        let options = ListenOptions::from(&path).mode(0o600);
        server.listen(options, |_| {}).unwrap();
        // SAFETY: the call takes no arguments.
        let is_root = unsafe { libc::geteuid() } == 0;
        let other = if is_root { Unprivileged::new() } else { None };
        if other.is_none() {
            println!("skipped: nobody else to be");
            server.close();
            return world.run();
        }
        let at = path.clone();
        let script = Script::new("C").on_error(move |_, error| {
            assert_eq!(error.code(), Code::AccessDenied);
            let said = format!("connect EACCES {}", at.display());
            assert_eq!(error.to_string(), said);
            assert_eq!(error.address(), Some(&Address::Path(at.clone())));
        });
        world.client_with((&path).into(), script);
        let closing = server.clone();
        world.event_loop.set_immediate(move |_| closing.close());
        let ran = world.try_run();
        drop(other);
        ran.unwrap();
        world.assert_trace("C", "error(EACCES) close(true)");
        // The one who had no permission could not remove it either.
        let _ = fs::remove_file(&path);
    });
}

#[test]
fn a_dead_path_is_taken_over_if_that_was_asked_for() {
    each_form_unix(|world| {
        let path = dead(world);
        let before = fs::metadata(&path).unwrap().ino();
        let server = one_visit(world);
        let error = server.listen(&path, |_| panic!("listening")).unwrap_err();
        assert_eq!(error.code(), Code::AddrInUse);
        assert_eq!(fs::metadata(&path).unwrap().ino(), before);
        server.listen(stale(&path), |_| {}).unwrap();
        visit(world, &path);
        assert!(!path.exists());
    });
}

#[test]
fn a_path_that_is_free_is_listened_on_as_always() {
    each_form_unix(|world| {
        let path = world.path("free");
        let server = one_visit(world);
        server.listen(stale(&path), |_| {}).unwrap();
        visit(world, &path);
    });
}

#[test]
fn a_live_listener_is_not_taken_for_a_dead_one() {
    each_form_unix(|world| {
        let path = world.path("live");
        let theirs = UnixListener::bind(&path).unwrap();
        let server = one_visit(world);
        let error = server
            .listen(stale(&path), |_| panic!("listening"))
            .unwrap_err();
        assert_eq!(error.code(), Code::AddrInUse);
        assert!(path.exists());
        drop(theirs);
        server.listen(stale(&path), |_| {}).unwrap();
        visit(world, &path);
    });
}

#[test]
fn a_listener_whose_queue_is_full_is_not_taken_for_a_dead_one() {
    each_form_unix(|world| {
        let path = world.path("full");
        let theirs = UnixListener::bind(&path).unwrap();
        // SAFETY: the call takes no pointers.
        assert_eq!(unsafe { libc::listen(theirs.as_raw_fd(), 0) }, 0);
        let _waiting = Peer::connect(&Address::Path(path.clone()));
        let server = one_visit(world);
        let error = server
            .listen(stale(&path), |_| panic!("listening"))
            .unwrap_err();
        assert_eq!(error.code(), Code::AddrInUse);
        assert!(path.exists());
        drop(theirs);
        fs::remove_file(&path).unwrap();
    });
}

#[test]
fn what_is_no_socket_is_never_removed() {
    each_form_unix(|world| {
        let file = world.path("file");
        fs::write(&file, "precious").unwrap();
        let directory = world.path("directory");
        fs::create_dir_all(&directory).unwrap();
        let link = world.path("link");
        let _ = fs::remove_file(&link);
        std::os::unix::fs::symlink(dead(world), &link).unwrap();
        for path in [&file, &directory, &link] {
            let server = one_visit(world);
            let error = server
                .listen(stale(path), |_| panic!("listening"))
                .unwrap_err();
            assert_eq!(error.code(), Code::AddrInUse, "{}", path.display());
            assert!(fs::symlink_metadata(path).is_ok());
        }
        assert_eq!(fs::read_to_string(&file).unwrap(), "precious");
        fs::remove_file(dead(world)).unwrap();
    });
}

#[test]
fn two_generations_may_swap_under_load() {
    each_form_unix(|world| {
        let path = world.path("swapped");
        let serve = |name: &'static str| {
            let watcher = world.watcher();
            net::create_server(&world.event_loop, move |socket| {
                watcher.watch(socket, Script::new(name));
                socket.end_with(name);
            })
        };
        let old = serve("old");
        old.listen(&path, |_| {}).unwrap();
        let mut early: Vec<Peer> = (0..10).map(|_| world.peer(&old)).collect();
        early.iter().for_each(Peer::end);
        // The new one puts its socket in the place of the old one's, as a release does.
        let beside = world.path("beside");
        let new = serve("new");
        new.listen(&beside, |_| {}).unwrap();
        fs::rename(&beside, &path).unwrap();
        let at = Address::Path(path.clone());
        let mut late: Vec<Peer> = (0..10).map(|_| Peer::connect(&at)).collect();
        late.iter().for_each(Peer::end);
        let left = common::counter();
        left.set(20);
        for server in [&old, &new] {
            let servers = [old.clone(), new.clone()];
            let left = Rc::clone(&left);
            server.on_connection(move |_| {
                left.set(left.get() - 1);
                if left.get() == 0 {
                    servers.iter().for_each(Server::close);
                }
            });
        }
        world.run();
        // The old one has not removed what was not its own.
        assert!(path.exists());
        for (peers, said) in [(&mut early, "old"), (&mut late, "new")] {
            for peer in peers {
                assert_eq!(peer.read_all(), said.as_bytes());
            }
        }
    });
}

/// Linux alone has names without a path.
#[cfg(target_os = "linux")]
#[test]
fn an_abstract_name_is_free_again_once_closed() {
    each_form_unix(|world| {
        let name = format!("\0tidewheel{}", world.path("again").display());
        for name_of in ["A", "B"] {
            let server = one_visit(world);
            let options = ListenOptions::from(Path::new(&name));
            let options = options.mode(0o600).remove_stale(true);
            server.listen(options, |_| {}).unwrap();
            let client = world.client_with(Path::new(&name).into(), Script::new(name_of));
            client.on_connect(|socket| {
                assert!(matches!(socket.remote(), Some(Address::Abstract(_))));
                assert_eq!(socket.remote_port(), None);
            });
            client.end();
            world.run();
            world.assert_trace(name_of, SERVED);
        }
    });
}

#[cfg(target_os = "linux")]
#[test]
fn a_live_abstract_name_is_in_use_and_never_stale() {
    each_form_unix(|world| {
        let name = format!("\0tidewheel{}", world.path("live").display());
        let path = Path::new(&name);
        let live = one_visit(world);
        live.listen(path, |_| {}).unwrap();
        let error = one_visit(world).listen(stale(path), |_| {}).unwrap_err();
        assert_eq!(error.code(), Code::AddrInUse);
        live.close();
        world.run();
    });
}
