package account

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"time"

	"vitrine/internal/dataplane/wire"
	"vitrine/internal/provider/storage/content"
)

// Opens gives what tells whether a URL by itself lets its bearer read a blob: by a signature in it, or since the container is
// public. It tells nothing of whether the blob is there. No request is sent: the door asks itself.
func Opens(c Config) func(ctx context.Context, uri string) (bool, error) {
	if c.Now == nil {
		c.Now = time.Now
	}
	d := &door{Config: c}
	return func(ctx context.Context, uri string) (bool, error) {
		u, err := url.Parse(uri)
		if err != nil || u.Scheme != "https" || u.User != nil || u.Fragment != "" {
			return false, nil
		}
		return told(d.opens(ctx, u))
	}
}

func (d *door) opens(ctx context.Context, u *url.URL) error {
	query, err := url.ParseQuery(u.RawQuery)
	if err != nil || !strings.HasSuffix(strings.ToLower(u.Hostname()), "."+d.Accounts.Suffix) {
		return badQuery("")
	}
	r := &http.Request{Method: http.MethodGet, URL: u, Host: u.Host, Header: http.Header{}}
	x := &exchange{door: d, r: r.WithContext(ctx), query: query}
	for _, name := range append(versionQueries, "comp") {
		if query.Has(name) {
			return unsupportedQuery(name)
		}
	}
	if err := x.locate(); err != nil {
		return err
	}
	if x.what != "blob" {
		return invalidURI()
	}
	if x.proof, err = x.prove(); err != nil {
		return err
	}
	return x.may(reads)
}

// told turns a refusal into no; any other error is a fault of ours.
func told(err error) (bool, error) {
	var refused *wire.Error
	var missing *content.Error
	if errors.As(err, &refused) && refused.Status() < http.StatusInternalServerError || errors.As(err, &missing) {
		return false, nil
	}
	return err == nil, err
}
