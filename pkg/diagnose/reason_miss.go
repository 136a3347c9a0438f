package diagnose

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/asmjwt/kubectl-asmjwt/pkg/diag"
	"github.com/asmjwt/kubectl-asmjwt/pkg/envoy"
	"github.com/asmjwt/kubectl-asmjwt/pkg/jwt"
)

// gotNothing is what a condition gets where the request has nothing to compare.
const gotNothing = "none"

// attributeWords are what fields are about, in words.
var attributeWords = map[string]string{
	"paths": "the path", "methods": "the method", "hosts": "the host", "ports": "the port", "destination.port": "the port",
	"principals": "the client's identity", "source.principal": "the client's identity", "namespaces": "the client's namespace",
	"source.namespace": "the client's namespace", "serviceAccounts": "the client's service account", "source.serviceAccount": "the client's service account",
	"trustDomains": "the client's trust domain", "ipBlocks": "the peer's address", "source.ip": "the peer's address",
	"remoteIpBlocks": "the client's address", "remote.ip": "the client's address", "destination.ip": "the pod's address",
	"requestPrincipals": "the token's principal", "request.auth.principal": "the token's principal",
	"request.auth.audiences": "the token's aud", "request.auth.presenter": "the token's azp", "connection.sni": "the server name",
}

func attributeWord(a string) string {
	if w, ok := attributeWords[a]; ok {
		return w
	}
	if name, ok := strings.CutPrefix(a, "request.auth.claims"); ok {
		return "the claim " + strings.Trim(strings.ReplaceAll(name, "][", "."), "[]")
	}
	if name, ok := strings.CutPrefix(a, "request.headers"); ok {
		return "the header " + strings.Trim(name, "[]")
	}
	return a
}

func isPrincipal(a string) bool { return a == "requestPrincipals" || a == "request.auth.principal" }

func isIdentity(a string) bool {
	return slices.Contains([]string{
		"principals", "namespaces", "serviceAccounts", "trustDomains", "source.principal", "source.namespace", "source.serviceAccount", "source.trustDomain",
	}, a)
}

// values are what a condition lists.
func values(c envoy.Step) []string {
	if len(c.Values) > 0 {
		return c.Values
	}
	var out []string
	for _, v := range strings.Split(strings.TrimPrefix(c.Want, "not "), " or ") {
		out = append(out, unquoted(v))
	}
	return out
}

// unquoted is a quoted text as it was; anything else stays as it is.
func unquoted(v string) string {
	if plain, err := strconv.Unquote(v); err == nil {
		return plain
	}
	return v
}

// missing says what a rule misses, as "wants the path to be …, and it is …", with a few
// words for the first line.
func (s *story) missing(p envoy.Step) (phrase, short string, code diag.Code) {
	var missed []envoy.Step
	for _, c := range conditions(p) {
		if c.Outcome == envoy.NotMatched {
			missed = append(missed, c)
		}
	}
	if len(missed) == 0 {
		if p.Note != "" {
			return "matches nothing: " + p.Note, "matches nothing", ""
		}
		return "does not match", "does not match", ""
	}
	phrase, short, code = s.miss(missed[0])
	// An entry of from beside an entry of to that both fail: say the other one too.
	for _, c := range missed[1:] {
		if inOperation(c) != inOperation(missed[0]) {
			more, _, _ := s.miss(c)
			return phrase + "; it also " + more, short, code
		}
	}
	if same := len(missed) - 1; same > 0 && missed[1].Origin.Field != missed[0].Origin.Field {
		phrase += fmt.Sprintf("; %s of the rule %s either", counted(same, "other entry", "other entries"), map[bool]string{true: "does not match", false: "do not match"}[same == 1])
	}
	return phrase, short, code
}

