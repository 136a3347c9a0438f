package cmd

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/asmjwt/kubectl-asmjwt/internal/testkit/mint"
)

// exampleToken is valid until 2100, and signed with a key whose private half is in
// internal/testkit: the examples' keys and tokens are everybody's.
func exampleToken() string {
	return mint.Token(mint.RSA().WithKid("example"), `{"alg":"RS256","kid":"example","typ":"JWT"}`,
		`{"iss":"testing@example.com","sub":"testing@example.com","iat":1767225600,"exp":4102444800}`)
}

func TestTheExamplesHaveKeysAndATokenOfOurOwn(t *testing.T) {
	t.Chdir("../../examples")
	keys := string(mint.JWKS(mint.RSA().WithKid("example")))
	for _, dir := range []string{"skip-path", "keys-in-cluster", "keys-outside"} {
		same(t, filepath.Join(dir, "keys.json"), keys+"\n")
		same(t, filepath.Join(dir, "token.jwt"), exampleToken()+"\n")
	}
	mesh := filepath.Join("keys-in-cluster", "mesh.yaml")
	text, err := os.ReadFile(mesh)
	if err != nil {
		t.Fatal(err)
	}
	if *update {
		before, after, _ := strings.Cut(string(text), "return 200 '")
		_, after, _ = strings.Cut(after, "';")
		same(t, mesh, before+"return 200 '"+keys+"';"+after)
	} else if !strings.Contains(string(text), "'"+keys+"'") {
		t.Errorf("%s serves other keys", mesh)
	}
}

func TestThePoliciesOfTheExamplesAreWhatTheirCommandsMake(t *testing.T) {
	t.Chdir("../..")
	for _, dir := range []string{"skip-path", "keys-in-cluster", "keys-outside"} {
		readme, err := os.ReadFile(filepath.Join("examples", dir, "README.md"))
		if err != nil {
			t.Fatal(err)
		}
		_, rest, _ := strings.Cut(string(readme), "$ kubectl asmjwt scaffold ")
		line, _, found := strings.Cut(rest, " > policies.yaml\n")
		if !found {
			t.Fatalf("%s: the README runs no scaffold", dir)
		}
		code, stdout, stderr := captured(t, "", nil, append([]string{"scaffold"}, strings.Fields(line)...)...)
		if code != exitYes {
			t.Fatalf("%s: exit code %d: %s", dir, code, stderr)
		}
		same(t, filepath.Join("examples", dir, "policies.yaml"), stdout)
	}
}

// same compares a file with what it should be, or writes it anew.
func same(t *testing.T, file, want string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(file, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if got, err := os.ReadFile(file); err != nil || string(got) != want {
		t.Errorf("%s is not what it should be (run: make generate): %v", file, err)
	}
}

func TestTheScreensOfTheChineseREADMEAreReal(t *testing.T) {
	t.Chdir("../..")
	screensAreReal(t, "README.zh-CN.md", 3)
}

func TestTheScreensOfTheExamplesAreReal(t *testing.T) {
	t.Chdir("../..")
	for _, dir := range []string{"skip-path", "keys-in-cluster", "keys-outside"} {
		screensAreReal(t, filepath.Join("examples", dir, "README.md"), 3)
	}
}
