package harness

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// Ask is a request, sent with curl from a Pod, or from the node itself.
type Ask struct {
	From      string // Deployment in Namespace; "": the node, which has no identity
	Namespace string
	URL       string
	Method    string   // "": GET
	Target    string   // request target as it is sent; "": the URL's path
	Headers   []string // "Name: value", in order
	Token     string   // added as Authorization: Bearer
	HTTP2     bool     // with prior knowledge
}

// Answer is what came of it.
type Answer struct {
	Status      int // 0: no answer
	Body        string
	ContentType string
	Curl        int // exit code of curl: 52 empty reply, 56 reset
}

// FromApp says that the application answered, and no proxy in front of it.
func (a Answer) FromApp() bool { return strings.HasPrefix(a.ContentType, "application/json") }

func (a Answer) String() string {
	switch {
	case a.Status == 0:
		return fmt.Sprintf("no answer (curl: %d)", a.Curl)
	case a.FromApp():
		return fmt.Sprintf("%d from the application", a.Status)
	}
	return fmt.Sprintf("%d %.200q", a.Status, a.Body)
}

// curlConfig is the request as a configuration of curl, which goes in on stdin: a
// command line would show the token in the process list and in the audit log.
func (q Ask) curlConfig() string {
	var out strings.Builder
	quote := strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\t", `\t`, "\n", `\n`, "\r", `\r`)
	set := func(name, value string) { fmt.Fprintf(&out, "%s = \"%s\"\n", name, quote.Replace(value)) }
	set("url", q.URL)
	out.WriteString("silent\ngloboff\npath-as-is\nnoproxy = \"*\"\n")
	if q.HTTP2 {
		out.WriteString("http2-prior-knowledge\n")
	}
	set("max-time", "10")
	if q.Method != "" {
		set("request", q.Method)
		if q.Method == "HEAD" {
			out.WriteString("head\n")
		}
	}
	if q.Target != "" {
		set("request-target", q.Target)
	}
	for _, h := range q.Headers {
		if name, value, _ := strings.Cut(h, ":"); strings.TrimSpace(value) == "" {
			h = name + ";" // how curl spells an empty value
		}
		set("header", h)
	}
	if q.Token != "" {
		set("header", "Authorization: Bearer "+q.Token)
	}
	out.WriteString(`write-out = "\n%{http_code} %{content_type}"` + "\n")
	return out.String()
}

// Ask sends a request and waits for the answer.
func (r *Rig) Ask(ctx context.Context, q Ask) (Answer, error) {
	c := Command{Args: []string{"curl", "--config", "-"}, Stdin: q.curlConfig()}
	if q.From != "" {
		c.Args = append([]string{"kubectl", "-n", q.Namespace, "exec", "-i", "deploy/" + q.From, "-c", q.From, "--"}, c.Args...)
	}
	res, err := r.Run(ctx, c)
	if err != nil {
		return Answer{}, err
	}
	body, last, ok := cutLast(res.Stdout, "\n")
	if !ok {
		return Answer{}, fmt.Errorf("ask %s: curl said nothing: %s", q.URL, res.Stderr)
	}
	code, contentType, _ := strings.Cut(last, " ")
	a := Answer{Body: body, ContentType: contentType, Curl: res.Code}
	if a.Status, err = strconv.Atoi(code); err != nil {
		return a, fmt.Errorf("ask %s: curl said %q", q.URL, last)
	}
	return a, nil
}

func cutLast(s, sep string) (before, after string, found bool) {
	i := strings.LastIndex(s, sep)
	if i < 0 {
		return "", s, false
	}
	return s[:i], s[i+len(sep):], true
}

// dumpKinds is what why -f needs of a cluster.
const dumpKinds = "namespaces,deployments,replicasets,pods,services,serviceaccounts,configmaps," +
	"requestauthentications.security.istio.io,authorizationpolicies.security.istio.io,peerauthentications.security.istio.io," +
	"gateways.networking.istio.io,virtualservices.networking.istio.io,serviceentries.networking.istio.io," +
	"destinationrules.networking.istio.io,sidecars.networking.istio.io,envoyfilters.networking.istio.io"

// Dump writes the objects of the mesh to a file, as one would for a bug report.
func (r *Rig) Dump(ctx context.Context) (string, error) {
	text, err := r.Kubectl(ctx, "", "get", dumpKinds, "-A", "-o", "yaml")
	if err != nil {
		return "", err
	}
	f, err := os.CreateTemp(r.Dir, "dump-*.yaml")
	if err != nil {
		return "", err
	}
	if _, err := f.WriteString(text); err != nil {
		return "", err
	}
	return f.Name(), f.Close()
}

// Verdict is the part of a diagnosis that is held against a real answer.
type Verdict struct {
	Decision  string `json:"decision"`
	Status    int    `json:"status"`
	Body      string `json:"body"`
	Details   string `json:"responseCodeDetails"`
	Possible  []int  `json:"possible"`
	DecidedBy *struct {
		Kind, Namespace, Name, Field string
	} `json:"decidedBy"`
	Text string `json:"-"` // the whole answer
}

// Why runs kubectl-asmjwt why with -o json. A token goes in on stdin.
func (r *Rig) Why(ctx context.Context, token string, args ...string) (Verdict, error) {
	args = append([]string{r.Plugin, "why", "-o", "json"}, args...)
	if token != "" {
		args = append(args, "--jwt-file", "-")
	}
	res, err := r.Run(ctx, Command{Args: args, Stdin: token})
	if err != nil {
		return Verdict{}, err
	}
	var d struct {
		Verdict Verdict `json:"verdict"`
	}
	if err := json.Unmarshal([]byte(res.Stdout), &d); err != nil {
		return Verdict{}, fmt.Errorf("%s %s: exit code %d: %s", filepath.Base(args[0]), strings.Join(args[1:], " "), res.Code, res.Stderr)
	}
	d.Verdict.Text = res.Stdout
	return d.Verdict, nil
}

// Agrees is nil where the answer is what the verdict says.
func (v Verdict) Agrees(a Answer) error {
	same := v.Status == a.Status
	if v.Decision == "Allowed" {
		same = same && a.FromApp()
	} else {
		same = same && !a.FromApp() && v.Body == a.Body
	}
	if v.Decision == "Undetermined" || !same {
		return fmt.Errorf("why says %s %d %q, the answer is %s", v.Decision, v.Status, v.Body, a)
	}
	return nil
}

// ConfigDump asks a proxy for what it holds, by exec as istioctl does.
func (r *Rig) ConfigDump(ctx context.Context, namespace, deployment string) (string, error) {
	return r.Kubectl(ctx, "", "-n", namespace, "exec", "deploy/"+deployment, "-c", "istio-proxy", "--", "pilot-agent", "request", "GET", "config_dump")
}
