package istio

import (
	"fmt"
	"strings"

	"google.golang.org/protobuf/proto"
	meshapi "istio.io/api/mesh/v1alpha1"
	"sigs.k8s.io/yaml"

	"github.com/asmjwt/kubectl-asmjwt/pkg/mesh"
	"github.com/asmjwt/kubectl-asmjwt/pkg/origin"
)

// annotationProxyConfig puts settings of a pod over those of the mesh.
const annotationProxyConfig = "proxy.istio.io/config"

const (
	defaultTrustDomain   = "cluster.local"
	defaultRootNamespace = "istio-system"
)

// meshSettings are the settings of the mesh that decide about requests, each with
// where it comes from.
type meshSettings struct {
	config        *meshapi.MeshConfig
	rootNamespace string
	trustDomain   string
	// saysNothing says that the root namespace is written, and empty: then there is none
	// (Istio pkg/config/mesh/mesh.go:ApplyMeshConfig puts what is written over its defaults).
	saysNothing bool
	// source names the object that was read; zero for defaults.
	source origin.Ref
	// normalization is pathNormalization with its origin.
	normalization       meshapi.MeshConfig_ProxyPathNormalization_NormalizationType
	normalizationOrigin origin.Origin
}

// Assumption is a setting that was not found and that counts as its default.
type Assumption struct {
	Setting, Value, Source string
}

// readMeshConfig finds the mesh configuration: the ConfigMap istio (key mesh) as
// Istio installs it, for another revision than the default one istio-REVISION, and over
// it ASM's ASMMeshConfig default.
func readMeshConfig(s *mesh.Snapshot, revision string) (meshSettings, []Assumption, error) {
	m := meshSettings{config: &meshapi.MeshConfig{}, rootNamespace: defaultRootNamespace, trustDomain: defaultTrustDomain}
	if o := meshConfigMap(s, revision); o != nil {
		var cm struct {
			Data map[string]string `json:"data"`
		}
		if err := o.Decode(&cm); err != nil {
			return m, nil, err
		}
		if err := unmarshalYAML(cm.Data["mesh"], m.config); err != nil {
			return m, nil, fmt.Errorf("read the mesh configuration of %s: %w", o.Ref(), err)
		}
		m.source, m.saysNothing = o.Ref(), emptyRoot(cm.Data["mesh"])
	}
	m.normalization = m.config.GetPathNormalization().GetNormalization()
	if m.config.GetPathNormalization() != nil {
		m.normalizationOrigin = origin.Origin{Ref: m.source, Field: "data.mesh: pathNormalization.normalization"}
	}
	if err := m.readASM(s); err != nil {
		return m, nil, err
	}
	if v := m.config.GetRootNamespace(); v != "" || m.saysNothing {
		m.rootNamespace = v
	}
	if v := m.config.GetTrustDomain(); v != "" {
		m.trustDomain = v
	}
	return m, m.assumptions(), nil
}

// emptyRoot reports whether a mesh configuration sets an empty root namespace.
func emptyRoot(text string) bool {
	var written struct {
		RootNamespace *string `json:"rootNamespace"`
	}
	return strings.Contains(text, "rootNamespace") && yaml.Unmarshal([]byte(text), &written) == nil && written.RootNamespace != nil && *written.RootNamespace == ""
}

// meshConfigMap is the ConfigMap that has the mesh configuration of a revision: the one
// named istio, in istio-system if there is one there, unless the revision has its own
// (Istio pkg/config/mesh/kubemesh, manifests/charts/istio-control/istio-discovery/templates/configmap.yaml).
func meshConfigMap(s *mesh.Snapshot, revision string) *mesh.Object {
	if o := s.Find(mesh.GroupCore, "ConfigMap", defaultRootNamespace, "istio-"+revision); o != nil && revision != "" {
		return o
	}
	if o := s.Find(mesh.GroupCore, "ConfigMap", defaultRootNamespace, "istio"); o != nil {
		return o
	}
	for _, o := range s.Kind(mesh.GroupCore, "ConfigMap") {
		if o.Name == "istio" {
			return o
		}
	}
	return nil
}

