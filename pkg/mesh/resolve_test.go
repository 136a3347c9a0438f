package mesh

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

// fixture reads manifests of testdata.
func fixture(t *testing.T, name, more string) *Snapshot {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return load(t, string(text)+"---\n"+more)
}

// groups renders the groups of a target.
func groups(ws []Workload) string {
	var out []string
	for _, w := range ws {
		image := "no proxy"
		if c, found := w.ProxyContainer(); found {
			image = c.Image[strings.LastIndexByte(c.Image, ':')+1:]
		}
		s := fmt.Sprintf("%s %s sa=%s %s %v", w.Ref, w.Pods, w.ServiceAccount, image, w.Labels)
		if w.FromTemplate {
			s += " template"
		}
		out = append(out, s)
	}
	return strings.Join(out, "\n")
}

// made are the labels that the injector gives the pods of a template.
func made(name string) string {
	return " security.istio.io/tlsMode:istio service.istio.io/canonical-name:" + name + " service.istio.io/canonical-revision:latest"
}

func TestResolve_FindsThePodsOfATargetInGroups(t *testing.T) {
	const (
		v1 = "[web-5d8f9c7b6-aaaaa] sa=default 1.26.0 map[app:web version:v1]"
		v2 = "[web-7c9d8b6f5-aaaaa web-7c9d8b6f5-bbbbb] sa=web 1.27.0 map[app:web version:v2]"
	)
	for _, tc := range []struct{ file, target, namespace, want string }{
		{"cluster.yaml", "deploy/web", "shop", "Deployment shop/web " + v2 + "\nDeployment shop/web " + v1},
		{"cluster.yaml", "rs/web-5d8f9c7b6", "shop", "ReplicaSet shop/web-5d8f9c7b6 " + v1},
		{"cluster.yaml", "pod/web-5d8f9c7b6-aaaaa", "shop", "Pod shop/web-5d8f9c7b6-aaaaa " + v1},
		{"cluster.yaml", "svc/web", "shop", "Deployment shop/web " + v2 + "\nPod shop/stranger [stranger] sa=default no proxy map[app:web version:v2]"},
		{"rendered.yaml", "deploy/web", "default", "Deployment default/web [] sa=default no proxy map[app:web" + made("web") + "] template"},
		{"rendered.yaml", "sts/db", "default", "StatefulSet default/db [] sa=old-spelling no proxy map[app:db tier:data] template"},
		{"rendered.yaml", "cj/nightly", "default", "CronJob default/nightly [] sa=default no proxy map[job:nightly" + made("nightly") + "] template"},
		{"rendered.yaml", "svc/web", "default", "Deployment default/web [] sa=default no proxy map[app:web" + made("web") + "] template"},
		{"rendered.yaml", "istiogateway/ingressgateway", "default", "Deployment default/istio-ingressgateway [] sa=default 1.27.0 map[istio:ingressgateway] template"},
		{"rendered.yaml", "gateway/public", "default", "Pod default/public-istio-1 [public-istio-1] sa=default 1.27.0 map[gateway.networking.k8s.io/gateway-name:public]"},
	} {
		t.Run(tc.target+" of "+tc.file, func(t *testing.T) {
			target, err := ParseTarget(tc.target)
			if err != nil {
				t.Fatal(err)
			}
			ws, err := fixture(t, tc.file, "").Resolve(target, tc.namespace)
			if err != nil {
				t.Fatal(err)
			}
			if got := groups(ws); got != tc.want {
				t.Errorf("got\n%s\nwant\n%s", got, tc.want)
			}
		})
	}
}

