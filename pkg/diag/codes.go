// Package diag is the vocabulary of findings: codes that stay for ever, their
// severities, and for each code a page that says what it means and what to do. The
// pages are in pages, one a code; the first line of a page is the code's title.
//
// It imports the standard library only; every other package may import it.
package diag

import (
	"embed"
	"strings"
)

// Severity is how much a finding matters.
type Severity string

// The severities.
const (
	Error   Severity = "error"
	Warning Severity = "warning"
	Info    Severity = "info"
)

// Code names a kind of finding. A code is never used again for something else; one
// that is no longer given stays in the list, marked as retired.
type Code string

// The codes. AJ01 are about keys, AJ02 about objects, AJ03 about tokens, AJ04
// about policies, AJ05 about connections, AJ06 about requests.
const (
	KeysNotFetched      Code = "AJ0101"
	KeysUnusable        Code = "AJ0102"
	KeysUnknown         Code = "AJ0103"
	KeyDropped          Code = "AJ0104"
	KeysNotUsed         Code = "AJ0105"
	ListenerRefused     Code = "AJ0106"
	KeysDiscovered      Code = "AJ0107"
	KeyHostShort        Code = "AJ0108"
	KeyAddress          Code = "AJ0109"
	KeyServiceMissing   Code = "AJ0110"
	KeyServerNotReady   Code = "AJ0111"
	KeyServerStrict     Code = "AJ0112"
	KeyServerDenies     Code = "AJ0113"
	KeyNoCluster        Code = "AJ0114"
	KeyTransport        Code = "AJ0115"
	KeyUnreachable      Code = "AJ0116"
	KeyCertificate      Code = "AJ0117"
	KeyAnswer           Code = "AJ0118"
	KeysPending         Code = "AJ0119"
	KeysStale           Code = "AJ0120"
	KeysForgeable       Code = "AJ0121"
	KeyAddressBlocked   Code = "AJ0122"
	CertificateEnds     Code = "AJ0123"
	IssuerTwice         Code = "AJ0124"
	KeyRefreshStarved   Code = "AJ0125"
	KeyEgressNote       Code = "AJ0126"
	RuleDropped         Code = "AJ0201"
	ValueDropped        Code = "AJ0202"
	ObjectUnreadable    Code = "AJ0203"
	NoProxy             Code = "AJ0204"
	ProxyDiffers        Code = "AJ0205"
	NamespaceOneSided   Code = "AJ0206"
	ObjectManaged       Code = "AJ0207"
	SelectorMisses      Code = "AJ0210"
	OtherNamespace      Code = "AJ0211"
	TargetRefIgnored    Code = "AJ0212"
	LoggedRuleGone      Code = "AJ0213"
	MeshWide            Code = "AJ0208"
	UnknownField        Code = "AJ0209"
	TokenMalformed      Code = "AJ0301"
	TokenClaimType      Code = "AJ0302"
	TokenIssuer         Code = "AJ0303"
	TokenAudience       Code = "AJ0304"
	TokenNoKey          Code = "AJ0305"
	TokenSignature      Code = "AJ0306"
	TokenAlgorithm      Code = "AJ0307"
	TokenMissing        Code = "AJ0308"
	TokenExpired        Code = "AJ0310"
	TokenNotYetValid    Code = "AJ0311"
	ClockDiffers        Code = "AJ0312"
	TokenTaken          Code = "AJ0313"
	TokenNotFound       Code = "AJ0316"
	OpenPathBadToken    Code = "AJ0314"
	SeveralTokens       Code = "AJ0315"
	PolicyDenied        Code = "AJ0401"
	NoPolicyAllowed     Code = "AJ0402"
	CustomProviderBad   Code = "AJ0403"
	TokenNotRequired    Code = "AJ0404"
	PrincipalWithoutID  Code = "AJ0405"
	NotEnforced         Code = "AJ0406"
	PrincipalFormat     Code = "AJ0407"
	AllowsNothing       Code = "AJ0408"
	DenyWins            Code = "AJ0409"
	AllowOpens          Code = "AJ0410"
	PathNearMiss        Code = "AJ0411"
	HostNearMiss        Code = "AJ0412"
	ClaimNotText        Code = "AJ0413"
	AbsentNegative      Code = "AJ0414"
	CustomFirst         Code = "AJ0415"
	MethodNotHTTP       Code = "AJ0416"
	ForbiddenNoToken    Code = "AJ0417"
	CaseDiffers         Code = "AJ0418"
	DryRunDenies        Code = "AJ0419"
	IdentityNeedsMTLS   Code = "AJ0420"
	PreflightRefused    Code = "AJ0421"
	RuleSplit           Code = "AJ0422"
	NothingVerifies     Code = "AJ0423"
	ConnectionRefused   Code = "AJ0501"
	WaypointNotSeen     Code = "AJ0502"
	PortNotHTTP         Code = "AJ0503"
	NotModelled         Code = "AJ0504"
	AnswerDiffers       Code = "AJ0505"
	AnotherHop          Code = "AJ0506"
	ApplicationAnswered Code = "AJ0507"
	PushUnderWay        Code = "AJ0508"
	ProxyBypassed       Code = "AJ0509"
	RequestRejected     Code = "AJ0601"
)

//go:embed pages/*.md
var pages embed.FS

// Page is all that there is to say of a code, as plain text of at most 80 columns;
// empty for what is no code.
func (c Code) Page() string {
	page, err := pages.ReadFile("pages/" + string(c) + ".md")
	if err != nil {
		return ""
	}
	return string(page)
}

// Title says in a line what a code means; empty for what is no code.
func (c Code) Title() string {
	first, _, _ := strings.Cut(c.Page(), "\n")
	return strings.TrimPrefix(first, "# "+string(c)+": ")
}

// Codes lists all codes in order.
func Codes() []Code {
	entries, err := pages.ReadDir("pages")
	if err != nil {
		return nil // it is embedded
	}
	out := make([]Code, 0, len(entries))
	for _, e := range entries {
		out = append(out, Code(strings.TrimSuffix(e.Name(), ".md")))
	}
	return out
}
