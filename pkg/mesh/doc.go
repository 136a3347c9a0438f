// Package mesh is what was read of a mesh, whoever read it: objects that keep
// their raw bytes and their position and are decoded only when a step asks,
// the workloads that they make up, and the gaps that nobody could read.
//
// It is part of the core: values in, values out. It imports pkg/origin, Istio's
// and Kubernetes' API types and YAML parsers; no client, no clock, no
// environment. pkg/istio, pkg/diagnose, the edges and pkg/cmd import it.
package mesh
