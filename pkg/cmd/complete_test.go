package cmd

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/asmjwt/kubectl-asmjwt/internal/testkit/apiserver"
)

// completions asks as a shell does.
func completions(t *testing.T, env map[string]string, words ...string) []string {
	t.Helper()
	code, stdout, stderr := captured(t, "", env, append([]string{"__complete"}, words...)...)
	if code != 0 {
		t.Fatalf("%v: exit code %d: %s", words, code, stderr)
	}
	var out []string
	for _, line := range strings.Split(strings.TrimSpace(stdout), "\n") {
		if word, _, _ := strings.Cut(line, "\t"); !strings.HasPrefix(word, ":") && word != "" {
			out = append(out, word)
		}
	}
	return out
}

func TestWordsCompleteFromFiles(t *testing.T) {
	const mesh = "../../examples/bookinfo"
	for _, c := range []struct {
		words []string
		want  string
	}{
		{[]string{"w"}, "why"},
		{[]string{"why", "dep"}, "deploy/"},
		{[]string{"why", "-f", mesh, "-n", "istio-system", "deploy/"}, "deploy/istio-ingressgateway"},
		{[]string{"why", "-f", mesh, "-n", "nowhere", "deploy/"}, ""},
		{[]string{"why", "-f", mesh, "--from", "deploy/p"}, "deploy/productpage-v1"},
		{[]string{"why", "-f", mesh, "-n", "istio"}, "istio-system"},
		{[]string{"why", "--output", "j"}, "json"},
		{[]string{"why", "-f", "no-such-folder", "deploy/"}, ""},
		{[]string{"scaffold", "--require", ""}, "all none"},
		{[]string{"completion", "k"}, "kubectl"},
		{[]string{"explain", "AJ03"}, "AJ0303"},
		{[]string{"why", "-f", mesh, "-n", "istio-system", "deploy/istio-ingressgateway", "--port", ""}, "8080"},
		{[]string{"why", "-f", mesh, "svc/productpage", "--port", ""}, "9080"},
		{[]string{"why", "-f", mesh, "svc/no-such-service", "--port", ""}, ""},
		{[]string{"why", "-f", mesh, "--port", ""}, ""},
		{[]string{"why", "-f", mesh, "widget/x", "--port", ""}, ""},
		{[]string{"why", "-f", mesh, "--via", "svc/p"}, "svc/productpage"},
		{[]string{"why", "-f", mesh, "-n", "istio-system", "--from-namespace", "default", "--from", "deploy/p"}, "deploy/productpage-v1"},
		{[]string{"why", "--expect", "4"}, "400 401 403 431"},
		{[]string{"why", "--method", "P"}, "POST PUT PATCH"},
		{[]string{"why", "--evidence", ""}, "objects proxy both"},
		{[]string{"why", "--jwt-in", ""}, "header: param: cookie:"},
		{[]string{"why", "--jwt-env", "HO"}, "HOME"},
		{[]string{"why", "--path", ""}, ""},
		{[]string{"scaffold", "-f", mesh, "--gateway", ""}, "istio-ingressgateway"},
		{[]string{"scaffold", "-f", mesh, "--target-ref", "G"}, "Gateway/ Service/"},
		{[]string{"scaffold", "-f", mesh, "--target-ref", "Service/"}, "Service/productpage"},
		{[]string{"probe", "--from", "lo"}, "local"},
		{[]string{"probe", "--from", "dep"}, "deploy/"},
		{[]string{"probe", "--to-gateway", "gat"}, "gateway/"},
		{[]string{"probe", "-o", "ju"}, "junit"},
	} {
		got := completions(t, map[string]string{"HOME": t.TempDir()}, c.words...)
		if c.want == "" && len(got) > 0 || !strings.Contains(" "+strings.Join(got, " ")+" ", " "+c.want+" ") && c.want != "" {
			t.Errorf("%v: got %v, want %s", c.words, got, c.want)
		}
	}
}

func TestContextsCompleteFromTheKubeconfig(t *testing.T) {
	file := filepath.Join(t.TempDir(), "config")
	text := "apiVersion: v1\nkind: Config\ncontexts:\n- {name: prod, context: {cluster: a, user: a}}\n- {name: dev, context: {cluster: a, user: a}}\nclusters: [{name: a}]\nusers: [{name: b}]\n"
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ flag, want string }{{"--context", "dev prod"}, {"--mesh-context", "dev prod"}, {"--cluster", "a"}, {"--user", "b"}} {
		if got := strings.Join(completions(t, nil, "why", "--kubeconfig", file, c.flag, ""), " "); got != c.want {
			t.Errorf("%s: got %s", c.flag, got)
		}
	}
	if got := completions(t, nil, "why", "--kubeconfig", "no-such-file", "--context", ""); len(got) > 0 {
		t.Errorf("without a kubeconfig: got %v", got)
	}
}

