package cmd

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/cli-runtime/pkg/genericclioptions"

	"github.com/asmjwt/kubectl-asmjwt/pkg/diagnose"
	"github.com/asmjwt/kubectl-asmjwt/pkg/jwt"
	"github.com/asmjwt/kubectl-asmjwt/pkg/keycheck"
	"github.com/asmjwt/kubectl-asmjwt/pkg/kube"
	"github.com/asmjwt/kubectl-asmjwt/pkg/mesh"
	"github.com/asmjwt/kubectl-asmjwt/pkg/render"
)

const jwksLong = `Says whether the keys of each jwtRule get to the proxies: who fetches them, what is
in the way, what is at the jwksUri, and what the proxies hold.

The keys are read through the API server, where they are at a Service, and with
--from by curl or wget in a pod. What this machine can reach (--from-local) is shown,
and never makes a rule ok: it says nothing of who fetches. A token that is given is
tried on the keys; it is sent nowhere.

Exit codes: 0 good tokens pass, 1 some rule refuses good tokens (or lets bad ones in),
2 usage or input that cannot be read, 3 could not find out, 130 interrupted.`

const jwksExamples = `  # Do the keys of a workload get there?
  %[1]s jwks deploy/httpbin -n foo

  # All rules of a namespace, and the fetch as a pod with a sidecar sees it
  %[1]s jwks -n foo --from deploy/sleep -c sleep

  # Why is this token refused: is its key there?
  %[1]s jwks svc/httpbin -n foo --jwt-file token.jwt

  # The keys were changed: wait until every proxy has them
  %[1]s jwks -n foo --watch --timeout 10m

  # From manifests, without a cluster
  %[1]s jwks -n foo -f manifests/ --jwks https://idp.example.com/keys=keys.json`

// jwksFlags are the strings of the command line.
type jwksFlags struct {
	files     []string
	recursive bool
	kustomize string

	all                            bool
	from, fromNamespace, container string
	fromLocal                      bool
	jwks                           []string
	token                          tokenFlags
	watch                          bool
	timeout, fetchTimeout          time.Duration
	pods                           int
	ca                             string
	proxyVersion, istiodVersion    string
	output                         *enum
	noColor                        bool
}

func (f *jwksFlags) add(cmd *cobra.Command) {
	fs := cmd.Flags()
	fs.SortFlags = false
	fs.BoolVarP(&f.all, "all-namespaces", "A", false, "all rules of the mesh")
	fs.StringArrayVarP(&f.files, "filename", "f", nil, "read `FILE`, folder, - or URL in the place of a cluster; may be repeated")
	fs.BoolVarP(&f.recursive, "recursive", "R", false, "read the folders of -f with all that is below them")
	fs.StringVarP(&f.kustomize, "kustomize", "k", "", "read the kustomization in `DIR` in the place of a cluster")
	fs.StringVar(&f.from, "from", "", "fetch the keys in a pod, too, with its curl or wget, `TYPE/NAME`")
	fs.StringVar(&f.fromNamespace, "from-namespace", "", "the namespace of --from; by default that of -n")
	fs.StringVarP(&f.container, "container", "c", "", "the container of --from; by default its first one that is no proxy")
	fs.BoolVar(&f.fromLocal, "from-local", false, "fetch the keys from this machine, too; that says nothing of who fetches")
	fs.StringArrayVar(&f.jwks, "jwks", nil, "the keys of a jwksUri or of an issuer, `URI|ISSUER=FILE`; may be repeated")
	fs.StringVar(&f.token.file, "jwt-file", "", "try the token of `FILE`, - for standard input, on the keys")
	fs.StringVar(&f.token.env, "jwt-env", "", "try the token of the environment variable `NAME` on the keys")
	fs.BoolVarP(&f.watch, "watch", "w", false, "look again until every proxy has the keys that are at the URI")
	fs.DurationVar(&f.timeout, "timeout", 5*time.Minute, "how long --watch waits")
	fs.DurationVar(&f.fetchTimeout, "fetch-timeout", 10*time.Second, "how long one fetch may take")
	fs.StringVar(&f.ca, "ca", "", "the authority of the key servers, for DestinationRules that are offered: a file in the proxy, `PATH`, or secret:NAME")
	fs.IntVar(&f.pods, "pods", 50, "how many proxies are asked what they hold, at most")
	fs.StringVar(&f.proxyVersion, "proxy-version", "", "the proxy's version in Istio's numbering, where no pod tells it")
	fs.StringVar(&f.istiodVersion, "istiod-version", "", "istiod's version; by default the proxy's")
	f.output = enumFlag(cmd, "output", "o", "text", "the form of the answer, wide with all that was seen, or the manifest of fix N alone", "text", "wide", "json", "yaml")
	addFixOutput(f.output)
	fs.BoolVar(&f.noColor, "no-color", false, "no colours; so does the environment variable NO_COLOR")
}

