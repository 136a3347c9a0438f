// Command assets writes what is generated of the command line: shell completions into
// DIR/completions, man pages into DIR/man, and the reference into DIR/reference.
//
//	go run ./internal/assets DIR
package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/cobra/doc"

	"github.com/asmjwt/kubectl-asmjwt/pkg/cmd"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: assets DIR")
		os.Exit(2)
	}
	if err := write(os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(1)
	}
}

func write(dir string) error {
	root := cmd.Command("kubectl asmjwt")
	return errors.Join(completions(root, filepath.Join(dir, "completions")), man(root, filepath.Join(dir, "man")), Reference(root, filepath.Join(dir, "reference")))
}

func completions(root *cobra.Command, dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	for shell, name := range cmd.CompletionFiles() {
		if err := writeFile(filepath.Join(dir, name), func(f *os.File) error { return cmd.WriteCompletion(root, shell, f) }); err != nil {
			return err
		}
	}
	return os.Chmod(filepath.Join(dir, "kubectl_complete-asmjwt"), 0o755)
}

func writeFile(name string, write func(*os.File) error) error {
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	return errors.Join(write(f), f.Close())
}

func man(root *cobra.Command, dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	at := time.Unix(0, 0).UTC() // no date: two builds of one commit are the same
	return doc.GenManTree(root, &doc.GenManHeader{Section: "1", Source: "kubectl-asmjwt", Date: &at}, dir)
}

// Reference writes a page for each command.
func Reference(root *cobra.Command, dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	return doc.GenMarkdownTree(root, dir)
}
