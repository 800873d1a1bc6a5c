package gallery_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"vitrine/internal/blob"
	"vitrine/internal/operation"
	"vitrine/internal/store"
)

// gated is a bucket that takes an object each time the test lets it.
type gated struct {
	*blob.Bucket
	gate chan struct{}
}

// Get implements blob.Driver.
func (g *gated) Get(ctx context.Context, key string, offset, length int64) ([]byte, error) {
	if offset == 0 && length < 0 {
		return g.Bucket.Get(ctx, key)
	}
	return g.GetRange(ctx, key, offset, length)
}

// Batch implements blob.Driver.
func (g *gated) Batch(ctx context.Context) (blob.Batch, error) {
	b, err := g.Bucket.Batch(ctx)
	return gatedBatch{b, g.gate}, err
}

type gatedBatch struct {
	blob.Batch
	gate chan struct{}
}

// Put implements blob.Batch.
func (g gatedBatch) Put(ctx context.Context, key string, data []byte) error {
	select {
	case <-g.gate:
	case <-ctx.Done():
		return ctx.Err()
	}
	return g.Batch.Put(ctx, key, data)
}

// status reads where a version is.
func (w *world) status(path string) map[string]any {
	w.Helper()
	return at(w.get(inA, path+"?$expand=ReplicationStatus"), "properties.replicationStatus").(map[string]any)
}

// until waits for a condition that other goroutines bring about.
func (w *world) until(what string, ok func() bool) {
	w.Helper()
	end := time.Now().Add(2 * time.Minute)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		if time.Now().After(end) {
			w.Fatalf("%s did not come", what)
		}
		<-tick.C
	}
}

// While the bytes travel to one region, its progress moves with them and the other can be used; the PUT goes on till all have it.
func TestProgress(t *testing.T) {
	w := newWorld(t)
	gate := make(chan struct{})
	w.gates["westus2"] = gate
	w.shop()
	chunks := w.objects("eastus") - 1 // less the manifest
	r, err := w.do(inA, "PUT", versionA, version(","+regions("eastus", "westus2")))
	w.must(err)
	w.until("eastus", func() bool {
		return strings.Contains(fmt.Sprint(w.status(versionA)), "progress:100 region:East US state:Completed")
	})
	seen := w.status(versionA)
	if seen["aggregatedState"] != "InProgress" || !strings.Contains(fmt.Sprint(seen), "progress:0 region:West US 2 state:Replicating") {
		t.Errorf("%v", seen)
	}
	for region, want := range map[string]bool{"eastus": true, "westus2": false} {
		err := w.view(func(tx store.Tx) error {
			_, err := w.galleries.Resolve(tx, versionA, region)
			return err
		})
		if (err == nil) != want {
			t.Errorf("%s while replicating: %v", region, err)
		}
	}
	progress := func() (n float64) {
		for _, line := range w.status(versionA)["summary"].([]any) {
			if m := line.(map[string]any); m["region"] == "West US 2" {
				n = m["progress"].(float64)
			}
		}
		return n
	}
	last := 0.0
	for i := range chunks - 1 {
		gate <- struct{}{}
		if i < chunks/2 {
			continue
		}
		w.until("progress", func() bool { return progress() >= float64(100*(i-2)/chunks-5) }) // two more may be in the workers' hands
		if p := progress(); p < last || p > 99 {
			t.Errorf("progress %v after %v, with %d of %d chunks there", p, last, i+1, chunks)
		} else {
			last = p
		}
	}
	if last < 50 {
		t.Errorf("progress ended at %v", last)
	}
	if s := fmt.Sprint(at(w.get(inA, versionA), "properties.provisioningState")); s != "Creating" {
		t.Errorf("state %s while bytes are missing", s)
	}
	close(gate)
	if o := w.wait(r); o.Status != operation.Succeeded {
		t.Fatal(o.Error)
	}
	if seen := w.status(versionA); seen["aggregatedState"] != "Completed" {
		t.Error(seen)
	}
}

// A deletion ends a copying that is under way: it does not wait for the bytes.
func TestDeleteWhileCopying(t *testing.T) {
	w := newWorld(t)
	gate := make(chan struct{})
	w.gates["westus2"] = gate
	w.shop()
	r, err := w.do(inA, "PUT", versionA, version(","+regions("eastus", "westus2")))
	w.must(err)
	for range 5 {
		gate <- struct{}{}
	}
	d, err := w.do(inA, "DELETE", versionA, "")
	w.must(err)
	close(gate)
	if o := w.wait(r); o.Status != operation.Canceled && o.Status != operation.Succeeded {
		t.Errorf("%s %v", o.Status, o.Error)
	}
	if o := w.wait(d); o.Status != operation.Succeeded {
		t.Fatal(o.Error)
	}
	w.pinned("eastus", 1)
	w.pinned("westus2", 0)
}

// Only what a region lacks travels: a second version takes its few new chunks along; a region that was dropped is gone.
func TestMissingChunksTravel(t *testing.T) {
	w := newWorld(t)
	w.shop()
	w.done(inA, "PUT", versionA, version(","+regions("eastus", "westus2")))
	before := w.objects("westus2")
	content := append(noise(1<<20, "disk"), noise(128<<10, "more")...)
	w.upload(inA, groupA+compute+"disks/second", "eastus", content, `,"osType":"Linux"`)
	second := definitionA + "/versions/2.0.0"
	w.done(inA, "PUT", second, fmt.Sprintf(`{"location":"eastus","properties":{"storageProfile":{"osDiskImage":{"source":{"id":"%s/providers/Microsoft.Compute/disks/second"}}},%s,"safetyProfile":{"allowDeletionOfReplicatedLocations":true}}}`,
		groupA, regions("eastus", "westus2")))
	if more := w.objects("westus2") - before; more < 2 || more > 8 { // a manifest and the chunks of 128 KiB, where before were those of 1 MiB
		t.Errorf("%d objects travelled, of %d in the source region", more, w.objects("eastus"))
	}
	w.done(inA, "PATCH", second, `{"properties":{"publishingProfile":{"targetRegions":[{"name":"eastus"},{"name":"japaneast","regionalReplicaCount":3,"storageAccountType":"premium_lrs","excludeFromLatest":true}]}}}`)
	w.pinned("westus2", 1)
	w.pinned("japaneast", 1)
	seen := fmt.Sprint(at(w.get(inA, second), "properties.publishingProfile.targetRegions"))
	if !strings.Contains(seen, "excludeFromLatest:true name:Japan East regionalReplicaCount:3 storageAccountType:Premium_LRS") || strings.Contains(seen, "West US 2") {
		t.Error(seen)
	}
}
