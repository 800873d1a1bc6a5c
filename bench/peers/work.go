package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"runtime/pprof"
	"sync"

	"vitrine/internal/blob"
	"vitrine/internal/blob/fileblob"
	"vitrine/internal/digest"
	"vitrine/internal/image"
	"vitrine/internal/image/lazy"
	"vitrine/internal/image/nbd"
	"vitrine/internal/image/packs"
	"vitrine/internal/seal"
	"vitrine/internal/store"
	"vitrine/internal/store/sqlstore"
)

const (
	domain = "11111111-0000-4000-8000-000000000001"
	home   = "eastus"
	other  = "westeurope"
)

// imageStore opens an image store with all that a server gives it: SQLite, files, a master key.
func imageStore(dir string) (s *image.Store, closing func() error, err error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, nil, err
	}
	sealer, err := seal.Load(filepath.Join(dir, "master.key"))
	if err != nil {
		return nil, nil, err
	}
	d, err := sqlstore.OpenSQLite(filepath.Join(dir, "vitrine.db"))
	if err != nil {
		return nil, nil, err
	}
	docs := store.New(d)
	s, err = image.New(image.Config{Store: docs, Dir: filepath.Join(dir, "image"), Buckets: buckets(dir, docs), Sealer: sealer})
	if err != nil {
		return nil, nil, errors.Join(err, docs.Close())
	}
	return s, func() error { return errors.Join(s.Close(), docs.Close()) }, nil
}

// buckets are a data folder's, as the server opens them.
func buckets(dir string, docs *store.Store) func(string) (*blob.Bucket, error) {
	var mu sync.Mutex
	open := map[string]*blob.Bucket{}
	return func(region string) (*blob.Bucket, error) {
		mu.Lock()
		defer mu.Unlock()
		if open[region] != nil {
			return open[region], nil
		}
		files, err := fileblob.Open(filepath.Join(dir, "regions", region))
		if err != nil {
			return nil, err
		}
		b, err := packs.New(packs.Config{Bucket: files, Store: docs, Region: region}.InFiles())
		if err == nil {
			open[region] = b
		}
		return b, err
	}
}

// work is what this program does as a process of its own, so that its CPU time is measured as that of the peers is:
//
//	peers work pack DIR RAW       prints the reference
//	peers work unpack DIR REF     prints the path of the raw file
//	peers work replicate DIR REF
//	peers work nbd DIR REF SOCKET serves until it is ended
func work(ctx context.Context, args []string) (err error) {
	if path := os.Getenv("VITRINE_BENCH_PROFILE"); path != "" {
		f, err := os.Create(path)
		if err != nil {
			return err
		}
		if err := pprof.StartCPUProfile(f); err != nil {
			return err
		}
		defer pprof.StopCPUProfile()
	}
	if len(args) < 3 {
		return errors.New("work pack|unpack|replicate|nbd DIR …")
	}
	s, closing, err := imageStore(args[1])
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, closing()) }()
	if args[0] == "pack" {
		return pack(ctx, s, args[2])
	}
	var ref image.Ref
	if err := json.Unmarshal([]byte(args[2]), &ref); err != nil {
		return err
	}
	switch args[0] {
	case "unpack":
		path, err := s.Base(ctx, home, ref)
		fmt.Println(path)
		return err
	case "replicate":
		return s.Replicate(ctx, ref, home, other, nil)
	case "nbd":
		return serveNBD(ctx, s, ref, args[3])
	}
	return fmt.Errorf("no work %q", args[0])
}

func pack(ctx context.Context, s *image.Store, path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return err
	}
	ref, err := s.Pack(ctx, home, domain, f, st.Size(), nil)
	if err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(ref)
}

// serveNBD shows a disk to whoever connects, as machines get it: what is read is fetched from its chunks, verified and kept in a sparse
// file. The background, which fetches the rest while no guest waits, rests.
func serveNBD(ctx context.Context, s *image.Store, ref image.Ref, socket string) error {
	r, err := s.Open(ctx, home, ref)
	if err != nil {
		return err
	}
	id, err := digest.ParseHex(ref.ID)
	if err != nil {
		return err
	}
	path := filepath.Join(filepath.Dir(socket), fmt.Sprintf("base-%d.raw", os.Getpid())) // a new one each time: cold
	if err := lazy.Create(path, r.Size()); err != nil {
		return err
	}
	base, err := lazy.Open(lazy.Config{Path: path, ID: id, Size: r.Size(), Entries: r.All(), Fetch: r.Fetch})
	if err != nil {
		return err
	}
	l, err := net.Listen("unix", socket)
	if err != nil {
		return errors.Join(err, base.Close())
	}
	context.AfterFunc(ctx, func() { l.Close() })
	var clients sync.WaitGroup
	for {
		c, err := l.Accept()
		if err != nil { // it was closed: the end
			clients.Wait()
			return errors.Join(base.Close(), lazy.Remove(path))
		}
		clients.Go(func() {
			defer c.Close()
			_ = nbd.ServeNamed(c, func(string) (nbd.Export, error) { return nbd.Export{Reader: base, Size: r.Size()}, nil })
		})
	}
}
