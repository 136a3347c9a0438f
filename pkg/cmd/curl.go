package cmd

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/asmjwt/kubectl-asmjwt/pkg/curl"
	"github.com/asmjwt/kubectl-asmjwt/pkg/diagnose"
	"github.com/asmjwt/kubectl-asmjwt/pkg/envoy"
	"github.com/asmjwt/kubectl-asmjwt/pkg/mesh"
	"github.com/asmjwt/kubectl-asmjwt/pkg/render"
)

// maxPasted is more than anybody pastes.
const maxPasted = 16 << 20

// readPasted reads what was pasted into a flag, or into standard input for "-".
func (a *app) readPasted(flag, value string) (string, error) {
	if value != "-" {
		return value, nil
	}
	data, err := io.ReadAll(io.LimitReader(a.In, maxPasted+1))
	switch {
	case err != nil:
		return "", fmt.Errorf("%s: read standard input: %w", flag, err)
	case len(data) > maxPasted:
		return "", usage("paste less of it", "%s: standard input is larger than 16 MiB", flag)
	}
	return string(data), nil
}

// note tells what is worth knowing beside the answer.
func (a *app) note(text string) {
	_, _ = fmt.Fprintf(a.Err, "note: %s\n", render.Printable(text)) // there is nobody else to tell
}

// readCurl reads the request of --curl. What other flags say of the request wins, and
// -H adds to it.
func (o *whyOptions) readCurl() error {
	text, err := o.app.readPasted("--curl", o.flags.request.curl)
	if err != nil {
		return err
	}
	o.app.secrets.addShapes(text)
	command, err := o.parseCurl(text)
	if err != nil {
		return err
	}
	for _, n := range command.Notes {
		o.app.note(n)
	}
	s, err := o.flags.request.ofCommand(command, o.given)
	if err != nil {
		return err
	}
	o.intent.HostGiven = command.Request.NoHost && s.Authority == ""
	if o.intent.Target != (mesh.Target{}) && !namesService(command.Request.Hostname, o.intent.Target, o.intent.Namespace) && len(o.intent.Via) == 0 {
		s.urlPort = ""
	}
	if err := o.takeRequest(s); err != nil {
		return err
	}
	return o.callerOfExec(command.Exec)
}

// parseCurl parses the command. A variable of the shell in the place of a token is
// filled in from --jwt-env and --jwt-file.
func (o *whyOptions) parseCurl(text string) (*curl.Command, error) {
	opts := curl.Options{PathGiven: o.given("path")}
	command, err := curl.Parse(text, opts)
	var refused *curl.Error
	if !errors.As(err, &refused) || refused.Variable == "" || o.given("jwt-in") {
		return command, err
	}
	if !o.given("jwt-file") && (!o.given("jwt-env") || o.flags.token.env != refused.Variable) || !refused.Secret {
		return nil, err
	}
	token, ok, readErr := o.token()
	switch {
	case readErr != nil:
		return nil, readErr
	case !ok:
		return nil, err
	}
	opts.Expand = func(name string) (string, bool) { return token, name == refused.Variable }
	o.tokenPlaced = true
	return curl.Parse(text, opts)
}

// ofCommand is a command's request with what the other flags say of it.
func (f *requestFlags) ofCommand(c *curl.Command, given func(string) bool) (sent, error) {
	r := c.Request
	out := sent{
		Request: envoy.Request{Method: r.Method, Authority: r.Authority, Path: r.Path, Headers: slices.Clone(r.Headers), Protocol: r.Protocol},
		urlPort: strconv.Itoa(r.Port), https: r.Scheme == "https",
	}
	if given("method") {
		out.Method = f.method
	}
	if given("path") {
		out.Path = f.path
	}
	if given("host") {
		out.Authority = f.host
	}
	if err := out.takeHeaders(f.headers, given("host")); err != nil {
		return sent{}, err
	}
	if given("http") {
		out.Protocol = f.protocol(out.Headers)
	}
	if r.NoHost && out.Authority == "" {
		return out, nil
	}
	return out, out.check()
}

// namesService reports whether a host is a name of the Service that is the target.
func namesService(host string, t mesh.Target, namespace string) bool {
	if t.Type != mesh.TypeService {
		return false
	}
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	full := t.Name + "." + namespace
	return host == t.Name || host == full || host == full+".svc" || strings.HasPrefix(host, full+".svc.")
}

// proxyContainer is the one whose traffic no sidecar catches.
const proxyContainer = mesh.ProxyContainerName

// callerOfExec takes the pod of a kubectl exec as the client, unless a flag says who
// that is.
func (o *whyOptions) callerOfExec(exec *curl.Exec) error {
	for _, flag := range []string{"from", "from-principal", "from-ip", "plaintext"} {
		if exec == nil || exec.Target == "" || o.given(flag) {
			return nil
		}
	}
	target, err := mesh.ParseTarget(exec.Target)
	if err != nil {
		o.app.note("what kubectl exec names is no workload: say who calls with --from TYPE/NAME")
		return nil
	}
	who := &o.intent.Caller
	who.From, who.FromNamespace, who.TLS = target, exec.Namespace, false
	if who.FromNamespace == "" {
		who.FromNamespace = o.intent.Namespace
	}
	if exec.Container == proxyContainer {
		who.Plaintext = true
		o.app.note("what the container " + proxyContainer + " sends goes past its own proxy: in plaintext, without identity")
	}
	o.fromExec, o.execNamespace = true, exec.Namespace != ""
	return nil
}

// checkExec drops the caller of a kubectl exec where it is not among the objects.
func (o *whyOptions) checkExec(in *diagnose.Intent, snapshot *mesh.Snapshot) {
	who := &in.Caller
	var missing *mesh.NotFoundError
	if !o.fromExec {
		return
	}
	if _, err := snapshot.Resolve(who.From, who.FromNamespace); errors.As(err, &missing) {
		o.app.note(fmt.Sprintf("%s of kubectl exec is not among the objects: say who calls with --from TYPE/NAME", who.From))
		who.From, who.FromNamespace = mesh.Target{}, ""
	}
}

// assumeAgent says that curl's own User-Agent was assumed, where a rule looks at it:
// it has curl's version, which the command does not tell.
func (o *whyOptions) assumeAgent(d *diagnose.Diagnosis) {
	assumed := slices.ContainsFunc(d.Request.Headers, func(h diagnose.Header) bool { return h.Name == "User-Agent" && h.Value == curl.UserAgent })
	if o.given("curl") && assumed && looksAt(d.Trace, "request.headers[user-agent]") {
		d.Assumed = append(d.Assumed, diagnose.Assumption{Setting: "userAgent", Value: curl.UserAgent, Source: "curl's own; its version is not known"})
	}
}

// looksAt reports whether a step of the walk looks at an attribute.
func looksAt(steps []diagnose.Step, attribute string) bool {
	return slices.ContainsFunc(steps, func(s diagnose.Step) bool {
		return strings.EqualFold(s.Attribute, attribute) || looksAt(s.Steps, attribute)
	})
}
