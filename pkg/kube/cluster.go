package kube

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
)

// Timeout is how long one request may take where the configuration sets no limit.
type Timeout time.Duration

// The time-outs. NoTimeout is what --request-timeout=0 asks for.
const (
	DefaultTimeout = Timeout(20 * time.Second)
	NoTimeout      = Timeout(0)
)

// Cluster is one API server.
type Cluster struct {
	Context   string // of the kubeconfig, empty where there is none
	Namespace string // that of the context, or as the flags say; "default" where nothing says
	Server    string // its address, without anything secret

	config *rest.Config
	client *http.Client
	base   *url.URL

	discovery sync.Mutex
	served    *Served
}

// Connect reads a kubeconfig and makes a client of one of its contexts, which the loader
// already knows; an empty name is the current one. Nothing is sent yet. What is wrong with
// the kubeconfig is an *InputError.
func Connect(loader clientcmd.ClientConfig, timeout Timeout, name string) (*Cluster, error) {
	raw, err := loader.RawConfig()
	if err != nil {
		return nil, configError(err)
	}
	if raw.Contexts[name] == nil && name != "" {
		return nil, &InputError{Problem: fmt.Sprintf("the kubeconfig has no context %q", name), Hint: contextsHint(raw.Contexts)}
	}
	config, err := loader.ClientConfig()
	if err != nil {
		return nil, configError(err)
	}
	namespace, _, err := loader.Namespace()
	if err != nil {
		return nil, configError(err)
	}
	if strings.HasSuffix(config.Host, defaultHost) && name == "" && raw.CurrentContext == "" {
		return nil, notChosen(raw.Contexts)
	}
	c, err := newCluster(config, timeout)
	if err != nil {
		return nil, configError(err)
	}
	if c.Namespace, c.Context = namespace, name; name == "" {
		c.Context = raw.CurrentContext
	}
	return c, nil
}

// defaultHost is what clientcmd takes where nothing names a server.
const defaultHost = "localhost:8080"

const kubeconfigHint = "name one with --kubeconfig or $KUBECONFIG; why, jwks and scaffold take manifests with -f in its place"

// notChosen is the error where no server is named.
func notChosen(contexts map[string]*clientcmdapi.Context) error {
	if len(contexts) == 0 {
		return &InputError{Problem: "there is no kubeconfig, so no cluster to ask", Hint: kubeconfigHint}
	}
	return &InputError{Problem: "the kubeconfig has no current context", Hint: "choose one with --context: " + shortList(sortedKeys(contexts))}
}

// newCluster makes the client of a configuration. It never waits before it sends: the
// few requests of a diagnosis are no burden that would have to be spread.
func newCluster(config *rest.Config, timeout Timeout) (*Cluster, error) {
	config = rest.CopyConfig(config)
	config.QPS, config.Burst = -1, 0
	if config.Timeout == 0 {
		config.Timeout = time.Duration(timeout)
	}
	config.UserAgent = "kubectl-asmjwt"
	client, err := rest.HTTPClientFor(config)
	if err != nil {
		return nil, err
	}
	base, _, err := rest.DefaultServerUrlFor(config)
	if err != nil {
		return nil, err
	}
	return &Cluster{Server: (&url.URL{Scheme: base.Scheme, Host: base.Host, Path: base.Path}).String(), config: config, client: client, base: base}, nil
}

// configError says what is wrong with a kubeconfig.
func configError(err error) error {
	switch text := oneLine(err); {
	case clientcmd.IsEmptyConfig(err):
		return notChosen(nil)
	case errors.Is(err, fs.ErrNotExist):
		return &InputError{Problem: "read the kubeconfig: " + text, Hint: kubeconfigHint, Err: err}
	default:
		return &InputError{Problem: "the kubeconfig cannot be used: " + text, Hint: "kubectl config view shows it", Err: err}
	}
}

func contextsHint(contexts map[string]*clientcmdapi.Context) string {
	if len(contexts) == 0 {
		return "kubectl config get-contexts lists the contexts"
	}
	return "the contexts are " + shortList(sortedKeys(contexts))
}

// UnavailableError says that an API server could not be asked, or will not answer.
type UnavailableError struct {
	Problem string
	Hint    string
	Err     error
}

// Error is the problem, one line.
func (e *UnavailableError) Error() string { return e.Problem }

// Unwrap returns the error that this one comes from.
func (e *UnavailableError) Unwrap() error { return e.Err }

// HintLine is what to do next.
func (e *UnavailableError) HintLine() string { return e.Hint }

// Unavailable tells this error from those about what a user gave.
func (e *UnavailableError) Unavailable() bool { return true }

// unreachable puts the failure of a first request into words.
func (c *Cluster) unreachable(err error) error {
	e := &UnavailableError{Err: err, Hint: "is the cluster up, and is " + c.flags() + " the one that is meant?"}
	var failed *statusError
	switch {
	case errors.As(err, &failed) && failed.code == http.StatusUnauthorized:
		e.Problem = "the API server " + c.Server + " does not accept the credentials of the kubeconfig (401 Unauthorized)"
		e.Hint = "log in again; kubectl auth whoami shows whether it worked"
	case errors.As(err, &failed):
		e.Problem = "the API server " + c.Server + " does not say what it serves: " + failed.Error()
		if failed.code == http.StatusForbidden {
			e.Hint = "ask for the right to read /apis, which the ClusterRole system:discovery gives"
		}
	default:
		e.Problem = "the API server " + c.Server + " cannot be reached: " + reasonOf(err)
	}
	return e
}

// flags name how the cluster was chosen.
func (c *Cluster) flags() string {
	if c.Context == "" {
		return "the kubeconfig"
	}
	return "the context " + c.Context
}

// reasonOf is why a request failed, without its address.
func reasonOf(err error) string {
	var dns *net.DNSError
	switch {
	case errors.Is(err, context.DeadlineExceeded), isTimeout(err):
		return "it did not answer in time"
	case errors.As(err, &dns):
		return fmt.Sprintf("no such host %q", dns.Name)
	}
	return withoutURL(err)
}

func isTimeout(err error) bool {
	var t net.Error
	return errors.As(err, &t) && t.Timeout()
}
