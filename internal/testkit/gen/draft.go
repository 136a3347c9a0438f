package gen

import (
	"strings"

	"github.com/asmjwt/kubectl-asmjwt/internal/testkit/judge"
)

// draft is a request while it is made.
type draft struct {
	*dice
	p   play
	req judge.Request

	path  string
	query []string
	// id is the client's identity; needed says that a condition asked for one.
	id     identity
	needed bool
	// alias is a name of the certificate that is no URI.
	alias  string
	source string
	xff    []string // the last is the one that the nearest proxy added
	sni    string
	// claims of tokens that conditions asked for, and the rule that should verify.
	claims claimSet
	iss    string
	rule   int // of p.jwt; -1: any
	token  bool
	// sizeable says that there is a header of many KiB.
	sizeable bool
}

// identity is what the client's certificate says.
type identity struct {
	td, ns, sa string
	tail       string // after the service account
	uri        string // in the place of the above
}

// request makes one request to the mesh.
func request(d *dice, p play) judge.Request {
	r := &draft{dice: d, p: p, rule: -1}
	r.req.HTTP2 = d.percent(35)
	r.req.Method = "GET"
	r.req.Host = pick(d, "httpbin.foo:8000", "httpbin.foo:8000", "httpbin.foo:8000", "example.com")
	r.path = pick(d, "/get", "/get", "/get", "/admin")
	r.id = identity{td: pick(d, p.trustDomains...), ns: "foo", sa: "bar"}
	if len(p.rules) == 0 && d.percent(20) {
		r.req.Method, r.path = pick(d, methodNames...), pick(d, pathTexts...)
	}
	r.conditions()
	if p.focus == "" || d.percent(8) {
		r.noise()
	}
	r.tokens()
	r.forwarded()
	r.client()
	r.finish()
	if p.auto {
		r.sniffable()
	}
	if p.bytes {
		r.plain()
	}
	if p.host != "" {
		r.req.Host = p.host
	}
	return r.req
}

// plain makes the request one that any application answers: the proxy does not
// look at it.
func (r *draft) plain() {
	if r.req.Client.Transport == "tls" && (r.p.server == "HTTP" || r.p.server == "PASSTHROUGH") {
		r.req.Client = judge.Client{} // the application does not speak it
	}
	r.req = judge.Request{Method: pick(r.dice, "GET", "GET", "POST"), Host: "httpbin.foo:8000", Path: "/get", Client: r.req.Client}
}

// conditions makes the request fit, or just not fit, the conditions of a rule. In
// a rich mesh a few conditions of other rules come first.
func (r *draft) conditions() {
	rules := r.p.rules
	if len(rules) == 0 {
		return
	}
	if r.p.focus == "" {
		for range r.IntN(3) {
			r.meet(pick(r.dice, rules...), 60)
		}
	}
	want := pickWeighted(r.dice, []weighted[int]{{55, 100}, {35, 65}, {10, 10}})
	if r.p.focus != "" {
		want = 50
	}
	r.meet(pick(r.dice, rules...), want)
}

// meet makes the request fit each condition of the rule want times in a hundred.
func (r *draft) meet(rule ruleCond, want int) {
	var list []cond
	if len(rule.from) > 0 {
		list = append(list, pick(r.dice, rule.from...)...)
	}
	if len(rule.to) > 0 {
		list = append(list, pick(r.dice, rule.to...)...)
	}
	for _, c := range append(list, rule.when...) {
		r.apply(c, rule.namespace, r.percent(want))
	}
}

