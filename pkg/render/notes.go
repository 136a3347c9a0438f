package render

import (
	"net/http"
	"slices"
	"strings"

	"github.com/asmjwt/kubectl-asmjwt/pkg/diag"
	"github.com/asmjwt/kubectl-asmjwt/pkg/diagnose"
	"github.com/asmjwt/kubectl-asmjwt/pkg/envoy"
)

// notes are what is worth knowing beside the walk.
func (p *page) notes(d *diagnose.Diagnosis) {
	findings := slices.DeleteFunc(slices.Clone(d.Findings), func(f diagnose.Finding) bool { return said(d, f) })
	if len(findings)+len(d.Gaps)+len(d.Assumed) > 0 {
		p.line("")
	}
	for _, f := range findings {
		text := clean(f.Message)
		if f.Object != nil && !names(f.Message, f.Object.Name) {
			field := f.Field
			if field == "" {
				field = f.Object.Field
			}
			text = strings.TrimSpace(object(f.Object)+" "+strings.TrimPrefix(clean(field), ".")) + ": " + text
		}
		p.labelled(clean(string(f.Severity)), text+"  "+clean(string(f.Code)))
	}
	p.gaps(d.Gaps)
	if len(d.Assumed) > 0 {
		p.labelled("assumed", assumed(d.Assumed))
	}
}

// names reports whether a text has a name as a word of its own: a part of a longer one,
// like an object "report" in "app=reports", does not tell whose the finding is.
func names(text, name string) bool {
	inside := func(c byte) bool {
		return c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c == '-' || c == '.' || c == '='
	}
	for from := 0; name != ""; {
		at := strings.Index(text[from:], name)
		if at < 0 {
			return false
		}
		begin, end := from+at, from+at+len(name)
		if (begin == 0 || !inside(text[begin-1])) && (end == len(text) || !inside(text[end])) {
			return true
		}
		from = begin + 1
	}
	return false
}

// said reports whether the reason has said already what a finding says.
func said(d *diagnose.Diagnosis, f diagnose.Finding) bool {
	return f.Code == d.Code && (f.Severity == diag.Info || strings.Contains(d.Because, f.Message)) ||
		f.Code == diag.DryRunDenies && d.Code == diag.DryRunDenies
}

// assumed are the settings that nobody said, those of one source together.
func assumed(all []diagnose.Assumption) string {
	var parts []string
	for i := 0; i < len(all); {
		var same []string
		source := all[i].Source
		for ; i < len(all) && all[i].Source == source; i++ {
			same = append(same, clean(all[i].Setting)+unbroken+quote(all[i].Value))
		}
		parts = append(parts, strings.Join(same, ", ")+" ("+clean(source)+")")
	}
	return strings.Join(parts, ", ")
}

// next is what to do now.
func (p *page) next(d *diagnose.Diagnosis) {
	switch {
	case d.WhatIf != nil:
		return // it is the first line
	case len(d.Fixes) > 0:
		p.fixes(d.Fixes)
		return
	}
	v := d.Verdict
	switch {
	case v.Decision == envoy.Undetermined:
		p.undeterminedNext(d)
	case d.Observed != nil && !d.Observed.Agrees:
		p.command("next", differsNext(d))
	case d.Code == diag.NoProxy && d.Target.Role != string(envoy.RoleNone):
		p.command("next", "take the port out of the annotation, and restart the pods")
	case d.Code == diag.ConnectionRefused && d.Target.Role == string(envoy.RoleGateway):
		p.command("next", "ask as a client of the gateway does: --url https://HOST/PATH, or http:// where it serves that")
	case d.Code == diag.ForbiddenNoToken && d.Log != nil && d.Log.Decides:
		p.command("next", "send a token; whether it would do: --jwt-file FILE")
	case steps[d.Code] != "":
		p.command("next", steps[d.Code])
	case v.Decision == envoy.Denied && v.Status == http.StatusUnauthorized:
		p.command("next", "ask again with another token: --jwt-file FILE")
	case v.Decision == envoy.Denied && v.DecidedBy == nil && d.Request.Identity == "none":
		p.command("next", "say who calls, if it is somebody: --from TYPE/NAME")
	case v.Decision == envoy.Denied:
		p.command("next", "every policy, rule and condition: -o wide")
	default:
		p.labelled("next", "make it a test: --expect 200")
	}
}

