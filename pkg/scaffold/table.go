package scaffold

import (
	"encoding/base64"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/asmjwt/kubectl-asmjwt/pkg/diagnose"
	"github.com/asmjwt/kubectl-asmjwt/pkg/envoy"
	"github.com/asmjwt/kubectl-asmjwt/pkg/istio"
	"github.com/asmjwt/kubectl-asmjwt/pkg/mesh"
)

// Table is what requests get, by what they ask for and which token they bring.
type Table struct {
	// Of are the workloads, with their ports, that the table is of.
	Of []string
	// Asked are the same as they were asked about, in the same order.
	Asked []Asked
	// Caller is who asks, where it matters; empty where it does not.
	Caller  string
	Columns []string
	Rows    []Row
}

// Asked is one port of one workload.
type Asked struct {
	Target    mesh.Target
	Namespace string
	Port      int
	Host      string // of what a waypoint fronts; empty elsewhere
}

// Row is one kind of request.
type Row struct {
	Label string
	Cells []Cell
}

// Cell is one answer. Was is what it is without the new objects, where that is known.
type Cell struct {
	Is, Was string
	// Request is what was asked, for those who want to ask a proxy the same.
	Request Probe
}

// Probe is a request with a token that is described, not written.
type Probe struct {
	Method, Path string
	Headers      []envoy.Header
	Token        Token
}

// Token says what a token is like.
type Token struct {
	// None is set where there is no token.
	None   bool
	Issuer Issuer
	// Bad is set where the signature is wrong.
	Bad bool
	// Claims are those that it has besides iss, sub, aud and exp.
	Claims []Claim
	NoSub  bool
}

// Judgement is what Judge needs.
type Judgement struct {
	Plan *Plan
	// Objects are the plan's as they are to be applied, read back.
	Objects []*mesh.Object
	// Before is what is there; nil where nothing was read.
	Before *mesh.Snapshot
	// Time is that of the requests, in seconds since the epoch.
	Time int64
}

// Outcome is what the objects come to.
type Outcome struct {
	Tables []Table
	// Changes are what is different for requests to workloads that are there already.
	Changes []string
	Notes   []Note
	// Mesh is all that there is once the objects are applied, as far as it is known.
	Mesh *mesh.Snapshot
	// More is how many workloads were not asked about, since there are so many.
	More int
}

// mostSubjects bounds how many workloads are asked about.
const mostSubjects = 40

// subject is one port of one workload.
type subject struct {
	Asked
	name string
}

// Judge computes the truth table of the objects, and what they change.
func Judge(j Judgement) (*Outcome, error) {
	out := &Outcome{}
	before := j.Before
	subjects, err := j.subjects()
	if err != nil {
		return nil, err
	}
	if len(subjects) == 0 {
		// Nothing that is there is reached, or nothing was read: a workload as it may be.
		if before, err = j.Plan.imagined(); err != nil {
			return nil, err
		}
		subjects = j.Plan.imaginedSubject()
	}
	if len(subjects) > mostSubjects {
		out.More = len(subjects) - mostSubjects
		subjects = subjects[:mostSubjects]
	}
	after, err := before.With(j.Objects)
	if err != nil {
		return nil, err
	}
	out.Mesh = after
	q := &question{j: j, before: before, after: after}
	for _, s := range subjects {
		t, err := q.table(s)
		if err != nil {
			return nil, err
		}
		if j.Before != nil && len(j.Plan.Place.Workloads) > 0 {
			if err := q.changes(out, s, t); err != nil {
				return nil, err
			}
		}
		out.add(t)
	}
	if err := j.Plan.reached(out); err != nil {
		return nil, err
	}
	return out, nil
}

// add puts a table to those that say the same.
func (o *Outcome) add(t Table) {
	for i := range o.Tables {
		if sameTable(o.Tables[i], t) {
			o.Tables[i].Of, o.Tables[i].Asked = append(o.Tables[i].Of, t.Of...), append(o.Tables[i].Asked, t.Asked...)
			return
		}
	}
	o.Tables = append(o.Tables, t)
}

func sameTable(a, b Table) bool {
	return a.Caller == b.Caller && slices.Equal(a.Columns, b.Columns) && slices.EqualFunc(a.Rows, b.Rows, func(x, y Row) bool {
		return x.Label == y.Label && slices.EqualFunc(x.Cells, y.Cells, func(c, d Cell) bool { return c.Is == d.Is })
	})
}

