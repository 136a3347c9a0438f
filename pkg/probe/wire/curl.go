package wire

import (
	"fmt"
	"strconv"
	"strings"
)

// CurlArgv starts curl: -q, which has to come first, keeps it from reading a
// configuration of the container's, and everything else comes on standard input.
func CurlArgv() []string { return []string{"curl", "-q", "--config", "-"} }

// marked is what curl writes behind each answer, on a line of its own. A variable that
// an old curl does not know is empty (exitcode and errormsg came with 7.75).
const marked = ` code=%{http_code} head=%{size_header} body=%{size_download} version=%{http_version} ip=%{remote_ip} time=%{time_total} exit=%{exitcode} err=%{errormsg}`

// CurlConfig is what curl reads on its standard input to send the requests in turn. mark
// is a word that no answer can have in it, such as 16 random bytes in hex: a line that
// begins with it ends each answer. curl stops at the first request without an answer, so
// that it does not outlive for long whoever has stopped reading (curl
// src/tool_operate.c:run_all_transfers). Errors are *UnsendableError.
func CurlConfig(requests []Request, mark string) (string, error) {
	var out strings.Builder
	for i, r := range requests {
		if err := r.check("curl"); err != nil {
			return "", err
		}
		if i > 0 {
			out.WriteString("next\n")
		}
		c := curlConfig{&out}
		c.request(r)
		c.set("write-out", `\n`+mark+strings.ReplaceAll(marked, `"`, `\"`)+`\n`)
	}
	return out.String(), nil
}

// curlConfig writes a configuration of curl. In quotes a backslash begins an escape
// (curl src/tool_parsecfg.c:unslashquote).
type curlConfig struct{ out *strings.Builder }

var curlQuote = strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\t", `\t`)

func (c curlConfig) on(name string) { fmt.Fprintf(c.out, "%s\n", name) }

// set writes an option whose value is quoted already.
func (c curlConfig) set(name, quoted string) { fmt.Fprintf(c.out, "%s = \"%s\"\n", name, quoted) }

func (c curlConfig) value(name, value string) { c.set(name, curlQuote.Replace(value)) }

func (c curlConfig) request(r Request) {
	for _, name := range []string{"silent", "show-error", "fail-early", "include", "globoff", "no-buffer"} {
		c.on(name)
	}
	c.value("noproxy", "*") // the request is for the mesh, whatever the environment says
	c.value("url", r.scheme()+"://"+r.Address+"/")
	c.value("request-target", r.target())
	c.value("max-time", seconds(r))
	switch r.method() {
	case "GET":
	case "HEAD":
		c.on("head")
	default:
		c.value("request", r.method())
	}
	switch {
	case r.HTTP2 && !r.TLS:
		c.on("http2-prior-knowledge")
	case r.HTTP2:
		c.on("http2")
	default:
		c.on("http1.1")
	}
	if r.ConnectTo != "" {
		c.value("connect-to", "::"+r.ConnectTo)
	}
	if r.Insecure {
		c.on("insecure")
	}
	if r.Pin != "" {
		c.value("pinnedpubkey", "sha256//"+r.Pin)
	}
	if r.Host != "" && r.Host != r.authority() {
		c.value("header", "Host: "+r.Host)
	}
	if !r.HTTP2 && !r.has("Connection") {
		// Each on a connection of its own: a proxy may close one after a refusal, and what
		// is sent on it next would seem to be refused so. No proxy's policy sees the header
		// (Envoy source/common/http/conn_manager_utility.cc:mutateRequestHeaders).
		c.value("header", "Connection: close")
	}
	for _, name := range []string{"User-Agent", "Accept"} {
		if !r.has(name) {
			c.value("header", name+":") // which takes curl's own off
		}
	}
	for _, h := range r.Headers {
		if strings.Trim(h.Value, " \t") == "" {
			c.value("header", h.Name+";") // which sends it without a value
			continue
		}
		c.value("header", h.Name+": "+h.Value)
	}
}

// seconds is the time of a request as clients take it: 0.5, 10.
func seconds(r Request) string {
	return strconv.FormatFloat(r.MaxTime.Seconds(), 'f', -1, 64)
}
