package run

import (
	"strconv"
	"sync"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"
	"sigs.k8s.io/gateway-api/pkg/consts"

	meshconfig "istio.io/api/mesh/v1alpha1"
	"istio.io/istio/pilot/pkg/config/kube/gateway"
	"istio.io/istio/pilot/pkg/config/kube/gatewaycommon"
	"istio.io/istio/pilot/pkg/features"
	"istio.io/istio/pilot/pkg/model"
	"istio.io/istio/pilot/pkg/networking/core"
	"istio.io/istio/pilot/pkg/serviceregistry/ambient"
	kubecontroller "istio.io/istio/pilot/pkg/serviceregistry/kube/controller"
	"istio.io/istio/pkg/activenotifier"
	"istio.io/istio/pkg/config/mesh/meshwatcher"
	"istio.io/istio/pkg/config/schema/gvr"
	kubelib "istio.io/istio/pkg/kube"
	"istio.io/istio/pkg/kube/kclient/clienttest"
	"istio.io/istio/pkg/kube/krt"
	"istio.io/istio/pkg/kube/multicluster"
	"istio.io/istio/pkg/ptr"
	"istio.io/istio/pkg/test"
)

// prepareRoles switches on what an istiod with the ambient profile has.
func prepareRoles() {
	features.EnableAmbient, features.EnableAmbientWaypoints = true, true
	gatewaycommon.ClassInfos = gatewaycommon.GetClassInfos()
	gatewaycommon.BuiltinGatewayClasses = gatewaycommon.GetBuiltinGatewayClasses()
	gatewaycommon.AllClasses = gatewaycommon.GetAllClasses()
}

// flags are the switches of istiod's that a mesh may set, by the Deployment istiod.
var flags = map[string]*bool{
	"ENABLE_TLS_ON_SIDECAR_INGRESS":                      &features.EnableTLSOnSidecarIngress,
	"PILOT_ALLOW_SIDECAR_SERVICE_INBOUND_LISTENER_MERGE": &features.EnableSidecarServiceInboundListenerMerge,
	"ENABLE_SELECTOR_BASED_K8S_GATEWAY_POLICY":           &features.EnableSelectorBasedK8sGatewayPolicy,
	"ENABLE_LAYERED_WAYPOINT_AUTHORIZATION_POLICIES":     &features.WaypointLayeredAuthorizationPolicies,
	"PILOT_SKIP_VALIDATE_TRUST_DOMAIN":                   &features.SkipValidateTrustDomain,
	"PILOT_SCOPE_GATEWAY_TO_NAMESPACE":                   &features.ScopeGatewayToNamespace,
	"PILOT_ENABLE_STRICT_GATEWAY_MERGING":                &features.EnableStrictGatewayMerging,
	"ENABLE_GATEWAY_API_MANUAL_DEPLOYMENT":               &features.EnableGatewayAPIManualDeployment,
}

// setFlags sets them and gives what sets them back.
func setFlags(given map[string]string) func() {
	var back []func()
	for name, text := range given {
		flag, known := flags[name]
		value, err := strconv.ParseBool(text)
		if !known || err != nil {
			continue
		}
		before := *flag
		*flag = value
		back = append(back, func() { *flag = before })
	}
	return func() {
		for _, f := range back {
			f()
		}
	}
}

// crds are those of the Gateway API and of Istio that the controllers wait for.
var crds = []schema.GroupVersionResource{
	gvr.AuthorizationPolicy, gvr.PeerAuthentication, gvr.WorkloadEntry, gvr.ServiceEntry, gvr.GatewayClass, gvr.KubernetesGateway,
	gvr.HTTPRoute, gvr.GRPCRoute, gvr.TCPRoute, gvr.TLSRoute, gvr.ReferenceGrant, gvr.ListenerSet, gvr.BackendTLSPolicy,
}

// newConfigGen is istiod's generator with its controller for the Gateway API and its
// index of the ambient mesh, on the mesh's own objects. It must be called under
// test.Wrap.
func newConfigGen(t test.Failer, m *manifest, w *workload, cfg *meshconfig.MeshConfig) (*core.ConfigGenTest, error) {
	objects, err := m.kubeObjects()
	if err != nil {
		return nil, err
	}
	own, err := listenerLeaf()
	if err != nil {
		return nil, err
	}
	client := kubelib.NewFakeClient(append(objects, secretsFor(objects, own)...)...)
	for _, crd := range crds {
		// istiod passes over kinds of the Gateway API from before they were stable.
		clienttest.MakeCRDWithAnnotations(t, client, crd, map[string]string{consts.BundleVersionAnnotation: consts.BundleVersion})
	}
	services, instances := m.registry(w, cfg)
	var controller *gateway.Controller
	gen := core.NewConfigGenTest(t, core.TestOptions{
		Configs: m.configs, Services: services, Instances: instances, MeshConfig: cfg, ClusterID: clusterID, SkipRun: true,
		CreateConfigStore: func(model.ConfigStoreController) model.ConfigStoreController {
			controller = gateway.NewController(client, func(schema.GroupVersionResource, <-chan struct{}) bool { return true },
				kubecontroller.Options{DomainSuffix: domainSuffix, ClusterID: clusterID}, nil)
			return controller
		},
	})
	env, stop := gen.Env(), test.NewStop(t)
	env.GatewayAPIController = controller
	updater := model.NewEndpointIndexUpdater(env.EndpointIndex)
	var index ambient.Index
	if w.waypoint {
		index = newIndex(t, client, cfg, updater, stop)
		env.AmbientIndexes = index
	}
	client.RunAndWait(stop)
	controller.Reconcile(model.NewPushContext())
	gen.Run()
	if index != nil {
		go index.Run(stop)
		kubelib.WaitForCacheSync("index", stop, index.HasSynced)
	}
	if err := env.InitNetworksManager(updater); err != nil {
		return nil, err
	}
	env.PushContext().InitContext(env, nil, nil)
	return gen, nil
}

