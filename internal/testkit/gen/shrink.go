package gen

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"

	"sigs.k8s.io/yaml"

	"github.com/asmjwt/kubectl-asmjwt/internal/testkit/judge"
)

// maxTries bounds how often Shrink asks.
const maxTries = 400

// Shrink takes objects, rules, fields, list entries, headers and tokens away from a
// case for which fails is true, as long as it stays true, and gives the smallest
// that it found. It asks a bounded number of times. A case that can no longer be
// judged must not count as failing.
func Shrink(c judge.Case, fails func(judge.Case) bool) judge.Case {
	s := &shrinker{best: c, fails: fails, left: maxTries}
	for before := maxTries + 1; s.left < before && s.left > 0; {
		before = s.left
		size := s.size()
		s.documents()
		s.fields()
		s.request()
		s.tokens()
		if s.size() == size {
			break
		}
	}
	return s.best
}

type shrinker struct {
	best  judge.Case
	fails func(judge.Case) bool
	left  int
}

func (s *shrinker) size() int {
	n := len(s.best.Mesh) + len(s.best.JWKS) + len(s.best.RemoteJWKS)
	r := s.best.Request
	n += len(r.Path) + len(r.Host) + len(r.Method) + len(r.Tokens)
	for _, h := range r.Headers {
		n += len(h.Name) + len(h.Value)
	}
	for _, t := range r.Tokens {
		n += len(t.Header) + len(t.Payload) + len(t.Form) + len(t.SignOver) + len(t.Raw)
	}
	return n
}

// try keeps the change if the case still fails. The change gets a copy.
func (s *shrinker) try(change func(c *judge.Case)) bool {
	if s.left <= 0 {
		return false
	}
	s.left--
	c := s.best
	c.Request.Headers = slices.Clone(c.Request.Headers)
	c.Request.Tokens = slices.Clone(c.Request.Tokens)
	c.Request.Client.URISANs = slices.Clone(c.Request.Client.URISANs)
	c.Request.Client.DNSSANs = slices.Clone(c.Request.Client.DNSSANs)
	c.JWKS = maps.Clone(c.JWKS)
	change(&c)
	if !s.fails(c) {
		return false
	}
	s.best = c
	return true
}

// documents takes whole objects away.
func (s *shrinker) documents() {
	for i := 0; i < len(split(s.best.Mesh)); {
		if !s.try(func(c *judge.Case) {
			c.Mesh = strings.Join(slices.Delete(split(c.Mesh), i, i+1), separator)
		}) {
			i++
		}
	}
	for _, uri := range slices.Sorted(maps.Keys(s.best.JWKS)) {
		s.try(func(c *judge.Case) { delete(c.JWKS, uri) })
	}
}

const separator = "---\n"

func split(mesh string) []string {
	return strings.Split(mesh, separator)
}

// path leads to a value inside an object: keys of maps and indices of lists.
type path []any

// fields takes fields and list entries of the Istio objects away, large ones first.
func (s *shrinker) fields() {
	for n := range split(s.best.Mesh) {
		var object map[string]any
		if err := yaml.Unmarshal([]byte(split(s.best.Mesh)[n]), &object); err != nil || !shrinkable(object) {
			continue
		}
		all := paths(object, nil)
		for i := 0; i < len(all); {
			smaller := without(object, all[i])
			text, err := yaml.Marshal(smaller)
			if err != nil || !s.try(func(c *judge.Case) {
				docs := split(c.Mesh)
				docs[n] = string(text)
				c.Mesh = strings.Join(docs, separator)
			}) {
				i++
				continue
			}
			object = smaller.(map[string]any)
			all = paths(object, nil)
		}
	}
}

// shrinkable says that the object is one of Istio's; the others are the workload.
func shrinkable(object map[string]any) bool {
	api, _ := object["apiVersion"].(string)
	return strings.Contains(api, "istio.io/")
}

// paths lists what could be taken away, each before what is in it.
func paths(value any, at path) []path {
	var out []path
	switch v := value.(type) {
	case map[string]any:
		for _, k := range slices.Sorted(maps.Keys(v)) {
			if len(at) == 0 && k != "spec" && k != "metadata" || len(at) == 1 && at[0] == "metadata" && (k == "name" || k == "namespace") {
				continue
			}
			here := append(slices.Clone(at), k)
			if len(here) > 1 {
				out = append(out, here)
			}
			out = append(out, paths(v[k], here)...)
		}
	case []any:
		for i := range v {
			here := append(slices.Clone(at), i)
			out = append(out, here)
			out = append(out, paths(v[i], here)...)
		}
	}
	return out
}

