package gallery_test

import (
	"encoding/json"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"vitrine/internal/operation"
)

// TestInterrupted stops the engine at each look into a bucket while a version is published: another engine finishes
// it, and there are as many pins and objects as ever.
func TestInterrupted(t *testing.T) {
	w := newWorld(t)
	w.shop()
	for n := 1; ; n++ {
		w.mu.Lock()
		w.looks, w.crashAt = 0, n
		w.mu.Unlock()
		name := fmt.Sprintf("%s/versions/1.0.%d", definitionA, n)
		r, err := w.do(inA, "PUT", name, version(","+regions("eastus", "westus2")))
		w.must(err)
		crashed := make(chan struct{})
		go func() {
			defer close(crashed)
			w.wait(r)
		}()
		w.restartUntil(crashed)
		if o := w.wait(r); o.Status != operation.Succeeded {
			t.Fatalf("crash at %d: %s %v", n, o.Status, o.Error)
		}
		w.pinned("westus2", 1)
		w.pinned("eastus", 2)
		w.mu.Lock()
		reached := w.looks >= n
		w.crashAt = 0
		w.mu.Unlock()
		w.done(inA, "DELETE", name, "")
		if !reached {
			return
		}
	}
}

// Random valid documents survive PUT, GET, PUT.
func TestRoundTrip(t *testing.T) {
	w := newWorld(t)
	w.shop()
	number := 0
	rapid.Check(t, func(r *rapid.T) {
		number++
		gallery := fmt.Sprintf("%s%sgalleries/g%d", groupA, compute, number)
		w.again(r, gallery, map[string]any{"location": "eastus", "tags": tags(r), "properties": map[string]any{
			"description": rapid.String().Draw(r, "description"), "x": rapid.Int().Draw(r, "unknown"),
			"softDeletePolicy": map[string]any{"isSoftDeleteEnabled": false}}})
		generation := rapid.SampledFrom([]string{"V1", "v2"}).Draw(r, "generation")
		props := map[string]any{"osType": "linux", "osState": rapid.SampledFrom([]string{"Generalized", "generalized"}).Draw(r, "state"),
			"hyperVGeneration": generation, "identifier": map[string]any{"publisher": name(r, 128), "offer": name(r, 64), "sku": name(r, 64)},
			"eula": rapid.StringN(0, 20, 80).Draw(r, "eula"), "endOfLifeDate": "2099-01-01T12:59:59Z", "disallowed": map[string]any{}}
		low := rapid.IntRange(1, 64).Draw(r, "min")
		props["recommended"] = map[string]any{"vCPUs": map[string]any{"min": low, "max": low + rapid.IntRange(0, 9).Draw(r, "more")}}
		if generation == "v2" {
			props["features"] = []any{map[string]any{"name": "SecurityType", "value": "TrustedLaunchSupported"}}
		}
		w.again(r, gallery+"/images/d", map[string]any{"location": "westus2", "tags": tags(r), "properties": props})
		published := map[string]any{"replicaCount": rapid.IntRange(1, 100).Draw(r, "replicas"), "excludeFromLatest": rapid.Bool().Draw(r, "exclude"),
			"targetRegions": []any{map[string]any{"name": "east US", "storageAccountType": "standard_zrs"}}}
		w.again(r, fmt.Sprintf("%s/versions/%d.0.1", definitionA, number), map[string]any{"location": "East US", "tags": tags(r), "properties": map[string]any{
			"publishingProfile": published, "storageProfile": map[string]any{"osDiskImage": map[string]any{"source": map[string]any{"id": diskA}}}}})
	})
}

func tags(r *rapid.T) map[string]string {
	return rapid.MapOfN(rapid.StringMatching(`[a-zA-Z][a-zA-Z0-9 ]{0,9}`), rapid.StringN(0, 20, 100), 0, 3).Draw(r, "tags")
}

func name(r *rapid.T, most int) string {
	return rapid.StringMatching(fmt.Sprintf(`[A-Za-z0-9_.-]{0,%d}[A-Za-z0-9_-]`, most-1)).Draw(r, "name")
}

// again puts a document, and then what GET answers.
func (w *world) again(r *rapid.T, path string, v any) {
	body, err := json.Marshal(v)
	if err != nil {
		r.Fatal(err)
	}
	w.done(inA, "PUT", path, string(body))
	first, err := w.do(inA, "GET", path, "")
	if err != nil {
		r.Fatal(err)
	}
	w.done(inA, "PUT", path, string(first.Body))
	second, err := w.do(inA, "GET", path, "")
	if err != nil {
		r.Fatal(err)
	}
	if diff := cmp.Diff(decode(w, first.Body), decode(w, second.Body)); diff != "" {
		r.Fatalf("%s: %s", path, diff)
	}
}
