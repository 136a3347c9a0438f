package diagnose

import (
	"fmt"

	"github.com/asmjwt/kubectl-asmjwt/pkg/envoy"
	"github.com/asmjwt/kubectl-asmjwt/pkg/istio"
	"github.com/asmjwt/kubectl-asmjwt/pkg/mesh"
)

// mostChains bounds how many combinations of pods and ports along the way are tried.
const mostChains = 64

// chain is one way through the mesh: a group of pods and a port for each hop.
type chain struct {
	in    Intent
	snap  *mesh.Snapshot
	hops  []hop
	runs  [][]*examined       // by hop, one for each form in which the request got there
	ended map[int]verdictList // by hop, what ended there
	// because is by hop why its routes end the request, assumed what was assumed of them.
	because map[int]string
	assumed []Assumption
}

func newChain(in Intent, snap *mesh.Snapshot, hops []hop) *chain {
	return &chain{in: in, snap: snap, hops: hops, runs: make([][]*examined, len(hops)), ended: map[int]verdictList{}, because: map[int]string{}}
}

type verdictList []envoy.Verdict

// hop is one proxy on the way.
type hop struct {
	via  Via
	w    mesh.Workload
	port istio.PortInfo
}

// intent is the question to the hop i, for what does not depend on the request.
func (c *chain) intent(i int) Intent { return hopIntent(c.in, i) }

func hopIntent(in Intent, i int) Intent {
	out := in
	out.Via = nil
	if i < len(in.Via) {
		v := in.Via[i]
		out.Target, out.Port, out.Subset = v.Target, v.Port, ""
		if v.Namespace != "" {
			out.Namespace = v.Namespace
		}
	}
	return out
}

// runHops judges the hops in turn, for each combination of pods and ports.
func runHops(in Intent, snap *mesh.Snapshot) (*Diagnosis, error) {
	combinations, err := waysOf(in, snap)
	if err != nil {
		return nil, err
	}
	return judgeAll(in, snap, combinations)
}

// waysOf are the combinations of pods and ports along the way.
func waysOf(in Intent, snap *mesh.Snapshot) ([][]hop, error) {
	combinations := [][]hop{nil}
	for i := range len(in.Via) + 1 {
		hin := hopIntent(in, i)
		groups, err := groupsOf(in, i, snap)
		if err != nil && i < len(in.Via) {
			return nil, fmt.Errorf("find a hop: %w", givenBy(err, "--via "+in.Via[i].Target.String()+"."))
		}
		if err != nil {
			return nil, err
		}
		var longer [][]hop
		for _, w := range groups {
			ports, err := hopPorts(in, i, hin, snap, w)
			if err != nil {
				return nil, err
			}
			for _, p := range ports {
				h := hop{w: w, port: p}
				if i < len(in.Via) {
					h.via = in.Via[i]
				}
				for _, before := range combinations {
					longer = append(longer, append(before[:len(before):len(before)], h))
				}
			}
		}
		if combinations = longer; len(combinations) > mostChains {
			return nil, &mesh.TargetError{
				Given: hin.Target.String(), Problem: "can be reached in too many ways",
				Hint: "name ports and pods: --port, and --via TYPE/NAME:PORT",
			}
		}
	}
	return combinations, nil
}

// groupsOf are the groups of pods of a hop. Behind the first one it is the hop before
// that calls, not the client.
func groupsOf(in Intent, i int, snap *mesh.Snapshot) ([]mesh.Workload, error) {
	hin := hopIntent(in, i)
	if i > 0 {
		before := hopIntent(in, i-1)
		hin.Caller = Caller{From: before.Target, FromNamespace: before.Namespace}
	}
	groups, err := resolve(hin, snap)
	if err != nil || i < len(in.Via) {
		return groups, err
	}
	return ofSubset(in, i, snap, groups)
}

