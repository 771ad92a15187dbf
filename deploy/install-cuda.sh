#!/usr/bin/env bash
# Gives the build a CUDA compiler and NCCL's header where the machine has none: puts NVIDIA's wheels from PyPI (280 MB
# unpacked) together into a toolkit in a folder of its own. Needs python3 with venv, no GPU, no root. Quick when it is
# there already.
#   deploy/install-cuda.sh [FOLDER]
#     FOLDER    where to put it: .cuda of the repository by default, where the build looks; of another one it has to be
#               told: cmake -DCHUNKKV_CUDA_TOOLKIT=FOLDER
# A toolkit that is installed already (nvcc on PATH, CUDA_HOME, CUDA_PATH, /usr/local/cuda; 12.8 or later) is used
# instead, by the build too; NCCL's header is then libnccl-dev's, or in NCCL_HOME/include. In the folder: bin/nvcc,
# cuobjdump, nvdisasm; headers, CCCL, the runtime's libraries, nccl.h.
set -euo pipefail
repository=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

fail() { printf 'install-cuda: %s\n' "$*" >&2; exit 1; }
usage() { sed -n '/^set /q;2,$s/^# \{0,1\}//p' "${BASH_SOURCE[0]}"; }

case ${1:-} in
  -h | --help) usage; exit ;;
  -*) usage >&2; exit 2 ;;
esac
(($# <= 1)) || { usage >&2; exit 2; }
folder=${1:-$repository/.cuda}
folder=${folder%/}

# Unpinned, crt and nvvm come newer than nvcc and do not fit it. The two readers of machine code have no wheels of 13.0.
packages=(nvidia-cuda-nvcc==13.0.* nvidia-cuda-crt==13.0.* nvidia-nvvm==13.0.* nvidia-cuda-runtime==13.0.*
  nvidia-cuda-cccl==13.0.* nvidia-cuda-cuobjdump==13.2.* nvidia-cuda-nvdisasm==13.2.*)
# Only its header is kept: the server loads whatever NCCL the machine has. The smallest wheel for CUDA 13 (194 MB).
packages+=(nvidia-nccl-cu13==2.27.7)
stamp="${packages[*]}"

# 12.8 is the first that knows sm_100; deploy/cmake/ChunkkvCuda.cmake has the same order and the same bound.
is_recent() {
  local version
  version=$("$1" --version 2>/dev/null | sed -n 's/.*release \([0-9.]*\),.*/\1/p')
  [[ -n $version ]] && printf '12.8\n%s\n' "$version" | sort --version-sort --check=quiet
}
for nvcc in "$(type -P nvcc || true)" "${CUDA_HOME:-}/bin/nvcc" "${CUDA_PATH:-}/bin/nvcc" /usr/local/cuda/bin/nvcc; do
  if [[ -x $nvcc ]] && is_recent "$nvcc"; then
    echo "install-cuda: nothing to do, the installed toolkit is used: $nvcc" >&2
    exit
  fi
done

[[ "$(cat "$folder/chunkkv-stamp" 2>/dev/null)" == "$stamp" ]] && exit
if [[ -n "$(ls -A "$folder" 2>/dev/null)" && ! -f $folder/chunkkv-stamp ]]; then
  fail "$folder holds something else; name an empty or new folder"
fi

mkdir -p "$(dirname "$folder")"
work=$(mktemp -d "$folder.XXXXXX")
trap 'rm -rf "$work"' EXIT
echo "install-cuda: installing into $folder: $stamp" >&2
python3 -m venv "$work/venv" >"$work/log" 2>&1 ||
  { tail -n 5 "$work/log" >&2; fail "python3 -m venv failed; on Debian: deploy/install-dependencies.sh --build-only"; }
"$work/venv/bin/pip" install --quiet --disable-pip-version-check --no-deps --only-binary :all: \
  --target "$work/wheels" "${packages[@]}" >&2 || fail "pip could not install the wheels"

toolkit=$work/wheels/nvidia/cu13
ln -s lib "$toolkit/lib64"                           # nvcc links from lib64
ln -s libcudart.so.13 "$toolkit/lib/libcudart.so"    # what CMake looks for
mv "$work/wheels/nvidia/nccl/include/nccl.h" "$toolkit/include/"
mv "$work/wheels"/*.dist-info "$toolkit/"            # licences and versions
"$toolkit/bin/nvcc" --version >/dev/null || fail "the installed nvcc does not run"
printf '%s\n' "$stamp" >"$toolkit/chunkkv-stamp"
rm -rf "$folder"
mv "$toolkit" "$folder"
