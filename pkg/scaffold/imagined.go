package scaffold

import (
	"fmt"
	"strings"

	"github.com/asmjwt/kubectl-asmjwt/pkg/mesh"
)

// imagined is a mesh with one workload that the policies reach, for tables where
// nothing that is reached was read.
func (p *Plan) imagined() (*mesh.Snapshot, error) {
	var objects []Map
	ns := p.Place.Namespace
	port := Map{{Key: "name", Value: "http"}, {Key: "port", Value: 8080}}
	service := func(name string, labels, selector Map) Map {
		meta := Map{{Key: "name", Value: name}, {Key: "namespace", Value: ns}}
		if labels != nil {
			meta = append(meta, Member{Key: "labels", Value: labels})
		}
		return Map{{Key: "apiVersion", Value: "v1"}, {Key: "kind", Value: "Service"}, {Key: "metadata", Value: meta},
			{Key: "spec", Value: Map{{Key: "selector", Value: selector}, {Key: "ports", Value: []any{port}}, {Key: "clusterIP", Value: "10.0.0.1"}}}}
	}
	gateway := func(name, class, protocol string, number int) Map {
		return Map{{Key: "apiVersion", Value: "gateway.networking.k8s.io/v1"}, {Key: "kind", Value: "Gateway"},
			{Key: "metadata", Value: Map{{Key: "name", Value: name}, {Key: "namespace", Value: ns}}},
			{Key: "spec", Value: Map{{Key: "gatewayClassName", Value: class}, {Key: "listeners", Value: []any{
				Map{{Key: "name", Value: "http"}, {Key: "port", Value: number}, {Key: "protocol", Value: protocol}}}}}}}
	}
	switch ref := p.ref(); {
	case ref.Kind == "Gateway":
		objects = append(objects, gateway(ref.Name, "istio", "HTTP", 8080))
	case ref.Kind != "":
		name := ref.Name
		if ref.Kind == "GatewayClass" {
			name = "any"
		}
		objects = append(objects, gateway("waypoint", "istio-waypoint", "HBONE", 15008))
		use := Map{{Key: "istio.io/use-waypoint", Value: "waypoint"}}
		if ref.Kind == "ServiceEntry" {
			objects = append(objects, Map{{Key: "apiVersion", Value: "networking.istio.io/v1"}, {Key: "kind", Value: "ServiceEntry"},
				{Key: "metadata", Value: Map{{Key: "name", Value: name}, {Key: "namespace", Value: ns}, {Key: "labels", Value: use}}},
				{Key: "spec", Value: Map{{Key: "hosts", Value: []any{imaginedHost}}, {Key: "addresses", Value: []any{"10.0.0.1"}}, {Key: "resolution", Value: "DNS"},
					{Key: "ports", Value: []any{Map{{Key: "number", Value: 8080}, {Key: "name", Value: "http"}, {Key: "protocol", Value: "HTTP"}}}}}}})
		} else {
			objects = append(objects, service(name, use, Map{{Key: "app", Value: "any"}}))
		}
	default:
		pods := labels(p.Place.Selector)
		if pods == nil {
			pods = Map{{Key: "app", Value: "any"}}
		}
		containers := []any{Map{{Key: "name", Value: "app"}, {Key: "image", Value: "example.com/any"}}, Map{{Key: "name", Value: mesh.ProxyContainerName}, {Key: "image", Value: "auto"}}}
		if p.Place.Selector["istio"] != "" && strings.HasSuffix(p.Place.Selector["istio"], "gateway") {
			containers = containers[1:]
			objects = append(objects, Map{{Key: "apiVersion", Value: "networking.istio.io/v1"}, {Key: "kind", Value: "Gateway"},
				{Key: "metadata", Value: Map{{Key: "name", Value: "any"}, {Key: "namespace", Value: ns}}},
				{Key: "spec", Value: Map{{Key: "selector", Value: pods}, {Key: "servers", Value: []any{Map{
					{Key: "port", Value: Map{{Key: "number", Value: 8080}, {Key: "name", Value: "http"}, {Key: "protocol", Value: "HTTP"}}}, {Key: "hosts", Value: []any{"*"}}}}}}}})
		}
		template := Map{{Key: "metadata", Value: Map{{Key: "labels", Value: pods}}}, {Key: "spec", Value: Map{{Key: "containers", Value: containers}}}}
		objects = append(objects, Map{{Key: "apiVersion", Value: "apps/v1"}, {Key: "kind", Value: "Deployment"},
			{Key: "metadata", Value: Map{{Key: "name", Value: "any"}, {Key: "namespace", Value: ns}}},
			{Key: "spec", Value: Map{{Key: "selector", Value: Map{{Key: "matchLabels", Value: pods}}}, {Key: "template", Value: template}}}},
			service("any", nil, pods))
	}
	var all []*mesh.Object
	for _, o := range objects {
		text, err := plainJSON(o)
		if err != nil {
			return nil, err
		}
		parsed, err := mesh.Parse(text, mesh.ParseOptions{File: "a workload that is imagined"})
		if err != nil {
			return nil, err
		}
		all = append(all, parsed...)
	}
	snap, err := mesh.NewSnapshot(all, nil)
	if err != nil {
		return nil, fmt.Errorf("imagine a workload: %w", err)
	}
	return snap, nil
}

const imaginedHost = "any.example.com"

// ref is the reference that the policies have; the zero value for labels.
func (p *Plan) ref() TargetRef {
	if len(p.Place.Refs) == 0 {
		return TargetRef{}
	}
	return p.Place.Refs[0]
}

// imaginedSubject is the port of the workload of imagined.
func (p *Plan) imaginedSubject() []subject {
	s := subject{Asked: Asked{Target: mesh.Target{Type: mesh.TypeDeployment, Name: "any"}, Namespace: p.Place.Namespace, Port: 8080}}
	switch ref := p.ref(); ref.Kind {
	case "":
	case "Gateway":
		s.Target = mesh.Target{Type: mesh.TypeGateway, Name: ref.Name}
	case "ServiceEntry":
		s.Target, s.Host = mesh.Target{Type: mesh.TypeGateway, Name: "waypoint"}, imaginedHost
	default:
		name := ref.Name
		if ref.Kind == "GatewayClass" {
			name = "any"
		}
		s.Target, s.Host = mesh.Target{Type: mesh.TypeGateway, Name: "waypoint"}, name+"."+p.Place.Namespace+".svc.cluster.local"
	}
	return []subject{s}
}
