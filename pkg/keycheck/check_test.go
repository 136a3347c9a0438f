package keycheck

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/asmjwt/kubectl-asmjwt/internal/testkit/mint"
	"github.com/asmjwt/kubectl-asmjwt/pkg/diag"
	"github.com/asmjwt/kubectl-asmjwt/pkg/diagnose"
	"github.com/asmjwt/kubectl-asmjwt/pkg/jwks"
	"github.com/asmjwt/kubectl-asmjwt/pkg/jwt"
	"github.com/asmjwt/kubectl-asmjwt/pkg/mesh"
)

func placeholderOf(kind, uri string) []byte { return jwks.PlaceholderDocument(kind, uri) }

func publicOnly() []byte { return jwks.PublicOnlyPlaceholder() }

const (
	external   = "https://keys.example.com/keys"
	entry      = "\n---\napiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata: {name: keys, namespace: foo}\nspec: {hosts: [keys.example.com], ports: [{number: 443, name: https, protocol: HTTPS}], resolution: DNS}\n"
	tlsRule    = "\n---\napiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: {name: keys, namespace: foo}\nspec: {host: keys.example.com, trafficPolicy: {tls: {mode: SIMPLE, sni: keys.example.com}}}\n"
	strict     = "\n---\napiVersion: security.istio.io/v1\nkind: PeerAuthentication\nmetadata: {name: default, namespace: foo}\nspec: {mtls: {mode: STRICT}}\n"
	noSlices   = "\n---\napiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata: {name: idp-x, namespace: foo, labels: {kubernetes.io/service-name: idp}}\naddressType: IPv4\nports: [{name: http, port: 8000}]\nendpoints: [{addresses: [10.0.0.3], conditions: {ready: false}}]\n"
	hidden     = "\n---\napiVersion: networking.istio.io/v1\nkind: Sidecar\nmetadata: {name: default, namespace: foo}\nspec: {egress: [{hosts: [\"istio-system/*\"]}]}\n"
	denyNoJWT  = "\n---\napiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {name: need-jwt, namespace: foo}\nspec: {action: DENY, rules: [{from: [{source: {notRequestPrincipals: [\"*\"]}}]}]}\n"
	elsewhere  = "\n---\napiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata: {name: keys, namespace: bar}\nspec: {hosts: [keys.example.com], ports: [{number: 443, name: https, protocol: HTTPS}], resolution: DNS, exportTo: [.]}\n"
	otherPort  = "\n---\napiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata: {name: keys, namespace: foo}\nspec: {hosts: [keys.example.com], ports: [{number: 80, name: http, protocol: HTTP}], resolution: DNS}\n"
	plainRule  = "\n---\napiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: {name: keys, namespace: foo}\nspec: {host: keys.example.com, trafficPolicy: {tls: {mode: DISABLE}}}\n"
	otherRule  = "\n---\napiVersion: security.istio.io/v1\nkind: RequestAuthentication\nmetadata: {name: other, namespace: foo}\nspec: {jwtRules: [{issuer: \"https://idp.example\", jwksUri: \"http://idp.foo.svc.cluster.local/others\"}]}\n"
	blockedEnv = `{name: BLOCKED_CIDRS_IN_JWKS_URIS, value: "192.168.0.0/16, 10.0.0.0/8"}`
)

const gatewayMesh = `
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: gw, namespace: istio-system}
spec: {selector: {matchLabels: {istio: ingressgateway}}, template: {metadata: {labels: {istio: ingressgateway}}, spec: {containers: [{name: istio-proxy, image: "docker.io/istio/proxyv2:1.31.2", args: [proxy, router]}]}}}
---
apiVersion: v1
kind: Service
metadata: {name: gw, namespace: istio-system}
spec: {selector: {istio: ingressgateway}, ports: [{name: http2, port: 80, targetPort: 8080}]}
---
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: gw, namespace: foo}
spec: {selector: {istio: ingressgateway}, servers: [{port: {number: 80, name: http, protocol: HTTP}, hosts: [idp.example.com]}]}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: idp, namespace: foo}
spec: {hosts: [idp.example.com], gateways: [gw], http: [{route: [{destination: {host: idp}}]}]}
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: need-jwt, namespace: istio-system}
spec: {action: DENY, selector: {matchLabels: {istio: ingressgateway}}, rules: [{from: [{source: {notRequestPrincipals: ["*"]}}]}]}
`

