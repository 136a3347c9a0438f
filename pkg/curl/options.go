package curl

import (
	"cmp"
	"slices"
	"strings"
)

// option is one of curl's command line options. The zero effect changes nothing of
// the request that is judged.
type option struct {
	name  string
	short byte // 0: none
	value bool // it takes one
	// take is what it does; on is false for the --no- form of a switch.
	take func(c *config, value word, on bool) error
}

// inert are the options that change nothing of the first request, by curl's names
// up to 8.22: switches, and those that take a value. They concern the connection,
// the output, what follows an answer, and other protocols.
const (
	inertSwitches = `
		alpn append:a buffer:N ca-native cert-status clobber compressed-ssh create-dirs crlf disable:q disable-eprt
		disable-epsv disallow-username-in-url doh-cert-status doh-insecure dump-ca-embed eprt epsv fail:f fail-early
		fail-with-body false-start follow form-escape ftp-create-dirs ftp-pasv ftp-pret ftp-skip-pasv-ip ftp-ssl ftp-ssl-ccc
		ftp-ssl-control ftp-ssl-reqd http0.9 ignore-content-length include:i insecure:k ipv4:4 ipv6:6
		junk-session-cookies:j keepalive list-only:l location:L location-trusted mail-rcpt-allowfails metalink mptcp npn
		out-null parallel:Z parallel-immediate post301 post302 post303 progress-bar:# progress-meter proxy-anyauth
		proxy-basic proxy-ca-native proxy-digest proxy-http2 proxy-http3 proxy-insecure proxy-negotiate proxy-ntlm
		proxy-ssl-allow-beast proxy-ssl-auto-client-cert proxy-tlsv1 raw remote-header-name:J remote-name:O
		remote-name-all remote-time:R remove-on-error retry-all-errors retry-connrefused sasl-ir sessionid show-error:S
		show-headers silent:s skip-existing socks5-basic socks5-gssapi socks5-gssapi-nec ssl ssl-allow-beast
		ssl-auto-client-cert ssl-no-revoke ssl-reqd ssl-revoke-best-effort sslv2:2 sslv3:3 styled-output
		suppress-connect-headers tcp-fastopen tcp-nodelay tftp-no-options tls-earlydata tlsv1:1 tlsv1.0 tlsv1.1 tlsv1.2
		tlsv1.3 trace-ids trace-time use-ascii:B verbose:v xattr`
	inertValues = `
		alt-svc cacert capath cert-type ciphers connect-timeout connect-to cookie-jar:c create-file-mode
		crlfile curves delegation dns-interface dns-ipv4-addr dns-ipv6-addr dns-servers doh-url dump-header:D ech
		egd-file engine etag-save expect100-timeout ftp-account ftp-alternative-to-user ftp-method ftp-port:P
		ftp-ssl-ccc-mode happy-eyeballs-timeout-ms hostpubmd5 hostpubsha256 hsts interface ip-tos ipfs-gateway
		keepalive-cnt keepalive-time key key-type knownhosts krb krb4 libcurl limit-rate local-port login-options mail-auth
		mail-from mail-rcpt max-filesize max-redirs max-time:m noproxy output:o output-dir parallel-max parallel-max-host
		pass pinnedpubkey proto proto-redir proxy-cacert proxy-capath proxy-cert proxy-cert-type proxy-ciphers
		proxy-crlfile proxy-header proxy-key proxy-key-type proxy-pass proxy-pinnedpubkey proxy-service-name
		proxy-tls13-ciphers proxy-tlsauthtype proxy-tlspassword proxy-tlsuser proxy-user:U pubkey quote:Q random-file
		rate resolve retry retry-delay retry-max-time sasl-authzid service-name sigalgs socks5-gssapi-service
		speed-limit:Y speed-time:y ssl-sessions stderr telnet-option:t tftp-blksize tls-max tls13-ciphers tlsauthtype
		tlspassword tlsuser trace trace-ascii trace-config upload-flags vlan-priority write-out:w`
)

// options are all of curl's, by name. They are never written to.
var options = allOptions()

func allOptions() []option {
	var out []option
	inert := func(names string, value bool) {
		for _, field := range strings.Fields(names) {
			name, short, _ := strings.Cut(field, ":")
			o := option{name: name, value: value}
			if short != "" {
				o.short = short[0]
			}
			out = append(out, o)
		}
	}
	inert(inertSwitches, false)
	inert(inertValues, true)
	out = append(out, requestOptions()...)
	out = append(out, bodyOptions()...)
	out = append(out, refusedOptions()...)
	slices.SortFunc(out, func(a, b option) int { return cmp.Compare(a.name, b.name) })
	return out
}

