//! The life of a run: signals, `--for`, exit codes, what is printed where.

use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::setting::{Setting, column, ids};
use crate::support::binary::{binary, wait_until};
use crate::support::http::Reply;

const POLLED: &str =
    "CREATE TABLE t (id BIGINT) WITH (connector = 'http', url = '${URL}/rows', interval = '20ms');
    CREATE SINK p FROM t WITH (connector = 'stdout');";

#[test]
fn an_interrupt_drains_and_commits() {
    for signal in ["INT", "TERM"] {
        let sql =
            "CREATE TABLE made (n BIGINT) WITH (connector = 'generate', rows_per_second = 50000);
            CREATE MATERIALIZED VIEW total AS SELECT count(*) AS n FROM made;
            CREATE SINK p FROM made WITH (connector = 'stdout');
            CREATE SINK j FROM made WITH (connector = 'file', path = 'out/j.json');";
        let setting = Setting::new(sql);
        let mut running = setting.run([]).spawn();
        running.wait_until(|running| running.stdout_line_count() >= 10_000, "rows");
        running.signal(signal);
        let output = running.wait().expect_code(0);
        // What is closed has no log, or a note of it.
        let state = setting.project.path().join(".omlsp");
        let [log, note] = ["state.duckdb.wal", "state.duckdb.closed"].map(|name| state.join(name));
        assert_eq!(
            log.exists(),
            note.exists(),
            "{signal}: the state was not closed"
        );
        let count = setting.rows("SELECT count(*) AS n FROM made")[0]["n"].clone();
        assert_eq!(
            setting.rows("FROM total"),
            [json!({"n": count})],
            "{signal}"
        );
        assert_eq!(
            json!(output.stdout.lines().count()),
            count,
            "{signal}: the sink drained"
        );
        let file = setting
            .project
            .read("out/j-000001.json")
            .expect("a shutdown finishes the file");
        assert_eq!(json!(file.lines().count()), count, "{signal}");
        assert!(
            output.stderr.contains("stopped"),
            "{signal}: {}",
            output.stderr
        );
    }
}

#[test]
fn a_stop_leaves_a_small_log_and_moves_a_large_one() {
    for (rows, left) in [(1000, true), (60_000, false)] {
        let setting = Setting::new(&format!(
            "CREATE TABLE made (n BIGINT, text STRING AS (repeat('x', 150) || n))
                WITH (connector = 'generate', rows = {rows});"
        ));
        setting.run(["--once"]).run().expect_code(0);
        let log = setting.project.path().join(".omlsp/state.duckdb.wal");
        assert_eq!(log.exists(), left, "{rows}");
        let kept = "SELECT count(DISTINCT text) AS n FROM made";
        assert_eq!(setting.rows(kept), [json!({"n": rows})]);
    }
}

#[test]
fn a_state_without_its_log_is_refused() {
    let setting =
        Setting::new("CREATE TABLE made (n BIGINT) WITH (connector = 'generate', rows = 10);");
    setting.run(["--once"]).run().expect_code(0);
    let copy = setting.project.path().join("copy");
    std::fs::create_dir(&copy).unwrap();
    let state = setting.project.path().join(".omlsp");
    std::fs::copy(state.join("state.duckdb"), copy.join("state.duckdb")).unwrap();
    let run = ["run", "pipeline.sql", "--once", "--state-dir"];
    let alone = setting.project.omlsp(run.into_iter().chain(["copy"])).run();
    let told = alone.expect_code(1).stderr;
    assert!(
        told.contains("copy its log `state.duckdb.wal` too"),
        "{told}"
    );
    std::fs::remove_file(state.join("state.duckdb.wal")).unwrap();
    let lost = setting.run(["--once"]).run().expect_code(1).stderr;
    assert!(lost.contains("put it back beside the database"), "{lost}");
}

/// Whoever read the log is gone, as `head` or a collector that was restarted.
#[test]
fn a_log_that_nobody_reads_stops_nothing() {
    let setting = Setting::new(POLLED);
    let rows = |id: i64| Reply::json(json!([{"id": id}]).to_string());
    setting.server.script(
        "/rows",
        vec![rows(1), Reply::status(404), Reply::status(404), rows(2)],
    );
    let mut running = setting.run([]).unheard().spawn();
    running.wait_for_stdout("2");
    running.terminate();
    running.wait().expect_code(0);
    assert_eq!(
        setting.rows("SELECT stage FROM omlsp_errors LIMIT 1"),
        [json!({"stage": "read"})]
    );
    // What a short command has to say is lost, but not its result.
    setting
        .project
        .file("wrong.sql", "CREATE TABLE t (id BIGNIT);");
    let validate = setting.project.omlsp(["validate", "wrong.sql"]);
    validate.unheard().run().expect_code(1);
}