func TestWordsCompleteFromTheCluster(t *testing.T) {
	s, kubeconfig := live(t, liveMesh)
	for _, c := range []struct {
		words []string
		want  string
	}{
		{[]string{"why", "-n", "foo", "deploy/"}, "deploy/httpbin"},
		{[]string{"why", "-n", "foo", "pod/"}, "pod/httpbin-1-a pod/sleep"},
		{[]string{"why", "-n", "foo", "--from", "pod/s"}, "pod/httpbin-1-a pod/sleep"},
		{[]string{"why", "-n", ""}, "foo istio-system"},
		{[]string{"why", "-n", "foo", "svc/httpbin", "--port", ""}, "8000"},
		{[]string{"why", "-n", "foo", "deploy/httpbin", "--port", ""}, "8080"},
	} {
		words := slices.Insert(slices.Clone(c.words), 1, kubeconfig)
		if got := strings.Join(completions(t, nil, words...), " "); got != c.want {
			t.Errorf("%v: got %s, want %s", c.words, got, c.want)
		}
	}
	for _, fault := range []apiserver.Fault{apiserver.Forbidden, apiserver.Hang, apiserver.Garbage, apiserver.Internal} {
		s.Fail("pods in foo", fault)
		if got := completions(t, nil, "why", kubeconfig, "-n", "foo", "pod/"); len(got) > 0 {
			t.Errorf("fault %d: got %v", fault, got)
		}
	}
}

// What is asked of a server is gone with the word: a user who types on does not wait.
func TestASourceThatKnowsNoDeadlineIsGivenUp(t *testing.T) {
	cmd := &cobra.Command{}
	cmd.SetContext(t.Context())
	cmd.Flags().StringArray("filename", []string{"../../examples/bookinfo"}, "")
	never := make(chan struct{})
	defer close(never)
	got := completer{&app{}}.search(cmd, "default", func(context.Context, source) []string {
		<-never
		return []string{"late"}
	})
	if got != nil {
		t.Errorf("got %v", got)
	}
}

func TestPortsAndContainersAreReadFromEveryKindOfTarget(t *testing.T) {
	const pod = `{"containers":[{"name":"app","ports":[{"containerPort":80},{"name":"web","containerPort":81},{"containerPort":80}]}],"initContainers":[{"name":"istio-proxy"}]}`
	for _, c := range []struct{ name, object, ports, containers string }{
		{"Service", `{"spec":{"ports":[{"name":"http","port":8000}]}}`, "8000\thttp", ""},
		{"Gateway", `{"spec":{"listeners":[{"name":"web","port":443}]}}`, "443\tweb", ""},
		{"Pod", `{"spec":` + pod + `}`, "80 81\tweb", "app istio-proxy"},
		{"Deployment", `{"spec":{"template":{"spec":` + pod + `}}}`, "80 81\tweb", "app istio-proxy"},
		{"CronJob", `{"spec":{"jobTemplate":{"spec":{"template":{"spec":` + pod + `}}}}}`, "80 81\tweb", "app istio-proxy"},
		{"nothing", ``, "", ""},
		{"something else", `{"spec":"text"}`, "", ""},
	} {
		if ports, containers := strings.Join(portsOf([]byte(c.object)), " "), strings.Join(containersOf([]byte(c.object)), " "); ports != c.ports || containers != c.containers {
			t.Errorf("%s: ports %q, containers %q", c.name, ports, containers)
		}
	}
}

// A command that is new has its flags completed too: with what is known of them, by the
// shell where they take a file, else with nothing.
func TestEveryFlagSaysWhatCompletesIt(t *testing.T) {
	root := Command("kubectl asmjwt")
	var byShell []string
	flags := 0
	var walk func(cmd *cobra.Command, of *pflag.FlagSet)
	walk = func(cmd *cobra.Command, of *pflag.FlagSet) {
		of.VisitAll(func(f *pflag.Flag) {
			flags++
			_, done := cmd.GetFlagCompletionFunc(f.Name)
			switch {
			case f.NoOptDefVal != "" || f.Name == "help":
			case !done && !takesFile(f):
				t.Errorf("%s --%s has no completion", cmd.Name(), f.Name)
			case !done:
				byShell = append(byShell, f.Name)
			}
		})
		for _, c := range cmd.Commands() {
			walk(c, c.LocalNonPersistentFlags())
		}
	}
	walk(root, root.PersistentFlags())
	for _, want := range []string{"filename", "jwt-file", "kubeconfig", "mesh-kubeconfig", "what-if", "dump", "jwks-file", "config"} {
		if !slices.Contains(byShell, want) {
			t.Errorf("--%s takes a file, and the shell is not let", want)
		}
	}
	if flags < 60 {
		t.Errorf("only %d flags were looked at", flags)
	}
}

