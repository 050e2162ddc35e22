# Everyday commands. None needs a network once the dependencies are there. `just` lists them.

_default:
    @just --list --unsorted

# Format, clippy and docs, with warnings denied.
check:
    cargo fmt --all --check
    cargo clippy --workspace --all-targets -- -D warnings
    cargo clippy -p vellum --lib --features phone,url -- -D warnings
    RUSTDOCFLAGS=-Dwarnings cargo doc --workspace --no-deps

# Every test, or those whose name contains NAME.
test *NAME:
    cargo test --workspace {{NAME}}

# The simulation over as many seeds; `VELLUM_SEED=n cargo test --release -p vellum-testkit --test sim` replays one.
crash SEEDS="20000":
    VELLUM_SEEDS={{SEEDS}} cargo test --release -p vellum-testkit --test sim -- --nocapture

# So many rounds of kill -9 on the real disk.
kill9 ROUNDS="20":
    cargo build --release -p vellum-cli
    tests/kill9.sh {{ROUNDS}}

# Bugs on purpose (crates/engine/src/planted.rs), all or those named: each must be found.
planted *NAMES:
    tests/planted.sh {{NAMES}}

# Writes the agreed order of calls anew; `git diff tests/golden/trace` shows what changed.
traces:
    VELLUM_WRITE_TRACES=1 cargo test -p vellum --test it golden_traces

# The model test over as many seeds; `VELLUM_SEED=n cargo test --release -p vellum-testkit --test model` replays one.
model SEEDS="20000":
    VELLUM_SEEDS={{SEEDS}} cargo test --release -p vellum-testkit --test model -- --nocapture

# Damage of every kind, so many times as much as the everyday tests do.
damage FACTOR="20":
    VELLUM_DAMAGE={{FACTOR}} cargo test --release -p vellum --test it damage

# A fuzz target for so many seconds; needs a nightly toolchain and cargo-fuzz. fuzz/README.md lists the targets.
fuzz TARGET SECONDS="60":
    fuzz/run.sh {{TARGET}} {{SECONDS}}

# Every fuzz target in turn.
fuzz-all SECONDS="60":
    for target in $(cargo +nightly fuzz list); do just fuzz $target {{SECONDS}} || exit 1; done

# Threads in every order: group commit, snapshots, look-ups and closing under a scheduler; so many times as much.
schedules FACTOR="10":
    VELLUM_SCHEDULES={{FACTOR}} RUSTFLAGS="--cfg vellum_shuttle" cargo test -p vellum --lib --target-dir target/shuttle schedules

# A benchmark: patch, get, wal, index, checkpoint, recover, load, snapshot (criterion), or a program of benches/src/bin.
bench NAME *ARGS:
    {{ if path_exists("benches/benches/" + NAME + ".rs") == "true" { "cargo bench --bench " + NAME + " -- " + ARGS } else { "cargo run --release -p vellum-bench --bin " + NAME + " -- " + ARGS } }}

# Instructions of a warm patch, get and append against their budget; `--write` writes it anew. Needs valgrind.
instructions *ARGS:
    benches/instructions.sh {{ARGS}}

# Cache misses of a look-up, a get and a patch, as a simulated cache sees them. Needs valgrind and some minutes.
misses:
    benches/misses.sh

# The same work through other engines; benches/peers/src/main.rs says what ARGS there are.
peers *ARGS:
    cd benches/peers && cargo run --release -- {{ARGS}}

# Old stores open, and are written as they stand.
golden:
    cargo test -p vellum --test it golden

# A whole year of flights; FILE is made by `cargo run --release --example flights -- --convert flights.csv`.
year FILE="flights.ndjson.gz":
    cargo run --release --example flights -- --full {{FILE}} --buffered
    cargo run --release -p vellum-bench --bin year -- {{FILE}}

# The same year with references by match instead of names: what matches nothing, under each policy, counted exactly.
linked FILE="flights.ndjson.gz":
    VELLUM_FLIGHTS={{ absolute_path(FILE) }} cargo test --release -p vellum --test it flights_linked -- --nocapture
