package gen

import "github.com/asmjwt/kubectl-asmjwt/internal/testkit/mint"

// lookup is the key of that name. The names are constants of this package.
func lookup(name string) mint.Key {
	k, known := mint.Lookup(name)
	if !known {
		panic("package mint has no key " + name)
	}
	return k
}
