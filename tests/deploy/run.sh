#!/usr/bin/env bash
# Tests what deploys: the chart, the dashboard, the alerts, the image. Builds what that needs once, in a folder that
# later runs use again ($CHUNKKV_DEPLOY_CACHE, by default ~/.cache/chunkkv-deploy).
#   tests/deploy/run.sh [--offline | --image [cpu | cuda]]
#     --offline    builds nothing but helm; tests that need a Kubernetes API server run if it is built already
#     --image      also builds the container image, or its variant for GPUs, and runs it (10 minutes, 30; as root)
# helm, kubectl and kube-apiserver are built from their Go modules, at the versions of tools/go.mod: 15 minutes on two
# cores. The server is the newest that is built (build/*) without sanitizers, or $CHUNKKV_SERVER.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

mode=all
case ${1:-} in
  '') ;;
  --offline) mode=offline ;;
  --image) mode=image variant=${2:-cpu} ;;
  *) sed -n '/^set /q;2,$s/^# \{0,1\}//p' "$0" >&2; exit 2 ;;
esac
export CHUNKKV_DEPLOY_CACHE=${CHUNKKV_DEPLOY_CACHE:-$HOME/.cache/chunkkv-deploy}
mkdir -p "$CHUNKKV_DEPLOY_CACHE/bin"
step() { printf '\n== %s, %(%T)T\n' "$*" >&2; }

install_packages() {
  local missing=() package as_root=()
  for package in "$@"; do
    dpkg-query -W -f='${Status}' "$package" 2>/dev/null | grep -q 'install ok installed' || missing+=("$package")
  done
  ((${#missing[@]})) || return 0
  step "packages: ${missing[*]}"
  ((EUID == 0)) || as_root=(sudo)
  "${as_root[@]}" apt-get update -qq
  "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive \
    apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
}

packages=(prometheus)
[[ $mode == offline ]] || packages+=(etcd-server)
[[ $mode == image ]] && packages+=(buildah podman runc debootstrap)
install_packages "${packages[@]}"

# Go of its own: Debian's is older than the modules ask for.
go_version=go1.24.10
go_sha256=d986c81388382193b00ba1dc80ec64d3625e7fb2ae0e8d3da4dde83b9ab7d987
install_go() {
  [[ -x $CHUNKKV_DEPLOY_CACHE/go/bin/go ]] && return
  step "Go ($go_version)"
  local work
  work=$(mktemp -d "$CHUNKKV_DEPLOY_CACHE/go.XXXXXX")
  curl -fsS -o "$work/go.zip" \
    "https://proxy.golang.org/golang.org/toolchain/@v/v0.0.1-$go_version.linux-amd64.zip"
  echo "$go_sha256  $work/go.zip" | sha256sum --check --quiet
  python3 -m zipfile -e "$work/go.zip" "$work"
  chmod +x "$work"/golang.org/toolchain@*/{bin/*,pkg/tool/*/*}
  mv "$work"/golang.org/toolchain@* "$CHUNKKV_DEPLOY_CACHE/go"
  rm -rf "$work"
}

build_tool() {  # NAME PACKAGE
  [[ -x $CHUNKKV_DEPLOY_CACHE/bin/$1 && $CHUNKKV_DEPLOY_CACHE/bin/$1 -nt tests/deploy/tools/go.mod ]] && return
  install_go
  step "build $1"
  (cd tests/deploy/tools &&
    PATH=$CHUNKKV_DEPLOY_CACHE/go/bin:$PATH GOTOOLCHAIN=local GOFLAGS=-mod=readonly CGO_ENABLED=0 \
      go build -trimpath -o "$CHUNKKV_DEPLOY_CACHE/bin/" -ldflags "-s -w
        -X k8s.io/component-base/version.gitVersion=v1.31.4
        -X helm.sh/helm/v3/internal/version.version=v3.16.4
        -X helm.sh/helm/v3/pkg/chartutil.k8sVersionMajor=1 -X helm.sh/helm/v3/pkg/chartutil.k8sVersionMinor=31
        -X helm.sh/helm/v3/pkg/lint/rules.k8sVersionMajor=1 -X helm.sh/helm/v3/pkg/lint/rules.k8sVersionMinor=31" "$2")
}

# The schemas of every kind of object, out of Kubernetes' source.
copy_schemas() {
  [[ -d $CHUNKKV_DEPLOY_CACHE/openapi ]] && return
  install_go
  local go=$CHUNKKV_DEPLOY_CACHE/go/bin/go folder
  local -x GOTOOLCHAIN=local GOFLAGS=-mod=readonly
  (cd tests/deploy/tools && "$go" mod download k8s.io/kubernetes)
  folder=$(cd tests/deploy/tools && "$go" list -m -f '{{.Dir}}' k8s.io/kubernetes)
  mkdir "$CHUNKKV_DEPLOY_CACHE/openapi"
  cp "$folder"/api/openapi-spec/v3/api{,s}__*v1_openapi.json "$CHUNKKV_DEPLOY_CACHE/openapi/"
}
copy_schemas
build_tool helm helm.sh/helm/v3/cmd/helm
if [[ $mode != offline ]]; then
  build_tool kubectl k8s.io/kubernetes/cmd/kubectl
  build_tool kube-apiserver k8s.io/kubernetes/cmd/kube-apiserver
fi

deploy/install-dependencies.sh
step "tests"
[[ $mode == image ]] && export CHUNKKV_TEST_IMAGE=$variant
exec .venv/bin/python -m pytest -q -rs tests/deploy
