package account_test

import (
	"context"
	"net/http"
	"strings"
	"testing"

	"vitrine/internal/quota"
	"vitrine/internal/store"
)

// What the tenant may not hold is refused before its body, by an error that clients do not retry and that tells no numbers.
func TestQuota(t *testing.T) {
	w := newWorld(t)
	key, limit := w.key("first"), int64(1000)
	w.want(201, "", call{method: "PUT", path: "/box?restype=container", key: key})
	block := map[string]string{"x-ms-blob-type": "BlockBlob"}
	w.want(201, "", call{method: "PUT", path: "/box/old", key: key, body: make([]byte, 600), headers: block})
	w.must(w.store.Update(context.Background(), func(tx store.Tx) error { return quota.Set(tx, tenant, quota.Limits{Own: &limit}) }))
	a := w.want(409, "QuotaExceeded", call{method: "PUT", path: "/box/new", key: key, body: make([]byte, 401), headers: block})
	if strings.Contains(string(a.body), "600") || strings.Contains(string(a.body), tenant) || a.Header.Get("Content-Type") != "application/xml" {
		t.Errorf("%s %s", a.Header.Get("Content-Type"), a.body)
	}
	w.want(409, "QuotaExceeded", call{method: "PUT", path: "/box/new?comp=block&blockid=YQ%3D%3D", key: key, body: make([]byte, 401)})
	w.want(409, "QuotaExceeded", call{method: "PUT", path: "/box/p", key: key, headers: map[string]string{"x-ms-blob-type": "PageBlob", "x-ms-blob-content-length": "512"}})
	w.want(409, "QuotaExceeded", call{method: "PUT", path: "/box/copy", key: key, headers: map[string]string{"x-ms-copy-source": "https://first.blob.core.windows.net/box/old"}})
	req, err := http.NewRequest("PUT", "http://first.blob.core.windows.net/box/new", nil)
	w.must(err)
	req.ContentLength = 401
	for name, value := range map[string]string{"x-ms-version": "2021-06-08", "x-ms-date": w.now().UTC().Format(http.TimeFormat), "x-ms-blob-type": "BlockBlob", "Expect": "100-continue"} {
		req.Header.Set(name, value)
	}
	req.Header.Set("Authorization", "SharedKey first:"+sign(key, sharedKey(req, "first")))
	var head strings.Builder
	w.must(req.Header.Write(&head))
	got := w.exchange("PUT /box/new HTTP/1.1\r\nHost: first.blob.core.windows.net\r\nContent-Length: 401\r\n" + head.String() + "\r\n")
	if !strings.HasPrefix(got, "HTTP/1.1 409 ") || !strings.Contains(got, "QuotaExceeded") || strings.Contains(got, "100 Continue") {
		t.Errorf("the body is asked for first: %.300s", got)
	}
	w.want(201, "", call{method: "PUT", path: "/box/new", key: key, body: make([]byte, 400), headers: block})
	w.want(202, "", call{method: "DELETE", path: "/box/old", key: key})
	w.want(201, "", call{method: "PUT", path: "/box/p", key: key, headers: map[string]string{"x-ms-blob-type": "PageBlob", "x-ms-blob-content-length": "512"}})
	w.want(202, "", call{method: "DELETE", path: "/box?restype=container", key: key})
	var held quota.Account
	w.must(w.store.View(context.Background(), func(tx store.Tx) (err error) { held, err = quota.Of(tx, tenant); return err }))
	if held.Used != 0 {
		t.Errorf("%d bytes are held by nothing", held.Used)
	}
}
