package client

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"
)

// AuditQuery asks the operator's socket for the newest events of a log.
type AuditQuery struct {
	Tenant string    `json:"tenant,omitempty"` // name or ID; "installation"; empty: every log
	Since  time.Time `json:"since,omitzero"`
	Limit  int       `json:"limit,omitempty"`
}

// AuditEvent is one line of that.
type AuditEvent struct {
	Time          time.Time `json:"time"`
	Tenant        string    `json:"tenant"`
	Caller        string    `json:"caller"`
	Source        string    `json:"source"`
	Action        string    `json:"action"`
	Status        string    `json:"status"`
	Code          string    `json:"code"`
	Count         int       `json:"count"`
	Resource      string    `json:"resource"`
	CorrelationID string    `json:"correlationId"`
	ID            string    `json:"id"`
}

// AuditVerify asks for the proof of the chains.
type AuditVerify struct {
	Tenant   string `json:"tenant,omitempty"`
	Sequence int64  `json:"sequence,omitempty"` // of a seal that was noted outside
	Hash     string `json:"hash,omitempty"`
}

// AuditReport is the proof of one chain, or what broke it.
type AuditReport struct {
	Tenant   string `json:"tenant"`
	Seals    int64  `json:"seals"`
	Events   int64  `json:"events"`
	Unsealed int64  `json:"unsealed"`
	Expired  int64  `json:"expired"`
	Sequence int64  `json:"sequence"`
	Hash     string `json:"hash"`
	Broken   string `json:"broken"`
}

// AuditExport writes a log's events to w, a line of JSON for each.
func (o *Operator) AuditExport(ctx context.Context, w io.Writer, tenant string, since time.Time) error {
	q := url.Values{"tenant": {tenant}}
	if !since.IsZero() {
		q.Set("since", since.UTC().Format(time.RFC3339))
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://operator/v1/audit/export?"+q.Encode(), nil)
	if err != nil {
		return err
	}
	resp, err := o.http.Do(req)
	if err != nil {
		return fmt.Errorf("the server does not answer on its operator socket %s: %w", o.socket, err)
	}
	defer resp.Body.Close()
	if resp.StatusCode >= 400 {
		raw, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
		if err != nil {
			return err
		}
		return ReadError(resp.StatusCode, raw)
	}
	_, err = io.Copy(w, resp.Body)
	return err
}
