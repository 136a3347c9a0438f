package fix

import (
	"net/netip"
	"strconv"
	"strings"

	"github.com/asmjwt/kubectl-asmjwt/pkg/diagnose"
	"github.com/asmjwt/kubectl-asmjwt/pkg/envoy"
	"github.com/asmjwt/kubectl-asmjwt/pkg/jwt"
)

// dim is a side of a request that a change is about.
type dim string

const (
	dimToken    dim = "token" // whether there is one, and that it verifies
	dimIssuer   dim = "issuer"
	dimSubject  dim = "subject"
	dimPath     dim = "path"
	dimMethod   dim = "method"
	dimHost     dim = "host"
	dimIdentity dim = "identity"
	dimSource   dim = "source"
	dimRemote   dim = "remote"
	dimOther    dim = "other"
)

// dimHeader is the side of one header.
func dimHeader(name string) dim { return dim("header " + strings.ToLower(name)) }

// dimClaim is the side of one claim of the token.
func dimClaim(name string) dim {
	switch name {
	case "iss":
		return dimIssuer
	case "sub":
		return dimSubject
	}
	return dim("claim " + name)
}

// ofToken reports whether an attribute is about the token.
func ofToken(attribute string) bool {
	return attribute == "requestPrincipals" || strings.HasPrefix(attribute, "request.auth.")
}

// aboutOf are the sides that a change of an attribute's values speaks of.
func aboutOf(attribute string) []dim {
	if d := dimOf(attribute); d != dimToken {
		return []dim{d}
	}
	return []dim{dimIssuer, dimSubject}
}

// dimOf is the side of a request that an attribute compares.
func dimOf(attribute string) dim {
	switch attribute {
	case "paths":
		return dimPath
	case "methods":
		return dimMethod
	case "hosts":
		return dimHost
	case "principals", "namespaces", "serviceAccounts", "trustDomains",
		"source.principal", "source.namespace", "source.serviceAccount", "source.trustDomain":
		return dimIdentity
	case "ipBlocks", "source.ip":
		return dimSource
	case "remoteIpBlocks", "remote.ip":
		return dimRemote
	case "requestPrincipals", "request.auth.principal":
		return dimToken
	}
	if path := claimPath(attribute); path != nil {
		return dimClaim(path[0])
	}
	if name, ok := headerName(attribute); ok {
		return dimHeader(name)
	}
	return dimOther
}

// headerName is the header that a key of `when` names.
func headerName(attribute string) (string, bool) {
	rest, ok := strings.CutPrefix(attribute, "request.headers[")
	return strings.TrimSuffix(rest, "]"), ok
}

// claimPath is the claim that a key of `when` names.
func claimPath(attribute string) []string {
	switch attribute {
	case "request.auth.audiences":
		return []string{"aud"}
	case "request.auth.presenter":
		return []string{"azp"}
	}
	rest, ok := strings.CutPrefix(attribute, "request.auth.claims[")
	if !ok || !strings.HasSuffix(rest, "]") {
		return nil
	}
	return strings.Split(strings.TrimSuffix(rest, "]"), "][")
}

// claimKey is the key of `when` for a claim; false for names that it cannot have.
func claimKey(path []string) (string, bool) {
	for _, name := range path {
		if name == "" || strings.ContainsAny(name, "[]") {
			return "", false
		}
	}
	return "request.auth.claims[" + strings.Join(path, "][") + "]", true
}

// values are what the request brought for an attribute, as a policy would write it, the
// narrowest first; none where it brought nothing that a policy can name.
func (f *finder) values(attribute string, seen *envoy.Seen, s *diagnose.Setting) []string {
	switch attribute {
	case "paths":
		if seen.HasPath {
			return f.literal(seen.Path, true)
		}
	case "methods":
		return f.literal(seen.Method, false)
	case "hosts":
		out := f.literal(seen.Authority, false)
		if host, port, ok := strings.Cut(seen.Authority, ":"); ok && port != "" && len(out) > 0 {
			out = append(out, host+":*")
		}
		return out
	case "ports", "destination.port":
		return []string{strconv.Itoa(int(s.Request.Connection.LocalPort))}
	case "ipBlocks", "source.ip":
		if seen.Source.IsValid() {
			return []string{seen.Source.String()}
		}
	case "remoteIpBlocks", "remote.ip":
		if seen.Remote.IsValid() {
			return []string{seen.Remote.String()}
		}
	case "requestPrincipals", "request.auth.principal":
		if iss, sub, ok := principal(seen); ok {
			return f.literal(iss+"/"+sub, false)
		}
	case "connection.sni":
		if sni := s.Request.Connection.SNI; sni.IsKnown() {
			return f.literal(sni.Value, false)
		}
	}
	if dimOf(attribute) == dimIdentity {
		return f.identities(attribute, seen)
	}
	if name, ok := headerName(attribute); ok {
		for _, h := range seen.Headers {
			if strings.EqualFold(h.Name, name) {
				return f.literal(h.Value, false)
			}
		}
	}
	if path := claimPath(attribute); path != nil && seen.HasPayload {
		return f.claims(seen.Payload, path)
	}
	return nil
}

