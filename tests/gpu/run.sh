#!/usr/bin/env bash
# Runs every check and benchmark on a machine with a GPU, from the folder that package.sh made.
#   run.sh [--suite NAME] [--out FOLDER] [--only STEP]... [--at-most SECONDS] [--list]
#     --suite NAME        kernels (default), or server: each ends in nine minutes
#     --out FOLDER        takes run.log, lines.jsonl, summary.txt and the report (default: results beside this script)
#     --only STEP         just these steps, in the order below; FOLDER keeps what it has and more is added
#     --at-most SECONDS   shortens the steps' limits
#     --list              prints the steps and their limits in seconds
# A step that fails or hangs does not stop the next. What a step prints is in FOLDER while it runs. The status is 1
# where a step failed. PYTHON names the interpreter that has PyTorch (python3).
# shellcheck disable=SC2317  # functions are called by name
set -uo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
python=${PYTHON:-python3}
export CHUNKKV_KERNELS_LIBRARY=$here/lib/libchunkkv_kernels.so
export CHUNKKV_SOURCE_DIR=$here PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 PYTHONUTF8=1 LC_NUMERIC=C

vectors='Implementations/KvpressVectorsTest.*/cuda*'
small="$vectors:Implementations/CompactionVectorsTest.*/cuda*:Implementations/CompactorRefusal.*/cuda*"
kill_seconds=1  # from the limit's signal to the one that cannot be caught

server_steps() {  # as kernels_steps
  local check server=("$python" tests/gpu/server_on_cuda.py --server bin/chunkkv-server)
  for check in compaction regions pressure killed_workers; do
    "$@" "$check" 70 program "${server[@]}" --only "$check"
  done
  "$@" expandable_segments 70 program env PYTORCH_CUDA_ALLOC_CONF=expandable_segments:True "${server[@]}" --only regions
  "$@" nccl 60 program "$python" tests/gpu/nccl_on_cuda.py
  "$@" decode_slowdown 60 lines "$python" tests/bench/gpu/decode_slowdown.py --server bin/chunkkv-server
}

kernels_steps() {  # calls "$@" NAME SECONDS KIND COMMAND... for each step
  local gpu_test=bin/gpu_test benchmark=tests/bench/gpu
  "$@" simt 20 test $gpu_test '--gtest_filter=Simt*'
  "$@" conformance_small 40 test $gpu_test "--gtest_filter=$small"
  local tool
  for tool in memcheck racecheck initcheck synccheck; do
    "$@" $tool 25 sanitizer compute-sanitizer --tool $tool --error-exitcode 86 $gpu_test "--gtest_filter=$vectors"
  done
  "$@" conformance 70 test $gpu_test '--gtest_filter=-Simt*:Large*'
  "$@" large 45 test $gpu_test '--gtest_filter=Large*'
  "$@" workers 18 program "$python" tests/gpu/kernels_on_cuda.py
  "$@" limits 30 lines "$python" $benchmark/limits.py
  local bench
  for bench in G1 G2 G3 G4 P1; do
    "$@" "bench_$bench" 22 lines stdbuf -oL bin/gpu_bench --only $bench
  done
  "$@" peers 74 lines "$python" $benchmark/peer_bench.py --like "$out/lines.jsonl" --deadline 56
  "$@" report 15 program "$python" $benchmark/report.py "$out/lines.jsonl" --out "$out"
}

print_step() { printf '%s %s\n' "$1" "$2"; }

run_step() {
  local name=$1 limit=$2 kind=$3
  shift 3
  is_wanted "$name" || return 0
  ((at_most && at_most < limit)) && limit=$at_most
  printf '\n== %s, at most %s s: %s\n' "$name" "$limit" "$*" >>"$log"
  local log_begin lines_begin begin=$EPOCHREALTIME
  log_begin=$(stat -c %s "$log")
  lines_begin=$(wc -l <"$lines")
  outcome="" reason=""
  if [[ $kind == sanitizer ]] && ! command -v compute-sanitizer >/dev/null; then
    outcome=skipped reason="compute-sanitizer is not installed"
  else
    run_within "$limit" "$kind" "$@"
    end_line
    judge "$kind" "$(tail -c +$((log_begin + 1)) "$log")" $(($(wc -l <"$lines") - lines_begin))
  fi
  local seconds
  seconds=$(awk -v b="$begin" -v e="$EPOCHREALTIME" 'BEGIN { printf "%.1f", e - b }')
  printf '%-8s %6s s  %-18s %s\n' "$outcome" "$seconds" "$name" "$reason" | tee -a "$summary"
  if [[ $outcome == FAILED ]]; then
    failures=$((failures + 1))
    tail -c +$((log_begin + 1)) "$log" | tail -n 10 | sed 's/^/    /'
  fi
}