// steps are the next steps that fit a reason.
var steps = map[diag.Code]string{
	diag.RequestRejected:    "correct the client: no policy can change this answer",
	diag.KeyDropped:         "sign with a key that the proxy knows, or add one to the set",
	diag.RuleDropped:        "correct the value that is named",
	diag.ValueDropped:       "correct the value that is named",
	diag.TargetRefIgnored:   "use spec.selector for sidecars and classic gateways, spec.targetRefs for the others",
	diag.NotEnforced:        "deploy a waypoint, and give the policies targetRefs to the Service",
	diag.AbsentNegative:     "add a condition that the value is there: values [\"*\"] beside notValues",
	diag.ClaimNotText:       "name the member that has the text, or let the issuer write the claim as text",
	diag.CaseDiffers:        "write the value as clients send it",
	diag.MethodNotHTTP:      "write the gRPC method into paths: /package.Service/Method",
	diag.NoPolicyAllowed:    "correct the rule that was meant for the request, or add one",
	diag.ConnectionRefused:  "let the client join the mesh, or make the port PERMISSIVE",
	diag.SeveralTokens:      "send one token, or give each rule a place of its own: spec.jwtRules[].fromHeaders",
	diag.KeysNotFetched:     "make the keys reachable for those who fetch them, or put them into spec.jwtRules[].jwks",
	diag.ListenerRefused:    "correct the field that is named; then look for error_state in the proxy's config_dump",
	diag.TokenIssuer:        "make spec.jwtRules[].issuer equal to the iss of the token, or let the issuer write the other",
	diag.TokenAudience:      "add the audience to spec.jwtRules[].audiences, or ask for a token for this service",
	diag.TokenMissing:       "send a token where the rule looks: --jwt-file FILE",
	diag.TokenNoKey:         "compare the kid with the set that the issuer publishes now",
	diag.TokenSignature:     "ask again with a token as the issuer made it: --jwt-file FILE",
	diag.TokenMalformed:     "ask again with a token as the issuer made it: --jwt-file FILE",
	diag.TokenExpired:       "ask again with a fresh token: --jwt-file FILE",
	diag.TokenNotYetValid:   "compare the clocks: date -u in the pod, and at the issuer",
	diag.TokenNotFound:      "send the token where the rule looks, or add the place to spec.jwtRules[].fromHeaders",
	diag.ProxyDiffers:       "wait for the next push, or cause one; then look for error_state in the proxy's config_dump",
	diag.TokenTaken:         "set forwardOriginalToken: true in the rule of the hop in front",
	diag.ForbiddenNoToken:   "ask again with a token: --jwt-file FILE",
	diag.NothingVerifies:    "create a RequestAuthentication for the workload",
	diag.TokenNotRequired:   "ask for a token with an AuthorizationPolicy: DENY with notRequestPrincipals [\"*\"]",
	diag.SelectorMisses:     "correct the selector: kubectl get pods --show-labels",
	diag.OtherNamespace:     "create the policy in the namespace of the workload",
	diag.NoProxy:            "let the injector put a proxy into the pods, and restart them",
	diag.AllowOpens:         "narrow the rule that lets it in, or ask for the token with a DENY policy",
	diag.PathNearMiss:       "write the path as clients send it, or both forms",
	diag.HostNearMiss:       "write the host with and without the port",
	diag.PrincipalWithoutID: "ask for the issuer: when request.auth.claims[iss], or let the issuer write a sub",
	diag.PrincipalFormat:    "write the principal as ISSUER/SUBJECT",
	diag.IdentityNeedsMTLS:  "give the client a sidecar, or ask for something else than an identity",
	diag.PreflightRefused:   "let OPTIONS pass without a token: an ALLOW rule, or notMethods in the DENY rule",
	diag.PortNotHTTP:        "name the port http-NAME in the Service, or set appProtocol: http",
	diag.CustomProviderBad:  "compare spec.provider.name with meshConfig.extensionProviders",
	diag.AllowsNothing:      "add an ALLOW policy for what may pass",
	diag.PolicyDenied:       "leave the request out of the DENY rule, if it is meant to pass",
	diag.DryRunDenies:       "before it is enforced, make sure that this request is meant to be refused",
}
