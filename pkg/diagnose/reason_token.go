package diagnose

import (
	"fmt"
	"slices"
	"strings"
	"time"

	securityapi "istio.io/api/security/v1beta1"

	"github.com/asmjwt/kubectl-asmjwt/pkg/diag"
	"github.com/asmjwt/kubectl-asmjwt/pkg/envoy"
	"github.com/asmjwt/kubectl-asmjwt/pkg/jwt"
	"github.com/asmjwt/kubectl-asmjwt/pkg/mesh"
)

// badToken is the reason for a denial by JWT: what the proxy looked at, which rule,
// what the token has, and what the rule wants.
func (s *story) badToken(last envoy.Step) reason {
	r := reason{summary: "the token is refused", because: last.Status, code: codeOf(last)}
	prov, at := s.provider(last), failing(last)
	if prov == nil {
		return r
	}
	location := at.Got
	text, tok, found := s.tokenAt(location, func(t *jwt.Token, status jwt.Status) bool {
		if t == nil {
			return status.String() == last.Status
		}
		switch last.Status {
		case jwt.UnknownIssuer.String():
			return t.Issuer != prov.Issuer
		case jwt.Expired.String(), jwt.NotYetValid.String():
			return t.VerifyTime(s.req.Time).String() == last.Status
		}
		return true
	})
	switch {
	case last.Status == jwt.Missed.String():
		absent, _, code := s.absence()
		return reason{"the rule says presence: REQUIRED", "the rule says presence: REQUIRED, and " + absent, either(code, diag.TokenMissing)}
	case !found:
		return r
	}
	what := "the token in " + location
	switch last.Status {
	case jwt.UnknownIssuer.String():
		r = s.unknownIssuer(what, tok, prov)
	case jwt.Expired.String(), jwt.NotYetValid.String():
		r = s.badTime(what, tok)
	case jwt.AudienceNotAllowed.String():
		r = badAudience(what, tok, prov)
	case jwt.JwksNoMatchingKey.String(), jwt.VerificationFails.String(), jwt.JwksFetchFailed.String(), jwt.Ed25519WrongLength.String():
		r = s.badKey(what, tok, prov, last.Status)
	default:
		r = malformed(what, text, last.Status)
	}
	r.code = either(r.code, codeOf(last))
	return r
}

func either(a, b diag.Code) diag.Code {
	if a != "" {
		return a
	}
	return b
}

// failing is the step of the token that made a denial by JWT.
func failing(stage envoy.Step) envoy.Step {
	for _, p := range slices.Backward(stage.Steps) {
		if p.Origin == stage.Origin && p.Status == stage.Status && len(p.Steps) > 0 {
			return p.Steps[len(p.Steps)-1]
		}
	}
	return envoy.Step{}
}

// unknownIssuer compares the token's issuer with those that are configured, here and
// in rules that do not reach the workload.
func (s *story) unknownIssuer(what string, tok *jwt.Token, prov *envoy.Provider) reason {
	var issuers []string
	for _, p := range s.providers() {
		if !slices.Contains(issuers, p.Issuer) {
			issuers = append(issuers, p.Issuer)
		}
	}
	if tok.Issuer == "" {
		return reason{summary: "the token has no iss", because: what + " has no iss, and the rule wants " + list(issuers, "or")}
	}
	if slices.Contains(issuers, tok.Issuer) {
		other := s.otherToken(tok)
		return reason{
			summary: "another token of the request has an issuer that the rule does not have",
			because: fmt.Sprintf("each rule verifies every token that it finds: %s has iss %s, which the rule with issuer %s does not take%s", what, quote(tok.Issuer), quote(prov.Issuer), other),
			code:    diag.SeveralTokens,
		}
	}
	nearest, how := prov.Issuer, ""
	for _, i := range issuers {
		if d := differ(tok.Issuer, i, "the token", "the rule"); d != "" {
			nearest, how = i, d
			break
		}
	}
	r := reason{summary: concrete("no rule here is for "+quote(tok.Issuer), "no rule here is for the token's iss")}
	r.because = fmt.Sprintf("the iss of %s is %s, and the rule wants %s", what, quote(tok.Issuer), quote(nearest))
	if len(issuers) > 1 {
		r.because = fmt.Sprintf("the iss of %s is %s, and the %d rules that reach the workload want %s", what, quote(tok.Issuer), len(issuers), list(issuers, "or"))
		if how != "" {
			r.because += "; the nearest is " + quote(nearest)
		}
	}
	if how != "" {
		r.summary, r.because = how, r.because+": "+how
	}
	if other := s.otherToken(tok); other != "" {
		r.summary, r.code = "the one in "+strings.TrimPrefix(what, "the token in ")+", of several tokens", diag.SeveralTokens
		r.because += other + ": all tokens that a rule finds must be good"
	}
	if elsewhere := s.issuerElsewhere(tok.Issuer); elsewhere != "" {
		r.summary, r.because = "the rule for its issuer does not reach the workload", r.because+"; "+elsewhere
	}
	return r
}

