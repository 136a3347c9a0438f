// Package e2e tests kubectl-asmjwt against a real mesh: see package harness. It has
// tests only.
package e2e
