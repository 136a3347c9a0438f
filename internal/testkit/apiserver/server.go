// Package apiserver speaks as much of the Kubernetes API as reading a mesh needs, from
// objects in memory, and fails on demand in ways that a real server will not be made to:
// lists that hang, break off, expire or are refused one by one. What a real server does
// by itself is tested against a real one, in test/e2e.
//
// It imports pkg/mesh for reading manifests. Tests import it; nothing else may.
package apiserver

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"

	"k8s.io/apimachinery/pkg/labels"

	"github.com/asmjwt/kubectl-asmjwt/pkg/mesh"
)

// Fault is what a request meets.
type Fault int

// The faults.
const (
	None      Fault = iota
	Forbidden       // 403
	NotFound        // 404, as for a kind that was removed
	Expired         // 410 at every page but the first
	ExpiredAt       // 410 at the second page, once
	TooMany         // 429 with Retry-After
	Internal        // 500
	Hang            // no answer
	Cut             // the connection is closed within the body
	CutPage         // the second page is cut
	Garbage         // an HTML page
)

// Resource is a kind that the server has.
type Resource struct {
	Group, Version, Name, Kind string
	Namespaced                 bool
}

// Server is an API server.
type Server struct {
	HTTP      *httptest.Server
	Token     string // what the kubeconfig sends; it must not come back anywhere
	Resources []Resource
	// OldDiscovery answers discovery as servers before Kubernetes 1.27 did.
	OldDiscovery bool
	// PageSize bounds pages; 0: as the client asks.
	PageSize int

	mu       sync.Mutex
	objects  []*mesh.Object
	faults   map[string]Fault
	requests []string
	expired  bool
	done     chan struct{}
}

// Core are the kinds that every cluster has, Istio those of a mesh. They are never
// written to.
var (
	Core = []Resource{
		{"", "v1", "pods", "Pod", true}, {"", "v1", "services", "Service", true}, {"", "v1", "configmaps", "ConfigMap", true},
		{"", "v1", "secrets", "Secret", true}, {"", "v1", "namespaces", "Namespace", false},
		{"apps", "v1", "deployments", "Deployment", true}, {"apps", "v1", "replicasets", "ReplicaSet", true},
		{"apps", "v1", "statefulsets", "StatefulSet", true}, {"apps", "v1", "daemonsets", "DaemonSet", true},
		{"batch", "v1", "jobs", "Job", true}, {"batch", "v1", "cronjobs", "CronJob", true},
	}
	Istio = []Resource{
		{"security.istio.io", "v1", "authorizationpolicies", "AuthorizationPolicy", true},
		{"security.istio.io", "v1", "requestauthentications", "RequestAuthentication", true},
		{"security.istio.io", "v1", "peerauthentications", "PeerAuthentication", true},
		{"networking.istio.io", "v1", "gateways", "Gateway", true},
		{"networking.istio.io", "v1", "virtualservices", "VirtualService", true},
		{"networking.istio.io", "v1", "serviceentries", "ServiceEntry", true},
		{"networking.istio.io", "v1", "destinationrules", "DestinationRule", true},
		{"networking.istio.io", "v1alpha3", "envoyfilters", "EnvoyFilter", true},
		{"networking.istio.io", "v1beta1", "proxyconfigs", "ProxyConfig", true},
		{"networking.istio.io", "v1", "sidecars", "Sidecar", true},
		{"extensions.istio.io", "v1alpha1", "wasmplugins", "WasmPlugin", true},
		{"extensions.istio.io", "v1alpha1", "trafficextensions", "TrafficExtension", true},
	}
	GatewayAPI = []Resource{
		{"gateway.networking.k8s.io", "v1", "gateways", "Gateway", true},
		{"gateway.networking.k8s.io", "v1", "gatewayclasses", "GatewayClass", false},
		{"gateway.networking.k8s.io", "v1", "httproutes", "HTTPRoute", true},
	}
	ASM = []Resource{
		{"istio.alibabacloud.com", "v1beta1", "istiogateways", "IstioGateway", true},
		{"istio.alibabacloud.com", "v1beta1", "asmmeshconfigs", "ASMMeshConfig", false},
	}
)

// Start serves the manifests.
func Start(manifests string, resources ...[]Resource) (*Server, error) {
	objects, err := stored(manifests)
	if err != nil {
		return nil, err
	}
	s := &Server{objects: objects, faults: map[string]Fault{}, Token: "canary-credential-of-the-cluster", done: make(chan struct{})}
	for _, r := range resources {
		s.Resources = append(s.Resources, r...)
	}
	s.HTTP = httptest.NewUnstartedServer(http.HandlerFunc(s.serve))
	s.HTTP.EnableHTTP2 = true
	s.HTTP.StartTLS()
	return s, nil
}