// subjects are the ports of the workloads that are reached and that speak HTTP.
func (j Judgement) subjects() ([]subject, error) {
	var out []subject
	seen := map[string]bool{}
	for _, w := range j.Plan.Place.Workloads {
		t, ok := mesh.TargetOf(w.Ref.Kind, w.Ref.Name)
		if !ok {
			continue
		}
		ports, err := istio.Ports(j.Before, w)
		if err != nil {
			return nil, err
		}
		for _, p := range ports {
			if p.Protocol == istio.ProtocolTCP {
				continue
			}
			s := subject{Asked: Asked{Target: t, Namespace: w.Namespace, Port: p.Number}, name: nameOf(w) + ", port " + strconv.Itoa(p.Number)}
			if p.Fronted != nil {
				if !j.fronts(p.Fronted) {
					continue
				}
				s.Host = p.Fronted.Host
				s.name = fmt.Sprintf("%s for %s:%d", nameOf(w), p.Fronted.Host, p.Number)
			}
			if !seen[s.name] {
				seen[s.name] = true
				out = append(out, s)
			}
		}
		if len(ports) == 0 {
			for _, c := range w.Containers {
				for _, p := range c.Ports {
					s := subject{Asked: Asked{Target: t, Namespace: w.Namespace, Port: p.Number}, name: nameOf(w) + ", port " + strconv.Itoa(p.Number)}
					if c.Name != mesh.ProxyContainerName && !seen[s.name] {
						seen[s.name] = true
						out = append(out, s)
					}
				}
			}
		}
	}
	return out, nil
}

// fronts reports whether the policies are for requests to what a waypoint fronts.
func (j Judgement) fronts(f *istio.Fronted) bool {
	services := false
	for _, r := range j.Plan.Place.Refs {
		if r.Kind != "Service" && r.Kind != "ServiceEntry" {
			continue
		}
		services = true
		if f.Ref.Kind == r.Kind && f.Name == r.Name {
			return true
		}
	}
	return !services
}

// question asks what requests get.
type question struct {
	j             Judgement
	before, after *mesh.Snapshot
}

// table asks about one port: by a caller of whom nothing is known, and where that
// matters, by one of the mesh.
func (q *question) table(s subject) (Table, error) {
	t, unsure, err := q.ask(s, "")
	if err != nil || !unsure {
		return t, err
	}
	caller := q.j.Plan.trustDomain + "/ns/" + s.Namespace + "/sa/default"
	again, _, err := q.ask(s, caller)
	if err != nil {
		return t, err
	}
	if undetermined(again) < undetermined(t) {
		again.Caller = caller
		return again, nil
	}
	return t, nil
}

func undetermined(t Table) int {
	n := 0
	for _, r := range t.Rows {
		for _, c := range r.Cells {
			n += b2i(strings.HasPrefix(c.Is, "?"))
		}
	}
	return n
}

func (q *question) ask(s subject, caller string) (Table, bool, error) {
	t := Table{Of: []string{s.name}, Asked: []Asked{s.Asked}}
	tokens := q.j.Plan.tokens()
	for _, c := range tokens {
		t.Columns = append(t.Columns, c.name)
	}
	unsure := false
	for _, r := range q.j.Plan.rows() {
		row := Row{Label: r.label}
		for _, c := range tokens {
			probe := Probe{Method: r.method, Path: r.path, Headers: r.headers, Token: c.token}
			is, err := q.answer(q.after, s, probe, caller)
			if err != nil {
				return t, false, err
			}
			cell := Cell{Is: is, Request: probe}
			if q.j.Before != nil {
				if cell.Was, err = q.answer(q.before, s, probe, caller); err != nil {
					return t, false, err
				}
			}
			unsure = unsure || strings.HasPrefix(is, "?")
			row.Cells = append(row.Cells, cell)
		}
		t.Rows = append(t.Rows, row)
	}
	return t, unsure, nil
}

// answer is what one request gets: a status, "closed", or "?" with what is possible.
func (q *question) answer(snap *mesh.Snapshot, s subject, p Probe, caller string) (string, error) {
	in := diagnose.Intent{
		Target: s.Target, Namespace: s.Namespace, Port: diagnose.Port{Number: s.Port}, Host: s.Host,
		Method: p.Method, Path: p.Path, Headers: slices.Clone(p.Headers), Time: q.j.Time,
	}
	if !q.j.Plan.Version.IsZero() && q.j.Plan.VersionFrom == "flag" {
		in.IstiodVersion, in.ProxyVersion = q.j.Plan.Version.String(), q.j.Plan.Version.String()
	}
	in.Caller.Principal = caller
	if verifies := !p.Token.Bad; !p.Token.None {
		in.Verifies = &verifies
		PutToken(&in.Path, &in.Headers, p.Token.Issuer, testToken(p.Token, q.j.Time))
	}
	d, err := diagnose.Run(in, snap)
	var ports *diagnose.PortsError
	switch {
	case errors.As(err, &ports):
		return "?", nil
	case err != nil:
		return "", err
	}
	return words(d.Verdict), nil
}

