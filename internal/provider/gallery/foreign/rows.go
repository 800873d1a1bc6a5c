package foreign

import (
	"encoding/json"

	"vitrine/internal/arm"
	"vitrine/internal/arm/armjson"
	"vitrine/internal/provider/gallery/catalog"
	"vitrine/internal/store"
)

// row is one of the table communitygalleryresources of Resource Graph. It names no subscription.
type row struct {
	ID         string `json:"id"`
	Name       string `json:"name"`
	Type       string `json:"type"`
	Location   string `json:"location"`
	Properties any    `json:"properties"`
}

type galleryRow struct {
	Disclaimer string     `json:"disclaimer"`
	Community  *metadata  `json:"communityMetadata"`
	Identifier identifier `json:"identifier"`
}

// Community gives the rows: each community gallery, with its images, in each region where it is.
func (p *Provider) Community(tx store.Tx) ([]json.RawMessage, error) {
	galleries, err := community.galleries(tx, "", "")
	if err != nil {
		return nil, err
	}
	var list []json.RawMessage
	add := func(r row) error {
		raw, err := armjson.Wire(r)
		list = append(list, raw)
		return err
	}
	for _, g := range galleries {
		places, err := regions(tx, g)
		if err != nil {
			return nil, err
		}
		for _, region := range places {
			d := community.gallery1(g, region)
			at := row{ID: "/providers/Microsoft.Compute/locations/" + region + "/communityGalleries/" + d.Name, Name: d.Name, Type: "microsoft.compute/locations/communitygalleries", Location: region}
			v := d.Properties.(galleryView)
			at.Properties = galleryRow{v.Disclaimer, v.Community, d.Identifier}
			if err := add(at); err != nil {
				return nil, err
			}
			found, err := images(tx, g, region)
			if err != nil {
				return nil, err
			}
			for _, i := range found {
				d := community.image1(g, i, region)
				if err := add(row{at.ID + "/images/" + d.Name, d.Name, at.Type + "/images", region, d.Properties}); err != nil {
					return nil, err
				}
			}
		}
	}
	return list, nil
}

// regions are those where a gallery is: at home, and where versions can be used.
func regions(tx store.Tx, g *catalog.GalleryResource) ([]string, error) {
	var list []string
	for _, l := range arm.Locations() {
		there, err := lives(tx, g.Location, g.ParsedID().Key()+"/images", l.Name)
		if err != nil {
			return nil, err
		}
		if there {
			list = append(list, l.Name)
		}
	}
	return list, nil
}
