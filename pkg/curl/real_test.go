package curl

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

// realLines are command lines that bash and a real curl can run; HOST is the address
// of a listener. They are pasted to bash as they stand.
var realLines = []string{
	`curl http://HOST`,
	`curl http://HOST/`,
	`curl HOST/a`,
	`curl -s HOST/A#frag`,
	`curl 'http://HOST/a?x=1&y=2'`,
	`curl http://HOST?x=1`,
	`curl http://HOST/a/../b/./c`,
	`curl http://HOST/a/b/..`,
	`curl http://HOST/a/b/.`,
	`curl http://HOST/../../x`,
	`curl http://HOST//../x//y/.`,
	`curl 'http://HOST/..;/x'`,
	`curl http://HOST/..%2f/../x`,
	`curl http://HOST/.../x/....`,
	`curl 'http://HOST/x?/../y'`,
	`curl --path-as-is http://HOST/a/../b/%2e%2e/c`,
	`curl http://HOST/a%20b%2Fc%zz%`,
	`curl 'http://HOST/a]?' -g`,
	`curl -g 'http://HOST/[1-2]{a,b}'`,
	`curl 'http://HOST/{a}'`,
	`curl 'http://HOST/x?a[]=b'`,
	`curl 'http://HOST/\[a\]'`,
	`curl http://HOST/é?q=ü`,
	`curl "http://HOST/a'b" -X 'PATCH'`,
	`curl http:/HOST/x`,
	`curl http:///HOST/x`,
	`curl HTTP://HOST/x`,
	`curl http://user:p%40ss@HOST/`,
	`curl http://user@HOST/`,
	`curl http://:secret@HOST/`,
	`curl -u a:b http://HOST/`,
	`curl -u a: http://HOST/`,
	`curl -ua:b:c http://c:d@HOST/`,
	`curl --oauth2-bearer tok http://HOST/`,
	`curl -u a:b --oauth2-bearer tok http://HOST/`,
	`curl -u a:b -H 'Authorization: Bearer x' http://HOST/`,
	`curl --oauth2-bearer tok -H 'authorization: Bearer x' http://HOST/`,
	`curl --digest -u a:b http://HOST/`,
	`curl --anyauth -u a:b http://HOST/`,
	`curl --basic -u a:b http://HOST/`,
	`curl --basic --oauth2-bearer t -u a:b http://HOST/`,
	`curl --basic http://HOST/`,
	`curl -I http://HOST/`,
	`curl -sSkI http://HOST/x`,
	`curl -X DELETE http://HOST/x`,
	`curl -XPUT http://HOST/x`,
	`curl -X FOO -I http://HOST/`,
	`curl -d a=b http://HOST/`,
	`curl -d a=b -d c=d http://HOST/`,
	`curl -d '' http://HOST/`,
	`curl -da=b -XGET http://HOST/`,
	`curl --data-raw @x http://HOST/`,
	`curl --data-binary 'a
b' http://HOST/`,
	`curl -d @body.txt http://HOST/`,
	`curl --data-urlencode 'a=b c&d/é' http://HOST/`,
	`curl --json '{"a":1}' http://HOST/`,
	`curl --json '{"a":1}' -H 'x: y' http://HOST/`,
	`curl --json '{' --json '}' -d x http://HOST/`,
	`curl -d x --json '{' http://HOST/`,
	`curl --json '{}' -H 'Accept: text/plain' -H 'content-type: application/x' http://HOST/`,
	`curl -G -d a=b -d 'c=d' 'http://HOST/p/../q?z=1'`,
	`curl -G -d a=b http://HOST/p?`,
	`curl -G http://HOST/x?`,
	`curl -G -d '' http://HOST/x`,
	`curl -G --data-urlencode '=a b' --data-urlencode 'n=x/y' --data-urlencode 'a b' HOST`,
	`curl -G -I -d a=b http://HOST/`,
	`curl -G --json a=b http://HOST/`,
	`curl --url-query 'a=b c' --url-query +raw=%20 'http://HOST/?x'`,
	`curl -F a=b -F 'f=x;type=text/plain' http://HOST/`,
	`curl -F a=b -H 'content-type: multipart/mixed' http://HOST/`,
	`curl -T body.txt http://HOST/`,
	`curl -T body.txt http://HOST/dir/`,
	`curl -T body.txt 'http://HOST/a?x=/'`,
	`curl -T 'a b.txt' 'http://HOST/a/?x=/'`,
	`curl -T - http://HOST/x </dev/null`,
	`curl -T . http://HOST/ < body.txt`,
	`curl -b 'a=b; c=d' http://HOST/`,
	`curl -b a=b -b 'c=d; e=f' http://HOST/`,
	`curl -b a=b -H 'Cookie: x=y' http://HOST/`,
	`curl -b '' http://HOST/`,
	`curl -A agent -e http://ref/ http://HOST/`,
	`curl -A '' -e 'http://ref/;auto' http://HOST/`,
	`curl -A a -H 'User-Agent: b' http://HOST/`,
	`curl -H 'User-Agent:' -H 'Accept:' http://HOST/`,
	`curl -H 'x;' -H 'y:' -H 'z' -H 'w:v' -H 'q;r' -H ':a' http://HOST/`,
	`curl -H 'X-A: 1' -H 'X-A: 2' -H 'x-a: a  ' http://HOST/`,
	`curl -H 'Accept;' http://HOST/`,
	`curl -H 'Host: example.com' http://HOST/`,
	`curl -H 'host: x' -H 'Host: y' http://HOST/`,
	`curl -H 'Host:' http://HOST/`,
	`curl -H 'Host;' http://HOST/`,
	`curl -H 'Content-Type;' -d a http://HOST/`,
	`curl -H 'Content-Type:' -d a http://HOST/`,
	`curl -H 'Content-Type: text/plain' -d a http://HOST/`,
	`curl -H 'Content-Length: 9' -d a http://HOST/`,
	`curl -H 'Transfer-Encoding: chunked' -d a http://HOST/`,
	`curl -r 0-10 http://HOST/`,
	`curl -r 0-10 -H 'Range: x' http://HOST/`,
	`curl -C 5 http://HOST/`,
	`curl --compressed http://HOST/`,
	`curl --compressed -H 'accept-encoding: gzip' http://HOST/`,
	`curl --compressed --no-compressed http://HOST/`,
	`curl --tr-encoding http://HOST/`,
	`curl --tr-encoding -H 'Connection: close' http://HOST/`,
	`curl --request-target '*' -X OPTIONS http://HOST/`,
	`curl --request-target /raw/../x http://HOST/y`,
	`curl --http1.1 http://HOST/`,
	`curl --http2 http://HOST/`,
	`curl --resolve api.example.com:80:127.0.0.1 --connect-to api.example.com:80:HOST http://api.example.com/x`,
	`curl --connect-to ::HOST http://api.example.com:8080/x`,
	`curl --connect-to ::HOST http://API.example.com./x`,
	`curl --connect-to ::HOST http://[::1]:8080/x`,
	`curl --connect-to ::HOST http://[2001:DB8:0:0::1]/x`,
	`curl --connect-to ::HOST http://127.1/x`,
	`curl --connect-to ::HOST http://0x7f000001:080/x`,
	`curl --connect-to ::HOST http://a%2eb/x`,
	`curl --connect-to ::HOST http://0177.0.0.1/`,
	`curl --connect-to ::HOST http://a_b/`,
	`curl --connect-to ::HOST httpbin.foo:8000/headers`,
	`curl -- http://HOST/x`,
	`curl --url http://HOST/x -q`,
	`curl --get --url HOST --data a`,
	`curl -o /dev/null -w '%{http_code}\n' -m 5 --retry 0 http://HOST/x`,
	`curl -vsS -o/dev/null http://HOST/x`,
	// Quoting.
	`curl $'http://HOST/\x61\u0062\143\'\\' -H $'a:\tb\"c\?'`,
	`curl "http://HOST/\"\\\a" -H "x: \$HOME \` + "`" + `"`,
	`curl http://HOST/a\&b\?c -g || echo no`,
	`curl 'http://HOST/'"a"b\c$'d' | cat`,
	"curl \\\n  -H 'a: b' \\\n  http://HOST/x \\\n  -s",
	"curl http://HOST/x \\\n# a comment\n",
	`curl http://HOST/x # -H 'a: b'`,
	`curl http://HOST/x#y`,
	`curl http://HOST/x?a=1&b=2`,
	`curl http://HOST/x >/dev/null 2>&1`,
	`curl http://HOST/x -H "a: b"; echo done`,
	`TOKEN=abc; curl -H "Authorization: Bearer $TOKEN" http://HOST/`,
	"export TOKEN='a b'\ncurl -H \"x: ${TOKEN}c\" http://HOST/",
	`X=1 curl http://HOST/x`,
	`bash -c 'curl -H "a: b" http://HOST/x'`,
	`kubectl exec -n foo deploy/sleep -c sleep -- curl -sS http://HOST/headers`,
	`kubectl exec sleep-1 -n foo -- sh -c "curl -H 'a: \"b\"' http://HOST/"`,
	"curl -d @- http://HOST/x <<'EOF'\n{\"a\": \"it's\"}\nEOF\n",
	`curl -d @- http://HOST/x <<< "it's"`,
	`time curl http://HOST/x`,
	`echo hi && curl http://HOST/x`,
	`(curl http://HOST/x)`,
	`code=$(date); curl http://HOST/x`,
	`if true; then curl http://HOST/x; fi`,
	// As Chrome and Firefox copy.
	"curl 'http://HOST/api/items?page=2' \\\n  -H 'Accept: */*' \\\n  -H 'Accept-Language: en-US,en;q=0.9' \\\n  -b 'session=abc; theme=dark' \\\n" +
		"  -H 'Connection: keep-alive' \\\n  -H 'Sec-Fetch-Mode: cors' \\\n  -H 'User-Agent: Mozilla/5.0 (X11; Linux x86_64)' \\\n  -H 'sec-ch-ua: \"Chromium\";v=\"126\"' \\\n  --insecure",
	"curl 'http://HOST/graphql' --compressed -X POST -H 'User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:127.0)' -H 'Accept: application/json' " +
		"-H 'Accept-Encoding: gzip, deflate, br, zstd' -H 'content-type: application/json' -H 'Origin: http://HOST' --data-raw $'{\"q\":\"it\\'s \\u0021\"}'",
	"curl 'http://HOST/x' \\\n  -X 'OPTIONS' \\\n  -H 'Access-Control-Request-Method: GET' \\\n  -H 'Origin: https://app.example.com' \\\n  --compressed",
}

