// Package tcases holds the conformance cases T001 to T136 as data: a mesh, a
// request and what is expected of them, in the words of the specification that
// the numbers come from. Most rows are several cases, named T004/exp-60 and so on.
// Envoy's own answers to them are in testdata/answers.json, written by the runner
// of test/conformance, so that unit tests hold the evaluator against a real Envoy
// without one.
//
// It imports internal/testkit/judge and internal/testkit/mint, and nothing else of
// this module; tests and test/conformance may import it.
package tcases

import (
	"slices"
	"strings"

	"github.com/asmjwt/kubectl-asmjwt/internal/testkit/judge"
)

// What a case may need beyond one Envoy and an HTTP request: values of Case.Needs.
const (
	// NeedsExtAuthz is an external authorizer that speaks HTTP, at the Service
	// ext-authz of namespace foo, port 8000. It answers 302 where the request has
	// the header x-ext-authz: redirect, else 200.
	NeedsExtAuthz = "ext-authz"
	// NeedsTCP is a port that carries bytes: the judge sends its HTTP request
	// through it, and Details are the connection's termination details.
	NeedsTCP = "tcp"
)

// Case is one case of a row.
type Case struct {
	judge.Case
	Expect Expect
	// Row is the row that the case belongs to ("T004").
	Row string
	// Needs is empty or one of the constants above.
	Needs string
}

// All returns every case, in the order of the rows.
func All() []Case {
	s := &set{}
	for _, add := range []func(*set){
		claims, audiences, formats, keys, keySets, locations, headerLocations, issuers, issuerErrors,
		principals, principalForms, claimValues, identityOrder, paths, pathForms, hosts, headers, network,
		actions, reports, attachment, atWaypoint, custom, identities, transport, tcp,
	} {
		add(s)
	}
	slices.SortStableFunc(s.cases, func(a, b Case) int { return strings.Compare(a.Row, b.Row) })
	return s.cases
}

// NotRunnable says why one Envoy cannot show a row, or the part of a row after the
// slash.
func NotRunnable() map[string]string {
	return map[string]string{
		"T061/before-1.31": "an Envoy before 1.31, which leaves the query parameter: the judge runs one version",
		"T106/before":      "an Envoy without the fix of CVE-2026-26308: the judge runs one version",
		"T107/before":      "an Envoy without the fix of CVE-2026-26308: the judge runs one version",
		"T134":             "ztunnel, which is not Envoy",
		"T135":             "ztunnel, which is not Envoy",
	}
}

// set collects cases.
type set struct{ cases []Case }

// add puts a case into the set; its row is the part of the name before the slash.
func (s *set) add(name, mesh string, req judge.Request, want Expect) *Case {
	row, _, _ := strings.Cut(name, "/")
	if req.Method == "" {
		req.Method = "GET"
	}
	if req.Host == "" {
		req.Host = "httpbin.foo:8000"
	}
	if req.Path == "" {
		req.Path = "/get"
	}
	s.cases = append(s.cases, Case{
		Case: judge.Case{
			Name: name, Mesh: mesh, Target: "deploy/httpbin", Namespace: "foo", Port: 8080, Request: req,
		},
		Expect: want, Row: row,
	})
	return &s.cases[len(s.cases)-1]
}
