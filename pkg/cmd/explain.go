package cmd

import (
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/asmjwt/kubectl-asmjwt/internal/lazyregexp"
	"github.com/asmjwt/kubectl-asmjwt/pkg/diag"
	"github.com/asmjwt/kubectl-asmjwt/pkg/diagnose"
)

// newExplainCommand prints the page of a code, or the list of all codes.
func newExplainCommand(a *app) *cobra.Command {
	name := displayName(a.Name)
	return &cobra.Command{
		Use:   "explain [CODE | ANSWER]",
		Short: "Print what a code such as AJ0303 means and what to do",
		Example: fmt.Sprintf(`  # What does the code in the answer mean?
  %[1]s explain AJ0303

  # What can be behind an answer?
  %[1]s explain 'Jwt issuer is not configured'
  %[1]s explain 403

  # All codes
  %[1]s explain`, name),
		ValidArgsFunction: completeCode,
		RunE: func(_ *cobra.Command, args []string) error {
			text, err := explanation(args, name)
			if err != nil {
				return err
			}
			_, err = io.WriteString(a.Out, text)
			return err
		},
	}
}

// codeLoosely is a code as people type it: aj0303, AJ303.
var codeLoosely = lazyregexp.New(`^(?i:aj)0?(\d{3})$`)

// explanation is the page of the code that is given, or a line for each code: of all, or
// of what may be behind an answer that was seen.
func explanation(args []string, name string) (string, error) {
	if len(args) == 0 {
		return titles(diag.Codes()) + pageOf(name), nil
	}
	words := strings.Join(args, " ")
	code := diag.Code(strings.ToUpper(words))
	if m := codeLoosely.FindStringSubmatch(words); m != nil {
		code = diag.Code("AJ0" + m[1])
	}
	if page := code.Page(); page != "" {
		return page, nil
	}
	switch codes := diagnose.CodesOf(words); len(codes) {
	case 0:
		return "", usage("explain without a code lists them all", "%q is no code%s, and no words of a proxy's answer", words, sameKind(code))
	case 1:
		return codes[0].Page(), nil
	default:
		head := "What may be behind it:\n"
		if passes.MatchString(words) {
			head = "Why a request may pass that is meant to be refused:\n"
		}
		return head + titles(codes) + pageOf(name), nil
	}
}

// passes is an answer that is no denial.
var passes = lazyregexp.New(`^(?i:HTTP/[0-9.]+ |HTTP )?200\b`)

func pageOf(name string) string { return "\nThe page of one: " + name + " explain CODE\n" }

func titles(codes []diag.Code) string {
	var out strings.Builder
	for _, c := range codes {
		fmt.Fprintf(&out, "%s  %s\n", c, c.Title())
	}
	return out.String()
}

// sameKind names the codes that begin as an unknown one does.
func sameKind(code diag.Code) string {
	const prefix = len("AJ01")
	if len(code) < prefix {
		return ""
	}
	var near []string
	for _, c := range diag.Codes() {
		if c[:prefix] == code[:prefix] {
			near = append(near, string(c))
		}
	}
	if len(near) == 0 {
		return ""
	}
	return "; those of its kind are " + near[0] + " to " + near[len(near)-1]
}

func completeCode(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	var out []string
	for _, c := range diag.Codes() {
		out = append(out, string(c)+"\t"+c.Title())
	}
	return out, cobra.ShellCompDirectiveNoFileComp
}
