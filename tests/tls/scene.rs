//! A world with certificates: servers and clients under TLS, watched as those without.

use std::cell::Cell;
use std::ops::Deref;

use tidewheel::net::{Address, Server, Socket};
use tidewheel::tls::{self, TlsConnectOptions, TlsOptions, TlsVersion};

use crate::certs::{Authority, Identity};
use crate::common::{each_case, run_on, Form, Script, Transport, World};

pub struct Scene<'w> {
    pub world: &'w World,
    pub version: TlsVersion,
    pub ca: Authority,
    pub own: Identity,
}

pub const VERSIONS: [TlsVersion; 2] = [TlsVersion::V1_2, TlsVersion::V1_3];

/// Runs a scenario in each form, over TCP and UNIX sockets, with both versions of the protocol.
#[track_caller]
pub fn each_scene(scenario: impl Fn(&Scene<'_>)) {
    for version in VERSIONS {
        each_case(|world| scenario(&Scene::new(world, version)));
    }
}

/// Runs a scenario in one form, over TCP, with one version of the protocol.
#[track_caller]
pub fn over_tcp(version: TlsVersion, scenario: impl Fn(&Scene<'_>)) {
    let builder = tidewheel::EventLoop::builder();
    run_on(builder, Form::Closures, Transport::Tcp, &|world| {
        scenario(&Scene::new(world, version));
    });
}

impl<'w> Scene<'w> {
    pub fn new(world: &'w World, version: TlsVersion) -> Scene<'w> {
        let ca = Authority::new("ca");
        let own = ca.issue(&["localhost", "127.0.0.1"]);
        Scene {
            world,
            version,
            ca,
            own,
        }
    }

    pub fn server_options(&self) -> TlsOptions {
        TlsOptions::default()
            .key(&self.own.key)
            .cert(&self.own.cert)
    }

    pub fn client_options(&self, server: &Server) -> TlsConnectOptions {
        let options = match server.address().unwrap() {
            Address::Path(path) => TlsConnectOptions::from(path),
            address => TlsConnectOptions::from(("127.0.0.1", address.port().unwrap())),
        };
        options
            .ca(self.ca.pem())
            .min_version(self.version)
            .max_version(self.version)
    }

    pub fn listen(&self, options: TlsOptions) -> Server {
        let probe = self.world.probe();
        let server = tls::create_server(&self.world.event_loop, options, move |_| {
            let _ = &probe;
        });
        let server = server.unwrap();
        server.listen(self.world.listen_options(), |_| {}).unwrap();
        server
    }

    /// A server for one connection, which is watched from the moment it is accepted.
    pub fn serve_one(&self, options: TlsOptions, script: impl Fn() -> Script + 'static) -> Server {
        let server = self.listen(options);
        let watcher = self.world.watcher();
        let left = Cell::new(1);
        server.on_connection(move |socket| {
            watcher.watch(socket, script());
            left.set(left.get() - 1);
            if left.get() == 0 {
                socket.server().unwrap().close();
            }
        });
        server
    }

    pub fn client(&self, server: &Server, script: Script) -> Socket {
        self.client_with(self.client_options(server), script)
    }

    pub fn client_with(&self, options: TlsConnectOptions, script: Script) -> Socket {
        let socket = tls::connect(&self.world.event_loop, options, |_| {});
        self.world.watch(&socket, script);
        socket
    }
}

impl Deref for Scene<'_> {
    type Target = World;

    fn deref(&self) -> &World {
        self.world
    }
}
