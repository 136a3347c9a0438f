package diagnose

import (
	"errors"
	"slices"
	"strconv"
	"strings"

	"github.com/asmjwt/kubectl-asmjwt/pkg/diag"
	"github.com/asmjwt/kubectl-asmjwt/pkg/envoy"
	"github.com/asmjwt/kubectl-asmjwt/pkg/istio"
	"github.com/asmjwt/kubectl-asmjwt/pkg/mesh"
)

// Run answers the question from what was read. Errors are for questions that make
// no sense: an unknown target or port. Whatever could not be known ends in an
// Undetermined verdict instead.
func Run(in Intent, snap *mesh.Snapshot) (*Diagnosis, error) {
	d, err := run(in, snap)
	if err != nil {
		return nil, err
	}
	noteManagers(d, snap)
	return d, doubtConfiguration(d, in, snap)
}

func run(in Intent, snap *mesh.Snapshot) (*Diagnosis, error) {
	if len(in.Via) > 0 {
		d, err := runHops(in, snap)
		return orUnread(in, snap, d, err)
	}
	workloads, err := resolve(in, snap)
	if d := targetUnread(in, snap, err); d != nil {
		return d, nil
	}
	if err != nil {
		return nil, err
	}
	var all []*Diagnosis
	for _, w := range workloads {
		ds, err := runWorkload(in, snap, w)
		if err != nil {
			return nil, err
		}
		all = append(all, ds)
	}
	return mergeGroups(all), nil
}

// runWorkload judges one group of pods, on the port that is given or on all that
// there are, if they agree.
func runWorkload(in Intent, snap *mesh.Snapshot, w mesh.Workload) (*Diagnosis, error) {
	if istio.RoleOf(snap, w) == envoy.RoleNone {
		return withoutProxy(in, snap, w), nil
	}
	ports, err := choosePorts(in, snap, w)
	if d := portsUnread(in, snap, w, err); d != nil {
		return d, nil
	}
	if err != nil {
		return nil, err
	}
	var ds []*Diagnosis
	for _, p := range ports {
		d, err := judge(in, snap, w, p)
		if err != nil {
			return nil, err
		}
		ds = append(ds, d)
	}
	for _, d := range ds[1:] {
		if !sameVerdict(d.Verdict, ds[0].Verdict) {
			e := &PortsError{Target: in.Target.String(), Candidates: ports}
			for _, d := range ds {
				e.Verdicts = append(e.Verdicts, d.Verdict)
			}
			return nil, e
		}
	}
	return ds[0], nil
}

func sameVerdict(a, b Verdict) bool {
	return a.Decision == b.Decision && a.Status == b.Status && a.Body == b.Body && slices.Equal(a.Possible, b.Possible)
}

// choosePorts finds the ports that the question is about.
func choosePorts(in Intent, snap *mesh.Snapshot, w mesh.Workload) ([]istio.PortInfo, error) {
	all, err := istio.Ports(snap, w)
	if err != nil {
		return nil, err
	}
	if istio.RoleOf(snap, w) == envoy.RoleWaypoint {
		return chooseFronted(in, all)
	}
	if in.Port.IsZero() {
		candidates := forService(in.Target, all)
		http := slices.DeleteFunc(slices.Clone(candidates), func(p istio.PortInfo) bool { return p.Protocol == istio.ProtocolTCP })
		if len(http) > 0 {
			return http, nil
		}
		for _, c := range w.Containers {
			for _, p := range c.Ports {
				if c.Name != mesh.ProxyContainerName && len(all) == 0 {
					candidates = append(candidates, istio.PortInfo{Number: p.Number, Protocol: istio.ProtocolAuto})
				}
			}
		}
		if len(candidates) == 0 {
			return nil, &PortsError{Target: in.Target.String()}
		}
		return candidates, nil
	}
	if p, ok := matchPort(in, all); ok {
		return []istio.PortInfo{p}, nil
	}
	role := istio.RoleOf(snap, w)
	if in.Port.Number != 0 && in.Target.Type != mesh.TypeService && (role == envoy.RoleSidecar || role == envoy.RoleZtunnel) {
		return []istio.PortInfo{{Number: in.Port.Number, Protocol: istio.ProtocolAuto}}, nil
	}
	given := in.Port.Name
	if given == "" {
		given = strconv.Itoa(in.Port.Number)
	}
	return nil, &PortsError{Target: in.Target.String(), Candidates: all, Given: given}
}

