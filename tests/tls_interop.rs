//! With OpenSSL, curl, Node and Python, both ways, by the commands that the README prints. Where a tool is missing its
//! part is skipped, aloud.
#![cfg(feature = "tls")]

mod common;

#[path = "tls_interop/issuers.rs"]
mod issuers;
#[path = "tls_interop/sessions.rs"]
mod sessions;

use std::cell::RefCell;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::rc::Rc;

use tidewheel::net::Server;
use tidewheel::tls::{self, TlsConnectOptions, TlsOptions, TlsVersion};

use common::{Form, Transport, World};

fn has(tool: &str) -> bool {
    let found = Command::new(tool)
        .arg(if tool == "openssl" {
            "version"
        } else {
            "--version"
        })
        .output();
    let found = found.is_ok_and(|output| output.status.success());
    if !found {
        eprintln!("SKIPPED: no {tool} here");
    }
    found
}

/// Runs a line of a shell in `place`.
#[track_caller]
fn sh(place: &Path, line: &str) {
    let output = Command::new("sh")
        .arg("-c")
        .arg(line)
        .current_dir(place)
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{line}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
}

/// The recipe of the README, with and without names beyond the CN.
fn make_certificates(place: &Path) {
    for line in [
        "openssl genrsa -out server.pem 2048",
        "openssl req -new -key server.pem -subj /CN=localhost -out v1.csr",
        "openssl x509 -req -days 365 -in v1.csr -signkey server.pem -out v1.crt",
        "openssl req -new -key server.pem -subj /CN=localhost -addext subjectAltName=DNS:localhost,IP:127.0.0.1 -out server.csr",
        "openssl x509 -req -days 365 -in server.csr -signkey server.pem -copy_extensions copy -out server.crt",
    ] {
        sh(place, line);
    }
}

/// An echo of ours, and what a child of this process says when it has talked to it.
fn talk(world: &World, cert: &Path, line: &dyn Fn(u16) -> String) -> String {
    let place = cert.parent().unwrap();
    let options = TlsOptions::default()
        .key(place.join("server.pem"))
        .cert(cert);
    let server = tls::create_server(&world.event_loop, options, |socket| {
        socket.pipe(socket);
        socket.server().unwrap().close();
    })
    .unwrap();
    server.on_tls_client_error(|server, error, _| {
        eprintln!("not let in: {error}");
        server.close();
    });
    server.listen(("127.0.0.1", 0), |_| {}).unwrap();
    let line = line(server.address().unwrap().port().unwrap());
    let child = Command::new("sh")
        .arg("-c")
        .arg(&line)
        .current_dir(place)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    world.run();
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    said + &String::from_utf8_lossy(&output.stderr)
}

/// In a directory of its own. Descriptors are not counted: the children have some.
fn over_tcp(scenario: impl Fn(&World, &Path)) {
    let world = World::with(
        Form::Closures,
        Transport::Tcp,
        tidewheel::EventLoop::builder(),
    );
    let place = world.path("x").parent().unwrap().to_owned();
    scenario(&world, &place);
    let _ = std::fs::remove_dir_all(place);
}

#[test]
fn their_clients_and_our_server() {
    if !has("openssl") {
        return;
    }
    let (curl, node, python) = (has("curl"), has("node"), has("python3"));
    over_tcp(|world, place| {
        make_certificates(place);
        for file in ["v1.crt", "server.crt"] {
            let cert = place.join(file);
            for version in ["-tls1_2", "-tls1_3"] {
                let said = talk(world, &cert, &|port| {
                    format!(
                    "(echo hello; sleep 1) | openssl s_client -connect 127.0.0.1:{port} -servername localhost {version} -CAfile {file} -verify_return_error"
                )
                });
                assert!(
                    said.contains("\nhello\n") && said.contains("code: 0 (ok)"),
                    "{file} {version}: {said}"
                );
            }
            if curl {
                let said = talk(world, &cert, &|port| {
                    format!("curl -sS --http0.9 -m 2 --cacert {file} https://localhost:{port}/x")
                });
                assert!(said.contains("GET /x HTTP/1.1"), "{file}: {said}");
            }
            if node {
                let said = talk(world, &cert, &|port| {
                    format!(
                    "node -e \"const s=require('tls').connect({{host:'localhost',port:{port},ca:require('fs').readFileSync('{file}')}},()=>s.write('x'));s.on('data',d=>{{console.log(s.authorized,String(d));s.end()}});s.on('close',h=>console.log('close',h));s.on('error',e=>console.log(e))\""
                )
                });
                assert!(
                    said.contains("true x") && said.contains("close false"),
                    "{file}: {said}"
                );
            }
            if python {
                let said = talk(world, &cert, &|port| {
                    format!(
                    "python3 -c \"import ssl,socket;c=ssl.create_default_context(cafile='{file}');s=c.wrap_socket(socket.create_connection(('127.0.0.1',{port})),server_hostname='localhost');s.sendall(b'x');print(s.recv(9));s.unwrap();print('clean')\""
                )
                });
                assert!(
                    said.contains("b'x'") && said.contains("clean"),
                    "{file}: {said}"
                );
            }
        }
    });
}

