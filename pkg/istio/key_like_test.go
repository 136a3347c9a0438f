package istio

import "testing"

func TestAMistypedKeyOfWhenIsLikeOneThatThereIs(t *testing.T) {
	for key, want := range map[string]string{
		"request.auth.claim[groups]":      "request.auth.claims[groups]",
		"request.auth.claim[a][b]":        "request.auth.claims[a][b]",
		"request.header[x-role]":          "request.headers[x-role]",
		"source.principals":               "source.principal",
		"request.auth.audience":           "request.auth.audiences",
		"Source.IP":                       "source.ip",
		"no.such.key":                     "",
		"request.auth.claims[groups]":     "",
		"source.namespace[foo]":           "",
		"experimental.envoy.filter.a[b]":  "",
		"remote.ips.of.somebody.or.other": "",
	} {
		if got := KeyLike(key); got != want {
			t.Errorf("%s: %q, want %q", key, got, want)
		}
	}
}
