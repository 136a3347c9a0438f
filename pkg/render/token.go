package render

import (
	"strings"
	"time"

	"github.com/asmjwt/kubectl-asmjwt/pkg/diagnose"
	"github.com/asmjwt/kubectl-asmjwt/pkg/envoy"
)

// tokenText is what a token says of itself, and whether anybody checked that.
func tokenText(t diagnose.Token, d *diagnose.Diagnosis) string {
	var parts []string
	add := func(name, value string) {
		if value != "" {
			parts = append(parts, name+unbroken+quote(value))
		}
	}
	add("iss", t.Issuer)
	add("sub", t.Subject)
	for _, a := range t.Audiences {
		add("aud", a)
	}
	add("kid", t.Kid)
	if t.Alg != "" {
		parts = append(parts, clean(t.Alg))
	}
	if !t.WellForm {
		return "in " + clean(t.Location) + ": " + clean(t.Problem)
	}
	if when := validity(t, d.Request.Time); when != "" {
		parts = append(parts, when)
	}
	checked := "not verified"
	if verified(d.Trace, t.Location) {
		checked = "verified"
	}
	return "in " + clean(t.Location) + " (" + checked + "): " + strings.Join(parts, ", ")
}

// verified reports whether a provider took the token at a location.
func verified(steps []diagnose.Step, location string) bool {
	for _, s := range steps {
		if s.Stage == envoy.StageJWT && s.Got == location && s.Outcome == envoy.Matched && len(s.DependsOn) == 0 || verified(s.Steps, location) {
			return true
		}
	}
	return false
}

// validity is when the token is valid, seen from the time of the request.
func validity(t diagnose.Token, at string) string {
	now, err := time.Parse(time.RFC3339, at)
	if err != nil {
		return ""
	}
	if t.NotBefore > 0 && t.NotBefore > uint64(max(now.Unix(), 0)) {
		return "valid in " + diagnose.Span(t.NotBefore-uint64(max(now.Unix(), 0)))
	}
	switch seconds := uint64(max(now.Unix(), 0)); {
	case t.Expires == 0:
		return "never expires"
	case t.Expires >= seconds:
		return "expires in " + diagnose.Span(t.Expires-seconds)
	default:
		return "expired " + diagnose.Span(seconds-t.Expires) + " ago"
	}
}