// stored are the objects of manifests as a server keeps them: with a uid.
func stored(manifests string) ([]*mesh.Object, error) {
	objects, err := mesh.Parse([]byte(manifests), mesh.ParseOptions{})
	if err != nil {
		return nil, err
	}
	for i, o := range objects {
		var all map[string]any
		if err := o.Decode(&all); err != nil {
			return nil, err
		}
		metadata, _ := all["metadata"].(map[string]any)
		if metadata["uid"] == nil {
			metadata["uid"] = fmt.Sprintf("00000000-0000-0000-0000-%012d", i)
		}
		data, err := json.Marshal(all)
		if err != nil {
			return nil, err
		}
		again, err := mesh.Parse(data, mesh.ParseOptions{})
		if err != nil {
			return nil, err
		}
		objects[i] = again[0]
	}
	return objects, nil
}

// Close ends the server, and whatever hangs.
func (s *Server) Close() {
	close(s.done)
	s.HTTP.CloseClientConnections()
	s.HTTP.Close()
}

// Fail makes requests for a resource fail: "authorizationpolicies.security.istio.io in foo",
// "namespaces/foo", "gateways.networking.istio.io", "apis".
func (s *Server) Fail(what string, f Fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults[what] = f
}

// Heal takes all faults away.
func (s *Server) Heal() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults, s.requests, s.expired = map[string]Fault{}, nil, false
}

// Requests are the paths, with queries, that were asked for.
func (s *Server) Requests() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.requests)
}

// Kubeconfig writes a kubeconfig with one context and returns its path.
func (s *Server) Kubeconfig(dir, context, namespace string) (string, error) {
	file := filepath.Join(dir, context+".kubeconfig")
	text := fmt.Sprintf(`apiVersion: v1
kind: Config
current-context: %[1]s
clusters: [{name: c, cluster: {server: %[2]q, insecure-skip-tls-verify: true}}]
users: [{name: u, user: {token: %[3]q}}]
contexts: [{name: %[1]s, context: {cluster: c, user: u, namespace: %[4]q}}]
`, context, s.HTTP.URL, s.Token, namespace)
	return file, os.WriteFile(file, []byte(text), 0o600)
}

func (s *Server) serve(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	s.requests = append(s.requests, r.URL.String())
	s.mu.Unlock()
	if r.Header.Get("Authorization") != "Bearer "+s.Token {
		status(w, http.StatusUnauthorized, "Unauthorized")
		return
	}
	path := strings.Split(strings.Trim(r.URL.Path, "/"), "/")
	switch {
	case path[0] == "version":
		write(w, map[string]any{"gitVersion": "v1.37.2"})
		return
	case r.Method == http.MethodPost && path[len(path)-1] == "selfsubjectaccessreviews":
		s.review(w, r)
		return
	}
	if path[0] == "apis" && len(path) <= 3 {
		if !s.fault(w, r, "apis", 1) {
			s.discovery(w, path)
		}
		return
	}
	q, ok := s.parse(path)
	switch {
	case !ok:
		status(w, http.StatusNotFound, "NotFound")
	case q.name != "":
		s.get(w, r, q)
	default:
		s.list(w, r, q)
	}
}

// request is a path of a resource.
type request struct {
	Resource
	namespace, name string
}

func (s *Server) parse(path []string) (request, bool) {
	var q request
	if path[0] == "apis" && len(path) > 3 {
		q.Group, path = path[1], path[1:]
	}
	q.Version, path = path[1], path[2:]
	if len(path) > 2 && path[0] == "namespaces" {
		q.namespace, path = path[1], path[2:]
	}
	if len(path) == 2 {
		q.name = path[1]
	}
	for _, r := range s.Resources {
		if r.Group == q.Group && r.Name == path[0] && r.Version == q.Version {
			q.Resource = r
			return q, true
		}
	}
	return q, false
}

// names are the keys under which a fault may be set, the most specific first.
func (q request) names() []string {
	res := q.Name
	if q.Group != "" {
		res += "." + q.Group
	}
	out := []string{}
	if q.name != "" {
		out = append(out, res+"/"+q.name+" in "+q.namespace, res+"/"+q.name)
	}
	if q.namespace != "" {
		out = append(out, res+" in "+q.namespace)
	}
	return append(out, res)
}

