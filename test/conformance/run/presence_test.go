package run

import (
	"slices"
	"testing"

	jwtauthn "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/jwt_authn/v3"
	"google.golang.org/protobuf/proto"
)

// jwtFilter has a provider for each of the lists of claims.
func jwtFilter(claims ...[]string) *jwtauthn.JwtAuthentication {
	f := &jwtauthn.JwtAuthentication{Providers: map[string]*jwtauthn.JwtProvider{}, Rules: []*jwtauthn.RequirementRule{{
		RequirementType: &jwtauthn.RequirementRule_Requires{Requires: need("origins-0")}}}}
	for i, c := range claims {
		f.Providers["origins-"+string(rune('0'+i))] = &jwtauthn.JwtProvider{
			NormalizePayloadInMetadata: &jwtauthn.JwtProvider_NormalizePayload{SpaceDelimitedClaims: c}}
	}
	return f
}

func need(name string) *jwtauthn.JwtRequirement {
	return &jwtauthn.JwtRequirement{RequiresType: &jwtauthn.JwtRequirement_ProviderName{ProviderName: name}}
}

func TestRequirePresence_ThatTheTreeIsTheOneOfTheDesign(t *testing.T) {
	optional, required := []string{"permission", "scope"}, []string{requiredMark, "permission", "scope"}
	for name, c := range map[string]struct {
		claims [][]string
		want   *jwtauthn.JwtRequirement
	}{
		"one, required":             {[][]string{required}, need("origins-0")},
		"the second of three":       {[][]string{optional, required, optional}, allOf([]*jwtauthn.JwtRequirement{orMissing(need("origins-0")), need("origins-1"), orMissing(need("origins-2"))})},
		"both of two":               {[][]string{required, required}, allOf([]*jwtauthn.JwtRequirement{need("origins-0"), need("origins-1")})},
		"none: istiod's tree stays": {[][]string{optional}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			f := jwtFilter(c.claims...)
			before := proto.Clone(f)
			changed, err := requirePresence(f)
			if err != nil {
				t.Fatal(err)
			}
			if c.want == nil {
				if changed || !proto.Equal(before, f) {
					t.Errorf("changed to %v", f)
				}
				return
			}
			if !changed || !proto.Equal(f.Rules[0].GetRequires(), c.want) {
				t.Errorf("got %v, want %v", f.Rules[0].GetRequires(), c.want)
			}
			for name, p := range f.Providers {
				if got := p.NormalizePayloadInMetadata.SpaceDelimitedClaims; !slices.Equal(got, optional) {
					t.Errorf("%s: the mark is still there: %q", name, got)
				}
			}
		})
	}
}

func TestRequirePresence_ThatAFilterOfAnotherShapeIsAnError(t *testing.T) {
	f := jwtFilter([]string{requiredMark})
	f.Providers["other"] = f.Providers["origins-0"]
	delete(f.Providers, "origins-0")
	if _, err := requirePresence(f); err == nil {
		t.Error("no error for a provider of another name")
	}
	f = jwtFilter([]string{requiredMark})
	f.Rules = nil
	if _, err := requirePresence(f); err == nil {
		t.Error("no error without a rule")
	}
}
