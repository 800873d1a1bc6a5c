package disk

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"time"

	"vitrine/internal/arm"
	"vitrine/internal/image"
	"vitrine/internal/image/sas"
	"vitrine/internal/store"
)

// GrantKind is the store's kind of the documents behind signed URLs.
const GrantKind = "disk/grant"

// grant is the document of one signed URL. The URL itself is nowhere: it is made from this and the key.
type grant struct {
	ID    string    `json:"id"` // the URL's si
	Host  string    `json:"host"`
	Path  string    `json:"path"`
	Disk  string    `json:"disk"` // key of the disk
	Write bool      `json:"write"`
	Since time.Time `json:"since"`
	Until time.Time `json:"until"`
	Key   string    `json:"key"` // sealed for the disk

	Upload   string    `json:"upload,omitempty"`  // of a writing grant
	Region   string    `json:"region,omitempty"`  // of a reading one
	Manifest image.Ref `json:"manifest,omitzero"` // pinned by the grant

	etag int64
}

// holder is the name by which a reading grant pins what it shows.
func (g *grant) holder() string { return g.Disk + "#" + g.ID }

func grantKey(host, path string) string { return GrantKind + "/" + host + path }

func (g *grant) save(tx store.Tx) error {
	body, err := json.Marshal(g)
	if err != nil {
		return err
	}
	_, err = tx.Put(store.Document{Key: grantKey(g.Host, g.Path), Kind: GrantKind, Terms: []string{"disk:" + g.Disk}, Body: body, ETag: g.etag})
	return err
}

func loadGrant(tx store.Tx, key string) (*grant, error) {
	d, err := tx.Get(key)
	if err != nil {
		return nil, err
	}
	var g grant
	if err := json.Unmarshal(d.Body, &g); err != nil {
		return nil, fmt.Errorf("%s: %w", key, err)
	}
	g.etag = d.ETag
	return &g, nil
}

func grantsOf(tx store.Tx, disk arm.ID) ([]*grant, error) {
	docs, err := tx.List(store.Query{Kind: GrantKind, All: []string{"disk:" + disk.Key()}})
	if err != nil {
		return nil, err
	}
	var list []*grant
	for _, d := range docs {
		g, err := loadGrant(tx, d.Key)
		if err != nil {
			return nil, err
		}
		list = append(list, g)
	}
	return list, nil
}

// revoke ends all grants of a disk; the next request with their URLs is refused.
func (p *Provider) revoke(tx store.Tx, disk arm.ID) error {
	list, err := grantsOf(tx, disk)
	if err != nil {
		return err
	}
	for _, g := range list {
		if err := p.end(tx, g); err != nil {
			return err
		}
	}
	return nil
}

// end removes a grant and lets go of what it showed.
func (p *Provider) end(tx store.Tx, g *grant) error {
	if g.Manifest.ID != "" {
		if err := p.Images.Unpin(tx, g.Manifest, g.Region, g.holder()); err != nil {
			return err
		}
	}
	return tx.Delete(grantKey(g.Host, g.Path), 0)
}

// Content is what a signed URL leads to; *image.Export and *image.Upload are.
type Content interface {
	io.ReaderAt
	io.Closer
	Size() int64
	Ranges(ctx context.Context, off, n int64) ([]image.Range, error)
}

// Grant is what one signed URL gives; the door dataplane has a type of the same members.
type Grant struct {
	ID           string
	Key          []byte
	Write        bool
	Expires      time.Time
	LastModified time.Time
	Open         func(context.Context) (Content, error)
}

// Grant finds the grant of a signed URL's host and path; store.ErrNotFound. Whether it has expired is the caller's to see.
func (p *Provider) Grant(ctx context.Context, host, path string) (Grant, error) {
	var g *grant
	err := p.store.View(ctx, func(tx store.Tx) (err error) {
		g, err = loadGrant(tx, grantKey(host, path))
		return err
	})
	if err != nil {
		return Grant{}, err
	}
	key, err := p.Seal.Open(g.Key, g.Disk)
	if err != nil {
		return Grant{}, fmt.Errorf("key of grant %s: %w", g.ID, err)
	}
	return Grant{ID: g.ID, Key: key, Write: g.Write, Expires: g.Until, LastModified: g.Since, Open: func(ctx context.Context) (Content, error) {
		return p.open(ctx, g)
	}}, nil
}

func (p *Provider) open(ctx context.Context, g *grant) (Content, error) {
	if g.Write {
		return p.Images.OpenUpload(g.Upload)
	}
	r, err := p.Images.Open(ctx, g.Region, g.Manifest)
	if err != nil {
		return nil, err
	}
	return r.VHD(), nil
}

// sign makes the URL that a grant stands for.
func (p *Provider) sign(g *grant) (string, error) {
	key, err := p.Seal.Open(g.Key, g.Disk)
	if err != nil {
		return "", fmt.Errorf("key of grant %s: %w", g.ID, err)
	}
	return sas.URL{Host: g.Host, Path: g.Path, ID: g.ID}.Sign(key), nil
}
