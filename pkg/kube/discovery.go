package kube

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"sync"

	"github.com/asmjwt/kubectl-asmjwt/pkg/mesh"
)

// resource is a kind as an API server serves it.
type resource struct {
	group, version, name, kind string // name is the plural, as in URLs
	namespaced                 bool
}

// String is the resource as RBAC and kubectl name it: plural.group.
func (r resource) String() string {
	if r.group == mesh.GroupCore {
		return r.name
	}
	return r.name + "." + r.group
}

// Served is what an API server serves.
type Served struct {
	byKind map[string]map[string]resource // group, kind
	// versions are those of each group, the preferred one first.
	versions map[string][]string
	// stale are groups whose own server did not answer: what they serve is not known.
	stale map[string]bool
}

// find returns the resource of a kind, in the version that the server prefers.
func (s *Served) find(group, kind string) (resource, bool) {
	if group == mesh.GroupCore || s == nil {
		r, ok := coreResources[kind]
		return r, ok
	}
	r, ok := s.byKind[group][kind]
	return r, ok
}

// Serves reports whether the server has a group.
func (s *Served) Serves(group string) bool { return len(s.byKind[group]) > 0 || s.stale[group] }

// Versions are the served versions of a group, the preferred one first.
func (s *Served) Versions(group string) []string { return slices.Clone(s.versions[group]) }

// coreResources need no discovery. It is never written to.
var coreResources = map[string]resource{
	"Pod":                   {"", "v1", "pods", "Pod", true},
	"Service":               {"", "v1", "services", "Service", true},
	"ConfigMap":             {"", "v1", "configmaps", "ConfigMap", true},
	"ReplicationController": {"", "v1", "replicationcontrollers", "ReplicationController", true},
	"Namespace":             {"", "v1", "namespaces", "Namespace", false},
}

// discoveryAccept asks for all groups and their resources at once, as servers since
// Kubernetes 1.27 give them; older ones answer with a list of groups.
const discoveryAccept = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList," +
	"application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList,application/json"

// Discover asks what the server serves. The answer is kept for the life of the Cluster.
// A failure is an *UnavailableError.
func (c *Cluster) Discover(ctx context.Context) (*Served, error) {
	c.discovery.Lock()
	defer c.discovery.Unlock()
	if c.served != nil {
		return c.served, nil
	}
	data, _, err := c.get(ctx, []string{"apis"}, nil, discoveryAccept)
	if err == nil {
		c.served, err = c.readGroups(ctx, data)
	}
	switch {
	case err == nil:
		return c.served, nil
	case errors.Is(err, context.Canceled):
		return nil, fmt.Errorf("ask the API server what it serves: %w", err)
	}
	return nil, c.unreachable(err)
}

// groupList is both forms of the answer.
type groupList struct {
	Kind  string `json:"kind"`
	Items []struct {
		Metadata struct {
			Name string `json:"name"`
		} `json:"metadata"`
		Versions []struct {
			Version   string `json:"version"`
			Freshness string `json:"freshness"`
			Resources []struct {
				Resource     string `json:"resource"`
				Scope        string `json:"scope"`
				ResponseKind struct {
					Kind string `json:"kind"`
				} `json:"responseKind"`
			} `json:"resources"`
		} `json:"versions"`
	} `json:"items"`
	Groups []struct {
		Name     string `json:"name"`
		Versions []struct {
			Version string `json:"version"`
		} `json:"versions"`
		PreferredVersion struct {
			Version string `json:"version"`
		} `json:"preferredVersion"`
	} `json:"groups"`
}

func (c *Cluster) readGroups(ctx context.Context, data []byte) (*Served, error) {
	var list groupList
	if err := json.Unmarshal(data, &list); err != nil || list.Kind != "APIGroupDiscoveryList" && list.Kind != "APIGroupList" {
		return nil, errors.New("what answers there is no Kubernetes API server")
	}
	s := &Served{byKind: map[string]map[string]resource{}, versions: map[string][]string{}, stale: map[string]bool{}}
	if list.Kind == "APIGroupList" {
		return s, c.readOldGroups(ctx, s, list)
	}
	for _, g := range list.Items {
		for _, v := range g.Versions {
			if v.Freshness == "Stale" {
				s.stale[g.Metadata.Name] = true
			}
			s.versions[g.Metadata.Name] = append(s.versions[g.Metadata.Name], v.Version)
			for _, r := range v.Resources {
				s.add(resource{g.Metadata.Name, v.Version, r.Resource, r.ResponseKind.Kind, r.Scope == "Namespaced"})
			}
		}
	}
	return s, nil
}

// add keeps a resource unless a preferred version has it.
func (s *Served) add(r resource) {
	if s.byKind[r.group] == nil {
		s.byKind[r.group] = map[string]resource{}
	}
	if _, has := s.byKind[r.group][r.kind]; !has {
		s.byKind[r.group][r.kind] = r
	}
}

// wantedGroups are those whose kinds are read. It is never written to.
var wantedGroups = []string{
	mesh.GroupApps, mesh.GroupBatch, mesh.GroupSecurity, mesh.GroupNetworking, mesh.GroupExtensions,
	mesh.GroupTelemetry, mesh.GroupGateway, mesh.GroupASM,
}

// readOldGroups asks a server that does not give everything at once for each version of
// the groups that count.
func (c *Cluster) readOldGroups(ctx context.Context, s *Served, list groupList) error {
	type part struct {
		group, version string
		data           []byte
		err            error
	}
	var parts []*part
	for _, g := range list.Groups {
		if !slices.Contains(wantedGroups, g.Name) {
			continue
		}
		if g.PreferredVersion.Version != "" {
			s.versions[g.Name] = []string{g.PreferredVersion.Version}
		}
		for _, v := range g.Versions {
			if !slices.Contains(s.versions[g.Name], v.Version) {
				s.versions[g.Name] = append(s.versions[g.Name], v.Version)
			}
		}
		for _, v := range s.versions[g.Name] {
			parts = append(parts, &part{group: g.Name, version: v})
		}
	}
	var wait sync.WaitGroup
	for _, p := range parts {
		wait.Go(func() { p.data, _, p.err = c.get(ctx, []string{"apis", p.group, p.version}, nil, "application/json") })
	}
	wait.Wait()
	if ctx.Err() != nil {
		return ctx.Err()
	}
	for _, p := range parts {
		var found struct {
			Resources []struct {
				Name       string `json:"name"`
				Kind       string `json:"kind"`
				Namespaced bool   `json:"namespaced"`
			} `json:"resources"`
		}
		if p.err != nil && !isStatus(p.err, http.StatusNotFound) || p.err == nil && json.Unmarshal(p.data, &found) != nil {
			s.stale[p.group] = true
			continue
		}
		for _, r := range found.Resources {
			s.add(resource{p.group, p.version, r.Name, r.Kind, r.Namespaced})
		}
	}
	return nil
}
