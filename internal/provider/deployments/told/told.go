// Package told words what became of a deployment's resources as ARM does: its operations, a page at a time, times and durations. What
// became of them is for its caller to know, and who may read it; requests are never told, since they carry secure parameters.
//
//	Outcome of each resource ─▶ Row ─▶ Page ─▶ {"value": [...], "nextLink": ...}
package told

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"vitrine/internal/arm"
	"vitrine/internal/control/paging"
	"vitrine/internal/template"
)

// Stamp is the form of ARM's own times: seven digits and Z.
const Stamp = "2006-01-02T15:04:05.0000000Z"

// Duration words a duration as ISO 8601 does: PT1M2.5S.
func Duration(d time.Duration) string {
	text := "PT"
	if h := d / time.Hour; h > 0 {
		text, d = fmt.Sprintf("%s%dH", text, h), d%time.Hour
	}
	if m := d / time.Minute; m > 0 {
		text, d = fmt.Sprintf("%s%dM", text, m), d%time.Minute
	}
	seconds := strings.TrimRight(fmt.Sprintf("%.7f", d.Seconds()), "0")
	return text + strings.TrimSuffix(seconds, ".") + "S"
}

// Outcome is what became of one resource so far.
type Outcome struct {
	Target  template.ResourceRef
	Removal bool
	State   string     // provisioning state
	Code    string     // HTTP status in words: "Conflict"
	Error   *arm.Error // of what failed
	Start   time.Time
	End     time.Time // zero while it goes on
}

// Row is one entry of a deployment's operations.
type Row struct {
	ID          string     `json:"id"`
	OperationID string     `json:"operationId"`
	Properties  properties `json:"properties"`
}

type properties struct {
	Operation  string               `json:"provisioningOperation"`
	State      string               `json:"provisioningState"`
	Timestamp  string               `json:"timestamp"`
	Duration   string               `json:"duration"`
	TrackingID string               `json:"trackingId"`
	StatusCode string               `json:"statusCode"`
	Message    json.RawMessage      `json:"statusMessage"`
	Target     template.ResourceRef `json:"targetResource"`
}

// Row tells it as the operation of a deployment, by its ID and its correlation ID.
func (o Outcome) Row(deployment, correlation string) (Row, error) {
	sum := sha256.Sum256([]byte(correlation + strings.ToLower(o.Target.ID)))
	id := fmt.Sprintf("%016X", sum[:8])
	end := o.End
	if end.IsZero() {
		end = time.Now()
	}
	p := properties{Operation: "Create", State: o.State, Timestamp: end.UTC().Format(Stamp), Duration: Duration(end.Sub(o.Start)),
		TrackingID: fmt.Sprintf("%x-%x-%x-%x-%x", sum[8:12], sum[12:14], sum[14:16], sum[16:18], sum[18:24]),
		StatusCode: strings.ReplaceAll(o.Code, " ", ""), Target: o.Target}
	if o.Removal {
		p.Operation = "Delete"
	}
	var err error
	if o.Error != nil {
		p.Message, err = json.Marshal(map[string]any{"error": o.Error})
	}
	return Row{ID: deployment + "/operations/" + id, OperationID: id, Properties: p}, err
}

// Page is the answer to a request for the operations: $top of them, in the order in which their resources stand.
func Page(base, path string, q url.Values, rows []Row) (any, error) {
	cut, err := paging.Of(q, "$top")
	if err != nil {
		return nil, err
	}
	if cut.After != "" {
		at := slices.IndexFunc(rows, func(r Row) bool { return r.OperationID == cut.After })
		if at < 0 {
			return nil, arm.Errorf(400, "InvalidQueryParameterValue", "The value of the query parameter '$skiptoken' is not one that a nextLink gave.").At("$skiptoken")
		}
		rows = rows[at+1:]
	}
	answer := struct {
		Value []Row  `json:"value"`
		Next  string `json:"nextLink,omitempty"`
	}{Value: rows}
	if len(rows) > cut.Size {
		answer.Value, answer.Next = rows[:cut.Size], paging.Next(base, path, q, rows[cut.Size-1].OperationID)
	}
	return answer, nil
}
