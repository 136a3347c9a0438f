package kube

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

// LogOptions bound what is read of a container's log.
type LogOptions struct {
	// Since is how far back; 0: from the beginning.
	Since time.Duration
	// Lines and Bytes are the most that is read, counted from the end and from there on.
	Lines, Bytes int
}

// PodLog reads the end of a container's log. A right that is lacking is a *RefusedError.
func (c *Cluster) PodLog(ctx context.Context, namespace, pod, container string, o LogOptions) ([]byte, error) {
	query := url.Values{"container": {container}, "tailLines": {strconv.Itoa(o.Lines)}, "limitBytes": {strconv.Itoa(o.Bytes)}}
	if o.Since > 0 {
		query.Set("sinceSeconds", strconv.Itoa(int((o.Since+time.Second-1)/time.Second)))
	}
	data, _, err := c.get(ctx, []string{"api", "v1", "namespaces", namespace, "pods", pod, "log"}, query, "*/*")
	switch {
	case err == nil:
		return data, nil
	case ctx.Err() != nil:
		return nil, fmt.Errorf("read the log of pod %s/%s: %w", namespace, pod, ctx.Err())
	case isStatus(err, http.StatusForbidden):
		return nil, &RefusedError{Permission: "get pods/log in " + namespace, Err: err}
	case isStatus(err, http.StatusNotFound):
		return nil, &UnavailableError{Problem: fmt.Sprintf("pod %s/%s is gone", namespace, pod), Hint: "run it again: another pod may have taken its place", Err: err}
	}
	return nil, &UnavailableError{Problem: fmt.Sprintf("the log of pod %s/%s cannot be read: %s", namespace, pod, whyFailed(err)), Hint: "kubectl logs shows why", Err: err}
}
