#!/bin/sh
# Puts over a link of a given rate between two network namespaces. Needs root, iproute2 and the release build.
#
#   tests/bench/service/link_bench.sh [rate, 8gbit] [rounds, 5] [build folder, build/release]
set -eu
rate=${1:-8gbit}
rounds=${2:-5}
build=${3:-$(dirname "$0")/../../../build/release}
server_ns=chunkkv-server-$$
client_ns=chunkkv-client-$$
port_file=$(mktemp)
server=

clean() {
  if [ -n "$server" ]; then kill "$server" && wait "$server" || true; fi
  ip netns del "$server_ns" 2>/dev/null || true
  ip netns del "$client_ns" 2>/dev/null || true
  rm -f "$port_file"
}
trap clean EXIT

ip netns add "$server_ns"
ip netns add "$client_ns"
ip link add ckv0 netns "$server_ns" type veth peer name ckv1 netns "$client_ns"
ip -n "$server_ns" addr add 10.77.0.1/24 dev ckv0
ip -n "$client_ns" addr add 10.77.0.2/24 dev ckv1
for side in "$server_ns ckv0" "$client_ns ckv1"; do
  set -- $side
  ip -n "$1" link set lo up
  ip -n "$1" link set "$2" up
  ip netns exec "$1" tc qdisc add dev "$2" root tbf rate "$rate" burst 4mb latency 50ms
done

rm -f "$port_file"
ip netns exec "$server_ns" "$build/service/chunkkv-server" --listen 10.77.0.1:0 --insecure-listen --host-memory 3GiB \
  --scrub-bytes-per-second 0 --port-file "$port_file" >/dev/null &
server=$!
until [ -s "$port_file" ]; do kill -0 "$server"; sleep 0.05; done
echo "link of $rate"
ip netns exec "$client_ns" "$build/tests/bench/service/link_bench" "10.77.0.1:$(cat "$port_file")" ckv1 "$rounds"
