package kube

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// urlTimeout is how long a page may take in all.
const urlTimeout = 30 * time.Second

func isURL(name string) bool {
	return strings.HasPrefix(name, "http://") || strings.HasPrefix(name, "https://")
}

// showName is a name as it may be printed: of a URL only what cannot be a secret.
func showName(name string) string {
	switch {
	case name == "-":
		return stdinName
	case !isURL(name):
		return name
	}
	u, err := url.Parse(name)
	if err != nil {
		return "a URL"
	}
	return u.Scheme + "://" + u.Host + u.EscapedPath()
}

// url reads a page.
func (r *reader) url(name string) error {
	shown := showName(name)
	req, err := http.NewRequestWithContext(r.ctx, http.MethodGet, name, nil)
	if err != nil || req.URL.Host == "" {
		return &InputError{File: shown, Problem: "is no valid URL", Hint: "write it as https://host/path"}
	}
	client := &http.Client{Timeout: urlTimeout}
	defer client.CloseIdleConnections()
	resp, err := client.Do(req)
	if err != nil {
		return &InputError{
			File: shown, Problem: "cannot be fetched: " + withoutURL(err), Err: r.ctx.Err(),
			Hint: "fetch it with curl and give the file",
		}
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusOK {
		return &InputError{
			File: shown, Problem: fmt.Sprintf("cannot be fetched: the server answers %d %s", resp.StatusCode, http.StatusText(resp.StatusCode)),
			Hint: "open it in a browser, or fetch it with curl and give the file",
		}
	}
	data, err := readAll(shown, resp.Body)
	if err != nil {
		return err
	}
	if bytes.HasPrefix(bytes.TrimSpace(data), []byte("<")) {
		return &InputError{
			File: shown, Problem: "is an HTML page, not a manifest",
			Hint: "give the address of the raw file (on GitHub, the button Raw leads there)",
		}
	}
	return r.parse(shown, data)
}

// withoutURL is the error of a client without the URL, which may hold a secret.
func withoutURL(err error) string {
	var wrapped *url.Error
	if errors.As(err, &wrapped) {
		err = wrapped.Err
	}
	return strings.Join(strings.Fields(err.Error()), " ")
}
