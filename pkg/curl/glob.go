package curl

import (
	"net/netip"
	"strings"
)

// unglobbed is the one URL that a pattern stands for: curl takes {a,b} and [1-3] for
// lists. A pattern of several is refused.
func unglobbed(raw string) (string, error) {
	const several = "ask about one at a time, or add -g to the command if the braces or brackets are part of the URL"
	var out strings.Builder
	for i := 0; i < len(raw); {
		rest := raw[i:]
		switch c := rest[0]; {
		case c == '\\' && len(rest) > 1 && strings.IndexByte("{}[]", rest[1]) >= 0:
			out.WriteByte(rest[1])
			i += 2
		case c == '[':
			end := strings.IndexByte(rest, ']')
			switch {
			case end == 1 || end > 0 && isIPv6(rest[1:end]):
				out.WriteString(rest[:end+1])
				i += end + 1
			case end > 0 && isRange(rest[1:end]):
				return "", refuse(several, "the URL stands for several: curl counts through its brackets")
			default:
				return "", refuse("add -g to the command, or write [ as %5B and ] as %5D", "curl refuses the URL: it takes its brackets for a range")
			}
		case c == '{':
			end := strings.IndexByte(rest, '}')
			if end < 0 || end == 1 {
				return "", refuse("add -g to the command, or write { as %7B and } as %7D", "curl refuses the URL: it takes its braces for a list")
			}
			if strings.ContainsAny(rest[1:end], ",{[") {
				return "", refuse(several, "the URL stands for several: curl goes through the list in its braces")
			}
			out.WriteString(rest[1:end])
			i += end + 1
		case c == '}' || c == ']':
			return "", refuse("add -g to the command, or percent-encode it", "curl refuses the URL: it has a %c that nothing opens", c)
		default:
			out.WriteByte(c)
			i++
		}
	}
	return out.String(), nil
}

func isIPv6(s string) bool {
	host, _, _ := strings.Cut(s, "%")
	addr, err := netip.ParseAddr(host)
	return err == nil && addr.Is6()
}

// isRange reports whether s is 1-3, a-z or either with a step.
func isRange(s string) bool {
	s, _, _ = strings.Cut(s, ":")
	from, to, found := strings.Cut(s, "-")
	return found && from != "" && to != ""
}
