//! The real binary as a child process, in a folder of its own, with a bound on every wait.
//!
//! ```ignore
//! let project = Project::new();
//! project.file("a.sql", "CREATE TABLE …");
//! let output = project.omlsp(["validate", "a.sql"]).run();
//! assert_eq!(output.code, Some(0), "{output}");
//! ```

use std::ffi::{OsStr, OsString};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// Long enough for a busy machine, short enough to end a hung test run.
pub const WAIT_MAX: Duration = Duration::from_secs(60);

/// Between two looks at a condition.
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// Returns as soon as the condition holds.
///
/// # Panics
/// With `what` was waited for, after [`WAIT_MAX`].
pub fn wait_until(condition: impl FnMut() -> bool, what: &str) {
    if let Err(waited) = wait_at_most(WAIT_MAX, condition) {
        panic!("waited {waited:?} in vain: {what}");
    }
}

/// Returns as soon as the condition holds.
///
/// # Errors
/// How long was waited, once that is more than `bound`.
pub fn wait_at_most(bound: Duration, mut condition: impl FnMut() -> bool) -> Result<(), Duration> {
    let start = Instant::now();
    while !condition() {
        if start.elapsed() > bound {
            return Err(start.elapsed());
        }
        thread::sleep(LOOK_EVERY);
    }
    Ok(())
}

/// A temporary folder with pipelines in it; it goes with the value.
pub struct Project {
    folder: tempfile::TempDir,
}

impl Project {
    /// Makes an empty folder.
    ///
    /// # Panics
    /// If the system has no room for one.
    pub fn new() -> Self {
        Self {
            folder: tempfile::tempdir().expect("a temporary folder can be made"),
        }
    }

    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Writes a file, with the folders it needs, and returns its path.
    ///
    /// # Panics
    /// If it cannot be written.
    pub fn file(&self, name: &str, text: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path().join(name);
        let folder = path.parent().expect("a file is in a folder");
        std::fs::create_dir_all(folder).expect("the folder can be made");
        std::fs::write(&path, text).expect("the file can be written");
        path
    }

    /// Returns a file's text, or `None` if there is none yet.
    pub fn read(&self, name: &str) -> Option<String> {
        std::fs::read_to_string(self.path().join(name)).ok()
    }

    /// Prepares a call of the binary in this folder.
    pub fn omlsp<A: Into<OsString>>(&self, args: impl IntoIterator<Item = A>) -> Omlsp {
        Omlsp::new().dir(self.path()).args(args)
    }
}

impl Default for Project {
    fn default() -> Self {
        Self::new()
    }
}

/// A call of the binary, to be made with [`Omlsp::run`] or [`Omlsp::spawn`].
#[derive(Clone, Debug, Default)]
pub struct Omlsp {
    args: Vec<OsString>,
    env: Vec<(OsString, OsString)>,
    dir: Option<PathBuf>,
    stdin: Option<Vec<u8>>,
    unheard: bool,
    unread: bool,
}

impl Omlsp {
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds arguments.
    #[must_use]
    pub fn args<A: Into<OsString>>(mut self, args: impl IntoIterator<Item = A>) -> Self {
        self.args.extend(args.into_iter().map(Into::into));
        self
    }