const waypointMesh = `
---
apiVersion: gateway.networking.k8s.io/v1
kind: GatewayClass
metadata: {name: istio-waypoint}
spec: {controllerName: istio.io/mesh-controller}
---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: waypoint, namespace: foo}
spec: {gatewayClassName: istio-waypoint, listeners: [{name: mesh, port: 15008, protocol: HBONE}]}
---
apiVersion: v1
kind: Pod
metadata: {name: waypoint-1, namespace: foo, labels: {gateway.networking.k8s.io/gateway-name: waypoint}}
spec: {containers: [{name: istio-proxy, image: "docker.io/istio/proxyv2:1.31.2"}]}
status: {phase: Running, podIP: 10.0.0.7}
---
apiVersion: v1
kind: Service
metadata: {name: api, namespace: foo, labels: {istio.io/use-waypoint: waypoint}}
spec: {selector: {app: api}, ports: [{name: http, port: 80}]}
---
apiVersion: security.istio.io/v1
kind: RequestAuthentication
metadata: {name: jwt, namespace: foo}
spec: {targetRefs: [{kind: Service, name: api, group: ""}], jwtRules: [{issuer: "https://idp.example", jwksUri: "http://idp.foo.svc.cluster.local/keys"}]}
`

// Each scenario is broken in one place: the first error names the cause, and the fix, if
// objects can mend it, takes the cause away.
func TestTheCauseIsFoundAndTheFixTakesItAway(t *testing.T) {
	for name, c := range map[string]struct {
		mesh    string
		proxies []Proxy
		fetches []Fetch
		want    Verdict
		causes  []diag.Code // all errors, in order
		says    string      // of the first of them
		mended  bool        // the first fix with a manifest takes the first cause away
	}{
		"a short name, as in the FAQ": {
			mesh: plainServer + uri("http://idp/keys"), proxies: holding(publicOnly(), publicOnly()), fetches: []Fetch{seen("http://idp/keys", ByServiceProxy, oldKeys())},
			want: Refused, causes: []diag.Code{diag.KeyHostShort, diag.KeysNotFetched}, says: `"idp" is a short name`, mended: true,
		},
		"a Service that is not there": {
			mesh: plainServer + uri("http://keys.foo.svc.cluster.local/keys"), proxies: holding(publicOnly(), publicOnly()),
			want: Refused, causes: []diag.Code{diag.KeyServiceMissing, diag.KeysNotFetched}, says: "no Service keys in namespace foo",
		},
		"a port that the Service does not have": {
			mesh: plainServer + uri("http://idp.foo.svc.cluster.local:8080/keys"), proxies: holding(publicOnly(), publicOnly()),
			want: Refused, causes: []diag.Code{diag.KeyServiceMissing, diag.KeysNotFetched}, says: "has no port 8080, but 80, 443",
		},
		"a slash too many": {
			mesh: plainServer + uri("http:///idp.foo/keys"), proxies: holding(placeholderOf(jwks.PlaceholderEncoded, "http:///idp.foo/keys")),
			want: Refused, causes: []diag.Code{diag.KeyAddress, diag.KeysNotFetched}, says: "a slash too many",
		},
		"no pod that is ready": {
			mesh: plainServer + noSlices + uri(goodURI), proxies: holding(publicOnly(), publicOnly()),
			want: Refused, causes: []diag.Code{diag.KeyServerNotReady, diag.KeysNotFetched}, says: "none of its 1 endpoints is ready",
		},
		"STRICT mTLS": {
			mesh: meshServer + strict + uri(goodURI), proxies: holding(publicOnly(), publicOnly()),
			fetches: []Fetch{failedFetch(goodURI, ByServiceProxy, Connect, "cut")},
			want:    Refused, causes: []diag.Code{diag.KeyServerStrict, diag.KeysNotFetched}, says: "mTLS only (STRICT) on port 8000", mended: true,
		},
		"a policy of our own": {
			mesh: meshServer + denyNoJWT + uri(goodURI), proxies: holding(publicOnly(), publicOnly()),
			want: Refused, causes: []diag.Code{diag.KeyServerDenies, diag.KeysNotFetched}, says: "AuthorizationPolicy foo/need-jwt spec.rules[0] refuses it",
		},
		"an issuer behind a gateway of our own": {
			mesh: plainServer + gatewayMesh + uri("http://idp.example.com/keys"), proxies: holding(publicOnly(), publicOnly()),
			want: Refused, causes: []diag.Code{diag.KeyServerDenies, diag.KeysNotFetched}, says: "AuthorizationPolicy istio-system/need-jwt spec.rules[0] refuses it",
		},
		"a waypoint, and a policy for a Service": {
			mesh: istiod(hybridEnv) + waypointMesh, want: Refused, causes: []diag.Code{diag.KeyNoCluster}, says: "attached to a Service",
		},
		"a blocked address": {
			mesh: istiod(blockedEnv) + uri("http://10.1.2.3/keys"), proxies: holding(publicOnly(), publicOnly()),
			want: Refused, causes: []diag.Code{diag.KeyAddressBlocked, diag.KeysNotFetched}, says: "10.1.2.3 is in 10.0.0.0/8",
		},
		"the cloud's metadata": {
			mesh: uri("http://169.254.169.254/keys"), proxies: holding(publicOnly(), publicOnly()),
			want: Refused, causes: []diag.Code{diag.KeyAddressBlocked, diag.KeysNotFetched}, says: "metadata",
		},
		"a control plane that gave up": {
			mesh: plainServer + uri(goodURI), proxies: holding(publicOnly(), publicOnly()), fetches: []Fetch{seen(goodURI, ByServiceProxy, oldKeys())},
			want: Refused, causes: []diag.Code{diag.KeysPending, diag.KeysNotFetched}, says: "by now the keys can be read",
		},
		"nobody knows why": {
			mesh: uri(external), proxies: holding(publicOnly(), publicOnly()),
			want: Refused, causes: []diag.Code{diag.KeysNotFetched}, says: `could not fetch "https://keys.example.com/keys"`,
		},
		"the URI that an old placeholder hides": {
			mesh: uri(external), proxies: holding(placeholderOf(jwks.PlaceholderPlain, "https://other.example.com/")),
			want: Refused, causes: []diag.Code{diag.KeysNotFetched}, says: `"https://other.example.com/"`,
		},
		"the placeholder that anybody can sign for": {
			mesh: uri(external), proxies: holding(placeholderOf(jwks.PlaceholderForgeable, "")),
			want: Refused, causes: []diag.Code{diag.KeysForgeable, diag.KeysNotFetched}, says: "private half is public",
		},
		"one proxy with the old keys": {
			mesh: plainServer + istiod("") + uri(goodURI), proxies: holding(newKeys(), oldKeys()), fetches: []Fetch{seen(goodURI, ByServiceProxy, newKeys())},
			want: Refused, causes: []diag.Code{diag.KeysStale}, says: `signed with kid "new"`,
		},
		"HTML where keys should be": {
			mesh: plainServer + uri(goodURI), proxies: holding(publicOnly(), publicOnly()), fetches: []Fetch{seen(goodURI, ByServiceProxy, []byte("<html></html>"))},
			want: Refused, causes: []diag.Code{diag.KeysUnusable, diag.KeysNotFetched}, says: "a page (HTML",
		},
		"no ServiceEntry, and proxies that fetch": {
			mesh: istiod(`{name: PILOT_JWT_ENABLE_REMOTE_JWKS, value: envoy}`) + uri(external), proxies: fetching(external, Cluster{}),
			want: Refused, causes: []diag.Code{diag.KeyNoCluster}, says: "no ServiceEntry of that name", mended: true,
		},
		"a ServiceEntry without the port": {
			mesh: istiod(hybridEnv) + otherPort + uri(external), proxies: fetching(external, Cluster{}),
			want: Refused, causes: []diag.Code{diag.KeyNoCluster}, says: "has no port 443, but 80", mended: true,
		},
		"a ServiceEntry that is not given away": {
			mesh: istiod(hybridEnv) + elsewhere + uri(external), proxies: fetching(external, Cluster{}),
			want: Refused, causes: []diag.Code{diag.KeyNoCluster, diag.KeyTransport}, says: "ServiceEntry bar/keys hides it", mended: true,
		},
		"a Sidecar that does not import the host": {
			mesh: istiod(hybridEnv) + entry + tlsRule + hidden + uri(external), proxies: fetching(external, Cluster{}),
			want: Refused, causes: []diag.Code{diag.KeyNoCluster}, says: "Sidecar foo/default hides it", mended: true,
		},
		"a ServiceEntry without TLS": {
			mesh: istiod(hybridEnv) + entry + uri(external), proxies: fetching(external, Cluster{Exists: true}),
			want: Refused, causes: []diag.Code{diag.KeyTransport}, says: "plain HTTP to the TLS port 443", mended: true,
		},
		"a DestinationRule that asks for no TLS": {
			mesh: istiod(hybridEnv) + entry + plainRule + uri(external), proxies: fetching(external, Cluster{Exists: true}),
			want: Refused, causes: []diag.Code{diag.KeyTransport}, says: "asks for DISABLE", mended: true,
		},
		"mTLS to a server without a proxy": {
			mesh: istiod(hybridEnv) + plainServer + modeRule("ISTIO_MUTUAL") + uri(goodURI), proxies: fetching(goodURI, Cluster{Exists: true, TLS: true}),
			want: Refused, causes: []diag.Code{diag.KeyTransport}, says: "whose pods have no proxy", mended: true,
		},
		"plaintext to a STRICT server": {
			mesh: istiod(hybridEnv) + meshServer + strict + modeRule("DISABLE") + uri(goodURI), proxies: fetching(goodURI, Cluster{Exists: true}),
			want: Refused, causes: []diag.Code{diag.KeyTransport}, says: "it takes mTLS only (STRICT)", mended: true,
		},
		"a redirect that proxies do not follow": {
			mesh: plainServer + istiod(hybridEnv) + uri(goodURI), proxies: fetching(goodURI, Cluster{Exists: true}),
			fetches: []Fetch{FromAnswer(Fetch{URI: goodURI, Way: ByExec, From: "pod foo/sleep-1", Sidecar: true}, Answer{Status: 302, Location: "/there"})},
			want:    Refused, causes: []diag.Code{diag.KeyAnswer}, says: `302, a redirect to "http://idp.foo.svc.cluster.local/there"`, mended: true,
		},
		"a status that is none of 200": {
			mesh: plainServer + istiod(hybridEnv) + uri(goodURI), proxies: fetching(goodURI, Cluster{Exists: true}),
			fetches: []Fetch{FromAnswer(Fetch{URI: goodURI, Way: ByServiceProxy, From: "the API server"}, Answer{Status: 404})},
			want:    Refused, causes: []diag.Code{diag.KeyAnswer}, says: "it answers 404",
		},
		"a certificate that nobody knows": {
			mesh: plainServer + uri("https://idp.foo.svc.cluster.local/keys"), proxies: holding(publicOnly(), publicOnly()),
			fetches: []Fetch{
				seen("https://idp.foo.svc.cluster.local/keys", ByServiceProxy, oldKeys()),
				failedFetch("https://idp.foo.svc.cluster.local/keys", ByPortForward, Certificate, "its certificate is signed by an authority that is not known here"),
			},
			want: Refused, causes: []diag.Code{diag.KeyCertificate, diag.KeysNotFetched}, says: "authority",
		},
		"keys of the rule that nobody can use": {
			mesh: ruleFor(`, jwks: "{}"`), want: Refused, causes: []diag.Code{diag.KeysUnusable}, says: `without "keys"`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			ev := evidenceOf(t, base+c.mesh)
			ev.Proxies, ev.Fetches = c.proxies, c.fetches
			r := check(t, ev)
			rule := r.Rules[0]
			if rule.Verdict != c.want || r.Verdict != c.want || !slices.Equal(errorsOf(rule), c.causes) {
				t.Fatalf("%s %v, want %s %v: %+v", rule.Verdict, errorsOf(rule), c.want, c.causes, rule.Findings)
			}
			if !strings.Contains(rule.Findings[0].Message, c.says) {
				t.Errorf("%q does not say %q", rule.Findings[0].Message, c.says)
			}
			if !c.mended {
				return
			}
			at := slices.IndexFunc(r.Fixes, func(f Fix) bool { return manifestOf(t, f) != "" })
			if at < 0 {
				t.Fatalf("no fix has a manifest: %+v", r.Fixes)
			}
			after := applied(t, ev, r.Fixes[at])
			after.Proxies, after.Fetches = nil, nil // what they are afterwards is the mesh's to show
			for _, rule := range check(t, after).Rules {
				if rule.Has(c.causes[0]) {
					t.Errorf("the fix leaves the cause: %+v\n%s", rule.Findings, manifestOf(t, r.Fixes[at]))
				}
			}
		})
	}
}

