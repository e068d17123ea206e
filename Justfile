# Recipes for working on OMLSP. One profile and one target directory, so that DuckDB is compiled once.

export CARGO_TARGET_DIR := env("CARGO_TARGET_DIR", home_directory() / ".cache/omlsp/target")

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

# What a batch costs materialized views, by the length of their history.
bench-views *ARGS:
    cargo bench --bench views -- {{ARGS}}

# Run a pipeline once, in memory.
once PATH:
    cargo run --release -- run --once --ephemeral {{PATH}}
