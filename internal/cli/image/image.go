// Package image is the commands about images of galleries: import, export, collect.
//
// It owns their flags and what they print. How a server is found, as whom a command acts, and as what a result is printed, its caller says.
//
//	argv ─▶ command ─▶ client.Import, client.Export or client.Operator, by way of Shell ─▶ Shell.Print
package image

import (
	"context"
	"errors"
	"io"
	"time"

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
	// AsPrincipal and AsOperator say in a help as whom a command acts.
	AsPrincipal, AsOperator string
	In                      io.Reader
	Out, Err                io.Writer
}

// Command is the command image.
func (e *Shell) Command() *cobra.Command {
	group := &cobra.Command{Use: "image", Short: "Images of galleries"}
	group.AddCommand(e.importing(), e.exporting(), e.collecting())
	return group
}

func (e *Shell) collecting() *cobra.Command {
	grace := time.Hour
	c := &cobra.Command{
		Use: "collect", Short: "Free image bytes that nothing names any more",
		Long: `collect does at once what the server does every hour: it deletes the bytes of image versions and disks that are gone, in every
region. What is younger than --grace stays, since an import that is under way may be about to name it; with --grace 0 such an
import has to be repeated.` + e.AsOperator,
		Example: "  vitrine image collect\n  vitrine image collect --grace 0s -o json", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if grace < 0 {
				return e.Usage(errors.New("--grace must not be negative"))
			}
			server, err := e.Server()
			if err != nil {
				return err
			}
			var out client.Collected
			if err := client.NewOperator(server.Operator).Do(cmd.Context(), "/v1/collect", client.CollectRequest{Grace: int(grace / time.Second)}, &out); err != nil {
				return err
			}
			return e.Print(out)
		},
	}
	c.Flags().DurationVar(&grace, "grace", grace, "how old bytes that nothing names must be")
	return e.Printing(c)
}

func must(c *cobra.Command, flags ...string) {
	for _, f := range flags {
		if err := c.MarkFlagRequired(f); err != nil {
			panic(err) // a flag that was not defined: a slip in this file
		}
	}
}
