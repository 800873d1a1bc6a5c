package formats

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"strings"
	"testing"

	"vitrine/test/harness"
)

func pemOf(srv *httptest.Server) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: srv.Certificate().Raw})
}

// TestUploadType goes Azure's own way in, by az disk create --upload-type Upload and Put Page: a fixed VHD alone is taken, and
// for anything else az shows what was sent and what to do; the disk stays ready for the next try.
func TestUploadType(t *testing.T) {
	az := harness.Az(t)
	w := newWorld(t)
	sh := w.server.ShellOf(t, "owner", az)
	w.az(sh, "login", "--service-principal", "-u", w.tenant.AppID, "-p", w.tenant.Password, "--tenant", w.tenant.TenantID)
	w.az(sh, "group", "create", "-n", "rg", "-l", "westeurope")
	raw := w.disk("raw", 20, 5, 1)
	made := func(name, format, options string) []byte {
		tool(t, "qemu-img", "convert", "-f", "raw", "-O", format, "-o", options, raw, w.at(name))
		b, err := os.ReadFile(w.at(name))
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	const size = 20<<20 + 512
	padded := func(b []byte) []byte {
		if len(b) > size {
			return b[:size]
		}
		return append(b, make([]byte, size-len(b))...)
	}
	atEnd := func(b []byte) []byte { // a dynamic VHD that ends where the disk ends
		return append(append(bytes.Clone(b[:len(b)-512]), make([]byte, size-len(b))...), b[len(b)-512:]...)
	}
	fixed := made("fixed", "vpc", "subformat=fixed,force_size=on")
	dynamic := made("dynamic", "vpc", "subformat=dynamic,force_size=on")
	other := bytes.Clone(fixed)
	other[len(other)-1-512+60] ^= 0xff
	w.az(sh, "disk", "create", "-g", "rg", "-n", "d", "--upload-type", "Upload", "--upload-size-bytes", fmt.Sprint(size), "--sku", "Standard_LRS")
	for _, test := range []struct {
		name string
		data []byte
		want string // in az's error; empty: taken
	}{
		{"a dynamic VHD", padded(dynamic), "a dynamic VHD was sent; Azure takes fixed VHDs alone (qemu-img convert"},
		{"a dynamic VHD, its footer in place", atEnd(dynamic), "a dynamic VHD was sent"},
		{"a VHDX", padded(made("vhdx", "vhdx", "block_size=1M")), "a VHDX was sent"},
		{"a qcow2", padded(made("qcow2", "qcow2", "compat=1.1")), "a qcow2 image was sent"},
		{"a VMDK", padded(made("vmdk", "vmdk", "subformat=monolithicSparse")), "a VMDK was sent"},
		{"a raw disk", padded(made("again", "raw", "preallocation=off")), "does not end with a VHD footer"},
		{"a footer with a bit changed", other, "checksum"},
		{"a fixed VHD", fixed, ""},
	} {
		w.put(t, w.grant(sh), test.data)
		r := sh.Az(t, "disk", "revoke-access", "-g", "rg", "-n", "d")
		if test.want == "" && r.Code != 0 || test.want != "" && (r.Code == 0 || !strings.Contains(r.Err, "InvalidVhd") || !strings.Contains(r.Err, test.want)) {
			t.Errorf("%s: exit %d, want %q\n%s", test.name, r.Code, test.want, r.Err)
		}
		state := strings.TrimSpace(w.az(sh, "disk", "show", "-g", "rg", "-n", "d", "--query", "diskState", "-o", "tsv"))
		if want := map[bool]string{true: "Unattached", false: "ReadyToUpload"}[test.want == ""]; state != want {
			t.Errorf("%s: the disk is %s, want %s", test.name, state, want)
		}
	}
	for _, odd := range []string{fmt.Sprint(size + 1), "511"} {
		if r := sh.Az(t, "disk", "create", "-g", "rg", "-n", "odd", "--upload-type", "Upload", "--upload-size-bytes", odd, "--sku", "Standard_LRS"); r.Code == 0 {
			t.Errorf("a disk for an upload of %s bytes was made", odd)
		}
	}
}

func (w *world) az(sh *harness.Shell, args ...string) string {
	w.t.Helper()
	r := sh.Az(w.t, args...)
	if r.Code != 0 {
		w.t.Fatalf("az %s: exit %d\n%s", strings.Join(args, " "), r.Code, r.Err)
	}
	return r.Out
}

func (w *world) grant(sh *harness.Shell) string {
	w.t.Helper()
	var grant struct {
		AccessSAS string `json:"accessSAS"`
		Other     string `json:"accessSas"`
	}
	raw := w.az(sh, "disk", "grant-access", "-g", "rg", "-n", "d", "--access-level", "Write", "--duration-in-seconds", "3600", "-o", "json")
	if err := json.Unmarshal([]byte(raw), &grant); err != nil || grant.AccessSAS+grant.Other == "" {
		w.t.Fatalf("grant-access: %v\n%s", err, raw)
	}
	if grant.AccessSAS != "" {
		return grant.AccessSAS
	}
	return grant.Other
}

// put writes all pages, as a careless client does.
func (w *world) put(t *testing.T, sas string, b []byte) {
	t.Helper()
	roots := x509.NewCertPool()
	bundle, err := os.ReadFile(w.server.Where().Bundle)
	if err != nil || !roots.AppendCertsFromPEM(bundle) {
		t.Fatalf("bundle: %v", err)
	}
	proxy, err := url.Parse(w.server.Where().Proxy)
	if err != nil {
		t.Fatal(err)
	}
	h := &http.Client{Transport: &http.Transport{Proxy: http.ProxyURL(proxy), TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}}}
	defer h.CloseIdleConnections()
	for at := 0; at < len(b); at += 4 << 20 {
		part := b[at:min(len(b), at+4<<20)]
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPut, sas+"&comp=page", bytes.NewReader(part))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("x-ms-version", "2020-10-02")
		req.Header.Set("x-ms-page-write", "update")
		req.Header.Set("x-ms-range", fmt.Sprintf("bytes=%d-%d", at, at+len(part)-1))
		res, err := h.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		if res.StatusCode != http.StatusCreated {
			t.Fatalf("Put Page at %d: %s", at, res.Status)
		}
	}
}
