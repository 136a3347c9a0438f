package render

import (
	"strconv"

	"github.com/asmjwt/kubectl-asmjwt/pkg/diagnose"
	"github.com/asmjwt/kubectl-asmjwt/pkg/envoy"
)

// hops are the proxies on the way, with what each does with the request.
func (p *page) hops(d *diagnose.Diagnosis) {
	all := len(d.Hops) + len(d.NotReached)
	if all < 2 {
		return
	}
	for i, h := range d.Hops {
		text := Headline(h.Verdict)
		if h.Verdict.Decision == envoy.Allowed {
			text = "passes"
		}
		p.labelled("hop "+strconv.Itoa(i+1), target(h.Target)+": "+text)
		if h.Request != nil {
			p.labelled("", arrives(d.Request, *h.Request))
		}
	}
	for i, t := range d.NotReached {
		p.labelled("hop "+strconv.Itoa(len(d.Hops)+i+1), target(t)+": not reached")
	}
}

// arrives is how a request reaches a hop, as far as it is not what the client sent.
func arrives(sent, got diagnose.Request) string {
	text := "from " + caller(got)
	if got.Path != sent.Path {
		text += ", path " + quote(got.Path)
	}
	if got.Host != sent.Host {
		text += ", host " + quote(got.Host)
	}
	if got.Protocol != sent.Protocol {
		text += ", " + clean(got.Protocol)
	}
	return text
}