// forService keeps the ports that the Service names, where one is the target.
func forService(t mesh.Target, ports []istio.PortInfo) []istio.PortInfo {
	if t.Type != mesh.TypeService {
		return slices.Clone(ports)
	}
	var out []istio.PortInfo
	for _, p := range ports {
		for _, s := range p.Services {
			if s.Service == t.Name {
				out = append(out, p)
				break
			}
		}
		if len(p.ServerPorts) > 0 {
			out = append(out, p)
		}
	}
	return out
}

func matchPort(in Intent, ports []istio.PortInfo) (istio.PortInfo, bool) {
	for _, p := range ports {
		for _, s := range p.Services {
			if in.Target.Type == mesh.TypeService && s.Service == in.Target.Name &&
				(in.Port.Number != 0 && s.Port == in.Port.Number || in.Port.Name != "" && s.Name == in.Port.Name) {
				return p, true
			}
		}
	}
	for _, p := range ports {
		if in.Target.Type != mesh.TypeService && in.Port.Number != 0 && p.Number == in.Port.Number ||
			in.Port.Number != 0 && slices.Contains(p.ServerPorts, in.Port.Number) {
			return p, true
		}
		for _, s := range p.Services {
			if in.Port.Name != "" && s.Name == in.Port.Name {
				return p, true
			}
		}
	}
	return istio.PortInfo{}, false
}

// judge answers for one group of pods and one port.
func judge(in Intent, snap *mesh.Snapshot, w mesh.Workload, port istio.PortInfo) (*Diagnosis, error) {
	e, err := examine(in, snap, w, port, nil)
	if err != nil {
		return nil, err
	}
	redact(e.d, e.secrets())
	return e.d, nil
}

// examined is what came of one request at one port of one group of pods. Nothing of
// it is redacted yet.
type examined struct {
	d     *Diagnosis
	trace envoy.Trace
	res   *istio.Result // nil where there is no proxy
	req   *envoy.Request
	w     mesh.Workload
	port  istio.PortInfo
}

func (e *examined) secrets() []string {
	if e.res == nil || e.res.Ztunnel != nil {
		return envoy.Secrets(e.req, nil)
	}
	return envoy.Secrets(e.req, providerValues(e.res.Proxy))
}

// examine judges one request; arrive changes how it gets there, if it is not nil.
func examine(in Intent, snap *mesh.Snapshot, w mesh.Workload, port istio.PortInfo, arrive func(*examined) error) (*examined, error) {
	vs := versionsOf(in, w)
	res, err := istio.Translate(istio.Input{
		Snapshot: snap, Workload: w, Port: port.Number, Service: port.Fronted, RemoteJWKS: in.RemoteJWKS, Complete: in.Complete,
		IstiodVersion: vs.istiod, ProxyVersion: vs.proxy,
	})
	var unsupported *istio.UnsupportedError
	if err != nil && !errors.As(err, &unsupported) {
		return nil, err
	}
	var held *Held
	var gap *Gap
	if unsupported == nil && res.Ztunnel == nil {
		if held, gap = heldFor(in, w, port.Number); held != nil && held.TrustDomain != "" {
			res.TrustDomain = held.TrustDomain // of the proxy's own certificate
		}
	}
	req, err := buildRequest(in, snap, w, port, res)
	if err != nil {
		return nil, err
	}
	e := &examined{res: res, req: req, w: w, port: port}
	if arrive != nil {
		if err := arrive(e); err != nil {
			return nil, err
		}
	}
	d := newDiagnosis(in, w, res, req)
	e.d = d
	if unsupported != nil {
		m := &envoy.Missing{What: "what " + unsupported.What + " does", Why: "it is not modelled"}
		e.trace.Verdict = envoy.Verdict{Decision: envoy.Undetermined, On: envoy.Deps{m}}
		d.setVerdict(e.trace.Verdict)
		return e, nil
	}
	if res.Ztunnel != nil {
		e.trace = judgeConnection(d, &story{in: in, snap: snap, w: w, port: port, res: res, req: req})
		return e, nil
	}
	if gap != nil {
		d.Gaps = append(d.Gaps, *gap)
	}
	answerFromEvidence(in, snap, e, vs, held)
	return e, nil
}

