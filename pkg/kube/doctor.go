package kube

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"

	corev1 "k8s.io/api/core/v1"

	"github.com/asmjwt/kubectl-asmjwt/pkg/doctor"
	"github.com/asmjwt/kubectl-asmjwt/pkg/mesh"
	"github.com/asmjwt/kubectl-asmjwt/pkg/version"
)

// Examine finds out what a mesh's servers serve, in which versions, and what the user may
// read there for questions about a namespace. Its error is the context's: what cannot be
// found out is said in the report.
func Examine(ctx context.Context, planes *Planes, namespace string) (*doctor.Report, error) {
	r := &doctor.Report{APIVersion: doctor.APIVersion, Kind: doctor.Kind, Namespace: namespace}
	r.Planes = planes.describe()
	wanted, proxy := wantedRights(planes, namespace), proxyRights(planes, namespace)
	var versions [2][]doctor.Version
	var wait sync.WaitGroup
	for i, c := range planes.clusters() {
		wait.Go(func() { r.Planes[i].Kubernetes = c.version(ctx) })
	}
	for _, list := range [][]wish{wanted, proxy} {
		for i := range list {
			wait.Go(func() { list[i].Allowed = list[i].may(ctx) })
		}
	}
	wait.Go(func() { versions[0] = istiodVersions(ctx, planes) })
	wait.Go(func() { versions[1] = proxyVersions(ctx, planes, namespace) })
	wait.Wait()
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("look at the cluster: %w", err)
	}
	for _, w := range wanted {
		r.Rights = append(r.Rights, w.Right)
	}
	for _, w := range proxy {
		r.Proxy = append(r.Proxy, w.Right)
	}
	r.Versions = append(versions[0], versions[1]...)
	r.Judge()
	return r, planes.misplaced(ctx, r)
}

// misplaced adds what is wrong with the place that was asked about. Its error is the
// context's.
func (p *Planes) misplaced(ctx context.Context, r *doctor.Report) error {
	_, _, err := p.Data.get(ctx, []string{"api", "v1", "namespaces", r.Namespace}, nil, "application/json")
	if isStatus(err, http.StatusNotFound) {
		r.Problems = append(r.Problems, doctor.Problem{
			Message: fmt.Sprintf("there is no namespace %q in the cluster of %s", r.Namespace, p.Data.flags()), Hint: "choose one with -n",
		})
	}
	if !p.Split() && p.data.Serves(mesh.GroupSecurity) {
		if empty, err := p.Data.hasNoPods(ctx); err != nil {
			return err
		} else if empty {
			r.Planes[0].Role = "mesh"
			r.Problems = append(r.Problems, doctor.Problem{
				Message: p.Data.flags() + " is the mesh's own API server: it has Istio's objects and no pods",
				Hint:    "choose the cluster that has the workloads with --context, and name this one with --mesh-context",
			})
		}
	}
	if ctx.Err() != nil {
		return fmt.Errorf("look at the cluster: %w", ctx.Err())
	}
	return nil
}

// clusters are the API servers, each once.
func (p *Planes) clusters() []*Cluster {
	if p.Split() {
		return []*Cluster{p.Data, p.Mesh}
	}
	return []*Cluster{p.Data}
}

func (p *Planes) describe() []doctor.Plane {
	var out []doctor.Plane
	for i, c := range p.clusters() {
		served := []*Served{p.data, p.mesh}[i]
		plane := doctor.Plane{Role: p.roleOf(c), Context: c.Context, Server: c.Server, Serves: []doctor.Group{}}
		if i == 1 {
			plane.From = p.MeshFrom
		}
		for _, group := range wantedGroups {
			if versions := served.Versions(group); len(versions) > 0 && !onDataPlane(group) {
				plane.Serves = append(plane.Serves, doctor.Group{Name: group, Versions: versions})
			}
		}
		out = append(out, plane)
	}
	return out
}

func (p *Planes) roleOf(c *Cluster) string {
	switch {
	case !p.Split():
		return "pods and mesh"
	case c == p.Data:
		return "pods"
	default:
		return "mesh"
	}
}

