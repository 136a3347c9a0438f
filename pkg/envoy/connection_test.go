package envoy

import (
	"testing"

	"github.com/asmjwt/kubectl-asmjwt/pkg/origin"
)

var (
	httpALPN = []string{"istio-http/1.0", "istio-http/1.1", "istio-h2"}
	anyALPN  = append([]string{"istio", "istio-peer-exchange"}, httpALPN...)
	plainTLS = []string{"http/1.0", "http/1.1", "h2c"}
	mutual   = &DownstreamTLS{RequestClientCertificate: true, RequireClientCertificate: true, TrustPrefixes: []string{"spiffe://td/"}}
)

func chain(name, transport string, alpn []string, http bool, tls *DownstreamTLS) Chain {
	c := Chain{Name: name, Match: ChainMatch{Transport: transport, ALPN: alpn}, TLS: tls}
	if http {
		c.HTTP = sidecar()
	}
	return c
}

// The listeners that istiod makes for a port, by its protocol and mTLS mode.
func listeners() map[string]*Proxy {
	inspected := func(cs ...Chain) *Proxy {
		return &Proxy{Role: RoleSidecar, Behavior: CurrentBehavior(), TLSInspector: true, Chains: cs}
	}
	disabled := inspected(chain("raw", "raw_buffer", nil, true, nil))
	disabled.TLSInspector = false
	return map[string]*Proxy{
		"HTTP PERMISSIVE": inspected(chain("mtls", "tls", anyALPN, true, mutual), chain("raw", "raw_buffer", nil, true, nil)),
		"HTTP STRICT":     inspected(chain("mtls", "tls", nil, true, mutual)),
		"HTTP DISABLE":    disabled,
		"auto PERMISSIVE": inspected(chain("mtls", "tls", httpALPN, true, mutual), chain("raw", "raw_buffer", plainTLS, true, nil),
			chain("mtls-tcp", "tls", []string{"istio-peer-exchange", "istio"}, false, mutual), chain("raw-tcp", "raw_buffer", nil, false, nil), chain("tls-tcp", "tls", nil, false, nil)),
		"auto STRICT":    inspected(chain("mtls", "tls", httpALPN, true, mutual), chain("tls-tcp", "tls", nil, false, mutual)),
		"TCP PERMISSIVE": inspected(chain("mtls", "tls", anyALPN, false, mutual), chain("tls", "tls", nil, false, nil), chain("raw", "raw_buffer", nil, false, nil)),
	}
}

