// Package pages is what a client does with a page blob behind a signed URL: it sends a disk as a fixed VHD, and reads one into a
// file or a stream.
//
// It owns the requests, their repetition, and how each direction is gone on with after a cut. It does not know where a signed URL
// comes from. Data passes like this:
//
//	raw disk ─▶ Blob.UploadVHD ─▶ Put Page …          Get Blob (ranges) … ─▶ Blob.Download ─▶ format.Plan ─▶ Target ─▶ file
package pages

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"vitrine/internal/image/extent"
	"vitrine/internal/image/format"
	"vitrine/internal/image/pace"
)

const (
	window    = 4 << 20 // bytes of one Put Page at most
	pageTries = 6
)

// Blob is a managed disk's page blob behind a signed URL.
type Blob struct {
	URL      string
	HTTP     *http.Client
	Workers  int                     // requests at once; 0: 4
	Source   string                  // names what is uploaded, such as a file's path, size and time; empty: never resumed
	Progress func(done, total int64) // may be nil; calls do not overlap
	Sum      Sum                     // of the disk that was sent or received, at the end
}

// Error is an error that the Blob service answered.
type Error struct {
	Status  int
	Code    string `xml:"Code"`
	Message string `xml:"Message"`
}

func (e *Error) Error() string {
	first, _, _ := strings.Cut(e.Message, "\n")
	return fmt.Sprintf("%d %s: %s", e.Status, e.Code, first)
}

// UploadVHD sends the disk in r, size bytes, as a fixed VHD. Zeros are not sent. An upload of the same Source that was
// cut off goes on: until the end the last page holds a mark instead of the footer, so that half an upload is never taken
// for a disk, and pages that are there are not sent again. Anything else that is there is cleared first.
func (b *Blob) UploadVHD(ctx context.Context, r io.ReaderAt, size int64) error {
	there, err := b.begin(ctx, size)
	if err != nil {
		return fmt.Errorf("upload: %w", err)
	}
	b.Sum.begin(size)
	u := &upload{Blob: b, source: r, size: size, there: there}
	if err := u.run(ctx); err != nil {
		return fmt.Errorf("upload: %w", err)
	}
	footer := format.VHDFooter(size)
	if err := b.put(ctx, footer[:], size); err != nil {
		return fmt.Errorf("upload: footer: %w", err)
	}
	return nil
}

// mark is the page that stands where the footer will be.
func (b *Blob) mark(size int64) []byte {
	page := make([]byte, format.FooterSize)
	sum := sha256.Sum256(fmt.Appendf(nil, "%d\n%s", size, b.Source))
	copy(page, "vitrine upload under way")
	copy(page[32:], sum[:])
	return page
}

// begin returns the pages that an earlier upload of this source has sent; else it clears the blob and marks it.
func (b *Blob) begin(ctx context.Context, size int64) ([]format.Span, error) {
	there, total, err := b.ranges(ctx)
	if err != nil {
		return nil, err
	}
	if total != size+format.FooterSize {
		return nil, fmt.Errorf("the disk takes %d bytes, this image has %d with its VHD footer", total, size+format.FooterSize)
	}
	mark := b.mark(size)
	if len(there) > 0 {
		last, err := b.do(ctx, http.MethodGet, "", nil, map[string]string{"x-ms-range": fmt.Sprintf("bytes=%d-%d", size, total-1)})
		if err != nil {
			return nil, err
		}
		if b.Source != "" && bytes.Equal(last.body, mark) {
			return there, nil
		}
		if _, err := b.do(ctx, http.MethodPut, "page", nil, map[string]string{
			"x-ms-page-write": "clear", "x-ms-range": fmt.Sprintf("bytes=0-%d", total-1)}); err != nil {
			return nil, err
		}
	}
	return nil, b.put(ctx, mark, size)
}

// Content tells where in the disk something lies, and how large it is without the VHD footer.
func (b *Blob) Content(ctx context.Context) (spans []format.Span, size int64, err error) {
	list, total, err := b.ranges(ctx)
	if err != nil {
		return nil, 0, err
	}
	if size = total - format.FooterSize; size <= 0 {
		return nil, 0, fmt.Errorf("a blob of %d bytes is no VHD", total)
	}
	for _, s := range list {
		if s.Start < size {
			spans = append(spans, format.Span{Start: s.Start, End: min(s.End, size)})
		}
	}
	return spans, size, nil
}

func (b *Blob) ranges(ctx context.Context) (spans []format.Span, total int64, err error) {
	for marker := ""; ; {
		query := "pagelist"
		if marker != "" {
			query += "&marker=" + marker
		}
		a, err := b.do(ctx, http.MethodGet, query, nil, nil)
		if err != nil {
			return nil, 0, err
		}
		var list struct {
			Ranges []struct{ Start, End int64 } `xml:"PageRange"`
			Marker string                       `xml:"NextMarker"`
		}
		if err := xml.Unmarshal(bytes.TrimPrefix(a.body, []byte("\ufeff")), &list); err != nil {
			return nil, 0, fmt.Errorf("page list: %w", err)
		}
		for _, r := range list.Ranges {
			spans = append(spans, format.Span{Start: r.Start, End: r.End + 1})
		}
		if list.Marker == "" || list.Marker == marker {
			total, err = strconv.ParseInt(a.header.Get("x-ms-blob-content-length"), 10, 64)
			return spans, total, err
		}
		marker = list.Marker
	}
}