// jwksOptions are the typed form of the command line of jwks.
type jwksOptions struct {
	app    *app
	config *genericclioptions.ConfigFlags
	flags  jwksFlags
	given  func(flag string) bool

	target    mesh.Target
	from      mesh.Target
	namespace string
	keyFiles  []keyFile

	files []diagnose.KeyFile
	token *jwt.Token
	now   time.Time
}

func newJWKSCommand(a *app, config *genericclioptions.ConfigFlags) *cobra.Command {
	o := &jwksOptions{app: a, config: config}
	cmd := &cobra.Command{
		Use:               "jwks [TYPE/NAME]",
		Short:             "Say whether keys get to the proxies, and fit the tokens",
		Long:              jwksLong,
		Example:           fmt.Sprintf(jwksExamples, displayName(a.Name)),
		ValidArgsFunction: completer{a}.targets,
		RunE:              inSteps(o),
	}
	o.flags.add(cmd)
	o.given = cmd.Flags().Changed
	return cmd
}

// Complete turns the strings of the command line into types.
func (o *jwksOptions) Complete(args []string) error {
	const hint = "write TYPE/NAME, such as deploy/productpage, or nothing for all of a namespace"
	if len(args) > 1 {
		return usage(hint, "jwks takes one TYPE/NAME, and got %d words", len(args))
	}
	var err error
	if len(args) == 1 {
		if o.target, err = mesh.ParseTarget(args[0]); err != nil {
			return err
		}
	}
	if o.given("from") {
		if o.from, err = mesh.ParseTarget(o.flags.from); err != nil {
			return fmt.Errorf("--from: %w", err)
		}
	}
	if o.namespace = *o.config.Namespace; o.namespace == "" {
		o.namespace = "default"
	}
	o.keyFiles, err = parseKeyFiles(o.flags.jwks)
	return err
}

// Validate checks what flags say together. It touches no file and no network.
func (o *jwksOptions) Validate() error {
	f := &o.flags
	if err := f.token.validate(o.given); err != nil {
		return err
	}
	if err := checkVersions(map[string]string{"proxy-version": f.proxyVersion, "istiod-version": f.istiodVersion}); err != nil {
		return err
	}
	const noCluster = "leave one of the two out: manifests take the place of a cluster"
	switch {
	case dashes(f.files, []string{f.token.file}) > 1:
		return stdinOnce()
	case len(f.files) > 0 && f.kustomize != "":
		return usage("render the kustomization first: kubectl kustomize DIR | … -f -", "-f and -k together")
	case f.recursive && len(f.files) == 0:
		return usage("add -f DIR", "-R says how to read -f, but there is none")
	case f.all && o.target != (mesh.Target{}):
		return usage("leave one of the two out", "-A and a TYPE/NAME together")
	case f.all && o.given("namespace"):
		return usage("leave one of the two out", "-A and -n together")
	case (o.given("from-namespace") || o.given("container")) && !o.given("from"):
		return usage("add --from TYPE/NAME", "--from-namespace and -c say where --from is, but there is none")
	case !o.live() && (o.given("from") || f.fromLocal):
		return usage(noCluster, "from manifests nothing is fetched")
	case !o.live() && f.watch:
		return usage(noCluster, "--watch looks at a cluster")
	case f.watch && o.fixWanted() > 0:
		return usage("leave one of the two out", "--watch and -o fix=N together")
	case f.timeout <= 0 || f.fetchTimeout <= 0:
		return usage("write it as 10s or 5m", "--timeout and --fetch-timeout are longer than nothing")
	case f.pods < 1:
		return usage("write a number from 1 on", "--pods is how many proxies are asked")
	case (f.watch || o.fixWanted() > 0) && len(o.app.clusters.contexts) > 1:
		return usage("run it once for each", "that takes one --context")
	}
	if !o.live() {
		return nil
	}
	return o.app.clusters.validate()
}

func (o *jwksOptions) live() bool { return len(o.flags.files) == 0 && o.flags.kustomize == "" }

func (o *jwksOptions) fixWanted() int { return fixWanted(o.flags.output) }

