// Package keyserver is a server of JWKS documents with every fault that one
// meets: slow, hanging, redirecting, answering HTML, an empty set, the wrong
// content type, ten megabytes, or cutting the connection; over TLS with a
// certificate of an unknown authority, an expired one, or one of another name.
//
// It imports the standard library only; only tests and test tools may import it.
package keyserver

import (
	"compress/gzip"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// BigSize is how many bytes PathBig answers with, at least.
const BigSize = 10 << 20

// The paths of the handler. All but those that say otherwise answer 200 with
// content type application/json.
const (
	PathKeys         = "/keys"                             // the document itself
	PathSlow         = "/slow"                             // the document after the header and ?after= (Go's duration, by default 2s)
	PathHang         = "/hang"                             // nothing, until the client goes away
	PathHangBody     = "/hang-body"                        // half of the document, then nothing
	PathRedirect     = "/redirect"                         // 302 to PathKeys, or to ?to=
	PathLoop         = "/loop"                             // 302 to itself
	PathHTML         = "/html"                             // a login page, as text/html
	PathEmpty        = "/empty"                            // no body
	PathEmptySet     = "/empty-set"                        // {"keys":[]}
	PathEmptyObject  = "/empty-object"                     // {}
	PathUnusable     = "/unusable"                         // a set of keys of which a proxy can use none
	PathWrongType    = "/wrong-type"                       // the document as text/html
	PathGzip         = "/gzip"                             // the document, compressed whether it was asked for or not
	PathBig          = "/big"                              // the document after BigSize bytes of an unknown member
	PathTruncated    = "/truncated"                        // half of the document, with the length of half
	PathReset        = "/reset"                            // a reset connection instead of an answer
	PathResetBody    = "/reset-body"                       // half of the document, then a reset
	PathStatus       = "/status/"                          // the status that follows, with a short text
	PathDiscovery    = "/.well-known/openid-configuration" // OpenID Connect discovery whose jwks_uri is PathKeys
	defaultSlowAfter = 2 * time.Second
)

const loginPage = "<!DOCTYPE html>\n<html><head><title>Sign in</title></head><body><form>...</form></body></html>\n"

const unusableSet = `{"keys":[{"kty":"EC","crv":"secp256k1","kid":"k1","x":"AA","y":"AA"},{"kty":"OKP","crv":"X25519","kid":"x1","x":"AA"}]}`

// Handler serves document with every fault, each at its path. Any other path is a 404.
func Handler(document []byte) http.Handler {
	mux := http.NewServeMux()
	answer := func(path, contentType, body string) {
		mux.HandleFunc(path, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", contentType)
			_, _ = w.Write([]byte(body))
		})
	}
	const json = "application/json"
	answer(PathKeys, json, string(document))
	answer(PathHTML, "text/html; charset=utf-8", loginPage)
	answer(PathEmpty, json, "")
	answer(PathEmptySet, json, `{"keys":[]}`)
	answer(PathEmptyObject, json, `{}`)
	answer(PathUnusable, json, unusableSet)
	answer(PathWrongType, "text/html; charset=utf-8", string(document))
	answer(PathTruncated, json, string(document[:len(document)/2]))
	half := document[:len(document)/2]
	mux.HandleFunc(PathSlow, func(w http.ResponseWriter, r *http.Request) { slow(w, r, document) })
	mux.HandleFunc(PathHang, func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	mux.HandleFunc(PathHangBody, func(w http.ResponseWriter, r *http.Request) {
		begin(w, len(document), half)
		<-r.Context().Done()
	})
	mux.HandleFunc(PathRedirect, func(w http.ResponseWriter, r *http.Request) {
		to := r.FormValue("to")
		if to == "" {
			to = PathKeys
		}
		http.Redirect(w, r, to, http.StatusFound)
	})
	mux.HandleFunc(PathLoop, func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, PathLoop, http.StatusFound) })
	mux.HandleFunc(PathGzip, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", json)
		w.Header().Set("Content-Encoding", "gzip")
		z := gzip.NewWriter(w)
		_, _ = z.Write(document)
		_ = z.Close()
	})
	mux.HandleFunc(PathBig, func(w http.ResponseWriter, _ *http.Request) { padded(w, document) })
	mux.HandleFunc(PathReset, func(w http.ResponseWriter, _ *http.Request) { reset(w) })
	mux.HandleFunc(PathResetBody, func(w http.ResponseWriter, _ *http.Request) {
		begin(w, len(document), half)
		reset(w)
	})
	mux.HandleFunc(PathStatus, func(w http.ResponseWriter, r *http.Request) {
		code, err := strconv.Atoi(strings.TrimPrefix(r.URL.Path, PathStatus))
		if err != nil || code < 200 || code > 599 {
			http.NotFound(w, r)
			return
		}
		http.Error(w, http.StatusText(code), code)
	})
	mux.HandleFunc(PathDiscovery, func(w http.ResponseWriter, r *http.Request) {
		scheme := "http"
		if r.TLS != nil {
			scheme = "https"
		}
		base := scheme + "://" + r.Host
		w.Header().Set("Content-Type", json)
		_, _ = fmt.Fprintf(w, "{%q:%q,%q:%q}\n", "issuer", base, "jwks_uri", base+PathKeys)
	})
	return mux
}

func slow(w http.ResponseWriter, r *http.Request, document []byte) {
	after, err := time.ParseDuration(r.FormValue("after"))
	if err != nil {
		after = defaultSlowAfter
	}
	timer := time.NewTimer(after)
	defer timer.Stop()
	select {
	case <-r.Context().Done():
		return
	case <-timer.C:
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(document)
}

// padded answers a valid document that is too large to be wanted.
func padded(w http.ResponseWriter, document []byte) {
	rest, ok := strings.CutPrefix(strings.TrimSpace(string(document)), "{")
	if !ok {
		http.Error(w, "the document is no object", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	if _, err := w.Write([]byte(`{"padding":"`)); err != nil {
		return
	}
	chunk := []byte(strings.Repeat("x", 64<<10))
	for sent := 0; sent < BigSize; sent += len(chunk) {
		if _, err := w.Write(chunk); err != nil {
			return
		}
	}
	_, _ = w.Write([]byte(`",` + rest))
}

// begin sends the header of an answer of so many bytes, and its first ones.
func begin(w http.ResponseWriter, length int, first []byte) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Length", strconv.Itoa(length))
	_, _ = w.Write(first)
	if f, ok := w.(http.Flusher); ok {
		f.Flush()
	}
}

// reset cuts the connection with a TCP reset; of HTTP/2, the stream.
func reset(w http.ResponseWriter) {
	h, ok := w.(http.Hijacker)
	if !ok {
		panic(http.ErrAbortHandler)
	}
	conn, _, err := h.Hijack()
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	linger(conn)
	_ = conn.Close()
}
