package envoy

import (
	"iter"
	"net/url"
	"sort"
	"strings"
)

// found is one token that a provider found in a request.
type found struct {
	location *Location
	text     string
}

// defaultLocations are where a provider looks that names none
// (Envoy source/extensions/filters/http/jwt_authn/extractor.cc:ExtractorImpl::addProvider).
var defaultLocations = []Location{
	{Kind: InHeader, Name: "authorization", Prefix: "Bearer "},
	{Kind: InParam, Name: "access_token"},
}

// String is the place in words: header authorization "Bearer ".
func (l Location) String() string { return describeLocation(&l) }

// EffectiveLocations are the places where the provider looks, in the order in
// which Envoy keeps them: headers by name and prefix, parameters and cookies by name.
func (p *Provider) EffectiveLocations() []Location {
	locations := p.Locations
	if len(locations) == 0 {
		return defaultLocations
	}
	if len(locations) == 1 {
		return locations
	}
	sorted := append([]Location(nil), locations...)
	key := func(l Location) string {
		if l.Kind == InHeader {
			return lower(l.Name) + l.Prefix
		}
		return l.Name
	}
	sort.SliceStable(sorted, func(i, j int) bool {
		a, b := sorted[i], sorted[j]
		if a.Kind != b.Kind {
			return a.Kind < b.Kind
		}
		return key(a) < key(b)
	})
	out := sorted[:0]
	for i, l := range sorted {
		if i == 0 || l.Kind != sorted[i-1].Kind || key(l) != key(sorted[i-1]) {
			out = append(out, l)
		}
	}
	return out
}

// extract lists the tokens at a provider's locations: those of headers first,
// then of parameters, then of cookies (extractor.cc:ExtractorImpl::extract).
func (s *state) extract(p *Provider) []found {
	var out []found
	locations := p.EffectiveLocations()
	for i := range locations {
		l := &locations[i]
		switch l.Kind {
		case InHeader:
			out = s.extractHeader(out, l)
		case InParam:
			if !mayHaveParam(s.path, l.Name) {
				continue
			}
			if v, ok := firstParam(s.path, l.Name); ok {
				s.br.add(BranchJWTInParam)
				out = append(out, found{l, v})
			}
		case InCookie:
			if v, ok := s.cookie(l.Name); ok {
				s.br.add(BranchJWTInCookie)
				out = append(out, found{l, v})
			}
		}
	}
	return out
}

func (s *state) extractHeader(out []found, l *Location) []found {
	name := lower(l.Name)
	lines := s.headers
	if v, ok := s.pseudo(name); ok {
		lines = headerMap{{name: name, value: v}}
	}
	lines = s.joinLines(name, lines)
	for _, h := range lines {
		if h.name != name {
			continue
		}
		if h.missing != nil && s.lost == nil {
			s.lost = h.missing
		}
		v := h.value
		if l.Prefix != "" {
			at := strings.Index(v, l.Prefix)
			if at < 0 {
				s.br.add(BranchJWTPrefixMissing)
				continue
			}
			if start := strings.IndexFunc(v[at+len(l.Prefix):], isTokenRune); start >= 0 {
				v = s.cutToken(v[at+len(l.Prefix)+start:])
			} else {
				s.br.add(BranchJWTPrefixOnly)
			}
		}
		out = append(out, found{l, v})
	}
	return out
}

// joinLines makes one line of a header's lines in proxies that did so before they
// looked for a token.
func (s *state) joinLines(name string, lines headerMap) headerMap {
	if !s.b.versioned() {
		return lines
	}
	var values []string
	for _, h := range lines {
		if h.name == name {
			values = append(values, h.value)
		}
	}
	if len(values) < 2 || s.trait(TraitTokenPerLine) {
		return lines
	}
	return headerMap{{name: name, value: strings.Join(values, ",")}}
}

// cutToken ends a token where older proxies ended it.
func (s *state) cutToken(v string) string {
	if !s.b.versioned() {
		return v
	}
	end := strings.IndexFunc(v, func(r rune) bool { return !isTokenRune(r) })
	if end < 0 || s.trait(TraitWholeTokenLine) {
		return v
	}
	return v[:end]
}

// isTokenRune are the characters with which a token may begin
// (extractor.cc:ConstantBase64UrlEncodingCharsPlusDot).
func isTokenRune(r rune) bool {
	return 'A' <= r && r <= 'Z' || 'a' <= r && r <= 'z' || '0' <= r && r <= '9' || r == '-' || r == '_' || r == '.'
}

