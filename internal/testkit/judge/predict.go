package judge

import (
	"fmt"
	"net/netip"
	"strings"

	"github.com/asmjwt/kubectl-asmjwt/pkg/diag"
	"github.com/asmjwt/kubectl-asmjwt/pkg/diagnose"
	"github.com/asmjwt/kubectl-asmjwt/pkg/envoy"
	"github.com/asmjwt/kubectl-asmjwt/pkg/istio"
	"github.com/asmjwt/kubectl-asmjwt/pkg/mesh"
)

// Prediction is what the evaluator says of a case.
type Prediction struct {
	Answer
	// Undetermined is set where the evaluator gives no verdict, with the reasons.
	Undetermined []string
	Diagnosis    *diagnose.Diagnosis
}

// Predict evaluates a case with the request as it was really sent.
func Predict(c Case, m Minted) (Prediction, error) {
	snap, err := ParseMesh(c.Mesh)
	if err != nil {
		return Prediction{}, err
	}
	return PredictIn(snap, c, m)
}

// ParseMesh reads the objects of a case.
func ParseMesh(text string) (*mesh.Snapshot, error) {
	objects, err := mesh.Parse([]byte(text), mesh.ParseOptions{File: "mesh.yaml"})
	if err != nil {
		return nil, fmt.Errorf("parse the mesh: %w", err)
	}
	snap, err := mesh.NewSnapshot(objects, nil)
	if err != nil {
		return nil, fmt.Errorf("put the mesh together: %w", err)
	}
	return snap, nil
}

// PredictIn is Predict for a mesh that was parsed before.
func PredictIn(snap *mesh.Snapshot, c Case, m Minted) (Prediction, error) {
	in, err := Intent(c, m)
	if err != nil {
		return Prediction{}, err
	}
	d, err := diagnose.Run(in, snap)
	if err != nil {
		return Prediction{}, fmt.Errorf("diagnose: %w", err)
	}
	return predictionOf(d, m), nil
}

// Intent is the question that a case asks.
func Intent(c Case, m Minted) (diagnose.Intent, error) {
	target, err := mesh.ParseTarget(c.Target)
	if err != nil {
		return diagnose.Intent{}, err
	}
	r := m.Request
	in := diagnose.Intent{
		Target: target, Namespace: c.Namespace, Port: diagnose.Port{Number: c.Port},
		Method: r.Method, Host: r.Host, HostGiven: true, Path: r.Path, Time: m.Time, RemoteJWKS: istio.JWKSMode(c.RemoteJWKS),
	}
	if r.HTTP2 {
		in.Protocol = envoy.HTTP2
	}
	for _, h := range r.Headers {
		in.Headers = append(in.Headers, envoy.Header(h))
	}
	for uri, doc := range c.JWKS {
		in.Keys = append(in.Keys, diagnose.KeyFile{For: uri, Document: []byte(doc)})
	}
	in.Keys = append(in.Keys, missingKeys(c)...)
	if in.Caller, err = callerOf(r.Client, m); err != nil {
		return in, err
	}
	if c.Via.Target != "" {
		err = via(&in, c.Via, m)
	}
	return in, err
}

// via puts the first hop into the question.
func via(in *diagnose.Intent, hop Hop, m Minted) error {
	target, err := mesh.ParseTarget(hop.Target)
	if err != nil {
		return err
	}
	v := diagnose.Via{Target: target, Namespace: hop.Namespace, Port: diagnose.Port{Number: hop.Port}}
	v.Link.Certificate = m.Link.Certificate
	if a, err := netip.ParseAddrPort(m.Link.Source); err == nil {
		v.Link.IP = a.Addr()
	}
	if a, err := netip.ParseAddrPort(m.Link.Destination); err == nil {
		v.Link.LocalIP = a.Addr()
	}
	if a, err := netip.ParseAddr(m.ProxyIP); err == nil {
		in.Caller.ProxyIP = a
	}
	in.Via = []diagnose.Via{v}
	return nil
}

