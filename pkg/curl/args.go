package curl

import (
	"fmt"
	"strings"
)

// httpVersion is what a command wants of HTTP.
type httpVersion int

const (
	httpAny httpVersion = iota
	http10
	http11
	http2
	http2Only
	http3
)

// config is what the options of a command say.
type config struct {
	opts  Options
	notes []string

	urls    []word
	queries []string

	method    string
	methodSet bool
	target    string
	targetSet bool
	scheme    string
	get, head bool

	headers            []string
	agent              string
	agentSet           bool
	referer            string
	cookies            []string
	user, bearer       string
	userSet, bearerSet bool
	auth               map[string]bool
	byteRange          string

	globOff, pathAsIs, compressed, trEncoding bool
	version                                   httpVersion

	data        []byte
	dataSet     bool
	dataUnknown error // why the data is not known; nil: it is
	json        bool
	form        bool
	upload      word
	uploadSet   bool
}

func (c *config) note(text string) {
	for _, n := range c.notes {
		if n == text {
			return
		}
	}
	c.notes = append(c.notes, text)
}

// read takes the arguments, as curl does: whatever begins with a dash is an option.
func (c *config) read(args []word) error {
	c.auth = map[string]bool{}
	options := true
	for i := 0; i < len(args); i++ {
		text := args[i].text()
		switch {
		case options && text == "--":
			options = false
		case options && strings.HasPrefix(text, "--"):
			if err := args[i].known("an option"); err != nil {
				return err
			}
			o, on, err := longOption(text[2:])
			if err != nil {
				return err
			}
			value := word{}
			if o.value {
				if i++; i >= len(args) {
					return refuse("write --"+o.name+" VALUE", "--%s needs a value", o.name)
				}
				value = args[i]
			}
			if err := c.apply(o, value, on); err != nil {
				return err
			}
		case options && strings.HasPrefix(text, "-") && text != "-":
			used, err := c.shorts(args, i)
			if err != nil {
				return err
			}
			i += used
		case strings.HasPrefix(text, "–") || strings.HasPrefix(text, "—"):
			return refuse("write - or -- in its place", "an option begins with a long dash, which curl takes for a URL")
		default:
			c.urls = append(c.urls, args[i])
		}
	}
	return nil
}

// shorts takes a word of short options, and says how many more words it used.
func (c *config) shorts(args []word, at int) (used int, err error) {
	w := args[at]
	if long := exactOption(w.text()[1:]); long != nil {
		return 0, refuse("did you mean --"+long.name+"?", "curl takes -%s for several short options", long.name)
	}
	for i := 1; i < len(w.raw); i++ {
		o := shortOption(w.raw[i])
		if o == nil {
			if err := w.known("an option"); err != nil {
				return 0, err
			}
			return 0, refuse("take it out, if curl does take it", "curl has no option %q", "-"+firstRune(w.text()[i:]))
		}
		if !o.value {
			if err := c.apply(o, word{}, true); err != nil {
				return 0, err
			}
			continue
		}
		if rest := w.raw[i+1:]; len(rest) > 0 {
			value := w
			value.raw = rest
			return 0, c.apply(o, value, true)
		}
		if at+1 >= len(args) {
			return 0, refuse(fmt.Sprintf("write -%c VALUE", o.short), "-%c needs a value", o.short)
		}
		return 1, c.apply(o, args[at+1], true)
	}
	return 0, nil
}

func firstRune(s string) string {
	for _, r := range s {
		return string(r)
	}
	return s
}

func (c *config) apply(o *option, value word, on bool) error {
	if o.take == nil {
		return nil
	}
	return o.take(c, value, on)
}

func (c *config) takeURL(w word, _ bool) error {
	c.urls = append(c.urls, w)
	return nil
}

// takeQuery takes --url-query, which is encoded as --data-urlencode is, but behind a +.
func (c *config) takeQuery(w word, _ bool) error {
	if err := w.known("--url-query"); err != nil {
		return err
	}
	text := w.text()
	if raw, ok := strings.CutPrefix(text, "+"); ok {
		c.queries = append(c.queries, raw)
		return nil
	}
	encoded, file := urlEncoded(text)
	if file {
		return refuse("write the query into the URL", "--url-query reads a file, and no file is read")
	}
	c.queries = append(c.queries, encoded)
	return nil
}

func (c *config) takeHeader(w word, _ bool) error {
	n := len(c.headers) + 1
	text := w.text()
	if strings.HasPrefix(text, "@") {
		return refuse("write each line of the file as its own -H 'Name: value'", "-H number %d names a file of headers, and no file is read", n)
	}
	what := fmt.Sprintf("-H number %d", n)
	if name, _, found := strings.Cut(text, ":"); found && isToken(name) {
		what = "the header " + name
	}
	if err := w.knownSecret(what); err != nil {
		return err
	}
	if strings.ContainsAny(text, "\r\n\x00") {
		return refuse("give each line its own -H", "-H number %d has a line break in it", n)
	}
	c.headers = append(c.headers, text)
	return nil
}

// takeCookie takes cookies; what has no = is the name of a file.
func (c *config) takeCookie(w word, _ bool) error {
	if err := w.knownSecret("the cookie of -b"); err != nil {
		return err
	}
	switch text := w.text(); {
	case strings.Contains(text, "="):
		c.cookies = append(c.cookies, text)
	case text != "":
		return refuse("write the cookies that it has for this host: -b 'NAME=VALUE; NAME=VALUE'",
			"-b names a file of cookies, and no file is read; which of them curl sends depends on what is in it")
	}
	return nil
}

func (c *config) takeUser(w word, _ bool) error {
	if err := w.knownSecret("the password of -u"); err != nil {
		return err
	}
	if !strings.Contains(w.text(), ":") {
		return refuse("write -u USER:PASSWORD, or -u USER: without one", "-u has no password: curl would ask for it")
	}
	c.user, c.userSet = w.text(), true
	return nil
}

func (c *config) takeBearer(w word, _ bool) error {
	c.bearer, c.bearerSet = w.text(), true
	return w.knownSecret("the token of --oauth2-bearer")
}

func (c *config) takeOffset(w word, _ bool) error {
	if err := w.known("-C"); err != nil {
		return err
	}
	switch text := w.text(); text {
	case "-":
		return refuse("leave it out, and give -H 'Range: bytes=N-'", "-C - goes on where a file ends, and no file is read")
	case "0":
	default:
		c.byteRange = text + "-"
	}
	return nil
}

// isToken reports whether s is a token of RFC 9110, section 5.6.2.
func isToken(s string) bool {
	for i := range len(s) {
		c := s[i]
		if c <= ' ' || c >= 0x7f || strings.IndexByte(`"(),/:;<=>?@[\]{}`, c) >= 0 {
			return false
		}
	}
	return s != ""
}
