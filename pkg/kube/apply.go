package kube

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
)

// Manifest is one object that is to be applied, with its text as JSON.
type Manifest struct {
	APIVersion, Kind, Namespace, Name string
	JSON                              []byte
}

// ApplyOptions say how objects are applied.
type ApplyOptions struct {
	// Manager owns the fields that are set.
	Manager string
	// DryRun has the server check everything and keep nothing.
	DryRun bool
	// Force takes over fields that another manager owns.
	Force bool
}

// Applied is where an object was applied.
type Applied struct {
	// Resource names it as kubectl does: requestauthentications.security.istio.io/name.
	Resource string
	// OnMesh says that the server is the mesh's own, not that of the pods.
	OnMesh bool
}

// ApplyError says why an object was not applied. The message is the server's.
type ApplyError struct {
	Object  string
	Code    int // of HTTP; 0: there was no answer
	Message string
	Hint    string
	Err     error
}

// Error renders "apply OBJECT: MESSAGE".
func (e *ApplyError) Error() string { return "apply " + e.Object + ": " + e.Message }

// Unwrap gives the cause.
func (e *ApplyError) Unwrap() error { return e.Err }

// HintLine is what to do next; it may be empty.
func (e *ApplyError) HintLine() string { return e.Hint }

// Where says which server and resource each object goes to. Nothing is sent.
func (p *Planes) Where(manifests []Manifest) ([]Applied, error) {
	out := make([]Applied, len(manifests))
	for i, m := range manifests {
		_, res, onMesh, err := p.placeOf(m)
		if err != nil {
			return nil, err
		}
		out[i] = Applied{Resource: res.name + "." + res.group + "/" + m.Name, OnMesh: onMesh}
	}
	return out, nil
}

func (p *Planes) placeOf(m Manifest) (*Cluster, resource, bool, error) {
	group, _, _ := strings.Cut(m.APIVersion, "/")
	cluster, res, ok := p.find(query{group: group, kind: m.Kind})
	if !ok {
		return nil, resource{}, false, &ApplyError{Object: m.Kind + " " + m.Name, Message: "the API server does not serve " + group,
			Hint: "is Istio installed? on ASM the objects may be on the mesh's own API server: --mesh-kubeconfig FILE"}
	}
	return cluster, res, p.Split() && cluster == p.Mesh, nil
}

// Apply applies objects on the server side, each on the plane that serves its kind
// (server-side apply; Kubernetes 1.22 and newer). All are tried first, so that what is
// refused keeps the others back too. Failures are *ApplyError.
func (p *Planes) Apply(ctx context.Context, manifests []Manifest, opts ApplyOptions) ([]Applied, error) {
	out, err := p.Where(manifests)
	if err != nil {
		return nil, err
	}
	for _, dryRun := range []bool{true, false} {
		if !dryRun && opts.DryRun {
			break
		}
		for _, m := range manifests {
			if err := p.apply(ctx, m, opts, dryRun); err != nil {
				return nil, err
			}
		}
	}
	return out, nil
}

func (p *Planes) apply(ctx context.Context, m Manifest, opts ApplyOptions, dryRun bool) error {
	cluster, res, _, err := p.placeOf(m)
	if err != nil {
		return err
	}
	group, version, _ := strings.Cut(m.APIVersion, "/")
	q := url.Values{"fieldManager": {opts.Manager}, "fieldValidation": {"Strict"}}
	if dryRun {
		q.Set("dryRun", "All")
	}
	if opts.Force {
		q.Set("force", "true")
	}
	path := []string{"apis", group, version, "namespaces", m.Namespace, res.name, m.Name}
	headers := http.Header{"Accept": {"application/json"}, "Content-Type": {"application/apply-patch+yaml"}}
	_, _, err = cluster.send(ctx, http.MethodPatch, path, q, headers, bytes.NewReader(m.JSON))
	if err == nil {
		return nil
	}
	if ctx.Err() != nil {
		return fmt.Errorf("apply %s %s: %w", m.Kind, m.Name, ctx.Err())
	}
	failed := &ApplyError{Object: fmt.Sprintf("%s %s/%s", m.Kind, m.Namespace, m.Name), Message: err.Error(), Err: err}
	var status *statusError
	if errors.As(err, &status) {
		failed.Code, failed.Message = status.code, fmt.Sprintf("%v: %q", err, status.message)
	}
	switch failed.Code {
	case http.StatusForbidden:
		failed.Hint = "ask for: patch " + res.name + "." + group + " in " + m.Namespace + "; nothing was changed"
	case http.StatusNotFound:
		failed.Hint = "does the namespace " + m.Namespace + " exist there, and does the server serve " + m.APIVersion + "? nothing was changed"
	case http.StatusConflict:
		failed.Hint = "somebody else owns these fields: --name for another object, or --force-conflicts to take them over"
	case http.StatusBadRequest, http.StatusUnprocessableEntity:
		failed.Hint = "nothing was changed; say which version the mesh is: --istio-version or --asm-version"
	}
	return failed
}
