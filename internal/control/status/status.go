// Package status is how an operation is told on the wire: which URLs ask for it, and what their answers hold (recorded:
// real-azure-behaviour.md 2). It knows neither who may ask, nor where operations are kept; both are control's.
//
//	Azure-AsyncOperation: …/locations/{region}/{family}/{id}            ─▶ Asked ─▶ Told:      200 and the status, also of what failed
//	Location:             the same with monitor=true, operationresults/ ─▶ Asked ─▶ Monitored: 202 until done, then the result itself
package status

import (
	"encoding/json"
	"net/url"
	"slices"
	"strings"

	"vitrine/internal/arm"
	"vitrine/internal/operation"
)

// families are the URL segments below …/locations/{region}/ that name operations.
var families = []string{"capsoperations", "diskoperations", "operations"}

// Family tells whether a segment below …/locations/{region}/ names operations.
func Family(segment string) bool { return slices.Contains(families, strings.ToLower(segment)) }

// Asked recognises an operation's URL and whether it asks for the result instead of the status. The ID is a random GUID, known to
// nobody but those whom the first answer told it.
func Asked(id arm.ID, tail string, q url.Values) (operation string, monitor, ok bool) {
	if rest, found := strings.CutPrefix(strings.ToLower(tail), "operationresults/"); found && id.Namespace == "" {
		return rest, true, true
	}
	if len(id.Types) != 2 || !strings.EqualFold(id.Types[0], "locations") || !Family(id.Types[1]) {
		return "", false, false
	}
	return id.Names[1], q.Get("monitor") == "true", true
}

// Monitored is the answer of a Location URL, here: 202 until done, then the result itself.
func Monitored(here string, o *operation.Operation) (code int, h map[string][]string, body []byte, err error) {
	switch {
	case !o.Terminal():
		return 202, map[string][]string{"Retry-After": {"1"}, "Location": {here}}, nil, nil
	case o.Error != nil:
		o.Error.Status = 409
		return 0, nil, nil, o.Error
	}
	return 200, nil, o.Output, nil
}

const stamp = "2006-01-02T15:04:05.0000000-07:00" // Compute's: seven digits and +00:00

// Told is the answer of an Azure-AsyncOperation URL, always with 200; brief leaves out the times.
func Told(o *operation.Operation, brief bool) (h map[string][]string, body []byte, err error) {
	type properties struct {
		Output json.RawMessage `json:"output"`
	}
	said := struct {
		Start      string      `json:"startTime,omitempty"`
		End        string      `json:"endTime,omitempty"`
		Status     string      `json:"status"`
		Properties *properties `json:"properties,omitempty"`
		Error      *arm.Error  `json:"error,omitempty"`
		Name       string      `json:"name,omitempty"`
	}{Start: o.Start.UTC().Format(stamp), Status: "InProgress", Name: o.ID}
	h = map[string][]string{"Retry-After": {"1"}}
	if o.Terminal() {
		said.Status, said.End, said.Error = string(o.Status), o.End.UTC().Format(stamp), o.Error
		h = nil
		if len(o.Output) > 0 {
			said.Properties = &properties{o.Output}
		}
	}
	if brief {
		said.Start, said.End, said.Name = "", "", ""
	}
	body, err = json.Marshal(said)
	return h, body, err
}
