package envoy

// The kinds of matchers, in the order of matcherNames.
const (
	kindHeader Branch = iota
	kindPresent
	kindPath
	kindTemplate
	kindSourceIP // and the two that follow, in the order of IPSide
	kindRemoteIP
	kindDestinationIP
	kindPort
	kindSNI
	kindIdentity
	kindPrincipal
	kindClaim
)

func (m *HeaderMatch) kind() Branch {
	if m.Present {
		return kindPresent
	}
	return kindHeader
}

func (*PathMatch) kind() Branch      { return kindPath }
func (*TemplateMatch) kind() Branch  { return kindTemplate }
func (m *IPMatch) kind() Branch      { return kindSourceIP + Branch(m.Side) }
func (*PortMatch) kind() Branch      { return kindPort }
func (*SNIMatch) kind() Branch       { return kindSNI }
func (*IdentityMatch) kind() Branch  { return kindIdentity }
func (*PrincipalMatch) kind() Branch { return kindPrincipal }
func (*ClaimMatch) kind() Branch     { return kindClaim }
func (*MetadataMatch) kind() Branch  { return kindClaim }
