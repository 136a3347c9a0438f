// Package kube collects a mesh.Snapshot from where the objects are: files, folders,
// standard input, URLs and kustomizations.
//
// It is an edge: it imports pkg/mesh, pkg/origin and Kubernetes' libraries, never
// another edge. Only pkg/cmd imports it.
package kube