// answer evaluates the request on the proxy and fills in what comes of it.
func answer(in Intent, snap *mesh.Snapshot, e *examined, vs versions) {
	d, res := e.d, e.res
	keys, findings := keysFor(in, res.Proxy, vs.istiod)
	d.Findings = append(d.Findings, findings...)
	gapsOf(d, snap, res)
	evaluate := envoy.Evaluate
	if in.Everything {
		evaluate = envoy.EvaluateAll
	}
	trace := evaluate(res.Proxy, e.req, keys)
	e.trace = trace
	d.Branches, d.Upstream = trace.Branches, trace.Upstream
	d.setVerdict(trace.Verdict)
	d.Trace = steps(trace.Steps)
	d.Tokens, d.Request.StrayTokens = tokensOf(e.req, res.Proxy), strayTokens(e.req, providers(res.Proxy))
	story := &story{
		in: in, snap: snap, w: e.w, port: e.port, res: res, req: e.req, keys: keys, trace: trace,
		tokens: envoy.FindTokens(e.req, providerValues(res.Proxy)),
	}
	story.tell(d)
	unmodelled(d, res)
}

func providerValues(p *envoy.Proxy) []envoy.Provider {
	var out []envoy.Provider
	for _, pr := range providers(p) {
		out = append(out, *pr)
	}
	return out
}

// withoutProxy is the answer for a workload that no proxy stands in front of.
func withoutProxy(in Intent, snap *mesh.Snapshot, w mesh.Workload) *Diagnosis {
	e := examineWithoutProxy(in, snap, w)
	redact(e.d, e.secrets())
	return e.d
}

func examineWithoutProxy(in Intent, snap *mesh.Snapshot, w mesh.Workload) *examined {
	req := &envoy.Request{Method: in.Method, Authority: in.Host, Path: in.Path, Headers: in.Headers, Time: in.Time, Protocol: in.Protocol}
	req.Connection = envoy.Connection{Transport: envoy.Known(envoy.Plaintext), Peer: envoy.Known(envoy.Peer{})}
	if in.Host == "" {
		req.AuthorityMissing = hostMissing
	}
	d := newDiagnosis(in, w, nil, req)
	d.setVerdict(envoy.Verdict{Decision: envoy.Allowed, Status: 200})
	if v, unread := captureUnread(d, snap, w); unread {
		return &examined{d: d, req: req, w: w, trace: envoy.Trace{Verdict: v}}
	}
	_, _, why := snap.InjectionEnabled(w)
	if why == "" {
		why = "there is no istio-proxy container"
	}
	d.Because = "nothing is enforced: the workload has no proxy (" + why + ")"
	d.Summary, d.Code = "no proxy, nothing is enforced", diag.NoProxy
	d.Findings = append(d.Findings, Finding{Code: diag.NoProxy, Severity: diag.Warning, Message: d.Because, Object: &Place{
		Kind: w.Ref.Kind, Namespace: w.Ref.Namespace, Name: w.Ref.Name,
	}})
	return &examined{d: d, req: req, w: w, trace: envoy.Trace{Verdict: envoy.Verdict{Decision: envoy.Allowed, Status: 200}}}
}

// mergeGroups puts the groups of a target together; the worst one speaks for all.
func mergeGroups(all []*Diagnosis) *Diagnosis {
	worst := all[0]
	for _, d := range all[1:] {
		if severity(d.Verdict) < severity(worst.Verdict) {
			worst = d
		}
	}
	if len(all) > 1 {
		for _, d := range all {
			worst.Groups = append(worst.Groups, Group{Pods: d.Target.Pods, Summary: d.Summary, Port: d.Target.Port, Verdict: d.Verdict})
		}
		worst.inSome()
	}
	return worst
}

// inSome says in the first line that the verdict is not that of all pods.
func (d *Diagnosis) inSome() {
	same, all := 0, 0
	for _, g := range d.Groups {
		all += len(g.Pods)
		if sameVerdict(g.Verdict, d.Verdict) {
			same += len(g.Pods)
		}
	}
	if same < all && same > 0 {
		d.Summary = strings.TrimSuffix("in "+strconv.Itoa(same)+" of "+strconv.Itoa(all)+" pods, "+d.Summary, ", ")
	}
}

func severity(v Verdict) int {
	switch {
	case v.Decision == envoy.Denied && v.Status == 0:
		return 0
	case v.Decision == envoy.Denied:
		return 1
	case v.Decision == envoy.Undetermined:
		return 2
	default:
		return 3
	}
}
