//! The parts by themselves, by criterion: jq filters both ways, encoders, schedules.
//!
//! `just bench-parts [-- FILTER]`. The filters run over one body; the same filter in the interpreter is had by
//! a definition in front of it, which means the same and has no plan.

#[path = "../tests/support/trades.rs"]
mod trades;

use std::hint::black_box;
use std::str::FromStr as _;
use std::sync::Arc;

use chrono::{TimeZone as _, Utc};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use omlsp::batch::array::{
    ArrayRef, Float64Array, Int64Array, StringArray, TimestampMicrosecondArray,
};
use omlsp::batch::datatypes::{DataType, Field, Schema};
use omlsp::batch::{Column, RecordBatch};
use omlsp::connector::Schedule;
use omlsp::format::{AvroEncoder, Decoder, Filter, JsonEncoder, Way, avro_schema};

/// What the program itself allocates with.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const ROWS: usize = 10_000;

fn body() -> Vec<u8> {
    let row = |n: usize| {
        format!(
            r#"{{"symbol":"S{n}-USDT","name":"S{n}","buy":"{n}.1234","size":"1.5","sell":"{n}.5678","rate":0.25,"high":{n}.9,"last":"{n}.4321","average":null,"tags":["a","b"]}}"#
        )
    };
    let rows: Vec<String> = (0..ROWS).map(row).collect();
    format!(r#"{{"data":[{}]}}"#, rows.join(",")).into_bytes()
}

fn column(name: &str, sql_type: &str, arrow: DataType) -> Column {
    Column {
        name: name.to_owned(),
        sql_type: sql_type.to_owned(),
        arrow,
        nullable: true,
        in_key: false,
    }
}

fn filters(criterion: &mut Criterion) {
    let body = body();
    let mut group = criterion.benchmark_group("jq");
    group.throughput(Throughput::Bytes(body.len() as u64));
    group.sample_size(20);
    for (name, text) in [
        ("whole rows", ".data"),
        ("object of paths", ".data[] | {symbol, buy, last}"),
        (
            "casts",
            ".data[] | {symbol, buy: .buy | tonumber, last: .last | tonumber}",
        ),
        (
            "select",
            ".data[] | select(.high > 5000 and .tags[0] == \"a\") | {symbol, last}",
        ),
        (
            "alternative",
            ".data[] | {symbol, last: (.average // .last)}",
        ),
        ("slice and map", ".data[1:] | map({symbol, last})"),
    ] {
        let columns = vec![
            column("symbol", "VARCHAR", DataType::Utf8),
            column("buy", "DOUBLE", DataType::Float64),
            column("last", "DOUBLE", DataType::Float64),
        ];
        for (way, text) in [
            (Way::Extracted, text.to_owned()),
            (Way::Interpreted, format!("def same: .; same | {text}")),
        ] {
            let filter = Filter::compile(&text).expect("the filter is valid");
            assert_eq!(filter.way(), way);
            let decoder = Decoder::new(columns.clone(), filter, None);
            group.bench_function(format!("{name}, {way}"), |bencher| {
                bencher.iter(|| decoder.decode(black_box(&body)).expect("the body is valid"));
            });
        }
    }
    group.finish();
}

/// Many small documents, as a WebSocket brings them.
fn messages(criterion: &mut Criterion) {
    let frames = trades::trade_frames(ROWS);
    let mut body = Vec::new();
    // Each frame has a head of four bytes.
    for frame in frames.chunks_exact(4 + trades::MESSAGE_BYTES) {
        body.extend_from_slice(&frame[4..]);
        body.push(b'\n');
    }
    let text = |name: &str| column(name, "VARCHAR", DataType::Utf8);
    let double = |name: &str| column(name, "DOUBLE", DataType::Float64);
    let columns = vec![
        text("e"),
        text("s"),
        column("t", "BIGINT", DataType::Int64),
        double("p"),
        double("q"),
        column("m", "BOOLEAN", DataType::Boolean),
    ];
    let mut group = criterion.benchmark_group("messages");
    group.throughput(Throughput::Elements(ROWS as u64));
    for filter in [".", "select(.e == \"trade\") | {e, s, t, p, q, m}"] {
        let compiled = Filter::compile(filter).expect("the filter is valid");
        assert_eq!(compiled.way(), Way::Extracted);
        let decoder = Decoder::new(columns.clone(), compiled, None);
        group.bench_function(filter, |bencher| {
            bencher.iter(|| decoder.decode(black_box(&body)).expect("the body is valid"));
        });
    }
    group.finish();
}

fn tickers() -> RecordBatch {
    let schema = Schema::new(vec![
        Field::new("symbol", DataType::Utf8, true),
        Field::new("price", DataType::Float64, true),
        Field::new("n", DataType::Int64, true),
        Field::new(
            "at",
            DataType::Timestamp(omlsp::batch::datatypes::TimeUnit::Microsecond, None),
            true,
        ),
    ]);
    let symbols = (0..ROWS).map(|n| Some(["BTC-USDT", "ETH-USDT"][n % 2]));
    let whole = || 0..ROWS as i64;
    let columns: Vec<ArrayRef> = vec![
        Arc::new(symbols.collect::<StringArray>()),
        Arc::new(
            whole()
                .map(|n| Some(42_000.0 + n as f64 / 8.0))
                .collect::<Float64Array>(),
        ),
        Arc::new(Int64Array::from_iter_values(whole())),
        Arc::new(TimestampMicrosecondArray::from_iter_values(
            whole().map(|n| 1_704_164_645_678_000 + n * 1000),
        )),
    ];
    RecordBatch::try_new(Arc::new(schema), columns).expect("the columns are as long")
}

fn encoders(criterion: &mut Criterion) {
    let rows = tickers();
    let mut group = criterion.benchmark_group("encode");
    group.throughput(Throughput::Elements(ROWS as u64));
    let json = JsonEncoder::new(rows.schema_ref(), &[]).expect("the types can be written");
    let mut out = Vec::new();
    group.bench_function("json lines", |bencher| {
        bencher.iter(|| {
            out.clear();
            json.encode_lines(black_box(&rows), &mut out)
                .expect("the rows can be written");
        });
    });
    let schema = avro_schema(rows.schema_ref(), "ticker").expect("the names are Avro's too");
    let avro = AvroEncoder::new(rows.schema_ref(), &schema).expect("the types can be written");
    group.bench_function("avro", |bencher| {
        bencher.iter(|| {
            out.clear();
            let encoder = avro
                .rows(black_box(&rows))
                .expect("the rows can be written");
            for row in 0..ROWS {
                encoder
                    .write(row, &mut out)
                    .expect("the row can be written");
            }
        });
    });
    group.finish();
}

fn schedules(criterion: &mut Criterion) {
    let schedule = Schedule::Cron {
        cron: Box::new(croner::Cron::from_str("*/5 9-17 * * 1-5").expect("the pattern is valid")),
        timezone: chrono_tz::America::New_York,
    };
    let start = Utc
        .with_ymd_and_hms(2026, 3, 6, 12, 0, 0)
        .single()
        .expect("the instant exists");
    criterion.bench_function("cron, the next 100 instants", |bencher| {
        bencher.iter(|| {
            let mut at = start;
            for _ in 0..100 {
                at = schedule
                    .next_after(black_box(at))
                    .expect("there is always a next one");
            }
            at
        });
    });
}

criterion_group!(parts, filters, messages, encoders, schedules);
criterion_main!(parts);
