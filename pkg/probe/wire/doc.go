// Package wire puts HTTP requests into words for the clients that containers have,
// curl and wget, and reads what those say. It runs nothing: whoever does (by exec in a
// pod, by a process here) hands over an argv and what to write to standard input.
//
// What may be secret, the header lines and what is asked for, goes to curl on standard
// input and never into an argv, which process lists and audit logs show. wget has no
// such way for header lines, so it is not given any.
//
// It is part of the core: no network, no clock, no writer. It imports pkg/envoy for
// header lines; pkg/probe and pkg/cmd import it.
package wire
