package istio

import (
	"strings"

	meshapi "istio.io/api/mesh/v1alpha1"

	"github.com/asmjwt/kubectl-asmjwt/pkg/envoy"
	"github.com/asmjwt/kubectl-asmjwt/pkg/origin"
	"github.com/asmjwt/kubectl-asmjwt/pkg/version"
)

// connectionSettings puts those of the proxy's configuration over what pathNormalization
// says (Istio pilot/pkg/networking/core/connection_settings.go:resolveConnectionSettings
// and applyConnectionSettingsToHCM).
func (t *translation) connectionSettings(cm *envoy.ConnectionManager) {
	cs := t.config.GetConnectionSettings()
	if cs == nil {
		cs = t.mesh.config.GetDefaultConfig().GetConnectionSettings()
	}
	if cs == nil || t.planes.lacks(version.ConnectionSettings) {
		return
	}
	underscores, slashes, merge := cs.GetHttpHeadersWithUnderscoresAction(), cs.GetHttpPathWithEscapedSlashesAction(), cs.GetHttpMergeSlashes()
	if cs.GetProfile() == meshapi.ProxyConfig_ConnectionSettings_EDGE && t.proxy.Role == envoy.RoleGateway {
		if underscores == meshapi.ProxyConfig_ConnectionSettings_HEADERS_WITH_UNDERSCORES_UNSPECIFIED {
			underscores = meshapi.ProxyConfig_ConnectionSettings_HEADERS_WITH_UNDERSCORES_REJECT_REQUEST
		}
		if slashes == meshapi.ProxyConfig_ConnectionSettings_PATH_WITH_ESCAPED_SLASHES_UNSPECIFIED {
			slashes = meshapi.ProxyConfig_ConnectionSettings_UNESCAPE_AND_REDIRECT
		}
		cm.MergeSlashes = true
	}
	if merge != nil {
		cm.MergeSlashes = merge.GetValue()
	}
	switch slashes {
	case meshapi.ProxyConfig_ConnectionSettings_PATH_WITH_ESCAPED_SLASHES_UNSPECIFIED:
	case meshapi.ProxyConfig_ConnectionSettings_REJECT_REQUEST:
		cm.EscapedSlashes = envoy.RejectEscapedSlashes
	case meshapi.ProxyConfig_ConnectionSettings_UNESCAPE_AND_REDIRECT:
		cm.EscapedSlashes = envoy.UnescapeAndRedirect
	case meshapi.ProxyConfig_ConnectionSettings_UNESCAPE_AND_FORWARD:
		cm.EscapedSlashes = envoy.UnescapeAndForward
	default:
		cm.EscapedSlashes = envoy.KeepEscapedSlashes
	}
	switch underscores {
	case meshapi.ProxyConfig_ConnectionSettings_HEADERS_WITH_UNDERSCORES_REJECT_REQUEST:
		cm.Underscores = envoy.RejectUnderscores
	case meshapi.ProxyConfig_ConnectionSettings_HEADERS_WITH_UNDERSCORES_DROP_HEADER:
		cm.Underscores = envoy.DropUnderscores
	}
	if strings.Contains(t.in.Workload.Annotations[annotationProxyConfig], "connectionSettings") {
		cm.PathOrigin = origin.Origin{Ref: t.in.Workload.Ref, Field: `metadata.annotations["` + annotationProxyConfig + `"]`}
	} else {
		cm.PathOrigin = origin.Origin{Ref: t.mesh.source, Field: "data.mesh: defaultConfig.connectionSettings"}
	}
}
