package mesh

import (
	"strings"
	"testing"
)

const policyHead = "apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata:\n  name: p\n  namespace: foo\n"

func TestCheckFields_NamesTheFieldItsLineAndTheLikeliestOne(t *testing.T) {
	for _, tc := range []struct{ name, text, want string }{
		{"a misspelt field", policyHead + "spec:\n  ruels:\n  - {}\n",
			"mesh.yaml:7: AuthorizationPolicy foo/p: spec.ruels: is no field of the API\nhint: did you mean rules?\n"},
		{"a misspelt field far below, in braces", policyHead + "spec: {rules: [{to: [{operation: {path: [/a]}}]}]}\n",
			"mesh.yaml:6: AuthorizationPolicy foo/p: spec.rules[0].to[0].operation.path: is no field of the API\nhint: did you mean paths?\n"},
		{"a field at the wrong place", policyHead + "spec:\n  rules:\n  - paths: [/a]\n",
			"mesh.yaml:8: AuthorizationPolicy foo/p: spec.rules[0].paths: is no field of the API\nhint: there is such a field at spec.rules[].to[].operation.paths: look at the indentation\n"},
		{"a field that is nowhere", policyHead + "spec:\n  rules:\n  - foobarbaz: 1\n",
			"mesh.yaml:8: AuthorizationPolicy foo/p: spec.rules[0].foobarbaz: is no field of the API\nhint: known fields here: from, to, when\n"},
		{"spec misspelt", policyHead + "specs:\n  rules: []\n",
			"mesh.yaml:6: AuthorizationPolicy foo/p: specs: is no field of the API\nhint: did you mean spec?\n"},
		{"namespace misspelt", "apiVersion: security.istio.io/v1\nkind: PeerAuthentication\nmetadata:\n  name: p\n  namespce: foo\nspec: {}\n",
			"mesh.yaml:5: PeerAuthentication default/p: metadata.namespce: is no field of the API\nhint: did you mean namespace?\n"},
		{"text where a list is wanted", policyHead + "spec:\n  rules:\n  - to:\n    - operation:\n        paths: /a\n",
			"mesh.yaml:10: AuthorizationPolicy foo/p: spec.rules[0].to[0].operation.paths: is text where a list is wanted\nhint: write it as a list: [\"/a\"]\n"},
		{"a mapping where a list is wanted", policyHead + "spec:\n  rules:\n    to:\n    - operation: {}\n",
			"mesh.yaml:7: AuthorizationPolicy foo/p: spec.rules: is a mapping where a list is wanted\nhint: put a dash in front of it: every item of a list begins with one\n"},
		{"a list where a mapping is wanted", policyHead + "spec:\n  selector:\n  - matchLabels: {}\n",
			"mesh.yaml:7: AuthorizationPolicy foo/p: spec.selector: is a list where a mapping is wanted\nhint: leave out the dash: there is only one\n"},
		{"text where a mapping is wanted", policyHead + "spec:\n  selector: app\n",
			"mesh.yaml:7: AuthorizationPolicy foo/p: spec.selector: is text where a mapping is wanted\nhint: it has the fields matchLabels\n"},
		{"a number where text is wanted", policyHead + "spec:\n  rules:\n  - to:\n    - operation:\n        ports: [80]\n",
			"mesh.yaml:10: AuthorizationPolicy foo/p: spec.rules[0].to[0].operation.ports[0]: is a number where text is wanted\nhint: put it in quotes: \"80\"\n"},
		{"yes where text is wanted, as kubectl reads it", policyHead + "spec:\n  rules:\n  - when:\n    - key: k\n      values:\n      - yes\n",
			"mesh.yaml:11: AuthorizationPolicy foo/p: spec.rules[0].when[0].values[0]: is true or false where text is wanted\nhint: put it in quotes: \"yes\"\n"},
		{"text where a number is wanted", "apiVersion: networking.istio.io/v1\nkind: Gateway\nmetadata:\n  name: g\nspec:\n  servers:\n  - port:\n      number: \"80\"\n      name: http\n      protocol: HTTP\n    hosts: [\"*\"]\n",
			"mesh.yaml:8: Gateway default/g: spec.servers[0].port.number: is text where a number is wanted\nhint: write a number, without quotes\n"},
		{"an unknown value", policyHead + "spec:\n  action: DNEY\n",
			"mesh.yaml:7: AuthorizationPolicy foo/p: spec.action: has the unknown value \"DNEY\"\nhint: did you mean DENY? known values: ALLOW, DENY, AUDIT, CUSTOM\n"},
		{"a key that is given twice", policyHead + "spec:\n  action: DENY\n  rules: []\n  action: ALLOW\n",
			"mesh.yaml:9: AuthorizationPolicy foo/p: spec.action: is given twice, first on line 7\nhint: keep one of the two: only the last would count\n"},
		{"a field by both its names", "apiVersion: security.istio.io/v1\nkind: RequestAuthentication\nmetadata:\n  name: r\nspec:\n  jwtRules:\n  - issuer: a\n    jwksUri: b\n    jwks_uri: c\n",
			"mesh.yaml:9: RequestAuthentication default/r: spec.jwtRules[0].jwks_uri: is given twice, first as jwksUri on line 8\nhint: keep one of the two: only the last would count\n"},
		{"several at once, in the order of the lines", policyHead + "spec:\n  acton: DENY\n  rules:\n  - form: []\n",
			"mesh.yaml:7: AuthorizationPolicy foo/p: spec.acton: is no field of the API\nhint: did you mean action?\n" +
				"mesh.yaml:9: AuthorizationPolicy foo/p: spec.rules[0].form: is no field of the API\nhint: did you mean from?\n"},
		{"within a merged mapping", "apiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata:\n  name: d\nspec:\n  host: a\n  trafficPolicy: &p\n    tls: &t\n      modes: SIMPLE\n  subsets:\n  - name: s\n    trafficPolicy:\n      tls:\n        <<: *t\n",
			"mesh.yaml:9: DestinationRule default/d: spec.trafficPolicy.tls.modes: is no field of the API\nhint: did you mean mode?\n" +
				"mesh.yaml:9: DestinationRule default/d: spec.subsets[0].trafficPolicy.tls.modes: is no field of the API\nhint: did you mean mode?\n"},
		{"YAML that is broken below a header that is fine", policyHead + "spec:\n  action: \"DENY\n",
			"mesh.yaml:7: cannot be read as YAML: a quote that is opened here is never closed\nhint: close it; is the file whole?\n"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			objects, err := Parse([]byte(tc.text), ParseOptions{File: "mesh.yaml"})
			if err != nil {
				if got := messages(err); got != tc.want {
					t.Errorf("got\n%s\nwant\n%s", got, tc.want)
				}
				return
			}
			if got := messages(CheckFields(objects[0])...); got != tc.want {
				t.Errorf("got\n%s\nwant\n%s", got, tc.want)
			}
		})
	}
}

