package kube

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/asmjwt/kubectl-asmjwt/pkg/mesh"
)

// InputError says what is wrong with something that was given to read.
type InputError = mesh.InputError

// FileOptions say which manifests to read. They take the place of the cluster: no
// kubeconfig is read.
type FileOptions struct {
	Filenames []string  // files, folders, "-" for Stdin, http and https URLs
	Recursive bool      // folders within folders too
	Kustomize string    // a folder with a kustomization
	Namespace string    // of objects that name none; empty: "default"
	Stdin     io.Reader // what "-" reads
}

// maxSize is how many bytes one file, page or stream may have.
const maxSize = 256 << 20

// stdinName is what positions and errors call "-".
const stdinName = "standard input"

// FromFiles reads manifests into a snapshot. What cannot be read is an *InputError. A
// folder without any object of a mesh is none: see mesh.Snapshot.MeshObjects.
func FromFiles(ctx context.Context, opts FileOptions) (*mesh.Snapshot, error) {
	objects, err := ReadObjects(ctx, opts)
	if err != nil {
		return nil, err
	}
	return mesh.NewSnapshot(objects, nil)
}

// ReadObjects reads the objects of manifests in the order in which they are written,
// files of a folder by name.
func ReadObjects(ctx context.Context, opts FileOptions) ([]*mesh.Object, error) {
	r := &reader{ctx: ctx, opts: opts}
	for _, name := range opts.Filenames {
		if err := r.read(name); err != nil {
			return nil, err
		}
	}
	if opts.Kustomize != "" {
		if err := r.kustomize(opts.Kustomize); err != nil {
			return nil, err
		}
	}
	if len(r.objects) == 0 {
		return nil, noObjects(opts)
	}
	return r.objects, nil
}

func noObjects(opts FileOptions) error {
	names := opts.Filenames
	if opts.Kustomize != "" {
		names = append(names[:len(names):len(names)], opts.Kustomize)
	}
	if len(names) == 0 {
		return &InputError{Problem: "no manifests were named", Hint: "name a file or a folder with -f, or a kustomization with -k"}
	}
	shown := make([]string, len(names))
	for i, name := range names {
		shown[i] = showName(name)
	}
	return &InputError{
		File: strings.Join(shown, ", "), Problem: "holds no Kubernetes object",
		Hint: "every document is empty or a comment: give manifests, such as the output of kubectl get -o yaml",
	}
}

// reader collects objects.
type reader struct {
	ctx       context.Context
	opts      FileOptions
	objects   []*mesh.Object
	stdinRead bool
}

// read reads one argument of -f.
func (r *reader) read(name string) error {
	if err := r.ctx.Err(); err != nil {
		return fmt.Errorf("read %s: %w", showName(name), err)
	}
	switch {
	case name == "":
		return &InputError{Problem: "the name of a file is empty", Hint: "name a file or a folder with -f; - is standard input"}
	case name == "-":
		return r.stdin()
	case isURL(name):
		return r.url(name)
	}
	return r.path(name)
}

func (r *reader) stdin() error {
	const name = stdinName
	switch {
	case r.opts.Stdin == nil:
		return &InputError{File: name, Problem: "is not at hand", Hint: "name a file with -f"}
	case r.stdinRead:
		return &InputError{File: name, Problem: "is named twice, and can be read once only", Hint: "keep one -f -"}
	}
	r.stdinRead = true
	data, err := readAll(name, r.opts.Stdin)
	if err != nil {
		return err
	}
	return r.parse(name, data)
}

// parse takes the objects of a text.
func (r *reader) parse(name string, data []byte) error {
	objects, err := mesh.Parse(data, mesh.ParseOptions{File: name, Namespace: r.opts.Namespace})
	if err != nil {
		return err
	}
	r.objects = append(r.objects, objects...)
	return nil
}

// readAll reads a stream up to the size that one may have.
func readAll(name string, from io.Reader) ([]byte, error) {
	return readUpTo(name, from, maxSize)
}

func readUpTo(name string, from io.Reader, most int64) ([]byte, error) {
	data, err := io.ReadAll(io.LimitReader(from, most+1))
	if err != nil {
		return nil, readError(name, err)
	}
	if int64(len(data)) > most {
		return nil, tooLarge(name, most)
	}
	return data, nil
}

func tooLarge(name string, most int64) error {
	return &InputError{
		File: name, Problem: fmt.Sprintf("is larger than %d MiB", most>>20),
		Hint: "give only the namespaces that matter, and without Secrets and ConfigMaps that the mesh does not read",
	}
}
