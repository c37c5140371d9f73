//! A connection that is cut at any byte of its handshake: each side is told once, nothing is left, and the server serves
//! the next client. Somebody in the middle passes on so many bytes, and then cuts.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use rcgen::ExtendedKeyUsagePurpose::{ClientAuth, ServerAuth};
use tidewheel::net::{self, Address, ConnectOptions, EventKind, Server, ServerOptions, Socket};
use tidewheel::tls::{self, TlsConnectOptions, TlsOptions};

use crate::certs::Identity;
use crate::common::{run_on, Form, Script, Transport, World};
use crate::scene::{Scene, VERSIONS};

/// As long as a server waits where nothing is to stall.
const PATIENCE: Duration = Duration::from_secs(600);

/// Whom the last byte goes to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Toward {
    Server,
    Client,
}

/// What happens behind it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum How {
    /// The receiver is told that nothing more comes.
    End,
    /// The connections of both are closed.
    Close,
    /// Those are reset.
    Reset,
    /// The receiver's program destroys its socket.
    Destroy,
    /// Nothing; until the server has waited for too long.
    Stall,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Cut {
    toward: Toward,
    after: usize,
    how: How,
}

/// One conversation through the middle.
#[derive(Default)]
struct Line {
    cut: Cell<Option<Cut>>,
    /// What has passed.
    to_server: RefCell<Vec<u8>>,
    to_client: RefCell<Vec<u8>>,
    /// How much of each it took until its receiver was secure.
    needed: Cell<(usize, usize)>,
    /// Those who talk.
    client: RefCell<Option<Socket>>,
    server: RefCell<Option<Socket>>,
}

/// What a side was told, in order.
type Told = Vec<String>;

impl Line {
    fn begin(&self, cut: Option<Cut>) {
        self.cut.set(cut);
        self.to_server.take();
        self.to_client.take();
        self.needed.set((0, 0));
        self.client.take();
        self.server.take();
    }

    fn passed(&self, toward: Toward) -> &RefCell<Vec<u8>> {
        match toward {
            Toward::Server => &self.to_server,
            Toward::Client => &self.to_client,
        }
    }

    /// How much of `length` bytes may pass, of those that still may.
    fn room(&self, toward: Toward, length: usize) -> usize {
        match self.cut.get() {
            Some(cut) if cut.toward == toward => {
                length.min(cut.after - self.passed(toward).borrow().len())
            }
            _ => length,
        }
    }

    fn is_spent(&self, toward: Toward) -> bool {
        let passed = self.passed(toward).borrow().len();
        matches!(self.cut.get(), Some(cut) if cut.toward == toward && passed == cut.after)
    }

    /// Cuts, if all has passed that may: `to` leads to the receiver, and `from` to the other.
    fn sever(self: &Rc<Self>, toward: Toward, from: &Socket, to: &Socket) {
        if !self.is_spent(toward) {
            return;
        }
        match self.cut.get().unwrap().how {
            How::Stall => {}
            How::End => to.end(),
            How::Close => [from, to].iter().for_each(|leg| leg.destroy_soon()),
            How::Reset => [from, to].iter().for_each(|leg| leg.reset_and_destroy()),
            How::Destroy => {
                let line = Rc::clone(self);
                // By the end of the next turn it has read what there is.
                from.event_loop().set_immediate(move |handle| {
                    handle.set_immediate(move |_| line.destroy(toward));
                });
            }
        }
    }

    /// Notes how far it is when the receiver is secure; when both are, the client ends.
    fn noting(self: &Rc<Self>, toward: Toward, name: &str) -> Script {
        let line = Rc::clone(self);
        Script::new(name).on(EventKind::SecureConnect, move |_, _| {
            let mut needed = line.needed.get();
            match toward {
                Toward::Server => needed.0 = line.to_server.borrow().len(),
                Toward::Client => needed.1 = line.to_client.borrow().len(),
            }
            line.needed.set(needed);
            if needed.0 > 0 && needed.1 > 0 {
                line.client.borrow().as_ref().unwrap().end();
            }
        })
    }

    fn destroy(&self, toward: Toward) {
        let receiver = match toward {
            Toward::Server => &self.server,
            Toward::Client => &self.client,
        };
        receiver.borrow().as_ref().unwrap().destroy();
    }
}

/// Passes bytes on.
fn pass(line: &Rc<Line>, toward: Toward, from: &Socket, to: &Socket) {
    let (shared, other) = (Rc::clone(line), to.clone());
    from.on_data(move |from, data| {
        let room = shared.room(toward, data.len());
        if room == 0 {
            return;
        }
        let passed = shared.passed(toward);
        passed.borrow_mut().extend_from_slice(&data[..room]);
        other.write(&data[..room]);
        shared.sever(toward, from, &other);
    });
    let other = to.clone();
    from.on_end(move |_| other.end());
    from.on_error(|_, _| {});
    let other = to.clone();
    from.on_close(move |_, _| other.destroy_soon());
}

