package cmd

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/asmjwt/kubectl-asmjwt/pkg/diagnose"
	"github.com/asmjwt/kubectl-asmjwt/pkg/fetch"
	"github.com/asmjwt/kubectl-asmjwt/pkg/keycheck"
	"github.com/asmjwt/kubectl-asmjwt/pkg/kube"
	"github.com/asmjwt/kubectl-asmjwt/pkg/mesh"
	"github.com/asmjwt/kubectl-asmjwt/pkg/probe/wire"
)

// attempt is one fetch: what came of it, and what could not be done.
type attempt struct {
	fetch keycheck.Fetch
	gap   *diagnose.Gap
}

// fetchAll reads the documents at the addresses, each from wherever it can be read.
func (o *jwksOptions) fetchAll(ctx context.Context, planes *kube.Planes, namespace string, addresses []keycheck.Address, ev *keycheck.Evidence) error {
	from, err := o.fromPod(ctx, planes, namespace)
	if err != nil {
		return err
	}
	found := make([][]attempt, len(addresses))
	eachAtOnce(len(addresses), func(i int) {
		a := addresses[i]
		if service := ev.Snapshot.Find(mesh.GroupCore, "Service", a.Namespace, a.Service); service != nil {
			found[i] = append(found[i], o.byServiceProxy(ctx, planes.Data, a))
			if a.Scheme == "https" {
				found[i] = append(found[i], o.byPortForward(ctx, planes.Data, a, ev.Snapshot)...)
			}
		}
		if from != nil {
			found[i] = append(found[i], o.byExec(ctx, planes.Data, a, *from))
		}
		if o.flags.fromLocal {
			found[i] = append(found[i], attempt{fetch: o.byMachine(ctx, a)})
		}
	})
	for _, attempts := range found {
		for _, at := range attempts {
			if at.gap != nil {
				ev.Gaps = appendGap(ev.Gaps, *at.gap)
			}
			if at.fetch.Kind != "" {
				ev.Fetches = append(ev.Fetches, at.fetch)
			}
		}
	}
	return nil
}

func appendGap(gaps []diagnose.Gap, gap diagnose.Gap) []diagnose.Gap {
	for _, have := range gaps {
		if have.Permission == gap.Permission && (gap.Permission != "" || have.What == gap.What) {
			return gaps
		}
	}
	return append(gaps, gap)
}

// byServiceProxy asks the Service through the API server.
func (o *jwksOptions) byServiceProxy(ctx context.Context, data *kube.Cluster, a keycheck.Address) attempt {
	ctx, cancel := context.WithTimeout(ctx, o.flags.fetchTimeout)
	defer cancel()
	f := keycheck.Fetch{URI: a.URI, Way: keycheck.ByServiceProxy, From: "the API server", TLSUnchecked: a.Scheme == "https"}
	what := fmt.Sprintf("what is at %s, by way of the API server", a.URI)
	ask := func(host string) (*kube.ProxyAnswer, error) {
		return data.ServiceProxy(ctx, a.Namespace, a.Service, a.Port, a.Scheme == "https", host, a.Path, keycheck.MostBody)
	}
	answer, err := ask(a.Authority())
	if err == nil && answer.Status >= http.StatusBadRequest {
		// Who stands in front of the API server may go by the Host header.
		if other, otherErr := ask(""); otherErr == nil && other.Status == http.StatusOK {
			answer = other
		}
	}
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		f.Kind, f.Problem = keycheck.Timeout, "no whole answer within "+o.flags.fetchTimeout.String()
		return attempt{fetch: f}
	case err != nil:
		gap := gapOf(what, err)
		return attempt{gap: &gap}
	}
	f, permission := keycheck.FromServiceProxy(f, keycheck.Answer{
		Status: answer.Status, ContentType: answer.ContentType, Location: answer.Location, Body: answer.Body, Whole: answer.Whole,
	}, a.Namespace, a.Service, a.Port, answer.Path)
	if permission != "" {
		return attempt{gap: &diagnose.Gap{What: what, Why: "forbidden", Permission: permission}}
	}
	return attempt{fetch: f}
}

