//! The process killed, the broker frozen, killed and late, and others in the group: with the real binary.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::{Value, json};

use crate::broker::{Broker, available, shared};
use crate::pipeline::Pipeline;
use crate::support::binary::wait_until;

/// The numbers `n` of all messages of a topic, in the order of its only partition.
fn numbers(broker: &Broker, topic: &str) -> Vec<i64> {
    let messages = broker.peer("consume", topic, &["all"], "");
    let number = |message: &Value| {
        let value: Value = serde_json::from_str(message["value"].as_str().unwrap()).unwrap();
        value["n"].as_i64().unwrap()
    };
    messages.iter().map(number).collect()
}

/// Asserts that every number is there, and that it came for the first time after those before it.
fn assert_complete(numbers: &[i64], count: i64) {
    let mut seen = BTreeSet::new();
    let first: Vec<i64> = (numbers.iter().copied())
        .filter(|n| seen.insert(*n))
        .collect();
    assert_eq!(
        seen.len(),
        usize::try_from(count).unwrap(),
        "rows are missing"
    );
    assert!(first.into_iter().eq(0..count), "rows are out of order");
}

#[test]
fn killed_between_commit_and_acknowledgement_no_row_is_missing() {
    if !available() {
        return;
    }
    let broker = Broker::reserve();
    broker.start();
    broker.peer("topic", "unacknowledged", &["1"], "");
    let sql = "CREATE TABLE made (n BIGINT) WITH (connector = 'generate', rows = 20000, rows_per_second = 10000);
        CREATE SINK out FROM made WITH (connector = 'kafka', server = '${KAFKA}', topic = 'unacknowledged');";
    let pipeline = Pipeline::new(&broker.server(), sql);
    let mut running = pipeline.run([]).spawn();
    running.wait_for_stderr("running");
    let count = || pipeline.number("SELECT count(*) FROM made");
    running.wait_until(|_| count() > 2000, "rows");
    // From here on rows are committed and sent, and nothing is acknowledged.
    broker.freeze();
    let frozen = count();
    running.wait_until(|_| count() > frozen + 2000, "rows that nobody acknowledges");
    let behind = pipeline.show("SINKS", "out")["behind"].as_i64();
    assert!(
        behind >= Some(2000),
        "the position waits for the broker: {behind:?}"
    );
    running.kill();
    broker.thaw();
    pipeline.once();
    assert_eq!(count(), 20_000, "the state has every row once");
    let numbers = numbers(&broker, "unacknowledged");
    println!("{} messages for 20000 rows", numbers.len());
    assert_complete(&numbers, 20_000);
}

#[test]
fn a_broker_that_is_absent_at_the_start_is_waited_for_and_nobody_else_is() {
    if !available() {
        return;
    }
    let broker = Broker::reserve();
    let sql = "CREATE TABLE made (n BIGINT) WITH (connector = 'generate', rows = 1000);
        CREATE SINK out FROM made WITH (connector = 'kafka', server = '${KAFKA}', topic = 'absent', key = 'n');
        CREATE TABLE back (n BIGINT) WITH (connector = 'kafka', server = '${KAFKA}', topic = 'absent');
        CREATE SINK printed FROM made WITH (connector = 'stdout');";
    let pipeline = Pipeline::new(&broker.server(), sql);
    let mut running = pipeline.run([]).spawn();
    running.wait_until(
        |running| running.stdout_line_count() == 1000,
        "the other sink's rows",
    );
    running.wait_for_stderr("trying again: 1000 messages wait for");
    let shown = pipeline.show("SINKS", "out");
    assert_eq!(
        (&shown["state"], &shown["behind"]),
        (&json!("retrying"), &json!(1000)),
        "{shown}"
    );
    assert!(
        shown["last_error"].as_str().unwrap().contains("refused"),
        "{shown}"
    );
    let back = || pipeline.show("TABLES", "back");
    running.wait_until(
        |_| back()["state"] == "retrying",
        "the source says that it retries",
    );
    broker.start();
    running.wait_until(|_| back()["rows"] == 1000, "every row comes back");
    assert_eq!(back()["state"], "running");
    running.wait_until(
        |_| pipeline.show("SINKS", "out")["behind"] == 0,
        "the sink is done",
    );
    // What feeds it has ended.
    running.wait_until(
        |_| pipeline.show("SINKS", "out")["state"] == "finished",
        "the sink ends",
    );
    running.interrupt();
    running.wait().expect_code(0);
    let mut keys: Vec<i64> = (broker.peer("consume", "absent", &["all"], "").iter())
        .map(|message| message["key"].as_str().unwrap().parse().unwrap())
        .collect();
    keys.sort_unstable();
    assert!(keys.into_iter().eq(0..1000), "everything arrives, and once");
}

