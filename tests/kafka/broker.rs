//! A real broker as a child process, and the independent client.
//!
//! What cannot be had here skips the test, unless `OMLSP_REQUIRE_KAFKA=1` makes that a failure.

// Benches compile all of this and use a part of it.
#![allow(dead_code)]

use std::io::{BufRead as _, Write as _};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use serde_json::Value;

use crate::support::address;

/// A broker with its data in a temporary folder. It ends with the value, or with the test program.
pub struct Broker {
    /// The host is this broker's own, so that the two ports that follow are unused too.
    address: SocketAddr,
    folder: PathBuf,
    /// Has its standard input closed by the system when this program ends, however it ends.
    guard: std::process::Child,
}

fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/kafka")
        .join(name)
}

/// Says whether a broker and the independent client can be had; installs them at the first call.
pub fn available() -> bool {
    static INSTALLED: OnceLock<bool> = OnceLock::new();
    let installed = *INSTALLED.get_or_init(|| {
        ["broker.sh", "peer.sh"].iter().all(|name| {
            let status = Command::new(script(name)).arg("install").status();
            status.is_ok_and(|status| status.success())
        })
    });
    if !installed {
        let required = std::env::var_os("OMLSP_REQUIRE_KAFKA").is_some_and(|value| value == "1");
        assert!(
            !required,
            "OMLSP_REQUIRE_KAFKA=1, but there is no Kafka broker"
        );
        println!("skipped: no Kafka broker");
    }
    installed
}

/// Returns the broker that the tests share which do nothing to it.
pub fn shared() -> &'static Broker {
    static SHARED: OnceLock<Broker> = OnceLock::new();
    SHARED.get_or_init(|| {
        let broker = Broker::reserve();
        broker.start();
        broker
    })
}

impl Broker {
    /// Chooses ports and a folder; nothing runs yet.
    pub fn reserve() -> Self {
        let folder = tempfile::tempdir()
            .expect("the system has a temporary folder")
            .keep();
        let watch = "read -r _; \"$0\" crash \"$1\" 2>/dev/null; rm -rf \"$1\"";
        let guard = Command::new("sh")
            .args(["-c", watch])
            .arg(script("broker.sh"))
            .arg(&folder)
            .stdin(Stdio::piped())
            .spawn()
            .expect("there is a shell");
        Self {
            address: address::unused(),
            folder,
            guard,
        }
    }

    /// Starts it, again with the same data if it has run before.
    ///
    /// # Panics
    /// If it does not start; its log is on stderr then.
    pub fn start(&self) {
        let mut start = Command::new(script("broker.sh"));
        start
            .arg("start")
            .arg(self.address.to_string())
            .arg(&self.folder);
        assert!(start.status().expect("there is a shell").success());
    }

    /// Kills it.
    pub fn crash(&self) {
        let mut crash = Command::new(script("broker.sh"));
        let status = crash.arg("crash").arg(&self.folder).status();
        assert!(status.expect("there is a shell").success());
    }

    /// Stops its process without ending it: it accepts connections and answers nothing.
    pub fn freeze(&self) {
        self.signal("STOP");
    }

    /// Lets it go on.
    pub fn thaw(&self) {
        self.signal("CONT");
    }

    fn signal(&self, name: &str) {
        let pid = std::fs::read_to_string(self.folder.join("pid")).expect("it was started");
        let mut kill = Command::new("kill");
        let status = kill.arg(format!("-{name}")).arg(pid.trim()).status();
        assert!(status.expect("there is a `kill` command").success());
    }

    /// Makes a member of a consumer group, and returns once it has partitions; it leaves with the value.
    ///
    /// # Panics
    /// If it gets none.
    pub fn join(&self, topic: &str, group: &str) -> Member {
        let mut child = Command::new(script("peer.sh"))
            .args(["join", &self.server(), topic, group])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("there is a shell");
        let stdout = child.stdout.take().expect("it is piped");
        let mut line = String::new();
        let read = std::io::BufReader::new(stdout).read_line(&mut line);
        assert!(read.is_ok_and(|count| count > 0), "it joins no group");
        Member(child)
    }

    pub fn server(&self) -> String {
        self.address.to_string()
    }

    /// Returns the address that speaks TLS with SASL.
    pub fn secure_server(&self) -> String {
        format!("{}:{}", self.address.ip(), self.address.port() + 2)
    }

    /// Returns the file of the authority that signed the broker's certificate.
    pub fn authority(&self) -> String {
        self.folder
            .join("ca.pem")
            .to_str()
            .expect("the path is UTF-8")
            .to_owned()
    }

    /// Runs a command of the independent client on a topic, and returns the values it prints.
    ///
    /// # Panics
    /// If it fails.
    pub fn peer(&self, command: &str, topic: &str, arguments: &[&str], input: &str) -> Vec<Value> {
        let mut child = Command::new(script("peer.sh"))
            .args([command, &self.server(), topic])
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("there is a shell");
        let mut stdin = child.stdin.take().expect("it is piped");
        let input = input.to_owned();
        let writer = std::thread::spawn(move || stdin.write_all(input.as_bytes()));
        let output = child.wait_with_output().expect("it was started");
        assert!(output.status.success(), "peer.py {command} {topic} failed");
        writer
            .join()
            .expect("writing does not panic")
            .expect("it reads all of its input");
        let text = String::from_utf8(output.stdout).expect("it prints UTF-8");
        let values = text
            .lines()
            .map(|line| serde_json::from_str(line).expect("it prints JSON"));
        values.collect()
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        drop(self.guard.stdin.take());
        self.guard.wait().expect("the guard was started");
    }
}

/// A member of a consumer group.
pub struct Member(std::process::Child);

impl Drop for Member {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        self.0.wait().expect("it was started");
    }
}
