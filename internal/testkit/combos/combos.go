package combos

import (
	"fmt"
	"slices"
	"strings"

	"github.com/asmjwt/kubectl-asmjwt/internal/testkit/mint"
	"github.com/asmjwt/kubectl-asmjwt/pkg/mesh"
	"github.com/asmjwt/kubectl-asmjwt/pkg/scaffold"
	"github.com/asmjwt/kubectl-asmjwt/pkg/version"
)

// Combo is one command line, and the same as the core takes it.
type Combo struct {
	Name string
	// Args follow "scaffold"; files in them are those of Files.
	Args   []string
	Intent scaffold.Intent
	// Mesh is what -f reads; empty where nothing is read.
	Mesh string
	// Keys are the keys of each issuer, by name of package mint, and the documents behind
	// jwksUris.
	Keys map[string]string
	JWKS map[string]string
	// Remote is istiod's mode for fetches: who fetches as --fetcher says.
	Remote string
	// Newest is set where the control plane is not said to be older than the judge.
	Newest bool
}

// Files are the files that command lines name.
func Files() map[string]string {
	return map[string]string{
		"mesh.yaml":   Mesh,
		"rsa.json":    string(mint.JWKS(key("rsa-a"))),
		"ec.json":     string(mint.JWKS(key("p256-a"))),
		"ed.json":     string(mint.JWKS(key("ed25519-a"))),
		"config.yaml": configFile,
	}
}

func key(name string) mint.Key {
	k, ok := mint.Lookup(name)
	if !ok {
		panic("combos: no key " + name)
	}
	return k.WithKid(name)
}

const configFile = `issuers:
- issuer: iss-config
  jwksFile: rsa.json
  audiences: [aud-config]
  forward: false
- issuer: iss-config-2
  jwksFile: ec.json
  fromHeaders: [{name: x-second, prefix: "jwt "}]
  outputClaims: [{header: x-second-sub, claim: sub}]
`

// Issuer names and addresses.
const (
	issA, issB  = "https://a.example.com", "https://b.example.com/"
	outsideURI  = "https://idp.example.com/keys"
	plainURI    = "http://idp.example.com/keys"
	insideURI   = "http://keys.foo.svc.cluster.local:8080/keys"
	insideShort = "http://keys.foo.svc:8080/keys"
	namedURI    = "https://jwks.corp.example:8443/keys"
)

// part is one value of a factor: what it adds to the command line and to the intent.
type part struct {
	name string
	args []string
	set  func(*Combo)
}

func where(args []string, files bool, set func(*Combo)) part {
	return part{name: strings.Join(args, " "), args: args, set: func(c *Combo) {
		if files {
			c.Args = append(c.Args, "-f", "mesh.yaml")
			c.Mesh = Mesh
		}
		set(c)
	}}
}

