package observe

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/asmjwt/kubectl-asmjwt/internal/lazyregexp"
	"github.com/asmjwt/kubectl-asmjwt/pkg/diagnose"
	"github.com/asmjwt/kubectl-asmjwt/pkg/envoy"
	"github.com/asmjwt/kubectl-asmjwt/pkg/jwt"
)

// request compares the request that was seen with the one that was asked about.
func (s *search) request() {
	sent, in := s.a.Request, s.q.Intent
	if sent == nil {
		return
	}
	sameHost := sent.Host == "" || in.Host == "" || strings.EqualFold(sent.Host, in.Host)
	if sent.Method == in.Method && sent.Path == in.Path && sameHost {
		return
	}
	weight := 60
	if !s.a.HeadersKnown {
		weight = 28 // the path of a log may be the normalized one
	}
	text := sent.Method + " " + sent.Path
	try := "ask about that one: --method " + sent.Method + " --path '…'"
	if !sameHost {
		text += " at " + sent.Host
		try += " --host " + sent.Host
	}
	r := diagnose.Reason{
		Cause: "request", Message: "another request was made than the one asked about", Evidence: "what was seen is " + text, Try: try,
	}
	change := func(in *diagnose.Intent) {
		in.Method, in.Path = sent.Method, sent.Path
		if sent.Host != "" {
			in.Host = sent.Host
		}
	}
	if !s.fitting(weight, r, change) {
		s.add(weight, r)
	}
}

// carriesToken reports whether a header line looks like one with a credential.
func carriesToken(h envoy.Header) bool {
	return strings.EqualFold(h.Name, "authorization") || strings.Contains(h.Value, "eyJ")
}

func (s *search) token() {
	tokens := len(s.d.Tokens)
	status, byToken := s.refusal()
	sent := s.a.Request
	sentToken := sent != nil && slices.ContainsFunc(sent.Headers, carriesToken)
	sentNone := sent != nil && s.a.HeadersKnown && !sentToken
	switch {
	case byToken && status == jwt.Missed:
		s.missed(sentToken)
		return
	case tokens == 0 && sentToken:
		s.add(58, diagnose.Reason{
			Cause: "token", Message: "the request had a token, and the question has none", Evidence: "the request that was seen has an Authorization header",
			Try: "--jwt-file FILE",
		})
	case tokens == 0 && byToken:
		s.add(57, diagnose.Reason{
			Cause: "token", Message: "the request had a token, and the question has none", Evidence: "only a token that is there is refused so", Try: "--jwt-file FILE",
		})
	case tokens > 0 && !byToken:
		r := diagnose.Reason{
			Cause: "token", Message: "the token did not arrive: a hop in front took it off, or the client did not send it",
			Evidence: "without the token the verdict is what was seen",
			Try:      "see whether a hop in front validates the token without forwardOriginalToken",
		}
		weight, lead := 40, ""
		switch {
		case sentNone:
			weight, r.Evidence = 62, "the request that was seen has no token"
		case s.ownLog():
			lead = "the logged request had no valid token"
			r.Message = lead + ": a hop in front took it off, or the client did not send it"
			if at := s.d.Log.Rule; at != nil && s.d.Log.Outcome == envoy.NotMatched {
				r.Message = fmt.Sprintf("%s: with the one that was given, %s does not match", lead, ruleName(*at))
			}
		}
		switch {
		case s.fitting(weight, r, withoutTokens):
			s.lead(lead)
		case sentNone:
			s.add(weight, r)
		}
	}
	if tokens > 0 && (byToken || s.byJWT()) {
		s.add(33, diagnose.Reason{
			Cause: "token", Message: "another token was sent than the one that was given", Try: "compare its iss, exp and kid with those below",
		})
	}
}

