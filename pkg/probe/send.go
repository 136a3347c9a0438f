package probe

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/asmjwt/kubectl-asmjwt/pkg/probe/wire"
)

// Executor runs a command where the requests are to come from, and returns when it has
// ended. A command that ends with another code than 0 is an error with ExitCode() int;
// other errors are of the way there.
type Executor interface {
	Exec(ctx context.Context, argv []string, stdin io.Reader, stdout, stderr io.Writer) error
}

// Sender sends requests with the client that a container has.
type Sender struct {
	Executor Executor
	// Mark makes the word that ends each answer, another one for each command.
	Mark func() string
	// Keep is how many bytes of a body are kept.
	Keep int
	// Rate is how many requests a second are sent, at most.
	Rate int
	// Say tells what is tried, one line each, and Done how many requests are through.
	Say  func(line string)
	Done func(n int)
	// Now is the time in seconds since the epoch.
	Now func() int64
	// CurlOnly says that no other client will do.
	CurlOnly bool
}

// Result is what came of one request: a reply, or why it was not sent.
type Result struct {
	Reply *wire.Reply
	// At is when the reply was there, seconds since the epoch.
	At int64
	// Unsent is why there is no reply.
	Unsent string
}

// Sent is what came of all requests.
type Sent struct {
	// Client is what sent them: "curl", "GNU wget"; empty: there is none.
	Client  string
	Results []Result
	// Wget is the wget that was used.
	Wget wire.Wget
}

// NoClientError says that a container has nothing to send requests with.
type NoClientError struct{ Tried []string }

// Error lists what was tried.
func (e *NoClientError) Error() string {
	return "the container has nothing to send requests with: " + strings.Join(e.Tried, ", ")
}

// HintLine is what to do next.
func (e *NoClientError) HintLine() string {
	return "send from another container with -c or another pod with --from; or let an ephemeral container do it: --image IMAGE, one with curl and sleep in it"
}

// Unavailable tells this error from those about what a user gave.
func (e *NoClientError) Unavailable() bool { return true }

// OutOfTime is why there is no reply when the time for all was up.
const OutOfTime = "the time for all requests was up before its answer was read (--timeout)"

// transportTries is how often a command is started again that did not get there.
const transportTries = 3

// patience is how much longer than its requests a command may take.
const patience = 10 * time.Second

// Send sends the requests: with curl, many in one command, or with wget, one in each.
// Errors are *NoClientError, the context's own, and those of the way there. Once the
// context's deadline has passed, what is left is unsent.
func (s *Sender) Send(ctx context.Context, requests []wire.Request) (*Sent, error) {
	out := &Sent{Client: "curl", Results: make([]Result, len(requests))}
	err := s.curl(ctx, requests, out.Results)
	var absent *absentError
	if errors.As(err, &absent) && s.CurlOnly {
		return nil, &NoClientError{Tried: []string{"no curl"}}
	}
	if errors.As(err, &absent) {
		s.Say("curl is not in the container; trying wget")
		out.Results = make([]Result, len(requests))
		err = s.wget(ctx, requests, out)
	}
	if !errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return out, err
	}
	for i := range out.Results {
		if out.Results[i].Reply == nil && out.Results[i].Unsent == "" {
			out.Results[i].Unsent = OutOfTime
		}
	}
	return out, nil
}

// absentError says that a program is not there.
type absentError struct{ program, said string }

// Error names the program.
func (e *absentError) Error() string { return e.program + " is not there: " + e.said }

// job is a request with the place for what comes of it.
type job struct {
	wire.Request
	result *Result
}

// curl sends the requests in batches of a second's worth, so that an interrupt leaves
// little behind whatever the other end does.
func (s *Sender) curl(ctx context.Context, requests []wire.Request, results []Result) error {
	var jobs []job
	for i, r := range requests {
		if _, err := wire.CurlConfig([]wire.Request{r}, ""); err != nil {
			results[i].Unsent = err.Error()
			continue
		}
		jobs = append(jobs, job{r, &results[i]})
	}
	for tries := 0; len(jobs) > 0; {
		batch := jobs[:min(s.Rate, len(jobs))]
		if batch[0].HTTP2 {
			batch = batch[:1] // there is no other way to keep curl from using a connection again
		}
		pace := time.After(s.timeFor(len(batch)))
		n, err := s.batch(ctx, batch)
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case n > 0:
			tries = 0
			if broken := err != nil && exitCode(err) == 0; broken && n < len(batch) && !safe(batch[n].Method) {
				batch[n].result.Unsent = "the way to the pod broke, and it may have been sent: " + oneLine(err.Error())
				n++
			}
		case err != nil:
			if tries++; !retriable(err) || tries == transportTries {
				return err
			}
			s.Say(err.Error() + "; once more")
		}
		jobs = jobs[n:]
		if len(jobs) == 0 {
			return nil
		}
		if n < len(batch) {
			pace = time.After(s.timeFor(n))
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-pace:
		}
	}
	return nil
}

// timeFor is the time that so many requests take at the rate.
func (s *Sender) timeFor(n int) time.Duration {
	return time.Duration(n) * time.Second / time.Duration(s.Rate)
}

// safe reports whether a request may be sent again (RFC 9110, section 9.2.1).
func safe(method string) bool {
	switch method {
	case "", "GET", "HEAD", "OPTIONS", "TRACE":
		return true
	}
	return false
}

// retriable reports whether nothing can have been sent for lack of a way there.
func retriable(err error) bool {
	var absent *absentError
	var refused interface{ HintLine() string }
	if exitCode(err) != 0 || errors.As(err, &absent) {
		return false
	}
	return !errors.As(err, &refused) || refused.HintLine() == ""
}

// batch starts curl once, and returns how many of the requests it has dealt with.
func (s *Sender) batch(ctx context.Context, batch []job) (int, error) {
	limit := patience
	var requests []wire.Request
	for _, j := range batch {
		limit += j.MaxTime
		requests = append(requests, j.Request)
	}
	mark := s.Mark()
	config, err := wire.CurlConfig(requests, mark)
	if err != nil {
		return 0, err
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	n := 0
	replies := wire.NewReader(mark, s.Keep, func(r wire.Reply) {
		if n < len(batch) {
			*batch[n].result = Result{Reply: &r, At: s.Now()}
			n++
			s.Done(1)
		}
	})
	var said limited
	err = s.Executor.Exec(ctx, wire.CurlArgv(), strings.NewReader(config), replies, &said)
	code := exitCode(err)
	replies.Finish(code, said.String())
	switch {
	case n > 0:
		return n, err
	case wire.NotInstalled(code, said.String()+errorText(err)):
		return 0, &absentError{"curl", errorText(err)}
	case err == nil:
		return 0, errors.New("curl ended well, and said nothing")
	case code > 0:
		return 0, fmt.Errorf("curl did not begin: %w: %s", err, oneLine(said.String()))
	}
	return 0, err
}

// exitCode is that of the command; 0: it ended well, or it did not get to end.
func exitCode(err error) int {
	var exit interface{ ExitCode() int }
	if errors.As(err, &exit) {
		return exit.ExitCode()
	}
	return 0
}

func errorText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

func oneLine(s string) string {
	const most = 200
	s = strings.Join(strings.Fields(s), " ")
	return s[:min(len(s), most)]
}

// limited keeps the beginning of what is written to it.
type limited struct{ strings.Builder }

// Write takes everything, and keeps 64 KiB of it.
func (l *limited) Write(p []byte) (int, error) {
	const most = 64 << 10
	l.WriteString(string(p[:min(len(p), max(0, most-l.Len()))]))
	return len(p), nil
}
