package storage_test

import (
	"bytes"
	"context"
	"errors"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"vitrine/internal/arm"
	"vitrine/internal/authn"
	"vitrine/internal/image"
	"vitrine/internal/image/format"
	"vitrine/internal/provider/storage"
	"vitrine/internal/provider/storage/content"
	"vitrine/internal/rbac"
	"vitrine/internal/store"
)

const (
	vhdPath = "/subscriptions/" + sub + "/resourceGroups/rg" + provided + "vhds1"
	diskURI = "https://vhds1.blob.core.windows.net/box/dir/disk%20one.vhd"
)

// disk is bytes with a hole in them, and what a client uploads: them and the footer of a fixed VHD.
func disk(size int) (raw, vhd []byte) {
	raw = make([]byte, size)
	random := rand.NewChaCha8([32]byte{7})
	_, _ = random.Read(raw[:size/4])
	_, _ = random.Read(raw[size-4096:])
	footer := format.VHDFooter(int64(size))
	return raw, append(bytes.Clone(raw), footer[:]...)
}

// upload makes a page blob of bytes in the container "box" of an account, which it makes when it is not there.
func (w *world) upload(account, name string, b []byte) content.Address {
	w.Helper()
	ctx := context.Background()
	a, err := w.accounts.Find(ctx, account)
	w.must(err)
	box, err := w.accounts.Container(ctx, a, "box")
	if err != nil {
		box, err = w.accounts.CreateContainer(ctx, a, "box", "None", nil)
		w.must(err)
	}
	at := content.Address{Container: box.Container, Name: name}
	next := &content.Blob{Name: name}
	w.must(w.blobs.CreatePages(ctx, box.Container, next, int64(len(b)), func(*content.Blob) error { return nil }))
	u, err := w.blobs.Pages(next)
	w.must(err)
	if len(b) > 0 {
		_, err = u.WriteAt(b, 0)
	}
	w.must(errors.Join(err, u.Close()))
	return at
}

func (w *world) vhd(account arm.ID, uri string) (v storage.VHD, err error) {
	verr := w.store.View(context.Background(), func(tx store.Tx) error {
		v, err = w.accounts.VHD(tx, account, uri)
		return nil
	})
	w.must(verr)
	return v, err
}

func TestVHD(t *testing.T) {
	w := newWorld(t)
	w.ok(200, "PUT", vhdPath, plain)
	account, err := arm.ParseID(vhdPath)
	w.must(err)
	raw, vhd := disk(5 << 20)
	at := w.upload("vhds1", "dir/disk one.vhd", vhd)

	got, err := w.vhd(account, diskURI)
	if err != nil || got.Size != 5<<20 || got.Location != "westeurope" || got.Account.Key() != account.Key() {
		t.Fatalf("VHD: %+v, %v", got, err)
	}
	w.must(w.store.View(t.Context(), func(tx store.Tx) error {
		id, location, err := w.accounts.Account(tx, strings.ToUpper(diskURI[:37])+diskURI[37:])
		if err == nil && (id.Key() != account.Key() || location != "westeurope") {
			t.Errorf("Account: %s in %s", id, location)
		}
		return err
	}))
	ref, err := w.accounts.FreezeVHD(t.Context(), account, diskURI)
	w.must(err)
	if ref.Domain != tenant || ref.Size != 5<<20 {
		t.Errorf("ref: %+v", ref)
	}
	again, err := w.accounts.FreezeVHD(t.Context(), account, diskURI)
	if err != nil || again != ref {
		t.Errorf("frozen again: %+v, %v", again, err)
	}
	r, err := w.images.Open(t.Context(), "westeurope", ref)
	w.must(err)
	back := make([]byte, len(raw))
	if _, err := r.ReadAt(back, 0); err != nil || !bytes.Equal(back, raw) {
		t.Errorf("the image holds other bytes (%v)", err)
	}

	// While it is read, it cannot be written; afterwards it can, though another still reads for as long as it reads.
	one, err := w.accounts.OpenVHD(t.Context(), account, diskURI)
	w.must(err)
	two, err := w.accounts.OpenVHD(t.Context(), account, diskURI)
	w.must(err)
	b, err := w.blobs.Head(t.Context(), at)
	w.must(err)
	pages, err := w.blobs.Pages(b)
	w.must(err)
	defer pages.Close()
	page := bytes.Repeat([]byte{1}, 512)
	for _, u := range []*image.Upload{one, two} {
		if _, err := pages.WriteAt(page, 0); !errors.Is(err, image.ErrUpload) {
			t.Errorf("written while it is read: %v", err)
		}
		w.must(u.Close())
	}
	if _, err := pages.WriteAt(page, 0); err != nil {
		t.Errorf("not writable afterwards: %v", err)
	}
}

