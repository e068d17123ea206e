//! The pictures of the page in the README, and that nothing in such a picture overlaps or is cut off.
//!
//! `just pictures` takes them anew into `docs/`; the test takes them too, and throws them away.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use serde_json::json;

use super::driver::Browser;
use super::setting::Listening;
use crate::support::binary::{Project, wait_until};
use crate::support::exchanges::Exchanges;
use crate::support::http::{Reply, Server};

/// The size of the window in the pictures.
const SIZE: (u32, u32) = (1280, 800);

/// A picture is to load fast.
const BYTES_MAX: usize = 200_000;

/// A market with everything that the page can show: `URL` is a server of the test.
const PIPELINE: &str = "
CREATE TABLE tickers (symbol STRING, price DOUBLE, volume DOUBLE, polled_at TIMESTAMP AS (TRIGGER_TIME()))
WITH (connector = 'http', url = 'URL/tickers', interval = '1s', conditional = 'false');

CREATE TEMPORARY TABLE candles ($symbol STRING, $start_at BIGINT, $end_at BIGINT, open DOUBLE, close DOUBLE)
WITH (connector = 'lookup-http', jq = '.data[0] | {open: .[1], close: .[2]}',
      url = 'URL/api/v1/market/candles?type=1min&symbol=$symbol&startAt=$start_at&endAt=$end_at');

CREATE SOURCE trades (n BIGINT, symbol STRING AS (['BTC-USDT', 'ETH-USDT', 'SOL-USDT'][1 + n % 3]),
                      price DOUBLE AS (100 + 7 * sin(n / 40.0)), size DOUBLE AS (1 + n % 9))
WITH (connector = 'generate', rows_per_second = 240);

CREATE TABLE funding (symbol STRING, rate DOUBLE)
WITH (connector = 'http', url = 'URL/funding', interval = '2s', retry.max_attempts = 1);

CREATE VIEW moves AS
SELECT t.symbol, t.price, c.close - c.open AS move
FROM (SELECT symbol, price, 1767225600 AS start_at, 1767225900 AS end_at FROM tickers) AS t
LEFT JOIN candles AS c ON t.symbol = c.symbol;

CREATE VIEW large_trades AS SELECT symbol, price, size FROM trades WHERE size > 7;

CREATE MATERIALIZED VIEW volume AS
SELECT symbol, count(*) AS trades, round(sum(price * size)) AS turnover, max(price) AS high
FROM trades GROUP BY symbol;

CREATE MATERIALIZED VIEW costs AS
SELECT t.symbol, max(t.price) AS price, max(f.rate) AS rate
FROM tickers AS t JOIN funding AS f ON t.symbol = f.symbol GROUP BY t.symbol;

CREATE SINK movers FROM moves WITH (connector = 'file', path = 'movers-{n}.json', roll.interval = '1s');
CREATE SINK alerts FROM large_trades WITH (connector = 'http', url = 'URL/alerts', batch.max_rows = 50);
CREATE SINK volumes FROM volume WITH (connector = 'file', path = 'volumes-{n}.parquet', changes = 'op', roll.interval = '1s');
";

