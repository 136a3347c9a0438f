package gen

import "strings"

// attr is an attribute of a request that a condition reads.
type attr string

// The attributes, by the name under which their conditions are tallied.
const (
	attrPrincipal        attr = "principals"
	attrNamespace        attr = "namespaces"
	attrServiceAccount   attr = "serviceAccounts"
	attrTrustDomain      attr = "trustDomains"
	attrSourceIP         attr = "ipBlocks"
	attrRemoteIP         attr = "remoteIpBlocks"
	attrRequestPrincipal attr = "requestPrincipals"
	attrAudience         attr = "audiences"
	attrPresenter        attr = "presenter"
	attrClaim            attr = "claims"
	attrHeader           attr = "headers"
	attrHost             attr = "hosts"
	attrMethod           attr = "methods"
	attrPath             attr = "paths"
	attrPort             attr = "ports"
	attrDestIP           attr = "destination.ip"
	attrSNI              attr = "connection.sni"
	attrFilter           attr = "experimental"
	attrUnknown          attr = "unknown"
)

// Where a condition can be written.
const (
	inFrom = "from"
	inTo   = "to"
	inWhen = "when"
)

// whereOf says where conditions on an attribute can be written, and the key under
// when, where it is fixed.
var whereOf = map[attr]struct {
	place string // from or to; "" if only when
	key   string // of when; "" if the condition makes it, "-" if there is none
}{
	attrPrincipal:        {inFrom, "source.principal"},
	attrNamespace:        {inFrom, "source.namespace"},
	attrServiceAccount:   {inFrom, "source.serviceAccount"},
	attrTrustDomain:      {inFrom, "source.trustDomain"},
	attrSourceIP:         {inFrom, "source.ip"},
	attrRemoteIP:         {inFrom, "remote.ip"},
	attrRequestPrincipal: {inFrom, "request.auth.principal"},
	attrAudience:         {"", "request.auth.audiences"},
	attrPresenter:        {"", "request.auth.presenter"},
	attrClaim:            {"", ""},
	attrHeader:           {"", ""},
	attrHost:             {inTo, "-"},
	attrMethod:           {inTo, "-"},
	attrPath:             {inTo, "-"},
	attrPort:             {inTo, "destination.port"},
	attrDestIP:           {"", "destination.ip"},
	attrSNI:              {"", "connection.sni"},
	attrFilter:           {"", ""},
	attrUnknown:          {"", ""},
}

// attrWeights is how often a condition is about what.
var attrWeights = []weighted[attr]{
	{8, attrPrincipal}, {6, attrNamespace}, {6, attrServiceAccount}, {5, attrTrustDomain}, {7, attrSourceIP}, {7, attrRemoteIP},
	{12, attrRequestPrincipal}, {5, attrAudience}, {4, attrPresenter}, {16, attrClaim}, {12, attrHeader}, {7, attrHost}, {7, attrMethod},
	{16, attrPath}, {5, attrPort}, {3, attrDestIP}, {4, attrSNI}, {3, attrFilter}, {2, attrUnknown},
}

// written is a condition with the place where it is written and the key for when.
type written struct {
	cond
	place string
	key   string
}

// condition makes a condition on the attribute. In a single mesh it mostly has one
// value.
func (b *builder) condition(a attr, single bool) written {
	d := b.dice
	w := written{cond: cond{attr: a}}
	where := whereOf[a]
	w.place, w.key = where.place, where.key
	if w.place == "" || (w.key != "-" && d.percent(35)) {
		w.place = inWhen
	}
	b.name(&w)
	count := func() int {
		if single {
			return pick(d, 1, 1, 1, 2)
		}
		return pick(d, 1, 1, 2, 2, 3)
	}
	mode := pickWeighted(d, []weighted[string]{{55, "values"}, {30, "not"}, {12, "both"}, {3, "none"}})
	if mode == "none" && w.place != inWhen {
		mode = "values"
	}
	if mode == "values" || mode == "both" {
		w.values = times(count(), func() string { return b.valueOf(&w, "") })
	}
	if mode == "not" || mode == "both" {
		w.not = times(count(), func() string { return b.valueOf(&w, "not") })
	}
	d.tag("mode/" + mode)
	d.tag("place/" + w.place)
	if w.place == inWhen {
		d.tag("when/" + keyKind(w.key))
	}
	return w
}

