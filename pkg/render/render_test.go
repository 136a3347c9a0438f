package render

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"sigs.k8s.io/yaml"

	"github.com/asmjwt/kubectl-asmjwt/pkg/diag"
	"github.com/asmjwt/kubectl-asmjwt/pkg/diagnose"
	"github.com/asmjwt/kubectl-asmjwt/pkg/envoy"
)

var update = flag.Bool("update", false, "write the goldens anew")

// hostile is what a stranger could write to confuse a terminal or a reader.
const hostile = "a\x1b[2Jb\x07c\bd\re\nf\u202eg\u2028h\x7fi\u009bj\xffk"

func place(kind, ns, name, field string) *diagnose.Place {
	return &diagnose.Place{Kind: kind, Namespace: ns, Name: name, Field: field}
}

func request(change func(*diagnose.Request)) diagnose.Request {
	r := diagnose.Request{
		Method: "GET", Path: "/x", Protocol: "HTTP/1.1", Transport: "mTLS",
		Identity: "spiffe://cluster.local/ns/foo/sa/sleep", Time: "2026-03-11T00:00:00Z",
	}
	if change != nil {
		change(&r)
	}
	return r
}

var sidecar = diagnose.Target{
	Kind: "Deployment", Namespace: "foo", Name: "httpbin", Role: "sidecar", Pods: []string{"httpbin-1", "httpbin-2"}, Port: 80, MTLS: "STRICT",
}

