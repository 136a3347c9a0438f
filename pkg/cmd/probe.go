package cmd

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"
	"k8s.io/cli-runtime/pkg/genericclioptions"

	"github.com/asmjwt/kubectl-asmjwt/pkg/diagnose"
	"github.com/asmjwt/kubectl-asmjwt/pkg/mesh"
	"github.com/asmjwt/kubectl-asmjwt/pkg/probe"
)

const probeLong = `Sends real requests and holds the answers against what why predicts: without a token,
with the given one, with its signature broken and, where --signing-key lets one be
made, with an expired one; each at every path.

They come from a pod, by exec, with the curl that it has. Token and headers go in on
standard input and are in no command line and no audit log. A container without
curl gets wget, which can send no token; --image adds an ephemeral container in its
place. Each row says what was predicted, what was seen and who answered: which proxy,
or the application. A difference is a finding with its likely causes.

A request that may change something is sent as it is: choose --method with care.

Exit codes: 0 as predicted (and as --expect says), 1 not, 2 usage or input that cannot
be read, 3 could not find out, 130 interrupted.`

const probeExamples = `  # Does the mesh do what its policies say?
  %[1]s probe --from deploy/sleep -n foo http://httpbin:8000/headers --jwt-file token.jwt

  # Several paths, in CI
  %[1]s probe --from deploy/sleep -n foo http://httpbin:8000 --path /headers --path /healthz \
    --jwt-file token.jwt --expect none=403 --expect none@/healthz=200 --expect given=200 -o junit

  # The gateway, whatever DNS says of its host
  %[1]s probe --from local --to-gateway deploy/istio-ingressgateway.istio-system https://api.example.com/ --ca ca.pem`

// probeOptions are the typed form of what the command line of probe says.
type probeOptions struct {
	app    *app
	config *genericclioptions.ConfigFlags
	flags  probeFlags
	given  func(flag string) bool

	base      sent
	paths     []string
	local     bool
	from      mesh.Target
	gateway   *diagnose.Via
	place     place
	expect    []probe.Expectation
	namespace string
	// at is the time of the predictions; 0: that of each answer.
	at int64
	// ca is the text of --ca.
	ca []byte
}

func newProbeCommand(a *app, config *genericclioptions.ConfigFlags) *cobra.Command {
	o := &probeOptions{app: a, config: config}
	cmd := &cobra.Command{
		Use:     "probe --from TYPE/NAME|local URL",
		Short:   "Send real requests, and hold the answers against the prediction",
		Long:    probeLong,
		Example: fmt.Sprintf(probeExamples, displayName(a.Name)),
		ValidArgsFunction: func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
			return nil, cobra.ShellCompDirectiveNoFileComp
		},
		RunE: inSteps(o),
	}
	o.flags.add(cmd)
	o.given = cmd.Flags().Changed
	return cmd
}

// Complete turns the strings of the command line into types. It touches no file, no
// network and no clock.
func (o *probeOptions) Complete(args []string) error {
	const hint = "write the URL as the client in the pod would: http://httpbin:8000/headers"
	switch {
	case len(args) == 0:
		return usage(hint, "the URL is missing")
	case len(args) > 1:
		return usage(hint, "probe takes one URL, and got %d words", len(args))
	case o.flags.from == "":
		return usage("name a pod's owner, such as --from deploy/sleep; or --from local for this machine", "--from is missing: nobody is there to send the requests")
	}
	o.namespace = *o.config.Namespace
	if o.local = o.flags.from == fromLocal; !o.local {
		var err error
		if o.from, err = mesh.ParseTarget(o.flags.from); err != nil {
			return fmt.Errorf("--from: %w", err)
		}
	}
	if err := o.takeRequest(args[0]); err != nil {
		return err
	}
	if o.given("to-gateway") {
		vias, err := parseVia([]string{o.flags.toGateway})
		if err != nil {
			return fmt.Errorf("--to-gateway: %w", err)
		}
		o.gateway = &vias[0]
	}
	for _, text := range o.flags.expect {
		e, err := probe.ParseExpectation(text)
		if err != nil {
			return usage("write "+probe.ExpectForm, "--expect %q: %v", text, err)
		}
		o.expect = append(o.expect, e)
	}
	var err error
	o.place, err = o.flags.token.place()
	return err
}

// takeRequest reads the URL and what goes on top of it.
func (o *probeOptions) takeRequest(url string) error {
	o.flags.request.url = url
	given := func(name string) bool {
		switch name {
		case "url":
			return true
		case "path", "host": // they go on top of the URL
			return false
		}
		return o.given(name)
	}
	var err error
	if o.base, err = o.flags.request.parse(given); err != nil {
		return err
	}
	if o.paths = o.flags.paths; len(o.paths) == 0 {
		o.paths = []string{o.base.Path}
	}
	for _, p := range o.paths {
		one := o.base
		if one.Path = p; p == "" || p[0] != '/' {
			return usage("write --path /headers", "--path does not begin with /")
		}
		if err := one.check(); err != nil {
			return err
		}
	}
	return nil
}

// Validate checks what flags say together. It touches no file and no network.
func (o *probeOptions) Validate() error {
	f := &o.flags
	if err := f.token.validate(o.given); err != nil {
		return err
	}
	hasToken := o.given("jwt-file") || o.given("jwt-env")
	switch {
	case o.given("signing-key") && !hasToken:
		return usage("the expired token has the claims of the one that --jwt-file gives", "--signing-key, and no token to take the claims of")
	case o.local && (o.given("container") || o.given("image") || o.given("from-namespace")):
		return usage("leave them out", "-c, --image and --from-namespace are for pods, and --from is local")
	case o.local && f.request.http.value == "2":
		return usage("send HTTP/2 from a pod", "--http 2 and --from local: this machine sends HTTP/1.1")
	case o.given("ca") && !o.base.https:
		return usage("write the URL with https://", "--ca, and the URL has no TLS")
	case o.given("ca") && !o.local && o.gateway == nil:
		return usage("in the pod its own curl checks the certificate; --ca works with --from local or --to-gateway", "--ca, and a pod that has not that file")
	case f.most < 1 || f.rate < 1:
		return usage("give a number from 1", "--max-requests and --rate are at least 1")
	case f.maxTime <= 0 || f.timeout <= 0:
		return usage("write it as 10s", "--max-time and --timeout are times above 0")
	case len(o.app.clusters.names()) > 1:
		return usage("give one --context", "probe asks one cluster, and %d are named", len(o.app.clusters.names()))
	case o.base.Method == "CONNECT":
		return usage("send another method", "--method CONNECT asks for a tunnel, not for an answer")
	}
	return o.app.clusters.validate()
}

// Run sends the requests and says what came of them. The exit code is settled before
// anything is printed.
func (o *probeOptions) Run(ctx context.Context) error {
	shots, err := o.gather()
	if err != nil {
		return err
	}
	s, err := o.setScene(ctx, shots)
	if err != nil {
		return err
	}
	trials, err := s.try(ctx, shots)
	if err != nil {
		return err
	}
	if err := s.lookAgain(ctx, trials); err != nil {
		return err
	}
	r := probe.Hold(trials, o.expect, o.at != 0)
	s.describe(r)
	o.next(r, trials)
	if err := o.propose(r, trials, s.snap); err != nil {
		return err
	}
	// That something was given as a token is known here only.
	o.app.secrets.redactValue(r)
	o.app.code = exitCodeOfProbe(r)
	return o.print(r)
}