// queryParam is one parameter, decoded.
type queryParam struct{ name, value string }

// queryParams splits and decodes the query (Envoy source/common/http/utility.cc:
// Utility::QueryParamsMulti::parseAndDecodeQueryString).
func queryParams(path string) []queryParam {
	var out []queryParam
	for p := range eachParam(path) {
		out = append(out, p)
	}
	return out
}

func eachParam(path string) iter.Seq[queryParam] {
	return func(yield func(queryParam) bool) {
		_, query, ok := strings.Cut(path, "?")
		if !ok || query == "" {
			return
		}
		// A last, empty parameter does not count: the loop ends before it.
		query = strings.TrimSuffix(query, "&")
		for more := true; more; {
			var kv string
			kv, query, more = strings.Cut(query, "&")
			k, v, _ := strings.Cut(kv, "=")
			if !yield(queryParam{percentDecode(k), percentDecode(v)}) {
				return
			}
		}
	}
}

// mayHaveParam is false of most requests, and quick.
func mayHaveParam(path, name string) bool {
	at := strings.IndexByte(path, '?')
	return at >= 0 && (strings.IndexByte(path[at:], '%') >= 0 || strings.Contains(path[at:], name))
}

// firstParam is the first value of a parameter; others of that name do not count.
func firstParam(path, name string) (string, bool) {
	for p := range eachParam(path) {
		if p.name == name {
			return p.value, true
		}
	}
	return "", false
}

// removeParam rebuilds the path without a parameter: sorted by name, decoded
// (QueryParamsMulti::remove and replaceQueryString, over a btree map).
func removeParam(path, name string) string {
	params := queryParams(path)
	sort.SliceStable(params, func(i, j int) bool { return params[i].name < params[j].name })
	base, _, _ := strings.Cut(path, "?")
	sep := "?"
	for _, p := range params {
		if p.name == name {
			continue
		}
		base += sep + p.name + "=" + p.value
		sep = "&"
	}
	return base
}

// cookie is the value of the first cookie of that name
// (Envoy source/common/http/utility.cc:forEachCookie).
func (s *state) cookie(name string) (string, bool) {
	for _, h := range s.headers {
		if h.name != "cookie" {
			continue
		}
		for _, c := range strings.Split(h.value, ";") {
			k, v, ok := strings.Cut(c, "=")
			if !ok || strings.TrimLeft(k, " ") != name {
				continue
			}
			if len(v) >= 2 && v[0] == '"' && v[len(v)-1] == '"' {
				v = v[1 : len(v)-1]
			}
			return v, true
		}
	}
	return "", false
}

// Secrets are the texts in a request that could be credentials: what stands at
// the given locations, in the usual credential headers, and in parameters that
// look like tokens. Nothing of them may be printed.
func Secrets(r *Request, providers []Provider) []string {
	var br BranchSet
	s := &state{req: r, br: &br, path: r.Path, hasPath: true}
	for _, h := range r.Headers {
		s.headers = append(s.headers, headerLine{name: lower(h.Name), value: h.Value})
	}
	var out []string
	for i := range providers {
		for _, f := range s.extract(&providers[i]) {
			out = append(out, f.text)
		}
	}
	for _, h := range s.headers {
		switch h.name {
		case "authorization", "proxy-authorization", "cookie":
			out = append(out, h.value)
		}
	}
	if u, err := url.Parse(r.Path); err == nil && u.User != nil {
		out = append(out, u.User.String())
	}
	for _, p := range queryParams(r.Path) {
		if p.name == "access_token" {
			out = append(out, p.value)
		}
	}
	return out
}

// FoundToken is a token that one of the providers finds.
type FoundToken struct {
	Location string // in words: header authorization "Bearer "
	Text     string // the token itself: a secret
}

// FindTokens lists the tokens that the providers find in a request before any of
// them is verified, each place once.
func FindTokens(r *Request, providers []Provider) []FoundToken {
	var br BranchSet
	s := &state{req: r, br: &br, path: r.Path, hasPath: true}
	if s.decode(&ConnectionManager{}) != nil {
		return nil
	}
	var out []FoundToken
	seen := map[FoundToken]bool{}
	for i := range providers {
		for _, f := range s.extract(&providers[i]) {
			t := FoundToken{describeLocation(f.location), f.text}
			if !seen[t] {
				seen[t] = true
				out = append(out, t)
			}
		}
	}
	return out
}
