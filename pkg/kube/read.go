package kube

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"sync"

	"github.com/asmjwt/kubectl-asmjwt/pkg/mesh"
)

// livePods leaves out pods that answer no requests any more.
const livePods = "status.phase!=Succeeded,status.phase!=Failed"

// query is one question to an API server: an object by its name, or a list.
type query struct {
	group, kind     string
	namespace, name string // a list of all namespaces has neither
	labels, fields  string // selectors of a list
	plane           plane
	// optional says that nothing is missing where this cannot be read.
	optional bool
}

// plane says which API server is asked.
type plane uint8

const (
	anyPlane  plane = iota // the one that serves the kind, the mesh's first
	dataPlane              // where the pods are
	meshPlane              // where the mesh's objects are
)

// answer is what came of a read.
type answer struct {
	objects []*mesh.Object
	gap     *mesh.Gap
	read    bool  // it came
	absent  bool  // the object does not exist, or the kind is not served at all
	err     error // why it could not be read
}

// wave asks several questions at once. Its error is the context's.
func (c *collector) wave(ctx context.Context, reads []query) error {
	var todo []query
	for _, r := range reads {
		if _, done := c.answers[r]; done {
			continue
		}
		if c.answers[r] = c.covered(r); c.answers[r] == nil {
			c.answers[r] = &answer{}
			todo = append(todo, r)
		}
	}
	if len(todo) == 0 {
		return nil
	}
	c.waves++
	results := make([]*answer, len(todo))
	var wait sync.WaitGroup
	for i, r := range todo {
		wait.Go(func() { results[i] = c.ask(ctx, r) })
	}
	wait.Wait()
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("read the cluster: %w", err)
	}
	for i, r := range todo {
		c.keep(r, results[i])
	}
	return nil
}

// covered is the answer to a question that a list which was read has answered already;
// nil where none has.
func (c *collector) covered(r query) *answer {
	namespaces := []string{""}
	if r.namespace != "" {
		namespaces = append(namespaces, r.namespace)
	}
	for _, ns := range namespaces {
		wider := query{group: r.group, kind: r.kind, namespace: ns, plane: r.plane, fields: r.fields}
		if r.name != "" && wider.kind == "Pod" {
			continue // a list leaves out pods that have ended
		}
		for _, optional := range []bool{false, true} {
			wider.optional = optional
			if a := c.answers[wider]; a != nil && a.read && a.err == nil && a.gap == nil {
				return &answer{absent: r.name != "" && !c.seen[[4]string{r.group, r.kind, r.namespace, r.name}], read: true}
			}
		}
	}
	return nil
}

// keep takes over what came of a read. An object that was read twice counts once: it
// may have changed in between.
func (c *collector) keep(r query, a *answer) {
	a.read = true
	c.answers[r] = a
	for _, o := range a.objects {
		key := [4]string{o.Group(), o.Kind, o.Namespace, o.Name}
		if !c.seen[key] {
			c.seen[key] = true
			c.objects = append(c.objects, o)
		}
	}
	if a.gap != nil && !r.optional && !slices.Contains(c.gaps, *a.gap) {
		c.gaps = append(c.gaps, *a.gap)
	}
}

// ask sends one read.
func (c *collector) ask(ctx context.Context, r query) *answer {
	cluster, res, ok := c.planes.find(r)
	if !ok {
		return c.unserved(r)
	}
	path := res.path(r.namespace, r.name)
	if r.name != "" {
		data, _, err := cluster.get(ctx, path, nil, "application/json")
		switch {
		case isStatus(err, http.StatusNotFound):
			return &answer{absent: true}
		case err != nil:
			return failed(r, res, err, 0)
		}
		return parsed(r, res, [][]byte{data}, nil)
	}
	params := url.Values{}
	if r.labels != "" {
		params.Set("labelSelector", r.labels)
	}
	if r.fields != "" {
		params.Set("fieldSelector", r.fields)
	}
	pages, err := cluster.list(ctx, path, params)
	return parsed(r, res, pages, err)
}

