//! A source that is always behind: two deliveries are under way at a time, one written and one committed.

use std::path::Path;
use std::thread;
use std::time::Duration;

use super::disk::Disk;
use super::kept::Kept;
use super::support::binary::{Project, Running, wait_until};
use super::support::ws::{WsServer, flooding};

/// More than a test waits for.
const ENDLESS: i64 = 1_000_000_000;

const KILLS: u64 = 8;

fn flooded() -> (Project, WsServer) {
    let (server, _) = flooding(ENDLESS);
    let project = Project::new();
    project.file(
        "flood.sql",
        format!(
            "CREATE TABLE made (a BIGINT, pad STRING) WITH (connector = 'ws', url = '{}/');
             CREATE MATERIALIZED VIEW few AS SELECT a FROM made WHERE a % 100 = 0;",
            server.url()
        ),
    );
    (project, server)
}

fn run(project: &Project, state_dir: &str) -> Running {
    let args = ["run", "flood.sql", "--state-dir", state_dir];
    project.omlsp(args).spawn()
}

fn number_of(kept: &Kept, of_made: &str) -> u64 {
    kept.number(&format!("SELECT {of_made} FROM data.made"))
}

/// Asserts that what is kept came in its order, once, with `gaps` at most where nobody listened; returns the rows.
fn check(state: &Path, gaps: u64) -> u64 {
    let kept = Kept::copy_of(state);
    if !kept.has("made") {
        return 0;
    }
    let count = number_of(&kept, "count(*)");
    assert_eq!(
        number_of(&kept, "count(DISTINCT a)"),
        count,
        "rows are doubled"
    );
    let missing = kept.number(
        "SELECT count(*) FROM (SELECT a - lag(a) OVER (ORDER BY a) AS step FROM data.made) WHERE step > 1",
    );
    assert!(missing <= gaps, "{missing} gaps, {gaps} may be");
    let mixed = kept.number(
        "SELECT count(*) FROM (SELECT min(a) AS first, lag(max(a)) OVER (ORDER BY _seq) AS before \
         FROM data.made GROUP BY _seq) WHERE first <= before",
    );
    assert_eq!(mixed, 0, "batches are not in their order");
    let large = kept.number(
        "SELECT count(*) FROM (SELECT count(*) AS n FROM data.made GROUP BY _seq) WHERE n > 1024",
    );
    assert_eq!(large, 0, "a number was given twice");
    let last = number_of(&kept, "max(_seq)");
    assert_eq!(
        number_of(&kept, "count(DISTINCT _seq)"),
        last,
        "numbers are left out"
    );
    let head = kept.number(
        "SELECT greatest(head, (SELECT max(head) FROM omlsp.stream_second)) FROM omlsp.stream WHERE name = 'made'",
    );
    assert_eq!(head, last, "the head is that of the last batch");
    let taken = kept.position("few", "made");
    let few = format!("SELECT a FROM data.made WHERE a % 100 = 0 AND _seq <= {taken}");
    kept.assert_same("few", "SELECT a FROM data.few", &few);
    count
}

/// Says whether deliveries were written while others were committed.
fn overlapped(state: &Path) -> bool {
    Kept::copy_of(state).number("SELECT count(*) FROM omlsp.stream_second") > 0
}

#[test]
fn a_killed_flood_leaves_whole_deliveries() {
    let (project, _server) = flooded();
    let state = project.path().join("st");
    let mut kept = 0;
    for kill in 0..KILLS {
        let running = run(&project, "st");
        thread::sleep(Duration::from_millis(150 + 97 * kill));
        let output = running.kill();
        assert!(!output.stderr.contains("panicked"), "{output}");
        let count = check(&state, kill);
        assert!(count >= kept, "{count} rows after {kept}");
        kept = count;
    }
    assert!(kept > 0 && overlapped(&state));
}

/// A commit that fails has a delivery behind it that is written already.
#[test]
fn a_flood_waits_for_a_full_disk() {
    let (project, _server) = flooded();
    let Some(disk) = Disk::mount(project.path().join("disk"), "8m") else {
        return;
    };
    let state = disk.path.join("st");
    let mut running = run(&project, "disk/st");
    running.wait_for_stderr("No space left on device");
    assert!(overlapped(&state));
    disk.remount("size=1g");
    if !running.is_running() {
        running.wait().expect_code(1);
        running = run(&project, "disk/st");
    }
    let size = |name: &str| std::fs::metadata(state.join(name)).map_or(0, |file| file.len());
    wait_until(
        || size("state.duckdb") + size("state.duckdb.wal") > 12 << 20,
        "the state grows again",
    );
    running.interrupt();
    let output = running.wait();
    assert!(!output.stderr.contains("panicked"), "{output}");
    let more = check(&state, 1);
    assert!(more > 0, "{output}");
}
