//! A real Chromium, driven through chromedriver: <https://www.w3.org/TR/webdriver2/>.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};

use super::setting::installed;
use crate::support::binary::wait_until;

/// A browser with one window; it ends with the value.
pub struct Browser {
    /// Of the session, without a slash at its end.
    url: String,
    // After the session: it ends in this order.
    _driver: Driver,
    _profile: tempfile::TempDir,
}

/// The process that drives it.
struct Driver(Child);

impl Drop for Driver {
    fn drop(&mut self) {
        self.0.kill().unwrap_or_default();
        drop(self.0.wait());
    }
}

/// Runs as root in a container, asks nobody for updates, and has a screen of its own.
const FLAGS: [&str; 10] = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--window-size=1440,900",
];

impl Browser {
    /// Starts a browser; `None` where there is none and none is required.
    pub fn start() -> Option<Self> {
        let folder = installed("chromium")?;
        let mut driver = Command::new(folder.join("chromedriver"))
            .arg("--port=0")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("chromedriver is installed");
        let stdout = driver.stdout.take().expect("it is piped");
        let driver = Driver(driver);
        let mut lines = BufReader::new(stdout).lines().map_while(Result::ok);
        let port = lines
            .find_map(|line| {
                Some(
                    line.split("successfully on port ")
                        .nth(1)?
                        .trim_end_matches('.')
                        .to_owned(),
                )
            })
            .expect("chromedriver says its port");
        std::thread::spawn(move || lines.for_each(drop));
        let profile = tempfile::tempdir().expect("a temporary folder can be made");
        let mut flags: Vec<String> = FLAGS.iter().map(|flag| (*flag).to_owned()).collect();
        flags.push(format!("--user-data-dir={}", profile.path().display()));
        let options = json!({"binary": folder.join("chromium"), "args": flags});
        let wanted = json!({"capabilities": {"alwaysMatch": {"goog:chromeOptions": options}}});
        let base = format!("http://127.0.0.1:{port}/session");
        let session = call(&base, Some(&wanted));
        let id = session["sessionId"].as_str().expect("a session has an id");
        Some(Self {
            _driver: driver,
            url: format!("{base}/{id}"),
            _profile: profile,
        })
    }

    fn post(&self, path: &str, body: &Value) -> Value {
        call(&format!("{}/{path}", self.url), Some(body))
    }

    pub fn open(&self, url: &str) {
        self.post("url", &json!({ "url": url }));
    }

    /// Runs the body of a function in the page and returns what it returns.
    pub fn run(&self, script: &str) -> Value {
        self.post("execute/sync", &json!({"script": script, "args": []}))
    }

    /// Waits until an expression is true in the page.
    pub fn wait_for(&self, expression: &str) {
        let script = format!("return Boolean({expression})");
        wait_until(|| self.run(&script) == true, expression);
    }

    fn element(&self, selector: &str) -> String {
        let found = self.post(
            "element",
            &json!({"using": "css selector", "value": selector}),
        );
        let mut ids = found
            .as_object()
            .into_iter()
            .flat_map(|found| found.values());
        let id = ids.next().and_then(Value::as_str);
        id.unwrap_or_else(|| panic!("no `{selector}`: {found}"))
            .to_owned()
    }

    pub fn click(&self, selector: &str) {
        let element = self.element(selector);
        self.post(&format!("element/{element}/click"), &json!({}));
    }

    /// Types into whatever has the focus. Keys without a character are those of WebDriver, section 17.4.2.
    pub fn keys(&self, keys: &str) {
        let actions: Vec<Value> = (keys.chars())
            .flat_map(|key| ["keyDown", "keyUp"].map(|kind| json!({"type": kind, "value": key})))
            .collect();
        self.act(&actions);
    }

    /// Types a key while another one is held.
    pub fn chord(&self, held: &str, key: &str) {
        let action = |kind: &str, value: &str| json!({"type": kind, "value": value});
        self.act(&[
            action("keyDown", held),
            action("keyDown", key),
            action("keyUp", key),
            action("keyUp", held),
        ]);
    }

    fn act(&self, actions: &[Value]) {
        let keyboard = json!({"type": "key", "id": "keyboard", "actions": actions});
        self.post("actions", &json!({"actions": [keyboard]}));
    }

    /// Lets the page think that its reader prefers a dark or light screen.
    pub fn prefer(&self, scheme: &str) {
        let features = json!([{"name": "prefers-color-scheme", "value": scheme}]);
        let command =
            json!({"cmd": "Emulation.setEmulatedMedia", "params": {"features": features}});
        self.post("goog/cdp/execute", &command);
    }

    /// Gives the page this many pixels, whatever the window has around it.
    pub fn resize(&self, width: u32, height: u32) {
        let metrics =
            json!({"width": width, "height": height, "deviceScaleFactor": 1, "mobile": false});
        let command = json!({"cmd": "Emulation.setDeviceMetricsOverride", "params": metrics});
        self.post("goog/cdp/execute", &command);
    }

    /// Takes a picture of what is in view, as PNG.
    pub fn picture(&self) -> Vec<u8> {
        let answer = call(&format!("{}/screenshot", self.url), None);
        let text = answer.as_str().expect("a picture is a text");
        let mut decode = Command::new("base64")
            .arg("-d")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("there is a `base64` command");
        let mut stdin = decode.stdin.take().expect("it is piped");
        let text = text.to_owned();
        let writer = std::thread::spawn(move || stdin.write_all(text.as_bytes()));
        let output = decode.wait_with_output().expect("it was started");
        drop(writer.join());
        assert!(output.status.success(), "it is base64");
        output.stdout
    }

    /// Returns what went wrong in the page, such as an exception or a blocked resource.
    pub fn complaints(&self) -> Vec<Value> {
        let log = self.post("se/log", &json!({"type": "browser"}));
        let entries = log.as_array().cloned().unwrap_or_default();
        entries
            .into_iter()
            .filter(|entry| entry["level"] == "SEVERE")
            .collect()
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // Ends the browser; the driver alone would leave it behind.
        drop(ureq::delete(&self.url).call());
    }
}

/// Calls the driver and returns the value it answers.
fn call(url: &str, body: Option<&Value>) -> Value {
    let agent: ureq::Agent = ureq::Agent::config_builder()
        .http_status_as_error(false)
        .build()
        .into();
    let answer = match body {
        Some(body) => agent
            .post(url)
            .header("Content-Type", "application/json")
            .send(body.to_string()),
        None => agent.get(url).call(),
    };
    let mut answer = answer.expect("the driver answers");
    let status = answer.status();
    let text = answer
        .body_mut()
        .with_config()
        .limit(64 << 20)
        .read_to_string()
        .expect("the answer is text");
    assert!(status.is_success(), "{url}: {status}: {text}");
    let mut answer: Value = serde_json::from_str(&text).expect("the answer is JSON");
    answer["value"].take()
}