// readASM takes path normalization from ASM's own mesh configuration, whose
// documented field is pathNormalization.normalization.
func (m *meshSettings) readASM(s *mesh.Snapshot) error {
	for _, o := range s.Kind(mesh.GroupASM, "ASMMeshConfig") {
		var spec struct {
			PathNormalization struct {
				Normalization string `json:"normalization"`
			} `json:"pathNormalization"`
		}
		if err := o.DecodeSpec(&spec); err != nil {
			return err
		}
		v := spec.PathNormalization.Normalization
		if v == "" {
			continue
		}
		n, ok := meshapi.MeshConfig_ProxyPathNormalization_NormalizationType_value[v]
		if !ok {
			return fmt.Errorf("%s: spec.pathNormalization.normalization: unknown value %q", o.Ref(), v)
		}
		m.normalization = meshapi.MeshConfig_ProxyPathNormalization_NormalizationType(n)
		m.normalizationOrigin = origin.Origin{Ref: o.Ref(), Field: "spec.pathNormalization.normalization"}
	}
	return nil
}

func (m *meshSettings) assumptions() []Assumption {
	const source = "default"
	var out []Assumption
	if m.config.GetTrustDomain() == "" {
		out = append(out, Assumption{"trustDomain", m.trustDomain, source})
	}
	if m.config.GetRootNamespace() == "" && !m.saysNothing {
		out = append(out, Assumption{"rootNamespace", m.rootNamespace, source})
	}
	if m.normalizationOrigin.IsZero() {
		out = append(out, Assumption{"pathNormalization", "BASE", source})
	}
	return out
}

// inboundPort is the port that connections are redirected to.
func (m *meshSettings) inboundPort() int {
	const usual = 15006
	if n := m.config.GetProxyInboundListenPort(); n != 0 {
		return int(n)
	}
	return usual
}

func (m *meshSettings) trustDomains() []string {
	return append([]string{m.trustDomain}, m.config.GetTrustDomainAliases()...)
}

// proxyConfig is the proxy's configuration: the mesh's default with the pod's
// annotation proxy.istio.io/config over it. What the annotation names is replaced as a
// whole, but for metadata and some settings of headers
// (Istio pkg/config/mesh/mesh.go:MergeProxyConfig).
func (m *meshSettings) proxyConfig(annotations map[string]string) (*meshapi.ProxyConfig, error) {
	base := m.config.GetDefaultConfig()
	text := annotations[annotationProxyConfig]
	if text == "" {
		return base, nil
	}
	out := &meshapi.ProxyConfig{}
	if base != nil {
		out = proto.Clone(base).(*meshapi.ProxyConfig)
	}
	if err := unmarshalYAML(text, out); err != nil {
		return base, fmt.Errorf("read the annotation proxy.istio.io/config: %w", err)
	}
	for k, v := range base.GetProxyMetadata() {
		if _, over := out.GetProxyMetadata()[k]; !over {
			if out.ProxyMetadata == nil {
				out.ProxyMetadata = map[string]string{}
			}
			out.ProxyMetadata[k] = v
		}
	}
	keepProxyHeaders(out.GetProxyHeaders(), base.GetProxyHeaders())
	return out, nil
}

// keepProxyHeaders takes what one configuration does not say from the one below it
// (mesh.go:correctProxyHeaders).
func keepProxyHeaders(over, base *meshapi.ProxyConfig_ProxyHeaders) {
	if over == nil || base == nil {
		return
	}
	if over.ForwardedClientCert == 0 {
		over.ForwardedClientCert = base.ForwardedClientCert
	}
	if over.RequestId == nil {
		over.RequestId = base.RequestId
	}
	if over.AttemptCount == nil {
		over.AttemptCount = base.AttemptCount
	}
}

func unmarshalYAML(text string, into any) error {
	if text == "" {
		return nil
	}
	return yaml.Unmarshal([]byte(text), into)
}
