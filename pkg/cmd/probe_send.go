package cmd

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strconv"
	"sync"
	"time"

	"github.com/asmjwt/kubectl-asmjwt/pkg/diagnose"
	"github.com/asmjwt/kubectl-asmjwt/pkg/envoy"
	"github.com/asmjwt/kubectl-asmjwt/pkg/fetch"
	"github.com/asmjwt/kubectl-asmjwt/pkg/kube"
	"github.com/asmjwt/kubectl-asmjwt/pkg/observe"
	"github.com/asmjwt/kubectl-asmjwt/pkg/probe"
	"github.com/asmjwt/kubectl-asmjwt/pkg/probe/wire"
)

// keepBody is how many bytes of a body are kept: a proxy's words are shorter.
const keepBody = 4096

// try sends the requests and predicts what they get.
func (s *scene) try(ctx context.Context, shots []probe.Shot) ([]probe.Trial, error) {
	results, err := s.send(ctx, shots)
	if err != nil {
		return nil, err
	}
	trials := make([]probe.Trial, len(shots))
	for i, shot := range shots {
		if trials[i], err = s.trial(shot, results[i]); err != nil {
			return nil, err
		}
	}
	return trials, ctx.Err()
}

// trial puts a row together with its prediction.
func (s *scene) trial(shot probe.Shot, r probe.Result) (probe.Trial, error) {
	in, ok := s.paths[shot.Path]
	if !ok {
		in = s.in
	}
	sentAs := shot.Request
	if s.wget != "" {
		sentAs.Headers = append(s.wget.Adds(), sentAs.Headers...)
	}
	in.Method, in.Path, in.Headers, in.Protocol = sentAs.Method, sentAs.Path, sentAs.Headers, sentAs.Protocol
	switch {
	case s.o.at != 0:
		in.Time, in.Clock = s.o.at, "--at"
	case r.At != 0:
		in.Time = r.At
	default:
		in.Time = s.o.app.Now().Unix()
	}
	d, err := diagnose.Run(in, s.snap)
	if err != nil {
		return probe.Trial{}, portMeant(notThere(err, s.planes))
	}
	notePlanes(d, s.planes, s.got, in)
	snap := s.snap
	return probe.Trial{Shot: shot, Result: r, Diagnosis: d, Question: observe.Question{
		Intent: in, Way: s.wayOf(d),
		Ask: func(in diagnose.Intent) (*diagnose.Diagnosis, error) { return diagnose.Run(in, snap) },
	}}, nil
}

// pushTime is how long a change may be on its way.
const pushTime = time.Second

// lookAgain reads everything anew and sends again what differs: a change may have been on
// its way to the proxies.
func (s *scene) lookAgain(ctx context.Context, trials []probe.Trial) error {
	var at []int
	var shots []probe.Shot
	for i, t := range trials {
		if t.Differs() {
			at, shots = append(at, i), append(shots, t.Shot)
		}
	}
	if len(at) == 0 {
		return nil
	}
	s.o.app.note(fmt.Sprintf("%s not as predicted: reading everything anew, and sending once more", rowsAre(len(at))))
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(pushTime):
	}
	if err := s.read(ctx); err != nil {
		return err
	}
	again, err := s.try(ctx, shots)
	if err != nil {
		return err
	}
	for k, i := range at {
		trials[i].Again = &again[k]
	}
	return nil
}

func rowsAre(n int) string {
	if n == 1 {
		return "1 answer is"
	}
	return strconv.Itoa(n) + " answers are"
}

// wireOf is a row as it is sent.
func (s *scene) wireOf(shot probe.Shot) wire.Request {
	r := shot.Request
	return wire.Request{
		Method: r.Method, TLS: s.o.base.https, Address: s.url, ConnectTo: s.address, Host: r.Authority, Target: r.Path, Headers: r.Headers,
		HTTP2: r.Protocol == envoy.HTTP2, Insecure: s.pin != "", Pin: s.pin, MaxTime: s.o.flags.maxTime,
	}
}

