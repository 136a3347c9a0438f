package istio

import (
	"errors"
	"fmt"
	"strconv"

	securityapi "istio.io/api/security/v1beta1"

	"github.com/asmjwt/kubectl-asmjwt/pkg/envoy"
	"github.com/asmjwt/kubectl-asmjwt/pkg/origin"
	"github.com/asmjwt/kubectl-asmjwt/pkg/version"
)

// ruleCompiler makes one rule of an AuthorizationPolicy into one policy of an RBAC
// filter (Istio pilot/pkg/security/authz/model/model.go:New and Generate).
type ruleCompiler struct {
	action    securityapi.AuthorizationPolicy_Action
	namespace string
	bundle    []string // the trust domain and its aliases
	forTCP    bool
	planes    planes
	dropped   []envoy.Dropped
	refused   *envoy.Refusal
}

// droppedRule says why istiod leaves out a whole rule.
type droppedRule struct {
	origin origin.Origin
	reason string
}

func (d *droppedRule) Error() string { return d.reason }

// compile makes a rule's clauses; an error means that the rule does not reach the
// proxy at all.
func (c *ruleCompiler) compile(r *securityapi.Rule, at origin.Origin) (permissions, principals []envoy.Clause, err error) {
	var basePermission, basePrincipal []field
	for i, w := range r.GetWhen() {
		o := at.At("when[" + strconv.Itoa(i) + "]")
		a, ok := whenAttribute(w.GetKey(), c.namespace)
		if !ok {
			return nil, nil, &droppedRule{o.At("key"), fmt.Sprintf("unknown attribute %q: istiod leaves out the whole rule", w.GetKey())}
		}
		if why := c.planes.unknownKey(w.GetKey()); why != "" {
			return nil, nil, &droppedRule{o.At("key"), why}
		}
		f := field{attribute: a, key: w.GetKey(), values: w.GetValues(), notValues: w.GetNotValues(), origin: o.At("values"), notOrigin: o.At("notValues")}
		if a.permission {
			basePermission = append(basePermission, f)
		} else {
			basePrincipal = append(basePrincipal, f)
		}
	}
	froms, tos := c.fromFields(r, at), c.toFields(r, at)
	if len(tos) == 0 {
		tos = [][]field{nil}
	}
	if len(froms) == 0 {
		froms = [][]field{nil}
	}
	if permissions, err = c.clauses(tos, basePermission, at, "to"); err != nil {
		return nil, nil, err
	}
	principals, err = c.clauses(froms, basePrincipal, at, "from")
	return permissions, principals, err
}

func (c *ruleCompiler) clauses(entries [][]field, base []field, at origin.Origin, name string) ([]envoy.Clause, error) {
	out := make([]envoy.Clause, 0, len(entries))
	for i, fields := range entries {
		cl := envoy.Clause{Origin: at.At(name + "[" + strconv.Itoa(i) + "]")}
		for _, f := range append(append([]field(nil), fields...), base...) {
			conds, err := c.conditions(f)
			if err != nil {
				return nil, err
			}
			cl.Conditions = append(cl.Conditions, conds...)
		}
		out = append(out, cl)
	}
	return out, nil
}

// conditions compiles the two lists of a field, in Istio's order of fields
// (model.go:rule.permission and rule.principal).
func (c *ruleCompiler) conditions(f field) ([]envoy.Condition, error) {
	var out []envoy.Condition
	for _, side := range []struct {
		values  []string
		origin  origin.Origin
		negated bool
	}{{f.values, f.origin, false}, {f.notValues, f.notOrigin, true}} {
		if len(side.values) == 0 {
			continue
		}
		if why := c.planes.unknownField(f.key); why != "" {
			c.dropped = append(c.dropped, envoy.Dropped{Origin: side.origin, Reason: why})
			continue
		}
		cond := envoy.Condition{Origin: side.origin, Attribute: f.key, Negated: side.negated, Values: side.values}
		values := side.values
		if f.trustDomains != nil {
			values = f.trustDomains(c.bundle, values)
		}
		for i, v := range values {
			o := side.origin
			if f.trustDomains == nil && !f.whole {
				o = o.At("[" + strconv.Itoa(i) + "]")
			}
			m, err := c.matcher(f, v)
			if err == nil {
				if m = c.adapted(f, v, side.negated, m, o); m != nil {
					cond.Matchers = append(cond.Matchers, m)
				}
				continue
			}
			if errors.As(err, new(*refusedValue)) {
				c.refused = &envoy.Refusal{Origin: o, Reason: err.Error()}
				continue
			}
			if c.action == securityapi.AuthorizationPolicy_ALLOW {
				return nil, &droppedRule{o, err.Error() + ": istiod leaves out the whole rule"}
			}
			c.dropped = append(c.dropped, envoy.Dropped{Origin: o, Reason: err.Error() + ": istiod leaves out this value, which makes the rule wider"})
			if f.whole {
				break
			}
		}
		if len(cond.Matchers) > 0 {
			out = append(out, cond)
		}
	}
	return out, nil
}