// requestOptions say what the head of the request is.
func requestOptions() []option {
	set := func(p func(*config) *string, what string) func(*config, word, bool) error {
		return func(c *config, w word, _ bool) error {
			*p(c) = w.text()
			return w.known(what)
		}
	}
	flag := func(p func(*config) *bool) func(*config, word, bool) error {
		return func(c *config, _ word, on bool) error {
			*p(c) = on
			return nil
		}
	}
	wants := func(scheme string) func(*config, word, bool) error {
		return func(c *config, _ word, on bool) error {
			c.auth[scheme] = on
			return nil
		}
	}
	version := func(v httpVersion) func(*config, word, bool) error {
		return func(c *config, _ word, _ bool) error {
			c.version = v
			return nil
		}
	}
	notes := func(note string) func(*config, word, bool) error {
		return func(c *config, _ word, _ bool) error {
			c.note(note)
			return nil
		}
	}
	const viaProxy = "the command goes through a proxy of curl's: the request is judged as if that changed nothing of it"
	const netrc = "a .netrc may add credentials, and is not read"
	return []option{
		{"url", 0, true, (*config).takeURL},
		{"url-query", 0, true, (*config).takeQuery},
		{"request", 'X', true, set(func(c *config) *string { c.methodSet = true; return &c.method }, "-X")},
		{"request-target", 0, true, set(func(c *config) *string { c.targetSet = true; return &c.target }, "--request-target")},
		{"proto-default", 0, true, set(func(c *config) *string { return &c.scheme }, "--proto-default")},
		{"header", 'H', true, (*config).takeHeader},
		{"user-agent", 'A', true, set(func(c *config) *string { c.agentSet = true; return &c.agent }, "-A")},
		{"referer", 'e', true, set(func(c *config) *string { return &c.referer }, "-e")},
		{"cookie", 'b', true, (*config).takeCookie},
		{"user", 'u', true, (*config).takeUser},
		{"oauth2-bearer", 0, true, (*config).takeBearer},
		{"basic", 0, false, wants("Basic")},
		{"digest", 0, false, wants("Digest")},
		{"negotiate", 0, false, wants("Negotiate")},
		{"ntlm", 0, false, wants("NTLM")},
		{"ntlm-wb", 0, false, wants("NTLM")},
		{"anyauth", 0, false, func(c *config, _ word, _ bool) error {
			c.auth["Basic"], c.auth["Digest"] = true, true
			return nil
		}},
		{"range", 'r', true, set(func(c *config) *string { return &c.byteRange }, "-r")},
		{"continue-at", 'C', true, (*config).takeOffset},
		{"globoff", 'g', false, flag(func(c *config) *bool { return &c.globOff })},
		{"path-as-is", 0, false, flag(func(c *config) *bool { return &c.pathAsIs })},
		{"compressed", 0, false, flag(func(c *config) *bool { return &c.compressed })},
		{"tr-encoding", 0, false, flag(func(c *config) *bool { return &c.trEncoding })},
		{"http1.0", '0', false, version(http10)},
		{"http1.1", 0, false, version(http11)},
		{"http2", 0, false, version(http2)},
		{"http2-prior-knowledge", 0, false, version(http2Only)},
		{"http3", 0, false, version(http3)},
		{"http3-only", 0, false, version(http3)},
		{"cert", 'E', true, notes("the client certificate of the command is not read: say who calls with --from-principal, if a rule asks")},
		{"netrc", 'n', false, notes(netrc)},
		{"netrc-optional", 0, false, notes(netrc)},
		{"netrc-file", 0, true, notes(netrc)},
		{"proxy", 'x', true, notes(viaProxy)},
		{"proxy1.0", 0, true, notes(viaProxy)},
		{"preproxy", 0, true, notes(viaProxy)},
		{"proxytunnel", 'p', false, notes(viaProxy)},
		{"socks4", 0, true, notes(viaProxy)},
		{"socks4a", 0, true, notes(viaProxy)},
		{"socks5", 0, true, notes(viaProxy)},
		{"socks5-hostname", 0, true, notes(viaProxy)},
		{"unix-socket", 0, true, notes("the command connects to a socket of its machine, not to the host")},
		{"abstract-unix-socket", 0, true, notes("the command connects to a socket of its machine, not to the host")},
	}
}

// bodyOptions bring a body, and with it the method.
func bodyOptions() []option {
	data := func(kind dataKind) func(*config, word, bool) error {
		return func(c *config, w word, _ bool) error { return c.takeData(kind, w) }
	}
	form := func(c *config, _ word, _ bool) error {
		c.form = true
		return nil
	}
	return []option{
		{"get", 'G', false, func(c *config, _ word, on bool) error { c.get = on; return nil }},
		{"head", 'I', false, func(c *config, _ word, on bool) error { c.head = on; return nil }},
		{"data", 'd', true, data(dataPlain)},
		{"data-ascii", 0, true, data(dataPlain)},
		{"data-binary", 0, true, data(dataPlain)},
		{"data-raw", 0, true, data(dataRaw)},
		{"data-urlencode", 0, true, data(dataEncoded)},
		{"json", 0, true, data(dataJSON)},
		{"form", 'F', true, form},
		{"form-string", 0, true, form},
		{"upload-file", 'T', true, func(c *config, w word, _ bool) error {
			c.upload, c.uploadSet = w, true
			return nil
		}},
	}
}

