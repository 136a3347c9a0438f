package tcases

import (
	"fmt"
	"strings"

	"github.com/asmjwt/kubectl-asmjwt/internal/testkit/judge"
)

// Expect is what a row says about an Answer. Status 200 without a GRPC part means
// that the application got the request.
type Expect struct {
	Status int
	// Body and Details are compared where the proxy answers itself.
	Body, Details string
	// WWWAuthenticate must be part of that header.
	WWWAuthenticate string
	// GRPC is set where the denial is told in gRPC's way.
	GRPC *GRPC
	// Closed: no HTTP answer. Refused: part of the reason why the listener was
	// refused.
	Closed  bool
	Refused string
	// Upstream are assertions about the request that the application got.
	Upstream []HeaderWant
}

// GRPC is the status of a gRPC call.
type GRPC struct {
	Status  int
	Message string
}

// HeaderWant says that a header is, or is not, in the request that arrives.
type HeaderWant struct {
	Name   string
	Absent bool
}

// Check compares an answer with what is expected and lists the differences.
func (e Expect) Check(got judge.Answer) []string {
	var diff []string
	differ := func(what string, want, got any) {
		if want != got {
			diff = append(diff, fmt.Sprintf("%s: want %#v, got %#v", what, want, got))
		}
	}
	if e.Refused != "" {
		if !strings.Contains(got.Refused, e.Refused) {
			diff = append(diff, fmt.Sprintf("refused: want a reason with %q, got %q", e.Refused, got.Refused))
		}
		return diff
	}
	differ("refused", "", got.Refused)
	differ("closed", e.Closed, got.Closed)
	differ("status", e.Status, got.Status)
	if e.passes() {
		if got.Upstream == nil {
			return append(diff, "the application did not get the request")
		}
		return append(diff, e.checkUpstream(*got.Upstream)...)
	}
	if got.Upstream != nil {
		diff = append(diff, "the application got the request")
	}
	differ("body", e.Body, got.Body)
	differ("details", e.Details, got.Details)
	if !strings.Contains(got.WWWAuthenticate, e.WWWAuthenticate) {
		diff = append(diff, fmt.Sprintf("www-authenticate: want a value with %q, got %q", e.WWWAuthenticate, got.WWWAuthenticate))
	}
	return append(diff, e.checkGRPC(got)...)
}

// passes reports whether the application is to get the request.
func (e Expect) passes() bool {
	return e.Status == 200 && e.GRPC == nil
}

func (e Expect) checkGRPC(got judge.Answer) []string {
	switch {
	case e.GRPC == nil && got.GRPCStatus == nil:
		return nil
	case e.GRPC == nil:
		return []string{fmt.Sprintf("grpc-status: want none, got %d", *got.GRPCStatus)}
	case got.GRPCStatus == nil:
		return []string{fmt.Sprintf("grpc-status: want %d, got none", e.GRPC.Status)}
	}
	var diff []string
	if *got.GRPCStatus != e.GRPC.Status {
		diff = append(diff, fmt.Sprintf("grpc-status: want %d, got %d", e.GRPC.Status, *got.GRPCStatus))
	}
	if got.GRPCMessage != e.GRPC.Message {
		diff = append(diff, fmt.Sprintf("grpc-message: want %q, got %q", e.GRPC.Message, got.GRPCMessage))
	}
	return diff
}

func (e Expect) checkUpstream(got judge.Upstream) []string {
	var diff []string
	for _, want := range e.Upstream {
		found := false
		for _, h := range got.Headers {
			found = found || h.Name == want.Name
		}
		if found == want.Absent {
			diff = append(diff, fmt.Sprintf("upstream header %s: want it there: %t, got: %t", want.Name, !want.Absent, found))
		}
	}
	return diff
}

// JWT status strings that the rows quote.
const (
	badForm      = "Jwt is not in the form of Header.Payload.Signature with two dots and 3 sections"
	badAudience  = "Audiences in Jwt are not allowed"
	badIssuer    = "Jwt issuer is not configured"
	badSignature = "Jwt verification fails"
	noKey        = "Jwks doesn't have key to match kid or alg from Jwt"
	expired      = "Jwt is expired"
	fetchFailed  = "Jwks remote fetch is failed"
)

// passed expects status 200 of the application itself.
func passed(upstream ...HeaderWant) Expect {
	return Expect{Status: 200, Upstream: upstream}
}

func kept(name string) HeaderWant { return HeaderWant{Name: name} }
func gone(name string) HeaderWant { return HeaderWant{Name: name, Absent: true} }

// j401 is the rows' J401: a denial by JWT with that body.
func j401(status string) Expect { return jwtDenied(401, status) }

// j403 is a denial because of the audience.
func j403() Expect { return jwtDenied(403, badAudience) }

func jwtDenied(code int, status string) Expect {
	return Expect{
		Status: code, Body: status,
		Details:         "jwt_authn_access_denied{" + strings.ReplaceAll(status, " ", "_") + "}",
		WWWAuthenticate: `error="invalid_token"`,
	}
}

// rbac403 is the rows' RBAC403[id].
func rbac403(id string) Expect {
	return Expect{Status: 403, Body: "RBAC: access denied", Details: "rbac_access_denied_matched_policy[" + id + "]"}
}

// inGRPC is the same denial as a gRPC client sees it.
func inGRPC(e Expect, status int) Expect {
	e.Status, e.GRPC, e.Body = 200, &GRPC{Status: status, Message: e.Body}, ""
	return e
}

// inHEAD is the same denial without a body.
func inHEAD(e Expect) Expect {
	e.Body = ""
	return e
}

// closed expects no HTTP answer at all; details may be empty.
func closed(details string) Expect { return Expect{Closed: true, Details: details} }

// refused expects that Envoy does not take the listener.
func refused(reason string) Expect { return Expect{Refused: reason} }

// policyP is the id of a rule of the policy p of namespace foo.
func policyP(rule int) string { return fmt.Sprintf("ns[foo]-policy[p]-rule[%d]", rule) }

const noMatch = "none"
