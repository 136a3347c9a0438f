package grant

import (
	"fmt"
	"net/netip"
	"sync"

	"github.com/asmjwt/kubectl-asmjwt/internal/testkit/gen"
	"github.com/asmjwt/kubectl-asmjwt/internal/testkit/judge"
	"github.com/asmjwt/kubectl-asmjwt/internal/testkit/mint"
	"github.com/asmjwt/kubectl-asmjwt/pkg/envoy"
	"github.com/asmjwt/kubectl-asmjwt/pkg/istio"
	"github.com/asmjwt/kubectl-asmjwt/pkg/jwks"
	"github.com/asmjwt/kubectl-asmjwt/pkg/jwt"
	"github.com/asmjwt/kubectl-asmjwt/pkg/mesh"
)

// now is the second of every request here.
const now = 1_800_000_000

// world is a mesh made ready for requests: its proxy and its keys.
type world struct {
	proxy *envoy.Proxy
	keys  envoy.Keys
	port  int
}

func prepare(m gen.MeshCase) (*world, error) {
	return prepareMesh(m.YAML, m.Target, m.Namespace, m.Port, m.RemoteJWKS, m.JWKS)
}

func prepareMesh(yaml, target, namespace string, port int, mode string, documents map[string]string) (*world, error) {
	snap, err := judge.ParseMesh(yaml)
	if err != nil {
		return nil, err
	}
	t, err := mesh.ParseTarget(target)
	if err != nil {
		return nil, err
	}
	workloads, err := snap.Resolve(t, namespace)
	if err != nil {
		return nil, err
	}
	res, err := istio.Translate(istio.Input{Snapshot: snap, Workload: workloads[0], Port: port, RemoteJWKS: istio.JWKSMode(mode)})
	if err != nil {
		return nil, fmt.Errorf("translate: %w", err)
	}
	return &world{res.Proxy, keysOf(res.Proxy, documents), port}, nil
}

// keysOf finds the keys of each provider, as the proxy gets them.
func keysOf(p *envoy.Proxy, documents map[string]string) envoy.Keys {
	out := envoy.Keys{}
	if jf := jwtFilter(p); jf != nil {
		for i := range jf.Providers {
			src := jf.Providers[i].Keys
			text, fetched := documents[src.URI]
			switch {
			case src.Fetcher == envoy.Inline:
				set, refused := jwks.Parse([]byte(src.Inline))
				out[src] = envoy.KeySet{Set: set, Refused: refused}
				continue
			case fetched:
				if set, status := jwks.Parse([]byte(text)); status == jwt.OK {
					out[src] = envoy.KeySet{Set: set}
					continue
				}
			}
			if src.Fetcher == envoy.ProxyFetch {
				out[src] = envoy.KeySet{Failure: jwt.JwksFetchFailed}
				continue
			}
			set, _ := jwks.Parse(jwks.PublicOnlyPlaceholder())
			out[src] = envoy.KeySet{Set: set}
		}
	}
	return out
}

// sign remembers signatures: the generator's tokens repeat, and RSA is slow.
func rememberingSign() judge.Sign {
	var mu sync.Mutex
	known := map[string][]byte{}
	return func(key, alg string, input []byte) ([]byte, error) {
		id := key + " " + alg + " " + string(input)
		mu.Lock()
		out, ok := known[id]
		mu.Unlock()
		if ok {
			return out, nil
		}
		out, err := mint.Sign(key, alg, input)
		if err == nil {
			mu.Lock()
			known[id] = out
			mu.Unlock()
		}
		return out, err
	}
}

// request is the case's request as the proxy sees it.
func (w *world) request(c judge.Case, sign judge.Sign) (*envoy.Request, error) {
	r, err := c.Request.Mint(now, sign)
	if err != nil {
		return nil, err
	}
	out := &envoy.Request{Method: r.Method, Authority: r.Host, Path: r.Path, Time: now}
	if r.HTTP2 {
		out.Protocol = envoy.HTTP2
	}
	for _, h := range r.Headers {
		out.Headers = append(out.Headers, envoy.Header(h))
	}
	client := r.Client
	source := netip.AddrFrom4([4]byte{127, 0, 0, 1})
	if client.Source != "" {
		if source, err = netip.ParseAddr(client.Source); err != nil {
			return nil, err
		}
	}
	peer := envoy.Peer{Trusted: !client.Untrusted, URISANs: client.URISANs, DNSSANs: client.DNSSANs}
	peer.Presented = len(client.URISANs)+len(client.DNSSANs) > 0 || client.CommonName != ""
	if client.CommonName != "" {
		peer.Subject = "CN=" + client.CommonName
	}
	transport := map[string]envoy.Transport{"": envoy.Plaintext, "mtls": envoy.MutualTLS, "tls": envoy.TLS}[client.Transport]
	if transport == envoy.Plaintext {
		peer = envoy.Peer{}
	}
	out.Connection = envoy.Connection{
		Transport: envoy.Known(transport), Peer: envoy.Known(peer), Source: envoy.Known(source),
		LocalIP: envoy.Known(netip.AddrFrom4([4]byte{127, 1, 2, 3})), LocalPort: uint16(w.port), SNI: envoy.Known(client.SNI),
	}
	return out, nil
}