// path is the resource's path on the server, without its query.
func (r resource) path(namespace, name string) []string {
	path := []string{"api", r.version}
	if r.group != mesh.GroupCore {
		path = []string{"apis", r.group, r.version}
	}
	if r.namespaced && namespace != "" {
		path = append(path, "namespaces", namespace)
	}
	path = append(path, r.name)
	if name != "" {
		path = append(path, name)
	}
	return path
}

// parsed takes the objects of the pages; err is why there are no more pages.
func parsed(r query, res resource, pages [][]byte, err error) *answer {
	a := &answer{}
	for _, page := range pages {
		objects, parseErr := mesh.Parse(page, mesh.ParseOptions{Server: true})
		if parseErr != nil {
			err = fmt.Errorf("what the server sent cannot be read: %w", parseErr)
			break
		}
		a.objects = append(a.objects, objects...)
	}
	if err != nil {
		f := failed(r, res, err, len(a.objects))
		a.gap, a.err = f.gap, f.err
	}
	return a
}

// failed is a read that did not work, or of which only the first objects came.
func failed(r query, res resource, err error, got int) *answer {
	gap := &mesh.Gap{
		What: res.what(r), Why: whyFailed(err),
		Unread: mesh.Unread{Group: r.group, Kind: r.kind, Namespace: r.namespace, Name: r.name},
	}
	switch {
	case isStatus(err, http.StatusForbidden):
		gap.Permission = res.permission(r)
	case isStatus(err, http.StatusUnauthorized):
		gap.Hint = "log in again: the server no longer accepts the credentials"
	case got > 0:
		gap.Why = fmt.Sprintf("only the first %d came: %s", got, gap.Why)
		gap.Hint = "run it again"
	default:
		gap.Hint = "run it again; --request-timeout says how long to wait"
	}
	return &answer{gap: gap, err: err}
}

func whyFailed(err error) string {
	var status *statusError
	switch {
	case isStatus(err, http.StatusForbidden):
		return "forbidden"
	case isStatus(err, http.StatusGone):
		return "the list changed faster than it could be read (410 Gone)"
	case isStatus(err, http.StatusNotFound):
		return "the server no longer serves the kind (404 Not Found)"
	case errors.As(err, &status):
		return status.Error()
	case errors.Is(err, context.DeadlineExceeded), isTimeout(err):
		return "the server did not answer in time"
	}
	return reasonOf(err)
}

// what names the objects of a read.
func (r resource) what(q query) string {
	switch {
	case q.name != "" && q.namespace == "":
		return r.String() + " " + q.name
	case q.name != "":
		return r.String() + " " + q.namespace + "/" + q.name
	case q.namespace != "":
		return r.String() + " in namespace " + q.namespace
	}
	return r.String() + " of all namespaces"
}

// permission is the right that a read needs, as one asks for it.
func (r resource) permission(q query) string {
	switch {
	case q.name != "" && (q.namespace == "" || !r.namespaced):
		return "get " + r.String() + "/" + q.name
	case q.name != "":
		return "get " + r.String() + "/" + q.name + " in " + q.namespace
	case q.namespace != "":
		return "list " + r.String() + " in " + q.namespace
	case r.namespaced:
		return "list " + r.String() + " in all namespaces"
	}
	return "list " + r.String()
}

// unserved is the answer where no server has the kind: there are no such objects, unless
// it is a kind that every mesh has, or its server did not say what it has.
func (c *collector) unserved(r query) *answer {
	gap := &mesh.Gap{
		What: r.kind + " of " + r.group, Unread: mesh.Unread{Group: r.group, Kind: r.kind},
	}
	switch {
	case c.planes.stale(r.group):
		gap.Why = "the API server that serves " + r.group + " does not answer"
		gap.Hint = "kubectl get apiservices shows why"
	case r.group == mesh.GroupSecurity:
		gap.Why = "no API server that was asked serves " + r.group
		gap.Hint = "name the mesh's own API server with --mesh-kubeconfig or --mesh-context"
	default:
		return &answer{absent: true}
	}
	return &answer{absent: true, gap: gap, err: errors.New(gap.Why)}
}
