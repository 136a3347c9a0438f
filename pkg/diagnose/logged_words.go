package diagnose

import (
	"slices"
	"strings"

	"github.com/asmjwt/kubectl-asmjwt/internal/lazyregexp"
	"github.com/asmjwt/kubectl-asmjwt/pkg/diag"
	"github.com/asmjwt/kubectl-asmjwt/pkg/envoy"
)

// tellMatched says what the request was like, which was not seen: the line says that the
// rule matched, so that what it asks for was so.
func (d *Diagnosis) tellMatched(l *Logged) {
	name := d.actionOf(*l.Rule) + " " + l.Rule.Namespace + "/" + l.Rule.Name
	d.Summary = name + ", by the proxy's log"
	d.Because = "the proxy's log names the rule; what the request had besides was not seen"
	var phrases, shorts []string
	if !alternatives(l.Steps) {
		phrases, shorts, d.Code = mustHold(l.Steps)
	}
	if len(phrases) > 0 {
		d.Because = "the proxy's log names the rule, so " + strings.Join(phrases, ", and ")
	}
	if d.Code == "" {
		d.Code = diag.PolicyDenied
	}
	if len(shorts) == 1 || d.Code == diag.ForbiddenNoToken {
		d.Summary = shorts[0] + ", by the proxy's log (" + name + ")"
	}
}

// mustHold are the conditions that were not decided, and held where the rule matched: the
// first of the client and the first of the operation, since a short walk has no others.
func mustHold(steps []Step) (phrases, shorts []string, code diag.Code) {
	client, operation := byPart(steps)
	for _, part := range [][]Step{client, operation} {
		i := slices.IndexFunc(part, func(s Step) bool { return s.Outcome == envoy.Undecided && s.Want != "" })
		if i < 0 {
			continue
		}
		s := part[i]
		if isPrincipal(s.Attribute) && s.Want == `not "*"` {
			// A token without a sub has no principal either.
			phrases = append(phrases, "the request had no token that was verified, or one without a sub")
			shorts, code = append(shorts, "no valid token"), diag.ForbiddenNoToken
			continue
		}
		was := " was "
		if strings.Contains(s.Want, "*") && !strings.HasPrefix(s.Want, "not ") {
			was = " was like "
		}
		phrases = append(phrases, attributeWord(s.Attribute)+was+s.Want)
		shorts = append(shorts, attributeWord(s.Attribute)+was+s.Want)
	}
	return phrases, shorts, code
}

// byPart are the conditions of a rule about the client, and those about the operation:
// both parts have to match.
func byPart(steps []Step) (client, operation []Step) {
	for _, s := range steps {
		if strings.Contains(s.Field, "to[") {
			operation = append(operation, s)
		} else {
			client = append(client, s)
		}
	}
	return client, operation
}

// later is a source or an operation beside another one.
var later = lazyregexp.New(`(^|\.)(from|to)\[[1-9]`)

// alternatives reports whether a rule has conditions of which one is enough.
func alternatives(steps []Step) bool {
	return slices.ContainsFunc(steps, func(s Step) bool { return later.MatchString(s.Field) })
}

// actionOf names what a rule is of, by the stage at which it stands.
func (d *Diagnosis) actionOf(rule Place) string {
	for _, stage := range d.Trace {
		if stepOf([]Step{stage}, rule) == nil {
			continue
		}
		switch stage.Stage {
		case envoy.StageDeny:
			return "DENY policy"
		case envoy.StageCustom:
			return "CUSTOM policy"
		}
	}
	return rule.Kind
}

// HangsOnPath reports whether another path could make the answer that of the line: where
// the rule that the line names fails by another condition, it could not.
func (d *Diagnosis) HangsOnPath(l LogLine) bool {
	switch {
	case l.BadToken: // tokens are looked at on every path
		return false
	case d.Log != nil && d.Log.Outcome == envoy.NotMatched:
		client, operation := byPart(d.Log.Steps)
		open := func(s Step) bool { return s.Outcome != envoy.NotMatched }
		return comparesPath(operation, envoy.NotMatched) && (len(client) == 0 || slices.ContainsFunc(client, open))
	}
	for _, stage := range d.Trace {
		if stage.Stage != envoy.StageJWT && comparesPath(stage.Steps, envoy.Matched, envoy.NotMatched) {
			return true
		}
	}
	return false
}

func comparesPath(steps []Step, outcomes ...envoy.Outcome) bool {
	return slices.ContainsFunc(steps, func(s Step) bool {
		return s.Attribute == "paths" && slices.Contains(outcomes, s.Outcome) || comparesPath(s.Steps, outcomes...)
	})
}
