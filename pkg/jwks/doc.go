// Package jwks reads JSON Web Key Sets and verifies tokens with them exactly as
// Envoy's jwt_authn filter does: which keys it drops and why, which it tries for
// a token and in which order (Envoy source/common/jwt/jwks.cc and verify.cc, and
// BoringSSL's checks of keys). It also knows the sets that istiod pushes in the
// place of one that it could not fetch.
//
// It imports the standard library and pkg/jwt only; every other package may
// import it.
package jwks
