package cmd

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/asmjwt/kubectl-asmjwt/pkg/diag"
	"github.com/asmjwt/kubectl-asmjwt/pkg/diagnose"
	"github.com/asmjwt/kubectl-asmjwt/pkg/kube"
	"github.com/asmjwt/kubectl-asmjwt/pkg/mesh"
)

// live reports whether a cluster is asked, and no files are read.
func (o *whyOptions) live() bool {
	return len(o.flags.files) == 0 && o.flags.kustomize == "" && o.flags.dump == ""
}

// dumpOnly says that a config_dump takes the place of everything else.
func (o *whyOptions) dumpOnly() bool {
	return o.flags.dump != "" && len(o.flags.files) == 0 && o.flags.kustomize == ""
}

// contexts are those to ask; without a cluster there is one, without a name.
func (o *whyOptions) contexts() []string {
	if !o.live() {
		return []string{""}
	}
	return o.app.clusters.names()
}

// collect reads what the question needs of a cluster. The namespace is that of the
// context where no flag says one.
func (o *whyOptions) collect(ctx context.Context, name string, in *diagnose.Intent) (sources, error) {
	planes, err := o.app.clusters.planes(ctx, name)
	if err != nil {
		return sources{}, err
	}
	if *o.config.Namespace == "" {
		in.Namespace = planes.Data.Namespace
		if !o.given("from-namespace") && !o.execNamespace && in.Caller.From != (mesh.Target{}) {
			in.Caller.FromNamespace = in.Namespace
		}
	}
	if err := o.readWhatIf(ctx, in.Namespace); err != nil {
		return sources{}, err
	}
	got, located, err := o.collectFor(ctx, planes, in)
	if err != nil {
		return sources{}, err
	}
	note := func(d *diagnose.Diagnosis, err error) error {
		if err != nil {
			return notThere(err, planes)
		}
		notePlanes(d, planes, got, *in)
		if !planes.MeshServes().Serves(mesh.GroupSecurity) {
			o.app.note("no API server that was asked serves " + mesh.GroupSecurity + ": there is no mesh here, or it has its own API server (--mesh-kubeconfig)")
		}
		return nil
	}
	return sources{snapshot: got.Snapshot, data: planes.Data, note: note, located: located}, nil
}

// collectFor reads what the question needs; where it names no target, what takes the
// host is looked for first, and said in words.
func (o *whyOptions) collectFor(ctx context.Context, planes *kube.Planes, in *diagnose.Intent) (*kube.Collection, string, error) {
	ask := func() kube.Question {
		q := questionOf(*in)
		q.Changes = o.changes
		q.Fragment = q.Fragment || o.flags.logs.value != "" // any path may be in the log
		return q
	}
	switch {
	case in.Target != (mesh.Target{}):
		o.askProxies(ctx, in, planes.Data)
		got, err := kube.Collect(ctx, planes, ask())
		return got, "", err
	case diagnose.LocateService(in, func(service diagnose.Via) bool {
		return planes.LacksService(ctx, service.Namespace, service.Target.Name)
	}):
		o.askProxies(ctx, in, planes.Data)
		got, err := kube.Collect(ctx, planes, ask())
		return got, fmt.Sprintf("%s in namespace %s", in.Target, in.Namespace), err
	}
	located := ""
	fragment := ask().Fragment
	got, err := kube.Find(ctx, planes, diagnose.HostOf(*in), fragment, func(snap *mesh.Snapshot) (q kube.Question, err error) {
		*in, located, err = diagnose.Locate(*in, snap)
		return ask(), err
	})
	o.askProxies(ctx, in, planes.Data)
	return got, located, err
}

// notThere says of a target that a cluster does not have what manifests would not tell.
func notThere(err error, planes *kube.Planes) error {
	var absent *mesh.NotFoundError
	if !errors.As(err, &absent) || !absent.NoneOfKind {
		return err
	}
	typ, _, _ := strings.Cut(absent.Target.String(), "/")
	return usage(fmt.Sprintf("kubectl get %s -n %s lists them; is the context %s the one that is meant?", typ, absent.Namespace, planes.Data.Context),
		"find %s: no such %s in namespace %s", absent.Target, absent.Kind, absent.Namespace)
}

// questionOf is what has to be read for a question.
func questionOf(in diagnose.Intent) kube.Question {
	q := kube.Question{Fragment: strings.Contains(in.Path, "#")}
	for _, v := range in.Via {
		hop := kube.Place{Target: v.Target, Namespace: v.Namespace}
		if hop.Namespace == "" {
			hop.Namespace = in.Namespace
		}
		q.Hops = append(q.Hops, hop)
	}
	q.Hops = append(q.Hops, kube.Place{Target: in.Target, Namespace: in.Namespace})
	if in.Caller.From != (mesh.Target{}) {
		q.From = kube.Place{Target: in.Caller.From, Namespace: in.Caller.FromNamespace}
	}
	return q
}

// notePlanes says what the answer was read from, as far as that is not plain.
func notePlanes(d *diagnose.Diagnosis, planes *kube.Planes, got *kube.Collection, in diagnose.Intent) {
	d.Target.Context = planes.Data.Context
	if planes.MeshFrom != "" {
		d.Assumed = append(d.Assumed, diagnose.Assumption{
			Setting: "meshKubeconfig", Value: planes.MeshFrom, Source: "the cluster does not serve " + mesh.GroupSecurity,
		})
	}
	if got.NamespaceMissing {
		d.Findings = append(d.Findings, diagnose.Finding{
			Code: diag.NamespaceOneSided, Severity: diag.Warning,
			Message: fmt.Sprintf("the mesh's own API server has no namespace %s, so it can have no policies for it: create the namespace there too", in.Namespace),
		})
	}
}
