package cmd

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/asmjwt/kubectl-asmjwt/pkg/keycheck"
	"github.com/asmjwt/kubectl-asmjwt/pkg/probe/wire"
)

// The clients of containers, as far as they are there.
func TestAPodWithoutCurlIsAskedWithItsWget(t *testing.T) {
	const missing = `exec: "curl": executable file not found in $PATH`
	request := wire.Request{Address: "idp.foo:80", Target: "/keys", MaxTime: time.Second}
	curl := func(config string) string {
		_, after, _ := strings.Cut(config, `write-out = "\n`)
		mark, _, _ := strings.Cut(after, " ")
		head := "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n\r\n"
		return fmt.Sprintf("%s{}\n%s code=200 head=%d body=2 version=1.1 ip=10.0.0.1 time=0.1 exit=0 err=\n", head, mark, len(head))
	}
	type answer struct {
		code           int
		stdout, stderr string
		err            error
	}
	for name, c := range map[string]struct {
		clients map[string]func(stdin string) answer
		body    string
		says    string
	}{
		"curl": {map[string]func(string) answer{"curl": func(in string) answer { return answer{stdout: curl(in)} }}, "{}", ""},
		"no curl, by the runtime's words": {map[string]func(string) answer{
			"curl": func(string) answer { return answer{err: errors.New(missing)} },
			"wget": func(string) answer { return answer{stdout: "GNU Wget 1.21"} },
			"timeout": func(string) answer {
				return answer{stdout: "{}", stderr: "  HTTP/1.1 200 OK\n  Content-Type: application/json\n"}
			},
		}, "{}", ""},
		"no curl, by the exit code": {map[string]func(string) answer{
			"curl":    func(string) answer { return answer{code: 127} },
			"wget":    func(string) answer { return answer{stderr: "BusyBox v1.36"} },
			"timeout": func(string) answer { return answer{stdout: "{}", stderr: "  HTTP/1.1 200 OK\n"} },
		}, "{}", ""},
		"neither": {map[string]func(string) answer{
			"curl": func(string) answer { return answer{code: 127} },
			"wget": func(string) answer { return answer{code: 127} },
		}, "", "neither curl nor wget"},
		"a wget that nobody knows": {map[string]func(string) answer{
			"curl": func(string) answer { return answer{code: 127} },
			"wget": func(string) answer { return answer{stdout: "mine"} },
		}, "", "a wget that is not known"},
		"no right": {map[string]func(string) answer{
			"curl": func(string) answer { return answer{err: errors.New("forbidden: create pods/exec in foo")} },
		}, "", "create pods/exec"},
		"a curl that says nothing": {map[string]func(string) answer{
			"curl": func(string) answer { return answer{code: 2} },
		}, "", "exit code 2"},
	} {
		t.Run(name, func(t *testing.T) {
			reply, err := askInPod(func(argv []string, stdin string) (int, string, string, error) {
				f := c.clients[argv[0]]
				if f == nil {
					t.Fatalf("it runs %v", argv)
				}
				a := f(stdin)
				return a.code, a.stdout, a.stderr, a.err
			}, request)
			if c.says != "" {
				if err == nil || !strings.Contains(err.Error(), c.says) {
					t.Errorf("got %v, %v", reply, err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if f := keycheck.FromReply(keycheck.Fetch{}, *reply); f.Kind != keycheck.Fetched || string(f.Body) != c.body {
				t.Errorf("got %+v", f)
			}
		})
	}
}
