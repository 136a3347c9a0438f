package wire

import (
	"bytes"
	"strconv"
	"strings"
	"time"

	"github.com/asmjwt/kubectl-asmjwt/pkg/envoy"
)

// Reply is what came of a request.
type Reply struct {
	// Status is that of HTTP; 0: there was no answer.
	Status int
	// Version is that of HTTP: "1.1", "2"; empty: not known.
	Version string
	// Headers are the lines of the answer; HeadersKnown says that they were seen.
	Headers      []envoy.Header
	HeadersKnown bool
	// Body is the beginning of the body, of Size bytes in all; BodyKnown says that it
	// was seen.
	Body      string
	BodyKnown bool
	Size      int64
	// IP is the address that answered; empty: not known.
	IP string
	// Took is how long the exchange took; 0: not known.
	Took time.Duration
	// Failure is why there is no answer, or not all of one; nil: there is one.
	Failure *Failure
}

// Header is the first value of a header of the answer.
func (r Reply) Header(name string) (string, bool) {
	for _, h := range r.Headers {
		if strings.EqualFold(h.Name, name) {
			return h.Value, true
		}
	}
	return "", false
}

// mostHead is how many bytes of headers are kept: more than an Envoy sends (60 KiB,
// Envoy source/common/http/codec_helper.h).
const mostHead = 96 << 10

// Reader takes curl's standard output as it comes, and gives each reply as soon as it
// is whole. What it holds is bounded, however much a server sends.
type Reader struct {
	mark    []byte
	keep    int
	each    func(Reply)
	buf     []byte
	dropped int64
	count   int
	// last is not given yet, since curl's exit code belongs to it; told says that curl
	// has said it already.
	last *Reply
	told bool
}

// NewReader reads what curl writes for CurlConfig with that mark. It keeps as many bytes
// of each body. each gets the replies in order.
func NewReader(mark string, keep int, each func(Reply)) *Reader {
	return &Reader{mark: []byte("\n" + mark + " "), keep: keep, each: each}
}

// Write takes a piece of the output. It never fails.
func (r *Reader) Write(p []byte) (int, error) {
	// A large piece is taken in parts, so that little is held.
	const part = 32 << 10
	for rest := p; len(rest) > 0; {
		n := min(part, len(rest))
		r.buf = append(r.buf, rest[:n]...)
		rest = rest[n:]
		r.scan()
	}
	return len(p), nil
}

func (r *Reader) scan() {
	for {
		at := bytes.Index(r.buf, r.mark)
		if at < 0 {
			r.shrink()
			return
		}
		length := bytes.IndexByte(r.buf[at+len(r.mark):], '\n')
		if length < 0 {
			return
		}
		line := string(r.buf[at+len(r.mark) : at+len(r.mark)+length])
		r.flush()
		r.last = r.reply(r.buf[:at], line)
		r.count++
		r.buf = append([]byte(nil), r.buf[at+len(r.mark)+length+1:]...)
		r.dropped = 0
		if r.told {
			r.flush()
		}
	}
}

func (r *Reader) flush() {
	if r.last != nil {
		r.each(*r.last)
		r.last = nil
	}
}

// shrink keeps the beginning, and as much of the end as may be the beginning of a mark.
func (r *Reader) shrink() {
	most, tail := mostHead+r.keep, len(r.mark)
	if len(r.buf) <= most+tail {
		return
	}
	r.dropped += int64(len(r.buf) - most - tail)
	copy(r.buf[most:], r.buf[len(r.buf)-tail:])
	r.buf = r.buf[:most+tail]
}

// reply puts together an answer and the line behind it.
func (r *Reader) reply(answer []byte, line string) *Reply {
	facts := map[string]string{}
	before, message, _ := strings.Cut(line, " err=")
	for word := range strings.FieldsSeq(before) {
		if name, value, ok := strings.Cut(word, "="); ok {
			facts[name] = value
		}
	}
	out := &Reply{}
	out.Status, _ = strconv.Atoi(facts["code"])
	out.IP = facts["ip"]
	if v := facts["version"]; v != "0" {
		out.Version = v
	}
	if s, err := strconv.ParseFloat(facts["time"], 64); err == nil {
		out.Took = time.Duration(s * float64(time.Second))
	}
	code, err := strconv.Atoi(facts["exit"])
	if r.told = err == nil; r.told && code != 0 {
		out.Failure = &Failure{Kind: kindOf(code, out.Status != 0), Code: code, Message: strings.TrimSpace(message)}
	}
	head, err := strconv.Atoi(facts["head"])
	if err != nil || head > len(answer) || out.Status == 0 {
		return out
	}
	out.Headers, out.HeadersKnown = parseHead(string(answer[:head])), true
	body := answer[head:]
	out.Size = int64(len(body)) + r.dropped
	out.Body, out.BodyKnown = string(body[:min(len(body), r.keep)]), true
	return out
}

// parseHead reads the last of the heads that a client shows: an interim one, 100 or 103,
// may come before it.
func parseHead(text string) []envoy.Header {
	var out []envoy.Header
	for line := range strings.SplitSeq(strings.ReplaceAll(text, "\r\n", "\n"), "\n") {
		switch name, value, ok := strings.Cut(line, ":"); {
		case strings.HasPrefix(line, "HTTP/"):
			out = nil
		case ok && name != "":
			out = append(out, envoy.Header{Name: name, Value: strings.TrimSpace(value)})
		}
	}
	return out
}

// Finish says that curl has ended, with an exit code and what it wrote to standard
// error: why the last request has no answer, which a curl before 7.75 tells only there.
// It returns how many replies there were in all.
func (r *Reader) Finish(code int, stderr string) int {
	if r.last != nil && !r.told && code != 0 {
		answered := r.last.Status != 0
		if r.last.Failure = failureIn(stderr, answered); r.last.Failure == nil {
			r.last.Failure = &Failure{Kind: kindOf(code, answered), Code: code}
		}
	}
	r.flush()
	return r.count
}
