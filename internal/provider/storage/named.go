package storage

import (
	"context"
	"errors"
	"io"
	"strings"

	"vitrine/internal/arm"
	"vitrine/internal/control"
	"vitrine/internal/provider/storage/content"
	"vitrine/internal/store"
)

// BlobSize tells the bytes of the blob at a URL without query, in the account that Account told. Whether the caller may read it
// was decided before. store.ErrNotFound when account, container or blob is not there; an *arm.Error when the URL is not one of
// that account, or a copy into the blob has not ended.
func (p *Provider) BlobSize(tx store.Tx, account arm.ID, uri string) (int64, error) {
	b, err := p.within(tx, account, uri)
	if err != nil {
		return 0, err
	}
	return b.Size, nil
}

// within finds the document of a blob in an account that was decided on before: since then the name may have become another's.
func (p *Provider) within(tx store.Tx, account arm.ID, uri string) (*content.Blob, error) {
	at, err := p.parse(uri)
	if err != nil {
		return nil, err
	}
	if !strings.EqualFold(at.account, account.Name()) {
		return nil, arm.Errorf(400, "InvalidParameter", "The source blob URI '%.300s' is not in the storage account '%s'.", uri, account).At("uri")
	}
	if !strings.EqualFold(account.Type(), AccountType) {
		return nil, store.ErrNotFound
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
func (p *Provider) OpenBlob(ctx context.Context, account arm.ID, uri string) (Bytes, error) {
	var b *content.Blob
	err := p.store.View(ctx, func(tx store.Tx) (err error) {
		b, err = p.within(tx, account, uri)
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
