package envoy

import (
	"slices"
	"strings"
	"testing"
)

func inHeader(name, prefix string) Location {
	return Location{Kind: InHeader, Name: name, Prefix: prefix}
}
func inParam(name string) Location  { return Location{Kind: InParam, Name: name} }
func inCookie(name string) Location { return Location{Kind: InCookie, Name: name} }

func TestTokensAreFoundWhereAProviderLooks(t *testing.T) {
	own := func(ls ...Location) []Location { return ls }
	for _, c := range []struct {
		name    string
		at      []Location
		request *Request
		want    []string
	}{
		{"by default in Authorization", nil, with(header("Authorization", "Bearer tok")), []string{"tok"}},
		{"by default in access_token", nil, with(path("/?access_token=tok")), []string{"tok"}},
		{"headers before parameters", nil, with(header("Authorization", "Bearer h"), path("/?access_token=p")), []string{"h", "p"}},
		{"not in lower case", nil, with(header("Authorization", "bearer tok")), nil},
		{"not behind another scheme", nil, with(header("Authorization", "Basic eHg=")), nil},
		{"the prefix includes the blank", nil, with(header("Authorization", "Bearer")), nil},
		{"a blank at the end is trimmed over HTTP/1", nil, with(header("Authorization", "Bearer ")), nil},
		{"and is a token that is none over HTTP/2", nil, with(http2, header("Authorization", "Bearer ")), []string{"Bearer "}},
		{"the prefix may stand anywhere", nil, with(header("Authorization", "Basic x,Bearer tok")), []string{"tok"}},
		{"the token goes on to the end", nil, with(header("Authorization", "Bearer tok, more")), []string{"tok, more"}},
		{"what is no token is skipped before it", nil, with(header("Authorization", `Bearer  ="tok`)), []string{"tok"}},
		{"nothing but that is the whole value", nil, with(header("Authorization", "Bearer !!")), []string{"Bearer !!"}},
		{"two lines of Authorization are one", nil, with(header("Authorization", "Bearer a"), header("Authorization", "Bearer b")), []string{"a,Bearer b"}},
		{"a bad line first leaves the good one", nil, with(header("Authorization", "Basic z"), header("Authorization", "Bearer b")), []string{"b"}},
		{"own places take the place of the default ones", own(inHeader("x-jwt", "")), with(header("Authorization", "Bearer tok"), path("/?access_token=t")), nil},
		{"a header without prefix is all token", own(inHeader("X-JWT", "")), with(header("x-jwt", "a b")), []string{"a b"}},
		{"even if it is empty", own(inHeader("x-jwt", "")), with(header("x-jwt", "")), []string{""}},
		{"lines of other headers are tokens each", own(inHeader("x-jwt", "")), with(header("x-jwt", "a"), header("X-Jwt", "b")), []string{"a", "b"}},
		{"a prefix that is not there", own(inHeader("x-jwt", "Value ")), with(header("x-jwt", "tok")), nil},
		{"a prefix inside the token's beginning", own(inHeader("x-jwt", "e")), with(header("x-jwt", "eyJ")), []string{"yJ"}},
		{"headers by name and prefix", own(inHeader("x-b", ""), inHeader("x-a", "P "), inHeader("x-a", "")), with(header("x-b", "1"), header("x-a", "P 2")), []string{"P 2", "2", "1"}},
		{"a place that is named twice counts once", own(inHeader("x-a", ""), inHeader("X-A", "")), with(header("x-a", "1")), []string{"1"}},
		{"the host can be a place", own(inHeader("host", "")), plain(), []string{"a.test"}},
		{"an empty parameter", nil, with(path("/?access_token=")), []string{""}},
		{"a bare parameter", nil, with(path("/?access_token")), []string{""}},
		{"the first of two parameters", nil, with(path("/?access_token=a&access_token=b")), []string{"a"}},
		{"a semicolon does not separate", nil, with(path("/?x=1;access_token=a")), nil},
		{"names have case", nil, with(path("/?Access_Token=a")), nil},
		{"names and values are decoded", nil, with(path("/?access%5Ftoken=%61+b")), []string{"a+b"}},
		{"what follows a fragment is gone", nil, with(path("/#?access_token=a")), nil},
		{"parameters by name", own(inParam("b"), inParam("a")), with(path("/?b=1&a=2")), []string{"2", "1"}},
		{"a cookie", own(inCookie("tok")), with(header("Cookie", "a=1; tok=x")), []string{"x"}},
		{"its quotes are removed once", own(inCookie("tok")), with(header("Cookie", `tok=""x""`)), []string{`"x"`}},
		{"one quote stays", own(inCookie("tok")), with(header("Cookie", `tok="`)), []string{`"`}},
		{"the first cookie of all lines", own(inCookie("tok")), with(header("Cookie", "tok=1; tok=2"), header("Cookie", "tok=3")), []string{"1"}},
		{"a cookie of the second line", own(inCookie("tok")), with(header("Cookie", "a=1"), header("Cookie", "tok=3")), []string{"3"}},
		{"an empty cookie", own(inCookie("tok")), with(header("Cookie", "tok=")), []string{""}},
		{"a cookie without =", own(inCookie("tok")), with(header("Cookie", "tok")), nil},
		{"a blank behind its name", own(inCookie("tok")), with(header("Cookie", "tok =x")), nil},
		{"cookies come last", own(inCookie("c"), inParam("p"), inHeader("h", "")), with(header("h", "1"), header("cookie", "c=3"), path("/?p=2")), []string{"1", "2", "3"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := prepared(t, c.request, sidecar())
			var got []string
			for _, f := range s.extract(&Provider{Locations: c.at}) {
				got = append(got, f.text)
			}
			if !slices.Equal(got, c.want) {
				t.Errorf("found %q, want %q", got, c.want)
			}
		})
	}
}

