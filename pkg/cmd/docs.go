package cmd

import (
	"io"
	"maps"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

// Command is the tree of commands under the name by which users call it, for those who
// write documents of it. It is not for running.
func Command(name string) *cobra.Command {
	none := func(string) (string, bool) { return "", false }
	root := newRootCommand(&app{secrets: &secrets{}, Process: Process{
		Name: "/kubectl-asmjwt", In: strings.NewReader(""), Out: io.Discard, Err: io.Discard, LookupEnv: none, Now: func() time.Time { return time.Time{} },
	}})
	root.Annotations[cobra.CommandDisplayNameAnnotation] = name
	root.DisableAutoGenTag = true
	return root
}

// CompletionFiles are the shells with the names of their scripts below completions.
func CompletionFiles() map[string]string { return maps.Clone(completionFiles) }

// WriteCompletion writes the script of a shell; the error says that there is none.
func WriteCompletion(root *cobra.Command, shell string, out io.Writer) error {
	return writeCompletion(root, shell, out, "")
}
