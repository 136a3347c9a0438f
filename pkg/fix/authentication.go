package fix

import (
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/asmjwt/kubectl-asmjwt/pkg/diagnose"
	"github.com/asmjwt/kubectl-asmjwt/pkg/envoy"
	"github.com/asmjwt/kubectl-asmjwt/pkg/jwt"
	"github.com/asmjwt/kubectl-asmjwt/pkg/mesh"
)

// mostIssuers is how many JWT rules are looked at for a change.
const mostIssuers = 6

// tokensOf are the tokens that the proxy finds in a request and that can be read.
func tokensOf(at *diagnose.Setting) []*jwt.Token {
	var out []*jwt.Token
	for _, found := range envoy.FindTokens(at.Request, at.Providers()) {
		if t, status := jwt.Parse(found.Text); status == jwt.OK {
			out = append(out, t)
		}
	}
	return out
}

// jwtSteps change the RequestAuthentication that refused a token.
func (f *finder) jwtSteps(at *diagnose.Setting, last envoy.Step) []step {
	tokens := tokensOf(at)
	var out []step
	providers := at.Providers()
	for i, p := range last.Steps {
		if i == mostIssuers {
			break
		}
		prov := slices.IndexFunc(providers, func(q envoy.Provider) bool { return q.Origin == p.Origin })
		if prov < 0 {
			continue
		}
		for _, t := range tokens {
			switch p.Status {
			case jwt.UnknownIssuer.String():
				out = append(out, f.issuerSteps(&providers[prov], t, len(providers))...)
			case jwt.AudienceNotAllowed.String():
				out = append(out, f.audienceSteps(&providers[prov], t)...)
			}
		}
		if k := at.Keys[providers[prov].Keys]; k.Missing == nil && (k.Set == nil || providers[prov].Keys.ShortName) {
			out = append(out, f.hostSteps(&providers[prov])...)
		}
	}
	return out
}

// issuerSteps make a rule take the issuer that a token has: in the place of its own
// where the two are nearly the same, and in a rule of its own beside it.
func (f *finder) issuerSteps(p *envoy.Provider, t *jwt.Token, rules int) []step {
	if t.Issuer == "" || len(f.literal(t.Issuer, false)) == 0 {
		return nil
	}
	var out []step
	field := p.Origin.Field + ".issuer"
	if why := nearly(p.Issuer, t.Issuer); why != "" || rules == 1 {
		says := fmt.Sprintf("set %s of %s to %q, as the token has it", short(field), p.Origin.Ref, t.Issuer)
		if why != "" {
			says += " (" + why + ")"
		}
		out = append(out, step{
			ref: p.Origin.Ref, about: []dim{dimIssuer}, says: says, keys: why != "", repair: why != "" && why != otherHost,
			edit: func(e *mesh.Editor) error { return e.Set(field, t.Issuer) },
		})
	}
	return append(out, step{
		ref: p.Origin.Ref, about: []dim{dimIssuer}, extra: 1,
		says: fmt.Sprintf("take the issuer %q too, with the keys of %s: add a rule to %s", t.Issuer, short(p.Origin.Field), p.Origin.Ref),
		edit: func(e *mesh.Editor) error {
			copied, err := e.Copy(p.Origin.Field)
			if err != nil {
				return err
			}
			return e.Set(copied+".issuer", t.Issuer)
		},
	})
}

// otherHost is how two issuers differ that may be two servers, and not one mistyped.
const otherHost = "they differ in the host"

