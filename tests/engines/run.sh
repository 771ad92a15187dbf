#!/usr/bin/env bash
# Tests the connectors in real engines: vLLM for CPUs, in a virtual environment of its own that is made once.
#   tests/engines/run.sh [--whole] [--minutes N] [PYTEST ARGUMENTS]
#     --whole        also what takes long: 200 prompts of up to 4,000 tokens, in both number formats (an hour)
#     --minutes N    skips tests that would begin later than that; a test takes up to three minutes
# The programs are the newest that are built (build/*) without sanitizers, or $CHUNKKV_SERVER and its like.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
while (($#)); do
  case $1 in
    --whole) export CHUNKKV_WHOLE=1 ;;
    --minutes) export CHUNKKV_LATEST_BEGIN=$((EPOCHSECONDS + 60 * ${2:?--minutes needs a number})); shift ;;
    *) break ;;
  esac
  shift
done
venv=$(tests/engines/install.sh)
exec "$venv/bin/python" -m pytest -q -rs "${@:-tests/engines}"