    /// Sets a variable.
    #[must_use]
    pub fn env(mut self, name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Self {
        self.env
            .push((name.as_ref().to_owned(), value.as_ref().to_owned()));
        self
    }

    /// Sets the working directory.
    #[must_use]
    pub fn dir(mut self, dir: impl Into<PathBuf>) -> Self {
        self.dir = Some(dir.into());
        self
    }

    /// Gives a standard input that ends; otherwise there is none.
    #[must_use]
    pub fn stdin(mut self, text: impl Into<Vec<u8>>) -> Self {
        self.stdin = Some(text.into());
        self
    }

    /// Lets nobody read what it says on stderr: every write there fails.
    #[must_use]
    pub fn unheard(mut self) -> Self {
        self.unheard = true;
        self
    }

    /// Lets nobody read its stdout: every write there fails.
    #[must_use]
    pub fn unread(mut self) -> Self {
        self.unread = true;
        self
    }

    /// Runs the binary to its end.
    ///
    /// # Panics
    /// If it does not end within [`WAIT_MAX`]; what it printed is in the message.
    pub fn run(self) -> Output {
        self.spawn().wait()
    }

    /// Starts the binary. Of the surrounding environment only what no pipeline reads is kept.
    ///
    /// # Panics
    /// If it cannot be started.
    pub fn spawn(self) -> Running {
        let mut command = Command::new(binary());
        command.args(&self.args).env_clear();
        for name in ["PATH", "HOME", "TMPDIR", "LLVM_PROFILE_FILE"] {
            if let Some(value) = std::env::var_os(name) {
                command.env(name, value);
            }
        }
        command
            .envs(self.env)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command.stdin(if self.stdin.is_some() {
            Stdio::piped()
        } else {
            Stdio::null()
        });
        if let Some(dir) = &self.dir {
            command.current_dir(dir);
        }
        let mut child = command.spawn().expect("the binary was built for this test");
        if let Some(text) = self.stdin {
            let mut stdin = child.stdin.take().expect("stdin is piped");
            // On a thread of its own: the child may print before it reads. It may also end without reading.
            thread::spawn(move || stdin.write_all(&text).unwrap_or_default());
        }
        let stdout = child.stdout.take().filter(|_| !self.unread);
        let stdout = stdout.map_or_else(|| Capture::of(std::io::empty()), Capture::of);
        let stderr = child.stderr.take().filter(|_| !self.unheard);
        let stderr = stderr.map_or_else(|| Capture::of(std::io::empty()), Capture::of);
        Running {
            child,
            stdout,
            stderr,
            started: Instant::now(),
        }
    }
}

/// What a pipe has brought so far; a thread reads it, so that the child never waits for the test.
struct Capture {
    bytes: Arc<Mutex<Vec<u8>>>,
    thread: Option<JoinHandle<()>>,
}

impl Capture {
    fn of(mut pipe: impl Read + Send + 'static) -> Self {
        let bytes = Arc::new(Mutex::new(Vec::new()));
        let shared = Arc::clone(&bytes);
        let thread = thread::spawn(move || {
            let mut piece = vec![0; 64 * 1024];
            while let Ok(count @ 1..) = pipe.read(&mut piece) {
                let mut bytes = shared.lock().expect("nothing panics under this lock");
                bytes.extend_from_slice(&piece[..count]);
            }
        });
        Self {
            bytes,
            thread: Some(thread),
        }
    }

    fn text(&self) -> String {
        let bytes = self.bytes.lock().expect("nothing panics under this lock");
        String::from_utf8_lossy(&bytes).into_owned()
    }

    fn line_count(&self) -> usize {
        let bytes = self.bytes.lock().expect("nothing panics under this lock");
        bytes.iter().filter(|byte| **byte == b'\n').count()
    }

    /// Returns everything, after the pipe was closed.
    fn finish(&mut self) -> String {
        if let Some(thread) = self.thread.take() {
            thread.join().expect("reading a pipe does not panic");
        }
        self.text()
    }
}

/// A running binary; it is killed when the value is dropped.
pub struct Running {
    child: Child,
    stdout: Capture,
    stderr: Capture,
    started: Instant,
}

impl Running {
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Returns what it has printed so far.
    pub fn stdout(&self) -> String {
        self.stdout.text()
    }

    /// Returns what it has logged so far.
    pub fn stderr(&self) -> String {
        self.stderr.text()
    }

    /// Returns how many whole lines it has printed so far, without copying them.
    pub fn stdout_line_count(&self) -> usize {
        self.stdout.line_count()
    }

    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().expect("the child is ours").is_none()
    }

    /// Waits until the condition holds for the running process.
    ///
    /// # Panics
    /// After [`WAIT_MAX`], or if the process ends before; what it printed is in the message.
    pub fn wait_until(&mut self, mut condition: impl FnMut(&Self) -> bool, what: &str) {
        let mut ended = false;
        let waited = wait_at_most(WAIT_MAX, || {
            // Asked first, so that what it printed just before its end still counts.
            ended = !self.is_running();
            condition(self) || ended
        });
        let holds = waited.is_ok() && (!ended || condition(self));
        let how = if ended {
            "the process ended before"
        } else {
            "waited in vain"
        };
        assert!(holds, "{how}: {what}\n{}", self.printed());
    }

