// Package judge is the language in which the evaluator and a real Envoy are
// compared: a Case is a mesh, a workload and a request, an Answer is what came of
// it, whoever gave it. It imports pkg/... of this module and internal/testkit/mint,
// nothing of Istio's or Envoy's code: the side that runs Envoy is test/conformance.
package judge

// Case is one request to one workload of one mesh.
type Case struct {
	Name string `json:"name"`
	// Mesh is YAML documents as `why -f` reads them: workloads, Services, Istio's
	// objects, and the ConfigMap istio-system/istio where the mesh configuration
	// is not the default.
	Mesh string `json:"mesh"`
	// Target is TYPE/NAME in Namespace; Port is the workload's own port, or the
	// listener's port of a gateway.
	Target    string `json:"target"`
	Namespace string `json:"namespace"`
	Port      int    `json:"port"`
	// JWKS are the documents behind jwksUris; one that is missing cannot be fetched.
	JWKS map[string]string `json:"jwks,omitempty"`
	// RemoteJWKS is PILOT_JWT_ENABLE_REMOTE_JWKS: "" (istiod), "hybrid" or "envoy".
	RemoteJWKS string `json:"remoteJwks,omitempty"`
	// Via is the hop in front of the target; the zero Hop: there is none.
	Via     Hop     `json:"via,omitzero"`
	Request Request `json:"request"`
}

// Hop is a workload that a request passes on its way, as Target, Namespace and Port
// of a Case name one.
type Hop struct {
	Target    string `json:"target"`
	Namespace string `json:"namespace"`
	Port      int    `json:"port"`
}

// Header is one header line.
type Header struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// Request is what the client sends. In Path and in header values {token:N}
// stands for the N-th of Tokens, minted just before it is sent.
type Request struct {
	HTTP2   bool     `json:"http2,omitempty"`
	Method  string   `json:"method"`
	Host    string   `json:"host"`
	Path    string   `json:"path"`
	Headers []Header `json:"headers,omitempty"`
	Tokens  []Token  `json:"tokens,omitempty"`
	Client  Client   `json:"client,omitzero"`
}

// Token says how to mint a token. In Header and Payload, which are JSON text,
// {now}, {now+60} and {now-61} stand for seconds since the epoch.
type Token struct {
	// Key names a key of package mint ("rsa-a"); Alg is how it signs, which may
	// differ from what the header claims.
	Key string `json:"key"`
	Alg string `json:"alg"`
	// Header and Payload are JSON text, base64url-encoded without padding.
	Header  string `json:"header"`
	Payload string `json:"payload"`
	// Form puts the parts together; empty means "{h}.{p}.{s}".
	Form string `json:"form,omitempty"`
	// SignOver, where it is set, is what is signed in the place of "{h}.{p}".
	SignOver string `json:"signOver,omitempty"`
	// Raw, where it is set, is the token itself, and nothing else counts.
	Raw string `json:"raw,omitempty"`
	// TrimSignature cuts so many bytes off the signature before it is encoded;
	// FlipSignature flips a bit of it.
	TrimSignature int  `json:"trimSignature,omitempty"`
	FlipSignature bool `json:"flipSignature,omitempty"`
}

// Client is how the request reaches the proxy.
type Client struct {
	// Transport is "" (plaintext), "mtls" (Istio's, with its ALPN) or "tls".
	Transport string `json:"transport,omitempty"`
	// URISANs, DNSSANs and CommonName are those of the client's certificate; none
	// of them: no certificate. Untrusted: signed by a stranger.
	URISANs    []string `json:"uriSans,omitempty"`
	DNSSANs    []string `json:"dnsSans,omitempty"`
	CommonName string   `json:"commonName,omitempty"`
	Untrusted  bool     `json:"untrusted,omitempty"`
	SNI        string   `json:"sni,omitempty"`
	// Source is the loopback address that the client binds; empty is 127.0.0.1.
	Source string `json:"source,omitempty"`
}

// Answer is what came of a Case.
type Answer struct {
	// Time is the second, since the epoch, in which the whole exchange lay.
	Time int64 `json:"time"`
	// Closed: the connection or the handshake ended without an HTTP answer.
	Closed bool `json:"closed,omitempty"`
	// Refused: the listener was refused, with Envoy's reason.
	Refused string `json:"refused,omitempty"`
	Status  int    `json:"status,omitempty"`
	Body    string `json:"body,omitempty"`
	// Details is RESPONSE_CODE_DETAILS.
	Details         string `json:"details,omitempty"`
	GRPCStatus      *int   `json:"grpcStatus,omitempty"`
	GRPCMessage     string `json:"grpcMessage,omitempty"`
	WWWAuthenticate string `json:"wwwAuthenticate,omitempty"`
	// Upstream is the request as the application got it; nil when it did not.
	Upstream *Upstream `json:"upstream,omitempty"`
}

// Upstream is a request as an application receives it.
type Upstream struct {
	Method  string   `json:"method"`
	Host    string   `json:"host"`
	Path    string   `json:"path"`
	Headers []Header `json:"headers"` // lower-case names, in order of arrival
}

// Pair is a case with the request as it was sent and Envoy's answer to it.
type Pair struct {
	Case   Case   `json:"case"`
	Minted Minted `json:"minted"`
	Answer Answer `json:"answer"`
}
