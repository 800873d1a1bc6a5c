package sdk

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"sort"
	"strings"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/compute/armcompute/v7"
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/resources/armresources"
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/storage/armstorage"
)

// shapes are the models of the answers by the type that the URL names, and of their lists.
var shapes = map[string][2]any{
	"galleries":                                    {armcompute.Gallery{}, armcompute.GalleryList{}},
	"galleries/images":                             {armcompute.GalleryImage{}, armcompute.GalleryImageList{}},
	"galleries/images/versions":                    {armcompute.GalleryImageVersion{}, armcompute.GalleryImageVersionList{}},
	"galleries/applications":                       {armcompute.GalleryApplication{}, armcompute.GalleryApplicationList{}},
	"galleries/applications/versions":              {armcompute.GalleryApplicationVersion{}, armcompute.GalleryApplicationVersionList{}},
	"disks":                                        {armcompute.Disk{}, armcompute.DiskList{}},
	"snapshots":                                    {armcompute.Snapshot{}, armcompute.SnapshotList{}},
	"images":                                       {armcompute.Image{}, armcompute.ImageListResult{}},
	"virtualmachines":                              {armcompute.VirtualMachine{}, armcompute.VirtualMachineListResult{}},
	"locations/sharedgalleries":                    {armcompute.SharedGallery{}, armcompute.SharedGalleryList{}},
	"locations/sharedgalleries/images":             {armcompute.SharedGalleryImage{}, armcompute.SharedGalleryImageList{}},
	"locations/communitygalleries":                 {armcompute.CommunityGallery{}, nil},
	"locations/communitygalleries/images":          {armcompute.CommunityGalleryImage{}, armcompute.CommunityGalleryImageList{}},
	"locations/usages":                             {nil, armcompute.ListUsagesResult{}},
	"locations/vmsizes":                            {nil, armcompute.VirtualMachineSizeListResult{}},
	"virtualmachines/instanceview":                 {nil, armcompute.VirtualMachineInstanceView{}},
	"skus":                                         {nil, armcompute.ResourceSKUsResult{}},
	"locations/sharedgalleries/images/versions":    {armcompute.SharedGalleryImageVersion{}, armcompute.SharedGalleryImageVersionList{}},
	"locations/communitygalleries/images/versions": {armcompute.CommunityGalleryImageVersion{}, armcompute.CommunityGalleryImageVersionList{}},
	"galleries/softdeletedartifacttypes/artifacts/versions": {nil, armcompute.GallerySoftDeletedResourceList{}},
	"disks/begingetaccess": {nil, armcompute.AccessURI{}},

	"storageaccounts":                         {armstorage.Account{}, armstorage.AccountListResult{}},
	"storageaccounts/listkeys":                {nil, armstorage.AccountListKeysResult{}},
	"storageaccounts/regeneratekey":           {nil, armstorage.AccountListKeysResult{}},
	"storageaccounts/blobservices/containers": {armstorage.BlobContainer{}, armstorage.ListContainerItems{}},
	"checknameavailability":                   {nil, armstorage.CheckNameAvailabilityResult{}},

	"deployments":                {armresources.DeploymentExtended{}, armresources.DeploymentListResult{}},
	"deployments/operations":     {armresources.DeploymentOperation{}, armresources.DeploymentOperationsListResult{}},
	"deployments/validate":       {nil, armresources.DeploymentValidateResult{}},
	"deployments/exporttemplate": {nil, armresources.DeploymentExportResult{}},
	"tags":                       {armresources.TagsResource{}, nil},
	"resourcegroups":             {armresources.ResourceGroup{}, armresources.ResourceGroupListResult{}},
	"resources":                  {nil, armresources.ResourceListResult{}},
	"providers":                  {armresources.Provider{}, armresources.ProviderListResult{}},
}

// modelled are the providers whose models there are. What has no provider in its path is Resource Manager's own.
var modelled = regexp.MustCompile(`/providers/Microsoft\.(?:Compute|Storage|Resources)/(.*)$|^/subscriptions/[^/]+/((?:resource[gG]roups|resources|providers)(?:/[^/]+)?(?:/(?:resources))?)$`)