#[test]
fn a_second_signal_ends_at_once_and_what_was_committed_is_there() {
    let sql = "CREATE TABLE made (n BIGINT) WITH (connector = 'generate', rows = 1000);
        CREATE SINK stuck FROM made WITH (connector = 'http', url = '${URL}/hook', timeout = '50s');";
    let setting = Setting::new(sql);
    setting.server.script(
        "/hook",
        vec![Reply::status(200).delay(Duration::from_secs(40))],
    );
    let mut running = setting.run(["--drain-timeout", "40s"]).spawn();
    running.wait_until(
        |_| setting.server.count_of("/hook") > 0,
        "the sink is stuck",
    );
    running.interrupt();
    running.wait_for_stderr("a second signal");
    assert!(running.is_running(), "it drains");
    running.interrupt();
    let output = running.wait();
    assert_eq!(output.code, Some(130), "{output}");
    assert_eq!(
        setting.rows("SELECT count(*) AS n FROM made"),
        [json!({"n": 1000})]
    );
}

#[test]
fn a_drain_that_takes_too_long_is_cut_and_goes_on_at_the_next_run() {
    let sql = "CREATE TABLE made (n BIGINT) WITH (connector = 'generate', rows = 3);
        CREATE SINK h FROM made WITH (connector = 'http', url = '${URL}/hook', retry.max_attempts = 1);";
    let setting = Setting::new(sql);
    setting.server.script("/hook", vec![Reply::status(503)]);
    let mut running = setting.run(["--drain-timeout", "300ms"]).spawn();
    running.wait_until(|_| setting.server.count_of("/hook") > 0, "the sink fails");
    running.interrupt();
    let output = running.wait().expect_code(0);
    assert!(
        output.stderr.contains("not everything was written"),
        "{output}"
    );
    let failed = setting.server.count_of("/hook");
    setting.server.script("/hook", vec![Reply::status(200)]);
    setting.once_kept().expect_code(0);
    let later: Vec<Value> = (setting.server.requests_of("/hook")[failed..].iter())
        .map(|request| request.body_json()["n"].clone())
        .collect();
    assert_eq!(later, [0, 1, 2].map(Value::from));
}

#[test]
fn a_reader_that_has_stalled_does_not_keep_the_process() {
    let setting = Setting::new(
        "CREATE TABLE made (n BIGINT) WITH (connector = 'generate', rows = 100000);
        CREATE SINK p FROM made WITH (connector = 'stdout');",
    );
    let args = [
        "run",
        "pipeline.sql",
        "--ephemeral",
        "--for",
        "500ms",
        "--drain-timeout",
        "100ms",
    ];
    let mut child = Command::new(binary())
        .args(args)
        .current_dir(setting.project.path())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("the binary starts");
    let ended = wait_for_end(&mut child, Duration::from_secs(60));
    if !ended {
        child.kill().expect("it still runs");
        child.wait().expect("it was killed");
    }
    assert!(ended, "it waits for a reader that does not read");
}