func TestWithoutAccessNothingIsOfferedAndNothingIsSaid(t *testing.T) {
	file := filepath.Join(t.TempDir(), "config")
	text := "apiVersion: v1\nkind: Config\ncurrent-context: c\ncontexts: [{name: c, context: {cluster: a, user: a}}]\nclusters: [{name: a, cluster: {server: 'http://127.0.0.1:1'}}]\nusers: [{name: a, user: {}}]\n"
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, words := range [][]string{{"why", "--kubeconfig", file, "deploy/"}, {"why", "--kubeconfig", file, "-n", ""}, {"why", "--kubeconfig", "no-such-file", "pod/"}} {
		code, stdout, stderr := captured(t, "", nil, append([]string{"__complete"}, words...)...)
		if code != 0 || strings.TrimSpace(stdout) != ":4" || strings.Contains(stderr, "error") {
			t.Errorf("%v: exit code %d, %q, %q", words, code, stdout, stderr)
		}
	}
}

func TestFlagsAreDescribedWithoutTheQuotesOfTheirValues(t *testing.T) {
	for _, words := range [][]string{{"why", "--"}, {"scaffold", "--"}, {"probe", "--"}, {"jwks", "--"}} {
		code, stdout, _ := captured(t, "", nil, append([]string{"__complete"}, words...)...)
		if code != 0 || strings.Count(stdout, "\n") < 20 || strings.Contains(stdout, "`") {
			t.Errorf("%v: exit code %d\n%s", words, code, stdout)
		}
	}
}

func TestScriptsForShellsArePrinted(t *testing.T) {
	for shell, want := range map[string]string{
		"bash": "__start_kubectl-asmjwt", "zsh": "#compdef kubectl-asmjwt", "fish": "complete -c kubectl-asmjwt", "powershell": "Register-ArgumentCompleter",
		"kubectl": "kubectl asmjwt __complete",
	} {
		code, stdout, _ := captured(t, "", nil, "completion", shell)
		if code != 0 || !strings.Contains(stdout, want) {
			t.Errorf("%s: exit code %d\n%.200s", shell, code, stdout)
		}
		committed, err := os.ReadFile(filepath.Join("../../completions", completionFiles[shell]))
		if err != nil || string(committed) != stdout {
			t.Errorf("completions/%s is out of date: run make generate (%v)", completionFiles[shell], err)
		}
	}
	if code, _, stderr := captured(t, "", nil, "completion", "tcsh"); code != 2 || !strings.Contains(stderr, "hint: choose one of bash") {
		t.Errorf("exit code %d, %s", code, stderr)
	}
}

func TestBashCompletesWithTheScript(t *testing.T) {
	bash, err := exec.LookPath("bash")
	if err != nil {
		t.Skip("there is no bash")
	}
	program := buildProgram(t)
	script := `source ../../completions/kubectl-asmjwt.bash
_get_comp_words_by_ref() { cur=${COMP_WORDS[COMP_CWORD]}; prev=${COMP_WORDS[COMP_CWORD-1]}; words=("${COMP_WORDS[@]}"); cword=$COMP_CWORD; }
__ltrim_colon_completions() { :; }
compopt() { :; }
COMP_WORDS=(kubectl-asmjwt why -f ../../examples/bookinfo -n istio-system deploy/istio)
COMP_CWORD=6 COMP_LINE="${COMP_WORDS[*]}" COMP_POINT=${#COMP_LINE} COMP_TYPE=9
__start_kubectl-asmjwt
printf '%s\n' "${COMPREPLY[@]}"`
	cmd := exec.Command(bash, "--norc", "-c", script)
	cmd.Env = append(os.Environ(), "PATH="+filepath.Dir(program)+":"+os.Getenv("PATH"), "HOME="+t.TempDir())
	out, err := cmd.CombinedOutput()
	if err != nil || strings.TrimSpace(string(out)) != "deploy/istio-ingressgateway" {
		t.Errorf("got %s, %v", out, err)
	}
}

// buildProgram builds the program under its own name.
func buildProgram(t *testing.T) string {
	t.Helper()
	program := filepath.Join(t.TempDir(), "kubectl-asmjwt")
	if out, err := exec.Command("go", "build", "-o", program, "../../cmd/kubectl-asmjwt").CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	return program
}
