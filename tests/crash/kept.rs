//! What a killed process left behind: read from a copy of its state, compared with what was served and
//! with DuckDB's own evaluation of each query.

use std::path::Path;

use omlsp::engine::{Database, Session};

use super::served::{Log, Polls, World, lines_of};

/// A copy of a state directory, opened.
pub struct Kept {
    session: Session,
    /// Keeps the file open and its folder there.
    _database: Database,
    _folder: tempfile::TempDir,
}

impl Kept {
    /// Copies the database and its log, and opens the copy.
    pub fn copy_of(state: &Path) -> Self {
        let folder = tempfile::tempdir().expect("there is room for a copy");
        for name in ["state.duckdb", "state.duckdb.wal"] {
            let from = state.join(name);
            if from.exists() {
                std::fs::copy(&from, folder.path().join(name)).expect("there is room for a copy");
            }
        }
        let database = Database::open(Some(&folder.path().join("state.duckdb")))
            .expect("a killed process leaves a state that can be opened");
        let session = database.session().expect("a session");
        Self {
            session,
            _database: database,
            _folder: folder,
        }
    }

    pub fn number(&self, sql: &str) -> u64 {
        let number = self.session.number(sql, &[]);
        let number = number.unwrap_or_else(|error| panic!("{error:#}: {sql}"));
        u64::try_from(number.unwrap_or(0)).expect("counts are not negative")
    }

    /// Says whether a relation is there at all: a process may die before its first commit.
    pub fn has(&self, table: &str) -> bool {
        let sql = format!(
            "SELECT count(*) FROM duckdb_tables() WHERE schema_name = 'data' AND table_name = '{table}'"
        );
        self.number(&sql) > 0
    }

    pub fn position(&self, consumer: &str, stream: &str) -> u64 {
        self.number(&format!(
            "SELECT max(seq) FROM omlsp.position WHERE consumer = '{consumer}' AND stream = '{stream}'"
        ))
    }

    /// Asserts that two queries give the same rows, as bags.
    pub fn assert_same(&self, what: &str, left: &str, right: &str) {
        let differs = |one: &str, other: &str| {
            self.number(&format!("SELECT count(*) FROM ({one} EXCEPT ALL {other})"))
        };
        let (more, less) = (differs(left, right), differs(right, left));
        assert!(
            more == 0 && less == 0,
            "{what}: {more} rows too many, {less} rows too few\n  {left}\n  {right}"
        );
    }

    /// Asserts everything that must hold at any instant.
    pub fn check(&self, world: &World) {
        if !self.has("events") {
            return;
        }
        self.check_log("events", &world.events);
        let last = self.number("SELECT max(id) FROM data.latest");
        assert!(
            last >= world.latest.acked && last <= world.latest.served,
            "latest: {last}"
        );
        self.assert_same(
            "latest",
            "SELECT k, id FROM data.latest",
            &format!("SELECT i * 31 % 40, max(i) FROM range(1, {last} + 1) AS t(i) GROUP BY 1"),
        );
        self.check_polls("pages", "FROM data.pages", &world.pages);
        let taken = self.position("heads_kept", "heads");
        let heads = format!(
            "FROM (SELECT poll, page, line FROM data.heads_kept UNION ALL \
             SELECT poll, page, line FROM data.heads WHERE _seq > {taken})"
        );
        self.check_polls("heads", &heads, &world.heads);
        self.check_views();
    }

    fn check_log(&self, table: &str, log: &Log) {
        let count = self.number(&format!("SELECT count(*) FROM data.{table}"));
        let distinct = self.number(&format!("SELECT count(DISTINCT id) FROM data.{table}"));
        let last = self.number(&format!("SELECT max(id) FROM data.{table}"));
        assert_eq!(count, distinct, "{table}: rows are doubled");
        assert_eq!(last, count, "{table}: rows are missing");
        assert!(last >= log.acked, "{table}: {last} is before {}", log.acked);
        assert!(last <= log.served, "{table}: {last} was never served");
    }

