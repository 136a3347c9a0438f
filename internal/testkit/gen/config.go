package gen

import (
	"fmt"
	"slices"
)

// gateway makes the workload a classic gateway, in the root namespace or another.
func (b *builder) gateway(server string) {
	switch {
	case b.role == RoleGatewayAPI && !b.m.play.bytes:
		b.roleGateway(server)
		if !b.managed {
			b.m.Target = "deploy/" + edgeName + "-istio"
		}
		return
	case b.role != "":
		return
	}
	d := b.dice
	b.m.play.gateway, b.m.play.server = true, server
	b.m.Target, b.m.Namespace = "deploy/istio-ingressgateway", pick(d, "istio-system", "istio-system", "edge")
	if server != "HTTP" {
		b.m.Port = 8443
	}
	d.tag("role/gateway-" + server)
}

func (b *builder) normalization() {
	option := pick(b.dice, "NONE", "BASE", "DEFAULT", "MERGE_SLASHES", "MERGE_SLASHES", "DECODE_AND_MERGE_SLASHES", "DECODE_AND_MERGE_SLASHES", "DECODE_AND_MERGE_SLASHES")
	b.dice.tag("normalization/" + option)
	b.config["pathNormalization"] = map[string]any{"normalization": option}
}

func (b *builder) aliases() {
	d := b.dice
	own := pick(d, "cluster.local", "cluster.local", "td1", "td2", "new-td")
	if own != "cluster.local" || d.percent(30) {
		b.config["trustDomain"] = own
	}
	all := []string{own}
	aliases := times(pick(d, 0, 1, 1, 2), func() string { return pick(d, "td1", "td2", "old-td", "new-td", "cluster.local") })
	if len(aliases) > 0 {
		b.config["trustDomainAliases"] = aliases
		d.tag("config/aliases")
	}
	b.m.play.trustDomains = append(all, aliases...)
}

// hops sets how many proxies in front of a gateway are trusted, in the mesh
// configuration or in the pods' own.
func (b *builder) hops() {
	n := pick(b.dice, 0, 1, 1, 2, 3)
	b.dice.tag(fmt.Sprintf("hops/%d", n))
	b.m.play.hops = n
	if b.m.play.gateway && b.dice.oneIn(4) {
		b.annotations["proxy.istio.io/config"] = fmt.Sprintf(`{"gatewayTopology":{"numTrustedProxies":%d}}`, n)
		return
	}
	b.defaultConfig("gatewayTopology", map[string]any{"numTrustedProxies": n})
}

// defaultConfig sets a part of what proxies are started with.
func (b *builder) defaultConfig(key string, value any) {
	all, ok := b.config["defaultConfig"].(map[string]any)
	if !ok {
		all = map[string]any{}
		b.config["defaultConfig"] = all
	}
	all[key] = value
}

// connectionSettings say more of paths than pathNormalization, and of header names.
func (b *builder) connectionSettings() {
	d, cs := b.dice, map[string]any{}
	if d.percent(40) {
		cs["profile"] = pick(d, "EDGE", "EDGE", "SIDECAR")
	}
	if d.percent(40) {
		cs["httpMergeSlashes"] = d.percent(50)
	}
	if d.percent(50) {
		cs["httpPathWithEscapedSlashesAction"] = pick(d, "KEEP_UNCHANGED", "REJECT_REQUEST", "UNESCAPE_AND_REDIRECT", "UNESCAPE_AND_FORWARD")
	}
	if d.percent(50) {
		cs["httpHeadersWithUnderscoresAction"] = "HEADERS_WITH_UNDERSCORES_" + pick(d, "ALLOW", "REJECT_REQUEST", "DROP_HEADER")
	}
	d.tag("config/connectionSettings")
	b.defaultConfig("connectionSettings", cs)
}

// requestAuthentication is one object with one rule.
func (b *builder) requestAuthentication(namespace string, selector map[string]any, makeRule func() (map[string]any, jwtRule)) {
	spec, rule := makeRule()
	b.putRA(namespace, selector, []any{spec}, []jwtRule{rule}, true)
}

// requestAuthenticationOf is one object with n rules, a fifth of them plain.
func (b *builder) requestAuthenticationOf(namespace string, selector map[string]any, attached bool, n int) {
	var specs []any
	var rules []jwtRule
	for range n {
		makeRule := b.richRule
		if b.dice.percent(20) {
			makeRule = b.plainRule
		}
		spec, rule := makeRule()
		specs, rules = append(specs, spec), append(rules, rule)
	}
	b.putRA(namespace, selector, specs, rules, attached)
}

func (b *builder) putRA(namespace string, selector map[string]any, specs []any, rules []jwtRule, attached bool) {
	spec := map[string]any{"jwtRules": specs}
	if selector == nil {
		selector = b.attach(namespace)
	}
	for k, v := range selector {
		spec[k] = v
	}
	b.object("security.istio.io/v1", "RequestAuthentication", namespace, b.policyName(namespace), nil, spec)
	if attached {
		b.m.play.jwt = append(b.m.play.jwt, rules...)
	}
}

// peerAuthentications puts n of them into the mesh, at any scope.
func (b *builder) peerAuthentications(n int) {
	d := b.dice
	modes := []string{"STRICT", "PERMISSIVE", "PERMISSIVE", "DISABLE", "UNSET"}
	var used []string
	for range n {
		mode := pick(d, modes...)
		spec := map[string]any{"mtls": map[string]any{"mode": mode}}
		namespace, scope := "istio-system", "mesh"
		switch d.IntN(5) {
		case 0, 1:
			namespace, scope = b.m.Namespace, "namespace"
		case 2, 3:
			namespace, scope = b.m.Namespace, "workload"
			selector, matches, _ := b.selector(d.percent(85))
			if !matches || selector["selector"] == nil {
				selector = map[string]any{"selector": map[string]any{"matchLabels": map[string]any{"app": pick(d, b.app(), b.app(), "other")}}}
			}
			spec["selector"] = selector["selector"]
			if d.percent(50) {
				port, portMode := pick(d, "8080", "8080", "80", "8000"), pick(d, modes...)
				spec["portLevelMtls"] = map[string]any{port: map[string]any{"mode": portMode}}
				used = append(used, portMode)
				d.tag("peers/port")
			}
		}
		if d.oneIn(10) {
			delete(spec, "mtls")
		}
		used = append(used, mode)
		d.tag("peers/" + scope)
		d.tag("peers/" + mode)
		b.object("security.istio.io/v1", "PeerAuthentication", namespace, b.policyName(namespace), nil, spec)
	}
	b.m.play.strict = slices.Contains(used, "STRICT")
	b.m.play.disable = slices.Contains(used, "DISABLE")
	b.m.About = append(b.m.About, fmt.Sprintf("PeerAuthentication modes %v", used))
}