// noises are what no condition asked for.
var noises = []weighted[func(r *draft)]{
	{55, func(*draft) {}},
	{4, (*draft).preflight},
	{9, (*draft).grpc},
	{4, func(r *draft) { r.req.Method = pick(r.dice, "HEAD", "OPTIONS", "POST") }},
	{3, func(r *draft) { r.header("x-envoy-original-path", "/original?x=1") }},
	{4, func(r *draft) { r.header(pick(r.dice, headerNames[:12]...), pick(r.dice, headerValues...)) }},
	{9, func(r *draft) { r.path = r.rewritten(r.path) }},
	{2, func(r *draft) {
		r.header("x-forwarded-client-cert", "By=spiffe://a/b;Hash=00;URI=spiffe://cluster.local/ns/foo/sa/bar")
	}},
	{2, (*draft).connection},
	{3, func(r *draft) { r.header(pick(r.dice, "x_role", "a_b", "_"), "1") }},
	{1, func(r *draft) { r.req.Host = "" }},
	{4, (*draft).upgrade},
	{2, (*draft).large},
	{6, (*draft).rareMethod},
	{1, func(r *draft) {
		r.path = pick(r.dice, "*", strings.TrimPrefix(r.path, "/"), "?x", "x"+r.path)
		r.req.HTTP2 = r.percent(70)
	}},
	{2, func(r *draft) {
		r.header("Referer", pick(r.dice, "http://a/b", "http://a/#f", "http://u:p@a/", "/x", "ftp://a/", "http://a b/", ""))
	}},
	{1, func(r *draft) {
		r.req.Host = pick(r.dice, "a/b", "a b", "a@b", "a%zz", "[::1]:80", "a_b", "a^b", `a"b`, "é")
	}},
	{1, func(r *draft) {
		r.path = pick(r.dice, "http://other.example", "http://other.example:80", "HTTPS://other", "ftp://x") + r.path
		r.req.HTTP2 = r.oneIn(20)
	}},
}

func (r *draft) noise() { pickWeighted(r.dice, noises)(r) }

// connection names headers that belong to the connection; only HTTP/1 has that.
func (r *draft) connection() {
	r.header("Connection", pick(r.dice, "x-role", "x-role, x-env", "keep-alive", "close", "authorization", "x-forwarded-for", "te", "x-sub,Origin"))
	r.req.HTTP2 = r.oneIn(20)
}

// upgrade asks for another protocol on the connection; only HTTP/1 has that.
func (r *draft) upgrade() {
	r.header("Connection", pick(r.dice, "Upgrade", "upgrade", "keep-alive, Upgrade", "Upgrade, HTTP2-Settings", "keep-alive"))
	r.header("Upgrade", pick(r.dice, "websocket", "WebSocket", "h2c", "foo", "foo", "foo", "websocket, foo", ""))
	r.req.HTTP2 = r.oneIn(20)
}

// large is about as much as a client may send.
func (r *draft) large() {
	if r.percent(50) {
		for range pick(r.dice, 80, 96, 97, 98, 99, 100, 120, 120) {
			r.header("x-many", "v")
		}
		return
	}
	r.sizeable = true
	r.header("x-large", strings.Repeat("a", pick(r.dice, 40, 59, 60, 61, 62, 64)<<10))
}

// rareMethod is one that Envoy looks at.
func (r *draft) rareMethod() {
	if r.percent(25) {
		r.req.Method = "QUERY"
		if r.percent(40) {
			r.header("Content-Type", pick(r.dice, "application/json", ""))
		}
		return
	}
	r.req.Method, r.path = "CONNECT", pick(r.dice, "httpbin.foo:8000", "httpbin.foo:8000", "httpbin.foo:8000", "[::1]:80", "httpbin.foo", "/get")
	r.query = nil
	if r.req.HTTP2 {
		r.path = pick(r.dice, "", "", "", "", "", "/get")
	}
}

// preflight is one of CORS, or something close to it.
func (r *draft) preflight() {
	r.req.Method = pick(r.dice, "OPTIONS", "OPTIONS", "OPTIONS", "GET", "options")
	form := pick(r.dice, "whole", "whole", "whole", "no-origin", "empty-origin", "no-method", "empty-method")
	if r.req.Method == "options" {
		r.req.HTTP2 = true
	}
	switch form {
	case "no-origin":
	case "empty-origin":
		r.header("Origin", "")
	default:
		r.header("Origin", "https://example.com")
	}
	switch form {
	case "no-method":
	case "empty-method":
		r.header("Access-Control-Request-Method", "")
	default:
		r.header("Access-Control-Request-Method", "POST")
	}
	r.tag("request/preflight-" + form)
}

// grpc is a call of gRPC, or something that is almost one.
func (r *draft) grpc() {
	value := pick(r.dice, "application/grpc", "application/grpc", "application/grpc", "application/grpc+proto", "application/grpc;x", "application/grpc-web", "Application/grpc", "application/grpcx")
	r.req.HTTP2 = r.percent(80)
	r.req.Method = "POST"
	r.header("Content-Type", value)
	if r.req.HTTP2 {
		r.header("te", "trailers")
	}
	r.tag("request/" + value)
}

// header adds a header line.
func (r *draft) header(name, value string) {
	r.req.Headers = append(r.req.Headers, judge.Header{Name: name, Value: value})
}

