//! What sockets and servers say of their addresses, and when they say nothing.

mod common;
#[path = "common/place.rs"]
mod place;

use std::cell::RefCell;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::rc::Rc;

use common::{each_case, each_form_tcp, Script, Transport};
use place::{has_ipv6, turn_until};
use tidewheel::net::{
    self, Address, ConnectOptions, EventKind, Family, ServerOptions, Socket, SocketOptions,
};

fn both(socket: &Socket) -> (Option<Address>, Option<Address>) {
    (socket.address(), socket.remote())
}

#[test]
fn before_connect_and_while_connecting_there_is_none() {
    each_case(|world| {
        let server = world.serve_one(|| Script::new("S"));
        let socket = Socket::new(&world.event_loop, SocketOptions::default());
        assert_eq!(both(&socket), (None, None));
        socket
            .connect(world.connect_options(&server), |socket| socket.end())
            .unwrap();
        assert_eq!(both(&socket), (None, None));
        world.watch(&socket, Script::new("C"));
        world.run();
        world.assert_trace("C", "connect ready finish end close(false)");
    });
}

#[test]
fn each_end_of_a_connection_names_the_other() {
    each_case(|world| {
        let accepted: Rc<RefCell<Option<Socket>>> = Rc::default();
        let server = world.server_for(1, ServerOptions::default(), || Script::new("S"));
        let keep = Rc::clone(&accepted);
        server.on_connection(move |socket| *keep.borrow_mut() = Some(socket.clone()));
        let place = server.address();
        let client = world.client(&server, Script::new("C"));
        turn_until(world, || {
            accepted.borrow().is_some() && !client.connecting()
        });
        let far = accepted.take().unwrap();
        assert_eq!(client.remote(), place);
        assert_eq!(far.address(), place);
        assert_eq!(client.address(), far.remote());
        assert!(client.address().is_some());
        if world.transport == Transport::Tcp {
            let address = client.address().unwrap();
            assert_eq!(address.family(), Some(Family::Ipv4));
            assert_eq!(address.ip(), Some(Ipv4Addr::LOCALHOST.into()));
            assert_ne!(address.port(), place.unwrap().port());
        }
        client.end();
        world.run();
    });
}

#[test]
fn in_error_and_close_both_addresses_still_answer_and_after_it_neither() {
    each_case(|world| {
        let server = world.serve_one(|| Script::new("S").on_error(|_, _| {}));
        let known: Rc<RefCell<Vec<_>>> = Rc::default();
        let note = |known: &Rc<RefCell<Vec<_>>>| {
            let known = Rc::clone(known);
            move |socket: &Socket, _: common::Seen<'_>| known.borrow_mut().push(both(socket))
        };
        let connected = Rc::clone(&known);
        let script = Script::new("C")
            .on(EventKind::Connect, move |socket, _| {
                connected.borrow_mut().push(both(socket));
                socket.destroy_with(tidewheel::Error::other("enough"));
            })
            .on(EventKind::Error, note(&known))
            .on(EventKind::Close, note(&known));
        let client = world.client(&server, script);
        world.run();
        let known = known.take();
        assert_eq!(known.len(), 3);
        assert!(known[0].0.is_some() && known[0].1 == Some(known[0].1.clone().unwrap()));
        assert!(known.iter().all(|pair| *pair == known[0]));
        assert_eq!(both(&client), (None, None));
    });
}

#[test]
fn an_accepted_socket_keeps_its_peers_address_to_the_end() {
    each_case(|world| {
        let seen: Rc<RefCell<Vec<_>>> = Rc::default();
        let server = world.serve_one({
            let seen = Rc::clone(&seen);
            move || {
                let at_close = Rc::clone(&seen);
                Script::new("S").on(EventKind::Close, move |socket, _| {
                    at_close.borrow_mut().push(both(socket));
                })
            }
        });
        let met = Rc::clone(&seen);
        server.on_connection(move |socket| met.borrow_mut().push(both(socket)));
        drop(world.peer(&server));
        world.run();
        let seen = seen.take();
        assert_eq!(seen.len(), 2);
        assert!(seen[0].0.is_some() && seen[0].1.is_some());
        assert_eq!(seen[0], seen[1]);
    });
}