/// Listens between clients and `server`; whoever comes has the line as it is then.
fn middle(scene: &Scene<'_>, server: &Server, line: &Rc<Line>) -> Server {
    let (line, target) = (Rc::clone(line), server.address().unwrap());
    let options = ServerOptions::default().allow_half_open(true);
    let middle = scene.server_with(options, move |visitor| {
        let options = ConnectOptions::from(target.clone()).allow_half_open(true);
        let (line, visitor) = (Rc::clone(&line), visitor.clone());
        // Nothing is read from the client before its bytes can go on.
        visitor.pause();
        net::connect(visitor.event_loop(), options, {
            let visitor = visitor.clone();
            move |onward| {
                pass(&line, Toward::Server, &visitor, onward);
                pass(&line, Toward::Client, onward, &visitor);
                visitor.resume();
                line.sever(Toward::Server, &visitor, onward);
                line.sever(Toward::Client, onward, &visitor);
            }
        });
    });
    middle.unref();
    middle
}

/// Both show certificates, so that there is all in the handshake that there may be.
struct Meeting<'s, 'w> {
    scene: &'s Scene<'w>,
    server: Server,
    middle: Server,
    line: Rc<Line>,
    visitor: Identity,
    next: Rc<Cell<usize>>,
}

impl<'s, 'w> Meeting<'s, 'w> {
    /// `own` and `visitor` are who they are.
    fn new(
        scene: &'s Scene<'w>,
        [own, visitor]: &[Identity; 2],
        patience: Duration,
    ) -> Meeting<'s, 'w> {
        let options = TlsOptions::default()
            .key(&own.key)
            .cert(&own.cert)
            .ca(scene.ca.pem())
            .request_cert(true)
            // One that is not over would keep the next one out.
            .max_handshakes(1)
            .handshake_timeout(patience);
        let server = scene.listen(options);
        server.unref();
        let line = Rc::new(Line::default());
        // A number that nobody in this world has had.
        let next = Rc::new(Cell::new(scene.log().len()));
        let (watcher, at, now) = (scene.watcher(), Rc::clone(&line), Rc::clone(&next));
        server.on_connection(move |socket| {
            watcher.watch(
                socket,
                at.noting(Toward::Server, &format!("S{}", now.get())),
            );
            at.server.replace(Some(socket.clone()));
        });
        let (note, now) = (scene.noter(), Rc::clone(&next));
        server.on_tls_client_error(move |_, error, _| {
            note(&format!("V{}:{}", now.get(), error.code()));
        });
        let middle = middle(scene, &server, &line);
        Meeting {
            scene,
            server,
            middle,
            line,
            visitor: visitor.clone(),
            next,
        }
    }

    fn options(&self) -> TlsConnectOptions {
        let options = match self.middle.address().unwrap() {
            Address::Path(path) => TlsConnectOptions::from(path),
            address => TlsConnectOptions::from(("127.0.0.1", address.port().unwrap())),
        };
        options
            .ca(self.scene.ca.pem())
            .key(&self.visitor.key)
            .cert(&self.visitor.cert)
            .min_version(self.scene.version)
            .max_version(self.scene.version)
    }

    /// One conversation: what the client, the server's socket and the server were told.
    fn meet(&self, cut: Option<Cut>) -> [Told; 3] {
        self.next.set(self.next.get() + 1);
        let number = self.next.get();
        self.line.begin(cut);
        let client = tls::connect(&self.scene.event_loop, self.options(), |_| {});
        let script = self.line.noting(Toward::Client, &format!("C{number}"));
        self.scene.watch(&client, script);
        self.line.client.replace(Some(client));
        self.scene.run();
        ["C", "S", "V"].map(|who| self.scene.events(&format!("{who}{number}")))
    }
}

/// A side that was not destroyed by its program was told once: of the end of the handshake, or of why there is none.
/// The errors of sockets whose handshake failed are told to the server.
#[track_caller]
fn assert_told_once(told: &[String], of_server: Option<&[String]>, how: How, what: &str) {
    let destroyed = how == How::Destroy;
    let secure = told.iter().any(|event| event == "secure");
    let mut errors: Vec<_> = told.iter().filter_map(|event| code(event)).collect();
    if !secure {
        errors.extend(of_server.unwrap_or_default().iter().map(String::as_str));
    } else if let Some(of_server) = of_server {
        assert!(of_server.is_empty(), "{what}: {of_server:?}");
    }
    let closes = told.iter().filter(|event| event.starts_with("close"));
    assert_eq!(closes.count(), 1, "{what}: {told:?}");
    let last = format!("close({})", !errors.is_empty());
    assert_eq!(told.last(), Some(&last), "{what}: {told:?} {errors:?}");
    assert!(errors.len() <= 1, "{what}: {told:?} {errors:?}");
    assert!(
        secure || destroyed || errors.len() == 1,
        "{what}: {told:?}, and nothing told"
    );
    // Who was about to write when the other side was gone has the kernel's word for that.
    let known = |code: &&str| ["ECONNRESET", "EPIPE"].contains(code);
    assert!(errors.iter().all(known), "{what}: {errors:?}");
}

fn code(event: &str) -> Option<&str> {
    event.strip_prefix("error(")?.strip_suffix(')')
}

