//! A real Prometheus from Debian: its checker and its scraper.

use std::io::Write as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use super::listener::PIPELINE;
use super::setting::{Listening, installed};
use crate::support::binary::{Project, wait_until};
use crate::support::{address, snippets};

/// Ends with the value.
struct Scraper(Child);

impl Drop for Scraper {
    fn drop(&mut self) {
        self.0.kill().unwrap_or_default();
        drop(self.0.wait());
    }
}

/// Asks Prometheus for the value of an expression.
fn value(address: &str, expression: &str) -> Option<String> {
    let url = format!("http://{address}/api/v1/query?query={expression}");
    let text = ureq::get(&url)
        .call()
        .ok()?
        .body_mut()
        .read_to_string()
        .ok()?;
    let answer: serde_json::Value = serde_json::from_str(&text).ok()?;
    Some(answer["data"]["result"][0]["value"][1].as_str()?.to_owned())
}

/// What `docs/operating.md` says of Prometheus: its configuration, and the metrics to alert on.
fn check_documented(project: &Project, programs: &Path, metrics: &str) {
    for snippet in snippets::of("yaml") {
        let path = project.file("documented.yml", &snippet.text);
        let mut check = Command::new(programs.join("promtool"));
        let output = check.args(["check", "config"]).arg(path).output();
        let output = output.expect("promtool is installed");
        assert!(output.status.success(), "{}: {output:?}", snippet.place);
    }
    let prose = snippets::read().1;
    let mut named = 0;
    for span in snippets::spans(&prose) {
        let words = span.split(|c: char| !(c.is_ascii_lowercase() || c == '_'));
        for word in words.filter(|word| word.starts_with("omlsp_") && *word != "omlsp_errors") {
            assert!(
                metrics.contains(&format!("# HELP {word} ")),
                "no metric `{word}`"
            );
            named += 1;
        }
    }
    assert!(named >= 4, "{named}");
}

#[test]
fn promtool_finds_no_fault_and_prometheus_scrapes() {
    let Some(programs) = installed("prometheus") else {
        return;
    };
    let project = Project::new();
    // A name with everything that has to be escaped in a label.
    let odd = "CREATE TABLE \"odd \\ name\" (n BIGINT) WITH (connector = 'generate', rows = 3);";
    project.file("p.sql", format!("{PIPELINE}\n{odd}"));
    let listening = Listening::start(&project);
    listening.wait_for("odd \\ name", "rows_out", |rows| *rows == 3);
    listening.wait_for("total", "rows_out", |rows| rows.as_u64() >= Some(1));

    let mut check = Command::new(programs.join("promtool"))
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("promtool is installed");
    let text = listening.get("/metrics").expect_status(200).body;
    let mut stdin = check.stdin.take().expect("it is piped");
    stdin.write_all(text.as_bytes()).expect("it reads all");
    drop(stdin);
    let output = check.wait_with_output().expect("it was started");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success() && said.is_empty(), "{said}\n{text}");

    check_documented(&project, &programs, &text);

    let own = address::unused().to_string();
    let config = project.file(
        "prometheus.yml",
        format!(
            "scrape_configs:\n- job_name: omlsp\n  scrape_interval: 1s\n  static_configs:\n  - targets: ['{}']\n",
            listening.address
        ),
    );
    let data = project.path().join("prometheus");
    let scraper = Command::new(programs.join("prometheus"))
        .arg(format!("--config.file={}", config.display()))
        .arg(format!("--storage.tsdb.path={}", data.display()))
        .arg(format!("--web.listen-address={own}"))
        .stderr(Stdio::null())
        .spawn()
        .expect("prometheus is installed");
    let _scraper = Scraper(scraper);
    let is = |expression: &str, expected: &str| {
        let what = format!("{expression} = {expected} in Prometheus");
        wait_until(
            || value(&own, expression).as_deref() == Some(expected),
            &what,
        );
    };
    is("up%7Bjob=%22omlsp%22%7D", "1");
    is("omlsp_rows_out_total%7Bentity=%22numbers%22%7D", "10");
    is(
        "omlsp_rows_out_total%7Bentity=%22odd%20%5C%5C%20name%22%7D",
        "3",
    );
    is("omlsp_consumer_lag_rows%7Bconsumer=%22total%22%7D", "0");
}
