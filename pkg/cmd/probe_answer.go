package cmd

import (
	"fmt"
	"strings"

	"github.com/asmjwt/kubectl-asmjwt/pkg/diagnose"
	"github.com/asmjwt/kubectl-asmjwt/pkg/envoy"
	"github.com/asmjwt/kubectl-asmjwt/pkg/probe"
	"github.com/asmjwt/kubectl-asmjwt/pkg/render"
)

// describe says who sent the requests, and where they went.
func (s *scene) describe(r *probe.Report) {
	p := s.sender
	r.From = probe.From{Local: s.o.local, Client: s.client}
	if !s.o.local {
		r.From = probe.From{
			Kind: p.workload.Ref.Kind, Namespace: p.namespace, Name: p.workload.Ref.Name, Pod: p.name, Container: p.container,
			Image: s.image, Proxy: p.hasProxy && !p.pastItself, Client: s.client,
		}
	}
	r.To.URL, r.To.Address = s.o.flags.request.url, s.address
	r.Gaps = append(s.gaps, r.Gaps...)
	if p.pastItself {
		r.Gaps = append(r.Gaps, diagnose.Gap{
			What: "what a client of the mesh gets", Why: "the requests come from the proxy's own container, whose traffic goes past the proxy",
		})
	}
}

// exitCodeOfProbe is the only map from what probe found to exit codes.
func exitCodeOfProbe(r *probe.Report) int {
	code := exitYes
	for _, row := range r.Rows {
		switch {
		case row.Unexpected() || row.Outcome == probe.Differs:
			code = worse(code, exitNo)
		case row.Unknown():
			code = worse(code, exitUnknown)
		}
	}
	return code
}

// next says how to go on: with why, about the row that matters most.
func (o *probeOptions) next(r *probe.Report, trials []probe.Trial) {
	at := worst(r.Rows)
	if at < 0 || len(o.base.Headers) > 0 {
		return
	}
	row, in := r.Rows[at], trials[at].Question.Intent
	words := []string{displayName(o.app.Name), "why", in.Target.String(), "-n", in.Namespace}
	if in.Port.Number != 0 {
		words = append(words, "--port", fmt.Sprint(in.Port.Number))
	}
	for _, v := range in.Via {
		words = append(words, "--via", fmt.Sprintf("%s:%d", v, v.Port.Number))
	}
	if !o.local && !in.Caller.Plaintext && !in.Caller.TLS {
		words = append(words, "--from", in.Caller.From.String())
		if in.Caller.FromNamespace != in.Namespace {
			words = append(words, "--from-namespace", in.Caller.FromNamespace)
		}
	}
	if in.Host != "" {
		words = append(words, "--host", in.Host)
	}
	words = append(words, "--path", quoted(row.Path))
	if in.Method != "GET" {
		words = append(words, "--method", in.Method)
	}
	switch {
	case row.Token == probe.Given && o.given("jwt-env"):
		words = append(words, "--jwt-env", o.flags.token.env)
	case row.Token == probe.Given:
		words = append(words, "--jwt-file", quoted(o.flags.token.file))
	}
	if row.Token == probe.Given && o.flags.token.in != "" {
		words = append(words, "--jwt-in", quoted(o.flags.token.in))
	}
	if row.Unexpected() {
		if _, err := (&whyFlags{expect: row.Expected}).expectation(func(string) bool { return true }); err == nil {
			words = append(words, "--expect", row.Expected) // its fixes are then for that
		}
	}
	r.Next = append(r.Next, strings.Join(words, " "))
}

// quoted is a word as a shell takes it.
func quoted(s string) string {
	if s != "" && strings.Trim(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789/._-:@%+=,$") == "" && !strings.Contains(s, "$") {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}

// worst is the row to go on with: one that is not as it was to be, then one that differs,
// then the given token where it is refused, then no token where it gets through; -1: none.
func worst(rows []probe.Row) int {
	for _, is := range []func(probe.Row) bool{
		probe.Row.Unexpected,
		func(r probe.Row) bool { return r.Outcome == probe.Differs },
		probe.Row.Unknown,
		func(r probe.Row) bool { return r.Token == probe.Given && r.Predicted.Decision == envoy.Denied },
		func(r probe.Row) bool {
			return r.Token == probe.None && r.Predicted.Decision == envoy.Allowed && r.Expected == ""
		},
	} {
		for i, r := range rows {
			// A broken or expired token is no request that anybody wants to get through.
			if is(r) && (r.Token == probe.None || r.Token == probe.Given) {
				return i
			}
		}
	}
	return -1
}

// print prints the report in the form that was asked for.
func (o *probeOptions) print(r *probe.Report) error {
	if done, err := render.ForPrograms(o.app.Out, o.flags.output.value, r); done {
		return err
	}
	if o.flags.output.value == "junit" {
		return render.ProbeJUnit(o.app.Out, r)
	}
	return render.Probe(o.app.Out, r, o.app.style(o.flags.noColor))
}