// miss says why one condition fails.
func (s *story) miss(c envoy.Step) (phrase, short string, code diag.Code) {
	what, want := attributeWord(c.Attribute), list(values(c), "or")
	if c.Negated {
		return fmt.Sprintf("wants %s not to be %s, and it is %s", what, want, c.Got), concrete("does not take "+bare(what)+" "+c.Got, "wants another "+bare(what)), ""
	}
	plain := fmt.Sprintf("wants %s to be %s, and it is %s", what, want, c.Got)
	if c.Got == gotNothing {
		plain = fmt.Sprintf("wants %s to be %s, and there is none", what, want)
	}
	short = concrete(fmt.Sprintf("wants %s %s, got %s", bare(what), want, c.Got), "wants another "+bare(what))
	if c.Got == gotNothing {
		short = concrete(fmt.Sprintf("wants %s %s, and there is none", bare(what), want), "wants "+bare(what))
	}
	switch {
	case isPrincipal(c.Attribute):
		return s.missPrincipal(c)
	case strings.HasPrefix(c.Attribute, "request.auth"):
		return s.missClaim(c, plain)
	case c.Attribute == "paths":
		return s.withNear(c, plain, short, pathNear, diag.PathNearMiss)
	case c.Attribute == "hosts":
		return s.withNear(c, plain, short, hostNear, diag.HostNearMiss)
	case c.Attribute == "methods":
		return s.withNear(c, plain, short, methodNear, diag.MethodNotHTTP)
	case strings.HasPrefix(c.Attribute, "request.headers"):
		return s.withNear(c, plain, short, caseNear, diag.CaseDiffers)
	case isIdentity(c.Attribute):
		if c.Got == gotNothing {
			return fmt.Sprintf("wants %s to be %s, and the client has no identity%s", what, want, s.plaintextNote()), "wants an identity" + strings.TrimSuffix(s.plaintextNote(), ", and identities come with mTLS"), diag.IdentityNeedsMTLS
		}
		return s.withNear(c, plain, concrete(fmt.Sprintf("wants %s %s", bare(what), want), "wants another "+bare(what)), identityNear, "")
	default:
		return plain, short, ""
	}
}

// bare is the word for an attribute without what goes without saying in a first line.
func bare(what string) string {
	what = strings.TrimPrefix(what, "the ")
	for _, whose := range []string{"client's ", "peer's ", "token's ", "pod's "} {
		what = strings.TrimPrefix(what, whose)
	}
	if what == "identity" {
		return "client"
	}
	return what
}

// concrete is the text with the values, if it is short enough for a first line, else
// the one without.
func concrete(with, without string) string {
	const short = 60
	if len(with) <= short {
		return with
	}
	return without
}

// withNear adds how the first value that looks like what came differs from it.
func (s *story) withNear(c envoy.Step, plain, short string, near func(want, got string) string, code diag.Code) (string, string, diag.Code) {
	for _, v := range values(c) {
		if how := near(v, unquoted(c.Got)); how != "" {
			return plain + ": " + how, short, code
		}
	}
	return plain, short, ""
}

// hostNear says why a host misses a pattern that looks as if it took it.
func hostNear(want, got string) string {
	host, port, hasPort := strings.Cut(got, ":")
	wantHost, _, wantPort := strings.Cut(want, ":")
	switch {
	case hasPort && !wantPort && matchesPlain(strings.ToLower(want), strings.ToLower(host)):
		return "the Host header has the port " + port + ", and the pattern has none: " + quote(want+":*") + " takes it"
	case !hasPort && wantPort && strings.EqualFold(wantHost, got):
		return "the pattern has a port, and the Host header has none"
	case strings.HasPrefix(want, "*.") && strings.EqualFold(want[2:], got):
		return "the pattern is for names below, and not for " + quote(got) + " itself"
	}
	return ""
}

// methodNear says why a method can never be the one that is wanted.
func methodNear(want, got string) string {
	switch {
	case strings.EqualFold(want, got):
		return "they differ by upper and lower case, which counts"
	case want != strings.ToUpper(want):
		return quote(want) + " is no method of HTTP: a gRPC call is a POST to its path"
	}
	return ""
}

func caseNear(want, got string) string {
	switch {
	case want != got && strings.EqualFold(want, got):
		return "they differ by upper and lower case, which counts in values"
	case want != got && strings.TrimSpace(want) == strings.TrimSpace(got):
		return "they differ by blanks"
	}
	return ""
}

