package attack

import (
	"net/url"
	"strings"
	"time"

	"vitrine/internal/client"
)

const noSAS = "AuthenticationFailed"

// page writes the first page by a signed URL.
func (w *world) page(u *url.URL, header ...string) outcome {
	w.t.Helper()
	target := *u
	q := target.RawQuery + "&comp=page"
	target.RawQuery = q
	got, _ := w.send("PUT", target.String(), strings.Repeat("x", 512), append([]string{"x-ms-page-write", "update", "x-ms-range", "bytes=0-511", "Content-Type", "application/octet-stream"}, header...)...)
	return got
}

// changed is a copy of a signed URL.
func changed(u *url.URL, change func(u *url.URL, q url.Values)) *url.URL {
	c, q := *u, u.Query()
	change(&c, q)
	c.RawQuery = q.Encode()
	return &c
}

func sasRows() []row {
	bent := func(name, sent string, change func(w *world, u *url.URL, q url.Values)) row {
		return row{"signed URL: " + name, sent, 403, noSAS, func(w *world) outcome {
			return w.page(changed(w.sas[0], func(u *url.URL, q url.Values) { change(w, u, q) }))
		}}
	}
	return []row{
		bent("of another disk", "signature of disk 1 at host and path of disk 2", func(w *world, u *url.URL, _ url.Values) { u.Host, u.Path = w.sas[1].Host, w.sas[1].Path }),
		bent("another disk's grant", "si of disk 2, signature of disk 1", func(w *world, _ *url.URL, q url.Values) { q.Set("si", w.sas[1].Query().Get("si")) }),
		bent("changed signature", "one letter changed", func(_ *world, _ *url.URL, q url.Values) {
			q.Set("sig", swapped(strings.ReplaceAll(q.Get("sig"), "+", "A")))
		}),
		bent("no signature", "sig left out", func(_ *world, _ *url.URL, q url.Values) { q.Del("sig") }),
		bent("two signatures", "sig twice", func(_ *world, _ *url.URL, q url.Values) { q.Add("sig", q.Get("sig")) }),
		bent("upper-case path", "path in another case", func(_ *world, u *url.URL, _ url.Values) { u.Path = strings.ToUpper(u.Path) }),
		bent("path behind the blob", "/../ and another blob", func(w *world, u *url.URL, _ url.Values) { u.Path += "/.." + w.sas[1].Path }),
		bent("wider resource", "sr=c instead of sr=b", func(_ *world, _ *url.URL, q url.Values) { q.Set("sr", "c") }),
		{"signed URL: a token instead", "Authorization: Bearer of the Owner, no signature", 403, noSAS, func(w *world) outcome {
			return w.page(changed(w.sas[0], func(_ *url.URL, q url.Values) { clear(q) }), "Authorization", "Bearer "+w.tokenFor(w.one.TenantID, "", "https://storage.azure.com"))
		}},
		{"signed URL: outside the disk", "a page behind the end", 416, "InvalidPageRange", func(w *world) outcome {
			u := *w.sas[0]
			u.RawQuery += "&comp=page"
			got, _ := w.send("PUT", u.String(), strings.Repeat("x", 512), "x-ms-page-write", "update", "x-ms-range", "bytes=1099511627776-1099511628287")
			return got
		}},
		{"signed URL: write by a grant to read", "Put Page with a URL for Read", 403, "AuthorizationPermissionMismatch", func(w *world) outcome { return w.page(w.read) }},
		{"signed URL: expired", "a grant of one second, two seconds later", 403, noSAS, func(w *world) outcome {
			u := w.grant(w.disks[0], 1)
			<-time.After(2100 * time.Millisecond)
			return w.page(u)
		}},
		{"signed URL: revoked", "after endGetAccess", 403, noSAS, func(w *world) outcome {
			w.must(first(w.send("HEAD", w.read.String(), "")))
			if err := w.client().Do(w.t.Context(), "POST", w.whole+"/endGetAccess", client.VersionDisks, nil, nil); err != nil {
				w.t.Fatal(err)
			}
			return first(w.send("GET", w.read.String(), ""))
		}},
	}
}

func (w *world) client() *client.ARM {
	w.t.Helper()
	arm, err := client.NewARM(w.at, w.operator.Tokens(w.one.TenantID))
	if err != nil {
		w.t.Fatal(err)
	}
	return arm
}

// grant asks anew for write access to a disk for some seconds.
func (w *world) grant(disk string, seconds int) *url.URL {
	w.t.Helper()
	id := disk + "-short"
	body := object{"location": "eastus", "properties": object{"creationData": object{"createOption": "Upload", "uploadSizeBytes": 1049088}}}
	var got struct {
		AccessSAS string `json:"accessSAS"`
	}
	arm := w.client()
	if err := arm.Do(w.t.Context(), "PUT", id, client.VersionDisks, body, nil); err != nil {
		w.t.Fatal(err)
	}
	if err := arm.Do(w.t.Context(), "POST", id+"/beginGetAccess", client.VersionDisks, object{"access": "Write", "durationInSeconds": seconds}, &got); err != nil {
		w.t.Fatal(err)
	}
	u, err := url.Parse(got.AccessSAS)
	if err != nil {
		w.t.Fatal(err)
	}
	return u
}
