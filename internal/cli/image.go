package cli

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"vitrine/internal/arm"
	"vitrine/internal/cli/progress"
	"vitrine/internal/client"
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
	who                              principal
}

func (e *env) image() *cobra.Command {
	group := &cobra.Command{Use: "image", Short: "Images of galleries"}
	var s importSpec
	c := &cobra.Command{
		Use: "import FILE --version-id ID", Short: "Publish a disk file as an image version",
		Long: `import takes a qcow2, VHD, VHDX, VMDK or raw disk, uploads it to a managed disk by a signed URL, zeros left out, makes an image
version of that disk, waits until it is in every target region, and deletes the disk. A run that was cut off goes on where
it stopped when it is repeated. With --create, a resource group, gallery or image definition that is missing is made.` + "\n" + asPrincipal,
		Example: `  vitrine image import debian.qcow2 --version-id /subscriptions/S/resourceGroups/images/providers/Microsoft.Compute/galleries/g/images/debian/versions/1.0.0
  vitrine image import disk.vhd --create --publisher contoso --offer linux --sku 12 --location eastus --target-region westus --version-id ID`,
		Args: exactly(1, "a disk file"),
		RunE: func(cmd *cobra.Command, args []string) error {
			s.file = args[0]
			if err := s.check(); err != nil {
				return usageError{err}
			}
			return e.importImage(cmd.Context(), s)
		},
	}
	s.flags(c)
	bytes := e.imagestore()
	group.AddCommand(e.printing(c), bytes.Collect(), bytes.Bytes(), bytes.Scrub())
	return group
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
	must(c, "version-id")
	s.who.flags(c)
}

const versionType = "Microsoft.Compute/galleries/images/versions"

// check reads the ID and brings the words to Azure's spelling.
func (s *importSpec) check() error {
	id, err := arm.ParseID(s.id)
	if err != nil || !strings.EqualFold(id.Type(), versionType) || id.ResourceGroup == "" || id.Scope != "" {
		return fmt.Errorf("--version-id must be the ID of an image version: /subscriptions/S/resourceGroups/G/providers/Microsoft.Compute/galleries/G/images/D/versions/1.0.0")
	}
	if err := checkNames(id); err != nil {
		return err
	}
	if s.file == "-" {
		return errors.New("standard input cannot be imported yet; write it to a file first")
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

// The names of the server, which would refuse others only after the upload.
var (
	groupNames      = regexp.MustCompile(`^[\p{L}\p{N}_().-]{0,89}[\p{L}\p{N}_()-]$`)
	galleryNames    = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9_.]{0,78}[A-Za-z0-9])?$`)
	definitionNames = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_.-]{0,79}$`)
	versionNames    = regexp.MustCompile(`^(0|[1-9][0-9]{0,9})\.(0|[1-9][0-9]{0,9})\.(0|[1-9][0-9]{0,9})$`)
)

// checkNames refuses an ID with a name that the server would not take.
func checkNames(id arm.ID) error {
	_, err := uuid.Parse(id.Subscription)
	switch {
	case err != nil || len(id.Subscription) != 36:
		return fmt.Errorf("--version-id: %q is not the ID of a subscription, such as 00000000-0000-0000-0000-000000000000", id.Subscription)
	case !groupNames.MatchString(id.ResourceGroup):
		return fmt.Errorf("--version-id: %q is not the name of a resource group: up to 90 letters, digits, '_', '-', '.', '(' and ')', the last one not a period", id.ResourceGroup)
	case !galleryNames.MatchString(id.Names[0]):
		return fmt.Errorf("--version-id: %q is not the name of a gallery: up to 80 letters, digits, '_' and '.', the first and the last one a letter or digit", id.Names[0])
	case !definitionNames.MatchString(id.Names[1]):
		return fmt.Errorf("--version-id: %q is not the name of an image definition: up to 80 letters, digits, '_', '-' and '.', the first one a letter or digit", id.Names[1])
	case !versionName(id.Names[2]):
		return fmt.Errorf("--version-id: %q is not the name of an image version: three numbers up to 2147483647, such as 1.0.0", id.Names[2])
	}
	return nil
}

func versionName(name string) bool {
	parts := versionNames.FindStringSubmatch(name)
	for _, p := range parts {
		if p == name {
			continue
		}
		if _, err := strconv.ParseInt(p, 10, 32); err != nil {
			return false
		}
	}
	return parts != nil
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

func (e *env) importImage(ctx context.Context, s importSpec) error {
	server, err := e.server()
	if err != nil {
		return err
	}
	bar := progress.New(e.err, s.quiet)
	im := client.Import{File: s.file, Version: s.version, Targets: s.regions, Location: s.location, Replicas: s.replicas,
		OSType: s.osType, Generation: s.generation, Report: bar}
	if s.create {
		im.Definition = map[string]any{"properties": map[string]any{
			"osType": s.osType, "osState": s.osState, "hyperVGeneration": s.generation, "architecture": s.cpu,
			"identifier": map[string]any{"publisher": s.publisher, "offer": s.offer, "sku": s.sku}}}
	}
	if im.HTTP, err = server.HTTP(); err != nil {
		return err
	}
	if im.ARM, err = e.arm(ctx, s.who, s.version.Subscription); err != nil {
		return err
	}
	out, err := im.Run(ctx)
	bar.End()
	switch {
	case err != nil && ctx.Err() != nil:
		fmt.Fprintln(e.err, "vitrine: interrupted. What was uploaded is kept; the same command goes on from there.")
		return ExitCode(130)
	case errors.Is(err, client.ErrNoParent):
		return fmt.Errorf("%w; with --create it is made", err)
	case err != nil:
		return err
	}
	return e.print(out)
}