// client makes the connection.
func (r *draft) client() {
	c := &r.req.Client
	c.Source = r.source
	if r.source == "" && r.p.focus == "" && r.percent(15) {
		c.Source = pick(r.dice, sourceAddrs...)
	}
	switch {
	case r.p.waypoint:
		r.atWaypoint(c)
	case r.p.server != "HTTP":
		r.atServer(c)
	case r.p.gateway:
		if r.oneIn(60) {
			c.Transport = "tls"
		}
	default:
		r.atSidecar(c)
	}
	r.tag("transport/" + c.Transport)
}

// atServer connects to a gateway that terminates TLS.
func (r *draft) atServer(c *judge.Client) {
	if r.oneIn(40) {
		return
	}
	c.Transport = "tls"
	c.SNI = r.sni
	if c.SNI == "" && !r.oneIn(20) {
		c.SNI = strings.Replace(pick(r.dice, r.p.hosts...), "*", "a", 1)
	}
	if r.p.server == "MUTUAL" && !r.oneIn(12) || r.oneIn(20) {
		r.certificate(c)
	}
}

// atSidecar connects to a sidecar: with an identity where one is needed or
// wanted.
func (r *draft) atSidecar(c *judge.Client) {
	chance := 35
	switch {
	case r.p.strict && r.p.focus == "":
		chance = 88
	case r.p.disable && r.p.focus == "":
		chance = 25
	case r.needed:
		chance = 88
	}
	if !r.percent(chance) {
		if r.oneIn(50) {
			c.Transport, c.SNI = "tls", r.sni
		}
		return
	}
	c.Transport = "mtls"
	c.SNI = r.sni
	if c.SNI == "" && r.percent(70) {
		c.SNI = "outbound_.8000_._.httpbin.foo.svc.cluster.local"
	}
	r.certificate(c)
}

// certificate fills in what the client's certificate says.
func (r *draft) certificate(c *judge.Client) {
	c.URISANs = []string{r.id.text()}
	if r.alias != "" {
		c.DNSSANs = []string{r.alias}
		r.tag("client/dns")
		if r.percent(75) {
			c.DNSSANs, c.CommonName = nil, r.alias
			r.tag("client/subject")
		}
		if r.p.server == "MUTUAL" && r.percent(30) {
			c.URISANs = nil
			r.tag("client/no-uri")
		}
		return
	}
	switch r.IntN(60) {
	case 0:
		c.URISANs = append(c.URISANs, "spiffe://"+pick(r.dice, r.p.trustDomains...)+"/ns/bar/sa/bar-2")
		r.tag("client/two-uris")
	case 1:
		c.URISANs = append([]string{"spiffe://" + pick(r.dice, r.p.trustDomains...) + "/ns/x/sa/b"}, c.URISANs...)
		r.tag("client/two-uris")
	case 2, 3:
		c.DNSSANs = []string{pick(r.dice, "a.example.com", "x/ns/foo/y", r.id.text())}
		r.tag("client/dns")
	case 4, 5, 8, 9:
		c.CommonName = pick(r.dice, "client", "/ns/foo/sa/bar", r.id.text())
		r.tag("client/subject")
	case 6:
		c.Untrusted = true
		r.tag("client/untrusted")
	case 7:
		c.URISANs, c.CommonName = nil, "/ns/foo/sa/bar"
		c.DNSSANs = []string{"a.example.com"}
		r.tag("client/no-uri")
	}
}

// text is the identity as a URI.
func (i identity) text() string {
	if i.uri != "" {
		return i.uri
	}
	return "spiffe://" + i.td + "/ns/" + i.ns + "/sa/" + i.sa + i.tail
}

// finish puts the pieces into the request.
func (r *draft) finish() {
	if len(r.query) > 0 {
		path, fragment, found := strings.Cut(r.path, "#")
		join := "?"
		if strings.Contains(path, "?") {
			join = "&"
		}
		path += join + strings.Join(r.query, "&")
		if r.path = path; found {
			r.path += "#" + fragment
		}
	}
	r.req.Path = r.path
	if r.req.Method == "HEAD" && r.sizeable {
		r.req.Method = "GET" // an answer without a body cannot tell what arrived
	}
	if r.req.HTTP2 {
		r.tag("request/http2")
		for i, h := range r.req.Headers {
			r.req.Headers[i].Name = strings.ToLower(h.Name)
		}
	}
}
