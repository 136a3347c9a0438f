package gen

import (
	"strings"
	"testing"
)

// wanted is features, each of which must turn up at least so often in 2,000 meshes
// with five requests each.
type wanted struct {
	least    int
	prefix   string
	features string // names, separated by blanks
}

// stringForms are the forms of patterns that every string condition has.
const stringForms = "exact prefix suffix any inner-star double-star empty"

var distribution = []wanted{
	{600, "mesh/", "single rich"},
	{80, "field/", `principals namespaces serviceAccounts trustDomains ipBlocks remoteIpBlocks requestPrincipals audiences presenter claims
		headers hosts methods paths ports destination.ip connection.sni experimental unknown`},
	{60, "field/not", `Principals Namespaces ServiceAccounts TrustDomains IpBlocks RemoteIpBlocks RequestPrincipals Audiences Presenter Claims
		Headers Hosts Methods Paths Ports Destination.ip Connection.sni Experimental Unknown`},
	{5, "claims/", stringForms}, {5, "headers/", stringForms}, {5, "hosts/", stringForms}, {5, "methods/", stringForms},
	{5, "paths/", stringForms + " template"}, {5, "audiences/", stringForms}, {5, "presenter/", stringForms}, {5, "connection.sni/", stringForms},
	{3, "notClaims/", stringForms}, {3, "notHeaders/", stringForms}, {3, "notHosts/", stringForms}, {3, "notMethods/", stringForms},
	{3, "notPaths/", stringForms + " template"}, {3, "notAudiences/", stringForms}, {2, "notPresenter/", stringForms},
	{20, "principals/", "exact any suffix any-domain prefix domain-suffix scheme odd"},
	{20, "notPrincipals/", "exact any suffix any-domain prefix domain-suffix scheme odd"},
	{20, "namespaces/", "exact any prefix suffix inner-star special"}, {20, "notNamespaces/", "exact any prefix suffix inner-star special"},
	{20, "serviceAccounts/", "exact namespace-and-name special"}, {20, "notServiceAccounts/", "exact namespace-and-name special"},
	{20, "trustDomains/", "exact any prefix suffix inner-star special"}, {15, "notTrustDomains/", "exact any prefix suffix inner-star special"},
	{20, "ipBlocks/", "address network bad special"}, {15, "notIpBlocks/", "address network bad special"},
	{20, "remoteIpBlocks/", "address network bad special"}, {15, "notRemoteIpBlocks/", "address network bad special"},
	{8, "destination.ip/", "address network bad special"}, {20, "ports/", "exact bad"}, {20, "notPorts/", "exact bad"},
	{20, "requestPrincipals/", `exact any issuer-any-sub any-issuer-sub issuer-prefix sub-suffix star-slash-star no-slash issuer-suffix-sub
		issuer-sub-prefix odd`},
	{20, "notRequestPrincipals/", `exact any issuer-any-sub any-issuer-sub issuer-prefix sub-suffix star-slash-star no-slash issuer-suffix-sub
		issuer-sub-prefix odd`},
	{40, "mode/", "values not both none"}, {200, "place/", "from to when"},
	{50, "when/", `source.principal source.namespace source.serviceAccount source.trustDomain source.ip remote.ip request.auth.principal
		request.auth.audiences request.auth.presenter request.auth.claims[] request.headers[] destination.ip destination.port connection.sni
		experimental`},
	{4, "when/", "request.unknown source.user request.auth source.labels[] Source.IP request.header[] shadow-result"},
	{8, "key/", "claim-irregular claim-malformed header-irregular header-malformed"},
	{20, "action/", "ALLOW DENY AUDIT CUSTOM"}, {4, "dry-run/", "true True TRUE t T 1 false 0 yes tRue"},
	{50, "scope/", "root namespace other"}, {30, "selector/", "absent own two-labels no-labels half other targetRef targetRefs"},
	{10, "rules/", "none empty over-10 odd-entry null"}, {50, "policy/", "duplicate"},
	{20, "normalization/", "NONE BASE DEFAULT MERGE_SLASHES DECODE_AND_MERGE_SLASHES"}, {20, "hops/", "0 1 2 3"}, {100, "config/", "aliases"}, {50, "config/", "connectionSettings"},
	{20, "role/", "gateway-HTTP gateway-SIMPLE gateway-MUTUAL"}, {10, "gateway/", "HTTP HTTPS HTTP2 GRPC several"},
	{50, "port/", "http http-api http2 grpc grpc-api"}, {5, "port/", "tcp tcp-db"}, {20, "peers/", "mesh namespace workload port STRICT PERMISSIVE DISABLE UNSET"},
	{20, "jwtRule/", `issuer audiences fromHeaders fromParams fromCookies forwardOriginalToken outputPayloadToHeader outputClaimToHeaders
		spaceDelimitedClaims jwks jwksUri presence`},
	{2, "", "jwtRules/13"}, {10, "remote/", "envoy hybrid"},
	{8, "jwks/", "rsa p256 p384 p521 ed25519 oct dropped certificates alg no-crv odd-kid odd-alg"}, {1, "jwks/", "unusable"},
	{1, "jwksUri/", "document unfetchable shared"},
	{50, "alg/", "RS256 RS384 RS512 PS256 PS384 PS512 ES256 ES384 ES512 HS256 HS384 HS512 EdDSA"},
	{8, "claim/", `string list list-mixed list-of-lists list-of-numbers words number bool null empty-string empty-list empty-object object
		blanks unicode nested absent`},
	{200, "place/", "header param cookie"}, {100, "tokens/", "none two"},
	{6, "header-form/", `case before blanks no-prefix prefix-alone junk-between twice with-junk junk-first tail empty name-case comma
		other-scheme prefix-twice only-junk`},
	{6, "param-form/", `twice junk-second junk-first empty bare escaped-name escaped-token semicolon plus fragment case first blank-name
		last-empty`},
	{2, "cookie-form/", `quoted second quoted-second twice two-lines blank-before-equals no-equals empty case half-quoted comma no-blank
		blank-inside double-quoted`},
	{8, "headers/", "one two two-reversed comma absent empty blanks same-twice with-empty"},
	{8, "path/", `query slashes-and-dots query-dots fragment query-fragment dot-dot dot dot-dot-escaped dot-dot-beyond trailing-dots escaped-letter
		escaped-slash escaped-backslash backslash double-slash escaped-double trailing-slash parameters dot-parameters nul bad-escape
		escaped-other raw star case slashes-alone`},
	{3, "path/", "control high-byte long very-long"},
	{20, "request/", "http2 xff spoofed application/grpc application/grpc+proto application/grpc;x application/grpc-web Application/grpc preflight-whole"},
	{8, "request/preflight-", "no-origin empty-origin no-method empty-method"}, {10, "xff/", "odd lines"},
	{10, "client/", "two-uris dns subject untrusted no-uri"}, {50, "transport/", "mtls tls"}, {50, "steer/", "inside outside"},
}

func TestDistribution_ThatEveryFeatureTurnsUp(t *testing.T) {
	g := New(2024)
	for range 2000 {
		g.Requests(g.Mesh(), 5)
	}
	counts := g.Counts()
	for _, w := range distribution {
		for _, name := range strings.Fields(w.features) {
			if n := counts[w.prefix+name]; n < w.least {
				t.Errorf("%s turned up %d times, wanted %d", w.prefix+name, n, w.least)
			}
		}
	}
	for _, d := range defects {
		if n := counts["defect/"+d.name]; n < 8 {
			t.Errorf("the defect %s turned up %d times", d.name, n)
		}
	}
	if share := 100 * counts["mesh/single"] / (counts["mesh/single"] + counts["mesh/rich"]); share < 36 || share > 44 {
		t.Errorf("%d%% of the meshes have a single condition, wanted about 40", share)
	}
	inside := 100 * counts["steer/inside"] / (counts["steer/inside"] + counts["steer/outside"])
	if inside < 35 || inside > 65 {
		t.Errorf("%d%% of the conditions are to match, wanted about half", inside)
	}
}
