#!/bin/sh
# shellcheck disable=SC2317  # the parts are called by name
# SPDX-License-Identifier: Apache-2.0
# The whole GPU check in one command, from a build that is already there:
#
#   tests/gpu/run.sh [BUILD [RESULTS [PART]...]]
#
# Parts: tests features soak sanitizers latency parity accuracy examples timing bench profile peers decode hostile pathologies;
# without any, all of these. Those of `tests` and `sanitizers` are parts too: gpu_api gpu_bench gpu_calls gpu_features gpu_flash
# gpu_kv gpu_layouts gpu_sabotage gpu_parity, sanitizers_fwd_mma sanitizers_fwd_wgmma sanitizers_decode_mma. And one that runs only by
# name, after all others: tune, which makes the wisdom of this GPU, RESULTS/system.wisdom; FL4_TUNE_SECONDS (6) for each of 66
# problems.
#
# Needs no more of BUILD than the programs and the library, and a CUDA device; for `sanitizers` compute-sanitizer, for
# `profile` ncu, for `accuracy`, `timing`, `peers`, `decode`, `hostile`, `pathologies` and the Python example torch.
# Logs and results go to RESULTS (default: gpu-results). Exit 1 if any part failed.
set -u
top=$(cd "$(dirname "$0")/../.." && pwd)
build=${1:-$top/build} results=${2:-gpu-results}
if [ $# -gt 2 ]; then
  shift 2
else
  set -- tests features soak sanitizers latency parity accuracy examples timing bench profile peers decode hostile pathologies
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

# test_program NAME: within its time, after which what it has told so far is there; one that hangs is ended.
test_program() {
  stdbuf -oL timeout -k 10 500 "$build/tests/test_$1" >"$results/$1.tap" 2>&1
  status=$?
  verdict "$1: $(grep -c '^ok' "$results/$1.tap") of $(sed -n 's/^1\.\.//p' "$results/$1.tap") cases" "$status"
  grep '^not ok' "$results/$1.tap"
  grep '^#' "$results/$1.tap"
}

gpu_api() { test_program gpu_api; }
gpu_bench() { test_program gpu_bench; }
gpu_calls() { test_program gpu_calls; }
gpu_features() { test_program gpu_features; }
gpu_flash() { test_program gpu_flash; }
gpu_kv() { test_program gpu_kv; }
gpu_layouts() { test_program gpu_layouts; }
gpu_sabotage() { test_program gpu_sabotage; }
gpu_parity() { test_program gpu_parity; }

tests() {
  for t in gpu_api gpu_bench gpu_calls gpu_features gpu_flash gpu_kv gpu_layouts gpu_sabotage gpu_parity; do test_program "$t"; done
}

# The same bits a thousand times, while another stream writes memory.
soak() {
  timeout -k 10 120 "$build/tests/soak" >"$results/soak.txt" 2>&1
  status=$?
  verdict "soak: $(tail -1 "$results/soak.txt")" "$status"
  cat "$results/soak.txt"
}

# What windows, ragged batches, pages and biases cost beside the dense call.
features() {
  "$build/tests/feature_timing" >"$results/features.jsonl"
  verdict "timing of features" $?
  cat "$results/features.jsonl"
}

hopper() {
  [ "$(nvidia-smi --query-gpu=compute_cap --format=csv,noheader | head -1)" = 9.0 ]
}

# sanitize FAMILY ARGUMENT...: each tool over forward_once
sanitize() {
  family=$1
  shift
  for tool in memcheck racecheck initcheck synccheck; do
    timeout -k 10 140 compute-sanitizer --tool "$tool" --error-exitcode 9 "$build/tests/forward_once" "$@" \
      >"$results/$tool-$family.log" 2>&1
    status=$?
    verdict "$tool $family: $(grep 'SUMMARY' "$results/$tool-$family.log" | head -1 | sed 's/=* *//')" "$status"
    [ "$status" = 0 ] || head -40 "$results/$tool-$family.log"
  done
}

# Small, medium and canonical shapes, then the paths that these leave out.
sanitizers_fwd_mma() {
  sanitize fwd_mma --variant fwd_mma hq4sq512d64:causal b4hq8sq1024d64:causal b4hq16sq2048d128:causal \
    b2hq4hkv2sq203sk333d72:bf16:causal:odd:lse hq2sq300d256:lse hq4sq17d128:packed hq2sq150sk300d64:bias=bool \
    --variant fwd_mma:bm=128,bn=64,warps=8,stages=2,qreg=0,slice=32,weave=0,kgroups=1,share=1,splits=1,ctas=1 \
    hq3sq300sk370d256:causal:bf16:lse hq2sq200sk330d192 # warps that share rows
}

# Products of warpgroups become a hundred times slower: small shapes by the built-in choices, then each schedule, with blocks
# that take two or three row tiles.
sanitizers_fwd_wgmma() {
  hopper || return
  sanitize fwd_wgmma --variant fwd_wgmma hq2sq150sk300d64:causal hq2hkv1sq130sk170d128:bf16:lse hq1sq70sk100d256 \
    hq1sq65sk33d40:lse hq2sq90sk10d72:causal hq2sq150sk300d64:bias=bool \
    --variant fwd_wgmma:groups=3,bn=64,stages=2,qbuf=1,pingpong=1,sched=0 hq2sq200sk300d64:causal \
    --variant fwd_wgmma:groups=2,bn=64,stages=2,qbuf=2,pingpong=1,sched=1 hq300sq70sk150d64 \
    --variant fwd_wgmma:groups=2,bn=64,stages=2,qbuf=2,pingpong=1,sched=2 hq300hkv100sq70sk150d64:causal:lse \
    --variant fwd_wgmma hq2sq400d64:window=80,20 \
    --variant fwd_wgmma hq2sq128sk4096d64 hq8hkv2sq16sk2048d64:bf16:lse # keys shared by blocks, row tiles by heads
}

# Many splits, which are put together in two levels; and more sequences than one.
sanitizers_decode_mma() {
  sanitize decode_mma --variant decode_mma hq32hkv1sq1sk9000d128 b2hq8hkv2sq1sk700d64:bf16:lse
}

sanitizers() {
  sanitizers_fwd_mma
  sanitizers_fwd_wgmma
  sanitizers_decode_mma
}

# latency_of LABEL LINE VARIANT: a line of JSON
latency_of() {
  "$build/tests/latency" "$@" >>"$results/latency.jsonl"
  verdict "latency $*" $?
}

# First calls cold and warm, then calls of each family over the bare launch of the same kernel.
latency() {
  FLASHL4_CACHE_DIR=$(mktemp -d) && export FLASHL4_CACHE_DIR
  : >"$results/latency.jsonl"
  families=fwd_mma
  if hopper; then families='fwd_wgmma fwd_mma'; fi
  for family in $families; do
    for run in cold warm warm; do latency_of "$run" hq8sq64d128 "$family"; done
    for run in cold warm; do latency_of "$run" b4hq16sq512d128:causal "$family"; done
  done
  for run in cold warm; do latency_of "$run" hq32hkv8sq1sk4096d128:bf16 decode_mma; done
  cat "$results/latency.jsonl"
  python3 -c 'import json, sys
cold = [r for r in map(json.loads, sys.stdin) if r["run"] == "cold"]
slow = [(r["variant"], r["first_call_ms"]) for r in cold if r["first_call_ms"] > 1000]
sys.exit(f"more than a second: {slow}" if slow else 0 if cold else 77)' <"$results/latency.jsonl"
  verdict "each cold first call within a second" $?
  rm -rf "$FLASHL4_CACHE_DIR"
  unset FLASHL4_CACHE_DIR
}

# The whole grid, by the library's own choice, and by the family that it leaves aside on Hopper.
parity() {
  for family in '' fwd_mma; do
    [ -z "$family" ] || hopper || continue
    "$build/tools/fl4" check --device cuda --shapes parity --oracle fp64 ${family:+--variant "$family"} \
      --json "$results/parity${family:+_$family}.json" >"$results/parity${family:+_$family}.txt" 2>&1
    status=$?
    verdict "parity $family: $(tail -1 "$results/parity${family:+_$family}.txt")" "$status"
  done
}

# Errors held to those of cuDNN and FlashAttention-2.
accuracy() {
  python3 "$top/tests/gpu/accuracy.py" --out "$results/accuracy" >"$results/accuracy.txt" 2>&1
  status=$?
  verdict "accuracy: $(tail -1 "$results/accuracy.txt")" "$status"
  [ "$status" = 0 ] || grep '^FAILED' "$results/accuracy.txt" | head -40
}

examples() {
  for example in forward_cuda engine engine_decode bench; do
    "$build/examples/$example" >"$results/$example.txt" 2>&1
    verdict "example $example" $?
  done
  python3 "$top/examples/torch_attention.py" >"$results/torch_attention.txt" 2>&1
  verdict "example torch_attention" $?
  cat "$results/forward_cuda.txt" "$results/engine.txt" "$results/engine_decode.txt" "$results/torch_attention.txt"
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

# Few queries, many keys: all that is to be reached there.
decode() {
  python3 "$top/tools/peers_decode.py" --out "$results/decode" >"$results/decode.txt" 2>&1
  status=$?
  verdict "decode: $(grep -c ': met$' "$results/decode.txt") targets met, $(grep -c ': MISSED$' "$results/decode.txt") missed" "$status"
  grep -E ': (met|MISSED)$|^WRONG|^FAILED|^stopped' "$results/decode.txt"
}

# Scores on which a kernel that is fast on N(0, 1) has more to do.
hostile() {
  python3 "$top/tools/peers.py" --problem b4hq16sq4096d64 --problem b4hq16sq4096d96:causal --problem b4hq16sq4096d128 \
    --problem b2hq16sq8192d128:causal --problem b4hq16sq2048d256:causal --dtype fp16,bf16 \
    --inputs normal,sink,growing,shrinking,onehot,scaled --rounds 20 --out "$results/hostile" >"$results/hostile.txt" 2>&1
  verdict hostile $?
  grep '^fl4, .*/this' "$results/hostile.txt"
}

# What single bad choices cost: edited kernels beside the kernel as it is.
pathologies() {
  python3 "$top/tests/gpu/pathologies.py" --out "$results/pathologies" >"$results/pathologies.txt" 2>&1
  status=$?
  verdict "pathologies: $(tail -1 "$results/pathologies.txt")" "$status"
  [ "$status" = 0 ] || grep '^FAILED' "$results/pathologies.txt"
}

# What tuning learns here: to be compiled in, it takes the place of lib/wisdom/system.wisdom.
tune() {
  "$build/tools/fl4" tune --shapes canonical,models,stress --seconds "${FL4_TUNE_SECONDS:-6}" --wisdom "$results/system.wisdom" \
    --log "$results/tune.jsonl" --markdown "$results/tune.md" >"$results/tune.txt" 2>&1
  status=$?
  verdict "tune: $(tail -1 "$results/tune.txt")" "$status"
}

for part in "$@"; do $part; done
exit $failed
