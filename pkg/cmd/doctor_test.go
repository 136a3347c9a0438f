package cmd

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/asmjwt/kubectl-asmjwt/internal/testkit/apiserver"
	"github.com/asmjwt/kubectl-asmjwt/pkg/doctor"
)

func examine(t *testing.T, args ...string) (int, doctor.Report, string) {
	t.Helper()
	code, stdout, stderr := captured(t, "", map[string]string{"HOME": t.TempDir()}, append([]string{"doctor", "-o", "json"}, args...)...)
	var r doctor.Report
	if stdout != "" {
		if err := json.Unmarshal([]byte(stdout), &r); err != nil {
			t.Fatalf("%v in %s", err, stdout)
		}
	}
	return code, r, stderr
}

func TestDoctorFindsNothingInTheWayOfAnAdministrator(t *testing.T) {
	_, config := live(t, liveMesh)
	code, r, stderr := examine(t, config)
	if code != 0 || len(r.Problems) > 0 || len(r.Planes) != 1 || r.Planes[0].Kubernetes != "v1.37.2" || r.Namespace != "foo" {
		t.Errorf("exit %d, %+v\n%s", code, r, stderr)
	}
	want := doctor.Version{What: "proxies in foo", Version: "1.31.2", From: "images of the containers istio-proxy", Count: 2}
	if !slices.Contains(r.Versions, want) {
		t.Errorf("versions %v", r.Versions)
	}
	code, stdout, _ := captured(t, "", nil, "doctor", config)
	if code != 0 || !strings.HasPrefix(stdout, "ok: everything that a verdict needs can be read in foo\n") {
		t.Errorf("exit %d\n%s", code, stdout)
	}
}

// Each right that doctor says is lacking is one whose lack makes a verdict undetermined,
// and the other way round.
func TestDoctorNamesTheRightThatIsLacking(t *testing.T) {
	s, config := live(t, liveMesh)
	for _, r := range reads {
		if r.permission == "" {
			continue
		}
		what := r.what
		if strings.HasPrefix(what, "deployments") {
			what = "deployments.apps in foo"
		}
		s.Heal()
		s.Fail(what, apiserver.Forbidden)
		_, report, stderr := examine(t, config)
		var lacking []doctor.Right
		for _, right := range report.Rights {
			if right.Allowed == doctor.No {
				lacking = append(lacking, right)
			}
		}
		want := strings.Replace(r.permission, "deployments.apps/httpbin", "deployments.apps", 1)
		if len(lacking) != 1 || lacking[0].What != want {
			t.Errorf("%s: lacking %v, want %s\n%s", what, lacking, want, stderr)
			continue
		}
		if r.matters && lacking[0].Optional {
			t.Errorf("%s is optional, and a verdict hangs on it", want)
		}
		code, _, _ := examine(t, config)
		if wantCode := map[bool]int{true: 0, false: 1}[lacking[0].Optional]; code != wantCode {
			t.Errorf("%s: exit %d, want %d", want, code, wantCode)
		}
	}
}

func TestDoctorSaysWhatItCouldNotFindOut(t *testing.T) {
	s, config := live(t, liveMesh)
	s.Fail("selfsubjectaccessreviews/review", apiserver.Internal)
	code, r, stderr := examine(t, config)
	if code != 3 || len(r.Problems) != 1 || !r.Problems[0].Unsure {
		t.Errorf("exit %d, %v\n%s", code, r.Problems, stderr)
	}
	s.Heal()
	s.Fail("pods in foo", apiserver.Hang)
	if code, r, _ := examine(t, config, "--request-timeout", "500ms"); !slices.ContainsFunc(r.Versions, func(v doctor.Version) bool {
		return v.From == "pods in foo: the server did not answer in time"
	}) {
		t.Errorf("exit %d, %v", code, r.Versions)
	}
	s.Heal()
	s.Fail("namespaces/foo", apiserver.NotFound)
	if code, r, _ := examine(t, config); code != 1 || !strings.Contains(r.Problems[0].Message, `there is no namespace "foo"`) {
		t.Errorf("exit %d, %v", code, r.Problems)
	}
}

func TestDoctorTellsTheTwoPlanesApart(t *testing.T) {
	_, _, config, own := twoPlanes(t)
	code, r, stderr := examine(t, config)
	if code != 1 || !strings.Contains(r.Problems[0].Message, "no API server that was asked serves security.istio.io") || !strings.Contains(r.Problems[0].Hint, "--mesh-kubeconfig") {
		t.Errorf("exit %d, %v\n%s", code, r.Problems, stderr)
	}
	code, r, stderr = examine(t, config, "-m", own)
	if code != 0 || len(r.Planes) != 2 || r.Planes[0].Role != "pods" || r.Planes[1].Role != "mesh" || r.Planes[1].Context != "asm" {
		t.Errorf("exit %d, %+v\n%s", code, r, stderr)
	}
	for _, right := range r.Rights {
		if strings.Contains(right.What, "istio.io") != (right.Plane == "mesh") && !strings.Contains(right.What, "configmaps") && !strings.Contains(right.What, "asmmesh") {
			t.Errorf("%s is asked of the plane %q", right.What, right.Plane)
		}
	}
	code, r, stderr = examine(t, "--kubeconfig", own, "-n", "foo")
	if code != 1 || r.Planes[0].Role != "mesh" || !strings.Contains(r.Problems[0].Message, "is the mesh's own API server") {
		t.Errorf("exit %d, %+v\n%s", code, r, stderr)
	}
}
