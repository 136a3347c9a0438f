package cmd

import (
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/asmjwt/kubectl-asmjwt/pkg/mesh"
	"github.com/asmjwt/kubectl-asmjwt/pkg/scaffold"
	istioversion "github.com/asmjwt/kubectl-asmjwt/pkg/version"
)

// scaffoldFlags are the strings of the command line of scaffold.
type scaffoldFlags struct {
	files     []string
	recursive bool
	kustomize string

	issuers issuerGroups
	config  string

	selector, gateway         string
	targetRefs                []string
	wholeNamespace, wholeMesh bool

	require           *enum
	skip, allow       []string
	claims            []string
	preflight, probes bool
	noSub             bool
	fetcher           *enum
	insecure          bool
	asmVersion        string
	istioVersion      string
	name              string
	output            *enum
	outputDir         string
	kustomization     bool
	at                string
	apply, force      bool
	dryRun            *enum
	fieldManager      string
}

func (f *scaffoldFlags) add(cmd *cobra.Command) {
	fs := cmd.Flags()
	fs.SortFlags = false

	f.issuers.add(fs)
	fs.StringVar(&f.config, "config", "", "read the issuers from `FILE`, in the place of --issuer and its like")

	fs.StringVarP(&f.selector, "selector", "l", "", "apply to pods with these `LABELS`, k=v,k=v")
	fs.StringVar(&f.gateway, "gateway", "", "apply to a classic gateway, by the `NAME` of its Deployment, Service, IstioGateway or Gateway")
	fs.StringArrayVar(&f.targetRefs, "target-ref", nil, "apply to `KIND/NAME`: a Gateway of the Gateway API, or a Service behind a waypoint; may be repeated")
	fs.BoolVar(&f.wholeNamespace, "whole-namespace", false, "apply to every workload of the namespace")
	fs.BoolVar(&f.wholeMesh, "whole-mesh", false, "apply to every workload of the mesh")

	f.require = enumFlag(cmd, "require", "", "all", "who needs a token", "all", "none")
	fs.StringArrayVar(&f.skip, "skip-path", nil, "a `PATH` that needs no token, by a DENY policy; /x/* is all below /x; may be repeated")
	fs.StringArrayVar(&f.allow, "allow-path", nil, "a `PATH` that needs no token, by an ALLOW policy, which other ALLOW policies can widen; may be repeated")
	fs.StringArrayVar(&f.claims, "claim", nil, "what a token must have, `CLAIM=VALUE`, or [outer][inner]=VALUE; one claim twice: either value; two claims: both")
	fs.BoolVar(&f.preflight, "allow-preflight", false, "let browsers ask with OPTIONS, without a token")
	fs.BoolVar(&f.probes, "allow-probes", false, "let the health checks of the pods pass without a token")
	fs.BoolVar(&f.noSub, "no-sub", false, "tokens have no subject (sub)")

	f.fetcher = enumFlag(cmd, "fetcher", "", "auto", "who fetches from a jwksUri", "auto", "istiod", "envoy")
	fs.StringVar(&f.asmVersion, "asm-version", "", "the `VERSION` of Alibaba Cloud Service Mesh; by default what the proxies' image tells")
	fs.StringVar(&f.istioVersion, "istio-version", "", "the `VERSION` of Istio; by default what the proxies' image tells")
	fs.BoolVar(&f.insecure, "insecure", false, "take keys over plain HTTP from outside the mesh, shared secrets, and paths that begin with a star")

	fs.StringArrayVarP(&f.files, "filename", "f", nil, "read what is there already: `FILE`, folder, - or URL; may be repeated")
	fs.BoolVarP(&f.recursive, "recursive", "R", false, "read the folders of -f with all that is below them")
	fs.StringVarP(&f.kustomize, "kustomize", "k", "", "read the kustomization in `DIR` as what is there already")

	fs.StringVar(&f.name, "name", "", "the `NAME` of the objects; by default made from what they apply to")
	f.output = enumFlag(cmd, "output", "o", "yaml", "the form of the objects", "yaml", "json")
	fs.StringVar(&f.outputDir, "output-dir", "", "write a file for each object into `DIR`")
	fs.BoolVar(&f.kustomization, "kustomization", false, "with --output-dir: write a kustomization.yaml too")
	fs.BoolVar(&f.apply, "apply", false, "apply the objects (server-side apply), each on the plane that serves its kind")
	f.dryRun = enumFlag(cmd, "dry-run", "", "none", "with --apply: client sends nothing, server checks and keeps nothing", "none", "client", "server")
	fs.StringVar(&f.fieldManager, "field-manager", "kubectl", "with --apply: the `NAME` of who owns the fields, as for kubectl apply --server-side")
	fs.BoolVar(&f.force, "force-conflicts", false, "with --apply: take over fields that somebody else owns")
	fs.StringVar(&f.at, "at", "", "the time for which the table holds, `RFC3339`; by default now")
}