func (c *ruleCompiler) matcher(f field, v string) (envoy.Matcher, error) {
	if c.forTCP && f.httpOnly {
		return nil, fmt.Errorf("%s is for HTTP only", f.key)
	}
	if f.key == "paths" && c.planes.lacks(version.PathTemplates) {
		return &envoy.PathMatch{String: stringMatch(v)}, nil
	}
	return f.compile(f.key, v)
}

// adapted is the matcher of a value as istiod's version makes it; nil where the
// proxy cannot read it.
func (c *ruleCompiler) adapted(f field, v string, negated bool, m envoy.Matcher, o origin.Origin) envoy.Matcher {
	m, note, err := c.planes.adapt(f, v, negated, m)
	if err != nil {
		c.refused = &envoy.Refusal{Origin: o, Reason: err.Error()}
		return nil
	}
	if note != "" {
		c.dropped = append(c.dropped, envoy.Dropped{Origin: o, Reason: note})
	}
	return m
}

func (c *ruleCompiler) fromFields(r *securityapi.Rule, at origin.Origin) [][]field {
	out := make([][]field, 0, len(r.GetFrom()))
	for i, from := range r.GetFrom() {
		s := from.GetSource()
		var b fieldBuilder
		b.at = at.At("from[" + strconv.Itoa(i) + "].source")
		if s != nil {
			b.add("principals", "notPrincipals", sourcePrincipal, s.Principals, s.NotPrincipals)
			b.add("requestPrincipals", "notRequestPrincipals", requestPrincipal, s.RequestPrincipals, s.NotRequestPrincipals)
			b.add("serviceAccounts", "notServiceAccounts", serviceAccount(c.namespace), s.ServiceAccounts, s.NotServiceAccounts)
			b.add("trustDomains", "notTrustDomains", sourceTrustDomain, s.TrustDomains, s.NotTrustDomains)
			b.add("namespaces", "notNamespaces", sourceNamespace, s.Namespaces, s.NotNamespaces)
			b.add("remoteIpBlocks", "notRemoteIpBlocks", remoteIP, s.RemoteIpBlocks, s.NotRemoteIpBlocks)
			b.add("ipBlocks", "notIpBlocks", sourceIP, s.IpBlocks, s.NotIpBlocks)
		}
		out = append(out, b.fields)
	}
	return out
}

func (c *ruleCompiler) toFields(r *securityapi.Rule, at origin.Origin) [][]field {
	out := make([][]field, 0, len(r.GetTo()))
	for i, to := range r.GetTo() {
		o := to.GetOperation()
		var b fieldBuilder
		b.at = at.At("to[" + strconv.Itoa(i) + "].operation")
		if o != nil {
			b.add("hosts", "notHosts", operationHost, o.Hosts, o.NotHosts)
			b.add("methods", "notMethods", operationMethod, o.Methods, o.NotMethods)
			b.add("paths", "notPaths", operationPath, o.Paths, o.NotPaths)
			b.add("ports", "notPorts", destinationPort, o.Ports, o.NotPorts)
		}
		out = append(out, b.fields)
	}
	return out
}

type fieldBuilder struct {
	at     origin.Origin
	fields []field
}

func (b *fieldBuilder) add(name, notName string, a attribute, values, notValues []string) {
	if len(values) == 0 && len(notValues) == 0 {
		return
	}
	b.fields = append(b.fields, field{
		attribute: a, key: name, values: values, notValues: notValues,
		origin: b.at.At(name), notOrigin: b.at.At(notName),
	})
}
