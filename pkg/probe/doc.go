// Package probe plans real requests, sends them behind an Executor, and holds what came
// back against what was predicted. It is part of the core: it runs nothing itself, reads
// no clock and writes nothing.
//
// It imports pkg/probe/wire, pkg/observe, pkg/diagnose, pkg/envoy, pkg/jwt and pkg/diag;
// pkg/cmd and pkg/render import it.
package probe
