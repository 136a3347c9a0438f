package gen

import "strings"

// Vocabularies. They are small, so that patterns and requests meet.
var (
	namespaceNames = []string{"foo", "foo", "foo-2", "bar", "x", "default"}
	accountNames   = []string{"bar", "bar", "bar-2", "httpbin", "b", "default"}
	domainNames    = []string{"cluster.local", "cluster.local", "td1", "td2", "old-td", "new-td"}
	methodNames    = []string{"GET", "GET", "GET", "POST", "PUT", "DELETE", "HEAD", "OPTIONS", "PATCH", "PROPFIND", "get", "FOO"}
	hostNames      = []string{"httpbin.foo:8000", "httpbin.foo", "example.com", "Example.COM", "example.com:8080", "a.example.com", "b.a.example.com", "10.0.0.1"}
	pathTexts      = []string{"/admin", "/admin", "/api/v1/users", "/", "/a/b/info", "/allow/x.html", "/u/1/p", "/%2e", "/a%2Fb", "/x;y=1", "//a", "/A", "/~u"}
	pathTemplates  = []string{"/u/{*}/p", "/f/{**}", "/{**}", "/{*}", "/a/{*}/{**}", "/{*}/b/{*}", "/f/{**}/end", "/a/*/{*}", "/a.b/{*}", "/{*}/", "/%2e/{*}"}
	headerValues   = []string{"admin", "admin", "user", "a,b", "prod", "Admin role", "1"}
	claimTexts     = []string{"admin", "admin", "dev", "write", "5", "true", "dev admin", "v", "u1", "foo"}
	audienceTexts  = []string{"foo", "foo", "bar", "https://foo", "http://bar/", "foo/"}
	subjects       = []string{"u1", "u1", "u2", "u", "auth0|x/y", "a/b", "idp.example-1", "*", ""}
	filterValues   = []string{"v", "[v]", "*", "[*]", "v*", "[v*]", "allowed", "denied", "*ed"}
	sniNames       = []string{"example.com", "a.example.com", "outbound_.8000_._.httpbin.foo.svc.cluster.local", "b.test"}
	portTexts      = []string{"8080", "8080", "8080", "80", "8081", "8443", "0", "65535", "08080"}
	badPorts       = []string{"65536", "http", "-1", "+8080", "8080 ", "", "8080.0", "0x1f90"}
	sourceAddrs    = []string{"127.0.0.1", "127.0.0.1", "127.0.0.2", "127.0.1.1", "127.1.2.3", "127.255.0.9", "127.128.0.1"}
	remoteAddrs    = []string{"10.1.2.3", "10.1.2.3", "10.1.3.3", "172.17.72.46", "192.168.4.7", "192.168.5.7", "2001:db8::1", "2001:db8:1::1", "11.0.0.1"}
	badBlocks      = []string{"300.1.1.1", "127.0.0.1/33", "foo", "127.0.0.1/", "", " 127.0.0.1", "127.0.0.01", "10.1.2.3/-1", "10.1/16", "10.1.2.3/8/8", "2001:db8::/129"}
	masks          = []string{"", "", "/32", "/31", "/30", "/24", "/23", "/16", "/9", "/8", "/7", "/1", "/0"}
	masks6         = []string{"", "/128", "/127", "/64", "/48", "/33", "/32", "/0"}
)

// patternFor makes a value for the condition and says of which form it is.
func (b *builder) patternFor(w *written) (value, form string) {
	d := b.dice
	switch w.attr {
	case attrPrincipal:
		return b.principalPattern()
	case attrNamespace:
		return b.namespacePattern()
	case attrServiceAccount:
		return b.accountPattern()
	case attrTrustDomain:
		return b.trustDomainPattern()
	case attrSourceIP:
		return d.block(sourceAddrs)
	case attrRemoteIP:
		return d.block(append(remoteAddrs, sourceAddrs[:2]...))
	case attrDestIP:
		return d.block([]string{"127.0.0.1", "127.1.0.1", "127.64.3.2", "10.1.2.3"})
	case attrRequestPrincipal:
		return b.requestPrincipalPattern()
	case attrPort:
		if d.oneIn(8) {
			return pick(d, badPorts...), "bad"
		}
		return pick(d, portTexts...), formExact
	case attrPath:
		return b.pathPattern()
	case attrFilter:
		return pick(d, filterValues...), formExact
	}
	return d.pattern(b.textFor(w))
}

// textFor is a plain text of the kind that the condition reads.
func (b *builder) textFor(w *written) string {
	d := b.dice
	switch w.attr {
	case attrHost:
		return pick(d, hostNames...)
	case attrMethod:
		return pick(d, methodNames...)
	case attrAudience, attrPresenter:
		return pick(d, audienceTexts...)
	case attrSNI:
		return pick(d, sniNames...)
	case attrClaim:
		return b.claimText(w.claim)
	case attrHeader:
		switch w.cond.name {
		case "host", ":authority":
			return pick(d, hostNames...)
		case ":method":
			return pick(d, methodNames...)
		case ":path":
			return pick(d, pathTexts...)
		case "authorization":
			return "Bearer e"
		case "cookie":
			return "a=1"
		}
	}
	return pick(d, headerValues...)
}

// claimText is a text that the claim is likely to have.
func (b *builder) claimText(path []string) string {
	d := b.dice
	switch path[0] {
	case "sub":
		return pick(d, subjects[:6]...)
	case "iss":
		return pick(d, b.issuers()...)
	case "aud":
		return pick(d, audienceTexts...)
	}
	return pick(d, claimTexts...)
}

