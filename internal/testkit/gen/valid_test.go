package gen

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"net/url"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	meshapi "istio.io/api/mesh/v1alpha1"
	networkingapi "istio.io/api/networking/v1alpha3"
	securityapi "istio.io/api/security/v1beta1"
	"sigs.k8s.io/yaml"

	"github.com/asmjwt/kubectl-asmjwt/internal/testkit/judge"
	"github.com/asmjwt/kubectl-asmjwt/internal/testkit/mint"
)

// kinds are what the documents of a mesh may be, with the type of the spec.
var kinds = map[string]func() proto.Message{
	"AuthorizationPolicy":   func() proto.Message { return &securityapi.AuthorizationPolicy{} },
	"RequestAuthentication": func() proto.Message { return &securityapi.RequestAuthentication{} },
	"PeerAuthentication":    func() proto.Message { return &securityapi.PeerAuthentication{} },
	"Gateway":               func() proto.Message { return &networkingapi.Gateway{} },
	"ConfigMap":             func() proto.Message { return &meshapi.MeshConfig{} },
	"Namespace":             nil, "Deployment": nil, "Service": nil,
}

// load loads a document and fails on a field that its API does not know, but for
// presence, which no release has, and for nulls.
func load(doc string) (name string, err error) {
	var o struct {
		Kind     string
		Metadata struct{ Name, Namespace string }
		Spec     map[string]any
		Data     map[string]string
	}
	if err := yaml.Unmarshal([]byte(doc), &o); err != nil {
		return "", err
	}
	name = o.Kind + "/" + o.Metadata.Namespace + "/" + o.Metadata.Name
	into, known := kinds[o.Kind]
	if !known {
		return name, fmt.Errorf("kind %q is not expected", o.Kind)
	}
	if into == nil {
		return name, nil
	}
	rules, _ := o.Spec["jwtRules"].([]any)
	for _, r := range rules {
		delete(r.(map[string]any), "presence")
	}
	text, err := json.Marshal(o.Spec)
	if o.Kind == "ConfigMap" {
		text, err = yaml.YAMLToJSON([]byte(o.Data["mesh"]))
	}
	if err != nil {
		return name, err
	}
	return name, protojson.Unmarshal([]byte(strings.ReplaceAll(string(text), "null", "{}")), into())
}

func TestMesh_ThatEveryObjectIsWrittenInFieldsThatTheAPIKnows(t *testing.T) {
	g := New(99)
	for range 400 {
		m := g.Mesh()
		seen := map[string]bool{}
		for _, doc := range strings.Split(m.YAML, separator) {
			name, err := load(doc)
			if err != nil {
				t.Errorf("%s: %s: %v in\n%s", m.Name, name, err, doc)
			}
			if seen[name] {
				t.Errorf("%s: two objects are %s", m.Name, name)
			}
			seen[name] = true
		}
		if len(m.About) == 0 && m.Single {
			t.Errorf("%s does not say what it is about", m.Name)
		}
	}
}

func TestRequests_ThatEveryOneCanBeSent(t *testing.T) {
	g := New(98)
	for range 300 {
		for _, c := range g.Requests(g.Mesh(), 5) {
			r, err := c.Request.Mint(1_800_000_000, mint.Sign)
			if err != nil {
				t.Errorf("%s: %v", c.Name, err)
				continue
			}
			if problem := unsendable(r); problem != "" {
				t.Errorf("%s: %s", c.Name, problem)
			}
		}
	}
}

// unsendable says why no client could send the request.
func unsendable(r judge.Request) string {
	if r.Method == "" || r.Path == "" && r.Method != "CONNECT" {
		return fmt.Sprintf("method %q, host %q, path %q", r.Method, r.Host, r.Path)
	}
	if strings.ContainsAny(r.Method+r.Host+r.Path, "\r\n\x00") {
		return "a line break in the first line"
	}
	for _, h := range r.Headers {
		if h.Name == "" || strings.ContainsAny(h.Name, "\r\n\x00 :") || strings.ContainsAny(h.Value, "\r\n\x00") {
			return fmt.Sprintf("header %q", h.Name)
		}
		if r.HTTP2 && h.Name != strings.ToLower(h.Name) {
			return fmt.Sprintf("header %q over HTTP/2", h.Name)
		}
		if strings.Contains(h.Value, "{token:") {
			return fmt.Sprintf("header %q has a placeholder", h.Name)
		}
	}
	for _, text := range r.Client.URISANs {
		if u, err := url.Parse(text); err != nil || u.Host == "" || strings.HasPrefix(u.Host, ".") || strings.Contains(u.Host, "..") {
			return fmt.Sprintf("no certificate has the URI %q", text)
		}
	}
	if s := r.Client.Source; s != "" {
		if addr, err := netip.ParseAddr(s); err != nil || !addr.IsLoopback() {
			return fmt.Sprintf("no client has the address %q", s)
		}
	}
	return ""
}

func TestRequests_ThatBothSidesOfEverySingleConditionAreAsked(t *testing.T) {
	g := New(97)
	missed := 0
	for range 200 {
		m := g.Mesh()
		if !m.Single || len(m.play.rules) == 0 || len(m.play.jwt) > 0 {
			continue
		}
		texts := map[string]bool{}
		for _, c := range g.Requests(m, 20) {
			texts[fmt.Sprintf("%s %s %s %v %v", c.Request.Method, c.Request.Host, c.Request.Path, c.Request.Headers, c.Request.Client)] = true
		}
		if len(texts) < 4 {
			missed++
		}
	}
	if missed > 10 {
		t.Errorf("%d meshes get hardly more than one request", missed)
	}
}
