# Everyday commands. None needs a network once the dependencies are there. `just` lists them.

_default:
    @just --list --unsorted

# Format, clippy and docs, with warnings denied.
check:
    cargo fmt --all --check
    cargo clippy --workspace --all-targets -- -D warnings
    RUSTDOCFLAGS=-Dwarnings cargo doc --workspace --no-deps

# Every test, or those whose name contains NAME.
test *NAME:
    cargo test --workspace {{NAME}}

# The tests that crash and recover, then so many rounds of kill -9.
crash ROUNDS="20":
    cargo test --release --workspace crash
    cargo build --release -p vellum-cli
    tests/kill9.sh {{ROUNDS}}

# One fuzz target for so many seconds (needs cargo-fuzz and a nightly toolchain).
fuzz TARGET SECS="60":
    cargo +nightly fuzz run --fuzz-dir fuzz {{TARGET}} -- -max_total_time={{SECS}}

# A benchmark: patch (criterion), or random_patch, open_time, recovery with their options.
bench NAME *ARGS:
    {{ if NAME == "patch" { "cargo bench -p vellum-bench --bench patch -- " + ARGS } else { "cargo run --release -p vellum-bench --bin " + NAME + " -- " + ARGS } }}

# Old stores open, and are written as they stand.
golden:
    cargo test --workspace golden

# A whole year of flights; FILE is made by `cargo run --release --example flights -- --convert flights.csv`.
year FILE="flights.ndjson.gz":
    cargo run --release --example flights -- --full {{FILE}} --buffered
    cargo run --release -p vellum-bench --bin year -- {{FILE}}
