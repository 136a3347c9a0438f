package cmd

import (
	"bufio"
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/asmjwt/kubectl-asmjwt/internal/testkit/mint"
	"github.com/asmjwt/kubectl-asmjwt/pkg/diagnose"
	"github.com/asmjwt/kubectl-asmjwt/pkg/envoy"
	"github.com/asmjwt/kubectl-asmjwt/pkg/jwks"
	"github.com/asmjwt/kubectl-asmjwt/pkg/jwt"
	"github.com/asmjwt/kubectl-asmjwt/pkg/keycheck"
	"github.com/asmjwt/kubectl-asmjwt/pkg/mesh"
	"github.com/asmjwt/kubectl-asmjwt/pkg/proxy"
	"github.com/asmjwt/kubectl-asmjwt/pkg/render"
)

// What only a live mesh shows, from evidence as it was recorded: what proxies held and
// what fetches came to. The same screens are seen on a real mesh in test/e2e.

const keysIssuer = "https://idp.example.com"

const keysMesh = `
apiVersion: v1
kind: Namespace
metadata: {name: foo}
---
apiVersion: v1
kind: Service
metadata: {name: idp, namespace: foo}
spec: {selector: {app: idp}, ports: [{name: http, port: 80}, {name: https, port: 443}]}
---
apiVersion: v1
kind: Pod
metadata: {name: idp-1, namespace: foo, labels: {app: idp}}
spec: {containers: [{name: idp, image: x}]}
status: {phase: Running, podIP: 10.0.0.9}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: httpbin, namespace: foo}
spec: {selector: {matchLabels: {app: httpbin}}, template: {metadata: {labels: {app: httpbin}}, spec: {containers: [{name: httpbin, image: x}]}}}
---
apiVersion: v1
kind: Pod
metadata: {name: httpbin-1, namespace: foo, labels: {app: httpbin}}
spec: {containers: [{name: httpbin, image: x}, {name: istio-proxy, image: "docker.io/istio/proxyv2:VERSION"}]}
status: {phase: Running, podIP: 10.0.0.1}
---
apiVersion: v1
kind: Pod
metadata: {name: httpbin-2, namespace: foo, labels: {app: httpbin}}
spec: {containers: [{name: httpbin, image: x}, {name: istio-proxy, image: "docker.io/istio/proxyv2:VERSION"}]}
status: {phase: Running, podIP: 10.0.0.2}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: istiod, namespace: istio-system, labels: {app: istiod}}
spec: {selector: {matchLabels: {app: istiod}}, template: {metadata: {labels: {app: istiod}}, spec: {containers: [{name: discovery, image: "istio/pilot:VERSION", env: [{name: PILOT_JWT_ENABLE_REMOTE_JWKS, value: "MODE"}]}]}}}
---
apiVersion: security.istio.io/v1
kind: RequestAuthentication
metadata: {name: jwt, namespace: foo}
spec:
  selector: {matchLabels: {app: httpbin}}
  jwtRules: [{issuer: "https://idp.example.com"URI}]
`

// keysEvidence is a mesh with one rule, and two pods that it reaches.
func keysEvidence(t *testing.T, version, mode, uri string) keycheck.Evidence {
	t.Helper()
	if uri != "" {
		uri = ", jwksUri: '" + uri + "'"
	}
	text := strings.NewReplacer("VERSION", version, "MODE", mode, "URI", uri).Replace(strings.Replace(keysMesh, "JWKS_URI", "", 1))
	text = strings.ReplaceAll(text, "PILOT_JWT_ENABLE_REMOTE_JWKS, value: \"\"", "UNSET, value: \"\"")
	objects, err := mesh.Parse([]byte(text), mesh.ParseOptions{})
	if err != nil {
		t.Fatal(err)
	}
	ev := keycheck.Evidence{Live: true, Now: time.Unix(1_800_000_000, 0)}
	if ev.Snapshot, err = mesh.NewSnapshot(objects, nil); err != nil {
		t.Fatal(err)
	}
	if ev.Workloads, err = ev.Snapshot.Resolve(mesh.Target{Type: mesh.TypeDeployment, Name: "httpbin"}, "foo"); err != nil {
		t.Fatal(err)
	}
	return ev
}

func heldBy(docs ...[]byte) []keycheck.Proxy {
	var out []keycheck.Proxy
	for i, doc := range docs {
		out = append(out, keycheck.Proxy{Namespace: "foo", Pod: []string{"httpbin-1", "httpbin-2"}[i], Providers: []envoy.Provider{{
			Name: "origins-0", Issuer: keysIssuer, Keys: envoy.KeySource{Fetcher: envoy.Inline, Inline: string(doc)},
		}}})
	}
	return out
}

func apiServerSaw(uri string, status int, body []byte) keycheck.Fetch {
	return keycheck.FromAnswer(keycheck.Fetch{URI: uri, Way: keycheck.ByServiceProxy, From: "the API server", TLSUnchecked: strings.HasPrefix(uri, "https:")},
		keycheck.Answer{Status: status, Body: body, Whole: true})
}

