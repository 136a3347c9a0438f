package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/asmjwt/kubectl-asmjwt/pkg/diag"
	"github.com/asmjwt/kubectl-asmjwt/pkg/probe"
	"github.com/asmjwt/kubectl-asmjwt/test/e2e/harness"
)

// skewed is a library that sets the wall clock of a program two hours ahead: all Pods of
// the rig share the machine's.
const skewed = `
#define _GNU_SOURCE
#include <dlfcn.h>
#include <sys/time.h>
#include <time.h>

int clock_gettime(clockid_t id, struct timespec *ts) {
	int (*real)(clockid_t, struct timespec *) = dlsym(RTLD_NEXT, "clock_gettime");
	int r = real(id, ts);
	if (id == CLOCK_REALTIME) ts->tv_sec += 7200;
	return r;
}

int gettimeofday(struct timeval *restrict tv, void *restrict tz) {
	struct timespec ts;
	int r = clock_gettime(CLOCK_REALTIME, &ts);
	tv->tv_sec = ts.tv_sec;
	tv->tv_usec = ts.tv_nsec / 1000;
	return r;
}

time_t time(time_t *t) {
	struct timespec ts;
	clock_gettime(CLOCK_REALTIME, &ts);
	if (t) *t = ts.tv_sec;
	return ts.tv_sec;
}
`

// The 49th: the clock of the proxy is ahead, so that it refuses a token that is good for
// another hour.
func TestProbe_AClockThatIsAheadIsFoundAndMended(t *testing.T) {
	cc, err := exec.LookPath("cc")
	if err != nil {
		t.Skip("there is no C compiler to make a skewed clock with")
	}
	library := filepath.Join(t.TempDir(), "skew.so")
	source := filepath.Join(t.TempDir(), "skew.c")
	if err := os.WriteFile(source, []byte(skewed), 0o644); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.CommandContext(t.Context(), cc, "-shared", "-fPIC", "-o", library, source, "-ldl").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	late := rig.Httpbin("foo")
	late.Name = "late"
	yaml, err := rig.YAML(late)
	if err != nil {
		t.Fatal(err)
	}
	const first = "- {name: POD_NAME,"
	rule := requestAuthentication("foo", "late", inlineKeys()) + strings.ReplaceAll(policy("late", anyPrincipal), "app: httpbin", "app: late")
	apply(t, strings.Replace(yaml, first, "- {name: LD_PRELOAD, value: "+library+"}\n        "+first, 1)+"---\n"+rule)
	if err := rig.Rollout(t.Context(), "foo", "late"); err != nil {
		t.Fatal(err)
	}
	hour := token(harness.DemoKey(), fmt.Sprintf(`,"exp":%d`, time.Now().Unix()+3600))
	args := []string{"--from", "deploy/sleep", "-n", "foo", "http://late:8000/headers", "--jwt-file", tokenFile(t, hour)}
	var r probe.Report
	var code int
	if err := harness.Eventually(t.Context(), soon, func() error {
		if r, code = probed(t, args...); code != 1 || r.Rows[1].Outcome != probe.Differs || len(r.Rows[1].Reasons) == 0 {
			return fmt.Errorf("exit code %d:\n%s", code, told(r))
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	ahead := r.Clock.AheadSeconds
	if r.Findings[0].Code != diag.ClockDiffers || ahead < 7200-2 || ahead > 7200+2 || r.Rows[1].Observed.Body != "Jwt is expired" || !r.Rows[1].Reasons[0].Fits {
		t.Errorf("clock %+v:\n%s", r.Clock, told(r))
	}
	try := r.Rows[1].Reasons[0].Try
	if !strings.HasPrefix(try, "let NTP set the one that is wrong: kubectl get pods -n foo late-") {
		t.Errorf("what to do is said so: %q", try)
	}
	_, names, _ := strings.Cut(try, ": ")
	names, rest, _ := strings.Cut(names, " names the node; until then --at ")
	if out := run(t, harness.Command{Args: []string{"sh", "-c", names}}); out.Code != 0 || !strings.Contains(out.Stdout, "NODE") {
		t.Errorf("%s: exit code %d: %s%s", names, out.Code, out.Stdout, out.Stderr)
	}
	if at, _, _ := strings.Cut(rest, " "); at == "" {
		t.Errorf("it does not say how to predict for that clock: %q", try)
	} else if r, code = probed(t, append(args, "--at", at)...); code != 0 || r.Rows[1].Predicted.Status != 401 {
		t.Errorf("--at %s: exit code %d\n%s", at, code, told(r))
	}
	// Asked for the pod's time, why and the mesh say the same.
	at := time.Now().Add(2 * time.Hour).UTC().Format(time.RFC3339)
	if r, code = probed(t, append(args, "--at", at)...); code != 0 || r.Rows[1].Predicted.Status != 401 {
		t.Errorf("--at %s: exit code %d\n%s", at, code, told(r))
	}
	// What is said: NTP would set it so.
	if err := rig.Apply(t.Context(), yaml); err != nil {
		t.Fatal(err)
	}
	if err := rig.Rollout(t.Context(), "foo", "late"); err != nil {
		t.Fatal(err)
	}
	if err := harness.Eventually(t.Context(), soon, func() error {
		if r, code = probed(t, append(args, "--expect", "given=200")...); code != 0 {
			return fmt.Errorf("exit code %d:\n%s", code, told(r))
		}
		return nil
	}); err != nil {
		t.Error(err)
	}
}
