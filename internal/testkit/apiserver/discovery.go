package apiserver

import (
	"net/http"
)

// discovery answers /apis and /apis/GROUP/VERSION.
func (s *Server) discovery(w http.ResponseWriter, path []string) {
	switch {
	case len(path) == 3:
		resources := []any{}
		for _, r := range s.Resources {
			if r.Group == path[1] && r.Version == path[2] {
				resources = append(resources, map[string]any{"name": r.Name, "kind": r.Kind, "namespaced": r.Namespaced})
			}
		}
		write(w, map[string]any{"kind": "APIResourceList", "resources": resources})
	case len(path) == 2:
		status(w, http.StatusNotFound, "NotFound")
	case s.OldDiscovery:
		groups := []any{}
		for _, g := range s.groups() {
			versions := []any{}
			for _, v := range s.versions(g) {
				versions = append(versions, map[string]any{"version": v, "groupVersion": g + "/" + v})
			}
			groups = append(groups, map[string]any{"name": g, "versions": versions, "preferredVersion": versions[0]})
		}
		write(w, map[string]any{"kind": "APIGroupList", "apiVersion": "v1", "groups": groups})
	default:
		items := []any{}
		for _, g := range s.groups() {
			versions := []any{}
			for _, v := range s.versions(g) {
				resources := []any{}
				for _, r := range s.Resources {
					if r.Group == g && r.Version == v {
						scope := "Cluster"
						if r.Namespaced {
							scope = "Namespaced"
						}
						resources = append(resources, map[string]any{"resource": r.Name, "scope": scope, "responseKind": map[string]any{"kind": r.Kind}})
					}
				}
				versions = append(versions, map[string]any{"version": v, "freshness": "Current", "resources": resources})
			}
			items = append(items, map[string]any{"metadata": map[string]any{"name": g}, "versions": versions})
		}
		write(w, map[string]any{"kind": "APIGroupDiscoveryList", "apiVersion": "apidiscovery.k8s.io/v2", "items": items})
	}
}

func (s *Server) groups() []string {
	var out []string
	seen := map[string]bool{"": true}
	for _, r := range s.Resources {
		if !seen[r.Group] {
			seen[r.Group] = true
			out = append(out, r.Group)
		}
	}
	return out
}

func (s *Server) versions(group string) []string {
	var out []string
	seen := map[string]bool{}
	for _, r := range s.Resources {
		if r.Group == group && !seen[r.Version] {
			seen[r.Version] = true
			out = append(out, r.Version)
		}
	}
	return out
}