/// Waits for the end of a process whose output nobody reads; false if it does not end in time.
fn wait_for_end(child: &mut Child, wait_max: Duration) -> bool {
    let end = Instant::now() + wait_max;
    while Instant::now() < end {
        if child.try_wait().expect("it is our child").is_some() {
            return true;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    false
}

#[test]
fn a_run_for_a_time_ends_by_itself() {
    let setting = Setting::scripted(POLLED, vec![ids([1])]);
    let output = setting
        .run(["--ephemeral", "--for", "700ms"])
        .run()
        .expect_code(0);
    assert!(output.stdout.lines().count() >= 2, "{output}");
}

#[test]
fn stdout_has_data_only_and_stderr_no_colours() {
    let setting = Setting::scripted(
        POLLED,
        vec![Reply::status(500), ids([1]), Reply::status(404)],
    );
    let mut running = setting.run(["--ephemeral"]).spawn();
    running.wait_for_stderr("status 404");
    running.interrupt();
    let output = running.wait().expect_code(0);
    assert_eq!(
        column(&output.json_lines(), "id"),
        [1].map(Value::from),
        "{output}"
    );
    assert!(!output.stderr.contains('\x1b'), "{output}");
    assert!(
        output.stderr.contains("WARN") && output.stderr.contains("ERROR"),
        "{output}"
    );
}

#[test]
fn the_log_says_why_rows_did_not_fit_and_says_it_rarely() {
    let rows = Reply::json(r#"[{"id": 1}, {"id": "none"}, {"id": 2}]"#);
    let setting = Setting::scripted(POLLED, vec![rows]);
    let mut running = setting.run(["--ephemeral"]).spawn();
    running.wait_for_stderr("did not fit");
    wait_until(|| setting.server.count_of("/rows") > 9, "more polls");
    running.interrupt();
    let output = running.wait().expect_code(0);
    let told: Vec<&str> = (output.stderr.lines())
        .filter(|line| line.contains("did not fit"))
        .collect();
    assert_eq!(told.len(), 2, "{output}");
    assert!(
        told[0].contains("rows=1") && told[0].contains("none"),
        "{output}"
    );
    assert!(
        told[1].contains("more rows did not fit, see omlsp_errors"),
        "{output}"
    );
}

#[test]
fn the_log_does_not_point_to_rows_that_are_skipped() {
    let sql = "CREATE TABLE t (id BIGINT) WITH (connector = 'http', url = '${URL}/rows', interval = '1h', on_error = 'skip')";
    let setting = Setting::scripted(sql, vec![Reply::json(r#"[{"id": 1}, {"id": "none"}]"#)]);
    let output = setting.run(["--once", "--ephemeral"]).run();
    let told = output.stderr.contains("did not fit and are left out: ");
    assert!(told && !output.stderr.contains("omlsp_errors"), "{output}");
}

#[test]
fn a_log_of_json_has_one_object_a_line() {
    let setting = Setting::scripted(POLLED, vec![Reply::status(404)]);
    let mut running = setting.run(["--ephemeral", "--log-format", "json"]).spawn();
    running.wait_for_stderr("status 404");
    running.interrupt();
    let output = running.wait().expect_code(0);
    let lines: Vec<Value> = (output.stderr.lines())
        .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}")))
        .collect();
    let failed = lines
        .iter()
        .find(|line| line["level"] == "ERROR")
        .expect("the failed poll is told");
    assert_eq!(failed["fields"]["entity"], "t", "{failed}");
}

#[test]
fn exit_codes_tell_usage_from_failure() {
    let setting = Setting::scripted(POLLED, vec![ids([1])]);
    setting.project.omlsp(["run"]).run().expect_code(2);
    setting
        .project
        .omlsp(["run", "pipeline.sql", "--no-such-option"])
        .run()
        .expect_code(2);
    setting
        .project
        .omlsp(["run", "pipeline.sql", "--for", "soon"])
        .run()
        .expect_code(2);
    for without_effect in [
        ["--once", "--speed", "2x"].as_slice(),
        &["--once", "--capture", "out"],
    ] {
        let arguments = ["run", "pipeline.sql"]
            .into_iter()
            .chain(without_effect.iter().copied());
        let output = setting.project.omlsp(arguments).run().expect_code(2);
        assert!(output.stderr.contains("cannot be used with"), "{output}");
    }
    setting
        .project
        .omlsp(["run", "missing.sql", "--ephemeral"])
        .run()
        .expect_code(1);
    setting
        .project
        .file("broken.sql", "CREATE TABLE t (id BIGINT);");
    let output = setting
        .project
        .omlsp(["run", "broken.sql", "--once"])
        .run()
        .expect_code(1);
    assert_eq!(output.stdout, "");
    assert!(output.stderr.contains("broken.sql:1"), "{output}");
    assert!(
        !setting.project.path().join(".omlsp").exists(),
        "an invalid pipeline leaves no state"
    );
}

#[test]
fn once_fails_if_one_poll_failed_and_the_others_still_ran() {
    let sql = "CREATE TABLE bad (id BIGINT) WITH (connector = 'http', url = '${URL}/bad', interval = '1h');
        CREATE TABLE good (id BIGINT) WITH (connector = 'http', url = '${URL}/rows', interval = '1h');
        CREATE SINK p FROM good WITH (connector = 'stdout');";
    let setting = Setting::scripted(sql, vec![ids([1, 2])]);
    let output = setting.once().expect_code(1);
    assert_eq!(
        column(&output.json_lines(), "id"),
        [1, 2].map(Value::from),
        "{output}"
    );
}

#[test]
fn once_leaves_out_what_never_ends() {
    let setting = Setting::new(
        "CREATE TABLE endless (n BIGINT) WITH (connector = 'generate', rows_per_second = 10);
        CREATE TABLE ended (n BIGINT) WITH (connector = 'generate', rows = 3);
        CREATE SINK p FROM (SELECT n FROM endless UNION ALL SELECT n FROM ended) WITH (connector = 'stdout');",
    );
    let output = setting.run(["--once"]).run().expect_code(0);
    assert_eq!(output.stdout.lines().count(), 3, "{output}");
    assert!(
        output.stderr.contains("left out of --once: it never ends"),
        "{output}"
    );
}

#[test]
fn a_state_has_one_owner() {
    let setting = Setting::scripted(POLLED, vec![ids([1])]);
    let mut first = setting.run([]).spawn();
    first.wait_until(
        |running| running.stdout_line_count() > 0,
        "the first run owns the state",
    );
    let output = setting.run(["--once"]).run().expect_code(1);
    assert!(output.stderr.contains(&first.pid().to_string()), "{output}");
    // Another state directory, or none, is nobody's business.
    setting
        .run(["--once", "--state-dir", "other"])
        .run()
        .expect_code(0);
    setting.run(["--once", "--ephemeral"]).run().expect_code(0);
    first.interrupt();
    first.wait().expect_code(0);
}

#[test]
fn what_a_killed_owner_left_of_its_search_for_room_is_removed() {
    let setting = Setting::scripted(POLLED, vec![ids([1])]);
    let room = setting.project.file(".omlsp/room", [0; 4096]);
    setting.run(["--once"]).run().expect_code(0);
    assert!(!room.exists());
}

#[test]
fn the_state_directory_comes_from_option_environment_or_default() {
    let setting = Setting::scripted(POLLED, vec![ids([1])]);
    setting
        .run(["--once"])
        .env("OMLSP_STATE_DIR", "from-env")
        .run()
        .expect_code(0);
    setting
        .run(["--once", "--state-dir", "deep/from-option"])
        .run()
        .expect_code(0);
    setting.run(["--once", "--state-dir"]).run().expect_code(0);
    for folder in ["from-env", "deep/from-option", ".omlsp"] {
        let state = setting.project.path().join(folder).join("state.duckdb");
        assert!(state.exists(), "{folder}");
        use std::os::unix::fs::PermissionsExt as _;
        let mode = std::fs::metadata(setting.project.path().join(folder))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o077, 0, "{folder} is private");
    }
}

#[test]
fn an_ephemeral_run_leaves_nothing_behind() {
    let setting = Setting::scripted(POLLED, vec![ids([1])]);
    setting.once().expect_code(0);
    assert_eq!(
        super::setting::file_names(setting.project.path()),
        ["pipeline.sql"]
    );
}

#[test]
fn an_ephemeral_run_has_no_state_directory() {
    let setting = Setting::scripted(POLLED, vec![ids([1])]);
    let output = setting
        .run(["--once", "--ephemeral", "--state-dir", "state"])
        .run();
    assert_eq!(output.code, Some(2), "{output}");
    assert!(output.stderr.contains("cannot be used with"), "{output}");
    // The variable is for all commands of a shell.
    setting
        .run(["--once", "--ephemeral"])
        .env("OMLSP_STATE_DIR", "state")
        .run()
        .expect_code(0);
    assert_eq!(
        super::setting::file_names(setting.project.path()),
        ["pipeline.sql"]
    );
}

#[test]
fn files_and_folders_form_one_pipeline_in_any_order() {
    let setting = Setting::scripted(
        "CREATE SINK p FROM v WITH (connector = 'stdout');",
        vec![ids([1])],
    );
    setting
        .project
        .file("more/a.sql", "CREATE VIEW v AS SELECT id + 1 AS id FROM t;");
    let table = "CREATE TABLE t (id BIGINT) WITH (connector = 'http', url = '${URL}/rows', interval = '1h');";
    setting.project.file("more/deep/z.sql", table);
    let output = setting
        .run(["more", "--once", "--ephemeral"])
        .run()
        .expect_code(0);
    assert_eq!(output.stdout, "{\"id\":2}\n");
}
