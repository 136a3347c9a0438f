package scaffold

import (
	"net/netip"
	"net/url"
	"strings"
	"unicode"

	"github.com/asmjwt/kubectl-asmjwt/internal/lazyregexp"
	"github.com/asmjwt/kubectl-asmjwt/pkg/version"
)

// placeholderText finds what documents put where a user has to write something:
// <your-jwks-uri>, 11.11.XX.XX, {Namespace}.
var placeholderText = lazyregexp.New(`<[^>]*>|\bXX+\b|\bxx\.xx\b|[{}]`)

// checkText refuses text that was copied from a document with its gaps.
func checkText(what, text string) error {
	switch {
	case text == "":
		return refuse("write it, or leave the flag out", "%s is empty", what)
	case strings.Contains(text, mask):
		return refuse("documents mask what is real: write your own", "%s %q is masked with %s", what, text, mask)
	case strings.ContainsFunc(text, unicode.IsSpace):
		return refuse("take it out: it is compared byte by byte", "%s %q has a blank in it", what, text)
	case strings.ContainsFunc(text, func(r rune) bool { return !unicode.IsPrint(r) }):
		return refuse("write it anew instead of copying it", "%s %q has a character that does not print", what, text)
	}
	return nil
}

// checkIssuer refuses what cannot be the issuer of a token, or where it is not known
// from where its keys come.
func (in *Intent) checkIssuer(i *Issuer) error {
	if err := i.CheckName(); err != nil {
		return err
	}
	switch {
	case i.JWKSURI == "" && i.JWKS == nil:
		return refuse("add --jwks-uri URI or --jwks-file FILE; --discover asks the issuer itself, from this machine",
			"there are no keys for the issuer %q: a rule without them loses its keys whenever the issuer does not answer", i.Issuer)
	case i.JWKSURI != "" && i.JWKS != nil:
		return refuse("choose one of them", "there are both a jwksUri and keys for the issuer %q", i.Issuer)
	case i.JWKS != nil && len(i.Addresses) > 0:
		return refuse("leave it out: nothing is fetched", "--jwks-address, but the keys of %q are inline", i.Issuer)
	case i.JWKS != nil && i.CA != "":
		return refuse("leave it out: nothing is fetched", "--ca, but the keys of %q are inline", i.Issuer)
	}
	for _, a := range i.Audiences {
		if err := checkText("--audience", a); err != nil {
			return err
		}
	}
	for _, a := range i.Addresses {
		if _, err := netip.ParseAddr(a); err != nil {
			return refuse("write it as 203.0.113.7", "--jwks-address %q is not an IP address", a)
		}
	}
	return checkLocations(i)
}

// checkLocations refuses names that no request can have.
func checkLocations(i *Issuer) error {
	for _, h := range i.FromHeaders {
		if !isHeaderName(h.Name) {
			return refuse("write NAME or NAME:PREFIX, such as --from-header 'x-jwt:Bearer '", "--from-header %q is no name of a header", h.Name)
		}
	}
	for _, p := range i.FromParams {
		if err := checkText("--from-param", p); err != nil {
			return err
		}
	}
	for _, c := range i.FromCookies {
		if !isHeaderName(c) {
			return refuse("write the cookie's name", "--from-cookie %q is no name of a cookie", c)
		}
	}
	for _, o := range i.OutputClaims {
		if !isHeaderName(o.Header) || o.Claim == "" {
			return refuse("write HEADER=CLAIM, such as --output-claim x-jwt-sub=sub", "--output-claim: %q is no name of a header, or there is no claim", o.Header)
		}
	}
	return nil
}

// isHeaderName reports whether s is a token of RFC 9110, section 5.6.2.
func isHeaderName(s string) bool {
	for i := range len(s) {
		c := s[i]
		if c <= ' ' || c >= 0x7f || strings.IndexByte(`"(),/:;<=>?@[\]{}`, c) >= 0 {
			return false
		}
	}
	return s != ""
}

// keyURI is a jwksUri that was read.
type keyURI struct {
	*url.URL
	host string
	port int
}