func identityNear(want, got string) string {
	if strings.HasPrefix(want, "spiffe://") {
		return "principals are written without spiffe://"
	}
	if how := caseNear(want, got); how != "" {
		return how
	}
	wantDomain, wantRest, ok := strings.Cut(want, "/ns/")
	_, gotRest, _ := strings.Cut(got, "/ns/")
	if ok && wantRest == gotRest && wantDomain != "" {
		return "only the trust domain differs"
	}
	return ""
}

// plaintextNote says why a client has no identity.
func (s *story) plaintextNote() string {
	t := s.req.Connection.Transport
	switch {
	case !t.IsKnown():
		return ""
	case s.res.Proxy.Role == envoy.RoleGateway:
		return ": it is outside the mesh"
	case t.Value == envoy.Plaintext:
		return ": it speaks plaintext, and identities come with mTLS"
	default:
		return ""
	}
}

// missPrincipal says why requestPrincipals do not match.
func (s *story) missPrincipal(c envoy.Step) (phrase, short string, code diag.Code) {
	vs := values(c)
	switch {
	case c.Got == gotNothing:
		absent, short, code := s.absence()
		return "wants a verified token, and " + absent, "wants a token: " + short, either(code, diag.ForbiddenNoToken)
	case strings.HasSuffix(c.Got, "without a sub"):
		return fmt.Sprintf("wants the token's principal to be %s, and the token has no sub: a principal is ISSUER/SUBJECT, and needs both", list(vs, "or")),
			"wants a principal: the token has no sub", diag.PrincipalWithoutID
	}
	payload, _ := s.payload()
	iss, _ := payload.Field("iss")
	sub, _ := payload.Field("sub")
	if sub.Kind() == jwt.String && sub.Text() == "" {
		return fmt.Sprintf("wants the token's principal to be %s, and the token's sub is empty: a principal is ISSUER/SUBJECT, and needs both", list(vs, "or")),
			"wants a principal: the token's sub is empty", diag.PrincipalWithoutID
	}
	plain := fmt.Sprintf("wants the token's principal to be %s, and it is %s", list(vs, "or"), quote(iss.Text()+"/"+sub.Text()))
	short = concrete(fmt.Sprintf("wants principal %s, got %s", list(vs, "or"), quote(iss.Text()+"/"+sub.Text())), "wants another principal")
	for _, v := range vs {
		switch {
		case !strings.Contains(v, "*") && (v == sub.Text() || v == iss.Text() || !strings.Contains(v, "/")):
			return plain + ": " + quote(v) + " is no principal, which is ISSUER/SUBJECT", "wants " + quote(v) + ", which is no ISSUER/SUBJECT", diag.PrincipalFormat
		case strings.HasSuffix(iss.Text(), "/") && v == strings.TrimSuffix(iss.Text(), "/")+"/"+sub.Text():
			return plain + ": the issuer ends in a slash, so that there are two", short, diag.PrincipalFormat
		case strings.EqualFold(v, iss.Text()+"/"+sub.Text()):
			return plain + ": they differ by upper and lower case, which counts", short, diag.CaseDiffers
		}
		if want, _, ok := cutLast(v, "/"); ok {
			if how := differ(iss.Text(), want, "the token's issuer", "the rule's"); how != "" {
				return plain + ": " + how, short, diag.PrincipalFormat
			}
		}
	}
	return plain, short, ""
}

func cutLast(s, sep string) (before, after string, ok bool) {
	i := strings.LastIndex(s, sep)
	if i < 0 {
		return s, "", false
	}
	return s[:i], s[i+len(sep):], true
}

// claimPath are the names by which a key of `when` reaches a claim.
func claimPath(key string) []string {
	switch key {
	case "request.auth.audiences":
		return []string{"aud"}
	case "request.auth.presenter":
		return []string{"azp"}
	}
	key = strings.TrimPrefix(key, "request.auth.claims")
	return strings.Split(strings.TrimSuffix(strings.TrimPrefix(key, "["), "]"), "][")
}