// words is a verdict in a cell.
func words(v diagnose.Verdict) string {
	switch {
	case v.Decision == envoy.Undetermined:
		var all []string
		for _, s := range v.Possible {
			if s == 0 {
				all = append(all, "closed")
			} else {
				all = append(all, strconv.Itoa(s))
			}
		}
		return "? " + strings.Join(all, " or ")
	case v.Decision == envoy.Denied && v.Status == 0:
		return "closed"
	default:
		return strconv.Itoa(v.Status)
	}
}

// request is a kind of request.
type request struct {
	label, method, path string
	headers             []envoy.Header
}

// rows are the requests that the table asks for.
func (p *Plan) rows() []request {
	var out []request
	for _, path := range p.exempt {
		label := path
		if slices.Contains(p.probes, path) {
			label += " (health check)"
		}
		out = append(out, request{label: label, method: "GET", path: sample(path)})
	}
	other := otherPath(p.exempt)
	if p.intent.Preflight {
		path := other
		if path == "" {
			path = "/"
		}
		out = append(out, request{label: "CORS preflight", method: "OPTIONS", path: path, headers: []envoy.Header{
			{Name: "Origin", Value: "https://app.example.com"}, {Name: "Access-Control-Request-Method", Value: "GET"},
		}})
	}
	label := "any path"
	if len(p.exempt) > 0 {
		label = "any other path"
	}
	if other != "" {
		out = append(out, request{label: label, method: "GET", path: other})
	}
	return out
}

// column is a kind of token.
type column struct {
	name  string
	token Token
}

// tokens are the columns: no token, a good one of each issuer, one that lacks the
// claims, a bad one.
func (p *Plan) tokens() []column {
	out := []column{{"no token", Token{None: true}}}
	for n, i := range p.intent.Issuers {
		name := "good token"
		if len(p.intent.Issuers) > 1 {
			name += " " + strconv.Itoa(n+1)
		}
		out = append(out, column{name, Token{Issuer: i, Claims: p.intent.claims(), NoSub: p.intent.NoSub}})
	}
	first := p.intent.Issuers[0]
	if claims := p.intent.claims(); len(claims) > 0 {
		out = append(out, column{"other claims", Token{Issuer: first, NoSub: p.intent.NoSub}})
	}
	return append(out, column{"bad token", Token{Issuer: first, Bad: true, Claims: p.intent.claims(), NoSub: p.intent.NoSub}})
}

// Payload is what a token says, as JSON.
func (t Token) Payload(now int64) string {
	claims := Map{{Key: "iss", Value: t.Issuer.Issuer}}
	if !t.NoSub {
		claims = append(claims, Member{Key: "sub", Value: "somebody"})
	}
	if len(t.Issuer.Audiences) > 0 {
		claims = append(claims, Member{Key: "aud", Value: t.Issuer.Audiences[0]})
	}
	claims = append(claims, Member{Key: "exp", Value: now + 3600})
	tree := map[string]any{}
	for _, c := range t.Claims {
		at := tree
		for _, name := range c.Path[:len(c.Path)-1] {
			below, ok := at[name].(map[string]any)
			if !ok {
				below = map[string]any{}
				at[name] = below
			}
			at = below
		}
		at[c.Path[len(c.Path)-1]] = strings.NewReplacer("*", "any").Replace(c.Values[0])
	}
	for _, name := range slices.Sorted(maps.Keys(tree)) {
		if at := slices.IndexFunc(claims, func(m Member) bool { return m.Key == name }); at >= 0 {
			claims[at].Value = tree[name] // sub
			continue
		}
		claims = append(claims, Member{Key: name, Value: tree[name]})
	}
	text, err := plainJSON(claims)
	if err != nil {
		return "{}"
	}
	return string(text)
}

// PutToken puts a token into a request where its issuer has it.
func PutToken(path *string, headers *[]envoy.Header, i Issuer, token string) {
	switch {
	case len(i.FromHeaders) > 0:
		*headers = append(*headers, envoy.Header{Name: i.FromHeaders[0].Name, Value: i.FromHeaders[0].Prefix + token})
	case len(i.FromParams) > 0:
		*path += "?" + i.FromParams[0] + "=" + token
	case len(i.FromCookies) > 0:
		*headers = append(*headers, envoy.Header{Name: "Cookie", Value: i.FromCookies[0] + "=" + token})
	default:
		*headers = append(*headers, envoy.Header{Name: "Authorization", Value: "Bearer " + token})
	}
}

// testToken is a token of the table. Nobody signs it: whether it verifies is said besides,
// since nobody here has the issuers' private keys. RS256 is what every version takes.
func testToken(t Token, now int64) string {
	encode := base64.RawURLEncoding.EncodeToString
	return encode([]byte(`{"alg":"RS256","typ":"JWT"}`)) + "." + encode([]byte(t.Payload(now))) + "." + encode([]byte("no signature"))
}
