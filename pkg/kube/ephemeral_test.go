package kube

import (
	"strings"
	"testing"
)

func TestAnEphemeralContainerRunsOrSaysWhyNot(t *testing.T) {
	e := Ephemeral{Name: "probe", Image: "example.com/curl"}
	for _, c := range []struct {
		name, state string
		running     bool
		problem     string
	}{
		{"running", `{"running":{}}`, true, ""},
		{"being pulled", `{"waiting":{"reason":"ContainerCreating"}}`, false, ""},
		{"no such image", `{"waiting":{"reason":"ImagePullBackOff"}}`, false, `the image "example.com/curl" cannot be pulled`},
		{"no sleep in the image", `{"terminated":{"exitCode":127,"message":"sleep: not found"}}`, false, "ended at once, with exit code 127: sleep: not found"},
	} {
		running, err := ephemeralState([]byte(`{"status":{"ephemeralContainerStatuses":[{"name":"another","state":{"running":{}}},{"name":"probe","state":`+c.state+`}]}}`), e)
		if running != c.running || (err != nil) != (c.problem != "") || err != nil && !strings.Contains(err.Error(), c.problem) {
			t.Errorf("%s: %v, %v", c.name, running, err)
		}
	}
	if running, err := ephemeralState([]byte(`{"status":{"ephemeralContainerStatuses":[{"name":"another","state":{"running":{}}}]}}`), e); running || err != nil {
		t.Errorf("another container: %v, %v", running, err)
	}
	if _, err := ephemeralState([]byte(`<html>`), e); err == nil {
		t.Error("what is no pod is one")
	}
}
