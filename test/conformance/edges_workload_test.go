package conformance

import (
	"fmt"
	"strings"

	"github.com/asmjwt/kubectl-asmjwt/internal/testkit/judge"
)

// workloadEdges are about workloads of every kind, and which policies mean them.
func workloadEdges() []edge {
	const template = "template: {metadata: {labels: {app: httpbin, empty: ''}}, spec: {serviceAccountName: httpbin, containers: [{name: httpbin, image: httpbin, ports: [{containerPort: 8080, name: web}]}]}}"
	namespace := "apiVersion: v1\nkind: Namespace\nmetadata: {name: foo, labels: {istio-injection: enabled}}"
	owner := func(api, kind, spec string) string {
		return "apiVersion: " + api + "\nkind: " + kind + "\nmetadata: {name: httpbin, namespace: foo, labels: {app: object}, annotations: {proxy.istio.io/config: 'proxyHeaders: {requestId: {disabled: true}}'}}\nspec: {" + spec + "}"
	}
	const selector = "selector: {matchLabels: {app: httpbin}}, "
	deployment := owner("apps/v1", "Deployment", selector+template)
	deny := func(spec string) string { return policy("{" + spec + "action: DENY, rules: [{}]}") }
	authentication := func(spec string) string {
		return strings.Replace(requestAuthentication("forwardOriginalToken: true"), "spec: {", "spec: {"+spec, 1)
	}
	bad := mtls(with("authorization", "Bearer x"))
	plain := []judge.Request{with(), mtls(with())}
	const toService = "targetRefs: [{kind: Service, group: '', name: httpbin}], "
	var out []edge
	for _, m := range []struct {
		name, target string
		objects      []string
		reqs         []judge.Request
	}{
		{"a StatefulSet", "sts/httpbin", []string{owner("apps/v1", "StatefulSet", selector+"serviceName: httpbin, "+template), deny("selector: {matchLabels: {app: httpbin}}, ")}, plain},
		{"a DaemonSet", "ds/httpbin", []string{owner("apps/v1", "DaemonSet", selector+template), deny("selector: {matchLabels: {app: object}}, ")}, plain},
		{"a ReplicaSet", "rs/httpbin", []string{owner("apps/v1", "ReplicaSet", selector+template), deny("selector: {matchLabels: {app: httpbin}}, ")}, plain},
		{"a Job", "job/httpbin", []string{owner("batch/v1", "Job", template), deny("selector: {matchLabels: {app: httpbin}}, ")}, plain},
		{"a bare Pod", "pod/httpbin", []string{"apiVersion: v1\nkind: Pod\nmetadata: {name: httpbin, namespace: foo, labels: {app: httpbin}}\nspec: {serviceAccountName: httpbin, containers: [{name: httpbin, image: httpbin, ports: [{containerPort: 8080}]}, {name: istio-proxy, image: auto}]}", deny("selector: {matchLabels: {app: httpbin}}, ")}, plain},
		{"labels of the object", "", []string{deployment, deny("selector: {matchLabels: {app: object}}, ")}, plain},
		{"annotations of the object", "", []string{deployment, denyHeader("x-request-id", "*")}, plain},
		{"an empty value of a label", "", []string{deployment, deny("selector: {matchLabels: {empty: ''}}, ")}, plain},
		{"an empty value of a label that is not there", "", []string{deployment, deny("selector: {matchLabels: {nothing: ''}}, ")}, plain},
		{"a selector without labels", "", []string{deployment, deny("selector: {}, ")}, plain},
		{"a selector with no labels", "", []string{deployment, deny("selector: {matchLabels: {}}, ")}, plain},
		{"the root namespace with a selector", "", []string{deployment, in("istio-system", deny("selector: {matchLabels: {app: httpbin}}, "))}, plain},
		{"the root namespace as the workload's own", "", []string{deployment, configured("rootNamespace: foo"), deny("selector: {matchLabels: {app: other}}, ")}, plain},
		{"an empty root namespace", "", []string{deployment, configured("rootNamespace: ''"), in("istio-system", deny(""))}, plain},
		{"a root namespace that policies do not know", "", []string{deployment, configured("rootNamespace: bar"), in("istio-system", deny(""))}, plain},
		{"targetRefs at a sidecar", "", []string{deployment, deny(toService)}, plain},
		{"targetRefs and a selector at a sidecar", "", []string{deployment, deny(toService + "selector: {matchLabels: {app: httpbin}}, ")}, plain},
		{"no targetRefs at a sidecar", "", []string{deployment, deny("targetRefs: [], ")}, plain},
		{"an authentication with targetRefs at a sidecar", "", []string{deployment, authentication(toService)}, []judge.Request{bad}},
		{"an authentication with an empty selector", "", []string{deployment, authentication("selector: {}, ")}, []judge.Request{bad}},
		{"an authentication of the root namespace for others", "", []string{deployment, in("istio-system", authentication("selector: {matchLabels: {app: object}}, "))}, []judge.Request{bad}},
		{"an authentication of another namespace", "", []string{deployment, in("bar", authentication(""))}, []judge.Request{bad}},
		{"older versions of policies", "", []string{deployment, strings.Replace(deny(""), "security.istio.io/v1", "security.istio.io/v1beta1", 1), strings.Replace(object("security.istio.io/v1", "PeerAuthentication", "peer", "{mtls: {mode: STRICT}}"), "security.istio.io/v1", "security.istio.io/v1beta1", 1)}, plain},
		{"an older version of a Sidecar", "", []string{deployment, object("networking.istio.io/v1alpha3", "Sidecar", "s", "{ingress: [{port: {number: 8080, protocol: TCP, name: a}, defaultEndpoint: '127.0.0.1:80'}]}"), denyPath("/get")}, plain},
		{"an older version of a ServiceEntry", "", []string{deployment, object("networking.istio.io/v1beta1", "ServiceEntry", "e", "{hosts: [z.example], resolution: STATIC, workloadSelector: {labels: {app: httpbin}}, ports: [{number: 8080, name: a, protocol: TCP}]}"), denyPath("/get")}, plain},
		{"a group of another name", "", []string{deployment, strings.Replace(deny(""), "security.istio.io/v1", "security.example.com/v1", 1)}, plain},
		{"an empty mesh configuration", "", []string{deployment, configured("{}"), denyPath("/get")}, plain},
		{"an empty default configuration", "", []string{deployment, configured("defaultConfig: {}\ntrustDomainAliases: []"), denyPath("/get")}, plain},
		{"a mesh configuration in another namespace", "", []string{deployment, strings.Replace(configured("pathNormalization: {normalization: NONE}"), "namespace: istio-system", "namespace: foo", 1), denyPath("/get")}, plain},
		{"an account that nobody names", "", []string{strings.Replace(deployment, "serviceAccountName: httpbin, ", "", 1)}, plain},
		{"no labels at all", "", []string{strings.Replace(strings.Replace(deployment, "{app: httpbin, empty: ''}", "{}", 1), "{app: httpbin}", "{}", 1), deny("selector: {matchLabels: {app: httpbin}}, ")}, plain},
	} {
		for i, r := range m.reqs {
			e := edge{name: fmt.Sprintf("workload: %s, request %d", m.name, i), target: m.target, req: r}
			e.mesh = strings.Join(append([]string{namespace, service("httpbin", httpPort)}, m.objects...), "\n---\n") + "\n"
			out = append(out, e)
		}
	}
	return append(out, entryEdges()...)
}

