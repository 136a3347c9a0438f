package cmd

import (
	"github.com/asmjwt/kubectl-asmjwt/pkg/diagnose"
	"github.com/asmjwt/kubectl-asmjwt/pkg/probe"
	"github.com/asmjwt/kubectl-asmjwt/pkg/render"
)

// describe says who sent the requests, and where they went.
func (s *scene) describe(r *probe.Report) {
	p := s.sender
	r.From = probe.From{Local: s.o.local, Client: s.client}
	if !s.o.local {
		r.From = probe.From{
			Kind: p.workload.Ref.Kind, Namespace: p.namespace, Name: p.workload.Ref.Name, Pod: p.name, Container: p.container,
			Image: s.image, Proxy: p.hasProxy && !p.pastItself, Client: s.client,
		}
	}
	r.To.URL, r.To.Address = s.o.flags.request.url, s.address
	r.Gaps = append(s.gaps, r.Gaps...)
	if p.pastItself {
		r.Gaps = append(r.Gaps, diagnose.Gap{
			What: "what a client of the mesh gets", Why: "the requests come from the proxy's own container, whose traffic goes past the proxy",
		})
	}
}

// exitCodeOfProbe is the only map from what probe found to exit codes.
func exitCodeOfProbe(r *probe.Report) int {
	code := exitYes
	for _, row := range r.Rows {
		switch {
		case row.Unexpected() || row.Outcome == probe.Differs:
			code = worse(code, exitNo)
		case row.Unknown():
			code = worse(code, exitUnknown)
		}
	}
	return code
}

// print prints the report in the form that was asked for.
func (o *probeOptions) print(r *probe.Report) error {
	if done, err := render.ForPrograms(o.app.Out, o.flags.output.value, r); done {
		return err
	}
	if o.flags.output.value == "junit" {
		return render.ProbeJUnit(o.app.Out, r)
	}
	return render.Probe(o.app.Out, r, o.app.style(o.flags.noColor))
}