// nearly says in what two issuers differ that are meant to be the same; empty where they
// have nothing in common.
func nearly(a, b string) string {
	if strings.TrimSuffix(a, "/") == strings.TrimSuffix(b, "/") {
		return "they differ in the slash at the end"
	}
	if strings.EqualFold(a, b) {
		return "they differ in upper and lower case"
	}
	ua, err1 := url.Parse(a)
	ub, err2 := url.Parse(b)
	if err1 != nil || err2 != nil || ua.Host == "" || ub.Host == "" {
		if strings.TrimPrefix(b, "https://") == a || strings.TrimPrefix(a, "https://") == b {
			return "they differ in the scheme"
		}
		return ""
	}
	path := strings.Trim(ua.Path, "/") == strings.Trim(ub.Path, "/")
	switch {
	case path && ua.Host == ub.Host:
		return "they differ in the scheme"
	case path && ua.Hostname() == ub.Hostname():
		return "they differ in the port"
	case path && ua.Path != "" && ua.Path != "/":
		return otherHost
	}
	return ""
}

// audienceSteps let an audience in that a token has.
func (f *finder) audienceSteps(p *envoy.Provider, t *jwt.Token) []step {
	var out []step
	field := p.Origin.Field + ".audiences"
	for _, aud := range t.Audiences {
		if len(f.literal(aud, false)) == 0 {
			continue
		}
		out = append(out, step{
			ref: p.Origin.Ref, about: []dim{dimIssuer, dimClaim("aud")},
			says: fmt.Sprintf("add %q to %s of %s", aud, short(field), p.Origin.Ref),
			edit: func(e *mesh.Editor) error { return e.Append(field, aud) },
		})
	}
	return out
}

// hostSteps write the host of a jwksUri in full, where it is the short name of a Service.
func (f *finder) hostSteps(p *envoy.Provider) []step {
	u, err := url.Parse(p.Keys.URI)
	if err != nil || u.Host == "" || strings.Count(u.Hostname(), ".") > 1 {
		return nil
	}
	name, namespace, _ := strings.Cut(u.Hostname(), ".")
	if namespace == "" {
		namespace = p.Origin.Namespace
	}
	if f.snap.Find(mesh.GroupCore, "Service", namespace, name) == nil {
		return nil
	}
	full := *u
	full.Host = name + "." + namespace + ".svc.cluster.local"
	if port := u.Port(); port != "" {
		full.Host += ":" + port
	}
	field := p.Origin.Field + ".jwksUri"
	return []step{{
		ref: p.Origin.Ref, about: []dim{dimIssuer}, keys: true,
		says: fmt.Sprintf("write the host in full: %q in %s of %s", full.String(), short(field), p.Origin.Ref),
		edit: func(e *mesh.Editor) error { return e.Set(field, full.String()) },
	}}
}

// unproved is a change of which only keys that are not at hand say whether it reaches
// the goal; nil where it is not that.
func (f *finder) unproved(s *state, at *diagnose.Setting, t envoy.Trace) *result {
	if !slices.ContainsFunc(s.steps, func(st step) bool { return st.keys }) || !f.goal.Pass {
		return nil
	}
	hint, status, ok := keysAlone(t)
	if !ok {
		return nil
	}
	r := &result{snap: s.snap, state: s, steps: len(s.steps), foremost: s.repairs()}
	r.Summary, r.Manifest, r.StatusAfter = s.says(true), s.manifest(), status
	r.Note = strings.TrimPrefix(f.note(s)+"; "+notProved(hint), "; ")
	f.heldTo(r, at)
	return r
}

func notProved(hint string) string {
	return "not proved: it holds if the keys verify the token (" + hint + ")"
}

// keysAlone reports whether keys that are not at hand are all that a verdict hangs on,
// and it may be the goal; the hint says how to give them.
func keysAlone(t envoy.Trace) (hint string, status int, ok bool) {
	if t.Verdict.Decision != envoy.Undetermined {
		return "", 0, false
	}
	for _, m := range t.Verdict.On {
		if !strings.HasPrefix(m.Hint, "--jwks ") {
			return "", 0, false
		}
		hint = m.Hint
	}
	for _, v := range t.Verdict.Possible {
		if v.Decision == envoy.Allowed {
			return hint, v.Status, true
		}
	}
	return "", 0, false
}

