package cmd

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/cli-runtime/pkg/genericclioptions"

	"github.com/asmjwt/kubectl-asmjwt/pkg/fetch"
	"github.com/asmjwt/kubectl-asmjwt/pkg/kube"
	"github.com/asmjwt/kubectl-asmjwt/pkg/mesh"
	"github.com/asmjwt/kubectl-asmjwt/pkg/render"
	"github.com/asmjwt/kubectl-asmjwt/pkg/scaffold"
)

const scaffoldLong = `Makes the policies that belong together: RequestAuthentication, which checks tokens,
and AuthorizationPolicy, which asks for one, with the ServiceEntry and the
DestinationRule that keys outside the mesh need.

The objects go to standard output; nothing is applied, unless --apply is given. What
they come to is said on standard error: what they apply to, what requests get with a
good, a bad and no token, and what they change for what is there already.

What is there already is read with -f; for a TYPE/NAME without -f, from the cluster.
With --discover this machine asks the issuer where its keys are. Nothing else is
contacted.

Exit codes: 0 the objects were made, 2 usage, or something that is not made for the
reason that is given, 3 could not find out, or not apply, 130 interrupted.`

const scaffoldExamples = `  # Every request to httpbin needs a token, but for /health
  %[1]s scaffold deploy/httpbin -n foo -f manifests/ --issuer https://idp.example.com \
    --jwks-uri https://idp.example.com/keys --skip-path /health

  # At the ingress gateway, with keys from a file
  %[1]s scaffold --gateway istio-ingressgateway --issuer testing@example.com --jwks-file keys.json

  # Two issuers, and members of a group only
  %[1]s scaffold -l app=httpbin -n foo --issuer https://a.example.com --jwks-uri https://a.example.com/keys \
    --issuer https://b.example.com --jwks-uri https://b.example.com/keys --claim groups=admin`

// scaffoldOptions are the typed form of what the command line of scaffold says.
type scaffoldOptions struct {
	app    *app
	config *genericclioptions.ConfigFlags
	flags  scaffoldFlags
	given  func(flag string) bool

	intent scaffold.Intent
	at     time.Time // zero: now
	// existing reads what is there already; nil where nothing is to be read.
	existing func(context.Context) (*mesh.Snapshot, error)
	planes   *kube.Planes // nil where no cluster is asked
}

func newScaffoldCommand(a *app, config *genericclioptions.ConfigFlags) *cobra.Command {
	o := &scaffoldOptions{app: a, config: config}
	cmd := &cobra.Command{
		Use:               "scaffold [TYPE/NAME]",
		Short:             "Make the policies that ask for tokens",
		Long:              scaffoldLong,
		Example:           fmt.Sprintf(scaffoldExamples, displayName(a.Name)),
		ValidArgsFunction: completer{o.app}.targets,
		RunE:              inSteps(o),
	}
	o.flags.add(cmd)
	o.given = cmd.Flags().Changed
	return cmd
}

// Complete turns the strings of the command line into types. It touches no file and
// no network.
func (o *scaffoldOptions) Complete(args []string) error {
	f, in := &o.flags, &o.intent
	var err error
	if in.Where, err = f.where(args); err != nil {
		return err
	}
	if in.Namespace = *o.config.Namespace; in.Namespace == "" {
		in.Namespace = "default"
	}
	for _, text := range f.claims {
		c, err := parseClaim(text)
		if err != nil {
			return err
		}
		in.Claims = append(in.Claims, c)
	}
	if in.Version, in.ASM, err = f.version(); err != nil {
		return err
	}
	in.Name, in.Open, in.SkipPaths, in.AllowPaths = f.name, f.require.value == "none", f.skip, f.allow
	in.Preflight, in.Probes, in.NoSub, in.Insecure = f.preflight, f.probes, f.noSub, f.insecure
	in.Fetcher = scaffold.Fetcher(f.fetcher.value)
	if f.at != "" {
		if o.at, err = time.Parse(time.RFC3339, f.at); err != nil {
			return usage("write it as 2026-03-11T09:30:00Z", "--at is not a time of RFC 3339")
		}
	}
	switch {
	case o.live():
		o.existing = o.fromCluster
	case len(f.files) > 0 || f.kustomize != "":
		o.existing = o.fromFiles
	}
	return nil
}

// Validate checks what flags say together. It touches no file and no network.
func (o *scaffoldOptions) Validate() error {
	f := &o.flags
	groups := f.issuers.groups
	others := []string{f.config}
	for _, g := range groups {
		others = append(others, g.jwksFile)
	}
	switch {
	case o.given("name") && f.name == "":
		return usage("write it as httpbin-jwt", "--name is empty")
	case f.config != "" && len(groups) > 0:
		return usage("write all issuers into the file, or all as flags", "--config and --issuer, or flags that belong to one, together")
	case len(groups) > 0 && !groups[len(groups)-1].started:
		return usage("add --issuer ISSUER, the iss of your tokens", "there are flags about an issuer, but no --issuer")
	case f.issuers.early && len(groups) > 1:
		return usage("put each flag behind the --issuer that it is about", "there are several --issuer, and a flag about one stands before the first")
	case len(f.files) > 0 && f.kustomize != "":
		return usage("render the kustomization first: kubectl kustomize DIR | … -f -", "-f and -k together")
	case f.recursive && len(f.files) == 0:
		return usage("add -f DIR", "-R says how to read -f, but there is none")
	case f.kustomization && f.outputDir == "":
		return usage("add --output-dir DIR", "--kustomization needs a folder to be written into")
	case f.outputDir != "" && f.output.value == "json":
		return usage("leave one of the two out", "--output-dir writes YAML, and -o json goes to standard output")
	case dashes(f.files, others) > 1:
		return stdinOnce()
	}
	for _, g := range groups {
		if g.discover && (g.JWKSURI != "" || g.jwksFile != "") {
			return usage("choose one of --jwks-uri, --jwks-file and --discover", "--discover, but the keys of %q are given", g.Issuer.Issuer)
		}
	}
	if err := o.validateApply(); err != nil {
		return err
	}
	return o.noTokens()
}