    /// Pages are wholly in or wholly out, in order; what the client asked after is in; a poll that was
    /// begun is complete once another one begins.
    fn check_polls(&self, what: &str, from: &str, polls: &Polls) {
        let sql = format!(
            "SELECT poll::VARCHAR, page::VARCHAR, count(*)::VARCHAR, count(DISTINCT line)::VARCHAR {from} \
             GROUP BY poll, page ORDER BY poll, page"
        );
        let rows = self
            .session
            .texts(&sql, &[])
            .expect("the relation is there");
        let number = |cell: &Option<String>| -> u64 {
            let text = cell.as_deref().expect("no cell is NULL");
            text.parse().expect("a number")
        };
        let mut kept = vec![0; polls.polls.len() + 1];
        for row in &rows {
            let (poll, page) = (number(&row[0]), number(&row[1]));
            let place = format!("{what}: page {page} of poll {poll}");
            let pages = usize::try_from(poll)
                .ok()
                .and_then(|poll| kept.get_mut(poll));
            let pages = pages.unwrap_or_else(|| panic!("{place} was never served"));
            assert_eq!(*pages, page, "{place} without the one before");
            *pages += 1;
            let lines = lines_of(poll, page);
            assert_eq!(
                (number(&row[2]), number(&row[3])),
                (lines, lines),
                "{place}"
            );
        }
        let begun = polls.polls.len();
        for (poll, (pages, highest)) in (1..).zip(&polls.polls) {
            let complete = poll < begun && kept[poll] > 0;
            let acked = if complete {
                *pages
            } else {
                (*highest).min(*pages)
            };
            let kept = kept[poll];
            assert!(
                kept <= *pages,
                "{what}: poll {poll} has {kept} of {pages} pages"
            );
            assert!(
                kept >= acked,
                "{what}: poll {poll} lacks pages: {kept}, acknowledged {acked}"
            );
        }
    }

    /// Each view equals its query over what it has consumed.
    fn check_views(&self) {
        let events = |view: &str| {
            let seq = self.position(view, "events");
            format!("(SELECT id, grp FROM data.events WHERE _seq <= {seq})")
        };
        let latest = |view: &str| {
            let seq = self.position(view, "latest");
            let log = |sign: i8| {
                format!("SELECT k, id FROM changes.latest WHERE _seq > {seq} AND _sign = {sign}")
            };
            format!(
                "((SELECT k, id FROM data.latest UNION ALL {}) EXCEPT ALL {})",
                log(-1),
                log(1)
            )
        };
        self.assert_same(
            "even",
            "SELECT id, grp FROM data.even",
            &format!("SELECT id, grp FROM {} WHERE id % 2 = 0", events("even")),
        );
        self.assert_same(
            "by_grp",
            "SELECT grp, n, total FROM data.by_grp",
            &format!(
                "SELECT grp, count(*), sum(id) FROM {} GROUP BY grp",
                events("by_grp")
            ),
        );
        self.assert_same(
            "latest_odd",
            "SELECT k, id FROM data.latest_odd",
            &format!(
                "SELECT k, id FROM {} WHERE id % 2 = 1",
                latest("latest_odd")
            ),
        );
        if self.number("SELECT count(*) FROM omlsp.position WHERE consumer = 'latest_sum'") > 0 {
            self.assert_same(
                "latest_sum",
                "SELECT n, total FROM data.latest_sum",
                &format!("SELECT count(*), sum(id) FROM {}", latest("latest_sum")),
            );
        }
        let taken = self.position("named_kept", "named");
        self.assert_same(
            "named",
            &format!(
                "(SELECT id, grp, label FROM data.named_kept UNION ALL \
                 SELECT id, grp, label FROM data.named WHERE _seq > {taken})"
            ),
            &format!("SELECT id, grp, 'g' || grp FROM {}", events("named")),
        );
    }

    /// Asserts that every consumer has come to the end of what it reads.
    pub fn check_complete(&self) {
        let behind = self.number(
            "SELECT count(*) FROM omlsp.position AS p JOIN omlsp.stream AS s ON p.stream = s.name \
             LEFT JOIN omlsp.stream_second AS o ON o.name = s.name WHERE p.seq <> greatest(s.head, o.head)",
        );
        assert_eq!(behind, 0, "consumers that are behind");
    }
}
