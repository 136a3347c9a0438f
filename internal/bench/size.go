package main

import (
	"debug/buildinfo"
	"debug/elf"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
)

// compareSizes holds the plugin's size against that of kubectl of the same minor version.
// Both have to be built the same way, or it would say nothing.
func compareSizes(out io.Writer, plugin, kubectl string) (bool, error) {
	var sizes [2]int64
	var ways [2]string
	for i, file := range []string{plugin, kubectl} {
		info, err := os.Stat(file)
		if err != nil {
			return false, err
		}
		sizes[i] = info.Size()
		if ways[i], err = wayOf(file); err != nil {
			return false, err
		}
	}
	if ways[0] != ways[1] {
		return false, fmt.Errorf("the plugin is built with %s, kubectl with %s", ways[0], ways[1])
	}
	ratio := float64(sizes[0]) / float64(sizes[1])
	verdict := "kept"
	if ratio > 1 {
		verdict = "NOT KEPT"
	}
	_, err := fmt.Fprintf(out, "\nsize, against kubectl of the client-go that is linked (%s)\n  asmjwt  %d bytes\n  peer    %d bytes\n  ratio   size %.3f, wanted at most 1.000: %s\n",
		ways[0], sizes[0], sizes[1], ratio, verdict)
	return ratio <= 1, err
}

// wayOf is how a program was built, as far as that makes it larger, and by whose
// client-go.
func wayOf(file string) (string, error) {
	info, err := buildinfo.ReadFile(file)
	if err != nil {
		return "", err
	}
	way := []string{info.GoVersion}
	for _, s := range info.Settings {
		switch s.Key {
		case "CGO_ENABLED", "-trimpath", "GOOS", "GOARCH":
			way = append(way, s.Key+"="+s.Value)
		}
	}
	for _, m := range info.Deps {
		if m.Path == "k8s.io/client-go" {
			minor := m.Version[:strings.LastIndexByte(m.Version, '.')]
			way = append(way, "client-go "+minor)
		}
	}
	symbols, err := hasSymbols(file)
	if err != nil {
		return "", err
	}
	if symbols {
		way = append(way, "symbols")
	}
	return strings.Join(way, " "), nil
}

// hasSymbols reports whether a program was linked without -s; of what is no ELF file
// that is not known, and taken for no.
func hasSymbols(file string) (bool, error) {
	f, err := elf.Open(file)
	var format *elf.FormatError
	if errors.As(err, &format) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	defer func() { _ = f.Close() }()
	return f.Section(".symtab") != nil, nil
}