func TestARuleIsOKOnlyByWhatWasSeenInTheMesh(t *testing.T) {
	here := Fetch{URI: goodURI, Way: ByMachine, From: "this machine"}
	fetchedHere := FromAnswer(here, Answer{Status: 200, Body: oldKeys(), Whole: true})
	inline := ruleFor(`, jwks: '` + string(oldKeys()) + `'`)
	for name, c := range map[string]struct {
		mesh    string
		proxies []Proxy
		fetches []Fetch
		want    Verdict
		says    string
	}{
		"keys in every proxy":                              {plainServer + uri(goodURI), holding(oldKeys(), oldKeys()), nil, OK, "was not seen"},
		"the keys of the URI in every proxy":               {plainServer + uri(goodURI), holding(oldKeys(), oldKeys()), []Fetch{seen(goodURI, ByServiceProxy, oldKeys())}, OK, "as at the URI"},
		"keys that the issuer took back, besides":          {plainServer + uri(goodURI), holding(newKeys(), newKeys()), []Fetch{seen(goodURI, ByServiceProxy, oldKeys())}, OK, "2 keys"},
		"no proxy was asked":                               {plainServer + uri(goodURI), nil, []Fetch{seen(goodURI, ByServiceProxy, oldKeys())}, Unknown, "no proxy was asked"},
		"one proxy did not tell":                           {plainServer + uri(goodURI), append(holding(oldKeys()), Proxy{Namespace: "foo", Pod: "httpbin-2", Unasked: "forbidden"}), nil, Unknown, "not every proxy"},
		"inline keys that no proxy was asked for":          {inline, nil, nil, Unknown, "no proxy was asked"},
		"inline keys in every proxy":                       {inline, holding(oldKeys(), oldKeys()), nil, OK, "in every proxy"},
		"inline keys that one proxy has otherwise":         {inline, holding(oldKeys(), newKeys()), nil, OK, "in every proxy"},
		"proxies fetch, and nobody saw it":                 {plainServer + istiod(hybridEnv) + uri(goodURI), fetching(goodURI, Cluster{Exists: true}), nil, Unknown, "--from"},
		"proxies fetch, and this machine can read them":    {plainServer + istiod(hybridEnv) + uri(goodURI), fetching(goodURI, Cluster{Exists: true}), []Fetch{fetchedHere}, Unknown, "--from"},
		"proxies fetch, and a pod with a sidecar can read": {plainServer + istiod(hybridEnv) + uri(goodURI), fetching(goodURI, Cluster{Exists: true}), []Fetch{seen(goodURI, ByExec, oldKeys())}, OK, "can be read"},
		"proxies fetch, and the API server can read":       {plainServer + istiod(hybridEnv) + uri(goodURI), fetching(goodURI, Cluster{Exists: true}), []Fetch{seen(goodURI, ByServiceProxy, oldKeys())}, OK, "can be read"},
		"only this machine cannot read them":               {plainServer + uri(goodURI), holding(oldKeys(), oldKeys()), []Fetch{failedFetch(goodURI, ByMachine, Name, "no such host")}, OK, "was not seen"},
		"the server is away, and the keys are there":       {plainServer + noSlices + uri(goodURI), holding(oldKeys(), oldKeys()), nil, OK, "was not seen"},
	} {
		t.Run(name, func(t *testing.T) {
			ev := evidenceOf(t, base+c.mesh)
			ev.Proxies, ev.Fetches = c.proxies, c.fetches
			rule := check(t, ev).Rules[0]
			if rule.Verdict != c.want || !strings.Contains(rule.Summary, c.says) {
				t.Errorf("%s: %s, want %s: %s; %+v", rule.Verdict, rule.Summary, c.want, c.says, rule.Findings)
			}
		})
	}
}

