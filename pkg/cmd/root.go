package cmd

import (
	"errors"
	"flag"
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	"k8s.io/klog/v2"

	"github.com/asmjwt/kubectl-asmjwt/pkg/mesh"
)

const rootLong = `Explains what requests with JSON Web Tokens get on Istio and Alibaba Cloud Service
Mesh (ASM): 401, 403 or 200, from which policy, and why.

Exit codes: 0 the answer is yes (allowed, as expected), 1 it is no (denied, not as
expected), 2 usage or input that cannot be read, 3 could not find out, 130 interrupted.`

const rootExamples = `  # Why does the gateway refuse this path? On the cluster, or on manifests
  %[1]s why deploy/istio-ingressgateway -n istio-system --path /api
  %[1]s why deploy/istio-ingressgateway -n istio-system -f manifests/ --path /api

  # Which policies ask for a token everywhere but at /health?
  %[1]s scaffold deploy/httpbin -n foo --issuer https://idp.example.com \
      --jwks-uri https://idp.example.com/keys --skip-path /health`

func newRootCommand(a *app) *cobra.Command {
	name := displayName(a.Name)
	root := &cobra.Command{
		Use:               "kubectl-asmjwt",
		Short:             "Explain 401, 403 and 200 of a service mesh",
		Long:              rootLong,
		Example:           fmt.Sprintf(rootExamples, name),
		Annotations:       map[string]string{cobra.CommandDisplayNameAnnotation: name},
		SilenceErrors:     true,
		SilenceUsage:      true,
		CompletionOptions: cobra.CompletionOptions{DisableDefaultCmd: true},
		Args:              noSuchCommand,
		RunE:              func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.SetIn(a.In)
	root.SetOut(a.Out)
	root.SetErr(a.Err)
	root.SetFlagErrorFunc(flagError)
	setHelp(a, root)
	root.SetHelpCommand(newHelpCommand())

	flags := genericclioptions.NewConfigFlags(true)
	// kubectl's --token goes to the API server. Users of this program would send an
	// application's token there.
	flags.BearerToken = nil
	a.clusters = newClusters(a, flags, root.PersistentFlags())
	flags.AddFlags(root.PersistentFlags())
	// Help is the same on every machine.
	root.PersistentFlags().Lookup("cache-dir").DefValue = "~/.kube/cache"
	addVerbosity(a, root.PersistentFlags())

	root.AddCommand(newWhyCommand(a, flags), newProbeCommand(a, flags), newDoctorCommand(a, flags), newScaffoldCommand(a, flags), newJWKSCommand(a, flags), newExplainCommand(a), newVersionCommand(a), newCompletionCommand(), newOptionsCommand(a))
	addCompletions(a, root)
	return root
}

// noSuchCommand refuses a first word that is no command.
func noSuchCommand(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	var known []string
	for _, c := range cmd.Commands() {
		if c.IsAvailableCommand() {
			known = append(known, c.Name())
		}
	}
	hint := "the commands are " + strings.Join(known, ", ")
	if near := nearestWord(args[0], known); near != "" {
		hint = "did you mean " + near + "? " + hint
	}
	return usage(hint, "unknown command %q", args[0])
}

// flagError dresses what pflag has to say, which may not repeat a value: it could
// be a token.
func flagError(cmd *cobra.Command, err error) error {
	hint := "see " + cmd.CommandPath() + " --help"
	var (
		unknown *pflag.NotExistError
		missing *pflag.ValueRequiredError
		invalid *pflag.InvalidValueError
	)
	switch {
	case errors.Is(err, pflag.ErrHelp):
		return err
	case errors.As(err, &unknown) && unknown.GetSpecifiedName() == "token":
		return usage("an application's token goes in with --jwt-file FILE or --jwt-env NAME; kubectl's --token, which would send it to the API server, is not taken",
			"unknown flag: --token")
	case errors.As(err, &unknown) && unknown.GetSpecifiedShortnames() != "":
		if strings.HasPrefix(unknown.GetSpecifiedShortnames(), "f") {
			hint = cmd.Name() + " asks a cluster; why, jwks and scaffold read files"
		}
		return usage(hint, "unknown shorthand flag: -%c", []rune(unknown.GetSpecifiedShortnames())[0])
	case errors.As(err, &unknown) && meansToken(unknown.GetSpecifiedName()):
		return usage("an application's token goes in with --jwt-file FILE or --jwt-env NAME", "unknown flag: --%s", unknown.GetSpecifiedName())
	case errors.As(err, &unknown):
		if near := nearestFlag(cmd, unknown.GetSpecifiedName()); near != "" {
			hint = "did you mean --" + near + "?"
		}
		return usage(hint, "unknown flag: --%s", unknown.GetSpecifiedName())
	case errors.As(err, &missing):
		return usage(hint, "flag needs a value: --%s", missing.GetFlag().Name)
	case errors.As(err, &invalid):
		return usage(hint, "invalid value for --%s: %s", invalid.GetFlag().Name, reason(invalid.Unwrap()))
	default:
		return usage(hint, "%s", err.Error())
	}
}

// meansToken reports whether somebody looks for the flag for tokens.
func meansToken(name string) bool {
	return name == "jwt" || strings.HasPrefix(name, "tok") || strings.HasPrefix(name, "bearer")
}

// reason is what is wrong with a value, without the value, which the errors of
// strconv repeat.
func reason(err error) string {
	var number *strconv.NumError
	switch {
	case errors.As(err, &number):
		return number.Err.Error()
	case err == nil:
		return "it does not fit"
	default:
		return err.Error()
	}
}

// nearestFlag is the flag that begins alike, if there is just one.
func nearestFlag(cmd *cobra.Command, name string) string {
	if len(name) < 3 {
		return ""
	}
	var near []string
	cmd.Flags().VisitAll(func(f *pflag.Flag) {
		if !f.Hidden && (strings.HasPrefix(f.Name, name) || strings.HasPrefix(f.Name, name[:len(name)-1]) || strings.HasSuffix(f.Name, "-"+name)) {
			near = append(near, f.Name)
		}
	})
	if len(near) == 1 {
		return near[0]
	}
	var all []string
	cmd.Flags().VisitAll(func(f *pflag.Flag) {
		if !f.Hidden {
			all = append(all, f.Name)
		}
	})
	return nearestWord(name, all)
}

// nearestWord is the word that looks most like another one; empty if none does.
func nearestWord(word string, words []string) string {
	const longest = 40 // what is longer is no slip
	if near := mesh.Nearest(word[:min(len(word), longest)], words, 1); len(near) > 0 {
		return near[0]
	}
	return ""
}

// addVerbosity adds kubectl's -v, whose log goes to standard error, without secrets.
func addVerbosity(a *app, flags *pflag.FlagSet) {
	var log flag.FlagSet
	klog.InitFlags(&log)
	klog.LogToStderr(false)
	klog.SetOutput(a.Err)
	_ = log.Set("v", "0") // klog keeps the level of a former command line of this process
	v := pflag.PFlagFromGoFlag(log.Lookup("v"))
	v.Usage = "number for the log level verbosity; the log goes to standard error and has no tokens"
	flags.AddFlag(v)
}
