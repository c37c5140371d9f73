//! What shows only where the process is another: its user, its directory, its first descriptors, its protocols.

#[path = "common/child.rs"]
mod child;
mod common;
#[path = "common/place.rs"]
mod place;

use std::fs;
use std::os::fd::AsRawFd;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::path::Path;

use child::{forbid_ipv6, in_child, leave_root};
use common::{each_case, each_form_tcp, each_form_unix, Script, World};
use place::turn_until;
use tidewheel::net::{self, Address, Server};
use tidewheel::Code;

/// A server that ends each connection and is done after the first.
fn one_visit(world: &World) -> Server {
    let probe = world.probe();
    net::create_server(&world.event_loop, move |socket| {
        let _ = &probe;
        socket.server().unwrap().close();
        socket.end();
    })
}

#[test]
fn a_relative_path_is_one_of_the_directory_and_is_removed_from_another() {
    in_child(
        "a_relative_path_is_one_of_the_directory_and_is_removed_from_another",
        || {
            each_form_unix(|world| {
                let before = std::env::current_dir().unwrap();
                std::env::set_current_dir(world.path("")).unwrap();
                let server = world.server(|socket| socket.end());
                server.close();
                server.listen(Path::new("relative"), |_| {}).unwrap();
                assert_eq!(server.address(), Some(Address::Path("relative".into())));
                assert!(world.path("relative").exists());
                world.client(&server, Script::new("C"));
                turn_until(world, || world.events("C").len() == 5);
                world.assert_trace("C", "connect ready end finish close(false)");
                std::env::set_current_dir(before).unwrap();
                server.close();
                assert!(!world.path("relative").exists());
                world.run();
            });
        },
    );
}

#[test]
fn a_socket_file_without_permission_denies_a_connect() {
    in_child("a_socket_file_without_permission_denies_a_connect", || {
        leave_root();
        each_form_unix(|world| {
            let path = world.path("closed");
            let _listener = UnixListener::bind(&path).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o000)).unwrap();
            let said = format!("connect EACCES {}", path.display());
            let client = Script::new("C").on_error(move |_, error| {
                assert_eq!(error.to_string(), said);
                assert_eq!(error.code(), Code::AccessDenied);
            });
            world.client_with(path.into(), client);
            world.run();
            world.assert_trace("C", "error(EACCES) close(true)");
        });
    });
}

#[test]
fn a_directory_without_permission_denies_a_listen() {
    in_child("a_directory_without_permission_denies_a_listen", || {
        leave_root();
        each_form_unix(|world| {
            let directory = world.path("closed");
            fs::create_dir(&directory).unwrap();
            fs::set_permissions(&directory, fs::Permissions::from_mode(0o555)).unwrap();
            let server = one_visit(world);
            let error = server.listen(directory.join("s"), |_| {}).unwrap_err();
            assert_eq!(error.code(), Code::AccessDenied);
            assert!(error
                .to_string()
                .starts_with("listen EACCES: permission denied "));
        });
    });
}

// Only TCP has ports.
#[test]
fn a_privileged_port_is_denied() {
    in_child("a_privileged_port_is_denied", || {
        let first = fs::read_to_string("/proc/sys/net/ipv4/ip_unprivileged_port_start");
        if first.is_ok_and(|text| text.trim().parse::<u16>().unwrap() <= 1) {
            println!("skipped: no port is privileged on this machine");
            return;
        }
        leave_root();
        each_form_tcp(|world| {
            let server = one_visit(world);
            let error = server.listen(("127.0.0.1", 1), |_| {}).unwrap_err();
            assert_eq!(
                error.to_string(),
                "listen EACCES: permission denied 127.0.0.1:1"
            );
            server
                .listen(world.listen_options(), |server| server.close())
                .unwrap();
            world.run();
        });
    });
}

#[test]
fn descriptor_0_is_one_like_the_others() {
    in_child("descriptor_0_is_one_like_the_others", || {
        each_case(|world| {
            // SAFETY: nobody here uses the standard input.
            let spare = unsafe {
                let spare = libc::dup(0);
                libc::close(0);
                spare
            };
            let server = one_visit(world);
            server.listen(world.listen_options(), |_| {}).unwrap();
            assert_eq!(server.raw_fd(), Some(0));
            world.client(&server, Script::new("C"));
            world.run();
            world.assert_trace("C", "connect ready end finish close(false)");
            // And now for an accepted socket.
            let filler = fs::File::open("/dev/null").unwrap();
            assert_eq!(filler.as_raw_fd(), 0);
            let server = one_visit(world);
            server.listen(world.listen_options(), |_| {}).unwrap();
            let mut peer = world.peer(&server);
            drop(filler);
            server.on_connection(|socket| assert_eq!(socket.raw_fd(), Some(0)));
            peer.send(b"!");
            peer.end();
            world.run();
            assert_eq!(peer.read_all(), b"");
            // SAFETY: as above.
            unsafe {
                libc::dup2(spare, 0);
                libc::close(spare);
            }
        });
    });
}

// Only TCP has IPv6.
#[test]
fn without_ipv6_all_interfaces_are_those_of_ipv4() {
    in_child("without_ipv6_all_interfaces_are_those_of_ipv4", || {
        if !forbid_ipv6() {
            println!("skipped: this process may not filter its system calls");
            return;
        }
        each_form_tcp(|world| {
            let server = one_visit(world);
            let error = server.listen(("::", 0), |_| {}).unwrap_err();
            assert_eq!(error.code(), Code::AddrFamilyNotSupported);
            server.listen(0, |_| {}).unwrap();
            let port = server.address().unwrap().port().unwrap();
            assert_eq!(
                server.address().unwrap().to_string(),
                format!("0.0.0.0:{port}")
            );
            world.client_with(port.into(), Script::new("C"));
            world.run();
            world.assert_trace("C", "connect ready end finish close(false)");
            let client = Script::new("D").on_error(move |_, error| {
                let v4 = format!("connect ECONNREFUSED 127.0.0.1:{port}");
                let v6 = format!("connect EAFNOSUPPORT ::1:{port}");
                let all: Vec<_> = error.errors().iter().map(ToString::to_string).collect();
                assert_eq!(all, [v4, v6]);
            });
            world.client_with(port.into(), client);
            world.run();
            world.assert_trace("D", "error(ECONNREFUSED) close(true)");
        });
    });
}
