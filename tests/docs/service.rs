//! The files of the operating guide for others: what they call is what the binary takes.

use std::process::Command;

use crate::support::binary::Project;
use crate::support::snippets::of;

/// Runs the command that a service would run, with its places in a folder of ours, and to its end.
fn run_as_service(args: &[&str], place: &str) {
    let project = Project::new();
    project.file(
        "etc/p.sql",
        "CREATE TABLE t (n BIGINT) WITH (connector = 'generate', rows = 10);",
    );
    let state = project.path().join("state").display().to_string();
    let etc = project.path().join("etc").display().to_string();
    let ours = |arg: &&str| match *arg {
        "/etc/omlsp" => etc.clone(),
        "/var/lib/omlsp" => state.clone(),
        "9090" => "0".to_owned(),
        "0.0.0.0:9090" => "0.0.0.0:0".to_owned(),
        other => {
            assert!(
                !other.contains('/'),
                "{place}: a place that the test does not know: {other}"
            );
            other.to_owned()
        }
    };
    let mut args: Vec<String> = args.iter().map(ours).collect();
    args.push("--once".to_owned());
    let output = project
        .omlsp(args)
        .env("OMLSP_STATE_DIR", &state)
        .env("OMLSP_LISTEN_TOKEN", "token")
        .run();
    assert_eq!(output.code, Some(0), "{place}\n{output}");
    assert!(
        output.stderr.contains("watch it at http://"),
        "{place}\n{output}"
    );
    let kept = project
        .omlsp(["show", "tables", "--state-dir", &state])
        .run()
        .expect_code(0);
    assert!(kept.stdout.contains("10"), "{place}\n{kept}");
}

#[test]
fn the_unit_starts_what_the_binary_takes() {
    let units = of("ini");
    assert_eq!(units.len(), 1, "the unit is there");
    for unit in units {
        let start = unit
            .text
            .lines()
            .find_map(|line| line.strip_prefix("ExecStart="));
        let words: Vec<&str> = start
            .expect("it starts something")
            .split_whitespace()
            .collect();
        let [program, args @ ..] = words.as_slice() else {
            panic!("{start:?}");
        };
        assert_eq!(*program, "/usr/local/bin/omlsp");
        run_as_service(args, &unit.place);
        verify(&unit.text);
    }
}

/// Lets systemd read the unit, where there is one.
fn verify(unit: &str) {
    let project = Project::new();
    // A program that is there, since this is verified too.
    let path = project.file(
        "omlsp.service",
        unit.replace("/usr/local/bin/omlsp", "/bin/true"),
    );
    let Ok(output) = Command::new("systemd-analyze")
        .arg("verify")
        .arg(path)
        .output()
    else {
        println!("skipped: no systemd-analyze");
        return;
    };
    let said = String::from_utf8_lossy(&output.stderr);
    let ours: Vec<&str> = said
        .lines()
        .filter(|line| line.contains("omlsp.service"))
        .collect();
    assert!(ours.is_empty(), "{ours:?}");
}

#[test]
fn the_container_starts_what_the_binary_takes() {
    let files = of("dockerfile");
    assert_eq!(files.len(), 1, "the file is there");
    for file in files {
        let words = [
            "FROM",
            "RUN",
            "COPY",
            "VOLUME",
            "ENV",
            "EXPOSE",
            "ENTRYPOINT",
            "#",
        ];
        for line in file.text.lines() {
            let word = line.split_whitespace().next().unwrap_or("");
            assert!(words.contains(&word), "{}: {line}", file.place);
        }
        let entry = file
            .text
            .lines()
            .find_map(|line| line.strip_prefix("ENTRYPOINT "));
        let call: Vec<String> =
            serde_json::from_str(entry.expect("it starts something")).expect("it is a list");
        let call: Vec<&str> = call.iter().map(String::as_str).collect();
        let [program, args @ ..] = call.as_slice() else {
            panic!("{call:?}");
        };
        assert_eq!(*program, "omlsp");
        run_as_service(args, &file.place);
    }
}
