package cmd

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"k8s.io/cli-runtime/pkg/genericclioptions"

	"github.com/asmjwt/kubectl-asmjwt/pkg/diagnose"
	"github.com/asmjwt/kubectl-asmjwt/pkg/envoy"
	"github.com/asmjwt/kubectl-asmjwt/pkg/mesh"
	"github.com/asmjwt/kubectl-asmjwt/pkg/observe"
	"github.com/asmjwt/kubectl-asmjwt/pkg/render"
)

const whyLong = `Explains why a request gets 401, 403 or 200: which policy and rule decided, what
it wanted, and what the request brought.

The verdict is computed from the objects, by the rules of istiod and of the proxy;
no request is sent. What cannot be known makes it undetermined, never a guess.

With --what-if the answer before and after a change is shown; the exit code and
--expect are then about the answer after it. -o fix=N exits 0 if there is such a fix.

Exit codes: 0 allowed (or as --expect says), 1 denied (or not), 2 usage or input that
cannot be read, 3 undetermined or could not find out, 130 interrupted. --observed
changes none of that; with --expect observed it is 0 if what was seen is what is
computed, and 1 if it differs.`

const whyExamples = `  # Why does the gateway refuse this path?
  %[1]s why deploy/istio-ingressgateway -n istio-system -f manifests/ --path /api/v1/products/0

  # With a token, which stays out of the shell's history
  %[1]s why svc/httpbin -n foo -f manifests/ --path /headers --jwt-file token.jwt

  # The request as somebody pasted it, its $TOKEN from the environment
  %[1]s why svc/httpbin -n foo -f manifests/ --jwt-env TOKEN --curl - < pasted.sh

  # Which gateway takes the URL, what is behind it, and which of them says no?
  %[1]s why -f manifests/ --url https://api.example.com/orders --jwt-file token.jwt
  %[1]s why svc/orders -n shop -f manifests/ --via deploy/istio-ingressgateway.istio-system

  # In CI: fail unless a stranger is kept out
  %[1]s why deploy/httpbin -n foo -k overlays/prod --plaintext --expect 403`

// whyOptions are the typed form of what the command line of why says.
type whyOptions struct {
	app    *app
	config *genericclioptions.ConfigFlags
	flags  whyFlags
	given  func(flag string) bool

	intent   diagnose.Intent
	keyFiles []keyFile
	place    place
	expect   *expectation
	changes  []*mesh.Object // of --what-if

	// jwt is the token of --jwt-file or --jwt-env, read once.
	jwt *string
	// tokenPlaced says that the token already stands in the request.
	tokenPlaced bool
	// fromExec says that the caller is the pod of a kubectl exec.
	fromExec bool
	// execNamespace says that the kubectl exec names its namespace.
	execNamespace bool
	// observed is what was seen of the answer; nil: not given.
	observed *observe.Answer
	// line is that of --from-log; nil: not given.
	line *aboutLine
}

func newWhyCommand(a *app, config *genericclioptions.ConfigFlags) *cobra.Command {
	return (&whyOptions{app: a, config: config}).command()
}

func (o *whyOptions) command() *cobra.Command {
	cmd := &cobra.Command{
		Use:               "why [TYPE/NAME]",
		Short:             "Explain why a request gets 401, 403 or 200",
		Long:              whyLong,
		Example:           fmt.Sprintf(whyExamples, displayName(o.app.Name)),
		ValidArgsFunction: completer{o.app}.targets,
		RunE:              inSteps(o),
	}
	o.flags.add(cmd)
	o.given = cmd.Flags().Changed
	completeWith(cmd, "expect", oneOf(expectationWords()...))
	return cmd
}

// Complete turns the strings of the command line into types. It touches no file,
// no network and no clock.
func (o *whyOptions) Complete(args []string) error {
	const hint = "write TYPE/NAME, such as deploy/productpage"
	switch {
	case len(args) == 0 && !o.dumpOnly() && !o.given("url") && !o.given("curl") && !o.given("from-log"):
		return usage(hint+", or give --url: the host then finds it", "the workload to ask about is missing")
	case len(args) > 1:
		return usage(hint+", and the request as flags", "why takes one TYPE/NAME, and got %d words", len(args))
	}
	var err error
	in := &o.intent
	if len(args) == 1 {
		if in.Target, err = mesh.ParseTarget(args[0]); err != nil {
			return err
		}
	}
	if in.Namespace = *o.config.Namespace; in.Namespace == "" {
		in.Namespace = "default"
	}
	if in.Via, err = parseVia(o.flags.via); err != nil {
		return err
	}
	if !o.given("curl") { // which may have to be read first
		sent, err := o.flags.request.parse(o.given)
		if err != nil {
			return err
		}
		if err := o.takeRequest(sent); err != nil {
			return err
		}
	}
	in.ProxyVersion, in.IstiodVersion = o.flags.proxyVersion, o.flags.istiodVersion
	if o.keyFiles, err = parseKeyFiles(o.flags.jwks); err != nil {
		return err
	}
	if o.expect, err = o.flags.expectation(o.given); err != nil {
		return err
	}
	o.place, err = o.flags.token.place()
	return err
}

