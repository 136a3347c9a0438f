package harness

import (
	"bytes"
	"context"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"text/template"
	"time"
)

//go:embed manifests
var manifests embed.FS

// MeshConfig is the mesh configuration: Istio's defaults, but no metrics
// provider, whose filter needs Istio's own build of Envoy.
const MeshConfig = `trustDomain: cluster.local
rootNamespace: istio-system
accessLogFile: /dev/stdout
`

func render(name string, data any) (string, error) {
	t, err := template.ParseFS(manifests, "manifests/"+name)
	if err != nil {
		return "", err
	}
	var out bytes.Buffer
	if err := t.Execute(&out, data); err != nil {
		return "", err
	}
	return out.String(), nil
}

// Istiod is a control plane to start.
type Istiod struct {
	Revision string            // "": default
	Env      map[string]string // beside what every istiod here has
}

// Name is that of its Deployment and Service in istio-system.
func (i Istiod) Name() string {
	if i.Revision == "" {
		return "istiod"
	}
	return "istiod-" + i.Revision
}

// StartIstiod starts a control plane and waits until it is ready. The first one
// installs Istio's CRDs and makes the authority that later ones share.
func (r *Rig) StartIstiod(ctx context.Context, i Istiod) error {
	if _, err := r.Kubectl(ctx, "", "get", "namespace", "istio-system"); err != nil {
		if err := r.installBase(ctx); err != nil {
			return err
		}
	}
	revision := i.Revision
	if revision == "" {
		revision = "default"
	}
	text, err := render("istiod.yaml", map[string]any{"Name": i.Name(), "Revision": revision, "Env": i.Env, "Bin": r.Bin, "Kubeconfig": r.Kubeconfig})
	if err != nil {
		return err
	}
	if err := r.Apply(ctx, text); err != nil {
		return err
	}
	return r.Rollout(ctx, "istio-system", i.Name())
}

// InstallCRDs installs Istio's CRDs.
func (r *Rig) InstallCRDs(ctx context.Context) error {
	if _, err := r.Kubectl(ctx, "", "apply", "--server-side", "-f", r.crds()); err != nil {
		return err
	}
	_, err := r.Kubectl(ctx, "", "wait", "--for=condition=Established", "crd", "--all", "--timeout=60s")
	return err
}

func (r *Rig) installBase(ctx context.Context) error {
	if err := r.InstallCRDs(ctx); err != nil {
		return err
	}
	config, err := json.Marshal(map[string]any{
		"apiVersion": "v1", "kind": "ConfigMap", "metadata": map[string]any{"name": "istio", "namespace": "istio-system"},
		"data": map[string]any{"mesh": MeshConfig},
	})
	if err != nil {
		return err
	}
	return r.Apply(ctx, "apiVersion: v1\nkind: Namespace\nmetadata: {name: istio-system}\n---\n"+string(config))
}

// Apply is kubectl apply of manifests.
func (r *Rig) Apply(ctx context.Context, yaml string) error {
	_, err := r.Kubectl(ctx, yaml, "apply", "-f", "-")
	return err
}

// Rollout waits until a Deployment's Pods are ready; an error has the logs of the Pods.
func (r *Rig) Rollout(ctx context.Context, namespace, name string) error {
	_, err := r.Kubectl(ctx, "", "-n", namespace, "rollout", "status", "deployment/"+name, "--timeout=120s")
	if err == nil {
		return nil
	}
	logs, e := r.Kubectl(ctx, "", "-n", namespace, "logs", "deployment/"+name, "--all-containers", "--prefix", "--tail=20")
	return errors.Join(err, e, fmt.Errorf("its log ends:\n%s\nthe rig's own:\n%s", logs, r.Log()))
}

// Workload is a Deployment of one Pod, with a ServiceAccount of its name and, if it
// has a port, a Service.
type Workload struct {
	Name, Namespace string
	Labels          map[string]string // beside app: NAME
	Image           string            // in name only
	Command         []string          // of the application; nil: one that just sleeps
	Port            int               // of the Service
	PortName        string            // "": http
	TargetPort      int               // of the Pod; 0: Port
	Sidecar         bool
	Gateway         bool   // an ingress gateway, with the label istio: ingressgateway
	Revision        string // of its control plane
}

