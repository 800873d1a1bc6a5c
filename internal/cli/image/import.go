package image

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"vitrine/internal/arm"
	"vitrine/internal/cli/progress"
	"vitrine/internal/client"
	"vitrine/internal/client/source"
	"vitrine/internal/image/format/convert"
)

// importSpec is what image import was asked for.
type importSpec struct {
	file, id                         string
	version                          arm.ID
	create, quiet                    bool
	publisher, offer, sku            string
	osType, osState, generation, cpu string
	location                         string
	regions                          []string
	replicas                         int
	who                              client.Credentials
	sha256, cache                    string
	limits                           convert.Limits
}

func (e *Shell) importing() *cobra.Command {
	var s importSpec
	c := &cobra.Command{
		Use: "import FILE|-|URL --version-id ID", Short: "Publish a disk as an image version",
		Long: `import takes a raw disk, a VHD, VHDX, qcow2 or VMDK, also packed by gzip, xz or zstd, from a file, from standard input or from an
https address. It uploads the disk in it to a managed disk by a signed URL, zeros left out, makes an image version of that disk,
waits until it is in every target region, and deletes the disk. A run that was cut off goes on where it stopped when it is
repeated. With --create, a resource group, gallery or image definition that is missing is made.

A file is recognised by its content; its tables are checked before anything is made, and qemu-img and xz run locked in, with no
file and no network in reach. A download takes https alone, with a certificate that the system trusts, and no proxy; it may lead
on to other https addresses, but not from the host that you named into a private network.` + "\n" + e.AsPrincipal,
		Example: `  vitrine image import debian.qcow2 --version-id /subscriptions/S/resourceGroups/images/providers/Microsoft.Compute/galleries/g/images/debian/versions/1.0.0
  xz -dc disk.xz | vitrine image import - --version-id ID
  vitrine image import https://HOST/debian.qcow2 --sha256 DIGEST --version-id ID
  vitrine image import disk.vhd.gz --create --publisher contoso --offer linux --sku 12 --location eastus --target-region westus --version-id ID`,
		Args: e.Args(1, "a disk file, - or an https address"),
		RunE: func(cmd *cobra.Command, args []string) error {
			s.file = args[0]
			if err := s.check(); err != nil {
				return e.Usage(err)
			}
			return e.importImage(cmd.Context(), s)
		},
	}
	s.flags(c)
	e.Who(c, &s.who)
	return e.Printing(c)
}

func (s *importSpec) flags(c *cobra.Command) {
	f := c.Flags()
	f.StringVar(&s.id, "version-id", "", "resource ID of the image version to make")
	f.BoolVar(&s.create, "create", false, "make the resource group, gallery and image definition when they are missing")
	f.StringVar(&s.publisher, "publisher", "", "with --create: publisher of the definition (default the gallery's name)")
	f.StringVar(&s.offer, "offer", "", "with --create: offer of the definition (default the definition's name)")
	f.StringVar(&s.sku, "sku", "default", "with --create: SKU of the definition")
	f.StringVar(&s.osType, "os-type", "Linux", "with --create: Linux or Windows")
	f.StringVar(&s.osState, "os-state", "Generalized", "with --create: Generalized (a machine gets a user of its own) or Specialized")
	f.StringVar(&s.generation, "generation", "V1", "with --create: V1 (BIOS) or V2 (UEFI)")
	f.StringVar(&s.cpu, "architecture", "x64", "with --create: x64")
	f.StringVarP(&s.location, "location", "l", "", "region of what is made (default the gallery's, or the first target region)")
	f.StringArrayVar(&s.regions, "target-region", nil, "region to replicate to; may be repeated (default the location)")
	f.IntVar(&s.replicas, "replica-count", 1, "replicas in each region")
	f.BoolVarP(&s.quiet, "quiet", "q", false, "no progress")
	f.StringVar(&s.sha256, "sha256", "", "what the SHA-256 of FILE must be, in hexadecimal")
	f.Int64Var(&s.limits.Size, "max-size", 2<<40, "bytes that FILE, and the disk in it, may have")
	f.DurationVar(&s.limits.Time, "max-time", 2*time.Hour, "time that unpacking, and converting, may take")
	f.StringVar(&s.cache, "download-dir", "", "folder of unfinished downloads (default vitrine/import in the user's cache folder)")
	must(c, "version-id")
}

