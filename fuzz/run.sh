#!/usr/bin/env bash
# Runs a fuzz target, with the limits that every campaign has: fuzz/run.sh TARGET SECONDS [libFuzzer options...]
# Needs a nightly toolchain and cargo-fuzz. What it finds on its way is kept in fuzz/corpus, for the run and not
# for the repository.
set -euo pipefail
cd "$(dirname "$0")/.."
target=${1:?usage: fuzz/run.sh TARGET SECONDS [OPTIONS...]}
seconds=${2:?usage: fuzz/run.sh TARGET SECONDS [OPTIONS...]}
shift 2

# Weighing inputs by rare features takes most of the time where one run has tens of thousands of them.
options=(-max_total_time="$seconds" -timeout=60 -rss_limit_mb=2048 -malloc_limit_mb=256 -entropic=0)
case $target in
  # A handful of mutations a run, and thousands of runs a second. The store is kept, so each run ends with other
  # memory than it began with, and looking for leaks behind each would take two thirds of the time.
  patch) options+=(-max_len=64 -detect_leaks=0) ;;
esac
mkdir -p "fuzz/corpus/$target"
exec cargo +nightly fuzz run "$target" "fuzz/corpus/$target" "fuzz/seeds/$target" -- "${options[@]}" "$@"
