package curl

import (
	"encoding/base64"
	"path"
	"strconv"
	"strings"

	"github.com/asmjwt/kubectl-asmjwt/pkg/envoy"
)

// UserAgent is the header of a curl of whose version nothing is known.
const UserAgent = "curl/8.5.0"

// request puts together what curl sends (curl lib/http.c:Curl_http).
func (c *config) request() (*Request, error) {
	l, err := c.location()
	if err != nil {
		return nil, err
	}
	if err := c.checkBody(); err != nil {
		return nil, err
	}
	r := &Request{
		Scheme: l.scheme, Hostname: l.host, Port: l.port, PortGiven: l.portGiven, Method: c.methodOf(), Path: l.path,
		BodyUnknown: c.dataUnknown != nil && !c.get || c.uploadSet || c.form,
	}
	if l.hasQuery {
		r.Path += "?" + l.query
	}
	if c.targetSet {
		r.Path = c.target
	}
	if !isToken(r.Method) {
		return nil, refuse("write -X METHOD", "-X is not an HTTP method")
	}
	if strings.ContainsAny(r.Path, " \t\r\n\x00") || r.Path == "" {
		return nil, refuse("write a blank as %20", "what is asked for is empty, or has a blank or a line break in it")
	}
	if r.Protocol, err = c.protocol(l); err != nil {
		return nil, err
	}
	c.host(r, l)
	if err := c.headerLines(r, l); err != nil {
		return nil, err
	}
	return r, nil
}

