package storage_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/url"
	"sync"
	"testing"
	"time"

	"vitrine/internal/arm"
	"vitrine/internal/control"
	"vitrine/internal/provider/storage"
	"vitrine/internal/provider/storage/content"
	"vitrine/internal/rbac"
	"vitrine/internal/seal"
	"vitrine/internal/store"
	"vitrine/internal/store/sqlstore"
	"vitrine/internal/store/storetest/pgtest"
)

// TestNameRace: of two servers on one PostgreSQL that are asked for the same name at once, for two subscriptions, one gives it; a
// container that is made in two ways at once is made once.
func TestNameRace(t *testing.T) {
	dsn := pgtest.Start(t)
	server := func() (*control.Control, *storage.Provider, *store.Store) {
		driver, err := sqlstore.OpenPostgres(dsn)
		if err != nil {
			t.Fatal(err)
		}
		s := store.New(driver)
		t.Cleanup(func() { s.Close() })
		sealer, err := seal.New(make([]byte, seal.KeySize))
		if err != nil {
			t.Fatal(err)
		}
		c := control.New(control.Config{Store: s, RBAC: rbac.New(control.TenantOf), Now: time.Now, Log: slog.New(slog.NewTextHandler(io.Discard, nil)), Kick: func() {}})
		return c, storage.Register(c, storage.Config{Sealer: sealer, Blobs: content.New(content.Config{Store: s})}), s
	}
	first, accounts, s := server()
	second, _, _ := server()
	const owner = "8e3af657-a8ff-443c-a75c-2fe8c4bcb635"
	if err := s.Update(t.Context(), func(tx store.Tx) error { return errors.Join(populate(tx, sub, owner), populate(tx, other, owner)) }); err != nil {
		t.Fatal(err)
	}
	both := func(f, g func() error) (errs [2]error) {
		var group sync.WaitGroup
		group.Go(func() { errs[0] = f() })
		group.Go(func() { errs[1] = g() })
		group.Wait()
		return errs
	}
	put := func(c *control.Control, path, body string) error {
		_, err := c.Do(context.Background(), control.Request{Method: "PUT", Path: path, Body: []byte(body), Caller: caller,
			Query: url.Values{"api-version": {"2022-09-01"}}, Base: "https://management.azure.com"})
		return err
	}
	for i := range 8 {
		name := fmt.Sprintf("contested%d", i)
		errs := both(func() error { return put(first, group(sub)+provided+name, plain) }, func() error { return put(second, group(other)+provided+name, plain) })
		var e *arm.Error
		lost := errors.Join(errs[0], errs[1])
		if (errs[0] == nil) == (errs[1] == nil) || !errors.As(lost, &e) || e.Code != "StorageAccountAlreadyTaken" {
			t.Fatalf("%s: %v and %v", name, errs[0], errs[1])
		}
		a, err := accounts.Find(t.Context(), name)
		if err != nil || (a.ID.Subscription == sub) != (errs[0] == nil) {
			t.Fatalf("%s belongs to %s: %v", name, a.ID, err)
		}
		errs = both(func() error { return put(second, a.ContainerID("box").String(), `{}`) },
			func() error {
				_, err := accounts.CreateContainer(context.Background(), a, "box", "None", nil)
				return err
			})
		var refused *content.Error
		if errs[0] != nil || errs[1] != nil && (!errors.As(errs[1], &refused) || refused.Code != "ContainerAlreadyExists") {
			t.Errorf("a container in two ways: %v and %v", errs[0], errs[1])
		}
		homes := 0
		if err := s.View(t.Context(), func(tx store.Tx) error {
			docs, err := tx.List(store.Query{Kind: "vitrine.storage/homes"})
			homes = len(docs)
			return err
		}); err != nil || homes != i+1 {
			t.Errorf("%d containers take blobs, want %d: %v", homes, i+1, err)
		}
	}
}
