package importtest

import (
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"strings"
	"testing"
)

func TestTheModuleKeepsItsArrows(t *testing.T) {
	g := load(t)
	for _, must := range []string{"pkg/envoy", "pkg/origin"} {
		if len(g[Module+"/"+must]) == 0 {
			t.Fatalf("the graph has no imports of %s: nothing was checked", must)
		}
	}
	for _, v := range Check(g) {
		t.Error(v)
	}
}

// load asks the go command for the graph of all that the module's programs and
// packages are built from.
func load(t *testing.T) Graph {
	t.Helper()
	cmd := exec.Command("go", "list", "-deps", "-json=ImportPath,Imports,Standard", "./...")
	cmd.Dir = "../.."
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v\n%s", err, stderr.String())
	}
	g := Graph{}
	for dec := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p struct {
			ImportPath string
			Imports    []string
			Standard   bool
		}
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			return g
		} else if err != nil {
			t.Fatalf("go list -json: %v", err)
		}
		if p.Standard {
			p.Imports = nil
		}
		g[p.ImportPath] = p.Imports
	}
}

func TestCheckFindsAPlantedViolation(t *testing.T) {
	m := func(p string) string { return Module + "/" + p }
	sound := func() Graph {
		return Graph{
			m("cmd/kubectl-asmjwt"): {m("pkg/cmd"), "os"},
			m("pkg/cmd"):            {m("pkg/kube"), m("pkg/render"), m("pkg/diagnose"), "os"},
			m("pkg/kube"):           {m("pkg/mesh"), "k8s.io/client-go/rest", "net/http"},
			m("pkg/render"):         {m("pkg/diagnose")},
			m("pkg/diagnose"):       {m("pkg/istio"), m("pkg/envoy")},
			m("pkg/istio"):          {m("pkg/mesh"), m("pkg/envoy"), "istio.io/api/security/v1beta1"},
			m("pkg/mesh"):           {m("pkg/origin"), "k8s.io/apimachinery/pkg/apis/meta/v1"},
			m("pkg/envoy"):          {m("pkg/origin"), m("pkg/jwt"), "strings"},
			m("pkg/jwt"):            {"strings"},
			m("pkg/origin"):         {"strings", LikeStandard},
			// What libraries do among themselves is theirs.
			"k8s.io/apimachinery/pkg/apis/meta/v1": {"net/http"},
			"example.com/helper":                   {"k8s.io/client-go/kubernetes"},
			"example.com/json":                     {"sigs.k8s.io/yaml"},
		}
	}
	if got := Check(sound()); len(got) > 0 {
		t.Fatalf("the sound graph is said to break rules: %v", got)
	}

	tests := []struct {
		name, from, to string
		want           string
	}{
		{"an edge imports another edge", m("pkg/kube"), m("pkg/render"),
			"edge must not reach edge: " + m("pkg/kube") + " -> " + m("pkg/render")},
		{"the core reaches a client through a library", m("pkg/mesh"), "example.com/helper",
			"core must not reach k8s.io/client-go: " + m("pkg/mesh") + " -> example.com/helper -> k8s.io/client-go/kubernetes"},
		{"the core imports a client of Istio", m("pkg/istio"), "istio.io/client-go/pkg/apis/security/v1",
			"core must not reach istio.io/client-go: " + m("pkg/istio") + " -> istio.io/client-go/pkg/apis/security/v1"},
		{"the core imports an edge", m("pkg/diagnose"), m("pkg/kube"),
			"core must not reach edge: " + m("pkg/diagnose") + " -> " + m("pkg/kube")},
		{"the core talks HTTP", m("pkg/jwt"), "net/http",
			"core, the proxy's half has no effects: " + m("pkg/jwt") + " -> net/http"},
		{"the core starts a program", m("pkg/diagnose"), "os/exec",
			"core has no effects: " + m("pkg/diagnose") + " -> os/exec"},
		{"the proxy's half reaches Kubernetes through a library", m("pkg/jwt"), "example.com/json",
			"core, the proxy's half must not reach sigs.k8s.io: " + m("pkg/envoy") + " -> " + m("pkg/jwt") + " -> example.com/json -> sigs.k8s.io/yaml"},
		{"the proxy's half imports the control plane's", m("pkg/jwt"), m("pkg/mesh"),
			"core, the proxy's half must not reach core: " + m("pkg/jwt") + " -> " + m("pkg/mesh")},
		{"the words import a half", m("pkg/origin"), m("pkg/jwt"),
			"words must not reach core, the proxy's half: " + m("pkg/origin") + " -> " + m("pkg/jwt")},
		{"an edge imports the shell", m("pkg/render"), m("pkg/cmd"),
			"only cmd/ imports the shell: " + m("pkg/render") + " -> " + m("pkg/cmd")},
		{"the plugin imports Istio itself", m("pkg/cmd"), "istio.io/istio/pilot/pkg/model",
			"istio.io/istio is for the nested test modules: " + m("pkg/cmd") + " -> istio.io/istio/pilot/pkg/model"},
		{"the plugin imports a test kit", m("pkg/cmd"), m("internal/testkit/mint"),
			"internal packages are for tests: " + m("pkg/cmd") + " -> " + m("internal/testkit/mint")},
		{"a package has no layer", m("pkg/extra"), "strings",
			"every package of pkg/ belongs to a layer of importtest.Layers: " + m("pkg/extra")},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			g := sound()
			g[tt.from] = append(g[tt.from], tt.to)
			var all []string
			for _, v := range Check(g) {
				if v.String() == tt.want {
					return
				}
				all = append(all, v.String())
			}
			t.Errorf("not found: %s\nfound instead:\n%s", tt.want, strings.Join(all, "\n"))
		})
	}
}
