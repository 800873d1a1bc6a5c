package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"time"

	"vitrine/internal/client/pages"
	"vitrine/internal/image/extent"
)

// blobServer is one that page blobs are sent to and read from, by the same client.
type blobServer struct {
	name    string
	missing error
	http    *http.Client
	proc    *process
	sent    int // how many
	upload  func(ctx context.Context, n int, size int64) (url string, finish func() error, err error)
	read    func(ctx context.Context) (url string, err error) // of what was sent last
}

const pageWorkers = 4

// rowBlob sends a VHD as a page blob and reads it by ranges.
func rowBlob(ctx context.Context, b *bench) error {
	size := b.size
	if size == 0 {
		size = 256 << 20 // Azurite takes its time
	}
	servers, end, err := b.blobServers(ctx)
	defer end()
	if err != nil {
		return err
	}
	up, down := b.growth("page-blob upload, wall", "s", mibOfData), b.growth("page-blob ranged download, wall", "s", mibOfData)
	for _, part := range parts() {
		t, err := b.transferOf(ctx, servers, size/part)
		if err != nil {
			return err
		}
		for _, way := range []struct {
			what string
			grow *growth
			cs   []contender
		}{{"page-blob upload of a VHD", up, t.ups}, {"page-blob ranged download", down, t.downs}} {
			got, err := b.turns(b.roundsOf(part), way.cs)
			if err != nil {
				return errors.Join(err, t.disk.Close())
			}
			way.grow.add(t.mib, way.cs, got, wallOf)
			if part == 1 {
				b.compare(line{What: way.what + ", throughput", Unit: "MiB/s", More: true, Target: 4, Data: t.note}, way.cs, got, valueOf)
				b.compare(line{What: way.what + ", server's CPU time", Unit: "s", Data: t.note}, way.cs, got, cpuOf)
			}
		}
		if err := t.disk.Close(); err != nil {
			return err
		}
	}
	return nil
}

// transfer is a disk on its way to each server, and back.
type transfer struct {
	disk       *os.File
	note       string
	mib        float64 // of data
	ups, downs []contender
}

func (b *bench) transferOf(ctx context.Context, servers []blobServer, size int64) (t transfer, err error) {
	var path string
	if path, t.note, err = b.cutDisk(ctx, "a", size); err != nil {
		return t, err
	}
	if t.disk, err = os.Open(path); err != nil {
		return t, err
	}
	st, err := t.disk.Stat()
	if err != nil {
		return t, err
	}
	stretches, data, err := beginning(t.disk, st.Size(), 0)
	t.mib = float64(data) / (1 << 20)
	for i := range servers {
		s := &servers[i]
		t.ups = append(t.ups, contender{name: s.name, missing: s.missing, run: func(int) (sample, error) { return s.send(ctx, t.disk, st.Size(), data) }})
		t.downs = append(t.downs, contender{name: s.name, missing: s.missing, run: func(int) (sample, error) { return s.receive(ctx, stretches, data) }})
	}
	return t, err
}

// send is an upload until the server has taken the last page and said so; what ours does with a finished upload is import.
func (s *blobServer) send(ctx context.Context, disk io.ReaderAt, size, data int64) (sample, error) {
	s.sent++
	target, finish, err := s.upload(ctx, s.sent, size)
	if err != nil {
		return sample{}, err
	}
	out, err := s.proc.during(func() error {
		p := pages.Blob{URL: target, HTTP: s.http, Workers: pageWorkers}
		return p.UploadVHD(ctx, disk, size)
	})
	if err != nil {
		return out, err
	}
	out.value = float64(data) / (1 << 20) / out.wall
	return out, finish()
}

// during measures the server while f runs.
func (p *process) during(f func() error) (s sample, err error) {
	before, err := p.cpu()
	if err != nil {
		return s, err
	}
	begin := time.Now()
	if err := f(); err != nil {
		return s, err
	}
	s.wall = since(begin)
	after, err := p.cpu()
	s.cpu = after - before
	return s, err
}