func TestResolve_KeepsALabelOfOnePodWhereAPolicySpeaksOfIt(t *testing.T) {
	s := fixture(t, "cluster.yaml", "apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata:\n  name: p\n  namespace: shop\nspec:\n  selector:\n    matchLabels:\n      pod-template-hash: 5d8f9c7b6\n")
	ws, err := s.Resolve(Target{TypeDeployment, "web"}, "shop")
	if err != nil {
		t.Fatal(err)
	}
	if got := ws[1].Labels["pod-template-hash"]; got != "5d8f9c7b6" {
		t.Errorf("the label is %q", got)
	}
}

// owned makes a Deployment and a pod of it that is tied by the given metadata.
func owned(kind, podMeta string) string {
	return "apiVersion: apps/v1\nkind: " + kind + "\nmetadata:\n  name: web\n  namespace: foo\nspec:\n  selector:\n    matchLabels:\n      app: web\n  template:\n    metadata:\n      labels:\n        app: web\n    spec:\n      containers: [{name: a, image: x}]\n" +
		"---\napiVersion: v1\nkind: Pod\nmetadata:\n  name: web-1\n  namespace: foo\n" + podMeta + "spec:\n  containers: [{name: a, image: x}]\n"
}

func TestResolve_TiesPodsByReferenceElseBySelector(t *testing.T) {
	ref := func(kind, name, uid string) string {
		return "  ownerReferences:\n  - {apiVersion: apps/v1, kind: " + kind + ", name: " + name + ", uid: \"" + uid + "\"}\n"
	}
	const labels = "  labels:\n    app: web\n"
	for _, tc := range []struct {
		name, kind, meta string
		tied             bool
	}{
		{"by the selector, without a reference", "Deployment", labels, true},
		{"not by other labels", "Deployment", "  labels:\n    app: api\n", false},
		{"by kind and name, without a uid", "StatefulSet", ref("StatefulSet", "web", ""), true},
		{"by kind and name, where only the reference has a uid", "StatefulSet", ref("StatefulSet", "web", "1-2"), true},
		{"not by another name", "StatefulSet", ref("StatefulSet", "api", "") + labels, false},
		{"not by another kind", "StatefulSet", ref("DaemonSet", "web", "") + labels, false},
		{"through a ReplicaSet that was not read", "Deployment", ref("ReplicaSet", "web-5d8f9c7b6", "1-2") + labels, true},
		{"not through a ReplicaSet of a longer name", "Deployment", ref("ReplicaSet", "web-api-5d8f9c7b6", "1-2") + labels, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			target, err := ParseTarget(strings.ToLower(tc.kind) + "/web")
			if err != nil {
				t.Fatal(err)
			}
			ws, err := load(t, owned(tc.kind, tc.meta)).Resolve(target, "foo")
			if err != nil || len(ws) != 1 || ws[0].FromTemplate == tc.tied {
				t.Errorf("%v %v", groups(ws), err)
			}
		})
	}
}

func TestResolve_SaysWhyThereIsNothing(t *testing.T) {
	for _, tc := range []struct{ target, namespace, want string }{
		{"deploy/wbe", "shop", "find deploy/wbe: no such Deployment in namespace shop\nhint: did you mean web?\n"},
		{"deploy/web", "other", "find deploy/web: no such Deployment in namespace other\nhint: it exists in namespace shop: add -n shop\n"},
		{"deploy/quitedifferent", "shop", "find deploy/quitedifferent: no such Deployment in namespace shop\nhint: in that namespace there are: web\n"},
		{"deploy/x", "none", "find deploy/x: no such Deployment in namespace none\nhint: there is none of that kind in it; namespaces that have some: shop\n"},
		{"ds/web", "shop", "find ds/web: there is no DaemonSet at all among what was read\nhint: add its manifest, or name one of another type\n"},
		{"pod/web-done", "shop", "cluster.yaml:132: Pod shop/web-done: has completed or is being deleted, so it answers no requests\nhint: name a pod that runs, or the workload that it belongs to\n"},
		{"svc/nobody", "shop", "cluster.yaml:196: Service shop/nobody: selects no pod and no pod template of what was read\nhint: give the manifest of its Deployment or pods too, or name the workload itself, such as deploy/NAME\n"},
		{"svc/outside", "shop", "cluster.yaml:192: Service shop/outside: spec.selector: is empty: the Service selects no pods, so its endpoints are somebody else's\nhint: name the workload itself, such as deploy/NAME\n"},
	} {
		t.Run(tc.target+" in "+tc.namespace, func(t *testing.T) {
			target, err := ParseTarget(tc.target)
			if err != nil {
				t.Fatal(err)
			}
			_, err = fixture(t, "cluster.yaml", "").Resolve(target, tc.namespace)
			if got := strings.ReplaceAll(messages(err), "mesh.yaml", "cluster.yaml"); got != tc.want {
				t.Errorf("got\n%s\nwant\n%s", got, tc.want)
			}
		})
	}
	var missing *NotFoundError
	_, err := fixture(t, "cluster.yaml", "").Resolve(Target{TypeDeployment, "wbe"}, "shop")
	if !errors.As(err, &missing) || !reflect.DeepEqual(missing.Nearest, []string{"web"}) {
		t.Errorf("%v", err)
	}
}