// otherToken says that the request has more than one token.
func (s *story) otherToken(tok *jwt.Token) string {
	for _, f := range s.tokens {
		if t, status := jwt.Parse(f.Text); status == jwt.OK && t.Issuer != tok.Issuer {
			return fmt.Sprintf("; the token in %s has iss %s", f.Location, quote(t.Issuer))
		}
	}
	return ""
}

// issuerElsewhere finds a rule for an issuer that does not reach the workload.
func (s *story) issuerElsewhere(issuer string) string {
	for _, c := range s.res.Considered {
		if c.Attached || c.Kind != "RequestAuthentication" {
			continue
		}
		o := s.snap.Find(mesh.GroupSecurity, c.Kind, c.Namespace, c.Name)
		spec := &securityapi.RequestAuthentication{}
		if o == nil || o.DecodeSpec(spec) != nil {
			continue
		}
		for _, r := range spec.GetJwtRules() {
			if r.GetIssuer() == issuer {
				return c.Ref.String() + " has that issuer and does not reach the workload: " + c.Why
			}
		}
	}
	return ""
}

// shortValue is how long a value may be that is shown in the first line.
const shortValue = 32

const grace = 60 // seconds, Envoy source/common/jwt/jwt.h:kClockSkewInSecond

// badTime says by how much, and by whose clock.
func (s *story) badTime(what string, tok *jwt.Token) reason {
	clock := s.in.Clock
	if clock == "" {
		clock = "the time of the request"
	}
	now := uint64(max(s.req.Time, 0))
	if tok.Expires != 0 && now > tok.Expires+grace {
		ago := Span(now - tok.Expires)
		return reason{
			summary: ago + " ago",
			because: fmt.Sprintf("%s expired %s ago: exp is %s, and %s says %s; the proxy goes by its own clock and allows 60 seconds",
				what, ago, stamp(tok.Expires), clock, stamp(now)),
		}
	}
	ahead := Span(tok.NotBefore - now)
	return reason{
		summary: "not for another " + ahead,
		because: fmt.Sprintf("%s is valid in %s: nbf is %s, and %s says %s; the proxy goes by its own clock and allows 60 seconds",
			what, ahead, stamp(tok.NotBefore), clock, stamp(now)),
	}
}

// stamp is a time in RFC 3339; the years that it has no form for are seconds.
func stamp(seconds uint64) string {
	const year10000 = 253402300800
	if seconds >= year10000 {
		return fmt.Sprintf("%d seconds after 1970", seconds)
	}
	return time.Unix(int64(seconds), 0).UTC().Format(time.RFC3339)
}

// Span is a length of time, in seconds, in the unit that a person would choose.
func Span(seconds uint64) string {
	units := []struct {
		name   string
		length uint64
	}{{"year", 365 * 86400}, {"day", 86400}, {"hour", 3600}, {"minute", 60}, {"second", 1}}
	for _, u := range units {
		if n := seconds / u.length; n >= 2 || u.length == 1 {
			plural := "s"
			if n == 1 {
				plural = ""
			}
			return fmt.Sprintf("%d %s%s", n, u.name, plural)
		}
	}
	return ""
}

// badAudience says whose 403 it is: people look for it in AuthorizationPolicies.
func badAudience(what string, tok *jwt.Token, prov *envoy.Provider) reason {
	const whose = "; this 403 is RequestAuthentication's: no AuthorizationPolicy was asked"
	if len(tok.Audiences) == 0 {
		return reason{
			summary: "the token has no aud",
			because: what + " has no aud, and the rule wants " + list(prov.Audiences, "or") + whose,
		}
	}
	r := reason{summary: "the token is for another service"}
	if got := list(tok.Audiences, "and"); len(got) < shortValue {
		r.summary = "the token is for " + got
	}
	r.because = fmt.Sprintf("the aud of %s is %s, and the rule wants %s", what, list(tok.Audiences, "and"), list(prov.Audiences, "or"))
	for _, got := range tok.Audiences {
		for _, want := range prov.Audiences {
			if how := differ(got, want, "the token", "the rule"); how != "" {
				r.because += ": " + how
				return reason{summary: how, because: r.because + whose}
			}
		}
	}
	r.because += whose
	return r
}

