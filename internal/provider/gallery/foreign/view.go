package foreign

import (
	"vitrine/internal/arm"
	"vitrine/internal/provider/gallery/catalog"
)

// The documents that consumers get have no ID of Resource Manager, for they are not theirs; the forms are recorded.

type document struct {
	Location   string     `json:"location"`
	Name       string     `json:"name"`
	Identifier identifier `json:"identifier"`
	Properties any        `json:"properties"`
}

type identifier struct {
	UniqueID string `json:"uniqueId"`
}

type galleryView struct {
	Disclaimer string    `json:"disclaimer"`
	Community  *metadata `json:"communityMetadata"`
}

type metadata struct {
	PublisherURI string   `json:"publisherUri"`
	Contact      string   `json:"publisherContact"`
	Eula         string   `json:"eula"`
	PublicNames  []string `json:"publicNames"`
}

type imageView struct {
	OSType       string                `json:"osType"`
	OSState      string                `json:"osState"`
	EndOfLife    string                `json:"endOfLifeDate"`
	Identifier   publisher             `json:"identifier"`
	Recommended  *catalog.Recommended  `json:"recommended"`
	Disallowed   *catalog.Disallowed   `json:"disallowed"`
	Generation   string                `json:"hyperVGeneration"`
	Features     []catalog.Feature     `json:"features"`
	PurchasePlan *catalog.PurchasePlan `json:"purchasePlan"`
	Architecture string                `json:"architecture"`
	Privacy      string                `json:"privacyStatementUri"`
	Eula         string                `json:"eula"`
	Disclaimer   string                `json:"disclaimer"`
}

type publisher struct {
	Publisher string `json:"publisher" arm:"always"`
	Offer     string `json:"offer" arm:"always"`
	SKU       string `json:"sku" arm:"always"`
}

type versionView struct {
	Published  string      `json:"publishedDate"`
	EndOfLife  string      `json:"endOfLifeDate"`
	Excluded   bool        `json:"excludeFromLatest" arm:"always"`
	Storage    storageView `json:"storageProfile"`
	Disclaimer string      `json:"disclaimer"`
	Until      string      `json:"consumptionEndTime"` // since 2026-03-03, as the next
	State      string      `json:"imageState"`
}

type storageView struct {
	OSDisk    *diskView  `json:"osDiskImage"`
	DataDisks []diskView `json:"dataDiskImages"`
}

type diskView struct {
	LUN     *int   `json:"lun"`
	SizeGB  int    `json:"diskSizeGB"`
	Caching string `json:"hostCaching"`
}

// disclaimer stands on everything of the community, as in Azure, in our words.
const disclaimer = "This image comes from a community gallery: the operator of this installation has not checked it. Use it if you trust its publisher."

// sinceState is the api-version that tells of soft-deleted versions.
const sinceState = "2026-03-03"

func (w world) gallery1(g *catalog.GalleryResource, region string) document {
	name := w.name(g)
	d := document{Location: region, Name: name, Identifier: identifier{w.prefix + name}}
	if w == community {
		c := g.Properties.SharingProfile.Community
		d.Properties = galleryView{disclaimer, &metadata{c.PublisherURI, c.Contact, c.Eula, c.PublicNames}}
	}
	return d
}

func (w world) image1(g *catalog.GalleryResource, r *catalog.DefinitionResource, region string) document {
	p := &r.Properties
	v := imageView{OSType: p.OSType, OSState: p.OSState, EndOfLife: p.EndOfLifeDate, Recommended: p.Recommended, Disallowed: p.Disallowed, Generation: p.HyperVGeneration,
		Features: p.Features, PurchasePlan: p.PurchasePlan, Architecture: p.Architecture, Privacy: p.PrivacyStatementURI, Eula: p.Eula}
	if v.Recommended == nil {
		v.Recommended = &catalog.Recommended{}
	}
	if w == community {
		v.Disclaimer = disclaimer // and the identifier's members are empty (recorded)
	} else if i := p.Identifier; i != nil {
		v.Identifier = publisher{i.Publisher, i.Offer, i.SKU}
	}
	return document{Location: region, Name: r.Name, Identifier: identifier{w.prefix + w.name(g) + "/Images/" + r.Name}, Properties: v}
}

func (w world) version1(g *catalog.GalleryResource, r *catalog.VersionResource, region string, version arm.Version) document {
	p := &r.Properties
	v := versionView{Excluded: p.ExcludedIn(region)}
	if p.Publishing != nil {
		v.Published, v.EndOfLife = p.Publishing.PublishedDate, p.Publishing.EndOfLifeDate
	}
	for _, c := range p.Content {
		caching := p.Storage.Caching(c.LUN)
		if c.LUN < 0 {
			v.Storage.OSDisk = &diskView{SizeGB: c.SizeGB, Caching: caching}
			continue
		}
		v.Storage.DataDisks = append(v.Storage.DataDisks, diskView{LUN: &c.LUN, SizeGB: c.SizeGB, Caching: caching})
	}
	if w == community {
		v.Disclaimer = disclaimer
	}
	if version.Date() >= sinceState {
		if v.State, v.Until = "Active", p.Deleted; v.Until != "" {
			v.State = "SoftDeleted"
		}
	}
	return document{Location: region, Name: r.Name, Identifier: identifier{w.prefix + w.name(g) + "/Images/" + r.ParsedID().Parent().Name() + "/Versions/" + r.Name}, Properties: v}
}
