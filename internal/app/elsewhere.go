package app

import (
	"net/http"

	"vitrine/internal/web"
)

// elsewhere is the blob door of a server whose data folder does not hold the bytes.
func elsewhere() http.Handler {
	const body = "\uFEFF<?xml version=\"1.0\" encoding=\"utf-8\"?><Error><Code>ServerBusy</Code><Message>The bytes are on another server of this installation; send the request through its proxy.</Message></Error>"
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("x-ms-error-code", "ServerBusy")
		web.Write(w, http.StatusServiceUnavailable, "application/xml", []byte(body))
	})
}
