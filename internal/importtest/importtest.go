// Package importtest keeps the arrows of the design: which package may import
// which, through everything that it imports in turn. Its test walks the module's
// own import graph and fails with the path of imports that breaks a rule.
//
// It imports the standard library only. Tests import it; nothing else may.
package importtest

import (
	"fmt"
	"slices"
	"sort"
	"strings"
)

// Module is the path of the module whose packages the rules are about.
const Module = "github.com/asmjwt/kubectl-asmjwt"

// LikeStandard is as the standard library's packages are: all may import it.
const LikeStandard = Module + "/internal/lazyregexp"

// Graph is what each package imports, by import path. Packages of the standard
// library are named, and have no imports of their own here.
type Graph map[string][]string

// Layer is a part of the design that packages of pkg/ belong to.
type Layer string

// The layers. Words are importable by all, and import nothing of ours.
const (
	Words     Layer = "words"
	ProxyHalf Layer = "core, the proxy's half"
	Core      Layer = "core"
	Edge      Layer = "edge"
	Shell     Layer = "shell"
)

// Layers says where each package of pkg/ belongs. A package that is not listed
// is a violation: somebody has to decide.
var Layers = map[string]Layer{
	"origin":   Words,
	"version":  Words,
	"jwt":      ProxyHalf,
	"jwks":     ProxyHalf,
	"envoy":    ProxyHalf,
	"mesh":     Core,
	"istio":    Core,
	"ztunnel":  Core,
	"diag":     Words,
	"diagnose": Core,
	"doctor":   Words,
	"curl":     Core,
	"observe":  Core,
	"fix":      Core,
	"lint":     Core,
	"scaffold": Core,
	"keycheck": Core,
	"probe":    Core,
	"kube":     Edge,
	"proxy":    Edge,
	"fetch":    Edge,
	"render":   Edge,
	"cmd":      Shell,
}

// forbidden are import paths, each with all below it, that a layer must not
// reach, by whatever way.
var forbidden = map[Layer][]string{
	Words:     {"istio.io", "k8s.io", "sigs.k8s.io"},
	ProxyHalf: {"istio.io", "k8s.io", "sigs.k8s.io"},
	Core:      {"k8s.io/client-go", "k8s.io/cli-runtime", "istio.io/client-go"},
}

// effects are packages of the standard library that the core must not import
// itself. Libraries that it uses may (apimachinery's types reach net/http).
var effects = []string{"os", "os/exec", "os/signal", "net/http", "log", "log/slog", "math/rand", "math/rand/v2"}

// Violation is a broken rule, with the path of imports that breaks it.
type Violation struct {
	Rule string
	Path []string
}

// String renders the violation as "rule: a -> b -> c".
func (v Violation) String() string {
	return v.Rule + ": " + strings.Join(v.Path, " -> ")
}

// Check returns the violations of the graph, sorted.
func Check(g Graph) []Violation {
	var out []Violation
	for pkg := range g {
		if !within(pkg, Module) {
			continue
		}
		out = append(out, checkPackage(g, pkg)...)
	}
	sort.Slice(out, func(i, j int) bool { return out[i].String() < out[j].String() })
	return out
}

func checkPackage(g Graph, pkg string) []Violation {
	layer, inPkg := layerOf(pkg)
	if inPkg && layer == "" {
		return []Violation{{"every package of pkg/ belongs to a layer of importtest.Layers", []string{pkg}}}
	}
	var out []Violation
	report := func(rule string, target func(string) bool) {
		if path := g.path(pkg, target); path != nil {
			out = append(out, Violation{rule, path})
		}
	}
	under := func(p string) func(string) bool { return func(q string) bool { return within(q, p) } }

	report("istio.io/istio is for the nested test modules", under("istio.io/istio"))
	if inPkg || within(pkg, Module+"/cmd") {
		report("internal packages are for tests", func(q string) bool {
			return within(q, Module+"/internal") && q != LikeStandard
		})
	}
	for _, p := range forbidden[layer] {
		report(fmt.Sprintf("%s must not reach %s", layer, p), under(p))
	}
	for _, bad := range mayNotImport(layer) {
		report(fmt.Sprintf("%s must not reach %s", layer, bad), func(q string) bool {
			l, ok := layerOf(q)
			return q != pkg && ok && l == bad
		})
	}
	if layer == Words || layer == ProxyHalf || layer == Core {
		for _, std := range effects {
			if slices.Contains(g[pkg], std) {
				out = append(out, Violation{string(layer) + " has no effects", []string{pkg, std}})
			}
		}
	}
	if inPkg && layer != Shell {
		report("only cmd/ imports the shell", under(Module+"/pkg/cmd"))
	}
	return out
}

// mayNotImport are the layers that a layer must not reach.
func mayNotImport(l Layer) []Layer {
	switch l {
	case Words:
		return []Layer{Words, ProxyHalf, Core, Edge}
	case ProxyHalf:
		return []Layer{Core, Edge}
	case Core, Edge:
		return []Layer{Edge}
	default:
		return nil
	}
}

// path is the shortest path of imports from a package to one that target picks;
// nil if there is none. Among the shortest it is the first in the order of names.
func (g Graph) path(from string, target func(string) bool) []string {
	paths := map[string][]string{from: {from}}
	for queue := []string{from}; len(queue) > 0; queue = queue[1:] {
		imports := slices.Sorted(slices.Values(g[queue[0]]))
		for _, next := range imports {
			if _, seen := paths[next]; seen {
				continue
			}
			paths[next] = append(slices.Clone(paths[queue[0]]), next)
			if target(next) {
				return paths[next]
			}
			queue = append(queue, next)
		}
	}
	return nil
}

// layerOf returns the layer of a package of pkg/, "" for one that is not
// listed; ok is false for packages elsewhere.
func layerOf(pkg string) (layer Layer, ok bool) {
	rest, ok := strings.CutPrefix(pkg, Module+"/pkg/")
	if !ok {
		return "", false
	}
	name, _, _ := strings.Cut(rest, "/")
	return Layers[name], true
}

// within reports whether a package is path or below it.
func within(pkg, path string) bool {
	return pkg == path || strings.HasPrefix(pkg, path+"/")
}
