//! Sinks: stdout, files, HTTP; and that a sink in trouble stops nobody else.

use serde_json::{Value, json};

use super::setting::{Setting, assert_rows, column, file_names, file_rows, ids};
use crate::support::binary::{Project, binary, wait_until};
use crate::support::http::{Reply, Server};

const SOURCE: &str = "CREATE TABLE t (id BIGINT, name STRING AS ('name, \"' || id || '\"'), at TIMESTAMP AS (make_timestamp(id)))
    WITH (connector = 'http', url = '${URL}/rows', interval = '1h');\n";

fn once(sinks: &str) -> (Setting, String) {
    let setting = Setting::scripted(&format!("{SOURCE}{sinks}"), vec![ids(1..=3)]);
    let output = setting.once_kept();
    assert_eq!(output.code, Some(0), "{output}");
    (setting, output.stdout)
}

fn expected() -> Vec<Value> {
    (1..=3)
        .map(|id: i64| json!({"id": id, "name": format!("name, \"{id}\""), "at": format!("1970-01-01 00:00:00.00000{id}")}))
        .collect()
}

#[test]
fn stdout_prints_json_lines_with_timestamps() {
    let (_, stdout) = once("CREATE SINK p FROM t WITH (connector = 'stdout');");
    let first = stdout.lines().next().unwrap_or_default();
    let row: Value = serde_json::from_str(first).expect("a line is JSON");
    assert_eq!(row["name"], "name, \"1\"");
    assert!(
        row["at"]
            .as_str()
            .is_some_and(|at| at.starts_with("1970-01-01T00:00:00.000001")),
        "{first}"
    );
}

#[test]
fn stdout_prints_csv_with_a_header() {
    let (_, stdout) = once(
        "CREATE SINK p FROM (SELECT id, name FROM t) WITH (connector = 'stdout', encode = 'csv');",
    );
    let expected = "id,name\n1,\"name, \"\"1\"\"\"\n2,\"name, \"\"2\"\"\"\n3,\"name, \"\"3\"\"\"\n";
    assert_eq!(stdout, expected);
}

#[test]
fn files_of_every_kind_are_whole_and_read_back() {
    let (setting, stdout) = once(
        "CREATE SINK j FROM t WITH (connector = 'file', path = 'out/j.json');
        CREATE SINK c FROM t WITH (connector = 'file', path = 'out/c-{n}.csv', encode = 'csv');
        CREATE SINK q FROM t WITH (connector = 'file', path = 'out/q.parquet', encode = 'parquet');",
    );
    assert_eq!(stdout, "");
    let folder = setting.project.path().join("out");
    assert_eq!(
        file_names(&folder),
        ["c-000001.csv", "j-000001.json", "q-000001.parquet"]
    );
    for name in file_names(&folder) {
        let mut rows = file_rows(&folder.join(&name));
        for row in &mut rows {
            let at = row["at"]
                .as_str()
                .expect("a timestamp is text")
                .replace('T', " ");
            row["at"] = json!(at.trim_end_matches("+00").trim_end_matches('Z'));
        }
        assert_rows(&rows, &expected(), &name);
    }
}

#[test]
fn a_file_ends_with_the_batch_that_fills_it() {
    let project = Project::new();
    project.file(
        "p.sql",
        "CREATE TABLE g (n BIGINT) WITH (connector = 'generate', rows = 20000, batch.max_rows = 100);
         CREATE SINK f FROM g WITH (connector = 'file', path = 'out/f.json', roll.size = '10kB');",
    );
    project
        .omlsp(["run", "p.sql", "--once"])
        .run()
        .expect_code(0);
    let folder = project.path().join("out");
    let names = file_names(&folder);
    let of = |name: &String| std::fs::read_to_string(folder.join(name)).expect("it is a file");
    let texts: Vec<String> = names.iter().map(of).collect();
    let (last, full) = texts.split_last().expect("there are files");
    // A row takes 8 to 12 bytes: one batch more than is wanted at most.
    let sizes: Vec<usize> = full.iter().map(String::len).collect();
    assert!(
        sizes.iter().all(|size| (10_000..11_400).contains(size)),
        "{sizes:?}"
    );
    assert!(last.len() < 11_400);
    let rows: Vec<String> = (0..20_000).map(|n| format!("{{\"n\":{n}}}\n")).collect();
    assert_eq!(texts.concat(), rows.concat());
}

