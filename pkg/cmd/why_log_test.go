package cmd

import (
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/asmjwt/kubectl-asmjwt/internal/testkit/apiserver"
	"github.com/asmjwt/kubectl-asmjwt/pkg/envoy"
	"github.com/asmjwt/kubectl-asmjwt/pkg/proxy"
)

const loggedLine = `[2026-03-11T09:12:03.415Z] "POST /a?b=c HTTP/2" 403 - rbac_access_denied_matched_policy[ns[foo]-policy[p]-rule[0]] - "-" 0 19 0 - "-" "ua/1" "id" "h:8000" "-" inbound|8080|| - 10.0.0.1:8080 10.0.0.2:51234 outbound_.8000_._.httpbin.foo.svc.cluster.local default`

// asked is the question about a line, with the flags that are given.
func asked(t *testing.T, line string, args ...string) aboutLine {
	t.Helper()
	o, err := complete(t, append(args, "--from-log", line)...)
	if err != nil {
		t.Fatal(err)
	}
	if err := o.readLine(); err != nil {
		t.Fatal(err)
	}
	return *o.line
}

func TestALineOfALogTellsTheRequest(t *testing.T) {
	q := asked(t, "httpbin-1 istio-proxy noise\n"+loggedLine+"\n")
	in := q.intent
	if in.Method != "POST" || in.Path != "/a?b=c" || in.Host != "h:8000" || in.Protocol != envoy.HTTP2 || in.Port.Number != 8080 {
		t.Errorf("got %+v", in)
	}
	if at := time.Unix(in.Time, 0).UTC().Format(time.RFC3339); at != "2026-03-11T09:12:03Z" || in.Clock != "the log" {
		t.Errorf("got the time %s by %s", at, in.Clock)
	}
	client := netip.MustParseAddr("10.0.0.2")
	if who := in.Caller; who.RemoteIP != client || who.IP != client || !who.SNIGiven || !strings.HasPrefix(who.SNI, "outbound_") {
		t.Errorf("got %+v", who)
	}
	if len(in.Headers) != 1 || in.Headers[0] != (envoy.Header{Name: "user-agent", Value: "ua/1"}) {
		t.Errorf("got headers %v", in.Headers)
	}
	if u := in.Unseen; u == nil || u.Headers == nil || u.Method != nil || u.Path != nil {
		t.Errorf("got unseen %+v", u)
	}
	if q.line.Rule.Name != "p" || q.line.Status != 403 || q.observed.Status != 403 || q.observed.Request.Path != "/a?b=c" {
		t.Errorf("got %+v, %+v", q.line, q.observed)
	}
}

func TestFlagsWinOverALine(t *testing.T) {
	in := asked(t, loggedLine, "--method", "GET", "--path", "/x", "--host", "other", "--port", "9", "--from-ip", "10.0.0.9", "-H", "User-Agent: mine", "--at", "2026-01-01T00:00:00Z").intent
	if in.Method != "GET" || in.Path != "/x" || in.Host != "other" || in.Port.Number != 9 || in.Caller.IP != netip.MustParseAddr("10.0.0.9") || len(in.Headers) != 1 || in.Headers[0].Value != "mine" || in.Clock == "the log" {
		t.Errorf("got %+v", in)
	}
}

func TestWhatALineDoesNotTellIsNotGuessed(t *testing.T) {
	const debug = "2026-03-11T09:12:03.4Z\tdebug\tenvoy rbac rbac_filter.cc:1\tenforced denied, matched policy ns[foo]-policy[p]-rule[0]\tthread=1"
	if u := asked(t, debug).intent.Unseen; u.Method == nil || u.Path == nil || u.Headers == nil {
		t.Errorf("got unseen %+v", u)
	}
	if u := asked(t, debug, "--path", "/x").intent.Unseen; u.Method == nil || u.Path != nil {
		t.Errorf("with a path: got unseen %+v", u)
	}
	forwarded := strings.Replace(loggedLine, `- "-" "ua/1"`, `- "1.2.3.4,10.9.9.9" "ua/1"`, 1)
	if who := asked(t, forwarded).intent.Caller; who.IP.IsValid() || who.Forwarded != "1.2.3.4,10.9.9.9" || !who.RemoteIP.IsValid() {
		t.Errorf("behind another proxy: got %+v", who)
	}
}

func TestADenialWithStatus200IsOneOfGRPC(t *testing.T) {
	q := asked(t, strings.Replace(loggedLine, " 403 ", " 200 ", 1))
	if q.observed.GRPCStatus == nil || *q.observed.GRPCStatus != 7 || !q.line.GRPC || q.intent.Headers[1].Value != "application/grpc" {
		t.Errorf("got %+v", q)
	}
}

func TestQuestionsAboutLogsThatMakeNoSenseAreUsageErrors(t *testing.T) {
	for _, tt := range []struct {
		args []string
		want string
	}{
		{[]string{"--from-log", "x", "--logs"}, "--from-log and --logs together"},
		{[]string{"--logs"}, "--logs reads a pod's log, and no cluster is asked"},
		{[]string{"--since", "1m"}, "--since says how much of a log is read, and none is"},
		{[]string{"--from-log", "x", "--since", "1m"}, "--since with one line of a log"},
		{[]string{"--from-log", "x", "--observed", "403"}, "--from-log and --observed together"},
		{[]string{"--from-log", "x", "--via", "deploy/gw"}, "--from-log and --via together: a line is of one proxy"},
		{[]string{"--from-log", "-", "--jwt-file", "-"}, "standard input can be read once only"},
	} {
		_, err := complete(t, tt.args...)
		wantUsage(t, err, tt.want)
	}
	code, _, stderr := captured(t, "no log", nil, "why", "deploy/httpbin", "-f", "x", "--from-log", "-")
	if code != exitUsage || !strings.Contains(stderr, "not a line of a proxy's access log") || !strings.Contains(stderr, "\nhint: ") {
		t.Errorf("exit %d\n%s", code, stderr)
	}
}