// entryEdges are about ServiceEntries behind a waypoint.
func entryEdges() []edge {
	wp := gatewayOf("wp", "istio-waypoint", "", "", "{name: mesh, port: 15008, protocol: HBONE}")
	entry := func(metadata, spec string) string {
		return "apiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata: {name: api, namespace: foo, labels: {istio.io/use-waypoint: wp}" + metadata + "}\nspec: {hosts: [api.example], addresses: [10.96.7.1], resolution: STATIC, endpoints: [{address: 10.1.1.1}], " + spec + "}"
	}
	meant := policy("{targetRefs: [{kind: ServiceEntry, group: networking.istio.io, name: api}], action: DENY, rules: [{to: [{operation: {paths: [/get]}}]}]}")
	var out []edge
	for _, m := range []struct {
		name    string
		objects []string
	}{
		{"HTTPS", []string{entry("", "ports: [{number: 8080, name: a, protocol: HTTPS}]")}},
		{"GRPC", []string{entry("", "ports: [{number: 8080, name: a, protocol: GRPC}]")}},
		{"HTTP2 in small letters", []string{entry("", "ports: [{number: 8080, name: a, protocol: http2}]")}},
		{"a name without a protocol", []string{entry("", "ports: [{number: 8080, name: http}]")}},
		{"the port of a database", []string{entry("", "ports: [{number: 8080, name: a, protocol: MYSQL}]")}},
		{"a target port", []string{entry("", "ports: [{number: 8080, targetPort: 9090, name: a, protocol: HTTP}]")}},
		{"inside the mesh", []string{entry("", "location: MESH_INTERNAL, ports: [{number: 8080, name: a, protocol: HTTP}]")}},
		{"exported to its namespace", []string{entry("", "exportTo: ['.'], ports: [{number: 8080, name: a, protocol: HTTP}]")}},
		{"two ServiceEntries", []string{entry("", "ports: [{number: 8080, name: a, protocol: HTTP}]"), strings.NewReplacer("name: api,", "name: other,", "api.example", "b.example", "10.96.7.1", "10.96.7.2").Replace(entry("", "ports: [{number: 8080, name: a, protocol: TCP}]"))}},
	} {
		for i, r := range []judge.Request{mtls(with()), mtls(path("/other"))} {
			r.Host = "api.example"
			for _, p := range []string{"", meant} {
				objects := append([]string{wp}, m.objects...)
				if p != "" {
					objects = append(objects, p)
				}
				out = append(out, edge{name: fmt.Sprintf("entry: %s, request %d, policy %t", m.name, i, p != ""), mesh: pod(objects...), req: r, target: "gateway/wp"})
			}
		}
	}
	return out
}
