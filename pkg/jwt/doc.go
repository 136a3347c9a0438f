// Package jwt reads JSON Web Tokens exactly as Envoy's jwt_authn filter reads
// them: its way of splitting, its base64url and JSON dialects, its order of
// checks and its words for what is wrong.
//
// The package follows Envoy's source/common/jwt (jwt.cc, struct_utils.cc,
// check_audience.cc, status.cc), the JSON parser of protobuf (json/internal/lexer.cc,
// parser.cc) and abseil's base64 decoder (strings/escaping.cc). Where these are more
// lenient or stricter than an RFC, so is this package.
//
// A Token never prints its signature, nor the text that it came from.
//
// It imports the standard library only; every other package may import it.
package jwt
