package account

import (
	"crypto/md5" // the protocol's checksum, not a protection
	"encoding/base64"
	"encoding/xml"
	"errors"
	"hash"
	"io"
	"net/http"
	"strconv"
	"strings"

	"vitrine/internal/dataplane/wire"
	"vitrine/internal/image"
	"vitrine/internal/provider/storage/content"
	"vitrine/internal/web"
)

// writing opens a write: the right, room for a body in memory until release is called, and the blob's address.
func (x *exchange) writing(r right) (at content.Address, release func(), err error) {
	if err := x.may(r); err != nil {
		return at, nil, err
	}
	if release, err = x.bodies.Take(x.account.UniqueID); err != nil {
		return at, nil, err
	}
	if at, err = x.address(); err != nil {
		release()
	}
	return at, release, err
}

// described is the blob that a write makes, as its headers say.
func (x *exchange) described() (*content.Blob, error) {
	metadata, err := x.metadata()
	return &content.Blob{Name: x.blob, Metadata: metadata, Headers: x.headers()}, err
}

// length checks the body's length, which must be told.
func (x *exchange) length(most int64) (int64, error) {
	switch n := x.r.ContentLength; {
	case n < 0:
		return 0, wire.MissingLength()
	case n > most:
		return 0, wire.TooLarge("")
	default:
		return n, nil
	}
}

// putBlob serves Put Blob, and Copy Blob, which is the same with a source.
func (x *exchange) putBlob() error {
	if x.r.Header.Get("x-ms-copy-source") != "" {
		return x.copyBlob()
	}
	at, release, err := x.writing(creates)
	if err != nil {
		return err
	}
	defer release()
	next, err := x.described()
	if err != nil {
		return err
	}
	if next.Headers.ContentType == "" {
		next.Headers.ContentType = x.r.Header.Get("Content-Type")
	}
	switch kind := x.r.Header.Get("x-ms-blob-type"); {
	case kind == "":
		return wire.MissingHeader("x-ms-blob-type")
	case strings.EqualFold(kind, content.Page):
		err = x.putPages(at, next)
	case strings.EqualFold(kind, content.Block):
		err = x.putBlock1(at, next)
	case strings.EqualFold(kind, "AppendBlob"):
		return wire.Fail(http.StatusBadRequest, "FeatureNotSupported", "Append blobs are not supported here.")
	default:
		return wire.BadHeader("x-ms-blob-type")
	}
	if err != nil {
		return err
	}
	return x.created(next)
}

func (x *exchange) created(b *content.Blob) error {
	x.stamp(b)
	x.w.Header().Set("x-ms-request-server-encrypted", "false")
	return x.empty(http.StatusCreated)
}

func (x *exchange) putPages(at content.Address, next *content.Blob) error {
	text := x.r.Header.Get("x-ms-blob-content-length")
	if text == "" {
		return wire.MissingHeader("x-ms-blob-content-length")
	}
	size, err := strconv.ParseInt(text, 10, 64)
	if err != nil || size < 0 || size%512 != 0 || size > content.MaxPages {
		return wire.BadHeader("x-ms-blob-content-length")
	}
	if x.r.ContentLength > 0 {
		return wire.BadHeader("Content-Length")
	}
	return x.Blobs.CreatePages(x.r.Context(), at.Container, next, size, x.create())
}

func (x *exchange) putBlock1(at content.Address, next *content.Blob) error {
	n, err := x.length(MaxBody)
	if err != nil {
		return err
	}
	body, err := x.body()
	if err != nil {
		return err
	}
	create := x.create()
	check := func(b *content.Blob) error {
		if err := body.check(); err != nil {
			return err
		}
		if next.Headers.MD5 == "" {
			next.Headers.MD5 = body.text()
		}
		x.w.Header().Set("Content-MD5", body.text())
		return create(b)
	}
	return x.Blobs.PutBlob(x.r.Context(), at.Container, next, body, n, check)
}

// summed is a body whose MD5 is known at its end.
type summed struct {
	io.Reader
	sum  hash.Hash
	want []byte
}

func (x *exchange) body() (*summed, error) {
	want, err := wire.ContentMD5(x.r.Header)
	s := &summed{sum: md5.New(), want: want}
	s.Reader = io.TeeReader(x.r.Body, s.sum)
	return s, err
}

func (s *summed) check() error { return wire.CheckMD5(s.want, s.sum.Sum(nil)) }

func (s *summed) text() string { return base64.StdEncoding.EncodeToString(s.sum.Sum(nil)) }

const maxBlock = 4000 << 20 // bytes of one block

func (x *exchange) putBlock() error {
	at, release, err := x.writing(writes)
	if err != nil {
		return err
	}
	defer release()
	if x.r.Header.Get("x-ms-copy-source") != "" {
		return unsupportedHeader("x-ms-copy-source")
	}
	n, err := x.length(maxBlock)
	if err != nil {
		return err
	}
	if n == 0 {
		return wire.BadHeader("Content-Length")
	}
	body, err := x.body()
	if err != nil {
		return err
	}
	err = x.Blobs.PutBlock(x.r.Context(), at, x.query.Get("blockid"), body, n, func(b *content.Blob) error {
		if err := body.check(); err != nil {
			return err
		}
		if b == nil {
			return nil
		}
		if b.Kind != content.Block {
			return worded("InvalidBlobType")
		}
		return b.Lease.Allows(x.r.Header.Get("x-ms-lease-id"), x.now(), "Blob")
	})
	if err != nil {
		return err
	}
	x.w.Header().Set("Content-MD5", body.text())
	x.w.Header().Set("x-ms-request-server-encrypted", "false")
	return x.empty(http.StatusCreated)
}