// issuerGroups are --issuer and the flags that belong to it: each --issuer begins a
// group, which takes what follows. What stands before the first belongs to it too.
type issuerGroups struct {
	groups []issuerGroup
	// early is set where a flag came before any --issuer.
	early bool
}

type issuerGroup struct {
	scaffold.Issuer
	started  bool // by --issuer
	jwksFile string
	discover bool
}

func (g *issuerGroups) current() *issuerGroup {
	if len(g.groups) == 0 {
		g.early = true
		g.groups = append(g.groups, issuerGroup{Issuer: scaffold.Issuer{Forward: true}})
	}
	return &g.groups[len(g.groups)-1]
}

// groupValue is a flag of a group.
type groupValue struct {
	kind, shown string
	set         func(string) error
}

// String is the default, none.
func (v *groupValue) String() string { return v.shown }

// Set takes one occurrence of the flag.
func (v *groupValue) Set(s string) error { return v.set(s) }

// Type is shown in the usage.
func (v *groupValue) Type() string { return v.kind }

var _ pflag.Value = (*groupValue)(nil)

func (g *issuerGroups) add(fs *pflag.FlagSet) {
	text := func(name, kind, usage string, set func(*issuerGroup, string) error) {
		fs.Var(&groupValue{kind: kind, set: func(s string) error { return set(g.current(), s) }}, name, usage)
	}
	fs.Var(&groupValue{kind: "ISSUER", set: g.start}, "issuer", "the iss of tokens; may be repeated, and what follows is about it:")
	once := func(field func(*issuerGroup) *string) func(*issuerGroup, string) error {
		return func(i *issuerGroup, s string) error {
			if *field(i) != "" {
				return errTwice
			}
			*field(i) = s
			return nil
		}
	}
	text("jwks-uri", "URI", "where its keys are", once(func(i *issuerGroup) *string { return &i.JWKSURI }))
	text("jwks-file", "FILE", "its keys, which are written into the policy", once(func(i *issuerGroup) *string { return &i.jwksFile }))
	toggle := func(name, shown, usage string, set func(*issuerGroup, bool)) {
		v := &groupValue{kind: "bool", shown: shown, set: func(s string) error {
			b, err := parseBool(s)
			if err != nil {
				return err
			}
			set(g.current(), b)
			return nil
		}}
		fs.VarPF(v, name, "", usage).NoOptDefVal = "true"
	}
	toggle("discover", "", "ask the issuer, from this machine, where its keys are", func(i *issuerGroup, b bool) { i.discover = b })
	text("audience", "AUD", "take tokens for it alone; may be repeated", func(i *issuerGroup, s string) error { i.Audiences = append(i.Audiences, s); return nil })
	text("from-header", "NAME[:PREFIX]", "look for tokens in this header, and no more in Authorization; may be repeated", func(i *issuerGroup, s string) error {
		name, prefix, _ := strings.Cut(s, ":")
		i.FromHeaders = append(i.FromHeaders, scaffold.FromHeader{Name: name, Prefix: prefix})
		return nil
	})
	text("from-param", "NAME", "look for tokens in this parameter of the query; may be repeated", func(i *issuerGroup, s string) error { i.FromParams = append(i.FromParams, s); return nil })
	text("from-cookie", "NAME", "look for tokens in this cookie; may be repeated", func(i *issuerGroup, s string) error { i.FromCookies = append(i.FromCookies, s); return nil })
	toggle("forward", "true", "leave the token in the request", func(i *issuerGroup, b bool) { i.Forward = b })
	text("output-claim", "HEADER=CLAIM", "write a claim into a header for the application; may be repeated", func(i *issuerGroup, s string) error {
		header, claim, _ := strings.Cut(s, "=")
		i.OutputClaims = append(i.OutputClaims, scaffold.OutputClaim{Header: header, Claim: claim})
		return nil
	})
	text("jwks-address", "IP", "the address of the server of --jwks-uri, where its name is not in DNS; may be repeated", func(i *issuerGroup, s string) error { i.Addresses = append(i.Addresses, s); return nil })
	text("ca", "PATH|secret:NAME", "who signs the certificate of the server of --jwks-uri: a file in the proxy, or a Secret", once(func(i *issuerGroup) *string { return &i.CA }))
}

// errTwice is for a flag that a group can have once.
var errTwice = &usageError{problem: "it is given twice for one issuer", hint: "each --issuer begins a new group"}

func (g *issuerGroups) start(issuer string) error {
	if len(g.groups) == 1 && !g.groups[0].started {
		g.groups[0].started, g.groups[0].Issuer.Issuer = true, issuer
		return nil
	}
	g.groups = append(g.groups, issuerGroup{Issuer: scaffold.Issuer{Issuer: issuer, Forward: true}, started: true})
	return nil
}

