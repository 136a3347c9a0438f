package scaffold

import (
	"strings"

	"github.com/asmjwt/kubectl-asmjwt/pkg/version"
)

// gate is something that not every version knows.
type gate struct {
	used    bool
	feature *version.Feature
	what    string // the flag, or the value of one
	hint    string
}

// gates refuses what the control plane does not know: an older one prunes a new
// field without a word, and the policy then says something else.
func (p *planner) gates() error {
	if p.version.IsZero() {
		return nil
	}
	cookies, outputs, uris := false, false, false
	for _, i := range p.in.Issuers {
		cookies = cookies || len(i.FromCookies) > 0
		outputs = outputs || len(i.OutputClaims) > 0
		uris = uris || i.JWKSURI != ""
	}
	templates := false
	for _, path := range append(append([]string(nil), p.in.SkipPaths...), p.in.AllowPaths...) {
		templates = templates || isTemplate(path)
	}
	all := []gate{
		{true, version.RequestAuthentication, "RequestAuthentication", "upgrade: nothing here fits it"},
		{outputs, version.OutputClaimToHeaders, "--output-claim", "leave it out, or upgrade"},
		{cookies, version.FromCookies, "--from-cookie", "take the token from a header or a parameter, or upgrade"},
		{templates, version.PathTemplates, "a path with {*} or {**}", "name the paths, or end them with /*"},
		{p.in.Fetcher == ByEnvoy && uris, version.RemoteJWKS, "--fetcher envoy", "give the keys with --jwks-file"},
	}
	if p.asm {
		all = append(all, gate{uris, version.ASMAlgorithms, "a jwksUri", "give the keys with --jwks-file FILE, or upgrade"})
	}
	for _, ref := range p.place.Refs {
		f := version.TargetRefs
		switch ref.Kind {
		case "Gateway":
			f = version.TargetRef
		case "ServiceEntry":
			f = version.ServiceEntryTargetRef
		case "GatewayClass":
			f = version.GatewayClassTargetRef
		}
		all = append(all, gate{true, f, "--target-ref " + ref.Kind + "/" + ref.Name, "select pods with -l, or upgrade"})
		if len(p.place.Refs) > 1 {
			all = append(all, gate{true, version.TargetRefs, "more than one --target-ref", "make the policies once for each, or upgrade"})
		}
	}
	for _, g := range all {
		if !g.used {
			continue
		}
		switch g.feature.Has(p.version) {
		case version.No:
			return refuse(g.hint, "%s needs %s; the control plane is %s", g.what, p.sinceWords(g.feature), p.versionWords())
		case version.Unsure:
			return refuse("name the exact version", "%s needs %s, and whether %s has it is not known", g.what, p.sinceWords(g.feature), p.versionWords())
		}
	}
	return nil
}

func (p *planner) sinceWords(f *version.Feature) string {
	if f == version.ASMAlgorithms {
		return "ASM 1.13"
	}
	return f.SinceWords()
}

func (p *planner) versionWords() string { return VersionWords(p.version, p.asm) }

// VersionWords are a version as a user knows it.
func VersionWords(v version.Version, asm bool) string {
	if asm {
		return "ASM " + strings.TrimSuffix(v.String(), "-aliyun")
	}
	return "Istio " + v.String()
}

// securityVersion and networkingVersion are the newest versions that the API serves.
func (p *planner) securityVersion() string {
	return apiVersion("security.istio.io", version.SecurityV1, p)
}

func (p *planner) networkingVersion() string {
	return apiVersion("networking.istio.io", version.NetworkingV1, p)
}

func apiVersion(group string, v1 *version.Feature, p *planner) string {
	if v1.Has(p.version) == version.Yes {
		return group + "/v1"
	}
	return group + "/v1beta1"
}