// First of all: a set that no proxy can use fails open.
func TestARefusedListenerComesFirstWhateverElseIsWrong(t *testing.T) {
	ev := evidenceOf(t, base+plainServer+uri(goodURI)+otherRule)
	ev.Fetches = []Fetch{seen(goodURI, ByServiceProxy, []byte("<html>"))}
	ev.Proxies = holding(oldKeys(), publicOnly())
	for i := range ev.Proxies {
		ev.Proxies[i].Refused = []diagnose.RefusedListener{{Name: "virtualInbound", Asked: true,
			Reason: "Provider 'origins-0' in jwt_authn config has invalid local jwks: Jwks is an invalid JSON"}}
	}
	r := check(t, ev)
	rule := r.Rules[0]
	if rule.Object.Name != "jwt" || rule.Findings[0].Code != diag.ListenerRefused || !strings.Contains(rule.Summary, "foo/httpbin-1") || !strings.Contains(rule.Summary, "forged tokens may pass") {
		t.Errorf("got %+v", rule)
	}
	if r.Rules[1].Has(diag.ListenerRefused) {
		t.Error("the other rule is blamed too, and the proxy names this one")
	}
	ev.Proxies[0].Refused[0].Reason = "something else"
	if rule := check(t, ev).Rules[0]; !rule.Has(diag.ListenerRefused) {
		t.Errorf("another reason: %+v", rule.Findings)
	}
}

