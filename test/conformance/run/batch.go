package run

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"net/netip"
	"os"
	"strings"
	"sync"

	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"

	"github.com/asmjwt/kubectl-asmjwt/internal/testkit/judge"
)

// Addresses is where the listeners' own addresses come from.
const Addresses = "127.64.0.0/10"

// blockSize is how many addresses of a block of 256 carry listeners.
const blockSize = 250

// guardPort is held on an address of a block while the block is in use:
// Envoys share ports, so two runs at once would share listeners too.
const guardPort = 61999

// batch is the meshes of one Envoy.
type batch struct {
	*runner
	meshes    []*prepared
	dir       string
	upstreams []upstream

	guard   net.Listener
	block   [4]byte
	servers []*http.Server
	envoy   *envoy
	refused map[string]string
	// behind is the batch with the second hops, where this one has the first.
	behind *batch
}

// reserve takes a block of addresses that no other run on this machine has.
func (b *batch) reserve() error {
	var last error
	for range 100 {
		if last = b.hold([4]byte{127, byte(64 + rand.IntN(64)), byte(rand.IntN(256))}); last == nil {
			return nil
		}
	}
	return fmt.Errorf("no free block of addresses in %s: %w", Addresses, last)
}

// hold takes the block, unless somebody has it.
func (b *batch) hold(block [4]byte) error {
	b.block = block
	block[3] = 254
	var err error
	b.guard, err = net.Listen("tcp", netip.AddrPortFrom(netip.AddrFrom4(block), guardPort).String())
	return err
}

// address is that of the i-th mesh.
func (b *batch) address(i int) netip.AddrPort {
	a := b.block
	a[3] = byte(i + 1)
	if b.meshes[i].tunnel != nil {
		return netip.AddrPortFrom(netip.AddrFrom4(a), tunnelPort)
	}
	return netip.AddrPortFrom(netip.AddrFrom4(a), uint16(b.meshes[i].first.Port))
}

// start adapts the listeners and starts the Envoy with them.
func (b *batch) start(ctx context.Context) error {
	if err := b.reserve(); err != nil {
		return err
	}
	var (
		listeners []*listenerv3.Listener
		names     []string
	)
	for i, m := range b.meshes {
		if m.none {
			continue
		}
		if err := b.adapt(i, m); err != nil {
			return fmt.Errorf("case %s: %w", m.first.Name, err)
		}
		listeners = append(listeners, m.listener)
		names = append(names, m.name)
		if m.tunnel != nil {
			listeners = append(listeners, m.tunnel.listener)
			names = append(names, m.tunnel.listener.Name)
		}
	}
	var err error
	if b.envoy, err = startEnvoy(ctx, b.binary, b.dir, listeners, b.upstreams); err != nil {
		return err
	}
	if b.refused, err = b.envoy.awaitListeners(ctx, names); err != nil {
		return err
	}
	for name, reason := range b.refused {
		if strings.Contains(reason, "cannot bind") {
			return fmt.Errorf("listener %s: %s", name, reason)
		}
	}
	return nil
}

// adapt changes a mesh's listener, and starts what its Envoy will fetch keys from.
func (b *batch) adapt(i int, m *prepared) error {
	cert, err := b.certs.server(m.identity)
	if err != nil {
		return err
	}
	log, err := accessLog(b.dir, m.name, directPeer)
	if err != nil {
		return err
	}
	a := &adaptation{name: m.name, bind: b.address(i), log: log, certificate: cert, root: b.certs.mesh.pem,
		clusters: m.clusters, jwks: "jwks-" + m.name}
	if m.tunnel != nil {
		if err := m.tunnel.adapt(a, b.dir); err != nil {
			return err
		}
		b.upstreams = append(b.upstreams[:len(b.upstreams):len(b.upstreams)], upstream{name: a.internal, cluster: m.tunnel.cluster})
	}
	if m.next != nil {
		if err := b.next(i, m, a); err != nil {
			return err
		}
	}
	if err := a.listener(m.listener); err != nil {
		return err
	}
	if a.fetched {
		server, address, err := forEnvoy(m.first.JWKS)
		if err != nil {
			return err
		}
		b.servers = append(b.servers, server)
		b.upstreams = append(b.upstreams[:len(b.upstreams):len(b.upstreams)], upstream{name: a.jwks, address: address})
	}
	return nil
}

// job is one case on its way.
type job struct {
	at   int // among the run's cases
	mesh *prepared
	to   netip.AddrPort
	// key finds the exchange in the log; closed says that it may not be there.
	key    logKey
	closed bool
	sent   bool
}

