package cmd

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"

	"github.com/asmjwt/kubectl-asmjwt/pkg/diagnose"
	"github.com/asmjwt/kubectl-asmjwt/pkg/envoy"
	"github.com/asmjwt/kubectl-asmjwt/pkg/mesh"
	"github.com/asmjwt/kubectl-asmjwt/pkg/origin"
	"github.com/asmjwt/kubectl-asmjwt/pkg/proxy"
)

const dumpHint = "save one with: kubectl exec POD -c istio-proxy -- pilot-agent request GET config_dump > dump.json"

// readDump reads the config_dump of --dump.
func (o *whyOptions) readDump() (*proxy.Dump, error) {
	in := o.app.In
	if o.flags.dump != "-" {
		file, err := os.Open(o.flags.dump)
		if err != nil {
			return nil, usage(dumpHint, "--dump: open %s: %v", o.flags.dump, pathless(err))
		}
		defer func() { _ = file.Close() }()
		in = file
	}
	const buffer = 1 << 16
	d, err := proxy.Read(bufio.NewReaderSize(in, buffer))
	var wrong *proxy.NotADumpError
	switch {
	case errors.As(err, &wrong):
		return nil, usage(dumpHint, "--dump %s is %v", o.flags.dump, err)
	case errors.Is(err, io.ErrUnexpectedEOF):
		return nil, usage(dumpHint, "--dump %s ends in the middle", o.flags.dump)
	case err != nil:
		return nil, fmt.Errorf("read --dump: %w", err)
	}
	if o.flags.proxyVersion != "" {
		d.Node.Version = o.flags.proxyVersion
	}
	return d, nil
}

// dumpPort is --port, or the only port that a dump has for HTTP.
func (o *whyOptions) dumpPort(d *proxy.Dump) (uint16, error) {
	if n := o.intent.Port.Number; n != 0 {
		return uint16(n), nil
	}
	if o.intent.Port.Name != "" {
		return 0, usage("write its number", "a proxy knows no port names such as %q", o.intent.Port.Name)
	}
	var http, all []string
	var only uint16
	for _, p := range d.Ports() {
		n := strconv.Itoa(int(p.Number))
		all = append(all, n)
		if p.HTTP {
			http, only = append(http, n), p.Number
		}
	}
	switch {
	case len(http) == 1:
		return only, nil
	case len(all) == 0:
		return 0, usage("give the workload's own port with --port", "the dump names no port")
	}
	return 0, usage("choose one with --port: "+strings.Join(all, ", "), "the proxy has several ports")
}

// heldIn is what a dump holds for a port.
func heldIn(d *proxy.Dump, port uint16, from string) (*diagnose.Held, error) {
	p, asked, err := d.Proxy(port)
	if err != nil {
		return nil, err
	}
	h := &diagnose.Held{Proxy: p, From: from, Workload: mesh.Workload{
		Ref: origin.Ref{Kind: "Pod", Namespace: d.Node.Namespace, Name: d.Node.Pod()}, Namespace: d.Node.Namespace,
		ServiceAccount: d.Node.ServiceAccount, Labels: d.Node.Labels,
	}}
	if h.Workload.Ref.Name == "" {
		h.Workload.Ref = origin.Ref{Kind: "Proxy", Namespace: d.Node.Namespace, Name: "of the dump"}
	} else {
		h.Workload.Pods = []string{h.Workload.Ref.Name}
	}
	for _, id := range d.Identities {
		if td := diagnose.TrustDomainOf(id); td != "" {
			h.TrustDomain = td
		}
	}
	for _, l := range d.Refused() {
		h.Refused = append(h.Refused, diagnose.RefusedListener{Name: l.Name, Reason: l.Refused.Details, At: l.Refused.At, Asked: l == asked})
	}
	return h, nil
}

// runDump answers from a saved config_dump alone.
func (o *whyOptions) runDump() (*diagnose.Diagnosis, error) {
	dump, err := o.readDump()
	if err != nil {
		return nil, err
	}
	port, err := o.dumpPort(dump)
	if err != nil {
		return nil, err
	}
	held, err := heldIn(dump, port, "--dump "+o.flags.dump)
	if err != nil {
		return nil, err
	}
	if role := dump.Role(); role == envoy.RoleWaypoint || role == envoy.RoleNone {
		return nil, &unavailableError{problem: fmt.Sprintf("the dump is that of a %s, which is judged from its objects", role),
			hint: "give the objects: kubectl get … -o yaml > mesh.yaml, then -f mesh.yaml"}
	}
	if o.intent.ProxyVersion == "" {
		o.intent.ProxyVersion = dump.Node.Version
	}
	nothing, err := mesh.NewSnapshot(nil, nil)
	if err != nil {
		return nil, err
	}
	return diagnose.RunHeld(o.intent, *held, nothing)
}

// withDump lets the dump speak for the proxies of the target.
func (o *whyOptions) withDump() error {
	dump, err := o.readDump()
	if err != nil {
		return err
	}
	o.intent.Held = func(w mesh.Workload, port int) (*diagnose.Held, error) {
		if dump.Node.Namespace != "" && dump.Node.Namespace != w.Namespace {
			return nil, fmt.Errorf("--dump is of a proxy in the namespace %s, not %s", dump.Node.Namespace, w.Namespace)
		}
		return heldIn(dump, uint16(port), "--dump "+o.flags.dump)
	}
	return nil
}