// TestWireShapes decodes the golden answers of test/wire into the SDK's models and encodes them again: a member that is lost, or
// comes back as something else, is one that the SDK does not know. The golden files are held to the server by test/wire.
func TestWireShapes(t *testing.T) {
	paths := must(filepath.Glob("../wire/testdata/*.http"))
	seen := map[string]int{}
	for _, path := range paths {
		for _, g := range golden(must(os.ReadFile(path))) {
			typ, model := g.model()
			if model == nil {
				continue
			}
			seen[typ]++
			t.Run(g.title, func(t *testing.T) { g.check(t, model) })
		}
	}
	var lines []string
	total := 0
	for typ, n := range seen {
		lines, total = append(lines, fmt.Sprintf("%-46s %d", typ, n)), total+n
	}
	sort.Strings(lines)
	t.Logf("%d golden answers decoded\n%s", total, strings.Join(lines, "\n"))
	for _, typ := range []string{"galleries", "galleries/images", "galleries/images/versions", "galleries/applications", "galleries/applications/versions", "disks", "snapshots", "images", "virtualmachines",
		"storageaccounts", "storageaccounts/blobservices/containers", "deployments", "deployments/operations", "resourcegroups", "resources", "tags", "providers"} {
		if seen[typ] == 0 {
			t.Errorf("no golden answer of the type %s", typ)
		}
	}
}

type goldenAnswer struct{ title, target, status, body string }

var exchangeForm = regexp.MustCompile(`(?s)^([^\n]*)\n.*?^> [A-Z]+ ([^\n]*)\n.*?^< ([0-9]{3})\n((?:< [^\n]*\n)*)(.*)$`)

// golden takes the answers of a file of exchanges; its format is told in test/wire/testdata/README.md.
func golden(raw []byte) (list []goldenAnswer) {
	form := regexp.MustCompile("(?m)" + exchangeForm.String())
	for _, part := range strings.Split("\n"+string(raw), "\n=== ")[1:] {
		m := form.FindStringSubmatch(part)
		if m != nil && strings.HasPrefix(m[3], "2") {
			list = append(list, goldenAnswer{m[1], m[2], m[3], strings.TrimPrefix(strings.TrimSpace(m[5]), "~")})
		}
	}
	return list
}

// model is the zero value that the answer is decoded into.
func (g goldenAnswer) model() (string, any) {
	path, _, _ := strings.Cut(g.target, "?")
	m := modelled.FindStringSubmatch(path)
	if m == nil || g.body == "" {
		return "", nil
	}
	tail := m[1] + m[2]
	if strings.HasSuffix(path, "/resources") {
		tail = "resources"
	}
	var types []string
	parts := strings.Split(strings.ToLower(tail), "/")
	for i := 0; i < len(parts); i += 2 {
		types = append(types, parts[i])
	}
	typ := strings.Join(types, "/")
	return typ, shapes[typ][len(parts)%2]
}

// check decodes, encodes and compares.
func (g goldenAnswer) check(t *testing.T, zero any) {
	raw := strings.NewReplacer("{time}", "2026-01-02T03:04:05.0000000").Replace(g.body)
	model := reflect.New(reflect.TypeOf(zero)).Interface()
	if err := json.Unmarshal([]byte(raw), model); err != nil {
		t.Fatalf("%T: %v", model, err)
	}
	var want, got any
	if err := json.Unmarshal([]byte(raw), &want); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(must(json.Marshal(model)), &got); err != nil {
		t.Fatal(err)
	}
	for _, at := range lost("", want, got) {
		t.Errorf("%T does not know %s", model, at)
	}
}

// lost names the members of want that are not in got.
func lost(at string, want, got any) (list []string) {
	switch want := want.(type) {
	case map[string]any:
		g, _ := got.(map[string]any)
		for name, v := range want {
			list = append(list, lost(at+"."+name, v, g[name])...)
		}
	case []any:
		g, _ := got.([]any)
		for i, v := range want {
			var other any
			if i < len(g) {
				other = g[i]
			}
			list = append(list, lost(fmt.Sprintf("%s[%d]", at, i), v, other)...)
		}
		if len(want) == 0 && g == nil {
			list = append(list, at)
		}
	default:
		if !same(want, got) {
			list = append(list, fmt.Sprintf("%s = %v (it has %v)", at, want, got))
		}
	}
	slices.Sort(list)
	return list
}

func same(want, got any) bool {
	a, okA := want.(string)
	b, okB := got.(string)
	if okA && okB && a != b {
		x, errX := time.Parse(time.RFC3339Nano, a)
		y, errY := time.Parse(time.RFC3339Nano, b)
		return errX == nil && errY == nil && x.Equal(y)
	}
	return want == got
}
