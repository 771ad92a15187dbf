#!/usr/bin/env bash
# Builds and gathers, in one folder, all that run.sh needs on a machine with an sm_90 GPU: programs for that GPU alone,
# stripped, with the libraries they need; the Python parts; the golden vectors. That machine needs no gRPC and no
# GoogleTest; glibc and libstdc++ at least as new as here; PyTorch for limits and peers.
#   package.sh [--out FOLDER] [--preset NAME] [--build FOLDER] [--no-build] [--most MIB] [PROGRAM|lib*.so...]
#     --out FOLDER        is made anew (default: build/gpu-package)
#     --preset NAME       of CMake (default: cuda)
#     --build FOLDER      where it is built (default: build/gpu)
#     --no-build          takes what is built there
#     --most MIB          fails where the folder is larger (default: 40)
#     PROGRAM, lib*.so    names of built files (default: gpu_test gpu_bench libchunkkv_kernels.so)
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

fail() { printf 'package.sh: %s\n' "$*" >&2; exit 1; }
usage() { sed -n '2,11s/^# \{0,1\}//p' "${BASH_SOURCE[0]}" >&2; exit 2; }

out=build/gpu-package preset=cuda build=build/gpu is_built=0 most_mib=40 names=()
while (($#)); do
  case $1 in
    --out) out=${2:?--out needs a folder}; shift ;;
    --preset) preset=${2:?--preset needs a name}; shift ;;
    --build) build=${2:?--build needs a folder}; shift ;;
    --no-build) is_built=1 ;;
    --most) most_mib=${2:?--most needs a number}; shift ;;
    -*) usage ;;
    *) names+=("$1") ;;
  esac
  shift
done
((${#names[@]})) || names=(gpu_test gpu_bench libchunkkv_kernels.so)

target_of() { case $1 in libchunkkv_kernels.so) echo chunkkv_kernels_shared ;; *) echo "$1" ;; esac; }

if ((!is_built)); then
  mkdir -p "$(dirname "$build")"
  # RPATH, not RUNPATH: it also serves the libraries of the libraries.
  cmake --preset "$preset" -B "$build" -DCHUNKKV_CUDA_ARCHITECTURES=90-real \
    -DCMAKE_BUILD_RPATH="\$ORIGIN/../lib" -DCMAKE_EXE_LINKER_FLAGS=-Wl,--disable-new-dtags \
    -DCMAKE_SHARED_LINKER_FLAGS=-Wl,--disable-new-dtags >"$build.log" 2>&1 ||
    { tail -n 30 "$build.log" >&2; fail "configuring failed"; }
  targets=()
  for name in "${names[@]}"; do targets+=("$(target_of "$name")"); done
  cmake --build "$build" -j2 --target "${targets[@]}" >"$build.log" 2>&1 ||
    { tail -n 30 "$build.log" >&2; fail "building failed (see $build.log)"; }
fi

marker=.gpu-package
[[ ! -e $out || -e $out/$marker ]] || fail "$out is no folder that package.sh made; give another --out"
rm -rf "$out"
mkdir -p "$out/bin" "$out/lib"
touch "$out/$marker"

# What every machine has of its own, and what comes with its driver.
of_the_machine='^(linux-vdso|ld-linux.*|libc|libm|libdl|librt|libpthread|libstdc\+\+|libgcc_s|libcuda)\.so'

bundle_libraries() {  # FILE: copies what it needs beside it
  local name path
  while read -r name _ path _; do
    [[ $name =~ $of_the_machine || $name == /* || $name == statically ]] && continue
    [[ $path == /* ]] || fail "$1 needs $name, which is not here"
    [[ -e $out/lib/$name ]] || cp -L "$path" "$out/lib/$name"
  done < <(ldd "$1")
}

for name in "${names[@]}"; do
  mapfile -t found < <(find "$build" -name "$name" -not -path '*/CMakeFiles/*' \( -type f -o -type l \))
  ((${#found[@]} == 1)) || fail "$build has ${#found[@]} files named $name, not one"
  [[ $(readelf -d "${found[0]}") == *"(RPATH)"*"\$ORIGIN/../lib"* ]] ||
    fail "$name does not look for its libraries in ../lib"
  folder=bin
  [[ $name != lib*.so ]] || folder=lib
  cp -L "${found[0]}" "$out/$folder/$name"
  bundle_libraries "${found[0]}"
  ! ldd "$out/$folder/$name" | grep 'not found' | grep -v 'libcuda\.so' || fail "$name would miss libraries"
done
find "$out/bin" "$out/lib" -type f -exec strip --strip-unneeded {} +

[[ -e client/python/chunkkv/v1/__init__.py ]] ||
  echo "package.sh: no client/python/chunkkv/v1, which pip install -e client/python generates: there, the step" \
    "workers will be skipped" >&2
cp tests/gpu/run.sh "$out/"
(find tests/bench/gpu -name '*.py' -not -name 'test_*' -not -name conftest.py
 ls tests/gpu/kernels_on_cuda.py tests/gpu/nccl_on_cuda.py tests/gpu/nccl_peer.py tests/gpu/server_on_cuda.py tests/quality/needle/__init__.py tests/quality/needle/svg.py
 find client/python/chunkkv -name '*.py'
 find tests/golden/compaction tests/golden/kvpress -type f) | xargs cp --parents -t "$out"

(cd "$out" && du -ah --max-depth=2 . | sort -k2)
size_kib=$(du -sk --apparent-size "$out" | cut -f1)
((size_kib <= most_mib * 1024)) || fail "$out has $((size_kib / 1024 + 1)) MiB, more than $most_mib"
echo "$out: $((size_kib / 1024)) MiB; on the GPU machine: ./run.sh"
