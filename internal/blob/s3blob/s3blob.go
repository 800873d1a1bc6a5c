// Package s3blob is the back-end of blob that keeps each object as an object of an S3 server.
//
// It owns the address and the credentials of one bucket there, what S3's answers mean, and how often a request is tried. Keys stand
// below a prefix, so that several buckets of ours share one of S3's:
//
//	s3://BUCKET/PREFIX ── Parse ──▶ Config ── Dial ──▶ Server ── Bucket("eastus") ──▶ BUCKET: PREFIX/eastus/chunks/t1/ab/abcd…
//
//	Put      PUT with If-None-Match: *; refused means that the key exists
//	Replace  PUT
//	Batch    gathers objects, then puts many at once
//
// What S3 acknowledges is taken for durable. Nothing relies on a conditional put being honoured: objects that may be put by two are
// named by their content, so a server without it stores the same bytes twice.
package s3blob

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"

	"vitrine/internal/blob"
)

const (
	tries      = 5 // requests for one thing, with pauses that grow; minio-go makes them
	bodyTries  = 3 // answers that broke off in their middle
	maxPage    = 1000
	dialWait   = 10 * time.Second
	idleLimit  = 64 // connections that are kept: as many as parallel uploads
	answerWait = time.Minute
)

// Server is a bucket of an S3 server, opened.
type Server struct {
	c      *minio.Core
	bucket string
	prefix string
}

// Dial prepares to use the bucket and asks whether it is there.
func Dial(ctx context.Context, c Config) (*Server, error) {
	if err := c.check(); err != nil {
		return nil, err
	}
	keys, err := c.credentials()
	if err != nil {
		return nil, err
	}
	transport, err := minio.DefaultTransport(!c.Plain)
	if err != nil {
		return nil, fmt.Errorf("s3: %w", err)
	}
	transport.DialContext = (&net.Dialer{Timeout: dialWait, KeepAlive: 30 * time.Second}).DialContext
	transport.MaxIdleConnsPerHost, transport.ResponseHeaderTimeout = idleLimit, answerWait
	if c.CAFile != "" {
		if transport.TLSClientConfig.RootCAs, err = c.roots(); err != nil {
			return nil, err
		}
	}
	lookup := minio.BucketLookupPath
	if c.Virtual {
		lookup = minio.BucketLookupDNS
	}
	core, err := minio.NewCore(c.Endpoint, &minio.Options{Creds: credentials.NewStaticV4(keys.id, keys.secret, keys.token), Secure: !c.Plain,
		Transport: transport, Region: c.Region, BucketLookup: lookup, MaxRetries: tries})
	if err != nil {
		return nil, fmt.Errorf("s3: %w", err)
	}
	s := &Server{core, c.Bucket, c.Prefix}
	there, err := core.BucketExists(ctx, c.Bucket)
	if err != nil {
		return nil, fmt.Errorf("s3: bucket %s of %s: %w", c.Bucket, c.Endpoint, meaning(ctx, err))
	}
	if !there {
		return nil, fmt.Errorf("s3: %s has no bucket %s", c.Endpoint, c.Bucket)
	}
	return s, nil
}

// Bucket gives the objects below PREFIX/name, or below PREFIX if name is empty.
func (s *Server) Bucket(name string) *blob.Bucket {
	root := ""
	for _, part := range []string{s.prefix, name} {
		if part != "" {
			root += part + "/"
		}
	}
	return blob.New(&driver{s, root})
}

// driver is the keys below root, which is empty or ends in a slash.
type driver struct {
	*Server
	root string
}

func (d *driver) put(ctx context.Context, key string, data []byte, once bool) error {
	options := minio.PutObjectOptions{ContentType: "application/octet-stream", DisableMultipart: true,
		DisableContentSha256: len(data) == 0} // minio-go signs nothing as a stream, and then sends none
	if once {
		options.SetMatchETagExcept("*")
	}
	_, err := d.c.Client.PutObject(ctx, d.bucket, d.root+key, bytes.NewReader(data), int64(len(data)), options)
	return meaning(ctx, err)
}

func (d *driver) Put(ctx context.Context, key string, data []byte) (bool, error) {
	if err := ctx.Err(); err != nil {
		return false, err
	}
	err := d.put(ctx, key, data, true)
	switch {
	case errors.Is(err, errExists):
		return false, nil
	case errors.Is(err, errUnconditional):
		if _, err := d.Stat(ctx, key); err == nil || !errors.Is(err, blob.ErrNotFound) {
			return false, err
		}
		err = d.put(ctx, key, data, false)
		return err == nil, worded("put", key, err)
	}
	return err == nil, worded("put", key, err)
}