// malformed says what is wrong with a text that is no JWT, or with a claim. It shows
// nothing of a text that does not parse.
func malformed(what, text, status string) reason {
	r := reason{summary: "it is not well-formed", because: what + ": " + status}
	sections := strings.Split(text, ".")
	switch {
	case status == jwt.BadFormat.String():
		r.summary, r.because = badForm(what, text, len(sections))
	case strings.Contains(status, "Base64url"):
		at := map[bool]int{strings.Contains(status, "payload"): 1, strings.Contains(status, "signature"): 2}[true]
		name := [...]string{"header", "payload", "signature"}[at]
		how := notBase64(sections, at)
		r.summary, r.because = how, "the "+name+" of "+what+" is no base64url: "+how
	case strings.HasSuffix(status, "header is an invalid JSON"):
		r.summary, r.because = "it is no JWT, or was changed", "the header of "+what+" decodes to something that is no JSON object: it is no JWT, or was changed"
	case strings.HasSuffix(status, "payload is an invalid JSON"):
		r.summary, r.because = "it is encrypted, or was changed", "the payload of "+what+" decodes to something that is no JSON object: it is encrypted, or was changed"
	case strings.Contains(status, "["):
		field := between(status, "[", "]")
		got, wants := fieldOf(sections, field, strings.Contains(status, "header")), wanted(status)
		r.summary = "its " + field + " is " + got
		r.because = fmt.Sprintf("the %s of %s is %s, and the proxy wants %s", field, what, got, wants)
		if status == jwt.AlgNotImplemented.String() {
			got = strings.TrimPrefix(got, "the text ")
			r.summary = "its alg is " + got
			r.because = fmt.Sprintf("the alg of %s is %s; the proxy knows RS, PS, ES and HS with 256, 384 or 512, and EdDSA", what, got)
		}
	}
	return r
}

func badForm(what, text string, sections int) (summary, because string) {
	because = fmt.Sprintf("%s has %s where a JWT has 3", what, counted(sections, "part", "parts"))
	const everywhere = ": RequestAuthentication verifies every token that it finds, on every path"
	switch {
	case text == "":
		return "there is nothing behind the prefix", what + " is empty" + everywhere
	case sections == 5:
		return "it is encrypted (JWE), which the proxy cannot read", because + ": it is an encrypted token (JWE), which the proxy cannot read"
	case sections == 2 && strings.HasPrefix(text, "ey"):
		return "its signature is missing", because + ": the signature is missing"
	case strings.ContainsAny(text, "\"' \t"):
		return "there are quotes or blanks in it", because + ": there are quotes or blanks in it"
	default:
		return "it is an opaque token, no JWT", because + ": it is an opaque token, such as an API key" + everywhere
	}
}

// notBase64 says which character spoils a section of a token.
func notBase64(sections []string, at int) string {
	if at >= len(sections) {
		return "it is not there"
	}
	part := sections[at]
	bad := strings.Map(func(r rune) rune {
		if r >= 'A' && r <= 'Z' || r >= 'a' && r <= 'z' || r >= '0' && r <= '9' || r == '-' || r == '_' {
			return -1
		}
		return r
	}, part)
	switch {
	case bad == "" && part == "":
		return "it is empty"
	case bad == "":
		return "it was cut or changed"
	case strings.Contains(bad, "*"):
		return "it has a *: the token is masked, as documents show it"
	case strings.ContainsAny(bad, "+/"):
		return "it has + or / of plain base64, where base64url has - and _"
	case strings.Trim(bad, "=") == "":
		return "it has padding (=), which base64url of a JWT has not"
	case strings.ContainsAny(bad, "\"' \t\r\n"):
		return "there are quotes or blanks in it"
	default:
		return "it has a character that base64url has not"
	}
}

func between(s, open, end string) string {
	_, s, _ = strings.Cut(s, open)
	s, _, _ = strings.Cut(s, end)
	return s
}

// wanted is what the proxy wants of a field, in words.
func wanted(status string) string {
	switch {
	case strings.Contains(status, "integer"):
		return "a whole number that is not negative"
	case strings.Contains(status, "string list"):
		return "a text or a list of texts"
	default:
		return "a text"
	}
}

// fieldOf is a field of the header or payload of a token that the proxy refuses for it.
func fieldOf(sections []string, field string, header bool) string {
	at := 1
	if header {
		at = 0
	}
	if at >= len(sections) {
		return "missing"
	}
	raw, _ := jwt.DecodeBase64URL(sections[at])
	top, err := jwt.ParseJSON(raw)
	if err != nil {
		return "missing"
	}
	v, ok := top.Field(field)
	if !ok {
		return "missing"
	}
	return kindOf(v)
}

// kindOf is a value of a token for a person: what it is, and how it reads.
func kindOf(v jwt.Value) string {
	switch v.Kind() {
	case jwt.String:
		return "the text " + quote(v.Text())
	case jwt.Number:
		return "the number " + v.String()
	case jwt.Bool:
		return "the boolean " + v.String()
	case jwt.Null:
		return "null"
	case jwt.List:
		return fmt.Sprintf("a list of %d", v.Len())
	default:
		return "an object"
	}
}