// missed looks at "Jwt is missing", which a proxy says of a request without a token where
// a rule requires one: without presence: REQUIRED such a request passes (Envoy
// source/extensions/filters/http/jwt_authn/verifier.cc:AllowMissingVerifierImpl).
func (s *search) missed(sentToken bool) {
	r := diagnose.Reason{
		Cause: "token", Message: "no token arrived where the proxy looks: a hop in front took it off, or the client did not send it",
		Evidence: "without the token the verdict is what was seen", Try: "see whether a hop in front validates the token without forwardOriginalToken",
	}
	switch v := s.d.Verdict; {
	case len(s.d.Tokens) > 0 && s.fitting(62, r, withoutTokens), v.Decision == envoy.Denied && v.Status == 0:
		return
	case len(s.d.Tokens) > 0 && s.q.Ask == nil: // whether a rule requires one here is not known
		r.Evidence = "only a request without a token is refused so"
		s.add(62, r)
		return
	}
	r = diagnose.Reason{
		Cause: "push", Message: "no token arrived, and the proxy requires one: it holds a rule with presence: REQUIRED, and none of those that reach the workload here has that",
		Evidence: "only a request without a token is refused so, and only by such a rule", Try: askProxy,
	}
	if sentToken {
		r.Message = "no token arrived where the proxy looks, and it requires one there: it holds a rule with presence: REQUIRED, and none of those that reach the workload here has that"
	}
	s.add(66, r)
	s.lead("no token arrived, and the proxy requires one, which no rule here does")
}

// withoutTokens takes the tokens out of a request.
func withoutTokens(in *diagnose.Intent) {
	if in.Unseen == nil {
		in.Headers = slices.DeleteFunc(in.Headers, carriesToken)
	}
	for i, h := range in.Headers { // where not all were seen, one that is not listed may be there
		if carriesToken(h) {
			in.Headers[i].Value = ""
		}
	}
	if path, query, found := strings.Cut(in.Path, "?"); found {
		kept := slices.DeleteFunc(strings.Split(query, "&"), func(p string) bool {
			return strings.HasPrefix(p, "access_token=") || strings.Contains(p, "=eyJ")
		})
		in.Path = path + "?" + strings.Join(kept, "&")
	}
}

// byJWT reports whether the verdict is one about a token.
func (s *search) byJWT() bool {
	return strings.HasPrefix(s.d.Verdict.ResponseCodeDetails, "jwt_authn_access_denied")
}

// skew is what Envoy allows a clock to be wrong by, in seconds (Envoy
// jwt_verify_lib/verify.h:kClockSkewInSecond).
const skew = 60

func stamp(t int64) string { return time.Unix(t, 0).UTC().Format(time.RFC3339) }

// clock looks at times: of the answer, of the token, and of the question.
func (s *search) clock() {
	now := s.q.Intent.Time
	if text, ok := s.a.header("date"); ok {
		date, err := time.Parse(time.RFC1123, text)
		if at := date.Unix(); err == nil && (at > now+skew || at < now-skew) {
			s.fitting(50, diagnose.Reason{
				Cause: "clock", Message: "the answer is of another time than the one asked about",
				Evidence: "its date is " + stamp(at) + ", the question is for " + stamp(now), Try: "--at " + stamp(at),
			}, func(in *diagnose.Intent) { in.Time = at })
		}
	}
	body, _ := jwtBody(strings.TrimSpace(s.a.Body))
	for _, t := range s.d.Tokens {
		expires, begins := int64(min(t.Expires, 1<<40)), int64(min(t.NotBefore, 1<<40))
		says := "the token is valid until " + stamp(expires)
		if begins > 0 {
			says = "the token is valid from " + stamp(begins)
		}
		switch {
		case body == jwt.Expired && expires > now-skew:
			r := diagnose.Reason{
				Cause: "clock", Message: "the proxy's clock is ahead, or the token was sent later than the time asked about",
				Evidence: says + ", the question is for " + stamp(now), Try: "compare date -u in the pod with the time here",
			}
			weight := 45
			if expires > now+86400 {
				weight = -75 // a clock that is wrong by days is rare: below what is likely
			}
			s.fitting(weight, r, func(in *diagnose.Intent) { in.Time = expires + skew + 2 })
		case body == jwt.NotYetValid && begins > 0:
			s.fitting(45, diagnose.Reason{
				Cause: "clock", Message: "the proxy's clock is behind, or the token was sent earlier than the time asked about",
				Evidence: says + ", the question is for " + stamp(now), Try: "compare date -u in the pod with the time here",
			}, func(in *diagnose.Intent) { in.Time = begins - skew - 2 })
		case s.d.Verdict.Body == jwt.Expired.String():
			s.fitting(45, diagnose.Reason{
				Cause: "clock", Message: "the request was made while the token was valid, or the proxy's clock is behind",
				Evidence: says + ", the question is for " + stamp(now), Try: "--at with the time of the request",
			}, func(in *diagnose.Intent) { in.Time = expires })
		case s.d.Verdict.Body == jwt.NotYetValid.String():
			s.fitting(45, diagnose.Reason{
				Cause: "clock", Message: "the request was made when the token was valid already, or the proxy's clock is ahead",
				Evidence: says + ", the question is for " + stamp(now), Try: "--at with the time of the request",
			}, func(in *diagnose.Intent) { in.Time = begins })
		}
	}
}

