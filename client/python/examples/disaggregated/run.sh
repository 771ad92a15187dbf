#!/usr/bin/env bash
# Starts a ChunkKV server, a vLLM that prefills, a vLLM that decodes and the proxy, all on this machine, and ends them
# together.
#   run.sh MODEL [PORT] [VLLM ARGUMENTS]
#     MODEL    a folder or a name that vLLM serves, for a try tests/quality/model/passphrase-llama of the repository
#     PORT     of the proxy, 8000 by default; the three after it are the others'
# Needs vLLM and chunkkv in the Python that `python` is, and chunkkv-server on PATH or in $CHUNKKV_SERVER.
set -euo pipefail
(($#)) || { sed -n '/^set /q;2,$s/^# \{0,1\}//p' "$0" >&2; exit 2; }
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
model=$1 port=${2:-8000}
shift $(($# > 1 ? 2 : 1))
prefill=$((port + 1)) decode=$((port + 2)) service=127.0.0.1:$((port + 3))
folder=$(mktemp -d)
trap 'kill $(jobs -p) 2>/dev/null; wait; rm -rf "$folder"' EXIT

"${CHUNKKV_SERVER:-chunkkv-server}" --listen "$service" --host-memory 1GiB --local-socket "$folder/local" --map-entries &
serve() {  # PORT ROLE
  python -m vllm.entrypoints.openai.api_server --model "$model" --port "$1" --host 127.0.0.1 \
    --kv-transfer-config "{\"kv_connector\": \"ChunkKVConnector\", \"kv_connector_module_path\": \"chunkkv.vllm\",
      \"kv_role\": \"$2\", \"kv_connector_extra_config\": {\"address\": \"$service\"}}" "${@:3}" &
}
serve "$prefill" kv_both "$@"
serve "$decode" kv_consumer "$@"
python "$here/proxy.py" --prefill "http://127.0.0.1:$prefill" --decode "http://127.0.0.1:$decode" --port "$port" &
wait $!
