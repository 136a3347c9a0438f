package kube

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"k8s.io/client-go/rest"
)

// standIn is an API server as far as the proxy of a Service goes; what a real one does is
// tested in test/e2e.
func standIn(t *testing.T, handler http.HandlerFunc) *Cluster {
	return standInAt(t, "/prefix", handler)
}

func standInAt(t *testing.T, prefix string, handler http.HandlerFunc) *Cluster {
	t.Helper()
	s := httptest.NewServer(handler)
	t.Cleanup(s.Close)
	c, err := newCluster(&rest.Config{Host: s.URL + prefix, BearerToken: "canary-of-the-cluster"}, NoTimeout)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestAServiceIsAskedForThePathAsItStands(t *testing.T) {
	for path, want := range map[string]string{
		"/keys":            "/prefix/api/v1/namespaces/foo/services/idp:80/proxy/keys",
		"/a%2Fb/keys?x=%2": "/prefix/api/v1/namespaces/foo/services/idp:80/proxy/a%2Fb/keys?x=%2",
		"/":                "/prefix/api/v1/namespaces/foo/services/idp:80/proxy/",
	} {
		var got, host string
		c := standIn(t, func(w http.ResponseWriter, r *http.Request) {
			got, host = r.RequestURI, r.Host
			w.Header().Set("Content-Type", "application/json")
			_, _ = w.Write([]byte("{}"))
		})
		a, err := c.ServiceProxy(t.Context(), "foo", "idp", 80, false, "idp.foo", path, 10)
		if err != nil || a.Status != 200 || string(a.Body) != "{}" || !a.Whole || got != want || host != "idp.foo" {
			t.Errorf("%s: asked for %s, got %+v, %v", path, got, a, err)
		}
	}
}

// Following a redirect would take the credentials of the cluster to wherever it leads.
func TestARedirectOfAServiceIsToldAndNotFollowed(t *testing.T) {
	stranger := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		t.Errorf("the redirect was followed, with Authorization %v", r.Header["Authorization"] != nil)
	}))
	defer stranger.Close()
	c := standIn(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") == "" {
			t.Error("the API server was asked without credentials")
		}
		http.Redirect(w, r, stranger.URL+"/login", http.StatusFound)
	})
	a, err := c.ServiceProxy(t.Context(), "foo", "idp", 80, false, "", "/keys", 1<<10)
	if err != nil || a.Status != 302 || a.Location != stranger.URL+"/login" {
		t.Errorf("got %+v, %v", a, err)
	}
}

func TestThePathOfTheProxyIsToldAsRedirectsHaveIt(t *testing.T) {
	for _, prefix := range []string{"", "/", "/prefix"} {
		c := standInAt(t, prefix, func(http.ResponseWriter, *http.Request) {})
		a, err := c.ServiceProxy(t.Context(), "foo", "idp", 80, false, "", "/keys", 1)
		if want := strings.TrimSuffix(prefix, "/") + "/api/v1/namespaces/foo/services/idp:80/proxy"; err != nil || a.Path != want {
			t.Errorf("%q: %s, want %s, %v", prefix, a.Path, want, err)
		}
	}
}

func TestOfALargeAnswerOnlySoMuchIsRead(t *testing.T) {
	c := standIn(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(bytes.Repeat([]byte("x"), 1<<20)) })
	a, err := c.ServiceProxy(t.Context(), "foo", "idp", 443, true, "", "/keys", 100)
	if err != nil || a.Whole || len(a.Body) != 100 || !strings.Contains(a.Path, "https:idp:443") {
		t.Errorf("got %d bytes, %v", len(a.Body), err)
	}
}

func TestAServiceThatHangsEndsWithTheContext(t *testing.T) {
	c := standIn(t, func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := c.ServiceProxy(ctx, "foo", "idp", 80, false, "", "/keys", 100); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
}

func TestOnlyNamesOfObjectsGetIntoAPath(t *testing.T) {
	for name, want := range map[string]bool{"idp": true, "a-1": true, "": false, "..": false, "a/b": false, "A": false, strings.Repeat("a", 64): false} {
		if validName(name) != want {
			t.Errorf("%q: %v", name, !want)
		}
	}
}
