package cmd

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/asmjwt/kubectl-asmjwt/pkg/diagnose"
	"github.com/asmjwt/kubectl-asmjwt/pkg/mesh"
)

const viaHint = "write TYPE/NAME[.NAMESPACE][:PORT], such as deploy/istio-ingressgateway.istio-system:443"

// parseVia reads --via: TYPE/NAME.NAMESPACE as istioctl spells it, with a port behind
// it. Where no namespace is given it is that of the target.
func parseVia(texts []string) ([]diagnose.Via, error) {
	var out []diagnose.Via
	for _, text := range texts {
		rest, port, hasPort := strings.Cut(text, ":")
		typ, name, slash := strings.Cut(rest, "/")
		var v diagnose.Via
		if i := strings.LastIndexByte(name, '.'); slash && i >= 0 {
			name, v.Namespace = name[:i], name[i+1:]
			if v.Namespace == "" || name == "" {
				return nil, usage(viaHint, "--via %q has an empty name or namespace", text)
			}
			rest = typ + "/" + name
		}
		var err error
		if v.Target, err = mesh.ParseTarget(rest); err != nil {
			return nil, fmt.Errorf("--via: %w", err)
		}
		if hasPort {
			if v.Port, err = parsePort("--via "+rest, port); err != nil {
				return nil, err
			}
		}
		out = append(out, v)
	}
	return out, nil
}

// urlPorts are those of the schemes.
const (
	portHTTP  = 80
	portHTTPS = 443
)

// portOfURL is the port that a client of the URL connects to; 0 without a URL.
func portOfURL(s sent, given func(string) bool) int {
	if n, err := strconv.ParseUint(s.urlPort, 10, 16); err == nil {
		return int(n)
	}
	switch {
	case s.https:
		return portHTTPS
	case given("url") || given("curl"):
		return portHTTP
	default:
		return 0
	}
}