// takeRequest makes the request, and what follows from it, part of the question.
func (o *whyOptions) takeRequest(s sent) error {
	in := &o.intent
	in.Method, in.Host, in.Path, in.Headers, in.Protocol = s.Method, s.Authority, s.Path, s.Headers, s.Protocol
	if len(in.Via) > 0 || in.Target == (mesh.Target{}) {
		in.URLPort = portOfURL(s, o.given)
	}
	var err error
	if in.Port, err = o.port(s.urlPort); err != nil {
		return err
	}
	return o.caller(s)
}

// port is --port, or for a Service the port of the URL, which is one of its own.
func (o *whyOptions) port(urlPort string) (diagnose.Port, error) {
	port := o.flags.port
	if !o.given("port") && o.intent.Target.Type == mesh.TypeService && len(o.intent.Via) == 0 {
		port = urlPort
	}
	if port == "" && !o.given("port") {
		return diagnose.Port{}, nil
	}
	return parsePort("--port", port)
}

// parsePort reads a port by number or name.
func parsePort(flag, port string) (diagnose.Port, error) {
	if port == "" {
		return diagnose.Port{}, usage("write a number or a name", "%s is empty", flag)
	}
	n, err := strconv.ParseUint(port, 10, 16)
	switch {
	case err == nil && n > 0:
		return diagnose.Port{Number: int(n)}, nil
	case err == nil || errors.Is(err, strconv.ErrRange):
		return diagnose.Port{}, usage("ports are 1 to 65535", "%s is out of range", flag)
	}
	return diagnose.Port{Name: port}, nil
}

func (o *whyOptions) caller(s sent) error {
	c, err := o.flags.client(o.given)
	if err != nil {
		return err
	}
	who := &o.intent.Caller
	who.Principal, who.Plaintext, who.SNI, who.SNIGiven = c.principal, c.plaintext, c.sni, o.given("sni")
	if s.https && !o.given("from") && !o.given("from-principal") {
		if c.plaintext {
			return usage("leave one of the two out", "--plaintext and an https URL together")
		}
		who.TLS = true
	}
	if c.ip != nil {
		who.IP = *c.ip
	}
	if c.remoteIP != nil {
		who.RemoteIP = *c.remoteIP
	}
	if !o.given("from") {
		return nil
	}
	if who.From, err = mesh.ParseTarget(o.flags.from); err != nil {
		return fmt.Errorf("--from: %w", err)
	}
	if who.FromNamespace = o.flags.fromNamespace; who.FromNamespace == "" {
		who.FromNamespace = o.intent.Namespace
	}
	return nil
}

// Validate checks what flags say together. It touches no file and no network.
func (o *whyOptions) Validate() error {
	f := &o.flags
	if err := f.token.validate(o.given); err != nil {
		return err
	}
	if err := checkVersions(map[string]string{"proxy-version": f.proxyVersion, "istiod-version": f.istiodVersion}); err != nil {
		return err
	}
	switch {
	case o.given("curl") && o.given("url"):
		return usage("the command has a URL: --path and --host take its place in part", "--curl and --url together")
	case dashes(f.files, f.whatIf, []string{f.token.file, f.request.curl, f.observed, f.fromLog, f.dump}) > 1:
		return stdinOnce()
	case len(f.files) > 0 && f.kustomize != "":
		return usage("render the kustomization first: kubectl kustomize DIR | … -f -", "-f and -k together")
	case len(f.whatIf) > 0 && f.fixWanted() > 0:
		return usage("leave one of the two out", "a fix is for what was read, not for what --what-if makes of it")
	case f.quiet && f.output.value != "text":
		return usage("-q is for text: leave one of the two out", "-q and -o %s together", f.output.value)
	case f.evidence.value == evidenceProxy && !o.live() && f.dump == "":
		return usage("add --dump FILE, the proxy's config_dump", "--evidence proxy, and no proxy to ask")
	case f.recursive && len(f.files) == 0:
		return usage("add -f DIR", "-R says how to read -f, but there is none")
	}
	if err := o.validateLog(); err != nil {
		return err
	}
	if !o.live() {
		return nil // whatever they say, no cluster is asked
	}
	return o.app.clusters.validate()
}

