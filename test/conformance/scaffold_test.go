package conformance

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/encoding/protojson"
	"istio.io/istio/pilot/pkg/config/kube/crd"
	crdvalidation "istio.io/istio/pkg/config/crd"
	"istio.io/istio/pkg/config/schema/collections"
	"istio.io/istio/pkg/config/schema/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/asmjwt/kubectl-asmjwt/internal/testkit/combos"
	"github.com/asmjwt/kubectl-asmjwt/internal/testkit/judge"
	"github.com/asmjwt/kubectl-asmjwt/internal/testkit/mint"
	"github.com/asmjwt/kubectl-asmjwt/pkg/envoy"
	"github.com/asmjwt/kubectl-asmjwt/pkg/mesh"
	"github.com/asmjwt/kubectl-asmjwt/pkg/render"
	"github.com/asmjwt/kubectl-asmjwt/pkg/scaffold"
	"github.com/asmjwt/kubectl-asmjwt/test/conformance/run"
)

// scaffoldSeeds are where the dice of the command lines start.
var scaffoldSeeds = []uint64{1, 2, 3}

// made is what scaffold makes of a combination.
type made struct {
	combos.Combo
	text    string
	outcome *scaffold.Outcome
}

func scaffolded(t *testing.T, c combos.Combo) made {
	t.Helper()
	parse := func(text string) []*mesh.Object {
		objects, err := mesh.Parse([]byte(text), mesh.ParseOptions{Namespace: c.Intent.Namespace})
		if err != nil {
			t.Fatalf("%v: %v", c.Args, err)
		}
		return objects
	}
	var before *mesh.Snapshot
	if c.Mesh != "" {
		var err error
		if before, err = mesh.NewSnapshot(parse(c.Mesh), nil); err != nil {
			t.Fatal(err)
		}
	}
	plan, err := scaffold.Make(c.Intent, before)
	if err != nil {
		t.Fatalf("%v: %v", c.Args, err)
	}
	text, err := render.ManifestYAML(plan.Objects...)
	if err != nil {
		t.Fatal(err)
	}
	outcome, err := scaffold.Judge(scaffold.Judgement{Plan: plan, Objects: parse(string(text)), Before: before, Time: time.Now().Unix()})
	if err != nil {
		t.Fatalf("%v: %v", c.Args, err)
	}
	return made{c, string(text), outcome}
}

// Whatever the flags: the objects fit the schema and the CEL rules of the CRDs, and
// istiod's own admission takes them.
func TestWhatScaffoldMakesIsAdmitted(t *testing.T) {
	crds := crdvalidation.NewIstioValidator(t)
	n, warnings := 0, map[string]int{}
	for _, seed := range scaffoldSeeds {
		for _, c := range combos.All(seed) {
			m := scaffolded(t, c)
			n++
			if err := crds.ValidateCustomResourceYAML(m.text, nil); err != nil {
				t.Errorf("%v: %v\n%s", c.Args, err, m.text)
			}
			for _, doc := range strings.Split(m.text, "\n---\n") {
				for _, w := range admit(t, c.Args, doc) {
					warnings[w]++
				}
			}
		}
	}
	t.Logf("%d combinations; istiod's warnings: %v", n, warnings)
	if n < 300 {
		t.Errorf("only %d combinations", n)
	}
}

// admit asks istiod's validation of one object, and gives its warnings.
func admit(t *testing.T, args []string, doc string) []string {
	t.Helper()
	objects, err := mesh.Parse([]byte(doc), mesh.ParseOptions{})
	if err != nil {
		t.Fatal(err)
	}
	raw, err := objects[0].JSON()
	if err != nil {
		t.Fatal(err)
	}
	var object crd.IstioKind
	if err := json.Unmarshal(raw, &object); err != nil {
		t.Fatal(err)
	}
	var head metav1.TypeMeta
	if err := json.Unmarshal(raw, &head); err != nil {
		t.Fatal(err)
	}
	gvk := head.GroupVersionKind()
	schema, known := collections.Pilot.FindByGroupVersionAliasesKind(resource.FromKubernetesGVK(&gvk))
	if !known {
		t.Fatalf("%v: istiod does not know %v", args, gvk)
	}
	cfg, err := crd.ConvertObject(schema, &object, "cluster.local")
	if err != nil {
		t.Fatalf("%v: %v", args, err)
	}
	warning, err := schema.ValidateConfig(*cfg)
	if err != nil {
		t.Errorf("%v: istiod refuses the %s: %v\n%s", args, head.Kind, err, doc)
	}
	if warning == nil {
		return nil
	}
	return []string{head.Kind + ": " + warning.Error()}
}