// version is that of Kubernetes; empty where it is not told.
func (c *Cluster) version(ctx context.Context) string {
	data, _, err := c.get(ctx, []string{"version"}, nil, "application/json")
	var v struct {
		GitVersion string `json:"gitVersion"`
	}
	if err != nil || json.Unmarshal(data, &v) != nil {
		return ""
	}
	return v.GitVersion
}

// wish is a right to ask for.
type wish struct {
	doctor.Right
	cluster    *Cluster
	attributes attributes
}

// attributes are what a SelfSubjectAccessReview asks about.
type attributes struct {
	Namespace   string `json:"namespace,omitempty"`
	Verb        string `json:"verb"`
	Group       string `json:"group,omitempty"`
	Resource    string `json:"resource"`
	Subresource string `json:"subresource,omitempty"`
	Name        string `json:"name,omitempty"`
}

// wantedRights are those for questions about a namespace, as Collect needs them.
func wantedRights(p *Planes, namespace string) []wish {
	var out []wish
	add := func(purpose string, optional bool, queries ...query) {
		for _, q := range queries {
			cluster, res, ok := p.find(q)
			if !ok {
				continue
			}
			verb := "list"
			if q.name != "" {
				verb = "get"
			}
			out = append(out, wish{
				Right:      doctor.Right{What: res.permission(q), Plane: p.roleOf(cluster), For: purpose, Optional: optional},
				cluster:    cluster,
				attributes: attributes{Namespace: q.namespace, Verb: verb, Group: q.group, Resource: res.name, Name: q.name},
			})
		}
	}
	add("the target", false, query{kind: "Pod", namespace: namespace}, query{group: mesh.GroupApps, kind: "Deployment", namespace: namespace})
	for i := range out {
		if out[i].attributes.Resource == "deployments" { // one of them is enough
			out[i].attributes.Verb, out[i].What = "get", "get deployments.apps in "+namespace
		}
	}
	add("ports and hosts", false, query{kind: "Service", namespace: namespace})
	add("the namespace's policies", false, policies(namespace)...)
	if namespace != installNamespace {
		add("the mesh's policies", false, policies(installNamespace)...)
	}
	for i := range out {
		if out[i].attributes.Resource == "proxyconfigs" {
			out[i].For, out[i].Optional = "paths with a fragment", true
		}
	}
	add("the mesh's settings", false, query{kind: "ConfigMap", namespace: installNamespace, name: "istio", plane: dataPlane})
	if p.Split() {
		add("the mesh's settings", true, query{kind: "ConfigMap", namespace: installNamespace, name: "istio", plane: meshPlane})
	}
	add("the mesh's settings", false, query{group: mesh.GroupASM, kind: "ASMMeshConfig", name: "default"})
	add("pods without a sidecar", true, query{kind: "Namespace", name: namespace, plane: dataPlane})
	add("owners by their uid", true, query{group: mesh.GroupApps, kind: "ReplicaSet", namespace: namespace})
	add("gateways", true, query{group: mesh.GroupNetworking, kind: "Gateway"}, query{group: mesh.GroupGateway, kind: "Gateway", namespace: namespace})
	return out
}

// proxyRights are the ways to ask a proxy what it holds.
func proxyRights(p *Planes, namespace string) []wish {
	var out []wish
	for _, way := range []struct{ verb, sub, purpose string }{
		{"create", "exec", "config_dump through exec"},
		{"create", "portforward", "config_dump through port-forward"},
		{"get", "log", "the access log"},
	} {
		out = append(out, wish{
			Right:      doctor.Right{What: way.verb + " pods/" + way.sub + " in " + namespace, Plane: p.roleOf(p.Data), For: way.purpose, Optional: true},
			cluster:    p.Data,
			attributes: attributes{Namespace: namespace, Verb: way.verb, Resource: "pods", Subresource: way.sub},
		})
	}
	return out
}

