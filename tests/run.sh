#!/usr/bin/env bash
# Installs, builds and runs every test: GoogleTest through CTest, then pytest.
#   tests/run.sh [--preset NAME] [--with-torch]
#     --preset NAME    a CMake preset: release (default), dev, cuda, asan, tsan. Sanitizer presets run the C++ tests
#                      without those labelled release_only, and the command line's
#     --with-torch     installs torch, transformers and kvpress first (6 GB, 2 to 5 minutes); without them, tests that
#                      need them skip
# The kernels for GPUs are built where there is a CUDA compiler (deploy/install-cuda.sh installs one); `cuda` insists on
# it. No test here needs a GPU.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

preset=release
install_options=()
while (($#)); do
  case $1 in
    --preset) preset=${2:?--preset needs a name}; shift ;;
    --with-torch) install_options+=(--with-torch) ;;
    *) echo "usage: tests/run.sh [--preset NAME] [--with-torch]" >&2; exit 2 ;;
  esac
  shift
done
step() { printf '\n== %s, %(%T)T\n' "$*" >&2; }
fail() { printf 'tests/run.sh: %s failed\n' "$*" >&2; exit 1; }

step "dependencies"
deploy/install-dependencies.sh "${install_options[@]}" || fail "installing dependencies"

step "build ($preset)"
log=build/$preset/build.log
mkdir -p "build/$preset"
cmake --preset "$preset" >"$log" 2>&1 || { tail -n 30 "$log" >&2; fail "configuring"; }
sed -n 's/^-- CUDA: /CUDA: /p' "$log" >&2
cmake --build --preset "$preset" -j2 >"$log" 2>&1 || { grep -E 'error|FAILED|warning' "$log" | tail -n 40 >&2 || true; fail "building (see $log)"; }

step "C++ tests ($preset)"
ctest_options=(--test-dir "build/$preset" --output-on-failure --no-tests=error -j2)
case $preset in
  asan | tsan)
    export TSAN_OPTIONS="ignore_noninstrumented_modules=1 suppressions=$PWD/tests/tsan.supp ${TSAN_OPTIONS:-}"
    export ASAN_OPTIONS="detect_stack_use_after_return=1 ${ASAN_OPTIONS:-}"
    ctest_options+=(--label-exclude 'release_only|package') ;;
esac
summary=build/$preset/ctest.log
ctest "${ctest_options[@]}" >"$summary" 2>&1 || { grep -vE '^ *[0-9]+/[0-9]+ .*Passed|^ +Start ' "$summary" >&2; fail "ctest ($preset)"; }
sed -n '/tests passed/,$p' "$summary" | grep -vE '\(Skipped\)$|tests did not run:'
skipped=$(grep -c '^[[:space:]]*[0-9]* - .*(Skipped)$' "$summary" || true)
((skipped == 0)) || echo "$skipped skipped, among them those that need a GPU where there is none"

export CHUNKKV_SERVER=$PWD/build/$preset/service/chunkkv-server CHUNKKV_CLI=$PWD/build/$preset/client/cli/chunkkv
export CHUNKKV_HOST_DEVICE_SERVER=$PWD/build/$preset/tests/support/host_device_server
export CHUNKKV_HOST_NCCL=$PWD/build/$preset/tests/support/host_nccl/libnccl.so.2
export CHUNKKV_HOST_CUDA_DRIVER=$PWD/build/$preset/tests/support/host_cuda_driver/libcuda.so.1
export CHUNKKV_KERNELS_LIBRARY=$PWD/build/$preset/kernels/c/libchunkkv_kernels.so
export CHUNKKV_KERNEL_REPORT=$PWD/build/$preset/kernels/cuda/chunkkv_cuda.kernels.json
case $preset in
  asan | tsan)
    step "command line ($preset)"
    .venv/bin/python -m pytest -q tests/cli || fail "pytest tests/cli" ;;
  *)
    step "Python tests"
    .venv/bin/python -m pytest -q || fail "pytest" ;;
esac
