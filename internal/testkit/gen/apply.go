package gen

import (
	"slices"
	"strings"
)

// apply makes the request fit the condition, or just not fit.
func (r *draft) apply(c cond, namespace string, fit bool) {
	values, positive := c.values, true
	if len(c.not) > 0 && (len(c.values) == 0 || r.percent(40)) {
		values, positive = c.not, false
	}
	if len(values) == 0 {
		return
	}
	pattern := pick(r.dice, values...)
	inside := fit == positive // the value ought to match the pattern
	if inside {
		r.tag("steer/inside")
	} else {
		r.tag("steer/outside")
	}
	was := r.id
	defer func() { r.elsewhere(c.attr, was, inside) }()
	switch c.attr {
	case attrPrincipal:
		r.needed = r.needed || inside || r.percent(70)
		r.principal(pattern, inside)
	case attrNamespace:
		r.needed = r.needed || inside || r.percent(70)
		r.id.ns = r.pathPart(strings.ReplaceAll(pattern, "*", pick(r.dice, "", "q", "/")), pattern, inside)
	case attrServiceAccount:
		r.needed = r.needed || inside || r.percent(70)
		r.account(pattern, namespace, inside)
	case attrTrustDomain:
		r.needed = r.needed || inside || r.percent(70)
		r.trustDomain(pattern, inside)
	case attrSourceIP:
		r.sourceIP(pattern, inside)
	case attrRemoteIP:
		r.remoteIP(pattern, inside)
	case attrSNI:
		r.needed = true
		r.sni = strings.Trim(r.side(pattern, inside), ".*/~, ")
	default:
		r.applyHTTP(c, pattern, inside)
	}
}

// elsewhere moves an identity that fits out of the certificate's URI, now and then,
// into its DNS names or its subject.
func (r *draft) elsewhere(a attr, was identity, inside bool) {
	chance := 45
	if a == attrNamespace {
		chance = 85 // the only pattern that fits a subject
	}
	if !inside || r.id == was || !r.percent(chance) || a != attrPrincipal && a != attrNamespace && a != attrServiceAccount {
		return
	}
	r.alias, r.id = r.id.text(), was
}

func (r *draft) applyHTTP(c cond, pattern string, inside bool) {
	switch c.attr {
	case attrMethod:
		r.method(pattern, inside)
	case attrHost:
		r.host(pattern, inside)
	case attrPath:
		r.aim(pattern, inside)
	case attrHeader:
		r.headerLines(c.name, pattern, inside)
	case attrRequestPrincipal:
		r.requestPrincipal(pattern, inside)
	case attrAudience:
		r.claim([]string{"aud"}, pattern, inside)
	case attrPresenter:
		r.claim([]string{"azp"}, pattern, inside)
	case attrClaim:
		r.claim(c.claim, pattern, inside)
	}
}

// side is a text that fits the pattern, or one at its edge.
func (r *draft) side(pattern string, inside bool) string {
	if inside {
		return r.fit(pattern)
	}
	return r.near(pattern)
}

// principal sets the identity by a pattern of principals.
func (r *draft) principal(pattern string, inside bool) {
	if pattern == "*" {
		r.needed = inside
		return
	}
	text := r.side(pattern, inside)
	td := pick(r.dice, r.p.trustDomains...)
	if strings.HasPrefix(pattern, "*") {
		text = r.withDomain(strings.TrimPrefix(text, "*"))
	} else if first, rest, _ := strings.Cut(text, "/"); r.percent(25) && slices.Contains(r.p.trustDomains, first) {
		text = td + "/" + rest // another domain of the same mesh
	} else if !slices.Contains(r.p.trustDomains, first) && !r.oneIn(8) {
		text = td + "/" + rest // one that gets through the handshake
	}
	r.setURI("spiffe://" + text)
}

// withDomain completes an identity that begins somewhere in the middle.
func (r *draft) withDomain(rest string) string {
	head, tail, slash := strings.Cut(rest, "/")
	if !slash {
		tail = ""
	}
	for _, td := range r.p.trustDomains {
		if head != "" && strings.HasSuffix(td, head) {
			return td + "/" + tail
		}
	}
	td := pick(r.dice, r.p.trustDomains...)
	if strings.HasPrefix(rest, "/ns") {
		return td + rest
	}
	return td + "/ns/q/" + strings.TrimPrefix(rest, "/")
}

// setURI sets the identity, unless no certificate could carry it.
func (r *draft) setURI(uri string) {
	host, _, _ := strings.Cut(strings.TrimPrefix(uri, "spiffe://"), "/")
	for label := range strings.SplitSeq(host, ".") {
		if label == "" || strings.ContainsAny(label, ":%[] ") {
			return
		}
	}
	if strings.ContainsAny(uri, "%[]| ") {
		return
	}
	r.id.uri = uri
}

