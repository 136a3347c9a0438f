package tcases

import (
	_ "embed" // the answers
	"encoding/json"
	"fmt"
	"os"

	"github.com/asmjwt/kubectl-asmjwt/internal/testkit/judge"
)

// AnswersFile is where the answers are, below the root of the module.
const AnswersFile = "internal/testkit/tcases/testdata/answers.json"

//go:embed testdata/answers.json
var answers []byte

// recorded is the form of the file. The keys of Answers are names of cases.
type recorded struct {
	// Envoy is the version that gave the answers; empty where none has.
	Envoy   string                  `json:"envoy"`
	Answers map[string]judge.Answer `json:"answers"`
}

// Answers are Envoy's answers to the cases, by name, with the version that gave
// them. A case that is not among them has not been run.
func Answers() (version string, byName map[string]judge.Answer, err error) {
	return parseAnswers(answers)
}

func parseAnswers(text []byte) (string, map[string]judge.Answer, error) {
	var r recorded
	if err := json.Unmarshal(text, &r); err != nil {
		return "", nil, fmt.Errorf("read the recorded answers: %w", err)
	}
	if r.Answers == nil {
		r.Answers = map[string]judge.Answer{}
	}
	return r.Envoy, r.Answers, nil
}

// WriteAnswers writes the answers to file, which is AnswersFile of a checkout.
func WriteAnswers(file, version string, byName map[string]judge.Answer) error {
	text, err := json.MarshalIndent(recorded{Envoy: version, Answers: byName}, "", " ")
	if err != nil {
		return fmt.Errorf("write the answers: %w", err)
	}
	return os.WriteFile(file, append(text, '\n'), 0o644)
}