func TestCheckFields_TakesWhatTheAPITakes(t *testing.T) {
	for name, text := range map[string]string{
		"every form of a policy":             policyText,
		"snake case, as the proto spells it": "apiVersion: security.istio.io/v1\nkind: RequestAuthentication\nmetadata: {name: r}\nspec:\n  jwt_rules:\n  - issuer: a\n    jwks_uri: b\n",
		"presence, newer than the API":       "apiVersion: security.istio.io/v1\nkind: RequestAuthentication\nmetadata:\n  name: r\nspec:\n  jwtRules:\n  - issuer: a\n    presence: REQUIRED\n",
		"durations, wrappers and numbers":    "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata:\n  name: v\nspec:\n  hosts: [a]\n  http:\n  - timeout: 5s\n    retries:\n      attempts: 3\n      retryRemoteLocalities: true\n    match:\n    - headers:\n        x:\n          exact: z\n        end-user:\n          prefix: '1'\n    route:\n    - weight: 10\n      destination:\n        host: a\n        port:\n          number: 80\n",
		"the free part of an EnvoyFilter":    "apiVersion: networking.istio.io/v1alpha3\nkind: EnvoyFilter\nmetadata:\n  name: e\nspec:\n  configPatches:\n  - applyTo: HTTP_FILTER\n    match:\n      context: SIDECAR_INBOUND\n    patch:\n      operation: INSERT_BEFORE\n      value:\n        name: lua\n        anything: [1, {goes: here}]\n",
		"a Telemetry":                        "apiVersion: telemetry.istio.io/v1\nkind: Telemetry\nmetadata:\n  name: t\nspec:\n  tracing:\n  - randomSamplingPercentage: 10.5\n    disableSpanReporting: false\n",
		"a WasmPlugin":                       "apiVersion: extensions.istio.io/v1alpha1\nkind: WasmPlugin\nmetadata:\n  name: w\nspec:\n  url: oci://x/y\n  phase: AUTHN\n  priority: -1\n  pluginConfig:\n    a: [1]\n",
		"a ProxyConfig":                      "apiVersion: networking.istio.io/v1beta1\nkind: ProxyConfig\nmetadata:\n  name: c\nspec:\n  concurrency: 0\n  environmentVariables:\n    A: b\n",
		"null and nothing":                   policyHead + "spec:\n  selector:\n  rules: null\n  action:\n",
		"a PeerAuthentication":               "apiVersion: security.istio.io/v1\nkind: PeerAuthentication\nmetadata:\n  name: p\nspec:\n  mtls:\n    mode: STRICT\n  portLevelMtls:\n    8080:\n      mode: DISABLE\n",
		"JSON":                               `{"apiVersion":"security.istio.io/v1","kind":"AuthorizationPolicy","metadata":{"name":"p","finalizers":["x"],"generation":1},"spec":{"rules":[{"when":[{"key":"a","values":["b"]}]}]},"status":{"anything":1}}`,
		"another kind":                       "apiVersion: v1\nkind: Service\nmetadata:\n  name: s\nspec:\n  whatever: 1\n",
		"the Gateway of the Gateway API":     "apiVersion: gateway.networking.k8s.io/v1\nkind: Gateway\nmetadata:\n  name: s\nspec:\n  gatewayClassName: istio\n",
	} {
		t.Run(name, func(t *testing.T) {
			if got := messages(CheckFields(one(t, text))...); got != "" {
				t.Errorf("got\n%s", got)
			}
		})
	}
}

