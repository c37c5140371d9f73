//! What issuers say of certificates, by OCSP and by lists, as OpenSSL and Node give and take it.

use super::*;

/// A certificate authority with one server, and what it says of it by OCSP.
fn make_ocsp(place: &Path) {
    for line in [
        "openssl req -x509 -newkey rsa:2048 -nodes -keyout ca.pem -subj /CN=ca -days 365 -out ca.crt",
        "openssl req -newkey rsa:2048 -nodes -keyout own.pem -subj /CN=localhost -addext subjectAltName=DNS:localhost -out own.csr",
        "openssl x509 -req -days 365 -in own.csr -CA ca.crt -CAkey ca.pem -set_serial 7 -copy_extensions copy -out own.crt",
        "printf 'V\\t350101000000Z\\t\\t07\\tunknown\\t/CN=localhost\\n' > index.txt",
        "openssl ocsp -index index.txt -CA ca.crt -rsigner ca.crt -rkey ca.pem -issuer ca.crt -cert own.crt -ndays 365 -respout own.ocsp",
    ] {
        sh(place, line);
    }
}

/// What a child of this process says to a server that staples, and counts how often it is asked.
fn stapling(world: &World, place: &Path, line: &str, mut count: impl FnMut() + 'static) -> String {
    let options = TlsOptions::default()
        .key(place.join("own.pem"))
        .cert(place.join("own.crt"));
    let server = tls::create_server(&world.event_loop, options, |socket| {
        socket.end_with("hello");
        socket.server().unwrap().close();
    })
    .unwrap();
    let response = std::fs::read(place.join("own.ocsp")).unwrap();
    server.on_ocsp_request(move |_, _, _, reply| {
        count();
        reply.staple(&response);
    });
    server.listen(("127.0.0.1", 0), |_| {}).unwrap();
    let port = server.address().unwrap().port().unwrap();
    let line = line.replace("PORT", &port.to_string());
    let mut child = Command::new("sh");
    child.arg("-c").arg(&line).current_dir(place);
    child.stdin(Stdio::null()).stdout(Stdio::piped());
    let child = child.stderr(Stdio::piped()).spawn().unwrap();
    world.run();
    let output = child.wait_with_output().unwrap();
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn their_ocsp_and_ours() {
    if !has("openssl") {
        return;
    }
    let node = has("node");
    over_tcp(|world, place| {
        make_ocsp(place);
        let response = std::fs::read(place.join("own.ocsp")).unwrap();
        let asked = Rc::new(RefCell::new(0));
        let serve = |line: String| {
            let asked = Rc::clone(&asked);
            stapling(world, place, &line, move || *asked.borrow_mut() += 1)
        };
        for version in ["-tls1_2", "-tls1_3"] {
            let line = format!("openssl s_client -connect 127.0.0.1:PORT -servername localhost -CAfile ca.crt {version}");
            let said = serve(format!("{line} -status"));
            assert!(said.contains("Cert Status: good"), "{version}: {said}");
            assert_eq!(asked.take(), 1);
            // Who does not want one is not asked about.
            let said = serve(line);
            assert!(said.contains("code: 0 (ok)"), "{version}: {said}");
            assert_eq!(asked.take(), 0);
        }
        if node {
            let said = serve("node -e \"const f=require('fs').readFileSync;const s=require('tls').connect({host:'127.0.0.1',servername:'localhost',port:PORT,ca:f('ca.crt'),requestOCSP:true});s.on('OCSPResponse',r=>console.log('stapled',r&&r.equals(f('own.ocsp'))));s.on('error',e=>console.log(e));s.resume()\"".into());
            assert!(said.contains("stapled true"), "{said}");
        }
        let mut lines = vec![
            "openssl s_server -accept 127.0.0.1:PORT -cert own.crt -key own.pem -tls1_2 -rev -status_file own.ocsp",
            "openssl s_server -accept 127.0.0.1:PORT -cert own.crt -key own.pem -tls1_3 -rev -status_file own.ocsp",
        ];
        if node {
            lines.push("node -e \"const f=require('fs').readFileSync;require('tls').createServer({cert:f('own.crt'),key:f('own.pem')},c=>c.pipe(c)).on('OCSPRequest',(c,i,cb)=>cb(null,f('own.ocsp'))).listen(PORT,'127.0.0.1',()=>console.log('up'))\"");
        }
        for line in lines {
            let port = free_port();
            let _other = Other::start(place, &line.replace("PORT", &port.to_string()));
            let options = TlsConnectOptions::from(("127.0.0.1", port))
                .servername("localhost")
                .ca(place.join("ca.crt"))
                .request_ocsp(true);
            let client = tls::connect(&world.event_loop, options, |socket| {
                socket.destroy();
            });
            let got = Rc::new(RefCell::new(None));
            let heard = Rc::clone(&got);
            client.on_ocsp_response(move |_, response| {
                *heard.borrow_mut() = response.map(<[u8]>::to_vec);
            });
            world.run();
            assert_eq!(got.take().as_deref(), Some(&response[..]), "{line}");
        }
    });
}

/// Lists made by `openssl ca`: of version 1 without a setting, and of version 2 with it.
#[test]
fn their_revocation_lists() {
    if !has("openssl") {
        return;
    }
    over_tcp(|world, place| {
        make_ocsp(place);
        let config = "[ca]\ndefault_ca=own\n[own]\ndatabase=index.txt\ndefault_md=sha256\n";
        std::fs::write(place.join("ca.cnf"), config).unwrap();
        let list = "openssl ca -config ca.cnf -keyfile ca.pem -cert ca.crt -crldays 30";
        sh(place, &format!("{list} -gencrl -out old.crl"));
        sh(place, "echo crlnumber=number >> ca.cnf; echo 01 > number");
        sh(place, &format!("{list} -gencrl -out good.crl"));
        sh(place, &format!("{list} -revoke own.crt"));
        sh(place, &format!("{list} -gencrl -out bad.crl"));
        let options = || TlsConnectOptions::from(1).ca(place.join("ca.crt"));
        for (list, told) in [
            ("old.crl", "ERR_OSSL_UNSUPPORTED"),
            ("good.crl", "secure"),
            ("bad.crl", "CERT_REVOKED"),
        ] {
            let own = TlsOptions::default()
                .key(place.join("own.pem"))
                .cert(place.join("own.crt"));
            let server = tls::create_server(&world.event_loop, own, |_| {}).unwrap();
            server.on_tls_client_error(|_, _, _| {});
            server.listen(("127.0.0.1", 0), |_| {}).unwrap();
            let port = server.address().unwrap().port().unwrap();
            let heard = Rc::new(RefCell::new(Vec::new()));
            let secure = Rc::clone(&heard);
            let options = options()
                .host("127.0.0.1")
                .port(port)
                .servername("localhost");
            let client = tls::connect(
                &world.event_loop,
                options.crl(place.join(list)),
                move |socket| {
                    secure.borrow_mut().push("secure".to_owned());
                    socket.destroy();
                },
            );
            let failed = Rc::clone(&heard);
            client.on_error(move |_, error| failed.borrow_mut().push(error.code().to_string()));
            client.on_close(move |_, _| {
                server.close();
            });
            world.run();
            assert_eq!(heard.take(), [told], "{list}");
        }
    });
}
