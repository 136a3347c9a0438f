package istio

import (
	"net/netip"
	"slices"
	"strconv"
	"strings"

	securityapi "istio.io/api/security/v1beta1"

	"github.com/asmjwt/kubectl-asmjwt/pkg/envoy"
	"github.com/asmjwt/kubectl-asmjwt/pkg/origin"
	"github.com/asmjwt/kubectl-asmjwt/pkg/ztunnel"
)

// ambientCompiler makes one rule into a group of clauses for ztunnel
// (Istio pilot/pkg/serviceregistry/ambient/authorization.go:handleRule). It knows no
// trust domain: aliases do not apply there.
type ambientCompiler struct {
	namespace string
	// http are the fields and keys that need somebody who reads HTTP, sorted.
	http    []string
	dropped []envoy.Dropped
}

// ambientTest makes the test for a value; false where istiod leaves it out.
type ambientTest func(value string) (ztunnel.Test, bool)

// ambientField is a list of values and its negation.
type ambientField struct {
	// attribute is the name of the field, or the key of a `when`.
	attribute     string
	name, notName string
	values, not   []string
	test          ambientTest // nil: for those who read HTTP
}

func (c *ambientCompiler) rule(r *securityapi.Rule, at origin.Origin) ztunnel.Rule {
	out := ztunnel.Rule{Origin: at}
	var to, from ztunnel.Clause
	for i, x := range r.GetTo() {
		to.Matches = append(to.Matches, c.match(at.At("to["+strconv.Itoa(i)+"].operation"), toFields(x.GetOperation())))
	}
	for i, x := range r.GetFrom() {
		o := at.At("from[" + strconv.Itoa(i) + "].source")
		from.Matches = append(from.Matches, c.match(o, c.fromFields(x.GetSource())))
		c.ignoreTrustDomains(x.GetSource(), o)
	}
	for _, cl := range []ztunnel.Clause{to, from} {
		if len(cl.Matches) > 0 {
			out.Clauses = append(out.Clauses, cl)
		}
	}
	for i, w := range r.GetWhen() {
		f := ambientField{w.GetKey(), "values", "notValues", w.GetValues(), w.GetNotValues(), whenTest(w.GetKey())}
		o := at.At("when[" + strconv.Itoa(i) + "]")
		m := ztunnel.Match{Origin: o}
		if f.test == nil {
			c.cut(o, "the key "+w.GetKey())
		} else {
			m = c.match(o, []ambientField{f})
		}
		out.Clauses = append(out.Clauses, ztunnel.Clause{Matches: []ztunnel.Match{m}})
	}
	out.Dropped = c.dropped
	slices.Sort(c.http)
	c.http = slices.Compact(c.http)
	return out
}

// match keeps the conditions that ztunnel can test. A list of which no value is
// left is no condition.
func (c *ambientCompiler) match(at origin.Origin, fields []ambientField) ztunnel.Match {
	m := ztunnel.Match{Origin: at}
	for _, f := range fields {
		for _, side := range []struct {
			name    string
			values  []string
			negated bool
		}{{f.name, f.values, false}, {f.notName, f.not, true}} {
			o := at.At(side.name)
			if len(side.values) == 0 {
				continue
			}
			if f.test == nil {
				c.cut(o, side.name)
				continue
			}
			cond := ztunnel.Condition{Origin: o, Attribute: f.attribute, Negated: side.negated}
			for i, v := range side.values {
				test, ok := f.test(v)
				if !ok {
					c.dropped = append(c.dropped, envoy.Dropped{
						Origin: o.At("[" + strconv.Itoa(i) + "]"), Reason: strconv.Quote(v) + " cannot be read: istiod leaves out this value",
					})
					continue
				}
				cond.Tests, cond.Values = append(cond.Tests, test), append(cond.Values, v)
			}
			if len(cond.Tests) > 0 {
				m.Conditions = append(m.Conditions, cond)
			}
		}
	}
	return m
}

func (c *ambientCompiler) cut(at origin.Origin, name string) {
	c.http = append(c.http, name)
	c.dropped = append(c.dropped, envoy.Dropped{Origin: at, Reason: whyL7 + ": istiod cuts this out, and what is left empty never matches"})
}

func (c *ambientCompiler) ignoreTrustDomains(s *securityapi.Source, at origin.Origin) {
	for _, f := range []struct {
		name   string
		values []string
	}{{"trustDomains", s.GetTrustDomains()}, {"notTrustDomains", s.GetNotTrustDomains()}} {
		if len(f.values) > 0 {
			c.dropped = append(c.dropped, envoy.Dropped{
				Origin: at.At(f.name), Reason: "istiod does not tell ztunnel of trust domains: the rest of the entry counts without it",
			})
		}
	}
}

