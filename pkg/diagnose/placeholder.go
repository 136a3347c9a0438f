package diagnose

import (
	"github.com/asmjwt/kubectl-asmjwt/pkg/envoy"
	"github.com/asmjwt/kubectl-asmjwt/pkg/istio"
	"github.com/asmjwt/kubectl-asmjwt/pkg/jwks"
	"github.com/asmjwt/kubectl-asmjwt/pkg/version"
)

// placeholderKid is the kid of the placeholders of Istio before 1.21.
const placeholderKid = "abc"

// placeholder is the key set that istiod of a version pushes where it could not
// fetch one, and what that means for tokens.
func placeholder(v version.Version, src envoy.KeySource) (set envoy.KeySet, words string) {
	kind, or, unusable := istio.Placeholder(v)
	if unusable {
		return envoy.KeySet{Placeholder: placeholderKid, MayRefuse: &envoy.Missing{
			What: "whether the proxy can use the placeholder key of istiod " + v.String(),
			Why:  "its modulus is a text; a proxy that cannot use it refuses the whole listener and goes on with the one that it had",
			Hint: "look for error_state in the proxy's config_dump, or give the keys with --jwks " + keyName(src) + "=FILE",
		}}, "every token of this issuer is refused, or the whole listener is"
	}
	set.Set, _ = jwks.Parse(jwks.PlaceholderDocument(kind, src.URI))
	words = placeholderWords(kind)
	if or != "" {
		set.OrSet, _ = jwks.Parse(jwks.PlaceholderDocument(or, src.URI))
		set.OrMissing = &envoy.Missing{
			What: "which placeholder key istiod " + v.String() + " pushes",
			Why:  version.PlaceholderPublicOnly.SinceWords() + " have one that nobody can sign with; it may have been taken back into this build",
			Hint: "look at the key set in the proxy's config_dump",
		}
		words += ", unless it is the older one, whose private half is public"
	}
	return set, words
}

// placeholderWords is what a placeholder of a kind means for tokens.
func placeholderWords(kind string) string {
	if kind == jwks.PlaceholderForgeable {
		return "its private half is public: whoever has it can make tokens that pass"
	}
	return "every token of this issuer is refused"
}

// undocumented are the keys of a jwksUri that nobody is documented to fetch.
func undocumented(src envoy.KeySource) envoy.KeySet {
	return envoy.KeySet{Missing: &envoy.Missing{
		What: "the keys at " + src.URI,
		Why:  "ASM documents jwksUri since 1.13; before, it is not known to be fetched",
		Hint: "put the keys into jwks, or upgrade",
	}}
}
