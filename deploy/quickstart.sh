#!/usr/bin/env bash
# From a fresh Debian 12 machine to a served, compacted KV cache: installs what is needed, builds, starts the server on
# loopback, runs the demo, stops the server.
#   deploy/quickstart.sh [DEMO OPTIONS]     e.g. --prompts 10 --length 512
# Once built: .venv/bin/python tests/quality/demo/demo.py --help
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

step() { printf '\n== %s\n' "$*" >&2; }
fail() { printf 'quickstart: %s\n' "$*" >&2; exit 1; }

for option in "$@"; do
  case $option in -h | --help) sed -n '/^set /q;s/^# //p' deploy/quickstart.sh; exit ;; esac
done

step "dependencies"
deploy/install-dependencies.sh || fail "installing dependencies failed"

step "build (release)"
log=build/release/build.log
mkdir -p build/release
cmake --preset release >"$log" 2>&1 || { tail -n 30 "$log" >&2; fail "configuring failed"; }
cmake --build --preset release -j2 --target chunkkv-server chunkkv >"$log" 2>&1 || { tail -n 30 "$log" >&2; fail "building failed (see $log)"; }

step "server"
work=$(mktemp -d)
server=
stop() {
  if [[ -n $server ]]; then
    kill -TERM "$server" 2>/dev/null || true
    wait "$server" 2>/dev/null || true
  fi
  rm -rf "$work"
}
trap stop EXIT
build/release/service/chunkkv-server --listen 127.0.0.1:0 --port-file "$work/port" 2>"$work/server.log" &
server=$!
for _ in $(seq 100); do
  [[ -s $work/port ]] && break
  kill -0 "$server" 2>/dev/null || { cat "$work/server.log" >&2; fail "the server did not start"; }
  sleep 0.1
done
[[ -s $work/port ]] || fail "the server did not start within 10 s"
address=127.0.0.1:$(cat "$work/port")
echo "chunkkv-server on $address" >&2

step "demo"
.venv/bin/python tests/quality/demo/demo.py --address "$address" "$@"

cat <<'TEXT'

What to try next
  build/release/client/cli/chunkkv serve                         start a server of your own
  build/release/client/cli/chunkkv --help                        put, get, find, describe, compact, bench
  .venv/bin/python tests/quality/demo/demo.py --help             the demo's options: lengths, prompts, seeds
  client/python/README.md                                        a put in a dozen lines of Python
  tests/run.sh                                                   every test
TEXT
