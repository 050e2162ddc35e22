#!/usr/bin/env bash
# Plants one bug after the other (crates/engine/src/planted.rs has the list) and shows that a test finds each. All are in
# one build of their own, in a target directory of its own; the environment picks. NAMES limits it to some.
#
#   tests/planted.sh [NAMES...]
set -euo pipefail
cd "$(dirname "$0")/.."

simulated=(no_sync late_lsn sync_error_ignored no_dir_sync no_image_sync no_superblock_sync no_frame_crc no_rewrite
  no_open_mark no_file_check stale_superblock index_not_applied early_unlink removes_too_much)
# What only damage at rest shows is for other tests: name of the bug, and of the test.
damaged=("torn_is_fine crash_rule_05" "no_attestation silent_cut")

export RUSTFLAGS="${RUSTFLAGS:-} --cfg vellum_planted" CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-target}/planted"
cargo test --release -p vellum-testkit --test sim --no-run
cargo test --release -p vellum --test it --no-run

listed=$(grep -oE '^//! \| `[a-z_]+`' crates/engine/src/planted.rs | grep -oE '[a-z_]+' | sort)
tested=$(printf '%s\n' "${simulated[@]}" "${damaged[@]%% *}" | sort)
[ "$listed" = "$tested" ] || { printf 'crates/engine/src/planted.rs and this script list other bugs\n' >&2; exit 1; }

failed=0
wanted() { [ $# -eq 1 ] || printf '%s\n' "${@:2}" | grep -qx "$1"; }
# Runs a test that must fail: what is planted, then the command.
must_fail() {
  local name=$1 started=$SECONDS out
  shift
  if out=$(VELLUM_PLANTED=$name VELLUM_FAILURES=1 VELLUM_SEEDS=30000 "$@" 2>&1); then
    printf '%-20s NOT FOUND by %s\n' "$name" "$*"
    failed=1
  elif grep -qE '^seed [0-9]+:|panicked at' <<<"$out"; then
    printf '%-20s found in %3d s: %s\n' "$name" "$((SECONDS - started))" \
      "$(grep -m1 -E '^seed [0-9]+:|^test .*FAILED' <<<"$out" | cut -c1-120)"
  else
    printf '%-20s: the test did not run: %s\n' "$name" "$out"
    failed=1
  fi
}

# With nothing planted the same build passes.
VELLUM_PLANTED=none VELLUM_SEEDS=600 cargo test -q --release -p vellum-testkit --test sim
for name in "${simulated[@]}"; do
  if wanted "$name" "$@"; then must_fail "$name" cargo test --release -p vellum-testkit --test sim -- --nocapture; fi
done
for pair in "${damaged[@]}"; do
  read -r name filter <<<"$pair"
  if wanted "$name" "$@"; then must_fail "$name" cargo test --release -p vellum --test it "$filter"; fi
done
exit "$failed"
