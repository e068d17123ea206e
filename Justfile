# Recipes for working on OMLSP. One profile and one target directory, so that DuckDB is compiled once.

export CARGO_TARGET_DIR := env("CARGO_TARGET_DIR", home_directory() / ".cache/omlsp/target")

binary := CARGO_TARGET_DIR / "x86_64-unknown-linux-gnu/release/omlsp"

# List the recipes.
default:
    @just --list

# Everything that CI checks.
check:
    bash .ci/run

# The static binary.
build:
    cargo build --release

# All tests.
test *ARGS:
    cargo test --release {{ARGS}}

# Format, then lint.
lint:
    cargo fmt
    cargo clippy --release --all-targets -- -D warnings

# The workloads beside the raw limits of this machine, in one table; `just bench W1 --runs 11` for some.
bench *ARGS:
    cargo bench --bench workloads -- {{ARGS}}

# The parts by themselves: filters, encoders, schedules.
bench-parts *ARGS:
    cargo bench --bench parts -- {{ARGS}}

# The functions that every pipeline runs, which the linker puts side by side: made anew of two runs under valgrind.
order: build
    #!/usr/bin/env bash
    set -euo pipefail
    folder=$(mktemp -d)
    trap 'rm -rf "$folder"' EXIT
    traced() { valgrind --tool=callgrind --demangle=no --callgrind-out-file="$folder/calls.%p" {{binary}} "$@"; }
    traced run --replay pipelines/record pipelines > /dev/null
    cat > "$folder/views.sql" <<'SQL'
    CREATE TABLE t (n BIGINT, k BIGINT AS (n % 10)) WITH (connector = 'generate', rows = '2000');
    CREATE VIEW v AS SELECT k, n + 1 AS n FROM t;
    CREATE MATERIALIZED VIEW m AS SELECT k, count(*) AS rows, sum(n) AS total FROM v GROUP BY k;
    CREATE SINK p FROM t WITH (connector = 'stdout');
    CREATE SINK q FROM m WITH (connector = 'stdout', changes = 'op');
    SQL
    traced run --once --state-dir "$folder/state" "$folder/views.sql" > /dev/null
    # Names of Rust's have a hash in them that the next version changes.
    sed -nE "s/^c?fn=\([0-9]+\) //p" "$folder"/calls.* | sed -E "s/'[0-9]+$//" \
        | grep -v -E '17h[0-9a-f]{16}E' | LC_ALL=C sort -u > .cargo/order.txt

# Run a pipeline once, in memory.
once PATH:
    cargo run --release -- run --once --ephemeral {{PATH}}

# Run a pipeline and watch it on http://127.0.0.1:9090/.
watch PATH:
    cargo run --release -- run --ephemeral --listen 9090 {{PATH}}

# Everything that the documentation says, held against the binary.
docs:
    cargo test --release --test docs

# The manual of the dialect in `docs/`, made anew of the tests of the dialect.
manual:
    BLESS=1 cargo test --release --test docs the_manual

# The pictures of the page in the README, taken anew in a real browser.
pictures:
    OMLSP_PICTURES=docs OMLSP_REQUIRE_CHROMIUM=1 cargo test --release --test watch pictures_are_whole

# The completions of all shells and the manual pages, into `dist/`.
extras: build
    mkdir -p dist/completions dist/man
    for shell in bash zsh fish; do {{binary}} completions $shell > dist/completions/omlsp.$shell; done
    {{binary}} man dist/man

# What a release consists of, in `dist/`: the static binary, its checksum, completions and manual pages.
release: extras
    ! ldd {{binary}} 2>/dev/null | grep -q '=>'
    cp {{binary}} dist/omlsp-x86_64-linux
    strip dist/omlsp-x86_64-linux
    dist/omlsp-x86_64-linux --version
    cd dist && sha256sum omlsp-x86_64-linux > omlsp-x86_64-linux.sha256 && sha256sum -c omlsp-x86_64-linux.sha256
