package cmd

import (
	"encoding/json"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	"sigs.k8s.io/yaml"

	"github.com/asmjwt/kubectl-asmjwt/pkg/diagnose"
	"github.com/asmjwt/kubectl-asmjwt/pkg/envoy"
	"github.com/asmjwt/kubectl-asmjwt/pkg/mesh"
	"github.com/asmjwt/kubectl-asmjwt/pkg/render"
)

// complete runs Complete and Validate on a command line that begins with
// "why deploy/httpbin -f x".
func complete(t *testing.T, args ...string) (*whyOptions, error) {
	t.Helper()
	a := &app{
		Process: Process{Name: "kubectl-asmjwt", In: strings.NewReader(""), Out: io.Discard, Err: io.Discard, Now: func() time.Time {
			t.Error("the clock is read before Run")
			return time.Time{}
		}},
		secrets: &secrets{},
	}
	config := genericclioptions.NewConfigFlags(false)
	o := &whyOptions{app: a, config: config}
	cmd := o.command()
	config.BearerToken = nil
	config.AddFlags(cmd.PersistentFlags())
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		o.given = cmd.Flags().Changed
		if err := o.Complete(args); err != nil {
			return err
		}
		return o.Validate()
	}
	cmd.SilenceErrors, cmd.SilenceUsage = true, true
	cmd.SetArgs(append([]string{"deploy/httpbin", "-f", "x"}, args...))
	return o, cmd.ExecuteContext(t.Context())
}

func TestFlagsMakeTheQuestion(t *testing.T) {
	base := diagnose.Intent{
		Target: mesh.Target{Type: mesh.TypeDeployment, Name: "httpbin"}, Namespace: "default", Method: "GET", Path: "/",
	}
	tests := []struct {
		name   string
		args   []string
		change func(*diagnose.Intent)
	}{
		{"the namespace is default", nil, func(*diagnose.Intent) {}},
		{"the namespace is given", []string{"-n", "foo"}, func(in *diagnose.Intent) { in.Namespace = "foo" }},
		{"a port is a number", []string{"--port", "8080"}, func(in *diagnose.Intent) { in.Port.Number = 8080 }},
		{"a port is a name", []string{"--port", "http"}, func(in *diagnose.Intent) { in.Port.Name = "http" }},
		{"the port of a URL is no port of the workload", []string{"--url", "http://h:8000/"},
			func(in *diagnose.Intent) { in.Host = "h:8000" }},
		{"https is TLS", []string{"--url", "https://h/"}, func(in *diagnose.Intent) { in.Host, in.Caller.TLS = "h", true }},
		{"from a workload of the same namespace", []string{"-n", "foo", "--from", "deploy/sleep"}, func(in *diagnose.Intent) {
			in.Namespace, in.Caller.FromNamespace = "foo", "foo"
			in.Caller.From = mesh.Target{Type: mesh.TypeDeployment, Name: "sleep"}
		}},
		{"from a workload of another namespace", []string{"--from", "pod/sleep-1", "--from-namespace", "bar"}, func(in *diagnose.Intent) {
			in.Caller.FromNamespace, in.Caller.From = "bar", mesh.Target{Type: mesh.TypePod, Name: "sleep-1"}
		}},
		{"an identity with its scheme", []string{"--from-principal", "spiffe://td/ns/a/sa/b"},
			func(in *diagnose.Intent) { in.Caller.Principal = "td/ns/a/sa/b" }},
		{"addresses", []string{"--from-ip", "10.0.0.1", "--remote-ip", "::ffff:192.0.2.1"}, func(in *diagnose.Intent) {
			in.Caller.IP, in.Caller.RemoteIP = netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("192.0.2.1")
		}},
		{"plaintext", []string{"--plaintext"}, func(in *diagnose.Intent) { in.Caller.Plaintext = true }},
		{"an empty server name is a server name", []string{"--sni", ""}, func(in *diagnose.Intent) { in.Caller.SNIGiven = true }},
		{"a server name", []string{"--sni", "h"}, func(in *diagnose.Intent) { in.Caller.SNI, in.Caller.SNIGiven = "h", true }},
		{"the proxy's version", []string{"--proxy-version", "1.24.6-aliyun"}, func(in *diagnose.Intent) { in.ProxyVersion = "1.24.6-aliyun" }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			o, err := complete(t, tt.args...)
			if err != nil {
				t.Fatal(err)
			}
			want := base
			tt.change(&want)
			if !reflect.DeepEqual(o.intent, want) {
				t.Errorf("got  %+v\nwant %+v", o.intent, want)
			}
		})
	}
}

