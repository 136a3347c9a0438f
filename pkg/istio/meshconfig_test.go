package istio

import (
	"strings"
	"testing"

	"github.com/asmjwt/kubectl-asmjwt/pkg/envoy"
)

func asmConfig(normalization string) string {
	return "apiVersion: istio.alibabacloud.com/v1\nkind: ASMMeshConfig\nmetadata: {name: default}\nspec: {pathNormalization: {normalization: " + normalization + "}}\n"
}

func TestPathNormalizationIsReadFromTheMeshsConfiguration(t *testing.T) {
	for _, c := range []struct {
		name             string
		docs             []string
		normalize, merge bool
		decode           bool
		from             string // kind of the origin, "" for the default
	}{
		{"nothing is BASE", nil, true, false, false, ""},
		{"DEFAULT is BASE", []string{meshConfig("pathNormalization: {normalization: DEFAULT}")}, true, false, false, "ConfigMap"},
		{"BASE", []string{meshConfig("pathNormalization: {normalization: BASE}")}, true, false, false, "ConfigMap"},
		{"NONE", []string{meshConfig("pathNormalization: {normalization: NONE}")}, false, false, false, "ConfigMap"},
		{"MERGE_SLASHES", []string{meshConfig("pathNormalization: {normalization: MERGE_SLASHES}")}, true, true, false, "ConfigMap"},
		{"DECODE_AND_MERGE_SLASHES", []string{meshConfig("pathNormalization: {normalization: DECODE_AND_MERGE_SLASHES}")}, true, true, true, "ConfigMap"},
		{"ASM's own", []string{asmConfig("MERGE_SLASHES")}, true, true, false, "ASMMeshConfig"},
		{"ASM's own over the ConfigMap's", []string{meshConfig("pathNormalization: {normalization: NONE}"), asmConfig("DECODE_AND_MERGE_SLASHES")}, true, true, true, "ASMMeshConfig"},
	} {
		t.Run(c.name, func(t *testing.T) {
			res := translated(t, c.docs...)
			cm := res.Proxy.Chains[0].HTTP
			if cm.NormalizePath != c.normalize || cm.MergeSlashes != c.merge || (cm.EscapedSlashes == envoy.UnescapeAndForward) != c.decode || cm.PathOrigin.Kind != c.from {
				t.Errorf("got %v %v %v of %q", cm.NormalizePath, cm.MergeSlashes, cm.EscapedSlashes, cm.PathOrigin.Kind)
			}
		})
	}
}

func TestWhatIsNotConfiguredIsAssumedAndSaid(t *testing.T) {
	said := func(res *Result) string {
		var out []string
		for _, a := range res.Assumed {
			out = append(out, a.Setting+"="+a.Value+" "+a.Source)
		}
		return strings.Join(out, ", ")
	}
	if got, want := said(translated(t)), "trustDomain=cluster.local default, rootNamespace=istio-system default, pathNormalization=BASE default"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	res := translated(t, meshConfig("trustDomain: td", "rootNamespace: root", "pathNormalization: {normalization: BASE}"))
	if got := said(res); got != "" || res.TrustDomain != "td" || res.RootNamespace != "root" {
		t.Errorf("got %q, %s, %s", got, res.TrustDomain, res.RootNamespace)
	}
}

func TestAMeshsConfigurationThatCannotBeReadIsAnError(t *testing.T) {
	for name, doc := range map[string]string{
		"a type that is wrong":   meshConfig("trustDomain: {}"),
		"an unknown value":       asmConfig("SOMETIMES"),
		"a value of no such set": meshConfig("pathNormalization: {normalization: SOMETIMES}"),
	} {
		s := snapshot(t, httpbin, doc)
		if _, err := Translate(Input{Snapshot: s, Workload: workload(t, s, "deploy/httpbin", "foo"), Port: 8080}); err == nil {
			t.Errorf("%s is taken", name)
		}
	}
}

func TestTheConfigMapOfAnotherNamespaceWillDo(t *testing.T) {
	res := translated(t, strings.Replace(meshConfig("trustDomain: td"), "namespace: istio-system", "namespace: elsewhere", 1))
	if res.TrustDomain != "td" {
		t.Errorf("got %s", res.TrustDomain)
	}
	res = translated(t, meshConfig("trustDomain: td"), strings.Replace(meshConfig("trustDomain: other"), "namespace: istio-system", "namespace: elsewhere", 1))
	if res.TrustDomain != "td" {
		t.Errorf("the one of istio-system comes first, got %s", res.TrustDomain)
	}
}

func TestTheProxysConfigurationIsThatOfThePodOverTheMeshs(t *testing.T) {
	annotated := strings.Replace(httpbin, "metadata: {labels: {app: httpbin, version: v1}}",
		"metadata: {labels: {app: httpbin, version: v1}, annotations: {proxy.istio.io/config: \"proxyHeaders: {forwardedClientCert: SANITIZE}\"}}", 1)
	mesh := meshConfig("defaultConfig:", "  proxyHeaders: {forwardedClientCert: ALWAYS_FORWARD_ONLY, requestId: {disabled: true}}")
	for _, c := range []struct {
		name string
		docs []string
		want envoy.ForwardClientCert
		id   bool
	}{
		{"neither", []string{httpbin}, envoy.AppendForwardXFCC, true},
		{"the mesh's", []string{httpbin, mesh}, envoy.AlwaysForwardOnlyXFCC, false},
		{"the pod's", []string{annotated}, envoy.SanitizeXFCC, true},
		{"the pod's over the mesh's", []string{annotated, mesh}, envoy.SanitizeXFCC, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := snapshot(t, c.docs...)
			cm := translate(t, Input{Snapshot: s, Workload: workload(t, s, "deploy/httpbin", "foo"), Port: 8080}).Proxy.Chains[0].HTTP
			if cm.ForwardClientCert != c.want || cm.GenerateRequestID != c.id {
				t.Errorf("got %v, request ids %v", cm.ForwardClientCert, cm.GenerateRequestID)
			}
		})
	}
	broken := strings.Replace(annotated, "proxyHeaders: {forwardedClientCert: SANITIZE}", "concurrency: [", 1)
	s := snapshot(t, broken)
	if _, err := Translate(Input{Snapshot: s, Workload: workload(t, s, "deploy/httpbin", "foo"), Port: 8080}); err == nil {
		t.Error("an annotation that is no YAML is taken")
	}
}

func TestTheForwardedCertificateHasTheConfiguredParts(t *testing.T) {
	res := translated(t, meshConfig("defaultConfig:", "  proxyHeaders:", "    setCurrentClientCertDetails: {subject: false, cert: true}"))
	cm := res.Proxy.Chains[0].HTTP
	if cm.XFCCSubject || !cm.XFCCURI || !cm.XFCCDNS || !cm.XFCCCert || cm.XFCCChain {
		t.Errorf("got %+v", cm)
	}
	if cm.LocalURISANs[0] != "spiffe://cluster.local/ns/foo/sa/httpbin" {
		t.Errorf("the proxy is %v", cm.LocalURISANs)
	}
}