func parts() map[string][]part {
	in := func(args string, set func(*scaffold.Intent)) part {
		var list []string
		if args != "" {
			list = strings.Split(args, " ")
		}
		return part{name: args, args: list, set: func(c *Combo) { set(&c.Intent) }}
	}
	first := func(args string, set func(*scaffold.Issuer)) part {
		p := in(args, func(*scaffold.Intent) {})
		p.set = func(c *Combo) { set(&c.Intent.Issuers[0]) }
		return p
	}
	nothing := in("", func(*scaffold.Intent) {})
	return map[string][]part{
		"where": {
			where([]string{"deploy/httpbin", "-n", "foo"}, true, func(c *Combo) { c.target("foo", mesh.TypeDeployment, "httpbin") }),
			where([]string{"svc/httpbin", "-n", "foo"}, true, func(c *Combo) { c.target("foo", mesh.TypeService, "httpbin") }),
			where([]string{"-l", "app=httpbin", "-n", "foo"}, false, func(c *Combo) {
				c.Intent.Namespace, c.Intent.Where.Selector = "foo", map[string]string{"app": "httpbin"}
			}),
			where([]string{"-l", "app=httpbin", "-n", "foo"}, true, func(c *Combo) {
				c.Intent.Namespace, c.Intent.Where.Selector = "foo", map[string]string{"app": "httpbin"}
			}),
			where([]string{"--gateway", "istio-ingressgateway"}, true, func(c *Combo) { c.Intent.Namespace, c.Intent.Where.Gateway = "default", "istio-ingressgateway" }),
			where([]string{"--gateway", "ingressgateway"}, false, func(c *Combo) { c.Intent.Namespace, c.Intent.Where.Gateway = "default", "ingressgateway" }),
			where([]string{"gateway/public", "-n", "foo"}, true, func(c *Combo) { c.target("foo", mesh.TypeGateway, "public") }),
			where([]string{"--target-ref", "Gateway/public", "-n", "foo"}, false, func(c *Combo) { c.refs("foo", "Gateway", "public") }),
			where([]string{"--target-ref", "Service/reviews", "-n", "amb"}, true, func(c *Combo) { c.refs("amb", "Service", "reviews") }),
			where([]string{"--target-ref", "Gateway/waypoint", "-n", "amb"}, true, func(c *Combo) { c.refs("amb", "Gateway", "waypoint") }),
			where([]string{"--whole-namespace", "-n", "foo"}, true, func(c *Combo) { c.Intent.Namespace, c.Intent.Where.WholeNamespace = "foo", true }),
			where([]string{"--whole-mesh"}, true, func(c *Combo) { c.Intent.Namespace, c.Intent.Where.WholeMesh = "default", true }),
		},
		"keys":    keyParts(),
		"aud":     {nothing, first("--audience x", func(i *scaffold.Issuer) { i.Audiences = []string{"x"} }), first("--audience x --audience y", func(i *scaffold.Issuer) { i.Audiences = []string{"x", "y"} })},
		"place":   placeParts(first, nothing),
		"forward": {nothing, first("--forward=false", func(i *scaffold.Issuer) { i.Forward = false })},
		"output": {nothing, first("--output-claim x-sub=sub", func(i *scaffold.Issuer) {
			i.OutputClaims = []scaffold.OutputClaim{{Header: "x-sub", Claim: "sub"}}
		})},
		"paths": {
			nothing,
			in("--require none", func(i *scaffold.Intent) { i.Open = true }),
			in("--skip-path /health", func(i *scaffold.Intent) { i.SkipPaths = []string{"/health"} }),
			in("--skip-path /public/* --skip-path /public", func(i *scaffold.Intent) { i.SkipPaths = []string{"/public/*", "/public"} }),
			in("--skip-path /u/{*}/pic --skip-path /f/{**}", func(i *scaffold.Intent) { i.SkipPaths = []string{"/u/{*}/pic", "/f/{**}"} }),
			in("--insecure --skip-path *.css", func(i *scaffold.Intent) { i.Insecure, i.SkipPaths = true, []string{"*.css"} }),
			in("--allow-path /health", func(i *scaffold.Intent) { i.AllowPaths = []string{"/health"} }),
			in("--allow-path /public/* --allow-path /", func(i *scaffold.Intent) { i.AllowPaths = []string{"/public/*", "/"} }),
		},
		"claim": {
			nothing,
			in("--claim groups=admin", func(i *scaffold.Intent) { i.Claims = claims("groups", "admin") }),
			in("--claim [realm][roles]=ops --claim groups=a*", func(i *scaffold.Intent) {
				i.Claims = append([]scaffold.Claim{{Path: []string{"realm", "roles"}, Values: []string{"ops"}}}, claims("groups", "a*")...)
			}),
			in("--claim groups=admin --claim groups=dev", func(i *scaffold.Intent) { i.Claims = append(claims("groups", "admin"), claims("groups", "dev")...) }),
		},
		"preflight": {nothing, in("--allow-preflight", func(i *scaffold.Intent) { i.Preflight = true })},
		"probes":    {nothing, in("--allow-probes", func(i *scaffold.Intent) { i.Probes = true })},
		"sub":       {nothing, in("--no-sub", func(i *scaffold.Intent) { i.NoSub = true })},
		"fetcher": {
			nothing,
			{name: "istiod", args: []string{"--fetcher", "istiod"}, set: func(c *Combo) { c.Intent.Fetcher = scaffold.ByIstiod }},
			{name: "envoy", args: []string{"--fetcher", "envoy"}, set: func(c *Combo) { c.Intent.Fetcher, c.Remote = scaffold.ByEnvoy, "hybrid" }},
		},
		"version": {
			nothing,
			in("--istio-version 1.19.4", func(i *scaffold.Intent) { i.Version = parsed("1.19.4") }),
			in("--istio-version 1.22.0", func(i *scaffold.Intent) { i.Version = parsed("1.22.0") }),
			in("--asm-version 1.24.6.109", func(i *scaffold.Intent) { i.Version, i.ASM = parsed("1.24.6.109"), true }),
		},
	}
}

