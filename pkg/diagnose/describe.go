package diagnose

import (
	"slices"
	"strings"
	"time"

	"github.com/asmjwt/kubectl-asmjwt/pkg/envoy"
	"github.com/asmjwt/kubectl-asmjwt/pkg/istio"
	"github.com/asmjwt/kubectl-asmjwt/pkg/mesh"
	"github.com/asmjwt/kubectl-asmjwt/pkg/origin"
)

func newDiagnosis(in Intent, w mesh.Workload, res *istio.Result, req *envoy.Request) *Diagnosis {
	d := &Diagnosis{
		APIVersion: APIVersion, Kind: Kind, Findings: []Finding{}, Fixes: []Fix{}, Assumed: []Assumption{}, Gaps: []Gap{}, Trace: []Step{},
		Target: Target{
			Kind: w.Ref.Kind, Namespace: w.Namespace, Name: w.Ref.Name, Role: string(envoy.RoleNone), Pods: w.Pods, FromTemplate: w.FromTemplate,
		},
	}
	if res != nil {
		d.Target.Role, d.Target.Port = string(res.Proxy.Role), int(res.Proxy.Port)
		d.Target.Protocol, d.Target.MTLS = string(res.Protocol), res.Mode
		for _, a := range res.Assumed {
			d.Assumed = append(d.Assumed, Assumption(a))
		}
		for _, c := range res.Considered {
			if !c.Attached {
				d.Skipped = append(d.Skipped, Skipped{Object: *place(origin.Origin{Ref: c.Ref}), Why: c.Why})
			}
		}
	}
	versionsOf(in, w).show(d, res != nil && res.Ztunnel == nil)
	if req != nil {
		d.Request = describeRequest(req)
	}
	return d
}

func describeRequest(r *envoy.Request) Request {
	out := Request{
		Method: r.Method, Host: r.Authority, Path: r.Path, Port: int(r.Connection.LocalPort), Protocol: "HTTP/1.1",
		Transport: "unknown", Identity: "unknown", Time: time.Unix(r.Time, 0).UTC().Format(time.RFC3339),
	}
	if r.AuthorityMissing != nil {
		out.Host = ""
	}
	if r.Protocol == envoy.HTTP2 {
		out.Protocol = "HTTP/2"
	}
	if u := r.Unseen; u != nil {
		out.Unseen = []string{"headers"}
		if u.Method != nil {
			out.Method, out.Unseen = "", append(out.Unseen, "method")
		}
		if u.Path != nil {
			out.Path, out.Unseen = "", append(out.Unseen, "path")
		}
	}
	for _, h := range r.Headers {
		out.Headers = append(out.Headers, Header(h))
	}
	if t := r.Connection.Transport; t.IsKnown() {
		out.Transport = t.Value.String()
	}
	if p := r.Connection.Peer; p.IsKnown() {
		out.Identity = strings.Join(p.Value.URISANs, ", ")
		if out.Identity == "" {
			out.Identity = "none"
		}
	}
	if s := r.Connection.Source; s.IsKnown() && s.Value.IsValid() {
		out.SourceIP = s.Value.String()
	}
	return out
}

// setVerdict takes over the verdict of the evaluation.
func (d *Diagnosis) setVerdict(v envoy.Verdict) {
	d.Verdict = Verdict{
		Decision: v.Decision, Status: v.Status, GRPCStatus: v.GRPCStatus, Body: v.Body, ResponseCodeDetails: v.Details,
	}
	if v.DecidedBy != nil {
		d.Verdict.DecidedBy = place(*v.DecidedBy)
	}
	if v.Decision == envoy.Undetermined {
		for _, p := range v.Possible {
			if !slices.Contains(d.Verdict.Possible, p.Status) {
				d.Verdict.Possible = append(d.Verdict.Possible, p.Status)
			}
		}
	}
	if v.Decision == envoy.Denied && v.Status == 0 {
		d.Verdict.Body = ""
	}
	for _, p := range v.Possible {
		o := Possibility{Decision: p.Decision, Status: p.Status, Body: p.Body, Details: p.Details}
		for _, m := range p.On {
			o.DependsOn = append(o.DependsOn, m.What)
		}
		d.Possibilities = append(d.Possibilities, o)
	}
	for _, m := range v.On {
		d.DependsOn = append(d.DependsOn, Dependency{What: m.What, Why: m.Why, Hint: m.Hint})
	}
	d.WWWAuthenticate = v.WWWAuthenticate
}

func steps(in []envoy.Step) []Step {
	out := make([]Step, 0, len(in))
	for _, s := range in {
		st := Step{
			Stage: s.Stage, Field: s.Origin.Field, Attribute: s.Attribute, Outcome: s.Outcome, Want: s.Want, Got: s.Got, Note: s.Note, Status: s.Status, DryRun: s.Shadow,
			Code: codeOf(s),
		}
		if s.Origin.Kind != "" {
			st.Object = &Place{Kind: s.Origin.Kind, Namespace: s.Origin.Namespace, Name: s.Origin.Name}
		}
		for _, m := range s.On {
			st.DependsOn = append(st.DependsOn, m.What)
		}
		if len(s.Steps) > 0 {
			st.Steps = steps(s.Steps)
		}
		out = append(out, st)
	}
	return out
}

// gapsOf takes over what could not be read.
func gapsOf(d *Diagnosis, snap *mesh.Snapshot, res *istio.Result) {
	for _, g := range append(append([]mesh.Gap(nil), snap.Gaps()...), res.Gaps...) {
		d.Gaps = append(d.Gaps, Gap{What: g.What, Why: g.Why, Permission: g.Permission})
	}
}