// may asks the server whether the user has the right.
func (w *wish) may(ctx context.Context) doctor.Answer {
	attributes := w.attributes
	if attributes.Resource == "namespaces" {
		attributes.Namespace = attributes.Name // so that a Role in the namespace counts
	}
	body, err := json.Marshal(map[string]any{
		"apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview", "spec": map[string]any{"resourceAttributes": attributes},
	})
	if err != nil {
		return doctor.Unknown
	}
	path := []string{"apis", "authorization.k8s.io", "v1", "selfsubjectaccessreviews"}
	headers := http.Header{"Accept": {"application/json"}, "Content-Type": {"application/json"}}
	data, _, err := w.cluster.send(ctx, http.MethodPost, path, nil, headers, bytes.NewReader(body))
	var review struct {
		Status struct {
			Allowed         bool   `json:"allowed"`
			EvaluationError string `json:"evaluationError"`
		} `json:"status"`
	}
	switch {
	case err != nil || json.Unmarshal(data, &review) != nil:
		return doctor.Unknown
	case review.Status.Allowed:
		return doctor.Yes
	case review.Status.EvaluationError != "":
		return doctor.Unknown
	}
	return doctor.No
}

// istiodVersions are those of the control planes that run in the cluster.
func istiodVersions(ctx context.Context, p *Planes) []doctor.Version {
	const what = "istiod"
	path := []string{"apis", "apps", "v1", "namespaces", installNamespace, "deployments"}
	pages, err := p.Data.list(ctx, path, url.Values{"labelSelector": {"app=istiod"}})
	if err != nil {
		return []doctor.Version{{What: what, From: "deployments.apps in " + installNamespace + ": " + whyFailed(err)}}
	}
	var out []doctor.Version
	for _, page := range pages {
		var list struct {
			Items []struct {
				Metadata struct {
					Name string `json:"name"`
				} `json:"metadata"`
				Spec struct {
					Template corev1.PodTemplateSpec `json:"template"`
				} `json:"spec"`
			} `json:"items"`
		}
		if json.Unmarshal(page, &list) != nil {
			continue
		}
		for _, d := range list.Items {
			for _, container := range d.Spec.Template.Spec.Containers {
				if tag, ok := version.Tag(container.Image); ok {
					out = append(out, doctor.Version{What: what, Version: tag, From: "image of Deployment " + installNamespace + "/" + d.Metadata.Name})
					break
				}
			}
		}
	}
	if len(out) == 0 {
		out = append(out, doctor.Version{What: what, From: "no istiod in " + installNamespace + ": it is managed, or elsewhere"})
	}
	return out
}

// proxyVersions counts the proxies of a namespace by their version.
func proxyVersions(ctx context.Context, p *Planes, namespace string) []doctor.Version {
	what := "proxies in " + namespace
	pages, err := p.Data.list(ctx, []string{"api", "v1", "namespaces", namespace, "pods"}, url.Values{"fieldSelector": {livePods}})
	if err != nil {
		return []doctor.Version{{What: what, From: "pods in " + namespace + ": " + whyFailed(err)}}
	}
	counts, without := map[string]int{}, 0
	for _, page := range pages {
		var list corev1.PodList
		if json.Unmarshal(page, &list) != nil {
			continue
		}
		for i := range list.Items {
			if tag, ok := proxyTag(&list.Items[i]); ok {
				counts[tag]++
			} else {
				without++
			}
		}
	}
	var out []doctor.Version
	for _, tag := range sortedKeys(counts) {
		out = append(out, doctor.Version{What: what, Version: tag, From: "images of the containers " + mesh.ProxyContainerName, Count: counts[tag]})
	}
	slices.SortStableFunc(out, func(a, b doctor.Version) int { return b.Count - a.Count })
	if without > 0 || len(out) == 0 {
		out = append(out, doctor.Version{What: what, From: "pods without a proxy", Count: without})
	}
	return out
}

func proxyTag(pod *corev1.Pod) (string, bool) {
	for _, c := range slices.Concat(pod.Spec.Containers, pod.Spec.InitContainers) {
		if c.Name != mesh.ProxyContainerName {
			continue
		}
		if tag, ok := version.Tag(c.Image); ok {
			return tag, true
		}
		_, tag, _ := strings.Cut(c.Image, ":")
		return tag, tag != ""
	}
	return "", false
}