impl Meeting<'_, '_> {
    /// One cut, and one who comes after.
    fn try_cut(&self, cut: Cut, whole: usize) {
        let what = format!("{} {:?} {cut:?}", self.scene.version, self.scene.transport);
        let [client, socket, server] = self.meet(Some(cut));
        // Whose program did it is told nothing.
        let how_for = |toward| match cut.how {
            How::Destroy if cut.toward != toward => How::Close,
            how => how,
        };
        assert_told_once(&client, None, how_for(Toward::Client), &what);
        assert_told_once(&socket, Some(&server), how_for(Toward::Server), &what);
        let receiver = match cut.toward {
            Toward::Client => &client,
            Toward::Server => &socket,
        };
        let secure = receiver.iter().any(|event| event == "secure");
        assert_eq!(secure, cut.after == whole, "{what}: {receiver:?}");

        let [client, socket, server] = self.meet(None);
        let words = client.join(" ");
        assert_eq!(
            words, "connect ready secure finish end close(false)",
            "{what}"
        );
        let words = socket.join(" ");
        assert_eq!(words, "secure end finish close(false)", "{what}");
        assert!(server.is_empty(), "{what}: {server:?}");
    }

    fn end(self) {
        self.line.begin(None);
        self.server.close();
        self.middle.close();
    }

    /// Where to cut: at every record, at its head and right behind it, and at every so many bytes.
    fn places(&self, toward: Toward, step: usize) -> Vec<usize> {
        let _ = self.meet(None);
        let wire = self.line.passed(toward).take();
        let needed = self.line.needed.get();
        let whole = match toward {
            Toward::Server => needed.0,
            Toward::Client => needed.1,
        };
        let mut at = 0;
        let mut places: Vec<_> = (0..=whole).step_by(step).collect();
        while at < whole {
            places.extend([at, at + 1, at + 5, at + 6]);
            at += 5 + usize::from(u16::from_be_bytes([wire[at + 3], wire[at + 4]]));
            places.push(at - 1);
        }
        assert_eq!(at, whole, "the handshake ends with a record");
        places.push(whole);
        places.sort();
        places.dedup();
        places
    }
}

/// A server and a client, whose handshakes are all as long.
fn sides(scene: &Scene<'_>) -> [Identity; 2] {
    [
        scene.ca.issue_even(&["localhost", "127.0.0.1"], ServerAuth),
        scene.ca.issue_even(&["visitor"], ClientAuth),
    ]
}

/// Cuts in every way at every `step` bytes, in each direction.
fn cut_everywhere(step: usize) {
    for version in VERSIONS {
        let cuts = Cell::new(0);
        each_form_of_one(|world| {
            let scene = Scene::new(world, version);
            let meeting = Meeting::new(&scene, &sides(&scene), PATIENCE);
            for toward in [Toward::Server, Toward::Client] {
                let places = meeting.places(toward, step);
                let whole = places[places.len() - 1];
                for how in [How::End, How::Close, How::Destroy, How::Reset] {
                    // UNIX sockets know no resets.
                    if how == How::Reset && world.transport == Transport::Unix {
                        continue;
                    }
                    for after in &places {
                        let cut = Cut {
                            toward,
                            after: *after,
                            how,
                        };
                        meeting.try_cut(cut, whole);
                    }
                    cuts.set(cuts.get() + places.len());
                }
            }
            meeting.end();
        });
        println!("{version}: {} handshakes cut", cuts.get());
    }
}

/// Each transport, with listeners of one form each.
fn each_form_of_one(scenario: impl Fn(&World)) {
    for (form, transport) in [
        (Form::Closures, Transport::Tcp),
        (Form::Handler, Transport::Unix),
    ] {
        run_on(tidewheel::EventLoop::builder(), form, transport, &scenario);
    }
}

#[test]
fn a_handshake_may_be_cut_anywhere() {
    cut_everywhere(97);
}

#[test]
#[ignore = "minutes: some 18,000 handshakes, and as many again behind them"]
fn a_handshake_may_be_cut_behind_any_byte() {
    cut_everywhere(1);
}

#[test]
fn a_client_may_stall_anywhere() {
    for version in VERSIONS {
        each_form_of_one(|world| {
            let scene = Scene::new(world, version);
            let sides = sides(&scene);
            let meeting = Meeting::new(&scene, &sides, PATIENCE);
            // Only at the records: each takes as long as the server waits.
            let mut places = meeting.places(Toward::Server, usize::MAX);
            meeting.end();
            places.pop();
            let meeting = Meeting::new(&scene, &sides, Duration::from_millis(20));
            for after in places {
                let cut = Cut {
                    toward: Toward::Server,
                    after,
                    how: How::Stall,
                };
                let [client, socket, server] = meeting.meet(Some(cut));
                assert_eq!(server, ["ERR_TLS_HANDSHAKE_TIMEOUT"], "{version} {after}");
                assert_eq!(socket, ["close(true)"], "{version} {after}");
                assert_told_once(&client, None, How::Close, &format!("{version} {after}"));
            }
            meeting.end();
        });
    }
}
