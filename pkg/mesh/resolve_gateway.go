package mesh

import (
	"errors"
	"maps"
	"strings"
)

// Classes of Gateways that Istio makes the Deployments of, each with the label that
// it puts on their pods (Istio pilot/pkg/config/kube/gatewaycommon/classinfo.go).
const (
	classIstio    = "istio"
	classWaypoint = "istio-waypoint"
	labelManaged  = "gateway.istio.io/managed"
)

// gateway resolves a Gateway of the Gateway API by the label on its pods. Where there
// are none, the Gateway itself says what Istio's controller would make of it.
func (r *resolver) gateway(o *Object) ([]Workload, error) {
	out, err := r.selected(o, map[string]string{labelGatewayName: o.Name})
	var none *InputError
	if !errors.As(err, &none) {
		return out, err
	}
	w, ok, decodeErr := r.snap.managedGateway(o)
	if decodeErr != nil {
		return nil, decodeErr
	}
	if !ok {
		return nil, err
	}
	return []Workload{w}, nil
}

// managedGateway is the workload that Istio's controller makes of a Gateway of one of
// its classes, unless its addresses name a Service that somebody else made
// (Istio pilot/pkg/config/kube/gatewaycommon/deploymentcontroller.go:configureIstioGateway,
// manifests/charts/istio-control/istio-discovery/files/kube-gateway.yaml and waypoint.yaml).
func (s *Snapshot) managedGateway(o *Object) (Workload, bool, error) {
	var spec struct {
		GatewayClassName string `json:"gatewayClassName"`
		Addresses        []struct {
			Type *string `json:"type"`
		} `json:"addresses"`
		Infrastructure struct {
			Labels      map[string]string `json:"labels"`
			Annotations map[string]string `json:"annotations"`
		} `json:"infrastructure"`
	}
	if err := o.DecodeSpec(&spec); err != nil {
		return Workload{}, false, err
	}
	class, a := spec.GatewayClassName, spec.Addresses
	theirs := len(a) > 1 || len(a) == 1 && a[0].Type != nil && *a[0].Type != "IPAddress"
	if !s.makes(class) || theirs {
		return Workload{}, false, nil
	}
	name, managed := o.Name+"-"+class, "istio.io-gateway-controller"
	if class == classWaypoint {
		name, managed = o.Name, "istio.io-mesh-controller"
	}
	deployment, account := name, name
	if over := o.Annotations["gateway.istio.io/name-override"]; over != "" {
		deployment = over
	}
	if over := o.Annotations["gateway.istio.io/service-account"]; over != "" {
		account = over
	}
	w := Workload{
		Ref: o.Ref(), Namespace: o.Namespace, ServiceAccount: account, Created: o.Created, FromTemplate: true,
		Labels: map[string]string{
			"sidecar.istio.io/inject":             "false",
			"service.istio.io/canonical-name":     deployment,
			"service.istio.io/canonical-revision": "latest",
		},
		Annotations: infrastructure(spec.Infrastructure.Annotations, o.Annotations),
		Containers:  []Container{{Name: ProxyContainerName, Args: []string{"proxy", "router"}}},
	}
	if class == classWaypoint {
		w.Labels["istio.io/dataplane-mode"] = "none"
		w.Containers[0].Args[1] = "waypoint"
	}
	maps.Copy(w.Labels, infrastructure(spec.Infrastructure.Labels, o.Labels))
	maps.Copy(w.Labels, map[string]string{
		labelGatewayName: o.Name, "gateway.networking.k8s.io/gateway-class-name": class, labelManaged: managed,
	})
	return w, true, nil
}

// Controllers that GatewayClasses of Istio's name
// (Istio pilot/pkg/config/kube/gatewaycommon/classinfo.go).
const (
	ControllerGateway = "istio.io/gateway-controller"
	controllerMesh    = "istio.io/mesh-controller"
)

// GatewayController is the controller that a GatewayClass names; read is false where the
// class is not among the objects.
func (s *Snapshot) GatewayController(class string) (controller string, read bool, err error) {
	o := s.Find(GroupGateway, "GatewayClass", "", class)
	if o == nil {
		return "", false, nil
	}
	var spec struct {
		ControllerName string `json:"controllerName"`
	}
	err = o.DecodeSpec(&spec)
	return spec.ControllerName, true, err
}

// makes reports whether Istio's controller makes the Deployments of Gateways of a class:
// its own two, and those whose GatewayClass names the controller.
func (s *Snapshot) makes(class string) bool {
	controller, read, err := s.GatewayController(class)
	if !read {
		return class == classIstio || class == classWaypoint
	}
	return err == nil && (controller == ControllerGateway || controller == controllerMesh)
}

// infrastructure are the labels or annotations that the pods get: those that the
// Gateway has for its infrastructure, else its own.
func infrastructure(given, own map[string]string) map[string]string {
	if given == nil {
		return maps.Clone(own)
	}
	out := map[string]string{}
	for k, v := range given {
		if !strings.HasPrefix(k, "gateway.networking.k8s.io/") {
			out[k] = v
		}
	}
	return out
}
