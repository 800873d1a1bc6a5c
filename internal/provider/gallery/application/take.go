package application

import (
	"context"
	"encoding/json"
	"errors"
	"net/url"
	"slices"
	"strings"

	"vitrine/internal/arm"
	"vitrine/internal/control"
	"vitrine/internal/provider/gallery/catalog"
	"vitrine/internal/provider/source"
	"vitrine/internal/rbac"
	"vitrine/internal/store"
)

// opened are the links of a request that open their blobs by themselves.
type opened map[string]bool

// fetch tries the links of a request, before its transaction. What is wrong with the body is said later.
func (p *Provider) fetch(ctx context.Context, body []byte) ([]byte, any, error) {
	var sent struct {
		Properties struct {
			PublishingProfile struct {
				Source struct{ MediaLink, DefaultConfigurationLink string }
			}
		}
	}
	found := opened{}
	if json.Unmarshal(body, &sent) != nil || p.Blobs == nil {
		return body, found, nil
	}
	s := sent.Properties.PublishingProfile.Source
	for _, l := range []string{s.MediaLink, s.DefaultConfigurationLink} {
		if l == "" || len(l) > maxLink {
			continue
		}
		ok, err := p.Blobs.Opens(ctx, l)
		if err != nil {
			return nil, nil, err
		}
		if ok {
			found[l] = true
		}
	}
	return body, found, nil
}

// take notes the files of a version whose bytes are not all here yet: their blobs are there, neither empty nor too large, and
// the caller may read them. What is here needs no blob any more. It takes the signatures from the links.
func (p *Provider) take(w *control.Write[Version]) error {
	props := &w.New.Properties
	links := props.Publishing.Source.links()
	had, files := props.Content, []Content(nil)
	for _, l := range links {
		if *l.text == "" {
			continue
		}
		i := slices.IndexFunc(had, func(c Content) bool { return c.Ref != nil && c.URI == bare(*l.text) })
		if i >= 0 {
			files = append(files, had[i])
			continue
		}
		c, err := p.file(w, l)
		if err != nil {
			return err
		}
		files = append(files, c)
	}
	props.Content = files
	for _, l := range links {
		*l.text = bare(*l.text)
	}
	return nil
}

func (p *Provider) file(w *control.Write[Version], l link) (Content, error) {
	if p.Blobs == nil {
		return Content{}, catalog.Unsupported(l.at, "A blob of a storage account as the source of a gallery application version")
	}
	uri := bare(*l.text)
	account, _, err := p.Blobs.Account(w.Tx, uri)
	if errors.Is(err, store.ErrNotFound) {
		err = unreachable(uri, "remote name not found")
	}
	if err != nil {
		return Content{}, targeted(err, l.at)
	}
	seen, err := p.readable(w, l, account)
	if err != nil {
		return Content{}, targeted(err, l.at)
	}
	c := Content{URI: uri, Account: account.String(), Most: l.most}
	if !seen { // a rehearsal: nobody has asked whether the signature is good
		return c, nil
	}
	c.Size, err = p.Blobs.BlobSize(w.Tx, account, uri)
	if errors.Is(err, store.ErrNotFound) {
		return Content{}, absent(uri).At(l.at)
	}
	if err != nil {
		return Content{}, targeted(err, l.at)
	}
	return c, fits(l.at, uri, c.Size, l.most)
}

// targeted says which member is meant.
func targeted(err error, at string) error {
	if e, ok := errors.AsType[*arm.Error](err); ok {
		return e.At(at)
	}
	return err
}

func absent(uri string) *arm.Error {
	return arm.Errorf(400, "InvalidParameter", "The blob referenced by source uri '%.300s' does not exist.", uri)
}

// fits wants a size that Azure takes.
func fits(at, uri string, size, most int64) error {
	switch {
	case size == 0:
		return catalog.Invalid(at, "The blob referenced by source uri '%.300s' is empty.", uri)
	case size > most:
		return catalog.Invalid(at, "The blob referenced by source uri '%.300s' is too big: size = '%d'. The maximum blob size allowed is '%d GB'.", uri, size, most>>30)
	}
	return nil
}

// readable wants the caller to show that it may read the blob of a link: by a good signature in it, because the blob is public,
// or by the right on the account that a VHD there asks for. A link without signature in another subscription tells nothing of
// the account's ID, so such an account must be named by a signature. seen is false when nobody could look.
func (p *Provider) readable(w *control.Write[Version], l link, account arm.ID) (seen bool, err error) {
	found, _ := w.Fetched.(opened)
	if found[*l.text] {
		return true, nil
	}
	uri := bare(*l.text)
	u, err := url.Parse(*l.text)
	switch {
	case err != nil:
		return false, err
	case u.RawQuery != "" && w.Rehearsed:
		return false, nil
	case u.RawQuery != "":
		return false, catalog.Invalid(l.at, "The SAS is not valid for source uri '%.300s'.", uri)
	case !strings.EqualFold(account.Subscription, w.ID.Subscription):
		return false, unreachable(uri, "public access is not permitted on it")
	}
	err = p.rbac.Linked(w.Tx, w.Caller, w.ID, VersionType+"/write", []rbac.Link{{ID: account, Action: source.AccountRight}})
	if err != nil {
		return false, source.Veiled(err, w.Caller, uri)
	}
	return true, nil
}

func unreachable(uri, why string) *arm.Error {
	return arm.Errorf(400, "InvalidParameter", "The gallery application version url '%.300s' cannot be accessed due to the following error: %s. Ensure that the blob exists and that it's either publicly accessible or is a SAS url with read privileges.", uri, why)
}