func TestWorkload_KeepsWhatThePodSays(t *testing.T) {
	ws, err := fixture(t, "cluster.yaml", "").Resolve(Target{TypeDeployment, "web"}, "shop")
	if err != nil {
		t.Fatal(err)
	}
	v2, v1 := ws[0], ws[1]
	if !v2.HasSidecar() || !v1.HasSidecar() || !reflect.DeepEqual(v2.PodIPs, []string{"10.0.0.2", "10.0.0.3"}) || v2.Created != 1767323045 {
		t.Errorf("%+v", v2)
	}
	if proxy, _ := v2.ProxyContainer(); !proxy.Init || proxy.RestartPolicy != "Always" {
		t.Errorf("the native sidecar is %+v", proxy)
	}
	proxy, _ := v1.ProxyContainer()
	if !reflect.DeepEqual(proxy.Args, []string{"proxy", "sidecar"}) || !reflect.DeepEqual(proxy.Env, map[string]string{"ISTIO_META_MESH_ID": "cluster.local"}) {
		t.Errorf("the proxy is %+v", proxy)
	}
	if (Workload{Containers: []Container{{Name: ProxyContainerName, Init: true}}}).HasSidecar() {
		t.Error("an init container that ends is taken for a sidecar")
	}
	if n, found := v2.PortByName("http", "TCP"); n != 8080 || !found {
		t.Errorf("port http is %d %v", n, found)
	}
}

func TestPortByName_LooksIntoContainersAndThenIntoNativeSidecars(t *testing.T) {
	port := func(n int) []ContainerPort { return []ContainerPort{{Name: "web", Number: n, Protocol: "TCP"}} }
	ends, native, app := Container{Init: true, Ports: port(1)}, Container{Init: true, RestartPolicy: "Always", Ports: port(2)}, Container{Ports: port(3)}
	for _, tc := range []struct {
		containers []Container
		want       int
	}{{[]Container{ends, native, app}, 3}, {[]Container{ends, native}, 2}, {[]Container{ends}, 0}} {
		if n, found := (Workload{Containers: tc.containers}).PortByName("web", "TCP"); n != tc.want || found != (tc.want != 0) {
			t.Errorf("%d %v, want %d", n, found, tc.want)
		}
	}
}

