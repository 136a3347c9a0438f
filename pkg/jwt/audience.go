package jwt

import "strings"

// AudienceAllowed reports whether one of the token's audiences is one of the
// configured ones, or nothing is configured. Both sides are compared without one
// leading http:// or https:// and without one slash at the end (Envoy
// source/common/jwt/check_audience.cc).
func AudienceAllowed(configured, token []string) bool {
	if len(configured) == 0 {
		return true
	}
	allowed := make(map[string]bool, len(configured))
	for _, aud := range configured {
		allowed[SanitizeAudience(aud)] = true
	}
	for _, aud := range token {
		if allowed[SanitizeAudience(aud)] {
			return true
		}
	}
	return false
}

// SanitizeAudience is the form in which audiences are compared. Of a bare
// "http://" the trailing slash is part of the scheme, so nothing is left.
func SanitizeAudience(aud string) string {
	end := len(aud)
	if strings.HasSuffix(aud, "/") {
		end--
	}
	for _, scheme := range []string{"http://", "https://"} {
		if strings.HasPrefix(aud, scheme) {
			return aud[len(scheme):max(end, len(scheme))]
		}
	}
	return aud[:end]
}
