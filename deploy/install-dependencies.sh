#!/usr/bin/env bash
# Installs what building and testing need on Debian 12: packages by apt, Python packages into .venv of the repository.
# Quiet and quick when everything is there already.
#   deploy/install-dependencies.sh [--build-only | --with-torch]
#     --build-only: no Python environment    --with-torch: also torch, transformers and kvpress (6 GB, 2 to 5 minutes)
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

packages=(g++ cmake ninja-build ccache lld pkg-config ca-certificates
  libgrpc++-dev libprotobuf-dev protobuf-compiler protobuf-compiler-grpc libabsl-dev
  libhwy-dev libxxhash-dev libssl-dev nlohmann-json3-dev libcli11-dev prometheus-cpp-dev libcpp-httplib-dev
  libgtest-dev libgmock-dev libboost-context-dev python3 python3-venv)

missing=()
for package in "${packages[@]}"; do
  dpkg-query -W -f='${Status}' "$package" 2>/dev/null | grep -q 'install ok installed' || missing+=("$package")
done
if ((${#missing[@]})); then
  command -v apt-get >/dev/null || { echo "install-dependencies: needs Debian's apt-get, or by hand: ${missing[*]}" >&2; exit 1; }
  as_root=()
  ((EUID == 0)) || as_root=(sudo)
  echo "Installing packages: ${missing[*]}" >&2
  log=$(mktemp)
  if ! { "${as_root[@]}" apt-get update -qq &&
         "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}"; } >"$log" 2>&1; then
    tail -n 20 "$log" >&2
    echo "install-dependencies: apt-get failed" >&2
    exit 1
  fi
  rm -f "$log"
fi
[[ "${1:-}" == --build-only ]] && exit 0

# A stamp holds what was installed from, so that a change of any of these files installs again.
install_if_changed() {  # STAMP_FILE "FILES IT DEPENDS ON" PIP_ARGUMENTS...
  local stamp_file=.venv/$1 stamp
  stamp=$(cat $2 | sha256sum | cut -d' ' -f1)
  shift 2
  [[ "$(cat "$stamp_file" 2>/dev/null)" == "$stamp" ]] && return
  echo "Installing Python packages into .venv: $*" >&2
  .venv/bin/python -m pip install --quiet --disable-pip-version-check "$@"
  echo "$stamp" >"$stamp_file"
}
[[ -x .venv/bin/python ]] || python3 -m venv .venv
install_if_changed chunkkv-stamp "tests/requirements.txt client/python/pyproject.toml client/python/setup.py $(echo proto/chunkkv/v1/*.proto)" \
  -r tests/requirements.txt -e client/python
if [[ "${1:-}" == --with-torch ]]; then
  install_if_changed torch-stamp tests/requirements-torch.txt -r tests/requirements-torch.txt
fi
