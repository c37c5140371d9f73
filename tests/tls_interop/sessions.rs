//! Sessions of ours that others take up, and theirs that we do.

use std::collections::HashMap;
use std::time::Duration;

use tidewheel::tls::Session;

use super::*;

/// An echo of ours that serves until the command has ended; what that says. `kept`: by the program, and not in tickets.
fn serve(world: &World, place: &Path, kept: bool, line: &dyn Fn(u16) -> String) -> String {
    let options = TlsOptions::default()
        .key(place.join("server.pem"))
        .cert(place.join("server.crt"));
    let server = tls::create_server(&world.event_loop, options, |socket| {
        socket.pipe(socket);
    })
    .unwrap();
    server.on_tls_client_error(|_, error, _| eprintln!("not let in: {error}"));
    if kept {
        let store: Rc<RefCell<HashMap<Vec<u8>, Vec<u8>>>> = Rc::default();
        let sessions = Rc::clone(&store);
        server.on_new_session(move |_, id, data, reply| {
            sessions.borrow_mut().insert(id.to_vec(), data.to_vec());
            reply.done();
        });
        server.on_resume_session(move |_, id, reply| {
            let data = store.borrow().get(id).cloned();
            reply.found(&data.unwrap_or_default());
        });
    }
    server.listen(("127.0.0.1", 0), |_| {}).unwrap();
    let output = Command::new("sh")
        .arg("-c")
        .arg(line(server.address().unwrap().port().unwrap()))
        .current_dir(place)
        .stdin(Stdio::null())
        .stdout(std::fs::File::create(place.join("said")).unwrap())
        .stderr(Stdio::null())
        .spawn();
    let mut child = output.unwrap();
    world
        .event_loop
        .set_interval(Duration::from_millis(5), move |timer| {
            if child.try_wait().unwrap().is_some() {
                timer.clear();
                server.close();
            }
        });
    world.run();
    std::fs::read_to_string(place.join("said")).unwrap()
}

#[test]
fn their_clients_take_up_our_sessions() {
    if !has("openssl") {
        return;
    }
    let (node, python) = (has("node"), has("python3"));
    over_tcp(|world, place| {
        make_certificates(place);
        let s_client = |port: u16, more: &str| {
            format!("openssl s_client -connect 127.0.0.1:{port} -servername localhost -CAfile server.crt {more}")
        };
        for kept in [false, true] {
            let said = serve(world, place, kept, &|port| {
                s_client(port, "-tls1_2 -reconnect < /dev/null")
            });
            assert_eq!(said.matches("Reused, TLSv1.2").count(), 5, "{kept}: {said}");
            // The last one sends a key share that we ask to be replaced.
            for version in ["1_2", "1_3", "1_3 -groups P-521:X25519"] {
                let said = serve(world, place, kept, &|port| {
                    let once = |more: &str| {
                        let line = s_client(port, &format!("-tls{version} {more}"));
                        format!("(echo hello; sleep 1) | {line}")
                    };
                    let (first, second) = (once("-sess_out s.pem"), once("-sess_in s.pem"));
                    format!("{first}; {second}")
                });
                let reused = format!("Reused, TLSv{}", version[..3].replace('_', "."));
                assert_eq!(said.matches(&reused).count(), 1, "{kept}: {said}");
                assert_eq!(said.matches("\nhello\n").count(), 2, "{kept}: {said}");
            }
            for version in ["1.2", "1.3"] {
                if node {
                    let said = serve(world, place, kept, &|port| {
                        format!(
                            "node -e \"let kept;const visit=(n)=>{{const s=require('tls').connect({{host:'localhost',port:{port},ca:require('fs').readFileSync('server.crt'),session:kept,minVersion:'TLSv{version}',maxVersion:'TLSv{version}'}},()=>s.write('x'));s.on('session',x=>kept=x);s.on('data',()=>{{console.log('node',s.isSessionReused(),s.authorized);s.end()}});s.on('close',()=>n&&visit(n-1));s.on('error',e=>console.log(e))}};visit(2)\""
                        )
                    });
                    let expected = "node false true\nnode true true\nnode true true\n";
                    assert_eq!(said, expected, "{kept} {version}");
                }
                if python {
                    let said = serve(world, place, kept, &|port| {
                        let number = version.replace('.', "_");
                        format!(
                            "python3 -c \"
import ssl,socket
c=ssl.create_default_context(cafile='server.crt')
c.minimum_version=c.maximum_version=ssl.TLSVersion.TLSv{number}
kept=None
for n in range(3):
    s=c.wrap_socket(socket.create_connection(('127.0.0.1',{port})),server_hostname='localhost',session=kept)
    s.sendall(b'x')
    s.recv(9)
    print(s.session_reused)
    kept=s.session
    s.unwrap()
\""
                        )
                    });
                    assert_eq!(said, "False\nTrue\nTrue\n", "{kept} {version}");
                }
            }
        }
    });
}

#[test]
fn we_take_up_sessions_of_their_servers() {
    if !has("openssl") {
        return;
    }
    let node = has("node");
    over_tcp(|world, place| {
        make_certificates(place);
        let mut lines = vec![];
        for version in ["-tls1_2", "-tls1_3"] {
            for more in ["", "-no_ticket"] {
                lines.push(format!(
                    "openssl s_server -accept 127.0.0.1:PORT -cert server.crt -key server.pem {version} {more} -rev"
                ));
            }
        }
        for version in ["TLSv1.2", "TLSv1.3"] {
            if node {
                lines.push(format!(
                    "node -e \"const f=require('fs').readFileSync;require('tls').createServer({{cert:f('server.crt'),key:f('server.pem'),maxVersion:'{version}'}},c=>c.pipe(c)).listen(PORT,'127.0.0.1',()=>console.log('up'))\""
                ));
            }
        }
        for line in lines {
            let port = free_port();
            let _other = Other::start(place, &line.replace("PORT", &port.to_string()));
            // Node sends two tickets of TLS 1.3 at first, and none to those who take one up.
            let kept: Rc<RefCell<Vec<Session>>> = Rc::default();
            for visit in 0..3 {
                let mut options = TlsConnectOptions::from(("127.0.0.1", port))
                    .servername("localhost")
                    .ca(place.join("server.crt"));
                let session = kept.borrow_mut().pop();
                if let Some(session) = &session {
                    options = options.session(session);
                    if session.protocol() == TlsVersion::V1_2 {
                        kept.borrow_mut().push(session.clone());
                    }
                }
                let line = line.clone();
                let client = tls::connect(&world.event_loop, options, move |socket| {
                    let info = socket.tls().unwrap();
                    assert_eq!(info.is_session_reused(), visit > 0, "{line} {visit}");
                    assert!(info.authorized());
                    socket.write("hello\n");
                });
                let keep = Rc::clone(&kept);
                client.on_session(move |_, session| {
                    keep.borrow_mut().push(session.clone());
                });
                client.on_data(move |socket, data| {
                    if data.ends_with(b"\n") {
                        socket.end();
                    }
                });
                world.run();
            }
        }
    });
}
