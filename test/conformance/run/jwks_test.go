package run

import (
	"io"
	"net/http"
	"net/url"
	"testing"
	"time"

	"istio.io/istio/pilot/pkg/features"
	"istio.io/istio/pilot/pkg/model"
)

func TestJWKS_ThatIstiodsResolverGetsTheDocumentsOfItsMesh(t *testing.T) {
	prepareIstiod()
	docs, err := sharedJWKS()
	if err != nil {
		t.Fatal(err)
	}
	if !features.JwksResolverInsecureSkipVerify {
		t.Error("the resolver would refuse the server's certificate")
	}
	const plain, secure = "http://a.example/jwks?x=1", "https://b.example/jwks"
	const discovery = "https://idp.example/.well-known/openid-configuration"
	discovered := map[string]string{plain: "P", discovery: `{"jwks_uri":"` + plain + `"}`}
	for name, c := range map[string]struct {
		issuer, uri, want string
		docs              map[string]string
	}{
		"plain":                  {"i", plain, "P", map[string]string{plain: "P", secure: "S"}},
		"over TLS":               {"i", secure, "S", map[string]string{plain: "P", secure: "S"}},
		"found by OIDC":          {"https://idp.example/", "", "P", discovered},
		"not there":              {"i", plain, "", map[string]string{secure: "S"}},
		"not there, without any": {"i", secure, "", nil},
	} {
		t.Run(name, func(t *testing.T) {
			defer docs.serve(c.docs)()
			resolver := model.NewJwksResolver(time.Hour, time.Hour, time.Hour, time.Millisecond)
			defer resolver.Close()
			got, err := resolver.GetPublicKey(c.issuer, c.uri, 5*time.Second)
			if got != c.want || (err == nil) != (c.want != "") {
				t.Errorf("got %q, %v; want %q", got, err, c.want)
			}
		})
	}
}

func TestJWKS_ThatAnEnvoyGetsTheDocumentByHostAndPath(t *testing.T) {
	server, address, err := forEnvoy(map[string]string{"https://a.example/jwks?x=1": "A", "http://b.example:8080/jwks": "B"})
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	for name, c := range map[string]struct{ host, path, want string }{
		"with a query": {"a.example", "/jwks?x=1", "A"}, "with a port": {"b.example:8080", "/jwks", "B"},
		"of another host": {"b.example", "/jwks?x=1", ""},
	} {
		t.Run(name, func(t *testing.T) {
			u, err := url.Parse("http://" + address + c.path)
			if err != nil {
				t.Fatal(err)
			}
			client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
			resp, err := client.Do(&http.Request{Method: "GET", URL: u, Host: c.host})
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			body, err := io.ReadAll(resp.Body)
			if err != nil {
				t.Fatal(err)
			}
			if c.want == "" && resp.StatusCode != http.StatusNotFound || c.want != "" && string(body) != c.want {
				t.Errorf("got %d %q, want %q", resp.StatusCode, body, c.want)
			}
		})
	}
}