func TestQueriesAreSplitAsEnvoySplitsThem(t *testing.T) {
	for in, want := range map[string][]queryParam{
		"/":          nil,
		"/?":         nil,
		"/?a":        {{"a", ""}},
		"/?a=1&":     {{"a", "1"}},
		"/?a=1&&b=2": {{"a", "1"}, {"", ""}, {"b", "2"}},
		"/?=1":       {{"", "1"}},
		"/?a=b=c":    {{"a", "b=c"}},
		"/?a=%zz&b":  {{"a", "%zz"}, {"b", ""}},
		"/?a?b=1":    {{"a?b", "1"}},
	} {
		if got := queryParams(in); !slices.Equal(got, want) {
			t.Errorf("%s: got %q, want %q", in, got, want)
		}
	}
}

func TestAQueryWithoutAParameterIsSortedAndDecoded(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{"/x?b=2&t=tok&a=1", "/x?a=1&b=2"},
		{"/x?t=tok", "/x"},
		{"/x?t=1&t=2&a=1", "/x?a=1"},
		{"/x?a=%2F%20&t=tok", "/x?a=/ "},
		{"/x?b=1&a=2&b=0&t=tok", "/x?a=2&b=1&b=0"},
		{"/x?a&t=tok", "/x?a="},
	} {
		if got := removeParam(c.in, "t"); got != c.want {
			t.Errorf("%s: got %s, want %s", c.in, got, c.want)
		}
	}
}

func TestSecretsAreWhateverStandsWhereTokensDo(t *testing.T) {
	providers := []Provider{{Locations: []Location{inHeader("x-jwt", "V "), inParam("t"), inCookie("c")}}}
	r := with(header("x-jwt", "V secret-1"), header("Authorization", "Bearer secret-2"), header("Cookie", "c=secret-3; d=secret-4"),
		header("Proxy-Authorization", "secret-5"), path("/?t=secret-6&access_token=secret-7"))
	got := strings.Join(Secrets(r, providers), "\n")
	for i := 1; i <= 7; i++ {
		if secret := "secret-" + string(rune('0'+i)); !strings.Contains(got, secret) {
			t.Errorf("%s is not among them", secret)
		}
	}
	if got := Secrets(with(header("x-role", "admin"), path("/a?b=c")), providers); len(got) != 0 {
		t.Errorf("a request without secrets has %d", len(got))
	}
	if got := Secrets(with(path("http://user:secret-8@a.test/")), nil); !strings.Contains(strings.Join(got, " "), "secret-8") {
		t.Error("a password in the target is none")
	}
}

func TestTokensAreListedOncePerPlace(t *testing.T) {
	r := with(header("Authorization", "Bearer tok"), path("/?access_token=tok"))
	got := FindTokens(r, []Provider{{}, {}})
	want := []FoundToken{{`header authorization "Bearer "`, "tok"}, {"query access_token", "tok"}}
	if !slices.Equal(got, want) {
		t.Errorf("got %d tokens, want the two places", len(got))
	}
	if got := FindTokens(with(method("get"), header("Authorization", "Bearer tok")), []Provider{{}}); got != nil {
		t.Error("a request that the codec refuses has tokens")
	}
	for want, l := range map[string]Location{"cookie c": inCookie("c"), "header x-a": inHeader("X-A", ""), "query t": inParam("t")} {
		if got := describeLocation(&l); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}
