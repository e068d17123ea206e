//! A pipeline that listens, and plain requests to it.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::support::binary::{Project, Running, WAIT_MAX, wait_until};

/// `omlsp run p.sql --listen …` in a project's folder.
pub struct Listening {
    pub running: Running,
    pub address: SocketAddr,
}

impl Listening {
    /// Starts the pipeline of the project on a free port of loopback.
    pub fn start(project: &Project) -> Self {
        Self::start_with(project, &["--listen", "127.0.0.1:0"], &[])
    }

    pub fn start_with(project: &Project, args: &[&str], env: &[(&str, &str)]) -> Self {
        let fixed = ["run", "p.sql", "--state-dir", "state"];
        let mut omlsp = project.omlsp(fixed.iter().chain(args).copied());
        for (name, value) in env {
            omlsp = omlsp.env(name, value);
        }
        Self::of(omlsp.spawn())
    }

    /// Waits until a run listens.
    pub fn of(mut running: Running) -> Self {
        const SAYS: &str = "watch it at http://";
        running.wait_for_stderr(SAYS);
        let log = running.stderr();
        let rest = &log[log.find(SAYS).expect("it was just seen") + SAYS.len()..];
        let address: SocketAddr = rest[..rest.find('/').expect("the address ends")]
            .parse()
            .expect("it names an address");
        let loopback = SocketAddr::from(([127, 0, 0, 1], address.port()));
        Self {
            running,
            address: loopback,
        }
    }

    /// Sends a request as it is written and returns the whole answer.
    pub fn raw(&self, request: &[u8]) -> Answer {
        let mut stream = TcpStream::connect(self.address).expect("it listens");
        stream
            .set_read_timeout(Some(WAIT_MAX))
            .expect("a timeout can be set");
        // A request that is too large may be refused before it is all sent.
        stream.write_all(request).unwrap_or_default();
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes).unwrap_or_default();
        Answer::of(&bytes)
    }

    pub fn get(&self, path: &str) -> Answer {
        self.get_with(path, "")
    }

    /// Asks with more header lines, each with its line break.
    pub fn get_with(&self, path: &str, headers: &str) -> Answer {
        let host = self.address;
        let head =
            format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n{headers}\r\n");
        self.raw(head.as_bytes())
    }

    pub fn post_sql(&self, sql: &str, headers: &str) -> Answer {
        let body = serde_json::json!({ "sql": sql }).to_string();
        let (host, length) = (self.address, body.len());
        let head = format!(
            "POST /api/sql HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\nContent-Length: {length}\r\n\
             Content-Type: application/json\r\n{headers}\r\n{body}"
        );
        self.raw(head.as_bytes())
    }

    /// Returns what one entity is doing.
    pub fn entity(&self, name: &str) -> Value {
        let status = self.get("/api/entities").json();
        let mut entities = status["entities"]
            .as_array()
            .expect("there are entities")
            .iter();
        entities
            .find(|entity| entity["name"] == name)
            .unwrap_or_else(|| panic!("no `{name}` in {status}"))
            .clone()
    }

    /// Waits until a figure of an entity is as it should be.
    pub fn wait_for(&self, name: &str, figure: &str, is: impl Fn(&Value) -> bool) {
        let what = format!("{figure} of {name}");
        wait_until(|| is(&self.entity(name)[figure]), &what);
    }

    /// Returns the value of a metric with its labels as they are written.
    pub fn metric(&self, name: &str) -> Option<f64> {
        let text = self.get("/metrics").expect_status(200).body;
        let line = text
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.map(|value| value.parse().expect("a metric is a number"))
    }
}

/// An answer over HTTP.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub head: String,
    pub body: String,
}

impl Answer {
    fn of(bytes: &[u8]) -> Self {
        let text = String::from_utf8_lossy(bytes);
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
        let status = head.split(' ').nth(1).and_then(|word| word.parse().ok());
        Self {
            // 0: the connection was closed without a word.
            status: status.unwrap_or(0),
            head: head.to_lowercase(),
            body: body.to_owned(),
        }
    }

    pub fn expect_status(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{self:?}");
        self
    }

    pub fn json(self) -> Value {
        let answer = self.expect_status(200);
        serde_json::from_str(&answer.body).unwrap_or_else(|error| panic!("{error}: {answer:?}"))
    }
}

/// Returns what `tests/watch/install.sh` installed, or `None` after saying that the test is skipped, unless
/// the environment asks for it.
pub fn installed(what: &str) -> Option<PathBuf> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/watch/install.sh");
    let output = Command::new(script)
        .arg(what)
        .output()
        .expect("there is a shell");
    let path = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    if output.status.success() {
        return Some(PathBuf::from(path));
    }
    let variable = format!("OMLSP_REQUIRE_{}", what.to_uppercase());
    let required = std::env::var_os(&variable).is_some_and(|value| value == "1");
    let why = String::from_utf8_lossy(&output.stderr);
    assert!(!required, "{variable}=1, but there is no {what}:\n{why}");
    println!("skipped: no {what}");
    None
}