// receive reads all data in ranges of 4 MiB, as azcopy does, several at once.
func (s *blobServer) receive(ctx context.Context, stretches []extent.Range, data int64) (sample, error) {
	target, err := s.read(ctx)
	if err != nil {
		return sample{}, err
	}
	ranges, errs := make(chan extent.Range), make(chan error, pageWorkers)
	out, err := s.proc.during(func() error {
		for range pageWorkers {
			go func() { errs <- fetch(ctx, s.http, target, ranges) }()
		}
		feed(ctx, ranges, stretches)
		var failed error
		for range pageWorkers {
			if err := <-errs; err != nil {
				failed = err
			}
		}
		return failed
	})
	out.value = float64(data) / (1 << 20) / out.wall
	return out, err
}

func feed(ctx context.Context, ranges chan<- extent.Range, stretches []extent.Range) {
	defer close(ranges)
	for _, s := range stretches {
		for at := s.Start; at < s.End; at += 4 << 20 {
			select {
			case ranges <- extent.Range{Start: at, End: min(s.End, at+4<<20)}:
			case <-ctx.Done():
				return
			}
		}
	}
}

// fetch reads ranges until there are no more; after a failure it only drains them.
func fetch(ctx context.Context, h *http.Client, target string, ranges <-chan extent.Range) (failed error) {
	for r := range ranges {
		if failed != nil {
			continue
		}
		failed = fetchOne(ctx, h, target, r)
	}
	return failed
}

func fetchOne(ctx context.Context, h *http.Client, target string, r extent.Range) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, target, nil)
	if err != nil {
		return err
	}
	req.Header.Set("x-ms-version", "2020-10-02")
	req.Header.Set("x-ms-range", fmt.Sprintf("bytes=%d-%d", r.Start, r.End-1))
	res, err := h.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	n, err := io.Copy(io.Discard, res.Body)
	if err == nil && (res.StatusCode != http.StatusPartialContent || n != r.End-r.Start) {
		err = fmt.Errorf("%s and %d bytes, not %d", res.Status, n, r.End-r.Start)
	}
	return err
}

// blobServers starts both.
func (b *bench) blobServers(ctx context.Context) (list []blobServer, end func(), err error) {
	o, err := b.startOurs(ctx)
	if err != nil {
		return nil, func() {}, err
	}
	end = o.end
	if err := o.settle(ctx); err != nil {
		return nil, end, err
	}
	list = append(list, o.blobs())
	az := blobServer{name: "azurite", missing: b.azuriteMissing()}
	if az.missing == nil {
		a, err := b.startAzurite(ctx)
		if err != nil {
			return nil, end, err
		}
		end = func() { o.end(); a.end() }
		var sent string
		az.http, az.proc = a.http, a.process
		az.upload = func(ctx context.Context, n int, size int64) (string, func() error, error) {
			target, err := a.pageBlob(ctx, fmt.Sprintf("d%d", n), size+512)
			sent = target
			return target, func() error { return nil }, err
		}
		az.read = func(context.Context) (string, error) { return sent, nil }
	}
	return append(list, az), end, nil
}

// blobs is ours as a server of page blobs: disks behind signed URLs.
func (o *ours) blobs() blobServer {
	s := blobServer{name: "vitrine", http: o.http, proc: o.process}
	var sent, granted string
	s.upload = func(ctx context.Context, n int, size int64) (string, func() error, error) {
		id, target, err := o.uploadDisk(ctx, fmt.Sprintf("d%d", n), size+512)
		sent, granted = id, ""
		return target, func() error { return o.endAccess(ctx, id) }, err
	}
	s.read = func(ctx context.Context) (_ string, err error) {
		if granted == "" {
			granted, err = o.access(ctx, sent, "Read")
		}
		return granted, err
	}
	return s
}

// putPages sends one Put Page.
func (o *ours) putPages(ctx context.Context, target string, data []byte, off int64) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPut, target+"&comp=page", bytes.NewReader(data))
	if err != nil {
		return err
	}
	req.Header.Set("x-ms-version", "2020-10-02")
	req.Header.Set("x-ms-page-write", "update")
	req.Header.Set("x-ms-range", fmt.Sprintf("bytes=%d-%d", off, off+int64(len(data))-1))
	res, err := o.http.Do(req)
	if err != nil {
		return err
	}
	if err := drain(res); err != nil || res.StatusCode/100 != 2 {
		return errors.Join(err, fmt.Errorf("%s to a Put Page at %d", res.Status, off))
	}
	return nil
}