// missingKeys are the jwksUris of the mesh that the case has no document for:
// their fetch fails.
func missingKeys(c Case) []diagnose.KeyFile {
	snap, err := ParseMesh(c.Mesh)
	if err != nil {
		return nil
	}
	var out []diagnose.KeyFile
	for _, o := range snap.Kind(mesh.GroupSecurity, "RequestAuthentication") {
		var spec struct {
			JWTRules []struct {
				JWKSURI string `json:"jwksUri"`
				JWKS    string `json:"jwks"`
				Issuer  string `json:"issuer"`
			} `json:"jwtRules"`
		}
		if o.DecodeSpec(&spec) != nil {
			continue
		}
		for _, r := range spec.JWTRules {
			name := r.JWKSURI
			if name == "" && r.JWKS == "" {
				name = r.Issuer
			}
			if _, ok := c.JWKS[name]; name != "" && !ok {
				out = append(out, diagnose.KeyFile{For: name})
			}
		}
	}
	return out
}

func callerOf(c Client, m Minted) (diagnose.Caller, error) {
	var out diagnose.Caller
	if m.Source != "" { // empty where the listener was refused
		source, err := netip.ParseAddrPort(m.Source)
		if err != nil {
			return out, fmt.Errorf("source address: %w", err)
		}
		local, err := netip.ParseAddrPort(m.Destination)
		if err != nil {
			return out, fmt.Errorf("destination address: %w", err)
		}
		out.IP, out.LocalIP = source.Addr(), local.Addr()
		if tunnel, err := netip.ParseAddrPort(m.Tunnel); err == nil {
			out.TunnelIP = tunnel.Addr()
		}
	}
	out.SNI, out.SNIGiven = c.SNI, true
	peer := envoy.Peer{Hash: m.ClientHash, Trusted: !c.Untrusted, URISANs: c.URISANs, DNSSANs: c.DNSSANs}
	peer.Presented = len(c.URISANs)+len(c.DNSSANs) > 0 || c.CommonName != ""
	if c.CommonName != "" {
		peer.Subject = "CN=" + escapeDN(c.CommonName)
	}
	switch c.Transport {
	case "":
		out.Plaintext = true
	case "mtls":
		out.Peer = &peer
	default:
		out.TLS = true
		if peer.Presented {
			out.Peer = &peer
		}
	}
	return out, nil
}

// rbacDetails begins the details of what an RBAC filter denies.
const rbacDetails = "rbac_access_denied_matched_policy"

func predictionOf(d *diagnose.Diagnosis, m Minted) Prediction {
	v := d.Verdict
	p := Prediction{Diagnosis: d, Answer: Answer{
		Time: m.Time, Status: v.Status, Body: v.Body, Details: v.ResponseCodeDetails, GRPCStatus: v.GRPCStatus, WWWAuthenticate: d.WWWAuthenticate,
	}}
	for _, f := range d.Findings {
		if f.Code == diag.ListenerRefused || f.Code == diag.KeysUnusable {
			p.Refused = f.Message
		}
	}
	switch {
	case p.Refused != "":
	case v.Decision == envoy.Undetermined:
		for _, dep := range d.DependsOn {
			p.Undetermined = append(p.Undetermined, dep.What)
		}
		if len(p.Undetermined) == 0 {
			p.Undetermined = []string{"nothing that is named"}
		}
	case v.Decision == envoy.Denied && v.Status == 0:
		p.Closed = true
		if !strings.HasPrefix(p.Details, rbacDetails) {
			p.Details = "" // our words; Envoy has none
		}
	}
	if v.GRPCStatus != nil {
		p.GRPCMessage, p.Body = onWire(v.Body), ""
	}
	if d.Upstream != nil {
		u := &Upstream{Method: d.Upstream.Method, Host: d.Upstream.Authority, Path: d.Upstream.Path}
		for _, h := range d.Upstream.Headers {
			u.Headers = append(u.Headers, Header(h))
		}
		p.Upstream = u
	}
	return p
}

// escapeDN escapes a value of a distinguished name (RFC 2253, section 2.4).
func escapeDN(v string) string {
	var b strings.Builder
	for i := 0; i < len(v); i++ {
		edge := v[i] == ' ' && (i == 0 || i == len(v)-1) || v[i] == '#' && i == 0
		if edge || strings.IndexByte(`,+"\<>;`, v[i]) >= 0 {
			b.WriteByte('\\')
		}
		b.WriteByte(v[i])
	}
	return b.String()
}

// onWire is a message as grpc-message has it (Envoy source/common/http/utility.cc:
// PercentEncoding::encode).
func onWire(message string) string {
	var out strings.Builder
	for i := range len(message) {
		if c := message[i]; c < ' ' || c >= '~' || c == '%' {
			fmt.Fprintf(&out, "%%%02X", c)
		} else {
			out.WriteByte(c)
		}
	}
	return out.String()
}