/// A server of another's, killed when dropped.
struct Other(Child);

impl Other {
    /// It says a line when it listens.
    fn start(place: &Path, line: &str) -> Other {
        let mut child = Command::new("sh")
            .arg("-c")
            .arg(format!("exec {line}"))
            .current_dir(place)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.as_mut().unwrap()).lines();
        let up = |line: &std::io::Result<String>| {
            line.as_ref()
                .is_ok_and(|line| line.contains("ACCEPT") || line == "up")
        };
        assert!(
            lines.take(20).any(|line| up(&line)),
            "{line} does not listen"
        );
        Other(child)
    }
}

impl Drop for Other {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
    listener.local_addr().unwrap().port()
}

#[test]
fn our_client_and_their_servers() {
    if !has("openssl") {
        return;
    }
    let node = has("node");
    over_tcp(|world, place| {
        make_certificates(place);
        for file in ["v1.crt", "server.crt"] {
            let mut lines = vec![];
            for version in ["-tls1_2", "-tls1_3"] {
                lines.push((format!("openssl s_server -accept 127.0.0.1:PORT -cert {file} -key server.pem {version} -rev"), "olleh\n"));
            }
            if node {
                lines.push((format!(
                    "node -e \"const f=require('fs').readFileSync;require('tls').createServer({{cert:f('{file}'),key:f('server.pem')}},c=>c.pipe(c)).listen(PORT,'127.0.0.1',()=>console.log('up'))\""
                ), "hello\n"));
            }
            for (line, expected) in lines {
                let port = free_port();
                let _other = Other::start(place, &line.replace("PORT", &port.to_string()));
                let options = TlsConnectOptions::from(("127.0.0.1", port))
                    .servername("localhost")
                    .ca(place.join(file));
                let client = tls::connect(&world.event_loop, options, |socket| {
                    socket.write("hello\n");
                });
                let got = Rc::new(RefCell::new(Vec::new()));
                let kept = Rc::clone(&got);
                client.on_data(move |socket, data| {
                    kept.borrow_mut().extend_from_slice(data);
                    if data.ends_with(b"\n") {
                        socket.destroy_soon();
                    }
                });
                world.run();
                assert_eq!(String::from_utf8_lossy(&got.borrow()), expected, "{line}");
            }
        }
    });
}

/// The oldest fault of all: somebody who sends half a message and dies. Who ends in order is told from him.
#[test]
fn a_peer_that_is_killed_leaves_a_cut() {
    if !has("openssl") {
        return;
    }
    for (killed, strict) in [(true, false), (true, true), (false, false), (false, true)] {
        over_tcp(|world, place| {
            make_certificates(place);
            let (cut, error) = half_a_message(world, place, killed, strict);
            assert_eq!(cut, killed, "killed: {killed}, strict: {strict}");
            let expected = "ERR_SSL_UNEXPECTED_EOF_WHILE_READING";
            assert_eq!(error.as_deref(), (killed && strict).then_some(expected));
        });
    }
}

/// What a server sees of an OpenSSL that sends half a message and then is killed, or ends: whether it was cut, and the
/// error.
fn half_a_message(
    world: &World,
    place: &Path,
    killed: bool,
    strict: bool,
) -> (bool, Option<String>) {
    let options = TlsOptions::default()
        .key(place.join("server.pem"))
        .cert(place.join("server.crt"))
        .max_version(TlsVersion::V1_2)
        .strict_end(strict);
    let server: Server = tls::create_server(&world.event_loop, options, |_| {}).unwrap();
    server.listen(("127.0.0.1", 0), |_| {}).unwrap();
    let at = format!("127.0.0.1:{}", server.address().unwrap().port().unwrap());
    let mut child = Command::new("openssl")
        .args(["s_client", "-quiet", "-no_ign_eof", "-connect", &at])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    child.stdin.as_mut().unwrap().write_all(b"half").unwrap();
    let child = Rc::new(RefCell::new(child));
    let peer = Rc::clone(&child);
    let seen = Rc::new(RefCell::new((false, None)));
    let told = Rc::clone(&seen);
    server.on_secure_connection(move |socket| {
        let (peer, told) = (Rc::clone(&peer), Rc::clone(&told));
        socket.on_data(move |_, data| {
            assert_eq!(data, b"half");
            if killed {
                peer.borrow_mut().kill().unwrap();
            } else {
                // The end of its input is the end of what it says.
                peer.borrow_mut().stdin = None;
            }
        });
        let failed = Rc::clone(&told);
        socket.on_error(move |_, error| failed.borrow_mut().1 = Some(error.code().to_string()));
        socket.on_close(move |socket, _| {
            assert_eq!(socket.bytes_read(), 4);
            told.borrow_mut().0 = socket.tls().unwrap().truncated();
            socket.server().unwrap().close();
        });
    });
    world.run();
    child.borrow_mut().wait().unwrap();
    seen.take()
}
