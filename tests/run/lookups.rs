//! Lookup joins: how often is asked, what is bound, what becomes of the answers.

use serde_json::{Value, json};

use super::setting::{Setting, assert_rows, column, sorted};
use crate::support::binary::Output;
use crate::support::http::{Reply, Request};

/// A source of `asking` rows and a lookup of names by symbol; `{lookup}` and `{rest}` differ.
fn pipeline(lookup: &str, rest: &str) -> String {
    format!(
        "CREATE SOURCE asking (id BIGINT, symbol STRING)
            WITH (connector = 'http', url = '${{URL}}/rows', interval = '1h');
        CREATE TEMPORARY TABLE names ($symbol STRING, name STRING, rank BIGINT) WITH (
            connector = 'lookup-http', url = '${{URL}}/names/$symbol', retry.max_attempts = 1, {lookup}
        );
        {rest}"
    )
}

const LEFT: &str = "CREATE SINK printed FROM
    (SELECT a.id, a.symbol, n.name, n.rank FROM asking a LEFT JOIN names n ON a.symbol = n.symbol)
    WITH (connector = 'stdout');";

/// Answers `/rows` with these symbols, ids from 1, and `/names/…` with as many names as the symbol has
/// letters after its first.
fn serve(setting: &Setting, symbols: &[Option<&str>]) {
    let rows: Vec<Value> = symbols
        .iter()
        .enumerate()
        .map(|(at, symbol)| json!({"id": at + 1, "symbol": symbol}))
        .collect();
    setting
        .server
        .script("/rows", vec![Reply::value(&Value::Array(rows))]);
    setting.server.on("GET", "/names/*", names);
}

fn names(request: &Request) -> Reply {
    let symbol = request.path.trim_start_matches("/names/");
    let rows: Vec<Value> = (1..symbol.len())
        .map(|rank| json!({"name": format!("{symbol}-{rank}"), "rank": rank}))
        .collect();
    Reply::value(&Value::Array(rows))
}

fn asked(setting: &Setting) -> Vec<String> {
    let requests = setting.server.requests();
    let mut paths: Vec<String> = (requests.iter())
        .filter_map(|request| Some(request.path.strip_prefix("/names/")?.to_owned()))
        .collect();
    paths.sort();
    paths
}

#[test]
fn an_answer_has_no_one_or_many_rows_and_repeated_rows_ask_once() {
    let setting = Setting::new(&pipeline("", LEFT));
    serve(
        &setting,
        &[Some("A"), Some("BB"), Some("CCC"), Some("BB"), Some("CCC")],
    );
    let output = setting.once().expect_code(0);
    let row = |id: i64, symbol: &str, name: Value, rank: Value| json!({"id": id, "symbol": symbol, "name": name, "rank": rank});
    let expected = vec![
        row(1, "A", Value::Null, Value::Null),
        row(2, "BB", json!("BB-1"), json!(1)),
        row(3, "CCC", json!("CCC-1"), json!(1)),
        row(3, "CCC", json!("CCC-2"), json!(2)),
        row(4, "BB", json!("BB-1"), json!(1)),
        row(5, "CCC", json!("CCC-1"), json!(1)),
        row(5, "CCC", json!("CCC-2"), json!(2)),
    ];
    assert_rows(&sorted(output.json_lines()), &sorted(expected), &output);
    assert_eq!(asked(&setting), ["A", "BB", "CCC"]);
}

#[test]
fn an_inner_join_drops_rows_without_an_answer() {
    let setting = Setting::new(&pipeline("", &LEFT.replace("LEFT JOIN", "JOIN")));
    serve(&setting, &[Some("A"), Some("BB"), None]);
    let output = setting.once().expect_code(0);
    assert_eq!(
        column(&output.json_lines(), "id"),
        [2].map(Value::from),
        "{output}"
    );
}

#[test]
fn null_asks_nothing_and_a_left_join_keeps_its_row() {
    let setting = Setting::new(&pipeline("", LEFT));
    serve(&setting, &[None, Some("BB")]);
    let output = setting.once().expect_code(0);
    let expected = [
        json!({"id": 1, "symbol": null, "name": null, "rank": null}),
        json!({"id": 2, "symbol": "BB", "name": "BB-1", "rank": 1}),
    ];
    assert_rows(
        &sorted(output.json_lines()),
        &sorted(expected.to_vec()),
        &output,
    );
    assert_eq!(asked(&setting), ["BB"]);
}