func TestVHDRefused(t *testing.T) {
	w := newWorld(t)
	w.ok(200, "PUT", vhdPath, plain)
	w.ok(200, "PUT", group(other)+provided+"others1", plain)
	account, err := arm.ParseID(vhdPath)
	w.must(err)
	_, vhd := disk(1 << 20)
	w.upload("others1", "x.vhd", vhd)
	w.upload("vhds1", "raw.vhd", vhd[:1<<20])
	w.upload("vhds1", "short.vhd", vhd[512:])
	w.upload("vhds1", "empty.vhd", nil)
	damaged := bytes.Clone(vhd)
	damaged[1<<20+70]++
	w.upload("vhds1", "damaged.vhd", damaged)
	dynamic := bytes.Clone(vhd)
	dynamic[1<<20+63] = 3
	w.upload("vhds1", "dynamic.vhd", dynamic)
	at := w.upload("vhds1", "whole.vhd", vhd)
	w.must(w.blobs.PutBlob(t.Context(), at.Container, &content.Blob{Name: "block.vhd"}, bytes.NewReader(vhd), int64(len(vhd)), func(*content.Blob) error { return nil }))
	w.must(w.blobs.StartCopy(t.Context(), at.Container, &content.Blob{Name: "copying.vhd"}, content.Source{At: at, URL: "https://x"}, func(*content.Blob) error { return nil }))

	base := "https://vhds1.blob.core.windows.net/box/"
	for uri, want := range map[string]string{
		base + "raw.vhd": "InvalidVhd", base + "short.vhd": "InvalidVhd", base + "empty.vhd": "InvalidVhd", base + "damaged.vhd": "InvalidVhd",
		base + "dynamic.vhd": "InvalidVhd", base + "block.vhd": "InvalidParameter", base + "copying.vhd": "OperationNotAllowed",
		base + "no.vhd": "absent", base + "WHOLE.vhd": "absent", base + "../box/whole.vhd": "absent", "https://vhds1.blob.core.windows.net/nobox/x.vhd": "absent",
		"https://vhds1.blob.core.windows.net/Box/whole.vhd": "absent", "https://vhds1.blob.core.windows.net/whole.vhd": "absent",
		"https://others1.blob.core.windows.net/box/x.vhd":  "InvalidParameter", // in an account to which no right was shown
		"http://vhds1.blob.core.windows.net/box/whole.vhd": "InvalidParameter", "https://vhds1.blob.core.windows.net": "InvalidParameter",
		"https://vhds1.blob.core.windows.net.example.com/box/whole.vhd": "InvalidParameter", "https://example.com/box/whole.vhd": "InvalidParameter",
		"https://a@vhds1.blob.core.windows.net/box/whole.vhd": "InvalidParameter", "https://vhds1.blob.core.windows.net:444/box/whole.vhd": "InvalidParameter",
		base + "whole.vhd?snapshot=2020": "InvalidParameter", base + "whole.vhd?sig=secret": "InvalidParameter", "": "InvalidParameter", "https://": "InvalidParameter", "\x00": "InvalidParameter",
		"https://.blob.core.windows.net/box/whole.vhd": "InvalidParameter", base + strings.Repeat("a", 5000): "InvalidParameter",
	} {
		for name, ask := range map[string]func() error{
			"VHD":       func() error { _, err := w.vhd(account, uri); return err },
			"FreezeVHD": func() error { _, err := w.accounts.FreezeVHD(t.Context(), account, uri); return err },
			"OpenVHD":   func() error { _, err := w.accounts.OpenVHD(t.Context(), account, uri); return err },
		} {
			got, e := "", (*arm.Error)(nil)
			switch err := ask(); {
			case errors.As(err, &e):
				got = e.Code
			case errors.Is(err, store.ErrNotFound):
				got = "absent"
			case err != nil:
				got = err.Error()
			}
			if got != want {
				t.Errorf("%s(%.80s) = %s, want %s", name, uri, got, want)
			}
			if e != nil && strings.Contains(e.Message, "secret") {
				t.Errorf("a signature is told: %s", e.Message)
			}
		}
	}
	// An ID that is none of a storage account finds nothing, whatever it is called.
	disks := strings.Replace(vhdPath, "Microsoft.Storage/storageAccounts", "Microsoft.Compute/disks", 1)
	id, err := arm.ParseID(disks)
	w.must(err)
	if _, err := w.vhd(id, base+"whole.vhd"); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("by a disk's ID: %v", err)
	}
	// The account of the name is another's by now: what was asked of the first one does not read the second one's.
	w.ok(200, "DELETE", vhdPath, "")
	w.ok(200, "PUT", group(other)+provided+"vhds1", plain)
	w.upload("vhds1", "whole.vhd", vhd)
	if _, err := w.accounts.FreezeVHD(t.Context(), account, base+"whole.vhd"); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("a name that changed hands: %v", err)
	}
}

