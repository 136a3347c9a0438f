package kube

import (
	"context"
	"encoding/json"
	"net/url"
	"slices"

	"github.com/asmjwt/kubectl-asmjwt/pkg/mesh"
)

// Names lists the names of the objects of a target's type in a namespace, sorted, 500
// at the most; of what has no namespace, or with an empty one, those of all. It is for
// completion: only names are asked for, and errors are the server's.
func (c *Cluster) Names(ctx context.Context, targetType, namespace string) ([]string, error) {
	return c.names(ctx, targetPath(targetType, namespace))
}

// Target reads a target as JSON, as Names does.
func (c *Cluster) Target(ctx context.Context, target mesh.Target, namespace string) ([]byte, error) {
	data, _, err := c.get(ctx, append(targetPath(target.Type, namespace), target.Name), nil, "application/json")
	return data, err
}

// targetPath is where a server has the objects of a target's type.
func targetPath(targetType, namespace string) []string {
	group, _ := mesh.Target{Type: targetType}.GroupKind()
	path := []string{"api", "v1"}
	if group != mesh.GroupCore {
		path = []string{"apis", group, "v1"}
		if group == mesh.GroupASM {
			path[2] = "v1beta1"
		}
	}
	if namespace != "" {
		path = append(path, "namespaces", namespace)
	}
	return append(path, targetType)
}

// Namespaces lists the names of the namespaces, as Names does.
func (c *Cluster) Namespaces(ctx context.Context) ([]string, error) {
	return c.names(ctx, []string{"api", "v1", "namespaces"})
}

func (c *Cluster) names(ctx context.Context, path []string) ([]string, error) {
	const onlyNames = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,application/json"
	data, _, err := c.get(ctx, path, url.Values{"limit": {"500"}}, onlyNames)
	if err != nil {
		return nil, err
	}
	var list struct {
		Items []struct {
			Metadata struct {
				Name string `json:"name"`
			} `json:"metadata"`
		} `json:"items"`
	}
	if err := json.Unmarshal(data, &list); err != nil {
		return nil, err
	}
	out := make([]string, 0, len(list.Items))
	for _, i := range list.Items {
		out = append(out, i.Metadata.Name)
	}
	slices.Sort(out)
	return out, nil
}
