package cmd

import (
	"context"
	"fmt"

	"github.com/asmjwt/kubectl-asmjwt/pkg/diagnose"
	"github.com/asmjwt/kubectl-asmjwt/pkg/kube"
	"github.com/asmjwt/kubectl-asmjwt/pkg/mesh"
)

// addWhatIf asks again with the objects of --what-if laid on top, and puts the answer
// beside the first one.
func (o *whyOptions) addWhatIf(ctx context.Context, in diagnose.Intent, d *diagnose.Diagnosis, snapshot *mesh.Snapshot) error {
	if len(o.flags.whatIf) == 0 {
		return nil
	}
	if err := o.readWhatIf(ctx, in.Namespace); err != nil {
		return err
	}
	objects := o.changes
	if wrong := wrongFields(objects, snapshot); len(wrong) > 0 {
		return newErrorList(wrong)
	}
	changed, err := snapshot.With(objects)
	if err != nil {
		return fmt.Errorf("--what-if: %w", err)
	}
	in.Held = nil // what a proxy holds does not change with the objects
	after, err := diagnose.Run(in, changed)
	if err != nil {
		return fmt.Errorf("with what --what-if gives: %w", o.withPorts(err))
	}
	d.CompareWith(after)
	return nil
}

// readWhatIf reads the objects of --what-if, once: standard input can be read once only,
// however many clusters there are.
func (o *whyOptions) readWhatIf(ctx context.Context, namespace string) error {
	if len(o.flags.whatIf) == 0 || o.changes != nil {
		return nil
	}
	var err error
	if o.changes, err = kube.ReadObjects(ctx, kube.FileOptions{
		Filenames: o.flags.whatIf, Recursive: o.flags.recursive, Namespace: namespace, Stdin: o.app.In,
	}); err != nil {
		return fmt.Errorf("--what-if: %w", err)
	}
	return nil
}

// wrongFields are the fields that the API does not know, as in every file that a person
// wrote, but for those that the object has on the server already: a newer mesh has them.
func wrongFields(objects []*mesh.Object, snapshot *mesh.Snapshot) []*mesh.InputError {
	var out []*mesh.InputError
	for _, o := range objects {
		known := map[string]bool{}
		if old := snapshot.Find(o.Group(), o.Kind, o.Namespace, o.Name); old != nil && old.FromServer() {
			for _, e := range mesh.CheckFields(old) {
				known[e.Field] = e.Unknown()
			}
		}
		for _, e := range mesh.CheckFields(o) {
			if !e.Unknown() || !known[e.Field] {
				out = append(out, e)
			}
		}
	}
	return out
}

// counts is the verdict that the exit code and --expect are about: with --what-if that
// after the change, since that is what was asked.
func (o *whyOptions) counts(d *diagnose.Diagnosis) diagnose.Verdict {
	if d.WhatIf != nil {
		return d.WhatIf.Verdict
	}
	return d.Verdict
}