// Run reads what there is to read, asks the core, and prints the answer. The exit
// code is settled before anything is printed.
func (o *whyOptions) Run(ctx context.Context) error {
	if err := o.gather(); err != nil {
		return err
	}
	if o.dumpOnly() {
		d, err := o.runDump()
		if err != nil {
			return err
		}
		o.compare(o.intent, nil, d, o.line)
		o.app.secrets.redactValue(d)
		o.app.code = o.exitCodeOf(d)
		return o.print([]*diagnose.Diagnosis{d})
	}
	o.intent.ProxyOnly = o.flags.evidence.value == evidenceProxy
	if o.flags.dump != "" && o.flags.evidence.value != evidenceObjects {
		if err := o.withDump(); err != nil {
			return err
		}
	}
	var all []*diagnose.Diagnosis
	for _, name := range o.contexts() {
		answers, err := o.diagnose(ctx, name)
		if err != nil {
			return err
		}
		all = append(all, answers...)
		for _, d := range answers {
			o.app.code = worse(o.app.code, o.exitCodeOf(d))
		}
	}
	return o.print(all)
}

// gather reads the token, the keys and the clock.
func (o *whyOptions) gather() error {
	in := &o.intent
	if o.given("curl") {
		if err := o.readCurl(); err != nil {
			return err
		}
	}
	if err := o.readObserved(); err != nil {
		return err
	}
	for _, h := range in.Headers {
		o.app.secrets.addHeader(h.Name, h.Value)
	}
	o.app.secrets.addPath(in.Path)
	token, ok, err := o.token()
	if err != nil {
		return err
	}
	if ok && !o.tokenPlaced {
		r := envoy.Request{Path: in.Path, Headers: in.Headers}
		o.place.putInto(&r, token)
		in.Path, in.Headers = r.Path, r.Headers
	}
	for _, k := range o.keyFiles {
		document, err := readKeys(k.file)
		if err != nil {
			return err
		}
		in.Keys = append(in.Keys, diagnose.KeyFile{For: k.source, Document: document})
	}
	in.Clock = "the clock of this machine"
	if o.given("at") {
		in.Clock = "--at"
	}
	in.Everything = o.flags.output.value == "wide"
	if in.Time, err = o.flags.time(o.app.Now); err != nil {
		return err
	}
	return o.readLine()
}

// token is the token of --jwt-file or --jwt-env; ok is false where none is given.
func (o *whyOptions) token() (token string, ok bool, err error) {
	if o.jwt == nil {
		token, ok, err := o.flags.token.read(o.app, o.given)
		if err != nil || !ok {
			return "", false, err
		}
		o.jwt = &token
	}
	return *o.jwt, true, nil
}

// readKeys reads a key set. What is in it is the proxy's to judge.
func readKeys(name string) ([]byte, error) {
	const most = 16 << 20
	file, err := os.Open(name)
	if err != nil {
		return nil, usage("--jwks takes URI=FILE or ISSUER=FILE", "--jwks: open %s: %v", name, pathless(err))
	}
	defer func() { _ = file.Close() }()
	data, err := io.ReadAll(io.LimitReader(file, most+1))
	switch {
	case err != nil:
		return nil, usage("give a file that can be read", "--jwks: read %s: %v", name, pathless(err))
	case len(data) > most:
		return nil, usage("give a file with a key set", "--jwks: %s is larger than any key set, 16 MiB", name)
	}
	return data, nil
}

// withPorts gives the question which port was meant its answer: the list.
func (o *whyOptions) withPorts(err error) error {
	var ports *diagnose.PortsError
	if !errors.As(err, &ports) {
		return err
	}
	var list []string
	for i, p := range ports.Candidates {
		item := strconv.Itoa(p.Number)
		for _, s := range p.Services {
			if o.intent.Target.Type == mesh.TypeService && s.Service == o.intent.Target.Name {
				item = strconv.Itoa(s.Port) // which is what --port takes there
			}
		}
		if i < len(ports.Verdicts) {
			item += " (" + render.Headline(ports.Verdicts[i]) + ")"
		}
		list = append(list, item)
	}
	hint := "choose one with --port: " + strings.Join(list, ", ")
	switch {
	case ports.Via && len(list) > 0:
		hint = "choose one with --via " + ports.Target + ":PORT: " + strings.Join(list, ", ")
	case len(list) == 0:
		hint = "give the workload's own port with --port"
	}
	return usage(hint, "%s", ports.Error())
}
