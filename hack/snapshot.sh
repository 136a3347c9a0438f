#!/usr/bin/env bash
# Builds a release of the tree into dist and publishes nothing: hack/snapshot.sh
# [all|GOOS/GOARCH]. Without an argument all platforms are built; one alone is for those
# who have no time. Needs goreleaser and cyclonedx-gomod in PATH; `make snapshot` brings them.
set -euo pipefail

cd "$(dirname "$0")/.."
platform=${1:-all}
config=.goreleaser.yaml
if [ "$platform" != all ]; then
	# goreleaser release knows no single target.
	config=.cache/goreleaser.yaml
	mkdir -p .cache
	sed -E "s|^( *goos:).*|\1 [${platform%/*}]|; s|^( *goarch:).*|\1 [${platform#*/}]|" .goreleaser.yaml >"$config"
fi
# Without a remote, goreleaser finds out nothing of the commit.
if ! git remote get-url origin >/dev/null 2>&1; then
	export GIT_CONFIG_COUNT=1 GIT_CONFIG_KEY_0=remote.origin.url GIT_CONFIG_VALUE_0=https://github.com/asmjwt/kubectl-asmjwt
fi
# No token of the environment is of use to a build.
env -u GITHUB_TOKEN -u GITLAB_TOKEN -u GITEA_TOKEN goreleaser release --config "$config" --snapshot --clean
