package diagnose_test

import (
	"fmt"
	"testing"

	"github.com/asmjwt/kubectl-asmjwt/internal/testkit/judge"
	"github.com/asmjwt/kubectl-asmjwt/internal/testkit/mint"
	"github.com/asmjwt/kubectl-asmjwt/internal/testkit/tcases"
)

const fixedNow = 1_800_000_000

// sent is a request as a client would have sent it at a fixed time.
func sent(t *testing.T, c judge.Case) judge.Minted {
	t.Helper()
	r, err := c.Request.Mint(fixedNow, mint.Sign)
	if err != nil {
		t.Fatal(err)
	}
	source := c.Request.Client.Source
	if source == "" {
		source = "127.0.0.1"
	}
	return judge.Minted{Time: fixedNow, Request: r, Source: source + ":40000", Destination: fmt.Sprintf("127.1.2.3:%d", c.Port)}
}

// The rows of the specification are what Envoy 1.40.0 answered; the evaluator
// gives the same answers.
func TestEveryCaseOfTheSpecificationIsAnsweredAsEnvoyAnsweredIt(t *testing.T) {
	for _, c := range tcases.All() {
		t.Run(c.Name, func(t *testing.T) {
			if c.Needs == tcases.NeedsExtAuthz {
				t.Skipf("needs %s", c.Needs)
			}
			p, err := judge.Predict(c.Case, sent(t, c.Case))
			if err != nil {
				t.Fatal(err)
			}
			if len(p.Undetermined) > 0 {
				t.Fatalf("undetermined: %v", p.Undetermined)
			}
			for _, d := range c.Expect.Check(p.Answer) {
				t.Error(d)
			}
		})
	}
}