func keyScreens(t *testing.T) map[string]keycheck.Evidence {
	t.Helper()
	const in, tls = "http://idp.foo.svc.cluster.local/keys", "https://idp.foo.svc.cluster.local/keys"
	older, newer := mint.JWKS(mint.RSA().WithKid("2026-02")), mint.JWKS(mint.RSA().WithKid("2026-02"), mint.OtherRSA().WithKid("2026-03"))
	nothing := jwks.PublicOnlyPlaceholder()
	with := func(version, mode, uri string, change func(*keycheck.Evidence)) keycheck.Evidence {
		ev := keysEvidence(t, version, mode, uri)
		change(&ev)
		return ev
	}
	token, status := jwt.Parse(mint.Token(mint.OtherRSA(), `{"alg":"RS256","kid":"2026-03"}`, `{"iss":"`+keysIssuer+`"}`))
	if status != jwt.OK {
		t.Fatal(status)
	}
	ends := time.Unix(1_800_000_000, 0).AddDate(0, 0, 3).UTC()
	return map[string]keycheck.Evidence{
		"fails-open": with("1.31.2", "", in, func(ev *keycheck.Evidence) {
			ev.Proxies, ev.Fetches = heldBy(older, older), []keycheck.Fetch{apiServerSaw(in, 200, []byte("<!DOCTYPE html>"))}
			for i := range ev.Proxies {
				ev.Proxies[i].Refused = []diagnose.RefusedListener{{Name: "virtualInbound", Asked: true, Reason: "Provider 'origins-0' in jwt_authn config has invalid local jwks: Jwks is an invalid JSON"}}
			}
		}),
		"pending": with("1.31.2", "", in, func(ev *keycheck.Evidence) {
			ev.Proxies, ev.Fetches = heldBy(nothing, nothing), []keycheck.Fetch{apiServerSaw(in, 200, older)}
		}),
		"stale": with("1.31.2", "", in, func(ev *keycheck.Evidence) {
			ev.Proxies, ev.Fetches, ev.Token = heldBy(newer, older), []keycheck.Fetch{apiServerSaw(in, 200, newer)}, token
		}),
		"unreachable": with("1.31.2", "", "https://idp.example.com/keys", func(ev *keycheck.Evidence) {
			ev.Proxies = heldBy(nothing, nothing)
			ev.Fetches = []keycheck.Fetch{{URI: "https://idp.example.com/keys", Way: keycheck.ByExec, From: "pod istio-system/istiod-1", Kind: keycheck.Name, Problem: "the name does not resolve"}}
		}),
		"certificate": with("1.31.2", "", tls, func(ev *keycheck.Evidence) {
			ev.Proxies = heldBy(nothing, nothing)
			ev.Fetches = []keycheck.Fetch{apiServerSaw(tls, 200, older), {
				URI: tls, Way: keycheck.ByPortForward, From: "pod foo/idp-1 itself, by port-forward", Kind: keycheck.Certificate, Problem: "its certificate is signed by an authority that is not known here",
			}}
		}),
		"certificate-ends": with("1.31.2", "", tls, func(ev *keycheck.Evidence) {
			f := keycheck.FromAnswer(keycheck.Fetch{URI: tls, Way: keycheck.ByPortForward, From: "pod foo/idp-1 itself, by port-forward"}, keycheck.Answer{Status: 200, Body: older, Whole: true})
			f.CertificateEnds = &ends
			ev.Proxies, ev.Fetches = heldBy(older, older), []keycheck.Fetch{f}
		}),
		"redirect": with("1.31.2", "hybrid", in, func(ev *keycheck.Evidence) {
			for _, pod := range []string{"httpbin-1", "httpbin-2"} {
				ev.Proxies = append(ev.Proxies, keycheck.Proxy{Namespace: "foo", Pod: pod, Clusters: map[string]keycheck.Cluster{in: {Exists: true}},
					Providers: []envoy.Provider{{Name: "origins-0", Issuer: keysIssuer, Keys: envoy.KeySource{Fetcher: envoy.ProxyFetch, URI: in}}}})
			}
			ev.Fetches = []keycheck.Fetch{keycheck.FromAnswer(keycheck.Fetch{URI: in, Way: keycheck.ByExec, From: "pod foo/sleep-1, through its sidecar", Sidecar: true},
				keycheck.Answer{Status: 302, Location: "/realms/main/keys"})}
		}),
		"forgeable": with("1.29.0", "", "https://idp.example.com/keys", func(ev *keycheck.Evidence) {
			ev.Proxies = heldBy(jwks.PlaceholderDocument(jwks.PlaceholderForgeable, ""), jwks.PlaceholderDocument(jwks.PlaceholderForgeable, ""))
		}),
		"hidden-uri": with("1.19.0", "", "https://idp.example.com/keys", func(ev *keycheck.Evidence) {
			ev.Proxies = heldBy(jwks.PlaceholderDocument(jwks.PlaceholderEncoded, "http:///idp.example.com/keys"))
		}),
		"starved": with("1.21.0", "", in, func(ev *keycheck.Evidence) {
			other := "\n---\n{apiVersion: security.istio.io/v1, kind: RequestAuthentication, metadata: {name: partner, namespace: foo}, spec: {jwtRules: [{issuer: partner, jwksUri: \"https://partner.example.com/keys\"}]}}\n"
			objects, err := mesh.Parse([]byte(other), mesh.ParseOptions{})
			if err != nil {
				t.Fatal(err)
			}
			if ev.Snapshot, err = ev.Snapshot.With(objects); err != nil {
				t.Fatal(err)
			}
			ev.Proxies = heldBy(older, older)
			for i := range ev.Proxies {
				ev.Proxies[i].Providers = append(ev.Proxies[i].Providers, envoy.Provider{Name: "origins-1", Issuer: "partner", Keys: envoy.KeySource{
					Fetcher: envoy.Inline, Inline: string(jwks.PlaceholderDocument(jwks.PlaceholderForgeable, ""))}})
			}
		}),
		"no-rights": with("1.31.2", "", in, func(ev *keycheck.Evidence) {
			ev.Proxies = []keycheck.Proxy{{Namespace: "foo", Pod: "httpbin-1", Unasked: "it could not be asked"}, {Namespace: "foo", Pod: "httpbin-2", Unasked: "it could not be asked"}}
			ev.Gaps = []diagnose.Gap{
				{What: "what the proxy of pod foo/httpbin-1 holds", Why: "forbidden", Permission: "create pods/exec in foo"},
				{What: "what is at " + in + ", by way of the API server", Why: "forbidden", Permission: "get services/proxy in foo"},
			}
		}),
		"ok": with("1.31.2", "", in, func(ev *keycheck.Evidence) {
			ev.Proxies, ev.Fetches = heldBy(newer, newer), []keycheck.Fetch{apiServerSaw(in, 200, newer)}
		}),
	}
}

