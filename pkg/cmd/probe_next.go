package cmd

import (
	"fmt"
	"slices"
	"strings"

	"github.com/asmjwt/kubectl-asmjwt/pkg/diag"
	"github.com/asmjwt/kubectl-asmjwt/pkg/diagnose"
	"github.com/asmjwt/kubectl-asmjwt/pkg/envoy"
	"github.com/asmjwt/kubectl-asmjwt/pkg/fix"
	"github.com/asmjwt/kubectl-asmjwt/pkg/mesh"
	"github.com/asmjwt/kubectl-asmjwt/pkg/probe"
)

// keyTrouble are the causes that lie in keys: what to do about them is found by jwks,
// which looks at who fetches them and what is at their address.
var keyTrouble = []diag.Code{
	diag.KeysNotFetched, diag.KeyHostShort, diag.KeysUnusable, diag.KeyDropped, diag.ListenerRefused, diag.KeysForgeable, diag.TokenNoKey, diag.TokenSignature,
}

// ofKeys reports whether a row is as it is for a reason that lies in keys. What is found of
// other rules counts only where all of the proxy suffers from it.
func ofKeys(r *probe.Report, row *probe.Row) bool {
	if slices.Contains(keyTrouble, row.Code) || len(row.Reasons) > 0 && row.Reasons[0].Cause == "keys" {
		return true
	}
	return slices.ContainsFunc(r.Findings, func(f diagnose.Finding) bool { return f.Code == diag.ListenerRefused || f.Code == diag.KeysForgeable })
}

// lastTrial is what a row of the report was made of.
func lastTrial(t probe.Trial) probe.Trial {
	if t.Again != nil {
		return *t.Again
	}
	return t
}

// next says how to go on about the row that matters most: with why, and before that with
// jwks where the reason lies in keys.
func (o *probeOptions) next(r *probe.Report, trials []probe.Trial) {
	at := worst(r.Rows)
	made := at < 0
	if made { // none but one with a token that was made here, which may get through
		at = slices.IndexFunc(r.Rows, probe.Row.Unexpected)
	}
	if at < 0 {
		return
	}
	row, t := &r.Rows[at], lastTrial(trials[at])
	if ofKeys(r, row) {
		r.Next = append(r.Next, strings.Join(o.jwksWords(row, t), " "))
	}
	if made { // its token is in no file that why could read
		return
	}
	if words := o.whyWords(row, t.Question.Intent); words != nil {
		r.Next = append(r.Next, strings.Join(words, " "))
	}
}

// jwksWords ask about the keys of the proxy that decided.
func (o *probeOptions) jwksWords(row *probe.Row, t probe.Trial) []string {
	in := t.Question.Intent
	target, namespace := in.Target, in.Namespace
	for i, h := range t.Diagnosis.Hops {
		if h.Verdict.Decision == envoy.Denied && i < len(in.Via) {
			target, namespace = in.Via[i].Target, in.Via[i].Namespace
		}
	}
	words := append([]string{displayName(o.app.Name), "jwks", target.String(), "-n", namespace}, o.app.clusters.words()...)
	return append(words, o.tokenWords(row)...)
}

// whyWords ask why about a row; nil where a header line, which may be secret, would have
// to be left out.
func (o *probeOptions) whyWords(row *probe.Row, in diagnose.Intent) []string {
	words := append([]string{displayName(o.app.Name), "why", in.Target.String(), "-n", in.Namespace}, o.app.clusters.words()...)
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
	for _, h := range o.base.Headers {
		if !slices.Contains(openHeaders, strings.ToLower(h.Name)) {
			return nil
		}
		words = append(words, "-H", quoted(h.Name+": "+h.Value))
	}
	words = append(words, o.tokenWords(row)...)
	if row.Token == probe.Given && o.flags.token.in != "" {
		words = append(words, "--jwt-in", quoted(o.flags.token.in))
	}
	if o.at != 0 {
		words = append(words, "--at", o.flags.at)
	}
	if row.Unexpected() && expectationOf(row) != nil {
		words = append(words, "--expect", row.Expected) // its fixes are then for that
	}
	return words
}

// openHeaders are those whose values are no secrets: what a browser says of itself before
// it asks across origins, and what kind of answer is wanted.
var openHeaders = []string{"origin", "access-control-request-method", "access-control-request-headers", "accept", "content-type"}

func (o *probeOptions) tokenWords(row *probe.Row) []string {
	switch {
	case row.Token != probe.Given:
		return nil
	case o.given("jwt-env"):
		return []string{"--jwt-env", o.flags.token.env}
	}
	return []string{"--jwt-file", quoted(o.flags.token.file)}
}

// expectationOf is what --expect says of a row as why takes it; nil: nothing that it takes.
func expectationOf(row *probe.Row) *expectation {
	if row.Expected == "" {
		return nil
	}
	e, err := (&whyFlags{expect: row.Expected}).expectation(func(string) bool { return true })
	if err != nil {
		return nil
	}
	return e
}

// propose offers what why offers for the row that matters most, where the mesh does as
// predicted and something else was wanted: that it is as --expect says, or that the given
// token gets through. Trouble with keys is for jwks to mend.
func (o *probeOptions) propose(r *probe.Report, trials []probe.Trial, snap *mesh.Snapshot) error {
	at := worst(r.Rows)
	if at < 0 {
		return nil
	}
	row, t := &r.Rows[at], lastTrial(trials[at])
	goal, d := fix.Through(), t.Diagnosis
	switch e := expectationOf(row); {
	case row.Outcome != probe.Agrees || ofKeys(r, row):
		return nil
	case row.Unexpected() && e == nil:
		return nil // why knows no such wish
	case row.Unexpected():
		goal = e.goal()
	case row.Token != probe.Given:
		return nil
	}
	if err := o.app.proposals(t.Question.Intent, d, snap, goal); err != nil {
		return err
	}
	diagnose.MarkManagedFixes(d)
	r.Fixes = append(r.Fixes, d.Fixes...)
	return nil
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
