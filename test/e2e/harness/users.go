package harness

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// usersNamespace has the ServiceAccounts of the users.
const usersNamespace = "users"

// Grant is a right, in one namespace or, without one, everywhere.
type Grant struct {
	Namespace string
	Verbs     []string
	Group     string   // API group; "": the core
	Resources []string // with subresources: "pods/exec"
	Names     []string // of objects; nil: all
}

// User makes a user who has these rights and no others, and returns a kubeconfig
// of theirs. Called again it changes the rights; the kubeconfig stays good.
func (r *Rig) User(ctx context.Context, name string, grants ...Grant) (string, error) {
	objects := []map[string]any{
		{"apiVersion": "v1", "kind": "Namespace", "metadata": map[string]any{"name": usersNamespace}},
		{"apiVersion": "v1", "kind": "ServiceAccount", "metadata": map[string]any{"name": name, "namespace": usersNamespace}},
	}
	label := map[string]any{"user": name}
	for i, g := range grants {
		meta := map[string]any{"name": fmt.Sprintf("user-%s-%d", name, i), "labels": label}
		kind := "ClusterRole"
		if g.Namespace != "" {
			kind, meta["namespace"] = "Role", g.Namespace
		}
		rule := map[string]any{"apiGroups": []string{g.Group}, "resources": g.Resources, "verbs": g.Verbs}
		if g.Names != nil {
			rule["resourceNames"] = g.Names
		}
		const rbac = "rbac.authorization.k8s.io"
		objects = append(objects,
			map[string]any{"apiVersion": rbac + "/v1", "kind": kind, "metadata": meta, "rules": []any{rule}},
			map[string]any{
				"apiVersion": rbac + "/v1", "kind": kind + "Binding", "metadata": meta,
				"roleRef":  map[string]any{"apiGroup": rbac, "kind": kind, "name": meta["name"]},
				"subjects": []any{map[string]any{"kind": "ServiceAccount", "name": name, "namespace": usersNamespace}},
			})
	}
	for _, scope := range []string{"clusterrolebindings,clusterroles", "rolebindings,roles"} {
		if _, err := r.Kubectl(ctx, "", "delete", scope, "-A", "-l", "user="+name, "--wait"); err != nil {
			return "", err
		}
	}
	var all strings.Builder
	for _, o := range objects {
		text, err := json.Marshal(o)
		if err != nil {
			return "", err
		}
		all.Write(text)
		all.WriteString("\n---\n")
	}
	if err := r.Apply(ctx, all.String()); err != nil {
		return "", err
	}
	return r.kubeconfigOf(ctx, name)
}

// kubeconfigOf writes a kubeconfig with a fresh token of the user.
func (r *Rig) kubeconfigOf(ctx context.Context, name string) (string, error) {
	token, err := r.Kubectl(ctx, "", "-n", usersNamespace, "create", "token", name)
	if err != nil {
		return "", err
	}
	admin, err := r.Kubectl(ctx, "", "config", "view", "--raw", "-o", "json")
	if err != nil {
		return "", err
	}
	var config map[string]any
	if err := json.Unmarshal([]byte(admin), &config); err != nil {
		return "", fmt.Errorf("read the admin's kubeconfig: %w", err)
	}
	config["users"] = []any{map[string]any{"name": name, "user": map[string]any{"token": strings.TrimSpace(token)}}}
	config["contexts"] = []any{map[string]any{"name": name, "context": map[string]any{"cluster": "rig", "user": name}}}
	config["current-context"] = name
	text, err := json.Marshal(config)
	if err != nil {
		return "", err
	}
	file := filepath.Join(r.Dir, "kubeconfig-"+name)
	return file, os.WriteFile(file, text, 0o600)
}
