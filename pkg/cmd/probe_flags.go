package cmd

import (
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/asmjwt/kubectl-asmjwt/pkg/probe"
)

// fromLocal is the --from that is this machine.
const fromLocal = "local"

// What probe sends at most, where no flag says otherwise.
const (
	defaultMost    = 100
	defaultRate    = 20
	defaultMaxTime = 10 * time.Second
	defaultTimeout = 2 * time.Minute
)

// probeFlags are the strings of the command line of probe.
type probeFlags struct {
	from, fromNamespace, container, image string
	toGateway, ca                         string

	request    requestFlags
	paths      []string
	token      tokenFlags
	signingKey string
	at         string

	expect           []string
	most, rate       int
	maxTime, timeout time.Duration
	evidence, output *enum
	noColor          bool
}

func (f *probeFlags) add(cmd *cobra.Command) {
	fs := cmd.Flags()
	fs.SortFlags = false

	fs.StringVar(&f.from, "from", "", "who sends: a pod of `TYPE/NAME`, or local for this machine")
	fs.StringVar(&f.fromNamespace, "from-namespace", "", "the namespace of --from; by default that of -n")
	fs.StringVarP(&f.container, "container", "c", "", "the container of the pod; by default its default one")
	fs.StringVar(&f.image, "image", "", "where the container has no curl, add an ephemeral one of `IMAGE`, with curl and sleep in it, to the pod; it cannot be taken away again")
	fs.StringVar(&f.toGateway, "to-gateway", "", "send to the address of this gateway, `TYPE/NAME[.NAMESPACE][:PORT]`, with the Host and server name of the URL")
	fs.StringVar(&f.ca, "ca", "", "the authorities that may sign the gateway's certificate, a `FILE` of PEM")

	fs.StringArrayVar(&f.paths, "path", nil, "a path as it is sent, raw, query included, in the place of the URL's; may be repeated")
	fs.StringVar(&f.request.method, "method", "GET", "the method of the requests")
	fs.StringVar(&f.request.host, "host", "", "the Host header, in the place of the URL's")
	fs.StringArrayVarP(&f.request.headers, "header", "H", nil, "a header line, `'Name: value'`; may be repeated")
	f.request.http = enumFlag(cmd, "http", "", "", "the version of HTTP; 1.1, unless the content type is gRPC's", "1.1", "2")

	fs.StringVar(&f.token.file, "jwt-file", "", "the token of `FILE`, - for standard input")
	fs.StringVar(&f.token.env, "jwt-env", "", "the token of the environment variable `NAME`")
	fs.StringVar(&f.token.in, "jwt-in", "", "where the token goes, `header:NAME[:PREFIX]`, param:NAME or cookie:NAME; by default \"Authorization: Bearer \"")
	fs.StringVar(&f.signingKey, "signing-key", "", "a private key, PEM or JWK, in `FILE`, to make an expired token with; a key for tests, never one that signs for users")
	fs.StringVar(&f.at, "at", "", "the time of the predictions, `RFC3339`; by default that of each answer")

	fs.StringArrayVar(&f.expect, "expect", nil, "exit 1 unless a row gets this, `ROW[@PATH]=STATUS`: rows are none, given, broken and expired; a status, closed or grpc:N; may be repeated")
	fs.IntVar(&f.most, "max-requests", defaultMost, "send no more requests than `N`, and none if there were more")
	fs.IntVar(&f.rate, "rate", defaultRate, "send at most `N` requests a second")
	fs.DurationVar(&f.maxTime, "max-time", defaultMaxTime, "how long one request may take")
	fs.DurationVar(&f.timeout, "timeout", defaultTimeout, "how long all of them may take")
	f.evidence = enumFlag(cmd, "evidence", "", evidenceBoth, "what the prediction rests on: the objects, what the proxy holds, or both, where the proxy can be asked",
		evidenceObjects, evidenceProxy, evidenceBoth)
	f.output = enumFlag(cmd, "output", "o", "text", "the form of the answer", "text", "json", "yaml", "junit")
	fs.BoolVar(&f.noColor, "no-color", false, "no colours; so does the environment variable NO_COLOR")
}

