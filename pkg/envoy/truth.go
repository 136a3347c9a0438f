package envoy

import "sort"

// Truth is a three-valued truth value.
type Truth uint8

// The truth values. Unknown is what a condition has whose answer depends on a
// fact that nobody gave.
const (
	False Truth = iota
	True
	Unknown
)

// String names the truth value.
func (t Truth) String() string {
	switch t {
	case False:
		return "false"
	case True:
		return "true"
	default:
		return "unknown"
	}
}

// Missing is one fact that an evaluation needed and did not have. Two Missing
// with the same What are the same fact.
type Missing struct {
	// What is the fact in words: "the client's identity".
	What string
	// Why says why it is not known.
	Why string
	// Hint names the flag or the permission that would supply it.
	Hint string
}

// Deps is a set of facts, sorted by What. The nil set is empty. A Deps is never
// changed after it was made.
type Deps []*Missing

// And returns the facts that are in either set.
func (d Deps) And(o Deps) Deps { return d.union(o) }

// union returns the facts that are in either set.
func (d Deps) union(o Deps) Deps {
	if len(o) == 0 {
		return d
	}
	if len(d) == 0 {
		return o
	}
	out := make(Deps, 0, len(d)+len(o))
	out = append(out, d...)
next:
	for _, m := range o {
		for _, have := range d {
			if have.What == m.What {
				continue next
			}
		}
		out = append(out, m)
	}
	sort.Slice(out, func(i, j int) bool { return out[i].What < out[j].What })
	return out
}

// Tri is a truth value with the facts that it depends on; On is empty unless T
// is Unknown.
type Tri struct {
	T  Truth
	On Deps
}

var (
	yes = Tri{T: True}
	no  = Tri{T: False}
)

func truth(b bool) Tri {
	if b {
		return yes
	}
	return no
}

func unknown(m *Missing) Tri { return Tri{T: Unknown, On: Deps{m}} }

// not negates: unknown stays unknown.
func (t Tri) not() Tri {
	switch t.T {
	case True:
		return no
	case False:
		return yes
	default:
		return t
	}
}

// and is Kleene's conjunction: false wins over unknown.
func (t Tri) and(o Tri) Tri {
	switch {
	case t.T == False || o.T == False:
		return no
	case t.T == Unknown || o.T == Unknown:
		return Tri{T: Unknown, On: t.On.union(o.On)}
	default:
		return yes
	}
}

// or is Kleene's disjunction: true wins over unknown.
func (t Tri) or(o Tri) Tri {
	switch {
	case t.T == True || o.T == True:
		return yes
	case t.T == Unknown || o.T == Unknown:
		return Tri{T: Unknown, On: t.On.union(o.On)}
	default:
		return no
	}
}

// Fact is a value that may be unknown: Value holds unless Missing is set.
type Fact[T any] struct {
	Value   T
	Missing *Missing
}

// Known makes a fact that is known.
func Known[T any](v T) Fact[T] { return Fact[T]{Value: v} }

// NotKnown makes a fact that is not.
func NotKnown[T any](m *Missing) Fact[T] { return Fact[T]{Missing: m} }

// IsKnown reports whether the value may be used.
func (f Fact[T]) IsKnown() bool { return f.Missing == nil }

// TriOf is a truth value that is known, for other evaluators than this package's.
func TriOf(b bool) Tri { return truth(b) }

// TriUnknown is a truth value that depends on a fact that nobody gave.
func TriUnknown(m *Missing) Tri { return unknown(m) }

// Not negates: unknown stays unknown.
func (t Tri) Not() Tri { return t.not() }

// And is Kleene's conjunction: false wins over unknown.
func (t Tri) And(o Tri) Tri { return t.and(o) }

// Or is Kleene's disjunction: true wins over unknown.
func (t Tri) Or(o Tri) Tri { return t.or(o) }

// Union returns the facts that are in either set.
func (d Deps) Union(o Deps) Deps { return d.union(o) }
