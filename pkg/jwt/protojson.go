package jwt

import (
	"fmt"
	"strconv"
	"unicode/utf16"
	"unicode/utf8"
)

// appendProtoJSON writes the value as protobuf's MessageToJsonString does
// (json/internal/writer.cc), members by name.
func appendProtoJSON(out []byte, v Value) []byte {
	switch v.kind {
	case Bool:
		return strconv.AppendBool(out, v.boolean)
	case Number:
		return appendDouble(out, v.number)
	case String:
		return appendProtoString(out, v.text)
	case List:
		out = append(out, '[')
		for i, e := range v.list {
			if i > 0 {
				out = append(out, ',')
			}
			out = appendProtoJSON(out, e)
		}
		return append(out, ']')
	case Object:
		out = append(out, '{')
		for i, m := range v.members {
			if i > 0 {
				out = append(out, ',')
			}
			out = append(appendProtoString(out, m.Name), ':')
			out = appendProtoJSON(out, m.Value)
		}
		return append(out, '}')
	}
	return append(out, "null"...)
}

// appendDouble writes a double as C's %.15g, or as %.17g where that would lose
// something (protobuf io/strtod.cc:SimpleDtoa).
func appendDouble(out []byte, f float64) []byte {
	text := formatG(f, 15)
	if back, err := strconv.ParseFloat(text, 64); err != nil || back != f {
		text = formatG(f, 17)
	}
	return append(out, text...)
}

// formatG is C's %.<precision>g: Go too drops trailing zeros and gives an
// exponent two digits at least.
func formatG(f float64, precision int) string {
	return strconv.FormatFloat(f, 'g', precision, 64)
}

// appendProtoString quotes and escapes (writer.cc:JsonWriter::WriteEscapedUtf8).
func appendProtoString(out []byte, s string) []byte {
	out = append(out, '"')
	for _, r := range s {
		switch {
		case r == '"' || r == '\\':
			out = append(out, '\\', byte(r))
		case r == '\n':
			out = append(out, `\n`...)
		case r == '\r':
			out = append(out, `\r`...)
		case r == '\t':
			out = append(out, `\t`...)
		case r == '\f':
			out = append(out, `\f`...)
		case r == '\b':
			out = append(out, `\b`...)
		case !mustEscape(r):
			out = utf8.AppendRune(out, r)
		case r < 0x10000:
			out = fmt.Appendf(out, `\u%04x`, r)
		default:
			high, low := utf16.EncodeRune(r)
			out = fmt.Appendf(out, `\u%04x\u%04x`, high, low)
		}
	}
	return append(out, '"')
}

// mustEscape is writer.cc:MustEscape without what RFC 8259 has a short form for.
func mustEscape(r rune) bool {
	switch r {
	case '<', '>', 0xfeff, 0xfff9, 0xfffa, 0xfffb, 0xad, 0x6dd, 0x70f, 0x17b4, 0x17b5, 0xe0001:
		return true
	}
	for _, span := range [...][2]rune{
		{0, 0x1f}, {0x7f, 0x9f}, {0x600, 0x603}, {0x200b, 0x200f}, {0x2028, 0x202e},
		{0x2060, 0x2064}, {0x206a, 0x206f}, {0x1d173, 0x1d17a}, {0xe0020, 0xe007f},
	} {
		if r >= span[0] && r <= span[1] {
			return true
		}
	}
	return false
}