func TestTheChainIsChosenByTransportAndProtocol(t *testing.T) {
	tls := func(r *Request) { r.Connection.Transport = Known(TLS) }
	member := mtls("spiffe://td/ns/a/sa/b")
	for _, c := range []struct {
		listener, client string
		request          *Request
		want             string // a chain, "" for none
	}{
		{"HTTP PERMISSIVE", "plaintext", plain(), "raw"},
		{"HTTP PERMISSIVE", "mTLS", with(member), "mtls"},
		{"HTTP PERMISSIVE", "mTLS over HTTP/2", with(member, http2), "mtls"},
		{"HTTP PERMISSIVE", "other TLS", with(tls), ""},
		{"HTTP STRICT", "plaintext", plain(), ""},
		{"HTTP STRICT", "mTLS", with(member), "mtls"},
		{"HTTP STRICT", "other TLS", with(tls), "mtls"},
		{"HTTP DISABLE", "plaintext", plain(), "raw"},
		{"HTTP DISABLE", "mTLS", with(member), "raw"},
		{"auto PERMISSIVE", "plaintext", plain(), "raw"},
		{"auto PERMISSIVE", "plaintext HTTP/2", with(http2), "raw"},
		{"auto PERMISSIVE", "mTLS", with(member), "mtls"},
		{"auto PERMISSIVE", "other TLS", with(tls), "tls-tcp"},
		{"auto STRICT", "plaintext", plain(), ""},
		{"auto STRICT", "mTLS", with(member), "mtls"},
		{"auto STRICT", "other TLS", with(tls), "tls-tcp"},
		{"TCP PERMISSIVE", "plaintext", plain(), "raw"},
		{"TCP PERMISSIVE", "mTLS", with(member), "mtls"},
		{"TCP PERMISSIVE", "other TLS", with(tls), "tls"},
	} {
		t.Run(c.listener+" for "+c.client, func(t *testing.T) {
			p := listeners()[c.listener]
			got := ""
			if ch := p.pick(p.offer(c.request, c.request.Connection.Transport.Value)); ch != nil {
				got = ch.Name
			}
			if got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

func TestTheMostSpecificServerNameWins(t *testing.T) {
	named := func(name string, hosts ...string) Chain {
		return Chain{Name: name, Match: ChainMatch{ServerNames: hosts}}
	}
	p := &Proxy{TLSInspector: true, Chains: []Chain{
		named("any"), named("wild", "*.example.com"), named("deeper", "*.a.example.com"), named("exact", "b.example.com", "C.example.com"),
	}}
	for sni, want := range map[string]string{
		"": "any", "other.test": "any", "x.example.com": "wild", "example.com": "any", "x.a.example.com": "deeper", "a.example.com": "wild",
		"b.example.com": "exact", "B.Example.Com": "exact", "c.example.com": "exact", "x.y.example.com": "wild",
	} {
		r := with(func(r *Request) { r.Connection.Transport, r.Connection.SNI = Known(TLS), Known(sni) })
		if got := p.pick(p.offer(r, TLS)); got == nil || got.Name != want {
			t.Errorf("%q: got %v, want %s", sni, got, want)
		}
	}
	only := &Proxy{TLSInspector: true, Chains: []Chain{named("exact", "b.example.com")}}
	if got := only.pick(offer{transport: "tls", sni: "x"}); got != nil {
		t.Errorf("another name is taken by %s", got.Name)
	}
}

func TestTheHandshakeLetsInWhomTheChainTrusts(t *testing.T) {
	optional := &DownstreamTLS{RequestClientCertificate: true}
	anyRoot := &DownstreamTLS{RequestClientCertificate: true, RequireClientCertificate: true}
	good := Peer{Presented: true, Trusted: true, URISANs: []string{"spiffe://td/ns/a/sa/b"}}
	change := func(f func(*Peer)) Fact[Peer] { p := good; f(&p); return Known(p) }
	for _, c := range []struct {
		name    string
		tls     *DownstreamTLS
		t       Transport
		peer    Fact[Peer]
		admits  bool
		hasPeer bool
	}{
		{"plaintext without TLS", nil, Plaintext, Known(Peer{}), true, false},
		{"plaintext forgets the certificate", nil, Plaintext, Known(good), true, false},
		{"TLS to a port without", nil, TLS, Known(good), false, false},
		{"plaintext to a port with TLS", mutual, Plaintext, Known(good), false, false},
		{"a member of the mesh", mutual, MutualTLS, Known(good), true, true},
		{"nobody", mutual, MutualTLS, Known(Peer{}), false, false},
		{"nobody, where that is fine", optional, TLS, Known(Peer{}), true, false},
		{"a stranger's root", mutual, MutualTLS, change(func(p *Peer) { p.Trusted = false }), false, false},
		{"a stranger's root, also where none is required", optional, TLS, change(func(p *Peer) { p.Trusted = false }), false, false},
		{"a stranger's trust domain", mutual, MutualTLS, change(func(p *Peer) { p.URISANs = []string{"spiffe://td2/ns/a/sa/b"} }), false, false},
		{"one good name of two", mutual, MutualTLS, change(func(p *Peer) { p.URISANs = append([]string{"spiffe://td2/x"}, p.URISANs...) }), true, true},
		{"a name that only looks like it", mutual, MutualTLS, change(func(p *Peer) { p.URISANs = []string{"spiffe://tdx/ns/a"} }), false, false},
		{"any name of the root", anyRoot, TLS, change(func(p *Peer) { p.URISANs = nil }), true, true},
		{"a certificate that nobody asks for", &DownstreamTLS{}, TLS, Known(good), true, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			ch := Chain{TLS: c.tls, HTTP: sidecar()}
			peer, why := ch.admit(c.t, c.peer)
			if (why == "") != c.admits {
				t.Fatalf("the reason is %q", why)
			}
			if c.admits && peer.Value.Presented != c.hasPeer {
				t.Errorf("the proxy knows the client: %v", peer.Value.Presented)
			}
		})
	}
	if peer, why := (&Chain{TLS: mutual}).admit(MutualTLS, NotKnown[Peer](ownAddress)); why != "" || peer.IsKnown() {
		t.Errorf("an unknown client: %q", why)
	}
}

func TestAClosedConnectionHasNoStatus(t *testing.T) {
	strict := listeners()["HTTP STRICT"]
	at := origin.Origin{Ref: origin.Ref{Kind: "PeerAuthentication", Namespace: "foo", Name: "default"}, Field: "spec.mtls.mode"}
	strict.Chains[0].Origin = at
	for name, r := range map[string]*Request{"plaintext": plain(), "a stranger": with(mtls("spiffe://other/x"))} {
		tr := Evaluate(strict, r, nil)
		v := tr.Verdict
		if v.Decision != Denied || v.Status != 0 || v.Body != "" || v.Details == "" || v.DecidedBy == nil || *v.DecidedBy != at {
			t.Errorf("%s: %+v", name, v)
		}
		if len(tr.Steps) != 1 || tr.Steps[0].Stage != StageConnection || tr.Steps[0].Note != v.Details {
			t.Errorf("%s: the walk is %+v", name, tr.Steps)
		}
	}
}

func TestAChainThatCarriesBytesLooksAtTheConnectionAlone(t *testing.T) {
	members := condition("namespaces", false, &IdentityMatch{prefix("spiffe://td/ns/a/")})
	p := listeners()["TCP PERMISSIVE"]
	for i := range p.Chains {
		p.Chains[i].TCP = []Filter{deny(rule("d", nil, []Condition{members}))}
	}
	for _, c := range []struct {
		name    string
		request *Request
		want    Decision
		status  int
	}{
		{"a member is denied, and the connection closed", with(mtls("spiffe://td/ns/a/sa/b")), Denied, 0},
		{"another one is not", with(mtls("spiffe://td/ns/c/sa/b")), Allowed, 200},
		{"plaintext has no identity", plain(), Allowed, 200},
		{"what is no HTTP is not refused", with(method("get"), path("")), Allowed, 200},
		{"TLS goes through as it is", with(func(r *Request) { r.Connection.Transport = Known(TLS) }), Allowed, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			v := Evaluate(p, c.request, nil).Verdict
			if v.Decision != c.want || v.Status != c.status || v.Body != "" {
				t.Errorf("got %+v", v)
			}
		})
	}
}

func TestSeveralVerdictsAreListedTheWorstFirst(t *testing.T) {
	vs := []Verdict{{Decision: Allowed, Status: 200}, {Decision: Denied, Status: 403}, {Decision: Denied}}
	sortSeverity(vs)
	if vs[0].Status != 0 || vs[1].Status != 403 || vs[2].Decision != Allowed {
		t.Errorf("got %+v", vs)
	}
}