// pathPart is a part of an identity: the text inside the pattern, or one beside it.
func (r *draft) pathPart(text, pattern string, inside bool) string {
	if !inside {
		text = r.near(pattern)
	}
	text = strings.Map(func(c rune) rune {
		if strings.ContainsRune("%[]| ", c) {
			return -1
		}
		return c
	}, text)
	if text == "" {
		return "foo"
	}
	return text
}

// account sets the service account, in the policy's namespace where the pattern
// names none.
func (r *draft) account(pattern, namespace string, inside bool) {
	ns, sa, both := strings.Cut(pattern, "/")
	if !both {
		ns, sa = namespace, pattern
	}
	r.id.ns, r.id.sa = r.pathPart(ns, ns, true), r.pathPart(sa, sa, true)
	switch {
	case inside && r.oneIn(6):
		r.id.tail = pick(r.dice, "/x", "/x/y")
	case inside && r.oneIn(6):
		r.id.ns += "/k/v"
	case inside:
	case r.percent(50):
		r.id.sa = r.pathPart("", sa, false)
	case r.percent(50):
		r.id.ns = r.pathPart("", ns, false)
	default:
		r.id.tail = pick(r.dice, "-2", "x", "/")
	}
}

// trustDomain picks a domain of the mesh inside or outside the pattern, rarely one
// that the mesh does not know.
func (r *draft) trustDomain(pattern string, inside bool) {
	if !inside && r.oneIn(8) {
		r.id.td = "stranger"
		return
	}
	head, tail, star := strings.Cut(pattern, "*")
	var choices []string
	for _, td := range r.p.trustDomains {
		matches := td == pattern || star && strings.HasPrefix(td, head) && strings.HasSuffix(td, tail) && len(td) >= len(head)+len(tail)
		if matches == inside {
			choices = append(choices, td)
		}
	}
	if len(choices) > 0 {
		r.id.td = pick(r.dice, choices...)
	}
}

// method picks a method inside or outside the pattern.
func (r *draft) method(pattern string, inside bool) {
	var choices []string
	for _, m := range methodNames {
		if matches(pattern, m) == inside {
			choices = append(choices, m)
		}
	}
	if len(choices) == 0 {
		return
	}
	r.req.Method = pick(r.dice, choices...)
	if r.req.Method == strings.ToLower(r.req.Method) && r.percent(90) {
		r.req.HTTP2 = true // over HTTP/1 such a method is an error of the codec
	}
}

// matches is what a string pattern means, as far as steering needs it.
func matches(pattern, text string) bool {
	switch {
	case pattern == "*":
		return text != ""
	case strings.HasPrefix(pattern, "*"):
		return strings.HasSuffix(text, pattern[1:])
	case strings.HasSuffix(pattern, "*"):
		return strings.HasPrefix(text, pattern[:len(pattern)-1])
	}
	return pattern == text
}

// host sets the authority; letters of any case match.
func (r *draft) host(pattern string, inside bool) {
	text := r.side(pattern, inside)
	switch r.IntN(6) {
	case 0:
		text = swapCase(text)
	case 1:
		text = strings.TrimSuffix(text, ":8080") + ":8080"
	}
	text = strings.Map(func(c rune) rune {
		if strings.ContainsRune("/*~, ", c) {
			return 'x'
		}
		return c
	}, text)
	if text != "" {
		r.req.Host = text
	}
}

// headerLines sets a header in one line or several.
func (r *draft) headerLines(name, pattern string, inside bool) {
	if pattern == "*" && !inside && r.percent(60) {
		r.tag("headers/absent")
		return // any value fits, an empty one too
	}
	value := r.side(pattern, inside)
	switch strings.ToLower(name) {
	case "host", ":authority":
		r.host(pattern, inside)
		return
	case ":method":
		r.method(pattern, inside)
		return
	case ":path":
		r.aim(pattern, inside)
		return
	case "authorization":
		if r.percent(50) {
			return // a token is there already
		}
	}
	if strings.HasPrefix(name, "[") {
		return
	}
	name = strings.ToLower(name)
	if r.oneIn(4) {
		name = strings.ToUpper(name[:1]) + name[1:]
	}
	form := pickWeighted(r.dice, []weighted[string]{
		{10, "one"}, {2, "two"}, {2, "two-reversed"}, {1, "comma"}, {1, "absent"}, {1, "empty"}, {1, "blanks"}, {1, "same-twice"}, {1, "with-empty"},
	})
	r.tag("headers/" + form)
	other := pick(r.dice, "user", "ok", r.near(pattern))
	switch form {
	case "one":
		r.header(name, value)
	case "two":
		r.header(name, value)
		r.header(name, other)
	case "two-reversed":
		r.header(name, other)
		r.header(name, value)
	case "comma":
		r.header(name, other+","+value)
	case "empty":
		r.header(name, "")
	case "blanks":
		r.header(name, " "+value+" ")
	case "same-twice":
		r.header(name, value)
		r.header(name, value)
	case "with-empty":
		r.header(name, value)
		r.header(name, "")
	}
}
