package cmd

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/spf13/pflag"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/asmjwt/kubectl-asmjwt/pkg/kube"
)

// clusters are the flags that name API servers: kubectl's own, and those of a mesh that
// has an API server for itself.
type clusters struct {
	app    *app
	config *genericclioptions.ConfigFlags
	given  func(flag string) bool

	contexts                  []string
	meshKubeconfig, asmconfig string
	meshContext               string
}

// newClusters adds the flags. kubectl's --context is taken more than once.
func newClusters(a *app, config *genericclioptions.ConfigFlags, fs *pflag.FlagSet) *clusters {
	c := &clusters{app: a, config: config, given: fs.Changed}
	config.Context = nil
	fs.StringArrayVar(&c.contexts, "context", nil, "the name of the kubeconfig context to use; repeated, each gets its own answer")
	fs.StringVarP(&c.meshKubeconfig, "mesh-kubeconfig", "m", "", "the kubeconfig `FILE` of the mesh's own API server, where it has one (ASM); by default ~/.kube/asmconfig, if that is needed")
	fs.StringVar(&c.asmconfig, "asmconfig", "", "the same as --mesh-kubeconfig, as asmctl spells it")
	fs.StringVar(&c.meshContext, "mesh-context", "", "the context of the mesh's own API server")
	_ = fs.MarkHidden("asmconfig") // it was added a line before
	return c
}

// names are the contexts to ask; the empty one is the current context.
func (c *clusters) names() []string {
	if len(c.contexts) == 0 {
		return []string{""}
	}
	return c.contexts
}

// words are the flags that say which mesh is meant, for a command that is to be run next.
func (c *clusters) words() []string {
	if c == nil {
		return nil
	}
	var out []string
	if c.given("kubeconfig") {
		out = flagged("--kubeconfig", *c.config.KubeConfig)
	}
	return slices.Concat(out, flagged("--context", c.contexts...), flagged("--mesh-kubeconfig", c.meshKubeconfig), flagged("--mesh-context", c.meshContext))
}

// validate checks the flags without reading a kubeconfig.
func (c *clusters) validate() error {
	seen := map[string]bool{}
	for _, name := range c.contexts {
		switch {
		case name == "":
			return usage("kubectl config get-contexts lists the contexts", "--context is empty")
		case seen[name]:
			return usage("give each context once", "--context %s is given twice", name)
		}
		seen[name] = true
	}
	switch {
	case c.meshKubeconfig != "" && c.asmconfig != "":
		return usage("they mean the same: give one of them", "--mesh-kubeconfig and --asmconfig together")
	case c.meshKubeconfig == "":
		c.meshKubeconfig = c.asmconfig
	}
	if _, err := clientcmd.ParseTimeout(*c.config.Timeout); err != nil {
		return usage("write it as 10s, or 0 for no limit", "--request-timeout is not a duration")
	}
	return nil
}

// connect makes the client of a context; the empty name is the current one.
func (c *clusters) connect(name string) (*kube.Cluster, error) {
	from := c.config
	config := genericclioptions.NewConfigFlags(true)
	config.CacheDir, config.KubeConfig, config.ClusterName, config.AuthInfoName = from.CacheDir, from.KubeConfig, from.ClusterName, from.AuthInfoName
	config.Namespace, config.APIServer, config.TLSServerName, config.Insecure = from.Namespace, from.APIServer, from.TLSServerName, from.Insecure
	config.CertFile, config.KeyFile, config.CAFile, config.BearerToken = from.CertFile, from.KeyFile, from.CAFile, nil
	config.Impersonate, config.ImpersonateUID, config.ImpersonateGroup = from.Impersonate, from.ImpersonateUID, from.ImpersonateGroup
	config.ImpersonateUserExtra = from.ImpersonateUserExtra
	config.Timeout, config.DisableCompression, config.Context = from.Timeout, from.DisableCompression, &name
	return kube.Connect(config.ToRawKubeConfigLoader(), c.timeout(), name)
}

// timeout is how long a request may take where the flag does not say.
func (c *clusters) timeout() kube.Timeout {
	if c.given("request-timeout") {
		return kube.NoTimeout
	}
	return kube.DefaultTimeout
}

// planes connects to a context and to the mesh's own API server.
func (c *clusters) planes(ctx context.Context, name string) (*kube.Planes, error) {
	data, err := c.connect(name)
	if err != nil {
		return nil, err
	}
	named, err := c.meshCluster()
	if err != nil {
		return nil, err
	}
	planes, err := kube.Open(ctx, data, named, c.asmFallback)
	if err == nil && planes.Split() {
		c.app.kubectl = c.meshKubectl(planes)
	}
	return planes, err
}

// meshKubectl is how kubectl is called for the mesh's own API server.
func (c *clusters) meshKubectl(p *kube.Planes) string {
	out := "kubectl"
	if file := cmp.Or(c.meshKubeconfig, p.MeshFrom); file != "" {
		out += " --kubeconfig " + file
	}
	if c.meshContext != "" {
		out += " --context " + c.meshContext
	}
	return out
}

// meshCluster is the API server that --mesh-kubeconfig or --mesh-context names; nil
// without either.
func (c *clusters) meshCluster() (*kube.Cluster, error) {
	if c.meshKubeconfig == "" && c.meshContext == "" {
		return nil, nil
	}
	file := c.meshKubeconfig
	if file == "" {
		file = *c.config.KubeConfig
	}
	return c.load(file)
}

func (c *clusters) load(file string) (*kube.Cluster, error) {
	rules := clientcmd.NewDefaultClientConfigLoadingRules()
	rules.ExplicitPath = file
	overrides := &clientcmd.ConfigOverrides{CurrentContext: c.meshContext, Timeout: *c.config.Timeout}
	cluster, err := kube.Connect(clientcmd.NewNonInteractiveDeferredLoadingClientConfig(rules, overrides), c.timeout(), c.meshContext)
	if err != nil {
		return nil, fmt.Errorf("the mesh's own API server: %w", err)
	}
	return cluster, nil
}

// asmFallback is asmctl's kubeconfig, where there is one.
func (c *clusters) asmFallback() (*kube.Cluster, string, error) {
	home, ok := c.app.LookupEnv("HOME")
	if !ok || home == "" {
		return nil, "", nil
	}
	file := filepath.Join(home, ".kube", "asmconfig")
	if info, err := os.Stat(file); err != nil || info.IsDir() {
		return nil, "", nil
	}
	cluster, err := c.load(file)
	return cluster, "~/.kube/asmconfig", err
}
