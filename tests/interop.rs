//! The examples and the programs of others: Node, Python and `nc` with our servers, and ours with their servers. What is
//! not installed is skipped, and says so.

use std::process::Command;

use programs::teaching::{check_client, check_server, listening};
use programs::{run_example, skip, tool, Peer, Program, SocketPath};

#[path = "common/census.rs"]
mod census;
mod programs;

const HERE: &str = "127.0.0.1:0";

/// The server that taught Node's `net`, as it was published but for the port.
const NODE_SERVER: &str = r#"
const net = require("net");
const server = net.createServer(function (client) {
  console.log("Client connection: ");
  console.log("   local = %s:%s", client.localAddress, client.localPort);
  console.log("   remote = %s:%s", client.remoteAddress, client.remotePort);
  client.setTimeout(500);
  client.setEncoding("utf8");
  client.on("data", function (data) {
    console.log(
      "Received data from client on port %d: %s",
      client.remotePort,
      data.toString()
    );
    console.log("  Bytes received: " + client.bytesRead);
    writeData(client, "Sending: " + data.toString());
    console.log("  Bytes sent: " + client.bytesWritten);
  });
  client.on("end", function () {
    console.log("Client disconnected");
    server.getConnections(function (err, count) {
      console.log("Remaining Connections: " + count);
    });
  });
  client.on("error", function (err) {
    console.log("Socket Error: ", JSON.stringify(err));
  });
  client.on("timeout", function () {
    console.log("Socket Timed out");
  });
});
server.listen(process.argv[1], function () {
  console.log("Server listening: " + JSON.stringify(server.address()));
  server.on("close", function () {
    console.log("Server Terminated");
  });
  server.on("error", function (err) {
    console.log("Server Error: ", JSON.stringify(err));
  });
});
function writeData(socket, data) {
  const success = !socket.write(data);
  if (!success) {
    (function (socket, data) {
      socket.once("drain", function () {
        writeData(socket, data);
      });
    })(socket, data);
  }
}
"#;

/// Its client, likewise.
const NODE_CLIENT: &str = r#"
const net = require("net");
function getConnection(connName) {
  const client = net.connect({ port: process.argv[1], host: "localhost" }, function () {
    console.log(connName + " Connected: ");
    console.log("   local = %s:%s", this.localAddress, this.localPort);
    console.log("   remote = %s:%s", this.remoteAddress, this.remotePort);
    this.setTimeout(500);
    this.setEncoding("utf8");
    this.on("data", function (data) {
      console.log(connName + " From Server: " + data.toString());
      this.end();
    });
    this.on("end", function () {
      console.log(connName + " Client disconnected");
    });
    this.on("error", function (err) {
      console.log("Socket Error: ", JSON.stringify(err));
    });
    this.on("timeout", function () {
      console.log("Socket Timed Out");
    });
    this.on("close", function () {
      console.log("Socket Closed");
    });
  });
  return client;
}
function writeData(socket, data) {
  const success = !socket.write(data);
  if (!success) {
    (function (socket, data) {
      socket.once("drain", function () {
        writeData(socket, data);
      });
    })(socket, data);
  }
}
const Dwarves = getConnection("Dwarves");
const Elves = getConnection("Elves");
const Hobbits = getConnection("Hobbits");
writeData(Dwarves, "More Axes");
writeData(Elves, "More Arrows");
writeData(Hobbits, "More Pipe Weed");
"#;

/// Sends 4 MiB to a port or a path, ends, and wants them back.
const NODE_ECHO_CLIENT: &str = r#"
const net = require("net");
const sent = require("crypto").randomBytes(4 << 20);
const [port, host] = process.argv[1].split(":").reverse();
const socket = process.argv[1].includes("/") ? net.connect(process.argv[1]) : net.connect(+port, host);
const got = [];
socket.on("data", (data) => got.push(data));
socket.on("end", () => console.log(Buffer.concat(got).equals(sent) ? "same" : "different"));
socket.on("close", (hadError) => console.log("closed", hadError));
socket.end(sent);
"#;

const NODE_ECHO_SERVER: &str = r#"
const net = require("net");
const server = net.createServer({ allowHalfOpen: true }, (socket) => socket.pipe(socket));
const path = process.argv[1];
server.listen(path.includes("/") ? { path } : { port: 0, host: "127.0.0.1" }, () => {
  console.log("listening on " + (path.includes("/") ? path : "127.0.0.1:" + server.address().port));
});
"#;

const PYTHON_ECHO_CLIENT: &str = r#"
import os, socket, sys, threading
sent = os.urandom(4 << 20)
place = sys.argv[1]
if "/" in place:
    s = socket.socket(socket.AF_UNIX)
    s.connect(place)
else:
    host, port = place.rsplit(":", 1)
    s = socket.create_connection((host, int(port)))
