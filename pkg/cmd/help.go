package cmd

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// commandGroups are the headings below which the first screen lists the commands; one
// that is not here comes at the end.
var commandGroups = []struct {
	title    string
	commands []string
}{
	{"Ask", []string{"why", "probe", "jwks", "doctor", "explain"}},
	{"Write", []string{"scaffold"}},
}

// newOptionsCommand lists what every command takes, as kubectl's command of that name does.
func newOptionsCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:    "options",
		Short:  "List the flags that every command takes",
		Hidden: true,
		Args:   noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			_, err := fmt.Fprintf(a.Out, "These flags go with every command:\n\n%s", flagUsages(cmd.InheritedFlags(), a.columns()))
			return err
		},
	}
}

// newHelpCommand is "help COMMAND", which refuses what is no command.
func newHelpCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "help [COMMAND]",
		Short: "Tell more of a command",
		ValidArgsFunction: func(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
			return commandNames(cmd.Root(), args), cobra.ShellCompDirectiveNoFileComp
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			found, rest, err := cmd.Root().Find(args)
			if err != nil || len(rest) > 0 {
				return noSuchCommand(cmd.Root(), args)
			}
			return found.Help()
		},
	}
}

// commandNames are the commands below the one that the words lead to.
func commandNames(root *cobra.Command, words []string) []string {
	found, rest, err := root.Find(words)
	if err != nil || len(rest) > 0 {
		return nil
	}
	var out []string
	for _, c := range found.Commands() {
		if c.IsAvailableCommand() {
			out = append(out, c.Name()+"\t"+c.Short)
		}
	}
	return out
}

// setHelp has help fit the terminal, and leave kubectl's own flags to the command options.
func setHelp(a *app, root *cobra.Command) {
	root.SetHelpFunc(func(cmd *cobra.Command, _ []string) {
		_, _ = io.WriteString(cmd.OutOrStdout(), help(cmd, a.columns())) // there is nobody else to tell
	})
	root.SetUsageFunc(func(cmd *cobra.Command) error {
		_, err := io.WriteString(cmd.OutOrStderr(), usageOf(cmd, a.columns()))
		return err
	})
}

// help is what a command is for, and how it is used.
func help(cmd *cobra.Command, columns int) string {
	about := cmd.Long
	if about == "" {
		about = cmd.Short + "."
	}
	return filled(about, columns) + "\n" + usageOf(cmd, columns)
}

func usageOf(cmd *cobra.Command, columns int) string {
	var out strings.Builder
	program := cmd.Root().CommandPath()
	if cmd.HasAvailableSubCommands() {
		listCommands(&out, cmd)
	} else {
		fmt.Fprintf(&out, "Usage:\n  %s\n", cmd.UseLine())
	}
	if cmd.Example != "" {
		fmt.Fprintf(&out, "\nExamples:\n%s\n", cmd.Example)
	}
	switch flags := flagUsages(cmd.LocalFlags(), columns); {
	case cmd == cmd.Root():
		out.WriteString("\n" + filled(fmt.Sprintf("More of a command: %s COMMAND --help. The flags that every command takes, kubectl's own and -m for a mesh with its own API server: %s options.", program, program), columns))
	case flags != "":
		fmt.Fprintf(&out, "\nFlags:\n%s\n%s", flags, filled(fmt.Sprintf("The flags that every command takes, kubectl's own (-n, --context, --kubeconfig …) and -m for a mesh with its own API server: %s options.", program), columns))
	}
	return out.String()
}

// listCommands lists what can be run below a command, under headings if it is the root.
func listCommands(out *strings.Builder, cmd *cobra.Command) {
	var left []*cobra.Command
	width := 0
	for _, c := range cmd.Commands() {
		if c.IsAvailableCommand() {
			left = append(left, c)
			width = max(width, len(c.Name()))
		}
	}
	section := func(title string, commands []*cobra.Command) {
		for i, c := range commands {
			if i == 0 {
				out.WriteString(title + ":\n")
			}
			fmt.Fprintf(out, "  %-*s  %s\n", width, c.Name(), c.Short)
		}
	}
	if cmd != cmd.Root() {
		section("Commands", left)
		return
	}
	for _, group := range commandGroups {
		var in []*cobra.Command
		for _, name := range group.commands {
			if i := slices.IndexFunc(left, func(c *cobra.Command) bool { return c.Name() == name }); i >= 0 {
				in = append(in, left[i])
				left = slices.Delete(left, i, i+1)
			}
		}
		section(group.title, in)
	}
	section("Other", left)
}

// flagUsages are the flags with what they are for: beside a flag, or below one that is
// too long for that.
func flagUsages(flags *pflag.FlagSet, columns int) string {
	column := 27
	if columns < 60 {
		column = 10
	}
	var out strings.Builder
	flags.VisitAll(func(f *pflag.Flag) {
		one := pflag.NewFlagSet("", pflag.ContinueOnError)
		one.AddFlag(f)
		// pflag knows how a flag and its default are written; three blanks are between them.
		line := strings.TrimRight(one.FlagUsages(), "\n")
		text := strings.TrimLeft(line, " ")
		if text == "" {
			return // hidden
		}
		indent := line[:len(line)-len(text)]
		name, text, _ := strings.Cut(text, "   ")
		name = indent + name
		lines := strings.Split(strings.TrimRight(filled(strings.TrimLeft(text, " "), max(columns-column, 20)), "\n"), "\n")
		if utf8.RuneCountInString(name) > column-2 {
			out.WriteString(name + "\n")
			name = ""
		}
		for _, l := range lines {
			fmt.Fprintf(&out, "%-*s%s\n", column, name, l)
			name = ""
		}
	})
	return out.String()
}

// filled breaks paragraphs anew for a width; lines that are indented stay as they are.
func filled(text string, columns int) string {
	var out strings.Builder
	used := 0
	end := func() {
		if used > 0 {
			out.WriteByte('\n')
		}
		used = 0
	}
	for line := range strings.SplitSeq(strings.TrimSpace(text), "\n") {
		if line == "" || strings.HasPrefix(line, " ") {
			end()
			out.WriteString(line + "\n")
			continue
		}
		for word := range strings.FieldsSeq(line) {
			n := utf8.RuneCountInString(word)
			if used > 0 && used+1+n > columns {
				end()
			}
			if used > 0 {
				out.WriteByte(' ')
				used++
			}
			out.WriteString(word)
			used += n
		}
	}
	end()
	return out.String()
}
