package cmd

import (
	"context"

	"github.com/asmjwt/kubectl-asmjwt/pkg/diagnose"
	"github.com/asmjwt/kubectl-asmjwt/pkg/kube"
	"github.com/asmjwt/kubectl-asmjwt/pkg/mesh"
)

// sources is what was read for one context, or from files.
type sources struct {
	snapshot *mesh.Snapshot
	data     *kube.Cluster // nil from files
	// located says what was found by the host, where a cluster was searched for it.
	located string
	// note adds what is to be said of a cluster to an answer, or to its error.
	note func(*diagnose.Diagnosis, error) error
}

// diagnose answers for one context, or from files: once, or for each line of a log.
func (o *whyOptions) diagnose(ctx context.Context, name string) ([]*diagnose.Diagnosis, error) {
	in := o.intent
	from, err := o.read(ctx, name, &in)
	if err != nil {
		return nil, err
	}
	if wrong := from.snapshot.Check(); len(wrong) > 0 {
		return nil, newErrorList(wrong)
	}
	in.Complete = !o.live()
	o.checkExec(&in, from.snapshot)
	if !o.live() && from.snapshot.MeshObjects() == 0 {
		o.app.note("there is no object of Istio's among what was read, and so no policy to judge by")
	}
	located := from.located
	if in.Target == (mesh.Target{}) {
		if in, located, err = diagnose.Locate(in, from.snapshot); err != nil {
			return nil, err
		}
	}
	if o.flags.logs.value == "" {
		d, err := o.answer(ctx, in, from, located, o.line)
		return []*diagnose.Diagnosis{d}, err
	}
	lines, unread, err := o.aboutLogs(ctx, in, from.snapshot, from.data)
	if unread != nil {
		o.app.secrets.redactValue(unread)
		return []*diagnose.Diagnosis{unread}, from.note(unread, nil)
	}
	if err != nil {
		return nil, err
	}
	if len(lines) == 0 { // the target was not found, which the answer says
		d, err := o.answer(ctx, in, from, located, nil)
		return []*diagnose.Diagnosis{d}, err
	}
	var out []*diagnose.Diagnosis
	for i := range lines {
		d, err := o.answer(ctx, lines[i].intent, from, located, &lines[i])
		if err != nil {
			return nil, err
		}
		out = append(out, d)
	}
	return out, nil
}

// read reads a cluster, or files.
func (o *whyOptions) read(ctx context.Context, name string, in *diagnose.Intent) (sources, error) {
	if o.live() {
		return o.collect(ctx, name, in)
	}
	snapshot, err := kube.FromFiles(ctx, kube.FileOptions{
		Filenames: o.flags.files, Recursive: o.flags.recursive, Kustomize: o.flags.kustomize,
		Namespace: in.Namespace, Stdin: o.app.In,
	})
	return sources{snapshot: snapshot, note: func(_ *diagnose.Diagnosis, err error) error { return err }}, err
}

// answer answers one question.
func (o *whyOptions) answer(ctx context.Context, in diagnose.Intent, from sources, located string, line *aboutLine) (*diagnose.Diagnosis, error) {
	d, err := diagnose.Run(in, from.snapshot)
	if err = from.note(d, err); err != nil {
		return nil, o.withPorts(err)
	}
	o.assumeAgent(d)
	if located != "" {
		d.Assumed = append(d.Assumed, diagnose.Assumption{Setting: "target", Value: located, Source: diagnose.LocatedBy(in)})
	}
	o.compare(in, from.snapshot, d, line)
	if again := o.unlikeItsLine(in, d, line); again != nil {
		other, err := diagnose.Run(*again, from.snapshot)
		if err = from.note(other, err); err != nil {
			return nil, o.withPorts(err)
		}
		if o.compare(*again, from.snapshot, other, line); other.Log.Decides && other.Observed.Agrees {
			in, d = *again, other
			d.Log.Note = "not with the path of the log, which is the one from before a proxy in front rewrote it"
		}
	}
	if err := o.addWhatIf(ctx, in, d, from.snapshot); err != nil {
		return nil, err
	}
	if err := o.addFixes(in, d, from.snapshot); err != nil {
		return nil, err
	}
	diagnose.MarkManagedFixes(d)
	// The core hides what stands where policies look for tokens. That something was
	// given as a token at all is known here only.
	o.app.secrets.redactValue(d)
	return d, nil
}
