package diagnose

import (
	"github.com/asmjwt/kubectl-asmjwt/pkg/diag"
	"github.com/asmjwt/kubectl-asmjwt/pkg/istio"
	"github.com/asmjwt/kubectl-asmjwt/pkg/mesh"
	"github.com/asmjwt/kubectl-asmjwt/pkg/origin"
	"github.com/asmjwt/kubectl-asmjwt/pkg/version"
)

// versions are those of the proxy and of its control plane, each with where it
// comes from. A zero version stands for the newest.
type versions struct {
	proxy, istiod version.Version
	// text is the tag or flag that tells the proxy's version, and may be no version.
	text, from string
	istiodFrom string
}

const (
	fromProxyFlag  = "--proxy-version"
	fromIstiodFlag = "--istiod-version"
	fromProxy      = "that of the proxy"
	newest         = "newest (Istio 1.32)"
)

// versionsOf takes the proxy's version from the tag of its image, else from the
// flag, and istiod's from its flag, else from the proxy.
func versionsOf(in Intent, w mesh.Workload) versions {
	var vs versions
	if c, ok := w.ProxyContainer(); ok {
		if tag, ok := version.Tag(c.Image); ok {
			vs.text, vs.from = tag, "image of the container "+c.Name
			vs.proxy, _ = version.Parse(tag)
		}
	}
	if vs.proxy.IsZero() && in.ProxyVersion != "" {
		vs.text, vs.from = in.ProxyVersion, fromProxyFlag
		vs.proxy, _ = version.Parse(in.ProxyVersion)
	}
	vs.istiod, vs.istiodFrom = vs.proxy, fromProxy
	if v, ok := version.Parse(in.IstiodVersion); ok {
		vs.istiod, vs.istiodFrom = v, fromIstiodFlag
	}
	return vs
}

// show says which versions the answer is for, and what of them is assumed.
func (vs versions) show(d *Diagnosis, judged bool) {
	d.Target.ProxyVersion, d.Target.VersionFrom = vs.text, vs.from
	if !judged {
		return
	}
	if vs.proxy.IsZero() {
		d.Assumed = append(d.Assumed, Assumption{Setting: "proxyVersion", Value: newest, Source: "default"})
	}
	d.Target.IstiodVersion, d.Target.IstiodVersionFrom = vs.istiod.String(), vs.istiodFrom
	value := vs.istiod.String()
	if value == "" {
		value, d.Target.IstiodVersionFrom = newest, ""
	}
	d.Assumed = append(d.Assumed, Assumption{Setting: "istiodVersion", Value: value, Source: vs.istiodFrom})
}

// unmodelled notes what could change the proxy and does not, and a port whose
// connections do not pass the proxy at all.
func unmodelled(d *Diagnosis, res *istio.Result) {
	for _, c := range res.Unmodelled {
		if !c.Attached {
			d.Skipped = append(d.Skipped, Skipped{Object: *place(origin.Origin{Ref: c.Ref}), Why: c.Why})
		}
	}
	if res.Bypassed == "" {
		return
	}
	by, field := "the annotation "+res.Bypassed, `metadata.annotations["`+res.Bypassed+`"]`
	switch res.Bypassed {
	case istio.BypassedBySetting:
		by, field = "the proxy's interceptionMode NONE, since no Sidecar names the port", ""
	case istio.BypassedByItself:
		by, field = "a rule of istio-init for the proxy's own ports of status and metrics", ""
	}
	d.Because = "nothing is enforced: connections to the port do not pass the proxy, by " + by
	d.Summary, d.Code = "nothing is enforced: the port does not pass the proxy", diag.NoProxy
	d.Findings = append(d.Findings, Finding{Code: diag.NoProxy, Severity: diag.Warning, Message: d.Because, Object: &Place{
		Kind: d.Target.Kind, Namespace: d.Target.Namespace, Name: d.Target.Name, Field: field,
	}})
}
