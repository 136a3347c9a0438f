package conformance

import (
	"context"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/asmjwt/kubectl-asmjwt/internal/testkit/judge"
	"github.com/asmjwt/kubectl-asmjwt/internal/testkit/mint"
	"github.com/asmjwt/kubectl-asmjwt/internal/testkit/tcases"
	"github.com/asmjwt/kubectl-asmjwt/test/conformance/run"
)

var update = flag.Bool("update", false, "write Envoy's answers to the cases of the specification")

// envoyVersion is the one that make installs.
const envoyVersion = "1.40.0"

// Envoy's answers to the specification's cases are those that are committed, they
// are those that the specification names, and the evaluator gives the same.
func TestCasesOfTheSpecification(t *testing.T) {
	rows := tcases.All()
	cases := make([]judge.Case, len(rows))
	for i := range rows {
		cases[i] = rows[i].Case
	}
	answers, minted, err := run.Run(context.Background(), cases, run.Options{Sign: mint.Sign})
	if err != nil {
		t.Fatal(err)
	}
	version, recorded, err := tcases.Answers()
	if err != nil {
		t.Fatal(err)
	}
	if !*update && version != envoyVersion {
		t.Fatalf("the answers were recorded with Envoy %s, this is %s: run with -update", version, envoyVersion)
	}
	fresh := map[string]judge.Answer{}
	for i, row := range rows {
		a := lasting(answers[i])
		fresh[row.Name] = a
		for _, d := range row.Expect.Check(answers[i]) {
			t.Errorf("%s: Envoy disagrees with the specification: %s", row.Name, d)
		}
		if was, ok := recorded[row.Name]; !*update && (!ok || !reflect.DeepEqual(normal(t, was), normal(t, a))) {
			t.Errorf("%s: Envoy's answer is not the one that is committed", row.Name)
		}
		if row.Needs == tcases.NeedsExtAuthz {
			continue // what an external authorizer answers is not known to the evaluator
		}
		p, err := judge.Predict(row.Case, minted[i])
		if err != nil {
			t.Errorf("%s: %v", row.Name, err)
			continue
		}
		if diff := judge.Compare(p, answers[i]); len(diff) > 0 {
			t.Errorf("%s: the evaluator differs from Envoy: %s", row.Name, strings.Join(diff, "; "))
		}
	}
	if *update {
		file := filepath.Join("..", "..", tcases.AnswersFile)
		if err := tcases.WriteAnswers(file, envoyVersion, fresh); err != nil {
			t.Fatal(err)
		}
		if _, err := os.Stat(file); err != nil {
			t.Fatal(err)
		}
	}
}

// lasting is an answer without what differs from one run to the next: the time,
// tokens that are minted anew, addresses and random identifiers.
func lasting(a judge.Answer) judge.Answer {
	a.Time, a.WWWAuthenticate = 0, strings.Join(strings.Fields(a.WWWAuthenticate), " ")
	if strings.Contains(a.WWWAuthenticate, "=ey") {
		a.WWWAuthenticate = "with a token in the path"
	}
	if a.Upstream != nil {
		u := *a.Upstream
		if strings.Contains(u.Path, "=ey") {
			u.Path = "with a token"
		}
		u.Headers = nil
		for _, h := range a.Upstream.Headers {
			switch h.Name {
			case "authorization", "cookie", "x-request-id", "x-forwarded-client-cert", "x-forwarded-for":
				h.Value = "present"
			}
			if strings.Contains(h.Value, "ey") && strings.Count(h.Value, ".") >= 2 {
				h.Value = "present"
			}
			u.Headers = append(u.Headers, h)
		}
		a.Upstream = &u
	}
	return a
}

// normal is an answer as it is after it was written and read.
func normal(t *testing.T, a judge.Answer) judge.Answer {
	t.Helper()
	text, err := json.Marshal(a)
	if err != nil {
		t.Fatal(err)
	}
	var out judge.Answer
	if err := json.Unmarshal(text, &out); err != nil {
		t.Fatal(err)
	}
	return out
}