func parseBool(s string) (bool, error) {
	switch strings.ToLower(s) {
	case "true", "1", "t":
		return true, nil
	case "false", "0", "f":
		return false, nil
	}
	return false, usage("write true or false", "it is neither true nor false")
}

// where turns the flags about the place into a type.
func (f *scaffoldFlags) where(args []string) (scaffold.Where, error) {
	var out scaffold.Where
	n := len(args)
	if n > 1 {
		return out, usage("write TYPE/NAME, such as deploy/productpage, and the rest as flags", "scaffold takes one TYPE/NAME, and got %d words", n)
	}
	if n == 1 {
		t, err := mesh.ParseTarget(args[0])
		if err != nil {
			return out, err
		}
		out.Target = t
	}
	for _, given := range []bool{f.selector != "", f.gateway != "", len(f.targetRefs) > 0, f.wholeNamespace, f.wholeMesh} {
		if given {
			n++
		}
	}
	const hint = "give one of: TYPE/NAME with -f, -l LABELS, --gateway NAME, --target-ref KIND/NAME, --whole-namespace, --whole-mesh"
	switch {
	case n == 0:
		return out, usage(hint, "what the policies should apply to is missing")
	case n > 1:
		return out, usage(hint, "the policies cannot apply to two things at once")
	}
	var err error
	if f.selector != "" {
		if out.Selector, err = parseLabels(f.selector); err != nil {
			return out, err
		}
	}
	for _, ref := range f.targetRefs {
		kind, name, ok := strings.Cut(ref, "/")
		if !ok || kind == "" || name == "" || strings.Contains(name, "/") {
			return out, usage("write KIND/NAME, such as Gateway/public", "--target-ref is not KIND/NAME")
		}
		out.TargetRefs = append(out.TargetRefs, scaffold.TargetRef{Kind: refKind(kind), Name: name})
	}
	out.Gateway, out.WholeNamespace, out.WholeMesh = f.gateway, f.wholeNamespace, f.wholeMesh
	return out, nil
}

// refKind is a kind as the API spells it.
func refKind(kind string) string {
	for _, k := range []string{"Gateway", "Service", "ServiceEntry", "GatewayClass"} {
		if strings.EqualFold(k, kind) {
			return k
		}
	}
	if strings.EqualFold(kind, "svc") {
		return "Service"
	}
	return kind
}

// parseLabels reads k=v,k=v; policies know no other form of selector.
func parseLabels(text string) (map[string]string, error) {
	out := map[string]string{}
	for _, pair := range strings.Split(text, ",") {
		k, v, ok := strings.Cut(pair, "=")
		k, v = strings.TrimSpace(k), strings.TrimSpace(strings.TrimPrefix(v, "="))
		if !ok || k == "" || v == "" || strings.ContainsAny(pair, "!()* ") {
			return nil, usage("write k=v,k=v: policies have no other selectors", "-l is no list of labels with their values")
		}
		if _, twice := out[k]; twice {
			return nil, usage("give each label once", "-l has the label %q twice", k)
		}
		out[k] = v
	}
	return out, nil
}

// claim reads CLAIM=VALUE.
func parseClaim(text string) (scaffold.Claim, error) {
	const hint = "write --claim groups=admin, or --claim '[realm_access][roles]=admin' for what is inside of another claim"
	if strings.HasPrefix(text, "[") {
		inner, value, ok := strings.Cut(text[1:], "]=")
		if !ok {
			return scaffold.Claim{}, usage(hint, "--claim is not [OUTER][INNER]=VALUE")
		}
		return scaffold.Claim{Path: strings.Split(inner, "]["), Values: []string{value}}, nil
	}
	name, value, ok := strings.Cut(text, "=")
	if !ok {
		return scaffold.Claim{}, usage(hint, "--claim is not CLAIM=VALUE")
	}
	return scaffold.Claim{Path: []string{name}, Values: []string{value}}, nil
}

// version is that of the flags; false where they name none.
func (f *scaffoldFlags) version() (v istioversion.Version, asm bool, err error) {
	flag, text := "istio-version", f.istioVersion
	switch {
	case f.istioVersion != "" && f.asmVersion != "":
		return v, false, usage("give the one that the mesh is", "--istio-version and --asm-version together")
	case f.asmVersion != "":
		flag, text, asm = "asm-version", f.asmVersion, true
	case text == "":
		return v, false, nil
	}
	v, ok := istioversion.Parse(text)
	if !ok {
		return v, false, usage("write it as 1.22.6", "--%s is not a version", flag)
	}
	if asm && !v.IsASM() {
		v, _ = istioversion.Parse(strings.TrimSpace(text) + "-aliyun")
	}
	return v, asm || v.IsASM(), nil
}
