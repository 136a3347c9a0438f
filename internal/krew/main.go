// Command krew writes what a release knows into the manifest for krew-index: the version,
// and each archive's address and sum, as goreleaser left them in DIR (metadata.json,
// checksums.txt). All else in the manifest is written by hand and stays as it is.
//
//	go run ./internal/krew [-manifest krew/asmjwt.yaml] [-dist dist] [-url BASE] [-partial] [-o FILE]
package main

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
)

const releases = "https://github.com/asmjwt/kubectl-asmjwt/releases/download"

func main() {
	manifest := flag.String("manifest", "krew/asmjwt.yaml", "the manifest to read")
	dist := flag.String("dist", "dist", "the folder that goreleaser wrote")
	url := flag.String("url", releases, "what is before /VERSION/ARCHIVE in the addresses")
	partial := flag.Bool("partial", false, "leave out the platforms that were not built")
	out := flag.String("o", "", "the file to write; the manifest itself by default")
	flag.Parse()
	if *out == "" {
		*out = *manifest
	}
	if err := run(*manifest, *dist, *url, *partial, *out); err != nil {
		_, _ = fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(1)
	}
}

func run(manifest, dist, url string, partial bool, out string) error {
	text, err := os.ReadFile(manifest)
	if err != nil {
		return err
	}
	r, err := readRelease(dist)
	if err != nil {
		return fmt.Errorf("read the release: %w", err)
	}
	r.url = url
	filled, err := fill(string(text), r, partial)
	if err != nil {
		return fmt.Errorf("%s: %w", manifest, err)
	}
	return os.WriteFile(out, []byte(filled), 0o644)
}

// release is what the manifest says of one.
type release struct {
	version string            // with its v
	url     string            // what is before /VERSION/ARCHIVE
	sums    map[string]string // SHA-256 in hex by the archive's name
}

func readRelease(dist string) (release, error) {
	r := release{sums: map[string]string{}}
	text, err := os.ReadFile(filepath.Join(dist, "metadata.json"))
	if err != nil {
		return r, err
	}
	var metadata struct {
		Version string `json:"version"`
	}
	if err := json.Unmarshal(text, &metadata); err != nil || metadata.Version == "" {
		return r, errors.Join(errors.New("metadata.json has no version"), err)
	}
	r.version = "v" + metadata.Version
	sums, err := os.ReadFile(filepath.Join(dist, "checksums.txt"))
	if err != nil {
		return r, err
	}
	for line := range strings.Lines(string(sums)) {
		if sum, name, ok := strings.Cut(strings.TrimSpace(line), "  "); ok {
			r.sums[name] = sum
		}
	}
	return r, nil
}

// platform is one of those that krew knows, as Go names them.
type platform struct{ os, arch string }

// platforms are all that a release has, in the manifest's order.
var platforms = []platform{
	{"darwin", "amd64"}, {"darwin", "arm64"}, {"linux", "amd64"}, {"linux", "arm64"}, {"windows", "amd64"}, {"windows", "arm64"},
}

func (p platform) archive(version string) string {
	name := "kubectl-asmjwt_" + version + "_" + p.os + "_" + p.arch
	if p.os == "windows" {
		return name + ".zip"
	}
	return name + ".tar.gz"
}

func (p platform) program() string {
	if p.os == "windows" {
		return "kubectl-asmjwt.exe"
	}
	return "kubectl-asmjwt"
}

var versionLine = regexp.MustCompile(`(?m)^  version: .*$`)

// fill writes a release into a manifest, whose platforms come last. Sums are quoted: one
// of digits alone, but for an e, would be a number. It is an error if a
// platform was not built, unless the manifest is to be a partial one.
func fill(manifest string, r release, partial bool) (string, error) {
	const list = "\n  platforms:\n"
	head, _, ok := strings.Cut(manifest, list)
	if !ok || !versionLine.MatchString(head) {
		return "", errors.New("no spec.version, or no spec.platforms")
	}
	var out strings.Builder
	out.WriteString(versionLine.ReplaceAllLiteralString(head, "  version: "+r.version))
	out.WriteString(list)
	built := 0
	for _, p := range platforms {
		name := p.archive(r.version)
		sum, ok := r.sums[name]
		if !ok && !partial {
			return "", fmt.Errorf("%s was not built", name)
		}
		if !ok {
			continue
		}
		built++
		fmt.Fprintf(&out, "    - selector:\n        matchLabels:\n          os: %s\n          arch: %s\n      uri: %s/%s/%s\n      sha256: %q\n      bin: %s\n",
			p.os, p.arch, r.url, r.version, name, sum, p.program())
	}
	if built == 0 {
		return "", errors.New("nothing was built")
	}
	return out.String(), nil
}