// listener answers every request and gives out its head.
func listener(t *testing.T) (addr string, heads <-chan string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	out := make(chan string, 8)
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			var head strings.Builder
			for r := bufio.NewReader(conn); ; {
				line, err := r.ReadString('\n')
				if err != nil || line == "\r\n" {
					break
				}
				head.WriteString(strings.TrimSuffix(line, "\r\n") + "\n")
			}
			out <- head.String()
			_, _ = conn.Write([]byte("HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"))
			_ = conn.Close()
		}
	}()
	return l.Addr().String(), out
}

var (
	agentLine    = regexp.MustCompile(`(?m)^User-Agent: curl/\S+$`)
	boundaryText = regexp.MustCompile(`boundary=-+\w+`)
	encodingLine = regexp.MustCompile(`(?m)^Accept-Encoding: deflate.*$`)
	escapedByte  = regexp.MustCompile(`%[0-9a-fA-F]{2}`)
	// upgradeLines are what --http2 adds, and Expect what a body does: a proxy takes both off.
	upgradeLines = regexp.MustCompile(`(?m)^(Connection: Upgrade, HTTP2-Settings|Upgrade: h2c|HTTP2-Settings: .*|Expect: 100-continue)\n`)
	sizeLine     = regexp.MustCompile(`(?m)^Content-Length: .*\n`)
)

