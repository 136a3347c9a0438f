package cmd

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/asmjwt/kubectl-asmjwt/pkg/diagnose"
	"github.com/asmjwt/kubectl-asmjwt/pkg/envoy"
	"github.com/asmjwt/kubectl-asmjwt/pkg/keycheck"
	"github.com/asmjwt/kubectl-asmjwt/pkg/kube"
	"github.com/asmjwt/kubectl-asmjwt/pkg/mesh"
	"github.com/asmjwt/kubectl-asmjwt/pkg/proxy"
)

// atOnce is how many proxies are asked, and documents fetched, at a time.
const atOnce = 8

// seeCluster takes what a cluster shows: the objects, what the proxies hold, and the
// documents at the addresses. What could not be seen is a gap.
func (o *jwksOptions) seeCluster(ctx context.Context, name string, ev *keycheck.Evidence) (contextName string, err error) {
	planes, err := o.app.clusters.planes(ctx, name)
	if err != nil {
		return "", err
	}
	namespace := o.namespace
	if *o.config.Namespace == "" {
		namespace = planes.Data.Namespace
	}
	q := kube.KeyQuestion{Namespace: namespace, All: o.flags.all}
	if o.target != (mesh.Target{}) {
		q.Target = kube.Place{Target: o.target, Namespace: namespace}
	}
	got, err := kube.CollectKeys(ctx, planes, q)
	if err != nil {
		return "", err
	}
	ev.Snapshot = got.Snapshot
	if got.NamespaceMissing {
		ev.Gaps = append(ev.Gaps, diagnose.Gap{What: "policies for namespace " + namespace, Why: "the mesh's own API server has no such namespace, so it can have none: create it there too"})
	}
	if wrong := ev.Snapshot.Check(); len(wrong) > 0 {
		return "", newErrorList(wrong)
	}
	if err := o.choose(ev, namespace); err != nil {
		return "", notThere(err, planes)
	}
	wanted, err := keycheck.Look(*ev)
	if err != nil {
		return "", err
	}
	o.askProxies(ctx, planes.Data, wanted.Pods, ev)
	if err := o.fetchAll(ctx, planes, namespace, wanted.Addresses, ev); err != nil {
		return "", err
	}
	if ctx.Err() != nil {
		return "", fmt.Errorf("look at the keys: %w", ctx.Err())
	}
	return planes.Data.Context, nil
}

// askProxies asks each pod's proxy what it holds.
func (o *jwksOptions) askProxies(ctx context.Context, data *kube.Cluster, pods [][2]string, ev *keycheck.Evidence) {
	if most := o.flags.pods; len(pods) > most {
		ev.Gaps = append(ev.Gaps, diagnose.Gap{What: fmt.Sprintf("what %d more proxies hold", len(pods)-most), Why: fmt.Sprintf("--pods %d is how many are asked", most)})
		for _, pod := range pods[most:] {
			ev.Proxies = append(ev.Proxies, keycheck.Proxy{Namespace: pod[0], Pod: pod[1], Unasked: "--pods"})
		}
		pods = pods[:most]
	}
	out := make([]keycheck.Proxy, len(pods))
	errs := make([]error, len(pods))
	eachAtOnce(len(pods), func(i int) {
		limited, cancel := context.WithTimeout(ctx, proxyTime)
		defer cancel()
		dump, err := configDump(limited, data, pods[i][0], pods[i][1])
		if err != nil {
			out[i], errs[i] = keycheck.Proxy{Namespace: pods[i][0], Pod: pods[i][1], Unasked: "it could not be asked"}, err
			return
		}
		out[i] = heldKeys(dump, pods[i][0], pods[i][1])
		seeTraffic(limited, data, dump, &out[i])
	})
	ev.Proxies = append(out, ev.Proxies...)
	for i, err := range errs {
		if err == nil {
			continue
		}
		gap := gapOf("what the proxy of pod "+pods[i][0]+"/"+pods[i][1]+" holds", err)
		if !slices.ContainsFunc(ev.Gaps, func(have diagnose.Gap) bool { return gap.Permission != "" && have.Permission == gap.Permission }) {
			ev.Gaps = append(ev.Gaps, gap)
		}
	}
}