func claims(name, value string) []scaffold.Claim {
	return []scaffold.Claim{{Path: []string{name}, Values: []string{value}}}
}

func parsed(text string) version.Version {
	v, ok := version.Parse(text)
	if !ok {
		panic("combos: no version " + text)
	}
	return v
}

func (c *Combo) target(namespace, typ, name string) {
	c.Intent.Namespace, c.Intent.Where.Target = namespace, mesh.Target{Type: typ, Name: name}
}

func (c *Combo) refs(namespace, kind, name string) {
	c.Intent.Namespace, c.Intent.Where.TargetRefs = namespace, []scaffold.TargetRef{{Kind: kind, Name: name}}
}

func keyParts() []part {
	file := func(issuer, name, file string) part {
		return part{name: "file " + name, args: []string{"--issuer", issuer, "--jwks-file", file}, set: func(c *Combo) {
			c.Keys[issuer] = name
			c.Intent.Issuers = append(c.Intent.Issuers, scaffold.Issuer{Issuer: issuer, JWKS: mint.JWKS(key(name)), JWKSName: "--jwks-file " + file, Forward: true})
		}}
	}
	uri := func(issuer, name, uri, served string, more ...string) part {
		return part{name: "uri " + uri, args: append([]string{"--issuer", issuer, "--jwks-uri", uri}, more...), set: func(c *Combo) {
			c.Keys[issuer], c.JWKS[served] = name, string(mint.JWKS(key(name)))
			i := scaffold.Issuer{Issuer: issuer, JWKSURI: uri, Forward: true}
			for at := 0; at+1 < len(more); at += 2 {
				switch more[at] {
				case "--jwks-address":
					i.Addresses = append(i.Addresses, more[at+1])
				case "--ca":
					i.CA = more[at+1]
				}
			}
			c.Intent.Insecure = c.Intent.Insecure || strings.HasPrefix(uri, "http:") && strings.Contains(uri, "example.com")
			c.Intent.Issuers = append(c.Intent.Issuers, i)
		}}
	}
	both := func(a, b part) part {
		return part{name: a.name + " + " + b.name, args: append(slices.Clone(a.args), b.args...), set: func(c *Combo) { a.set(c); b.set(c) }}
	}
	config := part{name: "config", args: []string{"--config", "config.yaml"}, set: func(c *Combo) {
		c.Keys["iss-config"], c.Keys["iss-config-2"] = "rsa-a", "p256-a"
		c.Intent.Issuers = []scaffold.Issuer{
			{Issuer: "iss-config", JWKS: mint.JWKS(key("rsa-a")), JWKSName: "--jwks-file rsa.json", Audiences: []string{"aud-config"}},
			{Issuer: "iss-config-2", JWKS: mint.JWKS(key("p256-a")), JWKSName: "--jwks-file ec.json", Forward: true, FromHeaders: []scaffold.FromHeader{{Name: "x-second", Prefix: "jwt "}},
				OutputClaims: []scaffold.OutputClaim{{Header: "x-second-sub", Claim: "sub"}}},
		}
	}}
	return []part{
		file(issA, "rsa-a", "rsa.json"), file(issA, "p256-a", "ec.json"), file(issA, "ed25519-a", "ed.json"),
		uri(issA, "rsa-a", outsideURI, outsideURI), uri(issA, "p256-a", plainURI, plainURI), uri(issA, "rsa-a", insideURI, insideURI), uri(issA, "rsa-a", insideShort, insideURI),
		uri(issA, "rsa-a", namedURI, namedURI, "--jwks-address", "203.0.113.7", "--jwks-address", "203.0.113.8", "--ca", "/etc/ca/root.pem"),
		both(file(issB, "rsa-a", "rsa.json"), file(issA, "p256-a", "ec.json")),
		both(file(issB, "rsa-a", "rsa.json"), uri(issA, "p256-a", outsideURI, outsideURI)),
		config,
	}
}

