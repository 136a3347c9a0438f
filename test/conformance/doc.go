// Package conformance holds the evaluator against Istio's generator and a real
// Envoy: the cases of the specification, random pairs, and mutants of the
// evaluator that the random pairs must catch. It has tests only.
package conformance
