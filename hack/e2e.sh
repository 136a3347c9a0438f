#!/usr/bin/env bash
# Builds what the end-to-end tests run into DIR/bin (default .cache/e2e): the rig
# (kube-apiserver, etcd, controllers, a node), kubectl, Istio's programs, go-httpbin
# and the key server; and leaves Istio's source at DIR/istio. Each has a stamp beside
# it, so that only what has changed is built again. From nothing: about 15 minutes
# on two cores. hack/e2e.sh DIR kubectl builds kubectl alone.
set -euo pipefail

root=$(cd "$(dirname "$0")/.." && pwd)
dir=${1:-$root/.cache/e2e}
mkdir -p "$dir/bin" "$dir/stamps"
dir=$(cd "$dir" && pwd)
exec 9>"$dir/lock"
flock 9 # another run may be building the same

istio=$(awk '$1 == "istio.io/istio" { print $2 }' "$root/test/conformance/go.mod")
kubernetes=$(awk '$1 == "k8s.io/kubernetes" { print $2; exit }' "$root/test/e2e/rig/go.mod")
httpbin=v2.15.0
go=$(go env GOVERSION GOARCH | xargs)
export GOFLAGS= GOBIN=$dir/new
trap 'rm -rf "$dir/new"' EXIT

# build STAMP COMMAND... runs COMMAND, which leaves programs in DIR/new, unless all of
# NAMES are in DIR/bin and were built with the same STAMP.
build() {
	local stamp="$1 $go" name; shift
	for name in $NAMES; do
		if [ ! -x "$dir/bin/$name" ] || [ "$(cat "$dir/stamps/$name" 2>/dev/null)" != "$stamp" ]; then
			local start=$SECONDS
			echo "e2e: building $NAMES" >&2
			rm -rf "$dir/new" && mkdir "$dir/new"
			"$@"
			for name in $NAMES; do
				mv -f "$dir/new/$name" "$dir/bin/$name"
				echo "$stamp" >"$dir/stamps/$name"
			done
			echo "e2e: $NAMES took $((SECONDS - start)) s" >&2
			return
		fi
	done
}

# Without its version the server says v0.0.0-master, and kubectl's check of versions fails.
minor=${kubernetes#v1.} minor=${minor%%.*}
version=k8s.io/component-base/version
flags="-s -w -X $version.gitVersion=$kubernetes -X $version.gitMajor=1 -X $version.gitMinor=$minor -X k8s.io/client-go/pkg/version.gitVersion=$kubernetes"

in_rig() { (cd "$root/test/e2e/rig" && go "$@"); }
sources=$(cat "$root"/test/e2e/rig/{*.go,go.mod,go.sum} | sha256sum | cut -c1-16)
NAMES=kubectl build "$kubernetes" in_rig build -ldflags "$flags" -o "$dir/new/kubectl" k8s.io/kubernetes/cmd/kubectl
[ "${2:-}" != kubectl ] || exit 0
NAMES=rig build "$kubernetes $sources" in_rig build -ldflags "$flags" -o "$dir/new/rig" .

for program in istioctl/cmd/istioctl pilot/cmd/pilot-discovery pilot/cmd/pilot-agent; do
	NAMES=${program##*/} build "$istio" go install -ldflags "-s -w" "istio.io/istio/$program@$istio"
done
NAMES=go-httpbin build "$httpbin" go install -ldflags "-s -w" "github.com/mccutchen/go-httpbin/v2/cmd/go-httpbin@$httpbin"

# The module cache is read-only and may be cleaned: keep what is read of it.
if [ "$(cat "$dir/stamps/istio" 2>/dev/null)" != "$istio" ]; then
	source=$(go mod download -json "istio.io/istio@$istio" | sed -n 's/^\t"Dir": "\(.*\)",$/\1/p')
	rm -rf "$dir/istio"
	for file in manifests/charts/base/files/crd-all.gen.yaml tools/packaging/common/envoy_bootstrap.json; do
		mkdir -p "$dir/istio/$(dirname "$file")"
		install -m 0644 "$source/$file" "$dir/istio/$file"
	done
	echo "$istio" >"$dir/stamps/istio"
fi

(cd "$root/test/e2e" && go build -o "$dir/bin/keyserver" ./keyserver && go build -o "$dir/bin/mesh" ./mesh)

# The tests make networks. With root what they lack is installed; without, they say it.
if ! command -v iptables-restore >/dev/null && [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
	echo "e2e: installing iptables" >&2
	log=$(apt-get update 2>&1 && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends iptables 2>&1) || printf '%s\n' "$log" >&2
fi