// screens are diagnoses of every kind that there is; each has a golden.
func screens() map[string]*diagnose.Diagnosis {
	seven := 7
	policy := func(name string) *diagnose.Place { return place("AuthorizationPolicy", "foo", name, "") }
	jwt := place("RequestAuthentication", "foo", "jwt", "")
	return map[string]*diagnose.Diagnosis{
		"closed": {
			Verdict: diagnose.Verdict{Decision: envoy.Denied, ResponseCodeDetails: "no filter chain takes plaintext",
				DecidedBy: place("PeerAuthentication", "foo", "strict", "spec.mtls.mode")},
			Request: request(func(r *diagnose.Request) { r.Identity, r.Transport, r.SourceIP = "none", "plaintext", "10.0.0.7" }), Target: sidecar,
			Because: "no filter chain takes plaintext",
			Trace: []diagnose.Step{{Stage: envoy.StageConnection, Outcome: envoy.Matched, Object: place("PeerAuthentication", "foo", "strict", ""),
				Field: "spec.mtls.mode", Note: "no filter chain takes plaintext"}},
		},
		"rejected": {
			Verdict: diagnose.Verdict{Decision: envoy.Denied, Status: 400, ResponseCodeDetails: "path_normalization_failed"},
			Request: request(nil), Target: sidecar, Because: "the path climbs above the root",
			Trace: []diagnose.Step{{Stage: envoy.StagePath, Outcome: envoy.Matched, Note: "the path climbs above the root"}},
		},
		"grpc": {
			Verdict: diagnose.Verdict{Decision: envoy.Denied, Status: 200, GRPCStatus: &seven, Body: "RBAC: access denied",
				DecidedBy: place("AuthorizationPolicy", "foo", "p", "spec.rules[0]")},
			Request: request(func(r *diagnose.Request) { r.Protocol = "HTTP/2" }), Target: sidecar, Because: "the rule matches every request",
			Trace: []diagnose.Step{{Stage: envoy.StageDeny, Outcome: envoy.Matched, Steps: []diagnose.Step{
				{Stage: envoy.StageDeny, Outcome: envoy.Matched, Object: policy("p"), Field: "spec.rules[0]"},
			}}},
		},
		"tokens": {
			Verdict: diagnose.Verdict{Decision: envoy.Denied, Status: 401, Body: "Jwt issuer is not configured",
				DecidedBy: place("RequestAuthentication", "foo", "jwt", "spec.jwtRules[1]")},
			Request: request(nil), Target: sidecar,
			Because: `the token in query t is refused: wanted issuer "b", got iss "c"`,
			Tokens: []diagnose.Token{
				{Location: "header authorization \"Bearer \"", WellForm: true, Issuer: "a", Subject: "s", Audiences: []string{"x", "y"}, Kid: "k", Alg: "RS256", Expires: 1},
				{Location: "query t", WellForm: true, Issuer: "c", Alg: "ES256", NotBefore: 1773187260 + 60},
				{Location: "cookie session", Problem: "Jwt is not in the form of Header.Payload.Signature with two dots and 3 sections"},
			},
			Trace: []diagnose.Step{{Stage: envoy.StageJWT, Outcome: envoy.Matched, Status: "Jwt issuer is not configured", Object: jwt, Field: "spec.jwtRules[1]",
				Steps: []diagnose.Step{
					{Stage: envoy.StageJWT, Outcome: envoy.Matched, Object: jwt, Field: "spec.jwtRules[0]", Status: "OK", Steps: []diagnose.Step{
						{Stage: envoy.StageJWT, Outcome: envoy.Matched, Got: "header authorization \"Bearer \"", Status: "OK"},
					}},
					{Stage: envoy.StageJWT, Outcome: envoy.NotMatched, Object: jwt, Field: "spec.jwtRules[1]", Status: "Jwt issuer is not configured", Steps: []diagnose.Step{
						{Stage: envoy.StageJWT, Outcome: envoy.NotMatched, Got: "query t", Status: "Jwt issuer is not configured", Want: `issuer "b"`, Note: `iss "c"`},
					}},
				}}},
		},
		"undetermined": {
			Verdict: diagnose.Verdict{Decision: envoy.Undetermined, Possible: []int{0, 403, 200}},
			Request: request(func(r *diagnose.Request) { r.Identity, r.Transport = "unknown", "unknown" }), Target: sidecar,
			DependsOn: []diagnose.Dependency{
				{What: "the client's identity", Why: "it was not said who calls", Hint: "--from TYPE/NAME"},
				{What: `the answer of the external authorizer "oauth2-proxy"`},
			},
			Trace: []diagnose.Step{
				{Stage: envoy.StageCustom, Outcome: envoy.Undecided, Object: policy("ext"), Field: "spec.rules[0]", Note: "the authorizer is asked", DependsOn: []string{"its answer"}},
				{Stage: envoy.StageAudit, Outcome: envoy.Matched, Steps: []diagnose.Step{
					{Stage: envoy.StageAudit, Outcome: envoy.Matched, Object: policy("audit"), Field: "spec.rules[0]"},
				}},
				{Stage: envoy.StageAllow, Outcome: envoy.Undecided, Steps: []diagnose.Step{
					{Stage: envoy.StageAllow, Outcome: envoy.Undecided, Object: policy("p"), Field: "spec.rules[0]", DependsOn: []string{"the client's identity"}, Steps: []diagnose.Step{
						{Stage: envoy.StageAllow, Outcome: envoy.Undecided, Field: "spec.rules[0].from[0].source.namespaces", Want: `"foo"`, Got: "none", DependsOn: []string{"the client's identity"}},
						{Stage: envoy.StageAllow, Outcome: envoy.Skipped, Field: "spec.rules[0].when[0]", Note: "istiod does not know the key"},
					}},
					{Stage: envoy.StageAllow, Outcome: envoy.Matched, DryRun: true, Object: policy("dry"), Field: "spec.rules[0]"},
					{Stage: envoy.StageAllow, Outcome: envoy.NotMatched, Object: policy("never"), Note: "a policy without rules matches nothing"},
				}},
				{Stage: envoy.StageUnmodelled, Outcome: envoy.Undecided, Object: place("EnvoyFilter", "foo", "lua", ""), Note: "an EnvoyFilter that changes the listener"},
			},
			Findings: []diagnose.Finding{{Code: diag.ValueDropped, Severity: diag.Warning, Message: "a value is left out", Object: policy("p"), Field: "spec.rules[0]"}},
			Gaps:     []diagnose.Gap{{What: `configmaps "istio" in istio-system`, Why: "forbidden", Permission: "get configmaps/istio in istio-system"}},
			Assumed:  []diagnose.Assumption{{Setting: "trustDomain", Value: "cluster.local", Source: "default"}},
		},
		"fixes": {
			Verdict: diagnose.Verdict{Decision: envoy.Denied, Status: 403, Body: "RBAC: access denied"},
			Request: request(nil), Target: sidecar,
			Trace: []diagnose.Step{{Stage: envoy.StageAllow, Outcome: envoy.Matched, Steps: []diagnose.Step{
				{Stage: envoy.StageAllow, Outcome: envoy.NotMatched, Object: policy("p"), Field: "spec.rules[0]"},
			}}},
			Fixes: []diagnose.Fix{
				{Summary: "allow GET /x to foo/sleep", Manifest: "kind: AuthorizationPolicy", Proved: true, StatusAfter: 200, Widens: true},
				{Summary: "send a token", StatusAfter: 200},
			},
			Groups: []diagnose.Group{
				{Pods: []string{"a"}, Verdict: diagnose.Verdict{Decision: envoy.Denied, Status: 403, Body: "RBAC: access denied"}},
				{Pods: []string{"b", "c"}, Verdict: diagnose.Verdict{Decision: envoy.Allowed, Status: 200}},
			},
		},
		"no proxy": {
			Verdict: diagnose.Verdict{Decision: envoy.Allowed, Status: 200}, Request: request(nil),
			Target:  diagnose.Target{Kind: "Pod", Namespace: "foo", Name: "p", Role: "none", Pods: []string{"p"}},
			Because: "nothing is enforced: the workload has no proxy",
			Skipped: []diagnose.Skipped{
				{Object: *policy("a"), Why: "w"}, {Object: *policy("b"), Why: "w"}, {Object: *policy("c"), Why: "w"}, {Object: *policy("d"), Why: "w"},
				{Object: *policy("e"), Why: "w"}, {Object: *policy("f"), Why: "w"}, {Object: *policy("g"), Why: "w"}, {Object: *policy("h"), Why: "w"},
			},
		},
	}
}

