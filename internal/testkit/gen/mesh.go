package gen

import "slices"

// build makes the mesh: two in five have one condition that decides.
func (b *builder) build() {
	b.start()
	if b.m.Single = b.dice.percent(40); b.m.Single {
		b.dice.tag("mesh/single")
		b.single()
	} else {
		b.dice.tag("mesh/rich")
		b.rich()
	}
	b.finish()
}

// start sets what every mesh begins with.
func (b *builder) start() {
	b.named, b.behind, b.unfetched = map[string]bool{}, map[string][]useKey{}, map[string]bool{}
	b.config, b.annotations = map[string]any{}, map[string]string{}
	b.m.Target, b.m.Namespace, b.m.Port = "deploy/httpbin", "foo", 8080
	b.m.play.trustDomains = []string{"cluster.local"}
	b.m.play.server = "HTTP"
	b.startRole()
}

// topics is what single meshes are about.
var topics = []weighted[func(*builder)]{
	{50, (*builder).topicCondition}, {30, (*builder).topicProperty}, {6, (*builder).topicIssuers}, {4, (*builder).topicPeers},
	{8, (*builder).topicNormalization}, {3, (*builder).topicScope}, {3, (*builder).topicDryRun}, {2, (*builder).topicRules},
	{4, (*builder).topicAliases}, {6, (*builder).topicShadow}, {2, (*builder).topicRemote}, {5, (*builder).topicBytes}, {5, (*builder).topicHops}, {3, (*builder).topicServer},
}

func (b *builder) single() { pickWeighted(b.dice, topics)(b) }

// focus says what the single mesh is about.
func (b *builder) focus(topic string) {
	b.m.play.focus = topic
	b.dice.tag("single/" + topic)
	b.m.About = append(b.m.About, "single: "+topic)
}

func (b *builder) topicCondition() {
	a := pickWeighted(b.dice, attrWeights)
	b.focus(string(a))
	b.roleFor(a)
	if needsToken(a) {
		b.requestAuthentication(b.m.Namespace, nil, b.plainRule)
	}
	b.singlePolicy(b.condition(a, true))
}

// needsToken says that conditions on the attribute read a token.
func needsToken(a attr) bool {
	return slices.Contains([]attr{attrRequestPrincipal, attrAudience, attrPresenter, attrClaim, attrFilter}, a)
}

// roleFor makes the workload a gateway where that shows more of the attribute.
func (b *builder) roleFor(a attr) {
	switch {
	case a == attrSNI && b.dice.percent(60):
		b.gateway(pick(b.dice, "SIMPLE", "MUTUAL"))
	case a == attrRemoteIP && b.dice.percent(60):
		b.gateway("HTTP")
		b.hops()
	case a == attrPrincipal && b.dice.percent(15):
		b.gateway("MUTUAL")
	case b.dice.percent(10):
		b.gateway("HTTP")
	}
}

func (b *builder) topicProperty() {
	p := pick(b.dice, properties...)
	b.focus("jwt-" + string(p))
	b.requestAuthentication(b.m.Namespace, nil, func() (map[string]any, jwtRule) {
		return b.jwtRule(func(other property) bool { return p == other })
	})
	if p == propSpace {
		b.singlePolicy(b.spaceCondition())
	}
}

// spaceCondition is a condition on the claim that the rule splits at blanks.
func (b *builder) spaceCondition() written {
	name := b.m.play.jwt[0].space[0]
	w := written{cond: cond{attr: attrClaim, claim: []string{name}}, place: inWhen, key: "request.auth.claims[" + name + "]"}
	w.values = []string{b.valueOf(&w, "")}
	return w
}

// topicIssuers has two or three plain rules, so that the requirement tree decides.
func (b *builder) topicIssuers() {
	b.focus("jwt-issuers")
	for range pick(b.dice, 2, 2, 3) {
		makeRule := b.plainRule
		if b.dice.percent(50) {
			only := pick(b.dice, propHeaders, propForward, propAudiences, propParams)
			makeRule = func() (map[string]any, jwtRule) { return b.jwtRule(func(p property) bool { return p == only }) }
		}
		b.requestAuthentication(b.m.Namespace, nil, makeRule)
	}
}

// topicRemote has one rule whose keys Envoy may fetch itself. It has no second one:
// with several the answer hangs on whether the keys are in the cache.
func (b *builder) topicRemote() {
	b.focus("jwt-remote")
	b.m.RemoteJWKS = pick(b.dice, "envoy", "envoy", "hybrid")
	b.dice.tag("remote/" + b.m.RemoteJWKS)
	b.requestAuthentication(b.m.Namespace, nil, func() (map[string]any, jwtRule) {
		return b.jwtRule(func(p property) bool { return p == propURI })
	})
}

func (b *builder) topicPeers() {
	b.focus("peers")
	b.peerAuthentications(pick(b.dice, 1, 1, 2, 3))
	w := written{cond: cond{attr: attrPrincipal, values: []string{"*"}}, place: inFrom}
	b.singlePolicy(w)
}

func (b *builder) topicNormalization() {
	b.focus("normalization")
	b.normalization()
	b.singlePolicy(b.condition(attrPath, true))
}

func (b *builder) topicScope() {
	b.focus("scope")
	p := b.localPolicy()
	b.scope(&p)
	p.action = pick(b.dice, "ALLOW", "DENY", "DENY")
	if p.action == "DENY" {
		p.rules = []any{map[string]any{}}
	}
	b.add(p)
}

