package cmd

import (
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"

	"github.com/asmjwt/kubectl-asmjwt/pkg/diagnose"
	"github.com/asmjwt/kubectl-asmjwt/pkg/render"
)

// What the linker sets for a release: the version, the commit and its time, RFC 3339.
var version, commit, date string

// judgedAgainst is the Envoy that the evaluator is held against.
const judgedAgainst = "1.40.0"

// build says what was built.
type build struct {
	Version    string `json:"version"`
	Commit     string `json:"commit,omitempty"`
	CommitDate string `json:"commitDate,omitempty"`
	Go         string `json:"go"`
	Platform   string `json:"platform"`
	Envoy      string `json:"envoy"`
	APIVersion string `json:"apiVersion"`
}

func newVersionCommand(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "version",
		Short: "Print the version, and that of the Envoy it was held against",
		Args:  noArgs,
	}
	output := enumFlag(cmd, "output", "o", "text", "the form of the answer", "text", "json", "yaml")
	cmd.RunE = func(*cobra.Command, []string) error {
		b := ownBuild()
		if done, err := render.ForPrograms(a.Out, output.value, b); done {
			return err
		}
		_, err := fmt.Fprintf(a.Out, "kubectl-asmjwt %s\njudged against Envoy %s\n", b.Version, b.Envoy)
		return err
	}
	return cmd
}

// ownBuild is the linker's word, else what the Go tool knows.
func ownBuild() build {
	b := build{
		Version: version, Commit: commit, CommitDate: date, Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH,
		Envoy: judgedAgainst, APIVersion: diagnose.APIVersion,
	}
	info, ok := debug.ReadBuildInfo()
	if ok && b.Version == "" {
		b.Version = info.Main.Version
	}
	if b.Version == "" {
		b.Version = "unknown"
	}
	if !ok {
		return b
	}
	for _, s := range info.Settings {
		switch {
		case s.Key == "vcs.revision" && b.Commit == "":
			b.Commit = s.Value
		case s.Key == "vcs.time" && b.CommitDate == "":
			b.CommitDate = s.Value
		}
	}
	return b
}

func noArgs(cmd *cobra.Command, args []string) error {
	if len(args) > 0 {
		return usage("see "+cmd.CommandPath()+" --help", "%s takes no arguments", cmd.Name())
	}
	return nil
}
