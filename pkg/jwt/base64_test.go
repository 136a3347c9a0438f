package jwt

import (
	"bytes"
	"encoding/base64"
	"testing"
)

func TestBase64URLIsReadAsAbseilReadsIt(t *testing.T) {
	for _, c := range []struct {
		name, in string
		ok       bool
		out      string
	}{
		{"nothing is nothing", "", true, ""},
		{"whole groups need no padding", "AQID", true, "\x01\x02\x03"},
		{"the alphabet is the one for URLs", "-_-_", true, "\xfb\xff\xbf"},
		{"the plain alphabet's plus is refused", "AA+A", false, ""},
		{"the plain alphabet's slash is refused", "AA/A", false, ""},
		{"padding may be left out for two bytes", "AQI", true, "\x01\x02"},
		{"padding may be left out for one byte", "AQ", true, "\x01"},
		{"the right padding for two bytes", "AQI=", true, "\x01\x02"},
		{"the right padding for one byte", "AQ==", true, "\x01"},
		{"one padding character of two is refused", "AQ=", false, ""},
		{"three padding characters are refused", "AQ===", false, ""},
		{"padding after whole groups is refused", "AQID=", false, ""},
		{"four padding characters after whole groups are refused", "AQID====", false, ""},
		{"padding alone is refused", "=", false, ""},
		{"a dot pads too", "AQ..", true, "\x01"},
		{"a dot and an equals sign pad together", "AQ.=", true, "\x01"},
		{"white space is skipped between characters", " A\tQ\nI\vD\f\r", true, "\x01\x02\x03"},
		{"white space is skipped in the padding", "AQ = = ", true, "\x01"},
		{"white space alone is nothing", " \t", true, ""},
		{"data after padding is refused", "AQ==AQ", false, ""},
		{"one character too many is refused", "AQIDB", false, ""},
		{"a single character is refused", "A", false, ""},
		{"left-over bits need not be zero for one byte", "AR", true, "\x01"},
		{"left-over bits need not be zero for two bytes", "AQJ", true, "\x01\x02"},
		{"a NUL is refused", "AQ\x00ID", false, ""},
		{"a byte outside ASCII is refused", "AQID\x80", false, ""},
		{"a no-break space is not white space", "AQ\u00a0", false, ""},
		{"a comma is refused", "AQID,", false, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			out, ok := DecodeBase64URL(c.in)
			if ok != c.ok || ok && string(out) != c.out {
				t.Errorf("%q: %x %v, want %x %v", c.in, out, ok, c.out, c.ok)
			}
		})
	}
}

func FuzzBase64(f *testing.F) {
	for _, seed := range []string{"", "AQID", "AQ==", "AQ..", " A\tQ", "AQ===", "-_", "+/", "AQIDB", "AR"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, in string) {
		out, ok := DecodeBase64URL(in)
		strict, err := base64.RawURLEncoding.Strict().DecodeString(in)
		if err == nil && !bytes.ContainsAny([]byte(in), "\r\n") && (!ok || !bytes.Equal(out, strict)) {
			t.Fatalf("%q: %x %v, the standard library has %x", in, out, ok, strict)
		}
		if !ok {
			return
		}
		again, ok := DecodeBase64URL(base64.RawURLEncoding.EncodeToString(out))
		if !ok || !bytes.Equal(again, out) {
			t.Fatalf("%q: %x does not survive", in, out)
		}
	})
}
