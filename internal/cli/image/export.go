package image

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"vitrine/internal/arm"
	"vitrine/internal/cli/progress"
	"vitrine/internal/client"
	"vitrine/internal/client/pages"
)

// exportSpec is what image export was asked for.
type exportSpec struct {
	id, file, form, group string
	replace, quiet        bool
	version               arm.ID
	groupID               arm.ID
	who                   client.Credentials
}

func (e *Shell) exporting() *cobra.Command {
	var s exportSpec
	c := &cobra.Command{
		Use: "export VERSION_ID FILE|-", Short: "Write the disk of an image version to a file",
		Long: `export makes a disk of the image version, which copies no byte, reads it by a signed URL, and deletes it. The file is raw, a fixed
VHD or a qcow2; zeros are neither sent nor written. What comes is compared with the checksums of its parts, and with the digest that
'vitrine image import' left on the version. A run that was cut off goes on where it stopped when it is repeated; until the end
the file is called FILE.part. To standard output (-) everything is written in order, and the summary goes to standard error.

It takes the rights to read the image version, and to make, read and delete a disk in the resource group, --disk-group when the
version's own is another's.` + "\n" + e.AsPrincipal,
		Example: `  vitrine image export /subscriptions/S/resourceGroups/images/providers/Microsoft.Compute/galleries/g/images/debian/versions/1.0.0 debian.qcow2 --format qcow2
  vitrine image export ID - | zstd >debian.raw.zst`,
		Args: e.Args(2, "the ID of an image version, and a file or -"),
		RunE: func(cmd *cobra.Command, args []string) error {
			s.id, s.file = args[0], args[1]
			if err := s.check(); err != nil {
				return e.Usage(err)
			}
			return e.exportImage(cmd.Context(), s)
		},
	}
	f := c.Flags()
	f.StringVar(&s.form, "format", "", "raw, vhd (fixed) or qcow2 (default by the end of FILE's name: .vhd, .qcow2, else raw)")
	f.StringVar(&s.group, "disk-group", "", "ID of the resource group for the temporary disk (default the version's)")
	f.BoolVar(&s.replace, "force", false, "replace FILE if it is there")
	f.BoolVarP(&s.quiet, "quiet", "q", false, "no progress")
	_ = c.RegisterFlagCompletionFunc("format", cobra.FixedCompletions([]string{"raw", "vhd", "qcow2"}, cobra.ShellCompDirectiveNoFileComp))
	e.Who(c, &s.who)
	return e.Printing(c)
}

func (s *exportSpec) check() error {
	id, err := parseVersion(s.id)
	if err != nil {
		return err
	}
	s.version = id
	if s.group != "" {
		g, err := arm.ParseID(s.group)
		if err != nil || g.ResourceGroup == "" || g.Key() != g.Group().Key() {
			return errors.New("--disk-group must be the ID of a resource group: /subscriptions/S/resourceGroups/G")
		}
		s.groupID = g
	}
	if s.form == "" {
		s.form = "raw"
		for _, end := range []string{"vhd", "qcow2"} {
			if strings.HasSuffix(strings.ToLower(s.file), "."+end) {
				s.form = end
			}
		}
	}
	s.form = strings.ToLower(s.form)
	if !slices.Contains([]string{"raw", "vhd", "qcow2"}, s.form) {
		return fmt.Errorf("--format is raw, vhd or qcow2, not %q", s.form)
	}
	return nil
}

func (e *Shell) exportImage(ctx context.Context, s exportSpec) error {
	if f, ok := e.Out.(*os.File); ok && s.file == "-" && term.IsTerminal(int(f.Fd())) {
		return e.Usage(errors.New("standard output is a terminal; redirect it, or name a file"))
	}
	server, err := e.Server()
	if err != nil {
		return err
	}
	bar := progress.New(e.Err, s.quiet)
	ex := client.Export{Version: s.version, Group: s.groupID, Format: s.form, Replace: s.replace, Report: bar}
	summary := e.Out
	if s.file == "-" {
		ex.Out, summary = e.Out, e.Err
	} else {
		ex.File = s.file
	}
	if ex.HTTP, err = server.HTTP(); err != nil {
		return err
	}
	subscription := s.version.Subscription
	if s.groupID.Subscription != "" {
		subscription = s.groupID.Subscription
	}
	if ex.ARM, err = e.ARM(ctx, s.who, subscription); err != nil {
		return err
	}
	out, err := ex.Run(ctx)
	bar.End()
	switch {
	case err != nil && ctx.Err() != nil:
		if s.file == "-" {
			fmt.Fprintln(e.Err, "vitrine: interrupted.")
		} else {
			fmt.Fprintf(e.Err, "vitrine: interrupted. What came is kept in %s.part; the same command goes on from there.\n", s.file)
		}
		return e.Cut
	case errors.Is(err, pages.ErrThere):
		return fmt.Errorf("%w; with --force it is replaced", err)
	case err != nil:
		return err
	case s.quiet && s.file == "-":
		return nil
	}
	return e.PrintTo(summary, out)
}
