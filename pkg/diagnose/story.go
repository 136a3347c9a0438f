package diagnose

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/asmjwt/kubectl-asmjwt/pkg/diag"
	"github.com/asmjwt/kubectl-asmjwt/pkg/envoy"
	"github.com/asmjwt/kubectl-asmjwt/pkg/istio"
	"github.com/asmjwt/kubectl-asmjwt/pkg/jwt"
	"github.com/asmjwt/kubectl-asmjwt/pkg/mesh"
)

// story is all that is known of one answer, for those who put it into words. What
// decides is never decided here: the verdict is that of the trace.
type story struct {
	in    Intent
	snap  *mesh.Snapshot
	w     mesh.Workload
	port  istio.PortInfo
	res   *istio.Result
	req   *envoy.Request
	keys  envoy.Keys
	trace envoy.Trace
	// tokens are those that the providers find, with their texts: secrets.
	tokens []envoy.FoundToken
	// why is the reason, once it is found.
	why reason
}

// reason is why a verdict is what it is: in a few words, in a sentence or two, and
// the code of the page about it.
type reason struct {
	summary, because string
	code             diag.Code
}

// tell puts the reason and the findings into the diagnosis.
func (s *story) tell(d *Diagnosis) {
	r := s.reason()
	s.why = r
	d.Summary, d.Because, d.Code = r.summary, r.because, r.code
	d.Findings = append(d.Findings, s.findings()...)
}

func (s *story) reason() reason {
	switch s.trace.Verdict.Decision {
	case envoy.Denied:
		return s.denied()
	case envoy.Allowed:
		return s.allowed()
	default:
		return s.undetermined()
	}
}

// denied is the reason for a refusal, by the part of the proxy that refuses.
func (s *story) denied() reason {
	if len(s.trace.Steps) == 0 {
		return reason{}
	}
	last := s.trace.Steps[len(s.trace.Steps)-1]
	switch last.Stage {
	case envoy.StageConnection:
		return s.closed(last)
	case envoy.StageCodec, envoy.StagePath:
		return s.rejected(last)
	case envoy.StageJWT:
		return s.badToken(last)
	case envoy.StageDeny:
		return s.deniedBy(last)
	case envoy.StageCustom:
		return s.badAuthorizer(last)
	case envoy.StageAllow:
		return s.notAllowed(last)
	default:
		return reason{summary: last.Note, because: last.Note}
	}
}

// providers are the rules for tokens that reach the port's own chains.
func (s *story) providers() []*envoy.Provider { return providers(s.res.Proxy) }

// provider is the rule for tokens that a step belongs to.
func (s *story) provider(st envoy.Step) *envoy.Provider {
	for _, p := range s.providers() {
		if p.Origin == st.Origin {
			return p
		}
	}
	return nil
}

// tokenAt is the token at a place for which the test holds; the last one, which the
// proxy looks at first. It is nil where none parses.
func (s *story) tokenAt(location string, fits func(*jwt.Token, jwt.Status) bool) (text string, tok *jwt.Token, ok bool) {
	for _, f := range slices.Backward(s.tokens) {
		if f.Location != location {
			continue
		}
		if t, status := jwt.Parse(f.Text); fits(t, status) {
			return f.Text, t, true
		}
	}
	return "", nil, false
}

// payload is what the token says that the proxy has verified; false where it has
// verified none.
func (s *story) payload() (jwt.Value, bool) {
	for _, stage := range slices.Backward(s.trace.Steps) {
		if stage.Stage != envoy.StageJWT {
			continue
		}
		for _, p := range slices.Backward(stage.Steps) {
			if p.Outcome != envoy.Matched || len(p.Steps) == 0 {
				continue
			}
			t := p.Steps[len(p.Steps)-1]
			_, tok, ok := s.tokenAt(t.Got, func(_ *jwt.Token, status jwt.Status) bool { return status == jwt.OK })
			if ok && t.Outcome == envoy.Matched {
				var words []string
				if prov := s.provider(p); prov != nil {
					words = prov.SpaceDelimited
				}
				return jwt.NormalizeSpaceDelimited(tok.Payload, words), true
			}
		}
	}
	return jwt.Value{}, false
}

// preflight reports whether the tokens of the request were not looked at, since it
// is a CORS preflight.
func (s *story) preflight() bool {
	return s.req.Method == "OPTIONS" && slices.ContainsFunc(s.trace.Steps, func(st envoy.Step) bool {
		return st.Stage == envoy.StageJWT && st.Outcome == envoy.Skipped && strings.Contains(st.Note, "preflight")
	})
}

// quote quotes what a stranger wrote.
func quote(v string) string { return strconv.Quote(v) }

// list is a few values in words: "a", "b" and 3 more.
func list(values []string, word string) string {
	const most = 4
	out := make([]string, 0, len(values))
	for _, v := range values {
		out = append(out, quote(v))
	}
	if len(out) > most {
		out = append(out[:most-1], fmt.Sprintf("%d more", len(values)-most+1))
	}
	return join(out, word)
}

// join makes "a, b or c" of several texts.
func join(parts []string, word string) string {
	if len(parts) < 2 {
		return strings.Join(parts, "")
	}
	return strings.Join(parts[:len(parts)-1], ", ") + " " + word + " " + parts[len(parts)-1]
}

func counted(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}

// rule names a rule of a policy shortly: foo/p rules[0].
func rule(st envoy.Step) string {
	name := st.Origin.Namespace + "/" + st.Origin.Name
	if f := strings.TrimPrefix(st.Origin.Field, "spec."); f != "" {
		name += " " + f
	}
	return name
}