#[test]
fn values_are_percent_encoded_in_path_and_query() {
    let sql = "CREATE SOURCE asking (symbol STRING)
            WITH (connector = 'http', url = '${URL}/rows', interval = '1h');
        CREATE TEMP TABLE found ($symbol STRING, path STRING) WITH (
            connector = 'lookup-http', url = '${URL}/names/$symbol', params.q = '$symbol',
        );
        CREATE SINK printed FROM (SELECT a.symbol, f.path FROM asking a JOIN found f ON a.symbol = f.symbol)
        WITH (connector = 'stdout');";
    let setting = Setting::new(sql);
    let symbols = ["A&symbol=B", "a/b?c#d", "50% ü", "x+y"];
    let rows: Vec<Value> = symbols
        .iter()
        .map(|symbol| json!({"symbol": symbol}))
        .collect();
    setting
        .server
        .script("/rows", vec![Reply::value(&Value::Array(rows))]);
    setting.server.on("GET", "/names/*", |request| {
        Reply::value(&json!([{"path": request.param("q")}]))
    });
    let output = setting.once().expect_code(0);
    let lines = output.json_lines();
    assert_eq!(lines.len(), 4, "{output}");
    assert!(
        lines.iter().all(|row| row["symbol"] == row["path"]),
        "{output}"
    );
    for request in setting
        .server
        .requests()
        .iter()
        .filter(|request| request.path.starts_with("/names/"))
    {
        assert_eq!(request.path.matches('/').count(), 2, "{}", request.path);
        assert_eq!(request.query.len(), 1, "{}", request.raw_query);
    }
}