# run_within SECONDS KIND COMMAND...: sets code: 124 or 137 where the limit ended it, left_behind where nothing could
run_within() {
  local limit=$1 kind=$2 output=$log
  shift 2
  [[ $kind != lines ]] || output=$lines
  timeout -k "$kill_seconds" "$limit" "$@" >>"$output" 2>>"$log" </dev/null &
  local child=$! give_up=$((SECONDS + limit + 2 * kill_seconds))
  while kill -0 "$child" 2>/dev/null; do
    if ((SECONDS > give_up)); then  # a driver that hangs holds even a killed process
      code=left_behind
      return
    fi
    sleep 0.02
  done
  wait "$child"
  code=$?
}

end_line() {  # a program that was killed may leave half a line of JSON
  [[ ! -s $lines || -z $(tail -c 1 "$lines") ]] || echo >>"$lines"
}

judge() {  # KIND LOG LINES: sets outcome and reason
  local kind=$1 text=$2 added=$3
  outcome=FAILED
  if [[ $kind == sanitizer ]] && grep -qE 'Device not supported|Failed to initialize|LibraryNotLoaded' <<<"$text"; then
    outcome=skipped reason="compute-sanitizer refuses this device"
  elif [[ $code == left_behind ]]; then
    reason="hangs, and is left behind"
  elif ((code == 124 || code == 137)); then
    reason="took longer than its limit"
  elif ((code == 126 || code == 127)); then
    reason="cannot be run"
  elif [[ $kind == program ]] && ((code == 77)); then
    outcome=skipped reason="says that a package is missing"
  elif ((code != 0)); then
    reason="status $code"
  elif [[ $kind == lines ]] && ((added == 0)); then
    reason="printed no figure"
  elif [[ $kind == test || $kind == sanitizer ]] && grep -qF '[==========] Running 0 tests' <<<"$text"; then
    reason="no test has such a name"
  elif [[ $kind == test || $kind == sanitizer ]] && grep -qF '[  PASSED  ] 0 tests' <<<"$text"; then
    outcome=skipped reason="every test skipped itself"
  elif [[ $kind == test || $kind == sanitizer ]] && ! grep -qF '[  PASSED  ]' <<<"$text"; then
    reason="printed no result"
  else
    outcome=ok reason=""
    [[ $kind != lines ]] || reason="$added lines"
  fi
}

is_wanted() {
  ((${#only[@]} == 0)) && return
  local name
  for name in "${only[@]}"; do
    [[ $name != "$1" ]] || return 0
  done
  return 1
}

usage() { sed -n '2,10s/^# \{0,1\}//p' "${BASH_SOURCE[0]}" >&2; exit 2; }

out=$here/results only=() at_most=0 suite=kernels is_list=0
while (($#)); do
  case $1 in
    --suite) suite=${2:?--suite needs a name}; shift ;;
    --out) out=${2:?--out needs a folder}; shift ;;
    --only) only+=("${2:?--only needs a step}"); shift ;;
    --at-most) at_most=${2:?--at-most needs seconds}; shift ;;
    --list) is_list=1 ;;
    *) usage ;;
  esac
  shift
done
[[ $suite == kernels || $suite == server ]] || usage
steps() { "${suite}_steps" "$@"; }
if ((is_list)); then steps print_step; exit 0; fi
known=$(steps print_step | cut -d' ' -f1)
for name in "${only[@]}"; do
  grep -qxF -- "$name" <<<"$known" || { echo "run.sh: no step $name; --list has them" >&2; exit 2; }
done

mkdir -p "$out" || exit 1
out=$(cd "$out" && pwd)
log=$out/run.log lines=$out/lines.jsonl summary=$out/summary.txt failures=0
if ((${#only[@]} == 0)); then rm -f "$log" "$lines" "$summary"; fi
touch "$log" "$lines" "$summary"
cd "$here" || exit 1
steps run_step
echo
cat "$out"/*/report.md 2>/dev/null
cat "$summary"
echo "$failures steps failed; $log has what they printed"
exit $((failures > 0))