// Only TCP has interfaces.
#[test]
fn behind_all_interfaces_a_connection_names_the_one_it_came_by() {
    each_form_tcp(|world| {
        let server = net::create_server(&world.event_loop, |socket| {
            let local = socket.address().unwrap();
            assert_eq!(local.ip(), Some(Ipv4Addr::LOCALHOST.into()));
            socket.server().unwrap().close();
            socket.end();
        });
        server.listen(("0.0.0.0", 0), |_| {}).unwrap();
        let address = server.address().unwrap();
        assert_eq!(address.ip(), Some(Ipv4Addr::UNSPECIFIED.into()));
        assert_eq!(address.family(), Some(Family::Ipv4));
        let port = address.port().unwrap();
        world.client_with(("127.0.0.1", port).into(), Script::new("C"));
        world.run();
        world.assert_trace("C", "connect ready end finish close(false)");
    });
}

// Only TCP has IPv6.
#[test]
fn a_dual_stack_server_sees_ipv4_peers_mapped() {
    each_form_tcp(|world| {
        if !has_ipv6() {
            return;
        }
        let server = net::create_server(&world.event_loop, |socket| {
            let remote = socket.remote().unwrap();
            let mapped = Ipv4Addr::LOCALHOST.to_ipv6_mapped();
            assert_eq!(remote.ip(), Some(mapped.into()));
            assert_eq!(remote.ip().unwrap().to_string(), "::ffff:127.0.0.1");
            assert_eq!(remote.family(), Some(Family::Ipv6));
            socket.server().unwrap().close();
            socket.end();
        });
        server.listen(0, |_| {}).unwrap();
        let port = server.address().unwrap().port().unwrap();
        world.client_with(("127.0.0.1", port).into(), Script::new("C"));
        world.run();
        world.assert_trace("C", "connect ready end finish close(false)");
    });
}

// Only TCP has IPv6.
#[test]
fn an_ipv6_server_says_ipv6() {
    each_form_tcp(|world| {
        if !has_ipv6() {
            return;
        }
        let server = net::create_server(&world.event_loop, |socket| {
            socket.server().unwrap().close();
            assert_eq!(socket.remote().unwrap().family(), Some(Family::Ipv6));
            socket.end();
        });
        server.listen((Ipv6Addr::LOCALHOST, 0), |_| {}).unwrap();
        let address = server.address().unwrap();
        assert_eq!(address.family(), Some(Family::Ipv6));
        assert_eq!(address.family().unwrap().as_str(), "IPv6");
        assert!(address.to_string().starts_with("[::1]:"));
        world.client(&server, Script::new("C"));
        world.run();
        world.assert_trace("C", "connect ready end finish close(false)");
    });
}

#[test]
fn a_server_has_an_address_only_while_it_listens() {
    each_case(|world| {
        let server = net::create_server(&world.event_loop, |_| {});
        assert_eq!(server.address(), None);
        server.listen(world.listen_options(), |_| {}).unwrap();
        assert!(server.address().is_some());
        server.on_close(|server| assert_eq!(server.address(), None));
        server.close();
        assert_eq!(server.address(), None);
        world.run();
        assert_eq!(server.address(), None);
    });
}

#[test]
fn the_address_of_a_server_is_an_option_for_connect() {
    each_case(|world| {
        let server = world.serve_one(|| Script::new("S"));
        let options = ConnectOptions::from(server.address().unwrap());
        let client = Script::new("C").on(EventKind::Connect, |socket, _| socket.end());
        world.client_with(options, client);
        world.run();
        world.assert_trace("C", "connect ready finish end close(false)");
    });
}

#[test]
fn each_new_connection_has_fresh_values() {
    each_case(|world| {
        let server = world.server_for(3, ServerOptions::default(), || Script::new("S"));
        let peers: Rc<RefCell<Vec<_>>> = Rc::default();
        let met = Rc::clone(&peers);
        server.on_connection(move |socket| met.borrow_mut().push(socket.remote()));
        let own: Rc<RefCell<Vec<_>>> = Rc::default();
        for _ in 0..3 {
            let own = Rc::clone(&own);
            let client = Script::new("C").on(EventKind::Connect, move |socket, _| {
                own.borrow_mut().push(socket.address());
                socket.end();
            });
            world.client(&server, client);
        }
        world.run();
        let (mut peers, mut own) = (peers.take(), own.take());
        for all in [&mut peers, &mut own] {
            all.sort_by_key(|address| address.as_ref().map(ToString::to_string));
        }
        assert_eq!(peers, own);
        if world.transport == Transport::Tcp {
            own.dedup();
            assert_eq!(own.len(), 3);
        }
    });
}