// claim says where the way to a claim ends: at the claim, or before.
func (s *story) claim(c envoy.Step) (phrase string, v jwt.Value) {
	payload, ok := s.payload()
	if !ok {
		absent, _, _ := s.absence()
		return "there is no verified token (" + absent + ")", jwt.Value{}
	}
	path := claimPath(c.Attribute)
	v = payload
	for i, name := range path {
		before := "the token"
		if i > 0 {
			before = "the claim " + strings.Join(path[:i], ".")
		}
		if v.Kind() != jwt.Object {
			return fmt.Sprintf("%s is %s, which has no member %s", before, kindOf(v), name), jwt.Value{}
		}
		next, ok := v.Field(name)
		if !ok {
			return fmt.Sprintf("%s has no %s%s", before, name, members(v, name)), jwt.Value{}
		}
		v = next
	}
	return "", v
}

// members names what an object has in the place of a member that it does not have.
func members(v jwt.Value, wanted string) string {
	const most = 6
	var names []string
	for _, m := range v.Members() {
		if strings.EqualFold(m.Name, wanted) {
			return ", but " + m.Name + ": upper and lower case count"
		}
		if strings.Contains(wanted, ".") && strings.HasPrefix(wanted, m.Name+".") {
			return ", but " + m.Name + ": a member of it is claims[" + strings.Join(strings.Split(wanted, "."), "][") + "]"
		}
		names = append(names, m.Name)
	}
	if len(names) == 0 {
		return ": it is empty"
	}
	if len(names) > most {
		names = append(names[:most-1], fmt.Sprintf("%d more", len(names)-most+1))
	}
	return ", only " + join(names, "and")
}

// missClaim says why a claim does not match: it is not there, or is something that a
// policy cannot compare, or another text.
func (s *story) missClaim(c envoy.Step, plain string) (phrase, short string, code diag.Code) {
	if _, ok := s.payload(); !ok {
		absent, short, code := s.absence()
		return fmt.Sprintf("wants %s of a verified token, and %s", attributeWord(c.Attribute), absent), "wants a token: " + short, either(code, diag.ForbiddenNoToken)
	}
	where, v := s.claim(c)
	what, want := attributeWord(c.Attribute), list(values(c), "or")
	if where != "" {
		return fmt.Sprintf("wants %s to be %s, and %s", what, want, where), concrete("wants "+bare(what)+": "+where, "wants "+bare(what)+", which the token does not have"), diag.ClaimNotText
	}
	short = concrete(fmt.Sprintf("wants %s %s, got %s", bare(what), want, strings.Trim(c.Got, "[]")), "wants another "+bare(what))
	const only = "policies compare texts, and lists of texts, alone"
	switch v.Kind() {
	case jwt.Number, jwt.Bool, jwt.Null, jwt.Object:
		return fmt.Sprintf("wants %s to be %s, and it is %s: %s", what, want, kindOf(v), only), concrete(fmt.Sprintf("wants %s %s, got %s", bare(what), want, kindOf(v)), "wants "+bare(what)+", which is no text"), diag.ClaimNotText
	case jwt.List:
		if slices.ContainsFunc(v.Elements(), func(e jwt.Value) bool { return e.Kind() != jwt.String }) {
			return fmt.Sprintf("wants %s to be %s, and it is %s: %s", what, want, c.Got, only), "wants another " + bare(what), diag.ClaimNotText
		}
		phrase = fmt.Sprintf("wants %s to have %s, and it has %s", what, want, strings.Trim(c.Got, "[]"))
		for _, w := range values(c) {
			if slices.ContainsFunc(v.Elements(), func(e jwt.Value) bool { return strings.EqualFold(e.Text(), w) }) {
				return phrase + ": they differ by upper and lower case, which counts", short, diag.CaseDiffers
			}
		}
		return phrase, short, ""
	}
	for _, w := range values(c) {
		switch {
		case slices.Contains(strings.Fields(v.Text()), w):
			return plain + ": it is one text with blanks; only scope, permission and what spaceDelimitedClaims names are split", "wants a word of " + bare(what) + ", which is not split", diag.ClaimNotText
		case slices.Contains(strings.Split(v.Text(), ","), w):
			return plain + ": it is one text with commas, which is not split", "wants a word of " + bare(what) + ", which is not split", diag.ClaimNotText
		case strings.EqualFold(v.Text(), w):
			return plain + ": they differ by upper and lower case, which counts", short, diag.CaseDiffers
		}
	}
	return plain, short, ""
}
