package cmd

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/asmjwt/kubectl-asmjwt/pkg/kube"
	"github.com/asmjwt/kubectl-asmjwt/pkg/mesh"
	"github.com/asmjwt/kubectl-asmjwt/pkg/scaffold"
)

// live reports whether a cluster is read: for the labels of a workload, where no files
// are given.
func (o *scaffoldOptions) live() bool {
	return len(o.flags.files) == 0 && o.flags.kustomize == "" && o.intent.Where.Target != (mesh.Target{})
}

// connect makes the clients, where there is something to ask or to apply. The namespace is
// that of the context where no flag says one.
func (o *scaffoldOptions) connect(ctx context.Context) error {
	if !o.live() && !o.flags.apply {
		return nil
	}
	planes, err := o.app.clusters.planes(ctx, o.app.clusters.names()[0])
	if err != nil {
		return err
	}
	o.planes = planes
	if *o.config.Namespace == "" {
		o.intent.Namespace = planes.Data.Namespace
	}
	return nil
}

// fromCluster reads what the policies of one workload have to do with.
func (o *scaffoldOptions) fromCluster(ctx context.Context) (*mesh.Snapshot, error) {
	got, err := kube.Collect(ctx, o.planes, kube.Question{Hops: []kube.Place{{Target: o.intent.Where.Target, Namespace: o.intent.Namespace}}, Around: true, Fragment: true})
	if err != nil {
		return nil, err
	}
	o.intent.Partial = true
	return got.Snapshot, nil
}

// validateApply checks the flags of --apply.
func (o *scaffoldOptions) validateApply() error {
	f := &o.flags
	for _, flag := range []string{"dry-run", "field-manager", "force-conflicts"} {
		if o.given(flag) && !f.apply {
			return usage("add --apply", "--%s says how to apply, but nothing is applied", flag)
		}
	}
	switch {
	case f.apply && f.outputDir != "":
		return usage("leave one of the two out", "--apply and --output-dir together")
	case f.apply && o.given("output"):
		return usage("leave one of the two out", "--apply prints what it applied, and -o the objects")
	case f.apply && f.fieldManager == "":
		return usage("leave it out: it is kubectl then", "--field-manager is empty")
	case (o.live() || f.apply) && len(o.app.clusters.contexts) > 1:
		return usage("run it once for each", "scaffold takes one --context")
	}
	return o.app.clusters.validate()
}

// apply applies the objects, and says where.
func (o *scaffoldOptions) apply(ctx context.Context, objects []*scaffold.Object) error {
	manifests := make([]kube.Manifest, len(objects))
	for i, obj := range objects {
		text, err := json.Marshal(obj)
		if err != nil {
			return fmt.Errorf("write the objects: %w", err)
		}
		manifests[i] = kube.Manifest{APIVersion: obj.APIVersion, Kind: obj.Kind, Namespace: obj.Namespace, Name: obj.Name, JSON: text}
	}
	done, suffix := "serverside-applied", ""
	var out []kube.Applied
	var err error
	switch o.flags.dryRun.value {
	case "client":
		done, suffix = "would be applied", " (dry run)"
		out, err = o.planes.Where(manifests)
	default:
		server := o.flags.dryRun.value == "server"
		if server {
			suffix = " (server dry run)"
		}
		out, err = o.planes.Apply(ctx, manifests, kube.ApplyOptions{Manager: o.flags.fieldManager, Force: o.flags.force, DryRun: server})
	}
	var failed *kube.ApplyError
	if errors.As(err, &failed) && ctx.Err() == nil {
		return &unavailableError{problem: err.Error(), hint: failed.Hint}
	}
	if err != nil {
		return err
	}
	var lines strings.Builder
	for _, a := range out {
		where := ""
		if a.OnMesh {
			where = " on the mesh's own API server"
		}
		fmt.Fprintf(&lines, "%s %s%s%s\n", a.Resource, done, where, suffix)
	}
	if _, err := o.app.Out.Write([]byte(lines.String())); err != nil {
		return fmt.Errorf("write what was applied: %w", err)
	}
	return nil
}
