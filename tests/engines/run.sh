#!/usr/bin/env bash
# Tests the connectors in real engines: vLLM for CPUs, in a virtual environment of its own that is made once.
#   tests/engines/run.sh [--whole] [PYTEST ARGUMENTS]
#     --whole     also what takes long: 200 prompts of up to 4,000 tokens, in both number formats (an hour)
# The programs are those of build/release.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
if [[ ${1:-} == --whole ]]; then
  export CHUNKKV_WHOLE=1
  shift
fi
. tests/support/use_build.sh release
venv=$(tests/engines/install.sh)
exec "$venv/bin/python" -m pytest -q -rs "${@:-tests/engines}"
