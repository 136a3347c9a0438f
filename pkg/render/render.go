// Package render prints a diagnosis: as JSON, as YAML, and as text for a person
// who is tired. The value is the same; no form is made from another.
//
// It is an edge: it imports pkg/diagnose and the core's words, never another edge.
// Only pkg/cmd imports it.
package render

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/asmjwt/kubectl-asmjwt/pkg/diagnose"
)

// JSON writes an answer as an indented JSON document.
func JSON(w io.Writer, answer any) error {
	out, err := marshal(answer)
	if err != nil {
		return err
	}
	if _, err := w.Write(out); err != nil {
		return fmt.Errorf("write JSON: %w", err)
	}
	return nil
}

// ForPrograms prints an answer in a form that programs read, "json" or "yaml"; any other
// form is left to the caller, and done is false.
func ForPrograms(w io.Writer, form string, answer any) (done bool, err error) {
	switch form {
	case "json":
		return true, JSON(w, answer)
	case "yaml":
		return true, YAML(w, answer)
	}
	return false, nil
}

// marshal makes JSON of which every character is one that a terminal shows: what
// strangers wrote may be in it, and what does not print is escaped.
func marshal(answer any) ([]byte, error) {
	var plain bytes.Buffer
	enc := json.NewEncoder(&plain)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(complete(answer)); err != nil {
		return nil, fmt.Errorf("write JSON: %w", err)
	}
	var out bytes.Buffer
	for _, r := range plain.String() {
		if r < utf8.RuneSelf && r != 0x7f || unicode.IsPrint(r) {
			out.WriteRune(r)
			continue
		}
		for _, unit := range utf16.Encode([]rune{r}) {
			fmt.Fprintf(&out, `\u%04x`, unit)
		}
	}
	return out.Bytes(), nil
}

// complete is an answer in which every list of the contract is there.
func complete(answer any) any {
	switch a := answer.(type) {
	case *diagnose.Diagnosis:
		return normal(a)
	case *diagnose.List:
		out := *a
		out.Items = make([]*diagnose.Diagnosis, len(a.Items))
		for i, d := range a.Items {
			out.Items[i] = normal(d)
		}
		return &out
	}
	return answer
}

// normal gives the lists of the contract that are always there an empty value:
// scripts count them.
func normal(d *diagnose.Diagnosis) *diagnose.Diagnosis {
	out := *d
	if out.Trace == nil {
		out.Trace = []diagnose.Step{}
	}
	if out.Findings == nil {
		out.Findings = []diagnose.Finding{}
	}
	if out.Fixes == nil {
		out.Fixes = []diagnose.Fix{}
	}
	if out.Assumed == nil {
		out.Assumed = []diagnose.Assumption{}
	}
	if out.Gaps == nil {
		out.Gaps = []diagnose.Gap{}
	}
	return &out
}