func TestATokenIsHeldAgainstTheKeysThatAreHeldAndThoseAtTheURI(t *testing.T) {
	tokenOf := func(k mint.Key, header, issuer string) *jwt.Token {
		token, status := jwt.Parse(mint.Token(k, header, `{"iss":"`+issuer+`"}`))
		if status != jwt.OK {
			t.Fatal(status)
		}
		return token
	}
	const rs = `{"alg":"RS256","kid":"new"}`
	for name, c := range map[string]struct {
		token    *jwt.Token
		held     []byte
		live     []byte
		want     Verdict
		code     diag.Code
		says     string
		noResult bool
	}{
		"of a key that is everywhere":  {tokenOf(mint.OtherRSA(), rs, theIssuer), newKeys(), newKeys(), OK, "", "", false},
		"of a key that is new":         {tokenOf(mint.OtherRSA(), rs, theIssuer), oldKeys(), newKeys(), Refused, diag.TokenNoKey, "fits the keys at the URI", false},
		"of somebody else":             {tokenOf(mint.OtherRSA(), `{"alg":"RS256","kid":"x"}`, theIssuer), newKeys(), newKeys(), Refused, diag.TokenNoKey, "fits neither", false},
		"without kid, and another key": {tokenOf(mint.RSA1024(), `{"alg":"RS256"}`, theIssuer), newKeys(), newKeys(), Refused, diag.TokenSignature, "without kid", false},
		"of another issuer":            {tokenOf(mint.OtherRSA(), rs, "other"), newKeys(), newKeys(), OK, "", "", true},
	} {
		t.Run(name, func(t *testing.T) {
			ev := evidenceOf(t, base+plainServer+uri(goodURI))
			ev.Proxies, ev.Fetches, ev.Token = holding(c.held, c.held), []Fetch{seen(goodURI, ByServiceProxy, c.live)}, c.token
			rule := check(t, ev).Rules[0]
			if rule.Verdict != c.want || (rule.Token == nil) != c.noResult {
				t.Fatalf("%s, token %+v, want %s: %+v", rule.Verdict, rule.Token, c.want, rule.Findings)
			}
			if c.code == "" {
				return
			}
			i := slices.IndexFunc(rule.Findings, func(f diagnose.Finding) bool { return f.Code == c.code })
			if i < 0 || !strings.Contains(rule.Findings[i].Message, c.says) {
				t.Errorf("no %s that says %q: %+v", c.code, c.says, rule.Findings)
			}
		})
	}
}

