package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"time"
)

const (
	getConnections = 8
	getFor         = 3 * time.Second
)

// getter is a request that is repeated.
type getter struct {
	http   *http.Client
	target string
	header map[string]string
	proc   *process
}

// rowGet reads an image version, with a token and its rights checked, beside what the peers give without.
func rowGet(ctx context.Context, b *bench) error {
	o, version, err := b.publishedSmall(ctx)
	if err != nil {
		return err
	}
	defer o.end()
	token, err := o.operator.Tokens(o.tenant.TenantID)(ctx)
	if err != nil {
		return err
	}
	cs := []contender{gets(ctx, "vitrine", nil, getter{o.http, armURL + version + "?api-version=" + versionGallery, map[string]string{"Authorization": "Bearer " + token.AccessToken}, o.process})}
	r, a := contender{name: "docker-registry", missing: found("docker-registry", "docker-registry")}, contender{name: "azurite", missing: b.azuriteMissing()}
	if r.missing == nil {
		reg, err := b.startRegistry(ctx)
		if err != nil {
			return err
		}
		defer reg.end()
		target, err := reg.manifest(ctx)
		if err != nil {
			return err
		}
		r = gets(ctx, r.name, nil, getter{&http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: getConnections}}, target, map[string]string{"Accept": "application/vnd.oci.image.index.v1+json"}, reg.process})
	}
	if a.missing == nil {
		az, err := b.startAzurite(ctx)
		if err != nil {
			return err
		}
		defer az.end()
		target := az.url(azuriteContainer+"/small", "", "")
		if err := az.put(ctx, target, make([]byte, 2048), map[string]string{"x-ms-blob-type": "BlockBlob"}); err != nil {
			return err
		}
		a = gets(ctx, a.name, nil, getter{az.http, target, map[string]string{"x-ms-version": "2020-10-02"}, az.process})
	}
	cs = append(cs, contender{name: "zot", missing: errZot}, r, a)
	got, err := b.turns(b.rounds, cs)
	if err != nil {
		return err
	}
	note := fmt.Sprintf("%d connections for %s; TLS: ours, azurite", getConnections, getFor)
	b.compare(line{What: "version GET with token and RBAC, requests", Unit: "/s", More: true, Target: 1, Data: note}, cs, got, valueOf)
	b.compare(line{What: "server's CPU time per 1000 requests", Unit: "s", Data: note}, cs, got, cpuOf)
	return nil
}

// publishedSmall is ours with one small image version.
func (b *bench) publishedSmall(ctx context.Context, args ...string) (o *ours, version string, err error) {
	if o, err = b.startOurs(ctx, args...); err != nil {
		return nil, "", err
	}
	defer func() {
		if err != nil {
			o.end()
		}
	}()
	if err := o.settle(ctx); err != nil {
		return nil, "", err
	}
	raw := filepath.Join(o.dir, "small.raw")
	if err := errors.Join(os.WriteFile(raw, []byte("small"), 0o600), os.Truncate(raw, 16<<20)); err != nil {
		return nil, "", err
	}
	version, err = o.publish(ctx, raw, "small", 0)
	return o, version, err
}

func gets(ctx context.Context, name string, missing error, g getter) contender {
	return contender{name: name, missing: missing, run: func(int) (sample, error) {
		if _, err := g.hammer(ctx, getFor/6); err != nil { // the connections open, the caches fill
			return sample{}, err
		}
		var took []float64
		s, err := g.proc.during(func() (err error) {
			took, err = g.hammer(ctx, getFor)
			return err
		})
		s.value = float64(len(took)) / s.wall
		s.cpu *= 1000 / float64(len(took))
		return s, err
	}}
}

// hammer asks on all connections for a time and gives what each request took, in seconds.
func (g getter) hammer(ctx context.Context, d time.Duration) (took []float64, failed error) {
	ctx, cancel := context.WithTimeout(ctx, d+30*time.Second)
	defer cancel()
	end := time.Now().Add(d)
	var mu sync.Mutex
	var all sync.WaitGroup
	for range getConnections {
		all.Go(func() {
			var mine []float64
			var err error
			for err == nil && time.Now().Before(end) {
				begin := time.Now()
				err = g.once(ctx)
				mine = append(mine, since(begin))
			}
			mu.Lock()
			defer mu.Unlock()
			took = append(took, mine...)
			failed = errors.Join(failed, err)
		})
	}
	all.Wait()
	return took, failed
}

func (g getter) once(ctx context.Context) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, g.target, nil)
	if err != nil {
		return err
	}
	for k, v := range g.header {
		req.Header.Set(k, v)
	}
	res, err := g.http.Do(req)
	if err != nil {
		return err
	}
	if err := drain(res); err != nil || res.StatusCode != http.StatusOK {
		return errors.Join(err, fmt.Errorf("%s to a GET", res.Status))
	}
	return nil
}
