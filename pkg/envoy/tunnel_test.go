package envoy

import (
	"net/netip"
	"testing"
)

// tunnelled is a waypoint's proxy with these filters at the end of the tunnel and
// behind it.
func tunnelled(at []*RBAC, behind ...Filter) *Proxy {
	cm := sidecar(behind...)
	cm.ForwardClientCert = SanitizeXFCC
	return &Proxy{
		Role: RoleWaypoint, Behavior: CurrentBehavior(), Port: 80, Chains: []Chain{{HTTP: cm}},
		Tunnel: &Tunnel{
			TLS:     DownstreamTLS{RequestClientCertificate: true, RequireClientCertificate: true, TrustPrefixes: []string{"spiffe://td/"}, URIOnly: true},
			LocalIP: Known(netip.MustParseAddr("10.0.0.3")), Filters: at,
		},
	}
}

func only(principals ...Condition) []Condition { return principals }

func TestAPeerBehindATunnelIsWhoIsAtItsOtherEnd(t *testing.T) {
	const client = "spiffe://td/ns/foo/sa/bar"
	peerIs := func(name string) *RBAC {
		return deny(rule("ns[foo]-policy[p]-rule[0]", nil, only(condition("principals", false, &TunnelPeerMatch{String: exact(name)}))))
	}
	for _, c := range []struct {
		name   string
		filter *RBAC
		uris   []string
		denied bool
	}{
		{"its only URI", peerIs(client), []string{client}, true},
		{"somebody else's", peerIs("spiffe://td/ns/foo/sa/x"), []string{client}, false},
		{"several URIs are one name", peerIs(client + ",spiffe://td/ns/x/sa/y"), []string{client, "spiffe://td/ns/x/sa/y"}, true},
		{"and none of them alone", peerIs(client), []string{client, "spiffe://td/ns/x/sa/y"}, false},
		{"a certificate is not looked at", deny(rule("x", nil, only(condition("principals", false, &IdentityMatch{String: exact(client)})))), []string{client}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := Evaluate(tunnelled(nil, c.filter), with(mtls(c.uris...)), nil).Verdict
			if denied := got.Decision == Denied; denied != c.denied || denied && got.Status != 403 {
				t.Errorf("got %+v", got)
			}
		})
	}
}

func TestOnlyClientsWithACertificateOfTheMeshComeThroughATunnel(t *testing.T) {
	dns := with(mtls("spiffe://other/ns/foo/sa/bar"))
	dns.Connection.Peer.Value.DNSSANs = []string{"spiffe://td/x"}
	stranger := with(mtls("spiffe://td/ns/foo/sa/bar"))
	stranger.Connection.Peer.Value.Trusted = false
	for name, r := range map[string]*Request{
		"plaintext": plain(), "no certificate": with(mtls(), func(r *Request) { r.Connection.Peer = Known(Peer{}) }),
		"another trust domain, whatever the DNS names": dns, "another root": stranger,
	} {
		t.Run(name, func(t *testing.T) {
			if v := Evaluate(tunnelled(nil), r, nil).Verdict; v.Decision != Denied || v.Status != 0 {
				t.Errorf("got %+v", v)
			}
		})
	}
}

func TestPoliciesAtTheTunnelSeeTheConnectionThatCarriesIt(t *testing.T) {
	for _, c := range []struct {
		name   string
		m      Matcher
		denied bool
	}{
		{"the port of HBONE", &PortMatch{Port: TunnelPort}, true},
		{"not the Service's", &PortMatch{Port: 80}, false},
		{"the waypoint's address", &IPMatch{Side: DestinationIP, Block: netip.MustParsePrefix("10.0.0.3/32")}, true},
		{"the client's address", &IPMatch{Side: DirectRemoteIP, Block: netip.MustParsePrefix("10.0.0.1/32")}, true},
		{"its certificate", &IdentityMatch{String: prefix("spiffe://td/")}, true},
		{"no server name", &SNIMatch{String: StringMatch{Kind: StringNonEmpty}}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := tunnelled([]*RBAC{deny(rule("ns[foo]-policy[p]-rule[0]", nil, only(condition("x", false, c.m))))})
			r := with(mtls("spiffe://td/ns/foo/sa/bar"))
			r.Connection.LocalPort, r.Connection.SNI = 80, Known("a.test")
			v := Evaluate(p, r, nil).Verdict
			if denied := v.Decision == Denied; denied != c.denied || v.Decision == Denied && (v.Status != 0 || v.Body != "") {
				t.Errorf("got %+v", v)
			}
		})
	}
}