// literal is a text as a value of a policy, none where the policy would read it as a
// pattern, where it is empty, or where it holds a secret.
func (f *finder) literal(text string, template bool) []string {
	const longest = 2048
	if text == "" || len(text) > longest || strings.HasPrefix(text, "*") || strings.HasSuffix(text, "*") ||
		template && (strings.Contains(text, "{*}") || strings.Contains(text, "{**}")) ||
		strings.ContainsFunc(text, func(r rune) bool { return r < ' ' || r == 0x7f || r == '\uFFFD' }) || f.hide(text) != text {
		return nil
	}
	return []string{text}
}

func (f *finder) identities(attribute string, seen *envoy.Seen) []string {
	for _, id := range seen.Identities {
		id, ok := strings.CutPrefix(id, "spiffe://")
		if !ok {
			continue
		}
		parts := strings.Split(id, "/")
		named := len(parts) == 5 && parts[1] == "ns" && parts[3] == "sa"
		switch {
		case attribute == "principals" || attribute == "source.principal":
			return f.literal(id, false)
		case !named:
			return nil
		case attribute == "namespaces" || attribute == "source.namespace":
			return f.literal(parts[2], false)
		case attribute == "serviceAccounts" || attribute == "source.serviceAccount":
			return f.literal(parts[2]+"/"+parts[4], false)
		default:
			return f.literal(parts[0], false)
		}
	}
	return nil
}

// principal is the request principal of a verified token, for which iss and sub must
// both be texts that are not empty.
func principal(seen *envoy.Seen) (iss, sub string, ok bool) {
	if !seen.HasPayload {
		return "", "", false
	}
	i, _ := seen.Payload.Field("iss")
	s, _ := seen.Payload.Field("sub")
	if i.Kind() != jwt.String || s.Kind() != jwt.String || i.Text() == "" || s.Text() == "" || strings.Contains(s.Text(), "/") {
		return i.Text(), "", false
	}
	return i.Text(), s.Text(), true
}

// claims are the texts of a claim that a policy can name.
func (f *finder) claims(payload jwt.Value, path []string) []string {
	v := payload
	for _, name := range path {
		next, ok := v.Field(name)
		if !ok {
			return nil
		}
		v = next
	}
	var out []string
	for _, text := range texts(v) {
		out = append(out, f.literal(text, false)...)
	}
	return out
}

// texts are what a condition compares of a claim: a text, or the texts of a list.
func texts(v jwt.Value) []string {
	if v.Kind() == jwt.String {
		return []string{v.Text()}
	}
	var out []string
	for _, e := range v.Elements() {
		if e.Kind() == jwt.String {
			out = append(out, e.Text())
		}
	}
	return out
}

// fits reports whether a value of a policy takes a text: as a whole, as a prefix or a
// suffix with a star. It is for finding candidates; evaluation decides.
func fits(value, text string) bool {
	switch {
	case value == "*":
		return text != ""
	case strings.HasPrefix(value, "*"):
		return strings.HasSuffix(text, value[1:])
	case strings.HasSuffix(value, "*"):
		return strings.HasPrefix(text, value[:len(value)-1])
	}
	if block, err := netip.ParsePrefix(value); err == nil {
		addr, err := netip.ParseAddr(text)
		return err == nil && block.Contains(addr)
	}
	return value == text
}

// seenOf is what conditions compare; of a proxy that sees connections only, the
// connection.
func seenOf(t envoy.Trace, r *envoy.Request) *envoy.Seen {
	if t.Seen != nil {
		return t.Seen
	}
	out := &envoy.Seen{TCP: true}
	if c := r.Connection; c.Peer.IsKnown() {
		out.Identities = c.Peer.Value.URISANs
	}
	if s := r.Connection.Source; s.IsKnown() {
		out.Source, out.Remote = s.Value, s.Value
	}
	return out
}