fn market() -> Server {
    let server = Server::start();
    Exchanges::new(1).mount(&server);
    let start = Instant::now();
    server.on("GET", "/tickers", move |_| {
        let phase = start.elapsed().as_secs_f64();
        let ticker = |(symbol, price): (&str, f64)| {
            let moved = price * (1.0 + 0.01 * (phase + price).sin());
            json!({"symbol": symbol, "price": (moved * 100.0).round() / 100.0, "volume": (price / 3.0).round()})
        };
        let symbols = [("BTC-USDT", 90_210.0), ("ETH-USDT", 3120.0), ("SOL-USDT", 141.0), ("XRP-USDT", 2.2)];
        Reply::value(&symbols.map(ticker).into())
    });
    // Answers at first, then fails now and again.
    let asked = AtomicU64::new(0);
    server.on("GET", "/funding", move |_| {
        match asked.fetch_add(1, Ordering::Relaxed) {
            0 => Reply::json(r#"[{"symbol": "BTC-USDT", "rate": 0.0001}, {"symbol": "ETH-USDT", "rate": 0.0002}]"#),
            _ => Reply::status(503),
        }
    });
    server.on("POST", "/alerts", |_| Reply::status(204));
    server
}

/// Texts that reach out of their box, boxes that overlap, buttons that are cut off: a list of what is wrong.
const FAULTS: &str = r##"
const faults = [], inside = (inner, outer) =>
  inner.left >= outer.left - 1 && inner.right <= outer.right + 1 && inner.top >= outer.top - 1 && inner.bottom <= outer.bottom + 1;
const place = (element) => element.getBoundingClientRect();
const nodes = [...document.querySelectorAll('.node')], stage = place(document.getElementById('stage'));
for (const node of nodes) {
  const box = place(node.querySelector('.box')), texts = [...node.querySelectorAll('text')].filter((text) => text.textContent);
  if (!inside(box, stage)) faults.push(`${node.dataset.name} is not in view`);
  for (const text of texts) {
    if (!inside(place(text), box)) faults.push(`${text.textContent} reaches out of ${node.dataset.name}`);
    for (const other of texts) {
      const a = place(text), b = place(other);
      if (text !== other && a.left < b.right && b.left < a.right && a.top + 2 < b.bottom && b.top + 2 < a.bottom) faults.push(`${text.textContent} lies on ${other.textContent}`);
    }
  }
  for (const other of nodes) {
    const a = box, b = place(other.querySelector('.box'));
    if (node !== other && a.left < b.right && b.left < a.right && a.top < b.bottom && b.top < a.bottom) faults.push(`${node.dataset.name} lies on ${other.dataset.name}`);
  }
}
const legend = place(document.getElementById('legend'));
for (const node of nodes) {
  const box = place(node.querySelector('.box'));
  if (legend.left < box.right && box.left < legend.right && legend.top < box.bottom && box.top < legend.bottom) faults.push(`the legend lies on ${node.dataset.name}`);
}
for (const element of document.querySelectorAll('header *, #console button, #details .head *, .figures *')) {
  if (element.scrollWidth > element.clientWidth + 1 && element.clientWidth > 1) faults.push(`${element.textContent} is cut off`);
  const box = place(element);
  if (box.width > 0 && (box.right > innerWidth + 1 || box.left < -1)) faults.push(`${element.textContent} is off the window`);
}
if (document.documentElement.scrollWidth > innerWidth) faults.push('the page is wider than the window');
return faults;
"##;

/// Colours that are read on others: `[what, ratio]` where WCAG 2.2, 1.4.3 asks for more.
const CONTRASTS: &str = r##"
const luminance = (color) => {
  const canvas = document.createElement('canvas').getContext('2d');
  canvas.fillStyle = color; canvas.fillRect(0, 0, 1, 1);
  const [r, g, b] = [...canvas.getImageData(0, 0, 1, 1).data].map((part) => part / 255).map((part) => part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4);
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
};
const style = getComputedStyle(document.documentElement), color = (name) => style.getPropertyValue(`--${name}`).trim();
const poor = [];
for (const [text, ground] of [['ink', 'raised'], ['ink', 'paper'], ['soft', 'raised'], ['soft', 'paper'], ['faint', 'raised'], ['faint', 'paper'],
                              ['bad', 'raised'], ['bad', 'bad-soft'], ['soft', 'bad-soft'], ['raised', 'accent']]) {
  const [a, b] = [luminance(color(text)), luminance(color(ground))].sort((x, y) => y - x), ratio = (a + 0.05) / (b + 0.05);
  if (ratio < 4.5) poor.push(`${text} on ${ground}: ${ratio.toFixed(2)}`);
}
return poor;
"##;

/// Where the pictures are kept: in the documentation if they are to be taken anew.
fn folder(project: &Project) -> PathBuf {
    match std::env::var_os("OMLSP_PICTURES") {
        Some(folder) => Path::new(env!("CARGO_MANIFEST_DIR")).join(folder),
        None => project.path().to_owned(),
    }
}

/// Returns width and height of a PNG: <https://www.w3.org/TR/png-3/#11IHDR>.
fn size_of(png: &[u8]) -> (u32, u32) {
    assert!(png.starts_with(b"\x89PNG\r\n\x1a\n"), "it is a PNG");
    let number = |at: usize| u32::from_be_bytes(png[at..at + 4].try_into().expect("four bytes"));
    (number(16), number(20))
}

#[test]
fn pictures_are_whole_and_legible() {
    let Some(browser) = Browser::start() else {
        return;
    };
    let (server, project) = (market(), Project::new());
    project.file("p.sql", PIPELINE.replace("URL", &server.url()));
    let listening = Listening::start(&project);
    browser.resize(SIZE.0, SIZE.1);
    browser.open(&format!("http://{}/", listening.address));
    browser.wait_for("document.querySelectorAll('.node').length === 11");
    browser.wait_for(
        "document.querySelector('[data-name=\"funding\"]').classList.contains('failing')",
    );
    // Some way of the rates has been seen.
    browser.wait_for("(page.rates.get('volume') ?? []).length > 20");
    browser.click("[data-name=\"tickers\"]");
    browser.wait_for("document.querySelector('#details table')");
    browser.run("document.getElementById('sql').value = 'SELECT symbol, trades, turnover FROM volume ORDER BY turnover DESC LIMIT 3'");
    browser.click("#run");
    browser.wait_for("document.querySelectorAll('#result tbody tr').length === 3");
    for scheme in ["light", "dark"] {
        browser.prefer(scheme);
        browser.wait_for(&format!(
            "document.documentElement.dataset.theme === '{scheme}'"
        ));
        // The graph fits itself into the room that is left, within a frame or two.
        wait_until(|| browser.run(FAULTS) == json!([]), "nothing overlaps");
        assert_eq!(browser.run(CONTRASTS), json!([]), "{scheme}");
        let png = browser.picture();
        assert_eq!(size_of(&png), SIZE, "{scheme}");
        assert!(png.len() < BYTES_MAX, "{scheme}: {} bytes", png.len());
        let path = folder(&project).join(format!("page-{scheme}.png"));
        std::fs::write(path, png).expect("it can be written");
    }
    assert_eq!(browser.complaints(), Vec::<serde_json::Value>::new());
}

#[test]
fn the_readme_shows_them() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let readme = std::fs::read_to_string(root.join("README.md")).expect("it is there");
    for scheme in ["light", "dark"] {
        let name = format!("docs/page-{scheme}.png");
        assert!(readme.contains(&name), "the README does not show {name}");
        let png = std::fs::read(root.join(&name)).expect("`just pictures` takes it");
        assert_eq!(size_of(&png), SIZE, "{name}");
        assert!(png.len() < BYTES_MAX, "{name}: {} bytes", png.len());
    }
}