def send():
    s.sendall(sent)
    s.shutdown(socket.SHUT_WR)
threading.Thread(target=send).start()
got = b"".join(iter(lambda: s.recv(65536), b""))
print("same" if got == sent else "different")
s.close()
print("closed false")
"#;

const PYTHON_ECHO_SERVER: &str = r#"
import socket, sys
place = sys.argv[1]
s = socket.socket(socket.AF_UNIX if "/" in place else socket.AF_INET)
s.bind(place if "/" in place else ("127.0.0.1", 0))
s.listen()
print("listening on", place if "/" in place else "127.0.0.1:%d" % s.getsockname()[1], flush=True)
while True:
    peer, _ = s.accept()
    for data in iter(lambda: peer.recv(65536), b""):
        peer.sendall(data)
    peer.close()
"#;

#[test]
fn our_server_and_the_client_of_node() {
    let (Some(node), Some(server)) = (tool("node"), run_example("socket_server", ["0"])) else {
        return;
    };
    let port = listening(&server);
    let client = script(node, NODE_CLIENT, &port.to_string());
    let ended = client.ended();
    assert_eq!((ended.status, ended.stderr.as_str()), (Some(0), ""));
    check_client(&ended.stdout, port);
    check_server(&server, port);
}

#[test]
fn the_server_of_node_and_our_client() {
    let Some(node) = tool("node") else {
        return;
    };
    let server = script(node, NODE_SERVER, "0");
    let port = listening(&server);
    let Some(client) = run_example("socket_client", [port.to_string()]) else {
        return;
    };
    let ended = client.ended();
    assert_eq!((ended.status, ended.stderr.as_str()), (Some(0), ""));
    check_client(&ended.stdout, port);
    check_server(&server, port);
}

/// Both originals, so that what the two tests above want is what Node does.
#[test]
fn the_originals() {
    let (Some(server), Some(client)) = (tool("node"), tool("node")) else {
        return;
    };
    let server = script(server, NODE_SERVER, "0");
    let port = listening(&server);
    let ended = script(client, NODE_CLIENT, &port.to_string()).ended();
    check_client(&ended.stdout, port);
    check_server(&server, port);
}

#[test]
fn node_and_echo() {
    client_and_echo("node", NODE_ECHO_CLIENT);
}

#[test]
fn python_and_echo() {
    client_and_echo("python3", PYTHON_ECHO_CLIENT);
}

fn client_and_echo(name: &str, client: &str) {
    for flags in [&[][..], &["--listener"], &["--half-open"]] {
        let path = SocketPath::new();
        for place in [HERE, path.as_str()] {
            let arguments = [&[place], flags].concat();
            let (Some(tool), Some(echo)) = (tool(name), run_example("echo", arguments)) else {
                return;
            };
            let ended = script(tool, client, &echo.address()).ended();
            assert_eq!(ended.stdout, ["same", "closed false"], "{}", ended.stderr);
        }
    }
}

#[test]
fn echo_of_node_behind_proxy() {
    echo_behind_proxy("node", NODE_ECHO_SERVER);
}

#[test]
fn echo_of_python_behind_proxy() {
    echo_behind_proxy("python3", PYTHON_ECHO_SERVER);
}

fn echo_behind_proxy(name: &str, server: &str) {
    let path = SocketPath::new();
    for place in [HERE, path.as_str()] {
        let Some(tool) = tool(name) else {
            return;
        };
        let server = script(tool, server, place);
        let Some(proxy) = run_example("proxy", [HERE, &server.address()]) else {
            return;
        };
        Peer::to(&proxy.address()).round_trip(8 * 1024 * 1024);
    }
}

#[test]
fn netcat_and_echo() {
    let help = Command::new("nc").arg("-h").output();
    let Ok(help) = help else {
        return skip("nc is not installed");
    };
    let help = [help.stdout, help.stderr].concat();
    if !String::from_utf8_lossy(&help).contains("-N") {
        return skip("this nc cannot end one side (-N)");
    }
    let path = SocketPath::new();
    for place in [HERE, path.as_str()] {
        let Some(echo) = run_example("echo", [place]) else {
            return;
        };
        let address = echo.address();
        let mut nc = Command::new("nc");
        match address.rsplit_once(':') {
            Some((host, port)) => nc.args(["-N", host, port]),
            None => nc.args(["-N", "-U", &address]),
        };
        let ended = Program::fed(&mut nc, "hello\nworld\n").ended();
        assert_eq!(ended.stdout, ["hello", "world"], "{}", ended.stderr);
    }
}

/// Runs a script of `node` or `python3` with one argument.
fn script(mut tool: Command, text: &str, argument: &str) -> Program {
    let flag = match tool.get_program().to_str() {
        Some("node") => "-e",
        _ => "-c",
    };
    Program::start(tool.args([flag, text, argument]))
}