#[test]
fn an_http_sink_in_trouble_repeats_few_rows() {
    let server = Server::start();
    server.on("POST", "/", |request| {
        let n = request.body_json()["n"].as_i64().expect("a number");
        Reply::status(if n == 560 { 503 } else { 200 })
    });
    let project = Project::new();
    project.file(
        "p.sql",
        format!(
            "CREATE TABLE g (n BIGINT) WITH (connector = 'generate', rows = 1000, batch.max_rows = 50);
             CREATE SINK s FROM g WITH (connector = 'http', url = '{}/', retry.max_attempts = 1);",
            server.url()
        ),
    );
    let running = project.omlsp(["run", "p.sql"]).spawn();
    let asked = |n: i64| {
        let requests = server.requests();
        let of = |request: &&crate::support::http::Request| request.body_json()["n"] == n;
        requests.iter().filter(of).count()
    };
    wait_until(|| asked(560) == 3, "the row is refused three times");
    running.interrupt();
    running.wait();
    assert_eq!((asked(0), asked(449)), (1, 1));
    assert!(asked(559) >= 3 && asked(561) == 0);
}

#[test]
fn later_runs_write_later_files() {
    let sinks = "CREATE SINK j FROM t WITH (connector = 'file', path = 'out/j.json');";
    let setting = Setting::scripted(
        &format!("{SOURCE}{sinks}"),
        vec![ids([1]), ids([2, 3]), ids([])],
    );
    for _ in 0..3 {
        setting.once_kept().expect_code(0);
    }
    let folder = setting.project.path().join("out");
    assert_eq!(file_names(&folder), ["j-000001.json", "j-000002.json"]);
    let rows: Vec<Value> = file_names(&folder)
        .iter()
        .flat_map(|name| file_rows(&folder.join(name)))
        .collect();
    assert_eq!(column(&rows, "id"), [1, 2, 3].map(Value::from));
}

#[test]
fn a_killed_run_leaves_whole_files_and_loses_no_row() {
    let sql = "CREATE TABLE made (n BIGINT) WITH (connector = 'generate', rows = 400000, batch.max_rows = 2000);
        CREATE SINK q FROM made WITH (connector = 'file', path = 'out/q.parquet', encode = 'parquet', roll.size = '16KiB');";
    let setting = Setting::new(sql);
    let folder = setting.project.path().join("out");
    for kill in 1..=4 {
        let running = setting.run([]).spawn();
        let wanted = kill * 2;
        let files = || {
            file_names(&folder)
                .iter()
                .filter(|name| !name.starts_with('.'))
                .count()
        };
        crate::support::binary::wait_until(|| files() >= wanted, "another finished file");
        running.kill();
        for name in file_names(&folder)
            .iter()
            .filter(|name| !name.starts_with('.'))
        {
            file_rows(&folder.join(name));
        }
    }
    setting.once_kept().expect_code(0);
    let names = file_names(&folder);
    assert!(names.iter().all(|name| !name.starts_with('.')), "{names:?}");
    let mut numbers: Vec<i64> = names
        .iter()
        .flat_map(|name| file_rows(&folder.join(name)))
        .filter_map(|row| row["n"].as_i64())
        .collect();
    numbers.sort_unstable();
    assert!(
        numbers.into_iter().eq(0..400_000),
        "a row is missing or there twice"
    );
}

#[test]
fn http_gets_a_request_per_row_in_order() {
    let setting = Setting::scripted(
        &format!(
            "{SOURCE}CREATE SINK h FROM (SELECT id FROM t) WITH (connector = 'http', url = '${{URL}}/hook');"
        ),
        vec![ids(1..=3)],
    );
    setting.server.script("/hook", vec![Reply::status(204)]);
    setting.once_kept().expect_code(0);
    let bodies: Vec<Value> = setting
        .server
        .requests_of("/hook")
        .iter()
        .map(|request| request.body_json())
        .collect();
    assert_eq!(bodies, [1, 2, 3].map(|id| json!({"id": id})));
}

#[test]
fn http_gets_batches_and_tries_again() {
    let sink = "CREATE SINK h FROM (SELECT id FROM t) WITH (
        connector = 'http', url = '${URL}/hook', batch.max_rows = 2, retry.initial_backoff = '10ms');";
    let setting = Setting::scripted(&format!("{SOURCE}{sink}"), vec![ids(1..=3)]);
    setting
        .server
        .script("/hook", vec![Reply::status(500), Reply::status(200)]);
    let output = setting.once_kept().expect_code(0);
    let bodies: Vec<Value> = setting
        .server
        .requests_of("/hook")
        .iter()
        .map(|request| request.body_json())
        .collect();
    let (first, second) = (json!([{"id": 1}, {"id": 2}]), json!([{"id": 3}]));
    assert_eq!(bodies, [first.clone(), first, second], "{output}");
}

#[test]
fn a_row_that_the_other_side_refuses_is_recorded_and_the_rest_goes_on() {
    let sink =
        "CREATE SINK h FROM (SELECT id FROM t) WITH (connector = 'http', url = '${URL}/hook');";
    let setting = Setting::scripted(&format!("{SOURCE}{sink}"), vec![ids(1..=3)]);
    setting.server.script(
        "/hook",
        vec![Reply::status(200), Reply::status(422), Reply::status(200)],
    );
    let output = setting.once_kept();
    assert_eq!(setting.server.count_of("/hook"), 3, "{output}");
    let errors = setting.errors();
    assert_eq!(errors.len(), 1, "{errors:#?}");
    assert_eq!(
        (errors[0].entity.as_str(), errors[0].stage.as_str()),
        ("h", "write")
    );
    assert!(
        errors[0].payload.contains("{\"id\":2}") && errors[0].message.contains("status 422"),
        "{errors:#?}"
    );
}