// check reads the ID and brings the words to Azure's spelling.
func (s *importSpec) check() error {
	id, err := parseVersion(s.id)
	if err != nil {
		return fmt.Errorf("--version-id: %w", err)
	}
	if s.sha256 != "" && !hexSum.MatchString(s.sha256) {
		return errors.New("--sha256 is 64 hexadecimal digits")
	}
	if s.limits.Size < 1<<20 || s.limits.Time <= 0 {
		return errors.New("--max-size is at least 1 MiB, and --max-time more than nothing")
	}
	s.version = id
	for _, word := range []struct {
		flag    string
		value   *string
		allowed []string
	}{
		{"os-type", &s.osType, []string{"Linux", "Windows"}},
		{"os-state", &s.osState, []string{"Generalized", "Specialized"}},
		{"generation", &s.generation, []string{"V1", "V2"}},
		{"architecture", &s.cpu, []string{"x64", "Arm64"}},
	} {
		if err := spell(word.flag, word.value, word.allowed); err != nil {
			return err
		}
	}
	if s.replicas < 1 {
		return errors.New("--replica-count is at least 1")
	}
	for _, region := range append([]string{s.location}, s.regions...) {
		if _, ok := arm.LocationOf(region); !ok && region != "" {
			return fmt.Errorf("there is no region %q", region)
		}
	}
	if s.publisher == "" {
		s.publisher = id.Names[0]
	}
	if s.offer == "" {
		s.offer = id.Names[1]
	}
	return nil
}

func spell(flag string, value *string, allowed []string) error {
	for _, a := range allowed {
		if strings.EqualFold(*value, a) {
			*value = a
			return nil
		}
	}
	return fmt.Errorf("--%s is %s, not %q", flag, strings.Join(allowed, " or "), *value)
}

func (e *Shell) importImage(ctx context.Context, s importSpec) error {
	if f, ok := e.In.(*os.File); ok && s.file == "-" && term.IsTerminal(int(f.Fd())) {
		return e.Usage(errors.New("standard input is a terminal; redirect a disk to it"))
	}
	server, err := e.Server()
	if err != nil {
		return err
	}
	bar := progress.New(e.Err, s.quiet)
	from := source.Config{Name: s.file, In: e.In, SHA256: s.sha256, Cache: s.cache, Report: bar, Limits: s.limits}
	im := client.Import{Source: from, Version: s.version, Targets: s.regions, Location: s.location, Replicas: s.replicas,
		OSType: s.osType, Generation: s.generation, Report: bar}
	if s.create {
		im.Definition = map[string]any{"properties": map[string]any{
			"osType": s.osType, "osState": s.osState, "hyperVGeneration": s.generation, "architecture": s.cpu,
			"identifier": map[string]any{"publisher": s.publisher, "offer": s.offer, "sku": s.sku}}}
	}
	if im.HTTP, err = server.HTTP(); err != nil {
		return err
	}
	if im.ARM, err = e.ARM(ctx, s.who, s.version.Subscription); err != nil {
		return err
	}
	out, err := im.Run(ctx)
	bar.End()
	switch {
	case err != nil && ctx.Err() != nil:
		fmt.Fprintln(e.Err, "vitrine: interrupted. What was downloaded or uploaded is kept; the same command goes on from there.")
		return e.Cut
	case errors.Is(err, client.ErrNoParent):
		return fmt.Errorf("%w; with --create it is made", err)
	case err != nil:
		return err
	}
	return e.Print(out)
}