// alike takes out of a head what differs from one curl to the next.
func alike(head string, unknownSize bool) string {
	lines := strings.Split(head, "\n")
	for i, line := range lines[1:] {
		if name, value, found := strings.Cut(line, ":"); found {
			lines[i+1] = name + ": " + strings.TrimLeft(value, " \t")
		}
	}
	head = strings.Join(lines, "\n")
	head = agentLine.ReplaceAllString(head, "User-Agent: curl")
	head = boundaryText.ReplaceAllString(head, "boundary=X")
	head = encodingLine.ReplaceAllString(head, "Accept-Encoding: X")
	head = escapedByte.ReplaceAllStringFunc(head, strings.ToUpper)
	head = upgradeLines.ReplaceAllString(head, "")
	if unknownSize {
		head = sizeLine.ReplaceAllString(head, "")
	}
	return head
}

// wire is a request as HTTP/1.1 writes it.
func wire(r Request) string {
	var out strings.Builder
	fmt.Fprintf(&out, "%s %s HTTP/1.1\n", r.Method, r.Path)
	if !r.NoHost {
		fmt.Fprintf(&out, "Host: %s\n", r.Authority)
	}
	for _, h := range r.Headers {
		fmt.Fprintf(&out, "%s: %s\n", h.Name, h.Value)
	}
	return out.String()
}

