package run

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"runtime"
	"strings"
	"sync"
	"time"

	"github.com/asmjwt/kubectl-asmjwt/internal/testkit/judge"
	"github.com/asmjwt/kubectl-asmjwt/internal/testkit/mint"
)

// Options say how a run is done.
type Options struct {
	// Envoy is the program; "" is ASMJWT_ENVOY, or the one that make installs.
	Envoy string
	// Sign signs tokens; nil is mint.Sign.
	Sign judge.Sign
	// Senders is how many requests are under way at once; 0 is 8.
	Senders int
	// MeshesPerEnvoy is how many listeners share a process; 0 is 120, 250 the most.
	MeshesPerEnvoy int
}

// Mesh is what cases with the same objects, target, port and key sets share: a
// listener.
type Mesh struct {
	name  string
	first *judge.Case
	cases []int
}

// Run gives an Envoy's answers to the cases, in their order, with the requests as
// they were sent. The error says which cases could not be judged at all; the
// others have their answers all the same.
func Run(ctx context.Context, cases []judge.Case, opts Options) ([]judge.Answer, []judge.Minted, error) {
	r, err := newRunner(cases, opts)
	if err != nil {
		return nil, nil, err
	}
	r.all(ctx)
	r.fail(errors.Join(r.echo.stop(), r.authorizer.Close()))
	return r.answers, r.minted, errors.Join(r.errs...)
}

// runner holds what a run shares.
type runner struct {
	opts    Options
	binary  string
	cases   []judge.Case
	answers []judge.Answer
	minted  []judge.Minted

	certs      *pki
	docs       *jwksServer
	echo       *echo
	authorizer *http.Server
	upstreams  []upstream

	mu   sync.Mutex
	errs []error
}

// The documents' server is the process's: Go reads its proxy settings once.
var sharedJWKS = sync.OnceValues(func() (*jwksServer, error) {
	certs, err := newAuthority("jwks")
	if err != nil {
		return nil, err
	}
	own, err := certs.issue(subject{dns: []string{"jwks"}})
	if err != nil {
		return nil, err
	}
	s, err := startJWKS(own.tls)
	if err != nil {
		return nil, err
	}
	return s, s.asProxy()
})

func newRunner(cases []judge.Case, opts Options) (*runner, error) {
	prepareIstiod()
	if opts.Senders == 0 {
		opts.Senders = 8
	}
	if opts.MeshesPerEnvoy == 0 {
		opts.MeshesPerEnvoy = 120
	}
	opts.MeshesPerEnvoy = min(opts.MeshesPerEnvoy, blockSize)
	if opts.Sign == nil {
		opts.Sign = mint.Sign
	}
	r := &runner{opts: opts, binary: opts.Envoy, cases: cases,
		answers: make([]judge.Answer, len(cases)), minted: make([]judge.Minted, len(cases))}
	var err error
	if r.binary == "" {
		if r.binary, err = findEnvoy(); err != nil {
			return nil, err
		}
	}
	if r.certs, err = newPKI(); err != nil {
		return nil, err
	}
	if r.docs, err = sharedJWKS(); err != nil {
		return nil, err
	}
	if r.echo, err = startEcho(); err != nil {
		return nil, err
	}
	server, address, err := startAuthorizer()
	if err != nil {
		return nil, errors.Join(err, r.echo.stop())
	}
	r.authorizer = server
	r.upstreams = []upstream{{name: echoCluster, address: r.echo.address()}, {name: authorizerCluster, address: address}}
	return r, nil
}

// fail keeps an error.
func (r *runner) fail(err error) {
	if err == nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.errs = append(r.errs, err)
}

// all does the batches one after the other, while istiod works on the next.
func (r *runner) all(ctx context.Context) {
	ready := make(chan *batch)
	go func() {
		defer close(ready)
		meshes := group(r.cases)
		for len(meshes) > 0 && ctx.Err() == nil {
			n := min(len(meshes), r.opts.MeshesPerEnvoy)
			b, err := r.prepare(meshes[:n])
			r.fail(err)
			meshes = meshes[n:]
			if b != nil {
				ready <- b
			}
		}
	}()
	for b := range ready {
		r.fail(r.judge(ctx, b))
	}
	r.fail(ctx.Err())
}

// group gathers the cases that share a listener, in the order of their first ones.
func group(cases []judge.Case) []*Mesh {
	byKey := map[string]*Mesh{}
	var out []*Mesh
	for i := range cases {
		c := &cases[i]
		key, err := json.Marshal([]any{c.Mesh, c.Target, c.Namespace, c.Port, c.JWKS, c.RemoteJWKS, hostOf(c), c.Via})
		if err != nil {
			key = []byte(fmt.Sprint("#", i)) // maps of strings always have a JSON form
		}
		m := byKey[string(key)]
		if m == nil {
			m = &Mesh{name: fmt.Sprintf("m%d", len(out)), first: c}
			byKey[string(key)] = m
			out = append(out, m)
		}
		m.cases = append(m.cases, i)
	}
	return out
}

// hostOf is the host that a question to a Gateway is about, since a waypoint has a
// chain for each; elsewhere the host decides nothing about the listener.
func hostOf(c *judge.Case) string {
	if strings.HasPrefix(c.Target, "gateway/") && strings.Contains(c.Mesh, "gatewayClassName: "+classWaypoint) {
		return c.Request.Host
	}
	return ""
}

// prepared is a mesh with the listener that istiod made for it.
type prepared struct {
	*Mesh
	*generated
}

// prepare has the generator make the batch's listeners.
func (r *runner) prepare(meshes []*Mesh) (*batch, error) {
	made := make([]*prepared, len(meshes))
	work := make(chan int)
	var wg sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		wg.Go(func() {
			for i := range work {
				g, err := generate(meshes[i].first, r.docs)
				if err == nil && g.listener == nil && !g.none {
					err = fmt.Errorf("no listener on port %d", meshes[i].first.Port)
				}
				if err != nil {
					r.fail(fmt.Errorf("case %s: %w", meshes[i].first.Name, err))
					continue
				}
				made[i] = &prepared{meshes[i], g}
			}
		})
	}
	for i := range meshes {
		work <- i
	}
	close(work)
	wg.Wait()
	dir, err := os.MkdirTemp("", "judge-")
	if err != nil {
		return nil, err
	}
	b := &batch{runner: r, dir: dir, upstreams: r.upstreams}
	for _, p := range made {
		if p != nil {
			b.meshes = append(b.meshes, p)
		}
	}
	return b, nil
}

// judge starts the batch's Envoy, sends its requests and reads its log.
func (r *runner) judge(ctx context.Context, b *batch) (err error) {
	defer func() { err = errors.Join(err, b.close()) }()
	if err := b.start(ctx); err != nil {
		return err
	}
	if err := b.sendAll(ctx); err != nil {
		return err
	}
	return b.envoy.alive()
}

// now is the clock that the Envoys read too.
func now() int64 { return time.Now().Unix() }
