package keycheck

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/url"
	"regexp"
	"strconv"
	"strings"

	"github.com/asmjwt/kubectl-asmjwt/pkg/probe/wire"
)

// MostBody is how many bytes of an answer are read: far more than any key set has.
const MostBody = 1 << 20

// Answer is an answer of HTTP, whoever got it.
type Answer struct {
	Status      int
	ContentType string
	Location    string
	Body        []byte
	// Whole is false where the body goes on behind MostBody.
	Whole bool
}

// FromAnswer turns an answer into what a fetch came to.
func FromAnswer(f Fetch, a Answer) Fetch {
	f.Status, f.ContentType = a.Status, a.ContentType
	switch {
	case a.Status >= 300 && a.Status < 400:
		f.Kind, f.Location = Redirect, withoutQuery(resolve(f.URI, a.Location))
		f.Problem = fmt.Sprintf("it answers %d, a redirect", a.Status)
		if f.Location != "" {
			f.Problem += " to " + strconv.Quote(f.Location)
		}
	case a.Status != statusOK:
		f.Kind, f.Problem = Status, fmt.Sprintf("it answers %d%s", a.Status, shortBody(a.Body))
	case !a.Whole:
		f.Kind, f.Problem = TooLarge, fmt.Sprintf("the answer is larger than %d KiB", MostBody>>10)
		f.Hint = "a key set has a few KiB: is this the right address?"
	default:
		f.Kind, f.Body = Fetched, a.Body
	}
	return f
}

// resolve is where a redirect leads, seen from the URI that was asked for.
func resolve(uri, location string) string {
	from, err := url.Parse(uri)
	if err != nil || location == "" {
		return ""
	}
	to, err := from.Parse(location)
	if err != nil {
		return ""
	}
	return to.String()
}

// withoutQuery takes off what may be a secret.
func withoutQuery(uri string) string {
	u, err := url.Parse(uri)
	if err != nil || u.Host == "" {
		return ""
	}
	return (&url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path, RawPath: u.RawPath}).String()
}

// statusOK is the one status that proxies take keys with.
const statusOK = 200

// longestText is how long the text of a refusal may be to be shown.
const longestText = 80

// shortBody is the text of a refusal, where it is a short one.
func shortBody(body []byte) string {
	text := strings.TrimSpace(string(body))
	if text == "" || len(text) > longestText || text[0] == '<' || text[0] == '{' {
		return ""
	}
	return fmt.Sprintf(" %q", text)
}

// apiStatus is an answer of the API server itself, in the place of the server behind it.
type apiStatus struct {
	Kind    string `json:"kind"`
	Reason  string `json:"reason"`
	Message string `json:"message"`
}

// FromServiceProxy turns what the API server answers for a Service into what the fetch
// came to. permission is the right that was lacking; empty: none was (Kubernetes
// staging/src/k8s.io/apimachinery/pkg/util/proxy/upgradeaware.go, pkg/registry/core/service/storage/rest.go).
func FromServiceProxy(f Fetch, a Answer, namespace, service string, port int, proxyPath string) (out Fetch, permission string) {
	var own apiStatus
	itself := json.Unmarshal(a.Body, &own) == nil && own.Kind == "Status" && own.Reason != ""
	switch {
	case itself && own.Reason == "Forbidden":
		f.Kind, f.Problem = Unable, "forbidden"
		return f, "get services/proxy in " + namespace
	case itself && strings.Contains(own.Message, "no endpoints available"):
		f.Kind, f.Problem = Connect, fmt.Sprintf("no pod is ready behind Service %s/%s port %d", namespace, service, port)
		return f, ""
	case itself && own.Reason == "ServiceUnavailable":
		f.Kind, f.Problem = dialWords(own.Message)
		return f, ""
	case itself:
		f.Kind, f.Problem = Unable, "the API server answers "+strconv.Itoa(a.Status)+": "+own.Reason
		return f, ""
	}
	// A redirect comes rewritten, so that it leads through the API server once more.
	if u, err := url.Parse(a.Location); err == nil && a.Location != "" {
		if rest, ok := strings.CutPrefix(u.EscapedPath(), strings.TrimSuffix(proxyPath, "/")); ok {
			a.Location = rest
		}
	}
	return FromAnswer(f, a), ""
}

var dialError = regexp.MustCompile(`error trying to reach service: (.*)$`)

