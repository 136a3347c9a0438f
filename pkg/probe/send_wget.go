package probe

import (
	"context"
	"errors"
	"io"
	"strings"
	"time"

	"github.com/asmjwt/kubectl-asmjwt/pkg/probe/wire"
)

// wget finds out which wget there is, and sends with it what it can send.
func (s *Sender) wget(ctx context.Context, requests []wire.Request, out *Sent) error {
	var said limited
	err := s.Executor.Exec(ctx, wire.WgetVersionArgv(), nil, &said, &said)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	which, ok := wire.WhichWget(said.String())
	if !ok {
		out.Client = ""
		if exitCode(err) == 0 && err != nil && !wire.NotInstalled(0, errorText(err)) {
			return err
		}
		return &NoClientError{Tried: []string{"no curl", "no wget"}}
	}
	out.Client, out.Wget = string(which), which
	s.Say("sending with " + string(which) + ", which " + which.Cannot())
	tick := time.NewTicker(time.Second / time.Duration(s.Rate))
	defer tick.Stop()
	sent := 0
	for i, r := range requests {
		argv, stdin, err := which.Argv(r)
		if err != nil {
			out.Results[i].Unsent = err.Error()
			s.Done(1)
			continue
		}
		if sent++; sent > 1 {
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-tick.C:
			}
		}
		reply, err := s.one(ctx, which, argv, stdin, r)
		if err != nil {
			return err
		}
		out.Results[i] = Result{Reply: reply, At: s.Now()}
		s.Done(1)
	}
	return nil
}

// one sends one request with a wget.
func (s *Sender) one(ctx context.Context, which wire.Wget, argv []string, stdin string, r wire.Request) (*wire.Reply, error) {
	limitedTime, cancel := context.WithTimeout(ctx, r.MaxTime+patience)
	defer cancel()
	var stdout, stderr limited
	err := s.Executor.Exec(limitedTime, argv, reader(stdin), &stdout, &stderr)
	code := exitCode(err)
	switch {
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case err != nil && code == 0 && !errors.Is(err, context.DeadlineExceeded):
		return nil, err
	}
	reply := which.Read(code, stdout.String(), stderr.String(), s.Keep)
	return &reply, nil
}

// reader is standard input; nil where there is nothing to say.
func reader(text string) io.Reader {
	if text == "" {
		return nil
	}
	return strings.NewReader(text)
}
