package istio

import (
	"sort"
	"strconv"
	"strings"

	"github.com/asmjwt/kubectl-asmjwt/pkg/mesh"
)

// Protocol is what istiod takes a port's traffic for.
type Protocol string

// The protocols that make a difference: HTTP chains, TCP chains, or both by sniffing.
const (
	ProtocolHTTP Protocol = "HTTP"
	ProtocolTCP  Protocol = "TCP"
	ProtocolAuto Protocol = "auto"
)

// portProtocol is Istio pkg/config/kube/conversion.go:ConvertProtocol, reduced to
// what pilot/pkg/networking:ModelProtocolToListenerProtocol makes of it.
func portProtocol(p mesh.ServicePort) Protocol {
	if p.Protocol == "UDP" {
		return ProtocolTCP
	}
	name := p.Name
	if p.AppProtocol != "" {
		name = p.AppProtocol
		switch name {
		case "kubernetes.io/h2c", "kubernetes.io/ws":
			return ProtocolHTTP
		case "kubernetes.io/wss":
			return ProtocolTCP
		}
	}
	name = strings.ToLower(name)
	if strings.HasPrefix(name, "grpc-web") {
		return ProtocolHTTP
	}
	name, _, _ = strings.Cut(name, "-")
	return namedProtocol(name, p.Port)
}

// speaksHTTP2 is Istio pkg/config/protocol/instance.go:IsHTTP2 of a port.
func speaksHTTP2(p mesh.ServicePort) bool {
	name := p.Name
	if p.AppProtocol != "" {
		name = p.AppProtocol
	}
	if name == "kubernetes.io/h2c" {
		return true
	}
	name = strings.ToLower(name)
	head, _, _ := strings.Cut(name, "-")
	return p.Protocol != "UDP" && (head == "http2" || head == "grpc" || strings.HasPrefix(name, "grpc-web"))
}

func namedProtocol(name string, port int) Protocol {
	switch strings.ToLower(name) {
	case "http", "http2", "grpc", "grpc-web", "http_proxy":
		return ProtocolHTTP
	case "tcp", "udp", "https", "tls", "mongo", "redis", "mysql":
		return ProtocolTCP
	}
	switch port {
	case 25, 53, 3306, 27017: // well-known ports of server-first protocols
		return ProtocolTCP
	}
	return ProtocolAuto
}

// workloadPort is a port of the workload that a Service names.
type workloadPort struct {
	number   int
	protocol Protocol
	service  mesh.Service
	port     mesh.ServicePort
}

func itoa(n int) string { return strconv.Itoa(n) }

func sortedKeys[V any](m map[string]V) []string {
	out := make([]string, 0, len(m))
	for k := range m {
		out = append(out, k)
	}
	sort.Strings(out)
	return out
}