func TestThePortOfAURLIsThatOfTheService(t *testing.T) {
	o := &whyOptions{given: func(string) bool { return false }}
	o.intent.Target = mesh.Target{Type: mesh.TypeService, Name: "httpbin"}
	if got, err := o.port("8000"); err != nil || got.Number != 8000 {
		t.Errorf("got %+v, %v", got, err)
	}
}

func TestFlagsThatContradictEachOtherAreUsageErrorsWithAHint(t *testing.T) {
	tests := []struct {
		args []string
		want string
	}{
		{[]string{"--from-namespace", "x"}, "--from-namespace without --from"},
		{[]string{"--plaintext", "--from-principal", "x"}, "--plaintext and --from-principal together"},
		{[]string{"--plaintext", "--sni", "x"}, "--plaintext and --sni together"},
		{[]string{"--plaintext", "--url", "https://h/"}, "--plaintext and an https URL together"},
		{[]string{"--from-ip", "localhost"}, "--from-ip is not an IP address"},
		{[]string{"--remote-ip", "fe80::1%eth0"}, "--remote-ip is not an IP address"},
		{[]string{"--from-principal", "spiffe://"}, "--from-principal is not an identity"},
		{[]string{"--port", "0"}, "--port is out of range"},
		{[]string{"--port", ""}, "--port is empty"},
		{[]string{"--jwks", "a=1", "--jwks", "a=2"}, `--jwks has two files for "a"`},
		{[]string{"--jwks", "a="}, "--jwks needs URI=FILE or ISSUER=FILE"},
		{[]string{"--istiod-version", "v1"}, "--istiod-version is not a version of Istio"},
		{[]string{"--expect", "grpc:5"}, "invalid value for --expect"},
	}
	for _, tt := range tests {
		t.Run(strings.Join(tt.args, " "), func(t *testing.T) {
			_, err := complete(t, tt.args...)
			wantUsage(t, err, tt.want)
		})
	}
}

func TestKeyFilesAreSplitAtTheLastEqualsSign(t *testing.T) {
	got, err := parseKeyFiles([]string{"https://h/keys?a=b=keys.json", "issuer=x.json"})
	want := []keyFile{{"https://h/keys?a=b", "keys.json"}, {"issuer", "x.json"}}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, %v", got, err)
	}
}

func TestTheTimeIsGivenOrNow(t *testing.T) {
	reads := 0
	now := func() time.Time { reads++; return time.Unix(42, 0) }
	if at, err := (&whyFlags{}).time(now); at != 42 || err != nil || reads != 1 {
		t.Errorf("now: got %d, %v, clock read %d times", at, err, reads)
	}
	at, err := (&whyFlags{at: "2026-03-11T01:00:00+01:00"}).time(now)
	if at != 1773187200 || err != nil || reads != 1 {
		t.Errorf("given: got %d, %v, clock read %d times", at, err, reads)
	}
}

