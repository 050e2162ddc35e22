#!/usr/bin/env bash
# Cache misses of one look-up, as a simulated cache sees them: 262,144 narrow records behind a last level of 1 MiB,
# so that nothing of the index stays in it but what every look-up touches. `absent` ends at the index: it is the way
# to a row number. `hit` goes on to the record's header, which confirms the id.
# Needs valgrind; takes some minutes. Counts are of data reads that missed the last level, by one look-up.
set -euo pipefail
cd "$(dirname "$0")/.."
records=${1:-262144}
short=1000
long=11000

command -v valgrind >/dev/null || { printf 'skipped: there is no valgrind here; `apt-get install valgrind` adds it\n'; exit 0; }
cargo build --quiet --profile lines -p vellum-bench --bin instructions
program=${CARGO_TARGET_DIR:-target}/lines/instructions

# misses WORK N: last-level misses of data reads and data writes of a whole run.
misses() {
  valgrind --tool=cachegrind --cachegrind-out-file=/dev/null --D1=32768,8,64 --LL=1048576,16,64 \
    "$program" "$1" "$2" --records "$records" 2>&1 \
    | sed -n 's/.*LLd misses:.*(\s*\([0-9,]*\) rd\s*+\s*\([0-9,]*\) wr).*/\1 \2/p' | tr -d ,
}

for work in absent hit get patch; do
  read -r read_short write_short < <(misses $work $short)
  read -r read_long write_long < <(misses $work $long)
  awk -v work=$work -v r=$((read_long - read_short)) -v w=$((write_long - write_short)) -v n=$((long - short)) \
    'BEGIN { printf "%-8s %.2f lines read, %.2f written, from beyond the last level\n", work, r / n, w / n }'
done