// sendAll sends the batch's requests and fills in the answers.
func (b *batch) sendAll(ctx context.Context) error {
	var jobs []*job
	for i, m := range b.meshes {
		for _, at := range m.cases {
			jobs = append(jobs, &job{at: at, mesh: m, to: b.address(i)})
		}
	}
	work := make(chan *job)
	var wg sync.WaitGroup
	for range b.opts.Senders {
		wg.Go(func() {
			for j := range work {
				if err := b.send(ctx, j); err != nil {
					b.fail(fmt.Errorf("case %s: %w", b.cases[j.at].Name, err))
				}
			}
		})
	}
	for _, j := range jobs {
		work <- j
	}
	close(work)
	wg.Wait()
	return b.readDetails(ctx, jobs)
}

// readDetails joins the answers with the access log.
func (b *batch) readDetails(ctx context.Context, jobs []*job) error {
	var must, may []logKey
	for _, j := range jobs {
		switch {
		case j.sent && j.closed:
			may = append(may, j.key)
		case j.sent:
			must = append(must, j.key)
		}
	}
	lines := map[logKey]logLine{}
	if len(must)+len(may) > 0 {
		var err error
		if lines, err = readLog(ctx, b.envoy.log, must, may); err != nil {
			return err
		}
	}
	for _, j := range jobs {
		if j.sent {
			b.answers[j.at].Details = lines[j.key].text()
			if b.answers[j.at].Details == "" && j.closed && j.mesh.tunnel != nil {
				b.answers[j.at].Details = lines[j.key.tunnel()].text()
			}
		}
	}
	if b.behind != nil {
		return b.readBehind(ctx, jobs, lines)
	}
	return nil
}

// mostTimeouts is how often an exchange may take too long before that is an error.
const mostTimeouts = 2

// attempts is how often an exchange is repeated that did not lie in one second.
const attempts = 20

// send does one case's exchange until it lies in one second.
func (b *batch) send(ctx context.Context, j *job) error {
	slow := 0
	for range attempts {
		done, err := b.try(ctx, j)
		if errors.Is(err, os.ErrDeadlineExceeded) && slow < mostTimeouts {
			slow++ // a machine with much else to do; an Envoy that hangs does so again
			continue
		}
		if err != nil || done {
			return err
		}
	}
	return errors.New("no exchange lay within one second")
}

// try does the exchange once.
func (b *batch) try(ctx context.Context, j *job) (bool, error) {
	c := &b.cases[j.at]
	minted := judge.Minted{Destination: j.to.String()}
	reason, refused := b.refused[j.mesh.name]
	if t := j.mesh.tunnel; t != nil && !refused { // a waypoint needs both of its listeners
		reason, refused = b.refused[t.listener.Name]
	}
	if t := j.mesh.tunnel; t != nil {
		minted.Destination, minted.Tunnel = t.to.String(), j.to.String()
		if reason == "" {
			reason, refused = b.refused[t.listener.Name]
		}
	}
	conn := &connection{}
	var closed error
	if j.mesh.none {
		closed = closedError{errors.New("nobody listens")}
	}
	if !refused && closed == nil {
		var err error
		conn, err = b.dial(ctx, j, &c.Request)
		if err != nil && !errors.As(err, new(closedError)) {
			return false, err
		}
		closed = err
		defer func() { _ = conn.Close() }()
		minted.Source = conn.LocalAddr().String()
		if minted.ClientHash = conn.hash; conn.hash != "" {
			minted.ServerURI = j.mesh.identity
		}
	}
	minted.Time = now()
	var err error
	if minted.Request, err = c.Request.Mint(minted.Time, b.opts.Sign); err != nil {
		return false, err
	}
	answer := &judge.Answer{Closed: closed != nil, Refused: reason}
	if !refused && closed == nil {
		if answer, err = exchange(conn, &minted.Request); errors.As(err, new(closedError)) {
			answer, err = &judge.Answer{Closed: true}, nil
		}
		if err != nil {
			return false, err
		}
	}
	// A connection that ends without an answer ends so at any second; Envoy takes
	// a second of its own to close some.
	if now() != minted.Time && !answer.Closed && !resetBehind(answer) {
		return false, nil
	}
	answer.Time = minted.Time
	b.answers[j.at], b.minted[j.at] = *answer, minted
	j.key, j.closed, j.sent = logKey{j.mesh.name, minted.Source}, answer.Closed, !refused && !j.mesh.none
	return true, nil
}

// close ends all that the batch started.
func (b *batch) close() error {
	var errs []error
	for _, s := range b.servers {
		errs = append(errs, s.Close())
	}
	if b.guard != nil {
		errs = append(errs, b.guard.Close())
	}
	if b.envoy != nil {
		errs = append(errs, b.envoy.stop())
	}
	return errors.Join(append(errs, os.RemoveAll(b.dir))...)
}
