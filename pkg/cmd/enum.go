package cmd

import (
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// enum is a flag that takes one of a few words. Value, validation, usage and
// completion come from the one list.
type enum struct {
	value   string
	allowed []string
	// takes tells other values, which the usage calls also; nil: there are none.
	takes func(string) bool
	also  string
}

// String is the value.
func (e *enum) String() string { return e.value }

// Type is shown in the usage.
func (e *enum) Type() string { return strings.Join(e.words(), "|") }

func (e *enum) words() []string {
	if e.takes == nil {
		return e.allowed
	}
	return append(slices.Clip(e.allowed), e.also)
}

// Set takes a value of the list.
func (e *enum) Set(s string) error {
	if !slices.Contains(e.allowed, s) && (e.takes == nil || !e.takes(s)) {
		return fmt.Errorf("choose one of %s", strings.Join(e.words(), ", "))
	}
	e.value = s
	return nil
}

// enumFlag adds a flag for one of the words; the first is the default, unless
// it is to be empty.
func enumFlag(cmd *cobra.Command, name, shorthand, value, usage string, allowed ...string) *enum {
	e := &enum{value: value, allowed: allowed}
	cmd.Flags().VarPF(e, name, shorthand, usage)
	completeWith(cmd, name, oneOf(allowed...))
	return e
}

var _ pflag.Value = (*enum)(nil)
