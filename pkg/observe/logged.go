package observe

import (
	"strings"

	"github.com/asmjwt/kubectl-asmjwt/pkg/diagnose"
	"github.com/asmjwt/kubectl-asmjwt/pkg/envoy"
	"github.com/asmjwt/kubectl-asmjwt/pkg/jwt"
)

// noneMatched are the details of a denial because no ALLOW policy matched (Envoy
// source/extensions/filters/http/rbac/rbac_filter.cc:decodeHeaders).
const noneMatched = "rbac_access_denied_matched_policy[none]"

// askProxy is how to see what a proxy holds.
const askProxy = "ask the proxy itself: --dump with its config_dump"

// ownLog reports whether the answer is a line of this proxy's own log that says who
// decided: then no other proxy did.
func (s *search) ownLog() bool {
	return s.d.Log != nil && (strings.HasPrefix(s.a.Details, "rbac_access_denied") || strings.HasPrefix(s.a.Details, "jwt_authn_access_denied"))
}

// refusal is what was wrong with a token, by the body or by the details of a log, which
// have the blanks replaced.
func (s *search) refusal() (jwt.Status, bool) {
	if status, ok := jwtBody(strings.TrimSpace(s.a.Body)); ok {
		return status, true
	}
	words, ok := strings.CutPrefix(s.a.Details, "jwt_authn_access_denied{")
	if !ok {
		return 0, false
	}
	status, _ := jwtBody(strings.ReplaceAll(strings.TrimSuffix(words, "}"), "_", " "))
	return status, true
}

// log looks at what a log says of the policies that the proxy held then.
func (s *search) log() {
	_, byToken := s.refusal()
	switch l := s.d.Log; {
	case l != nil && l.Gone:
		s.add(80, diagnose.Reason{
			Cause: "push", Message: l.Note + ": the request was refused by what was in force then", Evidence: "the log names " + ruleName(*l.Rule),
			Try: "send the request again: what is in force now decides",
		})
		s.lead(l.Note)
	case s.a.Details == noneMatched && !s.asks(envoy.StageAllow):
		s.add(70, diagnose.Reason{
			Cause: "push", Message: "the proxy has an ALLOW policy, and none of those that reach the workload here is one",
			Evidence: "[none] says that there are ALLOW policies and that none of them matches",
			Try:      "kubectl get authorizationpolicies -A shows whether one is missing here; or " + askProxy,
		})
		s.lead("the proxy has an ALLOW policy, and there is none here")
	case byToken && s.ownLog() && !s.asks(envoy.StageJWT):
		s.add(70, diagnose.Reason{
			Cause: "push", Message: "the proxy has a rule for tokens, and no RequestAuthentication reaches the workload here",
			Evidence: "without one it looks at no token",
			Try:      "kubectl get requestauthentications -A shows whether one is missing here; or " + askProxy,
		})
		s.lead("the proxy has a rule for tokens, and there is none here")
	}
}

// asks reports whether there is something at a stage of the walk.
func (s *search) asks(stage envoy.Stage) bool {
	for _, st := range s.d.Trace {
		if st.Stage == stage && (st.Object != nil || st.Note != "" || len(st.Steps) > 0) {
			return true
		}
	}
	return false
}

func ruleName(p diagnose.Place) string {
	return p.Kind + " " + p.Namespace + "/" + p.Name + " " + strings.TrimPrefix(p.Field, "spec.")
}
