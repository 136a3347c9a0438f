package proxy

import (
	"strconv"
	"strings"

	"github.com/asmjwt/kubectl-asmjwt/pkg/envoy"
)

// inWords says what a matcher compares and with what, in the words of the policy that
// it was made of as far as they can be told from it.
func inWords(m envoy.Matcher) (attribute, value string) {
	switch m := m.(type) {
	case *envoy.HeaderMatch:
		value = pattern(m.String)
		if m.Present {
			value = "*"
		}
		switch m.Name {
		case ":authority":
			return "hosts", value
		case ":method":
			return "methods", value
		}
		return "request.headers[" + m.Name + "]", value
	case *envoy.PathMatch:
		return "paths", pattern(m.String)
	case *envoy.TemplateMatch:
		return "paths", templateWords.Replace(m.Template)
	case *envoy.PortMatch:
		return "ports", strconv.Itoa(int(m.Port))
	case *envoy.SNIMatch:
		return "connection.sni", pattern(m.String)
	case *envoy.IPMatch:
		return map[envoy.IPSide]string{envoy.DirectRemoteIP: "ipBlocks", envoy.RemoteIP: "remoteIpBlocks", envoy.DestinationIP: "destination.ip"}[m.Side],
			m.Block.String()
	case *envoy.IdentityMatch:
		return identity(m.String)
	case *envoy.TunnelPeerMatch:
		return identity(m.String)
	case *envoy.PrincipalMatch:
		return "requestPrincipals", principalPattern(m)
	case *envoy.ClaimMatch:
		return claimKey(m.Path), pattern(m.String)
	case *envoy.ClaimShapeMatch:
		return claimKey(m.Path), pattern(m.String)
	case *envoy.MetadataMatch:
		value = pattern(m.String)
		if m.List {
			value = "[" + value + "]"
		}
		return "experimental." + m.Filter + "[" + m.Key + "]", value
	}
	return "a matcher of the proxy", "several values"
}

// templateWords turn the operators of a path template back into Istio's.
var templateWords = strings.NewReplacer("{**}", "{**}", "{*}", "{*}", "**", "{**}", "*", "{*}")

// pattern writes a string matcher as a policy would.
func pattern(m envoy.StringMatch) string {
	switch m.Kind {
	case envoy.StringPrefix:
		return m.Value + "*"
	case envoy.StringSuffix:
		return "*" + m.Value
	case envoy.StringNonEmpty:
		return "*"
	case envoy.StringRegex:
		return "the regular expression " + m.Value
	default:
		return m.Value
	}
}

// identity tells apart what source.principal and source.namespace become.
func identity(m envoy.StringMatch) (attribute, value string) {
	if m.Kind == envoy.StringRegex {
		if ns, ok := strings.CutPrefix(m.Value, ".*/ns/"); ok {
			return "namespaces", strings.ReplaceAll(strings.ReplaceAll(strings.TrimSuffix(ns, "/.*"), ".*", "*"), `\`, "")
		}
		return "principals", "the regular expression " + m.Value
	}
	return "principals", strings.Replace(pattern(m), "spiffe://", "", 1)
}

func principalPattern(m *envoy.PrincipalMatch) string {
	iss, sub := pattern(m.Issuer), pattern(m.Subject)
	if iss == "*" && sub == "*" {
		return "*"
	}
	return iss + "/" + sub
}

func claimKey(path []string) string {
	switch {
	case len(path) == 1 && path[0] == "aud":
		return "request.auth.audiences"
	case len(path) == 1 && path[0] == "azp":
		return "request.auth.presenter"
	}
	return "request.auth.claims[" + strings.Join(path, "][") + "]"
}