func (b *Blob) put(ctx context.Context, data []byte, off int64) error {
	_, err := b.do(ctx, http.MethodPut, "page", data, map[string]string{
		"x-ms-page-write": "update", "x-ms-range": fmt.Sprintf("bytes=%d-%d", off, off+int64(len(data))-1)})
	return err
}

// answer is a response that was read.
type answer struct {
	header http.Header
	body   []byte
}

// do sends a request, again after a pause when the network or the server failed. All requests here may be repeated.
func (b *Blob) do(ctx context.Context, method, comp string, body []byte, header map[string]string) (answer, error) {
	pause := 200 * time.Millisecond
	for try := 1; ; try++ {
		a, err := b.once(ctx, method, comp, body, header)
		var refused *Error
		lasting := errors.As(err, &refused) && refused.Status < 500 && refused.Status != http.StatusTooManyRequests
		if err == nil || lasting || try == pageTries || ctx.Err() != nil {
			return a, err
		}
		if err := pace.Sleep(ctx, pause); err != nil {
			return a, err
		}
		pause *= 2
	}
}

func (b *Blob) once(ctx context.Context, method, comp string, body []byte, header map[string]string) (answer, error) {
	target := b.URL
	if comp != "" {
		target += "&comp=" + comp
	}
	req, err := http.NewRequestWithContext(ctx, method, target, bytes.NewReader(body))
	if err != nil {
		return answer{}, errors.New("the signed URL is malformed") // err would show its signature
	}
	req.Header.Set("x-ms-version", "2020-10-02")
	for name, value := range header {
		req.Header.Set(name, value)
	}
	res, err := b.HTTP.Do(req)
	if err != nil {
		return answer{}, hideURL(err)
	}
	defer res.Body.Close()
	data, err := io.ReadAll(io.LimitReader(res.Body, 64<<20))
	if err != nil {
		return answer{}, err
	}
	if res.StatusCode/100 == 2 {
		return answer{res.Header, data}, nil
	}
	e := &Error{}
	if xml.Unmarshal(bytes.TrimPrefix(data, []byte("\ufeff")), e) != nil || e.Code == "" {
		e.Code, e.Message = res.Header.Get("x-ms-error-code"), http.StatusText(res.StatusCode)
	}
	e.Status = res.StatusCode
	return answer{}, e
}

// hideURL drops the URL from a transport's error: it is a secret.
func hideURL(err error) error {
	var with *url.Error
	if errors.As(err, &with) {
		return with.Err
	}
	return err
}

// upload is one run of UploadVHD.
type upload struct {
	*Blob
	source io.ReaderAt
	size   int64
	there  []format.Span

	mu   sync.Mutex
	done int64
}

func (u *upload) run(ctx context.Context) error {
	workers := u.Workers
	if workers <= 0 {
		workers = 4
	}
	g, ctx := errgroup.WithContext(ctx)
	next := make(chan int64)
	g.Go(func() error {
		defer close(next)
		for at := int64(0); at < u.size; at += window {
			blank, err := u.blank(at)
			if err != nil {
				return err
			}
			if at += blank; at == u.size {
				break
			}
			select {
			case next <- at:
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		return nil
	})
	for range workers {
		g.Go(func() error {
			buffer := make([]byte, window)
			for at := range next {
				if err := u.send(ctx, buffer[:min(window, u.size-at)], at); err != nil {
					return err
				}
			}
			return nil
		})
	}
	return g.Wait()
}

// blank counts the whole windows from at on that are holes: they are neither read nor sent.
func (u *upload) blank(at int64) (int64, error) {
	data, err := extent.Next(u.source, at, u.size)
	end := data.Start / window * window
	if errors.Is(err, io.EOF) {
		end, err = u.size, nil
	}
	if err == nil && end > at {
		u.advance(end - at)
	}
	return max(end-at, 0), err
}

// send sends what is missing of one stretch of the disk.
func (u *upload) send(ctx context.Context, b []byte, at int64) error {
	if n, err := u.source.ReadAt(b, at); n < len(b) {
		return fmt.Errorf("read %d bytes at %d: %w", len(b), at, err)
	}
	u.Sum.add(at, b)
	if first, last := u.missing(b, at); first < last {
		if err := u.put(ctx, b[first:last], at+int64(first)); err != nil {
			return fmt.Errorf("pages at %d: %w", at+int64(first), err)
		}
	}
	u.advance(int64(len(b)))
	return nil
}

// advance counts bytes of the disk that are done.
func (u *upload) advance(n int64) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.done += n
	if u.Progress != nil {
		u.Progress(u.done, u.size)
	}
}

// missing gives the bounds of the pages in b that are neither zero nor there already.
func (u *upload) missing(b []byte, at int64) (first, last int) {
	var blank [512]byte
	for i := 0; i < len(b); i += len(blank) {
		if bytes.Equal(b[i:i+len(blank)], blank[:]) || u.has(at+int64(i)) {
			continue
		}
		if last == 0 {
			first = i
		}
		last = i + len(blank)
	}
	return first, last
}

// has says whether the page at off is there.
func (u *upload) has(off int64) bool {
	lo, hi := 0, len(u.there)
	for lo < hi {
		if mid := (lo + hi) / 2; u.there[mid].End <= off {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	return lo < len(u.there) && u.there[lo].Start <= off
}