// valueOf makes a value for the condition and tallies its form.
func (b *builder) valueOf(w *written, negation string) string {
	value, form := b.patternFor(w)
	field := string(w.attr)
	if negation != "" {
		field = negation + strings.ToUpper(field[:1]) + field[1:]
	}
	b.dice.tag(field + "/" + form)
	b.dice.tag("field/" + field)
	return value
}

// keyKind is a key of when without what is in its brackets.
func keyKind(key string) string {
	head, _, found := strings.Cut(key, "[")
	if found && !strings.HasPrefix(key, "experimental.") {
		return head + "[]"
	}
	if strings.HasPrefix(key, "experimental.") {
		return "experimental"
	}
	return head
}

// name makes what stands in the brackets of a key: a header, a claim, a filter.
func (b *builder) name(w *written) {
	d := b.dice
	switch w.attr {
	case attrHeader:
		w.cond.name, w.key = b.headerKey()
	case attrClaim:
		w.claim, w.key = b.claimKey()
	case attrFilter:
		w.key = pick(d, filterKeys...)
	case attrUnknown:
		w.key = pick(d, unknownKeys...)
	}
}

var filterKeys = []string{
	"experimental.envoy.filters.http.jwt_authn[payload]", "experimental.envoy.filters.network.mongo_proxy[db.users]",
	"experimental.envoy.filters.http.rbac[istio_dry_run_deny_shadow_engine_result]",
	"experimental.envoy.filters.http.rbac[istio_dry_run_allow_shadow_engine_result]",
	"experimental.envoy.filters.a.b[c]", "experimental.envoy.filters.a.b[c", "experimental.envoy.filters.a.b",
}

var unknownKeys = []string{
	"request.unknown", "source.user", "request.auth", "source.labels[app]", "Source.IP", "request.auth.claim[x]", "request.header[x]",
	"destination.labels[version]", "destination.namespace", "",
}

// headerNames are headers that conditions read; some are inline, which the codec
// merges, some are not.
var headerNames = []string{
	"x-role", "x-role", "x-role", "x-env", "x-user-id", "x", "user-agent", "origin", "referer", "accept", "content-type", "x-forwarded-host",
	"host", ":authority", ":method", ":path", "cookie", "authorization", "x-sub", "x-payload", "forwarded", "via",
}

func (b *builder) headerKey() (name, key string) {
	d := b.dice
	name = pick(d, headerNames...)
	if len(b.claimHeaders) > 0 && d.percent(25) {
		name = pick(d, b.claimHeaders...)
	}
	text := name
	if d.oneIn(6) {
		text = swapCase(name)
	}
	switch d.IntN(60) {
	case 0:
		d.tag("key/header-irregular")
		return "[" + name + "]", "request.headers[[" + text + "]]"
	case 1:
		d.tag("key/header-malformed")
		return name, pick(d, "request.headers", "request.headers["+text, "request.headers"+text, "request.headers."+text)
	}
	return name, "request.headers[" + text + "]"
}

// claimPaths are claims that conditions read and tokens bring.
var claimPaths = [][]string{
	{"groups"}, {"groups"}, {"scope"}, {"scope"}, {"permission"}, {"roles"}, {"level"}, {"x"}, {"a", "b"}, {"a", "b"}, {"realm", "access", "roles"},
	{"a.b"}, {"https://e.example/c"}, {"sub"}, {"iss"}, {"aud"}, {"email_verified"}, {"a b"}, {"exp"},
}

func (b *builder) claimKey() (path []string, key string) {
	d := b.dice
	path = pick(d, claimPaths...)
	name := path[0]
	switch d.IntN(40) {
	case 0, 1:
		d.tag("key/claim-irregular")
		irregular := pick(d, "["+name+"]", name+"[b]", name+"]][b", name+"] [b")
		return []string{irregular}, "request.auth.claims[" + irregular + "]"
	case 2:
		d.tag("key/claim-malformed")
		return path, pick(d, "request.auth.claims", "request.auth.claims["+name, "request.auth.claims["+name+"]b", "request.auth.claimsx["+name+"]", "request.auth.claims."+name)
	}
	return path, "request.auth.claims[" + strings.Join(path, "][") + "]"
}
