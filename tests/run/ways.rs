//! What the pipeline says of how it is carried out.

use crate::support::binary::Project;

#[test]
fn verbose_validation_and_the_graph_say_how_filters_run() {
    let project = Project::new();
    project.file(
        "p.sql",
        "CREATE SOURCE fast (a BIGINT) WITH (connector = 'ws', url = 'ws://127.0.0.1:1/',
            jq = 'select(.kind == \"trade\") | {a: (.a | tonumber)}');
        CREATE TABLE slow (a BIGINT) WITH (connector = 'http', url = 'http://127.0.0.1:1/', interval = '1h',
            jq = 'to_entries[] | {a: .value}');
        CREATE TEMP TABLE asked ($a BIGINT, b BIGINT) WITH (connector = 'lookup-http',
            url = 'http://127.0.0.1:1/$a', jq = '[.[] | {b}]');",
    );
    let expected = "fast\n    source, rows kept until every reader has them; jq is read straight off the text\n\
        slow\n    table, every row kept; jq runs in the interpreter, because of `to_entries`\n\
        asked\n    lookup by (a); jq is read straight off the text\n";
    let graph = project.omlsp(["graph", "p.sql"]).run().expect_code(0);
    assert_eq!(graph.stdout, expected);
    let verbose = ["validate", "--verbose", "p.sql"];
    let validated = project.omlsp(verbose).run().expect_code(0);
    assert_eq!(
        validated.stderr,
        format!("3 entities in 1 file: valid\n{expected}")
    );
    let quiet = project.omlsp(["validate", "p.sql"]).run().expect_code(0);
    assert_eq!(quiet.stderr, "3 entities in 1 file: valid\n");
}