// pathPattern is a path, a wildcard form of it, or a template.
func (b *builder) pathPattern() (value, form string) {
	if b.dice.percent(25) {
		return pick(b.dice, pathTemplates...), formTemplate
	}
	return b.dice.pattern(pick(b.dice, pathTexts...))
}

// block is an address or a network around one of the addresses, now and then one
// that is none.
func (d *dice) block(addrs []string) (value, form string) {
	if d.oneIn(9) {
		return pick(d, badBlocks...), "bad"
	}
	if d.oneIn(14) {
		return pick(d, "0.0.0.0/0", "::/0", "::ffff:127.0.0.1", "::ffff:127.0.0.1/104", "::1"), "special"
	}
	addr := pick(d, addrs...)
	mask := pick(d, masks...)
	if strings.Contains(addr, ":") {
		mask = pick(d, masks6...)
	}
	if mask == "" {
		return addr, "address"
	}
	return addr + mask, "network"
}

// principalPattern is an identity without its scheme in one of its forms.
func (b *builder) principalPattern() (value, form string) {
	d := b.dice
	td, ns, sa := b.domain(), pick(d, namespaceNames...), pick(d, accountNames...)
	whole := td + "/ns/" + ns + "/sa/" + sa
	switch d.IntN(12) {
	case 0, 1, 2:
		return whole, formExact
	case 3:
		return "*", formAny
	case 4:
		return "*/sa/" + sa, formSuffix
	case 5:
		return "*/ns/" + ns + "/sa/" + sa, "any-domain"
	case 6:
		return td + "/ns/" + ns + "/*", formPrefix
	case 7:
		return "*" + td[d.IntN(len(td)):] + "/ns/" + ns + "/sa/" + sa, "domain-suffix"
	case 8:
		return "spiffe://" + whole, "scheme"
	case 9:
		return pick(d, whole+"/x", td+"/ns/"+ns, "cluster.local/"+sa, "bar", td+"/"+sa+"/a/b/c"), "odd"
	}
	return d.pattern(whole)
}

// domain is a trust domain, mostly one that the mesh knows: a client of another one
// does not get through the handshake.
func (b *builder) domain() string {
	if b.dice.percent(75) {
		return pick(b.dice, b.m.play.trustDomains...)
	}
	return pick(b.dice, domainNames...)
}

func (b *builder) namespacePattern() (value, form string) {
	d := b.dice
	ns := pick(d, namespaceNames...)
	switch d.IntN(8) {
	case 0:
		return "*", formAny
	case 1:
		return ns + "*", formPrefix
	case 2:
		return "*" + ns, formSuffix
	case 3:
		return pick(d, "f*o", "*o*", "f*-*", "*-2*"), formInner
	case 4:
		return pick(d, ns+".", ".*", "fo.", "f[o]o", ""), "special"
	}
	return ns, formExact
}

func (b *builder) accountPattern() (value, form string) {
	d := b.dice
	sa := pick(d, accountNames...)
	switch d.IntN(8) {
	case 0, 1, 2:
		return pick(d, namespaceNames...) + "/" + sa, "namespace-and-name"
	case 3:
		return pick(d, "*", sa+"*", "*/"+sa, "ba.", "foo/bar/x", "foo/", "/bar"), "special"
	}
	return sa, formExact
}

func (b *builder) trustDomainPattern() (value, form string) {
	d := b.dice
	td := b.domain()
	switch d.IntN(8) {
	case 0:
		return "*", formAny
	case 1:
		return td[:1+d.IntN(len(td)-1)] + "*", formPrefix
	case 2:
		return "*" + td[d.IntN(len(td)):], formSuffix
	case 3:
		return pick(d, "td*1", "c*.local", "*-*", "cluster*local", "t*"), formInner
	case 4:
		return pick(d, "spiffe://"+td, td+"/", "cluster.loca", "clusterXlocal", ""), "special"
	}
	return td, formExact
}

// requestPrincipalPattern is made of an issuer of the mesh and a subject.
func (b *builder) requestPrincipalPattern() (value, form string) {
	d := b.dice
	iss, sub := pick(d, b.issuers()...), pick(d, subjects...)
	cutIss := 0
	if len(iss) > 0 {
		cutIss = d.IntN(len(iss))
	}
	cutSub := 0
	if len(sub) > 0 {
		cutSub = d.IntN(len(sub))
	}
	switch d.IntN(16) {
	case 0, 1:
		return "*", formAny
	case 2:
		return iss + "/*", "issuer-any-sub"
	case 3:
		return "*/" + sub, "any-issuer-sub"
	case 4:
		return iss[:cutIss] + "*", "issuer-prefix"
	case 5:
		return "*" + sub[cutSub:], "sub-suffix"
	case 6:
		return "*/*", "star-slash-star"
	case 7:
		return iss, "no-slash"
	case 8:
		return "*" + iss[cutIss:] + "/" + sub, "issuer-suffix-sub"
	case 9:
		return iss + "/" + sub[:cutSub] + "*", "issuer-sub-prefix"
	case 10:
		return pick(d, "", "/", "**", "*/", "/*", iss+"*", iss+"//"+sub, "*"+iss[cutIss:]+"/"+sub[:cutSub]+"*"), "odd"
	}
	return iss + "/" + sub, formExact
}