// podLines makes lines of pod a, in the order of a log.
func podLines(t *testing.T, lines ...string) []podLine {
	t.Helper()
	out := make([]podLine, 0, len(lines))
	for _, text := range lines {
		l, err := proxy.ParseLogLine(text)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, podLine{"foo", "a", l})
	}
	return out
}

func TestTheLastOfEachDifferentLineIsAnswered(t *testing.T) {
	at := func(second, path string) string {
		return strings.NewReplacer("09:12:03", "09:12:"+second, "/a?b=c", path).Replace(loggedLine)
	}
	const debug = "2026-03-11T09:59:03.4Z\tdebug\tenvoy rbac rbac_filter.cc:1\tenforced denied, matched policy ns[foo]-policy[p]-rule[0]\tthread=1"
	got := distinct(podLines(t, at("01", "/a?x"), at("05", "/b"), debug, at("03", "/a?y"), at("02", "/a?z")))
	var paths []string
	for _, l := range got {
		paths = append(paths, l.line.Path)
	}
	if strings.Join(paths, " ") != "/b /a?y" {
		t.Errorf("got %q", paths)
	}
	if got := distinct(podLines(t, debug, debug)); len(got) != 1 {
		t.Errorf("%d of two debug lines", len(got))
	}
}

func TestOnlyRefusedRequestsThatAreLikeTheOneAskedForCount(t *testing.T) {
	log := strings.Join([]string{
		loggedLine,
		strings.Replace(loggedLine, "POST /a?b=c", "GET /other", 1),
		strings.Replace(loggedLine, " 403 - rbac_access_denied_matched_policy[ns[foo]-policy[p]-rule[0]]", " 200 - via_upstream", 1),
		strings.Replace(loggedLine, " 403 - rbac_access_denied_matched_policy[ns[foo]-policy[p]-rule[0]]", " 403 - via_upstream", 1),
		strings.NewReplacer(" 403 - rbac_access_denied_matched_policy[ns[foo]-policy[p]-rule[0]] -", " 403 -", `"-" inbound|8080||`, `"10.0.0.9:8080" outbound|8000||h`).Replace(loggedLine),
		"2026-03-11T09:12:03.4Z\tdebug\tenvoy rbac rbac_filter.cc:1\tshadow denied, matched policy ns[foo]-policy[p]-rule[0]\tthread=1",
		"something else",
	}, "\n")
	for _, tt := range []struct {
		args []string
		want int
	}{
		{nil, 2},
		{[]string{"--method", "POST"}, 1},
		{[]string{"--path", "/a"}, 1},
		{[]string{"--path", "/a?b=c"}, 1},
		{[]string{"--path", "/a?b=d"}, 0},
		{[]string{"--host", "H"}, 2},
		{[]string{"--url", "http://h:8000/other"}, 1},
		{[]string{"--url", "http://other/other"}, 0},
	} {
		o, err := complete(t, tt.args...)
		if err != nil {
			t.Fatal(err)
		}
		read, denied, gap := o.sift([]podLog{{namespace: "foo", pod: "a", text: []byte(log)}})
		if read != 1 || len(denied) != tt.want || gap != nil {
			t.Errorf("%v: %d lines, want %d", tt.args, len(denied), tt.want)
		}
	}
}

func TestALineDoesNotShowATokenThatIsInItsPath(t *testing.T) {
	const secret = "eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJpZHAifQ.Y2FuYXJ5LXNpZ25hdHVyZS1vZi10aGUtdXNlcg"
	file := filepath.Join(t.TempDir(), "mesh.yaml")
	if err := os.WriteFile(file, []byte(liveMesh), 0o600); err != nil {
		t.Fatal(err)
	}
	line := strings.Replace(loggedLine, "/a?b=c", "/x?access_token="+secret, 1)
	for _, form := range []string{"text", "wide", "json"} {
		_, stdout, stderr := captured(t, line, nil, "why", "deploy/httpbin", "-n", "foo", "-f", file, "--from-log", "-", "-o", form)
		if !strings.Contains(stdout, "/x?access_token=") {
			t.Fatalf("%s %s", stdout, stderr)
		}
		silent(t, secret, stdout, stderr)
	}
}

func TestALogOfATargetThatCannotBeFoundIsNoCrash(t *testing.T) {
	s, config := live(t, liveMesh)
	s.Fail("deployments.apps/httpbin in foo", apiserver.Forbidden)
	code, d, stderr := ask(t, "deploy/httpbin", config, "--logs")
	if code != exitUnknown || len(d.DependsOn) == 0 || d.DependsOn[0].Hint != "ask for: get deployments.apps/httpbin in foo" {
		t.Errorf("without the right: exit %d, %v\n%s", code, d.DependsOn, stderr)
	}
	s.Heal()
	if code, _, stderr := ask(t, "deploy/other", config, "--logs"); code != exitUsage || !strings.Contains(stderr, "no such Deployment") {
		t.Errorf("not there: exit %d\n%s", code, stderr)
	}
	// What this server gives for a log is none of a proxy.
	if code, _, stderr := ask(t, "deploy/httpbin", config, "--logs"); code != exitUnknown || !strings.Contains(stderr, "hint: the proxies write no access log") {
		t.Errorf("no access log: exit %d\n%s", code, stderr)
	}
}
