package storage

import (
	"context"
	"errors"
	"io"

	"vitrine/internal/arm"
	"vitrine/internal/control"
	"vitrine/internal/provider/storage/content"
	"vitrine/internal/store"
)

// BlobSize tells the bytes of the blob at a URL without query. Whether the caller may read it was decided before.
// store.ErrNotFound when account, container or blob is not there; an *arm.Error when the URL is not one of this installation, or
// a copy into the blob has not ended.
func (p *Provider) BlobSize(tx store.Tx, uri string) (int64, error) {
	b, err := p.byURL(tx, uri)
	if err != nil {
		return 0, err
	}
	return b.Size, nil
}

func (p *Provider) byURL(tx store.Tx, uri string) (*content.Blob, error) {
	at, err := p.parse(uri)
	if err != nil {
		return nil, err
	}
	account, err := holder(tx, at.account)
	if err != nil {
		return nil, err
	}
	return p.named(tx, account, at)
}

// named finds the document of a blob that may be a source.
func (p *Provider) named(tx store.Tx, account arm.ID, at place) (*content.Blob, error) {
	r, err := control.Get[Properties](tx, account)
	if err != nil {
		return nil, err
	}
	if containerName(at.container) != nil {
		return nil, store.ErrNotFound
	}
	c, err := control.Get[Container](tx, Account{ID: r.ParsedID()}.ContainerID(at.container))
	if err != nil {
		return nil, err
	}
	b, err := p.Blobs.Find(tx, content.Address{Container: content.Container{UID: c.Properties.UniqueID, Region: r.Location}, Name: at.blob})
	if err != nil {
		return nil, err
	}
	if b.Copy != nil && b.Copy.Status != content.Success {
		return nil, arm.Errorf(409, "OperationNotAllowed", "The source blob 'https://%s.%s/%s/%.300s' has a copy into it in status '%s'.", at.account, p.Suffix, at.container, at.blob, b.Copy.Status).At("uri")
	}
	return b, nil
}

// Bytes are those of a blob, which stay as they are until it is closed.
type Bytes interface {
	io.ReaderAt
	io.Closer
	Size() int64
}

// block is an open block blob: its blocks never change.
type block struct{ *content.Reader }

// Close implements Bytes.
func (block) Close() error { return nil }

// OpenBlob opens the blob at a URL for one reader, from within an operation's step. A page blob cannot be written meanwhile.
// Errors are those of BlobSize.
func (p *Provider) OpenBlob(ctx context.Context, uri string) (Bytes, error) {
	var b *content.Blob
	err := p.store.View(ctx, func(tx store.Tx) (err error) {
		b, err = p.byURL(tx, uri)
		return err
	})
	if err != nil {
		return nil, err
	}
	var open Bytes
	if b.Kind == content.Page {
		open, err = p.Blobs.Hold(b)
	} else {
		var r *content.Reader
		r, err = p.Blobs.Open(ctx, b)
		open = block{r}
	}
	var refused *content.Error
	if errors.As(err, &refused) && refused.Code == "BlobNotFound" {
		err = store.ErrNotFound
	}
	if err != nil {
		return nil, err
	}
	return open, nil
}
