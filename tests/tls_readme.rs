//! The TLS section of the README, line by line: its commands are taken from it and run, and so is its program. Only the
//! port is another. What `openssl` is needed for is skipped aloud where it is missing.
#![cfg(feature = "tls")]

#[path = "common/census.rs"]
mod census;
#[path = "common/child.rs"]
mod child;
mod programs;

use std::cell::RefCell;
use std::io::Write;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::rc::Rc;

use programs::{example, Program};
use tidewheel::tls::{self, ContextOptions, SecureContext, TlsConnectOptions, TlsOptions};
use tidewheel::EventLoop;

/// The port that the README has.
const PORT: &str = "8000";

const README: &str = include_str!("../README.md");

/// The blocks of this kind in the section on TLS, each as its lines.
fn blocks(kind: &str) -> Vec<Vec<&'static str>> {
    let (_, section) = README.split_once("### TLS\n").unwrap();
    let (section, _) = section.split_once("\n## ").unwrap();
    let fence = format!("\n```{kind}\n");
    let blocks = section.split(&fence).skip(1).map(|rest| {
        let (block, _) = rest.split_once("\n```").unwrap();
        block.lines().collect()
    });
    blocks.collect()
}

/// The commands of a block that make something, and those that run a server and its clients.
fn parted(block: &[&'static str]) -> (Vec<&'static str>, Vec<&'static str>) {
    block.iter().partition(|line| !line.contains(PORT))
}

/// A directory for the files of a recipe, removed at the end.
struct Place(PathBuf);

impl Place {
    fn new(name: &str) -> Place {
        let name = format!("tidewheel-{}-{name}", std::process::id());
        let place = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&place).unwrap();
        Place(place)
    }

    /// Runs commands that make something. What they ask is answered as the README says.
    #[track_caller]
    fn make(&self, lines: &[impl AsRef<str>]) {
        for line in lines {
            let line = line.as_ref();
            let mut command = shell(line, &self.0);
            // Country, state, city, organisation, unit; common name; e-mail, challenge, company.
            let made = Program::fed(&mut command, "\n\n\n\n\nlocalhost\n\n\n\n").ended();
            assert_eq!(made.status, Some(0), "{line}: {}", made.stderr);
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn shell(line: &str, place: &Path) -> Command {
    let mut command = Command::new("sh");
    command.arg("-c").arg(line).current_dir(place);
    command
}

/// A line that runs an example, as a command that runs what `cargo test` has built.
#[track_caller]
fn cargo_run(line: &str, place: &Place, port: &str) -> Option<Command> {
    let line = line.replace(PORT, port);
    let words = line.strip_prefix("cargo run --features tls --example ");
    let (name, arguments) = words.and_then(|words| words.split_once(" -- ")).unwrap();
    let mut command = example(name)?;
    command.args(arguments.split(' ')).current_dir(&place.0);
    Some(command)
}

/// A server of the README's, and its clients: `None` where the examples are not built.
fn serve_and_talk(lines: &[&str], place: &Place, visitor: &str) -> Option<(Program, String)> {
    let [server, openssl, client] = lines else {
        panic!("a server and two clients: {lines:?}");
    };
    let server = Program::start(&mut cargo_run(server, place, "0")?);
    let address = server.address();
    let (_, port) = address.rsplit_once(':').unwrap();
    let who = |version: &str| {
        let line = server.line();
        assert!(line.contains(visitor) && line.contains(version), "{line}");
    };

    let (program, mut stdin) = Program::talked_to(&mut shell(
        &format!("exec {}", openssl.replace(PORT, port)),
        &place.0,
    ));
    stdin.write_all(b"hello\n").unwrap();
    let mut verified = false;
    loop {
        let line = program.line();
        verified |= line.contains("Verify return code: 0 (ok)");
        // Into a pipe it writes its report by blocks, and what comes in between two of them: perhaps behind half a line.
        if line.ends_with("hello") {
            break;
        }
    }
    assert!(verified, "{openssl}");
    who("TLSv1.3");
    drop(stdin);
    assert_eq!(program.ended().status, Some(0), "{openssl}");

    let said = Program::fed(&mut cargo_run(client, place, port)?, "hello\n").ended();
    assert_eq!((said.status, said.stdout), (Some(0), vec!["hello".into()]));
    assert!(said.stderr.starts_with("TLSv1.3 "), "{}", said.stderr);
    assert!(!said.stderr.contains("NOT TRUSTED"), "{}", said.stderr);
    who("TLSv1.3");
    let port = port.to_owned();
    Some((server, port))
}

/// The first lines are for a key and a certificate with alternative names; the next for the manual's certificate, those
/// after it for a client's, and the last for an authority with its list.
fn recipe() -> [Vec<&'static str>; 4] {
    blocks("sh").try_into().unwrap()
}

fn has_openssl() -> bool {
    let version = Command::new("openssl")
        .arg("version")
        .stdout(Stdio::null())
        .status();
    let has = version.is_ok();
    if !has {
        programs::skip("openssl is not installed");
    }
    has
}

#[test]
fn a_certificate_with_names_and_one_of_the_manuals_own_form() {
    if !has_openssl() {
        return;
    }
    let [named, manual, ..] = recipe();
    let (make, talk) = parted(&named);
    let place = Place::new("server");
    place.make(&make);
    if serve_and_talk(&talk, &place, "without a certificate").is_none() {
        return;
    }
    let (make, rest) = parted(&manual);
    assert!(rest.is_empty());
    place.make(&make);
    serve_and_talk(&talk, &place, "without a certificate").unwrap();
}

#[test]
fn certificates_of_clients_in_either_form() {
    if !has_openssl() {
        return;
    }
    let [named, manual, clients, _] = recipe();
    let (make, _) = parted(&named);
    let place = Place::new("client");
    place.make(&make);
    let (make_client, talk) = parted(&clients);
    let of_client = |lines: &[&str]| {
        let lines = lines.iter().map(|line| line.replace("server", "client"));
        lines.collect::<Vec<String>>()
    };
    place.make(&make_client);
    let Some((server, port)) = serve_and_talk(&talk, &place, r#"as ["visitor"]"#) else {
        return;
    };
    // Who shows nothing is not let in.
    let command = cargo_run(talk[2], &place, &port).unwrap();
    let words: Vec<_> = command.get_args().take(3).collect();
    let mut command = example("tls_client").unwrap();
    let stranger = Program::start(command.args(words).current_dir(&place.0)).ended();
    assert_eq!(stranger.status, Some(1), "{stranger:?}");
    let line = server.line();
    let refused = line.contains("was not let in") && line.contains("NOT_RETURN_A_CERTIFICATE");
    assert!(refused, "{line}");
    drop(server);
    // The recipes for servers make certificates of clients as well.
    place.make(&of_client(&make));
    serve_and_talk(&talk, &place, r#"as ["localhost"]"#).unwrap();
    place.make(&manual);
    place.make(&of_client(&manual));
    serve_and_talk(&talk, &place, r#"as ["localhost"]"#).unwrap();
}

/// What the authority of the README says of its visitors, read from the files as they are now.
fn context_of_authority(place: &Place) -> SecureContext {
    let at = |name: &str| place.0.join(name);
    let options = ContextOptions::default()
        .key(at("server.pem"))
        .cert(at("server.crt"))
        .ca(at("ca.crt"))
        .crl(at("revoked.crl"));
    SecureContext::new(options).unwrap()
}

#[test]
fn an_authority_lets_its_visitor_in_until_it_revokes_him() {
    if !has_openssl() {
        return;
    }
    let [.., lines] = recipe();
    let (before, after) = lines.split_at(lines.len() - 2);
    let place = Place::new("authority");
    place.make(before);

    let event_loop = EventLoop::new().unwrap();
    let options = TlsOptions::default()
        .secure_context(&context_of_authority(&place))
        .request_cert(true);
    let said: Rc<RefCell<Vec<String>>> = Rc::default();
    let (let_in, refused) = (Rc::clone(&said), Rc::clone(&said));
    let server = tls::create_server(&event_loop, options, move |socket| {
        let visitor = socket.tls().unwrap().peer_certificate().unwrap();
        let_in
            .borrow_mut()
            .extend(visitor.common_names().map(str::to_owned));
        socket.end();
    })
    .unwrap();
    server.on_tls_client_error(move |_, error, _| {
        refused.borrow_mut().push(error.code().to_string());
    });
    server.listen(("127.0.0.1", 0), |_| {}).unwrap();
    let port = server.address().unwrap().port().unwrap();
    let visit = || {
        let at = |name: &str| place.0.join(name);
        let options = TlsConnectOptions::from(("localhost", port))
            .ca(at("ca.crt"))
            .key(at("client.pem"))
            .cert(at("client.crt"));
        let client = tls::connect(&event_loop, options, |_| {});
        client.resume().on_error(|_, _| {});
        client.on_close(|client, _| client.event_loop().stop());
        event_loop.run().unwrap();
    };
    visit();
    place.make(after);
    // The list is what it was when the context was made.
    visit();
    server
        .set_secure_context(&context_of_authority(&place))
        .unwrap();
    visit();
    assert_eq!(*said.borrow(), ["visitor", "visitor", "CERT_REVOKED"]);
}

/// The program of the README, with a port of the caller's. A test compares the two.
#[rustfmt::skip]
mod program {
    pub fn run(port: u16) -> Result<(), tidewheel::Error> {
        // begin
use std::path::Path;
use tidewheel::tls::{self, TlsConnectOptions, TlsOptions};
use tidewheel::EventLoop;

    let event_loop = EventLoop::new()?;
    let options = TlsOptions::default()
        .key(Path::new("server.pem"))
        .cert(Path::new("server.crt"));
    let server = tls::create_server(&event_loop, options, |socket| {
        socket.pipe(socket);
    })?;
    server.listen(port, |_| {})?;

    let options = TlsConnectOptions::from(port).ca(Path::new("server.crt"));
    let client = tls::connect(&event_loop, options, |socket| {
        let info = socket.tls().unwrap();
        println!("{} {}", info.protocol().unwrap(), info.cipher().unwrap().name);
        socket.write("hello");
    });
    client.on_data(|socket, _| socket.end());
    client.on_close(move |_, _| server.close());
    event_loop.run()
        // end
    }
}

#[test]
fn the_program_is_the_one_that_is_run() {
    let printed = &blocks("rust,no_run")[0];
    let shown = printed.iter().filter(|line| !line.starts_with('#'));
    let shown = shown.filter(|line| !line.starts_with("fn main") && **line != "}");
    let shown = shown.map(|line| line.replace(PORT, "port"));
    let (_, own) = include_str!("tls_readme.rs")
        .split_once("// begin\n")
        .unwrap();
    let (own, _) = own.split_once("\n        // end").unwrap();
    let own: Vec<_> = own.lines().collect();
    assert_eq!(shown.collect::<Vec<_>>(), own);
}

fn free_port() -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    listener.local_addr().unwrap().port()
}

#[test]
fn the_program_runs() {
    let name = "the_program_runs";
    if let Some(port) = child::role(name) {
        return program::run(port.parse().unwrap()).unwrap();
    }
    if !has_openssl() {
        return;
    }
    let place = Place::new("program");
    let [named, manual, ..] = recipe();
    for lines in [&named, &manual] {
        place.make(&parted(lines).0);
        let ended = loop {
            let mut command = child::command_as(name, &free_port().to_string());
            let ended = Program::start(command.current_dir(&place.0)).ended();
            // Somebody else may have been given the port meanwhile.
            if !ended.stderr.contains("EADDRINUSE") {
                break ended;
            }
        };
        assert_eq!(ended.status, Some(0), "{ended:?}");
        let said = ended
            .stdout
            .iter()
            .any(|line| line.contains("TLSv1.3 TLS_"));
        assert!(said, "{:?}", ended.stdout);
    }
}
