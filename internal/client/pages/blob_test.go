package pages

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"

	"vitrine/internal/image/extent"
	"vitrine/internal/image/format"
)

// pageBlob is as much of a page blob as an upload needs.
type pageBlob struct {
	mu   sync.Mutex
	data []byte
	puts int
}

func (p *pageBlob) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch r.Method + r.URL.Query().Get("comp") {
	case "GETpagelist":
		w.Header().Set("x-ms-blob-content-length", fmt.Sprint(len(p.data)))
		fmt.Fprint(w, "<PageList></PageList>")
	case "PUTpage":
		var from, to int64
		b, err := io.ReadAll(r.Body)
		if _, bad := fmt.Sscanf(r.Header.Get("x-ms-range"), "bytes=%d-%d", &from, &to); bad != nil || err != nil || to-from+1 != int64(len(b)) {
			http.Error(w, "bad range", http.StatusBadRequest)
			return
		}
		copy(p.data[from:], b)
		p.puts++
		w.WriteHeader(http.StatusCreated)
	default:
		http.Error(w, "unexpected", http.StatusBadRequest)
	}
}

// sparse is a disk that fails where it is read in vain.
type sparse struct {
	*bytes.Reader
	data []extent.Range
}

func (s sparse) NextData(off int64) (extent.Range, error) {
	for _, r := range s.data {
		if off < r.End {
			return extent.Range{Start: max(off, r.Start), End: r.End}, nil
		}
	}
	return extent.Range{}, io.EOF
}

func (s sparse) ReadAt(p []byte, off int64) (int, error) {
	next, err := s.NextData(off)
	if err != nil && off+window < s.Size() || err == nil && next.Start >= off+int64(len(p)) {
		return 0, fmt.Errorf("%d bytes at %d are a hole", len(p), off)
	}
	return s.Reader.ReadAt(p, off)
}

// Windows that are holes are not read, and the blob, its digest and the progress are as if they had been.
func TestUploadLeavesHoles(t *testing.T) {
	for _, size := range []int64{8 * window, 8*window + 1<<20} {
		for _, data := range [][]extent.Range{
			nil,
			{{Start: 0, End: 4096}},
			{{Start: 2*window - 4096, End: 2*window + 4096}, {Start: 5 * window, End: 5*window + 512}},
			{{Start: size - 512, End: size}},
			{{Start: 0, End: size}},
		} {
			disk := make([]byte, size)
			for _, r := range data {
				for i := r.Start; i < r.End; i++ {
					disk[i] = byte(1 + i%251)
				}
			}
			var sums []string
			for _, source := range []io.ReaderAt{sparse{bytes.NewReader(disk), data}, bytes.NewReader(disk)} {
				blob := &pageBlob{data: make([]byte, size+format.FooterSize)}
				server := httptest.NewServer(blob)
				var last int64
				b := Blob{URL: server.URL + "/?sig=x", HTTP: server.Client(), Progress: func(done, _ int64) { last = done }}
				err := b.UploadVHD(t.Context(), source, size)
				server.Close()
				if err != nil || !bytes.Equal(blob.data[:size], disk) || last != size {
					t.Fatalf("%d bytes, data %v: %v, told of %d", size, data, err, last)
				}
				sums = append(sums, b.Sum.String())
			}
			if sums[0] != sums[1] {
				t.Errorf("data %v: two digests", data)
			}
		}
	}
}