// review says whether a request would be refused for want of a right.
func (s *Server) review(w http.ResponseWriter, r *http.Request) {
	var review struct {
		Spec struct {
			ResourceAttributes struct{ Namespace, Group, Resource, Subresource, Name string }
		}
	}
	if err := json.NewDecoder(r.Body).Decode(&review); err != nil {
		status(w, http.StatusBadRequest, "BadRequest")
		return
	}
	a := review.Spec.ResourceAttributes
	if a.Subresource != "" {
		a.Resource += "/" + a.Subresource
	}
	q := request{Resource: Resource{Group: a.Group, Name: a.Resource}, namespace: a.Namespace, name: a.Name}
	allowed := true
	for _, name := range append(q.names(), "selfsubjectaccessreviews") {
		if s.fault(w, r, name+"/review", 1) {
			return
		}
		s.mu.Lock()
		allowed = allowed && s.faults[name] != Forbidden
		s.mu.Unlock()
	}
	w.WriteHeader(http.StatusCreated)
	write(w, map[string]any{"kind": "SelfSubjectAccessReview", "status": map[string]any{"allowed": allowed}})
}

func (s *Server) get(w http.ResponseWriter, r *http.Request, q request) {
	for _, name := range q.names() {
		if s.fault(w, r, name, 1) {
			return
		}
	}
	for _, o := range s.of(q) {
		if o.Name == q.name {
			data, err := o.JSON()
			if err != nil {
				status(w, http.StatusInternalServerError, err.Error())
				return
			}
			_, _ = w.Write(data)
			return
		}
	}
	status(w, http.StatusNotFound, "NotFound")
}

func (s *Server) of(q request) []*mesh.Object {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []*mesh.Object
	for _, o := range s.objects {
		if o.Group() == q.Group && o.Kind == q.Kind && (q.namespace == "" || o.Namespace == q.namespace) {
			out = append(out, o)
		}
	}
	return out
}

func (s *Server) list(w http.ResponseWriter, r *http.Request, q request) {
	query := r.URL.Query()
	start, _ := strconv.Atoi(query.Get("continue"))
	page := 1
	if start > 0 {
		page = 2
	}
	for _, name := range q.names() {
		if s.fault(w, r, name, page) {
			return
		}
	}
	selector, err := labels.Parse(query.Get("labelSelector"))
	if err != nil {
		status(w, http.StatusBadRequest, "BadRequest")
		return
	}
	var items []json.RawMessage
	for _, o := range s.of(q) {
		if name, ok := strings.CutPrefix(query.Get("fieldSelector"), "metadata.name="); ok && name != o.Name || !selector.Matches(labels.Set(o.Labels)) {
			continue
		}
		data, err := o.JSON()
		if err != nil {
			status(w, http.StatusInternalServerError, err.Error())
			return
		}
		items = append(items, data)
	}
	limit, _ := strconv.Atoi(query.Get("limit"))
	if s.PageSize > 0 {
		limit = s.PageSize
	}
	next := ""
	items = items[min(start, len(items)):]
	if limit > 0 && len(items) > limit {
		items, next = items[:limit], strconv.Itoa(start+limit)
	}
	write(w, map[string]any{
		"kind": q.Kind + "List", "apiVersion": strings.TrimPrefix(q.Group+"/"+q.Version, "/"),
		"metadata": map[string]any{"resourceVersion": "1", "continue": next}, "items": append([]json.RawMessage{}, items...),
	})
}

// fault fails a request if it is to; page is 1 for the first page of a list.
func (s *Server) fault(w http.ResponseWriter, r *http.Request, what string, page int) bool {
	s.mu.Lock()
	f, once := s.faults[what], s.expired
	if f == ExpiredAt && page > 1 {
		s.expired = true
	}
	s.mu.Unlock()
	switch {
	case f == Forbidden:
		status(w, http.StatusForbidden, "Forbidden")
	case f == NotFound:
		status(w, http.StatusNotFound, "NotFound")
	case f == Expired && page > 1, f == ExpiredAt && page > 1 && !once:
		status(w, http.StatusGone, "Expired")
	case f == TooMany:
		w.Header().Set("Retry-After", "60")
		status(w, http.StatusTooManyRequests, "TooManyRequests")
	case f == Internal:
		status(w, http.StatusInternalServerError, "InternalError")
	case f == Garbage:
		_, _ = w.Write([]byte("<html>login</html>"))
	case f == Hang:
		select {
		case <-r.Context().Done():
		case <-s.done:
		}
	case f == Cut, f == CutPage && page > 1:
		_, _ = w.Write([]byte(`{"kind":"List","metadata":{},"items":[{"kind":`))
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	default:
		return false
	}
	return true
}

func status(w http.ResponseWriter, code int, reason string) {
	w.WriteHeader(code)
	write(w, map[string]any{"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": reason, "code": code})
}

func write(w http.ResponseWriter, v any) {
	_ = json.NewEncoder(w).Encode(v) // the client may be gone
}