// stray is a token in a place where nobody looks.
type stray struct {
	text        string
	token       *jwt.Token
	kind        envoy.LocationKind
	name        string
	prefix      string
	description string
}

// strays are the tokens of a request that no rule finds.
func (f *finder) strays(at *diagnose.Setting) []stray {
	found := map[string]bool{}
	for _, t := range envoy.FindTokens(at.Request, at.Providers()) {
		found[t.Text] = true
	}
	var out []stray
	add := func(kind envoy.LocationKind, name, prefix, text, description string) {
		if t, status := jwt.Parse(text); status == jwt.OK && !found[text] {
			found[text] = true
			out = append(out, stray{text, t, kind, name, prefix, description})
		}
	}
	for _, h := range at.Request.Headers {
		name := strings.ToLower(h.Name)
		if name == "cookie" {
			for _, c := range strings.Split(h.Value, ";") {
				key, v, _ := strings.Cut(strings.TrimLeft(c, " "), "=")
				add(envoy.InCookie, key, "", strings.Trim(v, `"`), "cookie "+key)
			}
			continue
		}
		value := strings.TrimSpace(h.Value)
		begin := strings.LastIndexByte(value, ' ') + 1
		if !isScheme(value[:begin]) {
			continue
		}
		add(envoy.InHeader, name, value[:begin], value[begin:], strings.TrimSpace("header "+name+" "+quoted(value[:begin])))
	}
	if _, query, ok := strings.Cut(at.Request.Path, "?"); ok {
		for _, pair := range strings.Split(query, "&") {
			key, v, _ := strings.Cut(pair, "=")
			if plain, err := url.QueryUnescape(key); err == nil {
				add(envoy.InParam, plain, "", v, "query "+plain)
			}
		}
	}
	return out
}

// isScheme reports whether a text before a token is a word like "Bearer ", or nothing.
func isScheme(prefix string) bool {
	const longest = 16
	word := strings.TrimSuffix(prefix, " ")
	return len(word) <= longest && !strings.ContainsFunc(word, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && r != '-' && r != ':' && r != '='
	})
}

func quoted(prefix string) string {
	if prefix == "" {
		return ""
	}
	return strconv.Quote(prefix)
}

// locationSteps have a rule look where a token is.
func (f *finder) locationSteps(at *diagnose.Setting, seen *envoy.Seen) []step {
	if seen.HasPayload {
		return nil
	}
	var out []step
	for _, s := range f.strays(at) {
		if f.hide(s.name+s.prefix) != s.name+s.prefix {
			continue
		}
		for _, p := range at.Providers() {
			if p.Issuer != "" && p.Issuer != s.token.Issuer {
				continue
			}
			rule := p.Origin.Field
			out = append(out, step{
				ref: p.Origin.Ref, about: []dim{dimIssuer},
				says: fmt.Sprintf("look for tokens in %s too: %s of %s", s.description, short(rule), p.Origin.Ref),
				edit: func(e *mesh.Editor) error { return lookAt(e, rule, s, len(p.Locations) == 0) },
			})
		}
	}
	return out
}

// lookAt adds a place to a rule. A rule without any has two by default, which one that
// is written takes away: they are written out.
func lookAt(e *mesh.Editor, rule string, s stray, defaults bool) error {
	header := func(name, prefix string) error {
		item := []mesh.Entry{{Key: "name", Value: name}}
		if prefix != "" {
			item = append(item, mesh.Entry{Key: "prefix", Value: prefix})
		}
		return e.Append(rule+".fromHeaders", item)
	}
	if defaults {
		if err := header("Authorization", "Bearer "); err != nil {
			return err
		}
		if err := e.Append(rule+".fromParams", "access_token"); err != nil {
			return err
		}
	}
	switch s.kind {
	case envoy.InParam:
		return e.Append(rule+".fromParams", s.name)
	case envoy.InCookie:
		return e.Append(rule+".fromCookies", s.name)
	default:
		return header(s.name, s.prefix)
	}
}