func (b *builder) topicDryRun() {
	b.focus("dry-run")
	p := b.localPolicy()
	b.dryRun(&p, 100)
	p.action = pick(b.dice, "ALLOW", "DENY", "AUDIT", "CUSTOM")
	w := b.condition(pick(b.dice, attrPath, attrMethod), true)
	rule, conds := b.assemble([]written{w}, p.namespace)
	p.rules, p.conds = []any{rule}, []ruleCond{conds}
	b.about("dry-run "+p.action, w)
	b.add(p)
}

// topicShadow has a policy in dry run and another one that reads its result.
func (b *builder) topicShadow() {
	b.focus("shadow")
	p := b.localPolicy()
	p.annotations = map[string]string{"istio.io/dry-run": "true"}
	p.action = pickWeighted(b.dice, []weighted[string]{{7, "DENY"}, {1, "ALLOW"}})
	rule, conds := b.assemble([]written{b.condition(attrPath, true)}, p.namespace)
	p.rules, p.conds = []any{rule}, []ruleCond{conds}
	b.add(p)
	key := pickWeighted(b.dice, []weighted[string]{{7, "istio_dry_run_deny_"}, {1, "istio_dry_run_allow_"}})
	w := written{cond: cond{attr: attrFilter}, place: inWhen, key: "experimental.envoy.filters." + b.layer() + ".rbac[" + key + "shadow_engine_result]"}
	w.values = []string{pick(b.dice, "allowed", "denied", "*", "*ed", "den*")}
	b.dice.tag("when/shadow-result")
	reader := b.localPolicy()
	reader.action = pickWeighted(b.dice, []weighted[string]{{7, "ALLOW"}, {1, "DENY"}})
	condition, _ := b.assemble([]written{w}, p.namespace)
	reader.rules = []any{condition}
	b.about(reader.action, w)
	b.add(reader)
}

// topicBytes has a port that carries bytes, where conditions on HTTP drop out.
func (b *builder) topicBytes() {
	b.focus("bytes")
	b.m.play.bytes = true
	if b.dice.oneIn(4) {
		b.requestAuthentication(b.m.Namespace, nil, b.plainRule)
	}
	p := b.localPolicy()
	p.action = pickWeighted(b.dice, actionWeights)
	for range pick(b.dice, 1, 1, 2) {
		rule, conds := b.richRuleOf(p)
		p.rules, p.conds = append(p.rules, rule), append(p.conds, conds)
	}
	b.add(p)
}

// topicRules has no condition at all, or one path in several of many rules.
func (b *builder) topicRules() {
	b.focus("rules")
	p := b.localPolicy()
	p.action = pickWeighted(b.dice, actionWeights)
	switch b.dice.IntN(3) {
	case 0:
		b.dice.tag("rules/none")
	case 1:
		b.dice.tag("rules/empty")
		p.rules = []any{map[string]any{}}
	case 2:
		b.dice.tag("rules/over-10")
		for range 12 {
			w := b.condition(attrPath, true)
			rule, conds := b.assemble([]written{w}, p.namespace)
			p.rules, p.conds = append(p.rules, rule), append(p.conds, conds)
		}
	}
	b.add(p)
}

func (b *builder) topicAliases() {
	b.focus("aliases")
	b.aliases()
	b.singlePolicy(b.condition(pick(b.dice, attrPrincipal, attrPrincipal, attrTrustDomain, attrNamespace), true))
}

func (b *builder) topicHops() {
	b.focus("hops")
	if b.dice.percent(80) {
		b.gateway("HTTP")
	}
	b.hops()
	b.singlePolicy(b.condition(attrRemoteIP, true))
}

func (b *builder) topicServer() {
	b.focus("server")
	b.gateway(pick(b.dice, "SIMPLE", "MUTUAL", "MUTUAL"))
	b.singlePolicy(b.condition(pick(b.dice, attrPrincipal, attrNamespace, attrSNI, attrPort, attrHost), true))
}

// rich has anything.
func (b *builder) rich() {
	d := b.dice
	if d.percent(34) {
		b.gateway(pick(d, "HTTP", "HTTP", "HTTP", "SIMPLE", "MUTUAL"))
	}
	if d.percent(45) {
		b.normalization()
	}
	if d.percent(35) {
		b.aliases()
	}
	if d.percent(35) {
		b.hops()
	}
	if d.percent(12) {
		b.connectionSettings()
	}
	if d.oneIn(25) {
		b.m.RemoteJWKS = pick(d, "envoy", "hybrid")
		d.tag("remote/" + b.m.RemoteJWKS)
	}
	b.requestAuthentications()
	if d.percent(20) {
		b.peerAuthentications(pick(d, 1, 1, 2, 3))
	}
	for range pick(d, 0, 1, 1, 2, 2, 3, 4) {
		b.richPolicy()
	}
}

// requestAuthentications spreads none to five rules, rarely 13, over objects.
func (b *builder) requestAuthentications() {
	d := b.dice
	left := pick(d, 0, 1, 1, 1, 2, 2, 3, 4, 5)
	if d.oneIn(80) {
		d.tag("jwtRules/13")
		left = 13
	}
	for left > 0 {
		n := min(left, 1+d.IntN(3))
		left -= n
		namespace, selector, attached := b.m.Namespace, map[string]any(nil), true
		if d.percent(20) {
			namespace = "istio-system"
		}
		if d.percent(25) {
			selector, attached, _ = b.selector(d.percent(70))
		}
		b.requestAuthenticationOf(namespace, selector, attached, n)
	}
}