// parseURI refuses what is no address of keys.
func (in *Intent) parseURI(i *Issuer) (*keyURI, error) {
	const hint = "write https://HOST/PATH"
	if err := checkText("--jwks-uri", i.JWKSURI); err != nil {
		return nil, err
	}
	if found := placeholderText.FindString(i.JWKSURI); found != "" {
		return nil, refuse("write the real address", "--jwks-uri %q has %q in it, which stands for something that you know", i.JWKSURI, found)
	}
	u, err := url.Parse(i.JWKSURI)
	switch {
	case err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "":
		return nil, refuse(hint, "--jwks-uri is not an http or https URL")
	case u.User != nil:
		return nil, refuse("neither the control plane nor a proxy would log in: leave it out", "--jwks-uri has credentials in it")
	case u.Fragment != "":
		return nil, refuse("leave it out", "--jwks-uri has a fragment, which is never sent")
	}
	k := &keyURI{URL: u, host: strings.ToLower(u.Hostname()), port: 80}
	if u.Scheme == "https" {
		k.port = 443
	}
	if p := u.Port(); p != "" {
		k.port = 0
		for _, c := range p {
			if c < '0' || c > '9' || k.port > 65535 {
				return nil, refuse(hint, "--jwks-uri has no usable port")
			}
			k.port = k.port*10 + int(c-'0')
		}
		if k.port == 0 || k.port > 65535 {
			return nil, refuse(hint, "--jwks-uri has no usable port")
		}
	}
	if addr, err := netip.ParseAddr(k.host); err == nil {
		switch {
		case addr.IsLoopback():
			return nil, refuse("give the address that others reach it by", "--jwks-uri is on the machine of whoever fetches it: %s", k.host)
		case addr.IsLinkLocalUnicast():
			return nil, refuse("give it a name and another address; new control planes refuse such addresses", "--jwks-uri is at a link-local address, %s, where clouds keep their metadata", k.host)
		}
	} else if k.host == "localhost" {
		return nil, refuse("give the address that others reach it by", "--jwks-uri is on the machine of whoever fetches it: localhost")
	}
	return k, nil
}

// jwtRule makes the rule of one issuer.
func (p *planner) jwtRule(i *Issuer) (Map, error) {
	rule := Map{{Key: "issuer", Value: i.Issuer, Why: "the iss of tokens, byte by byte"}}
	if i.JWKS != nil {
		text, err := checkKeys(i.JWKS, keyRules{name: i.JWKSName, rsaOnly: p.asmBefore113(), insecure: p.in.Insecure})
		if err != nil {
			return nil, err
		}
		rule = append(rule, Member{Key: "jwks", Value: Block(text), Why: "the public keys; to change a key, change it here"})
	} else {
		uri, err := p.external(i)
		if err != nil {
			return nil, err
		}
		rule = append(rule, Member{Key: "jwksUri", Value: uri})
	}
	if len(i.Audiences) > 0 {
		rule = append(rule, Member{Key: "audiences", Value: texts(i.Audiences), Why: "of a token with another aud the answer is 403, not 401"})
	}
	if len(i.FromHeaders) > 0 {
		var list []any
		for _, h := range i.FromHeaders {
			header := Map{{Key: "name", Value: h.Name}}
			if h.Prefix != "" {
				header = append(header, Member{Key: "prefix", Value: h.Prefix})
			}
			list = append(list, header)
		}
		rule = append(rule, Member{Key: "fromHeaders", Value: list})
	}
	if len(i.FromParams) > 0 {
		rule = append(rule, Member{Key: "fromParams", Value: texts(i.FromParams)})
	}
	if len(i.FromCookies) > 0 {
		rule = append(rule, Member{Key: "fromCookies", Value: texts(i.FromCookies)})
	}
	if i.Forward {
		rule = append(rule, Member{Key: "forwardOriginalToken", Value: true, Why: "what comes behind gets the token too"})
	}
	if len(i.OutputClaims) > 0 {
		var list []any
		for _, o := range i.OutputClaims {
			list = append(list, Map{{Key: "header", Value: o.Header}, {Key: "claim", Value: o.Claim}})
		}
		rule = append(rule, Member{Key: "outputClaimToHeaders", Value: list})
	}
	if n := len(i.FromHeaders) + len(i.FromParams) + len(i.FromCookies); n > 0 && !lists(i, "authorization") {
		p.note("tokens of %q are looked for in the places that are named and nowhere else: not in Authorization: Bearer", i.Issuer)
	}
	return rule, nil
}

// lists reports whether one of the places is the header.
func lists(i *Issuer, name string) bool {
	for _, h := range i.FromHeaders {
		if strings.EqualFold(h.Name, name) {
			return true
		}
	}
	return false
}

// asmBefore113 reports whether the control plane is an ASM that knows RSA keys only
// and no jwksUri (the vendor's FAQ).
func (p *planner) asmBefore113() bool {
	return p.asm && version.ASMAlgorithms.Has(p.version) == version.No
}

// CheckName refuses what cannot be the iss of a token, or was copied with its gaps.
func (i *Issuer) CheckName() error {
	if err := checkText("--issuer", i.Issuer); err != nil {
		return err
	}
	if found := placeholderText.FindString(i.Issuer); found != "" {
		return refuse("write the iss of your tokens, byte by byte", "--issuer %q has %q in it, which stands for something that you know", i.Issuer, found)
	}
	return nil
}
