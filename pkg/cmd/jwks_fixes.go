package cmd

import (
	"slices"
	"strings"

	"github.com/asmjwt/kubectl-asmjwt/pkg/keycheck"
	"github.com/asmjwt/kubectl-asmjwt/pkg/mesh"
	"github.com/asmjwt/kubectl-asmjwt/pkg/render"
)

// writeFixes gives the fixes that are objects their text, and those that begin with a
// command that command, as it is to be typed.
func (o *jwksOptions) writeFixes(r *keycheck.Report) error {
	for i := range r.Fixes {
		f := &r.Fixes[i]
		switch {
		case f.KeysOf != "":
			f.Command = strings.Join(append(o.words(), "--jwks", quoted(f.KeysOf+"=FILE")), " ")
		case f.Why != nil:
			words := []string{displayName(o.app.Name), "why"}
			for _, w := range f.Why {
				words = append(words, quoted(w))
			}
			f.Command = strings.Join(append(words, o.sourceWords()...), " ")
		}
		if len(f.Objects) == 0 {
			continue
		}
		text, err := render.ManifestYAML(f.Objects...)
		if err != nil {
			return err
		}
		f.Manifest = string(text)
	}
	return nil
}

// words are the question as a command, for one that is to be run next.
func (o *jwksOptions) words() []string {
	f := &o.flags
	out := []string{displayName(o.app.Name), "jwks"}
	if o.target != (mesh.Target{}) {
		out = append(out, o.target.String())
	}
	switch {
	case f.all:
		out = append(out, "-A")
	case o.given("namespace"):
		out = append(out, "-n", o.namespace)
	}
	out = append(out, o.sourceWords()...)
	return slices.Concat(out, flagged("--from", f.from), flagged("--from-namespace", f.fromNamespace), flagged("-c", f.container), flagged("--jwks", f.jwks...),
		flagged("--jwt-file", f.token.file), flagged("--jwt-env", f.token.env), flagged("--ca", f.ca))
}

// sourceWords say what is asked: which cluster, or which files.
func (o *jwksOptions) sourceWords() []string {
	out := slices.Concat(o.app.clusters.words(), flagged("-f", o.flags.files...))
	if o.flags.recursive {
		out = append(out, "-R")
	}
	return append(out, flagged("-k", o.flags.kustomize)...)
}

// flagged is a flag with each of its values; of an empty one, nothing.
func flagged(flag string, values ...string) []string {
	var out []string
	for _, v := range values {
		if v != "" {
			out = append(out, flag, quoted(v))
		}
	}
	return out
}
