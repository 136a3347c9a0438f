package cmd

import (
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/asmjwt/kubectl-asmjwt/internal/lazyregexp"
)

// whyFlags are the strings of the command line. They stop here: complete and
// validate turn them into types.
type whyFlags struct {
	files     []string
	recursive bool
	kustomize string
	dump      string
	evidence  *enum

	request requestFlags
	token   tokenFlags
	port    string

	from, fromNamespace, fromPrincipal, fromIP string
	plaintext                                  bool
	sni, remoteIP                              string

	via                         []string
	at                          string
	jwks                        []string
	expect, observed            string
	fromLog                     string
	logs                        *enum
	since                       time.Duration
	whatIf                      []string
	proxyVersion, istiodVersion string
	output                      *enum
	noColor, quiet              bool
}

func (f *whyFlags) add(cmd *cobra.Command) {
	fs := cmd.Flags()
	fs.SortFlags = false

	fs.StringArrayVarP(&f.files, "filename", "f", nil, "read `FILE`, folder, - or URL in the place of a cluster; may be repeated")
	fs.BoolVarP(&f.recursive, "recursive", "R", false, "read the folders of -f with all that is below them")
	fs.StringVarP(&f.kustomize, "kustomize", "k", "", "read the kustomization in `DIR` in the place of a cluster")

	fs.StringVar(&f.dump, "dump", "", "judge from the proxy's saved config_dump, `FILE` or -; with -f, hold it against the objects")
	f.evidence = enumFlag(cmd, "evidence", "", evidenceBoth, "what the answer rests on: the objects, what the proxy holds, or both, where the proxy can be asked",
		evidenceObjects, evidenceProxy, evidenceBoth)

	fs.StringVar(&f.request.url, "url", "", "the `URL` of the request; its path goes out as it stands")
	fs.StringVar(&f.request.curl, "curl", "", "the request of a whole curl `COMMAND`, - for standard input; --method, --host, --path, --http and -H go on top of it")
	fs.StringVar(&f.request.method, "method", "GET", "the method of the request")
	fs.StringVar(&f.request.host, "host", "", "the Host header; by default that of the target's Service")
	fs.StringVar(&f.request.path, "path", "/", "the path as it is sent: raw, query included")
	fs.StringVar(&f.port, "port", "", "a port of the target: a Service's by number or name, a gateway's, or the workload's own")
	fs.StringArrayVarP(&f.request.headers, "header", "H", nil, "a header line, `'Name: value'`; may be repeated")
	f.request.http = enumFlag(cmd, "http", "", "", "the version of HTTP; 1.1, unless the content type is gRPC's", "1.1", "2")

	fs.StringVar(&f.token.file, "jwt-file", "", "add the token of `FILE`, - for standard input")
	fs.StringVar(&f.token.env, "jwt-env", "", "add the token of the environment variable `NAME`")
	fs.StringVar(&f.token.in, "jwt-in", "", "where the token goes, `header:NAME[:PREFIX]`, param:NAME or cookie:NAME; by default \"Authorization: Bearer \"")

	fs.StringVar(&f.from, "from", "", "the client, as `TYPE/NAME`: its identity, address and mTLS")
	fs.StringVar(&f.fromNamespace, "from-namespace", "", "the namespace of --from; by default that of the target")
	fs.StringVar(&f.fromPrincipal, "from-principal", "", "the client's identity, such as cluster.local/ns/foo/sa/sleep; implies mTLS")
	fs.StringVar(&f.fromIP, "from-ip", "", "the client's address")
	fs.BoolVar(&f.plaintext, "plaintext", false, "the client speaks plain HTTP")
	fs.StringVar(&f.sni, "sni", "", "the server name that the client asks for")
	fs.StringVar(&f.remoteIP, "remote-ip", "", "the client's original address, whatever X-Forwarded-For says")

	fs.StringArrayVar(&f.via, "via", nil, "a hop in front of the target, `TYPE/NAME[.NAMESPACE][:PORT]`; may be repeated, the first one first")

	fs.StringVar(&f.at, "at", "", "the time of the request, `RFC3339`; by default now")
	fs.StringArrayVar(&f.jwks, "jwks", nil, "the keys of a jwksUri or of an issuer, `URI|ISSUER=FILE`; may be repeated")
	fs.StringVar(&f.observed, "observed", "", "what was seen of the answer, `'403 RBAC: access denied'`, or - for the output of curl -v on standard input; the exit code stays the verdict's")
	fs.StringVar(&f.fromLog, "from-log", "", "the request of a `LINE` of the proxy's log, - for standard input; what it does not tell is not known, unless flags tell it")
	f.logs = enumFlag(cmd, "logs", "", "", "the last refused request in the logs of the target's proxies that fits the other flags, or each different one", logsLast, logsEach)
	fs.Lookup("logs").NoOptDefVal = logsLast
	fs.DurationVar(&f.since, "since", defaultSince, "how far back --logs reads, at most 10,000 lines of a pod")
	fs.StringVar(&f.expect, "expect", "", "exit 0 if the answer is this, 1 if not: "+expectations)
	fs.StringVar(&f.proxyVersion, "proxy-version", "", "the proxy's version in Istio's numbering, where no pod tells it")
	fs.StringVar(&f.istiodVersion, "istiod-version", "", "istiod's version; by default the proxy's")

	fs.StringArrayVar(&f.whatIf, "what-if", nil, "ask again with the objects of `FILE`, folder or - on top of what was read; one with a metadata.deletionTimestamp is taken away; may be repeated")

	f.output = enumFlag(cmd, "output", "o", "text", "the form of the answer, wide with every policy, rule and condition, or the manifest of fix N alone", "text", "wide", "json", "yaml")
	addFixOutput(f.output)
	fs.BoolVarP(&f.quiet, "quiet", "q", false, "print the first line of the answer alone")
	fs.BoolVar(&f.noColor, "no-color", false, "no colours; so does the environment variable NO_COLOR")
}