// byPortForward speaks TLS to the key server itself, and so sees its certificate as one
// who fetches sees it: with the authorities of this machine, and those that were given
// to the control plane.
func (o *jwksOptions) byPortForward(ctx context.Context, data *kube.Cluster, a keycheck.Address, snap *mesh.Snapshot) []attempt {
	namespace, pod, port := podBehind(snap, a)
	if pod == "" {
		return nil
	}
	roots, err := extraAuthorities(snap)
	what := "the certificate of " + a.Host
	if err != nil {
		gap := gapOf(what, err)
		return []attempt{{gap: &gap}}
	}
	var dialled error
	f := keycheck.Fetch{URI: a.URI, Way: keycheck.ByPortForward, From: "pod " + namespace + "/" + pod + " itself, by port-forward"}
	res, err := fetch.Get(ctx, a.URI, fetch.Options{
		Timeout: o.flags.fetchTimeout, MaxBytes: keycheck.MostBody, Roots: roots, AsProxy: true, From: fetch.Vantage(f.From),
		Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
			conn, err := data.DialPod(ctx, namespace, pod, port)
			if err != nil {
				dialled = err
				return nil, err
			}
			return tunnel{ReadWriteCloser: conn}, nil
		},
	})
	if dialled != nil {
		gap := gapOf(what, dialled)
		return []attempt{{gap: &gap}}
	}
	return []attempt{{fetch: fetchedBy(f, res, err)}}
}

// podBehind is a pod of the Service that an address names, with the port there.
func podBehind(snap *mesh.Snapshot, a keycheck.Address) (namespace, pod string, port int) {
	found, err := snap.Resolve(mesh.Target{Type: mesh.TypeService, Name: a.Service}, a.Namespace)
	if err != nil {
		return "", "", 0
	}
	for _, w := range found {
		if n := keycheck.TargetPort(snap, w, a.Service, a.Port); n != 0 && len(w.Pods) > 0 {
			return w.Namespace, w.Pods[0], n
		}
	}
	return "", "", 0
}

// tunnel makes a connection of a port-forward: its time is bounded by the context that
// it was opened with.
type tunnel struct{ io.ReadWriteCloser }

type tunnelAddr struct{}

func (tunnelAddr) Network() string { return "tcp" }
func (tunnelAddr) String() string  { return "pod" }

// LocalAddr is nowhere in particular, as is RemoteAddr.
func (tunnel) LocalAddr() net.Addr { return tunnelAddr{} }

// RemoteAddr is nowhere in particular.
func (tunnel) RemoteAddr() net.Addr { return tunnelAddr{} }

// SetDeadline does nothing.
func (tunnel) SetDeadline(time.Time) error { return nil }

// SetReadDeadline does nothing.
func (tunnel) SetReadDeadline(time.Time) error { return nil }

// SetWriteDeadline does nothing.
func (tunnel) SetWriteDeadline(time.Time) error { return nil }

// byMachine fetches from here, which shows nothing of who fetches.
func (o *jwksOptions) byMachine(ctx context.Context, a keycheck.Address) keycheck.Fetch {
	f := keycheck.Fetch{URI: a.URI, Way: keycheck.ByMachine, From: string(fetch.ThisMachine)}
	res, err := fetch.Get(ctx, a.URI, fetch.Options{Timeout: o.flags.fetchTimeout, MaxBytes: keycheck.MostBody, AllowHTTP: true, AsProxy: true})
	return fetchedBy(f, res, err)
}

// fetchedBy is what our own client saw.
func fetchedBy(f keycheck.Fetch, res *fetch.Result, err error) keycheck.Fetch {
	var failed *fetch.Error
	switch {
	case errors.As(err, &failed):
		f.Kind, f.Problem, f.Hint = keycheck.Kind(failed.Kind), failed.Problem, failed.Hint
		if failed.Location != "" {
			f.Location = failed.Location
		}
		f.Status = failed.Status
		return f
	case err != nil:
		f.Kind, f.Problem = keycheck.Connect, err.Error()
		return f
	}
	f = keycheck.FromAnswer(f, keycheck.Answer{Status: 200, ContentType: res.ContentType, Body: res.Body, Whole: true})
	if !res.CertificateEnds.IsZero() {
		ends := res.CertificateEnds.UTC()
		f.CertificateEnds = &ends
	}
	return f
}

// podFrom is the place of --from.
type podFrom struct {
	namespace, pod, container string
	sidecar                   bool
}

func (p podFrom) String() string {
	words := "pod " + p.namespace + "/" + p.pod
	if p.sidecar {
		return words + ", through its sidecar"
	}
	return words
}

