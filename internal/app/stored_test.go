package app

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"time"

	"vitrine/internal/arm"
	"vitrine/internal/client"
	"vitrine/internal/control"
	"vitrine/internal/image"
	"vitrine/internal/provider/disk"
	"vitrine/internal/store"
)

const (
	ownTenant, ownSub         = "11111111-0000-4000-8000-000000000001", "11111111-0000-4000-8000-0000000000aa"
	foreignTenant, foreignSub = "22222222-0000-4000-8000-000000000002", "22222222-0000-4000-8000-0000000000bb"
)

// tenants makes a server with two tenants' subscriptions, and an image of the first that both of them need.
func tenants(t *testing.T) (stored, image.Ref) {
	t.Helper()
	a, err := New(t.Context(), Config{Data: t.TempDir(), Listen: "127.0.0.1:0", Accel: "tcg"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(a.Close)
	d := bytes.Repeat([]byte("0123456789abcdef"), 64<<10)
	ref, err := a.rooms.images.Pack(t.Context(), "eastus", ownTenant, bytes.NewReader(d), int64(len(d)), nil)
	if err != nil {
		t.Fatal(err)
	}
	diskID, err := arm.ParseID("/subscriptions/" + foreignSub + "/resourceGroups/rg/providers/Microsoft.Compute/disks/d")
	if err != nil {
		t.Fatal(err)
	}
	err = a.store.Update(t.Context(), func(tx store.Tx) error {
		var held control.Resource[disk.Properties]
		held.ID, held.Name, held.Type, held.ManagedBy = diskID.String(), "d", disk.Type, "/subscriptions/"+foreignSub+"/resourceGroups/rg/providers/Microsoft.Compute/virtualMachines/web"
		return errors.Join(control.WriteSubscription(tx, control.Subscription{ID: ownSub, Name: "own", State: "Enabled", Tenant: ownTenant}),
			control.WriteSubscription(tx, control.Subscription{ID: foreignSub, Name: "foreign", State: "Enabled", Tenant: foreignTenant}),
			control.Save(tx, &held),
			a.rooms.images.Pin(tx, ref, "eastus", "/subscriptions/"+ownSub+"/resourceGroups/rg/providers/Microsoft.Compute/galleries/g/images/i/versions/1.0.0"),
			a.rooms.images.Pin(tx, ref, "eastus", diskID.String()))
	})
	if err != nil {
		t.Fatal(err)
	}
	return stored{a}, ref
}

// Shredding says whose machines would lose their disks, and does nothing until it is forced.
func TestShredRefuses(t *testing.T) {
	s, ref := tenants(t)
	_, err := s.Shred(t.Context(), ownTenant, false)
	refused, ok := errors.AsType[*arm.Error](err)
	if !ok || refused.Status != 409 {
		t.Fatal(err)
	}
	for _, part := range []string{"1 resources of other tenants and 1 of this one", foreignSub, "virtualMachines/web", "versions/1.0.0"} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("no %q in %v", part, err)
		}
	}
	if _, err := s.a.rooms.images.Open(t.Context(), "eastus", ref); err != nil {
		t.Fatalf("refused and done all the same: %v", err)
	}
	out, err := s.Shred(t.Context(), strings.ToUpper(ownTenant), true)
	if err != nil || out.Objects == 0 || len(out.Lost) != 2 || !strings.Contains(out.Lost[0], foreignSub) {
		t.Fatalf("%+v, %v", out, err)
	}
	if _, err := s.a.rooms.images.Open(t.Context(), "eastus", ref); !errors.Is(err, image.ErrNotFound) {
		t.Errorf("Open = %v", err)
	}
	keys, err := s.Keys(t.Context(), ownTenant)
	if err != nil || len(keys) != 1 || keys[0].State != "shredded" {
		t.Errorf("%+v, %v", keys, err)
	}
}

func TestStoredBytes(t *testing.T) {
	s, _ := tenants(t)
	u, err := s.Usage(t.Context(), ownTenant)
	if err != nil || len(u.Versions) != 2 || len(u.Tenants) != 1 || u.Tenants[0].Logical != 1<<20 || u.Versions[0].Unique == 0 || u.Versions[0].Reclaimable != 0 {
		t.Errorf("%+v, %v", u, err)
	}
	if none, err := s.Usage(t.Context(), foreignTenant); err != nil || len(none.Versions)+len(none.Tenants) != 0 {
		t.Errorf("another tenant's: %+v, %v", none, err)
	}
	if _, err := s.Scrub(t.Context(), client.ScrubRequest{Status: true}); err == nil {
		t.Error("a status before the first scrub")
	}
	if err := s.a.scrubDue(t.Context()); err != nil {
		t.Fatal(err)
	}
	r, err := s.Scrub(t.Context(), client.ScrubRequest{Status: true})
	if err != nil || r.Manifests != 1 || r.Chunks == 0 || r.Ended.IsZero() || len(r.Damage) != 0 {
		t.Errorf("%+v, %v", r, err)
	}
	if err := s.a.scrubDue(t.Context()); err != nil {
		t.Fatal(err)
	}
	if again, err := s.Scrub(t.Context(), client.ScrubRequest{Status: true}); err != nil || !again.Started.Equal(r.Started) {
		t.Errorf("scrubbed twice in a day: %v", err)
	}
	keys, err := s.Rotate(t.Context(), ownTenant)
	if err != nil || len(keys) != 2 || keys[0].State != "former" || keys[1].State != "current" {
		t.Errorf("%+v, %v", keys, err)
	}
	if again, err := s.Scrub(t.Context(), client.ScrubRequest{Reseal: true}); err != nil || again.Resealed != r.Manifests+r.Chunks {
		t.Errorf("%+v, %v", again, err)
	}
	metrics, err := s.Metrics(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]float64{}
	for _, m := range metrics {
		seen[m.Name] = m.Value
	}
	if seen["vitrine_scrub_ended_total"] != 2 || seen["vitrine_scrub_chunks_total"] != float64(2*r.Chunks) || seen["vitrine_scrub_resealed_total"] != float64(r.Manifests+r.Chunks) ||
		seen["vitrine_scrub_last_end_seconds"] == 0 || seen["vitrine_scrub_running"] != 0 {
		t.Errorf("%v", seen)
	}
	if p, err := s.Plan(t.Context(), time.Hour); err != nil || p.Objects != 0 || p.Kept == 0 {
		t.Errorf("%+v, %v", p, err)
	}
	if n, err := s.Rewrap(t.Context()); err != nil || n.Keys != 0 {
		t.Errorf("%+v, %v", n, err)
	}
}