// noTokens refuses a token where none is asked for: it would end up in an object.
func (o *scaffoldOptions) noTokens() error {
	for _, arg := range o.app.Args {
		if len(tokenShapes(arg)) > 0 {
			return usage("policies hold keys and issuers, never tokens; to try a token: kubectl asmjwt why --jwt-file FILE", "there is a token on the command line")
		}
	}
	return nil
}

// Run reads what there is to read, makes the objects, asks what they come to, and
// prints both.
func (o *scaffoldOptions) Run(ctx context.Context) error {
	if err := o.issuers(ctx); err != nil {
		return err
	}
	if err := o.connect(ctx); err != nil {
		return err
	}
	var before *mesh.Snapshot
	if o.existing != nil {
		var err error
		if before, err = o.existing(ctx); err != nil {
			return err
		}
	}
	plan, err := scaffold.Make(o.intent, before)
	if err != nil {
		return err
	}
	text, err := render.ManifestYAML(plan.Objects...)
	if err != nil {
		return err
	}
	outcome, err := o.judge(plan, text, before)
	if err != nil {
		return err
	}
	// First what they come to: who pipes the objects on should have read it.
	if err := render.ScaffoldReport(o.app.Err, plan, outcome, render.NewStyle(false)); err != nil {
		return err
	}
	switch {
	case o.flags.apply:
		return o.apply(ctx, plan.Objects)
	case o.flags.outputDir != "":
		return o.writeFiles(plan.Objects)
	case o.flags.output.value == "json":
		return render.ManifestJSON(o.app.Out, plan.Objects...)
	}
	if _, err := o.app.Out.Write(text); err != nil {
		return fmt.Errorf("write the objects: %w", err)
	}
	return nil
}

// judge reads the objects back as they are printed, and asks the evaluator.
func (o *scaffoldOptions) judge(plan *scaffold.Plan, text []byte, before *mesh.Snapshot) (*scaffold.Outcome, error) {
	objects, err := mesh.Parse(text, mesh.ParseOptions{File: "the objects", Namespace: o.intent.Namespace})
	if err != nil {
		return nil, err
	}
	for _, obj := range objects {
		if wrong := mesh.CheckFields(obj); len(wrong) > 0 {
			return nil, fmt.Errorf("the objects do not fit the API: %w", wrong[0])
		}
	}
	at := o.at
	if at.IsZero() {
		at = o.app.Now()
	}
	return scaffold.Judge(scaffold.Judgement{Plan: plan, Objects: objects, Before: before, Time: at.Unix()})
}

// fromFiles reads what is there already from manifests.
func (o *scaffoldOptions) fromFiles(ctx context.Context) (*mesh.Snapshot, error) {
	snapshot, err := kube.FromFiles(ctx, kube.FileOptions{
		Filenames: o.flags.files, Recursive: o.flags.recursive, Kustomize: o.flags.kustomize,
		Namespace: o.intent.Namespace, Stdin: o.app.In,
	})
	if err != nil {
		return nil, err
	}
	if wrong := snapshot.Check(); len(wrong) > 0 {
		return nil, newErrorList(wrong)
	}
	return snapshot, nil
}

// issuers reads the keys, and asks the issuers that are to be asked.
func (o *scaffoldOptions) issuers(ctx context.Context) error {
	groups := o.flags.issuers.groups
	if o.flags.config != "" {
		var err error
		if groups, err = o.readConfig(); err != nil {
			return err
		}
	}
	for _, g := range groups {
		i := g.Issuer
		if g.jwksFile != "" {
			doc, err := o.readKeySet(g.jwksFile)
			if err != nil {
				return err
			}
			i.JWKS, i.JWKSName = doc, "--jwks-file "+g.jwksFile
		}
		if g.discover {
			if err := o.discover(ctx, &i); err != nil {
				return err
			}
		}
		o.intent.Issuers = append(o.intent.Issuers, i)
	}
	return nil
}

// discover asks the issuer where its keys are, and says that it does.
func (o *scaffoldOptions) discover(ctx context.Context, i *scaffold.Issuer) error {
	if err := i.CheckName(); err != nil {
		return err
	}
	say := func(format string, args ...any) {
		_, _ = io.WriteString(o.app.Err, render.Printable(fmt.Sprintf(format, args...))+"\n") // there is nobody else to tell
	}
	say("Asking     %s, from this machine", fetch.DiscoveryURL(i.Issuer))
	d, err := fetch.Discover(ctx, i.Issuer, fetch.Options{AllowHTTP: o.flags.insecure})
	if err != nil {
		var failed *fetch.Error
		if ctx.Err() == nil && errors.As(err, &failed) {
			return &unavailableError{problem: err.Error(), hint: failed.Hint}
		}
		return err
	}
	say("           its keys are at %s", d.JWKSURI)
	i.JWKSURI, i.Discovered = d.JWKSURI, true
	lines, err := scaffold.LookAtKeys("the keys at "+d.JWKSURI, d.Keys)
	if err != nil {
		return err
	}
	for _, line := range lines {
		say("           %s", line)
	}
	return nil
}