// refusedOptions change the request in a way that cannot be told from the command.
func refusedOptions() []option {
	var out []option
	add := func(value bool, hint, why string, names ...string) {
		for _, name := range names {
			name, short, _ := strings.Cut(name, ":")
			o := option{name: name, value: value, take: func(_ *config, _ word, on bool) error {
				if !on {
					return nil
				}
				return refuse(hint, "--%s: %s", name, why)
			}}
			if short != "" {
				o.short = short[0]
			}
			out = append(out, o)
		}
	}
	const byHand = "leave it out, and give the header line that it makes with -H"
	add(true, "put the options of the file into the command; a token goes in with --jwt-file FILE", "options in a file are not read", "config:K")
	add(true, "write the values in their places", "curl's own variables are not filled in", "variable")
	add(true, byHand, "the header depends on a date or a file", "time-cond:z", "etag-compare")
	add(true, byHand, "the signature is made when curl sends the request", "aws-sigv4", "httpsig-algo", "httpsig-headers", "httpsig-key", "httpsig-keyid")
	add(true, "leave it out, and give the client's address with --from-ip or --remote-ip", "a PROXY line in front of the request is not modelled", "haproxy-clientip")
	add(false, "leave it out, and give the client's address with --from-ip or --remote-ip", "a PROXY line in front of the request is not modelled", "haproxy-protocol")
	add(false, "ask about one at a time", "there are several requests in it", "next::")
	add(false, "paste a command that sends a request", "curl then sends nothing", "version:V", "manual:M", "help:h")
	return out
}

// longOption finds an option by its name, or by the beginning of one, which curl took
// before 8.10 or so. on is false for the --no- form.
func longOption(name string) (o *option, on bool, err error) {
	if o := exactOption(name); o != nil {
		return o, true, nil
	}
	if rest, ok := strings.CutPrefix(name, "no-"); ok {
		if o := exactOption(rest); o != nil && !o.value {
			return o, false, nil
		}
	}
	if before, _, ok := strings.Cut(name, "="); ok && exactOption(before) != nil {
		return nil, false, refuse("write --"+before+" VALUE", "curl takes no = behind --%s", before)
	}
	if base, ok := strings.CutPrefix(name, "expand-"); ok && exactOption(base) != nil {
		return nil, false, refuse("write the value in its place", "curl's own variables are not filled in: --expand-%s", base)
	}
	var begin []string
	for i := range options {
		if strings.HasPrefix(options[i].name, name) {
			begin = append(begin, options[i].name)
		}
	}
	if len(begin) == 1 && len(name) > 1 {
		return exactOption(begin[0]), true, nil
	}
	return nil, false, unknownOption("--" + name)
}

func exactOption(name string) *option {
	i, ok := slices.BinarySearchFunc(options, name, func(o option, name string) int { return cmp.Compare(o.name, name) })
	if !ok {
		return nil
	}
	return &options[i]
}

func shortOption(c byte) *option {
	i := slices.IndexFunc(options, func(o option) bool { return o.short == c && c != 0 })
	if i < 0 {
		return nil
	}
	return &options[i]
}

// unknownOption names an option that curl does not have, and the nearest that it has.
func unknownOption(written string) error {
	name := strings.TrimPrefix(written, "--")
	best, near := len(name)/3+2, []string(nil)
	for i := range options {
		d := distance(name, options[i].name, best)
		switch {
		case d < best:
			best, near = d, []string{"--" + options[i].name}
		case d == best && len(near) > 0:
			near = append(near, "--"+options[i].name)
		}
	}
	hint := "take it out, if curl does take it"
	if len(near) > 0 {
		hint = "did you mean " + strings.Join(near[:min(3, len(near))], " or ") + "?"
	}
	return refuse(hint, "curl has no option %q", written)
}

// distance is how many insertions, deletions and changes make one name of another;
// most, if it is more.
func distance(a, b string, most int) int {
	if len(a) > 40 || len(a)-len(b) >= most || len(b)-len(a) >= most {
		return most
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := 1; i <= len(a); i++ {
		diagonal := row[0]
		row[0] = i
		for j := 1; j <= len(b); j++ {
			change := diagonal
			if a[i-1] != b[j-1] {
				change++
			}
			diagonal = row[j]
			row[j] = min(row[j]+1, row[j-1]+1, change)
		}
	}
	return min(row[len(b)], most)
}
