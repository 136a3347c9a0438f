package cmd

import (
	"context"

	"github.com/spf13/cobra"
	"k8s.io/cli-runtime/pkg/genericclioptions"

	"github.com/asmjwt/kubectl-asmjwt/pkg/doctor"
	"github.com/asmjwt/kubectl-asmjwt/pkg/kube"
	"github.com/asmjwt/kubectl-asmjwt/pkg/render"
)

const doctorLong = `Says what stands in the way of answers: which API servers the mesh has, in which
versions, what you may read there for questions about a namespace, and how a proxy can
be asked what it holds. Nothing is changed, and no Secret is read.

Exit codes: 0 nothing is in the way, 1 something is, 2 usage, 3 could not find out.`

// doctorOptions are the typed form of the command line of doctor.
type doctorOptions struct {
	app     *app
	config  *genericclioptions.ConfigFlags
	output  *enum
	noColor bool
}

func newDoctorCommand(a *app, config *genericclioptions.ConfigFlags) *cobra.Command {
	o := &doctorOptions{app: a, config: config}
	cmd := &cobra.Command{
		Use:   "doctor",
		Short: "Say what can be read of the mesh, and what is lacking",
		Long:  doctorLong,
		Args:  noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := a.clusters.validate(); err != nil {
				return err
			}
			return o.Run(cmd.Context())
		},
	}
	o.output = enumFlag(cmd, "output", "o", "text", "the form of the answer", "text", "json", "yaml")
	cmd.Flags().BoolVar(&o.noColor, "no-color", false, "no colours; so does the environment variable NO_COLOR")
	return cmd
}

// Run looks at each context. The exit code is settled before anything is printed.
func (o *doctorOptions) Run(ctx context.Context) error {
	var all []*doctor.Report
	for _, name := range o.app.clusters.names() {
		planes, err := o.app.clusters.planes(ctx, name)
		if err != nil {
			return err
		}
		r, err := kube.Examine(ctx, planes, planes.Data.Namespace)
		if err != nil {
			return err
		}
		all = append(all, r)
		o.app.code = worse(o.app.code, exitCodeOfReport(r))
	}
	for _, r := range all {
		if err := o.print(r); err != nil {
			return err
		}
	}
	return nil
}

func (o *doctorOptions) print(r *doctor.Report) error {
	if done, err := render.ForPrograms(o.app.Out, o.output.value, r); done {
		return err
	}
	return render.Doctor(o.app.Out, r, o.app.style(o.noColor))
}

// exitCodeOfReport is the exit code of what doctor found.
func exitCodeOfReport(r *doctor.Report) int {
	code := exitYes
	for _, p := range r.Problems {
		if p.Unsure {
			code = worse(code, exitUnknown)
		} else {
			code = worse(code, exitNo)
		}
	}
	return code
}