// client is who sends the request, as far as flags tell; the zero value tells nothing.
type client struct {
	principal    string // without spiffe://
	ip, remoteIP *netip.Addr
	plaintext    bool
	sni          string
}

func (f *whyFlags) client(given func(string) bool) (client, error) {
	c := client{plaintext: f.plaintext, sni: f.sni}
	var err error
	if c.ip, err = address("from-ip", f.fromIP, given); err != nil {
		return client{}, err
	}
	if c.remoteIP, err = address("remote-ip", f.remoteIP, given); err != nil {
		return client{}, err
	}
	switch {
	case given("from-namespace") && !given("from"):
		return client{}, usage("add --from TYPE/NAME", "--from-namespace without --from")
	case f.plaintext && given("from-principal"):
		return client{}, usage("an identity comes with mTLS: leave one of the two out", "--plaintext and --from-principal together")
	case f.plaintext && given("sni"):
		return client{}, usage("a server name comes with TLS: leave one of the two out", "--plaintext and --sni together")
	}
	if given("from-principal") {
		c.principal = strings.TrimPrefix(f.fromPrincipal, "spiffe://")
		if c.principal == "" || strings.ContainsAny(c.principal, " \t\r\n\x00") {
			return client{}, usage("write TRUST-DOMAIN/ns/NAMESPACE/sa/NAME", "--from-principal is not an identity")
		}
	}
	return c, nil
}

func address(flag, value string, given func(string) bool) (*netip.Addr, error) {
	if !given(flag) {
		return nil, nil
	}
	addr, err := netip.ParseAddr(value)
	if err != nil || addr.Zone() != "" {
		return nil, usage("write it as 10.0.0.1 or 2001:db8::1", "--%s is not an IP address", flag)
	}
	addr = addr.Unmap()
	return &addr, nil
}

// time is --at, or now; the clock is read here, and nowhere else.
func (f *whyFlags) time(now func() time.Time) (int64, error) {
	if f.at == "" {
		return now().Unix(), nil
	}
	at, err := time.Parse(time.RFC3339, f.at)
	if err != nil {
		return 0, usage("write it as 2026-03-11T09:30:00Z", "--at is not a time of RFC 3339")
	}
	return at.Unix(), nil
}

// keyFile is one --jwks: the keys of a URI or of an issuer.
type keyFile struct{ source, file string }

func parseKeyFiles(pairs []string) ([]keyFile, error) {
	var out []keyFile
	seen := map[string]bool{}
	for _, pair := range pairs {
		at := strings.LastIndex(pair, "=")
		if at <= 0 || at == len(pair)-1 {
			return nil, usage("write --jwks https://idp.example.com/keys=keys.json; what follows the last = is the file", "--jwks needs URI=FILE or ISSUER=FILE")
		}
		k := keyFile{pair[:at], pair[at+1:]}
		if seen[k.source] {
			return nil, usage("give each URI or issuer once", "--jwks has two files for %q", k.source)
		}
		seen[k.source] = true
		out = append(out, k)
	}
	return out, nil
}

// expectation is --expect.
type expectation struct {
	status int // of HTTP
	closed bool
	grpc   *int
	// observed says that the verdict is to be what --observed has seen.
	observed bool
}

const expectations = "200, 400, 401, 403, 431, closed, grpc:7, grpc:13, grpc:16 or observed"

func (f *whyFlags) expectation(given func(string) bool) (*expectation, error) {
	if !given("expect") {
		return nil, nil
	}
	code, isGRPC := strings.CutPrefix(f.expect, "grpc:")
	n, err := strconv.Atoi(code)
	switch {
	case f.expect == "observed" && !given("observed"):
		return nil, usage("add --observed '403 RBAC: access denied'", "--expect observed, and nothing was")
	case f.expect == "observed":
		return &expectation{observed: true}, nil
	case f.expect == "closed":
		return &expectation{closed: true}, nil
	case err != nil:
	case isGRPC && (n == 7 || n == 13 || n == 16):
		return &expectation{grpc: &n}, nil
	case !isGRPC && (n == 200 || n == 400 || n == 401 || n == 403 || n == 431):
		return &expectation{status: n}, nil
	}
	return nil, usage("choose one of "+expectations, "invalid value for --expect")
}

// istioVersion is how Istio and ASM number their releases: 1.31, 1.31.2, 1.24.6-aliyun.
var istioVersion = lazyregexp.New(`^\d+\.\d+(\.\d+)?([-.+][0-9A-Za-z.+-]+)?$`)

// checkVersions checks the values of flags that are versions.
func checkVersions(flags map[string]string) error {
	for flag, value := range flags {
		if value != "" && !istioVersion.MatchString(value) {
			return usage("write it as 1.31.2", "--%s is not a version of Istio", flag)
		}
	}
	return nil
}
