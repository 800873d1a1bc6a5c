// Package cli is the command line: one file per command, each saying in its help as whom it acts.
//
// It owns flags, output and exit codes. It speaks to a server through package client, except for serve and the hidden
// commands, which are processes of the server itself. Data passes like this:
//
//	argv ─▶ cobra ─▶ command ─▶ client.Operator (Unix socket) or client.ARM (through the proxy, with a token) ─▶ out
package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime/debug"

	"github.com/spf13/cobra"

	"vitrine/internal/cli/access"
	"vitrine/internal/cli/activity"
	"vitrine/internal/cli/image"
	"vitrine/internal/cli/imagestore"
	"vitrine/internal/client"
)

// ExitCode is an error that says how the program ends; its message, if any, was printed already.
type ExitCode int

func (e ExitCode) Error() string { return fmt.Sprintf("exit status %d", int(e)) }

// env is what every command works with.
type env struct {
	data     string
	in       io.Reader
	out, err io.Writer
	format   string // "json" or "table"
}

// Main runs the command line and returns the exit code: 0, 1 for a failure, 2 for a wrong call.
func Main(ctx context.Context, args []string, in io.Reader, out, errOut io.Writer) int {
	e := &env{in: in, out: out, err: errOut}
	root := e.root()
	root.SetArgs(args)
	root.SetIn(in)
	root.SetOut(out)
	root.SetErr(errOut)
	err := root.ExecuteContext(ctx)
	var code ExitCode
	switch {
	case err == nil:
		return 0
	case errors.As(err, &code):
		return int(code)
	}
	fmt.Fprintln(errOut, "vitrine:", err)
	if errors.As(err, new(usageError)) {
		return 2
	}
	return 1
}

// usageError is a call with wrong words.
type usageError struct{ error }

func (u usageError) Unwrap() error { return u.error }

func (e *env) root() *cobra.Command {
	root := &cobra.Command{
		Use:   "vitrine",
		Short: "A VM image gallery that organisations share, driven by the tools of Azure",
		Long: `Vitrine is a VM image gallery that several organisations share. It speaks Azure's own wire protocol, so that an
unmodified az, Terraform or SDK drives it, and its machines really boot, under QEMU.`,
		Example: `  vitrine serve &
  vitrine tenant create contoso -o json
  eval "$(vitrine env)"
  az login --service-principal -u APP_ID -p PASSWORD --tenant TENANT_ID
  vitrine demo`,
		Version:       version(),
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usageError{err} })
	root.PersistentFlags().StringVar(&e.data, "data", defaultData(), "the data folder")
	root.AddGroup(&cobra.Group{ID: "server", Title: "Server:"}, &cobra.Group{ID: "operator", Title: "Operator's acts:"}, &cobra.Group{ID: "use", Title: "Using it:"})
	add := func(group string, commands ...*cobra.Command) {
		for _, c := range commands {
			c.GroupID = group
			root.AddCommand(c)
		}
	}
	add("server", e.serve(), e.doctor(), e.ca())
	add("operator", e.tenant(), e.subscription(), e.user(), e.app(), e.role(), e.access().Why(), e.access().WhoCan(), e.token(), e.activity().Command(), e.imagestore().Key())
	add("use", e.env(), e.exec(), e.image().Command(e.imagestore().Collect(), e.imagestore().Bytes(), e.imagestore().Scrub()), e.vm(), e.access().SharedWithMe(), e.demo())
	root.AddCommand(e.supervise(), e.netstack(), e.nbd())
	return root
}

// printing adds -o to a command that prints a thing.
func (e *env) printing(c *cobra.Command) *cobra.Command {
	c.Flags().StringVarP(&e.format, "output", "o", "table", "json or table")
	c.PreRunE = func(*cobra.Command, []string) error { return e.checkFormat() } // before anything is made whose secret is shown once
	_ = c.RegisterFlagCompletionFunc("output", cobra.FixedCompletions([]string{"json", "table"}, cobra.ShellCompDirectiveNoFileComp))
	return c
}

func defaultData() string {
	base := os.Getenv("XDG_DATA_HOME")
	if base == "" {
		home, err := os.UserHomeDir()
		if err != nil {
			return "vitrine-data"
		}
		base = filepath.Join(home, ".local", "share")
	}
	return filepath.Join(base, "vitrine")
}

func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" && len(s.Value) >= 12 {
			return s.Value[:12]
		}
	}
	return "development"
}

// activity is what the commands of the activity log work with.
func (e *env) imagestore() *imagestore.Shell {
	return &imagestore.Shell{Operator: e.operator, Print: e.print, Printing: e.printing, JSON: func() bool { return e.format == "json" },
		Tenant: func(what string) cobra.PositionalArgs { return exactly(1, what) }, Usage: func(err error) error { return usageError{err} }}
}

func (e *env) activity() *activity.Shell {
	return &activity.Shell{Operator: e.operator, Print: e.print, Out: e.out, Printing: e.printing}
}

// image is what the commands about images work with.
func (e *env) image() *image.Shell {
	return &image.Shell{Server: e.server, Print: e.print, PrintTo: e.printTo, Printing: e.printing, Args: exactly, In: e.in, Out: e.out, Err: e.err,
		ARM: e.arm, Who: credentialFlags, AsPrincipal: asPrincipal,
		Usage: func(err error) error { return usageError{err} }, Cut: ExitCode(130)}
}

// access is what the commands about rights work with.
func (e *env) access() *access.Shell {
	return &access.Shell{Server: e.server, Print: e.print, JSON: func() bool { return e.format == "json" }, Out: e.out, Printing: e.printing,
		Usage: func(err error) error { return usageError{err} }, Refused: ExitCode(1)}
}

// server finds the running server, and operator its socket.
func (e *env) server() (client.Server, error) { return client.ReadServer(e.data) }

func (e *env) operator() (*client.Operator, error) {
	s, err := e.server()
	if err != nil {
		return nil, err
	}
	return client.NewOperator(s.Operator), nil
}

// post sends an operator's act and prints what came of it.
func post[T any](ctx context.Context, e *env, path string, in any) error {
	o, err := e.operator()
	if err != nil {
		return err
	}
	var out T
	if err := o.Do(ctx, path, in, &out); err != nil {
		return err
	}
	return e.print(out)
}
