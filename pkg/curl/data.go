package curl

import "strings"

// dataKind is which option brings data.
type dataKind int

const (
	dataPlain dataKind = iota
	dataRaw
	dataEncoded
	dataJSON
)

// takeData adds data to the body. It is not judged: only its size and, with -G, its
// place in the query count.
func (c *config) takeData(kind dataKind, w word) error {
	text, file := w.text(), false
	switch kind {
	case dataEncoded:
		text, file = urlEncoded(text)
	case dataPlain, dataJSON:
		file = strings.HasPrefix(text, "@")
	case dataRaw:
	}
	if c.dataSet && kind != dataJSON {
		c.data = append(c.data, '&')
	}
	c.dataSet = true
	c.json = c.json || kind == dataJSON
	if err := w.known("the data"); err != nil {
		c.dataUnknown = err
	} else if file {
		c.dataUnknown = refuse("write the query into the URL", "with -G the data is the query, and it is in a file, which is not read")
	}
	c.data = append(c.data, text...)
	return nil
}

// urlEncoded is what --data-urlencode makes of its value: content, =content,
// name=content, @file or name@file.
func urlEncoded(text string) (encoded string, file bool) {
	at := strings.IndexAny(text, "=@")
	switch {
	case at < 0:
		return escape(text), false
	case text[at] == '@':
		return "", true
	case at == 0:
		return escape(text[1:]), false
	default:
		return text[:at+1] + escape(text[at+1:]), false
	}
}

// escape encodes all but unreserved characters, and a blank as +.
func escape(s string) string {
	const hex = "0123456789ABCDEF"
	out := make([]byte, 0, len(s))
	for i := range len(s) {
		switch c := s[i]; {
		case isUnreserved(c):
			out = append(out, c)
		case c == ' ':
			out = append(out, '+')
		default:
			out = append(out, '%', hex[c>>4], hex[c&15])
		}
	}
	return string(out)
}

func isUnreserved(c byte) bool {
	return isNameByte(c, true) || c == '-' || c == '.' || c == '~'
}
