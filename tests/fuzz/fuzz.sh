#!/bin/sh
# One fuzzer for so many seconds: tests/fuzz/fuzz.sh query 180. Finds land in target/fuzz/finds.
set -eu
cd "$(dirname "$0")"
target=$1 seconds=${2:-180}
host=$(rustc -vV | sed -n 's/^host: //p')
work=$PWD/../../target/fuzz
mkdir -p "$work/corpus/$target" "$work/finds"
# With --target, build scripts are built without the fuzzer's instruments.
RUSTFLAGS="-C passes=sancov-module -C codegen-units=1 -C llvm-args=-sanitizer-coverage-level=4 \
-C llvm-args=-sanitizer-coverage-inline-8bit-counters -C llvm-args=-sanitizer-coverage-pc-table \
-C llvm-args=-sanitizer-coverage-trace-compares --cfg fuzzing" \
  cargo build --release --locked --bin "$target" --target "$host" --target-dir "$work"
exec "$work/$host/release/$target" -max_total_time="$seconds" -max_len=4096 -timeout=5 -rss_limit_mb=1024 \
  -artifact_prefix="$work/finds/$target-" "$work/corpus/$target" "corpus/$target"
