#!/usr/bin/env bash
# Installs what building and testing need on Debian 12: packages by apt, Python packages into .venv of the repository.
# Quiet and quick when everything is there already.
#   deploy/install-dependencies.sh [--build-only]     --build-only: no Python environment
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

packages=(g++ cmake ninja-build ccache lld pkg-config ca-certificates
  libgrpc++-dev libprotobuf-dev protobuf-compiler protobuf-compiler-grpc libabsl-dev
  libhwy-dev libxxhash-dev libssl-dev nlohmann-json3-dev libcli11-dev
  libgtest-dev libgmock-dev python3 python3-venv)

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

# The stamp holds what the environment was made from, so that a change of either file makes it anew.
stamp=$(cat tests/requirements.txt client/python/pyproject.toml client/python/setup.py proto/chunkkv/v1/*.proto | sha256sum | cut -d' ' -f1)
if [[ "$(cat .venv/chunkkv-stamp 2>/dev/null)" != "$stamp" ]]; then
  echo "Installing Python packages into .venv" >&2
  [[ -x .venv/bin/python ]] || python3 -m venv .venv
  .venv/bin/python -m pip install --quiet --disable-pip-version-check -r tests/requirements.txt
  .venv/bin/python -m pip install --quiet --disable-pip-version-check -e client/python
  echo "$stamp" >.venv/chunkkv-stamp
fi