func TestBehindATunnelNothingIsLeftOfTheConnectionButWhoCalls(t *testing.T) {
	for _, c := range []struct {
		name   string
		m      Matcher
		denied bool
	}{
		{"the Service's port", &PortMatch{Port: 80}, true},
		{"the Service's address", &IPMatch{Side: DestinationIP, Block: netip.MustParsePrefix("10.0.0.9/32")}, true},
		{"no address of a peer", &IPMatch{Side: DirectRemoteIP, Block: netip.MustParsePrefix("0.0.0.0/0")}, false},
		{"the client's address as the remote one", &IPMatch{Side: RemoteIP, Block: netip.MustParsePrefix("10.0.0.1/32")}, true},
		{"no server name", &SNIMatch{String: StringMatch{Kind: StringNonEmpty}}, false},
		{"the scheme of plain HTTP", onHeader("x-forwarded-proto", "http"), true},
		{"no certificate in a header", &HeaderMatch{Name: "x-forwarded-client-cert", Present: true}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := tunnelled(nil, deny(rule("ns[foo]-policy[p]-rule[0]", only(condition("x", false, c.m)), nil)))
			r := with(mtls("spiffe://td/ns/foo/sa/bar"), header("x-forwarded-client-cert", "By=x"))
			r.Connection.LocalPort, r.Connection.SNI = 80, Known("a.test")
			if v := Evaluate(p, r, nil).Verdict; (v.Decision == Denied) != c.denied {
				t.Errorf("got %+v", v)
			}
		})
	}
}

func TestAWaypointMayTellWhoCallsInAHeader(t *testing.T) {
	p := tunnelled(nil, &TunnelIdentity{Local: "spiffe://td/ns/foo/sa/wp"})
	p.Chains[0].HTTP.ForwardClientCert = AlwaysForwardOnlyXFCC
	got := Evaluate(p, with(mtls("spiffe://td/ns/foo/sa/bar"), header("x-forwarded-client-cert", "spoofed")), nil)
	if got.Upstream == nil {
		t.Fatalf("got %+v", got.Verdict)
	}
	var values []string
	for _, h := range got.Upstream.Headers {
		if h.Name == "x-forwarded-client-cert" {
			values = append(values, h.Value)
		}
	}
	if len(values) != 1 || values[0] != "By=spiffe://td/ns/foo/sa/wp;URI=spiffe://td/ns/foo/sa/bar" {
		t.Errorf("got %q", values)
	}
}

func TestAClientThatNobodyNamedLeavesWhatNeedsItOpen(t *testing.T) {
	who := &Missing{What: "the client's identity"}
	asked := deny(rule("x", nil, only(condition("principals", false, &TunnelPeerMatch{String: exact("spiffe://td/ns/foo/sa/bar")}))))
	r := with(mtls())
	r.Connection.Peer = NotKnown[Peer](who)
	v := Evaluate(tunnelled(nil, asked), r, nil).Verdict
	if v.Decision != Undetermined || len(v.On) != 1 || v.On[0] != who {
		t.Errorf("got %+v", v)
	}
	if v := Evaluate(tunnelled(nil), r, nil).Verdict; v.Decision != Allowed {
		t.Errorf("got %+v where nothing needs it", v)
	}
}
