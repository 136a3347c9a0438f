package kube

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
)

// ProxyAnswer is what came back through the API server's proxy of a Service: the
// server's answer, or where it has none the API server's own.
type ProxyAnswer struct {
	Status                int
	ContentType, Location string
	Body                  []byte
	// Whole is false where the body goes on.
	Whole bool
	// Path is the path of the proxy on the API server, which redirects come back with.
	Path string
}

// ServiceProxy asks a port of a Service for a path, raw and with its query, through the
// API server: without a token, and without following redirects, which would take the
// credentials of the cluster along. Of the body, most bytes are read. With TLS the API
// server looks at no certificate. host is the Host header, which the API server hands
// on; empty: its own. An error says that the API server itself did not answer.
func (c *Cluster) ServiceProxy(ctx context.Context, namespace, service string, port int, tls bool, host, path string, most int64) (*ProxyAnswer, error) {
	name := service + ":" + strconv.Itoa(port)
	if tls {
		name = "https:" + name
	}
	base := c.base.JoinPath("api", "v1", "namespaces", namespace, "services", name, "proxy")
	u, err := url.Parse(base.String() + "/" + strings.TrimPrefix(path, "/"))
	if err != nil {
		return nil, fmt.Errorf("ask Service %s/%s: %w", namespace, service, err)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return nil, fmt.Errorf("ask Service %s/%s: %w", namespace, service, err)
	}
	req.Host = host
	req.Header.Set("Accept", "application/json")
	req.Header.Set("Accept-Encoding", "identity")
	client := *c.client
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	resp, err := client.Do(req)
	if err != nil {
		return nil, interrupted(ctx, fmt.Errorf("ask Service %s/%s: %s", namespace, service, reasonOf(err)))
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(resp.Body, most+1))
	if err != nil {
		return nil, interrupted(ctx, fmt.Errorf("ask Service %s/%s: the answer breaks off", namespace, service))
	}
	out := &ProxyAnswer{
		Status: resp.StatusCode, ContentType: resp.Header.Get("Content-Type"), Location: resp.Header.Get("Location"),
		Body: body, Whole: int64(len(body)) <= most, Path: "/" + strings.TrimPrefix(base.Path, "/"),
	}
	if !out.Whole {
		out.Body = body[:most]
	}
	return out, nil
}