// ofSubset keeps the pods of the subset that the route names.
func ofSubset(in Intent, i int, snap *mesh.Snapshot, groups []mesh.Workload) ([]mesh.Workload, error) {
	if in.Subset == "" || in.Target.Type != mesh.TypeService {
		return groups, nil
	}
	before, err := snap.Resolve(in.Via[i-1].Target, hopIntent(in, i-1).Namespace)
	if err != nil {
		return nil, err
	}
	out, err := istio.OutboundTo(snap, before[0], istio.ServicePort{Service: in.Target.Name, Namespace: in.Namespace}, in.Subset)
	if err != nil {
		return nil, err
	}
	var kept []mesh.Workload
	for _, w := range groups {
		if mesh.SelectorMatches(out.Labels, w.Labels) {
			kept = append(kept, w)
		}
	}
	if len(kept) == 0 {
		return nil, &mesh.TargetError{Given: in.Target.String(), Problem: fmt.Sprintf("has no pods of the subset %q", in.Subset), Hint: "name the workload itself, such as deploy/NAME"}
	}
	return kept, nil
}

// hopPorts are the ports of a hop that the question is about. The first hop's is the
// one of the URL, where it has that.
func hopPorts(in Intent, i int, hin Intent, snap *mesh.Snapshot, w mesh.Workload) ([]istio.PortInfo, error) {
	if istio.RoleOf(snap, w) == envoy.RoleNone {
		return []istio.PortInfo{{Number: hin.Port.Number}}, nil
	}
	if i == 0 && hin.Port.IsZero() && in.URLPort != 0 {
		withURL := hin
		withURL.Port.Number = in.URLPort
		if ports, err := choosePorts(withURL, snap, w); err == nil {
			return ports, nil
		}
	}
	ports, err := choosePorts(hin, snap, w)
	if e, ok := err.(*PortsError); ok && i < len(in.Via) { //nolint:errorlint // choosePorts gives it as it is
		e.Target, e.Via = in.Via[i].String(), true
	}
	return ports, err
}

// judgeAll judges all combinations. Those that differ in pods are groups; those that
// differ in ports must agree.
func judgeAll(in Intent, snap *mesh.Snapshot, combinations [][]hop) (*Diagnosis, error) {
	var all []*Diagnosis
	for k, hops := range combinations {
		c := newChain(in, snap, hops)
		d, err := c.diagnose()
		if err != nil {
			return nil, err
		}
		for j, other := range combinations[:k] {
			i, same := differInPort(other, hops)
			if !same || sameVerdict(all[j].Verdict, d.Verdict) {
				continue
			}
			e := &PortsError{Target: in.Target.String(), Via: i < len(in.Via)}
			if e.Via {
				e.Target = in.Via[i].String()
			}
			e.Candidates = []istio.PortInfo{other[i].port, hops[i].port}
			e.Verdicts = []Verdict{all[j].Verdict, d.Verdict}
			return nil, e
		}
		all = append(all, d)
	}
	return mergeGroups(distinctGroups(all)), nil
}

// differInPort finds the hop in which two ways over the same pods differ.
func differInPort(a, b []hop) (int, bool) {
	at := -1
	for i := range a {
		if a[i].w.Ref != b[i].w.Ref || len(a[i].w.Pods) != len(b[i].w.Pods) || len(a[i].w.Pods) > 0 && a[i].w.Pods[0] != b[i].w.Pods[0] {
			return -1, false
		}
		if at < 0 && a[i].port.Number != b[i].port.Number {
			at = i
		}
	}
	return at, at >= 0
}

// distinctGroups drops ways that come to the same at the same pods.
func distinctGroups(all []*Diagnosis) []*Diagnosis {
	var out []*Diagnosis
next:
	for _, d := range all {
		for _, had := range out {
			if sameVerdict(had.Verdict, d.Verdict) && had.Target.Kind == d.Target.Kind && had.Target.Name == d.Target.Name && fmt.Sprint(had.Target.Pods) == fmt.Sprint(d.Target.Pods) {
				continue next
			}
		}
		out = append(out, d)
	}
	return out
}
