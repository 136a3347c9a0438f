package run

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	kubeyaml "k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/yaml"

	"istio.io/istio/pilot/pkg/config/kube/crd"
	"istio.io/istio/pkg/config"
	"istio.io/istio/pkg/config/schema/collections"
	"istio.io/istio/pkg/config/schema/resource"
)

// manifest is what a Case's YAML says, sorted by who reads it.
type manifest struct {
	// configs are Istio's objects, as istiod's file source parses them.
	configs []config.Config
	// services are the Kubernetes Services.
	services []corev1.Service
	// workloads are Pod templates by kind and namespace/name.
	workloads map[workloadKey]corev1.PodTemplateSpec
	// meshYAML is key "mesh" of the ConfigMap istio-system/istio.
	meshYAML string
	// required says that some rule has presence: REQUIRED.
	required bool
	// fetches says that some rule has no key set of its own.
	fetches bool
	// kube are the objects that istiod reads through Kubernetes' clients, as JSON, with
	// their kinds; namespaces the labels of Namespaces.
	kube       [][]byte
	kubeKinds  []string
	namespaces map[string]map[string]string
	// flags are the variables of istiod's own environment.
	flags map[string]string
}

type workloadKey struct{ kind, namespace, name string }

// parseManifest reads the documents of a Case's Mesh.
func parseManifest(text string) (*manifest, error) {
	m := &manifest{workloads: map[workloadKey]corev1.PodTemplateSpec{}, namespaces: map[string]map[string]string{}, flags: map[string]string{}}
	reader := kubeyaml.NewYAMLReader(bufio.NewReader(strings.NewReader(text)))
	for n := 0; ; n++ {
		doc, err := reader.Read()
		if errors.Is(err, io.EOF) {
			return m, nil
		}
		if err != nil {
			return nil, fmt.Errorf("document %d: %w", n, err)
		}
		raw, err := yaml.YAMLToJSON(doc)
		if err != nil {
			return nil, fmt.Errorf("document %d: %w", n, err)
		}
		if bytes.Equal(bytes.TrimSpace(raw), []byte("null")) {
			continue
		}
		if err := m.add(raw); err != nil {
			return nil, fmt.Errorf("document %d: %w", n, err)
		}
	}
}

// add puts one object, as JSON, in its place. Kinds that no proxy hears of are passed over.
func (m *manifest) add(raw []byte) error {
	var head struct {
		metav1.TypeMeta   `json:",inline"`
		metav1.ObjectMeta `json:"metadata"`
	}
	if err := json.Unmarshal(raw, &head); err != nil {
		return err
	}
	ns := head.Namespace
	if ns == "" {
		ns = metav1.NamespaceDefault
	}
	if gk := head.GroupVersionKind(); isKube(gk.Group, gk.Kind) {
		m.kube, m.kubeKinds = append(m.kube, inStoredVersion(gk, raw)), append(m.kubeKinds, head.Kind)
		if gk.Group == gatewayGroup {
			return nil
		}
	}
	key := workloadKey{strings.ToLower(head.Kind), ns, head.Name}
	switch head.GroupVersionKind().GroupKind().String() {
	case "ConfigMap":
		return m.addConfigMap(raw)
	case "Namespace":
		m.namespaces[head.Name] = head.Labels
		return nil
	case "Service":
		var svc corev1.Service
		if err := json.Unmarshal(raw, &svc); err != nil {
			return err
		}
		svc.Namespace = ns
		m.services = append(m.services, svc)
		return nil
	case "Pod":
		var pod corev1.Pod
		if err := json.Unmarshal(raw, &pod); err != nil {
			return err
		}
		m.workloads[key] = corev1.PodTemplateSpec{ObjectMeta: pod.ObjectMeta, Spec: pod.Spec}
		return nil
	case "Deployment.apps", "StatefulSet.apps", "DaemonSet.apps", "ReplicaSet.apps", "Job.batch":
		template, err := podTemplate(head.Kind, raw)
		if err != nil {
			return err
		}
		m.workloads[key] = template
		if head.Labels["app"] == "istiod" {
			m.readFlags(template)
		}
		return nil
	}
	return m.addIstio(head.TypeMeta, raw)
}