// gather reads the token, the key and the time, and plans the requests.
func (o *probeOptions) gather() ([]probe.Shot, error) {
	f := &o.flags
	if o.given("host") {
		o.base.Authority = f.request.host
		if err := o.base.check(); err != nil {
			return nil, err
		}
	}
	for _, h := range o.base.Headers {
		o.app.secrets.addHeader(h.Name, h.Value)
	}
	for _, p := range append(o.paths, o.base.Path) {
		o.app.secrets.addPath(p)
	}
	now := o.app.Now().Unix()
	if f.at != "" {
		at, err := (&whyFlags{at: f.at}).time(o.app.Now)
		if err != nil {
			return nil, err
		}
		o.at, now = at, at
	}
	if o.given("ca") {
		text, err := readSmall("--ca", f.ca)
		if err != nil {
			return nil, err
		}
		o.ca = text
	}
	tokens, err := o.tokens(now)
	if err != nil {
		return nil, err
	}
	shots, err := probe.Plan(probe.Matrix{Base: o.base.Request, Paths: o.paths, Tokens: tokens, Place: o.place.putInto, Most: f.most})
	if err != nil {
		return nil, err
	}
	if unused := probe.Unused(o.expect, shots); len(unused) > 0 {
		return nil, usage("the rows are those of the table; with --path a row needs that path", "--expect %s: there is no such row", expectationText(unused[0]))
	}
	return shots, nil
}

func expectationText(e probe.Expectation) string {
	text := string(e.Kind)
	if e.Path != "" {
		text += "@" + e.Path
	}
	return text + "=" + e.String()
}

// longAgo is how many seconds before now the expired token expires.
const longAgo = 3600

// tokens are those to try.
func (o *probeOptions) tokens(now int64) ([]probe.Token, error) {
	out := []probe.Token{{Kind: probe.None, Name: "no token"}}
	for _, h := range o.base.Headers {
		if strings.EqualFold(h.Name, "authorization") {
			out[0].Name = "as given with -H"
		}
	}
	token, ok, err := o.flags.token.read(o.app, o.given)
	if err != nil || !ok {
		return out, err
	}
	out = append(out, probe.Token{Kind: probe.Given, Name: o.tokenName(), Value: token})
	if broken, ok := probe.Break(token); ok {
		o.app.secrets.add(broken)
		out = append(out, probe.Token{Kind: probe.Broken, Name: "broken signature", Value: broken})
	} else {
		o.app.note("the token has no signature that could be broken: that row is left out")
	}
	if !o.given("signing-key") {
		return out, nil
	}
	text, err := readSmall("--signing-key", o.flags.signingKey)
	if err != nil {
		return nil, err
	}
	key, err := probe.ParseSigningKey(text)
	if err != nil {
		return nil, usage("give a file with -----BEGIN PRIVATE KEY----- or a private JWK in it", "--signing-key: %v", err)
	}
	expired, err := key.Expire(token, now, longAgo)
	if err != nil {
		return nil, usage("give the key that signs such tokens", "--signing-key: %v", err)
	}
	o.app.secrets.add(expired)
	return append(out, probe.Token{Kind: probe.Expired, Name: "expired token", Value: expired}), nil
}

// tokenName is how the row of the given token is called.
func (o *probeOptions) tokenName() string {
	switch {
	case o.given("jwt-env"):
		return "$" + o.flags.token.env
	case o.flags.token.file == "-":
		return "the given token"
	}
	return filepath.Base(o.flags.token.file)
}

// readSmall reads a file of a few lines. The errors do not repeat its name.
func readSmall(flag, name string) ([]byte, error) {
	const most = 1 << 20
	info, err := os.Stat(name)
	if err != nil {
		return nil, usage("give the name of a file that can be read", "%s: %v", flag, pathless(err))
	}
	if info.Size() > most {
		return nil, usage("give a file with nothing else in it", "%s: the file is larger than 1 MiB", flag)
	}
	text, err := os.ReadFile(name)
	if err != nil {
		return nil, usage("give the name of a file that can be read", "%s: %v", flag, pathless(err))
	}
	return text, nil
}
