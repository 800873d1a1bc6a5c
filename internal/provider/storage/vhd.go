package storage

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"

	"vitrine/internal/arm"
	"vitrine/internal/control"
	"vitrine/internal/image"
	"vitrine/internal/image/format"
	"vitrine/internal/provider/storage/content"
	"vitrine/internal/rbac"
	"vitrine/internal/store"
)

// KeysAction is what Azure asks of who makes a resource from a VHD in an account (the gallery's table of sources).
const KeysAction = AccountType + "/listKeys/action"

// Needs is the right that a resource made from a VHD leans on, in whichever tenant the account is.
func Needs(account arm.ID) rbac.Link { return rbac.Link{ID: account, Action: KeysAction} }

// VHD is what is known of a page blob that holds a fixed VHD, before its bytes are read.
type VHD struct {
	Account  arm.ID
	Location string // of the account, short name
	Size     int64  // bytes of the disk, without the footer
}

// place is a blob's URL, taken apart.
type place struct{ account, container, blob string }

// parse reads a blob's URL: https, a host of this installation, nothing beside the path.
func (p *Provider) parse(uri string) (place, error) {
	wrong := func(why string) error {
		return arm.Errorf(400, "InvalidParameter", "The source blob URI '%.300s' is invalid: %s. Expected 'https://{account}.%s/{container}/{blob}'.", bare(uri), why, p.Suffix).At("uri")
	}
	u, err := url.Parse(uri)
	switch {
	case err != nil || len(uri) > 4096:
		return place{}, wrong("it is not a URL")
	case u.Scheme != "https" || u.User != nil || u.Fragment != "" || u.Port() != "" && u.Port() != "443":
		return place{}, wrong("its scheme, user, port or fragment is not allowed")
	case u.RawQuery != "":
		return place{}, wrong("a query (a snapshot or a signature) is not supported; the right is that to the account")
	}
	account, ok := strings.CutSuffix(strings.ToLower(u.Hostname()), "."+p.Suffix)
	if !ok || !validName(account) {
		return place{}, wrong("its host is no storage account of this installation")
	}
	container, blob, ok := strings.Cut(strings.TrimPrefix(u.Path, "/"), "/")
	if !ok {
		container, blob = "$root", container
	}
	if blob == "" {
		return place{}, wrong("it names no blob")
	}
	return place{account, container, blob}, nil
}

// bare is a URI without its query: errors are stored, signatures are not.
func bare(uri string) string {
	uri, _, _ = strings.Cut(uri, "?")
	return uri
}

// Account tells in which account, and in which location, a blob's URL lies; store.ErrNotFound. It does not tell whether the
// blob is there: that is for who may read the account's keys.
func (p *Provider) Account(tx store.Tx, uri string) (account arm.ID, location string, err error) {
	at, err := p.parse(uri)
	if err != nil {
		return arm.ID{}, "", err
	}
	id, err := holder(tx, at.account)
	if err != nil {
		return arm.ID{}, "", err
	}
	r, err := control.Get[Properties](tx, id)
	if err != nil {
		return arm.ID{}, "", err
	}
	return r.ParsedID(), r.Location, nil
}

// VHD tells about a page blob in an account: that it is there and ends with the footer of a fixed VHD. The caller must have
// shown the right Needs on the account. store.ErrNotFound when account, container or blob is not there; an *arm.Error when
// the blob cannot be a source.
func (p *Provider) VHD(tx store.Tx, account arm.ID, uri string) (VHD, error) {
	b, err := p.page(tx, account, uri)
	if err != nil {
		return VHD{}, err
	}
	u, err := p.Blobs.Pages(b)
	if err != nil {
		return VHD{}, unfit(uri, err)
	}
	defer u.Close()
	size, err := format.CheckFixedVHD(u, b.Size)
	return VHD{account, b.Region, size}, unfit(uri, err)
}

// page finds the document of a blob that may be a source.
func (p *Provider) page(tx store.Tx, account arm.ID, uri string) (*content.Blob, error) {
	b, err := p.within(tx, account, uri)
	if err != nil {
		return nil, err
	}
	if b.Kind != content.Page {
		return nil, arm.Errorf(400, "InvalidParameter", "The source blob '%.300s' is of type %s. Only page blobs that hold a fixed VHD can be used.", uri, b.Kind).At("uri")
	}
	return b, nil
}

// unfit words what is wrong with a VHD (Compute answers InvalidVhd).
func unfit(uri string, err error) error {
	var refused *content.Error
	switch bad, faulty := format.As(err); {
	case faulty:
		return arm.Errorf(400, "InvalidVhd", "The source blob '%.300s' is not a supported VHD: %s.", uri, bad.Text).Because(err).At("uri")
	case errors.As(err, &refused) && refused.Code == "BlobNotFound":
		return store.ErrNotFound
	}
	return err
}

// OpenVHD opens a VHD for reading, from within an operation's step; its last 512 bytes are the footer, which was checked.
// Nobody can write it until it is closed. Errors are those of VHD.
func (p *Provider) OpenVHD(ctx context.Context, account arm.ID, uri string) (u *image.Upload, err error) {
	var b *content.Blob
	err = p.store.View(ctx, func(tx store.Tx) error {
		b, err = p.page(tx, account, uri)
		return err
	})
	if err != nil {
		return nil, err
	}
	if u, err = p.Blobs.Hold(b); err != nil {
		return nil, unfit(uri, err)
	}
	if _, err := format.CheckFixedVHD(u, b.Size); err != nil {
		return nil, errors.Join(unfit(uri, err), u.Close())
	}
	return u, nil
}

// FreezeVHD makes an image of a VHD in the account's region, in the domain of the account's tenant. It takes as long as
// reading the blob, may be run again, and pins nothing. Errors are those of VHD.
func (p *Provider) FreezeVHD(ctx context.Context, account arm.ID, uri string) (ref image.Ref, err error) {
	var b *content.Blob
	var tenant string
	err = p.store.View(ctx, func(tx store.Tx) error {
		if b, err = p.page(tx, account, uri); err != nil {
			return err
		}
		tenant, err = control.TenantOf(tx, account.Subscription)
		return err
	})
	if err != nil {
		return ref, err
	}
	ref, err = p.Blobs.Pack(ctx, b, strings.ToLower(tenant))
	if err = unfit(uri, err); err != nil && !isWorded(err) {
		return ref, fmt.Errorf("pack %s: %w", uri, err)
	}
	return ref, err
}

func isWorded(err error) bool {
	var e *arm.Error
	return errors.As(err, &e) || errors.Is(err, store.ErrNotFound)
}
