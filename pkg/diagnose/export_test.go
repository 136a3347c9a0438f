package diagnose

import (
	"github.com/asmjwt/kubectl-asmjwt/pkg/envoy"
	"github.com/asmjwt/kubectl-asmjwt/pkg/mesh"
)

// Question is what Run asks of the evaluator, for each group of pods and each port.
type Question struct {
	Proxy   *envoy.Proxy
	Request *envoy.Request
	Keys    envoy.Keys
	Verdict envoy.Verdict
}

// Questions are all that Run would ask.
func Questions(in Intent, snap *mesh.Snapshot) ([]Question, error) {
	workloads, err := resolve(in, snap)
	if err != nil {
		return nil, err
	}
	var out []Question
	for _, w := range workloads {
		ports, err := choosePorts(in, snap, w)
		if err != nil {
			return nil, err
		}
		for _, p := range ports {
			e, err := examine(in, snap, w, p, nil)
			if err != nil {
				return nil, err
			}
			if e.res == nil || e.res.Ztunnel != nil {
				continue
			}
			keys, _ := resolveKeys(e.res.Proxy, in.Keys, versionsOf(in, w).istiod)
			out = append(out, Question{e.res.Proxy, e.req, keys, e.trace.Verdict})
		}
	}
	return out, nil
}