#[test]
fn a_sink_that_is_down_holds_nobody_up_and_catches_up() {
    let sql = "CREATE TABLE t (id BIGINT AS (TRIGGER_EPOCH_TIME()), n BIGINT)
            WITH (connector = 'http', url = '${URL}/rows', interval = '20ms');
        CREATE SINK good FROM (SELECT id FROM t) WITH (connector = 'stdout');
        CREATE SINK bad FROM (SELECT id FROM t) WITH (
            connector = 'http', url = '${URL}/hook', retry.max_attempts = 1);";
    let setting = Setting::scripted(sql, vec![Reply::json(r#"[{"n": 1}]"#)]);
    setting.server.script("/hook", vec![Reply::status(503)]);
    let mut running = setting.run([]).spawn();
    running.wait_until(
        |running| running.stdout_line_count() >= 10,
        "ten polls although a sink is down",
    );
    let failed = setting.server.count_of("/hook");
    setting.server.script("/hook", vec![Reply::status(200)]);
    running.wait_until(
        |_| setting.server.count_of("/hook") >= failed + 10,
        "the sink catches up",
    );
    running.interrupt();
    let output = running.wait().expect_code(0);
    let delivered: Vec<Value> = (setting.server.requests_of("/hook")[failed..].iter())
        .map(|request| request.body_json()["id"].clone())
        .collect();
    assert_eq!(
        delivered,
        column(&output.json_lines(), "id"),
        "in order, none skipped\n{output}"
    );
}

#[test]
fn a_sink_that_cannot_take_deletes_refuses_a_relation_that_changes() {
    let sink = "CREATE SINK p FROM (SELECT count(*) AS n FROM t) WITH (connector = 'stdout');";
    let setting = Setting::scripted(&format!("{SOURCE}{sink}"), vec![ids(1..=3)]);
    let output = setting.once().expect_code(1);
    assert!(output.stderr.contains("changes = 'op'"), "{output}");
    assert_eq!(
        setting.server.request_count(),
        0,
        "an invalid pipeline starts nothing"
    );
}

/// Runs the pipeline, two of whose lines somebody reads; returns those and what was printed on stderr, the exit code
/// last.
fn with_head(setting: &Setting, arguments: &str) -> (String, String) {
    let command = format!(
        "(timeout 60 '{}' run pipeline.sql {arguments}; echo code $? >&2) | head -n 2",
        binary().display()
    );
    let output = std::process::Command::new("sh")
        .args(["-c", &command])
        .current_dir(setting.project.path())
        .output()
        .expect("there is a shell");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (text(&output.stdout), text(&output.stderr))
}

#[test]
fn nobody_reading_stdout_ends_the_sink_and_not_the_run_in_silence() {
    let sql = "CREATE TABLE made (n BIGINT) WITH (connector = 'generate', rows = 200000);
        CREATE SINK p FROM made WITH (connector = 'stdout');";
    let setting = Setting::new(sql);
    let (stdout, stderr) = with_head(&setting, "--once --ephemeral");
    assert_eq!(stdout, "{\"n\":0}\n{\"n\":1}\n");
    assert!(!stderr.contains("panicked"), "{stderr}");
}

#[test]
fn an_endless_run_ends_when_nobody_reads_what_it_writes() {
    let sql = "CREATE TABLE made (n BIGINT) WITH (connector = 'generate', rows_per_second = 5000);
        CREATE SINK p FROM made WITH (connector = 'stdout');";
    let setting = Setting::new(sql);
    let (stdout, stderr) = with_head(&setting, "");
    assert_eq!(stdout, "{\"n\":0}\n{\"n\":1}\n");
    assert!(stderr.contains("no sink is left"), "{stderr}");
    assert!(stderr.ends_with("code 1\n"), "{stderr}");

    let file = "CREATE SINK f FROM made WITH (connector = 'file', path = 'out/made.json');";
    setting.pipeline(&format!("{sql}\n{file}"));
    let (_, stderr) = with_head(&setting, "--for 2s");
    assert!(stderr.contains("Broken pipe"), "{stderr}");
    assert!(!stderr.contains("no sink is left"), "{stderr}");
    let folder = setting.project.path().join("out");
    let files = file_names(&folder);
    let written: usize = (files.iter())
        .map(|name| file_rows(&folder.join(name)).len())
        .sum();
    let made = setting.rows("SELECT count(*) AS n FROM made");
    assert_eq!(made, [json!({"n": written})], "{files:?}");
}