func text(t *testing.T, d *diagnose.Diagnosis, colours bool) string {
	t.Helper()
	var out bytes.Buffer
	if err := Text(&out, d, NewStyle(colours)); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

func TestScreensAreAsTheGoldensShow(t *testing.T) {
	for name, d := range screens() {
		t.Run(name, func(t *testing.T) {
			got := text(t, d, false)
			golden := filepath.Join("testdata", strings.ReplaceAll(name, " ", "-")+".golden")
			if *update {
				if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if got != string(want) {
				t.Errorf("got:\n%s\nwant:\n%s", got, want)
			}
		})
	}
}

var escapes = regexp.MustCompile("\x1b\\[[0-9;]*m")

func TestColourIsNeverTheOnlySignal(t *testing.T) {
	for name, d := range screens() {
		t.Run(name, func(t *testing.T) {
			plain, coloured := text(t, d, false), text(t, d, true)
			if strings.Contains(plain, "\x1b") {
				t.Error("the plain text has colours")
			}
			if !strings.Contains(coloured, "\x1b[") {
				t.Error("the coloured text has none")
			}
			if escapes.ReplaceAllString(coloured, "") != plain {
				t.Error("the coloured text says something else than the plain one, or is aligned otherwise")
			}
		})
	}
}

func TestScreensFitIntoEightyColumns(t *testing.T) {
	for name, d := range screens() {
		for i, line := range strings.Split(text(t, d, false), "\n") {
			if n := utf8.RuneCountInString(line); n > Columns {
				t.Errorf("%s: line %d has %d columns: %s", name, i+1, n, line)
			}
			if strings.TrimRight(line, " ") != line {
				t.Errorf("%s: line %d ends in blanks", name, i+1)
			}
		}
	}
}

func TestNothingUnprintableReachesATerminal(t *testing.T) {
	d := screens()["undetermined"]
	fill(reflect.ValueOf(d).Elem())
	for _, colours := range []bool{false, true} {
		got := escapes.ReplaceAllString(text(t, d, colours), "")
		if !utf8.ValidString(got) {
			t.Error("the text is not UTF-8")
		}
		for _, r := range got {
			if r != '\n' && !unicode.IsPrint(r) {
				t.Fatalf("the text has %U", r)
			}
		}
	}
	d.Request.Path += "\U000e0001 yes"
	var asJSON, asYAML bytes.Buffer
	if err := errors.Join(JSON(&asJSON, d), YAML(&asYAML, d)); err != nil {
		t.Fatal(err)
	}
	var fromYAML, fromJSON diagnose.Diagnosis
	if err := errors.Join(json.Unmarshal(asJSON.Bytes(), &fromJSON), yaml.Unmarshal(asYAML.Bytes(), &fromYAML)); err != nil {
		t.Fatal(err)
	}
	if want := strings.ToValidUTF8(d.Request.Path, "\ufffd"); fromJSON.Request.Path != want || fromYAML.Request.Path != want {
		t.Errorf("JSON has %q, YAML %q, want %q", fromJSON.Request.Path, fromYAML.Request.Path, want)
	}
	for _, r := range asJSON.String() + asYAML.String() {
		if r != '\n' && !unicode.IsPrint(r) {
			t.Fatalf("the JSON or YAML has %U", r)
		}
	}
}

// fill puts the hostile text into every string.
func fill(v reflect.Value) {
	switch v.Kind() {
	case reflect.String:
		if v.Type() == reflect.TypeFor[string]() {
			v.SetString(hostile)
		}
	case reflect.Struct:
		for i := range v.NumField() {
			fill(v.Field(i))
		}
	case reflect.Slice:
		for i := range v.Len() {
			fill(v.Index(i))
		}
	case reflect.Pointer:
		if !v.IsNil() {
			fill(v.Elem())
		}
	default:
	}
}

func TestJSONAndYAMLAreTheSameValue(t *testing.T) {
	for name, d := range screens() {
		t.Run(name, func(t *testing.T) {
			var asJSON, asYAML bytes.Buffer
			if err := errors.Join(JSON(&asJSON, d), YAML(&asYAML, d)); err != nil {
				t.Fatal(err)
			}
			var fromJSON, fromYAML map[string]any
			if err := errors.Join(json.Unmarshal(asJSON.Bytes(), &fromJSON), yaml.Unmarshal(asYAML.Bytes(), &fromYAML)); err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(fromJSON, fromYAML) {
				t.Errorf("JSON %v\nYAML %v", fromJSON, fromYAML)
			}
			for _, list := range []string{"trace", "findings", "fixes", "assumed", "gaps"} {
				if _, ok := fromJSON[list].([]any); !ok {
					t.Errorf("%s is no list", list)
				}
			}
		})
	}
}

func TestLongTextIsCut(t *testing.T) {
	d := screens()["rejected"]
	d.Request.Path = "/" + strings.Repeat("x", 5000)
	if got := text(t, d, false); len(got) > 2000 || !strings.Contains(got, "…") {
		t.Errorf("the screen has %d bytes", len(got))
	}
}

func TestSpansAreInTheUnitThatAPersonWouldChoose(t *testing.T) {
	for seconds, want := range map[uint64]string{
		0: "0 seconds", 1: "1 second", 119: "119 seconds", 120: "2 minutes", 7200: "2 hours",
		3 * 86400: "3 days", 99 * 365 * 86400: "99 years", 1<<64 - 1: "584942417355 years",
	} {
		if got := diagnose.Span(seconds); got != want {
			t.Errorf("%d: got %q, want %q", seconds, got, want)
		}
	}
}

func TestAWriterThatFailsIsAnError(t *testing.T) {
	d := screens()["grpc"]
	for name, err := range map[string]error{
		"text": Text(broken{}, d, NewStyle(false)), "json": JSON(broken{}, d), "yaml": YAML(broken{}, d),
	} {
		if !errors.Is(err, os.ErrClosed) {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

type broken struct{}

func (broken) Write([]byte) (int, error) { return 0, os.ErrClosed }

func TestTextThatYAMLCouldTakeForSomethingElseIsQuoted(t *testing.T) {
	d := screens()["grpc"]
	for _, text := range []string{"yes", "No", "on", "null", "~", "1e3", "0x1F", "2026-03-11", "1:30", "a: b", "- a", "# a", "a #b", " a ", "", "'", "*a", "&a", "!a", "%a", "@a", "?", "=", "<<"} {
		d.Request.Path = text
		var out bytes.Buffer
		if err := YAML(&out, d); err != nil {
			t.Fatal(err)
		}
		var got map[string]any
		if err := yaml.Unmarshal(out.Bytes(), &got); err != nil {
			t.Fatal(err)
		}
		if path := got["request"].(map[string]any)["path"]; path != text {
			t.Errorf("%q reads back as %#v", text, path)
		}
	}
}
