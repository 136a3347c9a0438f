package diagnose

import (
	"errors"

	"github.com/asmjwt/kubectl-asmjwt/pkg/envoy"
	"github.com/asmjwt/kubectl-asmjwt/pkg/istio"
	"github.com/asmjwt/kubectl-asmjwt/pkg/mesh"
	"github.com/asmjwt/kubectl-asmjwt/pkg/ztunnel"
)

// Setting is one proxy that answers a question, with the request as it gets there and
// the keys that the proxy has: a question taken apart, for those who ask about many
// requests or many changes of the objects. Run asks the same functions.
type Setting struct {
	Workload mesh.Workload
	Port     istio.PortInfo
	Result   *istio.Result
	Request  *envoy.Request
	Keys     envoy.Keys
	in       Intent
	// arrived says that the request is as the hop before has left it.
	arrived  bool
	deciders [2]*envoy.Decider
}

// Settings takes a question apart: one Setting for each group of pods and port that
// Run would judge; of several hops, for the one that decides. Workloads without a
// proxy, and proxies that are not modelled, have none. Errors are those of Run.
func Settings(in Intent, snap *mesh.Snapshot) ([]*Setting, error) {
	if len(in.Via) > 0 {
		return settingsOfHops(in, snap)
	}
	workloads, err := resolve(in, snap)
	if err != nil {
		return nil, err
	}
	var out []*Setting
	for _, w := range workloads {
		if istio.RoleOf(snap, w) == envoy.RoleNone {
			continue
		}
		ports, err := choosePorts(in, snap, w)
		if err != nil {
			return nil, err
		}
		for _, p := range ports {
			s, err := (&Setting{Workload: w, Port: p, in: in}).With(snap)
			if err != nil {
				return nil, err
			}
			if s != nil {
				out = append(out, s)
			}
		}
	}
	return out, nil
}

// settingsOfHops are the proxies of the hops that decide.
func settingsOfHops(in Intent, snap *mesh.Snapshot) ([]*Setting, error) {
	combinations, err := waysOf(in, snap)
	if err != nil {
		return nil, err
	}
	var out []*Setting
	for _, hops := range combinations {
		c := newChain(in, snap, hops)
		if _, err := c.judge(0, &arrival{in: c.intent(0)}); err != nil {
			return nil, err
		}
		decides := c.deciding()
		e := c.runs[decides][0]
		if e.res == nil {
			continue
		}
		s := &Setting{Workload: e.w, Port: e.port, Result: e.res, Request: e.req, in: c.intent(decides), arrived: true}
		if s, err = s.With(snap); err != nil {
			return nil, err
		}
		if s != nil {
			out = append(out, s)
		}
	}
	return out, nil
}

// With is the same workload, port and request with other objects; nil where its proxy
// is not modelled. The workload itself must be the same in both.
func (s *Setting) With(snap *mesh.Snapshot) (*Setting, error) {
	vs := versionsOf(s.in, s.Workload)
	res, err := istio.Translate(istio.Input{
		Snapshot: snap, Workload: s.Workload, Port: s.Port.Number, Service: s.Port.Fronted, RemoteJWKS: s.in.RemoteJWKS, Complete: s.in.Complete,
		IstiodVersion: vs.istiod, ProxyVersion: vs.proxy,
	})
	if errors.As(err, new(*istio.UnsupportedError)) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	out := *s
	out.Result, out.deciders = res, [2]*envoy.Decider{}
	if !s.arrived {
		if out.Request, err = buildRequest(s.in, snap, s.Workload, s.Port, res); err != nil {
			return nil, err
		}
	}
	if res.Ztunnel == nil {
		out.Keys, _ = resolveKeys(res.Proxy, s.in.Keys, vs.istiod)
	}
	return &out, nil
}

// Asked is the same proxy with another question about it, which must name the same
// workload and port; in the same objects.
func (s *Setting) Asked(in Intent, snap *mesh.Snapshot) (*Setting, error) {
	out := *s
	out.in = in
	var err error
	if out.Request, err = buildRequest(in, snap, s.Workload, s.Port, s.Result); err != nil {
		return nil, err
	}
	return &out, nil
}

// Evaluate walks the proxy with the request.
func (s *Setting) Evaluate() envoy.Trace {
	if s.Result.Ztunnel != nil {
		return ztunnel.Evaluate(s.Result.Ztunnel, s.Request)
	}
	return envoy.Evaluate(s.Result.Proxy, s.Request, s.Keys)
}

// Decide is the verdict on another request; vouched says that every token verifies of
// whose rule there may be keys: what one would get that somebody could have. It is not
// for use by several goroutines at once.
func (s *Setting) Decide(r *envoy.Request, vouched bool) envoy.Verdict {
	if s.Result.Ztunnel != nil {
		return ztunnel.Evaluate(s.Result.Ztunnel, r).Verdict
	}
	which, keys := 0, s.Keys
	if vouched {
		which, keys = 1, s.Vouched()
	}
	if s.deciders[which] == nil {
		s.deciders[which] = envoy.NewDecider(s.Result.Proxy, keys)
	}
	return s.deciders[which].Decide(r)
}

// Providers are the JWT rules that reach the proxy.
func (s *Setting) Providers() []envoy.Provider { return providerValues(s.Result.Proxy) }

// Vouched are keys with which every token of every rule verifies, but for rules of
// which it is known that no key can be had, or only the control plane's placeholder.
func (s *Setting) Vouched() envoy.Keys {
	out := envoy.Keys{}
	for _, p := range providers(s.Result.Proxy) {
		k, known := s.Keys[p.Keys]
		if !known || k.Set != nil && !isPlaceholder(k.Set) || k.Missing != nil {
			k = envoy.KeySet{Vouched: true}
		}
		out[p.Keys] = k
	}
	return out
}

// VerdictOf is an evaluation's verdict as a diagnosis has it.
func VerdictOf(v envoy.Verdict) Verdict {
	d := &Diagnosis{}
	d.setVerdict(v)
	return d.Verdict
}

// Hider gives the function that hides the secrets of a request in any text.
func Hider(r *envoy.Request, providers []envoy.Provider) func(string) string {
	return redactor(envoy.Secrets(r, providers))
}