// fromPod finds the pod of --from; nil without the flag.
func (o *jwksOptions) fromPod(ctx context.Context, planes *kube.Planes, namespace string) (*podFrom, error) {
	if o.from == (mesh.Target{}) {
		return nil, nil
	}
	if o.flags.fromNamespace != "" {
		namespace = o.flags.fromNamespace
	}
	got, err := kube.Collect(ctx, planes, kube.Question{Hops: []kube.Place{{Target: o.from, Namespace: namespace}}})
	if err != nil {
		return nil, err
	}
	found, err := got.Snapshot.Resolve(o.from, namespace)
	if err != nil {
		return nil, notThere(err, planes)
	}
	for _, w := range found {
		if len(w.Pods) == 0 {
			continue
		}
		p := &podFrom{namespace: w.Namespace, pod: w.Pods[0], container: o.flags.container, sidecar: w.HasSidecar()}
		var names []string
		for _, c := range w.Containers {
			if c.Init {
				continue
			}
			names = append(names, c.Name)
			if p.container == "" && c.Name != mesh.ProxyContainerName {
				p.container = c.Name
			}
		}
		if p.container == "" && len(names) > 0 {
			p.container = names[0]
		}
		if !slices.Contains(names, p.container) {
			return nil, usage("choose one of them with -c: "+strings.Join(names, ", "), "pod %s/%s has no container %q", p.namespace, p.pod, p.container)
		}
		// What the proxy's own container sends does not pass the proxy.
		p.sidecar = p.sidecar && p.container != mesh.ProxyContainerName
		return p, nil
	}
	return nil, usage("name one that has pods", "--from %s has no pod that runs", o.from)
}

// byExec fetches with the curl or the wget of a pod.
func (o *jwksOptions) byExec(ctx context.Context, data *kube.Cluster, a keycheck.Address, from podFrom) attempt {
	f := keycheck.Fetch{URI: a.URI, Way: keycheck.ByExec, From: from.String(), Sidecar: from.sidecar}
	what := "what is at " + a.URI + " from " + from.String()
	request := wire.Request{
		TLS: a.Scheme == "https", Address: net.JoinHostPort(a.Host, strconv.Itoa(a.Port)), Target: a.Path, MaxTime: o.flags.fetchTimeout,
	}
	run := func(argv []string, stdin string) (code int, stdout, stderr string, err error) {
		// curl ends by itself at its own limit; this is for a stream that hangs.
		const spare = 5 * time.Second
		limited, cancel := context.WithTimeout(ctx, o.flags.fetchTimeout+spare)
		defer cancel()
		var out, errOut limitedBuffer
		err = data.Exec(limited, from.namespace, from.pod, from.container, argv, bytes.NewReader([]byte(stdin)), &out, &errOut)
		var exit *kube.ExitError
		if errors.As(err, &exit) {
			code, err = exit.Code, nil
		}
		return code, out.String(), errOut.String(), err
	}
	reply, err := askInPod(run, request)
	switch {
	case errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil:
		f.Kind, f.Problem = keycheck.Timeout, "no whole answer within "+o.flags.fetchTimeout.String()
		return attempt{fetch: f}
	case err != nil:
		gap := gapOf(what, err)
		return attempt{gap: &gap}
	}
	return attempt{fetch: keycheck.FromReply(f, *reply)}
}

// limitedBuffer keeps a little more than a document may have.
type limitedBuffer struct{ bytes.Buffer }

// Write keeps what fits, and takes everything.
func (b *limitedBuffer) Write(p []byte) (int, error) {
	const most = keycheck.MostBody + 256<<10
	if room := most - b.Len(); room > 0 {
		_, _ = b.Buffer.Write(p[:min(room, len(p))]) // which never fails
	}
	return len(p), nil
}

// askInPod sends a request with curl, and where there is none with wget.
func askInPod(run func(argv []string, stdin string) (int, string, string, error), request wire.Request) (*wire.Reply, error) {
	var random [16]byte
	if _, err := rand.Read(random[:]); err != nil {
		return nil, fmt.Errorf("make a mark: %w", err)
	}
	mark := hex.EncodeToString(random[:])
	config, err := wire.CurlConfig([]wire.Request{request}, mark)
	if err != nil {
		return nil, err
	}
	code, stdout, stderr, err := run(wire.CurlArgv(), config)
	if err == nil && !wire.NotInstalled(code, stderr) {
		var reply *wire.Reply
		reader := wire.NewReader(mark, keycheck.MostBody, func(r wire.Reply) { reply = &r })
		_, _ = reader.Write([]byte(stdout)) // which never fails
		reader.Finish(code, stderr)
		if reply == nil {
			return nil, fmt.Errorf("curl ended with exit code %d and said nothing of an answer", code)
		}
		return reply, nil
	}
	if err != nil && !wire.NotInstalled(0, err.Error()) {
		return nil, err
	}
	code, stdout, stderr, err = run(wire.WgetVersionArgv(), "")
	if err != nil || wire.NotInstalled(code, stderr) {
		return nil, errors.New("the container has neither curl nor wget: choose another one with -c or --from")
	}
	wget, known := wire.WhichWget(stdout + stderr)
	if !known {
		return nil, errors.New("the container has no curl, and a wget that is not known")
	}
	argv, stdin, err := wget.Argv(request)
	if err != nil {
		return nil, err
	}
	if code, stdout, stderr, err = run(argv, stdin); err != nil {
		return nil, err
	}
	reply := wget.Read(code, stdout, stderr, keycheck.MostBody)
	return &reply, nil
}
