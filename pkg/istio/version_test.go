package istio

import (
	"slices"
	"testing"

	"github.com/asmjwt/kubectl-asmjwt/pkg/envoy"
	"github.com/asmjwt/kubectl-asmjwt/pkg/jwks"
	"github.com/asmjwt/kubectl-asmjwt/pkg/version"
)

// versionAt reads a version; empty is the newest.
func versionAt(t *testing.T, text string) version.Version {
	t.Helper()
	v, ok := version.Parse(text)
	if !ok && text != "" {
		t.Fatalf("%q is no version", text)
	}
	return v
}

func TestThePlaceholderFollowsFromIstiod(t *testing.T) {
	for _, c := range []struct {
		text, kind, or string
		unusable       bool
	}{
		{"", jwks.PlaceholderPublicOnly, "", false},
		{"1.14.6", jwks.PlaceholderPlain, "", true},
		{"1.15.0", jwks.PlaceholderEncoded, "", true},
		{"1.20.8", jwks.PlaceholderEncoded, "", true},
		{"1.21.0", jwks.PlaceholderForgeable, "", false},
		{"1.27.7", jwks.PlaceholderForgeable, "", false},
		{"1.27.8", jwks.PlaceholderPublicOnly, "", false},
		{"1.28.4", jwks.PlaceholderForgeable, "", false},
		{"1.29.0", jwks.PlaceholderForgeable, "", false},
		{"1.30.0", jwks.PlaceholderPublicOnly, "", false},
		{"1.24.6.12", jwks.PlaceholderPublicOnly, jwks.PlaceholderForgeable, false},
	} {
		kind, or, unusable := Placeholder(versionAt(t, c.text))
		if kind != c.kind || or != c.or || unusable != c.unusable {
			t.Errorf("%q: %s or %q, %v", c.text, kind, or, unusable)
		}
	}
}

func TestLegacyMetadataIsReadUpTo121(t *testing.T) {
	for _, c := range []struct {
		istiod, proxy string
		want          bool
	}{
		{"", "", false}, {"1.20.8", "", true}, {"1.21.0", "1.21.0", false}, {"1.23.0", "1.20.8", true}, {"1.24.0", "1.20.8", false}, {"1.23.0", "", false},
	} {
		p := planes{istiod: versionAt(t, c.istiod), proxy: versionAt(t, c.proxy)}
		if got := p.legacyJWT(); got != c.want {
			t.Errorf("istiod %q, proxy %q: %v", c.istiod, c.proxy, got)
		}
	}
}

func TestFieldsAndKeysAreKnownSinceTheirVersion(t *testing.T) {
	for _, c := range []struct {
		istiod, key string
		known       bool
	}{
		{"", "serviceAccounts", true}, {"1.24.9", "serviceAccounts", false}, {"1.25.0", "serviceAccounts", true},
		{"1.30.1", "source.trustDomain", false}, {"1.30.2", "source.trustDomain", true}, {"1.8.6", "paths", true},
	} {
		p := planes{istiod: versionAt(t, c.istiod)}
		if got := p.unknownField(c.key) == ""; got != c.known {
			t.Errorf("field %s in %q: %v", c.key, c.istiod, got)
		}
		if got := p.unknownKey(c.key) == ""; got != c.known {
			t.Errorf("key %s in %q: %v", c.key, c.istiod, got)
		}
	}
}

func TestNewerFieldsAreThoseOfARuleOrOfThePolicy(t *testing.T) {
	within, outside := ruleGaps([]string{"spec.rules[12].from[0].x", "spec.mode", "spec.rules[12].y", "spec.a"})
	if !slices.Equal(outside, []string{"spec.a", "spec.mode"}) || len(within) != 1 || len(within[12]) != 2 {
		t.Errorf("got %v and %v", within, outside)
	}
}

func TestASMDocumentsJWKSURISince113(t *testing.T) {
	for text, want := range map[string]bool{"": false, "1.12.4": false, "1.12.4.5": true, "v1.12.4-6-g1a1d912366-pro-aliyun": true, "1.13.0.1": false} {
		if got := (planes{istiod: versionAt(t, text)}).asmWithoutURI(); got != want {
			t.Errorf("%q: %v", text, got)
		}
	}
}

func TestAValueIsAdaptedToTheVersion(t *testing.T) {
	template, err := envoy.NewTemplate("/a/{*}")
	if err != nil {
		t.Fatal(err)
	}
	paths := field{key: "paths", attribute: operationPath}
	for text, want := range map[string]string{"": "template", "1.22.0": "template", "1.21.9": "path", "1.22-alpha.1": "either"} {
		m, note, err := planes{istiod: versionAt(t, text)}.adapt(paths, "/a/{*}", false, template)
		got := "template"
		switch m.(type) {
		case *envoy.PathMatch:
			got = "path"
		case *envoy.EitherMatch:
			got = "either"
		}
		if err != nil || got != want || (note != "") != (want == "path") {
			t.Errorf("%q: %s with %q, %v", text, got, note, err)
		}
	}
	if _, _, err := (planes{istiod: versionAt(t, "1.28.0")}).adapt(field{key: "namespaces", attribute: sourceNamespace}, "a(", false, template); err == nil {
		t.Error("a value that is no regular expression was taken")
	}
}

func TestTheProxysVersionExcludesAPatchOnlyForSure(t *testing.T) {
	for _, c := range []struct {
		proxy, expr string
		want        bool
	}{
		{"1.29.3", `^1\.29.*`, false}, {"1.30.0", `^1\.29.*`, true}, {"v1.30.0", `^1\.30`, false}, {"1.30.0-distroless", `^1\.30\.0$`, false},
		{"", `^1\.29.*`, false}, {"1.30.0", `(`, false}, {"1.30.0", string(make([]byte, 2000)), true},
	} {
		tr := &translation{in: Input{ProxyVersion: versionAt(t, c.proxy)}}
		if got := tr.versionExcluded(c.expr); got != c.want {
			t.Errorf("%q in %q: %v", c.expr, c.proxy, got)
		}
	}
}