// keyTrouble are the denials that depend on which keys a proxy has.
var keyTrouble = []jwt.Status{jwt.VerificationFails, jwt.JwksNoMatchingKey, jwt.JwksFetchFailed, jwt.JwksNoValidKeys}

func (s *search) keys() {
	seen, _ := jwtBody(strings.TrimSpace(s.a.Body))
	said, _ := jwtBody(s.d.Verdict.Body)
	switch {
	case len(s.d.Tokens) > 0 && slices.Contains(keyTrouble, seen):
		s.add(50, diagnose.Reason{
			Cause: "keys", Message: "the proxy has other keys than the question: older ones, or a placeholder because they could not be fetched",
			Evidence: "the proxy refuses the signature, not what the token says", Try: "look at the keys in the proxy's config_dump",
		})
	case slices.Contains(keyTrouble, said):
		s.add(50, diagnose.Reason{
			Cause: "keys", Message: "the proxy has other keys than the question", Evidence: "here the signature is refused",
			Try: "compare the keys of --jwks with those in the proxy's config_dump",
		})
	}
}

// identity asks whether the proxy knew the client.
func (s *search) identity() {
	who := s.q.Intent.Caller
	switch {
	case who.From.Name != "" || who.Principal != "":
		s.fitting(42, diagnose.Reason{
			Cause: "identity", Message: "the proxy does not know the client: it has no sidecar, or its traffic goes past it",
			Evidence: "for a client in plaintext the verdict is what was seen", Try: "--plaintext in the place of --from",
		}, func(in *diagnose.Intent) {
			in.Caller = diagnose.Caller{Plaintext: true, IP: who.IP, RemoteIP: who.RemoteIP}
		})
	case author(s.a.Body) == byJWT: // which knows no client
	case s.d.Request.Identity == "none" && s.d.Target.Role == string(envoy.RoleSidecar):
		s.add(24, diagnose.Reason{
			Cause: "identity", Message: "the client has an identity, and was taken for one without", Try: "--from TYPE/NAME",
		})
	}
}

// matchedPolicy is a policy in the details of a denial.
var matchedPolicy = lazyregexp.New(`matched_policy\[ns\[([^\]]*)\]-policy\[([^\]]*)\]-rule\[(\d+)\]`)

// policy looks at which policy decided, where an access log says so.
func (s *search) policy() {
	m := matchedPolicy.FindStringSubmatch(s.a.Details)
	explained := s.d.Log != nil && (s.d.Log.Gone || slices.ContainsFunc(s.found, func(w weighed) bool { return w.Fits }))
	if m == nil || explained || s.a.Details == s.d.Verdict.ResponseCodeDetails {
		return
	}
	r := diagnose.Reason{
		Cause: "push", Message: fmt.Sprintf("the rule that decided there is not the one that decides here: AuthorizationPolicy %s/%s, rules[%s]", m[1], m[2], m[3]),
		Evidence: "the access log names it", Try: "is it among the objects as the cluster has it, and is the log this workload's?",
	}
	if s.ownLog() && s.d.Log.Outcome == envoy.NotMatched {
		r.Message = ruleName(*s.d.Log.Rule) + " was changed since, or the logged request was another one: it does not match this one"
		r.Try = "compare the request with the line, and the rule with what it was then"
	}
	s.add(65, r)
}
