// Package ztunnel is the model of ambient's proxy on the node, which looks at
// connections and never into them: the authorization policies as istiod sends
// them, and Evaluate, which decides as ztunnel does and says what decided. It
// knows no Istio object: where a part came from is an origin.Origin that it
// carries along.
//
// It is part of the core and imports pkg/envoy, for the words that both proxies
// share, and pkg/origin; no clock, no writer, no state. A new kind of condition is
// one more Test in tests.go.
package ztunnel

import (
	"github.com/asmjwt/kubectl-asmjwt/pkg/envoy"
	"github.com/asmjwt/kubectl-asmjwt/pkg/origin"
)

// Proxy is a ztunnel as far as it stands in front of one workload.
type Proxy struct {
	// TrustDomain is that of the workload's own certificate. A client of another
	// one does not get through the handshake.
	TrustDomain string
	// Policies are those that reach the workload, in the order in which they came.
	Policies []Policy
}

// Scope is how a policy gets to a workload (ztunnel src/rbac.rs:RbacScope).
type Scope uint8

// The scopes, in the order in which ztunnel gathers policies
// (ztunnel src/state.rs:DemandProxyState.assert_rbac).
const (
	ScopeNamespace Scope = iota
	ScopeGlobal
	ScopeWorkload // istiod has found the workloads by their labels
)

// Action is what a match of a policy means; ztunnel has no third one.
type Action uint8

// The actions.
const (
	Allow Action = iota
	Deny
)

// Policy is one security.Authorization: it matches if one of its rules does, and
// so never without rules (ztunnel src/rbac.rs:Authorization.matches).
type Policy struct {
	// ID is "namespace/name", the policy's name in ztunnel's log.
	ID     string
	Scope  Scope
	Action Action
	Rules  []Rule
	Origin origin.Origin
	// Dropped are the rules that istiod leaves out.
	Dropped []envoy.Dropped
	// Note says what is special about how the policy got here.
	Note string
}

// Rule is a group of clauses that must all match; without clauses it matches
// every connection.
type Rule struct {
	Origin  origin.Origin
	Clauses []Clause
	// Dropped are the parts that istiod cuts out.
	Dropped []envoy.Dropped
	// Reason says why the rule exists, where nobody wrote it as a rule.
	Reason string
}

// Clause is a `from`, a `to` or an entry of `when`: one of its matches must match.
type Clause struct{ Matches []Match }

// Match holds conditions that must all hold. Without any it never matches.
type Match struct {
	Origin     origin.Origin
	Conditions []Condition
}

// Condition is one list of values: one test must pass, or, negated, none may.
type Condition struct {
	Origin origin.Origin
	// Attribute is what is compared, in the policy's words: "principals", or the key
	// of a `when`.
	Attribute string
	Negated   bool
	// Values are those that were written and kept, for the explanation.
	Values []string
	Tests  []Test
}

// Test is the test for one value.
type Test interface {
	test(c *connection, id identity) envoy.Tri
	got(c *connection, id identity) string
}
