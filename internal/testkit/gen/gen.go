// Package gen makes random meshes and requests to them, from a seed, for holding
// the evaluator against a real Envoy. A request is derived from the patterns that
// the mesh has in play: values that fit, values that just do not, the other side
// of a negation. Two meshes in five have one condition that decides, so that a
// mistake in it cannot hide behind another.
//
// It imports internal/testkit/judge and internal/testkit/mint, and nothing else of
// this module; tests and test/conformance may import it. What was generated is
// the same for a seed as long as this package is.
package gen

import (
	"fmt"
	"maps"
	"math/rand/v2"

	"github.com/asmjwt/kubectl-asmjwt/internal/testkit/judge"
)

// Gen generates. It is not for several goroutines at once.
type Gen struct {
	seed   uint64
	next   uint64
	counts map[string]int
}

// New returns the generator of that seed.
func New(seed uint64) *Gen {
	return &Gen{seed: seed, counts: map[string]int{}}
}

// Counts says how often each feature was generated so far: fields and their
// wildcard forms ("paths/prefix"), keys of conditions, claim types, token defects,
// token locations and the like.
func (g *Gen) Counts() map[string]int { return maps.Clone(g.counts) }

// MeshCase is a mesh with one workload and port to send requests to.
type MeshCase struct {
	// Name tells seed and number, from which the mesh can be made again.
	Name string
	YAML string
	// Target, Namespace, Port, JWKS and RemoteJWKS are those of judge.Case.
	Target     string
	Namespace  string
	Port       int
	JWKS       map[string]string
	RemoteJWKS string
	// Via is that of judge.Case: the first of two hops.
	Via judge.Hop
	// Single says that one condition decides.
	Single bool
	// About lists the patterns in play, for people.
	About []string

	number uint64
	play   play
}

// play is what the requests are derived from.
type play struct {
	gateway bool
	// bytes says that the port carries bytes, not HTTP.
	bytes bool
	// auto says that what the port carries is sniffed, waypoint that clients come
	// through HBONE; host is the host of every request, where it says what is asked.
	auto, waypoint bool
	host           string
	// server is how the gateway's port is served: "HTTP", "SIMPLE", "MUTUAL" or
	// "PASSTHROUGH".
	server string
	hosts  []string // of the gateway's servers, for SNI
	// strict says that plaintext is refused, disable that mTLS is.
	strict, disable bool
	trustDomains    []string
	hops            int
	rules           []ruleCond // rules of policies
	jwt             []jwtRule
	focus           string // what a single mesh is about
}

// ruleCond is a rule of a policy as a list of alternatives: those of from, those
// of to, and conditions that must all hold.
type ruleCond struct {
	namespace string // of the policy
	from, to  [][]cond
	when      []cond
}

// cond is one condition: an attribute of the request against patterns.
type cond struct {
	attr   attr
	name   string   // of a header
	claim  []string // path of a claim
	values []string
	not    []string
}

// Mesh makes the next mesh.
func (g *Gen) Mesh() MeshCase {
	g.next++
	b := &builder{dice: g.dice(g.next, 0)}
	b.m = MeshCase{Name: fmt.Sprintf("seed-%d/mesh-%d", g.seed, g.next), number: g.next, JWKS: map[string]string{}}
	b.build()
	g.count(b.dice.tags)
	return b.m
}

// Requests makes n requests to the mesh. They depend on the seed, the mesh and n alone.
func (g *Gen) Requests(m MeshCase, n int) []judge.Case {
	d := g.dice(m.number, 1)
	out := make([]judge.Case, n)
	for i := range out {
		out[i] = judge.Case{
			Name: fmt.Sprintf("%s/%d", m.Name, i), Mesh: m.YAML, Target: m.Target, Namespace: m.Namespace, Port: m.Port,
			JWKS: m.JWKS, RemoteJWKS: m.RemoteJWKS, Via: m.Via, Request: request(d, m.play),
		}
	}
	if m.Via.Target != "" {
		for i := range out {
			withinLimits(&out[i].Request)
		}
	}
	g.count(d.tags)
	return out
}

func (g *Gen) count(tags map[string]int) {
	for tag, n := range tags {
		g.counts[tag] += n
	}
}

// dice is the source of chance of one part of one mesh.
func (g *Gen) dice(number, part uint64) *dice {
	first := mix(g.seed ^ mix(number<<1|part))
	return &dice{Rand: rand.New(rand.NewPCG(first, mix(first))), tags: map[string]int{}}
}

// mix is the finalizer of SplitMix64, so that neighbours have nothing in common.
func mix(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}