func TestManifestsAloneTellWhatIsInTheWay(t *testing.T) {
	ev := evidenceOf(t, base+plainServer+uri(goodURI))
	ev.Live = false
	if rule := check(t, ev).Rules[0]; rule.Verdict != Unknown || !strings.Contains(rule.Summary, "--jwks "+goodURI+"=FILE") {
		t.Errorf("without keys: %s %s", rule.Verdict, rule.Summary)
	}
	ev.Files = []diagnose.KeyFile{{For: goodURI, Document: oldKeys()}}
	if rule := check(t, ev).Rules[0]; rule.Verdict != OK {
		t.Errorf("with keys: %s %s", rule.Verdict, rule.Summary)
	}
	ev.Files[0].Document = []byte(`{"keys":[]}`)
	if rule := check(t, ev).Rules[0]; rule.Verdict != Refused || !rule.Has(diag.KeysUnusable) {
		t.Errorf("with useless keys: %s %+v", rule.Verdict, rule.Findings)
	}
	ev = evidenceOf(t, base+meshServer+strict+uri("http://idp/keys"))
	ev.Live, ev.Files = false, []diagnose.KeyFile{{For: "http://idp/keys", Document: oldKeys()}}
	r := check(t, ev)
	if got := errorsOf(r.Rules[0]); !slices.Equal(got, []diag.Code{diag.KeyHostShort, diag.KeyServerStrict}) {
		t.Errorf("two causes: %v", got)
	}
	last := r.Fixes[len(r.Fixes)-1]
	after := applied(t, ev, last)
	if rule := check(t, after).Rules[0]; rule.Verdict != OK || rule.Fetcher != ByNobody {
		t.Errorf("with the keys in the rule: %s %+v\n%s", rule.Verdict, rule.Findings, last.Manifest)
	}
}

func TestWhatIsWorthAWordIsNoError(t *testing.T) {
	soon := mint.RSA().WithKid("c")
	for name, c := range map[string]struct {
		mesh string
		live []byte
		code diag.Code
		sev  diag.Severity
	}{
		"discovery":                          {ruleFor(""), nil, diag.KeysDiscovered, diag.Warning},
		"two rules of one issuer":            {plainServer + uri(goodURI) + otherRule, nil, diag.IssuerTwice, diag.Info},
		"a dropped key":                      {plainServer + uri(goodURI), mint.Document(mint.RSA().JWK(), map[string]any{"kty": "EC", "crv": "secp256k1", "kid": "k", "x": "AA", "y": "AA"}), diag.KeyDropped, diag.Warning},
		"a certificate that has ended":       {plainServer + uri(goodURI), []byte(`{"c":` + quoteJSON(soon.Certificate()) + `}`), diag.CertificateEnds, diag.Warning},
		"a policy for the whole mesh":        {strings.ReplaceAll(uri(external), "namespace: foo}\nspec: {selector: {matchLabels: {app: httpbin}}, ", "namespace: istio-system}\nspec: {"), nil, diag.MeshWide, diag.Info},
		"REGISTRY_ONLY":                      {uri(external) + "\n---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: istio, namespace: istio-system}\ndata: {mesh: \"outboundTrafficPolicy: {mode: REGISTRY_ONLY}\"}\n", nil, diag.KeyEgressNote, diag.Info},
		"an HTTP proxy of the control plane": {plainServer + istiod(`{name: HTTP_PROXY, value: "http://proxy:3128"}, {name: NO_PROXY, value: "10.0.0.0/8, .example.com"}`) + uri(goodURI), nil, diag.KeyUnreachable, diag.Warning},
		"a policy that ASM keeps":            {strings.Replace(uri(external), "name: jwt, namespace: foo", `name: jwt, namespace: foo, labels: {asm.alibabacloud.com/managed: "true"}`, 1), nil, diag.ObjectManaged, diag.Info},
	} {
		t.Run(name, func(t *testing.T) {
			ev := evidenceOf(t, base+c.mesh)
			if name == "a certificate that has ended" {
				ev.Now = time.Date(2300, 1, 1, 0, 0, 0, 0, time.UTC)
			}
			ev.Proxies = holding(oldKeys(), oldKeys())
			if c.live != nil {
				ev.Fetches = []Fetch{seen(goodURI, ByServiceProxy, c.live)}
			}
			for _, rule := range check(t, ev).Rules {
				for _, f := range rule.Findings {
					if f.Code == c.code && f.Severity == c.sev {
						return
					}
				}
			}
			t.Errorf("no %s of %s", c.sev, c.code)
		})
	}
}

