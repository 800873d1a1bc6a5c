package app

import (
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	"vitrine/internal/web"
)

// noGraph is the door graph.microsoft.com while there is none: it says so in Graph's own words.
func noGraph() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		web.WriteError(w, &graphError{status: http.StatusNotImplemented, code: "NotImplemented", requestID: web.RequestID(r.Context()),
			message: fmt.Sprintf("Microsoft Graph is not served by this version of Vitrine (%s %s). Use 'vitrine app create', 'vitrine app consent' and 'vitrine role assign', or az role assignment create with --assignee-object-id and --assignee-principal-type.", r.Method, r.URL.Path)})
	})
}

type graphError struct {
	status                   int
	code, message, requestID string
}

func (e *graphError) Error() string { return e.code + ": " + e.message }

// Render gives Graph's envelope.
func (e *graphError) Render() (int, string, []byte) {
	body, err := json.Marshal(map[string]any{"error": map[string]any{"code": e.code, "message": e.message,
		"innerError": map[string]string{"date": time.Now().UTC().Format("2006-01-02T15:04:05"), "request-id": e.requestID}}})
	if err != nil {
		return http.StatusInternalServerError, "text/plain", nil
	}
	return e.status, "application/json", body
}

// elsewhere is the blob door of a server whose data folder does not hold the bytes.
func elsewhere() http.Handler {
	const body = "\uFEFF<?xml version=\"1.0\" encoding=\"utf-8\"?><Error><Code>ServerBusy</Code><Message>The bytes are on another server of this installation; send the request through its proxy.</Message></Error>"
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("x-ms-error-code", "ServerBusy")
		web.Write(w, http.StatusServiceUnavailable, "application/xml", []byte(body))
	})
}