// YAML is the workload as manifests.
func (r *Rig) YAML(w Workload) (string, error) {
	if w.PortName == "" {
		w.PortName = "http"
	}
	if w.TargetPort == 0 {
		w.TargetPort = w.Port
	}
	if w.Image == "" {
		w.Image = "docker.io/library/" + w.Name + ":latest"
	}
	labels := map[string]string{"app": w.Name}
	if w.Gateway {
		labels["istio"] = "ingressgateway"
	}
	maps.Copy(labels, w.Labels)
	labelsJSON, err := json.Marshal(labels)
	if err != nil {
		return "", err
	}
	proxy, err := json.Marshal(map[string]any{
		"binaryPath": r.Envoy, "proxyBootstrapTemplatePath": r.bootstrap(), "configPath": "./etc/istio/proxy", "terminationDrainDuration": "1s",
		"discoveryAddress": Istiod{Revision: w.Revision}.Name() + ".istio-system.svc:15012",
	})
	if err != nil {
		return "", err
	}
	return render("workload.yaml", struct {
		Workload
		Bin, LabelsJSON, ProxyConfig string
	}{w, r.Bin, string(labelsJSON), string(proxy)})
}

// Deploy starts workloads and waits until all are ready.
func (r *Rig) Deploy(ctx context.Context, workloads ...Workload) error {
	all := ""
	for _, w := range workloads {
		text, err := r.YAML(w)
		if err != nil {
			return err
		}
		all += text + "---\n"
	}
	if err := r.Apply(ctx, all); err != nil {
		return err
	}
	for _, w := range workloads {
		if err := r.Rollout(ctx, w.Namespace, w.Name); err != nil {
			return err
		}
	}
	return nil
}

// Httpbin is the application of the FAQ, behind a sidecar, at port 8000.
func (r *Rig) Httpbin(namespace string) Workload {
	return Workload{
		Name: "httpbin", Namespace: namespace, Image: "docker.io/mccutchen/go-httpbin:v2.15.0", Sidecar: true, Labels: map[string]string{"version": "v1"},
		Command: []string{"go-httpbin", "-host", "0.0.0.0", "-port", "8080"}, Port: 8000, TargetPort: 8080,
	}
}

// Sleep is a client with curl in it, behind a sidecar.
func (r *Rig) Sleep(namespace string) Workload {
	return Workload{Name: "sleep", Namespace: namespace, Image: "docker.io/curlimages/curl:8.16.0", Sidecar: true}
}

// OutsideName is one more name of each key server's certificates, which no DNS has.
const OutsideName = "idp.example.com"

// Keys is a server of the key set document in file, with all its faults, without a
// sidecar: in plaintext at port 80 of the Service, over TLS at the ports of the
// keyserver command. The authority of its certificates is in Authority's file.
func (r *Rig) Keys(namespace, name, file string) Workload {
	full := name + "." + namespace
	return Workload{
		Name: name, Namespace: namespace, Image: "docker.io/library/nginx:1.29", Port: 80,
		Command: []string{
			"keyserver", "-keys", file, "-authority", r.Authority(namespace, name),
			"-hosts", name + "," + full + "," + full + ".svc," + full + ".svc.cluster.local," + OutsideName,
		},
	}
}

// Authority is the file of the authority of a key server's certificates.
func (r *Rig) Authority(namespace, name string) string {
	return filepath.Join(r.Dir, name+"."+namespace+".authority.pem")
}

// WriteKeys writes a key set document for Keys.
func (r *Rig) WriteKeys(name string, document []byte) (string, error) {
	file := filepath.Join(r.Dir, name)
	return file, os.WriteFile(file, document, 0o644)
}

// Eventually calls f until it returns nil, and returns its last error if that takes
// longer than limit.
func Eventually(ctx context.Context, limit time.Duration, f func() error) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	for {
		err := f()
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(50 * time.Millisecond):
		}
	}
}
