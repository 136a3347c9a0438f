package diagnose

import (
	"slices"
	"strings"

	"github.com/asmjwt/kubectl-asmjwt/pkg/diag"
	"github.com/asmjwt/kubectl-asmjwt/pkg/envoy"
)

// retell puts the reason for a verdict that several runs agree on, or not, in the place
// of that of one run.
func (d *Diagnosis) retell(v envoy.Verdict) {
	if v.Decision == envoy.Undetermined {
		r := (&story{trace: envoy.Trace{Verdict: v}}).undetermined()
		d.Summary, d.Because, d.Code = r.summary, r.because, r.code
		return
	}
	if d.Because == "" || d.Verdict.Decision == envoy.Allowed {
		d.Because = "each of the things that are not known ends in the same answer"
		d.Summary, d.Code = "whatever is not known", ""
	}
}

// atHop names the hop that refuses, where there are several, and the one in front where
// that has taken the token off.
func (d *Diagnosis) atHop() {
	if len(d.Hops) < 2 && len(d.NotReached) == 0 || d.Verdict.Decision != envoy.Denied {
		return
	}
	at := d.Target.Namespace + "/" + d.Target.Name
	d.Summary = strings.TrimSuffix("at "+at+", "+d.Summary, ", ")
	i := slices.IndexFunc(d.Findings, func(f Finding) bool { return f.Code == diag.TokenTaken && f.Severity == diag.Error })
	if i < 0 || d.Code != diag.ForbiddenNoToken && d.Code != diag.AbsentNegative && d.Code != diag.NoPolicyAllowed {
		return
	}
	d.Summary, d.Code = "at "+at+", no token: the hop in front takes it off", diag.TokenTaken
	d.Because += "; " + d.Findings[i].Message
}