func TestQuickCheck_TakesOrdinaryPoliciesWithoutATree(t *testing.T) {
	for name, text := range plainCases {
		o := load(t, text).Objects()[0]
		c := newChecker()
		if s := c.schemas.object(o.Group(), o.Kind); s != nil && !c.surelyFits(o, s) {
			t.Errorf("%s: it has to be read by the parser, which is slow", name)
		}
	}
	gateway := "apiVersion: networking.istio.io/v1\nkind: Gateway\nmetadata:\n  name: g\nspec:\n  servers:\n  - port:\n      number: NUMBER\n"
	for number, want := range map[string]bool{"80": true, "0": true, "\"80\"": false, "080": false, "8e1": false, "80a": false, "12345678901": false} {
		o := one(t, strings.Replace(gateway, "NUMBER", number, 1))
		c := newChecker()
		if got := c.surelyFits(o, c.schemas.object(o.Group(), o.Kind)); got != want {
			t.Errorf("number: %s: the quick check says %v", number, got)
		}
	}
}

func TestCheck_TellsPeoplesFilesFromWhatAServerGave(t *testing.T) {
	mine := policyHead + "spec:\n  ruels: []\n---\n" + strings.Replace(policyHead, "name: p", "name: a", 1) + "spec:\n  acton: DENY\n"
	served := strings.Replace(policyHead, "name: p", "name: served\n  uid: 5f0c1b6e-1c4b-4e0e-9b0a-0123456789ab", 1) + "spec:\n  newer: true\n  action: DENY\n"
	s := load(t, mine+"---\n"+served)
	got := messages(s.Check()...)
	want := "mesh.yaml:7: AuthorizationPolicy foo/p: spec.ruels: is no field of the API\nhint: did you mean rules?\n" +
		"mesh.yaml:15: AuthorizationPolicy foo/a: spec.acton: is no field of the API\nhint: did you mean action?\n"
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	o := s.Find(GroupSecurity, "AuthorizationPolicy", "foo", "served")
	gaps := FieldGaps(o)
	if len(gaps) != 1 || gaps[0].Object != o.Ref() || gaps[0].What != "spec.newer of AuthorizationPolicy foo/served" {
		t.Errorf("gaps of what a server gave: %+v", gaps)
	}
	if gaps := FieldGaps(s.Find(GroupSecurity, "AuthorizationPolicy", "foo", "p")); gaps != nil {
		t.Errorf("a person's file has errors, not gaps: %+v", gaps)
	}
}

func TestCheckFields_StopsWhereThereAreTooManyErrors(t *testing.T) {
	text := policyHead + "spec:\n"
	for i := range 100 {
		text += "  x" + strings.Repeat("y", i) + ": 1\n"
	}
	if n := len(CheckFields(one(t, text))); n != maxFieldErrors {
		t.Errorf("%d errors of one object", n)
	}
}
