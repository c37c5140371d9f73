//! `localhost`: 127.0.0.1, and ::1 when that fails. Only TCP has hosts.

mod common;
#[path = "common/place.rs"]
mod place;

use std::panic::{catch_unwind, resume_unwind, AssertUnwindSafe};

use common::{each_form_tcp, Script};
use place::{has_ipv6, Nobody};
use tidewheel::net::{self, EventKind, ServerOptions};
use tidewheel::Code;

#[test]
fn localhost_is_the_default_host_and_means_127_0_0_1() {
    each_form_tcp(|world| {
        let server = world.server_for(3, ServerOptions::default(), || Script::new("S"));
        let port = server.address().unwrap().port().unwrap();
        for options in [
            port.into(),
            ("localhost", port).into(),
            ("LocalHost", port).into(),
        ] {
            let client = Script::new("C").on(EventKind::Connect, move |socket, _| {
                let remote = socket.remote().unwrap();
                assert_eq!(remote.to_string(), format!("127.0.0.1:{port}"));
                socket.end();
            });
            world.client_with(options, client);
        }
        world.run();
        assert_eq!(world.events("C").len(), 3 * 5);
    });
}

#[test]
fn localhost_is_1_when_127_0_0_1_refuses() {
    each_form_tcp(|world| {
        if !has_ipv6() {
            return;
        }
        // A port that is bound on 127.0.0.1 and not listened on refuses there; on ::1 it is free.
        let nobody = Nobody::new(world);
        let port = nobody.address.port().unwrap();
        let server = net::create_server(&world.event_loop, |socket| {
            socket.server().unwrap().close();
            socket.end();
        });
        server.listen(("::1", port), |_| {}).unwrap();
        let client = Script::new("C").on(EventKind::Connect, move |socket, _| {
            let remote = socket.remote().unwrap();
            assert_eq!(remote.to_string(), format!("[::1]:{port}"));
        });
        world.client_with(port.into(), client);
        world.run();
        world.assert_trace("C", "connect ready end finish close(false)");
    });
}

#[test]
fn when_all_addresses_of_localhost_refuse_the_error_names_them_all() {
    each_form_tcp(|world| {
        let nobody = Nobody::new(world);
        let port = nobody.address.port().unwrap();
        let client = Script::new("C").on_error(move |_, error| {
            let first = format!("connect ECONNREFUSED 127.0.0.1:{port}");
            assert_eq!(
                error.to_string(),
                format!("{first} (and 1 more address failed)")
            );
            assert_eq!(error.code(), Code::ConnRefused);
            assert_eq!(error.address().unwrap().port(), Some(port));
            let [v4, v6] = error.errors() else {
                panic!("{:?}", error.errors());
            };
            assert_eq!(v4.to_string(), first);
            assert!(v6.to_string().ends_with(&format!(" ::1:{port}")), "{v6}");
        });
        world.client_with(port.into(), client);
        world.run();
        world.assert_trace("C", "error(ECONNREFUSED) close(true)");
    });
}

#[test]
fn a_lookup_listener_that_panics_keeps_neither_the_other_addresses_nor_the_connection() {
    each_form_tcp(|world| {
        let server = world.server_for(1, ServerOptions::default(), || {
            Script::new("S").on(EventKind::End, |_, _| {})
        });
        let port = server.address().unwrap().port().unwrap();
        let client = net::connect(&world.event_loop, ("localhost", port), |socket| {
            socket.end()
        });
        let note = world.noter();
        client.on_lookup(move |_, lookup| {
            note(&format!("L:{}", lookup.address().unwrap()));
            resume_unwind(Box::new("lookup"));
        });
        world.watch(&client, Script::new("C"));
        for _ in 0..2 {
            let run = catch_unwind(AssertUnwindSafe(|| world.event_loop.run()));
            assert_eq!(run.unwrap_err().downcast_ref(), Some(&"lookup"));
        }
        world.run();
        assert_eq!(world.events("L"), ["127.0.0.1", "::1"]);
        world.assert_trace("C", "connect ready finish end close(false)");
    });
}
