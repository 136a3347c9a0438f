package diagnose

import (
	"strings"

	"github.com/asmjwt/kubectl-asmjwt/pkg/diag"
	"github.com/asmjwt/kubectl-asmjwt/pkg/mesh"
)

// groupsOfKinds are the API groups of what may stand in a walk. It is never written to.
var groupsOfKinds = map[string]string{
	"AuthorizationPolicy": mesh.GroupSecurity, "RequestAuthentication": mesh.GroupSecurity, "PeerAuthentication": mesh.GroupSecurity,
	"EnvoyFilter": mesh.GroupNetworking, "WasmPlugin": mesh.GroupExtensions,
}

// noteManagers says which of the objects in the walk are kept by another one: whoever
// changes them has to change that.
func noteManagers(d *Diagnosis, snap *mesh.Snapshot) {
	seen := map[Place]bool{}
	note := func(p *Place) {
		if p == nil {
			return
		}
		at := Place{Kind: p.Kind, Namespace: p.Namespace, Name: p.Name}
		group, known := groupsOfKinds[at.Kind]
		if !known || seen[at] {
			return
		}
		seen[at] = true
		o := snap.Find(group, at.Kind, at.Namespace, at.Name)
		if o == nil {
			return
		}
		if m, managed := mesh.ManagedBy(o); managed {
			d.Findings = append(d.Findings, Finding{
				Code: diag.ObjectManaged, Severity: diag.Info, Object: &at,
				Message: o.Ref().String() + " is kept by " + m.String() + ": change that, since edits of the object itself may be reverted",
			})
		}
	}
	note(d.Verdict.DecidedBy)
	var walk func([]Step)
	walk = func(steps []Step) {
		for i := range steps {
			note(steps[i].Object)
			walk(steps[i].Steps)
		}
	}
	walk(d.Trace)
	for i := range d.Hops {
		walk(d.Hops[i].Trace)
	}
}

// MarkManagedFixes says of a fix that changes an object which another one keeps that the
// change belongs there.
func MarkManagedFixes(d *Diagnosis) {
	for i := range d.Fixes {
		for _, f := range d.Findings {
			if f.Code == diag.ObjectManaged && strings.Contains(d.Fixes[i].Summary, f.Object.Kind+" "+f.Object.Namespace+"/"+f.Object.Name) {
				d.Fixes[i].Summary += " (" + f.Message + ")"
			}
		}
	}
}
