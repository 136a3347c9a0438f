package envoy

import "github.com/asmjwt/kubectl-asmjwt/pkg/jwt"

// Branch is a branch of the evaluation that tests must be seen to reach.
type Branch uint8

// The branches. BranchStatus is the first of a run of branches, one for each
// jwt.Status with which a provider can end.
const (
	BranchPathFragment Branch = iota
	BranchPathUnescaped
	BranchPathCanonicalized
	BranchPathMerged
	BranchPathInvalid
	BranchPathDotParameter
	BranchCodecMethod
	BranchCodecPath
	BranchCodecAuthority
	BranchCodecAbsolute
	BranchCodecNominated
	BranchManagerNoHost
	BranchManagerNotRelative
	BranchManagerReferer
	BranchManagerUpgrade
	BranchManagerQuery
	BranchManagerConnect
	BranchCodecTooLarge
	BranchRemoteFromXFF
	BranchRemoteFromHops
	BranchXFCCAppended
	BranchMatchPseudo
	BranchMatchHeaderPresent
	BranchMatchHeaderLine
	BranchMatchDNSSAN
	BranchMatchSubject
	BranchMatchMetadata
	BranchJWTInParam
	BranchJWTInCookie
	BranchJWTPrefixMissing
	BranchJWTPrefixOnly
	BranchJWTPreflight
	BranchJWTVerified
	BranchJWTNoToken
	BranchJWTDenied
	BranchJWTClaimHeader
	BranchJWTParamRemoved
	BranchRBACNever
	BranchRBACShadow
	BranchRBACLog
	BranchRBACDenyPassed
	BranchRBACDenied
	BranchRBACAllowed
	BranchRBACNotAllowed
	BranchClosedNoChain
	BranchClosedHandshake
	BranchGRPCReply
	BranchHeadReply
	BranchNegated // a negated condition that holds because the attribute is absent
	BranchRequireAll
	BranchTCP       // the bytes are not taken for HTTP
	BranchErrorKept // a real error wins over an unknown issuer
	// For each kind of matcher, whether it matched: see matcherBranch.
	BranchMatchers
	BranchStrings = BranchMatchers + 2*matcherKinds // for each StringKind, likewise
	BranchStatus  = BranchStrings + 2*stringKinds
	branchesInAll = BranchStatus + 64
	matcherKinds  = 12
	stringKinds   = 6
)

var branchNames = [...]string{
	"path: a fragment is cut off", "path: escaped slashes are decoded", "path: canonicalization changes it",
	"path: slashes are merged", "path: cannot be canonicalized", "path: a dot segment with parameters",
	"codec: unknown method", "codec: bad character in the path", "codec: bad authority", "codec: absolute target",
	"codec: headers named by Connection are dropped", "manager: no host", "manager: path without leading slash",
	"manager: bad referer", "manager: refused upgrade", "manager: QUERY without content-type", "manager: CONNECT that gets through",
	"codec: headers too large or too many",
	"remote address from x-forwarded-for", "remote address from trusted hops",
	"x-forwarded-client-cert is appended to", "match: pseudo header", "match: header is present", "match: header line",
	"match: DNS SAN", "match: subject", "match: filter metadata", "jwt: token in a parameter", "jwt: token in a cookie",
	"jwt: prefix not found", "jwt: nothing after the prefix", "jwt: CORS preflight", "jwt: verified", "jwt: no token",
	"jwt: denied", "jwt: claim to header", "jwt: parameter is removed",
	"rbac: policy without rules", "rbac: shadow rules", "rbac: audit", "rbac: no DENY policy matches", "rbac: DENY",
	"rbac: ALLOW", "rbac: no ALLOW policy matches", "closed: no filter chain",
	"closed: handshake", "reply: gRPC", "reply: HEAD", "match: negated, attribute absent",
	"jwt: every rule has to pass", "tcp: a chain that carries bytes", "jwt: an error wins over an unknown issuer",
}

var matcherNames = [matcherKinds]string{
	"header", "present header", "path", "path template", "source IP", "remote IP", "destination IP", "port", "SNI", "identity",
	"request principal", "claim",
}

var stringNames = [stringKinds]string{"exact", "prefix", "suffix", "non-empty", "regex", "ignoring case"}

// reachable are the statuses with which a provider can end.
var reachable = []jwt.Status{
	jwt.OK, jwt.Missed, jwt.NotYetValid, jwt.Expired, jwt.BadFormat, jwt.HeaderParseBase64, jwt.HeaderParseJSON, jwt.HeaderBadAlg,
	jwt.AlgNotImplemented, jwt.HeaderBadKid, jwt.PayloadParseBase64, jwt.PayloadParseJSON, jwt.IssNotString, jwt.SubNotString,
	jwt.IatNotInteger, jwt.IatOutOfRange, jwt.NbfNotInteger, jwt.NbfOutOfRange, jwt.ExpNotInteger, jwt.ExpOutOfRange, jwt.JtiNotString,
	jwt.AudNotString, jwt.SignatureBase64, jwt.Ed25519WrongLength, jwt.UnknownIssuer, jwt.AudienceNotAllowed, jwt.VerificationFails,
	jwt.JwksNoMatchingKey, jwt.JwksFetchFailed,
}

// Branches lists all branches.
func Branches() []Branch {
	out := make([]Branch, 0, branchesInAll)
	for b := range BranchStatus {
		out = append(out, b)
	}
	for _, s := range reachable {
		out = append(out, BranchStatus+Branch(s))
	}
	return out
}

// String names the branch.
func (b Branch) String() string {
	answer := func(i Branch) string {
		if i%2 == 0 {
			return ": no"
		}
		return ": yes"
	}
	switch {
	case b < BranchMatchers:
		return branchNames[b]
	case b < BranchStrings:
		return "match: " + matcherNames[(b-BranchMatchers)/2] + answer(b-BranchMatchers)
	case b < BranchStatus:
		return "string: " + stringNames[(b-BranchStrings)/2] + answer(b-BranchStrings)
	default:
		return "jwt: " + jwt.Status(b-BranchStatus).String()
	}
}

func answered(first, kind Branch, yes bool) Branch {
	if yes {
		return first + 2*kind + 1
	}
	return first + 2*kind
}

// BranchSet is the set of branches that an evaluation went through. It lets a
// test say which parts of the evaluator its requests have reached.
type BranchSet [4]uint64

func (b *BranchSet) add(br Branch) { b[br/64] |= 1 << (br % 64) }

func (b *BranchSet) addStatus(s jwt.Status) { b.add(BranchStatus + Branch(s)) }

// Has reports whether the branch was reached.
func (b *BranchSet) Has(br Branch) bool { return b[br/64]&(1<<(br%64)) != 0 }

// Union adds the branches of another set.
func (b *BranchSet) Union(o *BranchSet) {
	for i := range b {
		b[i] |= o[i]
	}
}
