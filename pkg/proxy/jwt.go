package proxy

import (
	"encoding/json"
	"fmt"
	"slices"
	"sort"
	"strconv"
	"strings"

	"github.com/asmjwt/kubectl-asmjwt/pkg/envoy"
	"github.com/asmjwt/kubectl-asmjwt/pkg/origin"
)

// jwtFilter reads envoy.filters.http.jwt_authn with the one rule that Istio writes.
func (r *reading) jwtFilter(config object) (envoy.Filter, error) {
	var providers map[string]json.RawMessage
	if raw := config.raw("providers"); raw != nil {
		if err := json.Unmarshal(raw, &providers); err != nil {
			return nil, fmt.Errorf("providers that cannot be read")
		}
	}
	f := &envoy.JWTAuthn{BypassCORSPreflight: config.flag("bypass_cors_preflight")}
	if !f.BypassCORSPreflight {
		f.WithoutBypass = "the proxy's JWT filter does not let CORS preflights pass without a look at tokens"
	}
	index := map[string]int{}
	for _, name := range providerNames(providers) {
		o, err := parseObject(providers[name])
		if err != nil {
			return nil, fmt.Errorf("a provider that cannot be read")
		}
		p, err := r.provider(name, o)
		if err != nil {
			return nil, err
		}
		index[name] = len(f.Providers)
		f.Providers = append(f.Providers, p)
	}
	rules := config.objects("rules")
	if len(rules) != 1 || rules[0].sub("match").text("prefix") != "/" || config.has("filter_state_rules") || config.has("requirement_map") {
		return nil, fmt.Errorf("%d rules for tokens, of a form that Istio does not write", len(rules))
	}
	var err error
	f.Requirement, err = requirement(rules[0].sub("requires"), index)
	return f, err
}

// providerNames are origins-0, origins-1, … in the order of their numbers.
func providerNames(m map[string]json.RawMessage) []string {
	names := make([]string, 0, len(m))
	for n := range m {
		names = append(names, n)
	}
	number := func(n string) int {
		i, err := strconv.Atoi(n[strings.LastIndexByte(n, '-')+1:])
		if err != nil {
			return -1
		}
		return i
	}
	sort.Slice(names, func(i, j int) bool {
		a, b := number(names[i]), number(names[j])
		return a < b || a == b && names[i] < names[j]
	})
	return names
}

func requirement(o object, index map[string]int) (envoy.Requirement, error) {
	name, err := o.only()
	if err != nil {
		return envoy.Requirement{}, err
	}
	switch name {
	case "provider_name":
		i, ok := index[o.text(name)]
		if !ok {
			return envoy.Requirement{}, fmt.Errorf("a requirement of a provider that it does not have")
		}
		return envoy.Requirement{Kind: envoy.RequireProvider, Provider: i}, nil
	case "allow_missing":
		return envoy.Requirement{Kind: envoy.AllowMissing}, nil
	case "requires_any", "requires_all":
		r := envoy.Requirement{Kind: envoy.RequireAny}
		if name == "requires_all" {
			r.Kind = envoy.RequireAll
		}
		for _, e := range o.sub(name).objects("requirements") {
			child, err := requirement(e, index)
			if err != nil {
				return r, err
			}
			if child.Kind == envoy.AllowMissing && r.Kind == envoy.RequireAll {
				return r, fmt.Errorf("allow_missing where all are required")
			}
			r.Children = append(r.Children, child)
		}
		return r, nil
	}
	return envoy.Requirement{}, fmt.Errorf("the requirement %s", name)
}

func (r *reading) provider(name string, o object) (envoy.Provider, error) {
	p := envoy.Provider{
		Name: name, Issuer: o.text("issuer"), Audiences: o.texts("audiences"), Forward: o.flag("forward"), PayloadHeader: o.text("forward_payload_header"),
		SpaceDelimited: o.sub("normalize_payload_in_metadata").texts("space_delimited_claims"),
		Origin:         origin.Origin{Ref: origin.Ref{Kind: "JWT provider", Name: name + " of issuer " + strconv.Quote(o.text("issuer"))}},
	}
	slices.Sort(p.SpaceDelimited)
	for _, unknown := range []string{"clock_skew_seconds", "require_expiration", "max_lifetime", "subjects", "jwt_cache_config", "failed_status_in_metadata"} {
		if o.has(unknown) {
			return p, fmt.Errorf("a provider with %s", unknown)
		}
	}
	for _, h := range o.objects("claim_to_headers") {
		p.ClaimHeaders = append(p.ClaimHeaders, envoy.ClaimHeader{Header: h.text("header_name"), Claim: h.text("claim_name")})
	}
	for _, h := range o.objects("from_headers") {
		p.Locations = append(p.Locations, envoy.Location{Kind: envoy.InHeader, Name: h.text("name"), Prefix: h.text("value_prefix"), Origin: p.Origin})
	}
	for _, n := range o.texts("from_params") {
		p.Locations = append(p.Locations, envoy.Location{Kind: envoy.InParam, Name: n, Origin: p.Origin})
	}
	for _, n := range o.texts("from_cookies") {
		p.Locations = append(p.Locations, envoy.Location{Kind: envoy.InCookie, Name: n, Origin: p.Origin})
	}
	switch {
	case o.has("local_jwks"):
		p.Keys = envoy.KeySource{Fetcher: envoy.Inline, Inline: o.sub("local_jwks").text("inline_string"), Issuer: p.Issuer}
		if !o.sub("local_jwks").has("inline_string") && len(o.sub("local_jwks")) > 0 {
			return p, fmt.Errorf("keys that are not inline")
		}
	case o.has("remote_jwks"):
		uri := o.sub("remote_jwks", "http_uri")
		p.Keys = envoy.KeySource{Fetcher: envoy.ProxyFetch, URI: uri.text("uri"), Issuer: p.Issuer}
		r.dump.remote = append(r.dump.remote, remoteKeys{uri: uri.text("uri"), cluster: uri.text("cluster")})
	default:
		return p, fmt.Errorf("a provider without keys")
	}
	return p, nil
}