// That nothing worked so far is a warning, since it may work by now; that there is no
// endpoint is an error.
func TestWhatProxiesSawOfTheKeyServerCounts(t *testing.T) {
	for name, c := range map[string]struct {
		traffic *Traffic
		want    Verdict
		code    diag.Code
		sev     diag.Severity
	}{
		"nothing told":       {nil, OK, "", ""},
		"answers":            {&Traffic{Hosts: 1, Answers: 1, Failures: 3}, OK, "", ""},
		"nothing tried":      {&Traffic{Hosts: 1}, OK, "", ""},
		"nothing but errors": {&Traffic{Hosts: 1, Failures: 3}, Unknown, diag.KeyUnreachable, diag.Warning},
		"no endpoint":        {&Traffic{}, Refused, diag.KeyServerNotReady, diag.Error},
	} {
		ev := evidenceOf(t, base+plainServer+istiod(hybridEnv)+uri(goodURI))
		ev.Proxies, ev.Fetches = fetching(goodURI, Cluster{Exists: true, Traffic: c.traffic}), []Fetch{seen(goodURI, ByServiceProxy, oldKeys())}
		rule := check(t, ev).Rules[0]
		found := slices.IndexFunc(rule.Findings, func(f diagnose.Finding) bool { return f.Code == c.code && f.Severity == c.sev })
		if rule.Verdict != c.want || (found >= 0) != (c.code != "") {
			t.Errorf("%s: %s, %+v", name, rule.Verdict, rule.Findings)
		}
	}
}

// The API server looks at no certificate: what it reads over TLS shows nothing of what
// proxies accept.
func TestOverTLSSomebodyHasToHaveSeenTheCertificateAccepted(t *testing.T) {
	const uriTLS = "https://idp.foo.svc.cluster.local/keys"
	rule := "\n---\n{apiVersion: networking.istio.io/v1, kind: DestinationRule, metadata: {name: idp, namespace: foo}, spec: {host: idp.foo.svc.cluster.local, trafficPolicy: {tls: {mode: SIMPLE, sni: idp}}}}\n"
	apiServer := seen(uriTLS, ByServiceProxy, oldKeys())
	apiServer.TLSUnchecked = true
	forward := seen(uriTLS, ByPortForward, oldKeys())
	for name, c := range map[string]struct {
		traffic *Traffic
		fetches []Fetch
		want    Verdict
	}{
		"the API server alone":                     {nil, []Fetch{apiServer}, Unknown},
		"and the proxies had answers":              {&Traffic{Hosts: 1, Answers: 1}, []Fetch{apiServer}, OK},
		"and a client that checks it":              {nil, []Fetch{apiServer, forward}, OK},
		"and a client that does not accept it":     {nil, []Fetch{apiServer, failedFetch(uriTLS, ByPortForward, Certificate, "unknown")}, Unknown},
		"which does not count against the proxies": {&Traffic{Hosts: 1, Answers: 1}, []Fetch{apiServer, failedFetch(uriTLS, ByPortForward, Certificate, "unknown")}, OK},
	} {
		ev := evidenceOf(t, base+plainServer+istiod(hybridEnv)+rule+uri(uriTLS))
		ev.Proxies, ev.Fetches = fetching(uriTLS, Cluster{Exists: true, TLS: true, SNI: "idp", Traffic: c.traffic}), c.fetches
		if got := check(t, ev).Rules[0]; got.Verdict != c.want {
			t.Errorf("%s: %s %s %+v", name, got.Verdict, got.Summary, got.Findings)
		}
	}
}