#[test]
fn values_in_a_json_body_keep_their_type_and_are_escaped() {
    let sql = "CREATE SOURCE asking (symbol STRING, n BIGINT)
            WITH (connector = 'http', url = '${URL}/rows', interval = '1h');
        CREATE TEMP TABLE found ($symbol STRING, $n BIGINT, ok BOOLEAN) WITH (
            connector = 'lookup-http', url = '${URL}/ask', method = 'POST', json.symbol = '$symbol', json.n = '$n',
        );
        CREATE SINK printed FROM (SELECT a.n, f.ok FROM asking a JOIN found f ON a.symbol = f.symbol AND a.n = f.n)
        WITH (connector = 'stdout');";
    let setting = Setting::new(sql);
    setting.server.script(
        "/rows",
        vec![Reply::json(r#"[{"symbol": "a\"b\\c", "n": 7}]"#)],
    );
    setting
        .server
        .script("/ask", vec![Reply::json(r#"{"ok": true}"#)]);
    let output = setting.once().expect_code(0);
    assert_eq!(output.stdout, "{\"n\":7,\"ok\":true}\n");
    assert_eq!(
        setting.server.requests_of("/ask")[0].body_json(),
        json!({"symbol": "a\"b\\c", "n": 7})
    );
}

#[test]
fn several_lookups_in_one_query_chain() {
    let rest = "CREATE TEMP TABLE ranks ($name STRING, score DOUBLE)
            WITH (connector = 'lookup-http', url = '${URL}/scores/$name');
        CREATE SINK printed FROM (
            SELECT a.id, n.name, r.score FROM asking a
            LEFT JOIN names n ON a.symbol = n.symbol
            LEFT JOIN ranks r ON r.name = n.name
        ) WITH (connector = 'stdout');";
    let setting = Setting::new(&pipeline("", rest));
    serve(&setting, &[Some("A"), Some("BB"), Some("CCC")]);
    setting
        .server
        .on("GET", "/scores/*", |request| match request.path.as_str() {
            "/scores/BB-1" => Reply::json(r#"{"score": 1.5}"#),
            "/scores/CCC-2" => Reply::json(r#"{"score": 2.5}"#),
            _ => Reply::status(404),
        });
    let output = setting.once().expect_code(0);
    let expected = vec![
        json!({"id": 1, "name": null, "score": null}),
        json!({"id": 2, "name": "BB-1", "score": 1.5}),
        json!({"id": 3, "name": "CCC-1", "score": null}),
        json!({"id": 3, "name": "CCC-2", "score": 2.5}),
    ];
    assert_rows(&sorted(output.json_lines()), &sorted(expected), &output);
    let scores = setting
        .server
        .requests()
        .into_iter()
        .filter(|request| request.path.starts_with("/scores/"));
    assert_eq!(scores.count(), 3, "one for each name found");
}

#[test]
fn a_parameter_that_using_does_not_name_is_bound_by_its_name() {
    let sql = "CREATE SOURCE asking (symbol STRING, n BIGINT)
            WITH (connector = 'http', url = '${URL}/rows', interval = '1h');
        CREATE TEMP TABLE found ($symbol STRING, $n BIGINT, label STRING) WITH (
            connector = 'lookup-http', url = '${URL}/names/$symbol', params.n = '$n');
        CREATE VIEW labelled AS SELECT a.*, f.label FROM asking a LEFT JOIN found f USING (symbol);
        CREATE SINK printed FROM (
            SELECT o.n, symbol, o.label, f.n AS again FROM labelled o LEFT JOIN found f USING (symbol, label)
        ) WITH (connector = 'stdout');";
    let setting = Setting::new(sql);
    let rows = r#"[{"symbol": "A", "n": 1}, {"symbol": "A", "n": 2}, {"symbol": "A", "n": 1}, {"symbol": "B"}]"#;
    setting.server.script("/rows", vec![Reply::json(rows)]);
    setting.server.on("GET", "/names/*", |request| {
        let n = request.param("n").unwrap_or_default();
        Reply::value(&json!([{"label": format!("{} {n}", request.path)}]))
    });
    let output = setting.once().expect_code(0);
    let row = |n: i64| json!({"n": n, "symbol": "A", "label": format!("/names/A {n}"), "again": n});
    let none = json!({"n": null, "symbol": "B", "label": null, "again": null});
    let expected = [row(1), row(1), row(2), none];
    assert_rows(
        &sorted(output.json_lines()),
        &sorted(expected.to_vec()),
        &output,
    );
    assert_eq!(asked(&setting), ["A", "A", "A", "A"]);
}

#[test]
fn generated_columns_use_parameters_answer_and_trigger() {
    let sql = "CREATE SOURCE asking (symbol STRING, at_ms BIGINT AS (TRIGGER_EPOCH_TIME()))
            WITH (connector = 'http', url = '${URL}/rows', interval = '1h');
        CREATE TEMP TABLE names (
            $symbol STRING, rank BIGINT, label STRING AS (symbol || '#' || rank), asked_ms BIGINT AS (TRIGGER_EPOCH_TIME()),
        ) WITH (connector = 'lookup-http', url = '${URL}/names/$symbol');
        CREATE SINK printed FROM (
            SELECT n.label, a.at_ms = n.asked_ms AS same FROM asking a JOIN names n ON a.symbol = n.symbol
        ) WITH (connector = 'stdout');";
    let setting = Setting::new(sql);
    serve(&setting, &[Some("BB"), Some("CCC")]);
    let output = setting.once().expect_code(0);
    let expected = ["BB#1", "CCC#1", "CCC#2"].map(|label| json!({"label": label, "same": true}));
    assert_rows(
        &sorted(output.json_lines()),
        &sorted(expected.to_vec()),
        &output,
    );
}

#[test]
fn rows_that_where_drops_are_not_asked_for() {
    let rest = "CREATE SINK printed FROM (
            SELECT a.id, n.name FROM asking a LEFT JOIN names n ON a.symbol = n.symbol
            WHERE a.id > 2 AND (n.rank IS NULL OR n.rank < 2)
        ) WITH (connector = 'stdout');";
    let setting = Setting::new(&pipeline("", rest));
    serve(&setting, &[Some("AA"), Some("BB"), Some("CCC"), Some("D")]);
    let output = setting.once().expect_code(0);
    assert_eq!(asked(&setting), ["CCC", "D"]);
    let expected = vec![
        json!({"id": 3, "name": "CCC-1"}),
        json!({"id": 4, "name": null}),
    ];
    assert_rows(&sorted(output.json_lines()), &expected, &output);
}

/// What decides anew with each evaluation decides once for a row: not which rows are asked for, and then again which
/// are joined.
#[test]
fn rows_that_where_keeps_by_chance_have_their_answers() {
    let rest = "CREATE SINK printed FROM (
            SELECT a.id, n.name FROM asking a LEFT JOIN names n ON a.symbol = n.symbol WHERE random() < 0.5
        ) WITH (connector = 'stdout');";
    let setting = Setting::new(&pipeline("", rest));
    let symbols: Vec<String> = (10..90).map(|number| format!("S{number}")).collect();
    let asking: Vec<Option<&str>> = symbols.iter().map(|symbol| Some(&**symbol)).collect();
    serve(&setting, &asking);
    let output = setting.once().expect_code(0);
    let names = column(&output.json_lines(), "name");
    assert!(
        !names.is_empty() && !names.contains(&Value::Null),
        "{output}"
    );
    assert_eq!(asked(&setting).len(), 80);
}

#[test]
fn conditions_beside_the_parameter_apply_after_the_answer() {
    let rest = LEFT.replace(
        "ON a.symbol = n.symbol",
        "ON a.symbol = n.symbol AND n.rank = a.id",
    );
    let setting = Setting::new(&pipeline("", &rest));
    serve(&setting, &[Some("CCC"), Some("CCC"), Some("CCC")]);
    let output = setting.once().expect_code(0);
    let ranks = column(&sorted(output.json_lines()), "rank");
    assert_eq!(ranks, [json!(1), json!(2), Value::Null], "{output}");
    assert_eq!(asked(&setting), ["CCC"]);
}

#[test]
fn a_cache_answers_later_batches_empty_answers_too() {
    let polls = |missing: &str, ttl: &str| {
        let lookup = format!(
            "lookup.cache = 'lru', lookup.cache.ttl = '{ttl}', lookup.cache.missing = {missing}"
        );
        let sql = pipeline(&lookup, LEFT).replace("interval = '1h'", "interval = '30ms'");
        let setting = Setting::new(&sql);
        serve(&setting, &[Some("A"), Some("BB")]);
        let mut running = setting.run(["--ephemeral"]).spawn();
        running.wait_until(|running| running.stdout_line_count() >= 8, "four polls");
        running.interrupt();
        let output = running.wait().expect_code(0);
        let polls = output.stdout.lines().count() / 2;
        (asked(&setting), polls)
    };
    assert_eq!(polls("true", "1h").0, ["A", "BB"]);
    let (paths, count) = polls("false", "1h");
    assert_eq!(
        paths.iter().filter(|path| *path == "BB").count(),
        1,
        "{paths:?}"
    );
    assert_eq!(
        paths.iter().filter(|path| *path == "A").count(),
        count,
        "{paths:?}"
    );
    let (paths, count) = polls("true", "1ms");
    assert_eq!(
        paths.len(),
        2 * count,
        "what is older than its time is asked for again"
    );
}

#[test]
fn without_a_cache_every_batch_asks() {
    let sql = pipeline("", LEFT).replace("interval = '1h'", "interval = '30ms'");
    let setting = Setting::new(&sql);
    serve(&setting, &[Some("BB")]);
    let mut running = setting.run(["--ephemeral"]).spawn();
    running.wait_until(|running| running.stdout_line_count() >= 3, "three polls");
    running.interrupt();
    let output = running.wait().expect_code(0);
    assert_eq!(asked(&setting).len(), output.stdout.lines().count());
}

#[test]
fn requests_in_flight_and_connections_stay_within_the_bound() {
    let setting = Setting::new(&pipeline("lookup.concurrency = 5", LEFT));
    let symbols: Vec<String> = (0..60).map(|number| format!("S{number}")).collect();
    let symbols: Vec<Option<&str>> = symbols.iter().map(|symbol| Some(symbol.as_str())).collect();
    serve(&setting, &symbols);
    setting
        .server
        .set_latency(std::time::Duration::from_millis(5));
    let output = setting.once().expect_code(0);
    assert_eq!(asked(&setting).len(), 60);
    assert!(
        (2..=5).contains(&setting.server.in_flight_max()),
        "{}",
        setting.server.in_flight_max()
    );
    // The poll has a connection of its own.
    assert!(
        setting.server.connections_opened() <= 6,
        "{}\n{output}",
        setting.server.connections_opened()
    );
}

#[test]
fn a_failed_request_is_an_empty_answer_with_a_record() {
    let setting = Setting::new(&pipeline("", LEFT));
    serve(&setting, &[Some("BB"), Some("CCC")]);
    setting
        .server
        .on("GET", "/names/BB", |_| Reply::status(500));
    let output = setting.once_kept().expect_code(1);
    assert_eq!(
        column(&sorted(output.json_lines()), "name"),
        [Value::Null, json!("CCC-1"), json!("CCC-2")],
        "{output}"
    );
    let errors = setting.errors();
    assert_eq!(errors.len(), 1, "{errors:#?}");
    assert_eq!(
        (errors[0].entity.as_str(), errors[0].stage.as_str()),
        ("names", "lookup")
    );
    assert_eq!(errors[0].payload, r#"["BB"]"#);
}

#[test]
fn a_failed_answer_is_not_kept_in_the_cache() {
    let sql = pipeline("lookup.cache = 'lru', lookup.cache.ttl = '1h'", LEFT);
    let setting = Setting::new(&sql.replace("interval = '1h'", "interval = '30ms'"));
    serve(&setting, &[Some("BB")]);
    setting.server.script(
        "/names/BB",
        vec![
            Reply::status(500),
            Reply::json(r#"[{"name": "found", "rank": 1}]"#),
        ],
    );
    let mut running = setting.run(["--ephemeral"]).spawn();
    running.wait_for_stdout("found");
    running.interrupt();
    running.wait().expect_code(0);
    assert_eq!(asked(&setting).len(), 2);
}

#[test]
fn a_failed_request_under_fail_gives_no_row_until_it_works() {
    let setting = Setting::new(&pipeline("lookup.on_error = 'fail'", LEFT));
    serve(&setting, &[Some("BB"), Some("CCC")]);
    let broken = vec![
        Reply::status(500),
        Reply::status(500),
        Reply::json(r#"[{"name": "late", "rank": 1}]"#),
    ];
    setting.server.script("/names/BB", broken);
    let mut running = setting.run([]).spawn();
    running.wait_for_stdout("late");
    running.interrupt();
    let output = running.wait().expect_code(0);
    assert_eq!(output.stdout.lines().count(), 3, "each row once\n{output}");
    assert_eq!(setting.errors().len(), 2, "{:#?}", setting.errors());
}

#[test]
fn a_view_with_a_lookup_asks_once_for_all_its_readers() {
    let rest = "CREATE VIEW named AS
            SELECT a.id, n.name FROM asking a LEFT JOIN names n ON a.symbol = n.symbol;
        CREATE SINK first FROM named WITH (connector = 'stdout');
        CREATE SINK second FROM (SELECT id AS other FROM named WHERE name IS NOT NULL) WITH (connector = 'stdout');";
    let setting = Setting::new(&pipeline("", rest));
    serve(&setting, &[Some("BB"), Some("CC"), Some("BB")]);
    let output = setting.once().expect_code(0);
    assert_eq!(asked(&setting), ["BB", "CC"], "{output}");
    assert_eq!(output.stdout.lines().count(), 6, "{output}");
}

#[test]
fn a_row_of_an_answer_that_does_not_fit_is_set_aside() {
    let setting = Setting::new(&pipeline("", LEFT));
    serve(&setting, &[Some("BB")]);
    let body = r#"[{"name": "good", "rank": 1}, {"name": "bad", "rank": "first"}]"#;
    setting.server.script("/names/BB", vec![Reply::json(body)]);
    let output = setting.once_kept();
    assert_eq!(
        column(&output.json_lines(), "name"),
        ["good"].map(Value::from),
        "{output}"
    );
    let errors = setting.errors();
    assert_eq!(errors.len(), 1, "{errors:#?}");
    assert_eq!(errors[0].entity, "names");
}

/// Runs a lookup of which two rows do not fit, one of them in a computed column; returns what was printed.
fn with_misfits(on_error: &str) -> (Setting, Output) {
    let sql = pipeline(&format!("on_error = '{on_error}'"), LEFT).replace(
        "rank BIGINT)",
        "rank BIGINT, code BIGINT AS (CAST(CASE rank WHEN 7 THEN name ELSE '1' END AS BIGINT)))",
    );
    let setting = Setting::new(&sql);
    serve(&setting, &[Some("BB")]);
    let body = r#"[{"name": "good", "rank": 1}, {"name": "bad", "rank": "first"}, {"name": "odd", "rank": 7}]"#;
    setting.server.script("/names/BB", vec![Reply::json(body)]);
    let output = setting.once_kept();
    (setting, output)
}

#[test]
fn rows_of_answers_that_do_not_fit_are_counted_and_told() {
    for on_error in ["dead_letter", "skip"] {
        let (setting, output) = with_misfits(on_error);
        let output = output.expect_code(0);
        let names = column(&output.json_lines(), "name");
        assert_eq!(names, ["good"].map(Value::from), "{output}");
        let told = (output.stderr.lines()).filter(|line| line.contains("did not fit"));
        let told: Vec<&str> = told.collect();
        assert!(
            told.len() == 1 && told[0].contains("entity=names") && told[0].contains("rows=2"),
            "{output}"
        );
        let payloads: Vec<String> = (setting.errors().into_iter())
            .map(|error| error.payload)
            .collect();
        if on_error == "skip" {
            assert_eq!(payloads, [""; 0]);
            continue;
        }
        assert_eq!(payloads.len(), 2, "{payloads:?}");
        for row in ["first", "odd"] {
            let has = |payload: &String| payload.contains(row);
            assert!(payloads.iter().any(has), "{payloads:?}");
        }
    }
}

#[test]
fn a_row_of_an_answer_that_must_fit_fails_its_batch() {
    let (_, output) = with_misfits("fail");
    let output = output.expect_code(1);
    assert_eq!(output.stdout, "", "{output}");
}

#[test]
fn null_and_decimals_in_an_answer_load() {
    let sql = "CREATE SOURCE asking (symbol STRING)
            WITH (connector = 'http', url = '${URL}/rows', interval = '1h');
        CREATE TEMP TABLE names ($symbol STRING, price DECIMAL(18, 4), note STRING)
            WITH (connector = 'lookup-http', url = '${URL}/names/$symbol');
        CREATE SINK printed FROM (SELECT n.price, n.note FROM asking a JOIN names n ON a.symbol = n.symbol)
        WITH (connector = 'stdout');";
    let setting = Setting::new(sql);
    serve(&setting, &[Some("BB")]);
    setting.server.script(
        "/names/BB",
        vec![Reply::json(
            r#"[{"price": "12.3400", "note": null}, {"price": null}]"#,
        )],
    );
    let output = setting.once().expect_code(0);
    assert_eq!(
        output.stdout,
        "{\"price\":12.3400,\"note\":null}\n{\"price\":null,\"note\":null}\n"
    );
}

#[test]
fn a_materialized_view_keeps_its_answers() {
    let rest = "CREATE MATERIALIZED VIEW named AS
            SELECT a.id, n.name FROM asking a JOIN names n ON a.symbol = n.symbol;
        CREATE MATERIALIZED VIEW counted AS SELECT name, count(*) AS n FROM named GROUP BY name;";
    let setting = Setting::new(&pipeline("", rest));
    serve(&setting, &[Some("BB"), Some("CC")]);
    setting.once_kept().expect_code(0);
    serve(&setting, &[Some("BB"), Some("DD")]);
    setting.server.on("GET", "/names/BB", |_| {
        Reply::json(r#"[{"name": "changed"}]"#)
    });
    setting.once_kept().expect_code(0);
    let names = setting.rows("FROM named ORDER BY id, name");
    assert_eq!(
        column(&names, "name"),
        ["BB-1", "changed", "CC-1", "DD-1"].map(Value::from)
    );
    let counts = setting.rows("FROM counted ORDER BY name");
    assert_eq!(column(&counts, "n"), [1, 1, 1, 1].map(Value::from));
}

#[test]
fn secrets_are_masked_in_the_questions_and_rows_that_are_kept() {
    let secret = "CREATE SECRET pass WITH (backend = 'meta') AS 'open-sesame-1234';";
    let pipeline = pipeline("headers.x-pass = SECRET pass", LEFT);
    let setting = Setting::new(&format!("{secret} {pipeline}"));
    serve(&setting, &[Some("open-sesame-1234"), Some("BB")]);
    let echoing = Reply::json(r#"[{"name": "open-sesame-1234", "rank": "first"}]"#);
    setting.server.script("/names/BB", vec![echoing]);
    let failing = vec![Reply::status(500)];
    (setting.server).script("/names/open-sesame-1234", failing);
    setting.once_kept().expect_code(1);
    let errors = setting.errors();
    let payloads: Vec<&str> = errors.iter().map(|error| error.payload.as_str()).collect();
    assert_eq!(payloads.len(), 2, "{errors:#?}");
    assert!(
        (payloads.iter()).all(|text| text.contains("***") && !text.contains("open-sesame")),
        "{errors:#?}"
    );
}
