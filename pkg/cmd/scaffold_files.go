package cmd

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"gopkg.in/yaml.v3"

	"github.com/asmjwt/kubectl-asmjwt/internal/lazyregexp"
	"github.com/asmjwt/kubectl-asmjwt/pkg/render"
	"github.com/asmjwt/kubectl-asmjwt/pkg/scaffold"
)

// issuerConfig is one issuer in the file of --config.
type issuerConfig struct {
	Issuer        string                 `yaml:"issuer"`
	JWKSURI       string                 `yaml:"jwksUri"`
	JWKSFile      string                 `yaml:"jwksFile"`
	Discover      bool                   `yaml:"discover"`
	Audiences     []string               `yaml:"audiences"`
	FromHeaders   []scaffold.FromHeader  `yaml:"fromHeaders"`
	FromParams    []string               `yaml:"fromParams"`
	FromCookies   []string               `yaml:"fromCookies"`
	Forward       *bool                  `yaml:"forward"`
	OutputClaims  []scaffold.OutputClaim `yaml:"outputClaims"`
	JWKSAddresses []string               `yaml:"jwksAddresses"`
	CA            string                 `yaml:"ca"`
}

const configHint = `write it as {issuers: [{issuer: "https://idp.example.com", jwksUri: "https://idp.example.com/keys"}]}; also jwksFile, discover, audiences, fromHeaders (name, prefix), fromParams, fromCookies, forward, outputClaims (header, claim), jwksAddresses, ca`

// readConfig reads the issuers of --config. Files in it are named from where it is.
func (o *scaffoldOptions) readConfig() ([]issuerGroup, error) {
	name := o.flags.config
	data, err := o.readSmall(name, "--config")
	if err != nil {
		return nil, err
	}
	if len(tokenShapes(string(data))) > 0 {
		return nil, usage("policies hold keys and issuers, never tokens", "--config: there is a token in it")
	}
	var file struct {
		Issuers []issuerConfig `yaml:"issuers"`
	}
	dec := yaml.NewDecoder(bytes.NewReader(data))
	dec.KnownFields(true)
	if err := dec.Decode(&file); err != nil && !errors.Is(err, io.EOF) {
		return nil, usage(configHint, "--config %s: %s", name, plainYAML(err))
	}
	if len(file.Issuers) == 0 {
		return nil, usage(configHint, "--config %s: there is no issuer in it", name)
	}
	var out []issuerGroup
	for _, c := range file.Issuers {
		g := issuerGroup{started: true, jwksFile: c.JWKSFile, discover: c.Discover, Issuer: scaffold.Issuer{
			Issuer: c.Issuer, JWKSURI: c.JWKSURI, Audiences: c.Audiences, FromHeaders: c.FromHeaders, FromParams: c.FromParams, FromCookies: c.FromCookies,
			Forward: c.Forward == nil || *c.Forward, OutputClaims: c.OutputClaims, Addresses: c.JWKSAddresses, CA: c.CA,
		}}
		if g.discover && (c.JWKSURI != "" || c.JWKSFile != "") {
			return nil, usage("choose one of jwksUri, jwksFile and discover", "--config %s: discover, but the keys of %q are given", name, c.Issuer)
		}
		if g.jwksFile != "" && g.jwksFile != "-" && !filepath.IsAbs(g.jwksFile) && name != "-" {
			g.jwksFile = filepath.Join(filepath.Dir(name), g.jwksFile)
		}
		out = append(out, g)
	}
	return out, nil
}

// plainYAML is what the decoder has to say, without Go's names of types.
func plainYAML(err error) string {
	text := strings.Join(strings.Fields(strings.TrimPrefix(err.Error(), "yaml: unmarshal errors:")), " ")
	text = strings.NewReplacer("cannot unmarshal !!seq", "a list stands", "cannot unmarshal !!map", "a mapping stands", "cannot unmarshal !!str", "a text stands", " into ", " in the place of ").Replace(text)
	return goType.ReplaceAllStringFunc(text, func(string) string { return "something else" })
}

var goType = lazyregexp.New(`struct \{.*\}|\[\]cmd\.\w+|cmd\.\w+|scaffold\.\w+|\[\]scaffold\.\w+|\[\]string`)

// readKeySet reads the file of --jwks-file. What is in it is judged by the core.
func (o *scaffoldOptions) readKeySet(name string) ([]byte, error) {
	return o.readSmall(name, "--jwks-file")
}

// readSmall reads a file of which a few KiB are usual.
func (o *scaffoldOptions) readSmall(name, flag string) ([]byte, error) {
	const most = 1 << 20
	in := o.app.In
	if name != "-" {
		file, err := os.Open(name)
		if err != nil {
			return nil, usage("give the name of a file that can be read", "%s: open %s: %v", flag, name, pathless(err))
		}
		defer func() { _ = file.Close() }()
		in = file
	}
	data, err := io.ReadAll(io.LimitReader(in, most+1))
	switch {
	case err != nil && name == "-":
		return nil, err
	case err != nil:
		return nil, usage("give a file that can be read", "%s: read %s: %v", flag, name, pathless(err))
	case len(data) > most:
		return nil, usage("a key set has a few KiB: is this the right file?", "%s: %s is larger than 1 MiB", flag, name)
	}
	return data, nil
}

// writeFiles writes each object into a file of its own, and names the files. A file
// that is there already is left alone unless it says the same.
func (o *scaffoldOptions) writeFiles(objects []*scaffold.Object) error {
	dir := o.flags.outputDir
	type file struct {
		name string
		data []byte
	}
	var files []file
	var names []string
	for _, obj := range objects {
		data, err := render.ManifestYAML(obj)
		if err != nil {
			return err
		}
		name := strings.ToLower(obj.Kind) + "-" + obj.Name + ".yaml"
		files, names = append(files, file{name, data}), append(names, name)
	}
	if o.flags.kustomization {
		text := "apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\nresources:\n- " + strings.Join(names, "\n- ") + "\n"
		files = append(files, file{"kustomization.yaml", []byte(text)})
	}
	for _, f := range files {
		have, err := os.ReadFile(filepath.Join(dir, f.name))
		switch {
		case err == nil && !bytes.Equal(have, f.data):
			return usage("move it away, or choose another folder or --name; nothing was written", "%s is there already, with other content", filepath.Join(dir, f.name))
		case err != nil && !errors.Is(err, fs.ErrNotExist):
			return usage("choose another folder; nothing was written", "read %s: %v", filepath.Join(dir, f.name), pathless(err))
		}
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return usage("choose another folder", "make the folder %s: %v", dir, pathless(err))
	}
	for _, f := range files {
		path := filepath.Join(dir, f.name)
		if err := os.WriteFile(path, f.data, 0o644); err != nil {
			return usage("choose another folder", "write %s: %v", path, pathless(err))
		}
		if _, err := fmt.Fprintln(o.app.Out, path); err != nil {
			return fmt.Errorf("write the names: %w", err)
		}
	}
	return nil
}