// without is a copy of the value without what the path leads to.
func without(value any, at path) any {
	switch v := value.(type) {
	case map[string]any:
		key := at[0].(string)
		out := maps.Clone(v)
		if len(at) == 1 {
			delete(out, key)
		} else {
			out[key] = without(v[key], at[1:])
		}
		return out
	case []any:
		i := at[0].(int)
		out := slices.Clone(v)
		if len(at) == 1 {
			return slices.Delete(out, i, i+1)
		}
		out[i] = without(v[i], at[1:])
		return out
	}
	return value
}

// request takes headers away and makes the rest of the request plain.
func (s *shrinker) request() {
	for i := 0; i < len(s.best.Request.Headers); {
		if !s.try(func(c *judge.Case) { c.Request.Headers = slices.Delete(c.Request.Headers, i, i+1) }) {
			i++
		}
	}
	plain := []func(c *judge.Case){
		func(c *judge.Case) { c.RemoteJWKS = "" },
		func(c *judge.Case) { c.Request.HTTP2 = false },
		func(c *judge.Case) { c.Request.Client = judge.Client{} },
		func(c *judge.Case) { c.Request.Client.Source = "" },
		func(c *judge.Case) { c.Request.Client.SNI = "" },
		func(c *judge.Case) { c.Request.Client.DNSSANs = nil },
		func(c *judge.Case) { c.Request.Client.CommonName = "" },
		func(c *judge.Case) { c.Request.Client.URISANs = firstOf(c.Request.Client.URISANs) },
		func(c *judge.Case) { c.Request.Client.URISANs = lastOf(c.Request.Client.URISANs) },
		func(c *judge.Case) { c.Request.Method = "GET" },
		func(c *judge.Case) { c.Request.Host = "x" },
		func(c *judge.Case) { c.Request.Path = "/" },
		func(c *judge.Case) { c.Request.Path, _, _ = strings.Cut(c.Request.Path, "#") },
		func(c *judge.Case) { c.Request.Path, _, _ = strings.Cut(c.Request.Path, "?") },
	}
	for _, change := range plain {
		if probe := s.best; describe(change, probe) != describe(func(*judge.Case) {}, probe) {
			s.try(change)
		}
	}
	s.pathCharacters()
}

// describe is the case as text after the change.
func describe(change func(*judge.Case), c judge.Case) string {
	change(&c)
	text, err := json.Marshal(c) // which takes control characters too
	if err != nil {
		panic(err) // a struct of strings
	}
	return string(text)
}

func firstOf(list []string) []string { return list[:min(1, len(list))] }
func lastOf(list []string) []string  { return list[max(0, len(list)-1):] }

// pathCharacters takes single segments of the path and of the query away.
func (s *shrinker) pathCharacters() {
	for _, sep := range []string{"&", "/"} {
		for i := 1; i < len(strings.Split(s.best.Request.Path, sep)); {
			if !s.try(func(c *judge.Case) {
				c.Request.Path = strings.Join(slices.Delete(strings.Split(c.Request.Path, sep), i, i+1), sep)
			}) {
				i++
			}
		}
	}
}

// tokens makes tokens plain, one property and one claim at a time. Their numbers
// stay, since headers and path name them.
func (s *shrinker) tokens() {
	last := len(s.best.Request.Tokens) - 1
	for ; last >= 0 && s.try(func(c *judge.Case) { c.Request.Tokens = c.Request.Tokens[:last] }); last-- {
	}
	for i, t := range s.best.Request.Tokens {
		for _, change := range []struct {
			useful bool
			do     func(t *judge.Token)
		}{
			{t.Raw != "" && t.Raw != "x", func(t *judge.Token) { *t = judge.Token{Raw: "x"} }},
			{t.Form != "", func(t *judge.Token) { t.Form = "" }},
			{t.SignOver != "", func(t *judge.Token) { t.SignOver = "" }},
			{t.TrimSignature != 0, func(t *judge.Token) { t.TrimSignature = 0 }},
			{t.FlipSignature, func(t *judge.Token) { t.FlipSignature = false }},
		} {
			if change.useful {
				s.try(func(c *judge.Case) { change.do(&c.Request.Tokens[i]) })
			}
		}
		s.members(i, func(t *judge.Token) *string { return &t.Payload })
		s.members(i, func(t *judge.Token) *string { return &t.Header })
	}
}

// members takes members of a token's header or payload away.
func (s *shrinker) members(i int, of func(t *judge.Token) *string) {
	list := members(*of(&s.best.Request.Tokens[i]))
	for n := 0; n < len(list); {
		smaller := slices.Delete(slices.Clone(list), n, n+1)
		if !s.try(func(c *judge.Case) { *of(&c.Request.Tokens[i]) = "{" + strings.Join(smaller, ",") + "}" }) {
			n++
			continue
		}
		list = smaller
	}
}
