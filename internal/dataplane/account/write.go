package account

import (
	"bytes"
	"crypto/md5" // the protocol's checksum, not a protection
	"encoding/base64"
	"encoding/xml"
	"errors"
	"hash"
	"io"
	"net/http"
	"strconv"
	"strings"
	"syscall"

	"vitrine/internal/dataplane/wire"
	"vitrine/internal/image"
	"vitrine/internal/provider/storage/content"
	"vitrine/internal/web"
)

// writing checks what every write needs, and bounds how many bodies are in memory.
func (x *exchange) writing(r right) (release func(), err error) {
	if err := x.may(r); err != nil {
		return nil, err
	}
	if !x.bodies.take(x.account.UniqueID) {
		return nil, wire.Busy("The server is busy with other writes. Please try again after some time.")
	}
	return func() { x.bodies.give(x.account.UniqueID) }, nil
}

// full words a disk without room.
func full(err error) error {
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) || errors.Is(err, syscall.EFBIG) {
		return wire.Busy("The server's disk is full.").Because(err)
	}
	return err
}

// length checks the body's length, which must be told.
func (x *exchange) length(most int64) (int64, error) {
	switch n := x.r.ContentLength; {
	case n < 0:
		return 0, wire.Fail(http.StatusLengthRequired, "MissingContentLengthHeader", "The content length header was not specified.")
	case n > most:
		return 0, wire.Fail(http.StatusRequestEntityTooLarge, "RequestBodyTooLarge", "The request body is too large and exceeds the maximum permissible limit.")
	default:
		return n, nil
	}
}

// putBlob serves Put Blob, and Copy Blob, which is the same with a source.
func (x *exchange) putBlob() error {
	if x.r.Header.Get("x-ms-copy-source") != "" {
		return x.copyBlob()
	}
	release, err := x.writing(creates)
	if err != nil {
		return err
	}
	defer release()
	at, err := x.address()
	if err != nil {
		return err
	}
	metadata, err := x.metadata()
	if err != nil {
		return err
	}
	next := &content.Blob{Name: x.blob, Metadata: metadata, Headers: x.headers()}
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
		return full(err)
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
			next.Headers.MD5 = base64.StdEncoding.EncodeToString(body.sum.Sum(nil))
		}
		x.w.Header().Set("Content-MD5", base64.StdEncoding.EncodeToString(body.sum.Sum(nil)))
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
	s := &summed{sum: md5.New()}
	s.Reader = io.TeeReader(x.r.Body, s.sum)
	if sent := x.r.Header.Get("Content-MD5"); sent != "" {
		want, err := base64.StdEncoding.DecodeString(sent)
		if err != nil || len(want) != md5.Size {
			return nil, wire.Fail(http.StatusBadRequest, "InvalidMd5", "The MD5 value specified in the request is invalid. The MD5 value must be 128 bits and Base64-encoded.")
		}
		s.want = want
	}
	return s, nil
}

func (s *summed) check() error {
	if s.want != nil && !bytes.Equal(s.want, s.sum.Sum(nil)) {
		return wire.Fail(http.StatusBadRequest, "Md5Mismatch", "The MD5 value specified in the request did not match with the MD5 value calculated by the server.")
	}
	return nil
}

const maxBlock = 4000 << 20 // bytes of one block

func (x *exchange) putBlock() error {
	release, err := x.writing(writes)
	if err != nil {
		return err
	}
	defer release()
	if x.r.Header.Get("x-ms-copy-source") != "" {
		return unsupportedHeader("x-ms-copy-source")
	}
	at, err := x.address()
	if err != nil {
		return err
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
		return full(err)
	}
	x.w.Header().Set("Content-MD5", base64.StdEncoding.EncodeToString(body.sum.Sum(nil)))
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
	release, err := x.writing(writes)
	if err != nil {
		return err
	}
	defer release()
	at, err := x.address()
	if err != nil {
		return err
	}
	metadata, err := x.metadata()
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
	next := &content.Blob{Name: x.blob, Metadata: metadata, Headers: x.headers()}
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

const maxPageWrite = 4 << 20

// putPage serves Put Page and Clear Pages.
func (x *exchange) putPage() error {
	release, err := x.writing(writes)
	if err != nil {
		return err
	}
	defer release()
	if x.r.Header.Get("x-ms-copy-source") != "" {
		return unsupportedHeader("x-ms-copy-source")
	}
	at, err := x.address()
	if err != nil {
		return err
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
		if buffer, err = x.pages(n); err != nil {
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
		return full(err)
	}
	x.w.Header().Set("x-ms-blob-sequence-number", strconv.FormatInt(b.Sequence, 10))
	return x.created(b)
}

// pages reads the body of a Put Page.
func (x *exchange) pages(n int64) ([]byte, error) {
	if n > maxPageWrite {
		return nil, wire.Fail(http.StatusRequestEntityTooLarge, "RequestBodyTooLarge", "The request body is too large and exceeds the maximum permissible limit: one Put Page has 4 MiB at most.")
	}
	sent, err := x.length(maxPageWrite)
	if err != nil {
		return nil, err
	}
	if sent != n {
		return nil, wire.BadHeader("Content-Length")
	}
	body, err := x.body()
	if err != nil {
		return nil, err
	}
	buffer := make([]byte, n)
	if _, err := io.ReadFull(body, buffer); err != nil {
		return nil, worded("IncompleteBody").Because(err)
	}
	return buffer, body.check()
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