func placeParts(first func(string, func(*scaffold.Issuer)) part, nothing part) []part {
	prefixed := first("", func(i *scaffold.Issuer) { i.FromHeaders = []scaffold.FromHeader{{Name: "x-jwt", Prefix: "Bearer "}} })
	prefixed.name, prefixed.args = "prefixed", []string{"--from-header", "x-jwt:Bearer "}
	return []part{
		nothing, prefixed,
		first("--from-header x-raw", func(i *scaffold.Issuer) { i.FromHeaders = []scaffold.FromHeader{{Name: "x-raw"}} }),
		first("--from-param token", func(i *scaffold.Issuer) { i.FromParams = []string{"token"} }),
		first("--from-cookie session", func(i *scaffold.Issuer) { i.FromCookies = []string{"session"} }),
	}
}

// order is how the parts follow one another: what belongs to an issuer comes behind
// it, and in front of the next. Where there are several, flags are of the first one,
// which the parts keep in mind by being inserted behind it.
func order() []string {
	return []string{"keys", "aud", "place", "forward", "output", "where", "paths", "claim", "preflight", "probes", "sub", "fetcher", "version"}
}

// All gives the command lines of one seed.
func All(seed uint64) []Combo {
	all := parts()
	names := order()
	factors := make([]factor, len(names))
	for i, n := range names {
		factors[i] = factor{n, len(all[n])}
	}
	var out []Combo
	for n, r := range pairwise(factors, seed, func(r row) bool { return sensible(all, names, r) }) {
		out = append(out, build(all, names, r, fmt.Sprintf("%d-%d", seed, n)))
	}
	return out
}

func build(all map[string][]part, names []string, r row, name string) Combo {
	c := Combo{Name: name, Keys: map[string]string{}, JWKS: map[string]string{}, Intent: scaffold.Intent{Fetcher: scaffold.Auto}}
	var ofFirst []string
	for i, n := range names {
		p := all[n][r[i]]
		switch n {
		case "keys":
			c.Args = append(c.Args, p.args...)
		case "aud", "place", "forward", "output":
			ofFirst = append(ofFirst, p.args...)
		default:
			c.Args = append(c.Args, p.args...)
		}
		p.set(&c)
	}
	// Behind the first --issuer with its keys: --issuer, its name, a flag, its value.
	c.Args = slices.Concat(c.Args[:min(4, len(c.Args))], ofFirst, c.Args[min(4, len(c.Args)):])
	if c.Intent.Insecure && !slices.Contains(c.Args, "--insecure") {
		c.Args = append(c.Args, "--insecure")
	}
	c.Newest = c.Intent.Version.IsZero()
	return c
}

// sensible reports whether a command line is one that is not refused: TestEveryRefusal
// of pkg/cmd has those that are.
func sensible(all map[string][]part, names []string, r row) bool {
	value := map[string]string{}
	for i, n := range names {
		value[n] = all[n][r[i]].name
	}
	has := func(n, text string) bool { return strings.Contains(value[n], text) }
	old := has("version", "1.19")
	files := slices.Contains([]int{0, 1, 3, 4, 6, 8, 9, 10, 11}, r[slices.Index(names, "where")])
	switch {
	case has("paths", "none") && (value["claim"] != "" || value["preflight"] != "" || value["probes"] != "" || value["sub"] != ""):
		return false
	case has("keys", "config") && (value["aud"] != "" || value["place"] != "" || value["forward"] != "" || value["output"] != ""):
		return false
	case value["probes"] != "" && !files:
		return false
	case old && (has("place", "cookie") || has("paths", "{") || has("where", "target-ref") || has("where", "gateway/")):
		return false
	case has("keys", namedURI) && (has("fetcher", "istiod") || has("where", "Service/")):
		return false // the control plane asks DNS, and has its own authorities
	case has("keys", "uri ") && has("where", "Service/") && (has("fetcher", "envoy") || has("version", "asm")):
		return false // such waypoints cannot fetch
	}
	return true
}