func TestARequestIsWhatARealCurlSends(t *testing.T) {
	for _, program := range []string{"curl", "bash"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Skipf("there is no %s on this machine", program)
		}
	}
	help, err := exec.Command("curl", "--help", "all").Output()
	if err != nil || !strings.Contains(string(help), "--url-query") || !strings.Contains(string(help), "--json") {
		t.Skip("the curl of this machine is older than 7.87")
	}
	dir := t.TempDir()
	for name, text := range map[string]string{
		"body.txt": "one\n", "a b.txt": "two\n", ".curlrc": "silent\nmax-time = 20\n",
		// kubectl exec, on this machine: what comes after -- is run.
		"kubectl": "#!/bin/sh\nwhile [ \"$1\" != -- ]; do shift; done\nshift\nexec \"$@\"\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	addr, heads := listener(t)
	for _, line := range realLines {
		t.Run(line, func(t *testing.T) {
			text := strings.ReplaceAll(line, "HOST", addr)
			ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
			defer cancel()
			run := exec.CommandContext(ctx, "bash", "-c", text)
			run.Dir = dir
			run.Env = []string{"PATH=" + dir + ":" + os.Getenv("PATH"), "HOME=" + dir, "CURL_HOME=" + dir, "LC_ALL=C.UTF-8"}
			output, _ := run.CombinedOutput() // what it says does not matter, only what it sends
			var sent string
			select {
			case sent = <-heads:
			default:
				t.Fatalf("the real curl sends nothing: %s", output)
			}
			c, err := Parse(text, Options{})
			if err != nil {
				t.Fatalf("Parse: %v", err)
			}
			got, want := alike(wire(c.Request), c.Request.BodyUnknown), alike(sent, c.Request.BodyUnknown)
			if got != want {
				t.Errorf("got\n%s\nthe real curl sends\n%s", got, want)
			}
		})
	}
}

func TestEveryOptionOfARealCurlIsKnown(t *testing.T) {
	help, err := exec.Command("curl", "--help", "all").Output()
	if err != nil {
		t.Skip("there is no curl on this machine")
	}
	line := regexp.MustCompile(`(?m)^ *(?:-(.), )?--([a-z0-9.-]+)(?: <[^>]*>(?:\.\.\.>)?)?( .*)?$`)
	n := 0
	for _, m := range line.FindAllStringSubmatch(string(help), -1) {
		short, name := m[1], m[2]
		value := strings.Contains(m[0], " <") || strings.Contains(m[0], " [protocol://]")
		o, _, err := longOption(name)
		if err != nil {
			t.Errorf("--%s: %v", name, err)
			continue
		}
		n++
		if o.value != value && name != "help" {
			t.Errorf("--%s takes a value: %v, here %v", name, value, o.value)
		}
		if short != "" && (o.short == 0 || string(o.short) != short) {
			t.Errorf("-%s is --%s, here -%c", short, name, o.short)
		}
	}
	if n < 200 {
		t.Errorf("only %d options found in the help of curl", n)
	}
}

func TestNoTwoOptionsShareAName(t *testing.T) {
	var shorts []byte
	for i, o := range options {
		if i > 0 && options[i-1].name == o.name {
			t.Errorf("--%s is there twice", o.name)
		}
		if o.short != 0 && slices.Contains(shorts, o.short) {
			t.Errorf("-%c is there twice", o.short)
		}
		shorts = append(shorts, o.short)
	}
}
