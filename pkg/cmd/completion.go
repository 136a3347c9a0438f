package cmd

import (
	"io"

	"github.com/spf13/cobra"
)

// kubectlCompletion is what kubectl 1.26 and later looks for in PATH.
const kubectlCompletion = `#!/usr/bin/env sh
# Completion of "kubectl asmjwt": put this file into your PATH, executable, under the
# name kubectl_complete-asmjwt. kubectl 1.26 and later calls it.
exec kubectl asmjwt __complete "$@"
`

func newCompletionCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "completion bash|zsh|fish|powershell|kubectl",
		Short: "Print a script that completes command lines",
		Long: `Prints a script that completes command lines, for a shell or, as a plugin, for kubectl.

For "kubectl asmjwt", kubectl 1.26 and later looks for a program in PATH:
  mkdir -p ~/.local/bin
  kubectl asmjwt completion kubectl > ~/.local/bin/kubectl_complete-asmjwt
  chmod +x ~/.local/bin/kubectl_complete-asmjwt

kubectl has to complete itself in that shell: source <(kubectl completion bash)

For "kubectl-asmjwt" itself, in bash: source <(kubectl-asmjwt completion bash)`,
		ValidArgs: []string{"bash", "zsh", "fish", "powershell", "kubectl"},
		RunE: func(cmd *cobra.Command, args []string) error {
			const hint = "choose one of bash, zsh, fish, powershell, kubectl"
			if len(args) != 1 {
				return usage(hint, "completion takes the name of a shell")
			}
			return writeCompletion(cmd.Root(), args[0], cmd.OutOrStdout(), hint)
		},
	}
	return cmd
}

// completionFiles are where the scripts are shipped, below completions.
var completionFiles = map[string]string{
	"bash": "kubectl-asmjwt.bash", "zsh": "_kubectl-asmjwt", "fish": "kubectl-asmjwt.fish", "powershell": "kubectl-asmjwt.ps1", "kubectl": "kubectl_complete-asmjwt",
}

func writeCompletion(root *cobra.Command, shell string, out io.Writer, hint string) error {
	switch shell {
	case "bash":
		return root.GenBashCompletionV2(out, true)
	case "zsh":
		return root.GenZshCompletion(out)
	case "fish":
		return root.GenFishCompletion(out, true)
	case "powershell":
		return root.GenPowerShellCompletionWithDesc(out)
	case "kubectl":
		_, err := io.WriteString(out, kubectlCompletion)
		return err
	}
	return usage(hint, "there is no completion for %q", shell)
}
