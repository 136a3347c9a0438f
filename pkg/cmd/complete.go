package cmd

import (
	"context"
	"encoding/json"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"github.com/asmjwt/kubectl-asmjwt/pkg/kube"
	"github.com/asmjwt/kubectl-asmjwt/pkg/mesh"
)

// completionTime is how long a user waits for a list; who has no access is not told so
// in the middle of a word, but offered nothing.
const completionTime = 220 * time.Millisecond

// completer finds the words that may stand in a place of the command line: in the files
// of -f and -k where they are given, else in the cluster.
type completer struct{ app *app }

// source is where the words are looked for.
type source interface {
	// names are those of the objects of a target's type.
	names(ctx context.Context, targetType string) []string
	// object is a target as JSON; nil where it is not to be had.
	object(ctx context.Context, target mesh.Target) []byte
	namespaces(ctx context.Context) []string
}

// search looks for words, but no longer than a user waits: a program that gives
// credentials, or a large folder, knows no deadline.
func (c completer) search(cmd *cobra.Command, namespace string, find func(context.Context, source) []string) []string {
	ctx, cancel := context.WithTimeout(cmd.Context(), completionTime)
	defer cancel()
	found := make(chan []string, 1)
	go func() {
		var words []string
		if s := c.source(ctx, cmd, namespace); s != nil {
			words = find(ctx, s)
		}
		found <- words
	}()
	select {
	case words := <-found:
		return words
	case <-ctx.Done():
		return nil
	}
}

// source is nil where nothing can be asked. Without a namespace it is that of -n, or of
// the kubeconfig.
func (c completer) source(ctx context.Context, cmd *cobra.Command, namespace string) source {
	if namespace == "" {
		namespace, _ = cmd.Flags().GetString("namespace")
	}
	if opts, ok := fileOptions(cmd); ok {
		if opts.Namespace = namespace; opts.Namespace == "" {
			opts.Namespace = "default"
		}
		snapshot, err := kube.FromFiles(ctx, opts)
		if err != nil {
			return nil
		}
		return fileSource{snapshot, opts.Namespace}
	}
	cluster, err := c.app.clusters.connect(c.app.clusters.names()[0])
	if err != nil {
		return nil
	}
	if namespace == "" {
		namespace = cluster.Namespace
	}
	return clusterSource{cluster, namespace}
}

// fileOptions are the files that take a cluster's place.
func fileOptions(cmd *cobra.Command) (kube.FileOptions, bool) {
	var opts kube.FileOptions
	files, err := cmd.Flags().GetStringArray("filename")
	if err != nil || slices.Contains(files, "-") {
		return opts, false
	}
	kustomize, _ := cmd.Flags().GetString("kustomize")
	recursive, _ := cmd.Flags().GetBool("recursive")
	opts = kube.FileOptions{Filenames: files, Kustomize: kustomize, Recursive: recursive, Stdin: strings.NewReader("")}
	return opts, len(files) > 0 || kustomize != ""
}

type fileSource struct {
	snapshot  *mesh.Snapshot
	namespace string
}

func (s fileSource) names(_ context.Context, targetType string) []string {
	group, kind := mesh.Target{Type: targetType}.GroupKind()
	var out []string
	for _, o := range s.snapshot.InNamespace(group, kind, s.namespace) {
		out = append(out, o.Name)
	}
	slices.Sort(out)
	return out
}

func (s fileSource) object(_ context.Context, target mesh.Target) []byte {
	group, kind := target.GroupKind()
	o := s.snapshot.Find(group, kind, s.namespace, target.Name)
	if o == nil {
		return nil
	}
	text, _ := o.JSON()
	return text
}

func (s fileSource) namespaces(context.Context) []string { return s.snapshot.Namespaces() }

type clusterSource struct {
	cluster   *kube.Cluster
	namespace string
}

func (s clusterSource) names(ctx context.Context, targetType string) []string {
	names, _ := s.cluster.Names(ctx, targetType, s.namespace)
	return names
}

func (s clusterSource) object(ctx context.Context, target mesh.Target) []byte {
	text, _ := s.cluster.Target(ctx, target, s.namespace)
	return text
}

func (s clusterSource) namespaces(ctx context.Context) []string {
	names, _ := s.cluster.Namespaces(ctx)
	return names
}

// targets completes TYPE/NAME: first the types, then the names of one.
func (c completer) targets(cmd *cobra.Command, args []string, word string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return c.target(cmd, "", word)
}