func (d *driver) Replace(ctx context.Context, key string, data []byte) error {
	return worded("replace", key, d.put(ctx, key, data, false))
}

func (d *driver) Get(ctx context.Context, key string, offset, length int64) ([]byte, error) {
	if length == 0 { // no range of HTTP's says it
		i, err := d.Stat(ctx, key)
		if err == nil && offset > i.Size {
			err = fmt.Errorf("%w: %d bytes from %d of %q, which has %d", blob.ErrRange, length, offset, key, i.Size)
		}
		return nil, err
	}
	for try := 1; ; try++ {
		data, err := d.get(ctx, key, offset, length)
		if !errors.Is(err, errBroken) || try == bodyTries || ctx.Err() != nil {
			return data, worded("get", key, err)
		}
	}
}

func (d *driver) get(ctx context.Context, key string, offset, length int64) ([]byte, error) {
	var options minio.GetObjectOptions
	if length > 0 {
		if err := options.SetRange(offset, offset+length-1); err != nil {
			return nil, fmt.Errorf("%w: %w", blob.ErrRange, err)
		}
	}
	body, info, _, err := d.c.GetObject(ctx, d.bucket, d.root+key, options)
	if err != nil {
		return nil, meaning(ctx, err)
	}
	defer body.Close()
	switch {
	case length < 0:
		length = info.Size
	case info.Size < length:
		return nil, fmt.Errorf("%w: %d bytes from %d, %d are there", blob.ErrRange, length, offset, info.Size)
	case info.Size > length:
		return nil, errors.New("the server answers a range with more than it")
	}
	if length > blob.MaxObject {
		return nil, fmt.Errorf("%w: %d bytes", blob.ErrTooLarge, length)
	}
	if length < 0 {
		return nil, errors.New("the server does not say how many bytes follow")
	}
	data := make([]byte, length)
	if _, err := io.ReadFull(body, data); err != nil {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		return nil, fmt.Errorf("%w: %w", errBroken, err)
	}
	return data, nil
}

func (d *driver) Stat(ctx context.Context, key string) (blob.Info, error) {
	i, err := d.c.StatObject(ctx, d.bucket, d.root+key, minio.StatObjectOptions{})
	if err != nil {
		return blob.Info{}, worded("stat", key, meaning(ctx, err))
	}
	return blob.Info{Key: key, Size: i.Size, Modified: i.LastModified}, nil
}

// List asks for pages until it has enough. The callers walk by the order of keys, so a server that has another is refused.
func (d *driver) List(ctx context.Context, prefix, after string, limit int) ([]blob.Info, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if after != "" && after > prefix && !strings.HasPrefix(after, prefix) {
		return nil, nil // all that begin with prefix are before; servers differ in what they say to that
	}
	owner := false
	options := minio.ListObjectsOptions{Prefix: d.root + prefix, Recursive: true, MaxKeys: min(limit, maxPage), FetchOwner: &owner}
	if after > prefix {
		options.StartAfter = d.root + after
	}
	var infos []blob.Info
	last := d.root + after
	for o := range d.c.ListObjectsIter(ctx, d.bucket, options) {
		if o.Err != nil {
			return nil, fmt.Errorf("list %q: %w", prefix, meaning(ctx, o.Err))
		}
		if o.Key <= last && (len(infos) > 0 || after != "") {
			return nil, fmt.Errorf("list %q: the server lists %q after %q: it has another order than S3's", prefix, o.Key, last)
		}
		key, ours := strings.CutPrefix(o.Key, d.root)
		if last = o.Key; !ours || blob.CheckKey(key) != nil {
			continue // somebody else's, such as a console's mark of a folder
		}
		if infos = append(infos, blob.Info{Key: key, Size: o.Size, Modified: o.LastModified}); len(infos) == limit {
			break
		}
	}
	return infos, ctx.Err()
}

func (d *driver) Delete(ctx context.Context, key string) error {
	err := meaning(ctx, d.c.RemoveObject(ctx, d.bucket, d.root+key, minio.RemoveObjectOptions{}))
	if errors.Is(err, blob.ErrNotFound) {
		return nil
	}
	return worded("delete", key, err)
}

// pair is a key of the bucket's owner.
type pair struct{ id, secret, token string }

// environment reads the variables that every client of S3 knows.
func environment() pair {
	return pair{os.Getenv("AWS_ACCESS_KEY_ID"), os.Getenv("AWS_SECRET_ACCESS_KEY"), os.Getenv("AWS_SESSION_TOKEN")}
}
