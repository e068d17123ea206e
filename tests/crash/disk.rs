//! A disk that is full, and one that cannot be written: a clear error, nothing broken, and on it goes
//! once there is room.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::kept::Kept;
use super::support::binary::{Project, wait_until};

/// A file system in memory with a size; unmounted with the value.
pub struct Disk {
    pub path: PathBuf,
}

impl Disk {
    /// Mounts one, or says why that is not possible. Where `CI` is set it must be.
    pub fn mount(path: PathBuf, size: &str) -> Option<Self> {
        std::fs::create_dir_all(&path).expect("the folder can be made");
        let options = format!("size={size}");
        let mounted = mount(&["-t", "tmpfs", "-o", &options, "tmpfs"], &path);
        if !mounted {
            assert!(
                std::env::var_os("CI").is_none(),
                "CI must be able to mount a tmpfs"
            );
            println!("skipped: cannot mount a tmpfs");
            return None;
        }
        Some(Self { path })
    }

    pub fn remount(&self, options: &str) {
        let options = format!("remount,{options}");
        assert!(mount(&["-o", &options], &self.path), "{options}");
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // Lazily: a test that fails may leave a process behind that still writes there.
        let command = Command::new("umount").arg("-l").arg(&self.path).status();
        command.map_or_else(|error| eprintln!("umount: {error}"), |_| ());
    }
}

fn mount(args: &[&str], path: &Path) -> bool {
    let output = Command::new("mount").args(args).arg(path).output();
    output.is_ok_and(|output| output.status.success())
}

const PIPELINE: &str = "
    CREATE TABLE made (n BIGINT, text VARCHAR AS (md5(n::VARCHAR)))
    WITH (connector = 'generate', batch.max_rows = 1000);
    CREATE MATERIALIZED VIEW few AS SELECT n FROM made WHERE n % 100 = 0;";

/// Asserts that the rows are numbered without a gap, and that the view equals its query.
fn check_made(state: &Path) -> u64 {
    let kept = Kept::copy_of(state);
    let count = kept.number("SELECT count(*) FROM data.made");
    assert_eq!(
        kept.number("SELECT count(DISTINCT n) FROM data.made"),
        count
    );
    assert_eq!(kept.number("SELECT max(n) + 1 FROM data.made"), count);
    let taken = kept.position("few", "made");
    let expected = format!("SELECT n FROM data.made WHERE n % 100 = 0 AND _seq <= {taken}");
    kept.assert_same("few", "SELECT n FROM data.few", &expected);
    count
}

/// Fills a disk, kills the process there or gives it room first, and looks at what is left.
fn fill(size: &str) {
    let project = Project::new();
    let Some(disk) = Disk::mount(project.path().join("disk"), size) else {
        return;
    };
    project.file("made.sql", PIPELINE);
    let state = disk.path.join("st");
    let run = || {
        let args = ["run", "made.sql", "--state-dir", "disk/st"];
        project.omlsp(args).spawn()
    };
    let mut running = run();
    running.wait_for_stderr("No space left on device");
    let output = running.kill();
    assert!(!output.stderr.contains("panicked"), "{output}");
    let full = check_made(&state);
    assert!(full > 0, "{output}");

    // A second process begins on the full disk, and goes on when there is room.
    let mut running = run();
    running.wait_for_stderr("No space left on device");
    if running.is_running() {
        disk.remount("size=1g");
    } else {
        let output = running.wait().expect_code(1);
        assert!(output.stderr.contains("error"), "{output}");
        disk.remount("size=1g");
        running = run();
    }
    // What was written since is far more than the disk had room for.
    wait_until(
        || {
            let size =
                |name: &str| std::fs::metadata(state.join(name)).map_or(0, |file| file.len());
            assert!(running.is_running(), "{}", running.stderr());
            size("state.duckdb") + size("state.duckdb.wal") > 60 << 20
        },
        "the state grows again",
    );
    let output = running.kill();
    assert!(!output.stderr.contains("panicked"), "{output}");
    let more = check_made(&state);
    assert!(more > full, "{more} rows after {full}: {output}");
}

/// The log of the database meets the end of the disk.
#[test]
fn a_disk_full_for_the_log() {
    fill("8m");
}

/// The log fits, moving it into the database does not.
#[test]
fn a_disk_full_for_a_checkpoint() {
    fill("20m");
}

/// As before, with a database that has grown before.
#[test]
fn a_disk_full_for_a_later_checkpoint() {
    fill("41m");
}

/// Somebody waits for its end, whether the log or a checkpoint meets the end of the disk.
#[test]
fn a_run_that_reads_once_gives_a_full_disk_up() {
    for size in ["8m", "20m"] {
        let project = Project::new();
        let Some(disk) = Disk::mount(project.path().join("disk"), size) else {
            return;
        };
        let rows = PIPELINE.replace("batch.max_rows", "rows = 800000, batch.max_rows");
        project.file("made.sql", rows);
        let once = || {
            let args = ["run", "made.sql", "--once", "--state-dir", "disk/st"];
            project.omlsp(args).run()
        };
        let output = once().expect_code(1);
        assert!(
            output.stderr.contains("No space left on device"),
            "{size}: {output}"
        );
        disk.remount("size=1g");
        once().expect_code(0);
        assert_eq!(check_made(&disk.path.join("st")), 800_000);
    }
}

#[test]
fn a_directory_that_cannot_be_written_is_named() {
    let project = Project::new();
    let Some(disk) = Disk::mount(project.path().join("disk"), "8m") else {
        return;
    };
    project.file("made.sql", PIPELINE);
    disk.remount("ro");
    let args = ["run", "made.sql", "--state-dir", "disk/st"];
    let output = project.omlsp(args).run().expect_code(1);
    assert!(output.stderr.contains("disk/st"), "{output}");
    assert!(output.stderr.contains("Read-only file system"), "{output}");
    disk.remount("rw");
    let mut running = project.omlsp(args).spawn();
    wait_until(|| disk.path.join("st/state.duckdb").exists(), "the state");
    running.wait_for_stderr("running");
    running.kill();
    disk.remount("ro");
    let output = project.omlsp(args).run().expect_code(1);
    assert!(output.stderr.contains("Read-only file system"), "{output}");
}
