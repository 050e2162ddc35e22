#!/usr/bin/env bash
# Instructions of one warm patch of two attributes, one warm get of a whole record, the append of the patch's frame
# to the log, a patch of one attribute, and one option more or less of a set of 64 (at most 1.5 times that), counted by
# callgrind and held against benches/instructions.budget: more than 1 % over it fails, and more than 30 % under it,
# which is a count that went missing or a budget that is out of date.
# `--write` writes the budget anew. Counts belong to a compiler version; the budget names the one it was made with.
# Without valgrind nothing is checked, and the script says so.
set -euo pipefail
cd "$(dirname "$0")/.."
budget=benches/instructions.budget
tolerance_percent=1
under_percent=30
short=2000
long=12000

if ! command -v valgrind >/dev/null; then
  printf 'skipped: there is no valgrind here; `apt-get install valgrind` adds it\n'
  exit 0
fi
cargo build --quiet --profile lines -p vellum-bench --bin instructions
program=${CARGO_TARGET_DIR:-target}/lines/instructions

out=$(mktemp)
trap 'rm -f "$out"' EXIT

# count WORK N PATTERN: instructions of a whole run in the source files that match.
count() {
  local log
  log=$(valgrind --tool=callgrind --callgrind-out-file="$out" "$program" "$1" "$2" 2>&1) \
    || { printf '%s\n' "$log" >&2; return 1; }
  callgrind_annotate --threshold=100 --auto=no "$out" \
    | awk -v pattern="$3" '/^ *[0-9,]+ \(/ && !/PROGRAM TOTALS/ && $0 ~ pattern { gsub(",", "", $1); sum += $1 } END { printf "%d\n", sum }'
}

# each NAME WORK PATTERN: instructions of one, from the difference of two runs.
each() {
  local a b
  a=$(count "$2" $short "$3")
  b=$(count "$2" $long "$3")
  printf '%s %s\n' "$1" $(((b - a) / (long - short)))
}

measured=$(
  each patch patch .
  each get get .
  # The frame's append is inlined into the commit: its lines are told by their files.
  each append patch 'crates/engine/src/log/|crates/disk/src/|crc32fast'
  # One attribute set, and one option of a set of 64 added or removed.
  each set set .
  each option option .
)
if [ "${1:-}" = --write ]; then
  { printf '# Instructions each; %s, x86-64. Written by benches/instructions.sh --write.\n' "$(rustc --version | cut -d' ' -f1,2)"
    printf '%s\n' "$measured"; } >$budget
fi

failed=0
while read -r name now; do
  before=$(awk -v name="$name" '$1 == name {print $2}' $budget)
  [ -n "$before" ] || { printf '%s: no budget; run with --write\n' "$name"; failed=1; continue; }
  verdict=within
  if [ "$now" -eq 0 ]; then
    verdict='not found: files were renamed, or line tables are missing'; failed=1
  elif [ $((now * 100)) -gt $((before * (100 + tolerance_percent))) ]; then
    verdict='over the budget'; failed=1
  elif [ $((now * 100)) -lt $((before * (100 - under_percent))) ]; then
    verdict="more than $under_percent % under the budget: if that is right, write it anew with --write"; failed=1
  elif [ $((now * 100)) -lt $((before * (100 - tolerance_percent))) ]; then
    verdict='under the budget: write it anew with --write, so that it stays tight'
  fi
  printf '%-8s %6s instructions, budget %6s (+- %s %%): %s\n' "$name" "$now" "$before" $tolerance_percent "$verdict"
done <<<"$measured"
count_of() { awk -v name="$1" '$1 == name {print $2}' <<<"$measured"; }
if [ $((2 * $(count_of option))) -gt $((3 * $(count_of set))) ]; then
  printf 'an option added or removed costs more than 1.5 times a plain set\n'; failed=1
fi
exit $failed
