//! The page in a real browser.

use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::driver::Browser;
use super::setting::Listening;
use crate::support::binary::Project;
use crate::support::http::{Reply, Server};

/// Keys of WebDriver.
const ENTER: &str = "\u{e007}";
const ESCAPE: &str = "\u{e00c}";
const RIGHT: &str = "\u{e014}";
const CONTROL: &str = "\u{e009}";

fn node(name: &str) -> String {
    format!("document.querySelector('[data-name=\"{name}\"]')")
}

#[test]
fn the_graph_lives_entities_open_and_sql_runs() {
    let Some(browser) = Browser::start() else {
        return;
    };
    let broken = Arc::new(AtomicBool::new(false));
    let (server, breaks) = (Server::start(), Arc::clone(&broken));
    server.on("GET", "/prices", move |_| {
        if breaks.load(Ordering::Relaxed) {
            return Reply::status(500);
        }
        Reply::json(r#"[{"symbol": "<b>A</b>", "price": 1.5}, {"symbol": "B", "price": 2}]"#)
    });
    let project = Project::new();
    project.file(
        "p.sql",
        format!(
            "CREATE TABLE prices (symbol STRING, price DOUBLE) WITH (connector = 'http', url = '{}/prices', \
             interval = '100ms', retry.max_attempts = 1, conditional = 'false');\n\
             CREATE VIEW dear AS SELECT * FROM prices WHERE price > 1;\n\
             CREATE MATERIALIZED VIEW total AS SELECT symbol, count(*) AS c FROM dear GROUP BY symbol;\n\
             CREATE SINK out FROM total WITH (connector = 'file', path = 'out.json', changes = 'op');",
            server.url()
        ),
    );
    let listening = Listening::start(&project);
    browser.open(&format!("http://{}/", listening.address));

    // The DAG is there, from left to right.
    browser.wait_for("document.querySelectorAll('.node').length === 4 && document.querySelectorAll('.edge').length === 3");
    let left = |name: &str| {
        let script = format!("return {}.getBoundingClientRect().left", node(name));
        browser.run(&script).as_f64().expect("it has a place")
    };
    assert!(
        left("prices") < left("dear")
            && left("dear") < left("total")
            && left("total") < left("out")
    );
    // Rates move.
    let rate = format!(
        "parseFloat({}.querySelector('.rate')?.textContent)",
        node("prices")
    );
    browser.wait_for(&format!("{rate} > 1"));
    browser.run(&format!(
        "window.seen = {}.querySelector('.rate').textContent",
        node("prices")
    ));
    browser.wait_for(&format!(
        "{}.querySelector('.rate').textContent !== window.seen",
        node("prices")
    ));
    browser.wait_for("document.querySelector('.edge.flowing')");

    // An entity opens by a click, with what it is and has; its rows are text.
    browser.click("[data-name=\"prices\"]");
    browser.wait_for(
        "document.querySelector('#details pre')?.textContent.startsWith('CREATE TABLE prices')",
    );
    browser.wait_for("document.querySelector('#details table')?.textContent.includes('<b>A</b>')");
    // The keyboard alone goes on from there.
    browser.keys(ESCAPE);
    browser.wait_for("document.querySelector('#details').hidden && document.activeElement.dataset.name === 'prices'");
    browser.keys(RIGHT);
    browser.keys(RIGHT);
    browser.keys(ENTER);
    browser.wait_for("document.querySelector('#details h2')?.textContent === 'total'");
    browser.keys(ESCAPE);

    // SQL.
    browser.keys("s");
    browser.wait_for("document.activeElement.id === 'sql'");
    browser.keys("SELECT symbol, sum(c) > 0 AS some FROM total GROUP BY ALL ORDER BY ALL");
    browser.chord(CONTROL, ENTER);
    browser.wait_for("document.querySelector('#result tbody')?.innerText.replace(/\\s+/g, ' ').trim() === '<b>A</b> true B true'");
    browser.run("document.getElementById('sql').value = 'SELECT * FROM totla'");
    browser.click("#run");
    browser.wait_for(
        "document.querySelector('#result .bad')?.textContent.includes('did you mean `total`?')",
    );

    // A source that fails shows it.
    broken.store(true, Ordering::Relaxed);
    browser.wait_for(&format!("{}.classList.contains('failing')", node("prices")));
    browser.wait_for("document.querySelector('#summary').textContent.includes('1 failing')");
    browser.click("[data-name=\"prices\"]");
    browser.wait_for("document.querySelector('#details .fault')?.textContent.includes('500')");
    broken.store(false, Ordering::Relaxed);
    browser.wait_for(&format!(
        "!{}.classList.contains('failing')",
        node("prices")
    ));

    // What statements create appears without a reload.
    project
        .omlsp([
            "sql",
            "--state-dir",
            "state",
            "CREATE VIEW late AS SELECT 1 AS one",
        ])
        .run()
        .expect_code(0);
    browser.wait_for(&node("late"));
    // It follows the system's choice of light and dark.
    for scheme in ["dark", "light"] {
        browser.prefer(scheme);
        browser.wait_for(&format!(
            "document.documentElement.dataset.theme === '{scheme}'"
        ));
    }
    assert_eq!(browser.complaints(), Vec::<serde_json::Value>::new());
}

#[test]
fn a_token_is_asked_for_and_kept() {
    let Some(browser) = Browser::start() else {
        return;
    };
    let project = Project::new();
    project.file(
        "p.sql",
        "CREATE TABLE t (n BIGINT) WITH (connector = 'generate', rows_per_second = 3)",
    );
    let args = ["--listen", "0.0.0.0:0", "--listen-token", "the-token"];
    let listening = Listening::start_with(&project, &args, &[]);
    let url = format!("http://{}/", listening.address);
    browser.open(&url);
    browser.wait_for("document.getElementById('token').open");
    browser.keys("wrong");
    browser.keys(ENTER);
    browser.wait_for("document.getElementById('token').open && document.getElementById('token-value').value === ''");
    browser.keys("the-token");
    browser.keys(ENTER);
    browser.wait_for(&node("t"));
    browser.open(&url);
    browser.wait_for(&node("t"));
}

/// The texts that are laid out: a browser takes a second for five thousand of them, again at each zoom.
const TEXTS: &str = "[...document.querySelectorAll('.node text')].filter((text) => text.getClientRects().length > 0).length";

#[test]
fn a_thousand_entities_do_not_stall_the_page() {
    let Some(browser) = Browser::start() else {
        return;
    };
    let mut sql = String::new();
    for number in 0..250 {
        writeln!(
            sql,
            "CREATE SOURCE s{number} (n BIGINT) WITH (connector = 'generate', rows_per_second = 1);
             CREATE VIEW v{number} AS SELECT n FROM s{number} WHERE n >= 0;
             CREATE VIEW w{number} AS SELECT v{number}.n FROM v{number};
             CREATE VIEW x{number} AS SELECT n + 1 AS n FROM w{number};"
        )
        .expect("writing to a string cannot fail");
    }
    let project = Project::new();
    project.file("p.sql", sql);
    let args = ["run", "p.sql", "--ephemeral", "--listen", "127.0.0.1:0"];
    let listening = Listening::of(project.omlsp(args).spawn());
    browser.open(&format!("http://{}/", listening.address));
    browser.wait_for("document.querySelectorAll('.node').length === 1000");
    // From here on every element that is made is counted, and every look at the pipeline.
    browser.run(
        "window.made = 0; window.looks = 0;
         new MutationObserver((list) => { for (const change of list) window.made += change.addedNodes.length; })
           .observe(document.getElementById('graph'), { childList: true, subtree: true });
         new PerformanceObserver((list) => { window.looks += list.getEntries().filter((entry) => entry.name.endsWith('/api/entities')).length; })
           .observe({ type: 'resource', buffered: false });",
    );
    browser.wait_for("window.looks >= 5");
    browser.wait_for("document.querySelectorAll('.edge.flowing').length > 200");
    // A look changes what there is, and from far away there is nothing to read.
    assert_eq!(browser.run("return window.made"), 0);
    assert_eq!(browser.run(&format!("return {TEXTS}")), 0);
    // It still answers to the keyboard.
    browser.keys("/");
    browser.keys("w249");
    browser.keys(ENTER);
    browser.keys(ENTER);
    browser.wait_for("document.activeElement.dataset.name === 'w249' || document.querySelector('#details h2')?.textContent === 'w249'");
    browser.run("document.querySelector('[data-name=\"w249\"]').dispatchEvent(new MouseEvent('click', { bubbles: true }))");
    browser.wait_for(
        "document.querySelector('#details pre')?.textContent.includes('CREATE VIEW w249')",
    );
    browser.wait_for(&format!(
        "{}.textContent.includes('part of its readers')",
        node("w249")
    ));
    // Only what is in view has texts.
    let texts = browser.run(&format!("return {TEXTS}")).as_u64();
    let texts = texts.expect("it is a number");
    assert!((5..500).contains(&texts), "{texts} texts are laid out");
    assert_eq!(browser.complaints(), Vec::<serde_json::Value>::new());
}
