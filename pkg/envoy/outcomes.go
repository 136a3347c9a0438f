package envoy

import (
	"slices"
	"strings"
)

// outcome of one run: what may come of it, each verdict with what it depends on.
type ending struct {
	transport Transport
	asked     []choice
	verdicts  []Verdict
	upstream  *Upstream
	unsure    *Missing
}

// outcomes collects what came of all runs.
type outcomes struct {
	first    *evaluation
	endings  []ending
	branches BranchSet
}

func (o *outcomes) add(e *evaluation) {
	if o.first == nil {
		o.first = e
	}
	last := e.verdict
	last.On = last.On.union(e.on)
	end := ending{transport: e.transport, asked: e.s.asked, verdicts: append([]Verdict{last}, e.also...)}
	if last.Decision == Allowed {
		end.upstream, end.unsure = e.s.upstream(), e.unsure
		if e.entered != nil && !e.s.hasPayload && !e.entered.equal(end.upstream) {
			end.upstream.Entered = e.entered
		}
	}
	o.endings = append(o.endings, end)
	o.branches.Union(e.s.br)
}

// trace folds the outcomes: one verdict if they all agree on what the client sees.
func (o *outcomes) trace() Trace {
	e := o.first
	t := Trace{Verdict: e.verdict, Steps: e.steps, Branches: o.branches, Passages: o.passages(), Seen: e.seen()}
	if v := Combine(o.distinct()); v.Decision == Undetermined {
		t.Verdict = v
		return t
	}
	if t.Verdict.Decision == Allowed && o.oneUpstream() {
		t.Upstream = o.endings[0].upstream
	}
	return t
}

// distinct are the verdicts that a client can tell apart, in the order in which
// they came up, each with all that it depends on.
func (o *outcomes) distinct() []Verdict {
	matters := o.questionsThatMatter()
	transport := o.transportMatters()
	var out []Verdict
	for _, end := range o.endings {
		var on Deps
		if transport {
			on = on.union(Deps{o.first.r.Connection.Transport.Missing})
		}
		for _, c := range end.asked {
			if matters[c.id] {
				on = on.union(Deps{c.missing})
			}
		}
		for _, v := range end.verdicts {
			v.On = v.On.union(on)
			i := slices.IndexFunc(out, func(d Verdict) bool { return sameAnswer(d, v) })
			if i < 0 {
				out = append(out, v)
				continue
			}
			out[i].On = out[i].On.union(v.On)
		}
	}
	return out
}

// verdictSet is a set of verdicts that a client can tell apart.
type verdictSet []Verdict

func (vs verdictSet) has(v Verdict) bool {
	return slices.ContainsFunc(vs, func(o Verdict) bool { return sameAnswer(o, v) })
}

func (vs verdictSet) with(more []Verdict) verdictSet {
	for _, v := range more {
		if !vs.has(v) {
			vs = append(vs, v)
		}
	}
	return vs
}

func (vs verdictSet) equal(o verdictSet) bool {
	return len(vs) == len(o) && !slices.ContainsFunc(vs, func(v Verdict) bool { return !o.has(v) })
}

// fork is a question at one place of the tree of runs: what comes of either answer.
type fork struct {
	id   any
	with [2]verdictSet
}

// questionsThatMatter are those of which the answer changes what may come,
// whatever the answers to the questions before.
func (o *outcomes) questionsThatMatter() map[any]bool {
	forks := map[string]*fork{}
	for _, end := range o.endings {
		path := string(rune('a' + end.transport))
		for _, c := range end.asked {
			f := forks[path]
			if f == nil {
				f = &fork{id: c.id}
				forks[path] = f
			}
			side, mark := 0, "-"
			if c.answer {
				side, mark = 1, "+"
			}
			f.with[side] = f.with[side].with(end.verdicts)
			path += mark
		}
	}
	matters := map[any]bool{}
	for _, f := range forks {
		if !f.with[0].equal(f.with[1]) {
			matters[f.id] = true
		}
	}
	return matters
}

// transportMatters reports whether the verdicts differ by how the bytes arrive,
// where that is not known.
func (o *outcomes) transportMatters() bool {
	if o.first.r.Connection.Transport.IsKnown() {
		return false
	}
	by := map[Transport]verdictSet{}
	for _, end := range o.endings {
		by[end.transport] = by[end.transport].with(end.verdicts)
	}
	for _, vs := range by {
		if !vs.equal(by[o.first.transport]) {
			return true
		}
	}
	return false
}