// send sends the requests from where they are to come from.
func (s *scene) send(ctx context.Context, shots []probe.Shot) ([]probe.Result, error) {
	var requests []wire.Request
	for _, shot := range shots {
		requests = append(requests, s.wireOf(shot))
	}
	limited, cancel := context.WithTimeout(ctx, s.o.flags.timeout)
	defer cancel()
	m := s.o.app.newMeter(len(requests))
	defer m.end()
	if s.o.local {
		return s.sendLocal(limited, requests, m)
	}
	sender := s.newSender(m)
	sent, err := sender.Send(limited, requests)
	var none *probe.NoClientError
	if errors.As(err, &none) && s.o.flags.image != "" && s.image == "" {
		m.end()
		if err := s.addContainer(ctx); err != nil {
			return nil, err
		}
		sent, err = s.newSender(m).Send(limited, requests)
	}
	if err != nil {
		return nil, err
	}
	s.client, s.wget = sent.Client, sent.Wget
	return sent.Results, ctx.Err()
}

func (s *scene) newSender(m *meter) *probe.Sender {
	p := s.sender
	return &probe.Sender{
		Executor: podExecutor{s.planes.Data, p.namespace, p.name, p.container}, Mark: newMark, Keep: keepBody, Rate: s.o.flags.rate,
		CurlOnly: s.o.flags.image != "", Say: s.o.app.note, Done: m.add, Now: func() int64 { return s.o.app.Now().Unix() },
	}
}

// newMark is a word that nobody can guess.
func newMark() string {
	b := make([]byte, 16)
	_, _ = rand.Read(b) // it never fails
	return hex.EncodeToString(b)
}

// podExecutor runs commands in a container.
type podExecutor struct {
	cluster                   *kube.Cluster
	namespace, pod, container string
}

// Exec implements probe.Executor.
func (e podExecutor) Exec(ctx context.Context, argv []string, stdin io.Reader, stdout, stderr io.Writer) error {
	return e.cluster.Exec(ctx, e.namespace, e.pod, e.container, argv, stdin, stdout, stderr)
}

// sendLocal sends from this machine, one request after the other.
func (s *scene) sendLocal(ctx context.Context, requests []wire.Request, m *meter) ([]probe.Result, error) {
	roots, err := s.o.roots()
	if err != nil {
		return nil, err
	}
	s.client = "this program"
	tick := time.NewTicker(time.Second / time.Duration(s.o.flags.rate))
	defer tick.Stop()
	out := make([]probe.Result, len(requests))
	for i, r := range requests {
		if i > 0 {
			select {
			case <-ctx.Done():
			case <-tick.C:
			}
		}
		switch {
		case errors.Is(ctx.Err(), context.DeadlineExceeded):
			out[i].Unsent = probe.OutOfTime
			continue
		case ctx.Err() != nil:
			return nil, ctx.Err()
		}
		reply := fetch.Send(ctx, r, roots, keepBody)
		out[i] = probe.Result{Reply: &reply, At: s.o.app.Now().Unix()}
		m.add(1)
	}
	if errors.Is(ctx.Err(), context.Canceled) {
		return nil, ctx.Err()
	}
	return out, nil
}

// margin is how much longer than the requests an ephemeral container lives.
const margin = 30 * time.Second

// addContainer puts an ephemeral container into the pod, and has it send.
func (s *scene) addContainer(ctx context.Context) error {
	lives := int((s.o.flags.timeout*2 + margin).Seconds()) // there may be a second look
	e := kube.Ephemeral{Name: "asmjwt-probe-" + newMark()[:6], Image: s.o.flags.image, Command: []string{"sleep", strconv.Itoa(lives)}}
	s.o.app.note(fmt.Sprintf("curl is not in container %s: adding the ephemeral container %s (%s) to pod %s/%s; it ends by itself after %d s and stays listed there",
		s.sender.container, e.Name, e.Image, s.sender.namespace, s.sender.name, lives))
	const pull = time.Minute
	ctx, cancel := context.WithTimeout(ctx, pull)
	defer cancel()
	if err := s.planes.Data.AddEphemeral(ctx, s.sender.namespace, s.sender.name, e); err != nil {
		return err
	}
	s.sender.container, s.sender.pastItself, s.image = e.Name, false, e.Image
	s.podCaller()
	return nil
}

// meter shows on a terminal how far it is.
type meter struct {
	app      *app
	mu       sync.Mutex
	all, now int
	shown    bool
}

func (a *app) newMeter(all int) *meter { return &meter{app: a, all: all} }

func (m *meter) add(n int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.now += n; m.app.ErrIsTerminal {
		m.shown = true
		_, _ = fmt.Fprintf(m.app.Err, "\rsent %d of %d", m.now, m.all) // there is nobody else to tell
	}
}

// end takes the line away.
func (m *meter) end() {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.shown {
		_, _ = fmt.Fprint(m.app.Err, "\r\033[K")
		m.shown = false
	}
}