/// Rows that travel from topic to table to topic, how many come at once, and the kills on the way.
const ROWS: i64 = 12_000;
const ROWS_AT_ONCE: i64 = 2000;
const KILLS: u32 = 6;

#[test]
fn from_topic_to_topic_nothing_is_lost_and_no_row_doubled_by_kills() {
    if !available() {
        return;
    }
    let broker = Broker::reserve();
    broker.start();
    for topic in ["kills-in", "kills-out"] {
        broker.peer("topic", topic, &["1"], "");
    }
    let sql = "CREATE TABLE taken (n BIGINT) INCLUDE offset AS place
            WITH (connector = 'kafka', server = '${KAFKA}', topic = 'kills-in');
        CREATE MATERIALIZED VIEW counted AS SELECT count(*) AS n, sum(n)::BIGINT AS total FROM taken;
        CREATE SINK out FROM (SELECT n FROM taken)
            WITH (connector = 'kafka', server = '${KAFKA}', topic = 'kills-out');";
    let pipeline = Pipeline::new(&broker.server(), sql);
    let produce = || {
        for start in (0..ROWS).step_by(usize::try_from(ROWS_AT_ONCE).unwrap()) {
            let record = |n: i64| format!("{{\"value\":\"{{\\\"n\\\":{n}}}\"}}\n");
            let input: String = (start..start + ROWS_AT_ONCE).map(record).collect();
            broker.peer("produce", "kills-in", &[], &input);
        }
    };
    let mut kills = 0;
    std::thread::scope(|scope| {
        scope.spawn(produce);
        let mut random = fastrand::Rng::with_seed(11);
        while kills < KILLS {
            let mut running = pipeline.run([]).spawn();
            running.wait_for_stderr("running");
            std::thread::sleep(Duration::from_millis(random.u64(0..1500)));
            if kills == KILLS / 2 {
                broker.crash();
                std::thread::sleep(Duration::from_millis(500));
                broker.start();
            }
            assert!(running.is_running(), "it ended by itself");
            running.kill();
            kills += 1;
        }
    });
    pipeline.once();
    let rows = pipeline.sql(
        "SELECT count(*) AS n, count(DISTINCT n) AS d, min(place) AS low, max(place) AS high FROM taken",
    );
    let expected = json!({"n": ROWS, "d": ROWS, "low": 0, "high": ROWS - 1});
    assert_eq!(rows, [expected], "each message is there once");
    let counted = json!({"n": ROWS, "total": ROWS * (ROWS - 1) / 2});
    assert_eq!(pipeline.sql("FROM counted"), [counted]);
    let numbers = numbers(&broker, "kills-out");
    println!(
        "{} messages for {ROWS} rows after {kills} kills",
        numbers.len()
    );
    assert_complete(&numbers, ROWS);
}

#[test]
fn others_who_join_and_leave_the_group_take_nothing_away() {
    if !available() {
        return;
    }
    let broker = shared();
    broker.peer("topic", "rebalance", &["2"], "");
    let sql = "CREATE TABLE taken (n BIGINT) INCLUDE partition AS p
        WITH (connector = 'kafka', server = '${KAFKA}', topic = 'rebalance', group_id = 'crowded');";
    let pipeline = Pipeline::new(&broker.server(), sql);
    let mut running = pipeline.run([]).spawn();
    let mut sent = 0;
    let mut send = || {
        let record = |n: i64| {
            format!(
                "{{\"value\":\"{{\\\"n\\\":{n}}}\",\"partition\":{}}}\n",
                n % 2
            )
        };
        let input: String = (sent..sent + 100).map(record).collect();
        broker.peer("produce", "rebalance", &[], &input);
        sent += 100;
        sent
    };
    let expect = |count: i64| {
        let taken = || pipeline.sql("SELECT count(*) AS n, count(DISTINCT n) AS d FROM taken");
        wait_until(
            || taken() == [json!({"n": count, "d": count})],
            "every row once",
        );
    };
    expect(send());
    for _ in 0..2 {
        let member = broker.join("rebalance", "crowded");
        expect(send());
        drop(member);
        expect(send());
    }
    assert!(running.is_running());
    // Without members the group's offsets are ours again.
    let told = || {
        broker
            .peer("committed", "rebalance", &["crowded"], "")
            .remove(0)
    };
    wait_until(
        || told() == json!({"0": 250, "1": 250}),
        "the group knows the offsets",
    );
    running.interrupt();
    running.wait().expect_code(0);
    assert_eq!(pipeline.errors(), [Value::Null; 0]);
}
