package proxy

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/asmjwt/kubectl-asmjwt/pkg/envoy"
	"github.com/asmjwt/kubectl-asmjwt/pkg/version"
)

// Port is a port that a request can be sent to.
type Port struct {
	Number uint16
	// HTTP says that one of the chains takes the bytes for HTTP.
	HTTP bool
	// Listener is the listener's name.
	Listener string
}

// inboundPort is where a sidecar's redirected connections arrive; its own chain takes
// what was sent there directly (Istio pilot/pkg/networking/core/listener_inbound.go).
const inboundPort = 15006

// Ports are the ports of the dump, sorted. A sidecar takes connections for any port;
// listed are those that have chains of their own.
func (d *Dump) Ports() []Port {
	byNumber := map[uint16]*Port{}
	for _, l := range d.Listeners {
		for _, c := range l.Chains {
			n := c.DestinationPort
			if n == 0 && l.Name != "virtualInbound" {
				n = l.Port
			}
			if n == 0 || n == inboundPort || isOwn(n) {
				continue
			}
			p := byNumber[n]
			if p == nil {
				p = &Port{Number: n, Listener: l.Name}
				byNumber[n] = p
			}
			p.HTTP = p.HTTP || c.HTTP != nil
		}
	}
	out := make([]Port, 0, len(byNumber))
	for _, p := range byNumber {
		out = append(out, *p)
	}
	slices.SortFunc(out, func(a, b Port) int { return cmp.Compare(a.Number, b.Number) })
	return out
}

// isOwn reports whether a port is for the proxy's own health and metrics.
func isOwn(n uint16) bool { return n == 15021 || n == 15090 || n == 15020 }

// NoPortError says that the proxy has nothing for a port.
type NoPortError struct {
	Port  uint16
	Known []Port
}

// Error says which port it was.
func (e *NoPortError) Error() string {
	return fmt.Sprintf("the proxy has no listener for port %d", e.Port)
}

// HintLine lists the ports that there are.
func (e *NoPortError) HintLine() string {
	if len(e.Known) == 0 {
		return "the dump has no listener that takes requests"
	}
	out := "choose one with --port:"
	for i, p := range e.Known {
		sep := ", "
		if i == 0 {
			sep = " "
		}
		out += fmt.Sprintf("%s%d", sep, p.Number)
	}
	return out
}

// listenerFor finds the listener of a port: one of its own, else the one that all
// inbound connections are redirected to.
func (d *Dump) listenerFor(port uint16) *Listener {
	for _, l := range d.Listeners {
		if l.Port == port && l.Name != "virtualInbound" {
			return l
		}
	}
	for _, l := range d.Listeners {
		if l.Name == "virtualInbound" {
			return l
		}
	}
	return nil
}

// Proxy is the model of what decides about requests to a port. An error is a
// *NoPortError.
func (d *Dump) Proxy(port uint16) (*envoy.Proxy, *Listener, error) {
	l := d.listenerFor(port)
	if l == nil {
		return nil, nil, &NoPortError{Port: port, Known: d.Ports()}
	}
	p := &envoy.Proxy{Role: d.Role(), Behavior: d.behavior(), Port: port, Changed: l.odd}
	p.TLSInspector = l.inspector != nil && !l.inspector.disabled(port)
	own := slices.ContainsFunc(l.Chains, func(c ListenerChain) bool { return c.DestinationPort == port })
	for _, c := range l.Chains {
		// The port comes first, and there is no way back from it
		// (Envoy source/common/listener_manager/filter_chain_manager_impl.cc:findFilterChain).
		if own && c.DestinationPort == port || !own && c.DestinationPort == 0 {
			p.Chains = append(p.Chains, c.Chain)
			continue
		}
		if c.HTTP != nil {
			for _, f := range c.HTTP.Filters {
				if jf, ok := f.(*envoy.JWTAuthn); ok {
					p.Beside = append(p.Beside, jf)
				}
			}
		}
	}
	return p, l, nil
}

// behavior follows from Istio's version where the proxy tells it.
func (d *Dump) behavior() envoy.Behavior {
	if v, ok := version.Parse(d.Node.Version); ok {
		return envoy.BehaviorOf(v)
	}
	return envoy.CurrentBehavior()
}

// Refused are the listeners whose newest configuration the proxy did not take: it goes
// on with an older one, or with none.
func (d *Dump) Refused() []*Listener {
	var out []*Listener
	for _, l := range d.Listeners {
		if l.Refused != nil {
			out = append(out, l)
		}
	}
	return out
}