// target completes the value of a flag such as --from.
func (c completer) target(cmd *cobra.Command, namespace, word string) ([]string, cobra.ShellCompDirective) {
	typed, _, named := strings.Cut(word, "/")
	if !named {
		var out []string
		for _, t := range mesh.TargetTypes() {
			out = append(out, t+"/")
		}
		return out, cobra.ShellCompDirectiveNoSpace | cobra.ShellCompDirectiveNoFileComp
	}
	target, err := mesh.ParseTarget(typed + "/x")
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	names := c.search(cmd, namespace, func(ctx context.Context, s source) []string { return s.names(ctx, target.Type) })
	for i := range names {
		names[i] = typed + "/" + names[i]
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}

// from completes --from in the client's namespace. A client that sends may be this machine.
func (c completer) from(cmd *cobra.Command, _ []string, word string) ([]string, cobra.ShellCompDirective) {
	namespace, _ := cmd.Flags().GetString("from-namespace")
	words, directive := c.target(cmd, namespace, word)
	if cmd.Flags().Lookup("to-gateway") != nil && strings.HasPrefix(fromLocal, word) {
		words = append(words, fromLocal)
	}
	return words, directive
}

// via completes a hop in the namespace of the target; another one is typed.
func (c completer) via(cmd *cobra.Command, _ []string, word string) ([]string, cobra.ShellCompDirective) {
	return c.target(cmd, "", word)
}

// gateway completes the name of a classic gateway, by its Deployment.
func (c completer) gateway(cmd *cobra.Command, _ []string, _ string) ([]string, cobra.ShellCompDirective) {
	namespace := "istio-system"
	if given, _ := cmd.Flags().GetString("namespace"); given != "" {
		namespace = given
	}
	return c.search(cmd, namespace, func(ctx context.Context, s source) []string { return s.names(ctx, mesh.TypeDeployment) }), cobra.ShellCompDirectiveNoFileComp
}

// targetRef completes KIND/NAME of what a policy may be attached to.
func (c completer) targetRef(cmd *cobra.Command, _ []string, word string) ([]string, cobra.ShellCompDirective) {
	kinds := []struct{ kind, targetType string }{{"Gateway", mesh.TypeGateway}, {"Service", mesh.TypeService}}
	var out []string
	for _, k := range kinds {
		if !strings.HasPrefix(word, k.kind+"/") {
			out = append(out, k.kind+"/")
			continue
		}
		names := c.search(cmd, "", func(ctx context.Context, s source) []string { return s.names(ctx, k.targetType) })
		for i := range names {
			names[i] = k.kind + "/" + names[i]
		}
		return names, cobra.ShellCompDirectiveNoFileComp
	}
	return out, cobra.ShellCompDirectiveNoSpace | cobra.ShellCompDirectiveNoFileComp
}

// namespaces completes -n and its like.
func (c completer) namespaces(cmd *cobra.Command, _ []string, _ string) ([]string, cobra.ShellCompDirective) {
	return c.search(cmd, "", func(ctx context.Context, s source) []string { return s.namespaces(ctx) }), cobra.ShellCompDirectiveNoFileComp
}

// ports completes --port with what the target has.
func (c completer) ports(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	return c.ofTarget(cmd, args, "", portsOf), cobra.ShellCompDirectiveNoFileComp
}

// containers completes --container with those of the client where there is one, else of
// the target.
func (c completer) containers(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	namespace := ""
	if from, _ := cmd.Flags().GetString("from"); from != "" {
		args = []string{from}
		namespace, _ = cmd.Flags().GetString("from-namespace")
	}
	return c.ofTarget(cmd, args, namespace, containersOf), cobra.ShellCompDirectiveNoFileComp
}

func (c completer) ofTarget(cmd *cobra.Command, args []string, namespace string, words func(object []byte) []string) []string {
	if len(args) == 0 {
		return nil
	}
	target, err := mesh.ParseTarget(args[0])
	if err != nil {
		return nil
	}
	return c.search(cmd, namespace, func(ctx context.Context, s source) []string { return words(s.object(ctx, target)) })
}

// shape is what of any target may have ports or containers: a Service, a Gateway, a pod,
// or what has a template of one.
type shape struct {
	Spec struct {
		podShape
		Ports, Listeners []portShape
		Template         struct{ Spec podShape }
		JobTemplate      struct {
			Spec struct{ Template struct{ Spec podShape } }
		}
	}
}

type podShape struct {
	InitContainers, Containers []struct {
		Name  string
		Ports []struct {
			Name          string
			ContainerPort int32
		}
	}
}

type portShape struct {
	Name string
	Port int32
}

func (s *shape) pods() []podShape {
	return []podShape{s.Spec.podShape, s.Spec.Template.Spec, s.Spec.JobTemplate.Spec.Template.Spec}
}

// portsOf are the ports of an object, each with its name as a description.
func portsOf(object []byte) []string {
	var s shape
	if json.Unmarshal(object, &s) != nil {
		return nil
	}
	ports := slices.Concat(s.Spec.Ports, s.Spec.Listeners)
	for _, pod := range s.pods() {
		for _, container := range pod.Containers {
			for _, p := range container.Ports {
				ports = append(ports, portShape{p.Name, p.ContainerPort})
			}
		}
	}
	var out []string
	for _, p := range ports {
		word := strconv.Itoa(int(p.Port))
		if p.Name != "" {
			word += "\t" + p.Name
		}
		if p.Port != 0 && !slices.Contains(out, word) {
			out = append(out, word)
		}
	}
	return out
}

func containersOf(object []byte) []string {
	var s shape
	if json.Unmarshal(object, &s) != nil {
		return nil
	}
	var out []string
	for _, pod := range s.pods() {
		for _, container := range slices.Concat(pod.Containers, pod.InitContainers) {
			out = append(out, container.Name)
		}
	}
	return out
}

// fromKubeconfig completes with names of a kubeconfig, which is the one of a flag or the
// usual one.
func (c completer) fromKubeconfig(file func() string, names func(*clientcmdapi.Config) []string) cobra.CompletionFunc {
	return func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
		rules := clientcmd.NewDefaultClientConfigLoadingRules()
		rules.ExplicitPath = file()
		raw, err := rules.Load()
		if err != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		return slices.Sorted(slices.Values(names(raw))), cobra.ShellCompDirectiveNoFileComp
	}
}