// blockList reads the XML of Put Block List as it comes, and no more of it than such a list can have.
func blockList(r io.Reader) ([]content.Item, error) {
	const most = 8 << 20 // bytes: 50,000 blocks of 160
	places := map[string]content.From{"Latest": content.Latest, "Committed": content.Committed, "Uncommitted": content.Uncommitted}
	limited := &io.LimitedReader{R: r, N: most}
	d := xml.NewDecoder(limited)
	var items []content.Item
	root := false
	for {
		token, err := d.Token()
		if errors.Is(err, io.EOF) && root && limited.N > 0 {
			return items, nil
		}
		if err != nil {
			return nil, badXML(err)
		}
		element, ok := token.(xml.StartElement)
		switch place, known := places[element.Name.Local]; {
		case !ok:
		case !root && element.Name.Local == "BlockList":
			root = true
		case !root || !known:
			return nil, badXML(errors.New("unexpected element"))
		case len(items) == content.MaxBlocks:
			return nil, worded("BlockListTooLong")
		default:
			var id string
			if err := d.DecodeElement(&id, &element); err != nil {
				return nil, badXML(err)
			}
			items = append(items, content.Item{ID: strings.TrimSpace(id), From: place})
		}
	}
}

func (x *exchange) putBlockList() error {
	at, release, err := x.writing(writes)
	if err != nil {
		return err
	}
	defer release()
	next, err := x.described()
	if err != nil {
		return err
	}
	body, err := x.body()
	if err != nil {
		return err
	}
	items, err := blockList(body)
	if err != nil {
		return err
	}
	if err := body.check(); err != nil {
		return err
	}
	if err := x.Blobs.PutBlockList(x.r.Context(), at.Container, next, items, x.create()); err != nil {
		return err
	}
	return x.created(next)
}

type shownBlock struct {
	Name string
	Size int64
}

type shownBlocks struct {
	List []shownBlock `xml:"Block"`
}

type shownBlockList struct {
	XMLName     xml.Name     `xml:"BlockList"`
	Committed   *shownBlocks `xml:"CommittedBlocks"`
	Uncommitted *shownBlocks `xml:"UncommittedBlocks"`
}

func (x *exchange) getBlockList() error {
	if err := x.may(reads); err != nil {
		return err
	}
	at, err := x.address()
	if err != nil {
		return err
	}
	committed, fresh, err := x.Blobs.Blocks(x.r.Context(), at)
	if err != nil {
		return err
	}
	show := func(list []content.Part) *shownBlocks {
		out := &shownBlocks{}
		for _, p := range list {
			if p.ID != "" { // one that came in one piece has no blocks
				out.List = append(out.List, shownBlock{p.ID, p.Size})
			}
		}
		return out
	}
	var out shownBlockList
	switch kind := strings.ToLower(x.query.Get("blocklisttype")); kind {
	case "", "committed":
		out.Committed = show(committed)
	case "uncommitted":
		out.Uncommitted = show(fresh)
	case "all":
		out.Committed, out.Uncommitted = show(committed), show(fresh)
	default:
		return badQuery("blocklisttype")
	}
	web.Write(x.w, http.StatusOK, "application/xml", wire.Document(out))
	return nil
}

// putPage serves Put Page and Clear Pages.
func (x *exchange) putPage() error {
	at, release, err := x.writing(writes)
	if err != nil {
		return err
	}
	defer release()
	if x.r.Header.Get("x-ms-copy-source") != "" {
		return unsupportedHeader("x-ms-copy-source")
	}
	b, err := x.Blobs.Head(x.r.Context(), at)
	if err != nil {
		return err
	}
	if b.Kind != content.Page {
		return worded("InvalidBlobType")
	}
	off, n, err := wire.PageRange(x.r.Header, b.Size)
	if err != nil {
		return err
	}
	var buffer []byte
	switch how := x.r.Header.Get("x-ms-page-write"); {
	case strings.EqualFold(how, "clear"):
	case strings.EqualFold(how, "update"):
		if err := wire.PageLength(x.r, n); err != nil {
			return err
		}
		buffer = make([]byte, n)
		if err := wire.ReadPages(x.w, x.r, buffer); err != nil {
			return err
		}
	case how == "":
		return wire.MissingHeader("x-ms-page-write")
	default:
		return wire.BadHeader("x-ms-page-write")
	}
	b, err = x.Blobs.WritePages(x.r.Context(), b, x.held, func(u *image.Upload, may func() error) error {
		if buffer == nil {
			return u.ClearIf(may, off, n)
		}
		return u.WriteIf(may, buffer, off)
	})
	if errors.Is(err, image.ErrUpload) { // it is being made into an image
		return worded("PendingCopyOperation").Because(err)
	}
	if err != nil {
		return err
	}
	x.w.Header().Set("x-ms-blob-sequence-number", strconv.FormatInt(b.Sequence, 10))
	return x.created(b)
}

// getPages serves Get Page Ranges.
func (x *exchange) getPages() error {
	b, err := x.found()
	if err != nil {
		return err
	}
	pages, err := x.Blobs.Pages(b)
	if err != nil {
		return err
	}
	defer pages.Close()
	x.stamp(b)
	return wire.PageList(x.w, x.r, pages, b.Size)
}
