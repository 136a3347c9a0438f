package kube

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
)

// statusError is an answer of an API server that is no success.
type statusError struct {
	code   int
	reason string // the server's word for it, such as Expired
	// message is the server's too. It may repeat what was sent, so that only those show
	// it who sent nothing secret.
	message string
}

// Error renders "the server answers 403 Forbidden".
func (e *statusError) Error() string {
	return fmt.Sprintf("the server answers %d %s", e.code, http.StatusText(e.code))
}

func isStatus(err error, code int) bool {
	var s *statusError
	return errors.As(err, &s) && s.code == code
}

// get asks for a path below the server's address. It asks once: what fails is told,
// and who called decides what that means. An answer that is no success is a *statusError.
// The body is never logged.
func (c *Cluster) get(ctx context.Context, path []string, query url.Values, accept string) ([]byte, http.Header, error) {
	return c.send(ctx, http.MethodGet, path, query, http.Header{"Accept": {accept}}, nil)
}

func (c *Cluster) send(ctx context.Context, method string, path []string, query url.Values, headers http.Header, body io.Reader) ([]byte, http.Header, error) {
	u := c.base.JoinPath(path...)
	u.RawQuery = query.Encode()
	req, err := http.NewRequestWithContext(ctx, method, u.String(), body)
	if err != nil {
		return nil, nil, err
	}
	req.Header = headers
	resp, err := c.client.Do(req)
	if err != nil {
		return nil, nil, interrupted(ctx, err)
	}
	defer func() { _ = resp.Body.Close() }()
	data, err := io.ReadAll(io.LimitReader(resp.Body, maxSize+1))
	switch {
	case resp.StatusCode >= http.StatusMultipleChoices:
		return nil, resp.Header, newStatusError(resp.StatusCode, data)
	case err != nil:
		return nil, resp.Header, interrupted(ctx, fmt.Errorf("the answer breaks off: %w", err))
	case len(data) > maxSize:
		return nil, resp.Header, fmt.Errorf("the answer is larger than %d MiB", maxSize>>20)
	}
	return data, resp.Header, nil
}

// interrupted is the context's own error where that is why a request failed.
func interrupted(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return err
}

func newStatusError(code int, body []byte) *statusError {
	var status struct {
		Reason  string `json:"reason"`
		Message string `json:"message"`
	}
	e := &statusError{code: code}
	if json.Unmarshal(body, &status) == nil && len(status.Reason) < 64 {
		e.reason, e.message = status.Reason, status.Message[:min(len(status.Message), 1000)]
	}
	return e
}

// pageSize is how many objects one answer may hold. It is large: an answer is kept as
// bytes, and each page is one more trip, behind the one before.
const pageSize = 10_000

// list reads all pages of a list, each as the bytes of a List. Where the server has
// forgotten the list between two pages, it starts again. What was read before a page
// failed is returned together with the error.
func (c *Cluster) list(ctx context.Context, path []string, query url.Values) ([][]byte, error) {
	const attempts = 3
	for attempt := 1; ; attempt++ {
		pages, err := c.pages(ctx, path, query)
		if len(pages) > 0 && attempt < attempts && isStatus(err, http.StatusGone) {
			continue
		}
		return pages, err
	}
}

func (c *Cluster) pages(ctx context.Context, path []string, query url.Values) ([][]byte, error) {
	q := url.Values{"limit": {strconv.Itoa(pageSize)}}
	for k, v := range query {
		q[k] = v
	}
	var pages [][]byte
	for {
		data, _, err := c.get(ctx, path, q, "application/json")
		if err != nil {
			return pages, err
		}
		next, err := continueToken(data)
		if err != nil {
			return pages, err
		}
		pages = append(pages, data)
		if next == "" {
			return pages, nil
		}
		q.Set("continue", next)
	}
}

// continueToken is where the next page begins; empty on the last one. The server writes
// the metadata of a list before its items.
func continueToken(data []byte) (string, error) {
	dec := json.NewDecoder(bytes.NewReader(data))
	if open, err := dec.Token(); err != nil || open != json.Delim('{') {
		return "", errors.New("the answer is no list")
	}
	for dec.More() {
		key, err := dec.Token()
		if err != nil {
			return "", fmt.Errorf("the answer is no list: %w", err)
		}
		switch key {
		case "metadata":
			var meta struct {
				Continue string `json:"continue"`
			}
			if err := dec.Decode(&meta); err != nil {
				return "", fmt.Errorf("the answer is no list: %w", err)
			}
			return meta.Continue, nil
		default:
			var skipped json.RawMessage
			if err := dec.Decode(&skipped); err != nil {
				return "", fmt.Errorf("the answer is no list: %w", err)
			}
		}
	}
	return "", nil
}
