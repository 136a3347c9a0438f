package jwt

// DecodeBase64URL decodes s as absl::WebSafeBase64Unescape does (abseil
// strings/escaping.cc:Base64UnescapeInternal). White space is skipped anywhere.
// Padding, written as '=' or '.', is optional, but if there is any, its number
// must be right and nothing else may follow. Bits left over need not be zero.
// The alphabet of plain base64 ('+' and '/') is refused.
func DecodeBase64URL(s string) ([]byte, bool) {
	out := make([]byte, 0, len(s)/4*3+3)
	var bits uint32
	state, i := 0, 0
	for ; i < len(s); i++ {
		v, ok := base64URLValue(s[i])
		if !ok && isPad(s[i]) {
			break
		}
		if !ok {
			if !isSpace(s[i]) {
				return nil, false
			}
			continue
		}
		bits = bits<<6 | v
		if state++; state == 4 {
			out = append(out, byte(bits>>16), byte(bits>>8), byte(bits))
			bits, state = 0, 0
		}
	}
	wanted := 0
	switch state {
	case 1:
		return nil, false
	case 2:
		out = append(out, byte(bits>>4))
		wanted = 2
	case 3:
		out = append(out, byte(bits>>10), byte(bits>>2))
		wanted = 1
	}
	return out, paddingFits(s[i:], wanted)
}

// paddingFits reports whether rest is white space with either no padding or the
// wanted number of padding characters.
func paddingFits(rest string, wanted int) bool {
	pads := 0
	for i := range len(rest) {
		switch {
		case isPad(rest[i]):
			pads++
		case !isSpace(rest[i]):
			return false
		}
	}
	return pads == 0 || pads == wanted
}

func isPad(c byte) bool { return c == '=' || c == '.' }

// isSpace is absl::ascii_isspace.
func isSpace(c byte) bool { return c == ' ' || c >= '\t' && c <= '\r' }

// base64URLValue is the six bits that c stands for.
func base64URLValue(c byte) (bits uint32, ok bool) {
	switch {
	case c >= 'A' && c <= 'Z':
		return uint32(c - 'A'), true
	case c >= 'a' && c <= 'z':
		return uint32(c-'a') + 26, true
	case c >= '0' && c <= '9':
		return uint32(c-'0') + 52, true
	case c == '-':
		return 62, true
	case c == '_':
		return 63, true
	}
	return 0, false
}
