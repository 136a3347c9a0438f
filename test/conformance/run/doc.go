// Package run asks a real Envoy: it takes judge.Cases, has istiod's own generator
// build the listeners of their workloads, loads these into Envoys, sends the
// requests over loopback and reports what came of them as judge.Answers.
//
// Nothing about a listener is written here by hand. What has to differ from
// istiod's is changed in one place, adapt, which records each change; a test
// lists them and fails on any other difference.
//
// The mapping of a Case to the machine:
//
//   - Each mesh (cases with the same objects, target, port and key sets share one)
//     has an address of its own in Addresses, on which its listener is bound with
//     the real port, so destination.port and destination.ip are what Envoy sees.
//   - istiod's JWKS resolver fetches through an HTTP proxy on loopback that serves
//     Case.JWKS by URI, set by HTTP_PROXY; nothing in the objects is changed. A URI
//     that is not there is answered 404.
//   - Envoy's own fetches go to the same documents, if istiod sends a cluster for
//     the host; if not, the cluster stays unknown.
//   - An external authorizer is a Service or ServiceEntry whose host starts with
//     ext-authz. and speaks HTTP: it answers 302 where the check has the header
//     x-ext-authz: redirect, else 200.
//   - The application is one HTTP/1.1 server, which answers 200 "ok" to everything
//     and tells what it received in a response header that the client takes out.
//   - A target gateway/NAME, or a Deployment with the label of a Gateway, is a gateway
//     of the Gateway API or a waypoint. Its objects go through istiod's own controller
//     for the Gateway API and its own index of the ambient mesh, on a fake API server.
//     What istiod's deployment controller would add is added by roles.go: the labels,
//     service account and Service of a Gateway that has no Deployment, the address in
//     its status, and Secrets for the certificates that listeners name.
//   - A target svc/NAME is the waypoint in front of the Service, asked for the Service's
//     port. Its two listeners are istiod's: connect_terminate, bound on the mesh's
//     address with port 15008, and main_internal under a name of its own, with
//     istiod's cluster main_internal between them. The client speaks HBONE, mTLS and
//     an HTTP/2 CONNECT to the clusterIP, and sends the request through it.
//   - The environment of a Deployment istiod in the mesh is that of the generator.
//
// It imports Istio, package judge, and nothing of this module's core.
package run