// readFlags takes the variables of istiod's environment.
func (m *manifest) readFlags(istiod corev1.PodTemplateSpec) {
	for _, c := range istiod.Spec.Containers {
		for _, e := range c.Env {
			m.flags[e.Name] = e.Value
		}
	}
}

// podTemplate takes the template out of a workload object.
func podTemplate(kind string, raw []byte) (corev1.PodTemplateSpec, error) {
	var (
		deployment appsv1.Deployment
		stateful   appsv1.StatefulSet
		daemon     appsv1.DaemonSet
		replicas   appsv1.ReplicaSet
		job        batchv1.Job
	)
	switch kind {
	case "Deployment":
		err := json.Unmarshal(raw, &deployment)
		return deployment.Spec.Template, err
	case "StatefulSet":
		err := json.Unmarshal(raw, &stateful)
		return stateful.Spec.Template, err
	case "DaemonSet":
		err := json.Unmarshal(raw, &daemon)
		return daemon.Spec.Template, err
	case "ReplicaSet":
		err := json.Unmarshal(raw, &replicas)
		return replicas.Spec.Template, err
	default:
		err := json.Unmarshal(raw, &job)
		return job.Spec.Template, err
	}
}

// addConfigMap keeps the mesh configuration, if that is what it holds.
func (m *manifest) addConfigMap(raw []byte) error {
	var cm corev1.ConfigMap
	if err := json.Unmarshal(raw, &cm); err != nil {
		return err
	}
	if cm.Namespace == "istio-system" && cm.Name == "istio" {
		m.meshYAML = cm.Data["mesh"]
	}
	return nil
}

// addIstio has istiod's own conversion read an object of Istio's.
func (m *manifest) addIstio(head metav1.TypeMeta, raw []byte) error {
	gvk := head.GroupVersionKind()
	schema, known := collections.PilotGatewayAPI().FindByGroupVersionAliasesKind(resource.FromKubernetesGVK(&gvk))
	if !known {
		return nil
	}
	if head.Kind == "RequestAuthentication" {
		var err error
		if raw, err = m.readRequestAuthentication(raw); err != nil {
			return err
		}
	}
	var object crd.IstioKind
	if err := json.Unmarshal(raw, &object); err != nil {
		return err
	}
	cfg, err := crd.ConvertObject(schema, &object, "cluster.local")
	if err != nil {
		return fmt.Errorf("%s %s: %w", head.Kind, object.Name, err)
	}
	if cfg.Namespace == "" {
		cfg.Namespace = metav1.NamespaceDefault
	}
	if cfg.CreationTimestamp.IsZero() {
		// Istio's store would give each its own nanosecond. A real API server has
		// whole seconds, and what is applied together shares one.
		cfg.CreationTimestamp = youngest
	}
	m.configs = append(m.configs, *cfg)
	return nil
}

// youngest is when objects are created that do not say so: after all that do.
var youngest = time.Date(2200, 1, 1, 0, 0, 0, 0, time.UTC)

// readRequestAuthentication takes presence out of the rules, since Istio's API
// does not have it, leaves a mark where it was REQUIRED, and notes whether a rule
// makes somebody fetch keys.
func (m *manifest) readRequestAuthentication(raw []byte) ([]byte, error) {
	var object map[string]any
	if err := json.Unmarshal(raw, &object); err != nil {
		return nil, err
	}
	spec, _ := object["spec"].(map[string]any)
	rules, _ := spec["jwtRules"].([]any)
	for _, r := range rules {
		rule, ok := r.(map[string]any)
		if !ok {
			continue
		}
		if keys, _ := rule["jwks"].(string); keys == "" {
			m.fetches = true
		}
		presence := rule["presence"]
		delete(rule, "presence")
		if presence == "REQUIRED" {
			m.required = true
			claims, _ := rule["spaceDelimitedClaims"].([]any)
			rule["spaceDelimitedClaims"] = append(claims, requiredMark)
		}
	}
	return json.Marshal(object)
}