func TestWhatOnlyALiveMeshShowsOfKeys(t *testing.T) {
	for name, ev := range keyScreens(t) {
		t.Run(name, func(t *testing.T) {
			r, err := keycheck.Check(ev)
			if err != nil {
				t.Fatal(err)
			}
			o := &jwksOptions{app: &app{Process: Process{Name: "/bin/kubectl-asmjwt"}}, target: mesh.Target{Type: mesh.TypeDeployment, Name: "httpbin"}, namespace: "foo", given: func(f string) bool { return f == "namespace" }}
			if err := o.writeFixes(r); err != nil {
				t.Fatal(err)
			}
			text := func(colours bool, columns int, wide bool) string {
				var out bytes.Buffer
				style := render.NewStyle(colours)
				style.Columns, style.Wide = columns, wide
				if err := render.Keys(&out, r, style); err != nil {
					t.Fatal(err)
				}
				return out.String()
			}
			plain := text(false, 80, false)
			fits(t, plain, 80)
			fits(t, text(false, 40, false), 40)
			if coloured := text(true, 80, false); colourCodes.ReplaceAllString(coloured, "") != plain || coloured == plain {
				t.Error("with colours it says something else, or there are none")
			}
			if wide := text(false, 80, true); strings.Contains(strings.ReplaceAll(wide, "jwks …", ""), "…") {
				t.Errorf("-o wide cuts something:\n%s", wide)
			}
			got := []byte("exit " + string(rune('0'+exitCodeOfKeys(r))) + "\n" + plain)
			golden := filepath.Join("testdata", "jwks", name+".golden")
			if *update {
				if err := os.WriteFile(golden, got, 0o644); err != nil {
					t.Fatal(err)
				}
			}
			if want, err := os.ReadFile(golden); err != nil || !bytes.Equal(want, got) {
				t.Errorf("%v; got:\n%s\nwant:\n%s", err, got, want)
			}
		})
	}
}

// The dumps of real proxies: what is in them is what Check gets.
func TestTheKeysOfARealDumpAreRead(t *testing.T) {
	read := func(name string) keycheck.Proxy {
		f, err := os.Open(filepath.Join("..", "proxy", "testdata", name))
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		d, err := proxy.Read(bufio.NewReader(f))
		if err != nil {
			t.Fatal(err)
		}
		return heldKeys(d, "foo", "pod")
	}
	p := read("gateway-placeholder.json")
	if len(p.Providers) == 0 {
		t.Fatal("no provider")
	}
	set, _ := jwks.Parse([]byte(p.Providers[0].Keys.Inline))
	if kind, _, ok := jwks.Placeholder(set); !ok || kind != jwks.PlaceholderPublicOnly {
		t.Errorf("got %q", kind)
	}
	p = read("sidecar-remote.json")
	if len(p.Providers) == 0 || p.Providers[0].Keys.Fetcher != envoy.ProxyFetch {
		t.Fatalf("got %+v", p.Providers)
	}
	if c := p.Clusters[p.Providers[0].Keys.URI]; !c.Exists || c.TLS {
		t.Errorf("got %+v", p.Clusters)
	}
}
