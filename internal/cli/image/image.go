// Package image is the commands about images of galleries: import, export.
//
// It owns their flags and what they print. How a server is found, as whom a command acts, and as what a result is printed, its caller says.
//
//	argv ─▶ command ─▶ client.Import, client.Export or client.Operator, by way of Shell ─▶ Shell.Print
package image

import (
	"context"
	"io"

	"github.com/spf13/cobra"

	"vitrine/internal/client"
)

// Shell is what the commands need of the program around them.
type Shell struct {
	Server   func() (client.Server, error)
	ARM      func(ctx context.Context, who client.Credentials, subscription string) (*client.ARM, error)
	Who      func(c *cobra.Command, who *client.Credentials) // adds the flags that choose the principal
	Print    func(any) error                                 // as -o asks
	PrintTo  func(io.Writer, any) error                      // the same, elsewhere
	Printing func(*cobra.Command) *cobra.Command             // adds -o
	Args     func(n int, what string) cobra.PositionalArgs   // exactly n
	Usage    func(error) error                               // marks a wrong call
	Cut      error                                           // ends the program as one that was interrupted, its message being printed already
	// AsPrincipal says in a help as whom a command acts.
	AsPrincipal string
	In          io.Reader
	Out, Err    io.Writer
}

// Command is the command image, with more commands that stand below it.
func (e *Shell) Command(more ...*cobra.Command) *cobra.Command {
	group := &cobra.Command{Use: "image", Short: "Images of galleries"}
	group.AddCommand(e.importing(), e.exporting())
	group.AddCommand(more...)
	return group
}

func must(c *cobra.Command, flags ...string) {
	for _, f := range flags {
		if err := c.MarkFlagRequired(f); err != nil {
			panic(err) // a flag that was not defined: a slip in this file
		}
	}
}
