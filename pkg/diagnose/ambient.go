package diagnose

import (
	"strings"

	"github.com/asmjwt/kubectl-asmjwt/pkg/diag"
	"github.com/asmjwt/kubectl-asmjwt/pkg/envoy"
	"github.com/asmjwt/kubectl-asmjwt/pkg/istio"
	"github.com/asmjwt/kubectl-asmjwt/pkg/ztunnel"
)

// judgeConnection answers for a workload that ztunnel captures. Nothing of the
// request counts but its connection: keys and tokens are not looked at.
func judgeConnection(d *Diagnosis, s *story) envoy.Trace {
	snap, res, req := s.snap, s.res, s.req
	gapsOf(d, snap, res)
	trace := ztunnel.Evaluate(res.Ztunnel, req)
	d.Upstream = trace.Upstream
	d.setVerdict(trace.Verdict)
	d.Trace = steps(trace.Steps)
	s.trace = trace
	r := s.becauseConnection()
	d.Summary, d.Because, d.Code = r.summary, r.because, r.code
	d.Findings = append(d.Findings, connectionFindings(res)...)
	for _, w := range res.Waypoints {
		name := w.Namespace + "/" + w.Name
		d.Assumed = append(d.Assumed, Assumption{
			Setting: "waypoint " + name, Value: "not looked at: the connection comes straight to the pod", Source: w.Label.String(),
		})
		d.Findings = append(d.Findings, Finding{
			Code: diag.WaypointNotSeen, Severity: diag.Warning, Object: place(w.Label), Field: w.Label.Field,
			Message: "requests to " + waypointFor(w) + " go through the waypoint " + name + ", which may refuse them, and which then is the client: " +
				"this answer is for a connection straight to the pod",
		})
	}
	if len(res.Waypoints) > 0 {
		d.Assumed = append(d.Assumed, Assumption{Setting: "PILOT_AUTO_ALLOW_WAYPOINT_POLICY", Value: "false", Source: "default"})
	}
	return trace
}

func waypointFor(w istio.WaypointInFront) string {
	if w.Service == "" {
		return "the pods' own addresses"
	}
	return "the Service " + w.Service
}

// becauseConnection is the reason for ztunnel's verdict.
func (s *story) becauseConnection() reason {
	t := s.trace
	if t.Verdict.Decision == envoy.Undetermined {
		return s.undetermined()
	}
	if t.Verdict.Decision == envoy.Allowed {
		return s.throughZtunnel()
	}
	if len(t.Steps) == 0 {
		return reason{}
	}
	last := t.Steps[len(t.Steps)-1]
	if last.Outcome != envoy.Matched {
		const whatever = "each of the things that are not known ends in a refusal"
		return reason{whatever, whatever, diag.ConnectionRefused}
	}
	if last.Stage != envoy.StageAllow {
		return s.denied()
	}
	var live []envoy.Step
	for _, p := range last.Steps {
		if p.Outcome != envoy.Skipped {
			live = append(live, p)
		}
	}
	if len(live) == 1 && len(live[0].Steps) > 0 && live[0].Steps[0].Outcome == envoy.Skipped && live[0].Origin.Field == "" {
		return reason{
			"the only ALLOW policy has no rule that ztunnel can read", "the only ALLOW policy has no rule left: " + live[0].Steps[0].Note, diag.NotEnforced,
		}
	}
	last.Steps = live
	return s.notAllowed(last)
}

// throughZtunnel is the reason why ztunnel lets a connection through.
func (s *story) throughZtunnel() reason {
	r := reason{summary: "ztunnel lets the connection through", because: "no policy that ztunnel enforces stops the connection; ztunnel reads no HTTP, so that no token and no path is looked at"}
	if len(s.res.Unenforced) > 0 {
		u := s.res.Unenforced[0]
		r.summary = "ztunnel reads no HTTP: " + u.Origin.Kind + " " + u.Origin.Namespace + "/" + u.Origin.Name + " is not enforced"
		r.code = diag.NotEnforced
	}
	for _, stage := range s.trace.Steps {
		for _, p := range stage.Steps {
			if stage.Stage == envoy.StageAllow && p.Outcome == envoy.Matched {
				phrases, _, _ := s.holding(p)
				r.because = strings.TrimSuffix(rule(p)+" matches: "+join(phrases, "and"), ": ") + "; ztunnel reads no HTTP, so that no token and no path is looked at"
			}
		}
	}
	return r
}

// connectionFindings are findings about the objects that ztunnel would have to heed:
// what istiod does not tell it, and what it cannot do.
func connectionFindings(res *istio.Result) []Finding {
	var out []Finding
	add := func(code diag.Code, ds []envoy.Dropped) {
		for _, x := range ds {
			out = append(out, Finding{Code: code, Severity: diag.Warning, Object: place(x.Origin), Field: x.Origin.Field, Message: x.Reason})
		}
	}
	add(diag.RuleDropped, res.Dropped)
	for _, p := range res.Ztunnel.Policies {
		add(diag.RuleDropped, p.Dropped)
		for _, r := range p.Rules {
			add(diag.ValueDropped, r.Dropped)
		}
	}
	add(diag.NotEnforced, res.Unenforced)
	return out
}
