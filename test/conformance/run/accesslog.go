package run

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"time"
)

// logKey finds the access log's line of an exchange.
type logKey struct{ listener, peer string }

// logLine is what an Envoy says of an exchange.
type logLine struct {
	Listener    string `json:"listener"`
	Peer        string `json:"peer"`
	Details     string `json:"details"`
	Termination string `json:"termination"`
	Upstream    string `json:"upstream"`
}

// text gives the response code's details, or why the connection ended.
func (l logLine) text() string {
	for _, s := range []string{l.Details, l.Termination} {
		if s != "" && s != "-" {
			return s
		}
	}
	return ""
}

// How long an access log is waited for: lines that must come, and those of
// connections that ended without an answer, which only some of them have.
const (
	logPatience    = 15 * time.Second
	closedPatience = 250 * time.Millisecond
)

// readLog waits for the lines of all that must be there, and a little for the rest.
func readLog(ctx context.Context, path string, must, may []logKey) (map[logKey]logLine, error) {
	deadline := time.Now().Add(logPatience)
	var later time.Time
	for {
		lines, err := parseLog(path)
		if err != nil {
			return nil, err
		}
		lacking := count(lines, must)
		switch {
		case lacking == 0 && count(lines, may) == 0:
			return lines, nil
		case lacking == 0 && later.IsZero():
			later = time.Now().Add(closedPatience)
		case lacking == 0 && time.Now().After(later):
			return lines, nil
		case lacking > 0 && time.Now().After(deadline):
			return nil, fmt.Errorf("%d of %d exchanges have no line in the access log", lacking, len(must))
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// count says for how many of the keys there is no line.
func count(lines map[logKey]logLine, keys []logKey) int {
	n := 0
	for _, k := range keys {
		if _, ok := lines[k]; !ok {
			n++
		}
	}
	return n
}

// parseLog reads the lines that are whole; a connection with several has its last.
func parseLog(path string) (map[logKey]logLine, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	out := map[logKey]logLine{}
	for len(data) > 0 {
		end := bytes.IndexByte(data, '\n')
		if end < 0 {
			break
		}
		var l logLine
		if err := json.Unmarshal(data[:end], &l); err != nil {
			return nil, fmt.Errorf("access log: %w", err)
		}
		data = data[end+1:]
		out[logKey{l.Listener, l.Peer}] = l
	}
	return out, nil
}