// Run looks, decides and prints. The exit code is settled before anything is printed.
func (o *jwksOptions) Run(ctx context.Context) error {
	if err := o.gather(); err != nil {
		return err
	}
	if o.flags.watch {
		return o.watch(ctx)
	}
	names := []string{""}
	if o.live() {
		names = o.app.clusters.names()
	}
	var all []*keycheck.Report
	for _, name := range names {
		r, err := o.look(ctx, name)
		if err != nil {
			return err
		}
		all = append(all, r)
		o.app.code = worse(o.app.code, exitCodeOfKeys(r))
	}
	if n := o.fixWanted(); n > 0 {
		return o.printFix(all[0], n)
	}
	for _, r := range all {
		if err := o.print(r); err != nil {
			return err
		}
	}
	return nil
}

// gather reads the token, the files of keys and the clock.
func (o *jwksOptions) gather() error {
	o.now = o.app.Now()
	raw, ok, err := o.flags.token.read(o.app, o.given)
	if err != nil {
		return err
	}
	if ok {
		token, status := jwt.Parse(raw)
		if status != jwt.OK {
			return usage("give the token as clients send it: three parts with dots between them", "the token is none that a proxy would read: %s", status)
		}
		o.token = token
	}
	for _, k := range o.keyFiles {
		document, err := readKeys(k.file)
		if err != nil {
			return err
		}
		o.files = append(o.files, diagnose.KeyFile{For: k.source, Document: document})
	}
	return nil
}

// look sees what there is to see of one mesh, and decides.
func (o *jwksOptions) look(ctx context.Context, name string) (*keycheck.Report, error) {
	ev := keycheck.Evidence{
		Live: o.live(), Files: o.files, Token: o.token, Now: o.now, CA: o.flags.ca, ProxyVersion: o.flags.proxyVersion, IstiodVersion: o.flags.istiodVersion,
	}
	contextName := ""
	var err error
	if o.live() {
		contextName, err = o.seeCluster(ctx, name, &ev)
	} else {
		err = o.seeFiles(ctx, &ev)
	}
	if err != nil {
		return nil, err
	}
	r, err := keycheck.Check(ev)
	if err != nil {
		return nil, err
	}
	r.Context = contextName
	if err := o.writeFixes(r); err != nil {
		return nil, err
	}
	o.app.secrets.redactValue(r)
	return r, nil
}

// seeFiles takes the manifests.
func (o *jwksOptions) seeFiles(ctx context.Context, ev *keycheck.Evidence) error {
	var err error
	ev.Snapshot, err = kube.FromFiles(ctx, kube.FileOptions{
		Filenames: o.flags.files, Recursive: o.flags.recursive, Kustomize: o.flags.kustomize, Namespace: o.namespace, Stdin: o.app.In,
	})
	if err != nil {
		return err
	}
	if wrong := ev.Snapshot.Check(); len(wrong) > 0 {
		return newErrorList(wrong)
	}
	return o.choose(ev, o.namespace)
}

// choose finds the workloads that are asked about.
func (o *jwksOptions) choose(ev *keycheck.Evidence, namespace string) error {
	var err error
	if o.target != (mesh.Target{}) {
		ev.Workloads, err = ev.Snapshot.Resolve(o.target, namespace)
		return err
	}
	ev.Namespaces = []string{namespace}
	if o.flags.all {
		ev.Namespaces = ev.Snapshot.Namespaces()
	}
	for _, ns := range ev.Namespaces {
		found, err := ev.Snapshot.Workloads(ns)
		if err != nil {
			return err
		}
		ev.Workloads = append(ev.Workloads, found...)
	}
	return nil
}

func (o *jwksOptions) print(r *keycheck.Report) error {
	if done, err := render.ForPrograms(o.app.Out, o.flags.output.value, r); done {
		return err
	}
	style := o.app.style(o.flags.noColor)
	style.Wide = o.flags.output.value == "wide"
	return render.Keys(o.app.Out, r, style)
}

// printFix prints one manifest alone, for kubectl apply. The exit code says whether there
// is one.
func (o *jwksOptions) printFix(r *keycheck.Report, n int) error {
	const hint = "the same without -o shows the answer"
	switch {
	case len(r.Fixes) == 0:
		return usage(hint, "there is nothing to fix that objects could mend")
	case n > len(r.Fixes):
		return usage(hint, "there is no fix %d, only %s", n, countOf(len(r.Fixes)))
	}
	f := r.Fixes[n-1]
	if f.Manifest == "" {
		return usage("run: "+f.Command, "fix %d has no manifest: %s", n, f.Summary)
	}
	o.app.code = exitYes
	if _, err := io.WriteString(o.app.Out, f.Manifest); err != nil {
		return fmt.Errorf("write the manifest: %w", err)
	}
	return nil
}

// exitCodeOfKeys is the exit code of a report.
func exitCodeOfKeys(r *keycheck.Report) int {
	switch r.Verdict {
	case keycheck.Refused:
		return exitNo
	case keycheck.Unknown:
		return exitUnknown
	}
	return exitYes
}
