package cmd

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/asmjwt/kubectl-asmjwt/pkg/diagnose"
	"github.com/asmjwt/kubectl-asmjwt/pkg/kube"
	"github.com/asmjwt/kubectl-asmjwt/pkg/mesh"
	"github.com/asmjwt/kubectl-asmjwt/pkg/proxy"
)

// The kinds of --logs.
const (
	logsLast = "last"
	logsEach = "each"
)

// What is read of the logs, at most.
const (
	logLines = 10_000
	logBytes = 16 << 20
	logPods  = 10
	// mostAnswers is how many different lines are answered.
	mostAnswers = 20
)

// podLine is a line with the pod of which it is.
type podLine struct {
	namespace, pod string
	line           *proxy.LogLine
}

func (p podLine) from() string { return "the log of pod " + p.namespace + "/" + p.pod }

// podLog is what came of one pod's log.
type podLog struct {
	namespace, pod string
	text           []byte
	err            error
}

// aboutLogs are the questions about the denied lines in the logs of the target's proxies;
// or the answer where they may not be read.
func (o *whyOptions) aboutLogs(ctx context.Context, in diagnose.Intent, snapshot *mesh.Snapshot, data *kube.Cluster) ([]aboutLine, *diagnose.Diagnosis, error) {
	workloads, err := snapshot.Resolve(in.Target, in.Namespace)
	if err != nil {
		return nil, nil, nil //nolint:nilerr // the same error, or why it is one, comes where the target is judged
	}
	logs := readLogs(ctx, data, workloads, kube.LogOptions{Since: o.flags.since, Lines: logLines, Bytes: logBytes})
	if err := ctx.Err(); err != nil {
		return nil, nil, fmt.Errorf("read the logs: %w", err)
	}
	if len(logs) == 0 {
		return nil, nil, &unavailableError{problem: fmt.Sprintf("%s in namespace %s has no pod with a proxy, so no log", in.Target, in.Namespace), hint: "give a line of an older log with --from-log"}
	}
	read, denied, gap := o.sift(logs)
	if read == 0 && gap != nil {
		return nil, diagnose.RunUnlogged(in, snapshot, workloads[0], *gap), nil
	}
	if gap != nil {
		o.app.note(fmt.Sprintf("%s: %s; the others were read", gap.What, gap.Why))
	}
	chosen := distinct(denied)
	if o.flags.logs.value == logsLast {
		chosen = chosen[:min(1, len(chosen))]
	}
	if len(chosen) == 0 {
		return nil, nil, o.noDenial(logs)
	}
	if len(chosen) > mostAnswers {
		o.app.note(fmt.Sprintf("%d different denials were found; the last %d are answered", len(chosen), mostAnswers))
		chosen = chosen[:mostAnswers]
	}
	var out []aboutLine
	for _, l := range chosen {
		out = append(out, o.about(in, l.line, l.from()))
	}
	return out, nil, nil
}

// readLogs reads the logs of the first pods, all at once.
func readLogs(ctx context.Context, data *kube.Cluster, workloads []mesh.Workload, bounds kube.LogOptions) []podLog {
	var logs []podLog
	for _, w := range workloads {
		for _, pod := range w.Pods {
			if w.HasSidecar() && len(logs) < logPods {
				logs = append(logs, podLog{namespace: w.Namespace, pod: pod})
			}
		}
	}
	var wait sync.WaitGroup
	for i := range logs {
		wait.Go(func() {
			logs[i].text, logs[i].err = data.PodLog(ctx, logs[i].namespace, logs[i].pod, mesh.ProxyContainerName, bounds)
		})
	}
	wait.Wait()
	return logs
}

// sift finds the lines of requests that were refused and are like the one that is asked
// about, and says how many logs were read, and why one was not.
func (o *whyOptions) sift(logs []podLog) (read int, denied []podLine, gap *diagnose.Gap) {
	for _, l := range logs {
		if l.err != nil {
			gap = logGap(l)
			continue
		}
		read++
		for text := range strings.Lines(string(l.text)) {
			line, err := proxy.ParseLogLine(text)
			if err == nil && line.Denies() && o.isLike(line) {
				denied = append(denied, podLine{l.namespace, l.pod, line})
			}
		}
	}
	return read, denied, gap
}

func logGap(l podLog) *diagnose.Gap {
	gap := &diagnose.Gap{What: "the log of pod " + l.namespace + "/" + l.pod, Why: l.err.Error()}
	var refused *kube.RefusedError
	if errors.As(l.err, &refused) {
		gap.Why, gap.Permission = "forbidden", refused.Permission
	}
	return gap
}

// isLike reports whether a line fits what flags say of the request. The debug line of a
// filter says nothing of it, and fits where nothing is asked for.
func (o *whyOptions) isLike(l *proxy.LogLine) bool {
	in := o.intent
	url := o.given("url") || o.given("curl")
	plain := func(path string) string { p, _, _ := strings.Cut(path, "?"); return p }
	switch {
	case (o.given("method") || o.given("curl")) && l.Method != in.Method:
		return false
	case (o.given("path") || url) && l.Path != in.Path && (strings.Contains(in.Path, "?") || plain(l.Path) != in.Path):
		return false
	case (o.given("host") || url) && !strings.EqualFold(bareHost(l.Host), bareHost(in.Host)):
		return false
	}
	return true
}

func bareHost(host string) string {
	if i := strings.LastIndexByte(host, ':'); i >= 0 && !strings.HasSuffix(host, "]") {
		host = host[:i]
	}
	return host
}

// distinct are the lines that differ in what they say, the last one of each and the
// latest first. What a filter has written at debug level is the access log's line once
// more, and counts only where there is no such line.
func distinct(lines []podLine) []podLine {
	if slices.ContainsFunc(lines, func(l podLine) bool { return l.line.Method != "" }) {
		lines = slices.DeleteFunc(lines, func(l podLine) bool { return l.line.Method == "" })
	}
	slices.Reverse(lines) // those of one time as they stand in the log
	slices.SortStableFunc(lines, func(a, b podLine) int { return b.line.Time.Compare(a.line.Time) })
	seen := map[string]bool{}
	var out []podLine
	for _, l := range lines {
		path, _, _ := strings.Cut(l.line.Path, "?")
		key := strings.Join([]string{l.line.Method, path, l.line.Host, fmt.Sprint(l.line.Status), cmp.Or(l.line.Details, l.line.Termination)}, "\x00")
		if !seen[key] {
			seen[key] = true
			out = append(out, l)
		}
	}
	return out
}

// noDenial says that no line was found, and what may be behind it.
func (o *whyOptions) noDenial(logs []podLog) error {
	lines := 0
	access := false
	for _, l := range logs {
		for text := range strings.Lines(string(l.text)) {
			lines++
			parsed, err := proxy.ParseLogLine(text)
			access = access || err == nil && parsed.Method != ""
		}
	}
	err := &unavailableError{problem: fmt.Sprintf("no request that was refused is among the %d lines of the logs of %s, the last %s", lines, pods(len(logs)), o.flags.since)}
	switch {
	case !access:
		err.hint = "the proxies write no access log: set meshConfig.accessLogFile to /dev/stdout, or a Telemetry with accessLogging"
	case o.given("method") || o.given("path") || o.given("host") || o.given("url") || o.given("curl"):
		err.hint = "look further back with --since, or for any request: leave the flags about the request out"
	default:
		err.hint = "look further back with --since, or send the request again"
	}
	return err
}

func pods(n int) string {
	if n == 1 {
		return "1 pod"
	}
	return fmt.Sprintf("%d pods", n)
}

// defaultSince is how far back logs are read.
const defaultSince = time.Hour