func TestTheExitCodeFollowsFromTheVerdictAlone(t *testing.T) {
	grpc := func(n int) *int { return &n }
	verdict := func(d envoy.Decision, status int, code *int) diagnose.Verdict {
		return diagnose.Verdict{Decision: d, Status: status, GRPCStatus: code}
	}
	allowed := verdict(envoy.Allowed, 200, nil)
	denied := verdict(envoy.Denied, 403, nil)
	closed := verdict(envoy.Denied, 0, nil)
	grpcDenied := verdict(envoy.Denied, 200, grpc(7))
	unknown := verdict(envoy.Undetermined, 0, nil)
	tests := []struct {
		name    string
		verdict diagnose.Verdict
		expect  string
		want    int
	}{
		{"allowed", allowed, "", 0},
		{"denied", denied, "", 1},
		{"closed", closed, "", 1},
		{"gRPC denied", grpcDenied, "", 1},
		{"undetermined", unknown, "", 3},
		{"allowed as expected", allowed, "200", 0},
		{"denied as expected", denied, "403", 0},
		{"denied otherwise", denied, "401", 1},
		{"allowed, expected to be denied", allowed, "403", 1},
		{"closed as expected", closed, "closed", 0},
		{"denied, expected to be closed", denied, "closed", 1},
		{"undetermined is not closed", unknown, "closed", 3},
		{"gRPC as expected", grpcDenied, "grpc:7", 0},
		{"gRPC otherwise", grpcDenied, "grpc:16", 1},
		{"a gRPC denial has status 200 and is none", grpcDenied, "200", 1},
		{"undetermined, whatever is expected", unknown, "403", 3},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f := &whyFlags{expect: tt.expect}
			e, err := f.expectation(func(string) bool { return tt.expect != "" })
			if err != nil {
				t.Fatal(err)
			}
			if got := exitCodeFor(tt.verdict, e); got != tt.want {
				t.Errorf("got %d, want %d", got, tt.want)
			}
		})
	}
}

func TestStandardOutputOfEveryMachineFormParses(t *testing.T) {
	file := filepath.Join(t.TempDir(), "mesh.yaml")
	if err := os.WriteFile(file, []byte(canaryMesh), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{
		nil, {"--plaintext"}, {"--from-principal", "cluster.local/ns/a/sa/b"}, {"--path", "/\x7f\"<&>é"}, {"--method", "nope"},
		{"-H", "x-other: \"quotes\"\tand\x01control"}, {"--host", "h", "-H", "content-type: application/grpc", "--plaintext"},
	} {
		for form, parse := range map[string]func([]byte, any) error{
			"json": json.Unmarshal,
			"yaml": func(b []byte, v any) error { return yaml.Unmarshal(b, v) },
		} {
			t.Run(form+" "+strings.Join(args, " "), func(t *testing.T) {
				code, stdout, stderr := captured(t, "", nil, append([]string{"why", "deploy/httpbin", "-n", "foo", "-f", file, "-o", form}, args...)...)
				var d diagnose.Diagnosis
				if err := parse([]byte(stdout), &d); err != nil {
					t.Fatalf("%v (exit code %d, %s)", err, code, stderr)
				}
				if d.APIVersion != "asmjwt.dev/v1alpha1" || d.Kind != "Diagnosis" || stderr != "" {
					t.Errorf("got %q %q, standard error %q", d.APIVersion, d.Kind, stderr)
				}
				if want := exitCodeFor(d.Verdict, nil); code != want {
					t.Errorf("exit code %d, and the verdict says %d", code, want)
				}
			})
		}
	}
}

func TestColoursAreForPeopleWhoHaveNotSaidNo(t *testing.T) {
	tests := []struct {
		name     string
		terminal bool
		noColor  bool
		env      map[string]string
		want     bool
	}{
		{"a terminal", true, false, nil, true},
		{"a pipe", false, false, nil, false},
		{"--no-color", true, true, nil, false},
		{"NO_COLOR", true, false, map[string]string{"NO_COLOR": "1"}, false},
		{"an empty NO_COLOR does not count", true, false, map[string]string{"NO_COLOR": ""}, true},
		{"a dumb terminal", true, false, map[string]string{"TERM": "dumb"}, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			a := &app{Process: Process{OutIsTerminal: tt.terminal, LookupEnv: func(name string) (string, bool) {
				v, ok := tt.env[name]
				return v, ok
			}}}
			var out strings.Builder
			d := &diagnose.Diagnosis{Verdict: diagnose.Verdict{Decision: envoy.Allowed, Status: 200}}
			if err := render.Line(&out, d, a.style(tt.noColor)); err != nil {
				t.Fatal(err)
			}
			if got := strings.Contains(out.String(), "\x1b["); got != tt.want {
				t.Errorf("got %q", out.String())
			}
		})
	}
}