    /// Waits until standard output contains a text.
    ///
    /// # Panics
    /// As [`Running::wait_until`].
    pub fn wait_for_stdout(&mut self, text: &str) {
        self.wait_until(
            |running| running.stdout().contains(text),
            &format!("`{text}` on stdout"),
        );
    }

    /// Waits until standard error contains a text.
    ///
    /// # Panics
    /// As [`Running::wait_until`].
    pub fn wait_for_stderr(&mut self, text: &str) {
        self.wait_until(
            |running| running.stderr().contains(text),
            &format!("`{text}` on stderr"),
        );
    }

    /// Sends SIGINT.
    pub fn interrupt(&self) {
        self.signal("INT");
    }

    /// Sends SIGTERM.
    pub fn terminate(&self) {
        self.signal("TERM");
    }

    /// Sends SIGKILL and waits for the end.
    pub fn kill(mut self) -> Output {
        self.signal("KILL");
        self.wait_mut()
    }

    /// As [`Running::kill`], for a process that may have ended by itself.
    pub fn kill_if_running(mut self) -> Output {
        self.end();
        self.wait_mut()
    }

    /// Sends a signal by its name without `SIG`, such as `STOP`.
    ///
    /// # Panics
    /// If there is no process any more.
    pub fn signal(&self, name: &str) {
        let mut command = Command::new("kill");
        command.arg(format!("-{name}")).arg(self.pid().to_string());
        let status = command.status().expect("there is a `kill` command");
        assert!(
            status.success(),
            "the process has ended\n{}",
            self.printed()
        );
    }

    /// Returns the peak of its memory in bytes, from `/proc`; `None` where there is none or it has ended.
    pub fn memory_peak_bytes(&self) -> Option<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid())).ok()?;
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix("VmHWM:"))?;
        let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
        Some(kibibytes * 1024)
    }

    /// Waits for the end.
    ///
    /// # Panics
    /// After [`WAIT_MAX`]; what it printed is in the message.
    pub fn wait(mut self) -> Output {
        self.wait_mut()
    }

    fn wait_mut(&mut self) -> Output {
        let mut status: Option<ExitStatus> = None;
        let waited = wait_at_most(WAIT_MAX, || {
            status = self.child.try_wait().expect("the child is ours");
            status.is_some()
        });
        let Some(status) = status else {
            self.end();
            panic!(
                "the process did not end within {waited:?}\n{}",
                self.printed()
            );
        };
        Output {
            code: status.code(),
            status,
            stdout: self.stdout.finish(),
            stderr: self.stderr.finish(),
            took: self.started.elapsed(),
        }
    }

    fn printed(&self) -> String {
        format!("stdout:\n{}\nstderr:\n{}", self.stdout(), self.stderr())
    }

    /// Kills it if it still runs; one that has ended is what was wanted.
    fn end(&mut self) {
        self.child.kill().unwrap_or_default();
        self.child.wait().map_or_else(|_| (), |_| ());
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.end();
    }
}

/// What a finished call left behind. `Display` shows all of it, for assertions.
#[derive(Clone, Debug)]
pub struct Output {
    /// `None` if a signal ended it.
    pub code: Option<i32>,
    pub status: ExitStatus,
    pub stdout: String,
    pub stderr: String,
    pub took: Duration,
}

impl Output {
    /// Returns itself if the exit code is as expected.
    ///
    /// # Panics
    /// With everything printed, if it is not.
    pub fn expect_code(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "{self}");
        self
    }

    /// Returns the lines of standard output as JSON.
    ///
    /// # Panics
    /// If one is not JSON.
    pub fn json_lines(&self) -> Vec<serde_json::Value> {
        let parse = |line| {
            serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}\n{self}"))
        };
        self.stdout.lines().map(parse).collect()
    }
}

impl std::fmt::Display for Output {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            formatter,
            "{}\nstdout:\n{}\nstderr:\n{}",
            self.status, self.stdout, self.stderr
        )
    }
}

/// Returns the binary that cargo built for this test or bench, or the one that `OMLSP_BINARY` names, to measure
/// another build. An example has none, and runs none.
pub fn binary() -> OsString {
    if let Some(path) = std::env::var_os("OMLSP_BINARY") {
        return path;
    }
    match option_env!("CARGO_BIN_EXE_omlsp") {
        Some(path) => path.into(),
        None => panic!("cargo names the binary to tests and benches only"),
    }
}