// newIndex is istiod's index of the ambient mesh, which knows what waypoints front.
func newIndex(t test.Failer, client kubelib.Client, cfg *meshconfig.MeshConfig, updater model.XDSUpdater, stop chan struct{}) ambient.Index {
	watcher := meshwatcher.NewTestWatcher(cfg)
	clusters := multicluster.NewController(multicluster.ControllerOptions{
		Client: client, ClusterID: clusterID, SystemNamespace: cfg.GetRootNamespace(), MeshConfig: watcher, Debugger: krt.GlobalDebugHandler,
	})
	index := ambient.New(ambient.Options{
		SystemNamespace: cfg.GetRootNamespace(), DomainSuffix: domainSuffix, ClusterID: clusterID, XDSUpdater: updater, MeshConfig: watcher,
		StatusNotifier: activenotifier.New(false), Debugger: krt.GlobalDebugHandler, MultiClusterController: clusters,
	})
	if err := clusters.Run(stop); err != nil {
		t.Fatal(err)
	}
	return index
}

// secretsFor are the Secrets that listeners name and that the mesh does not have: no
// evaluator sees their content, and istiod wants a certificate in them.
func secretsFor(objects []runtime.Object, own *leaf) []runtime.Object {
	have, out := map[string]bool{}, []runtime.Object(nil)
	for _, o := range objects {
		if s, ok := o.(*corev1.Secret); ok {
			have[s.Namespace+"/"+s.Name] = true
		}
	}
	data := map[string][]byte{"tls.crt": []byte(own.certPEM), "tls.key": []byte(own.keyPEM), "ca.crt": []byte(own.certPEM)}
	add := func(namespace, name string) {
		if key := namespace + "/" + name; !have[key] {
			have[key] = true
			out = append(out, &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}, Type: corev1.SecretTypeTLS, Data: data})
		}
	}
	for _, o := range objects {
		if set, ok := o.(*gatewayv1.ListenerSet); ok {
			for _, l := range set.Spec.Listeners {
				if l.TLS != nil {
					for _, ref := range l.TLS.CertificateRefs {
						add(ptr.OrDefault((*string)(ref.Namespace), set.Namespace), string(ref.Name))
					}
				}
			}
		}
		gw, ok := o.(*gatewayv1.Gateway)
		if !ok {
			continue
		}
		for _, l := range gw.Spec.Listeners {
			if l.TLS == nil {
				continue
			}
			for _, ref := range l.TLS.CertificateRefs {
				add(ptr.OrDefault((*string)(ref.Namespace), gw.Namespace), string(ref.Name))
			}
		}
		for _, ref := range clientCertificates(gw) {
			namespace := ptr.OrDefault((*string)(ref.Namespace), gw.Namespace)
			if ref.Kind == "ConfigMap" {
				out = append(out, &corev1.ConfigMap{
					ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: string(ref.Name)}, Data: map[string]string{"ca.crt": own.certPEM},
				})
				continue
			}
			add(namespace, string(ref.Name))
		}
	}
	return out
}

// clientCertificates are the references to what clients of a Gateway are validated with.
func clientCertificates(gw *gatewayv1.Gateway) []gatewayv1.ObjectReference {
	if gw.Spec.TLS == nil || gw.Spec.TLS.Frontend == nil {
		return nil
	}
	all := []gatewayv1.TLSConfig{gw.Spec.TLS.Frontend.Default}
	for _, p := range gw.Spec.TLS.Frontend.PerPort {
		all = append(all, p.TLS)
	}
	var out []gatewayv1.ObjectReference
	for _, c := range all {
		if c.Validation != nil {
			out = append(out, c.Validation.CACertificateRefs...)
		}
	}
	return out
}

// listenerLeaf is the certificate that stands in those Secrets.
var listenerLeaf = sync.OnceValues(func() (*leaf, error) {
	certs, err := newAuthority("listeners")
	if err != nil {
		return nil, err
	}
	return certs.issue(subject{dns: []string{"listener"}})
})
