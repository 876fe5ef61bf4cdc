#!/bin/sh
# shellcheck disable=SC2317  # the parts are called by name
# SPDX-License-Identifier: Apache-2.0
# The whole GPU check in one command, from a build that is already there:
#
#   tests/gpu/run.sh [BUILD [RESULTS [PART]...]]
#
# Parts: tests sanitizers latency parity accuracy examples timing bench profile peers hostile; without any, all.
#
# Needs a CUDA device; for `sanitizers` compute-sanitizer, for `profile` ncu, for `accuracy`, `timing`, `peers`, `hostile`
# and the Python example torch.
# Logs and results go to RESULTS (default: gpu-results). Exit 1 if any part failed.
set -u
top=$(cd "$(dirname "$0")/../.." && pwd)
build=${1:-$top/build} results=${2:-gpu-results}
if [ $# -gt 2 ]; then
  shift 2
else
  set -- tests sanitizers latency parity accuracy examples timing bench profile peers hostile
fi
mkdir -p "$results"
FLASHL4_LIBRARY=$build/lib/libflashl4.so.0
PYTHONPATH=$top/python
export FLASHL4_LIBRARY PYTHONPATH
failed=0

# verdict NAME STATUS
verdict() {
  if [ "$2" = 0 ]; then echo "ok      $1"
  elif [ "$2" = 77 ]; then echo "skipped $1"
  else echo "FAILED  $1"; failed=1
  fi
}

tests() {
  for t in gpu_api gpu_bench gpu_sabotage gpu_parity; do
    "$build/tests/test_$t" >"$results/$t.tap" 2>&1
    status=$?
    verdict "$t: $(grep -c '^ok' "$results/$t.tap") of $(sed -n 's/^1\.\.//p' "$results/$t.tap") cases" "$status"
    grep '^not ok' "$results/$t.tap"
  done
}

# Small, medium and canonical shapes, then the paths that these leave out.
sanitizers() {
  for tool in memcheck racecheck initcheck synccheck; do
    compute-sanitizer --tool "$tool" --error-exitcode 9 "$build/tests/forward_once" \
      hq4sq512d64:causal b4hq8sq1024d64:causal b4hq16sq2048d128:causal \
      b2hq4hkv2sq203sk333d72:bf16:causal:odd:lse hq2sq300d256:lse hq4sq17d128:packed >"$results/$tool.log" 2>&1
    status=$?
    verdict "$tool: $(grep 'SUMMARY' "$results/$tool.log" | head -1 | sed 's/=* *//')" "$status"
    [ "$status" = 0 ] || head -40 "$results/$tool.log"
  done
}

latency() {
  FLASHL4_CACHE_DIR=$(mktemp -d) && export FLASHL4_CACHE_DIR
  : >"$results/latency.jsonl"
  for run in cold warm warm; do
    "$build/tests/latency" "$run" >>"$results/latency.jsonl"
    verdict "latency $run" $?
  done
  cat "$results/latency.jsonl"
  rm -rf "$FLASHL4_CACHE_DIR"
  unset FLASHL4_CACHE_DIR
}

parity() {
  "$build/tools/fl4" check --device cuda --shapes parity --oracle fp64 --json "$results/parity.json" >"$results/parity.txt" 2>&1
  status=$?
  verdict "parity: $(tail -1 "$results/parity.txt")" "$status"
}

# Errors held to those of FlashAttention-2.
accuracy() {
  python3 "$top/tests/gpu/accuracy.py" --out "$results/accuracy" >"$results/accuracy.txt" 2>&1
  status=$?
  verdict "accuracy: $(tail -1 "$results/accuracy.txt")" "$status"
  [ "$status" = 0 ] || grep '^FAILED' "$results/accuracy.txt" | head -40
}

examples() {
  for example in forward_cuda engine bench; do
    "$build/examples/$example" >"$results/$example.txt" 2>&1
    verdict "example $example" $?
  done
  python3 "$top/examples/torch_attention.py" >"$results/torch_attention.txt" 2>&1
  verdict "example torch_attention" $?
  cat "$results/forward_cuda.txt" "$results/engine.txt" "$results/torch_attention.txt"
}

timing() {
  python3 "$top/tests/gpu/torch_timing.py" >"$results/timing.txt" 2>&1
  verdict "timing as torch tells it" $?
  cat "$results/timing.txt"
}

bench() {
  "$build/tools/fl4" bench --limits --shapes canonical --json "$results/bench.json" >"$results/bench.txt" 2>&1
  status=$?
  verdict "bench: $(tail -1 "$results/bench.txt")" "$status"
  "$build/tools/fl4" gate "$results/bench.json" --lib "$build/lib/libflashl4.so.0" >"$results/gate.txt" 2>&1
  status=$?
  verdict "gate, this build against itself: $(tail -1 "$results/gate.txt")" "$status"
}

profile() {
  for problem in b4hq16sq4096d128 b8hq16sq1024d64 b8hq32hkv8sq1sk32768d128:bf16; do
    "$build/tools/fl4" profile "$problem" >>"$results/profile.txt" 2>&1
    verdict "profile $problem" $?
  done
}

peers() {
  python3 "$top/tools/peers.py" --shapes canonical,stress,decode --out "$results/peers"
  verdict peers $?
}

# Scores on which a kernel that is fast on N(0, 1) has more to do.
hostile() {
  python3 "$top/tools/peers.py" --problem b4hq16sq4096d64 --problem b4hq16sq4096d96:causal --problem b4hq16sq4096d128 \
    --problem b2hq16sq8192d128:causal --problem b4hq16sq2048d256:causal --dtype fp16,bf16 \
    --inputs normal,sink,growing,shrinking,onehot,scaled --rounds 20 --out "$results/hostile" >"$results/hostile.txt" 2>&1
  verdict hostile $?
  grep '^fl4, .*/this' "$results/hostile.txt"
}

for part in "$@"; do $part; done
exit $failed
