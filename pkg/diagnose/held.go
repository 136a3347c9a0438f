package diagnose

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/asmjwt/kubectl-asmjwt/pkg/diag"
	"github.com/asmjwt/kubectl-asmjwt/pkg/envoy"
	"github.com/asmjwt/kubectl-asmjwt/pkg/istio"
	"github.com/asmjwt/kubectl-asmjwt/pkg/jwks"
	"github.com/asmjwt/kubectl-asmjwt/pkg/mesh"
)

// Held is what a running proxy holds for one port, whoever read it.
type Held struct {
	Proxy *envoy.Proxy
	// Workload is the pod as far as the proxy tells: its name, labels and image.
	Workload mesh.Workload
	// TrustDomain is that of the proxy's own certificate.
	TrustDomain string
	// From says where it was read: "config_dump of pod foo/httpbin-1".
	From string
	// Refused are updates of its listeners that the proxy did not take.
	Refused []RefusedListener
}

// RefusedListener is a listener whose newest configuration the proxy refuses, so that
// it goes on with an older one, or without any.
type RefusedListener struct {
	Name string
	// Reason is the proxy's, At the time of its last attempt, RFC 3339.
	Reason, At string
	// Asked says that the request goes through this listener.
	Asked bool
}

// Evidence is what an answer rests on.
type Evidence struct {
	// From is where the proxy's configuration was read; empty where it was not.
	From string `json:"from"`
	// Refused is the proxy's reason for not taking its newest configuration; what is in
	// force is then an older one.
	Refused string `json:"refused,omitempty"`
	// Objects is the verdict that the objects give, where they were read too.
	Objects *Verdict `json:"objects,omitempty"`
	// Drift are the differences between the two.
	Drift []Drift `json:"drift,omitempty"`
}

// RunHeld answers the question from what the proxy holds alone: no policy is read, and
// the verdict is that of the configuration in force.
func RunHeld(in Intent, held Held, snap *mesh.Snapshot) (*Diagnosis, error) {
	res := &istio.Result{Proxy: held.Proxy, TrustDomain: held.TrustDomain, Protocol: held.protocol()}
	port := istio.PortInfo{Number: int(held.Proxy.Port)}
	if services, err := istio.Ports(snap, held.Workload); err == nil {
		for _, p := range services {
			if p.Number == port.Number {
				port.Services = p.Services
			}
		}
	}
	req, err := buildRequest(in, snap, held.Workload, port, res)
	if err != nil {
		return nil, err
	}
	e := &examined{d: newDiagnosis(in, held.Workload, res, req), res: res, req: req, w: held.Workload, port: port}
	e.d.Evidence = &Evidence{From: held.From}
	e.d.Findings = append(e.d.Findings, refusedFindings(held)...)
	answer(in, snap, e, versionsOf(in, held.Workload))
	blameRefused(e.d, held)
	e.d.Findings = append(e.d.Findings, placeholderFindings(held)...)
	redact(e.d, e.secrets())
	return e.d, nil
}

// protocol is what the port's traffic is taken for, by the chains that there are.
func (h *Held) protocol() istio.Protocol {
	http, bytes := false, false
	for _, c := range h.Proxy.Chains {
		http, bytes = http || c.HTTP != nil, bytes || c.HTTP == nil
	}
	switch {
	case http && bytes:
		return istio.ProtocolAuto
	case http:
		return istio.ProtocolHTTP
	default:
		return istio.ProtocolTCP
	}
}

// answerFromEvidence answers from what the proxy holds, if it can be asked, and holds
// it against the objects; else from the objects.
func answerFromEvidence(in Intent, snap *mesh.Snapshot, e *examined, vs versions, held *Held) {
	d := e.d
	if held == nil {
		if in.ProxyOnly {
			m := &envoy.Missing{What: "what the proxy holds", Why: "it could not be asked", Hint: "--evidence objects"}
			e.trace.Verdict = envoy.Verdict{Decision: envoy.Undetermined, On: envoy.Deps{m}}
			d.setVerdict(e.trace.Verdict)
			return
		}
		answer(in, snap, e, vs)
		return
	}
	pushed := *e.res
	pushed.Proxy, pushed.Dropped, pushed.DroppedTCP = held.Proxy, nil, nil
	objects := *e
	objects.d = newDiagnosis(in, e.w, e.res, e.req)
	d.Evidence = &Evidence{From: held.From}
	if !in.ProxyOnly {
		answer(in, snap, &objects, vs)
		d.Evidence.Drift = adopt(held.Proxy, e.res.Proxy)
		d.Evidence.Objects = &objects.d.Verdict
		if len(objects.d.Gaps) > 0 {
			// What was not read is not extra in the proxy.
			d.Evidence.Drift = slices.DeleteFunc(d.Evidence.Drift, func(x Drift) bool { return x.Kind == DriftExtra })
		}
	}
	e.res = &pushed
	d.Findings = append(d.Findings, refusedFindings(*held)...)
	answer(in, snap, e, vs)
	blameRefused(d, *held)
	d.Findings = append(d.Findings, placeholderFindings(*held)...)
	if in.ProxyOnly {
		return
	}
	for _, f := range objects.d.Findings {
		if aboutObjects(f.Code) && !slices.ContainsFunc(d.Findings, func(o Finding) bool { return o.Code == f.Code && o.Message == f.Message }) {
			d.Findings = append(d.Findings, f)
		}
	}
	d.Findings = append(d.Findings, driftFindings(d, objects.d, *held)...)
}