// eachAtOnce calls f for each index, a few at a time, and waits for all.
func eachAtOnce(n int, f func(i int)) {
	var wait sync.WaitGroup
	free := make(chan struct{}, atOnce)
	for i := range n {
		free <- struct{}{}
		wait.Go(func() {
			defer func() { <-free }()
			f(i)
		})
	}
	wait.Wait()
}

// gapOf says what is not known for an error, and which right would help.
func gapOf(what string, err error) diagnose.Gap {
	const most = 200
	gap := diagnose.Gap{What: what, Why: err.Error()}
	if r := []rune(gap.Why); len(r) > most {
		gap.Why = string(r[:most]) + "…"
	}
	var refused interface{ Permission() string }
	var lacking *kube.RefusedError
	switch {
	case errors.As(err, &refused):
		gap.Why, gap.Permission = "forbidden", refused.Permission()
	case errors.As(err, &lacking):
		gap.Why, gap.Permission = "forbidden", lacking.Permission
	}
	return gap
}

// heldKeys is what a dump tells about keys.
func heldKeys(d *proxy.Dump, namespace, pod string) keycheck.Proxy {
	out := keycheck.Proxy{Namespace: namespace, Pod: pod, Providers: d.JWTProviders(), Clusters: map[string]keycheck.Cluster{}}
	for _, p := range out.Providers {
		if p.Keys.Fetcher == envoy.ProxyFetch {
			c, exists := d.KeyCluster(p.Keys.URI)
			out.Clusters[p.Keys.URI] = keycheck.Cluster{Exists: exists, TLS: c.TLS, SNI: c.SNI}
		}
	}
	for _, l := range d.Refused() {
		out.Refused = append(out.Refused, diagnose.RefusedListener{Name: l.Name, Reason: l.Refused.Details, At: l.Refused.At, Asked: l.Name == "virtualInbound" || d.Role() != envoy.RoleSidecar})
	}
	return out
}

// seeTraffic asks a proxy that fetches keys how that went. What it does not tell is only
// not known.
func seeTraffic(ctx context.Context, data *kube.Cluster, d *proxy.Dump, p *keycheck.Proxy) {
	names := map[string]string{} // by URI
	for uri, c := range p.Clusters {
		if cluster, ok := d.KeyCluster(uri); ok && c.Exists {
			names[uri] = cluster.Name
		}
	}
	if len(names) == 0 {
		return
	}
	var seen map[string]proxy.Traffic
	read := func(r io.Reader) (err error) {
		seen, err = proxy.ReadClusters(r, slices.Collect(maps.Values(names)))
		return err
	}
	const page = "clusters?format=json"
	if adminByExec(ctx, data, p.Namespace, p.Pod, page, read) != nil && adminByPortForward(ctx, data, p.Namespace, p.Pod, page, read) != nil {
		return
	}
	for uri, name := range names {
		if t, ok := seen[name]; ok {
			c := p.Clusters[uri]
			c.Traffic = &keycheck.Traffic{Hosts: t.Hosts, Answers: t.Answers, Failures: t.Failures}
			p.Clusters[uri] = c
		}
	}
}

// extraAuthorities are those that istiod believes besides the system's
// (Istio manifests/charts/istio-control/istio-discovery/templates/configmap-jwks.yaml).
func extraAuthorities(s *mesh.Snapshot) (*x509.CertPool, error) {
	pool, err := x509.SystemCertPool()
	if err != nil {
		return nil, fmt.Errorf("read the system's authorities: %w", err)
	}
	for _, o := range s.Kind(mesh.GroupCore, "ConfigMap") {
		var cm struct {
			Data map[string]string `json:"data"`
		}
		if strings.HasPrefix(o.Name, kube.ExtraAuthorities) && o.Decode(&cm) == nil {
			pool.AppendCertsFromPEM([]byte(cm.Data["extra.pem"]))
		}
	}
	return pool, nil
}
