package envoy

import (
	"net/netip"
	"testing"

	"github.com/asmjwt/kubectl-asmjwt/pkg/origin"
)

// fixedNow is the second of every request in these tests.
const fixedNow = 1_800_000_000

func place(field string) origin.Origin {
	return origin.Origin{Ref: origin.Ref{Kind: "AuthorizationPolicy", Namespace: "foo", Name: "p"}, Field: field}
}

// plain is a GET of / over plaintext HTTP/1.1 from 10.0.0.1 without identity.
func plain() *Request {
	return &Request{
		Method: "GET", Authority: "a.test", Path: "/", Time: fixedNow,
		Connection: Connection{
			Transport: Known(Plaintext), Peer: Known(Peer{}), Source: Known(netip.MustParseAddr("10.0.0.1")),
			LocalIP: Known(netip.MustParseAddr("10.0.0.9")), LocalPort: 8080, SNI: Known(""),
		},
	}
}

// with changes a plain request.
func with(change ...func(*Request)) *Request {
	r := plain()
	for _, f := range change {
		f(r)
	}
	return r
}

func header(name, value string) func(*Request) {
	return func(r *Request) { r.Headers = append(r.Headers, Header{name, value}) }
}
func path(p string) func(*Request)      { return func(r *Request) { r.Path = p } }
func method(m string) func(*Request)    { return func(r *Request) { r.Method = m } }
func authority(a string) func(*Request) { return func(r *Request) { r.Authority = a } }
func http2(r *Request)                  { r.Protocol = HTTP2 }
func source(a string) func(*Request) {
	return func(r *Request) { r.Connection.Source = Known(netip.MustParseAddr(a)) }
}

// mtls makes the client one of the mesh with these URI SANs.
func mtls(uris ...string) func(*Request) {
	return func(r *Request) {
		r.Connection.Transport = Known(MutualTLS)
		r.Connection.Peer = Known(Peer{Presented: true, Trusted: true, URISANs: uris})
	}
}

// sidecar is a manager as istiod makes it for sidecars.
func sidecar(filters ...Filter) *ConnectionManager {
	return &ConnectionManager{
		NormalizePath: true, GenerateRequestID: true, ForwardClientCert: AppendForwardXFCC, XFCCSubject: true, XFCCURI: true, XFCCDNS: true,
		LocalURISANs: []string{"spiffe://td/ns/foo/sa/me"}, Filters: filters,
	}
}

// gateway is a manager as istiod makes it for gateways.
func gateway(hops uint32, filters ...Filter) *ConnectionManager {
	cm := sidecar(filters...)
	cm.UseRemoteAddress, cm.TrustedHops, cm.ForwardClientCert = true, hops, SanitizeSetXFCC
	return cm
}

// permissive is a sidecar's proxy that takes plaintext and mTLS.
func permissive(filters ...Filter) *Proxy {
	cm := sidecar(filters...)
	return &Proxy{Role: RoleSidecar, Behavior: CurrentBehavior(), TLSInspector: true, Port: 8080, Chains: []Chain{
		{Match: ChainMatch{Transport: "tls", ALPN: []string{"istio-http/1.1", "istio-h2", "istio"}}, HTTP: cm,
			TLS: &DownstreamTLS{RequestClientCertificate: true, RequireClientCertificate: true, TrustPrefixes: []string{"spiffe://td/"}}},
		{Match: ChainMatch{Transport: "raw_buffer"}, HTTP: cm},
	}}
}

// prepared is a request as the filters see it.
func prepared(t *testing.T, r *Request, cm *ConnectionManager) *state {
	t.Helper()
	s := &state{req: r, b: CurrentBehavior(), br: new(BranchSet), peer: r.Connection.Peer, tls: r.Connection.Transport.Value != Plaintext}
	if rej := s.decode(cm); rej != nil {
		t.Fatalf("the codec refuses the request: %s", rej.details)
	}
	if rej := s.prepare(cm); rej != nil {
		t.Fatalf("the connection manager refuses the request: %s", rej.details)
	}
	return s
}

// values lists the lines of a header.
func (h headerMap) values(name string) []string {
	var out []string
	for _, l := range h {
		if l.name == name {
			out = append(out, l.value)
		}
	}
	return out
}

// condition makes a condition of matchers.
func condition(field string, negated bool, ms ...Matcher) Condition {
	return Condition{Origin: place(field), Negated: negated, Values: []string{field}, Matchers: ms}
}

// rule makes a policy of one entry each of to and from.
func rule(id string, permissions, principals []Condition) Policy {
	return Policy{ID: id, Origin: place("spec.rules[0]"), Permissions: []Clause{{Conditions: permissions}}, Principals: []Clause{{Conditions: principals}}}
}

func allow(ps ...Policy) *RBAC { return &RBAC{Action: Allow, Rules: &RuleSet{Policies: ps}} }
func deny(ps ...Policy) *RBAC  { return &RBAC{Action: Deny, Rules: &RuleSet{Policies: ps}} }

func exact(v string) StringMatch  { return StringMatch{Kind: StringExact, Value: v} }
func prefix(v string) StringMatch { return StringMatch{Kind: StringPrefix, Value: v} }

func onHeader(name, v string) *HeaderMatch { return &HeaderMatch{Name: name, String: exact(v)} }
func onPath(v string) *PathMatch           { return &PathMatch{String: exact(v)} }
