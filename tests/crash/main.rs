//! What survives: the real process killed at random moments under load, and what is left each time.

#[path = "../support/mod.rs"]
mod support;

mod bounded;
mod disk;
mod flood;
mod kept;
mod owner;
mod served;
mod snapshot;

use std::path::Path;
use std::thread;
use std::time::Duration;

use kept::Kept;
use served::World;
use support::binary::{Project, Running, wait_at_most};
use support::http::Server;

/// How often the process is killed.
const KILLS: usize = 200;

/// The files of the sink are read so often, and at the end: they are many.
const FILES_EVERY: usize = 20;

/// Fixed, so that a failure can be repeated as far as the scheduler allows.
const SEED: u64 = 0x0a51_5eed;

/// When a process is killed.
#[derive(Clone, Copy, Debug)]
enum Moment {
    /// After this time, counted from its start.
    After(Duration),
    /// As soon as the server has answered so many more requests: a commit follows most answers.
    Answers(u64),
    /// This long after it was asked to stop, so much after its start.
    Draining(Duration, Duration),
}

impl Moment {
    fn random(random: &mut fastrand::Rng) -> Self {
        let mut millis = |range| Duration::from_millis(random.u64(range));
        let (early, late, drain) = (millis(0..40), millis(40..300), millis(0..40));
        match random.u8(..8) {
            0 => Self::After(early),
            1..=3 => Self::After(late),
            4 => Self::Draining(late, drain),
            _ => Self::Answers(random.u64(1..120)),
        }
    }

    fn kill(self, running: Running, server: &Server) -> support::binary::Output {
        match self {
            Self::After(pause) => thread::sleep(pause),
            Self::Answers(count) => {
                let goal = server.request_count() + count;
                // A slow machine may not get so far; then this is a kill as good as any.
                wait_at_most(Duration::from_secs(2), || server.request_count() >= goal)
                    .unwrap_or_default();
            }
            Self::Draining(pause, drain) => {
                thread::sleep(pause);
                running.terminate();
                thread::sleep(drain);
            }
        }
        running.kill_if_running()
    }
}

#[test]
fn nothing_is_lost_or_doubled_by_kills() {
    let project = Project::new();
    let server = Server::start();
    server.forget_requests();
    let world = served::serve(&server, SEED);
    project.file("pipeline.sql", include_str!("pipeline.sql"));
    let run = |more: &[&str]| {
        let args = ["run", "pipeline.sql", "--state-dir", "st"];
        let args = args.into_iter().chain(more.iter().copied());
        project.omlsp(args).env("URL", server.url()).spawn()
    };
    let state = project.path().join("st");
    let mut random = fastrand::Rng::with_seed(SEED);
    for round in 1..=KILLS {
        let moment = Moment::random(&mut random);
        let output = moment.kill(run(&[]), &server);
        for word in ["panicked", "ERROR", "internal error"] {
            assert!(
                !output.stderr.contains(word),
                "round {round}, {moment:?}: {output}"
            );
        }
        let world = world.lock().expect("no answer panics");
        assert_eq!(
            world.faults,
            Vec::<String>::new(),
            "round {round}, {moment:?}"
        );
        if state.join("state.duckdb").exists() {
            Kept::copy_of(&state).check(&world);
        }
        if round % FILES_EVERY == 0 {
            let written = written_ids(&project.path().join("out"));
            assert!(written <= world.events.served, "round {round}");
        }
    }
    world.lock().expect("no answer panics").end();
    run(&["--once"]).wait().expect_code(0);
    complete(&project, &world.lock().expect("no answer panics"));
}

/// Asserts that everything served has come everywhere.
fn complete(project: &Project, world: &World) {
    let kept = Kept::copy_of(&project.path().join("st"));
    kept.check(world);
    kept.check_complete();
    let last = kept.number("SELECT count(*) FROM data.events");
    assert!(last > 1000, "only {last} events: there was no load");
    assert_eq!(last, world.events.served);
    assert_eq!(
        kept.number("SELECT max(id) FROM data.latest"),
        world.latest.served
    );
    assert_eq!(kept.number("SELECT count(*) FROM data.named_kept"), last);
    assert_eq!(world.faults, Vec::<String>::new());
    assert_eq!(world.received.posted, last, "the http sink is complete");
    assert_eq!(
        written_ids(&project.path().join("out")),
        last,
        "the file sink is complete"
    );
    for (key, id) in &world.received.moved {
        let expected = kept.number(&format!("SELECT id FROM data.latest WHERE k = {key}"));
        assert_eq!(*id, Some(expected), "the last change of key {key}");
    }
    assert_eq!(
        world.received.moved.len() as u64,
        kept.number("SELECT count(*) FROM data.latest")
    );
}

/// Asserts that the files hold the ids from 1 on, each once and in order; returns the last.
fn written_ids(folder: &Path) -> u64 {
    let Ok(entries) = std::fs::read_dir(folder) else {
        return 0;
    };
    let mut paths: Vec<_> = (entries.map(|entry| entry.expect("the folder can be read").path()))
        .filter(|path| {
            path.file_name()
                .is_some_and(|name| name.as_encoded_bytes()[0] != b'.')
        })
        .collect();
    paths.sort();
    let mut last = 0;
    for path in paths {
        let text = std::fs::read_to_string(&path).expect("a finished file can be read");
        for line in text.lines() {
            let row: serde_json::Value = serde_json::from_str(line)
                .unwrap_or_else(|error| panic!("{error} in {}: {line}", path.display()));
            assert_eq!(row["id"], last + 1, "{}", path.display());
            last += 1;
        }
    }
    last
}