// dialWords say why the API server got no answer from the Service. Texts are all that it
// gives.
func dialWords(message string) (Kind, string) {
	words := message
	if m := dialError.FindStringSubmatch(message); m != nil {
		words = m[1]
	}
	words = strings.Join(strings.Fields(words), " ")
	switch {
	case strings.Contains(words, "connection reset by peer"), words == "EOF", strings.HasSuffix(words, ": EOF"), strings.Contains(words, "unexpected EOF"):
		return Connect, "the connection is cut without an answer (" + lastPart(words) + ")"
	case strings.Contains(words, "connection refused"):
		return Connect, "the connection is refused: nothing listens there"
	case strings.Contains(words, "timeout"), strings.Contains(words, "deadline"):
		return Timeout, "no answer in time"
	case strings.Contains(words, "no such host"):
		return Name, "the name does not resolve"
	case strings.Contains(words, "server gave HTTP response to HTTPS client"):
		return Connect, "it speaks plain HTTP, and was asked with TLS"
	case strings.Contains(words, "malformed HTTP response"):
		return Connect, "it speaks something else than HTTP: TLS, most likely"
	case strings.Contains(words, "tls: "), strings.Contains(words, "x509: "):
		return Certificate, "TLS fails: " + lastPart(words)
	}
	return Connect, "no answer: " + lastPart(words)
}

func lastPart(s string) string {
	if i := strings.LastIndex(s, ": "); i >= 0 {
		return s[i+2:]
	}
	return s
}

// FromReply turns what curl or wget said in a pod into what the fetch came to.
func FromReply(f Fetch, r wire.Reply) Fetch {
	if r.Failure != nil {
		f.Status = r.Status
		f.Kind, f.Problem = failureWords(r.Failure)
		return f
	}
	a := Answer{Status: r.Status, Body: []byte(r.Body), Whole: r.Size <= MostBody}
	a.ContentType, _ = r.Header("content-type")
	a.Location, _ = r.Header("location")
	if r.Status == statusOK && !r.BodyKnown {
		f.Kind, f.Problem = Unable, "the answer's body was not seen"
		return f
	}
	return FromAnswer(f, a)
}

// failureWords tell apart what is wrong with a certificate, which curl says in words only.
func failureWords(failure *wire.Failure) (Kind, string) {
	message := strings.ToLower(failure.Message)
	switch failure.Kind {
	case wire.NoSuchHost:
		return Name, "the name does not resolve"
	case wire.Refused:
		return Connect, "the connection is refused: nothing listens there"
	case wire.TimedOut:
		return Timeout, "no whole answer in time"
	case wire.Untrusted:
		switch {
		case strings.Contains(message, "expired"):
			return Certificate, "the server's certificate has expired"
		case strings.Contains(message, "no alternative certificate subject name"), strings.Contains(message, "subject name"), strings.Contains(message, "host name"), strings.Contains(message, "hostname"):
			return Certificate, "the server's certificate is for another name"
		}
		return Certificate, "the server's certificate is signed by an authority that is not known there"
	case wire.TLSHandshake:
		return Certificate, "there is no TLS handshake: does the port speak TLS?"
	case wire.Closed:
		return Connect, "the connection is cut without an answer"
	case wire.Cut:
		return Connect, "the connection is cut within the answer"
	case wire.Stopped:
		return TooLarge, fmt.Sprintf("the answer is larger than %d KiB", MostBody>>10)
	}
	return Connect, "no answer: " + string(failure.Kind)
}

// take judges the bodies of the fetches for a rule.
func (r *rule) take() {
	for _, f := range r.ev.Fetches {
		if r.addr.URI == "" || f.URI != r.addr.URI {
			continue
		}
		r.fetches = append(r.fetches, f)
	}
	for i := range r.fetches {
		f := &r.fetches[i]
		if f.Kind != Fetched {
			continue
		}
		if r.out.Fetcher == ByDiscovery {
			r.discovered(f)
			continue
		}
		keys, set := keysOf(f.Body)
		f.Keys = keys
		if set != nil && f.Way != ByMachine && (r.live == nil || r.live.unchecked) {
			r.live = &seenSet{doc: f.Body, set: set, from: f.From, unchecked: f.TLSUnchecked}
		}
	}
	r.out.Fetches = append(r.out.Fetches, r.fetches...)
}

// discovered looks at a discovery document.
func (r *rule) discovered(f *Fetch) {
	var doc struct {
		Issuer  string `json:"issuer"`
		JWKSURI string `json:"jwks_uri"`
	}
	switch err := json.Unmarshal(bytes.TrimSpace(f.Body), &doc); {
	case err != nil:
		f.Keys = &Keys{Problem: "it is no discovery document, but something else"}
	case doc.JWKSURI == "":
		f.Keys = &Keys{Problem: "the discovery document names no jwks_uri"}
	default:
		f.Location = doc.JWKSURI
		if a := AddressOf(doc.JWKSURI, r.origin.Namespace); f.Way != ByMachine && a.Problem == "" && r.namedURI == "" {
			r.namedURI = doc.JWKSURI
		}
	}
}