// aboutObjects reports whether a finding is about how policies are written, which what
// the proxy holds cannot show.
func aboutObjects(c diag.Code) bool {
	return c == diag.RuleDropped || c == diag.ValueDropped || c == diag.ObjectUnreadable || c == diag.NotEnforced
}

// heldFor asks the proxy; where it cannot be asked, that is a Gap.
func heldFor(in Intent, w mesh.Workload, port int) (*Held, *Gap) {
	if in.Held == nil {
		return nil, nil
	}
	held, err := in.Held(w, port)
	if err == nil {
		return held, nil
	}
	const most = 200
	gap := &Gap{What: "what the proxy holds", Why: err.Error()}
	if len(gap.Why) > most {
		gap.Why = gap.Why[:most] + "…"
	}
	var refused interface{ Permission() string }
	if errors.As(err, &refused) {
		gap.Permission = refused.Permission()
	}
	return nil, gap
}

// driftFindings say what the proxy holds otherwise than the objects: an error where the
// verdicts differ.
func driftFindings(d, objects *Diagnosis, held Held) []Finding {
	var out []Finding
	severity := diag.Warning
	if !sameVerdict(d.Verdict, objects.Verdict) && objects.Verdict.Decision != envoy.Undetermined {
		severity = diag.Error
		d.Summary, d.Code = "by what the proxy holds, and the objects say "+verdictWords(objects.Verdict), diag.ProxyDiffers
		out = append(out, Finding{Code: diag.ProxyDiffers, Severity: severity, Message: fmt.Sprintf(
			"what the proxy holds and what was read lead to different answers (%s, %s): the answer is the proxy's, read from %s",
			verdictWords(d.Verdict), verdictWords(objects.Verdict), held.From)})
	}
	for _, df := range d.Evidence.Drift {
		f := Finding{Code: diag.ProxyDiffers, Severity: severity, Message: df.Message, Object: df.Object}
		if df.Object != nil {
			f.Field = df.Object.Field
		}
		out = append(out, f)
	}
	return out
}

func verdictWords(v Verdict) string {
	switch {
	case v.Decision == envoy.Undetermined:
		return "undetermined"
	case v.Status == 0:
		return "closed"
	}
	return strconv.Itoa(v.Status)
}

// refusedFindings come first of all: what is in force is not what was applied.
func refusedFindings(held Held) []Finding {
	var out []Finding
	for _, r := range held.Refused {
		f := Finding{Code: diag.ListenerRefused, Severity: diag.Error, Message: fmt.Sprintf(
			"the proxy refuses the newest configuration of its listener %s and goes on with the one that it had: policies that were applied since are not in force (%s)", r.Name, r.Reason)}
		if !r.Asked {
			f.Severity = diag.Warning
		}
		out = append(out, f)
	}
	return out
}

// blameRefused makes a listener that the proxy goes on with the reason why a request
// gets through: what would have stopped it is not in force.
func blameRefused(d *Diagnosis, held Held) {
	for _, r := range held.Refused {
		if !r.Asked {
			continue
		}
		d.Evidence.Refused = r.Reason
		if d.Verdict.Decision == envoy.Allowed {
			d.Because = "the proxy refuses its newest configuration and goes on with an older one: " + r.Reason
			d.Summary, d.Code = "policies are not in force, since the proxy refuses them", diag.ListenerRefused
		}
	}
}

// placeholderFindings name the providers whose keys istiod could not fetch
// (Istio pilot/pkg/model/jwks_resolver.go:BuildLocalJwks).
func placeholderFindings(held Held) []Finding {
	var out []Finding
	for _, p := range providers(held.Proxy) {
		if p.Keys.Fetcher != envoy.Inline {
			continue
		}
		set, _ := jwks.Parse([]byte(p.Keys.Inline))
		kind, uri, ok := jwks.Placeholder(set)
		if !ok {
			continue
		}
		at := "the keys of the issuer " + fmt.Sprintf("%q", p.Issuer)
		if uri != "" {
			at = "the keys at " + fmt.Sprintf("%q", uri)
		}
		out = append(out, Finding{Code: diag.KeysNotFetched, Severity: diag.Error, Object: place(p.Origin), Field: p.Origin.Field,
			Message: fmt.Sprintf("the proxy holds a placeholder key: the control plane could not fetch %s: %s", at, placeholderWords(kind))})
	}
	return out
}

// TrustDomainOf is the trust domain of an identity, spiffe://TRUST-DOMAIN/…; empty for
// what is no such identity.
func TrustDomainOf(identity string) string {
	rest, ok := strings.CutPrefix(identity, "spiffe://")
	if !ok {
		return ""
	}
	td, _, _ := strings.Cut(rest, "/")
	return td
}