// location is the one URL of the command, with the query that options add.
func (c *config) location() (*location, error) {
	switch {
	case len(c.urls) == 0:
		return nil, refuse("paste the whole command", "the curl command has no URL")
	case len(c.urls) > 1:
		for _, w := range c.urls {
			if err := w.known("the command"); err != nil {
				return nil, err
			}
		}
		return nil, refuse("ask about one at a time; is a word not in quotes?", "the curl command has %d URLs", len(c.urls))
	}
	if err := c.urls[0].known("the URL"); err != nil {
		return nil, err
	}
	raw := c.urls[0].text()
	if !c.globOff {
		var err error
		if raw, err = unglobbed(raw); err != nil {
			return nil, err
		}
	}
	l, err := c.parseURL(raw)
	if err != nil {
		return nil, err
	}
	if c.uploadSet && (l.path == "/" || strings.HasSuffix(l.path, "/")) {
		if err := c.upload.known("the file of -T"); err != nil {
			return nil, err
		}
		if name := c.upload.text(); name != "-" && name != "." {
			l.path += strings.ReplaceAll(escape(path.Base(strings.ReplaceAll(name, `\`, "/"))), "+", "%20")
		}
	}
	extra := c.queries
	if c.get && c.dataSet {
		if c.dataUnknown != nil {
			return nil, c.dataUnknown
		}
		extra = append(extra[:len(extra):len(extra)], string(c.data))
	}
	for _, q := range extra {
		if strings.ContainsAny(q, " \t\r\n") {
			return nil, refuse("write a blank as %20, or use --data-urlencode", "curl refuses the query: it has a blank or a line break in it")
		}
		if q == "" {
			continue
		}
		if l.query != "" {
			l.query += "&"
		}
		l.query, l.hasQuery = l.query+q, true
	}
	return l, nil
}

// checkBody refuses what curl does: bodies of two kinds, or one with -I.
func (c *config) checkBody() error {
	kinds := 0
	for _, set := range []bool{c.dataSet && !c.get, c.form, c.uploadSet, c.head && !c.get} {
		if set {
			kinds++
		}
	}
	if kinds > 1 {
		return refuse("keep one of them; -X METHOD names the method", "curl refuses it: of -d, -F, -T and -I it takes one")
	}
	return nil
}

func (c *config) methodOf() string {
	switch {
	case c.methodSet:
		return c.method
	case c.head:
		return "HEAD"
	case c.get:
		return "GET"
	case c.uploadSet:
		return "PUT"
	case c.dataSet || c.form:
		return "POST"
	default:
		return "GET"
	}
}

// protocol is the version that curl speaks: over TLS it offers HTTP/2, and every
// proxy of Istio's takes it.
func (c *config) protocol(l *location) (envoy.Protocol, error) {
	switch c.version {
	case http10:
		return 0, refuse("leave it out to ask about HTTP/1.1", "HTTP/1.0 is not modelled: Istio's proxies answer it with 426, unless they are told to take it")
	case http3:
		return 0, refuse("ask with --http2 in its place", "HTTP/3 is not modelled")
	case http2Only:
		return envoy.HTTP2, nil
	case http11:
		return envoy.HTTP11, nil
	case httpAny, http2:
	}
	if l.scheme == "https" {
		return envoy.HTTP2, nil
	}
	// An upgrade to h2c is ignored, and its headers are taken off (Envoy
	// source/common/http/http1/codec_impl.cc:onHeadersCompleteImpl).
	return envoy.HTTP11, nil
}

// host settles the Host header: of several lines the first counts.
func (c *config) host(r *Request, l *location) {
	r.Authority = l.host
	if l.ipv6 {
		r.Authority = "[" + l.host + "]"
	}
	if l.scheme == "http" && l.port != 80 || l.scheme == "https" && l.port != 443 {
		r.Authority += ":" + strconv.Itoa(l.port)
	}
	if line, ok := c.custom("Host"); ok {
		r.Authority = strings.TrimLeft(line[len("Host:"):], " \t")
		r.NoHost = line == line[:len("Host")]+":"
	}
}

// custom is the first -H of a name, which takes the place of curl's own line
// (curl lib/http.c:Curl_checkheaders).
func (c *config) custom(name string) (line string, ok bool) {
	for _, h := range c.headers {
		if len(h) > len(name) && strings.EqualFold(h[:len(name)], name) && (h[len(name)] == ':' || h[len(name)] == ';') {
			return h, true
		}
	}
	return "", false
}

// headerLines are the lines after Host, in the order in which curl writes them.
func (c *config) headerLines(r *Request, l *location) error {
	own := func(name, value string) {
		if _, given := c.custom(name); !given {
			r.Headers = append(r.Headers, envoy.Header{Name: name, Value: value})
		}
	}
	if err := c.authorization(l, own); err != nil {
		return err
	}
	if c.byteRange != "" {
		own("Range", "bytes="+c.byteRange)
	}
	switch {
	case !c.agentSet:
		own("User-Agent", UserAgent)
	case c.agent != "":
		own("User-Agent", c.agent)
	}
	if !c.json {
		own("Accept", "*/*")
	}
	if c.trEncoding && r.Protocol == envoy.HTTP11 {
		if _, given := c.custom("TE"); !given {
			connection := "TE"
			if line, ok := c.custom("Connection"); ok {
				if value := strings.TrimSpace(line[len("Connection:"):]); value != "" {
					connection = value + ", TE"
				}
			}
			r.Headers = append(r.Headers, envoy.Header{Name: "Connection", Value: connection})
			own("TE", "gzip")
		}
	}
	if c.compressed {
		own("Accept-Encoding", "deflate, gzip, br, zstd")
	}
	if referer := strings.TrimSuffix(c.referer, ";auto"); referer != "" {
		own("Referer", referer)
	}
	if c.upload.text() == "-" || c.upload.text() == "." {
		if _, sized := c.custom("Content-Length"); !sized && r.Protocol == envoy.HTTP11 {
			own("Transfer-Encoding", "chunked")
		}
	}
	if len(c.cookies) > 0 {
		own("Cookie", strings.Join(c.cookies, ";"))
	}
	if err := c.customLines(r); err != nil {
		return err
	}
	c.bodyLines(r)
	return nil
}

// authorization is the line that options and the URL make.
func (c *config) authorization(l *location, own func(name, value string)) error {
	user := c.user
	if !c.userSet && l.hasUser {
		user = l.user + ":" + l.password
	}
	hasUser := c.userSet || l.hasUser
	if c.bearerSet {
		c.auth["Bearer"] = true
	}
	var wanted []string
	for scheme, on := range c.auth {
		if on {
			wanted = append(wanted, scheme)
		}
	}
	switch {
	case len(wanted) == 0 && hasUser:
		wanted = []string{"Basic"}
	case len(wanted) == 0:
		return nil
	case len(wanted) > 1:
		c.note("of several ways to log in curl first tries none: the request has no Authorization header")
		return nil
	}
	switch wanted[0] {
	case "Bearer":
		own("Authorization", "Bearer "+c.bearer)
	case "Basic":
		if hasUser {
			own("Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte(user)))
		}
	case "Digest":
		if hasUser {
			c.note("the first request of --digest has no Authorization header")
		}
	default:
		if hasUser {
			if _, given := c.custom("Authorization"); !given {
				return refuse("leave it out, and give the header line that it makes with -H", "what --%s sends is not modelled", strings.ToLower(wanted[0]))
			}
		}
	}
	return nil
}

// customLines are the -H lines that are sent (curl lib/http.c:Curl_add_custom_headers).
func (c *config) customLines(r *Request) error {
	lines := c.headers
	if c.json {
		if _, given := c.custom("Content-Type"); !given {
			lines = append(lines[:len(lines):len(lines)], "Content-Type: application/json")
		}
		if _, given := c.custom("Accept"); !given {
			lines = append(lines[:len(lines):len(lines)], "Accept: application/json")
		}
	}
	for i, line := range lines {
		name, value, found := strings.Cut(line, ":")
		empty := false
		if !found {
			name, value, empty = strings.Cut(line, ";")
			if !empty || strings.TrimSpace(value) != "" {
				c.note("-H number " + strconv.Itoa(i+1) + " has no colon: curl sends nothing for it")
				continue
			}
			value = ""
		}
		value = strings.TrimLeft(value, " \t\v\f")
		switch {
		case name == "":
			c.note("-H number " + strconv.Itoa(i+1) + " begins with a colon: curl sends nothing for it")
			continue
		case value == "" && !empty, strings.EqualFold(name, "Host"):
			continue // takes a line of curl's own away, or is in its place
		case strings.EqualFold(name, "Content-Type") && c.form && !c.get:
			continue // bodyLines adds the boundary
		case strings.EqualFold(name, "Connection") && c.trEncoding:
			continue
		case r.Protocol == envoy.HTTP2 && hopByHop(name, value):
			continue
		case !isToken(name):
			return refuse("write -H 'Name: value'", "-H number %d has a name that HTTP does not allow", i+1)
		}
		r.Headers = append(r.Headers, envoy.Header{Name: name, Value: value})
	}
	return nil
}

// hopByHop reports whether curl leaves a line out of HTTP/2.
func hopByHop(name, value string) bool {
	switch strings.ToLower(name) {
	case "connection", "proxy-connection", "keep-alive", "transfer-encoding", "upgrade":
		return true
	case "te":
		return !strings.EqualFold(value, "trailers")
	}
	return false
}

// boundary stands for the random one of a form.
const boundary = "; boundary=------------------------0000000000000000"

// bodyLines are the lines about the body, which come last.
func (c *config) bodyLines(r *Request) {
	switch {
	case c.form && !c.get:
		kind := "multipart/form-data"
		if line, given := c.custom("Content-Type"); given {
			kind = strings.TrimSpace(line[len("Content-Type:"):])
		}
		r.Headers = append(r.Headers, envoy.Header{Name: "Content-Type", Value: kind + boundary})
	case c.dataSet && !c.get && !c.head:
		_, sized := c.custom("Content-Length")
		if coding, given := c.custom("Transfer-Encoding"); given && strings.Contains(strings.ToLower(coding), "chunked") {
			sized = true
		}
		if !sized && c.dataUnknown == nil {
			r.Headers = append(r.Headers, envoy.Header{Name: "Content-Length", Value: strconv.Itoa(len(c.data))})
		}
		if _, given := c.custom("Content-Type"); !given && !c.json {
			r.Headers = append(r.Headers, envoy.Header{Name: "Content-Type", Value: "application/x-www-form-urlencoded"})
		}
	}
}