func toFields(op *securityapi.Operation) []ambientField {
	return []ambientField{
		{"hosts", "hosts", "notHosts", op.GetHosts(), op.GetNotHosts(), nil},
		{"methods", "methods", "notMethods", op.GetMethods(), op.GetNotMethods(), nil},
		{"paths", "paths", "notPaths", op.GetPaths(), op.GetNotPaths(), nil},
		{"ports", "ports", "notPorts", op.GetPorts(), op.GetNotPorts(), testPort},
	}
}

func (c *ambientCompiler) fromFields(s *securityapi.Source) []ambientField {
	return []ambientField{
		{"remoteIpBlocks", "remoteIpBlocks", "notRemoteIpBlocks", s.GetRemoteIpBlocks(), s.GetNotRemoteIpBlocks(), nil},
		{"requestPrincipals", "requestPrincipals", "notRequestPrincipals", s.GetRequestPrincipals(), s.GetNotRequestPrincipals(), nil},
		{"ipBlocks", "ipBlocks", "notIpBlocks", s.GetIpBlocks(), s.GetNotIpBlocks(), testSourceIP},
		{"namespaces", "namespaces", "notNamespaces", s.GetNamespaces(), s.GetNotNamespaces(), testNamespace},
		{"serviceAccounts", "serviceAccounts", "notServiceAccounts", s.GetServiceAccounts(), s.GetNotServiceAccounts(), testServiceAccount(c.namespace)},
		{"principals", "principals", "notPrincipals", s.GetPrincipals(), s.GetNotPrincipals(), testPrincipal},
	}
}

// whenTest is nil for every key but the five that ztunnel can test
// (authorization.go:l4WhenAttributes).
func whenTest(key string) ambientTest {
	switch key {
	case "source.ip":
		return testSourceIP
	case "source.namespace":
		return testNamespace
	case "source.principal":
		return testPrincipal
	case "destination.ip":
		return testDestinationIP
	case "destination.port":
		return testPort
	default:
		return nil
	}
}

func testPort(v string) (ztunnel.Test, bool) {
	p, err := strconv.ParseUint(v, 10, 16)
	return ztunnel.DestinationPort{Port: uint16(p)}, err == nil
}

func testSourceIP(v string) (ztunnel.Test, bool) {
	b, ok := ambientBlock(v)
	return ztunnel.SourceIP{Block: b}, ok
}

func testDestinationIP(v string) (ztunnel.Test, bool) {
	b, ok := ambientBlock(v)
	return ztunnel.DestinationIP{Block: b}, ok
}

// ambientBlock is authorization.go:stringToIP; what is behind the mask, and the
// zone of an address, do not count.
func ambientBlock(v string) (netip.Prefix, bool) {
	if strings.Contains(v, "/") {
		p, err := netip.ParsePrefix(v)
		return p.Masked(), err == nil
	}
	a, err := netip.ParseAddr(v)
	return netip.PrefixFrom(a.WithZone(""), a.BitLen()), err == nil
}

func testNamespace(v string) (ztunnel.Test, bool) {
	return ztunnel.Namespace{String: ambientString(v)}, true
}

func testPrincipal(v string) (ztunnel.Test, bool) {
	return ztunnel.Principal{String: ambientString(v)}, true
}

// ambientString is authorization.go:stringToMatch.
func ambientString(v string) ztunnel.StringMatch {
	switch {
	case v == "*":
		return ztunnel.StringMatch{Kind: ztunnel.Presence}
	case strings.HasPrefix(v, "*"):
		return ztunnel.StringMatch{Kind: ztunnel.Suffix, Value: v[1:]}
	case strings.HasSuffix(v, "*"):
		return ztunnel.StringMatch{Kind: ztunnel.Prefix, Value: v[:len(v)-1]}
	default:
		return ztunnel.StringMatch{Kind: ztunnel.Exact, Value: v}
	}
}

// testServiceAccount takes "namespace/name", or a name in the policy's namespace.
func testServiceAccount(namespace string) ambientTest {
	return func(v string) (ztunnel.Test, bool) {
		ns, name, ok := strings.Cut(v, "/")
		if !ok {
			ns, name = namespace, v
		}
		return ztunnel.ServiceAccount{Namespace: ns, Name: name}, true
	}
}