// The printed truth table is what a real Envoy answers to the same requests.
func TestTheTruthTablesOfScaffoldAreEnvoys(t *testing.T) {
	type expected struct {
		args, row, column, is string
		text                  string
	}
	var cases []judge.Case
	var want []expected
	for _, seed := range scaffoldSeeds {
		for _, c := range combos.All(seed) {
			if !c.Newest {
				continue // the judge is the newest version
			}
			m := scaffolded(t, c)
			yaml := meshOf(t, m.outcome.Mesh)
			for _, table := range m.outcome.Tables {
				for _, asked := range table.Asked {
					for _, row := range table.Rows {
						for i, cell := range row.Cells {
							cases = append(cases, m.caseOf(t, yaml, asked, cell.Request, len(cases)))
							want = append(want, expected{strings.Join(c.Args, " "), row.Label, table.Columns[i], cell.Is, m.text})
						}
					}
				}
			}
		}
	}
	answers, _, err := run.Run(context.Background(), cases, run.Options{Sign: mint.Sign})
	if err != nil {
		t.Fatal(err)
	}
	failed := 0
	tally := map[string]int{}
	for i, a := range answers {
		got := strconv.Itoa(a.Status)
		if a.Closed {
			got = "closed"
		}
		if a.Refused != "" {
			got = "refused: " + a.Refused
		}
		tally[got]++
		if w := want[i]; got != w.is {
			if failed++; failed <= 10 {
				t.Errorf("%s\n%s with %s at %s: the table says %s, Envoy %s (%s)\n%s", w.args, w.row, w.column, cases[i].Target, w.is, got, a.Details, w.text)
			}
		}
	}
	report, err := os.OpenFile(reportFile(), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		t.Fatal(err)
	}
	defer report.Close()
	fmt.Fprintf(report, "scaffold: %d cells of truth tables asked, %d differ, answers %v\n", len(cases), failed, tally)
	if len(cases) < 1000 || tally["200"] < 100 || tally["401"] < 100 || tally["403"] < 100 {
		t.Errorf("too little was asked: %d cells, %v", len(cases), tally)
	}
}

// meshOf is a snapshot as the judge reads it.
func meshOf(t *testing.T, snap *mesh.Snapshot) string {
	t.Helper()
	var docs []string
	for _, o := range snap.Objects() {
		raw, err := o.JSON()
		if err != nil {
			t.Fatal(err)
		}
		docs = append(docs, string(raw))
	}
	return strings.Join(docs, "\n---\n") + "\n"
}

// caseOf asks Envoy what the cell asked the evaluator.
func (m made) caseOf(t *testing.T, yaml string, asked scaffold.Asked, p scaffold.Probe, n int) judge.Case {
	t.Helper()
	c := judge.Case{
		Name: fmt.Sprintf("scaffold-%s-%d", m.Name, n), Mesh: yaml, Target: asked.Target.String(), Namespace: asked.Namespace, Port: asked.Port,
		JWKS: m.JWKS, RemoteJWKS: m.Remote, Request: judge.Request{Method: p.Method, Host: asked.Host, Path: p.Path},
	}
	if c.Request.Host == "" {
		c.Request.Host = "app.example.com"
	}
	if asked.Host != "" {
		c.Request.Client = judge.Client{Transport: "mtls", URISANs: []string{"spiffe://cluster.local/ns/" + asked.Namespace + "/sa/client"}}
	}
	headers := append([]envoy.Header(nil), p.Headers...)
	if !p.Token.None {
		name := m.Keys[p.Token.Issuer.Issuer]
		key, ok := mint.Lookup(name)
		if !ok {
			t.Fatalf("%v: no key for the issuer %q", m.Args, p.Token.Issuer.Issuer)
		}
		alg := key.Algorithms()[0]
		c.Request.Tokens = []judge.Token{{
			Key: name, Alg: alg, Header: fmt.Sprintf(`{"alg":%q,"kid":%q}`, alg, name), Payload: p.Token.Payload(time.Now().Unix()), FlipSignature: p.Token.Bad,
		}}
		scaffold.PutToken(&c.Request.Path, &headers, p.Token.Issuer, "{token:0}")
	}
	for _, h := range headers {
		c.Request.Headers = append(c.Request.Headers, judge.Header(h))
	}
	return c
}

// Where proxies fetch, istiod sends the proxy a cluster for the keys, with TLS, the
// name of the server in SNI, and a certificate that must be for that name.
func TestTheClusterForKeysOutsideHasTLSAndTheServersName(t *testing.T) {
	for _, where := range [][]string{{"sidecar"}, {"gateway"}, {"api gateway"}, {"waypoint"}, {"namespace"}} {
		in := scaffold.Intent{Fetcher: scaffold.ByEnvoy, Issuers: []scaffold.Issuer{{Issuer: "https://idp.example.com", JWKSURI: "https://idp.example.com/keys"}}}
		switch where[0] {
		case "sidecar":
			in.Namespace, in.Where.Target = "foo", mesh.Target{Type: mesh.TypeDeployment, Name: "httpbin"}
		case "gateway":
			in.Namespace, in.Where.Gateway = "istio-system", "istio-ingressgateway"
		case "api gateway":
			in.Namespace, in.Where.Target = "foo", mesh.Target{Type: mesh.TypeGateway, Name: "public"}
		case "waypoint":
			in.Namespace, in.Where.TargetRefs = "amb", []scaffold.TargetRef{{Kind: "Gateway", Name: "waypoint"}}
		case "namespace":
			in.Namespace, in.Where.WholeNamespace = "foo", true
		}
		m := scaffolded(t, combos.Combo{Intent: in, Mesh: combos.Mesh, Args: where})
		asked := m.outcome.Tables[0].Asked[0]
		clusters, err := run.Clusters(judge.Case{Mesh: meshOf(t, m.outcome.Mesh), Target: asked.Target.String(), Namespace: asked.Namespace, Port: asked.Port, RemoteJWKS: "hybrid", Request: judge.Request{Host: asked.Host}})
		if err != nil {
			t.Fatalf("%v: %v", where, err)
		}
		c, ok := clusters["outbound|443||idp.example.com"]
		if !ok {
			t.Errorf("%v: istiod sends no cluster for the keys", where)
			continue
		}
		text, err := protojson.Marshal(c)
		if err != nil {
			t.Fatal(err)
		}
		for _, want := range []string{"UpstreamTlsContext", `"sni":"idp.example.com"`, "matchSubjectAltNames"} {
			if !strings.Contains(strings.ReplaceAll(string(text), `": "`, `":"`), want) {
				t.Errorf("%v: the cluster has no %s: %s", where, want, text)
			}
		}
	}
}