// oneUpstream reports whether the application gets the same in all runs.
func (o *outcomes) oneUpstream() bool {
	first := o.endings[0].upstream
	for _, end := range o.endings {
		if end.upstream == nil || first == nil || !end.upstream.equal(first) {
			return false
		}
	}
	return true
}

func (u *Upstream) equal(o *Upstream) bool {
	if (u.Entered == nil) != (o.Entered == nil) || u.Entered != nil && !u.Entered.equal(o.Entered) {
		return false
	}
	return u.Method == o.Method && u.Authority == o.Authority && u.Path == o.Path && u.Scheme == o.Scheme && u.Bytes == o.Bytes &&
		slices.Equal(u.Headers, o.Headers) && slices.Equal(u.Unknown, o.Unknown)
}

// Combine folds verdicts of which one will come true: into that one where a client
// cannot tell them apart, else into an Undetermined one that depends on all that they
// depend on. There must be at least one.
func Combine(all []Verdict) Verdict {
	var distinct []Verdict
	for _, v := range all {
		i := slices.IndexFunc(distinct, func(d Verdict) bool { return sameAnswer(d, v) })
		if i < 0 {
			distinct = append(distinct, v)
			continue
		}
		distinct[i].On = distinct[i].On.union(v.On)
	}
	if len(distinct) == 1 && distinct[0].Decision != Undetermined {
		return distinct[0]
	}
	var on Deps
	known := make([]Verdict, 0, len(distinct))
	for _, d := range distinct {
		on = on.union(d.On)
		if d.Decision != Undetermined {
			known = append(known, d)
		}
	}
	sortSeverity(known)
	return Verdict{Decision: Undetermined, Possible: known, On: on}
}

// passages are the ways through, each once.
func (o *outcomes) passages() []Passage {
	var out []Passage
	for _, end := range o.endings {
		if end.upstream == nil {
			continue
		}
		on := end.verdicts[0].On
		if t := o.first.r.Connection.Transport; !t.IsKnown() {
			on = on.union(Deps{t.Missing})
		}
		for _, c := range end.asked {
			on = on.union(Deps{c.missing})
		}
		i := slices.IndexFunc(out, func(p Passage) bool { return p.Unsure == end.unsure && p.Upstream.equal(end.upstream) })
		if i < 0 {
			out = append(out, Passage{Upstream: end.upstream, On: on, Unsure: end.unsure})
			continue
		}
		out[i].On = out[i].On.union(on)
	}
	return out
}

// Replied gives a verdict that a proxy makes up itself the form in which the client of
// such a request reads it.
func (v Verdict) Replied(method string, grpc bool) Verdict {
	if grpc {
		code := grpcStatus(v.Status)
		v.GRPCStatus, v.Status = &code, 200
	}
	if method == "HEAD" {
		v.Body = ""
	}
	return v
}

// Same reports whether a client could not tell two verdicts apart.
func (v Verdict) Same(o Verdict) bool { return sameAnswer(v, o) }

// sameAnswer reports whether a client could not tell two verdicts apart.
func sameAnswer(a, b Verdict) bool {
	if a.Decision != b.Decision || a.Status != b.Status || a.Body != b.Body {
		return false
	}
	return (a.GRPCStatus == nil) == (b.GRPCStatus == nil) && (a.GRPCStatus == nil || *a.GRPCStatus == *b.GRPCStatus)
}

// upstream is the request as the application gets it.
func (s *state) upstream() *Upstream {
	u := &Upstream{Method: s.method, Authority: s.authority, Path: s.path, Scheme: s.scheme, Bytes: s.bytes}
	for _, h := range s.headers {
		if strings.HasPrefix(h.name, ":") {
			continue // the codec sends those that it knows, from elsewhere
		}
		if s.wrote && routerReads[h.name] {
			continue
		}
		if h.missing == nil {
			u.Headers = append(u.Headers, Header{Name: h.name, Value: h.value})
		} else {
			u.Unknown, u.Missing = append(u.Unknown, h.name), append(u.Missing, h.missing)
		}
	}
	return u
}
