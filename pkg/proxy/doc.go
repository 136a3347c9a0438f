// Package proxy reads what a running proxy holds: its config_dump becomes the same
// envoy.Proxy that pkg/istio makes of objects, with the keys as they were pushed.
// So a verdict needs no right to read policies, and "pushed against read" is a
// comparison of two values.
//
// It is an edge: it imports pkg/envoy, pkg/jwks, pkg/version and pkg/origin and reads
// from an io.Reader that was handed in; pkg/cmd imports it, and no other edge does.
// A filter or matcher that is not modelled becomes an envoy.Opaque or a policy with a
// doubt, never a guess. rbac.go has one entry for each matcher of Envoy's RBAC.
package proxy
