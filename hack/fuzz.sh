#!/usr/bin/env bash
# Runs every fuzz target of the module for a bounded time each:
#   hack/fuzz.sh 10s
# A crash leaves its input in the package's testdata/fuzz: commit it, it is a test.
set -euo pipefail

cd "$(dirname "$0")/.."
fuzztime=${1:-10s}

# "go test -list" prints the names of a package's targets, then "ok <package> <time>".
targets=$(go test -list '^Fuzz' ./... | awk '
	/^Fuzz/ { names[++n] = $1; next }
	$1 == "ok" { for (i = 1; i <= n; i++) print $2, names[i] }
	$1 == "ok" || $1 == "?" { n = 0 }')

if [ -z "$targets" ]; then
	echo "error: no fuzz targets found: nothing was fuzzed" >&2
	exit 1
fi

log=$(mktemp)
trap 'rm -f "$log"' EXIT

# fuzz runs one target. When the time is up, a race in Go's fuzzing coordinator can make
# go test fail with "context deadline exceeded" and no failing input (go.dev/issue/75804, in
# all of Go 1.26): that says nothing of the target, so it is run again.
fuzz() {
	local package=$1 target=$2 try
	for try in 1 2 3; do
		if go test -run '^$' -fuzz "^$target\$" -fuzztime "$fuzztime" "$package" </dev/null 2>&1 | tee "$log"; then
			return 0
		fi
		if ! grep -q 'context deadline exceeded' "$log" || grep -q 'Failing input written' "$log"; then
			return 1
		fi
		echo "$target: go test ran out of time, not the target (try $try)" >&2
	done
	return 1
}

while read -r package target; do
	fuzz "$package" "$target"
done <<<"$targets"