// TestVHDRight: the right is asked of the principal of the tenant that owns the account.
func TestVHDRight(t *testing.T) {
	w := newWorld(t)
	w.ok(200, "PUT", vhdPath, plain)
	account, err := arm.ParseID(vhdPath)
	w.must(err)
	elsewhere := authn.Principal{TenantID: "bbbbbbbb-0000-4000-8000-000000000001", ObjectID: "00000000-0000-4000-8000-00000000000b", AppID: "app", Kind: authn.ServicePrincipal}
	nobody := caller.Primary
	nobody.ObjectID = "00000000-0000-4000-8000-0000000000ff"
	for name, c := range map[string]struct {
		caller authn.Caller
		code   string
	}{
		"owner":                     {caller, ""},
		"nobody":                    {authn.Caller{Primary: nobody}, "LinkedAuthorizationFailed"},
		"another tenant alone":      {authn.Caller{Primary: elsewhere}, "LinkedAuthorizationFailed"},
		"another tenant and owner":  {authn.Caller{Primary: elsewhere, Auxiliary: []authn.Principal{caller.Primary}}, ""},
		"another tenant and nobody": {authn.Caller{Primary: elsewhere, Auxiliary: []authn.Principal{nobody}}, "LinkedAuthorizationFailed"},
	} {
		err := w.store.View(t.Context(), func(tx store.Tx) error {
			return w.rbac.Linked(tx, c.caller, account, "Microsoft.Compute/galleries/images/versions/write", []rbac.Link{storage.Needs(account)})
		})
		var e *arm.Error
		if got := ""; errors.As(err, &e) {
			if got = e.Code; got != c.code {
				t.Errorf("%s: %v, want %q", name, err, c.code)
			}
		} else if err != nil || c.code != "" {
			t.Errorf("%s: %v, want %q", name, err, c.code)
		}
	}
}

// TestVHDOfQEMU takes a VHD that another program made.
func TestVHDOfQEMU(t *testing.T) {
	tool, err := exec.LookPath("qemu-img")
	if err != nil && os.Getenv("VITRINE_FULL") == "1" {
		t.Fatal(err)
	}
	if err != nil {
		t.Skip("qemu-img is not installed: no VHD of another program was read")
	}
	w := newWorld(t)
	w.ok(200, "PUT", vhdPath, plain)
	account, err := arm.ParseID(vhdPath)
	w.must(err)
	dir := t.TempDir()
	raw, _ := disk(3 << 20)
	w.must(os.WriteFile(filepath.Join(dir, "raw"), raw, 0o600))
	out, err := exec.CommandContext(t.Context(), tool, "convert", "-f", "raw", "-O", "vpc", "-o", "subformat=fixed,force_size=on", filepath.Join(dir, "raw"), filepath.Join(dir, "vhd")).CombinedOutput()
	if err != nil {
		t.Fatalf("qemu-img: %v: %s", err, out)
	}
	vhd, err := os.ReadFile(filepath.Join(dir, "vhd"))
	w.must(err)
	w.upload("vhds1", "dir/disk one.vhd", vhd)
	ref, err := w.accounts.FreezeVHD(t.Context(), account, diskURI)
	w.must(err)
	r, err := w.images.Open(t.Context(), "westeurope", ref)
	w.must(err)
	back := make([]byte, len(raw))
	if _, err := r.ReadAt(back, 0); err != nil || !bytes.Equal(back, raw) {
		t.Errorf("the image holds other bytes (%v)", err)
	}
}
