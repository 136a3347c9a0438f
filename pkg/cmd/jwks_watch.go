package cmd

import (
	"context"
	"strings"
	"time"

	"github.com/asmjwt/kubectl-asmjwt/pkg/keycheck"
)

// unseenHint is the right that is lacking, or another place to look from.
func unseenHint(r *keycheck.Report) string {
	for _, g := range r.Gaps {
		if strings.Contains(g.Permission, "services/proxy") {
			return "ask for: " + g.Permission + "; or fetch in a pod: --from TYPE/NAME"
		}
	}
	return "fetch in a pod: --from TYPE/NAME"
}

// watchPause is how long --watch waits between two looks.
const watchPause = 2 * time.Second

// watch looks until every proxy has the keys that are at the URI. What it sees on the way
// goes to standard error, a line for each change.
func (o *jwksOptions) watch(ctx context.Context) error {
	limited, cancel := context.WithTimeout(ctx, o.flags.timeout)
	defer cancel()
	said := ""
	var r *keycheck.Report
	for {
		next, err := o.look(limited, o.app.clusters.names()[0])
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case err != nil && (r == nil || limited.Err() == nil):
			return err
		case err == nil:
			r = next
		}
		if len(r.Rules) == 0 {
			o.app.code = exitCodeOfKeys(r)
			return o.print(r) // there is nothing to wait for
		}
		if r.Settled() {
			o.app.code = exitYes
			return o.print(r)
		}
		if uri := r.Unseen(); uri != "" {
			return &unavailableError{problem: "what is at " + uri + " cannot be seen from here, so that there is nothing to compare with", hint: unseenHint(r)}
		}
		if now := r.Progress(); now != said {
			o.app.note(now)
			said = now
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-limited.Done():
			if ctx.Err() != nil {
				return ctx.Err()
			}
			o.app.code = exitCodeOfKeys(r)
			if o.app.code == exitYes {
				o.app.code = exitNo // what it waited for did not come
			}
			o.app.note("not within " + o.flags.timeout.String())
			return o.print(r)
		case <-time.After(watchPause):
		}
	}
}
