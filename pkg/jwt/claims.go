package jwt

import (
	"encoding/base64"
	"math"
	"slices"
	"strconv"
	"strings"
)

// ClaimHeader renders the claim for outputClaimToHeaders; ok is false where the
// proxy writes no header: for a claim that is absent, null or renders as nothing
// (Envoy source/extensions/filters/http/jwt_authn/authenticator.cc:addJWTClaimToHeader).
// The name is a path that is always cut at the dots.
//
// Objects and lists render as base64 of their JSON. The order of an object's
// members is the proxy's own and changes; here they are by name. ClaimHeaderExact
// tells whether that makes a difference.
func ClaimHeader(payload Value, claim string) (text string, ok bool) {
	v, found := claimAt(payload, claim)
	if !found {
		return "", false
	}
	switch v.kind {
	case String:
		text = v.text
	case Number:
		text = claimNumber(v.number)
	case Bool:
		text = strconv.FormatBool(v.boolean)
	case List, Object:
		text = base64.StdEncoding.EncodeToString(appendProtoJSON(nil, v))
	}
	return text, text != ""
}

// ClaimHeaderExact reports whether ClaimHeader is the only text that the proxy
// may write: no object in the claim has more than one member.
func ClaimHeaderExact(payload Value, claim string) bool {
	v, _ := claimAt(payload, claim)
	return orderless(v)
}

func orderless(v Value) bool {
	if len(v.members) > 1 {
		return false
	}
	for _, m := range v.members {
		if !orderless(m.Value) {
			return false
		}
	}
	for _, e := range v.list {
		if !orderless(e) {
			return false
		}
	}
	return true
}

// claimAt follows the path through objects (struct_utils.cc:GetValue).
func claimAt(v Value, path string) (Value, bool) {
	for name := range strings.SplitSeq(path, ".") {
		if v.kind != Object {
			return Value{}, false
		}
		var found bool
		if v, found = v.Field(name); !found {
			return Value{}, false
		}
	}
	return v, true
}

// claimNumber is authenticator.cc:convertClaimDoubleToString: whole numbers from
// 0 to 2^64 without a fraction, all others with six decimals.
func claimNumber(f float64) string {
	if f < 0 || f >= 1<<64 || math.Trunc(f) != f {
		return strconv.FormatFloat(f, 'f', 6, 64)
	}
	return strconv.FormatUint(uint64(f), 10)
}

// NormalizeSpaceDelimited returns the payload in which each of the claims that is
// a string at the top level is the list of its words. Words are separated by
// blanks, no other white space, and a string without words stays as it is. The
// names are literal, not paths; one that is named twice has its words twice
// (authenticator.cc:setPayloadMetadata).
func NormalizeSpaceDelimited(payload Value, claims []string) Value {
	out := Value{kind: payload.kind, members: slices.Clone(payload.members)}
	for _, claim := range claims {
		i, found := findMember(payload.members, claim)
		if !found || payload.members[i].Value.kind != String {
			continue
		}
		if words := words(payload.members[i].Value.text); len(words) > 0 {
			earlier := out.members[i].Value.list
			out.members[i].Value = Value{kind: List, list: slices.Concat(earlier, words)}
		}
	}
	return out
}

func words(s string) (all []Value) {
	for word := range strings.SplitSeq(s, " ") {
		if word != "" {
			all = append(all, NewString(word))
		}
	}
	return all
}
