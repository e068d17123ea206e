//! `omlsp graph` in its three languages.

use super::goldens::folder;
use crate::support::binary::Project;
use crate::support::golden::{check, files};

/// One entity of each kind.
const PIPELINE: &str = "
CREATE SECRET key WITH (backend = 'meta') AS 'a value nobody is shown';
CREATE TABLE markets (symbol STRING PRIMARY KEY, fee DOUBLE)
WITH (connector = 'http', url = 'https://api.example.com/markets', interval = '1h');
CREATE SOURCE trades (symbol STRING, price DOUBLE)
WITH (connector = 'http', url = 'https://api.example.com/trades', interval = '1s', headers.X-Key = SECRET key);
CREATE TEMP TABLE candles ($symbol STRING, close DOUBLE)
WITH (connector = 'lookup-http', url = 'https://api.example.com/candles/$symbol');
CREATE VIEW \"big \"\"ones\"\"\" AS SELECT * FROM trades WHERE price > 10;
CREATE VIEW priced AS SELECT t.symbol, c.close FROM trades t JOIN candles c ON t.symbol = c.symbol;
CREATE MATERIALIZED VIEW latest AS SELECT symbol, price FROM \"big \"\"ones\"\"\";
CREATE MATERIALIZED VIEW ranked AS SELECT symbol, rank() OVER (ORDER BY price) AS place FROM latest;
CREATE SINK out FROM priced WITH (connector = 'stdout');
";

#[test]
fn the_graph_is_drawn_in_text_mermaid_and_dot() {
    let project = Project::new();
    project.file("p.sql", PIPELINE);
    for format in ["text", "mermaid", "dot"] {
        let args = ["graph", "--format", format, "p.sql"];
        let output = project.omlsp(args).run().expect_code(0);
        assert_eq!(output.stderr, "");
        assert!(!output.stdout.contains("nobody is shown"), "{output}");
        check(&folder(&format!("graph.{format}")), &output.stdout);
    }
}

#[test]
fn a_faulty_pipeline_has_no_graph() {
    let project = Project::new();
    project.file("p.sql", "CREATE VIEW v AS SELECT a FROM nothing;");
    let output = project.omlsp(["graph", "p.sql"]).run().expect_code(1);
    assert_eq!(output.stdout, "");
    assert!(output.stderr.contains("p.sql:1:"), "{output}");
}

#[test]
fn the_graph_of_every_page_of_the_manual_can_be_drawn() {
    for page in files(&folder("accept"), "sql") {
        let page = page.as_os_str().to_owned();
        let root = super::goldens::root();
        crate::support::binary::Omlsp::new()
            .dir(root)
            .args(["graph".into(), page])
            .run()
            .expect_code(0);
    }
}
