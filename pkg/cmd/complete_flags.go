package cmd

import (
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
)

// The flags of kubectl's whose value is a file, or a folder. Ours say so in their usage, as
// `FILE` and `DIR`. Every other value is no file, and none is offered for it.
var (
	fileFlags   = []string{"kubeconfig", "certificate-authority", "client-certificate", "client-key", "asmconfig"}
	folderFlags = []string{"cache-dir"}
)

// takesFile and takesFolder say whether the shell's own completion is right for a flag.
func takesFile(f *pflag.Flag) bool {
	value, _ := pflag.UnquoteUsage(f)
	return value == "FILE" || slices.Contains(fileFlags, f.Name)
}

func takesFolder(f *pflag.Flag) bool {
	value, _ := pflag.UnquoteUsage(f)
	return value == "DIR" || slices.Contains(folderFlags, f.Name)
}

// flagCompletions are the flags whose values are known, by name, whichever command has
// them; enums complete by themselves.
func (c completer) flagCompletions() map[string]cobra.CompletionFunc {
	config := func() string { return *c.app.clusters.config.KubeConfig }
	contexts := func(raw *clientcmdapi.Config) []string { return slices.Collect(maps.Keys(raw.Contexts)) }
	return map[string]cobra.CompletionFunc{
		"namespace":      c.namespaces,
		"from-namespace": c.namespaces,
		"from":           c.from,
		"via":            c.via,
		"to-gateway":     c.via,
		"gateway":        c.gateway,
		"target-ref":     c.targetRef,
		"port":           c.ports,
		"container":      c.containers,
		"context":        c.fromKubeconfig(config, contexts),
		"mesh-context":   c.fromKubeconfig(c.meshConfig, contexts),
		"cluster":        c.fromKubeconfig(config, func(raw *clientcmdapi.Config) []string { return slices.Collect(maps.Keys(raw.Clusters)) }),
		"user":           c.fromKubeconfig(config, func(raw *clientcmdapi.Config) []string { return slices.Collect(maps.Keys(raw.AuthInfos)) }),
		"jwt-env":        c.environment,
		"jwt-in":         begins("header:", "param:", "cookie:"),
		"method":         oneOf("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"),
	}
}

// meshConfig is the kubeconfig of --mesh-context.
func (c completer) meshConfig() string {
	for _, file := range []string{c.app.clusters.meshKubeconfig, c.app.clusters.asmconfig} {
		if file != "" {
			return file
		}
	}
	return *c.app.clusters.config.KubeConfig
}

func oneOf(words ...string) cobra.CompletionFunc {
	return cobra.FixedCompletions(words, cobra.ShellCompDirectiveNoFileComp)
}

func begins(words ...string) cobra.CompletionFunc {
	return cobra.FixedCompletions(words, cobra.ShellCompDirectiveNoFileComp|cobra.ShellCompDirectiveNoSpace)
}

// expectationWords are the values of --expect, out of the words of its usage.
func expectationWords() []string {
	return strings.Split(strings.Replace(expectations, " or ", ", ", 1), ", ")
}

// environment offers the names of variables, never their values.
func (c completer) environment(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	if c.app.Environ == nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	var out []string
	for _, v := range c.app.Environ() {
		if name, _, _ := strings.Cut(v, "="); name != "" {
			out = append(out, name)
		}
	}
	slices.Sort(out)
	return out, cobra.ShellCompDirectiveNoFileComp
}

// addCompletions ties the completions to the flags of all commands.
func addCompletions(a *app, root *cobra.Command) {
	known := completer{a}.flagCompletions()
	completeFlags(root, root.PersistentFlags(), known)
	var below func(cmd *cobra.Command)
	below = func(cmd *cobra.Command) {
		for _, c := range cmd.Commands() {
			completeFlags(c, c.Flags(), known)
			below(c)
		}
	}
	below(root)
	if len(a.Args) > 0 && a.Args[0] == cobra.ShellCompRequestCmd {
		unquoteUsages(root)
	}
}

// unquoteUsages takes the quotes around the names of values out of what flags say of
// themselves: cobra gives that to shells as it is.
func unquoteUsages(cmd *cobra.Command) {
	unquote := func(f *pflag.Flag) { _, f.Usage = pflag.UnquoteUsage(f) }
	cmd.PersistentFlags().VisitAll(unquote)
	cmd.Flags().VisitAll(unquote)
	for _, c := range cmd.Commands() {
		unquoteUsages(c)
	}
}

func completeFlags(cmd *cobra.Command, flags *pflag.FlagSet, known map[string]cobra.CompletionFunc) {
	flags.VisitAll(func(f *pflag.Flag) {
		if _, done := cmd.GetFlagCompletionFunc(f.Name); done || f.NoOptDefVal != "" {
			return
		}
		complete := known[f.Name]
		switch {
		case complete != nil:
		case takesFolder(f):
			complete = folders
		case takesFile(f):
			return // the shell's business
		default:
			complete = cobra.NoFileCompletions
		}
		completeWith(cmd, f.Name, complete)
	})
}

// completeWith completes a flag that is there, and that nothing completes yet.
func completeWith(cmd *cobra.Command, flag string, complete cobra.CompletionFunc) {
	if err := cmd.RegisterFlagCompletionFunc(flag, complete); err != nil {
		panic(err)
	}
}

func folders(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	return nil, cobra.ShellCompDirectiveFilterDirs
}
