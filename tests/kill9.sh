#!/usr/bin/env bash
# kill -9 at any moment of `vellum apply --ack`, reopen: every acknowledged line is there, no line half.
#
#   tests/kill9.sh ROUNDS [SEED]        needs target/release/vellum (cargo build --release), bash and awk;
#                                       VELLUM_KILL_MS is the longest life of a process, 1,000 if not set
#
# Line k of an endless history upserts record (k * 7919 + SEED) mod 20011 with a = b = k and a note made
# of k; so the state after k lines is known. Each round feeds the history from where the store stands,
# kills the process after up to a second, and compares all records with the state after the largest
# k found, which must not lie before the last acknowledged line. Rounds take turns in durability (sync,
# interval, buffered) and batches; notes of up to 2 KB fill the log, so that kills meet checkpoints too.
set -euo pipefail

rounds=${1:?usage: tests/kill9.sh ROUNDS [SEED]}
seed=${2:-$RANDOM}
root=$(cd "$(dirname "$0")/.." && pwd)
vellum=${VELLUM:-${CARGO_TARGET_DIR:-$root/target}/release/vellum}
[ -x "$vellum" ] || { echo "there is no $vellum; run cargo build --release" >&2; exit 2; }

dir=$(mktemp -d "${TMPDIR:-/tmp}/kill9.XXXXXX")
RANDOM=$seed
done_lines=0

cat > "$dir/schema.json" <<'JSON'
{"objects": [{"key": "item", "primary_key": ["number"], "attributes": [
  {"key": "number", "type": "integer"}, {"key": "a", "type": "integer"}, {"key": "b", "type": "integer"},
  {"key": "note", "type": "text"}]}]}
JSON
"$vellum" init "$dir/store" --schema "$dir/schema.json"

# What both the feeder and the check know about line k.
history='
function number(k) { return (k * 7919 + seed) % 20011 }
function note(k,   len) { len = (k % 97 == 0) ? 2000 : k % 300; return k ":" substr(filler, 1, len) }
BEGIN { filler = "x"; while (length(filler) < 2000) filler = filler filler }
'
feed() {
  awk -v seed="$seed" -v k="$1" "$history"'BEGIN {
    for (;;) {
      k++
      printf "{\"op\":\"upsert\",\"object\":\"item\",\"key\":{\"number\":%d},\"set\":{\"a\":%d,\"b\":%d,\"note\":\"%s\"}}\n", number(k), k, k, note(k)
    }
  }' 2> /dev/null
}

fail() {
  echo "FAILED: $1"
  echo "replay: tests/kill9.sh $rounds $seed; the store is in $dir/store"
  exit 1
}

for ((round = 1; round <= rounds; round++)); do
  case $((round % 4)) in
    0) durability=sync batch=1 ;;
    1) durability=buffered batch=1 ;;
    2) durability=interval:20 batch=1 ;;
    3) durability=buffered batch=10 ;;
  esac
  "$vellum" apply "$dir/store" - --ack --durability "$durability" --batch "$batch" \
    < <(feed "$done_lines") > "$dir/acks" 2> "$dir/err" &
  pid=$!
  millis=$((RANDOM % ${VELLUM_KILL_MS:-1000}))
  sleep "$((millis / 1000)).$(printf %03d $((millis % 1000)))"
  kill -9 "$pid" 2> /dev/null || fail "round $round: it ended by itself: $(cat "$dir/err")"
  wait "$pid" 2> /dev/null || true

  # Acks are 1, 2, 3 …; the last one may be cut.
  acked=$(awk '{ lines[NR] = $0 } END {
    for (at = 1; at <= NR; at++) if (lines[at] != at && at < NR) { print "line " at " is " lines[at]; exit }
    print (NR > 0 && lines[NR] == NR) ? NR : (NR > 0 ? NR - 1 : 0)
  }' "$dir/acks")
  [[ $acked =~ ^[0-9]+$ ]] || fail "round $round: acks out of order: $acked"

  if ! "$vellum" verify "$dir/store" > "$dir/verify" 2>&1; then
    fail "round $round: vellum verify: $(cat "$dir/verify")"
  fi
  "$vellum" export "$dir/store" item --format csv > "$dir/items.csv" || fail "round $round: export"
  reached=$(awk -F, 'NR > 1 && $7 > most { most = $7 } END { print most + 0 }' "$dir/items.csv")
  ((reached >= done_lines + acked)) || fail "round $round ($durability): acknowledged up to $((done_lines + acked)), found $reached"
  (((reached - done_lines) % batch == 0)) || fail "round $round: half a batch at line $reached"
  awk -F, -v seed="$seed" -v reached="$reached" "$history"'
    NR > 1 { a[$6] = $7; b[$6] = $8; text[$6] = $9; found++ }
    END {
      # From the newest line back: the first that names a record is what the record must show.
      for (k = reached; k > 0 && known < 20011; k--) {
        n = number(k)
        if (n in seen) continue
        seen[n] = 1; known++
        if (a[n] != k || b[n] != k || text[n] != note(k)) { print "record " n " should be of line " k ", is " a[n] "/" b[n]; exit 1 }
      }
      if (found != known) { print found " records, expected " known; exit 1 }
    }' "$dir/items.csv" > "$dir/diff" || fail "round $round ($durability): $(cat "$dir/diff")"
  echo "round $round $durability batch $batch: $acked lines acknowledged, state of line $reached"
  done_lines=$reached
done
rm -r "$dir"
echo "$rounds rounds, $done_lines lines: every acknowledged line was there, no line half (seed $seed)"