// mTLS of the mesh's own, asked for where there is none, and not used where it is wanted.
func TestProxiesAndKeyServersAgreeOnMTLS(t *testing.T) {
	for name, c := range map[string]struct {
		mesh string
		bad  bool
	}{
		"mTLS, and no proxy":          {plainServer + modeRule("ISTIO_MUTUAL"), true},
		"mTLS, and a proxy":           {strings.Replace(meshServer, "{app: idp}", "{app: idp, security.istio.io/tlsMode: istio}", 1) + strict + modeRule("ISTIO_MUTUAL"), false},
		"plaintext, and a proxy":      {meshServer + modeRule("DISABLE"), false},
		"plaintext, and a STRICT one": {meshServer + strict + modeRule("DISABLE"), true},
		"by itself, and a STRICT one": {meshServer + strict, false},
	} {
		ev := evidenceOf(t, base+istiod(hybridEnv)+c.mesh+uri(goodURI))
		ev.Proxies = fetching(goodURI, Cluster{Exists: true})
		if rule := check(t, ev).Rules[0]; rule.Has(diag.KeyTransport) != c.bad {
			t.Errorf("%s: %+v", name, rule.Findings)
		}
	}
}

func TestNoProxyNamesHostsAsGoProgramsReadIt(t *testing.T) {
	for list, want := range map[string]bool{
		"": false, "*": true, "cluster.local": true, ".svc.cluster.local": true, "*.cluster.local": true, "idp.foo.svc.cluster.local:80": true,
		"foo": false, "other.local, idp.foo.svc.cluster.local": true, "10.0.0.0/8": false, ".local.": false,
	} {
		if got := exempted(list, AddressOf(goodURI, "foo")); got != want {
			t.Errorf("%q: %v", list, got)
		}
	}
	if !exempted("10.0.0.0/8", AddressOf("http://10.1.2.3/", "foo")) {
		t.Error("a block of addresses")
	}
}

// modeRule is a DestinationRule for the key server.
func modeRule(mode string) string {
	return "\n---\n{apiVersion: networking.istio.io/v1, kind: DestinationRule, metadata: {name: idp, namespace: foo}, spec: {host: idp.foo.svc.cluster.local, trafficPolicy: {tls: {mode: " + mode + "}}}}\n"
}

func quoteJSON(s string) string { return `"` + strings.ReplaceAll(s, "\n", `\n`) + `"` }

func TestWhatCouldNotBeReadIsNotTakenForMissing(t *testing.T) {
	objects, err := mesh.Parse([]byte(base+istiod(`{name: PILOT_JWT_ENABLE_REMOTE_JWKS, value: envoy}`)+uri(external)), mesh.ParseOptions{})
	if err != nil {
		t.Fatal(err)
	}
	gap := mesh.Gap{What: "serviceentries", Why: "forbidden", Permission: "list serviceentries in all namespaces", Unread: mesh.Unread{Group: mesh.GroupNetworking, Kind: "ServiceEntry"}}
	ev := evidenceOf(t, base)
	if ev.Snapshot, err = mesh.NewSnapshot(objects, []mesh.Gap{gap}); err != nil {
		t.Fatal(err)
	}
	r := check(t, ev)
	if r.Rules[0].Has(diag.KeyNoCluster) || r.Verdict != Unknown || len(r.Gaps) != 1 || r.Gaps[0].Permission != gap.Permission {
		t.Errorf("got %s, %+v, gaps %+v", r.Verdict, r.Rules[0].Findings, r.Gaps)
	}
}

// Where only some ports pass the proxy, the rules are those of these ports.
func TestRulesAreFoundWhicheverPortsPassTheProxy(t *testing.T) {
	service := "\n---\n{apiVersion: v1, kind: Service, metadata: {name: httpbin, namespace: foo}, spec: {selector: {app: httpbin}, ports: [{name: tcp-db, port: 5432}, {name: http, port: 8000, targetPort: 8080}]}}\n"
	for name, annotations := range map[string]string{"all": "{}", "one": `{traffic.sidecar.istio.io/includeInboundPorts: "8080"}`, "those of a Sidecar": `{sidecar.istio.io/interceptionMode: NONE}`} {
		mesh := strings.ReplaceAll(base, "labels: {app: httpbin}}", "labels: {app: httpbin}, annotations: "+annotations+"}")
		if strings.Contains(annotations, "NONE") {
			mesh += "\n---\n{apiVersion: networking.istio.io/v1, kind: Sidecar, metadata: {name: own, namespace: foo}, spec: {ingress: [{port: {number: 8080, name: http, protocol: HTTP}, defaultEndpoint: 127.0.0.1:8081}]}}\n"
		}
		if rule := check(t, evidenceOf(t, mesh+service+uri(external))).Rules[0]; len(rule.Workloads) != 2 {
			t.Errorf("%s: the rule reaches %v", name, rule.Workloads)
		}
	}
}

func TestARuleThatReachesNothingIsListed(t *testing.T) {
	ev := evidenceOf(t, base+strings.Replace(uri(external), "app: httpbin", "app: nobody", 1))
	if r := check(t, ev); len(r.Rules) != 1 || r.Rules[0].Verdict != Unused || r.Verdict != OK {
		t.Errorf("got %+v", r)
	}
}