func TestServicesOf_ResolvesPortsForTheWorkload(t *testing.T) {
	s := fixture(t, "cluster.yaml", "")
	ws, err := s.Resolve(Target{TypeDeployment, "web"}, "shop")
	if err != nil {
		t.Fatal(err)
	}
	v2, err := s.ServicesOf(ws[0])
	if err != nil || len(v2) != 2 || v2[0].Name != "all" || v2[1].Name != "web" {
		t.Fatalf("%+v %v", v2, err)
	}
	if want := []ServicePort{
		{Name: "http", Port: 80, TargetPort: 8080, TargetName: "http", Protocol: "TCP"},
		{Name: "grpc", Port: 81, TargetPort: 81, AppProtocol: "grpc", Protocol: "TCP"},
		{Name: "dns", Port: 53, TargetName: "http", Protocol: "UDP"},
	}; !reflect.DeepEqual(v2[1].Ports, want) {
		t.Errorf("ports %+v", v2[1].Ports)
	}
	all := v2[0]
	if all.Type != "LoadBalancer" || all.ClusterIP != "10.1.0.1" || all.Ports[0].NodePort != 30080 || all.Ports[0].TargetPort != 8081 ||
		!reflect.DeepEqual(all.LoadBalancerIPs, []string{"192.0.2.1"}) || !reflect.DeepEqual(all.LoadBalancerHosts, []string{"lb.example"}) {
		t.Errorf("%+v", all)
	}
	v1, err := s.ServicesOf(ws[1])
	if err != nil || len(v1) != 1 || v1[0].Name != "all" {
		t.Errorf("%+v %v", v1, err)
	}
}

func TestInjectionEnabled_FollowsTheWebhooks(t *testing.T) {
	for _, tc := range []struct {
		name        string
		namespace   map[string]string // nil: not read
		labels      map[string]string
		annotations map[string]string
		host        bool
		enabled     bool
		known       bool
	}{
		{"a namespace that was not read", nil, nil, nil, false, false, false},
		{"a namespace with injection", map[string]string{"istio-injection": "enabled"}, nil, nil, false, true, true},
		{"a namespace without", map[string]string{"istio-injection": "disabled"}, map[string]string{labelInject: "true"}, nil, false, false, true},
		{"a namespace with a revision", map[string]string{"istio.io/rev": "canary"}, nil, nil, false, true, true},
		{"injection against a revision", map[string]string{"istio-injection": "disabled", "istio.io/rev": "canary"}, nil, nil, false, false, true},
		{"a namespace that says nothing", map[string]string{}, nil, nil, false, false, true},
		{"a pod that asks in such a namespace", map[string]string{}, map[string]string{labelInject: "true"}, nil, false, true, true},
		{"a pod that names a revision", map[string]string{}, map[string]string{labelRevision: "canary"}, nil, false, true, true},
		{"a pod that asks by annotation only", map[string]string{}, nil, map[string]string{labelInject: "true"}, false, false, true},
		{"a pod that refuses", map[string]string{"istio-injection": "enabled"}, map[string]string{labelInject: "false"}, nil, false, false, true},
		{"a pod that refuses by annotation", nil, nil, map[string]string{labelInject: "false"}, false, false, true},
		{"a label that overrules the annotation", map[string]string{"istio-injection": "enabled"}, map[string]string{labelInject: "true"}, map[string]string{labelInject: "false"}, false, true, true},
		{"a namespace of Kubernetes' own", map[string]string{"istio-injection": "enabled"}, nil, nil, false, false, true},
		{"a pod in the host's network", map[string]string{"istio-injection": "enabled"}, nil, nil, true, false, true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var objects []*Object
			namespace := "foo"
			if strings.Contains(tc.name, "Kubernetes' own") {
				namespace = "kube-system"
			}
			if tc.namespace != nil {
				objects = append(objects, &Object{APIVersion: "v1", Kind: "Namespace", Name: namespace, Labels: tc.namespace})
			}
			s, err := NewSnapshot(objects, nil)
			if err != nil {
				t.Fatal(err)
			}
			enabled, known, why := s.InjectionEnabled(Workload{Namespace: namespace, Labels: tc.labels, Annotations: tc.annotations, HostNetwork: tc.host})
			if enabled != tc.enabled || known != tc.known || why == "" {
				t.Errorf("%v %v: %s", enabled, known, why)
			}
		})
	}
}
