package account

import (
	"net/http"
	"net/url"
	"strings"

	"vitrine/internal/dataplane/wire"
	"vitrine/internal/provider/storage/content"
)

// copyBlob serves Copy Blob from a blob of this installation: the same account, or one that the source's URL gives a right to.
func (x *exchange) copyBlob() error {
	at, release, err := x.writing(creates)
	if err != nil {
		return err
	}
	defer release()
	if strings.EqualFold(x.r.Header.Get("x-ms-requires-sync"), "true") {
		return unsupportedHeader("x-ms-requires-sync")
	}
	metadata, err := x.metadata()
	if err != nil {
		return err
	}
	from, shown, err := x.source(x.r.Header.Get("x-ms-copy-source"))
	if err != nil {
		return err
	}
	next := &content.Blob{Name: x.blob}
	if len(metadata) > 0 {
		next.Metadata = metadata
	}
	if err := x.Blobs.StartCopy(x.r.Context(), at.Container, next, content.Source{At: from, URL: shown, Fits: x.sourceFits}, x.create()); err != nil {
		return err
	}
	x.stamp(next)
	x.w.Header().Set("x-ms-copy-id", next.Copy.ID)
	x.w.Header().Set("x-ms-copy-status", next.Copy.Status)
	return x.empty(http.StatusAccepted)
}

// source finds the blob behind a copy's URL and proves the right to read it: that of the request when it is in the same
// account, else that of the URL itself.
func (x *exchange) source(text string) (at content.Address, shown string, err error) {
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "https" || u.User != nil || u.Fragment != "" || len(text) > 2048 {
		return at, "", wire.BadHeader("x-ms-copy-source")
	}
	refused := wire.Fail(http.StatusForbidden, "CannotVerifyCopySource", "This request is not authorized to read the source of the copy.")
	request := x.r.Clone(x.r.Context())
	request.Method, request.URL, request.Host, request.Header = http.MethodGet, u, u.Host, http.Header{}
	there := &exchange{door: x.door, w: x.w, r: request, query: u.Query()}
	for _, name := range versionQueries {
		if there.query.Has(name) {
			return at, "", wire.Fail(http.StatusBadRequest, "InvalidHeaderValue", "A copy of a snapshot or a version is not supported: x-ms-copy-source.")
		}
	}
	if !strings.HasSuffix(strings.ToLower(u.Hostname()), suffix(x.r.Host)) {
		return at, "", wire.Fail(http.StatusBadRequest, "InvalidHeaderValue", "A copy from outside this installation is not supported: x-ms-copy-source.")
	}
	if err := there.locate(); err != nil {
		return at, "", refused.Because(err)
	}
	if there.what != "blob" {
		return at, "", wire.BadHeader("x-ms-copy-source")
	}
	there.proof, err = there.prove()
	if err == nil && !there.query.Has("sig") && x.provesToo(there) {
		there.proof = x.proof
	}
	if err == nil {
		err = there.may(reads)
	}
	if err != nil {
		return at, "", refused.Because(err)
	}
	box, err := there.box()
	if err != nil {
		return at, "", refused.Because(err)
	}
	u.RawQuery = ""
	return content.Address{Container: box.Container, Name: there.blob}, u.String(), nil
}

// provesToo says whether the proof of a request holds for the source of its copy as well. A service SAS was checked for the
// path of the request: of the source it says nothing, unless it is for the container that holds both.
func (x *exchange) provesToo(there *exchange) bool {
	if there.account.UniqueID != x.account.UniqueID {
		return false
	}
	s, signed := x.proof.(sas)
	return !signed || s.services != "" || s.resource == "c" && there.container == x.container
}

// sourceFits checks the conditions that a copy has for its source.
func (x *exchange) sourceFits(b *content.Blob) error {
	h := http.Header{}
	for _, name := range []string{"If-Match", "If-None-Match", "If-Modified-Since", "If-Unmodified-Since"} {
		if v := x.r.Header.Get("x-ms-source-" + name); v != "" {
			h.Set(name, v)
		}
	}
	if wire.Conditions(&http.Request{Method: http.MethodPut, Header: h}, b.Modified()) != nil {
		return wire.Fail(http.StatusPreconditionFailed, "SourceConditionNotMet", "The source condition specified using HTTP conditional header(s) is not met.")
	}
	return nil
}

// suffix is what follows the account's name in a host.
func suffix(host string) string {
	host, _, _ = strings.Cut(strings.ToLower(host), ":")
	_, rest, _ := strings.Cut(host, ".")
	return "." + rest
}

func (x *exchange) abortCopy() error {
	if err := x.may(writes); err != nil {
		return err
	}
	if !strings.EqualFold(x.r.Header.Get("x-ms-copy-action"), "abort") {
		return wire.BadHeader("x-ms-copy-action")
	}
	at, err := x.address()
	if err != nil {
		return err
	}
	err = x.Blobs.AbortCopy(x.r.Context(), at, x.query.Get("copyid"), x.held)
	if err != nil {
		return err
	}
	return x.empty(http.StatusNoContent)
}
